/*
 * test_translator.c
 *		Texts through a small model with random weights: what a translation
 *		does not depend on, and scores and embeddings computed another way.
 *
 * test/unit/test_translator.c
 */
#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "graph/prepared.h"
#include "test_device.h"
#include "toy_model.h"
#include "translate/placeholders.h"
#include "translate/translator.h"

#define MAX_LENGTH		48
#define N_TEXTS			150

/* A float engine sums in another order in another batch. */
#ifdef RN_DOUBLE
#define TOLERANCE		1e-9
#else
#define TOLERANCE		2e-3
#endif

static ToyModel toy;
static const RnKernels *kernels;
static RnLane *lane;
static rn_real *values;			/* device */
static RnTranslator *translator;
static const RnTerms *const *terms;	/* of the next translations; NULL: none */

static char sentences[N_TEXTS][400];
static RnText texts[N_TEXTS];

static RnText
text_of(const char *bytes)
{
	RnText		text;

	text.bytes = bytes;
	text.size = strlen(bytes);
	return text;
}

static void
make_texts(void)
{
	int			i;

	for (i = 0; i < N_TEXTS; i++)
	{
		toy_sentence(5000 + i, 1 + i * 7 % 8, sentences[i], sizeof(sentences[i]));
		texts[i] = text_of(sentences[i]);
	}
}

static RnStatus
translate(RnContext *ctx, const RnSearchOptions *options, int n, const RnText *given, RnTranslation *results)
{
	rn_context_reset(ctx);
	return rn_translate(ctx, translator, options, n, given, terms, results, NULL);
}

/* Alone, together, backwards: the same answers in the order of asking. */
static void
test_batches(int beam, int n_best)
{
	static RnTranslation together[N_TEXTS * 8];
	static RnTranslation backwards[N_TEXTS * 8];
	static RnText reversed[N_TEXTS];
	RnTranslation alone[8];
	RnSearchOptions options;
	RnContext	ctx;
	int			other_text = 0;
	int			other_score = 0;
	int			unsorted = 0;
	int			i,
				k;

	rn_search_defaults(&options);
	options.beam = beam;
	options.n_best = n_best;
	for (i = 0; i < N_TEXTS; i++)
		reversed[i] = texts[N_TEXTS - 1 - i];
	CHECK(translate(&ctx, &options, N_TEXTS, texts, together) == RN_OK, "%d texts: %s", N_TEXTS, ctx.message);
	CHECK(translate(&ctx, &options, N_TEXTS, reversed, backwards) == RN_OK, "backwards: %s", ctx.message);
	for (i = 0; i < N_TEXTS; i++)
	{
		if (i % 10 == 0 && translate(&ctx, &options, 1, &texts[i], alone) != RN_OK)
			CHECK(0, "alone: %s", ctx.message);
		for (k = 0; k < n_best; k++)
		{
			const RnTranslation *a = &together[i * n_best + k];
			const RnTranslation *b = &backwards[(N_TEXTS - 1 - i) * n_best + k];

			other_text += a->text == NULL || b->text == NULL || strcmp(a->text, b->text) != 0;
			other_score += !(fabs(a->score - b->score) <= TOLERANCE * (1 + fabs(a->score)));
			other_score += !(fabs(a->score * a->tokens - a->log_probability) <= 1e-9 * (1 + fabs(a->log_probability)));
			unsorted += k > 0 && a->score > a[-1].score;
			if (i % 10 == 0)
				other_text += alone[k].text == NULL || strcmp(a->text, alone[k].text) != 0;
		}
		if (i % 10 == 0)
			rn_translations_free(alone, n_best);
	}
	/* near-ties may fall either way in float */
	CHECK(other_text <= (sizeof(rn_real) < sizeof(double) ? N_TEXTS * n_best / 50 : 0),
		  "beam %d: a text's answers do not depend on its batch (%d of %d differ)", beam, other_text, N_TEXTS * n_best);
	CHECK(other_score <= other_text, "nor do its scores, which are log-probability by length (%d differ)", other_score);
	CHECK(unsorted == 0, "scores of %d answers fall", n_best);
	rn_translations_free(together, N_TEXTS * n_best);
	rn_translations_free(backwards, N_TEXTS * n_best);
}

static void
test_empty(void)
{
	static const char *const empty[] = {
		"", " ", " \t\n\r ", "\xc2\xa0", "\xe2\x80\x83\xe3\x80\x80", "\x01\x02\x1f", "karlo"
	};
	enum
	{
		N = sizeof(empty) / sizeof(empty[0])
	};
	RnTranslation results[2 * N];
	RnSearchOptions options;
	RnText		given[N];
	RnContext	ctx;
	int			i;

	rn_search_defaults(&options);
	options.n_best = 2;
	for (i = 0; i < N; i++)
		given[i] = text_of(empty[i]);
	if (!CHECK(translate(&ctx, &options, N, given, results) == RN_OK, "texts of nothing: %s", ctx.message))
		return;
	for (i = 0; i < N - 1; i++)
		CHECK(results[2 * i].text != NULL && results[2 * i].text[0] == '\0' && results[2 * i].tokens == 0 &&
			  results[2 * i + 1].text == NULL, "nothing (%d) gives the empty string, once", i);
	CHECK(results[2 * N - 2].text != NULL && results[2 * N - 2].tokens > 0 && results[2 * N - 1].text != NULL,
		  "a word among them is translated");
	rn_translations_free(results, 2 * N);
	CHECK(translate(&ctx, &options, 0, given, results) == RN_OK, "no text, no answer");
}

