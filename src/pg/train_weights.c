/*
 * train_weights.c
 *		What comes back from a training engine in parts: the tokenizer,
 *		checkpoints, the finished model.
 *
 * A checkpoint or model comes in many frames: its transaction is open from
 * the first to the last, so that half of one is never seen, and an engine
 * that dies in between leaves the former checkpoint in place.
 *
 * src/pg/train_weights.c
 */
#include "train_statement.h"

#include "catalog/pg_type.h"
#include "utils/memutils.h"

#define MAX_TOKENIZER	(256 * 1024 * 1024)

/* ---- parts ---- */

static void
misplaced_part(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("engine sent part \"%s\" where none belongs", name)));
}

/* A learned tokenizer is kept with the job, so that a resumed run does not learn another one. */
static void
store_tokenizer(ResTraining *training, const ResChunk *chunk)
{
	ResChunk	piece = *chunk;
	ResWeightWriter *writer;
	ResCatalog	catalog;
	int64		bytes,
				checksum;

	if (strcmp(chunk->name, RES_TOKENIZER_PART) != 0)
		misplaced_part(chunk->name);
	if (chunk->offset == 0)
		resetStringInfo(&training->tokenizer);
	if (chunk->total > MAX_TOKENIZER || chunk->offset != (uint64) training->tokenizer.len ||
		chunk->size > chunk->total - chunk->offset)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION), errmsg("engine sent a tokenizer that does not fit together")));
	appendBinaryStringInfo(&training->tokenizer, chunk->bytes, chunk->size);
	if ((uint64) training->tokenizer.len < chunk->total || training->tokenizer_stored)
		return;
	training->tokenizer_stored = true;
	res_training_begin_report(training);
	res_catalog_begin(&catalog, false);
	writer = res_weights_begin(RES_JOB_CHECKPOINT, training->job.id, RES_STEP_SHARED);
	for (piece.offset = 0; piece.offset < piece.total; piece.offset += piece.size)
	{
		piece.bytes = training->tokenizer.data + piece.offset;
		piece.size = Min(piece.total - piece.offset, RN_CHUNK);
		res_weights_put(writer, &piece);
	}
	res_weights_end(writer, &bytes, &checksum);
	res_catalog_end(&catalog);
	res_training_commit();
}

void
res_training_take_part(ResTraining *training, RnReader *reader)
{
	char		name[RES_NAME_SIZE];
	ResChunk	chunk;

	res_chunk_read(reader, name, &chunk);
	res_training_check_end(reader, "part");
	if (training->incoming == RES_NOTHING)
		store_tokenizer(training, &chunk);
	else if (training->writer == NULL)
		misplaced_part(name);
	else if (strcmp(name, RES_TOKENIZER_PART) != 0) /* has been stored */
		res_weights_put(training->writer, &chunk);
}

void
res_training_checkpoint_begin(ResTraining *training, RnReader *reader)
{
	ResStatement statement;

	training->incoming_step = rn_read_i64(reader);
	(void) rn_read_f64(reader); /* epoch: in the state that comes */
	res_training_check_end(reader, "checkpoint");
	res_training_begin_report(training);
	training->incoming = RES_CHECKPOINT;
	res_statement_begin(&statement, training);
	res_catalog_begin(&training->catalog, false);
	res_statement_integer(&statement, training->incoming_step);
	res_statement_integer(&statement, training->config.keep_checkpoints - 1);

	/* later ones are of a run that was taken up again before them */
	res_execute(&training->catalog,
				"DELETE FROM residual.checkpoint WHERE job = $1 AND step > 0 AND step NOT IN"
				" (SELECT DISTINCT step FROM residual.checkpoint WHERE job = $1 AND step > 0 AND step < $2"
				" ORDER BY step DESC LIMIT $3)",
				statement.n, statement.types, statement.values, statement.nulls);
	training->writer = res_weights_begin(RES_JOB_CHECKPOINT, training->job.id, training->incoming_step);
}

/* A job that gets on may be taken up by the launcher as often as it takes. */
void
res_training_checkpoint_end(ResTraining *training)
{
	ResStatement statement;
	int64		bytes,
				checksum;

	res_weights_end(training->writer, &bytes, &checksum);
	training->writer = NULL;
	res_catalog_end(&training->catalog);
	res_statement_begin(&statement, training);
	res_statement_integer(&statement, training->incoming_step);
	res_statement_execute("UPDATE residual.job SET attempts = 1, checkpoint_step = $2 WHERE id = $1", &statement);
	training->incoming = RES_NOTHING;
	res_training_commit();
}

