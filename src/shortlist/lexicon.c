/*
 * lexicon.c
 *		IBM Model 1 over pairs of ids.
 *
 * Source piece V of a vocabulary of V stands for NULL.
 *
 * src/shortlist/lexicon.c
 */
#include "shortlist/lexicon.h"

#include <stdlib.h>
#include <string.h>

#define SOURCE_ROOM		64		/* pieces of a source for which there is room at first */

/* What is known of a target piece as a translation of a source piece. */
typedef struct Entry
{
	double		count;			/* of this round */
	float		probability;	/* t(f | e) after the last one */
	int32_t		target;
} Entry;

struct RnLexicon
{
	RnLexiconOptions options;
	int			most;			/* entries of a source piece */
	uint64_t   *frequency;		/* [vocabulary] of target pieces */
	size_t	   *offsets;		/* [vocabulary + 2] into entries */
	Entry	   *entries;		/* of each source piece by rising target */
	size_t		room;			/* of entries */

	/* finding candidates */
	float	   *counts;			/* [range, vocabulary] of source pieces first .. first + range - 1 */
	int			first;
	int			range;
	Entry	   *chosen;			/* [vocabulary] */

	/* of the pair at hand */
	Entry	  **found;			/* [source_room] entry of each source piece for one target piece, or NULL */
	int			source_room;
	int			no_memory;
};

void
rn_lexicon_free(RnLexicon *lexicon)
{
	if (lexicon == NULL)
		return;
	free(lexicon->frequency);
	free(lexicon->offsets);
	free(lexicon->entries);
	free(lexicon->counts);
	free(lexicon->chosen);
	free(lexicon->found);
	free(lexicon);
}

/* ---- candidates ---- */

/* RnLexiconSink: the first round's counts, all t being alike, of the source pieces in range. */
static void
count_pair(void *arg, const int32_t *source, int n_source, const int32_t *target, int n_target)
{
	RnLexicon  *lexicon = arg;
	const int	vocabulary = lexicon->options.vocabulary;
	const float share = 1.0f / (float) (n_source + 1);
	int			i;
	int			j;

	for (i = 0; i <= n_source; i++)
	{
		const int	e = (i < n_source ? source[i] : vocabulary) - lexicon->first;
		float	   *row = lexicon->counts + (size_t) e * vocabulary;

		if (e < 0 || e >= lexicon->range)
			continue;
		for (j = 0; j < n_target; j++)
			row[target[j]] += share;
	}
}

/* RnLexiconSink */
static void
count_targets(void *arg, const int32_t *source, int n_source, const int32_t *target, int n_target)
{
	RnLexicon  *lexicon = arg;
	int			j;

	(void) source;
	(void) n_source;
	for (j = 0; j < n_target; j++)
		lexicon->frequency[target[j]]++;
}

/* Largest count first; equal ones by rising target. */
static int
compare_counts(const void *left, const void *right)
{
	const Entry *a = left;
	const Entry *b = right;

	if (a->count != b->count)
		return a->count < b->count ? 1 : -1;
	return a->target - b->target;
}

static int
compare_targets(const void *left, const void *right)
{
	return ((const Entry *) left)->target - ((const Entry *) right)->target;
}

static RnStatus
make_room(RnContext *ctx, RnLexicon *lexicon, size_t entries)
{
	size_t		room = lexicon->room > 0 ? lexicon->room : 4096;
	Entry	   *grown;

	if (entries <= lexicon->room)
		return RN_OK;
	while (room < entries)
		room += room / 2;
	grown = realloc(lexicon->entries, room * sizeof(Entry));
	if (grown == NULL)
		return rn_out_of_memory(ctx, room * sizeof(Entry));
	lexicon->entries = grown;
	lexicon->room = room;
	return RN_OK;
}

/* The candidates of one source piece, out of its row of counts. */
static RnStatus
choose(RnContext *ctx, RnLexicon *lexicon, int e)
{
	const int	vocabulary = lexicon->options.vocabulary;
	const float *row = lexicon->counts + (size_t) (e - lexicon->first) * vocabulary;
	const size_t at = lexicon->offsets[e];
	size_t		n = 0;
	int			f;

	for (f = 0; f < vocabulary; f++)
	{
		if (row[f] == 0)
			continue;
		lexicon->chosen[n].count = row[f];
		lexicon->chosen[n].probability = 1;
		lexicon->chosen[n++].target = f;
	}
	if (n > (size_t) lexicon->most)
	{
		qsort(lexicon->chosen, n, sizeof(Entry), compare_counts);
		n = (size_t) lexicon->most;
		qsort(lexicon->chosen, n, sizeof(Entry), compare_targets);
	}
	RN_TRY(make_room(ctx, lexicon, at + n));
	if (n > 0)
		memcpy(lexicon->entries + at, lexicon->chosen, n * sizeof(Entry));
	lexicon->offsets[e + 1] = at + n;
	return RN_OK;
}