/* Longer than the model takes: cut, and said so. */
static void
test_long(void)
{
	size_t		size = 1024 * 1024;
	char	   *huge = malloc(size + 1);
	char	   *invalid = malloc(2000);
	RnTranslation results[4];
	RnSearchOptions options;
	RnText		given[4];
	RnContext	ctx;
	int32_t    *ids;
	int			n,
				cut,
				i;

	for (i = 0; i < (int) size; i++)
		huge[i] = i % 6 == 5 ? ' ' : "kamit"[i % 6];
	huge[size] = '\0';
	for (i = 0; i < 2000; i++)
		invalid[i] = (char) (128 + i * 37 % 128);
	given[0] = text_of("tan u");
	given[1] = text_of(huge);
	given[2].bytes = invalid;
	given[2].size = 2000;
	given[3] = text_of("gulze bor");
	rn_search_defaults(&options);
	options.beam = 2;
	CHECK(translate(&ctx, &options, 4, given, results) == RN_OK, "a megabyte and invalid bytes: %s", ctx.message);
	CHECK(results[0].source_cut == 0 && results[1].source_cut == 1 && results[3].source_cut == 0,
		  "only what is too long is cut");
	rn_context_reset(&ctx);
	rn_tokenizer_encode(&ctx, toy.tokenizer, given[1], MAX_LENGTH - 1, &ids, &n, &cut);
	CHECK(n == MAX_LENGTH - 1 && cut, "a source has at most %d pieces and its end", n);
	free(ids);
	for (i = 0; i < 4; i++)
		CHECK(results[i].text != NULL && results[i].tokens <= MAX_LENGTH, "an answer fits the model: %d tokens",
			  results[i].tokens);
	rn_translations_free(results, 4);
	free(huge);
	free(invalid);
}

static void
test_max_length(void)
{
	RnTranslation results[N_TEXTS];
	RnSearchOptions options;
	RnContext	ctx;
	int			longest = 0;
	int			shortest = 1000;
	int			i;

	rn_search_defaults(&options);
	options.beam = 1;
	options.max_length = 6;
	options.max_length_factor = 0;
	CHECK(translate(&ctx, &options, N_TEXTS, texts, results) == RN_OK, "answers of at most 6: %s", ctx.message);
	for (i = 0; i < N_TEXTS; i++)
	{
		longest = results[i].tokens > longest ? results[i].tokens : longest;
		shortest = results[i].tokens < shortest ? results[i].tokens : shortest;
	}
	CHECK(longest == 7, "an explicit length bounds answers: %d to %d tokens, end included", shortest, longest);
	rn_translations_free(results, N_TEXTS);
}

/* ---- another way to a score ---- */

/* log p of ids (end included) after start, by whole logits and a softmax in double. */
static double
plain_score(RnGraph *graph, const int32_t *source, int n_source, const int32_t *target, int n_target)
{
	int32_t		positions[2 * MAX_LENGTH];
	uint32_t	row_ids[2 * MAX_LENGTH];
	int32_t		source_offsets[2] = {0, n_source};
	int32_t		target_offsets[2] = {0, n_target};
	int32_t		in[MAX_LENGTH];
	RnPacked	source_rows = {1, n_source, source_offsets, positions, row_ids};
	RnPacked	target_rows = {1, n_target, target_offsets, positions, row_ids};
	int			vocabulary = toy.config.vocab_size;
	RnPass		pass;
	RnTensor   *logits;
	rn_real    *host;
	RnContext	ctx;
	double		total = 0;
	int			t,
				v;

	for (t = 0; t < 2 * MAX_LENGTH; t++)
		positions[t] = row_ids[t] = t;
	in[0] = RN_START_ID;
	for (t = 1; t < n_target; t++)
		in[t] = target[t - 1];
	memset(&pass, 0, sizeof(pass));
	pass.params = rn_model_params(toy.model);
	pass.values = values;
	rn_context_reset(&ctx);
	rn_graph_begin(graph, &pass);
	logits = rn_model_encode(toy.model, graph, &source_rows, source, NULL);
	logits = rn_model_decode(toy.model, graph, logits, &source_rows, &target_rows, in, NULL);
	logits = rn_model_logits(toy.model, graph, logits);
	if (logits != NULL)
		rn_graph_keep(graph, logits);
	if (rn_graph_forward(&ctx, graph) != RN_OK)
		return NAN;
	host = malloc((size_t) n_target * vocabulary * sizeof(rn_real));
	kernels->copy_out(lane, host, logits->value, (size_t) n_target * vocabulary * sizeof(rn_real));
	kernels->synchronize(&ctx, lane);
	for (t = 0; t < n_target; t++)
	{
		const rn_real *row = host + (size_t) t * vocabulary;
		double		sum = 0;

		for (v = 0; v < vocabulary; v++)
			sum += exp((double) row[v]);
		total += row[target[t]] - log(sum);
	}
	free(host);
	return total;
}

/* Pieces and end of a text; how many. */
static int
pieces_of(RnText text, int32_t *ids)
{
	RnContext	ctx;
	int32_t    *found;
	int			n,
				cut;

	rn_context_reset(&ctx);
	if (rn_tokenizer_encode(&ctx, toy.tokenizer, text, MAX_LENGTH - 1, &found, &n, &cut) != RN_OK)
		return 0;
	if (n > 0)
		memcpy(ids, found, n * sizeof(int32_t));
	free(found);
	ids[n] = RN_END_ID;
	return n + 1;
}

