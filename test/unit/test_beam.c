/*
 * test_beam.c
 *		The search, over a decoder that is a table of random numbers.
 *
 * The whole tree of answers is known (table_decoder.h), and small trees can be
 * searched exhaustively.  The judge is a plain search that ranks every
 * candidate of one sentence at a time.
 *
 * test/unit/test_beam.c
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "table_decoder.h"

/* ---- the judge ---- */

typedef struct Answer
{
	int32_t		ids[TABLE_TOKENS];
	int			n;
	double		log_probability;
	double		score;
} Answer;

typedef struct Prefix
{
	uint64_t	name;
	int32_t		ids[TABLE_TOKENS];
	double		log_probability;
} Prefix;

typedef struct Choice
{
	double		score;
	int			beam;
	int			id;
} Choice;

static int
compare_choices(const void *left, const void *right)
{
	const Choice *a = left;
	const Choice *b = right;

	if (a->score != b->score)
		return a->score < b->score ? 1 : -1;
	return a->beam != b->beam ? a->beam - b->beam : a->id - b->id;
}

/* Answers of one sentence in the order of ending; how many, and rows that a decoder would have run. */
static int
judge_search(const RnDecoder *decoder, int32_t first_piece, int beam, double exponent, int limit, Answer *done,
			 long *rows)
{
	static Prefix prefixes[RN_BEAM_MAX];
	static Prefix next[RN_BEAM_MAX];
	static Choice choices[RN_BEAM_MAX * TABLE_VOCABULARY];
	int			n_prefixes = 1;
	int			n_done = 0;
	int			step,
				b,
				v,
				i;

	prefixes[0].name = table_mix(table_sentence_name(decoder, first_piece), TABLE_START);
	prefixes[0].log_probability = 0;
	for (step = 0; n_prefixes > 0; step++)
	{
		int			n = 0;
		int			n_next = 0;

		*rows += n_prefixes;
		for (b = 0; b < n_prefixes; b++)
		{
			double		lp[TABLE_VOCABULARY];

			table_log_probabilities(decoder, prefixes[b].name, step, lp);
			for (v = 0; v < decoder->vocabulary; v++)
			{
				if (lp[v] == -INFINITY || (step == limit && v != TABLE_END))
					continue;
				choices[n].score = prefixes[b].log_probability + lp[v];
				choices[n].beam = b;
				choices[n++].id = v;
			}
		}
		qsort(choices, n, sizeof(Choice), compare_choices);
		if (n > 2 * beam)
			n = 2 * beam;
		for (i = 0; i < n && i < beam; i++)
		{
			Answer	   *answer = &done[n_done];

			if (choices[i].id != TABLE_END || n_done == beam)
				continue;
			memcpy(answer->ids, prefixes[choices[i].beam].ids, step * sizeof(int32_t));
			answer->ids[step] = TABLE_END;
			answer->n = step + 1;
			answer->log_probability = choices[i].score;
			answer->score = choices[i].score / pow(answer->n, exponent);
			n_done++;
		}
		if (n_done == beam || step == limit)
			return n_done;
		for (i = 0; i < n && n_next < beam; i++)
		{
			if (choices[i].id == TABLE_END)
				continue;
			next[n_next] = prefixes[choices[i].beam];
			next[n_next].ids[step] = choices[i].id;
			next[n_next].name = table_mix(next[n_next].name, choices[i].id);
			next[n_next++].log_probability = choices[i].score;
		}
		memcpy(prefixes, next, n_next * sizeof(Prefix));
		n_prefixes = n_next;
	}
	return n_done;
}

/* Best first, stable. */
static void
rank_answers(Answer *answers, int n)
{
	int			i,
				j;

	for (i = 0; i < n; i++)
	{
		for (j = n - 1; j > i; j--)
		{
			if (answers[j].score > answers[j - 1].score)
			{
				Answer		moved = answers[j];

				answers[j] = answers[j - 1];
				answers[j - 1] = moved;
			}
		}
	}
}

/* ---- running the search ---- */