/* Source pieces in ranges, as many at once as a part of the memory holds counts for. */
static RnStatus
find_candidates(RnContext *ctx, RnLexicon *lexicon, RnLexiconPass pass, void *arg)
{
	const int	vocabulary = lexicon->options.vocabulary;
	const size_t row = (size_t) vocabulary * sizeof(float);
	const size_t fit = lexicon->options.memory / 4 / row;
	const int	range = fit < 1 ? 1 : fit > (size_t) vocabulary ? vocabulary + 1 : (int) fit;
	int			e;

	lexicon->counts = malloc((size_t) range * row);
	lexicon->chosen = malloc((size_t) vocabulary * sizeof(Entry));
	if (lexicon->counts == NULL || lexicon->chosen == NULL)
		return rn_out_of_memory(ctx, (size_t) range * row);
	for (lexicon->first = 0; lexicon->first <= vocabulary; lexicon->first += lexicon->range)
	{
		lexicon->range = range < vocabulary + 1 - lexicon->first ? range : vocabulary + 1 - lexicon->first;
		memset(lexicon->counts, 0, (size_t) lexicon->range * row);
		RN_TRY(pass(ctx, arg, count_pair, lexicon));
		for (e = 0; e < lexicon->range; e++)
			RN_TRY(choose(ctx, lexicon, lexicon->first + e));
	}
	free(lexicon->counts);
	free(lexicon->chosen);
	lexicon->counts = NULL;
	lexicon->chosen = NULL;
	return RN_OK;
}

/* ---- expectation maximisation ---- */

/* NULL where the target piece is no candidate of the source piece. */
static Entry *
find_entry(const RnLexicon *lexicon, int e, int32_t target)
{
	Entry	   *low = lexicon->entries + lexicon->offsets[e];
	size_t		n = lexicon->offsets[e + 1] - lexicon->offsets[e];

	while (n > 1)
	{
		const size_t half = n / 2;

		low += low[half].target <= target ? half : 0;
		n -= half;
	}
	return n == 1 && low->target == target ? low : NULL;
}

static int
reserve_source(RnLexicon *lexicon, int n_source)
{
	int			room = lexicon->source_room > 0 ? lexicon->source_room : SOURCE_ROOM;
	Entry	  **grown;

	if (n_source < lexicon->source_room)
		return 1;
	while (room <= n_source)
		room *= 2;
	grown = realloc(lexicon->found, (size_t) room * sizeof(Entry *));
	if (grown == NULL)
		return 0;
	lexicon->found = grown;
	lexicon->source_room = room;
	return 1;
}

/* RnLexiconSink: what each target piece is a translation of, in parts. */
static void
expect_pair(void *arg, const int32_t *source, int n_source, const int32_t *target, int n_target)
{
	RnLexicon  *lexicon = arg;
	int			i;
	int			j;

	lexicon->no_memory |= !reserve_source(lexicon, n_source);
	for (j = 0; j < n_target && !lexicon->no_memory; j++)
	{
		double		sum = 0;

		for (i = 0; i <= n_source; i++)
		{
			Entry	   *entry = find_entry(lexicon, i < n_source ? source[i] : lexicon->options.vocabulary, target[j]);

			lexicon->found[i] = entry;
			sum += entry != NULL ? entry->probability : 0;
		}
		for (i = 0; i <= n_source && sum > 0; i++)
		{
			if (lexicon->found[i] != NULL)
				lexicon->found[i]->count += lexicon->found[i]->probability / sum;
		}
	}
}

static void
clear_counts(RnLexicon *lexicon)
{
	size_t		i;

	for (i = 0; i < lexicon->offsets[lexicon->options.vocabulary + 1]; i++)
		lexicon->entries[i].count = 0;
}

static void
maximise(RnLexicon *lexicon)
{
	size_t		i;
	int			e;

	for (e = 0; e <= lexicon->options.vocabulary; e++)
	{
		double		sum = 0;

		for (i = lexicon->offsets[e]; i < lexicon->offsets[e + 1]; i++)
			sum += lexicon->entries[i].count;
		for (i = lexicon->offsets[e]; i < lexicon->offsets[e + 1]; i++)
			lexicon->entries[i].probability = sum > 0 ? (float) (lexicon->entries[i].count / sum) : 0;
	}
}

static RnStatus
learn(RnContext *ctx, RnLexicon *lexicon, RnLexiconPass pass, void *arg)
{
	int			round;

	RN_TRY(pass(ctx, arg, count_targets, lexicon));
	RN_TRY(find_candidates(ctx, lexicon, pass, arg));
	for (round = 0; round < lexicon->options.rounds; round++)
	{
		clear_counts(lexicon);
		RN_TRY(pass(ctx, arg, expect_pair, lexicon));
		if (lexicon->no_memory)
			return rn_out_of_memory(ctx, 0);
		maximise(lexicon);
	}
	return RN_OK;
}

