/*
 * train_store.c
 *		What comes back from a training engine, into the catalog.
 *
 * Each report is a transaction of its own.  Checkpoints and models come in
 * many frames: their transaction is open from the first to the last, so that
 * half of one is never seen, and an engine that dies in between leaves the
 * former checkpoint in place.
 *
 * src/pg/train_store.c
 */
#include "training.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "encoding.h"

#define TOKENIZER_PART	"tokenizer"
#define NAME_SIZE		128
#define MAX_TOKENIZER	(256 * 1024 * 1024)

/* ---- statements ---- */

/* Parameters of a statement; a NaN is NULL. */
typedef struct Values
{
	int			n;
	Oid			types[16];
	Datum		values[16];
	char		nulls[16];
} Values;

static void
add_value(Values *values, Oid type, Datum value, bool is_null)
{
	values->types[values->n] = type;
	values->values[values->n] = value;
	values->nulls[values->n] = is_null ? 'n' : ' ';
	values->n++;
}

static void
add_integer(Values *values, int64 value)
{
	add_value(values, INT8OID, Int64GetDatum(value), false);
}

static void
add_number(Values *values, double value)
{
	add_value(values, FLOAT8OID, Float8GetDatum(value), isnan(value));
}

static void
add_string(Values *values, const char *utf8)
{
	add_value(values, TEXTOID, PointerGetDatum(res_text_from_utf8(utf8, strlen(utf8))), utf8[0] == '\0');
}

static void
begin_values(Values *values, const ResTraining *training)
{
	values->n = 0;
	add_integer(values, training->job.id);
}

/* One statement on a job that must still be there: its row goes with a dropped extension. */
static void
execute(const char *sql, const Values *values)
{
	ResCatalog	catalog;
	uint64		rows;

	res_catalog_begin(&catalog, false);
	rows = res_execute(&catalog, sql, values->n, values->types, values->values, values->nulls);
	res_catalog_end(&catalog);
	if (rows == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the job has been removed while it was running")));
}

static void
store(const ResTraining *training, const char *sql, const Values *values)
{
	res_training_begin_report(training);
	execute(sql, values);
	res_training_commit();
}

/* ---- reading frames ---- */

static void
check_end(const RnReader *reader, const char *what)
{
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (rn_reader_end(&ctx, reader, what) != RN_OK)
		res_report(&ctx);
}

/* The engine knows its limits as numbers; whoever reads the error knows them as settings. */
static void
add_setting(RnContext *ctx)
{
	char		setting[64] = "";
	char		hint[sizeof(ctx->hint)];

	if (ctx->status == RN_DISK_FULL && temp_file_limit >= 0)
		snprintf(setting, sizeof(setting), "temp_file_limit is %d kB.", temp_file_limit);
	else if ((ctx->status == RN_LIMIT || ctx->status == RN_NO_MEMORY) && res_training_memory > 0)
		snprintf(setting, sizeof(setting), "residual.training_memory is %d MB.", res_training_memory);
	else
		return;
	strlcpy(hint, ctx->hint, sizeof(hint));
	snprintf(ctx->hint, sizeof(ctx->hint), "%s%s%s", hint, hint[0] != '\0' ? "  " : "", setting);
}

void
res_training_raise(const RnFrame *frame)
{
	RnReader	reader;
	RnContext	ctx;

	rn_reader_init(&reader, frame);
	ctx.status = (RnStatus) rn_read_u32(&reader);
	rn_read_string(&reader, ctx.message, sizeof(ctx.message));
	rn_read_string(&reader, ctx.detail, sizeof(ctx.detail));
	rn_read_string(&reader, ctx.hint, sizeof(ctx.hint));
	check_end(&reader, "error");
	add_setting(&ctx);
	res_report(&ctx);
}

void
res_training_unexpected(const RnFrame *frame)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("engine sent a message of type %u where none belongs", frame->type)));
}

/* ---- reports ---- */