static void
test_scores(RnGraph *graph)
{
	static RnText targets[N_TEXTS];
	char		long_target[1000];
	double		log_probabilities[N_TEXTS];
	double		before[3];		/* of the pairs around number 7 */
	int			tokens[N_TEXTS];
	RnContext	ctx;
	double		worst = 0;
	int			wrong_length = 0;
	int			i;

	for (i = 0; i < N_TEXTS; i++)
		targets[i] = i == 3 ? text_of("") : texts[(i * 31 + 5) % N_TEXTS];
	rn_context_reset(&ctx);
	if (!CHECK(rn_translator_score(&ctx, translator, N_TEXTS, texts, targets, log_probabilities, tokens, NULL) == RN_OK,
			   "scores of %d pairs: %s", N_TEXTS, ctx.message))
		return;
	for (i = 0; i < N_TEXTS; i++)
	{
		int32_t		source[MAX_LENGTH];
		int32_t		target[MAX_LENGTH];
		int			n_source = pieces_of(texts[i], source);
		int			n_target = pieces_of(targets[i], target);
		double		whole = plain_score(graph, source, n_source, target, n_target);
		double		error = fabs(whole - log_probabilities[i]) / (1 + fabs(whole));

		worst = !(error <= worst) ? error : worst;
		wrong_length += tokens[i] != n_target;
	}
	CHECK(worst < (sizeof(rn_real) < sizeof(double) ? 2e-5 : 1e-11) && wrong_length == 0,
		  "log p(target | source) is that of whole logits: largest difference %.1e", worst);
	toy_sentence(1, 40, long_target, sizeof(long_target));
	targets[7] = text_of(long_target);
	for (i = 0; i < 3; i++)
		before[i] = log_probabilities[6 + i];
	CHECK(rn_translator_score(&ctx, translator, 9, texts, targets, log_probabilities, tokens, NULL) == RN_OK &&
		  tokens[7] == 0 && tokens[6] > 0 && tokens[8] > 0 && fabs(log_probabilities[6] - before[0]) < 1e-4 &&
		  fabs(log_probabilities[8] - before[2]) < 1e-4, "a target too long to be scored is left out, those beside it are not");
}

/* What the search says of its answers is what scoring them says: step by step equals at once. */
static void
test_search_scores(RnGraph *graph)
{
	RnSearchOptions options;
	RnHypotheses found;
	RnDecoder  *decoder;
	RnContext	ctx;
	double		worst = 0;
	int			n = 0;
	int			i,
				k;

	rn_search_defaults(&options);
	options.n_best = options.beam = 5;
	rn_context_reset(&ctx);
	if (!CHECK(rn_decoder_create(&ctx, toy.model, kernels, lane, &decoder) == RN_OK, "a decoder"))
		return;
	for (i = 0; i < 20; i++)
	{
		int32_t		source[MAX_LENGTH];
		int32_t		offsets[2] = {0, pieces_of(texts[i], source)};
		int32_t		positions[MAX_LENGTH];
		uint32_t	row_ids[MAX_LENGTH];
		RnPacked	packed = {1, offsets[1], offsets, positions, row_ids};

		for (k = 0; k < MAX_LENGTH; k++)
			positions[k] = row_ids[k] = k;
		if (rn_beam_search(&ctx, decoder, toy.model, kernels, lane, values, &packed, source, &options, NULL,
						   NULL, &found, NULL) != RN_OK)
			break;
		for (k = 0; k < options.n_best; k++)
		{
			const RnHypothesis *one = &found.items[k];
			double		plain;
			double		error;

			if (one->ids == NULL)
				continue;
			plain = plain_score(graph, source, offsets[1], one->ids, one->n);
			error = fabs(plain - one->log_probability) / (1 + fabs(plain));
			worst = !(error <= worst) ? error : worst;
			n++;
		}
		rn_hypotheses_free(&found);
	}
	CHECK(ctx.status == RN_OK && n >= 20 && worst < (sizeof(rn_real) < sizeof(double) ? 2e-5 : 1e-11),
		  "%d answers have the probability that the search gave them: largest difference %.1e", n, worst);
	rn_decoder_free(decoder);
}

/* ---- what answers must hold ---- */

static RnText
with_number(int i, char *buffer, size_t size)
{
	snprintf(buffer, size, "%.390s %d", sentences[i], 1000 + 7 * i);
	return text_of(buffer);
}

static void
test_sampling(void)
{
	static RnTranslation together[30 * 3];
	RnSearchOptions options;
	RnContext	ctx;
	int			differ = 0;
	int			wrong = 0;
	int			i,
				k,
				t;

	rn_search_defaults(&options);
	options.sampling = options.token_scores = 1;
	options.beam = 1;
	options.n_best = 3;
	options.seed = 99;
	CHECK(translate(&ctx, &options, 30, texts, together) == RN_OK, "30 texts, 3 samples each: %s", ctx.message);
	for (i = 0; i < 30; i++)
	{
		RnTranslation alone[3];

		translate(&ctx, &options, 1, &texts[29 - i], alone);
		for (k = 0; k < 3; k++)
		{
			const RnTranslation *one = &together[(29 - i) * 3 + k];
			double		sum = 0;

			for (t = 0; t < one->tokens; t++)
				sum += one->token_scores[t];
			differ += strcmp(one->text, alone[k].text) != 0;
			wrong += !(fabs(sum - one->log_probability) < 1e-4);
		}
		rn_translations_free(alone, 3);
	}
	CHECK(differ == 0, "a text draws the same alone and among others: %d differ", differ);
	CHECK(wrong == 0, "the scores of tokens add up: %d do not", wrong);
	rn_translations_free(together, 90);
}

