/*
 * test_decoding.c
 *		Sampling, prefixes, alternatives and phrases that must appear, over a
 *		decoder that is a table of random numbers.
 *
 * The judge knows the table (table_decoder.h): what is drawn is compared with
 * the softmax, what is searched for with every answer there is.
 *
 * test/unit/test_decoding.c
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "check.h"
#include "table_decoder.h"
#include "translate/restriction.h"

#define TOLERANCE	1e-9

static RnDecoder decoder;
static RnContext ctx;

static void
begin(int vocabulary, uint64_t seed)
{
	free(decoder.logits);
	memset(&decoder, 0, sizeof(decoder));
	decoder.kind = TABLE_RANDOM;
	decoder.vocabulary = vocabulary;
	decoder.seed = seed;
	table_demands = NULL;
	table_restriction = NULL;
}

/* Sentences 0 .. n - 1 with a source of two pieces. */
static void
some_sources(TableSources *sources, int first, int n)
{
	int			numbers[64];
	int			lengths[64];
	int			i;

	for (i = 0; i < n; i++)
	{
		numbers[i] = first + i;
		lengths[i] = 2;
	}
	table_sources(sources, n, numbers, lengths);
}

/* log-probability of each token of an answer to a sentence, by the table; their sum. */
static double
walk_along(int sentence, const int32_t *ids, int n, double *each)
{
	uint64_t	name = table_mix(table_sentence_name(&decoder, 10 + sentence), TABLE_START);
	double		sum = 0;
	int			i;

	for (i = 0; i < n; i++)
	{
		double		lp[TABLE_VOCABULARY];

		table_log_probabilities(&decoder, name, i, lp);
		each[i] = lp[ids[i]];
		sum += each[i];
		name = table_mix(name, ids[i]);
	}
	return sum;
}

typedef struct Wish
{
	int32_t		ids[4];
	int			n;
	int			wanted;
} Wish;

#define MAX_SENTENCES	4

/* Of each sentence that scores are checked of. */
static const Wish *wishes_of[MAX_SENTENCES];
static int	n_wishes_of[MAX_SENTENCES];

/* A phrase that is wished for counts as one token, as likely as its first. */
static double
score_of(int sentence, const double *each, const int32_t *ids, int n, double exponent)
{
	int			met[4] = {0};
	double		sum = 0;
	int			count = 0;
	int			i = 0;

	while (i < n)
	{
		int			length = 1;
		int			w;

		for (w = 0; w < n_wishes_of[sentence] && length == 1; w++)
		{
			const Wish *wish = &wishes_of[sentence][w];

			if (met[w] == wish->wanted || i + wish->n > n || memcmp(ids + i, wish->ids, wish->n * sizeof(int32_t)) != 0)
				continue;
			met[w]++;
			length = wish->n;
		}
		sum += each[i];
		count++;
		i += length;
	}
	return sum / pow(count, exponent);
}

/* Are scores what the table says, each token's too, falling, and answers different? */
static int
wrong_scores(const RnHypotheses *found, int first_sentence, double exponent, int may_repeat)
{
	int			wrong = 0;
	int			s,
				i,
				k;

	for (s = 0; s < found->n_sentences; s++)
	{
		const RnHypothesis *of_sentence = &found->items[s * found->n_best];

		for (i = 0; i < found->n_best && of_sentence[i].ids != NULL; i++)
		{
			const RnHypothesis *one = &of_sentence[i];
			double		each[TABLE_TOKENS];
			double		sum = walk_along(first_sentence + s, one->ids, one->n, each);

			wrong += !(fabs(sum - one->log_probability) < TOLERANCE);
			wrong += !(fabs(score_of(s % MAX_SENTENCES, each, one->ids, one->n, exponent) - one->score) < TOLERANCE);
			for (k = 0; k < one->n; k++)
				wrong += !(fabs(each[k] - one->log_probabilities[k]) < TOLERANCE);
			wrong += one->ids[one->n - 1] != TABLE_END;
			wrong += i > 0 && one->score > of_sentence[i - 1].score;
			for (k = 0; k < i && !may_repeat; k++)
				wrong += of_sentence[k].n == one->n && memcmp(of_sentence[k].ids, one->ids, one->n * sizeof(int32_t)) == 0;
		}
	}
	return wrong;
}

/* ---- sampling ---- */