void
res_training_activity(const ResTraining *training, const char *phase)
{
	char	   *line;

	if (phase != NULL)
		line = psprintf("residual: job " INT64_FORMAT " %s", training->job.id, phase);
	else if (training->total_steps > 0)
		line = psprintf("residual: job " INT64_FORMAT " step " INT64_FORMAT "/" INT64_FORMAT,
						training->job.id, training->step, training->total_steps);
	else
		line = psprintf("residual: job " INT64_FORMAT " step " INT64_FORMAT, training->job.id, training->step);
	pgstat_report_activity(STATE_RUNNING, line);
	pfree(line);
}

void
res_training_note_engine(const ResTraining *training)
{
	Values		values;

	begin_values(&values, training);
	add_integer(&values, training->engine.pid);
	store(training, "UPDATE residual.job SET engine_pid = $2 WHERE id = $1", &values);
}

static void
store_phase(ResTraining *training, RnReader *reader)
{
	char		phase[NAME_SIZE];
	Values		values;

	rn_read_string(reader, phase, sizeof(phase));
	check_end(reader, "phase");
	begin_values(&values, training);
	res_training_begin_report(training);
	add_string(&values, phase);
	execute("UPDATE residual.job SET phase = $2 WHERE id = $1", &values);
	res_training_commit();
	res_training_activity(training, strcmp(phase, "training") == 0 ? NULL : phase);
}

/* A job that reads its table again must say when it is not the same data any more. */
static bool
rows_have_changed(const ResTraining *training, const char *fingerprint)
{
	if (training->job.fingerprint == NULL || strcmp(training->job.fingerprint, fingerprint) == 0)
		return false;
	ereport(WARNING,
			(errmsg("rows of %s have changed since job " INT64_FORMAT " began", training->job.corpus, training->job.id),
			 errdetail("Training goes on with the rows as they are now; its end differs from that of a run without a break.")));
	return true;
}

/* A part that is 0 asks for no validation; a table, or a part above, for one that did not come about. */
static bool
lacks_validation(const ResTraining *training, uint64 held_out)
{
	char	   *end;
	double		part = strtod(training->config.validation, &end);

	if (held_out > 0 || (*end == '\0' && part == 0))
		return false;
	ereport(WARNING,
			(errmsg("job " INT64_FORMAT " trains without validation: no pair was held out", training->job.id),
			 errhint("Set option \"validation\" to a larger part, or to a table with pairs.")));
	return true;
}

/* What one should know about the data; "" if nothing. */
static const char *
corpus_note(const ResTraining *training, const char *fingerprint, uint64 held_out)
{
	bool		changed = rows_have_changed(training, fingerprint);
	bool		lacking = lacks_validation(training, held_out);

	return psprintf("%s%s%s",
					changed ? "rows of the corpus have changed since the job began: the result differs from that of a run without a break" : "",
					changed && lacking ? "; " : "",
					lacking ? "no pair was held out: nothing has been validated" : "");
}

static void
store_corpus(ResTraining *training, RnReader *reader)
{
	uint64		pairs = rn_read_u64(reader);
	uint64		rows_empty = rn_read_u64(reader);
	uint64		rows_long = rn_read_u64(reader);
	uint64		held_out = rn_read_u64(reader);
	uint64		digest[2];
	char		fingerprint[33];
	Values		values;

	(void) rn_read_u64(reader); /* target tokens */
	digest[0] = rn_read_u64(reader);
	digest[1] = rn_read_u64(reader);
	(void) rn_read_u32(reader); /* vocabulary: comes with the model */
	training->parameters = rn_read_u64(reader);
	check_end(reader, "corpus");
	snprintf(fingerprint, sizeof(fingerprint), "%016llx%016llx",
			 (unsigned long long) digest[0], (unsigned long long) digest[1]);

	begin_values(&values, training);
	add_integer(&values, pairs);
	add_integer(&values, rows_empty);
	add_integer(&values, rows_long);
	add_integer(&values, held_out);
	res_training_begin_report(training);
	add_string(&values, fingerprint);
	add_string(&values, corpus_note(training, fingerprint, held_out));
	execute("UPDATE residual.job SET pairs = $2, rows_empty = $3, rows_long = $4, held_out = $5,"
			" fingerprint = $6, note = COALESCE($7, note) WHERE id = $1", &values);
	res_training_commit();
}

