/*
 * table.c
 *		An answer that is a table: rows out, a value at a time.
 *
 * src/engine/table.c
 */
#include "engine/table.h"

#include <math.h>
#include <string.h>

#include "engine/frames.h"

#define FRAME_BYTES		(32 * 1024)	/* about: a frame is sent when it holds as much */

static void
begin_frame(RnTable *table)
{
	rn_write_begin(&table->out, RN_TABLE, 0);
	rn_write_u32(&table->out, 0);	/* rows: known when it is sent */
	rn_write_u32(&table->out, table->columns);
	table->rows = 0;
}

static void
send_frame(RnTable *table)
{
	if (table->ctx->status != RN_OK)
		return;
	if (!table->out.failed)
		memcpy(table->out.bytes + table->out.frame + RN_FRAME_HEAD, &table->rows, sizeof(table->rows));
	if (rn_write_end(table->ctx, &table->out) == RN_OK)
		rn_peer_send(table->ctx, table->peer, &table->out);
}

void
rn_table_begin(RnContext *ctx, RnTable *table, RnPeer *peer, int columns)
{
	memset(table, 0, sizeof(*table));
	table->peer = peer;
	table->ctx = ctx;
	table->columns = (uint32_t) columns;
	rn_writer_init(&table->out);
	begin_frame(table);
}

/* A value has been written. */
static void
next_column(RnTable *table)
{
	if (++table->column < table->columns)
		return;
	table->column = 0;
	table->rows++;
	if (table->out.used < FRAME_BYTES)
		return;
	send_frame(table);
	begin_frame(table);
}

void
rn_table_null(RnTable *table)
{
	rn_write_u8(&table->out, RN_VALUE_NULL);
	next_column(table);
}

void
rn_table_text(RnTable *table, const char *value)
{
	if (value == NULL || value[0] == '\0')
	{
		rn_table_null(table);
		return;
	}
	rn_write_u8(&table->out, RN_VALUE_TEXT);
	rn_write_string(&table->out, value);
	next_column(table);
}

void
rn_table_integer(RnTable *table, int64_t value)
{
	rn_write_u8(&table->out, RN_VALUE_INTEGER);
	rn_write_i64(&table->out, value);
	next_column(table);
}

void
rn_table_number(RnTable *table, double value)
{
	if (isnan(value))
	{
		rn_table_null(table);
		return;
	}
	rn_write_u8(&table->out, RN_VALUE_NUMBER);
	rn_write_f64(&table->out, value);
	next_column(table);
}

RnStatus
rn_table_end(RnTable *table)
{
	send_frame(table);
	if (table->ctx->status == RN_OK)
	{
		if (rn_write_empty(table->ctx, &table->out, RN_TABLE_END, 0) == RN_OK)
			rn_peer_send(table->ctx, table->peer, &table->out);
	}
	rn_table_free(table);
	return table->ctx->status;
}

void
rn_table_free(RnTable *table)
{
	rn_writer_free(&table->out);
}
