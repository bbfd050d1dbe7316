/*
 * test_shortlist.c
 *		Which pieces translate a piece: IBM Model 1 against values worked out by
 *		hand and those of NLTK, and the shortlist that comes of it.
 *
 * test/unit/test_shortlist.c
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "check.h"
#include "shortlist/lexicon.h"

#define COUNT(array)	((int) (sizeof(array) / sizeof((array)[0])))
#define MEMORY			((size_t) 64 * 1024 * 1024)

/* Both sides end with 0. */
typedef struct Pair
{
	int32_t		source[8];
	int32_t		target[8];
} Pair;

typedef struct Pairs
{
	const Pair *pairs;
	int			n;
	int			passes;
	int			fail_at;		/* pass that fails; 0: none */
} Pairs;

static RnContext ctx;

static int
length(const int32_t *side)
{
	int			n = 0;

	while (n < 8 && side[n] != 0)
		n++;
	return n;
}

/* RnLexiconPass */
static RnStatus
each_pair(RnContext *context, void *arg, RnLexiconSink sink, void *sink_arg)
{
	Pairs	   *pairs = arg;
	int			i;

	if (++pairs->passes == pairs->fail_at)
		return rn_fail(context, RN_IO, "as the test wants it");
	for (i = 0; i < pairs->n; i++)
		sink(sink_arg, pairs->pairs[i].source, length(pairs->pairs[i].source), pairs->pairs[i].target,
			 length(pairs->pairs[i].target));
	return RN_OK;
}

static RnLexicon *
learn(const Pair *given, int n, int vocabulary, int rounds, int frequent, int best, size_t memory)
{
	RnLexiconOptions options = {vocabulary, rounds, frequent, best, memory};
	Pairs		pairs = {given, n, 0, 0};
	RnLexicon  *lexicon;

	rn_context_reset(&ctx);
	CHECK(rn_lexicon_learn(&ctx, &options, each_pair, &pairs, &lexicon) == RN_OK, "%d pairs, %d rounds: %s", n, rounds,
		  ctx.message);
	return lexicon;
}

/* ---- IBM Model 1 ---- */

/*
 * By hand: sources {a, b} and {a}, targets {x, y} and {x}.  The first round
 * shares each target of the first pair among a, b and NULL, a third each, and
 * that of the second between a and NULL: counts of a are 5/6 of x and 1/3 of
 * y, so t(x | a) = 5/7.  In the second round x of the first pair falls to a
 * with 5/7 : 1/2 : 5/7, so with 10/27, and y with 2/7 : 1/2 : 2/7, 4/15.
 */
static void
test_by_hand(void)
{
	enum {A = 4, B, X, Y};
	static const Pair pairs[] = {{{A, B}, {X, Y}}, {{A}, {X}}};
	RnLexicon  *lexicon = learn(pairs, 2, 8, 1, 4, 4, MEMORY);

	CHECK(fabs(rn_lexicon_probability(lexicon, A, X) - 5.0 / 7) < 1e-7 &&
		  fabs(rn_lexicon_probability(lexicon, A, Y) - 2.0 / 7) < 1e-7 &&
		  fabs(rn_lexicon_probability(lexicon, B, X) - 0.5) < 1e-7 &&
		  fabs(rn_lexicon_probability(lexicon, -1, X) - 5.0 / 7) < 1e-7, "one round, by hand");
	rn_lexicon_free(lexicon);
	lexicon = learn(pairs, 2, 8, 2, 4, 4, MEMORY);
	CHECK(fabs(rn_lexicon_probability(lexicon, A, X) - 235.0 / 307) < 1e-7 &&
		  fabs(rn_lexicon_probability(lexicon, B, Y) - 9.0 / 14) < 1e-7 &&
		  rn_lexicon_probability(lexicon, B, A) == 0 && rn_lexicon_probability(lexicon, Y, X) == 0,
		  "two rounds: %.7f %.7f", rn_lexicon_probability(lexicon, A, X), rn_lexicon_probability(lexicon, B, Y));
	rn_lexicon_free(lexicon);
}

