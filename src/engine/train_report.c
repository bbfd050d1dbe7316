/*
 * train_report.c
 *		Everything that a training job tells.
 *
 * A frame is sent as soon as it is written, so the buffer never holds more
 * than one.
 *
 * src/engine/train_report.c
 */
#include "engine/job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/frames.h"
#include "kernels/device.h"

#define PROGRESS_SECONDS	1.0

/* Close the frame and send it. */
static RnStatus
send_frame(RnContext *ctx, RnJob *job)
{
	RN_TRY(rn_write_end(ctx, &job->out));
	return rn_peer_send(ctx, &job->peer, &job->out);
}

RnStatus
rn_report_hello(RnContext *ctx, RnJob *job)
{
	RN_TRY(rn_write_hello(ctx, &job->out, rn_cpu_kernels()->description()));
	return rn_peer_send(ctx, &job->peer, &job->out);
}

RnStatus
rn_report_phase(RnContext *ctx, RnJob *job, const char *phase)
{
	rn_write_begin(&job->out, RN_PHASE, 0);
	rn_write_string(&job->out, phase);
	return send_frame(ctx, job);
}

static RnStatus
send_note(RnContext *ctx, RnJob *job, const char *note)
{
	rn_write_begin(&job->out, RN_NOTE, 0);
	rn_write_string(&job->out, note);
	return send_frame(ctx, job);
}

RnStatus
rn_report_measured(RnContext *ctx, RnJob *job)
{
	const RnMeasuredBatch *measured = rn_trainer_measured(job->trainer);
	char		note[200];

	if (measured == NULL)
		return RN_OK;
	snprintf(note, sizeof(note), "factors were measured on %d source and %d target tokens of the first batch, digest %016llx%016llx",
			 measured->source_tokens, measured->target_tokens, (unsigned long long) measured->digest[0],
			 (unsigned long long) measured->digest[1]);
	return send_note(ctx, job, note);
}

/* A stack that stays what it was though it was to be folded. */
static RnStatus
report_refused(RnContext *ctx, RnJob *job, const RnFolded *folded)
{
	char		note[100];
	int			s;

	for (s = 0; s < 2; s++)
	{
		if (!folded->refused[s])
			continue;
		snprintf(note, sizeof(note), "factors of the %s were not folded: one is nearly 0", s == 0 ? "encoder" : "decoder");
		RN_TRY(send_note(ctx, job, note));
	}
	return RN_OK;
}

/* Elements of what is sent. */
static uint64_t
elements_left(const RnJob *job, const RnFolded *folded)
{
	const RnParams *params = rn_model_params(job->model);
	uint64_t	elements = 0;
	int			p;

	for (p = 0; p < params->count; p++)
		elements += rn_folded_away(folded, &params->items[p]) ? 0 : rn_param_size(&params->items[p]);
	return elements;
}

/* Rows of both parts, so that a change of either is noticed. */
static void
fingerprint(const RnJob *job, uint64_t digest[2])
{
	uint64_t	held_out[2];

	rn_corpus_fingerprint(job->training, digest);
	rn_corpus_fingerprint(job->held_out, held_out);
	digest[0] += 3 * held_out[0];
	digest[1] += 3 * held_out[1];
}

RnStatus
rn_report_corpus(RnContext *ctx, RnJob *job)
{
	const RnParams *params = rn_model_params(job->model);
	uint64_t	elements = 0;
	uint64_t	digest[2];
	int			p;

	for (p = 0; p < params->count; p++)
		elements += rn_param_size(&params->items[p]);
	fingerprint(job, digest);
	rn_write_begin(&job->out, RN_CORPUS, 0);
	rn_write_u64(&job->out, rn_corpus_pairs(job->training));
	rn_write_u64(&job->out, job->rows_empty);
	rn_write_u64(&job->out, job->rows_long);
	rn_write_u64(&job->out, job->rows_held_out);
	rn_write_u64(&job->out, rn_corpus_target_tokens(job->training));
	rn_write_u64(&job->out, digest[0]);
	rn_write_u64(&job->out, digest[1]);
	rn_write_u32(&job->out, (uint32_t) job->config.vocab_size);
	rn_write_u64(&job->out, elements);
	return send_frame(ctx, job);
}

/* ---- parts ---- */

