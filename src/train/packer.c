/*
 * packer.c
 *		Sentences one after another, with offsets: what a model reads.
 *
 * src/train/packer.c
 */
#include "train/batch.h"

#include <stdlib.h>

#include "graph/op.h"

/* Work of a token, roughly: a decoder layer has one sublayer more, and the projection is the decoder's. */
#define SOURCE_WORK		2
#define TARGET_WORK		3

/* One side of a shard. */
typedef struct Side
{
	int32_t    *offsets;		/* [sentence_capacity + 1] */
	int			sentence_capacity;
	int32_t    *positions;		/* [row_capacity], like the others */
	uint32_t   *row_ids;
	int32_t    *in;
	int32_t    *out;			/* target only */
	int			row_capacity;
} Side;

struct RnPacker
{
	Side		source;
	Side		target;
	int			unit;			/* of rows */
};

/* A range of a batch's pairs, and the rows before it. */
typedef struct Range
{
	int			first;
	int			stop;
	uint32_t	source_row;
	uint32_t	target_row;
	int			source_rows;
	int			target_rows;
} Range;

RnStatus
rn_packer_create(RnContext *ctx, RnPacker **packer)
{
	*packer = calloc(1, sizeof(**packer));
	if (*packer == NULL)
		return rn_out_of_memory(ctx, sizeof(**packer));
	(*packer)->unit = 1;
	return RN_OK;
}

void
rn_packer_pad(RnPacker *packer, int unit)
{
	packer->unit = unit > 0 ? unit : 1;
}

static void
free_side(Side *side)
{
	free(side->offsets);
	free(side->positions);
	free(side->row_ids);
	free(side->in);
	free(side->out);
}

void
rn_packer_free(RnPacker *packer)
{
	if (packer == NULL)
		return;
	free_side(&packer->source);
	free_side(&packer->target);
	free(packer);
}

static int64_t
pair_work(const RnPair *pair)
{
	return (int64_t) SOURCE_WORK * (pair->n_source + 1) + (int64_t) TARGET_WORK * (pair->n_target + 1);
}

/* A pair belongs to the shard in which its middle falls. */
static void
find_range(const RnBatch *batch, int shard, int n_shards, Range *range)
{
	int64_t		total = SOURCE_WORK * batch->source_tokens + TARGET_WORK * batch->target_tokens;
	int64_t		before = 0;
	int			i;

	range->first = range->stop = 0;
	range->source_row = batch->first_source_row;
	range->target_row = batch->first_target_row;
	range->source_rows = range->target_rows = 0;
	for (i = 0; i < batch->n_pairs; i++)
	{
		const RnPair *pair = &batch->pairs[i];
		int64_t		work = pair_work(pair);
		int64_t		middle = 2 * before + work;

		before += work;
		if (middle * n_shards < 2 * total * shard)
		{
			range->first++;
			range->source_row += (uint32_t) pair->n_source + 1;
			range->target_row += (uint32_t) pair->n_target + 1;
		}
		else if (middle * n_shards < 2 * total * (shard + 1))
		{
			range->source_rows += pair->n_source + 1;
			range->target_rows += pair->n_target + 1;
		}
		else
			break;
		range->stop = i + 1;
	}
}

static int64_t
larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

RnExtent
rn_packer_extent(const RnBatch *batch, int n_shards)
{
	RnExtent	most = {0, 0, 0, 0, 0, 0};
	int			shard;
	int			i;

	for (shard = 0; shard < n_shards; shard++)
	{
		RnExtent	extent = {0, 0, 0, 0, 0, 0};
		Range		range;

		find_range(batch, shard, n_shards, &range);
		for (i = range.first; i < range.stop; i++)
		{
			const RnExtent pair = rn_extent_of(1, batch->pairs[i].n_source + 1, batch->pairs[i].n_target + 1);

			rn_extent_add(&extent, &pair);
		}
		most.source_rows = larger(most.source_rows, extent.source_rows);
		most.target_rows = larger(most.target_rows, extent.target_rows);
		most.source_scores = larger(most.source_scores, extent.source_scores);
		most.target_scores = larger(most.target_scores, extent.target_scores);
		most.cross_scores = larger(most.cross_scores, extent.cross_scores);
		most.joined_scores = larger(most.joined_scores, extent.joined_scores);
	}
	return most;
}

static RnStatus
resize(RnContext *ctx, void *array, size_t n)
{
	void	   *grown = realloc(*(void **) array, n * sizeof(int32_t));

	if (grown == NULL)
		return rn_out_of_memory(ctx, n * sizeof(int32_t));
	*(void **) array = grown;
	return RN_OK;
}

static RnStatus
make_room(RnContext *ctx, Side *side, int sentences, int rows)
{
	if (sentences >= side->sentence_capacity)
	{
		int			n = sentences + sentences / 4 + 16;

		RN_TRY(resize(ctx, &side->offsets, (size_t) n + 1));
		side->sentence_capacity = n;
	}
	if (rows >= side->row_capacity)
	{
		int			n = rows + rows / 4 + 64;

		RN_TRY(resize(ctx, &side->positions, (size_t) n));
		RN_TRY(resize(ctx, &side->row_ids, (size_t) n));
		RN_TRY(resize(ctx, &side->in, (size_t) n));
		RN_TRY(resize(ctx, &side->out, (size_t) n));
		side->row_capacity = n;
	}
	return RN_OK;
}