/* Are the answers of a sentence those of the judge? */
static int
same_answers(const RnHypothesis *found, int n_best, const Answer *answers, int n)
{
	int			i;

	for (i = 0; i < n_best; i++)
	{
		if (i >= n)
		{
			if (found[i].ids != NULL)
				return 0;
			continue;
		}
		if (found[i].ids == NULL || found[i].n != answers[i].n ||
			memcmp(found[i].ids, answers[i].ids, answers[i].n * sizeof(int32_t)) != 0)
			return 0;
		if (fabs(found[i].score - answers[i].score) > 1e-5 * (1 + fabs(answers[i].score)) ||
			fabs(found[i].log_probability - answers[i].log_probability) >
			1e-5 * (1 + fabs(answers[i].log_probability)))
			return 0;
	}
	return 1;
}

/* ---- the tests ---- */

/* Many sentences in one batch, against the judge on each. */
static void
test_against_judge(TableKind kind, int vocabulary, int beam, double exponent, int max_length, double factor)
{
	enum
	{
		N = 9
	};
	static const int numbers[N] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
	static const int lengths[N] = {1, 4, 2, 9, 3, 3, 1, 6, 2};
	RnDecoder	decoder;
	RnModel    *model = table_model(vocabulary, 40);
	RnSearchOptions options;
	RnHypotheses found;
	RnContext	ctx;
	TableSources		sources;
	long		rows = 0;
	int			wrong = 0;
	int			s;

	memset(&decoder, 0, sizeof(decoder));
	decoder.kind = kind;
	decoder.vocabulary = vocabulary;
	decoder.seed = table_mix(vocabulary, beam);
	table_sources(&sources, N, numbers, lengths);
	table_options(&options, beam, exponent, max_length);
	options.max_length_factor = factor;
	options.max_length_offset = factor > 0 ? 1 : 0;
	if (CHECK(table_search(&ctx, &decoder, model, &sources, &options, &found, NULL) == RN_OK,
			  "kind %d, V %d, beam %d: %s", kind, vocabulary, beam, ctx.message))
	{
		for (s = 0; s < N; s++)
		{
			Answer		answers[RN_BEAM_MAX];
			int			limit = 39;
			int			n;

			if (max_length > 0 && max_length < limit)
				limit = max_length;
			if (factor > 0 && (int) (factor * (lengths[s] - 1)) + 1 < limit)
				limit = (int) (factor * (lengths[s] - 1)) + 1;
			n = judge_search(&decoder, 10 + numbers[s], beam, exponent, limit, answers, &rows);
			rank_answers(answers, n);
			wrong += !same_answers(&found.items[(size_t) s * beam], beam, answers, n);
		}
		CHECK(wrong == 0, "kind %d, V %d, beam %d, penalty %g, max_length %d, factor %g: %d of %d sentences differ",
			  kind, vocabulary, beam, exponent, max_length, factor, wrong, N);
		CHECK(decoder.rows_seen == rows, "finished sentences leave the batch: %ld rows of %ld", decoder.rows_seen, rows);
		CHECK(!decoder.misused, "the decoder is used as its contract says");
		rn_hypotheses_free(&found);
	}
	free(decoder.logits);
	rn_model_free(model);
}

/* Every answer there is, in a tree small enough to walk. */
static int
walk(const RnDecoder *decoder, Prefix *prefix, int step, int limit, double exponent, Answer *answers, int n)
{
	double		lp[TABLE_VOCABULARY];
	int			v;

	table_log_probabilities(decoder, prefix->name, step, lp);
	for (v = 0; v < decoder->vocabulary; v++)
	{
		Prefix		longer = *prefix;

		if (v == TABLE_PAD || (step == limit && v != TABLE_END))
			continue;
		longer.ids[step] = v;
		longer.log_probability += lp[v];
		longer.name = table_mix(prefix->name, v);
		if (v != TABLE_END)
		{
			n = walk(decoder, &longer, step + 1, limit, exponent, answers, n);
			continue;
		}
		memcpy(answers[n].ids, longer.ids, sizeof(longer.ids));
		answers[n].n = step + 1;
		answers[n].log_probability = longer.log_probability;
		answers[n].score = longer.log_probability / pow(step + 1, exponent);
		n++;
	}
	return n;
}