static void
sampling_options(RnSearchOptions *options, int n, double temperature, int top_k, int max_length)
{
	table_options(options, 1, 1, max_length);
	options->sampling = 1;
	options->n_best = n;
	options->temperature = temperature;
	options->top_k = top_k;
}

/* Probabilities with which a token should be drawn. */
static void
right_probabilities(uint64_t name, int step, double temperature, int top_k, double *p)
{
	double		lp[TABLE_VOCABULARY];
	double		sum = 0;
	int			v,
				w;

	table_log_probabilities(&decoder, name, step, lp);
	for (v = 0; v < decoder.vocabulary; v++)
	{
		int			better = 0;

		for (w = 0; w < decoder.vocabulary; w++)
			better += lp[w] > lp[v] || (lp[w] == lp[v] && w < v);
		p[v] = v == TABLE_PAD || (top_k > 0 && better >= top_k) ? 0 : exp(lp[v] / temperature);
		sum += p[v];
	}
	for (v = 0; v < decoder.vocabulary; v++)
		p[v] /= sum;
}

/* Pairs of first and second token against the product of their probabilities. */
static void
test_frequencies(double temperature, int top_k)
{
	enum
	{
		V = 6,
		SEEDS = 300,
		N = 64
	};
	static int	counts[V][V];
	double		first[V];
	double		second[V];
	double		chi = 0;
	uint64_t	name;
	RnModel    *model = table_model(V, 30);
	RnSearchOptions options;
	TableSources sources;
	int			impossible = 0;
	int			cells = 0;
	int			seed;
	int			i,
				v,
				w;

	begin(V, 21);
	memset(counts, 0, sizeof(counts));
	some_sources(&sources, 5, 1);
	sampling_options(&options, N, temperature, top_k, 2);
	for (seed = 0; seed < SEEDS; seed++)
	{
		RnHypotheses found;

		options.seed = seed;
		if (!table_search(&ctx, &decoder, model, &sources, &options, &found, NULL))
		{
			for (i = 0; i < N; i++)
				counts[found.items[i].ids[0]][found.items[i].n > 1 ? found.items[i].ids[1] : TABLE_PAD]++;
			rn_hypotheses_free(&found);
		}
	}
	name = table_mix(table_sentence_name(&decoder, 15), TABLE_START);
	right_probabilities(name, 0, temperature, top_k, first);
	for (v = 0; v < V; v++)
	{
		right_probabilities(table_mix(name, v), 1, temperature, top_k, second);
		for (w = 0; w < V; w++)
		{
			/* end is followed by nothing */
			double		expected = SEEDS * N * first[v] * (v != TABLE_END ? second[w] : w == TABLE_PAD);

			impossible += expected == 0 && counts[v][w] > 0;
			if (expected < 5)
				continue;
			chi += (counts[v][w] - expected) * (counts[v][w] - expected) / expected;
			cells++;
		}
	}
	/* 4 standard deviations of chi square with so many degrees of freedom */
	CHECK(ctx.status == RN_OK && impossible == 0 && cells > 3 && chi < cells - 1 + 4 * sqrt(2.0 * (cells - 1)),
		  "what is drawn follows the softmax, temperature %g, top_k %d: chi square %.1f in %d cells, %d impossible",
		  temperature, top_k, chi, cells, impossible);
	rn_model_free(model);
}

static int
same_hypothesis(const RnHypothesis *a, const RnHypothesis *b)
{
	return a->n == b->n && memcmp(a->ids, b->ids, a->n * sizeof(int32_t)) == 0 && a->score == b->score;
}

static void
test_cold_is_greedy(void)
{
	RnModel    *model = table_model(17, 30);
	RnSearchOptions options;
	RnHypotheses greedy;
	RnHypotheses cold;
	TableSources sources;
	int			wrong = 0;
	int			s;

	begin(17, 3);
	some_sources(&sources, 0, 40);
	table_options(&options, 1, 1, 20);
	table_search(&ctx, &decoder, model, &sources, &options, &greedy, NULL);
	/* colder than the option may be, so that no two tokens are as good as equal */
	sampling_options(&options, 1, 1e-9, 0, 20);
	table_search(&ctx, &decoder, model, &sources, &options, &cold, NULL);
	for (s = 0; s < 40; s++)
		wrong += greedy.items[s].n != cold.items[s].n ||
			memcmp(greedy.items[s].ids, cold.items[s].ids, greedy.items[s].n * sizeof(int32_t)) != 0;
	CHECK(wrong == 0, "with hardly any temperature sampling is greedy: %d differ", wrong);
	rn_hypotheses_free(&greedy);
	rn_hypotheses_free(&cold);
	rn_model_free(model);
}

