/*
 * corpus.c
 *		Sentence pairs as ids, in a file.
 *
 * A number takes 7 bits a byte, the last byte has the high bit clear: frequent
 * pieces have low ids, so an id takes one or two bytes.  A pair is the number
 * of its source ids, of its target ids, then the ids.
 *
 * src/train/corpus.c
 */
#include "train/corpus.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "train/sorter.h"

#define BLOCK_WEIGHT	65536	/* ids of a block, about; a pair counts for itself, too */
#define PAIR_WEIGHT		8
#define NUMBER_BYTES	5		/* of the longest number */

struct RnCorpus
{
	RnSpill    *spill;
	RnSorter   *sorter;			/* NULL once finished */
	RnCorpusBlock    *blocks;
	int			n_blocks;
	int			block_capacity;
	char	   *bytes;			/* of the pair that is added; of a block */
	size_t		capacity;
	RnCorpusBlock		block;			/* being filled */
	uint64_t	offset;			/* where it goes */
	uint64_t	pairs;
	uint64_t	target_ids;
	uint64_t	stored_bytes;	/* of all pairs */
	RnLengths	lengths;
	uint64_t	fingerprint[2];
};

RnStatus
rn_corpus_create(RnContext *ctx, RnSpill *spill, size_t memory_bytes, RnCorpus **corpus)
{
	*corpus = calloc(1, sizeof(**corpus));
	if (*corpus == NULL)
		return rn_out_of_memory(ctx, sizeof(**corpus));
	(*corpus)->spill = spill;
	return rn_sorter_create(ctx, spill, memory_bytes, &(*corpus)->sorter);
}

void
rn_corpus_free(RnCorpus *corpus)
{
	if (corpus == NULL)
		return;
	rn_sorter_free(corpus->sorter);
	free(corpus->blocks);
	free(corpus->bytes);
	free(corpus);
}

static RnStatus
make_room(RnContext *ctx, RnCorpus *corpus, size_t size)
{
	size_t		capacity = corpus->capacity ? corpus->capacity : 4096;
	char	   *grown;

	if (size <= corpus->capacity)
		return RN_OK;
	while (capacity < size)
		capacity *= 2;
	grown = realloc(corpus->bytes, capacity);
	if (grown == NULL)
		return rn_out_of_memory(ctx, capacity);
	corpus->bytes = grown;
	corpus->capacity = capacity;
	return RN_OK;
}

static char *
put_number(char *at, uint32_t number)
{
	while (number >= 0x80)
	{
		*at++ = (char) (number | 0x80);
		number >>= 7;
	}
	*at++ = (char) number;
	return at;
}

/* NULL when the bytes end within the number, or it is none of ours. */
static const char *
get_number(const char *at, const char *end, uint32_t *number)
{
	int			shift;

	*number = 0;
	for (shift = 0; shift < 7 * NUMBER_BYTES && at < end; shift += 7)
	{
		unsigned char byte = (unsigned char) *at++;

		*number |= (uint32_t) (byte & 0x7f) << shift;
		if (byte < 0x80)
			return at;
	}
	return NULL;
}

static void
note_lengths(RnLengths *lengths, const RnPair *pair)
{
	const int	source = pair->n_source + 1;
	const int	target = pair->n_target + 1;
	const RnExtent extent = rn_extent_of(1, source, target);

	rn_extent_add(&lengths->sum, &extent);
	if (source > lengths->longest_source)
		lengths->longest_source = source;
	if (target > lengths->longest_target)
		lengths->longest_target = target;
}

RnStatus
rn_corpus_add(RnContext *ctx, RnCorpus *corpus, const uint64_t hash[2], const RnPair *pair)
{
	size_t		n_source = (size_t) pair->n_source;
	size_t		n_target = (size_t) pair->n_target;
	char	   *at;
	size_t		i;

	RN_TRY(make_room(ctx, corpus, NUMBER_BYTES * (2 + n_source + n_target)));
	at = put_number(corpus->bytes, (uint32_t) n_source);
	at = put_number(at, (uint32_t) n_target);
	for (i = 0; i < n_source; i++)
		at = put_number(at, (uint32_t) pair->source[i]);
	for (i = 0; i < n_target; i++)
		at = put_number(at, (uint32_t) pair->target[i]);
	RN_TRY(rn_sorter_add(ctx, corpus->sorter, hash, corpus->bytes, (size_t) (at - corpus->bytes)));
	note_lengths(&corpus->lengths, pair);
	corpus->pairs++;
	corpus->target_ids += n_target;
	corpus->stored_bytes += (uint64_t) (at - corpus->bytes);
	corpus->fingerprint[0] += hash[0];
	corpus->fingerprint[1] += hash[1];
	return RN_OK;
}

/* The block being filled goes to the file and into the list. */
static RnStatus
close_block(RnContext *ctx, RnCorpus *corpus)
{
	RnCorpusBlock    *block = &corpus->block;
	uint64_t	digest[2];

	if (block->pairs == 0)
		return RN_OK;
	if (corpus->n_blocks == corpus->block_capacity)
	{
		int			capacity = corpus->block_capacity ? 2 * corpus->block_capacity : 64;
		RnCorpusBlock    *grown = realloc(corpus->blocks, (size_t) capacity * sizeof(RnCorpusBlock));

		if (grown == NULL)
			return rn_out_of_memory(ctx, (size_t) capacity * sizeof(RnCorpusBlock));
		corpus->blocks = grown;
		corpus->block_capacity = capacity;
	}
	rn_digest(corpus->bytes, block->bytes, (uint64_t) corpus->n_blocks, digest);
	block->digest = digest[0];
	block->offset = corpus->offset;
	RN_TRY(rn_spill_write(ctx, corpus->spill, block->offset, corpus->bytes, block->bytes));
	corpus->offset += block->bytes;
	corpus->blocks[corpus->n_blocks++] = *block;
	memset(block, 0, sizeof(*block));
	return RN_OK;
}

