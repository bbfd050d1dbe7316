/*
 * trainer.c
 *		What a trainer is made of, and how it begins.
 *
 * src/train/trainer.c
 */
#include "train/trainer.h"

#include <stdlib.h>
#include <string.h>

#include "train/trainer_state.h"

size_t
rn_trainer_gradient_size(const RnParams *params, int worker)
{
	return worker == 0 ? params->size : params->once_from;
}

/* The small arrays of an update: sums of pieces and what is decided of them. */
#define SMALL_ARRAYS	((size_t) 32 * 1024)

/* Weights, two moments, gradients, and the weights rounded. */
size_t
rn_trainer_fixed_memory(const RnParams *params, const RnKernels *kernels, int n_workers)
{
	return (4 * params->size + (size_t) (n_workers - 1) * params->once_from) * sizeof(rn_real) +
		rn_trainer_rounded_bytes(params, kernels) + SMALL_ARRAYS;
}

/* More than this is needed for sure; the rest follows when the corpus is known (reserve.c). */
static RnStatus
check_fixed(RnContext *ctx, const RnTrainerOptions *options, size_t fixed, int n_workers)
{
	if (options->memory_limit == 0 || fixed < options->memory_limit)
		return RN_OK;
	rn_fail(ctx, RN_LIMIT, "training this model needs more memory than is allowed");
	rn_detail(ctx, "Weights, moments and the gradients of %d threads take %zu kB; %zu kB are allowed.",
			  n_workers, fixed >> 10, options->memory_limit >> 10);
	rn_hint(ctx, "Allow more memory, or lower d_model, encoder_layers, decoder_layers, vocab_size or threads.");
	return ctx->status;
}

/* Of which rows in a pass are a multiple: what the device wishes, but no more than a sixteenth of a batch. */
int
rn_trainer_row_unit(const RnTrainer *trainer)
{
	int64_t		most = trainer->options.config->batch_tokens / 16;
	int			unit = 1;

	while (2 * unit <= trainer->options.kernels->pad_rows && 2 * unit <= most)
		unit *= 2;
	return unit;
}

static RnStatus
create_worker(RnContext *ctx, RnTrainer *trainer, int number)
{
	const RnKernels *kernels = trainer->options.kernels;
	RnTrainerWorker *worker = &trainer->workers[number];
	size_t		size = rn_trainer_gradient_size(trainer->params, number);

	RN_TRY(kernels->lane_create(ctx, &worker->lane));
	RN_TRY(rn_graph_create(ctx, kernels, worker->lane, &worker->graph));
	RN_TRY(rn_packer_create(ctx, &worker->packer));
	rn_packer_pad(worker->packer, rn_trainer_row_unit(trainer));
	return kernels->allocate(ctx, size * sizeof(rn_real), (void **) &worker->gradients);
}

static RnStatus
create_parts(RnContext *ctx, RnTrainer *trainer)
{
	const RnTrainerOptions *options = &trainer->options;
	size_t		fixed = rn_trainer_fixed_memory(trainer->params, options->kernels, trainer->n_workers);
	int			i;

	RN_TRY(check_fixed(ctx, options, fixed, trainer->n_workers));
	trainer->workers = calloc((size_t) trainer->n_workers, sizeof(RnTrainerWorker));
	trainer->gradients = calloc((size_t) trainer->n_workers, sizeof(rn_real *));
	trainer->places = calloc((size_t) trainer->n_averages + 1, sizeof(uint64_t));
	if (trainer->workers == NULL || trainer->gradients == NULL || trainer->places == NULL)
		return rn_out_of_memory(ctx, (size_t) trainer->n_workers * sizeof(RnTrainerWorker));
	RN_TRY(rn_turns_create(ctx, trainer->params->count, &trainer->turns));
	/* each of these arrays to a multiple of 256 bytes */
	RN_TRY(options->kernels->reserve(ctx, fixed + 256 * (4 + (size_t) trainer->n_workers)));
	RN_TRY(options->kernels->allocate(ctx, trainer->params->size * sizeof(rn_real), (void **) &trainer->values));
	if (options->kernels->rounded_size > 0)
		RN_TRY(options->kernels->allocate(ctx, rn_trainer_rounded_bytes(trainer->params, options->kernels),
										  (void **) &trainer->rounded));
	for (i = 0; i < trainer->n_workers; i++)
	{
		RN_TRY(create_worker(ctx, trainer, i));
		trainer->gradients[i] = trainer->workers[i].gradients;
	}
	return rn_optimizer_init(ctx, &trainer->optimizer, trainer->params, options->config, options->kernels,
							 trainer->n_workers);
}