/* A chunk: begins the frame up to its bytes, which follow with rn_write_bytes. */
static void
begin_part(RnJob *job, const char *name, const RnParam *param, size_t total, size_t offset)
{
	rn_write_begin(&job->out, RN_PART, 0);
	rn_write_string(&job->out, name);
	rn_write_u32(&job->out, param ? (uint32_t) param->ndim : 0);
	if (param != NULL && param->ndim == 2)
		rn_write_u32(&job->out, (uint32_t) param->rows);
	if (param != NULL)
		rn_write_u32(&job->out, (uint32_t) (param->ndim == 2 ? (size_t) param->cols : rn_param_size(param)));
	rn_write_u32(&job->out, param ? RN_DTYPE_FLOAT32 : RN_DTYPE_BYTES);
	rn_write_u64(&job->out, total);
	rn_write_u64(&job->out, offset);
}

static RnStatus
send_blob(RnContext *ctx, RnJob *job, const char *name, const char *bytes, size_t size)
{
	size_t		offset = 0;

	while (offset < size)
	{
		size_t		n = size - offset < RN_CHUNK ? size - offset : RN_CHUNK;

		begin_part(job, name, NULL, size, offset);
		rn_write_bytes(&job->out, bytes + offset, n);
		RN_TRY(send_frame(ctx, job));
		offset += n;
	}
	return RN_OK;
}

RnStatus
rn_report_tokenizer(RnContext *ctx, RnJob *job)
{
	return send_blob(ctx, job, "tokenizer", job->tokenizer_bytes, job->tokenizer_size);
}

static RnStatus
send_trainer_parts(RnContext *ctx, RnJob *job, char *chunk)
{
	int			number;

	for (number = 0; number < rn_trainer_parts(job->trainer); number++)
	{
		size_t		offset = 0;
		RnPart		part;

		rn_trainer_part(job->trainer, number, &part);
		while (offset < part.size)
		{
			size_t		n = part.size - offset < RN_CHUNK ? part.size - offset : RN_CHUNK;

			RN_TRY(rn_trainer_read_part(ctx, job->trainer, &part, offset, chunk, n));
			begin_part(job, part.name, part.param, part.size, offset);
			rn_write_bytes(&job->out, chunk, n);
			RN_TRY(send_frame(ctx, job));
			offset += n;
		}
	}
	return RN_OK;
}

/* A piece of a tensor as it is shown, or out of values when these are there. */
static RnStatus
read_weights(RnContext *ctx, RnJob *job, const RnParam *param, const rn_real *values, size_t offset, char *chunk, size_t n)
{
	size_t		k;

	if (values == NULL)
		return rn_trainer_read_shown(ctx, job->trainer, param, offset, chunk, n);
	for (k = 0; k < n / sizeof(float); k++)
		((float *) chunk)[k] = (float) values[param->offset + offset / sizeof(float) + k];
	return RN_OK;
}

/* values: instead of the trainer's, or NULL. */
static RnStatus
send_weights(RnContext *ctx, RnJob *job, const rn_real *values, const RnFolded *folded, char *chunk)
{
	const RnParams *params = rn_model_params(job->model);
	int			p;

	for (p = 0; p < params->count; p++)
	{
		const RnParam *param = &params->items[p];
		size_t		size = rn_folded_away(folded, param) ? 0 : rn_param_size(param) * sizeof(float);
		size_t		offset = 0;

		while (offset < size)
		{
			size_t		n = size - offset < RN_CHUNK ? size - offset : RN_CHUNK;

			RN_TRY(read_weights(ctx, job, param, values, offset, chunk, n));
			begin_part(job, param->name, param, size, offset);
			rn_write_bytes(&job->out, chunk, n);
			RN_TRY(send_frame(ctx, job));
			offset += n;
		}
	}
	return RN_OK;
}

/* The shown weights with what the scheme allows folded in; *values is to be freed. */
static RnStatus
fold(RnContext *ctx, RnJob *job, char *chunk, rn_real **values, RnConfig *config, RnFolded *folded)
{
	const RnParams *params = rn_model_params(job->model);
	size_t		bytes = params->size * sizeof(rn_real);
	int			p;

	*values = calloc(1, bytes);
	if (*values == NULL)
		return rn_out_of_memory(ctx, bytes);
	for (p = 0; p < params->count && ctx->status == RN_OK; p++)
	{
		const RnParam *param = &params->items[p];
		size_t		size = rn_param_size(param) * sizeof(float);
		size_t		offset;

		for (offset = 0; offset < size; offset += RN_CHUNK)
		{
			size_t		n = size - offset < RN_CHUNK ? size - offset : RN_CHUNK;
			size_t		k;

			if (rn_trainer_read_shown(ctx, job->trainer, param, offset, chunk, n) != RN_OK)
				break;
			for (k = 0; k < n / sizeof(float); k++)
				(*values)[param->offset + offset / sizeof(float) + k] = ((const float *) chunk)[k];
		}
	}
	if (ctx->status == RN_OK)
		rn_model_fold(job->model, *values, config, folded);
	if (folded->stack[0] || folded->stack[1])
		config->fold_omega = config->admin_omega = 0;	/* options of a scheme that is no more */
	return ctx->status;
}