/* RnSorterEmit: the next pair in canonical order. */
static RnStatus
store_pair(RnContext *ctx, void *arg, const char *bytes, size_t size)
{
	RnCorpus   *corpus = arg;
	RnCorpusBlock    *block = &corpus->block;
	uint32_t	n_source,
				n_target;
	const char *at = get_number(bytes, bytes + size, &n_source);

	if (at == NULL || get_number(at, bytes + size, &n_target) == NULL ||
		(uint64_t) n_source + n_target > size)
		return rn_fail(ctx, RN_IO, "temporary file of the training job is damaged");
	RN_TRY(make_room(ctx, corpus, block->bytes + size));
	memcpy(corpus->bytes + block->bytes, bytes, size);
	block->bytes += (uint32_t) size;
	block->pairs++;
	block->source_ids += n_source;
	block->target_ids += n_target;
	if (block->source_ids + block->target_ids + PAIR_WEIGHT * block->pairs >= BLOCK_WEIGHT)
		return close_block(ctx, corpus);
	return RN_OK;
}

RnStatus
rn_corpus_finish(RnContext *ctx, RnCorpus *corpus)
{
	RN_TRY(rn_spill_reserve(ctx, corpus->spill, corpus->stored_bytes, &corpus->offset));
	RN_TRY(rn_sorter_finish(ctx, corpus->sorter, store_pair, corpus));
	RN_TRY(close_block(ctx, corpus));
	rn_sorter_free(corpus->sorter);
	corpus->sorter = NULL;
	return RN_OK;
}

uint64_t
rn_corpus_pairs(const RnCorpus *corpus)
{
	return corpus->pairs;
}

uint64_t
rn_corpus_target_tokens(const RnCorpus *corpus)
{
	return corpus->target_ids + corpus->pairs;
}

const RnLengths *
rn_corpus_lengths(const RnCorpus *corpus)
{
	return &corpus->lengths;
}

void
rn_corpus_fingerprint(const RnCorpus *corpus, uint64_t digest[2])
{
	memcpy(digest, corpus->fingerprint, sizeof(corpus->fingerprint));
}

int
rn_corpus_blocks(const RnCorpus *corpus)
{
	return corpus->n_blocks;
}

const RnCorpusBlock *
rn_corpus_block(const RnCorpus *corpus, int number)
{
	return &corpus->blocks[number];
}

/* Ids of one side; NULL when the bytes do not hold them. */
static const char *
decode_ids(const char *at, const char *end, uint32_t n, int32_t *ids)
{
	uint32_t	i;

	for (i = 0; i < n && at != NULL; i++)
	{
		uint32_t	number;

		at = get_number(at, end, &number);
		ids[i] = (int32_t) number;
	}
	return at;
}

static const char *
decode_pair(const char *at, const char *end, RnPair *pair, int32_t *ids, uint32_t room)
{
	uint32_t	n_source,
				n_target;

	at = get_number(at, end, &n_source);
	if (at != NULL)
		at = get_number(at, end, &n_target);
	if (at == NULL || (uint64_t) n_source + n_target > room)
		return NULL;
	at = decode_ids(at, end, n_source, ids);
	if (at != NULL)
		at = decode_ids(at, end, n_target, ids + n_source);
	pair->source = ids;
	pair->target = ids + n_source;
	pair->n_source = (int) n_source;
	pair->n_target = (int) n_target;
	return at;
}

RnStatus
rn_corpus_read_block(RnContext *ctx, RnCorpus *corpus, int number, RnPair *pairs, int32_t *ids)
{
	const RnCorpusBlock *block = &corpus->blocks[number];
	uint32_t	room = block->source_ids + block->target_ids;
	uint64_t	digest[2];
	const char *at;
	const char *end;
	uint32_t	i;

	RN_TRY(make_room(ctx, corpus, block->bytes));
	RN_TRY(rn_spill_read(ctx, corpus->spill, block->offset, corpus->bytes, block->bytes));
	rn_digest(corpus->bytes, block->bytes, (uint64_t) number, digest);
	at = digest[0] == block->digest ? corpus->bytes : NULL;
	end = corpus->bytes + block->bytes;
	for (i = 0; i < block->pairs && at != NULL; i++)
	{
		at = decode_pair(at, end, &pairs[i], ids, room);
		if (at == NULL)
			break;
		ids += pairs[i].n_source + pairs[i].n_target;
		room -= (uint32_t) (pairs[i].n_source + pairs[i].n_target);
	}
	if (at == NULL)
	{
		rn_fail(ctx, RN_IO, "temporary file of the training job is damaged");
		rn_detail(ctx, "Block %d at offset %llu is not what was written.", number,
				  (unsigned long long) block->offset);
		return ctx->status;
	}
	return RN_OK;
}
