/*
 * batch.h
 *		Mixed sentences, packed to a token budget; no padding.
 *
 * An epoch's order is a function of (seed, epoch): blocks of the corpus are
 * visited in a shuffled order, a pool of blocks at a time is mixed and cut
 * into batches.  A reader can start anywhere by reading one pool, which is
 * what a resume needs.  Lengths are mixed as well: since nothing is padded,
 * batches of like lengths would save no work, and they learn more slowly.
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
	int			batch_tokens;	/* target tokens of a batch, ends included; a longer pair is a batch of its own */
	uint64_t	seed;
	int			shuffle;		/* 0: canonical order */
} RnBatchOptions;

/* Where a reader stands; the next batch to be read.  Part of a checkpoint. */
typedef struct RnDataPosition
{
	uint64_t	epoch;			/* from 0 */
	uint64_t	pool;			/* in the epoch, from 0 */
	uint64_t	batch;			/* in the pool, from 0 */
} RnDataPosition;

/*
 * Whole sentences; the arrays live until the next read.  Row numbers name rows
 * for dropout: whoever accumulates several batches lets them go on.
 */
typedef struct RnBatch
{
	int			n_pairs;
	const RnPair *pairs;
	int64_t		source_tokens;	/* ends included */
	int64_t		target_tokens;
	uint32_t	first_source_row;	/* 0 as read */
	uint32_t	first_target_row;
} RnBatch;

/* The corpus is finished, and lent. */
extern RnStatus rn_batch_reader_create(RnContext *ctx, RnCorpus *corpus, const RnBatchOptions *options,
									   RnBatchReader **reader);
extern void rn_batch_reader_free(RnBatchReader *reader);

/*
 * A position that another corpus had and this one has not counts as the end of
 * its pool or epoch.  Neither does anything to a reader that is NULL.
 */
extern void rn_batch_reader_seek(RnBatchReader *reader, const RnDataPosition *position);
extern void rn_batch_reader_position(const RnBatchReader *reader, RnDataPosition *position);

/* Read the pool that the position is in.  The next batch would as well. */
extern RnStatus rn_batch_reader_load(RnContext *ctx, RnBatchReader *reader);

/* Epochs read so far, with the fraction of the present one; without it after a seek that no load or read followed. */
extern double rn_batch_reader_epochs(const RnBatchReader *reader);

/*
 * The next batch; goes on into the next epoch.  *epoch_end: this was an
 * epoch's last.  RN_NO_DATA for an empty corpus.
 */
extern RnStatus rn_batch_read(RnContext *ctx, RnBatchReader *reader, RnBatch *batch, int *epoch_end);

/* Buffers of a packed shard, reused. */
typedef struct RnPacker RnPacker;

extern RnStatus rn_packer_create(RnContext *ctx, RnPacker **packer);
extern void rn_packer_free(RnPacker *packer);

/* The largest, in every respect, of the batch's shards when it is cut into so many. */
extern RnExtent rn_packer_extent(const RnBatch *batch, int n_shards);

/*
 * From now on add rows that are nothing to anybody, in sentences of their own,
 * so that the rows of either side are a multiple of unit and the sentences one
 * of an eighth or less of them: 1, as at first, adds none.  The longest
 * sentence stays the longest; added targets are RN_NO_TARGET.
 */
extern void rn_packer_pad(RnPacker *packer, int unit);

/*
 * Pack the pairs of the shard-th of n_shards parts, cut so that shards have
 * about equal work; a shard may be empty.  The result lives in the packer
 * until the next call.
 */
extern RnStatus rn_packer_pack(RnContext *ctx, RnPacker *packer, const RnBatch *batch, const RnSpecialIds *special,
							   int shard, int n_shards, RnModelBatch *packed);

#endif							/* RN_BATCH_H */
