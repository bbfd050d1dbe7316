/*
 * train_intake.c
 *		What a training job is given: options, weights or a checkpoint, rows.
 *
 * src/engine/train_intake.c
 */
#include "engine/frames.h"
#include "engine/job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/device.h"

#define TOKENIZER_MOST	(256u * 1024 * 1024)	/* bytes; more is no tokenizer of ours */

static RnStatus
unexpected(RnContext *ctx, const RnFrame *frame)
{
	return rn_fail(ctx, RN_CORRUPT, "received an unexpected message of type %u before training", frame->type);
}

/* ---- the model ---- */

static RnStatus
start_threads(RnContext *ctx, RnJob *job)
{
	if (job->config.threads == 0)
	{
		long		n = sysconf(_SC_NPROCESSORS_ONLN);

		job->config.threads = n < 1 ? 1 : n > 64 ? 64 : (int) n;
	}
	if (job->kernels->lanes > 0 && job->config.threads > job->kernels->lanes)
		job->config.threads = job->kernels->lanes;
	return rn_threads_create(ctx, job->config.threads, &job->threads);
}

RnStatus
rn_job_make_model(RnContext *ctx, RnJob *job)
{
	static const RnSpecialIds special = {RN_PAD_ID, RN_START_ID, RN_END_ID};
	RnTrainerOptions options;

	if (job->trainer != NULL)
		return RN_OK;
	if (job->tokenizer_size == 0 || job->tokenizer_size < job->tokenizer_total)
		return rn_fail(ctx, RN_MISMATCH, "weights came without their tokenizer");
	RN_TRY(rn_tokenizer_load(ctx, job->tokenizer_bytes, job->tokenizer_size, &job->tokenizer));
	job->config.vocab_size = rn_tokenizer_vocab_size(job->tokenizer);
	RN_TRY(rn_model_create(ctx, &job->config, &special, job->config.max_length, &job->model));
	memset(&options, 0, sizeof(options));
	options.model = job->model;
	options.config = &job->config;
	options.kernels = job->kernels;
	options.threads = job->threads;
	options.spill = &job->spill;
	options.memory_limit = job->memory_limit;
	options.ranks = rn_leader_ranks(job->leader);
	options.stop = job->stop;
	return rn_trainer_create(ctx, &options, &job->trainer);
}

/* ---- state of the job ---- */

#define STATE_MAGIC		UINT64_C(0x0001424F4A4E52)	/* "RNJOB", version 1 */

void
rn_job_write_state(const RnJob *job, char bytes[RN_JOB_STATE_BYTES])
{
	RnJobState	state = job->state;
	uint64_t	magic = STATE_MAGIC;

	state.seconds = rn_job_seconds(job);
	memcpy(bytes, &magic, sizeof(magic));
	memcpy(bytes + sizeof(magic), &state, sizeof(state));
}

RnStatus
rn_job_read_state(RnContext *ctx, RnJob *job)
{
	uint64_t	magic;

	if (job->state_size != RN_JOB_STATE_BYTES)
		return rn_fail(ctx, RN_CORRUPT, "part \"job\" of the checkpoint is missing");
	memcpy(&magic, job->state_bytes, sizeof(magic));
	if (magic != STATE_MAGIC)
	{
		rn_fail(ctx, RN_MISMATCH, "part \"job\" of the checkpoint was written by another version");
		rn_hint(ctx, "Train anew.");
		return ctx->status;
	}
	memcpy(&job->state, job->state_bytes + sizeof(magic), sizeof(job->state));
	if (!(job->state.seconds >= 0) || isinf(job->state.seconds) || job->state.stale < 0)
		return rn_fail(ctx, RN_CORRUPT, "part \"job\" of the checkpoint is damaged");
	return RN_OK;
}

/* ---- frames ---- */

static void
name_device(RnJob *job)
{
	int			number = 0;

	if (job->kernels->host_memory)
		snprintf(job->device, sizeof(job->device), "cpu");
	else if (rn_device_numbers(job->config.device, 1, &number) > 1)
		snprintf(job->device, sizeof(job->device), "%s", job->config.device);
	else
		snprintf(job->device, sizeof(job->device), "cuda:%d", number);
}