/* Made up: piece e is mostly translated by 4 + 7 e mod 26. */
static const Pair made_up[] = {
	{{6, 10, 14}, {20, 22, 6}}, {{10, 5, 7, 5}, {22, 13, 24, 27}}, {{12}, {13}}, {{12, 5}, {10, 13, 22}},
	{{7, 9, 5, 12, 15, 5}, {27, 15, 16, 5, 28, 13}}, {{11, 9, 15, 11, 8}, {29, 20, 15, 5, 11}},
	{{9, 15, 9}, {15, 5}}, {{5, 4, 15, 15, 8, 14}, {13, 6, 8, 24}},
	{{7, 10, 10, 17, 11, 5}, {27, 22, 17, 25, 19, 6, 13}}, {{7, 4, 11, 17, 13, 6}, {27, 17, 6, 29, 20, 23}},
	{{16, 12, 10, 10, 10, 10}, {12, 10, 22, 23, 8}}, {{10, 6, 14, 8, 9}, {22, 20, 8, 27, 15}},
	{{6, 12, 4, 7, 12, 9}, {20, 10, 27, 28, 15}}, {{9, 14, 7, 13, 16}, {18, 24, 16, 27, 20, 17}},
	{{8, 7, 15, 13}, {17, 10}}, {{7, 11, 13}, {29, 17}}, {{5, 10, 16, 15, 16, 7}, {13, 29, 22, 27, 12, 8}},
	{{6, 13, 17, 13, 11, 14}, {21, 17, 27, 19, 6, 24}}, {{12, 7, 16}, {10, 27, 12}},
	{{17, 12, 10, 17, 12}, {19, 20, 10, 22, 29, 23}}, {{14, 12, 12}, {24, 10}}, {{12}, {10, 6}},
	{{9, 13, 12, 13}, {15, 17, 10}}, {{12, 7, 17}, {10, 27, 19}}, {{14, 8}, {27, 8}},
	{{9, 6, 8, 6, 11, 7}, {15, 19, 20, 8, 29, 27}}, {{12, 11, 11}, {10, 29}}, {{5, 5}, {13, 28}},
	{{17, 14, 17, 8}, {19, 24, 11, 6}}, {{4, 14, 5}, {9, 11, 24, 13}}
};

typedef struct Known
{
	int32_t		source;			/* -1: NULL */
	int32_t		target;
	double		probability;
} Known;

/* Those of NLTK 3.10's IBMModel1 after five rounds. */
static const Known known[] = {
	{-1, 5, 0.000762723}, {-1, 6, 0.199177514}, {-1, 8, 0.014347489}, {-1, 9, 0.000117100},
	{4, 27, 0.013427032}, {4, 28, 0.116548035}, {5, 25, 0.002081980}, {6, 8, 0.034827426},
	{6, 23, 0.005199171}, {7, 5, 0.000068150}, {7, 13, 0.005208731}, {7, 25, 0.004249343}, {8, 8, 0.544274718},
	{8, 10, 0.005134794}, {9, 5, 0.091277884}, {10, 24, 0.000433623}, {12, 16, 0.000451025},
	{12, 27, 0.009746909}, {14, 9, 0.005435406}, {15, 16, 0.042203582}
};

static void
test_known(void)
{
	RnLexicon  *lexicon = learn(made_up, COUNT(made_up), 30, 5, 4, 3, MEMORY);
	double		worst = 0;
	double		sum = 0;
	int			i;

	for (i = 0; i < COUNT(known); i++)
	{
		const double error = fabs(rn_lexicon_probability(lexicon, known[i].source, known[i].target) - known[i].probability);

		worst = !(error <= worst) ? error : worst;
	}
	CHECK(worst < 1e-7, "%d probabilities are those of NLTK: %.1e", COUNT(known), worst);
	for (i = 0; i < 30; i++)
		sum += rn_lexicon_probability(lexicon, 9, i);
	CHECK(fabs(sum - 1) < 1e-6, "those of a source piece add up to 1");
	rn_lexicon_free(lexicon);
}

