/*
 * ranks.h
 *		A training step shared by several processes, a device each.
 *
 * Every rank has all weights and moments, computes its own shards of each
 * batch, adds its gradient to those of the others, and makes the same update:
 * the sums are the same bits everywhere, and so is all that follows from
 * them.  Rank 0 alone reads the corpus; the others are told its batches, and
 * call rn_trainer_step or rn_trainer_probe whenever it does, without a reader.
 *
 * src/train/ranks.h
 */
#ifndef RN_RANKS_H
#define RN_RANKS_H

#include "kernels/collective.h"
#include "train/batch.h"

/* All lent. */
typedef struct RnRanks
{
	int			rank;
	int			n;
	const RnCollectives *collectives;
	RnGroup    *group;

	/* On rank 0 the others are told this batch; on others it becomes the one that rank 0 tells. */
	RnStatus	(*share_batch) (RnContext *ctx, void *arg, RnBatch *batch);
	void	   *arg;
} RnRanks;

struct RnTrainer;

/* The next batch, from the reader or from rank 0; ranks NULL: from the reader. */
extern RnStatus rn_ranks_read(RnContext *ctx, const RnRanks *ranks, RnBatchReader *reader, RnBatch *batch, int *epoch_end);

/* Before a gradient: once, weights, moments and counters become those of rank 0. */
extern RnStatus rn_ranks_begin(RnContext *ctx, struct RnTrainer *trainer);

/* The gradient and the losses of this rank's shards become those of the whole batch. */
extern RnStatus rn_ranks_sum(RnContext *ctx, struct RnTrainer *trainer);

/* A name for the weights, to be compared with that of other ranks. */
extern RnStatus rn_ranks_digest(RnContext *ctx, struct RnTrainer *trainer, uint64_t digest[2]);

#endif							/* RN_RANKS_H */
