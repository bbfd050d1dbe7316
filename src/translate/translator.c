/*
 * translator.c
 *		Texts in, texts out.
 *
 * Texts are cut into pieces first, then packed into batches, like lengths
 * together: so the hypotheses of a batch end at about the same step, and the
 * products stay large to the end.
 *
 * src/translate/translator.c
 */
#include "translate/packing.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "translate/demands.h"
#include "translate/restriction.h"

RnStatus
rn_translator_create(RnContext *ctx, const RnModel *model, const rn_real *values, const RnTokenizer *tokenizer,
					 const RnKernels *kernels, RnTranslator **result)
{
	RnTranslator *translator = calloc(1, sizeof(*translator));
	RnStatus	status;

	*result = NULL;
	if (translator == NULL)
		return rn_out_of_memory(ctx, sizeof(*translator));
	translator->model = model;
	translator->values = values;
	translator->tokenizer = tokenizer;
	translator->kernels = kernels;
	status = kernels->lane_create(ctx, &translator->lane);
	if (status == RN_OK)
		status = rn_decoder_create(ctx, model, kernels, translator->lane, &translator->decoder);
	if (status == RN_OK)
		status = rn_graph_create(ctx, kernels, translator->lane, &translator->graph);
	if (status == RN_OK)
		*result = translator;
	else
		rn_translator_free(translator);
	return status;
}

void
rn_translator_free(RnTranslator *translator)
{
	if (translator == NULL)
		return;
	if (translator->graph != NULL)
		rn_graph_free(translator->graph);
	if (translator->decoder != NULL)
		rn_decoder_free(translator->decoder);
	if (translator->lane != NULL)
		translator->kernels->lane_free(translator->lane);
	free(translator->kinds);
	free(translator);
}

size_t
rn_translator_bytes(const RnTranslator *translator)
{
	return rn_decoder_bytes(translator->decoder) + rn_graph_memory(translator->graph);
}

void
rn_translator_use(RnTranslator *translator, const RnPreparedWeights *prepared)
{
	translator->prepared = prepared;
	rn_decoder_use(translator->decoder, prepared);
}

void
rn_translator_restrict(RnTranslator *translator, const RnShortlist *shortlist)
{
	translator->shortlist = shortlist;
}

void
rn_translator_values(RnTranslator *translator, const rn_real *values)
{
	translator->values = values;
}

void
rn_translations_free(RnTranslation *translations, int n)
{
	int			i;

	for (i = 0; i < n; i++)
	{
		free(translations[i].text);
		free(translations[i].ids);
		free(translations[i].token_scores);
		memset(&translations[i], 0, sizeof(RnTranslation));
	}
}

static int
is_blank(const RnText *text)
{
	size_t		at = 0;

	while (at < text->size)
	{
		if (!rn_utf8_is_space(rn_utf8_next(text->bytes, text->size, &at)))
			return 0;
	}
	return 1;
}

/* Longest first; equal ones as they came. */
static int
compare_lengths(const void *left, const void *right)
{
	const RnCutText *a = left;
	const RnCutText *b = right;

	if (a->n != b->n)
		return b->n - a->n;
	return a->text - b->text;
}

/* ---- answers ---- */

static RnStatus
keep_tokens(RnContext *ctx, const RnHypothesis *hypothesis, RnTranslation *result)
{
	size_t		n = hypothesis->n;

	result->ids = malloc(n * sizeof(int32_t));
	result->token_scores = malloc(n * sizeof(double));
	if (result->ids == NULL || result->token_scores == NULL)
		return rn_out_of_memory(ctx, n * (sizeof(int32_t) + sizeof(double)));
	memcpy(result->ids, hypothesis->ids, n * sizeof(int32_t));
	memcpy(result->token_scores, hypothesis->log_probabilities, n * sizeof(double));
	return RN_OK;
}

static RnStatus
read_answer(RnContext *ctx, const RnTranslator *translator, const RnSearchOptions *options,
			const RnTextDemand *demand, const RnHypothesis *hypothesis, RnTranslation *result)
{
	if (demand != NULL)
		RN_TRY(rn_demand_text(ctx, demand, hypothesis->ids, hypothesis->n, &result->text));
	else
		RN_TRY(rn_tokenizer_decode(ctx, translator->tokenizer, hypothesis->ids, hypothesis->n, &result->text));
	result->score = hypothesis->score;
	result->log_probability = hypothesis->log_probability;
	result->tokens = hypothesis->n;
	return options->token_scores ? keep_tokens(ctx, hypothesis, result) : RN_OK;
}