static void
test_failures(void)
{
	RnLexiconOptions options = {30, 2, 4, 3, MEMORY};
	RnLexicon  *lexicon;
	int			pass;

	for (pass = 1; pass <= 4; pass++)
	{
		Pairs		pairs = {made_up, COUNT(made_up), 0, pass};

		rn_context_reset(&ctx);
		CHECK(rn_lexicon_learn(&ctx, &options, each_pair, &pairs, &lexicon) == RN_IO && lexicon == NULL,
			  "pass %d fails: %s", pass, ctx.message);
	}
}

/* ---- with less memory than all pairs of pieces would take ---- */

enum
{
	MANY = 2000,				/* pairs */
	WIDE = 400					/* vocabulary */
};

/* Piece e of 4 .. 199 is always translated by e + 200, next to noise. */
static Pair *
many_pairs(void)
{
	Pair	   *pairs = calloc(MANY, sizeof(Pair));
	int			i;
	int			k;

	for (i = 0; i < MANY; i++)
	{
		for (k = 0; k < 5; k++)
		{
			pairs[i].source[k] = 4 + (int32_t) (rn_random_bits(1, RN_RANDOM_SAMPLE, 0, i, k) % 196);
			pairs[i].target[k] = pairs[i].source[k] + 200;
		}
		pairs[i].target[5] = 4 + (int32_t) (rn_random_bits(1, RN_RANDOM_SAMPLE, 1, i, k) % 396);
	}
	return pairs;
}

static void
test_little_memory(void)
{
	const size_t little = 2 * (size_t) 40 * (WIDE + 1) * 16;	/* 40 candidates, and counts of some source pieces a pass */
	Pair	   *pairs = many_pairs();
	RnLexicon  *all = learn(pairs, MANY, WIDE, 4, 20, 5, MEMORY);
	RnLexicon  *some = learn(pairs, MANY, WIDE, 4, 20, 5, little);
	RnLexicon  *again = learn(pairs, MANY, WIDE, 4, 20, 5, little);
	RnShortlist *shortlists[3];
	int			considered = 0;
	int			found = 0;
	int			e;
	int			f;

	for (e = 4; e < 200; e++)
	{
		for (f = 0; f < WIDE; f++)
			considered += rn_lexicon_probability(some, e, f) > 0;
		found += rn_lexicon_probability(all, e, e + 200) > 0.5 && rn_lexicon_probability(some, e, e + 200) > 0.5;
	}
	CHECK(considered <= 196 * 40, "memory bounds what is considered: %d", considered);
	CHECK(found == 196, "and what translates a piece is found all the same: %d of 196", found);
	rn_lexicon_shortlist(&ctx, some, &shortlists[0]);
	rn_lexicon_shortlist(&ctx, again, &shortlists[1]);
	CHECK(shortlists[0]->size == shortlists[1]->size &&
		  memcmp(shortlists[0]->words, shortlists[1]->words, shortlists[0]->size) == 0, "the same pairs give the same");
	rn_shortlist_free(shortlists[0]);
	rn_shortlist_free(shortlists[1]);
	rn_lexicon_free(all);
	rn_lexicon_free(some);
	rn_lexicon_free(again);
	free(pairs);
}

/* ---- the shortlist ---- */

/* Is the set of a source just these, specials, and the source itself?  expected ends with 0. */
static int
is_set(const RnShortlist *shortlist, const int32_t *source, int n, const int *expected)
{
	uint64_t	set[1] = {0};
	uint64_t	right = 0xf;
	int			i;

	for (i = 0; expected[i] != 0; i++)
		right |= UINT64_C(1) << expected[i];
	for (i = 0; i < n; i++)
		right |= UINT64_C(1) << source[i];
	rn_shortlist_add(shortlist, source, n, set);
	return set[0] == right;
}