/* Every answer begins with the prefix, whatever characters it has; scoring it gives the same. */
static void
test_prefix(void)
{
	static const char *const prefixes[] = {"ba", "Zoë 7", "\xe2\x82\xac 5, {x}"};
	RnSearchOptions options;
	RnContext	ctx;
	int			p;

	rn_search_defaults(&options);
	options.n_best = 4;
	for (p = 0; p < 3; p++)
	{
		RnTranslation results[20 * 4];
		RnTerms		of_all;
		const RnTerms *each[20];
		int			wrong = 0;
		int			i;

		memset(&of_all, 0, sizeof(of_all));
		rn_context_reset(&ctx);
		rn_terms_set_prefix(&ctx, &of_all, text_of(prefixes[p]));
		for (i = 0; i < 20; i++)
			each[i] = &of_all;
		terms = each;
		CHECK(translate(&ctx, &options, 20, texts, results) == RN_OK, "prefix \"%s\" %s", prefixes[p], ctx.message);
		for (i = 0; i < 20 * 4; i++)
			wrong += results[i].text != NULL && strncmp(results[i].text, prefixes[p], strlen(prefixes[p])) != 0;
		CHECK(wrong == 0 && results[0].text != NULL, "answers begin with it: %d do not, \"%s\"", wrong, results[0].text);
		rn_translations_free(results, 20 * 4);
		rn_terms_free(&of_all);
	}
	terms = NULL;
}

/* Does a word stand in a text, not within another word? */
static int
stands_in(const char *text, const char *word)
{
	const char *at;

	for (at = strstr(text, word); at != NULL; at = strstr(at + 1, word))
	{
		char		before = at > text ? at[-1] : ' ';
		char		behind = at[strlen(word)];

		if (!isalnum((unsigned char) before) && !isalnum((unsigned char) behind))
			return 1;
	}
	return 0;
}

/* A model that knows nothing is the hardest case: terms are in every answer all the same. */
static void
test_glossary(int beam, int alternatives)
{
	static RnTranslation results[40 * 4];
	static char words[40][64];
	static RnTerms of_text[40];
	const RnTerms *each[40];
	RnSearchOptions options;
	RnContext	ctx;
	int			lacking = 0;
	int			missing = 0;
	int			i,
				k;

	rn_search_defaults(&options);
	options.beam = beam;
	options.alternatives = alternatives;
	options.n_best = alternatives ? 4 : beam;
	rn_context_reset(&ctx);
	for (i = 0; i < 40; i++)
	{
		/* the last word of each text, and one that is in none */
		const char *last = strrchr(sentences[i], ' ');

		snprintf(words[i], sizeof(words[i]), "%.60s", last != NULL ? last + 1 : sentences[i]);
		rn_terms_add(&ctx, &of_text[i], text_of(words[i]), text_of(i % 2 ? "Q\xc3\xa4x-7" : "baku deno"));
		rn_terms_add(&ctx, &of_text[i], text_of("not-there"), text_of("never"));
		each[i] = &of_text[i];
	}
	terms = each;
	CHECK(translate(&ctx, &options, 40, texts, results) == RN_OK, "a glossary, beam %d: %s", beam, ctx.message);
	for (i = 0; i < 40; i++)
	{
		for (k = 0; k < options.n_best; k++)
		{
			const char *text = results[i * options.n_best + k].text;

			missing += text == NULL && k == 0;
			lacking += text != NULL && !stands_in(text, i % 2 ? "Q\xc3\xa4x-7" : "baku deno");
		}
		rn_terms_free(&of_text[i]);
	}
	CHECK(lacking == 0 && missing == 0, "every answer has its term: %d lack it, %d texts without answer; \"%s\"", lacking,
		  missing, results[0].text);
	rn_translations_free(results, 40 * options.n_best);
	terms = NULL;
}

static int
occurrences(const char *text, const char *what)
{
	int			n = 0;

	while ((text = strstr(text, what)) != NULL)
	{
		text += strlen(what);
		n++;
	}
	return n;
}

/* Placeholders come back as they are and as often. */
static void
test_preserve(int beam)
{
	static const struct
	{
		const char *text;
		const char *kept[4];
		int			times;		/* of the first */
	}			cases[] =
	{
		{"baku %s deno %s", {"%s"}, 2},
		{"{name} deno {0:.2f} %1$d", {"{name}", "{0:.2f}", "%1$d"}, 1},
		{"see https://example.org/a_b?c=d&e=%20#top, baku", {"https://example.org/a_b?c=d&e=%20#top"}, 1},
		{"deno (1,000.50) 2024-01-31 baku", {"1,000.50", "2024-01-31"}, 1},
		{"a.b+c@example.org baku ${HOME} {{ user }}", {"a.b+c@example.org", "${HOME}", "{{ user }}"}, 1},
		{"7 baku -7 deno x86-64 3D", {"-7", "x86-64", "3D"}, 1},
		{"100%", {"100"}, 1},
		{"Zo\xc3\xab \xef\xbc\x95 12", {"12"}, 1},
	};
	RnSearchOptions options;
	RnContext	ctx;
	int			c,
				k;

	rn_search_defaults(&options);
	options.beam = options.n_best = beam;
	options.preserve = 1;
	for (c = 0; c < (int) (sizeof(cases) / sizeof(cases[0])); c++)
	{
		RnText		text = text_of(cases[c].text);
		RnTranslation results[8];
		int			wrong = 0;
		int			i;

		if (!CHECK(translate(&ctx, &options, 1, &text, results) == RN_OK && results[0].text != NULL, "\"%s\" %s",
				   cases[c].text, ctx.message))
			continue;
		for (i = 0; i < beam && results[i].text != NULL; i++)
		{
			for (k = 0; k < 4 && cases[c].kept[k] != NULL; k++)
				wrong += occurrences(results[i].text, cases[c].kept[k]) != (k == 0 ? cases[c].times : 1);
		}
		CHECK(wrong == 0, "beam %d keeps it: \"%s\"", beam, results[0].text);
		rn_translations_free(results, beam);
	}
}