/* A draw depends on seed and sentence, not on the batch. */
static void
test_seeds(int top_k)
{
	enum
	{
		S = 12,
		N = 5
	};
	RnModel    *model = table_model(23, 30);
	RnSearchOptions options;
	RnHypotheses together;
	RnHypotheses again;
	TableSources sources;
	int			differ = 0;
	int			other = 0;
	int			repeated = 0;
	int			s,
				i;

	begin(23, 8);
	some_sources(&sources, 0, S);
	sampling_options(&options, N, 1.2, top_k, 12);
	options.seed = 4711;
	table_search(&ctx, &decoder, model, &sources, &options, &together, NULL);
	CHECK(wrong_scores(&together, 0, 1, 1) == 0, "scores of what was drawn are the model's");
	for (s = 0; s < S; s++)
	{
		RnHypotheses alone;

		some_sources(&sources, s, 1);
		table_search(&ctx, &decoder, model, &sources, &options, &alone, NULL);
		for (i = 0; i < N; i++)
			differ += !same_hypothesis(&alone.items[i], &together.items[s * N + i]);
		for (i = 1; i < N; i++)
			repeated += same_hypothesis(&alone.items[i], &alone.items[0]);
		rn_hypotheses_free(&alone);
	}
	CHECK(differ == 0 && repeated < S, "alone or together the same is drawn (top_k %d): %d differ", top_k, differ);
	options.seed = 4712;
	some_sources(&sources, 0, S);
	table_search(&ctx, &decoder, model, &sources, &options, &again, NULL);
	for (i = 0; i < S * N; i++)
		other += !same_hypothesis(&again.items[i], &together.items[i]);
	CHECK(other > S * N / 2, "another seed draws something else: %d of %d", other, S * N);
	rn_hypotheses_free(&together);
	rn_hypotheses_free(&again);
	rn_model_free(model);
}

/* ---- every answer there is ---- */

#define MAX_ANSWERS		2000

typedef struct Answer
{
	int32_t		ids[TABLE_TOKENS];
	int			n;				/* end included */
	double		score;
} Answer;

static Answer answers[MAX_ANSWERS];
static int	n_answers;

static void
walk(uint64_t name, int32_t *ids, int step, int limit, double log_probability, double exponent)
{
	double		lp[TABLE_VOCABULARY];
	int			v;

	table_log_probabilities(&decoder, name, step, lp);
	for (v = 0; v < decoder.vocabulary; v++)
	{
		if (v == TABLE_PAD || (step == limit && v != TABLE_END))
			continue;
		ids[step] = v;
		if (v != TABLE_END)
			walk(table_mix(name, v), ids, step + 1, limit, log_probability + lp[v], exponent);
		else if (n_answers < MAX_ANSWERS)
		{
			Answer	   *answer = &answers[n_answers++];

			memcpy(answer->ids, ids, sizeof(answer->ids));
			answer->n = step + 1;
			answer->score = (log_probability + lp[v]) / pow(step + 1, exponent);
		}
	}
}

static int
compare_answers(const void *left, const void *right)
{
	const Answer *a = left;
	const Answer *b = right;

	return (a->score < b->score) - (a->score > b->score);
}

/* How often a phrase stands in an answer, one behind the other. */
static int
times(const int32_t *ids, int n, const int32_t *phrase, int length)
{
	int			count = 0;
	int			i;

	for (i = 0; i + length <= n; i++)
	{
		if (memcmp(ids + i, phrase, length * sizeof(int32_t)) == 0)
		{
			count++;
			i += length - 1;
		}
	}
	return count;
}

static uint8_t kinds[TABLE_VOCABULARY];

static void
make_demand(RnDemand *demand, const int32_t *prefix, int n_prefix, unsigned guard, const Wish *wishes, int n)
{
	int			i;

	memset(demand, 0, sizeof(*demand));
	demand->prefix = (int32_t *) prefix;
	demand->n_prefix = n_prefix;
	rn_context_reset(&ctx);
	if (n > 0)
		rn_phrases_create(&ctx, kinds, guard, &demand->phrases);
	for (i = 0; i < n; i++)
		rn_phrases_add(&ctx, demand->phrases, wishes[i].ids, wishes[i].n, NULL, 0, 0, wishes[i].wanted);
}