/* ---- the finished model ---- */

/* The pairs of a model frame as jsonb, numbers as numbers. */
static Jsonb *
read_configuration(ResTraining *training, RnReader *reader)
{
	RnConfig	config = training->config;
	uint32		n = rn_read_count(reader, 2 * sizeof(uint32));
	char		key[RES_NAME_SIZE];
	char		value[512];
	RnContext	ctx;

	rn_context_reset(&ctx);
	while (n-- > 0 && !reader->failed)
	{
		rn_read_string(reader, key, sizeof(key));
		rn_read_string(reader, value, sizeof(value));
		if (!reader->failed && rn_config_set(&ctx, &config, key, value) != RN_OK)
			res_report(&ctx);
	}
	res_training_check_end(reader, "model");
	return res_options_jsonb(&config, true);
}

static bytea *
tokenizer_bytes(const ResTraining *training)
{
	bytea	   *bytes = palloc(VARHDRSZ + training->tokenizer.len);

	SET_VARSIZE(bytes, VARHDRSZ + training->tokenizer.len);
	memcpy(VARDATA(bytes), training->tokenizer.data, training->tokenizer.len);
	return bytes;
}

/* A version of the model of that name, or of a new one; the first is put in service in any case. */
void
res_training_model_begin(ResTraining *training, RnReader *reader)
{
	ResVersion *version = &training->version;
	ResModel	model;

	memset(version, 0, sizeof(*version));
	version->job = training->job.id;
	version->step = rn_read_i64(reader);
	version->validation_loss = rn_read_f64(reader);
	version->validation_bleu = rn_read_f64(reader);
	version->parameters = rn_read_u64(reader);
	if (training->tokenizer.len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION), errmsg("engine sent a model without a tokenizer")));

	res_training_begin_model(training);
	training->incoming = RES_MODEL;
	MemoryContextSwitchTo(TopTransactionContext);
	version->configuration = read_configuration(training, reader);
	version->tokenizer = tokenizer_bytes(training);
	if (res_model_find(training->job.model, &model))
		res_model_check_owner(&model, training->job.owner);
	else
	{
		model.id = res_model_create(training->job.model, training->job.owner);
		model.active = 0;
	}
	training->activate = training->config.activate || model.active == 0;
	version->model = model.id;
	version->version = res_version_next(model.id);
	res_version_insert(version);
	res_catalog_begin(&training->catalog, false);
	training->writer = res_weights_begin(RES_MODEL_WEIGHTS, model.id, version->version);
}

void
res_training_model_end(ResTraining *training)
{
	ResVersion *version = &training->version;
	int64		checksum;

	if (training->writer == NULL)
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION), errmsg("engine ended a model twice")));
	res_weights_end(training->writer, &version->bytes, &checksum);
	training->writer = NULL;
	res_catalog_end(&training->catalog);
	version->checksum = res_version_checksum(version->configuration, version->tokenizer, checksum);
	res_version_finish(version);
	if (training->activate)
		res_model_set_active(version->model, version->version);
}

/* The job ends in the transaction that brings the model, and needs its checkpoint no more. */
void
res_training_finish(ResTraining *training, RnReader *reader)
{
	char		reason[RES_NAME_SIZE];
	ResStatement statement;
	bool		has_model = (training->incoming == RES_MODEL);

	rn_read_string(reader, training->end_state, sizeof(training->end_state));
	rn_read_string(reader, reason, sizeof(reason));
	(void) rn_read_i64(reader);
	(void) rn_read_f64(reader);
	res_training_check_end(reader, "done");
	training->done = true;
	if (strcmp(training->end_state, "done") != 0)
		return;
	if (!has_model || training->writer != NULL)
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION), errmsg("engine ended without a model")));
	res_statement_begin(&statement, training);
	res_statement_value(&statement, INT4OID, Int32GetDatum(training->version.version), false);
	res_statement_string(&statement, reason);
	res_statement_execute("UPDATE residual.job SET state = 'done', phase = NULL, finished = now(), version = $2, reason = $3,"
						  " checkpoint_step = NULL WHERE id = $1", &statement);
	res_statement_begin(&statement, training);
	res_statement_execute("WITH gone AS (DELETE FROM residual.checkpoint WHERE job = $1) SELECT 1", &statement);
	training->incoming = RES_NOTHING;
	res_training_commit();
}
