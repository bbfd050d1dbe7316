/*
 * train_job.c
 *		The training journey of one job, top to bottom.
 *
 * What is to be done next (validate, end, write a checkpoint, step) follows
 * from the state alone, which checkpoints carry, so a resumed run does what
 * an uninterrupted one would have done.
 *
 * src/engine/train_job.c
 */
#include "engine/train_job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "engine/job.h"

#define REASON_LENGTH	120

/* What the main loop remembers but checkpoints need not. */
typedef struct Running
{
	RnProgress	progress;
	RnTensorStatistics *statistics; /* [params] */
	int64_t		saved_step;		/* of the last checkpoint that the peer has; -1: none */
	int64_t		saved_validation;	/* validated_step in it */
	double		validation_seconds; /* of the last one */
} Running;

double
rn_job_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
}

double
rn_job_seconds(const RnJob *job)
{
	return job->state.seconds + rn_job_clock() - job->started;
}

void
rn_job_init(RnJob *job, int control_fd, int spill_fd, volatile sig_atomic_t *stop_flag)
{
	memset(job, 0, sizeof(*job));
	job->stop = stop_flag;
	job->spill.fd = spill_fd;
	job->started = rn_job_clock();
	job->state.validated_step = -1;
	job->state.best_loss = job->state.best_bleu = NAN;
	rn_peer_init(&job->peer, control_fd);
	rn_writer_init(&job->out);
}

void
rn_job_free(RnJob *job)
{
	int			i;

	rn_batch_reader_free(job->reader);
	rn_batch_reader_free(job->held_out_reader);
	rn_corpus_free(job->training);
	rn_corpus_free(job->held_out);
	rn_rows_free(job->rows);
	rn_job_free_translators(job);
	rn_trainer_free(job->trainer);
	rn_leader_free(job->leader);
	rn_model_free(job->model);
	rn_tokenizer_free(job->tokenizer);
	rn_shortlist_free(job->shortlist);
	rn_threads_free(job->threads);
	for (i = 0; i < job->n_sentences; i++)
	{
		free((char *) job->sentences[i].source.bytes);
		free((char *) job->sentences[i].target.bytes);
	}
	free(job->sentences);
	free(job->tokenizer_bytes);
	rn_writer_free(&job->out);
	if (job->control == NULL)
		rn_peer_free(&job->peer);
}

/* ---- steps under way ---- */

/* What the trainer tells of steps. */
static void
note_told(RnJob *job, Running *running, const RnStepResult *result)
{
	RnProgress *progress = &running->progress;

	if (result->told == 0)
		return;
	job->state.loss_sum += result->loss * (double) result->told_tokens;
	job->state.loss_tokens += (double) result->told_tokens;
	progress->loss_sum += result->loss * (double) result->told_tokens;
	progress->tokens += result->told_tokens;
	progress->gradient_norm = result->gradient_norm;
}

/* Wait for them, before anything is kept or told that follows from them. */
static RnStatus
settle(RnContext *ctx, RnJob *job, Running *running)
{
	RnStepResult result;

	RN_TRY(rn_trainer_settle(ctx, job->trainer, &result));
	note_told(job, running, &result);
	return RN_OK;
}

/* ---- validation ---- */

static int
validation_is_due(const RnJob *job)
{
	int64_t		step = rn_trainer_steps(job->trainer);

	if (step == job->state.validated_step)
		return 0;
	if (job->config.validate_every > 0)
		return step > 0 && step % job->config.validate_every == 0;
	return job->state.epoch_ended != 0;
}

/* Note what was found, and keep the weights when they are the best so far. */
static RnStatus
note_validation(RnContext *ctx, RnJob *job, const RnScores *scores)
{
	RnJobState *state = &job->state;
	int			best = rn_job_better(job, scores->loss, scores->bleu, state->best_loss, state->best_bleu);

	RN_TRY(rn_trainer_remember_for_average(ctx, job->trainer));
	if (best)
	{
		RN_TRY(rn_trainer_remember_best(ctx, job->trainer));
		state->best_loss = scores->loss;
		state->best_bleu = scores->bleu;
		state->stale = 0;
	}
	else if (job->held_out_reader != NULL && rn_trainer_steps(job->trainer) > job->config.warmup_steps)
		state->stale++;			/* while the rate still rises a worse value says little */
	RN_TRY(rn_report_log(ctx, job, scores, best));
	state->validated_step = rn_trainer_steps(job->trainer);
	state->epoch_ended = 0;
	state->loss_sum = state->loss_tokens = 0;
	return RN_OK;
}

static RnStatus
validate(RnContext *ctx, RnJob *job, Running *running)
{
	double		started = rn_job_clock();
	RnScores	scores;

	RN_TRY(settle(ctx, job, running));
	RN_TRY(rn_report_phase(ctx, job, "validation"));
	RN_TRY(rn_job_validate(ctx, job, &scores));
	RN_TRY(note_validation(ctx, job, &scores));
	running->validation_seconds = rn_job_clock() - started;
	running->progress.last += running->validation_seconds;
	running->progress.first += running->validation_seconds;
	return rn_report_phase(ctx, job, "training");
}