/* A beam as wide as the tree finds every answer that fulfils the demand, and no other. */
static void
test_exhaustive(const char *what, const int32_t *prefix, int n_prefix, const Wish *wishes, int n_wishes, int min_length)
{
	RnModel    *model = table_model(5, 30);
	RnSearchOptions options;
	RnHypotheses found;
	TableSources sources;
	RnDemand	demand;
	const RnDemand *demands[1] = {&demand};
	int32_t		ids[TABLE_TOKENS];
	double		each[TABLE_TOKENS];
	int			right = 0;
	int			wrong = 0;
	int			a,
				i;

	begin(5, 99);
	wishes_of[0] = wishes;
	n_wishes_of[0] = n_wishes;
	n_answers = 0;
	walk(table_mix(table_sentence_name(&decoder, 17), TABLE_START), ids, 0, 3, 0, 0.8);
	for (a = 0; a < n_answers; a++)
	{
		int			good = answers[a].n > min_length && answers[a].n > n_prefix &&
			(n_prefix == 0 || memcmp(answers[a].ids, prefix, n_prefix * sizeof(int32_t)) == 0);

		for (i = 0; i < n_wishes; i++)
			good &= times(answers[a].ids, answers[a].n, wishes[i].ids, wishes[i].n) >= wishes[i].wanted;
		if (good)
		{
			walk_along(7, answers[a].ids, answers[a].n, each);
			answers[a].score = score_of(0, each, answers[a].ids, answers[a].n, 0.8);
			answers[right++] = answers[a];
		}
	}
	qsort(answers, right, sizeof(Answer), compare_answers);
	make_demand(&demand, prefix, n_prefix, 0, wishes, n_wishes);
	table_demands = demands;
	some_sources(&sources, 7, 1);
	table_options(&options, RN_BEAM_MAX, 0.8, 3);
	options.min_length = min_length;
	if (CHECK(table_search(&ctx, &decoder, model, &sources, &options, &found, NULL) == RN_OK, "%s %s", what, ctx.message))
	{
		for (i = 0; i < RN_BEAM_MAX; i++)
		{
			const RnHypothesis *one = &found.items[i];

			if ((i < right) != (one->ids != NULL))
				wrong++;
			else if (i < right)
				wrong += one->n != answers[i].n || memcmp(one->ids, answers[i].ids, one->n * sizeof(int32_t)) != 0;
		}
		CHECK(wrong == 0 && right > 0 && wrong_scores(&found, 7, 0.8, 0) == 0,
			  "%s: %d of %d answers, best first; %d differ", what, right, n_answers, wrong);
		CHECK(!decoder.misused, "the decoder is used as its contract says");
		rn_hypotheses_free(&found);
	}
	n_wishes_of[0] = 0;
	rn_phrases_free(demand.phrases);
	rn_model_free(model);
}

static void
test_all_exhaustive(void)
{
	static const int32_t prefix[2] = {3, 4};
	static const Wish one[1] = {{{4}, 1, 1}};
	static const Wish twice[1] = {{{4}, 1, 2}};
	static const Wish pair[1] = {{{4, 3}, 2, 1}};
	static const Wish two[2] = {{{4, 3}, 2, 1}, {{1}, 1, 1}};
	static const Wish inner[1] = {{{4, 4}, 2, 1}};

	test_exhaustive("no demand", NULL, 0, NULL, 0, 0);
	test_exhaustive("min_length 2", NULL, 0, NULL, 0, 2);
	test_exhaustive("a prefix of one token", prefix, 1, NULL, 0, 0);
	test_exhaustive("a prefix of two", prefix, 2, NULL, 0, 0);
	test_exhaustive("a prefix and min_length 3", prefix, 1, NULL, 0, 3);
	test_exhaustive("a token that must appear", NULL, 0, one, 1, 0);
	test_exhaustive("a token that must appear twice", NULL, 0, twice, 1, 0);
	test_exhaustive("a phrase of two tokens", NULL, 0, pair, 1, 0);
	test_exhaustive("a phrase of two and another of one", NULL, 0, two, 2, 0);
	test_exhaustive("a phrase of one token twice", NULL, 0, inner, 1, 0);
	test_exhaustive("a phrase that the prefix has", prefix, 2, one, 1, 0);
	test_exhaustive("a phrase behind a prefix", prefix, 1, two, 1, 0);
}