static RnStatus
read_answers(RnContext *ctx, const RnTranslator *translator, const RnSearchOptions *options, const RnCutText *pieces,
			 RnTextDemand *const *demands, const RnHypotheses *found, RnTranslation *results)
{
	int			s,
				i;

	for (s = 0; s < found->n_sentences; s++)
	{
		const RnHypothesis *hypotheses = &found->items[(size_t) s * found->n_best];
		const RnTextDemand *demand = demands[pieces[s].text];

		if (demand != NULL && hypotheses[0].ids == NULL)
			return rn_demand_failed(ctx, demand);
		for (i = 0; i < found->n_best; i++)
		{
			RnTranslation *result = &results[(size_t) pieces[s].text * found->n_best + i];

			result->source_cut = pieces[s].cut;
			if (hypotheses[i].ids != NULL)
				RN_TRY(read_answer(ctx, translator, options, demand, &hypotheses[i], result));
		}
	}
	return RN_OK;
}

/* Nothing translates to nothing, whatever the model would make of it. */
static RnStatus
answer_empty(RnContext *ctx, RnTranslation *result)
{
	result->text = strdup("");
	return result->text != NULL ? RN_OK : rn_out_of_memory(ctx, 1);
}

/* ---- translating ---- */

static RnStatus
translate_batch(RnContext *ctx, RnTranslator *translator, const RnSearchOptions *options, int n,
				const RnCutText *pieces, RnTextDemand *const *demands, RnTranslation *results,
				const volatile int *stop)
{
	const RnDemand *of_search[RN_BATCH_ROWS];
	RnRestriction *restriction = NULL;
	RnHypotheses found;
	RnStatus	status;
	RnSide		source;
	int			s;

	for (s = 0; s < n; s++)
		of_search[s] = rn_demand_of_search(demands[pieces[s].text]);
	RN_TRY(rn_pack_side(ctx, translator, n, pieces, 0, &source));
	status = RN_OK;
	if (options->shortlist && translator->shortlist != NULL)
		status = rn_restriction_create(ctx, translator->shortlist, &source.packed, source.ids, of_search, &restriction);
	if (status == RN_OK)
		status = rn_beam_search(ctx, translator->decoder, translator->model, translator->kernels, translator->lane,
								translator->values, &source.packed, source.ids, options, of_search, restriction,
								&found, stop);
	rn_restriction_free(restriction);
	rn_free_side(&source);
	RN_TRY(status);
	status = read_answers(ctx, translator, options, pieces, demands, &found, results);
	rn_hypotheses_free(&found);
	return status;
}

/* What each text demands, and how many hypotheses it takes; empty texts are answered at once. */
static RnStatus
prepare(RnContext *ctx, RnTranslator *translator, const RnSearchOptions *options, int n, const RnText *texts,
		const RnTerms *const *terms, RnCutText *pieces, RnTextDemand **demands, RnTranslation *results, int *n_full)
{
	int			i;

	*n_full = 0;
	for (i = 0; i < n; i++)
	{
		if (pieces[i].n == 0 || is_blank(&texts[i]))
		{
			free(pieces[i].ids);
			pieces[i].ids = NULL;
			pieces[i].n = 0;
			RN_TRY(answer_empty(ctx, &results[(size_t) i * options->n_best]));
			continue;
		}
		RN_TRY(rn_demand_create(ctx, translator, options, texts[i], &pieces[i], terms != NULL ? terms[i] : NULL,
								&demands[i]));
		pieces[i].rows = rn_search_rows(options, rn_demand_of_search(demands[i]));
		(*n_full)++;
	}
	return RN_OK;
}

static RnStatus
translate_all(RnContext *ctx, RnTranslator *translator, const RnSearchOptions *options, int n, const RnText *texts,
			  const RnTerms *const *terms, RnCutText *pieces, RnTextDemand **demands, RnTranslation *results,
			  const volatile int *stop)
{
	int			n_full;
	int			first;
	int			size;

	RN_TRY(prepare(ctx, translator, options, n, texts, terms, pieces, demands, results, &n_full));
	qsort(pieces, n, sizeof(RnCutText), compare_lengths);
	for (first = 0; first < n_full; first += size)
	{
		RN_TRY(rn_check_stop(ctx, stop));
		size = rn_batch_size(translator, pieces + first, n_full - first);
		RN_TRY(translate_batch(ctx, translator, options, size, pieces + first, demands, results, stop));
	}
	return RN_OK;
}

/* Where the bound is that of the source's length, the model knows how much longer answers are. */
static RnSearchOptions
bounded_by_model(const RnTranslator *translator, const RnSearchOptions *options)
{
	RnSearchOptions own = *options;
	double		factor = rn_model_config(translator->model)->length_factor;

	if (factor > 0 && options->max_length_factor > 0)
		own.max_length_factor = factor;
	return own;
}

