/*
 * ngram.c
 *		How many n-grams two sequences of symbols share.
 *
 * An n-gram is the pair of the (n-1)-gram it begins with and its last symbol.
 * Each distinct n-gram of the reference gets a number, so that the pair fits
 * one word and comparing it is exact, whatever n is.  A hypothesis's n-gram
 * whose beginning the reference lacks needs no search.
 *
 * src/score/ngram.c
 */
#include "score/ngram.h"

#include <stdlib.h>
#include <string.h>

#define NONE	UINT32_MAX		/* an n-gram that the reference lacks */

typedef struct Entry
{
	uint64_t	key;			/* beginning's number, symbol */
	uint32_t	number;			/* of this n-gram; NONE in a free entry */
	uint32_t	left;			/* occurrences in the reference not matched yet */
} Entry;

typedef struct Table
{
	Entry	   *entries;
	size_t		mask;			/* entries - 1, a power of two less one */
	uint32_t	used;			/* numbers given */
} Table;

static uint64_t
scatter(uint64_t key)
{
	key ^= key >> 32;
	key *= UINT64_C(0xD6E8FEB86659FD93);
	key ^= key >> 32;
	key *= UINT64_C(0xD6E8FEB86659FD93);
	return key ^ key >> 32;
}

/* The entry of a key, or the free one where it belongs. */
static Entry *
find(const Table *table, uint64_t key)
{
	size_t		at = (size_t) scatter(key) & table->mask;

	while (table->entries[at].number != NONE && table->entries[at].key != key)
		at = (at + 1) & table->mask;
	return &table->entries[at];
}

static uint64_t
pair(uint32_t beginning, uint32_t symbol)
{
	return (uint64_t) beginning << 32 | symbol;
}

/* numbers[i]: of the (n-1)-gram at i; becomes that of the n-gram. */
static void
count_reference(Table *table, const uint32_t *symbols, size_t length, int n,
				uint32_t *numbers)
{
	size_t		i;

	memset(table->entries, 0xFF, (table->mask + 1) * sizeof(Entry));
	table->used = 0;
	for (i = 0; i + (size_t) n <= length; i++)
	{
		uint64_t	key = pair(numbers[i], symbols[i + (size_t) n - 1]);
		Entry	   *entry = find(table, key);

		if (entry->number == NONE)
		{
			entry->key = key;
			entry->number = table->used++;
			entry->left = 0;
		}
		entry->left++;
		numbers[i] = entry->number;
	}
}

static int64_t
match_hypothesis(const Table *table, const uint32_t *symbols, size_t length, int n,
				 uint32_t *numbers)
{
	int64_t		match = 0;
	size_t		i;

	for (i = 0; i + (size_t) n <= length; i++)
	{
		Entry	   *entry;

		if (numbers[i] == NONE)
			continue;
		entry = find(table, pair(numbers[i], symbols[i + (size_t) n - 1]));
		numbers[i] = entry->number;
		if (entry->number != NONE && entry->left > 0)
		{
			entry->left--;
			match++;
		}
	}
	return match;
}

RnStatus
rn_ngram_match(RnContext *ctx, const uint32_t *hypothesis, size_t hypothesis_length,
			   const uint32_t *reference, size_t reference_length,
			   int order, int64_t *match)
{
	Table		table;
	uint32_t   *numbers;
	size_t		lengths = hypothesis_length + reference_length;
	size_t		entries = 16;
	int			n;

	if (hypothesis_length == 0 || reference_length == 0)
		return RN_OK;
	if (lengths >= NONE)
		return rn_fail(ctx, RN_LIMIT, "text is too long to be scored");
	while (entries < 2 * reference_length)
		entries *= 2;
	table.entries = malloc(entries * sizeof(Entry));
	numbers = calloc(lengths, sizeof(uint32_t));
	if (table.entries == NULL || numbers == NULL)
	{
		free(table.entries);
		free(numbers);
		return rn_out_of_memory(ctx, entries * sizeof(Entry) + lengths * sizeof(uint32_t));
	}
	table.mask = entries - 1;

	/* All 0-grams are one, so the numbers begin as 0. */
	for (n = 1; n <= order; n++)
	{
		count_reference(&table, reference, reference_length, n, numbers);
		match[n - 1] += match_hypothesis(&table, hypothesis, hypothesis_length, n,
										 numbers + reference_length);
	}
	free(table.entries);
	free(numbers);
	return RN_OK;
}