/* ---- alternatives ---- */

static void
test_alternatives(int n, int beam, int n_prefix)
{
	static const int32_t prefix[3] = {5, 9, 3};
	RnModel    *model = table_model(15, 30);
	RnSearchOptions options;
	RnHypotheses found;
	TableSources sources;
	RnDemand	demand;
	const RnDemand *demands[3] = {&demand, &demand, &demand};
	int			wrong = 0;
	int			s,
				i,
				k;

	begin(15, 6);
	make_demand(&demand, prefix, n_prefix, 0, NULL, 0);
	table_demands = demands;
	some_sources(&sources, 30, 3);
	table_options(&options, beam, 1, 15);
	options.n_best = n;
	options.alternatives = 1;
	table_search(&ctx, &decoder, model, &sources, &options, &found, NULL);
	CHECK(ctx.status == RN_OK && !decoder.misused && wrong_scores(&found, 30, 1, 0) == 0, "%d alternatives %s", n,
		  ctx.message);
	for (s = 0; s < 3; s++)
	{
		uint64_t	name = table_mix(table_sentence_name(&decoder, 40 + s), TABLE_START);
		int			seen[TABLE_VOCABULARY];
		double		lp[TABLE_VOCABULARY];

		for (i = 0; i < n_prefix; i++)
			name = table_mix(name, prefix[i]);
		table_log_probabilities(&decoder, name, n_prefix, lp);
		memset(seen, 0, sizeof(seen));
		for (i = 0; i < n; i++)
		{
			const RnHypothesis *one = &found.items[s * n + i];
			int			better = 0;

			if (one->ids == NULL)
				continue;
			wrong += memcmp(one->ids, prefix, n_prefix * sizeof(int32_t)) != 0;
			wrong += seen[one->ids[n_prefix]]++ != 0;
			for (k = 0; k < 15; k++)
				better += lp[k] > lp[one->ids[n_prefix]];
			wrong += better >= n;
		}
		for (k = 0; k < 15; k++)
			wrong += seen[k] == 0 && seen[found.items[s * n].ids[n_prefix]] == 0;
	}
	CHECK(wrong == 0, "%d alternatives behind a prefix of %d, beam %d, begin with the likeliest tokens: %d wrong", n,
		  n_prefix, beam, wrong);
	rn_hypotheses_free(&found);
	rn_model_free(model);
}

/* ---- phrases in larger trees ---- */

/* Random phrases, which may begin alike: all of them are in every answer, guarded tokens nowhere else. */
static void
test_random_phrases(int round)
{
	enum
	{
		V = 30,
		S = 4
	};
	RnModel    *model = table_model(V, 64);
	RnSearchOptions options;
	RnHypotheses found;
	TableSources sources;
	RnDemand	demands[S];
	const RnDemand *pointers[S];
	Wish		wishes[S][4];
	int			n_wishes[S];
	unsigned	guard = round % 2 ? RN_PIECE_DIGIT : 0;
	int			lacking = 0;
	int			guarded = 0;
	int			missing = 0;
	int			beam = 1 + round % 5;
	int			s,
				i,
				k,
				w;

	begin(V, 1000 + round);
	for (k = 0; k < V; k++)
		kinds[k] = k >= 24 ? RN_PIECE_DIGIT : 0;
	for (s = 0; s < S; s++)
	{
		n_wishes[s] = (round + s) % 5;
		for (w = 0; w < n_wishes[s]; w++)
		{
			wishes[s][w].n = 1 + (round + w) % 3;
			wishes[s][w].wanted = 1 + (w + s) % 2;
			/* no phrase is part of another or overlaps with itself: each has tokens of its own behind the first */
			for (i = 0; i < wishes[s][w].n; i++)
				wishes[s][w].ids[i] = i == 0 && wishes[s][w].n > 1 ? 3 + round % 2 : 10 + 5 * w + i;
		}
		make_demand(&demands[s], NULL, 0, guard, wishes[s], n_wishes[s]);
		pointers[s] = &demands[s];
		wishes_of[s] = wishes[s];
		n_wishes_of[s] = n_wishes[s];
	}
	table_demands = pointers;
	some_sources(&sources, 0, S);
	table_options(&options, beam, 1, 30);
	table_search(&ctx, &decoder, model, &sources, &options, &found, NULL);
	for (s = 0; ctx.status == RN_OK && s < S; s++)
	{
		for (i = 0; i < beam; i++)
		{
			const RnHypothesis *one = &found.items[s * beam + i];
			int			in_phrases = 0;
			int			seen = 0;

			if (one->ids == NULL)
			{
				missing += i == 0;
				continue;
			}
			for (w = 0; w < n_wishes[s]; w++)
			{
				int			count = times(one->ids, one->n, wishes[s][w].ids, wishes[s][w].n);

				lacking += count < wishes[s][w].wanted;
				for (k = 0; k < wishes[s][w].n; k++)
					in_phrases += wishes[s][w].wanted * (kinds[wishes[s][w].ids[k]] != 0);
			}
			for (k = 0; k < one->n; k++)
				seen += kinds[one->ids[k]] != 0;
			guarded += guard && n_wishes[s] > 0 && seen != in_phrases;
		}
	}
	CHECK(ctx.status == RN_OK && lacking == 0 && missing == 0 && guarded == 0 && !decoder.misused &&
		  wrong_scores(&found, 0, 1, 0) == 0,
		  "round %d, beam %d: %d phrases lacking, %d without answer, %d with guarded tokens elsewhere %s", round, beam, lacking,
		  missing, guarded, ctx.message);
	rn_hypotheses_free(&found);
	for (s = 0; s < S; s++)
	{
		rn_phrases_free(demands[s].phrases);
		n_wishes_of[s] = 0;
	}
	rn_model_free(model);
}