RnStatus
rn_lexicon_learn(RnContext *ctx, const RnLexiconOptions *options, RnLexiconPass pass, void *arg, RnLexicon **result)
{
	const size_t sources = (size_t) options->vocabulary + 1;
	const size_t fit = options->memory / 2 / (sources * sizeof(Entry));
	RnLexicon  *lexicon = calloc(1, sizeof(*lexicon));

	*result = NULL;
	if (lexicon == NULL)
		return rn_out_of_memory(ctx, sizeof(*lexicon));
	lexicon->options = *options;
	lexicon->most = fit < 1 ? 1 : fit < (size_t) options->vocabulary ? (int) fit : options->vocabulary;
	lexicon->frequency = calloc(sources, sizeof(uint64_t));
	lexicon->offsets = calloc(sources + 1, sizeof(size_t));
	if (lexicon->frequency == NULL || lexicon->offsets == NULL)
		rn_out_of_memory(ctx, sources * sizeof(size_t));
	else
		learn(ctx, lexicon, pass, arg);
	if (ctx->status == RN_OK)
		*result = lexicon;
	else
		rn_lexicon_free(lexicon);
	return ctx->status;
}

double
rn_lexicon_probability(const RnLexicon *lexicon, int32_t source, int32_t target)
{
	const Entry *entry = find_entry(lexicon, source < 0 ? lexicon->options.vocabulary : source, target);

	return entry != NULL ? entry->probability : 0;
}

/* ---- the shortlist ---- */

static int
compare_probabilities(const void *left, const void *right)
{
	const Entry *a = left;
	const Entry *b = right;

	if (a->probability != b->probability)
		return a->probability < b->probability ? 1 : -1;
	return a->target - b->target;
}

/* The most frequent target pieces, special ones left out; how many there are. */
static int
choose_frequent(const RnLexicon *lexicon, Entry *entries, int32_t *frequent)
{
	int			n = 0;
	int			f;

	for (f = RN_SHORTLIST_SPECIAL; f < lexicon->options.vocabulary; f++)
	{
		if (lexicon->frequency[f] == 0)
			continue;
		entries[n].count = (double) lexicon->frequency[f];
		entries[n++].target = f;
	}
	qsort(entries, (size_t) n, sizeof(Entry), compare_counts);
	if (n > lexicon->options.frequent)
		n = lexicon->options.frequent;
	for (f = 0; f < n; f++)
		frequent[f] = entries[f].target;
	return n;
}

/* The best of one source piece to ids; how many there are. */
static size_t
choose_best(const RnLexicon *lexicon, int e, Entry *entries, int32_t *ids)
{
	const size_t n = lexicon->offsets[e + 1] - lexicon->offsets[e];
	const size_t best = (size_t) lexicon->options.best;
	size_t		i;

	if (n > 0)
		memcpy(entries, lexicon->entries + lexicon->offsets[e], n * sizeof(Entry));
	qsort(entries, n, sizeof(Entry), compare_probabilities);
	for (i = 0; i < n && i < best && entries[i].probability > 0; i++)
		ids[i] = entries[i].target;
	return i;
}

/* In all lists, at most. */
static size_t
most_ids(const RnLexicon *lexicon)
{
	size_t		most = 0;
	int			e;

	for (e = 0; e < lexicon->options.vocabulary; e++)
	{
		const size_t n = lexicon->offsets[e + 1] - lexicon->offsets[e];

		most += n < (size_t) lexicon->options.best ? n : (size_t) lexicon->options.best;
	}
	return most;
}

RnStatus
rn_lexicon_shortlist(RnContext *ctx, const RnLexicon *lexicon, RnShortlist **shortlist)
{
	const size_t vocabulary = (size_t) lexicon->options.vocabulary;
	const size_t most = most_ids(lexicon);
	int32_t    *frequent = malloc(vocabulary * sizeof(int32_t));
	size_t	   *offsets = malloc((vocabulary + 1) * sizeof(size_t));
	int32_t    *ids = malloc((most + 1) * sizeof(int32_t));
	Entry	   *entries = malloc(vocabulary * sizeof(Entry));
	int			n;
	int			e;

	*shortlist = NULL;
	if (frequent == NULL || offsets == NULL || ids == NULL || entries == NULL)
		rn_out_of_memory(ctx, most * sizeof(int32_t));
	else
	{
		n = choose_frequent(lexicon, entries, frequent);
		for (offsets[0] = 0, e = 0; e < lexicon->options.vocabulary; e++)
			offsets[e + 1] = offsets[e] + choose_best(lexicon, e, entries, ids + offsets[e]);
		rn_shortlist_create(ctx, lexicon->options.vocabulary, frequent, n, offsets, ids, shortlist);
	}
	free(frequent);
	free(offsets);
	free(ids);
	free(entries);
	return ctx->status;
}
