/*
 * step.c
 *		One training step over the shards of a batch.
 *
 * A step is three rounds of the threads: forward and backward over the
 * shards, the sum of the gradients, the update; before the last the device
 * decides what becomes of it, and nobody waits.  A batch is cut into more
 * shards than there are threads, so that activations take less memory; masks
 * are named by rows of the whole batch and do not depend on the cut.  Threads
 * add to one gradient of the large matrices, in the order of the shards; of
 * the rest, which several operations of a pass may use, each has its own.
 *
 * src/train/step.c
 */
#include "train/trainer.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "train/schedule.h"
#include "train/statistics.h"
#include "train/trainer_state.h"

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
	RnTally    *tallies;		/* [pieces], or NULL */
	RnDecision	decision;		/* with tallies: what the device decided */
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

static void
describe_pass(const Round *round, int thread, int shard, RnPass *pass)
{
	const RnTrainer *trainer = round->trainer;

	memset(pass, 0, sizeof(*pass));
	pass->params = trainer->params;
	pass->values = round->values;
	pass->rounded = trainer->rounded;
	pass->gradients = round->backward ? trainer->gradients[thread] : NULL;
	pass->training = round->backward;
	pass->seed = (uint64_t) trainer->options.config->seed;
	pass->step = (uint32_t) trainer->steps;
	pass->stop = trainer->options.stop;
	pass->under_way = 1;
	pass->sums = trainer->optimizer.sums + 2 * thread;
	if (round->backward && trainer->options.kernels->loss_scaling)
		pass->loss_scale = &trainer->optimizer.decision->loss_scale;
	if (round->backward && trainer->n_workers > 1)
	{
		pass->shared = trainer->gradients[0];
		pass->turns = trainer->turns;
		pass->turn = shard;
	}
}

/* Forward and, where wanted, backward over one shard. */
static RnStatus
pass_shard(Round *round, int thread, int shard)
{
	RnTrainer  *trainer = round->trainer;
	RnTrainerWorker *worker = &trainer->workers[thread];
	const RnModel *model = trainer->options.model;
	RnContext  *ctx = &worker->ctx;
	RnModelBatch packed;
	RnPass		pass;
	RnLoss		loss;

	RN_TRY(rn_packer_pack(ctx, worker->packer, round->batch, rn_model_special(model),
						  shard * round->ranks + round->rank, round->shards * round->ranks, &packed));
	if (packed.target.n_sentences == 0)
		return RN_OK;
	describe_pass(round, thread, shard, &pass);
	rn_graph_begin(worker->graph, &pass);
	rn_model_loss(model, worker->graph, &packed, round->gradient_scale, NULL, &loss, NULL);
	trainer->options.kernels->note_begin(worker->lane);
	if (rn_graph_forward(ctx, worker->graph) == RN_OK && round->backward)
		rn_graph_backward(ctx, worker->graph);
	trainer->options.kernels->note_end(worker->lane);
	return ctx->status;
}