static void
test_exhaustive(double exponent)
{
	static Answer answers[64];
	static const int numbers[1] = {3};
	static const int lengths[1] = {2};
	RnDecoder	decoder;
	RnModel    *model = table_model(4, 40);
	RnSearchOptions options;
	RnHypotheses found;
	RnContext	ctx;
	TableSources		sources;
	Prefix		root;
	int			n;

	/* tokens START, END and 3: 1 + 2 + 4 + 8 + 16 answers of up to five tokens */
	memset(&decoder, 0, sizeof(decoder));
	decoder.vocabulary = 4;
	decoder.seed = 77;
	memset(&root, 0, sizeof(root));
	root.name = table_mix(table_sentence_name(&decoder, 13), TABLE_START);
	n = walk(&decoder, &root, 0, 4, exponent, answers, 0);
	rank_answers(answers, n);
	table_sources(&sources, 1, numbers, lengths);
	table_options(&options, RN_BEAM_MAX, exponent, 4);
	table_search(&ctx, &decoder, model, &sources, &options, &found, NULL);
	CHECK(ctx.status == RN_OK && n == 31, "a beam as wide as the tree: %d answers", n);
	CHECK(ctx.status == RN_OK && same_answers(found.items, options.n_best, answers, n),
		  "a beam as wide as the tree finds all of it, best first (penalty %g)", exponent);
	rn_hypotheses_free(&found);
	free(decoder.logits);
	rn_model_free(model);
}

/* Beam 1 takes the most probable token until that is end. */
static void
test_greedy(void)
{
	static const int numbers[3] = {20, 21, 22};
	static const int lengths[3] = {3, 1, 5};
	RnDecoder	decoder;
	RnModel    *model = table_model(7, 30);
	RnSearchOptions options;
	RnHypotheses found;
	RnContext	ctx;
	TableSources		sources;
	int			wrong = 0;
	int			s;

	memset(&decoder, 0, sizeof(decoder));
	decoder.vocabulary = 7;
	decoder.seed = 5;
	table_sources(&sources, 3, numbers, lengths);
	table_options(&options, 1, 1, 0);
	table_search(&ctx, &decoder, model, &sources, &options, &found, NULL);
	for (s = 0; ctx.status == RN_OK && s < 3; s++)
	{
		uint64_t	name = table_mix(table_sentence_name(&decoder, 10 + numbers[s]), TABLE_START);
		int			step;
		int			best = TABLE_PAD;

		for (step = 0; best != TABLE_END; step++)
		{
			double		lp[TABLE_VOCABULARY];
			int			v;

			table_log_probabilities(&decoder, name, step, lp);
			best = TABLE_END;
			for (v = 0; step < 29 && v < 7; v++)
				best = lp[v] > lp[best] || (lp[v] == lp[best] && v < best) ? v : best;
			wrong += step >= found.items[s].n || found.items[s].ids[step] != best;
			name = table_mix(name, best);
		}
		wrong += found.items[s].n != step;
	}
	CHECK(ctx.status == RN_OK && wrong == 0, "beam 1 takes the most probable token: %d differ", wrong);
	rn_hypotheses_free(&found);
	free(decoder.logits);
	rn_model_free(model);
}