/* Many texts with a number each, in batches with others that have none. */
static void
test_preserve_batches(void)
{
	static char numbered[N_TEXTS][420];
	static RnText given[N_TEXTS];
	static RnTranslation results[N_TEXTS];
	static RnTranslation plain[N_TEXTS];
	RnSearchOptions options;
	RnContext	ctx;
	int			wrong = 0;
	int			differ = 0;
	int			i;

	for (i = 0; i < N_TEXTS; i++)
		given[i] = i % 2 ? with_number(i, numbered[i], sizeof(numbered[i])) : texts[i];
	rn_search_defaults(&options);
	CHECK(translate(&ctx, &options, N_TEXTS, given, plain) == RN_OK, "plain");
	options.preserve = 1;
	CHECK(translate(&ctx, &options, N_TEXTS, given, results) == RN_OK, "%d texts, some with numbers: %s", N_TEXTS,
		  ctx.message);
	for (i = 0; i < N_TEXTS; i++)
	{
		char		number[16];

		snprintf(number, sizeof(number), "%d", 1000 + 7 * i);
		if (i % 2)
			wrong += results[i].text == NULL || occurrences(results[i].text, number) != 1;
		else
			differ += strcmp(results[i].text, plain[i].text) != 0;
	}
	CHECK(wrong == 0 && differ == 0, "numbers are kept (%d are not), texts without are as without the option (%d differ)",
		  wrong, differ);
	rn_translations_free(results, N_TEXTS);
	rn_translations_free(plain, N_TEXTS);
}

/* What is found in a text. */
static void
test_placeholders(void)
{
	static const struct
	{
		const char *text;
		const char *found;
	}			cases[] =
	{
		{"nothing here", ""}, {"100% of 5 apples", "100|5"}, {"%d%% of %(n)s", "%d|%%|%(n)s"}, {"50 % off", "50"},
		{"a{b}c {} {{x}} { y } {z", "{b}|{}|{{x}}"}, {"www.a.de. (http://b.c/d) x://", "www.a.de|http://b.c/d"},
		{"v1.2.3, B2B and COVID-19", "v1.2.3|B2B|19"}, {"-5 to +3, 3-5, 5-year", "-5|+3|3-5|5"},
		{"1.", "1"}, {"10:30. 1/2", "10:30|1/2"}, {"x@y z@ @w", "x@y"}, {"100%such %5.2f%ld", "100|%5.2f|%ld"},
		{"_9 9_", "9"}, {"", ""}, {"%", ""}, {"{", ""}
	};
	int			c;

	for (c = 0; c < (int) (sizeof(cases) / sizeof(cases[0])); c++)
	{
		char		found[200] = "";
		size_t		size = strlen(cases[c].text);
		size_t		at = 0;
		size_t		start;

		while (rn_placeholder_next(cases[c].text, size, &at, &start))
		{
			if (found[0] != '\0')
				strcat(found, "|");
			strncat(found, cases[c].text + start, at - start);
		}
		CHECK(strcmp(found, cases[c].found) == 0, "\"%s\" has \"%s\"", cases[c].text, found);
	}
}

/* Terms are words, the longest first. */
static void
test_terms(void)
{
	static const char text[] = "the old house, oldest house of Old Town; house";
	static const int expected[] = {1, 0, 0};
	RnTerms		of_text;
	RnContext	ctx;
	size_t		at = 0;
	size_t		start;
	int			wrong = 0;
	int			n = 0;
	int			term;

	memset(&of_text, 0, sizeof(of_text));
	rn_context_reset(&ctx);
	rn_terms_add(&ctx, &of_text, text_of("house"), text_of("a"));
	rn_terms_add(&ctx, &of_text, text_of(" old \t house "), text_of("b"));
	rn_terms_add(&ctx, &of_text, text_of("old"), text_of("c"));
	rn_terms_add(&ctx, &of_text, text_of("ouse"), text_of("d"));
	while ((term = rn_terms_next(&of_text, 0, text, sizeof(text) - 1, &at, &start)) >= 0)
	{
		wrong += n >= 3 || term != expected[n];
		n++;
	}
	CHECK(wrong == 0 && n == 3, "%d terms are found", n);
	CHECK(rn_terms_add(&ctx, &of_text, text_of(" "), text_of("e")) == RN_INVALID, "%s", ctx.message);
	rn_context_reset(&ctx);
	CHECK(rn_terms_add(&ctx, &of_text, text_of("e"), text_of("")) == RN_INVALID, "%s", ctx.message);
	rn_terms_free(&of_text);
}