static void
test_sets(const RnShortlist *shortlist)
{
	/* 20 and 22 are as frequent: the lower number is taken */
	static const int frequent[] = {27, 10, 13, 20, 0};
	static const int of_10[] = {27, 10, 13, 20, 8, 22, 23, 0};
	static const int of_16[] = {27, 10, 13, 20, 8, 12, 18, 0};
	static const int of_both[] = {27, 10, 13, 20, 8, 22, 23, 12, 18, 0};
	static const int32_t both[] = {10, 16, 2};
	static const int32_t unseen[] = {21};

	CHECK(shortlist->n_frequent == 4 && shortlist->frequent[0] == 27 && shortlist->frequent[1] == 10 &&
		  shortlist->frequent[2] == 13 && shortlist->frequent[3] == 20, "the most frequent target pieces, in order");
	CHECK(is_set(shortlist, both, 1, of_10), "the best of a piece");
	CHECK(is_set(shortlist, both + 1, 1, of_16), "and of another");
	CHECK(is_set(shortlist, both, 3, of_both), "those of two, and the end of a source adds nothing");
	CHECK(is_set(shortlist, unseen, 1, frequent), "a piece never seen may be copied");
	CHECK(is_set(shortlist, NULL, 0, frequent), "no piece");
}

static int
read_status(const char *bytes, size_t size, int vocabulary)
{
	RnShortlist *shortlist = NULL;

	rn_context_reset(&ctx);
	rn_shortlist_read(&ctx, bytes, size, vocabulary, &shortlist);
	if (shortlist != NULL && ctx.status == RN_OK)
	{
		uint64_t	set[2] = {0, 0};
		int32_t		e;

		/* whatever is read must stay within the vocabulary: 64 ids here */
		for (e = 0; e < vocabulary; e++)
			rn_shortlist_add(shortlist, &e, 1, set);
		if (set[1] != 0)
			ctx.status = RN_INTERNAL;
	}
	rn_shortlist_free(shortlist);
	return ctx.status;
}

static void
test_stored(const RnShortlist *shortlist)
{
	char	   *bytes = malloc(shortlist->size + 8);
	RnShortlist *back;
	int			wrong = 0;
	int			refused = 0;
	size_t		size;
	int			i;

	memcpy(bytes, shortlist->words, shortlist->size);
	rn_context_reset(&ctx);
	if (CHECK(rn_shortlist_read(&ctx, bytes, shortlist->size, 30, &back) == RN_OK, "read back: %s", ctx.message))
		test_sets(back);
	rn_shortlist_free(back);
	for (size = 0; size < shortlist->size; size++)
		wrong += read_status(bytes, size, 30) != RN_CORRUPT;
	wrong += read_status(bytes, shortlist->size + 4, 30) != RN_CORRUPT;
	CHECK(wrong == 0, "too short or too long: %d taken", wrong);
	CHECK(read_status(bytes, shortlist->size, 31) == RN_MISMATCH && strstr(ctx.detail, "30") != NULL,
		  "another vocabulary: %s %s", ctx.message, ctx.detail);
	for (wrong = 0, i = 0; i < 20000; i++)
	{
		size_t		at = rn_random_bits(2, RN_RANDOM_SAMPLE, 0, 0, i) % shortlist->size;
		char		before = bytes[at];
		int			status;

		bytes[at] = (char) (before ^ (1 << i % 8));
		status = read_status(bytes, shortlist->size, 30);
		bytes[at] = before;
		wrong += status == RN_INTERNAL;
		refused += status != RN_OK;
	}
	CHECK(wrong == 0 && refused > 10000, "damaged bytes are refused (%d of 20000) or do no harm", refused);
	free(bytes);
}

static void
test_shortlist(void)
{
	RnLexicon  *lexicon = learn(made_up, COUNT(made_up), 30, 5, 4, 3, MEMORY);
	RnShortlist *shortlist;

	if (CHECK(rn_lexicon_shortlist(&ctx, lexicon, &shortlist) == RN_OK, "shortlist: %s", ctx.message))
	{
		test_sets(shortlist);
		test_stored(shortlist);
	}
	rn_shortlist_free(shortlist);
	rn_lexicon_free(lexicon);
}

int
main(void)
{
	test_by_hand();
	test_known();
	test_failures();
	test_little_memory();
	test_shortlist();
	return check_done();
}
