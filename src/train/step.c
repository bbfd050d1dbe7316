/*
 * step.c
 *		One training step over the shards of a batch.
 *
 * A step is three rounds of the threads: forward and backward over the
 * shards, the sum of the gradients, the update.  A batch is cut into more
 * shards than there are threads, so that activations take less memory; masks
 * are named by rows of the whole batch and do not depend on the cut.  Threads
 * add to one gradient of the large matrices, in the order of the shards; of
 * the rest, which several operations of a pass may use, each has its own.
 *
 * src/train/step.c
 */
#include "base/digest.h"
#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/schedule.h"
#include "train/statistics.h"
#include "train/trainer_state.h"

#define GOOD_STEPS		2000	/* before twice the scale of the losses is tried */
#define MEASURED_TOKENS 4096	/* of the batch that a scheme measures before training */

/* ---- rounds of the threads ---- */

/* What a round works on. */
typedef struct Round
{
	RnTrainer  *trainer;
	const RnBatch *batch;
	int			shards;			/* of the batch for this process, a multiple of the threads */
	int			rank;			/* it has every ranks-th shard of the batch, from this one on */
	int			ranks;
	int			backward;
	double		gradient_scale; /* of the losses */
	const rn_real *values;
	RnUpdate	update;
	RnTally    *tallies;		/* [pieces], or NULL */
} Round;

/* Run a round and hand on what went wrong in one of the threads. */
static RnStatus
run_round(RnContext *ctx, Round *round, RnThreadWork work)
{
	RnTrainer  *trainer = round->trainer;
	int			i;

	for (i = 0; i < trainer->n_workers; i++)
		rn_context_reset(&trainer->workers[i].ctx);
	rn_threads_run(trainer->options.threads, work, round);
	for (i = 0; i < trainer->n_workers; i++)
	{
		const RnContext *failed = &trainer->workers[i].ctx;

		/* threads that gave up because of another one's failure say that they were stopped */
		if (failed->status != RN_OK && (ctx->status == RN_OK || ctx->status == RN_CANCELLED))
			*ctx = *failed;
	}
	return ctx->status;
}

static RnStatus
explain_limit(RnContext *ctx, const RnTrainer *trainer, const RnTrainerWorker *worker)
{
	size_t		pass = rn_graph_memory(worker->graph);
	size_t		most = trainer->options.memory_limit;

	if (ctx->status != RN_NO_MEMORY || most == 0 ||
		pass * (size_t) trainer->n_workers + rn_trainer_fixed_memory(trainer->params, trainer->n_workers) < most)
		return ctx->status;
	rn_context_reset(ctx);
	rn_fail(ctx, RN_LIMIT, "training this model needs more memory than is allowed");
	rn_detail(ctx, "The activations of a part of a batch take %zu kB on each of %d threads; %zu kB are allowed in all.",
			  pass >> 10, trainer->n_workers, most >> 10);
	rn_hint(ctx, "Allow more memory, or lower threads, d_model, d_ffn, encoder_layers, decoder_layers or max_length.");
	return ctx->status;
}

/* Forward and, where wanted, backward over one shard. */
static RnStatus
pass_shard(Round *round, RnTrainerWorker *worker, int shard)
{
	RnTrainer  *trainer = round->trainer;
	const RnModel *model = trainer->options.model;
	RnContext  *ctx = &worker->ctx;
	RnModelBatch packed;
	RnPass		pass;
	RnLoss		loss;

	RN_TRY(rn_packer_pack(ctx, worker->packer, round->batch, rn_model_special(model),
						  shard * round->ranks + round->rank, round->shards * round->ranks, &packed));
	if (packed.target.n_sentences == 0)
		return RN_OK;
	memset(&pass, 0, sizeof(pass));
	pass.params = trainer->params;
	pass.values = round->values;
	pass.gradients = round->backward ? worker->gradients : NULL;
	pass.training = round->backward;
	pass.seed = (uint64_t) trainer->options.config->seed;
	pass.step = (uint32_t) trainer->optimizer.updates;
	pass.stop = trainer->options.stop;
	if (round->backward && trainer->n_workers > 1)
	{
		pass.shared = trainer->gradients[0];
		pass.turns = trainer->turns;
		pass.turn = shard;
	}
	memset(&loss, 0, sizeof(loss));
	rn_graph_begin(worker->graph, &pass);
	rn_model_loss(model, worker->graph, &packed, round->gradient_scale, NULL, &loss, NULL);
	if (rn_graph_forward(ctx, worker->graph) != RN_OK)
		return explain_limit(ctx, trainer, worker);
	if (round->backward)
		RN_TRY(rn_graph_backward(ctx, worker->graph));
	worker->loss += loss.loss_sum;
	worker->nll += loss.nll_sum;
	return RN_OK;
}