/* ---- alignment ---- */

static void
test_alignment(void)
{
	RnAlignment alignments[10];
	double		log_probabilities[10];
	int			tokens[10];
	RnContext	ctx;
	double		worst = 0;
	double		worst_sum = 0;
	int			wrong = 0;
	int			i,
				j,
				k;

	rn_context_reset(&ctx);
	CHECK(rn_translator_align(&ctx, translator, 10, texts, texts + 10, alignments, NULL) == RN_OK, "10 alignments: %s",
		  ctx.message);
	rn_translator_score(&ctx, translator, 10, texts, texts + 10, log_probabilities, tokens, NULL);
	for (i = 0; i < 10; i++)
	{
		const RnAlignment *one = &alignments[i];
		double		sum = 0;

		wrong += one->n_target != tokens[i] || one->target_ids[one->n_target - 1] != RN_END_ID ||
			one->source_ids[one->n_source - 1] != RN_END_ID;
		for (j = 0; j < one->n_target; j++)
		{
			double		row = 0;

			for (k = 0; k < one->n_source; k++)
			{
				row += one->weights[j * one->n_source + k];
				wrong += !(one->weights[j * one->n_source + k] >= 0);
			}
			worst = fabs(row - 1) > worst ? fabs(row - 1) : worst;
			sum += one->token_scores[j];
		}
		worst_sum = fabs(sum - log_probabilities[i]) > worst_sum ? fabs(sum - log_probabilities[i]) : worst_sum;
		rn_alignment_free(&alignments[i]);
	}
	CHECK(wrong == 0 && worst < 1e-5, "the weights of a piece add up to 1: largest difference %.1e", worst);
	CHECK(worst_sum < 1e-3, "the scores of tokens add up to that of the target: largest difference %.1e", worst_sum);
}

/* ---- embedding ---- */

static void
test_embeddings(void)
{
	static float together[N_TEXTS * 32];
	static rn_real memory[MAX_LENGTH * 32];
	int			width = toy.config.d_model;
	RnDecoder  *decoder;
	RnContext	ctx;
	double		worst = 0;
	int			i,
				c,
				r;

	rn_context_reset(&ctx);
	CHECK(rn_translator_embed(&ctx, translator, N_TEXTS, texts, together, NULL) == RN_OK, "%d embeddings: %s", N_TEXTS,
		  ctx.message);
	if (!CHECK(rn_decoder_create(&ctx, toy.model, kernels, lane, &decoder) == RN_OK, "a decoder"))
		return;
	for (i = 0; i < N_TEXTS; i += 10)
	{
		int32_t		source[MAX_LENGTH];
		int32_t		offsets[2] = {0, pieces_of(texts[i], source)};
		int32_t		positions[MAX_LENGTH];
		uint32_t	row_ids[MAX_LENGTH];
		RnPacked	packed = {1, offsets[1], offsets, positions, row_ids};

		for (r = 0; r < MAX_LENGTH; r++)
			positions[r] = row_ids[r] = r;
		if (!CHECK(rn_decoder_begin(&ctx, decoder, values, &packed, source, 1, 1) == RN_OK, "encode"))
			break;
		kernels->copy_out(lane, memory, rn_decoder_memory(decoder), (size_t) offsets[1] * width * sizeof(rn_real));
		kernels->synchronize(&ctx, lane);
		for (c = 0; c < width; c++)
		{
			double		mean = 0;

			for (r = 0; r < offsets[1]; r++)
				mean += memory[r * width + c] / offsets[1];
			if (!(fabs(mean - together[i * width + c]) <= worst))
				worst = fabs(mean - together[i * width + c]);
		}
	}
	CHECK(worst < 1e-5, "an embedding is the mean of the encoder's output: largest difference %.1e", worst);
	rn_decoder_free(decoder);
}

/* ---- stopping ---- */

static volatile int stop_flag;