static void
pass_work(void *arg, int thread, int n_threads)
{
	Round	   *round = arg;
	RnTrainerWorker *worker = &round->trainer->workers[thread];
	int			shard;

	for (shard = thread; shard < round->shards && worker->ctx.status == RN_OK; shard += n_threads)
	{
		if (pass_shard(round, thread, shard) != RN_OK)
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
	trainer->options.kernels->note_begin(worker->lane);
	rn_optimizer_reduce(&trainer->optimizer, worker->lane, thread, trainer->gradients, trainer->params->once_from);
	trainer->options.kernels->note_end(worker->lane);
	trainer->options.kernels->look(&worker->ctx, worker->lane);
}

static void
collect_work(void *arg, int thread, int n_threads)
{
	Round	   *round = arg;
	RnTrainer  *trainer = round->trainer;
	RnTrainerWorker *worker = &trainer->workers[thread];

	(void) n_threads;
	if (rn_statistics_collect(&worker->ctx, &trainer->optimizer, worker->lane, thread, trainer->values,
							  trainer->gradients[0], &round->decision, round->tallies) == RN_OK &&
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
	trainer->options.kernels->note_begin(worker->lane);
	rn_optimizer_update(&trainer->optimizer, worker->lane, thread, trainer->values, trainer->gradients[0],
						round->tallies ? worker->change : NULL);
	trainer->options.kernels->note_end(worker->lane);
	trainer->options.kernels->look(&worker->ctx, worker->lane);
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
		kernels->zero(worker->lane, trainer->optimizer.sums + 2 * i, 2 * sizeof(double));
		kernels->synchronize(&ctx, worker->lane);
	}
	trainer->dirty = 0;
	trainer->shown = RN_SHOW_PRESENT;
}

/*
 * As few as keep the threads busy, but none larger than there is room for.
 * Ranks, which all cut alike, do not know each other's room.
 */
static int
count_shards(const RnTrainer *trainer, const RnBatch *batch, int ranks, const RnRoom *room)
{
	const int	most = 4 * (batch->n_pairs + trainer->n_workers);
	int			shards = rn_trainer_shards(trainer, ranks, batch->source_tokens, batch->target_tokens);

	while (room->pairs > 0 && ranks == 1 && shards < most)
	{
		const RnExtent extent = rn_packer_extent(batch, shards);

		if (rn_extent_fits(&extent, &room->extent))
			break;
		shards += trainer->n_workers;
	}
	return shards;
}

/* Weights that have changed are rounded once, for all products until they change again. */
static RnStatus
round_weights(RnContext *ctx, RnTrainer *trainer, const rn_real *values)
{
	const RnKernels *kernels = trainer->options.kernels;
	RnLane	   *lane = trainer->workers[0].lane;

	if (trainer->rounded == NULL || trainer->rounded_of == values)
		return RN_OK;
	kernels->round(lane, trainer->params->size, values, trainer->rounded);
	trainer->rounded_of = values;
	return kernels->look(ctx, lane);
}

/* Losses and gradients of a batch, on all threads; the losses are added to the optimizer's sums. */
static RnStatus
pass_batch(RnContext *ctx, Round *round, const RnBatch *batch)
{
	round->batch = batch;
	RN_TRY(round_weights(ctx, round->trainer, round->values));
	rn_turns_begin(round->trainer->turns);
	round->shards = count_shards(round->trainer, batch, round->ranks, &round->trainer->rooms[round->backward]);
	return run_round(ctx, round, pass_work);
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
	rn_packer_pad(worker->packer, 1);
	RN_TRY(rn_packer_pack(ctx, worker->packer, &batch, rn_model_special(model), 0,
						  (int) ((batch.target_tokens + MEASURED_TOKENS - 1) / MEASURED_TOKENS), &packed));
	rn_packer_pad(worker->packer, rn_trainer_row_unit(trainer));
	RN_TRY(rn_model_profile(ctx, model, trainer->options.kernels, worker->lane, &packed, trainer->values, &n_set));
	if (n_set > 0)
		note_measured(trainer, &packed);
	rn_batch_reader_seek(reader, &position);
	trainer->fresh = 0;
	trainer->rounded_of = NULL;
	return RN_OK;
}

/*
 * Read and compute: leaves the summed gradient in gradients[0].  The scale of
 * the losses is a guess at one over the tokens, which are known only when all
 * batches have been read, or the device keeps one that saves small gradients
 * from being lost; the decision corrects it.
 */
static RnStatus
compute_gradient(RnContext *ctx, Round *round, RnBatchReader *reader, RnStepResult *result)
{
	RnTrainer  *trainer = round->trainer;
	const RnConfig *config = trainer->options.config;
	int			i;

	RN_TRY(measure_first_batch(ctx, trainer, reader));
	RN_TRY(rn_ranks_begin(ctx, trainer));
	if (trainer->dirty)
		clear_gradients(trainer);
	trainer->dirty = 1;
	memset(result, 0, sizeof(*result));
	result->step = trainer->steps + 1;
	result->learning_rate = rn_learning_rate(config, result->step, config->max_steps);
	round->backward = 1;
	if (trainer->options.ranks != NULL)
	{
		round->rank = trainer->options.ranks->rank;
		round->ranks = trainer->options.ranks->n;
	}
	round->values = trainer->values;
	round->gradient_scale = trainer->options.kernels->loss_scaling ? 1.0 :
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
	return run_round(ctx, round, reduce_work);
}

/* What becomes of the step is decided; with tallies it is waited for, and looked at. */
static RnStatus
decide(RnContext *ctx, Round *round, const RnStepResult *result, int first)
{
	RnTrainer  *trainer = round->trainer;
	RnLane	   *lane = trainer->workers[0].lane;
	RnStepTerms terms;

	terms.gradient_scale = round->gradient_scale;
	terms.target_tokens = (double) result->target_tokens;
	terms.learning_rate = result->learning_rate;
	terms.clip_norm = trainer->options.config->clip_norm;
	terms.first = first;
	rn_optimizer_decide(&trainer->optimizer, lane, &terms);
	if (round->tallies == NULL)
		return RN_OK;
	RN_TRY(rn_optimizer_decided(ctx, &trainer->optimizer, lane, &round->decision));
	return run_round(ctx, round, collect_work);
}

static RnStatus
take_step(RnContext *ctx, Round *round, RnBatchReader *reader, RnStepResult *result)
{
	RnTrainer  *trainer = round->trainer;

	RN_TRY(compute_gradient(ctx, round, reader, result));
	RN_TRY(decide(ctx, round, result, trainer->n_pending == 0));
	trainer->rounded_of = NULL;
	RN_TRY(run_round(ctx, round, update_work));
	rn_trainer_under_way(trainer, result);
	trainer->dirty = 0;
	rn_batch_reader_position(reader, &trainer->next);
	if (round->tallies != NULL)
		return rn_optimizer_squares(ctx, &trainer->optimizer, trainer->workers[0].lane, round->tallies);
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
	Round		round;

	if (trainer->shown != RN_SHOW_PRESENT)
		trainer->dirty = 1;
	RN_TRY(begin_round(ctx, trainer, statistics != NULL, &round));
	if (take_step(ctx, &round, reader, result) == RN_OK &&
		(statistics != NULL || trainer->n_pending >= trainer->options.kernels->steps_ahead))
		rn_trainer_settle(ctx, trainer, result);
	if (ctx->status == RN_OK && statistics != NULL)
		rn_statistics_finish(&trainer->optimizer, trainer->params, round.tallies, &round.decision, statistics);
	free(round.tallies);
	return ctx->status;
}

/* A gradient that is no number for the scale of the losses alone is computed again with half of it. */
static RnStatus
probe(RnContext *ctx, Round *round, RnBatchReader *reader, const RnDataPosition *position, RnStepResult *result)
{
	RnTrainer  *trainer = round->trainer;

	do
	{
		rn_batch_reader_seek(reader, position);
		RN_TRY(compute_gradient(ctx, round, reader, result));
		RN_TRY(decide(ctx, round, result, 1));
	} while (round->decision.skip && !round->decision.halted);
	if (round->decision.halted)
		return rn_trainer_diverged(ctx, round->decision.halted, result->step, result->learning_rate);
	return rn_optimizer_squares(ctx, &trainer->optimizer, trainer->workers[0].lane, round->tallies);
}

RnStatus
rn_trainer_probe(RnContext *ctx, RnTrainer *trainer, RnBatchReader *reader, RnStepResult *result,
				 RnTensorStatistics *statistics)
{
	RnDataPosition position;
	Round		round;

	RN_TRY(rn_trainer_await(ctx, trainer));
	if (trainer->shown != RN_SHOW_PRESENT)
		trainer->dirty = 1;
	rn_batch_reader_position(reader, &position);
	RN_TRY(begin_round(ctx, trainer, 1, &round));
	if (probe(ctx, &round, reader, &position, result) == RN_OK)
	{
		result->told = 1;
		result->told_tokens = result->target_tokens;
		result->loss = round.decision.loss / (double) result->target_tokens;
		result->nll = round.decision.nll / (double) result->target_tokens;
		result->gradient_norm = round.decision.norm;
		rn_statistics_finish(&trainer->optimizer, trainer->params, round.tallies, &round.decision, statistics);
		trainer->decision.loss_exponent = round.decision.loss_exponent;
	}
	result->step = trainer->steps;
	free(round.tallies);
	rn_trainer_decide_from(trainer, trainer->decision.updates, trainer->decision.loss_exponent, trainer->decision.good_steps);
	clear_gradients(trainer);
	rn_batch_reader_seek(reader, &position);
	return ctx->status;
}

/* The means of the losses that the passes have summed up; they are clear then. */
static RnStatus
mean_losses(RnContext *ctx, RnTrainer *trainer, int64_t tokens, double *loss, double *nll)
{
	const RnKernels *kernels = trainer->options.kernels;
	RnLane	   *lane = trainer->workers[0].lane;
	const size_t bytes = 2 * (size_t) trainer->n_workers * sizeof(double);
	double	   *sums = malloc(bytes);
	int			i;

	*loss = *nll = 0;
	if (sums == NULL)
		return rn_out_of_memory(ctx, bytes);
	kernels->copy_out(lane, sums, trainer->optimizer.sums, bytes);
	kernels->zero(lane, trainer->optimizer.sums, bytes);
	kernels->synchronize(ctx, lane);
	for (i = 0; i < trainer->n_workers; i++)
	{
		*loss += sums[2 * i];
		*nll += sums[2 * i + 1];
	}
	*loss /= (double) tokens;
	*nll /= (double) tokens;
	free(sums);
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
	rn_batch_reader_seek(reader, &start);
	while (!epoch_end)
	{
		RnBatch		batch;

		if (rn_batch_read(ctx, reader, &batch, &epoch_end) != RN_OK)
			break;
		tokens += batch.target_tokens;
		if (pass_batch(ctx, &round, &batch) != RN_OK)
			break;
	}
	if (ctx->status != RN_OK)
	{
		/* what was summed up is not to be found by the next step */
		RnContext	ignored;

		rn_context_reset(&ignored);
		mean_losses(&ignored, trainer, 1, loss, nll);
		return ctx->status;
	}
	return mean_losses(ctx, trainer, tokens, loss, nll);
}