static void
pass_work(void *arg, int thread, int n_threads)
{
	Round	   *round = arg;
	RnTrainerWorker *worker = &round->trainer->workers[thread];
	int			shard;

	for (shard = thread; shard < round->shards && worker->ctx.status == RN_OK; shard += n_threads)
	{
		if (pass_shard(round, worker, shard) != RN_OK)
			rn_turns_give_up(round->trainer->turns);
		else if (round->backward)
			rn_turns_over(round->trainer->turns, shard);
	}
}

static void
reduce_work(void *arg, int thread, int n_threads)
{
	Round	   *round = arg;
	RnTrainer  *trainer = round->trainer;
	RnTrainerWorker *worker = &trainer->workers[thread];

	(void) n_threads;
	rn_optimizer_reduce(&trainer->optimizer, worker->lane, thread, trainer->gradients, trainer->params->once_from);
	trainer->options.kernels->synchronize(&worker->ctx, worker->lane);
}

static void
collect_work(void *arg, int thread, int n_threads)
{
	Round	   *round = arg;
	RnTrainer  *trainer = round->trainer;
	RnTrainerWorker *worker = &trainer->workers[thread];

	(void) n_threads;
	if (rn_statistics_collect(&worker->ctx, &trainer->optimizer, worker->lane, thread, &round->update,
							  round->tallies) == RN_OK &&
		worker->change == NULL)
		trainer->options.kernels->allocate(&worker->ctx, trainer->optimizer.piece_most * sizeof(rn_real),
										   (void **) &worker->change);
}

static void
update_work(void *arg, int thread, int n_threads)
{
	Round	   *round = arg;
	RnTrainer  *trainer = round->trainer;
	RnTrainerWorker *worker = &trainer->workers[thread];

	(void) n_threads;
	rn_optimizer_update(&trainer->optimizer, worker->lane, thread, &round->update,
						round->tallies ? worker->change : NULL, round->tallies);
	trainer->options.kernels->synchronize(&worker->ctx, worker->lane);
}

/* ---- a step ---- */

static void
clear_gradients(RnTrainer *trainer)
{
	const RnKernels *kernels = trainer->options.kernels;
	RnContext	ctx;
	int			i;

	rn_context_reset(&ctx);
	for (i = 0; i < trainer->n_workers; i++)
	{
		RnTrainerWorker *worker = &trainer->workers[i];

		kernels->zero(worker->lane, worker->gradients, rn_trainer_gradient_size(trainer->params, i) * sizeof(rn_real));
		kernels->synchronize(&ctx, worker->lane);
	}
	trainer->dirty = 0;
	trainer->shown = RN_SHOW_PRESENT;
}

/* Losses and gradients of a batch, on all threads; sums are added to the workers'. */
static RnStatus
pass_batch(RnContext *ctx, Round *round, const RnBatch *batch)
{
	int64_t		larger = batch->source_tokens > batch->target_tokens ? batch->source_tokens : batch->target_tokens;
	int64_t		a_turn = (int64_t) round->trainer->options.kernels->pass_rows * round->trainer->n_workers * round->ranks;

	round->batch = batch;
	rn_turns_begin(round->trainer->turns);
	round->shards = (int) ((larger + a_turn - 1) / a_turn) * round->trainer->n_workers;
	return run_round(ctx, round, pass_work);
}

static void
sum_losses(RnTrainer *trainer, int64_t tokens, double *loss, double *nll)
{
	int			i;

	*loss = *nll = 0;
	for (i = 0; i < trainer->n_workers; i++)
	{
		*loss += trainer->workers[i].loss;
		*nll += trainer->workers[i].nll;
	}
	*loss /= (double) tokens;
	*nll /= (double) tokens;
}

static void
clear_losses(RnTrainer *trainer)
{
	int			i;

	for (i = 0; i < trainer->n_workers; i++)
		trainer->workers[i].loss = trainer->workers[i].nll = 0;
}

static void
note_measured(RnTrainer *trainer, const RnModelBatch *batch)
{
	RnMeasuredBatch *measured = &trainer->measured;

	measured->source_tokens = batch->source.rows;
	measured->target_tokens = batch->target.rows;
	rn_digest(batch->source_ids, (size_t) batch->source.rows * sizeof(int32_t), 0, measured->digest);
	rn_digest(batch->target_out, (size_t) batch->target.rows * sizeof(int32_t), measured->digest[0], measured->digest);
	trainer->has_measured = 1;
}

const RnMeasuredBatch *
rn_trainer_measured(const RnTrainer *trainer)
{
	return trainer->has_measured ? &trainer->measured : NULL;
}

