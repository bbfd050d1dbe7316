/*
 * train_store.c
 *		What comes back from a training engine, into the catalog.
 *
 * Each report is a transaction of its own; what comes in many frames, a
 * checkpoint or the model, is train_weights.c's.
 *
 * src/pg/train_store.c
 */
#include "train_statement.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/guc.h"

#include "encoding.h"

/* A note beside what is there; NULL, or one that is there already, adds nothing. */
#define ADD_NOTE(note) \
	"CASE WHEN position(COALESCE(" note ", '') IN COALESCE(job.note, '')) > 0 THEN job.note" \
	" ELSE concat_ws('; ', job.note, " note ") END"

/* ---- reading frames ---- */

void
res_training_check_end(const RnReader *reader, const char *what)
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
	res_training_check_end(&reader, "error");
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
	ResStatement statement;

	res_statement_begin(&statement, training);
	res_statement_integer(&statement, training->engine.pid);
	res_statement_report(training, "UPDATE residual.job SET engine_pid = $2 WHERE id = $1", &statement);
}

static void
store_phase(ResTraining *training, RnReader *reader)
{
	char		phase[RES_NAME_SIZE];
	ResStatement statement;

	rn_read_string(reader, phase, sizeof(phase));
	res_training_check_end(reader, "phase");
	res_statement_begin(&statement, training);
	res_training_begin_report(training);
	res_statement_string(&statement, phase);
	res_statement_execute("UPDATE residual.job SET phase = $2 WHERE id = $1", &statement);
	res_training_commit();
	res_training_activity(training, strcmp(phase, "training") == 0 ? NULL : phase);
}

/* Beside what is there; a run that was taken up again may tell the same. */
static void
store_note(ResTraining *training, RnReader *reader)
{
	char		note[512];
	ResStatement statement;

	rn_read_string(reader, note, sizeof(note));
	res_training_check_end(reader, "note");
	res_statement_begin(&statement, training);
	res_training_begin_report(training);
	res_statement_string(&statement, note);
	res_statement_execute("UPDATE residual.job SET note = " ADD_NOTE("$2") " WHERE id = $1", &statement);
	res_training_commit();
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
	ResStatement statement;

	(void) rn_read_u64(reader); /* target tokens */
	digest[0] = rn_read_u64(reader);
	digest[1] = rn_read_u64(reader);
	(void) rn_read_u32(reader); /* vocabulary: comes with the model */
	(void) rn_read_u64(reader); /* parameters: likewise */
	res_training_check_end(reader, "corpus");
	snprintf(fingerprint, sizeof(fingerprint), "%016llx%016llx",
			 (unsigned long long) digest[0], (unsigned long long) digest[1]);

	res_statement_begin(&statement, training);
	res_statement_integer(&statement, pairs);
	res_statement_integer(&statement, rows_empty);
	res_statement_integer(&statement, rows_long);
	res_statement_integer(&statement, held_out);
	res_training_begin_report(training);
	res_statement_string(&statement, fingerprint);
	res_statement_string(&statement, corpus_note(training, fingerprint, held_out));
	res_statement_execute("UPDATE residual.job SET pairs = $2, rows_empty = $3, rows_long = $4, held_out = $5,"
						  " fingerprint = $6, note = " ADD_NOTE("$7") " WHERE id = $1", &statement);
	res_training_commit();
}

static void
store_progress(ResTraining *training, RnReader *reader)
{
	char		device[RES_NAME_SIZE];
	ResStatement statement;
	double		seconds_left;
	int			i;

	res_statement_begin(&statement, training);
	training->step = rn_read_i64(reader);
	training->total_steps = rn_read_i64(reader);
	res_statement_integer(&statement, training->step);
	res_statement_value(&statement, INT8OID, Int64GetDatum(training->total_steps), training->total_steps == 0);
	for (i = 0; i < 5; i++)		/* epoch, tokens/s, loss, learning rate, gradient norm */
		res_statement_number(&statement, rn_read_f64(reader));
	seconds_left = rn_read_f64(reader);
	res_statement_number(&statement, seconds_left < 0 ? NAN : seconds_left);
	res_statement_integer(&statement, rn_read_u64(reader));
	rn_read_string(reader, device, sizeof(device));
	res_training_check_end(reader, "progress");
	res_training_begin_report(training);
	res_statement_string(&statement, device);
	res_statement_execute(
		  "INSERT INTO residual.progress AS p (job, at, step, total_steps, epoch, tokens_per_second, loss,"
		  " learning_rate, gradient_norm, seconds_left, memory, device)"
		  " SELECT id, clock_timestamp(), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 FROM residual.job WHERE id = $1"
		  " ON CONFLICT (job) DO UPDATE SET (at, step, total_steps, epoch, tokens_per_second, loss, learning_rate,"
		  " gradient_norm, seconds_left, memory, device) = (EXCLUDED.at, EXCLUDED.step, EXCLUDED.total_steps, EXCLUDED.epoch,"
		  " EXCLUDED.tokens_per_second, EXCLUDED.loss, EXCLUDED.learning_rate, EXCLUDED.gradient_norm,"
		  " EXCLUDED.seconds_left, EXCLUDED.memory, EXCLUDED.device)", &statement);
	res_training_commit();
	res_training_activity(training, NULL);
}

