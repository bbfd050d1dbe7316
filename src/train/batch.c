/*
 * batch.c
 *		Mixed sentences, packed to a token budget.
 *
 * Blocks are runs of the canonical order, which is random with respect to the
 * text; mixing the pairs of a pool of blocks, other blocks every epoch, is as
 * good as mixing all, and memory does not grow with the corpus.
 *
 * src/train/batch.c
 */
#include "train/batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"

#define POOL_BLOCKS		32		/* blocks of a pool, at most */

/* Streams of shuffling: blocks of an epoch, then pairs of each pool. */
#define STREAM_BLOCKS		0
#define STREAM_PAIRS(pool)	(1 + (uint32_t) (pool))

/* The pairs of some blocks, in the order in which batches take them. */
typedef struct Pool
{
	int			loaded;			/* the rest is valid, for the reader's position */
	uint32_t	n_pairs;
	uint32_t	n_batches;
	uint64_t	pairs_before;	/* in the pools of the epoch before this one */
	RnPair	   *read;			/* as read, [pair_capacity] */
	RnPair	   *mixed;			/* as batches take them, [pair_capacity] */
	uint32_t   *sequence;		/* [pair_capacity] */
	uint32_t   *first;			/* of each batch in mixed, and one more, [pair_capacity + 1] */
	size_t		pair_capacity;
	int32_t    *ids;
	size_t		id_capacity;
} Pool;

struct RnBatchReader
{
	RnCorpus   *corpus;
	RnBatchOptions options;
	RnDataPosition next;
	uint32_t   *block_order;	/* of epoch ordered_epoch, [blocks] */
	uint64_t	ordered_epoch;
	int			ordered;		/* block_order is valid */
	int			n_pools;
	Pool		pool;
};

RnStatus
rn_batch_reader_create(RnContext *ctx, RnCorpus *corpus, const RnBatchOptions *options, RnBatchReader **reader)
{
	size_t		blocks = (size_t) rn_corpus_blocks(corpus);

	*reader = calloc(1, sizeof(**reader));
	if (*reader == NULL)
		return rn_out_of_memory(ctx, sizeof(**reader));
	(*reader)->corpus = corpus;
	(*reader)->options = *options;
	(*reader)->n_pools = (int) ((blocks + POOL_BLOCKS - 1) / POOL_BLOCKS);
	(*reader)->block_order = malloc((blocks + 1) * sizeof(uint32_t));
	if ((*reader)->block_order == NULL)
		return rn_out_of_memory(ctx, blocks * sizeof(uint32_t));
	return RN_OK;
}

static void
free_pool(Pool *pool)
{
	free(pool->read);
	free(pool->mixed);
	free(pool->sequence);
	free(pool->first);
	free(pool->ids);
	memset(pool, 0, sizeof(*pool));
}

void
rn_batch_reader_free(RnBatchReader *reader)
{
	if (reader == NULL)
		return;
	free_pool(&reader->pool);
	free(reader->block_order);
	free(reader);
}

void
rn_batch_reader_seek(RnBatchReader *reader, const RnDataPosition *position)
{
	if (reader == NULL)
		return;
	if (position->epoch != reader->next.epoch || position->pool != reader->next.pool)
		reader->pool.loaded = 0;
	reader->next = *position;
}

void
rn_batch_reader_position(const RnBatchReader *reader, RnDataPosition *position)
{
	if (reader != NULL)
		*position = reader->next;
}

double
rn_batch_reader_epochs(const RnBatchReader *reader)
{
	const Pool *pool = &reader->pool;
	double		pairs = 0;

	if (pool->loaded)
		pairs = (double) pool->pairs_before +
			(double) pool->n_pairs * (double) reader->next.batch / (double) pool->n_batches;
	return (double) reader->next.epoch + pairs / (double) rn_corpus_pairs(reader->corpus);
}

/* Which blocks a pool takes: of about equal number. */
static int
pool_start(const RnBatchReader *reader, uint64_t pool)
{
	return (int) (pool * (uint64_t) rn_corpus_blocks(reader->corpus) / (uint64_t) reader->n_pools);
}

static void
order_blocks(RnBatchReader *reader)
{
	uint32_t	n = (uint32_t) rn_corpus_blocks(reader->corpus);
	uint32_t	i;

	if (reader->ordered && reader->ordered_epoch == reader->next.epoch)
		return;
	for (i = 0; i < n; i++)
		reader->block_order[i] = i;
	if (reader->options.shuffle)
		rn_random_shuffle(reader->options.seed, RN_RANDOM_SHUFFLE, (uint32_t) reader->next.epoch,
						  STREAM_BLOCKS, reader->block_order, n);
	reader->ordered = 1;
	reader->ordered_epoch = reader->next.epoch;
}

static RnStatus
resize(RnContext *ctx, void *array, size_t n, size_t size)
{
	void	   *grown = realloc(*(void **) array, n * size);

	if (grown == NULL)
		return rn_out_of_memory(ctx, n * size);
	*(void **) array = grown;
	return RN_OK;
}

static RnStatus
make_room(RnContext *ctx, Pool *pool, size_t n_pairs, size_t n_ids)
{
	if (n_pairs > pool->pair_capacity)
	{
		/* a little more, so that later pools hardly ever ask again */
		size_t		n = n_pairs + n_pairs / 16;

		RN_TRY(resize(ctx, &pool->read, n, sizeof(RnPair)));
		RN_TRY(resize(ctx, &pool->mixed, n, sizeof(RnPair)));
		RN_TRY(resize(ctx, &pool->sequence, n, sizeof(uint32_t)));
		RN_TRY(resize(ctx, &pool->first, n + 1, sizeof(uint32_t)));
		pool->pair_capacity = n;
	}
	if (n_ids > pool->id_capacity)
	{
		size_t		n = n_ids + n_ids / 16;

		RN_TRY(resize(ctx, &pool->ids, n, sizeof(int32_t)));
		pool->id_capacity = n;
	}
	return RN_OK;
}

