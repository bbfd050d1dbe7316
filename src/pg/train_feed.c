/*
 * train_feed.c
 *		What goes to a training engine: options, what to go on from, all rows.
 *
 * The rows are read once, in one read-only transaction, as the job's owner;
 * the engine keeps them in a spill file, so that neither side's memory grows
 * with the table.  While rows go out, what comes in is looked at: an engine
 * that has met an error says so in the middle of it.
 *
 * src/pg/train_feed.c
 */
#include "training.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/tablespace.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "corpus.h"

#define ROWS_FRAME		(64 * 1024)
#define OUTBOX_LIMIT	(1024 * 1024)
#define GREETING_MS		60000

/* ---- the engine ---- */

/*
 * A file in the server's folder for temporary files, already unlinked.  The
 * server's own handle would be closed and deleted with it, so a descriptor of
 * the same file is kept; its size is the engine's to hold to temp_file_limit.
 */
static int
open_spill(ResTraining *training)
{
	File		file;
	int			fd;

	res_training_begin(training);
	PrepareTempTablespaces();
	file = OpenTemporaryFile(false);
	fd = fcntl(FileGetRawDesc(file), F_DUPFD_CLOEXEC, 10);
	if (fd < 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not duplicate a file descriptor: %m")));
	FileClose(file);
	res_training_commit();
	return fd;
}

int64
res_training_oom_kills(void)
{
	FILE	   *file = AllocateFile("/proc/vmstat", "r");
	char		line[128];
	int64		kills = 0;

	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL)
	{
		if (strncmp(line, "oom_kill ", 9) == 0)
			kills = strtoll(line + 9, NULL, 10);
	}
	FreeFile(file);
	return kills;
}

static void
await_greeting(ResTraining *training)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), GREETING_MS);
	RnFrame		frame;
	uint64		pid;

	while (!res_channel_next(&training->channel, &frame))
	{
		if (training->channel.closed)
			res_training_engine_lost(training);
		if (GetCurrentTimestamp() > deadline)
			ereport(ERROR,
					(errcode(ERRCODE_CONNECTION_FAILURE),
					 errmsg("engine \"%s\" did not greet within %d seconds", res_engine_path, GREETING_MS / 1000)));
		CHECK_FOR_INTERRUPTS();
		res_channel_wait(&training->channel, 1000);
		res_engine_drain(&training->engine);
	}
	if (frame.type == RN_ERROR)
		res_training_raise(&frame);
	res_channel_check_hello(&frame, &pid);
}

static void
start_engine(ResTraining *training)
{
	int			spill;

	res_engine_check_program();
	spill = open_spill(training);
	training->oom_kills = res_training_oom_kills();
	PG_TRY();
	{
		res_engine_start(&training->engine, "train", -1, spill, res_training_nice);
	}
	PG_FINALLY();
	{
		close(spill);
	}
	PG_END_TRY();
	res_channel_init(&training->channel, training->engine.control);
	await_greeting(training);
	res_training_note_engine(training);
}

/* ---- sending ---- */

/* Nothing is written to the catalog here: a read-only transaction may be open. */
static void
listen(ResTraining *training)
{
	RnFrame		frame;

	while (res_channel_next(&training->channel, &frame))
	{
		if (frame.type == RN_ERROR)
			res_training_raise(&frame);
		if (frame.type != RN_PHASE)
			res_training_unexpected(&frame);
	}
	if (training->channel.closed)
		res_training_engine_lost(training);
}

/* Wait until little enough is left in the outbox. */
static void
flush(ResTraining *training, size_t limit)
{
	res_channel_pump(&training->channel);
	listen(training);
	while (res_channel_pending(&training->channel) > limit)
	{
		CHECK_FOR_INTERRUPTS();
		res_channel_wait(&training->channel, 1000);
		res_engine_drain(&training->engine);
		listen(training);
	}
}

static void
send_part(void *arg, const ResChunk *chunk)
{
	ResTraining *training = arg;

	res_chunk_write(&training->channel.out, 0, chunk);
	res_channel_end(&training->channel);
	flush(training, OUTBOX_LIMIT);
}

/* Of a version what training goes on from: a shortlist is made anew. */
static void
send_weights(void *arg, const ResChunk *chunk)
{
	if (chunk->dtype == RN_DTYPE_FLOAT32)
		send_part(arg, chunk);
}

static void
keep_tokenizer(void *arg, const ResChunk *chunk)
{
	ResTraining *training = arg;

	appendBinaryStringInfo(&training->tokenizer, chunk->bytes, chunk->size);
}

static void
send_tokenizer(ResTraining *training)
{
	ResChunk	chunk;

	memset(&chunk, 0, sizeof(chunk));
	chunk.name = RES_TOKENIZER_PART;
	chunk.dtype = RN_DTYPE_BYTES;
	chunk.total = training->tokenizer.len;
	for (chunk.offset = 0; chunk.offset < chunk.total; chunk.offset += chunk.size)
	{
		chunk.bytes = training->tokenizer.data + chunk.offset;
		chunk.size = Min(chunk.total - chunk.offset, RN_CHUNK);
		send_part(training, &chunk);
	}
}

/* ---- what training goes on from ---- */

