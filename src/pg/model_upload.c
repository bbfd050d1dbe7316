/*
 * model_upload.c
 *		A model on its way to the engine: its version's rows, checked and sent
 *		in parts.
 *
 * Requests may be under way on the same connection; their answers are passed
 * on as they come.
 *
 * src/pg/model_upload.c
 */
#include "engine_client.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "options.h"
#include "serve_connection.h"
#include "weights.h"

typedef struct Load
{
	ResChannel *channel;
	uint64		id;
	uint64		bytes;			/* of weights so far */
	RnFrame		answer;			/* that came before the end */
	bool		answered;
	bool		gone;			/* the engine has hung up */
} Load;

void
res_write_model_key(RnWriter *writer, const ResModel *model)
{
	rn_write_u32(writer, MyDatabaseId);
	rn_write_i64(writer, model->id);
	rn_write_i32(writer, model->active);
	rn_write_u64(writer, (uint64) model->checksum);
}

/* What has come: the engine's answer to the model, or answers to requests meanwhile. */
static void
load_hear(Load *load)
{
	while (!load->answered && res_channel_next(load->channel, &load->answer))
	{
		load->answered = load->answer.id == load->id;
		if (!load->answered)
			res_request_take(&load->answer);
	}
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
		load_hear(load);
}

/* Wait for the answer; false when the engine has hung up. */
static bool
load_await(Load *load)
{
	while (!load->gone && !load->answered)
	{
		if (!res_serve_receive(&load->answer, 0))
			return false;
		load->answered = load->answer.id == load->id;
		if (!load->answered)
			res_request_take(&load->answer);
	}
	return !load->gone;
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
send_chunk(Load *load, const ResChunk *chunk)
{
	if (load->gone || load->answered)
		return;
	res_chunk_write(&load->channel->out, load->id, chunk);
	load_send(load);
}

/* ResChunkSink: what the version's rows hold. */
static void
send_stored(void *arg, const ResChunk *chunk)
{
	Load	   *load = arg;

	load->bytes += chunk->size;
	send_chunk(load, chunk);
}

static void
send_tokenizer(Load *load, const bytea *tokenizer)
{
	ResChunk	chunk;

	memset(&chunk, 0, sizeof(chunk));
	chunk.name = RES_TOKENIZER_PART;
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
	res_write_model_key(&channel->out, model);
	write_pairs(&channel->out, version.configuration);
	rn_write_u64(&channel->out, (uint64) version.bytes + VARSIZE_ANY_EXHDR(version.tokenizer));
	load_send(&load);
	send_tokenizer(&load, version.tokenizer);
	checksum = res_weights_read(RES_MODEL_WEIGHTS, model->id, model->active, label, NULL, send_stored, &load);
	check_complete(&version, label, load.bytes, checksum);
	load_end(&load);
	if (res_channel_pending(channel) == 0)
		rn_writer_free(&channel->out);	/* parts are large */
	MemoryContextSwitchTo(before);
	MemoryContextDelete(passing);

	if (!load_await(&load))
		return false;
	if (load.answer.type == RN_ERROR)
		res_report_frame(&load.answer);
	if (load.answer.type != RN_LOADED)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("the serving engine answered a model with a frame of type %u", load.answer.type)));
	return true;
}