static void
store_progress(ResTraining *training, RnReader *reader)
{
	Values		values;
	double		seconds_left;
	int			i;

	begin_values(&values, training);
	training->step = rn_read_i64(reader);
	training->total_steps = rn_read_i64(reader);
	add_integer(&values, training->step);
	add_value(&values, INT8OID, Int64GetDatum(training->total_steps), training->total_steps == 0);
	for (i = 0; i < 5; i++)		/* epoch, tokens/s, loss, learning rate, gradient norm */
		add_number(&values, rn_read_f64(reader));
	seconds_left = rn_read_f64(reader);
	add_number(&values, seconds_left < 0 ? NAN : seconds_left);
	add_integer(&values, rn_read_u64(reader));
	check_end(reader, "progress");
	store(training,
		  "INSERT INTO residual.progress AS p (job, at, step, total_steps, epoch, tokens_per_second, loss,"
		  " learning_rate, gradient_norm, seconds_left, memory)"
		  " SELECT id, clock_timestamp(), $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM residual.job WHERE id = $1"
		  " ON CONFLICT (job) DO UPDATE SET (at, step, total_steps, epoch, tokens_per_second, loss, learning_rate,"
		  " gradient_norm, seconds_left, memory) = (EXCLUDED.at, EXCLUDED.step, EXCLUDED.total_steps, EXCLUDED.epoch,"
		  " EXCLUDED.tokens_per_second, EXCLUDED.loss, EXCLUDED.learning_rate, EXCLUDED.gradient_norm,"
		  " EXCLUDED.seconds_left, EXCLUDED.memory)", &values);
	res_training_activity(training, NULL);
}

/* A step that a resumed run repeats overwrites what the run before it wrote. */
static void
store_log(ResTraining *training, RnReader *reader)
{
	Values		values;
	int			i;

	begin_values(&values, training);
	add_integer(&values, rn_read_i64(reader));
	for (i = 0; i < 7; i++)		/* epoch, loss, learning rate, validation loss, nll, BLEU, seconds */
		add_number(&values, rn_read_f64(reader));
	add_value(&values, BOOLOID, BoolGetDatum(rn_read_u8(reader) != 0), false);
	add_integer(&values, rn_read_u32(reader));
	add_integer(&values, rn_read_u32(reader));
	check_end(reader, "log");
	store(training,
		  "INSERT INTO residual.training_log (job, step, epoch, loss, learning_rate, validation_loss,"
		  " validation_nll, validation_bleu, seconds, best, validation_pairs, bleu_sentences)"
		  " SELECT id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 FROM residual.job WHERE id = $1"
		  " ON CONFLICT (job, step) DO UPDATE SET (at, epoch, loss, learning_rate, validation_loss,"
		  " validation_nll, validation_bleu, seconds, best, validation_pairs, bleu_sentences) ="
		  " (EXCLUDED.at, EXCLUDED.epoch, EXCLUDED.loss, EXCLUDED.learning_rate, EXCLUDED.validation_loss,"
		  " EXCLUDED.validation_nll, EXCLUDED.validation_bleu, EXCLUDED.seconds, EXCLUDED.best,"
		  " EXCLUDED.validation_pairs, EXCLUDED.bleu_sentences)", &values);
}