RnStatus
rn_trainer_create(RnContext *ctx, const RnTrainerOptions *options, RnTrainer **result)
{
	RnTrainer  *trainer = calloc(1, sizeof(RnTrainer));

	*result = NULL;
	if (trainer == NULL)
		return rn_out_of_memory(ctx, sizeof(RnTrainer));
	if (options->ranks != NULL && rn_threads_count(options->threads) != 1)
	{
		free(trainer);
		return rn_fail(ctx, RN_INTERNAL, "a rank of several computes in one lane");
	}
	trainer->options = *options;
	/* a GPU has memory of its own */
	if (options->kernels->memory > 0)
		trainer->options.memory_limit = (size_t) options->kernels->memory;
	trainer->params = rn_model_params(options->model);
	trainer->n_workers = rn_threads_count(options->threads);
	trainer->n_averages = options->config->average_checkpoints > 1 ? options->config->average_checkpoints : 0;
	if (create_parts(ctx, trainer) != RN_OK)
	{
		rn_trainer_free(trainer);
		return ctx->status;
	}
	rn_trainer_decide_from(trainer, 0, RN_LOSS_EXPONENT_START, 0);
	*result = trainer;
	return RN_OK;
}

void
rn_trainer_decide_from(RnTrainer *trainer, int64_t updates, int loss_exponent, int good_steps)
{
	memset(&trainer->decision, 0, sizeof(trainer->decision));
	trainer->decision.updates = updates;
	trainer->decision.loss_exponent = loss_exponent;
	trainer->decision.good_steps = good_steps;
	rn_optimizer_begin(&trainer->optimizer, trainer->workers[0].lane, updates, loss_exponent, good_steps);
}

static void
free_worker(const RnTrainer *trainer, int number)
{
	const RnKernels *kernels = trainer->options.kernels;
	RnTrainerWorker *worker = &trainer->workers[number];

	rn_graph_free(worker->graph);
	rn_packer_free(worker->packer);
	if (worker->gradients != NULL)
		kernels->release(worker->gradients, rn_trainer_gradient_size(trainer->params, number) * sizeof(rn_real));
	if (worker->change != NULL)
		kernels->release(worker->change, trainer->optimizer.piece_most * sizeof(rn_real));
	if (worker->lane != NULL)
		kernels->lane_free(worker->lane);
}

void
rn_trainer_free(RnTrainer *trainer)
{
	int			i;

	if (trainer == NULL)
		return;
	for (i = 0; trainer->workers != NULL && i < trainer->n_workers; i++)
		free_worker(trainer, i);
	free(trainer->workers);
	free(trainer->gradients);
	if (trainer->values != NULL)
		trainer->options.kernels->release(trainer->values, trainer->params->size * sizeof(rn_real));
	if (trainer->rounded != NULL)
		trainer->options.kernels->release(trainer->rounded,
										  rn_trainer_rounded_bytes(trainer->params, trainer->options.kernels));
	if (trainer->optimizer.kernels != NULL)
		rn_optimizer_free(&trainer->optimizer);
	rn_turns_free(trainer->turns);
	free(trainer->places);
	free(trainer->received);
	free(trainer->state);
	free(trainer);
}

RnStatus
rn_trainer_initialize(RnContext *ctx, RnTrainer *trainer)
{
	const RnKernels *kernels = trainer->options.kernels;
	RnLane	   *lane = trainer->workers[0].lane;
	size_t		bytes = trainer->params->size * sizeof(rn_real);
	rn_real    *host = calloc(1, bytes);

	if (host == NULL)
		return rn_out_of_memory(ctx, bytes);
	rn_model_initialize(trainer->options.model, (uint64_t) trainer->options.config->seed, host);
	kernels->copy_in(lane, trainer->values, host, bytes);
	trainer->rounded_of = NULL;
	kernels->zero(lane, trainer->optimizer.first, bytes);
	kernels->zero(lane, trainer->optimizer.second, bytes);
	kernels->synchronize(ctx, lane);
	free(host);
	trainer->steps = 0;
	rn_trainer_decide_from(trainer, 0, RN_LOSS_EXPONENT_START, 0);
	trainer->fresh = rn_model_wants_profile(trainer->options.model);
	memset(&trainer->next, 0, sizeof(trainer->next));
	return ctx->status;
}

const rn_real *
rn_trainer_weights(const RnTrainer *trainer)
{
	return trainer->shown == RN_SHOW_PRESENT ? trainer->values : trainer->gradients[0];
}

void
rn_trainer_position(const RnTrainer *trainer, RnDataPosition *position)
{
	*position = trainer->next;
}

int64_t
rn_trainer_steps(const RnTrainer *trainer)
{
	return trainer->steps;
}

size_t
rn_trainer_memory(const RnTrainer *trainer)
{
	size_t		bytes = trainer->params->size * sizeof(rn_real) * (size_t) (3 + trainer->n_workers);
	int			i;

	for (i = 0; i < trainer->n_workers; i++)
		bytes += rn_graph_memory_peak(trainer->workers[i].graph);
	return bytes;
}