/* ---- checkpoints ---- */

static int
checkpoint_is_due(const RnJob *job, const Running *running)
{
	int64_t		step = rn_trainer_steps(job->trainer);

	return job->config.checkpoint_every > 0 && step > 0 && step % job->config.checkpoint_every == 0 &&
		step != running->saved_step;
}

static RnStatus
save(RnContext *ctx, RnJob *job, Running *running)
{
	RN_TRY(settle(ctx, job, running));
	RN_TRY(rn_report_checkpoint(ctx, job));
	running->saved_step = rn_trainer_steps(job->trainer);
	running->saved_validation = job->state.validated_step;
	return RN_OK;
}

/* ---- steps ---- */

static RnStatus
report_progress(RnContext *ctx, RnJob *job, Running *running)
{
	RN_TRY(settle(ctx, job, running));
	return rn_report_progress(ctx, job, &running->progress);
}

static RnStatus
step(RnContext *ctx, RnJob *job, Running *running)
{
	int64_t		every = job->config.stats_every;
	int			wanted = every > 0 && (rn_trainer_steps(job->trainer) + 1) % every == 0;
	RnStepResult result;

	RN_TRY(rn_leader_step(ctx, job->leader, RN_RANK_UPDATE));
	RN_TRY(rn_trainer_step(ctx, job->trainer, job->reader, &result, wanted ? running->statistics : NULL));
	job->state.epoch_ended |= result.epoch_end;
	job->state.learning_rate = result.learning_rate;
	note_told(job, running, &result);
	if (wanted)
		RN_TRY(rn_report_statistics(ctx, job, result.step, running->statistics));
	return rn_progress_is_due(&running->progress) ? report_progress(ctx, job, running) : RN_OK;
}

/* The bound that is met, or NULL. */
static const char *
bound_met(const RnJob *job, const Running *running)
{
	const RnConfig *config = &job->config;

	if (config->max_steps > 0 && rn_trainer_steps(job->trainer) >= config->max_steps)
		return "max_steps";
	if (config->max_epochs > 0 && rn_batch_reader_epochs(job->reader) >= config->max_epochs)
		return "max_epochs";
	if (config->patience > 0 && job->state.stale >= config->patience)
		return "patience";

	/* the last validation belongs to the time allowed */
	if (config->max_minutes > 0 && rn_job_seconds(job) + running->validation_seconds >= 60.0 * config->max_minutes &&
		rn_trainer_steps(job->trainer) > 0)
		return "max_minutes";
	return NULL;
}

static RnStatus
first_statistics(RnContext *ctx, RnJob *job, Running *running)
{
	RnStepResult result;

	if (rn_trainer_steps(job->trainer) > 0)
		return RN_OK;
	RN_TRY(rn_leader_step(ctx, job->leader, RN_RANK_PROBE));
	RN_TRY(rn_trainer_probe(ctx, job->trainer, job->reader, &result, running->statistics));
	RN_TRY(rn_report_measured(ctx, job));
	return rn_report_statistics(ctx, job, 0, running->statistics);
}

/* Until a bound is met: *reason says which. */
static RnStatus
train(RnContext *ctx, RnJob *job, Running *running, const char **reason)
{
	RN_TRY(rn_report_phase(ctx, job, "training"));
	RN_TRY(first_statistics(ctx, job, running));
	running->progress.last = running->progress.first = rn_job_clock();
	running->progress.first_step = rn_trainer_steps(job->trainer);
	running->progress.first_epochs = rn_batch_reader_epochs(job->reader);
	for (;;)
	{
		if (*job->stop)
			return rn_fail(ctx, RN_CANCELLED, "training was stopped");
		if (validation_is_due(job))
			RN_TRY(validate(ctx, job, running));
		*reason = bound_met(job, running);
		if (*reason != NULL)
			break;
		if (checkpoint_is_due(job, running))
		{
			RN_TRY(rn_leader_compare(ctx, job->leader, job->trainer));
			RN_TRY(save(ctx, job, running));
		}
		RN_TRY(step(ctx, job, running));
	}
	RN_TRY(report_progress(ctx, job, running));
	RN_TRY(rn_leader_compare(ctx, job->leader, job->trainer));
	if (job->state.validated_step != rn_trainer_steps(job->trainer))
		RN_TRY(validate(ctx, job, running));
	return RN_OK;
}

/* ---- the end ---- */

/*
 * Which weights become the model: the best, or the mean of the last ones if
 * that validates better; without anything held out, the mean if one was asked
 * for, or the last.
 */