/* Who left the choice to us is told when it was not a GPU. */
static RnStatus
open_device(RnContext *ctx, RnJob *job)
{
	RnContext	refusal;

	RN_TRY(rn_device_choose(ctx, job->config.device, job->config.precision, &job->kernels, &refusal));
	if (refusal.status != RN_OK)
		fprintf(stderr, "training on the CPU: %s. %s\n", refusal.message, refusal.detail);
	name_device(job);
	return RN_OK;
}

static RnStatus
take_train(RnContext *ctx, RnJob *job, const RnFrame *frame)
{
	uint64_t	spill_limit;
	RnReader	reader;

	rn_reader_init(&reader, frame);
	job->id = rn_read_u64(&reader);
	rn_config_defaults(&job->config);
	RN_TRY(rn_take_pairs(ctx, &reader, rn_take_option, &job->config));
	spill_limit = rn_read_u64(&reader);
	job->memory_limit = (size_t) rn_read_u64(&reader);
	job->follows = rn_read_u8(&reader);
	RN_TRY(rn_reader_end(ctx, &reader, "training"));
	if (job->follows & RN_TRAIN_WEIGHTS && job->follows & RN_TRAIN_CHECKPOINT)
		return rn_fail(ctx, RN_INVALID, "training goes on from weights or from a checkpoint, not from both");
	RN_TRY(rn_config_check(ctx, &job->config));
	RN_TRY(open_device(ctx, job));
	RN_TRY(rn_leader_start(ctx, &job->config, job->stop, &job->leader));
	rn_spill_init(&job->spill, job->spill.fd, spill_limit);
	RN_TRY(start_threads(ctx, job));
	return rn_rows_create(ctx, &job->spill, &job->rows);
}

static RnStatus
take_tokenizer(RnContext *ctx, RnJob *job, uint64_t total, uint64_t offset, const char *bytes, size_t size)
{
	if (!(job->follows & RN_TRAIN_TOKENIZER) || job->trainer != NULL)
		return rn_fail(ctx, RN_CORRUPT, "received a tokenizer that was not announced");
	if (total > TOKENIZER_MOST || offset != job->tokenizer_size || size > total - offset ||
		(offset > 0 && total != job->tokenizer_total))
		return rn_fail(ctx, RN_CORRUPT, "received a malformed tokenizer");
	if (job->tokenizer_bytes == NULL)
	{
		job->tokenizer_bytes = malloc((size_t) total + 1);
		if (job->tokenizer_bytes == NULL)
			return rn_out_of_memory(ctx, total);
		job->tokenizer_total = (size_t) total;
	}
	memcpy(job->tokenizer_bytes + offset, bytes, size);
	job->tokenizer_size += size;
	return RN_OK;
}

static RnStatus
take_state(RnContext *ctx, RnJob *job, uint64_t total, uint64_t offset, const char *bytes, size_t size)
{
	if (total != RN_JOB_STATE_BYTES || offset != job->state_size || size > total - offset)
		return rn_fail(ctx, RN_MISMATCH, "part \"job\" of the checkpoint was written by another version");
	memcpy(job->state_bytes + offset, bytes, size);
	job->state_size += size;
	return RN_OK;
}

/* A chunk of weights or of a checkpoint; the trainer knows what fits. */
static RnStatus
take_tensor(RnContext *ctx, RnJob *job, const char *name, uint64_t total, uint64_t offset, const char *bytes,
			size_t size)
{
	char		prefixed[RN_PARAM_NAME_LENGTH + 16];

	if (!(job->follows & (RN_TRAIN_WEIGHTS | RN_TRAIN_CHECKPOINT)))
		return rn_fail(ctx, RN_CORRUPT, "received part \"%s\", which was not announced", name);
	RN_TRY(rn_job_make_model(ctx, job));
	if (job->follows & RN_TRAIN_CHECKPOINT)
		return rn_trainer_set_part(ctx, job->trainer, name, (size_t) total, (size_t) offset, bytes, size);
	strcpy(prefixed, "w:");
	strncat(prefixed, name, sizeof(prefixed) - 3);
	return rn_trainer_set_part(ctx, job->trainer, prefixed, (size_t) total, (size_t) offset, bytes, size);
}