/* Schemes that begin with what they find in a batch find it in the first one. */
static RnStatus
measure_first_batch(RnContext *ctx, RnTrainer *trainer, RnBatchReader *reader)
{
	const RnModel *model = trainer->options.model;
	RnTrainerWorker *worker = &trainer->workers[0];
	RnDataPosition position;
	RnModelBatch packed;
	RnBatch		batch;
	int			epoch_end;
	int			n_set;

	if (!trainer->fresh)
		return RN_OK;
	rn_batch_reader_position(reader, &position);
	RN_TRY(rn_batch_read(ctx, reader, &batch, &epoch_end));
	RN_TRY(rn_packer_pack(ctx, worker->packer, &batch, rn_model_special(model), 0,
						  (int) ((batch.target_tokens + MEASURED_TOKENS - 1) / MEASURED_TOKENS), &packed));
	RN_TRY(rn_model_profile(ctx, model, trainer->options.kernels, worker->lane, &packed, trainer->values, &n_set));
	if (n_set > 0)
		note_measured(trainer, &packed);
	rn_batch_reader_seek(reader, &position);
	trainer->fresh = 0;
	return RN_OK;
}

/*
 * Read and compute: leaves the summed gradient in gradients[0].  The scale of
 * the losses is a guess at one over the tokens, which are known only when all
 * batches have been read, or what keeps small gradients from being lost;
 * *mean_scale corrects it.
 */
static RnStatus
compute_gradient(RnContext *ctx, Round *round, RnBatchReader *reader, RnStepResult *result, double *mean_scale)
{
	RnTrainer  *trainer = round->trainer;
	const RnConfig *config = trainer->options.config;
	int			i;

	RN_TRY(measure_first_batch(ctx, trainer, reader));
	RN_TRY(rn_ranks_begin(ctx, trainer));
	if (trainer->dirty)
		clear_gradients(trainer);
	trainer->dirty = 1;
	clear_losses(trainer);
	memset(result, 0, sizeof(*result));
	round->backward = 1;
	if (trainer->options.ranks != NULL)
	{
		round->rank = trainer->options.ranks->rank;
		round->ranks = trainer->options.ranks->n;
	}
	round->values = trainer->values;
	round->gradient_scale = trainer->options.kernels->loss_scaling ? ldexp(1.0, trainer->loss_exponent) :
		1.0 / ((double) config->batch_tokens * config->accumulate);
	for (i = 0; i < config->accumulate; i++)
	{
		RnBatch		batch;
		int			epoch_end;

		RN_TRY(rn_ranks_read(ctx, trainer->options.ranks, reader, &batch, &epoch_end));
		batch.first_source_row = (uint32_t) result->source_tokens;
		batch.first_target_row = (uint32_t) result->target_tokens;
		result->source_tokens += batch.source_tokens;
		result->target_tokens += batch.target_tokens;
		result->epoch_end |= epoch_end;
		RN_TRY(pass_batch(ctx, round, &batch));
	}
	RN_TRY(rn_ranks_sum(ctx, trainer));
	sum_losses(trainer, result->target_tokens, &result->loss, &result->nll);
	RN_TRY(run_round(ctx, round, reduce_work));
	*mean_scale = 1.0 / (round->gradient_scale * (double) result->target_tokens);
	result->gradient_norm = *mean_scale * rn_optimizer_norm(&trainer->optimizer);
	return RN_OK;
}

/*
 * The same where the device wants a scale for the losses: a step whose
 * gradient overflows is computed again with half of it, and after many good
 * steps twice the scale is tried.
 */
static RnStatus
compute_scaled_gradient(RnContext *ctx, Round *round, RnBatchReader *reader, RnStepResult *result, double *mean_scale)
{
	RnTrainer  *trainer = round->trainer;
	RnDataPosition position;

	if (!trainer->options.kernels->loss_scaling)
		return compute_gradient(ctx, round, reader, result, mean_scale);
	if (trainer->good_steps >= GOOD_STEPS && trainer->loss_exponent < RN_LOSS_EXPONENT_MOST)
	{
		trainer->loss_exponent++;
		trainer->good_steps = 0;
	}
	rn_batch_reader_position(reader, &position);
	RN_TRY(compute_gradient(ctx, round, reader, result, mean_scale));
	while (isfinite(result->loss) && !isfinite(result->gradient_norm) && trainer->loss_exponent > RN_LOSS_EXPONENT_LEAST)
	{
		trainer->loss_exponent--;
		trainer->good_steps = 0;
		rn_batch_reader_seek(reader, &position);
		RN_TRY(compute_gradient(ctx, round, reader, result, mean_scale));
	}
	return RN_OK;
}

static RnStatus
check_finite(RnContext *ctx, const RnStepResult *result)
{
	int			loss_is_finite = isfinite(result->loss);

	if (loss_is_finite && isfinite(result->gradient_norm))
		return RN_OK;
	rn_fail(ctx, RN_DIVERGED, "training diverged: the %s of step %lld is not a finite number",
			loss_is_finite ? "gradient" : "loss", (long long) result->step);
	rn_detail(ctx, "The learning rate was %g. The weights are those before this step.", result->learning_rate);
	rn_hint(ctx, "Lower learning_rate, raise warmup_steps, or set clip_norm.");
	return ctx->status;
}