static RnStatus
choose_weights(RnContext *ctx, RnJob *job, RnScores *scores, char *reason)
{
	int			averaged = rn_trainer_averaged(job->trainer);
	size_t		used = strlen(reason);

	scores->loss = job->state.best_loss;
	scores->bleu = job->state.best_bleu;
	if (averaged > 1)
	{
		RnScores	mean;

		RN_TRY(rn_report_phase(ctx, job, "averaging"));
		RN_TRY(rn_trainer_show(ctx, job->trainer, RN_SHOW_AVERAGE));
		RN_TRY(rn_job_validate(ctx, job, &mean));
		if (!rn_trainer_has_best(job->trainer) ||
			rn_job_better(job, mean.loss, mean.bleu, scores->loss, scores->bleu))
		{
			*scores = mean;
			snprintf(reason + used, REASON_LENGTH - used, "; average of the last %d checkpoints", averaged);
			return RN_OK;
		}
		snprintf(reason + used, REASON_LENGTH - used, "; the best checkpoint is better than the average of the last %d",
				 averaged);
	}
	return rn_trainer_show(ctx, job->trainer, rn_trainer_has_best(job->trainer) ? RN_SHOW_BEST : RN_SHOW_PRESENT);
}

static RnStatus
finish(RnContext *ctx, RnJob *job, const char *bound)
{
	char		reason[REASON_LENGTH];
	RnScores	scores;

	snprintf(reason, sizeof(reason), "%s", bound);
	RN_TRY(choose_weights(ctx, job, &scores, reason));
	RN_TRY(rn_job_make_shortlist(ctx, job));
	RN_TRY(rn_report_model(ctx, job, &scores));
	return rn_report_done(ctx, job, "done", reason);
}

/* A stop: what is new goes into a last checkpoint.  Not before anything has been learned. */
static RnStatus
stop(RnContext *ctx, RnJob *job, Running *running)
{
	rn_context_reset(ctx);
	RN_TRY(rn_control_check(ctx, job->control));
	if (job->reader != NULL && rn_trainer_steps(job->trainer) > 0 &&
		(running->saved_step != rn_trainer_steps(job->trainer) ||
		 running->saved_validation != job->state.validated_step))
		RN_TRY(save(ctx, job, running));
	return rn_report_done(ctx, job, "stopped", "stop");
}

/* ---- the whole ---- */

/* What learning a tokenizer and sorting have freed goes back to the system. */
static void
return_memory(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

/* From rows to readers, with a model to train. */
static RnStatus
prepare(RnContext *ctx, RnJob *job)
{
	RnDataPosition position;

	RN_TRY(rn_job_learn_tokenizer(ctx, job));
	RN_TRY(rn_job_make_model(ctx, job));
	RN_TRY(rn_job_encode_rows(ctx, job));
	RN_TRY(rn_job_open_corpora(ctx, job));
	return_memory();
	RN_TRY(rn_job_reserve(ctx, job));
	if (!(job->follows & (RN_TRAIN_WEIGHTS | RN_TRAIN_CHECKPOINT)))
		RN_TRY(rn_trainer_initialize(ctx, job->trainer));
	RN_TRY(rn_leader_make_model(ctx, job->leader, &job->config));
	rn_trainer_position(job->trainer, &position);
	rn_batch_reader_seek(job->reader, &position);

	/* max_epochs and the time left look at the part of an epoch, too */
	RN_TRY(rn_batch_reader_load(ctx, job->reader));
	RN_TRY(rn_report_corpus(ctx, job));
	return job->learned ? rn_report_tokenizer(ctx, job) : RN_OK;
}

static RnStatus
run(RnContext *ctx, RnJob *job)
{
	const char *reason = NULL;
	Running		running;
	RnStatus	status;

	memset(&running, 0, sizeof(running));
	running.saved_step = running.saved_validation = -1;
	if (job->follows & RN_TRAIN_CHECKPOINT)
	{
		running.saved_step = rn_trainer_steps(job->trainer);
		running.saved_validation = job->state.validated_step;
	}
	status = prepare(ctx, job);
	if (status == RN_OK)
	{
		running.statistics = calloc((size_t) rn_model_params(job->model)->count, sizeof(RnTensorStatistics));
		status = running.statistics ? train(ctx, job, &running, &reason) : rn_out_of_memory(ctx, 0);
	}
	if (status == RN_OK)
		status = finish(ctx, job, reason);
	if (status == RN_CANCELLED)
		status = stop(ctx, job, &running);
	free(running.statistics);
	return status;
}

int
rn_train(int control_fd, int spill_fd, volatile sig_atomic_t *stop_flag)
{
	RnContext	ctx;
	RnJob		job;

	rn_context_reset(&ctx);
	rn_job_init(&job, control_fd, spill_fd, stop_flag);
	if (rn_job_receive(&ctx, &job) == RN_OK && rn_control_start(&ctx, &job.peer, stop_flag, &job.control) == RN_OK)
		run(&ctx, &job);
	else if (ctx.status == RN_CANCELLED)
	{
		rn_context_reset(&ctx);
		rn_report_done(&ctx, &job, "stopped", "stop");
	}
	if (ctx.status != RN_OK)
		rn_peer_send_error(&job.peer, 0, &ctx);

	/* the control thread, where there is one, ends the process when the peer has read all */
	if (job.control == NULL)
		rn_peer_await_end(&job.peer);
	rn_job_free(&job);
	while (job.control != NULL)
		pause();
	return 0;
}