/* A batch gives what its sentences give alone, in any order, to the last bit. */
static void
test_batch(void)
{
	static const int together[4] = {1, 2, 3, 4};
	static const int backwards[4] = {4, 3, 2, 1};
	static const int lengths[4] = {2, 2, 2, 2};
	RnDecoder	decoder;
	RnModel    *model = table_model(11, 30);
	RnSearchOptions options;
	RnHypotheses forth;
	RnHypotheses back;
	RnContext	ctx;
	TableSources		sources;
	int			wrong = 0;
	int			s,
				i;

	memset(&decoder, 0, sizeof(decoder));
	decoder.vocabulary = 11;
	decoder.seed = 9;
	table_options(&options, 4, 0.6, 0);
	table_sources(&sources, 4, together, lengths);
	table_search(&ctx, &decoder, model, &sources, &options, &forth, NULL);
	table_sources(&sources, 4, backwards, lengths);
	table_search(&ctx, &decoder, model, &sources, &options, &back, NULL);
	for (s = 0; s < 4; s++)
	{
		for (i = 0; i < 4; i++)
		{
			RnHypothesis *a = &forth.items[s * 4 + i];
			RnHypothesis *b = &back.items[(3 - s) * 4 + i];

			wrong += a->n != b->n || a->score != b->score || memcmp(a->ids, b->ids, a->n * sizeof(int32_t)) != 0;
			wrong += i > 0 && a->score > forth.items[s * 4 + i - 1].score;
			wrong += a->ids[a->n - 1] != TABLE_END;
		}
	}
	CHECK(wrong == 0, "the order of a batch does not matter, scores fall, answers end: %d wrong", wrong);
	rn_hypotheses_free(&forth);
	rn_hypotheses_free(&back);
	free(decoder.logits);
	rn_model_free(model);
}

static void
test_endings(void)
{
	static const int numbers[2] = {1, 2};
	static const int lengths[2] = {2, 3};
	RnDecoder	decoder;
	RnModel    *model = table_model(6, 12);
	RnSearchOptions options;
	RnHypotheses found;
	RnContext	ctx;
	TableSources		sources;
	volatile int stop = 0;

	memset(&decoder, 0, sizeof(decoder));
	decoder.vocabulary = 6;
	table_sources(&sources, 2, numbers, lengths);
	table_options(&options, 3, 1, 0);

	decoder.kind = TABLE_ALWAYS_END;
	table_search(&ctx, &decoder, model, &sources, &options, &found, NULL);
	CHECK(ctx.status == RN_OK && found.items[0].n == 1 && found.items[0].ids[0] == TABLE_END &&
		  found.items[1].ids == NULL && found.items[3].n == 1,
		  "where nothing else is possible there is one empty answer");
	rn_hypotheses_free(&found);

	decoder.kind = TABLE_NEVER_END;
	table_search(&ctx, &decoder, model, &sources, &options, &found, NULL);
	CHECK(ctx.status == RN_OK && found.items[0].ids == NULL && decoder.steps == 12,
		  "where end is impossible there is no answer after %d steps", decoder.steps);
	rn_hypotheses_free(&found);

	decoder.kind = TABLE_NOT_A_NUMBER;
	table_search(&ctx, &decoder, model, &sources, &options, &found, NULL);
	CHECK(ctx.status == RN_DIVERGED, "a model that gives no numbers is an error: %s", ctx.message);

	decoder.kind = TABLE_NEVER_END;
	decoder.fail_at = 4;
	table_search(&ctx, &decoder, model, &sources, &options, &found, NULL);
	CHECK(ctx.status == RN_NO_MEMORY, "what the decoder fails with is passed on");
	decoder.fail_at = 0;

	decoder.kind = TABLE_NEVER_END;
	decoder.stop = &stop;
	decoder.stop_at = 5;
	table_search(&ctx, &decoder, model, &sources, &options, &found, &stop);
	CHECK(ctx.status == RN_CANCELLED && decoder.steps == 6, "a stop is seen before the next step (%d)", decoder.steps);
	decoder.stop = NULL;

	sources.packed.n_sentences = sources.packed.rows = 0;
	table_search(&ctx, &decoder, model, &sources, &options, &found, NULL);
	CHECK(ctx.status == RN_OK && found.n_sentences == 0, "no sentence, no answer");
	rn_hypotheses_free(&found);
	options.n_best = 4;
	CHECK(table_search(&ctx, &decoder, model, &sources, &options, &found, NULL) == RN_INVALID, "more answers than beam");
	options.beam = options.n_best = RN_BEAM_MAX + 1;
	CHECK(table_search(&ctx, &decoder, model, &sources, &options, &found, NULL) == RN_INVALID, "a beam too wide");
	free(decoder.logits);
	rn_model_free(model);
}

