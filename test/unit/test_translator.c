/*
 * test_translator.c
 *		Texts through a small model with random weights: what a translation
 *		does not depend on, and scores and embeddings computed another way.
 *
 * test/unit/test_translator.c
 */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "toy_model.h"
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
	pass.values = toy.values;
	rn_context_reset(&ctx);
	rn_graph_begin(graph, &pass);
	logits = rn_model_encode(toy.model, graph, &source_rows, source, NULL);
	logits = rn_model_decode(toy.model, graph, logits, &source_rows, &target_rows, in, NULL);
	logits = rn_model_logits(toy.model, graph, logits);
	if (logits != NULL)
		rn_graph_keep(graph, logits);
	if (rn_graph_forward(&ctx, graph) != RN_OK)
		return NAN;
	for (t = 0; t < n_target; t++)
	{
		const rn_real *row = logits->value + (size_t) t * vocabulary;
		double		sum = 0;

		for (v = 0; v < vocabulary; v++)
			sum += exp((double) row[v]);
		total += row[target[t]] - log(sum);
	}
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
		double		plain = plain_score(graph, source, n_source, target, n_target);
		double		error = fabs(plain - log_probabilities[i]) / (1 + fabs(plain));

		worst = !(error <= worst) ? error : worst;
		wrong_length += tokens[i] != n_target;
	}
	CHECK(worst < (sizeof(rn_real) < sizeof(double) ? 2e-5 : 1e-11) && wrong_length == 0,
		  "log p(target | source) is that of whole logits: largest difference %.1e", worst);
	toy_sentence(1, 40, long_target, sizeof(long_target));
	targets[7] = text_of(long_target);
	CHECK(rn_translator_score(&ctx, translator, 8, texts, targets, log_probabilities, tokens, NULL) == RN_LIMIT,
		  "a target too long to be scored is an error: %s", ctx.message);
}

/* What the search says of its answers is what scoring them says: step by step equals at once. */
static void
test_search_scores(RnGraph *graph, RnLane *lane)
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
		if (rn_beam_search(&ctx, decoder, toy.model, kernels, lane, toy.values, &packed, source, &options, NULL,
						   &found, NULL) != RN_OK)
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

/* ---- embedding ---- */

static void
test_embeddings(RnLane *lane)
{
	static float together[N_TEXTS * 32];
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
		if (!CHECK(rn_decoder_begin(&ctx, decoder, toy.values, &packed, source, 1, 1) == RN_OK, "encode"))
			break;
		for (c = 0; c < width; c++)
		{
			double		mean = 0;

			for (r = 0; r < offsets[1]; r++)
				mean += rn_decoder_memory(decoder)[r * width + c] / offsets[1];
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

int
main(void)
{
	RnContext	ctx;
	RnLane	   *lane;
	RnGraph    *graph;

	rn_context_reset(&ctx);
	kernels = rn_cpu_kernels();
	if (!CHECK(kernels != NULL && kernels->lane_create(&ctx, &lane) == RN_OK &&
			   rn_graph_create(&ctx, kernels, lane, &graph) == RN_OK, "the CPU's table: %s", ctx.message) ||
		!CHECK(toy_model_create(&toy, 2, 32, MAX_LENGTH, 3), "a small model") ||
		!CHECK(rn_translator_create(&ctx, toy.model, toy.values, toy.tokenizer, kernels, &translator) == RN_OK,
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
	test_search_scores(graph, lane);
	test_embeddings(lane);
	test_stop();
	rn_translator_free(translator);
	toy_model_free(&toy);
	rn_graph_free(graph);
	kernels->lane_free(lane);
	return check_done();
}