/* A step that a resumed run repeats overwrites what the run before it wrote. */
static void
store_log(ResTraining *training, RnReader *reader)
{
	ResStatement statement;
	int			i;

	res_statement_begin(&statement, training);
	res_statement_integer(&statement, rn_read_i64(reader));
	for (i = 0; i < 7; i++)		/* epoch, loss, learning rate, validation loss, nll, BLEU, seconds */
		res_statement_number(&statement, rn_read_f64(reader));
	res_statement_value(&statement, BOOLOID, BoolGetDatum(rn_read_u8(reader) != 0), false);
	res_statement_integer(&statement, rn_read_u32(reader));
	res_statement_integer(&statement, rn_read_u32(reader));
	res_training_check_end(reader, "log");
	res_statement_report(training,
		  "INSERT INTO residual.training_log (job, step, epoch, loss, learning_rate, validation_loss,"
		  " validation_nll, validation_bleu, seconds, best, validation_pairs, bleu_sentences)"
		  " SELECT id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 FROM residual.job WHERE id = $1"
		  " ON CONFLICT (job, step) DO UPDATE SET (at, epoch, loss, learning_rate, validation_loss,"
		  " validation_nll, validation_bleu, seconds, best, validation_pairs, bleu_sentences) ="
		  " (EXCLUDED.at, EXCLUDED.epoch, EXCLUDED.loss, EXCLUDED.learning_rate, EXCLUDED.validation_loss,"
		  " EXCLUDED.validation_nll, EXCLUDED.validation_bleu, EXCLUDED.seconds, EXCLUDED.best,"
		  " EXCLUDED.validation_pairs, EXCLUDED.bleu_sentences)", &statement);
}

static void
store_tensor(const ResTraining *training, int64 step, RnReader *reader)
{
	char		name[RES_NAME_SIZE];
	ResStatement statement;
	int32		layer;
	int			i;

	res_statement_begin(&statement, training);
	res_statement_integer(&statement, step);
	rn_read_string(reader, name, sizeof(name));
	res_statement_string(&statement, name);
	rn_read_string(reader, name, sizeof(name));
	res_statement_string(&statement, name);
	layer = rn_read_i32(reader);
	res_statement_value(&statement, INT4OID, Int32GetDatum(layer), layer < 0);
	rn_read_string(reader, name, sizeof(name));
	res_statement_string(&statement, name);
	for (i = 0; i < 4; i++)		/* norms of parameter, gradient and update, Adam's condition */
		res_statement_number(&statement, rn_read_f64(reader));
	res_statement_execute("INSERT INTO residual.gradient_stats (job, step, tensor, stack, layer, sublayer, parameter_norm,"
						  " gradient_norm, update_norm, adam_condition)"
						  " SELECT id, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM residual.job WHERE id = $1"
						  " ON CONFLICT (job, step, tensor) DO UPDATE SET (parameter_norm, gradient_norm, update_norm,"
						  " adam_condition) = (EXCLUDED.parameter_norm, EXCLUDED.gradient_norm, EXCLUDED.update_norm,"
						  " EXCLUDED.adam_condition)", &statement);
}

static void
store_statistics(ResTraining *training, RnReader *reader)
{
	int64		step = rn_read_i64(reader);
	uint32		n = rn_read_count(reader, 3 * sizeof(uint32));

	res_training_begin_report(training);
	while (n-- > 0 && !reader->failed)
		store_tensor(training, step, reader);
	res_training_check_end(reader, "statistics");
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
		case RN_NOTE:
			store_note(training, &reader);
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
			res_training_take_part(training, &reader);
			break;
		case RN_CHECKPOINT:
			res_training_checkpoint_begin(training, &reader);
			break;
		case RN_CHECKPOINT_END:
			res_training_checkpoint_end(training);
			break;
		case RN_MODEL:
			res_training_model_begin(training, &reader);
			break;
		case RN_MODEL_END:
			res_training_model_end(training);
			break;
		case RN_DONE:
			res_training_finish(training, &reader);
			break;
		default:
			res_training_unexpected(frame);
	}
}