static void
store_tensor(const ResTraining *training, int64 step, RnReader *reader)
{
	char		name[NAME_SIZE];
	Values		values;
	int32		layer;
	int			i;

	begin_values(&values, training);
	add_integer(&values, step);
	rn_read_string(reader, name, sizeof(name));
	add_string(&values, name);
	rn_read_string(reader, name, sizeof(name));
	add_string(&values, name);
	layer = rn_read_i32(reader);
	add_value(&values, INT4OID, Int32GetDatum(layer), layer < 0);
	rn_read_string(reader, name, sizeof(name));
	add_string(&values, name);
	for (i = 0; i < 4; i++)		/* norms of parameter, gradient and update, Adam's condition */
		add_number(&values, rn_read_f64(reader));
	execute("INSERT INTO residual.gradient_stats (job, step, tensor, stack, layer, sublayer, parameter_norm,"
			" gradient_norm, update_norm, adam_condition)"
			" SELECT id, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM residual.job WHERE id = $1"
			" ON CONFLICT (job, step, tensor) DO UPDATE SET (parameter_norm, gradient_norm, update_norm,"
			" adam_condition) = (EXCLUDED.parameter_norm, EXCLUDED.gradient_norm, EXCLUDED.update_norm,"
			" EXCLUDED.adam_condition)", &values);
}

static void
store_statistics(ResTraining *training, RnReader *reader)
{
	int64		step = rn_read_i64(reader);
	uint32		n = rn_read_count(reader, 3 * sizeof(uint32));

	res_training_begin_report(training);
	while (n-- > 0 && !reader->failed)
		store_tensor(training, step, reader);
	check_end(reader, "statistics");
	res_training_commit();
}

/* ---- tensors ---- */

static void
read_part(RnReader *reader, char *name, ResChunk *chunk)
{
	int			i;

	memset(chunk, 0, sizeof(*chunk));
	rn_read_string(reader, name, NAME_SIZE);
	chunk->name = name;
	chunk->ndim = rn_read_count(reader, sizeof(uint32));
	if (chunk->ndim > RES_MAX_DIMS)
		reader->failed = 1;
	for (i = 0; i < chunk->ndim && !reader->failed; i++)
		chunk->shape[i] = rn_read_u32(reader);
	chunk->dtype = rn_read_u32(reader);
	chunk->total = rn_read_u64(reader);
	chunk->offset = rn_read_u64(reader);
	chunk->bytes = rn_read_bytes(reader, &chunk->size);
	check_end(reader, "part");
}

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

	if (strcmp(chunk->name, TOKENIZER_PART) != 0)
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

static void
take_part(ResTraining *training, RnReader *reader)
{
	char		name[NAME_SIZE];
	ResChunk	chunk;

	read_part(reader, name, &chunk);
	if (training->incoming == RES_NOTHING)
		store_tokenizer(training, &chunk);
	else if (training->writer == NULL)
		misplaced_part(name);
	else if (strcmp(name, TOKENIZER_PART) != 0) /* has been stored */
		res_weights_put(training->writer, &chunk);
}

static void
checkpoint_begin(ResTraining *training, RnReader *reader)
{
	Values		values;

	training->incoming_step = rn_read_i64(reader);
	(void) rn_read_f64(reader); /* epoch: in the state that comes */
	check_end(reader, "checkpoint");
	res_training_begin_report(training);
	training->incoming = RES_CHECKPOINT;
	begin_values(&values, training);
	res_catalog_begin(&training->catalog, false);
	add_integer(&values, training->incoming_step);
	add_integer(&values, training->config.keep_checkpoints - 1);

	/* later ones are of a run that was taken up again before them */
	res_execute(&training->catalog,
				"DELETE FROM residual.checkpoint WHERE job = $1 AND step > 0 AND step NOT IN"
				" (SELECT DISTINCT step FROM residual.checkpoint WHERE job = $1 AND step > 0 AND step < $2"
				" ORDER BY step DESC LIMIT $3)",
				values.n, values.types, values.values, values.nulls);
	training->writer = res_weights_begin(RES_JOB_CHECKPOINT, training->job.id, training->incoming_step);
}