static RnStatus
take_part(RnContext *ctx, RnJob *job, const RnFrame *frame)
{
	char		name[RN_PARAM_NAME_LENGTH + 8];
	RnReader	reader;
	uint32_t	n_dims;
	uint32_t	dtype;
	uint64_t	total,
				offset;
	const char *bytes;
	size_t		size;

	rn_reader_init(&reader, frame);
	rn_read_string(&reader, name, sizeof(name));
	n_dims = rn_read_count(&reader, sizeof(uint32_t));
	while (n_dims-- > 0)
		rn_read_u32(&reader);
	dtype = rn_read_u32(&reader);
	total = rn_read_u64(&reader);
	offset = rn_read_u64(&reader);
	bytes = rn_read_bytes(&reader, &size);
	RN_TRY(rn_reader_end(ctx, &reader, "part"));
	if (dtype != RN_DTYPE_FLOAT32 && dtype != RN_DTYPE_BYTES)
		return rn_fail(ctx, RN_MISMATCH, "part \"%s\" has an unknown type of numbers, %u", name, dtype);
	if (offset > total || size > total - offset)
		return rn_fail(ctx, RN_CORRUPT, "received a malformed part \"%s\"", name);
	if (strcmp(name, "tokenizer") == 0)
		return take_tokenizer(ctx, job, total, offset, bytes, size);
	if (strcmp(name, "job") == 0)
		return take_state(ctx, job, total, offset, bytes, size);
	return take_tensor(ctx, job, name, total, offset, bytes, size);
}

/* RnRowSink */
static RnStatus
take_row(RnContext *ctx, void *arg, int set, RnText source, RnText target)
{
	RnJob	   *job = arg;

	if (source.size > 0 && target.size > 0)
		return rn_rows_add(ctx, job->rows, set, source, target);
	job->rows_empty++;
	return RN_OK;
}

/* All has come: does it belong together? */
static RnStatus
complete(RnContext *ctx, RnJob *job)
{
	if (job->follows & RN_TRAIN_TOKENIZER && (job->tokenizer_size == 0 || job->tokenizer_size < job->tokenizer_total))
		return rn_fail(ctx, RN_CORRUPT, "tokenizer is incomplete");
	if (job->follows & (RN_TRAIN_WEIGHTS | RN_TRAIN_CHECKPOINT))
		RN_TRY(rn_job_make_model(ctx, job));
	if (job->follows & RN_TRAIN_WEIGHTS)
		RN_TRY(rn_trainer_weights_set(ctx, job->trainer));
	if (job->follows & RN_TRAIN_CHECKPOINT)
	{
		RN_TRY(rn_trainer_restored(ctx, job->trainer));
		RN_TRY(rn_job_read_state(ctx, job));
	}
	return rn_rows_finish(ctx, job->rows);
}

static RnStatus
answer_ping(RnContext *ctx, RnJob *job, uint64_t id)
{
	RN_TRY(rn_write_empty(ctx, &job->out, RN_PONG, id));
	return rn_peer_send(ctx, &job->peer, &job->out);
}

static RnStatus
take_frame(RnContext *ctx, RnJob *job, const RnFrame *frame)
{
	if (frame->type == RN_PING)
		return answer_ping(ctx, job, frame->id);
	if (frame->type == RN_STOP)
	{
		*job->stop = 1;
		return RN_OK;
	}
	if ((frame->type == RN_TRAIN) != (job->rows == NULL))
		return unexpected(ctx, frame);
	switch (frame->type)
	{
		case RN_TRAIN:
			return take_train(ctx, job, frame);
		case RN_PART:
			return take_part(ctx, job, frame);
		case RN_ROWS:
			return rn_take_rows(ctx, frame, take_row, job);
		case RN_ROWS_END:
			return complete(ctx, job);
		default:
			return unexpected(ctx, frame);
	}
}

RnStatus
rn_job_receive(RnContext *ctx, RnJob *job)
{
	RnFrame		frame;
	int			got = 0;

	RN_TRY(rn_report_hello(ctx, job));
	for (;;)
	{
		RN_TRY(rn_peer_receive(ctx, &job->peer, -1, &frame, &got));
		if (got)
			RN_TRY(take_frame(ctx, job, &frame));
		if (*job->stop)
			return rn_fail(ctx, RN_CANCELLED, "training was stopped");
		if (got && frame.type == RN_ROWS_END)
			return RN_OK;
	}
}