/* Options that contradict each other, one pair after another. */
static void
test_contradictions(void)
{
	static const char *const cases[][6] = {
		{"sampling", "true", "beam", "4", "contradict", NULL},
		{"sampling", "true", "beam", "1", NULL, NULL},
		{"sampling", "true", "preserve", "true", "contradict", NULL},
		{"sampling", "true", "alternatives", "true", "contradict", NULL},
		{"sampling", "true", "temperature", "2", NULL, NULL},
		{"sampling", "false", "temperature", "2", "without sampling", NULL},
		{"beam", "4", "seed", "1", "without sampling", NULL},
		{"beam", "4", "top_k", "5", "without sampling", NULL},
		{"min_length", "5", "max_length", "4", "exceeds", NULL},
		{"min_length", "5", "max_length", "5", NULL, NULL},
		{"n_best", "5", "beam", "4", "exceeds", NULL},
		{"n_best", "17", "alternatives", "true", "too many", NULL},
		{"n_best", "16", "alternatives", "true", NULL, NULL},
		{"n_best", "64", "sampling", "true", NULL, NULL},
	};
	RnSearchOptions options;
	RnContext	ctx;
	int			i;

	for (i = 0; i < (int) (sizeof(cases) / sizeof(cases[0])); i++)
	{
		const char *wrong = cases[i][4];
		RnStatus	status;

		rn_context_reset(&ctx);
		rn_search_defaults(&options);
		rn_search_set(&ctx, &options, cases[i][0], cases[i][1]);
		rn_search_set(&ctx, &options, cases[i][2], cases[i][3]);
		status = rn_search_check(&ctx, &options);
		CHECK(wrong == NULL ? status == RN_OK :
			  status == RN_INVALID && strstr(ctx.message, wrong) != NULL && ctx.hint[0] != '\0',
			  "%s %s and %s %s: %s", cases[i][0], cases[i][1], cases[i][2], cases[i][3], ctx.message);
	}
	rn_context_reset(&ctx);
	rn_search_defaults(&options);
	rn_search_set(&ctx, &options, "sampling", "true");
	options.has_glossary = 1;
	CHECK(rn_search_check(&ctx, &options) == RN_INVALID, "sampling and glossary: %s", ctx.message);
}