static int
is_without_10(void *arg, const int32_t *ids, int n)
{
	int			i;

	(*(int *) arg)++;
	for (i = 0; i < n && ids[i] != 10; i++)
		;
	return i == n;
}

static void
test_room_and_refusal(void)
{
	static const Wish wishes[2] = {{{7, 8, 9}, 3, 1}, {{6}, 1, 1}};
	static const int32_t prefix[1] = {5};
	RnModel    *model = table_model(12, 30);
	RnSearchOptions options;
	RnHypotheses found;
	TableSources sources;
	RnDemand	demand;
	const RnDemand *demands[1] = {&demand};
	int			asked = 0;
	int			refused = 0;
	int			i;

	begin(12, 5);
	memset(kinds, 0, sizeof(kinds));
	make_demand(&demand, prefix, 1, 0, wishes, 2);
	table_demands = demands;
	some_sources(&sources, 0, 1);
	table_options(&options, 4, 1, 5);
	CHECK(table_search(&ctx, &decoder, model, &sources, &options, &found, NULL) == RN_OK && found.items[0].n == 6 &&
		  found.items[1].ids != NULL && found.items[2].ids == NULL,
		  "where there is just room for prefix and phrases there are two answers %s", ctx.message);
	rn_hypotheses_free(&found);
	options.max_length = 4;
	CHECK(table_search(&ctx, &decoder, model, &sources, &options, &found, NULL) == RN_INVALID && ctx.hint[0] != '\0',
		  "less room is an error: %s", ctx.message);
	options.max_length = 0;
	options.max_length_factor = 1;
	options.max_length_offset = 0;
	CHECK(table_search(&ctx, &decoder, model, &sources, &options, &found, NULL) == RN_OK && found.items[0].ids != NULL,
		  "but not where the room follows from the source");
	rn_hypotheses_free(&found);
	options.max_length = 20;
	options.max_length_factor = 0;
	demand.accepts = is_without_10;
	demand.arg = &asked;
	CHECK(table_search(&ctx, &decoder, model, &sources, &options, &found, NULL) == RN_OK && found.items[0].ids != NULL &&
		  asked > 0, "an answer is given only where it is accepted");
	for (i = 0; i < 4 && found.items[i].ids != NULL; i++)
		refused += !is_without_10(&asked, found.items[i].ids, found.items[i].n);
	CHECK(refused == 0, "%d answers were refused and given", refused);
	rn_hypotheses_free(&found);
	rn_phrases_free(demand.phrases);
	rn_model_free(model);
}

/* ---- restricted to a shortlist ---- */

enum
{
	RESTRICTED = 6,				/* sentences, of source pieces 10, 11, ... */
	R_VOCABULARY = 40
};