static void *
stop_soon(void *arg)
{
	struct timespec pause = {0, 20000000};

	(void) arg;
	nanosleep(&pause, NULL);
	__atomic_store_n(&stop_flag, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void
test_stop(void)
{
	enum
	{
		N = 20000
	};
	RnTranslation *results = malloc(N * sizeof(RnTranslation));
	RnText	   *given = malloc(N * sizeof(RnText));
	RnSearchOptions options;
	RnContext	ctx;
	pthread_t	thread;
	int			left = 0;
	int			i;

	rn_search_defaults(&options);
	for (i = 0; i < N; i++)
		given[i] = texts[i % N_TEXTS];
	pthread_create(&thread, NULL, stop_soon, NULL);
	rn_context_reset(&ctx);
	CHECK(rn_translate(&ctx, translator, &options, N, given, NULL, results, &stop_flag) == RN_CANCELLED,
		  "a translation stops when told to: %s", ctx.message);
	pthread_join(thread, NULL);
	for (i = 0; i < N; i++)
		left += results[i].text != NULL;
	CHECK(left == 0, "and leaves no answer behind");
	rn_context_reset(&ctx);
	CHECK(translate(&ctx, &options, 3, texts, results) == RN_OK, "the next one works");
	rn_translations_free(results, 3);
	free(results);
	free(given);
}

static RnStatus
place_values(RnContext *ctx)
{
	size_t		bytes = rn_model_params(toy.model)->size * sizeof(rn_real);

	RN_TRY(kernels->allocate(ctx, bytes, (void **) &values));
	kernels->copy_in(lane, values, toy.values, bytes);
	return kernels->synchronize(ctx, lane);
}

/* ---- with a shortlist ---- */

/* frequent: so many ids from 4 on are in every set; beside them a few of each piece. */
static RnShortlist *
make_shortlist(int n_frequent, int each)
{
	int			vocabulary = toy.config.vocab_size;
	int32_t    *frequent = malloc(vocabulary * sizeof(int32_t));
	size_t	   *offsets = malloc((vocabulary + 1) * sizeof(size_t));
	int32_t    *ids = malloc((size_t) vocabulary * (each + 1) * sizeof(int32_t));
	RnShortlist *shortlist = NULL;
	RnContext	ctx;
	int			e,
				k;

	rn_context_reset(&ctx);
	for (k = 0; k < n_frequent; k++)
		frequent[k] = 4 + k;
	for (offsets[0] = 0, e = 0; e < vocabulary; e++)
	{
		for (k = 0; k < each; k++)
			ids[offsets[e] + k] = (e * 37 + k * 101) % vocabulary;
		offsets[e + 1] = offsets[e] + each;
	}
	CHECK(rn_shortlist_create(&ctx, vocabulary, frequent, n_frequent, offsets, ids, &shortlist) == RN_OK,
		  "a shortlist of %d frequent pieces and %d of each: %s", n_frequent, each, ctx.message);
	free(frequent);
	free(offsets);
	free(ids);
	return shortlist;
}

/* Answers that are not alike to the bit. */
static int
differing(const RnTranslation *a, const RnTranslation *b, int n)
{
	int			differ = 0;
	int			i;

	for (i = 0; i < n; i++)
	{
		if (a[i].text == NULL || b[i].text == NULL)
			differ += a[i].text != b[i].text;
		else
			differ += strcmp(a[i].text, b[i].text) != 0 || a[i].tokens != b[i].tokens || a[i].score != b[i].score ||
				memcmp(a[i].token_scores, b[i].token_scores, a[i].tokens * sizeof(double)) != 0;
	}
	return differ;
}

/* One that holds all pieces changes nothing, to the bit. */
static void
test_whole_shortlist(const char *what, const RnSearchOptions *given)
{
	RnTranslation with[40 * 4];
	RnTranslation without[40 * 4];
	RnSearchOptions options = *given;
	RnShortlist *shortlist = make_shortlist(toy.config.vocab_size - 4, 0);
	int			n = 40 * options.n_best;
	RnContext	ctx;

	options.token_scores = 1;
	rn_translator_restrict(translator, shortlist);
	CHECK(translate(&ctx, &options, 40, texts, with) == RN_OK, "%s, with a shortlist: %s", what, ctx.message);
	options.shortlist = 0;
	CHECK(translate(&ctx, &options, 40, texts, without) == RN_OK, "%s, and without: %s", what, ctx.message);
	CHECK(differing(with, without, n) == 0, "%s, of all pieces: %d of %d answers differ", what,
		  differing(with, without, n), n);
	rn_translations_free(with, n);
	rn_translations_free(without, n);
	rn_translator_restrict(translator, NULL);
	rn_shortlist_free(shortlist);
}

static int
says_another(const RnShortlist *shortlist, RnText source, const RnTranslation *answer)
{
	uint64_t	set[64] = {0};
	int32_t		ids[MAX_LENGTH];
	int			n = pieces_of(source, ids);
	int			i;

	rn_shortlist_add(shortlist, ids, n, set);
	for (i = 0; i < answer->tokens; i++)
	{
		if (!(set[answer->ids[i] / 64] >> answer->ids[i] % 64 & 1))
			return 1;
	}
	return 0;
}

/* Few pieces: nothing else is said, alone or together. */
static void
test_strict_shortlist(const char *what, const RnSearchOptions *given)
{
	static RnTranslation together[N_TEXTS * 4];
	static RnTranslation all[N_TEXTS * 4];
	RnSearchOptions options = *given;
	RnShortlist *shortlist = make_shortlist(3, 4);
	int			n = N_TEXTS * options.n_best;
	RnContext	ctx;
	int			other_text = 0;
	int			other_pieces = 0;
	int			as_before = 0;
	int			i,
				k;

	options.token_scores = 1;
	rn_translator_restrict(translator, shortlist);
	CHECK(translate(&ctx, &options, N_TEXTS, texts, together) == RN_OK, "%s, strict: %s", what, ctx.message);
	for (i = 0; i < N_TEXTS; i++)
	{
		RnTranslation alone[4];

		if (i % 5 == 0)
			translate(&ctx, &options, 1, &texts[i], alone);
		for (k = 0; k < options.n_best; k++)
		{
			const RnTranslation *one = &together[i * options.n_best + k];

			other_pieces += one->text != NULL && says_another(shortlist, texts[i], one);
			other_text += i % 5 == 0 && (one->text == NULL || alone[k].text == NULL ? one->text != alone[k].text :
										 strcmp(one->text, alone[k].text) != 0);
		}
		if (i % 5 == 0)
			rn_translations_free(alone, options.n_best);
	}
	options.shortlist = 0;
	translate(&ctx, &options, N_TEXTS, texts, all);
	for (i = 0; i < n; i++)
		as_before += all[i].text != NULL && together[i].text != NULL && strcmp(all[i].text, together[i].text) == 0;
	CHECK(other_pieces == 0, "%s: other pieces are said %d times", what, other_pieces);
	CHECK(other_text <= (sizeof(rn_real) < sizeof(double) ? N_TEXTS * options.n_best / 250 : 0),
		  "%s: answers do not depend on their batch: %d differ", what, other_text);
	CHECK(as_before < n / 2, "%s: and where a call says so others may be: %d of %d are alike", what, as_before, n);
	rn_translations_free(together, n);
	rn_translations_free(all, n);
	rn_translator_restrict(translator, NULL);
	rn_shortlist_free(shortlist);
}

/* What must be said is said all the same. */
static void
test_demanded_shortlist(void)
{
	RnShortlist *shortlist = make_shortlist(3, 4);
	RnTranslation results[20];
	RnSearchOptions options;
	RnText		given[20];
	char		buffers[20][500];
	RnTerms		own;
	const RnTerms *of_texts[20];
	RnText		prefix = text_of("gulze");
	RnContext	ctx;
	int			missing = 0;
	int			i;

	rn_context_reset(&ctx);
	memset(&own, 0, sizeof(own));
	rn_terms_set_prefix(&ctx, &own, prefix);
	for (i = 0; i < 20; i++)
	{
		given[i] = with_number(i, buffers[i], sizeof(buffers[i]));
		of_texts[i] = &own;
	}
	rn_search_defaults(&options);
	options.preserve = 1;
	terms = of_texts;
	rn_translator_restrict(translator, shortlist);
	CHECK(translate(&ctx, &options, 20, given, results) == RN_OK, "strict, with a prefix and numbers: %s", ctx.message);
	for (i = 0; i < 20; i++)
	{
		char		number[16];

		snprintf(number, sizeof(number), "%d", 1000 + 7 * i);
		missing += results[i].text == NULL || strncmp(results[i].text, "gulze", 5) != 0 ||
			strstr(results[i].text, number) == NULL;
	}
	CHECK(missing == 0, "%d answers lack the prefix or the number", missing);
	rn_translations_free(results, 20);
	terms = NULL;
	rn_terms_free(&own);
	rn_translator_restrict(translator, NULL);
	rn_shortlist_free(shortlist);
}

static void
test_shortlists(void)
{
	RnSearchOptions greedy;
	RnSearchOptions beam;
	RnSearchOptions drawn;

	rn_search_defaults(&greedy);
	greedy.beam = 1;
	rn_search_defaults(&beam);
	beam.n_best = 4;
	drawn = greedy;
	drawn.sampling = 1;
	drawn.n_best = 3;
	test_whole_shortlist("greedy", &greedy);
	test_whole_shortlist("beam 4", &beam);
	test_whole_shortlist("drawn", &drawn);
	test_strict_shortlist("greedy", &greedy);
	test_strict_shortlist("beam 4", &beam);
	test_strict_shortlist("drawn", &drawn);
	test_demanded_shortlist();
}

/* With weights made ready, where the device has such, and as they are, where it does not need them. */
static void
test_all_shortlists(void)
{
	static const RnFormat formats[] = {RN_FORMAT_REAL, RN_FORMAT_INT8};
	const RnParams *params = rn_model_params(toy.model);
	RnPreparedWeights *prepared;
	RnContext	ctx;
	int			i;

	rn_context_reset(&ctx);
	for (i = 0; i < 2; i++)
	{
		if (rn_prepared_size(kernels, params, formats[i]) == 0)
			continue;
		if (!CHECK(rn_prepare_weights(&ctx, kernels, lane, params, values, formats[i], &prepared) == RN_OK,
				   "weights of format %d: %s", (int) formats[i], ctx.message))
			return;
		rn_translator_use(translator, prepared);
		test_shortlists();
		rn_translator_use(translator, NULL);
		rn_prepared_free(prepared);
	}
	if (rn_prepared_size(kernels, params, RN_FORMAT_REAL) == 0)
		test_shortlists();
}

int
main(void)
{
	RnContext	ctx;
	RnGraph    *graph;

	rn_context_reset(&ctx);
	kernels = test_device();
	if (!CHECK(kernels != NULL && kernels->lane_create(&ctx, &lane) == RN_OK &&
			   rn_graph_create(&ctx, kernels, lane, &graph) == RN_OK, "a device: %s", ctx.message) ||
		!CHECK(toy_model_create(&toy, 2, 32, MAX_LENGTH, 3), "a small model") ||
		!CHECK(place_values(&ctx) == RN_OK, "its weights on the device: %s", ctx.message) ||
		!CHECK(rn_translator_create(&ctx, toy.model, values, toy.tokenizer, kernels, &translator) == RN_OK,
			   "a translator: %s", ctx.message))
		return check_done();
	make_texts();
	test_batches(1, 1);
	test_batches(4, 1);
	test_batches(6, 6);
	test_empty();
	test_long();
	test_max_length();
	test_scores(graph);
	test_search_scores(graph);
	test_sampling();
	test_prefix();
	test_glossary(1, 0);
	test_glossary(4, 0);
	test_glossary(2, 1);
	test_placeholders();
	test_terms();
	test_preserve(1);
	test_preserve(4);
	test_preserve_batches();
	test_alignment();
	test_embeddings();
	test_all_shortlists();
	test_stop();
	rn_translator_free(translator);
	kernels->release(values, rn_model_params(toy.model)->size * sizeof(rn_real));
	toy_model_free(&toy);
	rn_graph_free(graph);
	kernels->lane_free(lane);
	return check_done();
}
