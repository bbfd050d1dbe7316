/*
 * apart.c
 *		Ask a process of its own.
 *
 * src/pg/apart.c
 */
#include "apart.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "encoding.h"
#include "engine_client.h"
#include "serve_connection.h"

#define TRIES		3			/* for a serving engine that lives long enough to hand us over */

void
res_apart_lost(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("the engine ended while it worked on this request"),
			 errhint("Perhaps memory ran out; a smaller model or fewer tokens in batch_tokens need less.")));
}

/* The greeted connection of a fresh process, or NULL when the serving engine has hung up. */
static ResChannel *
connect_apart(void)
{
	ResChannel *channel;
	RnFrame		frame;
	uint64		pid;

	res_serve_disconnect();		/* requests may be under way on the old one; they are asked again */
	channel = res_serve_connect();
	if (channel == NULL)
		return NULL;
	res_serve_set_busy(true);
	res_channel_put(channel, RN_APART);
	if (!res_serve_flush() || !res_serve_receive(&frame, 0))
		return NULL;
	if (frame.type == RN_ERROR)
		res_report_frame(&frame);
	res_channel_check_hello(&frame, &pid);
	return channel;
}

static void
converse(ResApartAsk ask, ResApartTake take, void *arg)
{
	ResChannel *channel = NULL;
	RnFrame		frame;
	int			try;

	for (try = 0; try < TRIES && channel == NULL; try++)
	{
		channel = connect_apart();
		if (channel == NULL)
			res_serve_disconnect();
	}
	if (channel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("the serving engine has ended %d times before it could start a process for this request", TRIES),
				 errhint("The server log says how it ended.")));
	ask(channel, arg);
	res_apart_send(channel);
	do
	{
		if (!res_serve_receive(&frame, 0))
			res_apart_lost();
		if (frame.type == RN_ERROR)
			res_report_frame(&frame);
	} while (take(&frame, arg));
}

void
res_apart(ResApartAsk ask, ResApartTake take, void *arg)
{
	PG_TRY();
	{
		converse(ask, take, arg);
	}
	PG_FINALLY();
	{
		res_serve_disconnect();
	}
	PG_END_TRY();
}

void
res_apart_send(ResChannel *channel)
{
	RnFrame		frame;

	if (res_serve_flush())
		return;
	/* its last words, if there were any */
	if (res_channel_next(channel, &frame) && frame.type == RN_ERROR)
		res_report_frame(&frame);
	res_apart_lost();
}

/* ---- tables ---- */

static void pg_attribute_noreturn()
malformed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("the engine answered with a malformed table")));
}

static Datum
read_value(RnReader *reader, Oid type, bool *isnull)
{
	RnValueKind kind = (RnValueKind) rn_read_u8(reader);
	const char *bytes;
	Size		size;
	int64		integer;
	double		number;

	*isnull = kind == RN_VALUE_NULL;
	switch (kind)
	{
		case RN_VALUE_NULL:
			return (Datum) 0;
		case RN_VALUE_INTEGER:
			integer = rn_read_i64(reader);
			if (type == INT4OID && integer == (int32) integer)
				return Int32GetDatum((int32) integer);
			if (type == INT8OID)
				return Int64GetDatum(integer);
			break;
		case RN_VALUE_NUMBER:
			number = rn_read_f64(reader);
			if (type == FLOAT8OID)
				return Float8GetDatum(number);
			break;
		case RN_VALUE_TEXT:
			bytes = rn_read_bytes(reader, &size);
			if (type == TEXTOID && !reader->failed)
				return PointerGetDatum(res_text_from_utf8(bytes, size));
			break;
	}
	malformed();
	return (Datum) 0;			/* keep compilers quiet */
}

bool
res_apart_put_rows(const RnFrame *frame, Tuplestorestate *store, TupleDesc columns)
{
	Datum	   *values;
	bool	   *nulls;
	RnReader	reader;
	uint32		rows;

	if (frame->type == RN_TABLE_END)
		return false;
	if (frame->type != RN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("the engine answered with a frame of type %u", frame->type)));
	values = palloc(columns->natts * sizeof(Datum));
	nulls = palloc(columns->natts * sizeof(bool));
	rn_reader_init(&reader, frame);
	rows = rn_read_u32(&reader);
	if (rn_read_u32(&reader) != (uint32) columns->natts)
		malformed();
	for (; rows > 0 && !reader.failed; rows--)
	{
		int			i;

		for (i = 0; i < columns->natts; i++)
			values[i] = read_value(&reader, TupleDescAttr(columns, i)->atttypid, &nulls[i]);
		if (!reader.failed)
			tuplestore_putvalues(store, columns, values, nulls);
		CHECK_FOR_INTERRUPTS();
	}
	if (reader.failed || reader.at != reader.end)
		malformed();
	return true;
}