/* The texts of options: ranges, words, and what is close to a wrong word. */
static void
test_options(void)
{
	static const struct
	{
		const char *key;
		const char *value;
		RnStatus	status;
	}			cases[] =
	{
		{"beam", "1", RN_OK}, {"beam", "64", RN_OK}, {"beam", "0", RN_INVALID}, {"beam", "65", RN_INVALID},
		{"beam", "4.0", RN_INVALID}, {"beam", "", RN_INVALID}, {"beam", " 4", RN_INVALID}, {"beam", "4x", RN_INVALID},
		{"beam", "99999999999999999999", RN_INVALID}, {"length_penalty", "0", RN_OK}, {"length_penalty", "0.6", RN_OK},
		{"length_penalty", "nan", RN_INVALID}, {"length_penalty", "inf", RN_INVALID}, {"length_penalty", "-1", RN_INVALID},
		{"length_penalty", "0x1", RN_INVALID}, {"length_penalty", "1e", RN_INVALID}, {"max_length", "17", RN_OK},
		{"sampling", "true", RN_OK}, {"sampling", "off", RN_OK}, {"sampling", "1", RN_INVALID},
		{"temperature", "0.7", RN_OK}, {"temperature", "0", RN_INVALID}, {"top_k", "1000", RN_OK}, {"top_k", "-1", RN_INVALID},
		{"seed", "9223372036854775807", RN_OK}, {"seed", "9223372036854775808", RN_INVALID}, {"seed", "-1", RN_INVALID},
		{"min_length", "3", RN_OK}, {"prefix", "a", RN_INVALID}, {"glossary", "a", RN_INVALID},
		{"preserve", "true", RN_OK}, {"alternatives", "perhaps", RN_INVALID},
		{"n_best", "3", RN_OK}, {"precision", "float32", RN_OK}, {"precision", "float", RN_INVALID},
		{"beams", "4", RN_INVALID}, {"", "4", RN_INVALID}
	};
	const RnOption *list;
	RnSearchOptions options;
	RnContext	ctx;
	int			n;
	int			i;

	for (i = 0; i < (int) (sizeof(cases) / sizeof(cases[0])); i++)
	{
		RnStatus	status;

		rn_search_defaults(&options);
		rn_context_reset(&ctx);
		status = rn_search_set(&ctx, &options, cases[i].key, cases[i].value);
		CHECK(status == cases[i].status && (status == RN_OK) == (ctx.message[0] == '\0'), "option %s = \"%s\": %s",
			  cases[i].key, cases[i].value, ctx.message);
	}
	rn_context_reset(&ctx);
	rn_search_set(&ctx, &options, "beams", "4");
	CHECK(strstr(ctx.hint, "\"beam\"") != NULL, "the nearest key is the hint: %s", ctx.hint);

	rn_search_defaults(&options);
	CHECK(options.beam == 4 && options.n_best == 1 && options.length_penalty == 1 && options.max_length == 0 &&
		  options.max_length_factor == 2 && options.max_length_offset == 10, "defaults are those of the table");
	rn_context_reset(&ctx);
	rn_search_set(&ctx, &options, "max_length", "5");
	CHECK(options.max_length == 5 && options.max_length_factor == 0, "an explicit length is the only bound");
	rn_search_set(&ctx, &options, "n_best", "5");
	CHECK(rn_search_check(&ctx, &options) == RN_INVALID, "n_best above beam: %s", ctx.message);
	rn_context_reset(&ctx);
	rn_search_defaults(&options);
	test_contradictions();
	rn_search_set(&ctx, &options, "precision", "int8");
	CHECK(rn_search_check(&ctx, &options) == RN_OK && options.precision == RN_INT8, "8-bit products %s", ctx.message);
	list = rn_search_option_list(&n);
	for (i = 0; i < n; i++)
		CHECK(list[i].meaning[0] != '\0' && list[i].group == RN_GROUP_TRANSLATION &&
			  (list[i].minimum != NULL) == (list[i].type == RN_OPTION_INTEGER || list[i].type == RN_OPTION_NUMBER) &&
			  (list[i].choices != NULL) == (list[i].type == RN_OPTION_CHOICE), "option \"%s\" is described", list[i].name);
}

int
main(void)
{
	static const double exponents[] = {0, 0.6, 1};
	static const int beams[] = {1, 2, 3, 4, 7, 64};
	RnContext	ctx;
	int			b,
				e;

	rn_context_reset(&ctx);
	if (!CHECK(table_open(&ctx), "the CPU's table"))
		return check_done();
	for (b = 0; b < (int) (sizeof(beams) / sizeof(beams[0])); b++)
	{
		for (e = 0; e < 3; e++)
			test_against_judge(TABLE_RANDOM, 8 + 5 * b, beams[b], exponents[e], 0, 0);
		test_against_judge(TABLE_RANDOM, 33, beams[b], 1, 5, 0);
		test_against_judge(TABLE_RANDOM, 9, beams[b], 1, 0, 1.5);
		test_against_judge(TABLE_RANDOM, 3, beams[b], 1, 12, 0);
		test_against_judge(TABLE_UNIFORM, 13, beams[b], 1, 6, 0);
		test_against_judge(TABLE_LEVELS, 10, beams[b], 0, 7, 0);
		test_against_judge(TABLE_NEVER_END, 10, beams[b], 1, 9, 0);
	}
	test_exhaustive(0);
	test_exhaustive(1);
	test_greedy();
	test_batch();
	test_endings();
	test_options();
	table_kernels->lane_free(table_lane);
	return check_done();
}
