/*
 * restriction.c
 *		The tokens that the answers to the sentences of a batch are made of.
 *
 * src/translate/restriction.c
 */
#include "translate/restriction.h"

#include <stdlib.h>
#include <string.h>

/* Sets while they are made. */
typedef struct Sets
{
	size_t		words;			/* of a set */
	uint64_t   *of_any;
	int32_t    *before;			/* [words] ids of any sentence in the words before */
	uint64_t   *own;			/* [n, words] */
	size_t		total;			/* ids of all own sets */
} Sets;

void
rn_restriction_free(RnRestriction *restriction)
{
	if (restriction == NULL)
		return;
	free(restriction->ids);
	free(restriction->first);
	free(restriction->count);
	free(restriction->list);
	free(restriction);
}

static void
add_demand(const RnDemand *demand, uint64_t *set)
{
	int32_t		token;
	int			i;

	if (demand == NULL)
		return;
	for (i = 0; i < demand->n_prefix; i++)
		rn_id_set_add(set, (uint32_t) demand->prefix[i]);
	for (i = 0; demand->phrases != NULL && (token = rn_phrases_token(demand->phrases, i)) >= 0; i++)
		rn_id_set_add(set, (uint32_t) token);
}

static void
fill_sets(Sets *sets, const RnShortlist *shortlist, const RnPacked *source, const int32_t *source_ids,
		  const RnDemand *const *demands)
{
	int32_t		count = 0;
	size_t		w;
	int			s;

	for (s = 0; s < source->n_sentences; s++)
	{
		uint64_t   *own = sets->own + s * sets->words;

		rn_shortlist_add(shortlist, source_ids + source->offsets[s], source->offsets[s + 1] - source->offsets[s], own);
		add_demand(demands[s], own);
		for (w = 0; w < sets->words; w++)
		{
			sets->of_any[w] |= own[w];
			sets->total += (size_t) __builtin_popcountll(own[w]);
		}
	}
	for (w = 0; w < sets->words; w++)
	{
		sets->before[w] = count;
		count += __builtin_popcountll(sets->of_any[w]);
	}
}

/* The ids of a set to list, as numbers among those of any sentence, or as they are; how many. */
static int
write_set(const Sets *sets, const uint64_t *set, int as_numbers, int32_t *list)
{
	int			n = 0;
	size_t		w;

	for (w = 0; w < sets->words; w++)
	{
		uint64_t	rest;

		for (rest = set[w]; rest != 0; rest &= rest - 1)
		{
			const uint64_t below = (rest & -rest) - 1;

			list[n++] = as_numbers ? sets->before[w] + __builtin_popcountll(sets->of_any[w] & below) :
				(int32_t) (w * 64) + __builtin_popcountll(below);
		}
	}
	return n;
}

static RnStatus
write_sets(RnContext *ctx, const Sets *sets, int n, RnRestriction *restriction)
{
	const size_t last = sets->words - 1;
	const size_t any = (size_t) sets->before[last] + (size_t) __builtin_popcountll(sets->of_any[last]);
	int			at = 0;
	int			s;

	restriction->ids = malloc(any * sizeof(int32_t));
	restriction->first = malloc(n * sizeof(int32_t));
	restriction->count = malloc(n * sizeof(int32_t));
	restriction->list = malloc(sets->total * sizeof(int32_t));
	if (!restriction->ids || !restriction->first || !restriction->count || !restriction->list)
		return rn_out_of_memory(ctx, (any + sets->total) * sizeof(int32_t));
	restriction->n_ids = write_set(sets, sets->of_any, 0, restriction->ids);
	for (s = 0; s < n; s++)
	{
		restriction->first[s] = at;
		restriction->count[s] = write_set(sets, sets->own + s * sets->words, 1, restriction->list + at);
		at += restriction->count[s];
		if (restriction->count[s] > restriction->widest)
			restriction->widest = restriction->count[s];
	}
	return RN_OK;
}

RnStatus
rn_restriction_create(RnContext *ctx, const RnShortlist *shortlist, const RnPacked *source, const int32_t *source_ids,
					  const RnDemand *const *demands, RnRestriction **result)
{
	const int	n = source->n_sentences;
	RnRestriction *restriction = calloc(1, sizeof(*restriction));
	Sets		sets;

	*result = NULL;
	sets.words = rn_id_set_words(shortlist->vocabulary);
	sets.total = 0;
	sets.of_any = calloc((n + 1) * sets.words, sizeof(uint64_t));
	sets.before = malloc(sets.words * sizeof(int32_t));
	if (restriction == NULL || sets.of_any == NULL || sets.before == NULL)
		rn_out_of_memory(ctx, (n + 1) * sets.words * sizeof(uint64_t));
	else
	{
		sets.own = sets.of_any + sets.words;
		fill_sets(&sets, shortlist, source, source_ids, demands);
		write_sets(ctx, &sets, n, restriction);
	}
	free(sets.of_any);
	free(sets.before);
	if (ctx->status == RN_OK)
		*result = restriction;
	else
		rn_restriction_free(restriction);
	return ctx->status;
}

int
rn_restriction_column(const RnRestriction *restriction, int sentence, int32_t token)
{
	int			low = 0;
	int			high = restriction->count[sentence] - 1;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (rn_restriction_token(restriction, sentence, middle) < token)
			low = middle + 1;
		else
			high = middle;
	}
	return high >= 0 && rn_restriction_token(restriction, sentence, low) == token ? low : -1;
}