RnStatus
rn_translate(RnContext *ctx, RnTranslator *translator, const RnSearchOptions *options, int n, const RnText *texts,
			 const RnTerms *const *terms, RnTranslation *results, const volatile int *stop)
{
	RnSearchOptions own = bounded_by_model(translator, options);
	RnTextDemand **demands;
	RnCutText  *pieces;
	RnStatus	status;
	int			i;

	memset(results, 0, (size_t) n * options->n_best * sizeof(RnTranslation));
	RN_TRY(rn_check_stop(ctx, stop));
	demands = calloc(n ? n : 1, sizeof(RnTextDemand *));
	if (demands == NULL)
		return rn_out_of_memory(ctx, n * sizeof(RnTextDemand *));
	status = rn_cut_texts(ctx, translator, n, texts, &pieces);
	if (status == RN_OK)
	{
		status = translate_all(ctx, translator, &own, n, texts, terms, pieces, demands, results, stop);
		rn_free_cut_texts(pieces, n);
	}
	if (status != RN_OK)
		rn_translations_free(results, n * options->n_best);
	for (i = 0; i < n; i++)
		rn_demand_free(demands[i]);
	free(demands);
	return status;
}

/* ---- what it takes ---- */

/* Let work be enough for a batch, too. */
static void
add_work(const RnTranslator *translator, const RnPacked *source, const RnSearchSize *size, RnWork *work)
{
	const RnConfig *config = rn_model_config(translator->model);
	const size_t scores = rn_attention_size(source, source, config->heads);
	int			longest = size->steps;
	int			s;

	for (s = 0; s < source->n_sentences; s++)
	{
		int			rows = source->offsets[s + 1] - source->offsets[s];
		int			seen = rn_model_is_encoder_decoder(translator->model) ? rows : rows + size->steps;

		longest = seen > longest ? seen : longest;
	}
	work->rows = work->rows > source->rows ? work->rows : source->rows;
	work->rows = work->rows > size->rows ? work->rows : size->rows;
	work->longest = work->longest > longest ? work->longest : longest;
	work->width = config->d_model;
	work->widest = 3 * config->d_model > config->d_ffn ? 3 * config->d_model : config->d_ffn;
	work->scores = work->scores > scores ? work->scores : scores;
}

static RnStatus
measure_batch(RnContext *ctx, RnTranslator *translator, const RnSearchOptions *options, int n, const RnCutText *pieces,
			  RnTranslatorNeed *need)
{
	RnSearchSize size;
	RnSide		source;

	RN_TRY(rn_pack_side(ctx, translator, n, pieces, 0, &source));
	size = rn_search_size(options, rn_model_longest(translator->model), &source.packed);
	add_work(translator, &source.packed, &size, &need->work);
	rn_decoder_measure(ctx, translator->decoder, translator->values, &source.packed, source.ids, size.rows, size.steps,
					   size.cells, &need->decoder);
	rn_free_side(&source);
	return ctx->status;
}

RnStatus
rn_translator_measure(RnContext *ctx, RnTranslator *translator, const RnSearchOptions *options, int n,
					  const RnText *texts, RnTranslatorNeed *need)
{
	RnSearchOptions own = bounded_by_model(translator, options);
	RnCutText  *pieces;
	int			first;
	int			size;
	int			i;

	RN_TRY(rn_cut_texts(ctx, translator, n, texts, &pieces));
	for (i = 0; i < n; i++)
		pieces[i].rows = rn_search_rows(&own, NULL);
	qsort(pieces, n, sizeof(RnCutText), compare_lengths);
	for (first = 0; first < n && ctx->status == RN_OK; first += size)
	{
		size = rn_batch_size(translator, pieces + first, n - first);
		measure_batch(ctx, translator, &own, size, pieces + first, need);
	}
	rn_free_cut_texts(pieces, n);
	return ctx->status;
}

size_t
rn_translator_need_bytes(const RnTranslator *translator, const RnTranslatorNeed *need)
{
	/* scores of a batch's hypotheses come and go */
	return rn_decoder_need_bytes(translator->decoder, &need->decoder) + translator->kernels->lane_bytes(&need->work) + 4096;
}

RnStatus
rn_translator_reserve(RnContext *ctx, RnTranslator *translator, const RnTranslatorNeed *need)
{
	RN_TRY(translator->kernels->lane_reserve(ctx, translator->lane, &need->work));
	return rn_decoder_reserve(ctx, translator->decoder, &need->decoder);
}