static void
pack_source(Side *side, const RnBatch *batch, const Range *range, const RnSpecialIds *special)
{
	int			row = 0;
	int			s,
				i;

	for (s = range->first; s < range->stop; s++)
	{
		const RnPair *pair = &batch->pairs[s];

		side->offsets[s - range->first] = row;
		for (i = 0; i <= pair->n_source; i++, row++)
		{
			side->positions[row] = i;
			side->row_ids[row] = range->source_row + (uint32_t) row;
			side->in[row] = i < pair->n_source ? pair->source[i] : special->end;
		}
	}
	side->offsets[range->stop - range->first] = row;
}

static void
pack_target(Side *side, const RnBatch *batch, const Range *range, const RnSpecialIds *special)
{
	int			row = 0;
	int			s,
				i;

	for (s = range->first; s < range->stop; s++)
	{
		const RnPair *pair = &batch->pairs[s];

		side->offsets[s - range->first] = row;
		for (i = 0; i <= pair->n_target; i++, row++)
		{
			side->positions[row] = i;
			side->row_ids[row] = range->target_row + (uint32_t) row;
			side->in[row] = i > 0 ? pair->target[i - 1] : special->start;
			side->out[row] = i < pair->n_target ? pair->target[i] : special->end;
		}
	}
	side->offsets[range->stop - range->first] = row;
}

/* ---- rows that are nothing to anybody ---- */

static int
round_up(int n, int unit)
{
	return (n + unit - 1) / unit * unit;
}

/* Sentences of at most longest rows that it takes to hold so many. */
static int
sentences_for(int rows, int longest)
{
	return (rows + longest - 1) / longest;
}

/* What the sentences of both sides come to with those that are added. */
static int
padded_sentences(int sentences, int more)
{
	int			unit = 1;

	while (unit <= (sentences + more) / 16)
		unit *= 2;
	return round_up(sentences + more, unit);
}

static int
longest_of(const RnBatch *batch, const Range *range, int of_target)
{
	int			longest = 1;
	int			s;

	for (s = range->first; s < range->stop; s++)
	{
		int			length = (of_target ? batch->pairs[s].n_target : batch->pairs[s].n_source) + 1;

		longest = length > longest ? length : longest;
	}
	return longest;
}

/* Sentences from the one numbered first up to stop: as long as they may be while rows are missing, then empty. */
static void
add_sentences(Side *side, int first, int stop, int rows, int longest, uint32_t row_id, int32_t id)
{
	int			row = side->offsets[first];
	int			s,
				i;

	for (s = first; s < stop; s++)
	{
		side->offsets[s] = row;
		for (i = 0; i < longest && row < rows; i++, row++)
		{
			side->positions[row] = i;
			side->row_ids[row] = row_id + (uint32_t) row;
			side->in[row] = id;
			side->out[row] = RN_NO_TARGET;
		}
	}
	side->offsets[stop] = row;
}

static RnPacked
packed_side(const Side *side, int sentences)
{
	RnPacked	packed = {sentences, side->offsets[sentences], side->offsets, side->positions, side->row_ids};

	return packed;
}

RnStatus
rn_packer_pack(RnContext *ctx, RnPacker *packer, const RnBatch *batch, const RnSpecialIds *special,
			   int shard, int n_shards, RnModelBatch *packed)
{
	Range		range;
	int			own;
	int			sentences;
	int			rows[2];
	int			longest[2] = {1, 1};

	find_range(batch, shard, n_shards, &range);
	own = sentences = range.stop - range.first;
	rows[0] = range.source_rows;
	rows[1] = range.target_rows;
	if (packer->unit > 1 && own > 0)
	{
		int			more[2];
		int			side;

		for (side = 0; side < 2; side++)
		{
			int			without = rows[side];

			rows[side] = round_up(without, packer->unit);
			longest[side] = longest_of(batch, &range, side);
			more[side] = sentences_for(rows[side] - without, longest[side]);
		}
		sentences = padded_sentences(own, more[0] > more[1] ? more[0] : more[1]);
	}
	RN_TRY(make_room(ctx, &packer->source, sentences, rows[0]));
	RN_TRY(make_room(ctx, &packer->target, sentences, rows[1]));
	pack_source(&packer->source, batch, &range, special);
	pack_target(&packer->target, batch, &range, special);
	if (sentences > own)
	{
		add_sentences(&packer->source, own, sentences, rows[0], longest[0], range.source_row, special->end);
		add_sentences(&packer->target, own, sentences, rows[1], longest[1], range.target_row, special->end);
	}
	packed->source = packed_side(&packer->source, sentences);
	packed->source_ids = packer->source.in;
	packed->target = packed_side(&packer->target, sentences);
	packed->target_in = packer->target.in;
	packed->target_out = packer->target.out;
	return RN_OK;
}
