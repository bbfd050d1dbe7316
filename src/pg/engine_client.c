/*
 * engine_client.c
 *		A session's side of serving: ask the engine, wait without ever being
 *		deaf, send it the model when it lacks it, try again when it died.
 *
 * While a request is under way the connection is "busy".  Whoever leaves by an
 * error closes it at once; the engine drops the work of a closed connection.
 *
 * A translation changes nothing in the engine, so when the engine dies it is
 * asked again.  A text that kills the engine must not do so for ever, nor cost
 * other sessions their answers: three tries, the last of them while no other
 * session of the cluster is trying again, so that those who were merely
 * present are not killed a third time by the culprits.
 *
 * src/pg/engine_client.c
 */
#include "engine_client.h"

#include <unistd.h>

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "options.h"
#include "serve_connection.h"
#include "serve_worker.h"
#include "weights.h"

#define TRIES			3
#define LOADS			3		/* times that the engine may ask for the model within a request */
#define STATUS_MS		1000	/* for an engine that runs to greet */
#define KEEP_BYTES		(1024 * 1024)	/* larger buffers are given back after a request */

static uint64 next_id = 1;
static RnWriter request;		/* kept until its answer has come */

void
res_report_frame(const RnFrame *frame)
{
	RnReader	reader;
	RnContext	ctx;

	rn_context_reset(&ctx);
	rn_reader_init(&reader, frame);
	ctx.status = (RnStatus) rn_read_u32(&reader);
	rn_read_string(&reader, ctx.message, sizeof(ctx.message));
	rn_read_string(&reader, ctx.detail, sizeof(ctx.detail));
	rn_read_string(&reader, ctx.hint, sizeof(ctx.hint));
	res_report(&ctx);
}

/* ---------- a model on its way to the engine ---------- */

typedef struct Load
{
	ResChannel *channel;
	uint64		id;
	uint64		bytes;			/* of weights so far */
	RnFrame		answer;			/* that came before the end */
	bool		answered;
	bool		gone;			/* the engine has hung up */
} Load;

static void
write_key(RnWriter *writer, const ResModel *model)
{
	rn_write_u32(writer, MyDatabaseId);
	rn_write_i64(writer, model->id);
	rn_write_i32(writer, model->active);
	rn_write_u64(writer, (uint64) model->checksum);
}

/* End the frame and send it, unless the engine has already said what it thinks. */
static void
load_send(Load *load)
{
	if (load->gone || load->answered)
		return;
	res_channel_end(load->channel);
	if (!res_serve_flush())
		load->gone = true;
	else
		load->answered = res_channel_next(load->channel, &load->answer);
}

static void
load_end(Load *load)
{
	if (load->gone || load->answered)
		return;
	rn_write_begin(&load->channel->out, RN_LOAD_END, load->id);
	load_send(load);
}

static void
send_chunk(void *arg, const ResChunk *chunk)
{
	Load	   *load = arg;
	RnWriter   *out = &load->channel->out;
	int			i;

	if (chunk->dtype == RN_DTYPE_FLOAT32)
		load->bytes += chunk->size;
	if (load->gone || load->answered)
		return;
	rn_write_begin(out, RN_PART, load->id);
	rn_write_string(out, chunk->name);
	rn_write_u32(out, (uint32) chunk->ndim);
	for (i = 0; i < chunk->ndim; i++)
		rn_write_u32(out, (uint32) chunk->shape[i]);
	rn_write_u32(out, chunk->dtype);
	rn_write_u64(out, chunk->total);
	rn_write_u64(out, chunk->offset);
	rn_write_bytes(out, chunk->bytes, chunk->size);
	load_send(load);
}

static void
send_tokenizer(Load *load, const bytea *tokenizer)
{
	ResChunk	chunk;

	memset(&chunk, 0, sizeof(chunk));
	chunk.name = "tokenizer";
	chunk.dtype = RN_DTYPE_BYTES;
	chunk.total = VARSIZE_ANY_EXHDR(tokenizer);
	do
	{
		chunk.bytes = VARDATA_ANY(tokenizer) + chunk.offset;
		chunk.size = Min(RN_CHUNK, chunk.total - chunk.offset);
		send_chunk(load, &chunk);
		chunk.offset += chunk.size;
	} while (chunk.offset < chunk.total);
}

typedef struct Pairs
{
	RnWriter   *writer;			/* NULL: only count */
	uint32		n;
} Pairs;

static void
add_pair(void *arg, const char *key, const char *value)
{
	Pairs	   *pairs = arg;

	pairs->n++;
	if (pairs->writer != NULL)
	{
		rn_write_string(pairs->writer, key);
		rn_write_string(pairs->writer, value);
	}
}

static void
write_pairs(RnWriter *writer, Jsonb *object)
{
	Pairs		pairs = {NULL, 0};

	res_options_each(object, add_pair, &pairs);
	rn_write_u32(writer, pairs.n);
	pairs.writer = writer;
	res_options_each(object, add_pair, &pairs);
}

static void pg_attribute_noreturn()
report_damaged(const char *label, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("%s does not agree with its checksum", label),
			 errdetail_internal("%s", detail),
			 errhint("Restore the model from a backup, or train it again.")));
}

/* A configuration is an object of scalars, whatever else it may be. */
static void
check_configuration(Jsonb *configuration, const char *label)
{
	JsonbIterator *iterator = JsonbIteratorInit(&configuration->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(configuration))
		report_damaged(label, "Its configuration is not an object.");
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_VALUE && (value.type == jbvBinary || value.type == jbvNull))
			report_damaged(label, "Its configuration has a value that is null, an array or an object.");
	}
}