/* What belongs to each sentence, said independently of the shortlist's code. */
static void
make_lists(int round, int32_t *frequent, size_t *offsets, int32_t *ids, uint8_t own[RESTRICTED][R_VOCABULARY])
{
	int			e,
				k;

	memset(own, 0, RESTRICTED * R_VOCABULARY);
	for (k = 0; k < 3; k++)
		frequent[k] = 4 + (round * 5 + k * 11) % 36;
	offsets[0] = 0;
	for (e = 0; e < R_VOCABULARY; e++)
	{
		int			n = e < 4 ? 0 : (e * 7 + round) % 6;	/* the sources go on with piece 0 */

		for (k = 0; k < n; k++)
			ids[offsets[e] + k] = (int32_t) (rn_random_bits(round, RN_RANDOM_SAMPLE, 0, e, k) % R_VOCABULARY);
		offsets[e + 1] = offsets[e] + n;
	}
	for (e = 0; e < RESTRICTED; e++)
	{
		for (k = 0; k < 4; k++)
			own[e][k] = 1;
		for (k = 0; k < 3; k++)
			own[e][frequent[k]] = 1;
		for (k = (int) offsets[10 + e]; k < (int) offsets[11 + e]; k++)
			own[e][ids[k]] = 1;
		own[e][10 + e] = 1;
	}
}

/* Answers of one search and of another, from sentence first on. */
static int
differing_answers(const RnHypotheses *a, int first, const RnHypotheses *b, double tolerance)
{
	int			differ = 0;
	int			i,
				k;

	for (i = 0; i < b->n_sentences * b->n_best; i++)
	{
		const RnHypothesis *one = &a->items[first * a->n_best + i];
		const RnHypothesis *other = &b->items[i];

		differ += (one->ids == NULL) != (other->ids == NULL);
		if (one->ids == NULL || other->ids == NULL)
			continue;
		differ += one->n != other->n || memcmp(one->ids, other->ids, one->n * sizeof(int32_t)) != 0;
		differ += !(fabs(one->score - other->score) <= tolerance);
		for (k = 0; k < one->n && one->n == other->n; k++)
			differ += !(fabs(one->log_probabilities[k] - other->log_probabilities[k]) <= tolerance);
	}
	return differ;
}

/*
 * A table whose other numbers are -infinity is what a restricted search must
 * see; and what stands beside a sentence must not matter, to the bit.
 */
static void
test_restricted(const char *what, const RnSearchOptions *options, const RnDemand *demand)
{
	RnModel    *model = table_model(R_VOCABULARY, 40);
	const RnDemand *demands[RESTRICTED];
	int			different = 0;
	int			dependent = 0;
	int			outside = 0;
	int			answers = 0;
	int			failed = 0;
	int			misused = 0;
	int			round,
				s,
				i,
				k;

	for (s = 0; s < RESTRICTED; s++)
		demands[s] = s % 2 ? demand : NULL;
	for (round = 0; round < 15; round++)
	{
		uint8_t		own[RESTRICTED][R_VOCABULARY];
		int32_t		frequent[3];
		int32_t		ids[6 * R_VOCABULARY];
		size_t		offsets[R_VOCABULARY + 1];
		RnShortlist *shortlist;
		RnRestriction *restriction;
		TableSources sources;
		RnHypotheses together;
		RnHypotheses alone;

		begin(R_VOCABULARY, 100 + round);
		make_lists(round, frequent, offsets, ids, own);
		some_sources(&sources, 0, RESTRICTED);
		table_demands = demands;
		if (rn_shortlist_create(&ctx, R_VOCABULARY, frequent, 3, offsets, ids, &shortlist) != RN_OK ||
			rn_restriction_create(&ctx, shortlist, &sources.packed, sources.ids, demands, &restriction) != RN_OK)
			break;
		table_restriction = restriction;
		if (table_search(&ctx, &decoder, model, &sources, options, &together, NULL) != RN_OK)
			break;
		rn_restriction_free(restriction);
		for (s = 0; s < RESTRICTED; s++)
		{
			for (k = 0; demands[s] != NULL && k < demands[s]->n_prefix; k++)
				own[s][demands[s]->prefix[k]] = 1;
			for (k = 0; demands[s] != NULL && demands[s]->phrases != NULL && k < 3; k++)
				own[s][30 + k] = 1;
			some_sources(&sources, s, 1);
			table_demands = &demands[s];
			for (k = 0; k < R_VOCABULARY; k++)
				decoder.hidden[k] = !own[s][k];
			table_restriction = NULL;
			if (table_search(&ctx, &decoder, model, &sources, options, &alone, NULL) != RN_OK)
			{
				failed++;
				break;
			}
			different += differing_answers(&together, s, &alone, TOLERANCE);
			rn_hypotheses_free(&alone);
			memset(decoder.hidden, 0, sizeof(decoder.hidden));
			if (rn_restriction_create(&ctx, shortlist, &sources.packed, sources.ids, &demands[s], &restriction) != RN_OK)
			{
				failed++;
				break;
			}
			table_restriction = restriction;
			if (table_search(&ctx, &decoder, model, &sources, options, &alone, NULL) != RN_OK)
			{
				failed++;
				break;
			}
			dependent += differing_answers(&together, s, &alone, 0);
			rn_restriction_free(restriction);
			rn_hypotheses_free(&alone);
			for (i = s * together.n_best; i < (s + 1) * together.n_best; i++)
			{
				answers += together.items[i].ids != NULL;
				for (k = 0; together.items[i].ids != NULL && k < together.items[i].n; k++)
					outside += !own[s][together.items[i].ids[k]];
			}
		}
		misused |= decoder.misused;
		rn_hypotheses_free(&together);
		rn_shortlist_free(shortlist);
	}
	CHECK(ctx.status == RN_OK && round == 15 && failed == 0 && answers > 0, "restricted, %s: %d answers %s", what, answers, ctx.message);
	CHECK(different == 0, "as where other tokens have no probability: %d differ", different);
	CHECK(dependent == 0, "whatever is searched for with them: %d differ", dependent);
	CHECK(outside == 0 && !misused, "no other token is ever said: %d", outside);
	table_restriction = NULL;
	table_demands = NULL;
	rn_model_free(model);
}

