/*
 * batch.h
 *		Like lengths together, packed to a token budget; no padding.
 *
 * An epoch's order is a function of (seed, epoch): blocks of the corpus are
 * visited in a shuffled order, a few blocks at a time are mixed, sorted by
 * length and cut into batches, the batches shuffled.  A reader can start at
 * any (epoch, batch), which is what a resume needs.
 *
 * src/train/batch.h
 */
#ifndef RN_BATCH_H
#define RN_BATCH_H

#include "model/transformer.h"
#include "train/corpus.h"

typedef struct RnBatchReader RnBatchReader;

typedef struct RnBatchOptions
{
	int			batch_tokens;	/* target tokens of a batch (ends included), at least the longest pair's */
	uint64_t	seed;
	int			shuffle;		/* 0: canonical order, sorted by length only within blocks */
	RnSpecialIds special;
	size_t		memory_bytes;
} RnBatchOptions;

/* Where a reader stands; the next batch to be read.  Part of a checkpoint. */
typedef struct RnDataPosition
{
	uint64_t	epoch;			/* from 0 */
	uint64_t	batch;			/* in the epoch, from 0 */
} RnDataPosition;

/*
 * A batch of whole sentences; arrays live until the next read.  A batch can be
 * cut into shards, packed afresh each, with row_ids of the whole batch.
 */
typedef struct RnBatch
{
	int			n_pairs;
	RnPair	   *pairs;
	int64_t		source_tokens;	/* ends included */
	int64_t		target_tokens;
} RnBatch;

extern RnStatus rn_batch_reader_create(RnContext *ctx, RnCorpus *corpus, const RnBatchOptions *options,
									   RnBatchReader **reader);
extern void rn_batch_reader_free(RnBatchReader *reader);
extern RnStatus rn_batch_reader_seek(RnContext *ctx, RnBatchReader *reader, const RnDataPosition *position);
extern void rn_batch_reader_position(const RnBatchReader *reader, RnDataPosition *position);

/* The next batch; goes on into the next epoch.  *epoch_end: this was an epoch's last. */
extern RnStatus rn_batch_read(RnContext *ctx, RnBatchReader *reader, RnBatch *batch, int *epoch_end);

/* Buffers of a packed shard, reused. */
typedef struct RnPacker RnPacker;

extern RnStatus rn_packer_create(RnContext *ctx, RnPacker **packer);
extern void rn_packer_free(RnPacker *packer);

/*
 * Pack the pairs of the shard-th of n_shards parts, cut so that shards have
 * about equal work.  The result lives in the packer until the next call.
 */
extern RnStatus rn_packer_pack(RnContext *ctx, RnPacker *packer, const RnBatch *batch, const RnSpecialIds *special,
							   int shard, int n_shards, RnModelBatch *packed);

#endif							/* RN_BATCH_H */