/* A job that gets on may be taken up by the launcher as often as it takes. */
static void
checkpoint_end(ResTraining *training)
{
	Values		values;
	int64		bytes,
				checksum;

	res_weights_end(training->writer, &bytes, &checksum);
	training->writer = NULL;
	res_catalog_end(&training->catalog);
	begin_values(&values, training);
	add_integer(&values, training->incoming_step);
	execute("UPDATE residual.job SET attempts = 1, checkpoint_step = $2 WHERE id = $1", &values);
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
	char		key[NAME_SIZE];
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
	check_end(reader, "model");
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
static void
model_begin(ResTraining *training, RnReader *reader)
{
	ResVersion *version = &training->version;
	ResModel	model;

	memset(version, 0, sizeof(*version));
	version->job = training->job.id;
	version->step = rn_read_i64(reader);
	version->validation_loss = rn_read_f64(reader);
	version->validation_bleu = rn_read_f64(reader);
	version->parameters = training->parameters;
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

static void
model_end(ResTraining *training)
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
static void
store_done(ResTraining *training, RnReader *reader)
{
	char		reason[NAME_SIZE];
	Values		values;
	bool		has_model = (training->incoming == RES_MODEL);

	rn_read_string(reader, training->end_state, sizeof(training->end_state));
	rn_read_string(reader, reason, sizeof(reason));
	(void) rn_read_i64(reader);
	(void) rn_read_f64(reader);
	check_end(reader, "done");
	training->done = true;
	if (strcmp(training->end_state, "done") != 0)
		return;
	if (!has_model || training->writer != NULL)
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION), errmsg("engine ended without a model")));
	begin_values(&values, training);
	add_value(&values, INT4OID, Int32GetDatum(training->version.version), false);
	add_string(&values, reason);
	execute("UPDATE residual.job SET state = 'done', phase = NULL, finished = now(), version = $2, reason = $3,"
			" checkpoint_step = NULL WHERE id = $1", &values);
	begin_values(&values, training);
	execute("WITH gone AS (DELETE FROM residual.checkpoint WHERE job = $1) SELECT 1", &values);
	training->incoming = RES_NOTHING;
	res_training_commit();
}

/* ---- all of them ---- */

/* Between the first and the last frame of a checkpoint or model only its parts may come. */
static void
check_place(const ResTraining *training, const RnFrame *frame)
{
	bool		fits;

	if (frame->type == RN_ERROR || frame->type == RN_PART)
		fits = true;
	else if (training->incoming == RES_CHECKPOINT)
		fits = frame->type == RN_CHECKPOINT_END;
	else if (training->incoming == RES_MODEL)
		fits = frame->type == RN_MODEL_END || frame->type == RN_DONE;
	else
		fits = frame->type != RN_CHECKPOINT_END && frame->type != RN_MODEL_END;
	if (!fits)
		res_training_unexpected(frame);
}

void
res_training_store(ResTraining *training, const RnFrame *frame)
{
	RnReader	reader;

	check_place(training, frame);
	rn_reader_init(&reader, frame);
	switch (frame->type)
	{
		case RN_ERROR:
			res_training_raise(frame);
			break;
		case RN_PHASE:
			store_phase(training, &reader);
			break;
		case RN_CORPUS:
			store_corpus(training, &reader);
			break;
		case RN_PROGRESS:
			store_progress(training, &reader);
			break;
		case RN_LOG:
			store_log(training, &reader);
			break;
		case RN_STATISTICS:
			store_statistics(training, &reader);
			break;
		case RN_PART:
			take_part(training, &reader);
			break;
		case RN_CHECKPOINT:
			checkpoint_begin(training, &reader);
			break;
		case RN_CHECKPOINT_END:
			checkpoint_end(training);
			break;
		case RN_MODEL:
			model_begin(training, &reader);
			break;
		case RN_MODEL_END:
			model_end(training);
			break;
		case RN_DONE:
			store_done(training, &reader);
			break;
		default:
			res_training_unexpected(frame);
	}
}