static bool
has_checkpoint(const ResTraining *training)
{
	static const Oid types[] = {INT8OID, INT8OID};
	ResCatalog	catalog;
	Datum		values[2];
	bool		found;

	values[0] = Int64GetDatum(training->job.id);
	values[1] = Int64GetDatum(training->job.checkpoint_step);
	res_catalog_begin(&catalog, true);
	found = res_execute(&catalog, "SELECT FROM residual.checkpoint WHERE job = $1 AND step = $2 LIMIT 1",
						2, types, values, NULL) > 0;
	res_catalog_end(&catalog);
	return found;
}

/* The version that option "from" names; ERROR when it has gone since the job was accepted. */
static void
find_version(const ResTraining *training, ResModel *model, ResVersion *version)
{
	if (!res_model_find(training->job.model, model) ||
		!res_version_find(model->id, pg_strtoint32(training->config.from), version))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("version %s of model \"%s\", from which training was to go on, has been dropped",
						training->config.from, training->job.model)));
	res_model_check_use(model, training->job.owner);
}

static void
send_train(ResTraining *training, uint8 what_follows)
{
	RnWriter   *out = &training->channel.out;

	rn_write_begin(out, RN_TRAIN, 0);
	rn_write_u64(out, training->job.id);
	res_options_write(out, &training->config);
	rn_write_u64(out, temp_file_limit < 0 ? 0 : (uint64) temp_file_limit * 1024);
	rn_write_u64(out, (uint64) res_training_memory * 1024 * 1024);
	rn_write_u8(out, what_follows);
	res_channel_end(&training->channel);
}

/* Options and all that the engine must have before it sees rows. */
static void
send_beginning(ResTraining *training)
{
	char	   *label = psprintf("job " INT64_FORMAT, training->job.id);
	bool		resumed;
	ResModel	model;
	ResVersion	version;

	res_training_begin(training);
	resumed = has_checkpoint(training);
	(void) res_weights_read(RES_JOB_CHECKPOINT, training->job.id, RES_STEP_SHARED, label, RES_TOKENIZER_PART, keep_tokenizer,
							training);
	training->tokenizer_stored = training->tokenizer.len > 0;
	if (resumed || training->config.from[0] == '\0')
	{
		send_train(training, (training->tokenizer.len > 0 ? RN_TRAIN_TOKENIZER : 0) |
				   (resumed ? RN_TRAIN_CHECKPOINT : 0));
		send_tokenizer(training);
		if (resumed)
			(void) res_weights_read(RES_JOB_CHECKPOINT, training->job.id, training->job.checkpoint_step, label, NULL,
									send_part, training);
	}
	else
	{
		find_version(training, &model, &version);
		resetStringInfo(&training->tokenizer);
		appendBinaryStringInfo(&training->tokenizer, VARDATA_ANY(version.tokenizer),
							   VARSIZE_ANY_EXHDR(version.tokenizer));
		send_train(training, RN_TRAIN_TOKENIZER | RN_TRAIN_WEIGHTS);
		send_tokenizer(training);
		(void) res_weights_read(RES_MODEL_WEIGHTS, model.id, version.version,
								psprintf("model \"%s\" version %d", model.name, version.version), NULL,
								send_weights, training);
	}
	res_training_commit();
}

/* ---- rows ---- */

typedef struct RowsFrame
{
	ResTraining *training;
	uint8		set;
	uint32		rows;			/* in the frame being written */
} RowsFrame;

static void
end_rows(RowsFrame *frame)
{
	RnWriter   *out = &frame->training->channel.out;

	if (frame->rows == 0)
		return;
	/* the count stands before the rows, behind the set */
	if (!out->failed)
		memcpy(out->bytes + out->frame + RN_FRAME_HEAD + 1, &frame->rows, sizeof(frame->rows));
	res_channel_end(&frame->training->channel);
	frame->rows = 0;
	flush(frame->training, OUTBOX_LIMIT);
}

static void
add_row(void *arg, const char *source, Size source_size, const char *target, Size target_size)
{
	RowsFrame  *frame = arg;
	RnWriter   *out = &frame->training->channel.out;

	if (frame->rows == 0)
	{
		rn_write_begin(out, RN_ROWS, 0);
		rn_write_u8(out, frame->set);
		rn_write_u32(out, 0);
	}
	rn_write_bytes(out, source, source_size);	/* the engine counts NULL as empty */
	rn_write_bytes(out, target, target_size);
	frame->rows++;
	if (out->used - out->frame >= ROWS_FRAME)
		end_rows(frame);
}

static void
send_rows(ResTraining *training, uint8 set, const char *table)
{
	RowsFrame	frame;

	frame.training = training;
	frame.set = set;
	frame.rows = 0;
	(void) res_corpus_each(table, training->job.source, training->job.target, 0, add_row, &frame);
	end_rows(&frame);
}

static void
send_corpus(ResTraining *training)
{
	char	   *end;

	res_training_activity(training, "reading");
	res_training_begin(training);
	XactReadOnly = true;
	send_rows(training, 0, training->job.corpus);
	(void) strtod(training->config.validation, &end);
	if (end == training->config.validation || *end != '\0')
		send_rows(training, 1, training->config.validation);
	res_training_commit();
	res_channel_put(&training->channel, RN_ROWS_END);
}

void
res_training_feed(ResTraining *training)
{
	start_engine(training);
	send_beginning(training);
	send_corpus(training);
}