/* What the rows hold must be what was stored; the engine must not call it complete before. */
static void
check_complete(const ResVersion *version, const char *label, uint64 bytes, int64 weights_checksum)
{
	if (bytes != (uint64) version->bytes)
		report_damaged(label, psprintf("It has " INT64_FORMAT " bytes of weights, its rows hold " UINT64_FORMAT
									   ": tensors are missing or too many.", version->bytes, bytes));
	if (res_version_checksum(version->configuration, version->tokenizer, weights_checksum) != version->checksum)
		report_damaged(label, "Its configuration, its tokenizer or a tensor is not the one that was stored.");
}

bool
res_send_model(ResChannel *channel, const ResModel *model, uint64 id)
{
	MemoryContext passing = AllocSetContextCreate(CurrentMemoryContext, "model on its way", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(passing);
	char	   *label = psprintf("model \"%s\" version %d", model->name, model->active);
	Load		load;
	ResVersion	version;
	int64		checksum;

	memset(&load, 0, sizeof(load));
	load.channel = channel;
	load.id = id;
	if (!res_version_find(model->id, model->active, &version))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("%s does not exist", label)));
	check_configuration(version.configuration, label);
	rn_write_begin(&channel->out, RN_LOAD, id);
	write_key(&channel->out, model);
	write_pairs(&channel->out, version.configuration);
	rn_write_u64(&channel->out, (uint64) version.bytes + VARSIZE_ANY_EXHDR(version.tokenizer));
	load_send(&load);
	send_tokenizer(&load, version.tokenizer);
	checksum = res_weights_read(RES_MODEL_WEIGHTS, model->id, model->active, label, NULL, send_chunk, &load);
	check_complete(&version, label, load.bytes, checksum);
	load_end(&load);
	rn_writer_free(&channel->out);
	MemoryContextSwitchTo(before);
	MemoryContextDelete(passing);

	if (load.gone || (!load.answered && !res_serve_receive(&load.answer, 0)))
		return false;
	if (load.answer.type == RN_ERROR)
		res_report_frame(&load.answer);
	if (load.answer.type != RN_LOADED || load.answer.id != id)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("the serving engine answered a model with a frame of type %u", load.answer.type)));
	return true;
}

/* ---------- requests ---------- */

RnWriter *
res_request_begin(const ResModel *model, RnTask task)
{
	if (request.capacity > KEEP_BYTES)
		rn_writer_free(&request);
	request.used = 0;
	request.failed = 0;
	rn_write_begin(&request, RN_REQUEST, next_id);
	write_key(&request, model);
	rn_write_u8(&request, (uint8) task);
	return &request;
}

/* One try; false when the engine has hung up. */
static bool
ask(const ResModel *model, uint64 id, RnFrame *answer)
{
	ResChannel *channel = res_serve_connect();
	int			loads;

	if (channel == NULL)
		return false;
	if (channel->in.capacity > KEEP_BYTES && channel->in.start == channel->in.end)
		rn_inbox_free(&channel->in);
	res_serve_set_busy(true);
	for (loads = 0;; loads++)
	{
		if (!res_serve_send(request.bytes, request.used) || !res_serve_receive(answer, 0))
			return false;
		if (answer->type != RN_NEED_MODEL || model == NULL)
			break;
		if (loads == LOADS)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					 errmsg("the serving engine cannot keep model \"%s\" for long enough to use it", model->name),
					 errhint("Raise residual.serve_memory.")));
		if (!res_send_model(channel, model, id))
			return false;
	}
	if (answer->id != id)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("the serving engine answered another request")));
	return true;
}

/* The lock by which a last try happens while nobody else tries again; waits for it. */
static int
lock_again(bool last)
{
	int			fd;

	while ((fd = res_lock_file(RES_SERVE_ALONE, !last)) < 0)
		res_serve_wait(0, 10);
	return fd;
}

static bool
ask_repeatedly(const ResModel *model, uint64 id, RnFrame *answer)
{
	volatile int lock = -1;
	volatile bool answered = false;

	PG_TRY();
	{
		int			try;

		for (try = 1; try <= TRIES && !answered; try++)
		{
			if (try > 1)
				lock = lock_again(try == TRIES);
			answered = ask(model, id, answer);
			if (!answered)
				res_serve_disconnect();
			if (lock >= 0)
				close(lock);
			lock = -1;
		}
		res_serve_set_busy(false);
	}
	PG_CATCH();
	{
		if (res_serve_is_busy())
			res_serve_disconnect();
		if (lock >= 0)
			close(lock);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return answered;
}

static void
perform(const ResModel *model, uint32 expected, RnReader *reader)
{
	uint64		id = next_id++;
	RnFrame		answer;
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (rn_write_end(&ctx, &request) != RN_OK)
		res_report(&ctx);
	if (!ask_repeatedly(model, id, &answer))
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("the serving engine ended %d times while it worked on this request", TRIES),
				 errhint("The server log says how it ended.  A text that always ends it is a bug worth reporting.")));
	if (answer.type == RN_ERROR)
		res_report_frame(&answer);
	if (answer.type != expected)
	{
		res_serve_disconnect();
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("the serving engine answered with a frame of type %u", answer.type)));
	}
	rn_reader_init(reader, &answer);
}

void
res_request_perform(const ResModel *model, RnReader *reader)
{
	perform(model, RN_RESULT, reader);
}

void
res_request_end(const RnReader *reader)
{
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (rn_reader_end(&ctx, reader, "the serving engine's answer") == RN_OK)
		return;
	res_serve_disconnect();
	res_report(&ctx);
}

bool
res_serving_status(RnReader *reader)
{
	if (res_serve_connect_if_running(STATUS_MS) == NULL)
		return false;
	request.used = 0;
	request.failed = 0;
	rn_write_begin(&request, RN_STATUS, next_id);
	perform(NULL, RN_STATUS, reader);
	return true;
}