RnStatus
rn_report_checkpoint(RnContext *ctx, RnJob *job)
{
	char		state[RN_JOB_STATE_BYTES];
	char	   *chunk;

	rn_write_begin(&job->out, RN_CHECKPOINT, 0);
	rn_write_i64(&job->out, rn_trainer_steps(job->trainer));
	rn_write_f64(&job->out, rn_batch_reader_epochs(job->reader));
	RN_TRY(send_frame(ctx, job));
	chunk = malloc(RN_CHUNK);
	if (chunk == NULL)
		return rn_out_of_memory(ctx, RN_CHUNK);
	send_trainer_parts(ctx, job, chunk);
	free(chunk);
	if (ctx->status != RN_OK)
		return ctx->status;
	rn_job_write_state(job, state);
	RN_TRY(send_blob(ctx, job, "job", state, sizeof(state)));
	rn_write_begin(&job->out, RN_CHECKPOINT_END, 0);
	return send_frame(ctx, job);
}

RnStatus
rn_report_model(RnContext *ctx, RnJob *job, const RnScores *scores)
{
	RnConfig	config = job->config;
	RnFolded	folded = {{0, 0}, {0, 0}};
	rn_real    *values = NULL;
	char	   *chunk = malloc(RN_CHUNK);

	if (chunk == NULL)
		return rn_out_of_memory(ctx, RN_CHUNK);
	if (config.fold_omega && (fold(ctx, job, chunk, &values, &config, &folded) != RN_OK ||
							  report_refused(ctx, job, &folded) != RN_OK))
	{
		free(values);
		free(chunk);
		return ctx->status;
	}
	rn_write_begin(&job->out, RN_MODEL, 0);
	rn_write_i64(&job->out, rn_trainer_steps(job->trainer));
	rn_write_f64(&job->out, scores->loss);
	rn_write_f64(&job->out, scores->bleu);
	rn_write_u64(&job->out, elements_left(job, &folded));
	rn_write_configuration(&job->out, &config);
	if (send_frame(ctx, job) == RN_OK)
		send_weights(ctx, job, values, &folded, chunk);
	if (ctx->status == RN_OK && job->shortlist != NULL)
		send_blob(ctx, job, "shortlist", (const char *) job->shortlist->words, job->shortlist->size);
	free(values);
	free(chunk);
	if (ctx->status != RN_OK)
		return ctx->status;
	RN_TRY(rn_report_tokenizer(ctx, job));
	rn_write_begin(&job->out, RN_MODEL_END, 0);
	return send_frame(ctx, job);
}

/* ---- how it goes ---- */

RnStatus
rn_report_statistics(RnContext *ctx, RnJob *job, int64_t step, const RnTensorStatistics *statistics)
{
	int			n = rn_model_params(job->model)->count;
	int			i;

	rn_write_begin(&job->out, RN_STATISTICS, 0);
	rn_write_i64(&job->out, step);
	rn_write_u32(&job->out, (uint32_t) n);
	for (i = 0; i < n; i++)
	{
		const RnParam *param = statistics[i].param;

		rn_write_string(&job->out, param->name);
		rn_write_string(&job->out, rn_stack_name(param->stack));
		rn_write_i32(&job->out, param->layer);
		rn_write_string(&job->out, rn_sublayer_name(param->sublayer));
		rn_write_f64(&job->out, statistics[i].parameter_norm);
		rn_write_f64(&job->out, statistics[i].gradient_norm);
		rn_write_f64(&job->out, statistics[i].update_norm);
		rn_write_f64(&job->out, statistics[i].adam_condition);
	}
	return send_frame(ctx, job);
}