static void
test_all_restricted(void)
{
	static const uint8_t kinds[R_VOCABULARY];
	static const int32_t phrase[] = {30, 31, 32};
	int32_t		prefix[] = {33, 5};
	RnDemand	demand;
	RnSearchOptions options;

	memset(&demand, 0, sizeof(demand));
	table_options(&options, 1, 1, 8);
	test_restricted("greedy", &options, NULL);
	table_options(&options, 4, 1, 8);
	test_restricted("beam 4", &options, NULL);
	options.min_length = 3;
	test_restricted("beam 4, no end before 3", &options, NULL);
	table_options(&options, 30, 1, 5);
	test_restricted("a beam wider than a set", &options, NULL);
	sampling_options(&options, 5, 1, 0, 8);
	test_restricted("drawn from all", &options, NULL);
	sampling_options(&options, 5, 0.7, 3, 8);
	test_restricted("drawn from the best", &options, NULL);
	sampling_options(&options, 5, 2, 100, 8);
	test_restricted("drawn from more than there are", &options, NULL);
	table_options(&options, 2, 1, 8);
	options.alternatives = 1;
	options.n_best = 5;
	test_restricted("alternatives", &options, NULL);
	demand.prefix = prefix;
	demand.n_prefix = 2;
	table_options(&options, 3, 1, 8);
	test_restricted("a prefix", &options, &demand);
	rn_phrases_create(&ctx, kinds, 0, &demand.phrases);
	rn_phrases_add(&ctx, demand.phrases, phrase, 3, NULL, 0, 0, 1);
	test_restricted("a prefix and a phrase", &options, &demand);
	demand.n_prefix = 0;
	test_restricted("a phrase", &options, &demand);
	rn_phrases_free(demand.phrases);
}

int
main(void)
{
	int			round;

	rn_context_reset(&ctx);
	if (!CHECK(table_open(&ctx), "the CPU's table"))
		return check_done();
	test_frequencies(1, 0);
	test_frequencies(0.5, 0);
	test_frequencies(2, 0);
	test_frequencies(1, 3);
	test_frequencies(3, 2);
	test_cold_is_greedy();
	test_seeds(0);
	test_seeds(6);
	test_all_exhaustive();
	test_alternatives(1, 1, 0);
	test_alternatives(5, 1, 0);
	test_alternatives(5, 3, 2);
	test_alternatives(14, 4, 3);
	for (round = 0; round < 40; round++)
		test_random_phrases(round);
	test_room_and_refusal();
	test_all_restricted();
	table_kernels->lane_free(table_lane);
	return check_done();
}