/* What the update will do, and the statistics that are wanted of it. */
static RnStatus
prepare_update(RnContext *ctx, Round *round, RnStepResult *result, double mean_scale)
{
	RnTrainer  *trainer = round->trainer;
	const RnConfig *config = trainer->options.config;

	result->step = trainer->optimizer.updates + 1;
	result->learning_rate = rn_learning_rate(config, result->step, config->max_steps);
	RN_TRY(check_finite(ctx, result));
	round->update.values = trainer->values;
	round->update.gradient = trainer->gradients[0];
	round->update.learning_rate = result->learning_rate;
	round->update.gradient_scale = mean_scale;
	if (config->clip_norm > 0 && result->gradient_norm > config->clip_norm)
		round->update.gradient_scale *= config->clip_norm / (result->gradient_norm + 1e-6);
	return round->tallies ? run_round(ctx, round, collect_work) : RN_OK;
}

static RnStatus
take_step(RnContext *ctx, Round *round, RnBatchReader *reader, RnStepResult *result, double *mean_scale)
{
	RnTrainer  *trainer = round->trainer;

	RN_TRY(compute_scaled_gradient(ctx, round, reader, result, mean_scale));
	RN_TRY(prepare_update(ctx, round, result, *mean_scale));
	RN_TRY(run_round(ctx, round, update_work));
	rn_optimizer_updated(&trainer->optimizer);
	trainer->good_steps++;
	trainer->dirty = 0;
	rn_batch_reader_position(reader, &trainer->next);
	return RN_OK;
}

static RnStatus
begin_round(RnContext *ctx, RnTrainer *trainer, int with_tallies, Round *round)
{
	size_t		n = (size_t) trainer->optimizer.n_pieces + 1;

	memset(round, 0, sizeof(*round));
	round->trainer = trainer;
	round->ranks = 1;
	if (!with_tallies)
		return RN_OK;
	round->tallies = calloc(n, sizeof(RnTally));
	return round->tallies ? RN_OK : rn_out_of_memory(ctx, n * sizeof(RnTally));
}

RnStatus
rn_trainer_step(RnContext *ctx, RnTrainer *trainer, RnBatchReader *reader, RnStepResult *result,
				RnTensorStatistics *statistics)
{
	double		mean_scale;
	Round		round;

	if (trainer->shown != RN_SHOW_PRESENT)
		trainer->dirty = 1;
	RN_TRY(begin_round(ctx, trainer, statistics != NULL, &round));
	if (take_step(ctx, &round, reader, result, &mean_scale) == RN_OK && statistics != NULL)
		rn_statistics_finish(&trainer->optimizer, trainer->params, round.tallies, mean_scale, statistics);
	free(round.tallies);
	return ctx->status;
}

RnStatus
rn_trainer_probe(RnContext *ctx, RnTrainer *trainer, RnBatchReader *reader, RnStepResult *result,
				 RnTensorStatistics *statistics)
{
	RnDataPosition position;
	double		mean_scale;
	Round		round;

	if (trainer->shown != RN_SHOW_PRESENT)
		trainer->dirty = 1;
	rn_batch_reader_position(reader, &position);
	RN_TRY(begin_round(ctx, trainer, 1, &round));
	if (compute_scaled_gradient(ctx, &round, reader, result, &mean_scale) == RN_OK &&
		prepare_update(ctx, &round, result, mean_scale) == RN_OK)
		rn_statistics_finish(&trainer->optimizer, trainer->params, round.tallies, mean_scale, statistics);
	result->step = trainer->optimizer.updates;
	free(round.tallies);
	clear_gradients(trainer);
	rn_batch_reader_seek(reader, &position);
	return ctx->status;
}

RnStatus
rn_trainer_evaluate(RnContext *ctx, RnTrainer *trainer, RnBatchReader *reader, double *loss, double *nll)
{
	static const RnDataPosition start = {0, 0, 0};
	int64_t		tokens = 0;
	int			epoch_end = 0;
	Round		round;

	RN_TRY(begin_round(ctx, trainer, 0, &round));
	round.values = rn_trainer_weights(trainer);
	round.gradient_scale = 1.0;
	clear_losses(trainer);
	rn_batch_reader_seek(reader, &start);
	while (!epoch_end)
	{
		RnBatch		batch;

		RN_TRY(rn_batch_read(ctx, reader, &batch, &epoch_end));
		tokens += batch.target_tokens;
		RN_TRY(pass_batch(ctx, &round, &batch));
	}
	sum_losses(trainer, tokens, loss, nll);
	return RN_OK;
}