static RnStatus
read_blocks(RnContext *ctx, RnBatchReader *reader)
{
	Pool	   *pool = &reader->pool;
	int			start = pool_start(reader, reader->next.pool);
	int			stop = pool_start(reader, reader->next.pool + 1);
	size_t		n_pairs = 0;
	size_t		n_ids = 0;
	int			i;

	pool->pairs_before = 0;
	for (i = 0; i < stop; i++)
	{
		const RnCorpusBlock *block = rn_corpus_block(reader->corpus, (int) reader->block_order[i]);

		if (i < start)
			pool->pairs_before += block->pairs;
		else
		{
			n_pairs += block->pairs;
			n_ids += (size_t) block->source_ids + block->target_ids;
		}
	}
	RN_TRY(make_room(ctx, pool, n_pairs, n_ids));
	pool->n_pairs = 0;
	n_ids = 0;
	for (i = start; i < stop; i++)
	{
		int			number = (int) reader->block_order[i];
		const RnCorpusBlock *block = rn_corpus_block(reader->corpus, number);

		RN_TRY(rn_corpus_read_block(ctx, reader->corpus, number, pool->read + pool->n_pairs, pool->ids + n_ids));
		pool->n_pairs += block->pairs;
		n_ids += (size_t) block->source_ids + block->target_ids;
	}
	return RN_OK;
}

/* Cut the mixed pairs into as few batches as the budget allows, of about equal size. */
static void
cut_batches(Pool *pool, int64_t budget)
{
	int64_t		left = 0;		/* tokens from here on */
	int64_t		tokens = 0;		/* of the batch being made */
	uint32_t	i;

	for (i = 0; i < pool->n_pairs; i++)
		left += pool->mixed[i].n_target + 1;
	pool->n_batches = 0;
	pool->first[0] = 0;
	for (i = 0; i < pool->n_pairs; i++)
	{
		int64_t		more = pool->mixed[i].n_target + 1;
		int64_t		batches = (left + budget - 1) / budget;

		/* left counts the batch being made as a whole */
		if (tokens > 0 && (tokens + more > budget || tokens * batches >= left))
		{
			pool->first[++pool->n_batches] = i;
			left -= tokens;
			tokens = 0;
		}
		tokens += more;
	}
	if (tokens > 0)
		pool->first[++pool->n_batches] = pool->n_pairs;
}

static RnStatus
load_pool(RnContext *ctx, RnBatchReader *reader)
{
	Pool	   *pool = &reader->pool;
	uint32_t	epoch = (uint32_t) reader->next.epoch;
	uint32_t	i;

	order_blocks(reader);
	RN_TRY(read_blocks(ctx, reader));
	for (i = 0; i < pool->n_pairs; i++)
		pool->sequence[i] = i;
	if (reader->options.shuffle)
		rn_random_shuffle(reader->options.seed, RN_RANDOM_SHUFFLE, epoch, STREAM_PAIRS(reader->next.pool),
						  pool->sequence, pool->n_pairs);
	for (i = 0; i < pool->n_pairs; i++)
		pool->mixed[i] = pool->read[pool->sequence[i]];
	cut_batches(pool, reader->options.batch_tokens);
	pool->loaded = 1;
	return RN_OK;
}

/* Come to a batch that exists, in a pool that is loaded. */
static RnStatus
settle(RnContext *ctx, RnBatchReader *reader)
{
	for (;;)
	{
		if (reader->next.pool >= (uint64_t) reader->n_pools)
		{
			reader->next.epoch++;
			reader->next.pool = reader->next.batch = 0;
			reader->pool.loaded = 0;
		}
		if (!reader->pool.loaded)
			RN_TRY(load_pool(ctx, reader));
		if (reader->next.batch < reader->pool.n_batches)
			return RN_OK;
		reader->next.pool++;
		reader->next.batch = 0;
		reader->pool.loaded = 0;
	}
}

RnStatus
rn_batch_reader_load(RnContext *ctx, RnBatchReader *reader)
{
	if (rn_corpus_pairs(reader->corpus) == 0)
		return rn_fail(ctx, RN_NO_DATA, "no sentence pairs to read");
	return settle(ctx, reader);
}

RnStatus
rn_batch_read(RnContext *ctx, RnBatchReader *reader, RnBatch *batch, int *epoch_end)
{
	Pool	   *pool = &reader->pool;
	uint32_t	number;
	int			i;

	RN_TRY(rn_batch_reader_load(ctx, reader));
	number = (uint32_t) reader->next.batch;
	memset(batch, 0, sizeof(*batch));
	batch->pairs = pool->mixed + pool->first[number];
	batch->n_pairs = (int) (pool->first[number + 1] - pool->first[number]);
	for (i = 0; i < batch->n_pairs; i++)
	{
		batch->source_tokens += batch->pairs[i].n_source + 1;
		batch->target_tokens += batch->pairs[i].n_target + 1;
	}
	reader->next.batch++;
	*epoch_end = 0;
	if (reader->next.batch < pool->n_batches || reader->next.pool + 1 < (uint64_t) reader->n_pools)
		return RN_OK;
	*epoch_end = 1;
	reader->next.epoch++;
	reader->next.pool = reader->next.batch = 0;
	reader->pool.loaded = 0;
	return RN_OK;
}