RnStatus
rn_report_log(RnContext *ctx, RnJob *job, const RnScores *scores, int best)
{
	const RnJobState *state = &job->state;

	rn_write_begin(&job->out, RN_LOG, 0);
	rn_write_i64(&job->out, rn_trainer_steps(job->trainer));
	rn_write_f64(&job->out, rn_batch_reader_epochs(job->reader));
	rn_write_f64(&job->out, state->loss_tokens > 0 ? state->loss_sum / state->loss_tokens : NAN);
	rn_write_f64(&job->out, state->learning_rate);
	rn_write_f64(&job->out, scores->loss);
	rn_write_f64(&job->out, scores->nll);
	rn_write_f64(&job->out, scores->bleu);
	rn_write_f64(&job->out, rn_job_seconds(job));
	rn_write_u8(&job->out, (uint8_t) best);
	rn_write_u32(&job->out, (uint32_t) rn_corpus_pairs(job->held_out));
	rn_write_u32(&job->out, (uint32_t) job->n_sentences);
	return send_frame(ctx, job);
}

/* Steps of the whole training, as far as a bound tells; 0: unknown. */
static int64_t
total_steps(const RnJob *job)
{
	const RnConfig *config = &job->config;
	int64_t		total = config->max_steps;

	if (config->max_epochs > 0)
	{
		double		per_epoch = (double) rn_corpus_target_tokens(job->training) /
			((double) config->batch_tokens * config->accumulate);
		int64_t		steps = (int64_t) ceil(config->max_epochs * per_epoch);

		if (total == 0 || steps < total)
			total = steps;
	}
	return total;
}

/* By the bound that is met first at the speed of this run; -1: there is none. */
static double
seconds_left(const RnJob *job, const RnProgress *progress, double now)
{
	const RnConfig *config = &job->config;
	int64_t		step = rn_trainer_steps(job->trainer);
	double		epochs = rn_batch_reader_epochs(job->reader);
	double		spent = now - progress->first;
	double		left = INFINITY;

	if (config->max_steps > 0 && step > progress->first_step)
		left = fmin(left, spent * (double) (config->max_steps - step) / (double) (step - progress->first_step));
	if (config->max_epochs > 0 && epochs > progress->first_epochs)
		left = fmin(left, spent * (config->max_epochs - epochs) / (epochs - progress->first_epochs));
	if (config->max_minutes > 0)
		left = fmin(left, 60.0 * config->max_minutes - rn_job_seconds(job));
	return isfinite(left) ? fmax(left, 0) : -1;
}

/* What the system says the process holds; what the trainer knows of, where it does not say. */
static uint64_t
memory_held(const RnJob *job)
{
	FILE	   *file = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	if (file != NULL)
	{
		if (fscanf(file, "%*u %lu", &pages) != 1)
			pages = 0;
		fclose(file);
	}
	return pages > 0 ? (uint64_t) pages * (uint64_t) sysconf(_SC_PAGESIZE) : rn_trainer_memory(job->trainer);
}

int
rn_progress_is_due(const RnProgress *progress)
{
	return rn_job_clock() - progress->last >= PROGRESS_SECONDS;
}

RnStatus
rn_report_progress(RnContext *ctx, RnJob *job, RnProgress *progress)
{
	double		now = rn_job_clock();

	if (progress->tokens == 0)
		return RN_OK;
	rn_write_begin(&job->out, RN_PROGRESS, 0);
	rn_write_i64(&job->out, rn_trainer_steps(job->trainer));
	rn_write_i64(&job->out, total_steps(job));
	rn_write_f64(&job->out, rn_batch_reader_epochs(job->reader));
	rn_write_f64(&job->out, (double) progress->tokens / (now - progress->last));
	rn_write_f64(&job->out, progress->loss_sum / (double) progress->tokens);
	rn_write_f64(&job->out, job->state.learning_rate);
	rn_write_f64(&job->out, progress->gradient_norm);
	rn_write_f64(&job->out, seconds_left(job, progress, now));
	rn_write_u64(&job->out, memory_held(job));
	rn_write_string(&job->out, job->device);
	progress->last = now;
	progress->tokens = 0;
	progress->loss_sum = 0;
	return send_frame(ctx, job);
}

RnStatus
rn_report_done(RnContext *ctx, RnJob *job, const char *state, const char *reason)
{
	rn_write_begin(&job->out, RN_DONE, 0);
	rn_write_string(&job->out, state);
	rn_write_string(&job->out, reason);
	rn_write_i64(&job->out, job->trainer ? rn_trainer_steps(job->trainer) : 0);
	rn_write_f64(&job->out, rn_job_seconds(job));
	return send_frame(ctx, job);
}
