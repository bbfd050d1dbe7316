/*
 * ranks.c
 *		What ranks exchange in a step.
 *
 * src/train/ranks.c
 */
#include "train/ranks.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "train/trainer_state.h"

#define DIGEST_ELEMENTS ((size_t) 1 << 18)	/* at once */

RnStatus
rn_ranks_read(RnContext *ctx, const RnRanks *ranks, RnBatchReader *reader, RnBatch *batch, int *epoch_end)
{
	*epoch_end = 0;
	if (ranks == NULL || ranks->rank == 0)
		RN_TRY(rn_batch_read(ctx, reader, batch, epoch_end));
	return ranks != NULL ? ranks->share_batch(ctx, ranks->arg, batch) : RN_OK;
}

/* What the next decisions follow from, beside the numbers of a step. */
enum
{
	COUNTER_STEPS,
	COUNTER_UPDATES,
	COUNTER_LOSS_EXPONENT,
	COUNTER_GOOD_STEPS,
	COUNTERS
};

/* By way of memory on the device, numbers [COUNTERS]. */
static RnStatus
spread(RnContext *ctx, RnTrainer *trainer, double *numbers, double counters[COUNTERS])
{
	const RnRanks *ranks = trainer->options.ranks;
	const RnKernels *kernels = trainer->options.kernels;
	RnLane	   *lane = trainer->workers[0].lane;
	const size_t bytes = trainer->params->size * sizeof(rn_real);

	kernels->copy_in(lane, numbers, counters, COUNTERS * sizeof(double));
	ranks->collectives->broadcast(ranks->group, lane, COUNTERS * sizeof(double), numbers);
	ranks->collectives->broadcast(ranks->group, lane, bytes, trainer->values);
	trainer->rounded_of = NULL;
	ranks->collectives->broadcast(ranks->group, lane, bytes, trainer->optimizer.first);
	ranks->collectives->broadcast(ranks->group, lane, bytes, trainer->optimizer.second);
	RN_TRY(ranks->collectives->wait(ctx, ranks->group, lane));
	kernels->copy_out(lane, counters, numbers, COUNTERS * sizeof(double));
	return kernels->synchronize(ctx, lane);
}

RnStatus
rn_ranks_begin(RnContext *ctx, RnTrainer *trainer)
{
	const RnKernels *kernels = trainer->options.kernels;
	double		counters[COUNTERS];
	void	   *numbers;

	if (trainer->options.ranks == NULL || trainer->ranks_began)
		return RN_OK;
	RN_TRY(kernels->allocate(ctx, sizeof(counters), &numbers));
	counters[COUNTER_STEPS] = (double) trainer->steps;
	counters[COUNTER_UPDATES] = (double) trainer->decision.updates;
	counters[COUNTER_LOSS_EXPONENT] = trainer->decision.loss_exponent;
	counters[COUNTER_GOOD_STEPS] = trainer->decision.good_steps;
	spread(ctx, trainer, numbers, counters);
	kernels->release(numbers, sizeof(counters));
	RN_TRY(ctx->status);
	trainer->steps = (int64_t) counters[COUNTER_STEPS];
	rn_trainer_decide_from(trainer, (int64_t) counters[COUNTER_UPDATES], (int) counters[COUNTER_LOSS_EXPONENT],
						   (int) counters[COUNTER_GOOD_STEPS]);
	trainer->ranks_began = 1;
	return RN_OK;
}

RnStatus
rn_ranks_sum(RnContext *ctx, RnTrainer *trainer)
{
	const RnRanks *ranks = trainer->options.ranks;
	RnTrainerWorker *worker = &trainer->workers[0];

	if (ranks == NULL)
		return RN_OK;
	ranks->collectives->sum_doubles(ranks->group, worker->lane, 2, trainer->optimizer.sums);
	ranks->collectives->sum(ranks->group, worker->lane, trainer->params->size, worker->gradients);
	return ranks->collectives->wait(ctx, ranks->group, worker->lane);
}

RnStatus
rn_ranks_digest(RnContext *ctx, RnTrainer *trainer, uint64_t digest[2])
{
	rn_real    *host = malloc(DIGEST_ELEMENTS * sizeof(rn_real));
	size_t		done,
				n;

	if (host == NULL)
		return rn_out_of_memory(ctx, DIGEST_ELEMENTS * sizeof(rn_real));
	digest[0] = digest[1] = 0;
	for (done = 0; done < trainer->params->size && ctx->status == RN_OK; done += n)
	{
		n = trainer->params->size - done < DIGEST_ELEMENTS ? trainer->params->size - done : DIGEST_ELEMENTS;
		if (rn_plane_read(ctx, trainer, RN_PLANE_WEIGHTS, done, n, host) == RN_OK)
			rn_digest(host, n * sizeof(rn_real), digest[0], digest);
	}
	free(host);
	return ctx->status;
}
