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
	free(translator);
}

void
rn_translations_free(RnTranslation *translations, int n)
{
	int			i;

	for (i = 0; i < n; i++)
	{
		free(translations[i].text);
		translations[i].text = NULL;
	}
}

/* ---- translating ---- */

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

static RnStatus
read_answers(RnContext *ctx, const RnTranslator *translator, const RnCutText *pieces, const RnHypotheses *found,
			 RnTranslation *results)
{
	int			s,
				i;

	for (s = 0; s < found->n_sentences; s++)
	{
		for (i = 0; i < found->n_best; i++)
		{
			const RnHypothesis *hypothesis = &found->items[(size_t) s * found->n_best + i];
			RnTranslation *result = &results[(size_t) pieces[s].text * found->n_best + i];

			result->source_cut = pieces[s].cut;
			if (hypothesis->ids == NULL)
				continue;
			RN_TRY(rn_tokenizer_decode(ctx, translator->tokenizer, hypothesis->ids, hypothesis->n, &result->text));
			result->score = hypothesis->score;
			result->log_probability = hypothesis->log_probability;
			result->tokens = hypothesis->n;
		}
	}
	return RN_OK;
}

static RnStatus
translate_batch(RnContext *ctx, RnTranslator *translator, const RnSearchOptions *options, int n,
				const RnCutText *pieces, RnTranslation *results, const volatile int *stop)
{
	RnHypotheses found;
	RnStatus	status;
	RnSide		source;

	RN_TRY(rn_pack_side(ctx, translator, n, pieces, 0, &source));
	status = rn_beam_search(ctx, translator->decoder, translator->model, translator->kernels, translator->lane,
							translator->values, &source.packed, source.ids, options, &found, stop);
	rn_free_side(&source);
	RN_TRY(status);
	status = read_answers(ctx, translator, pieces, &found, results);
	rn_hypotheses_free(&found);
	return status;
}

/* Nothing translates to nothing, whatever the model would make of it. */
static RnStatus
answer_empty(RnContext *ctx, RnTranslation *result)
{
	result->text = strdup("");
	return result->text != NULL ? RN_OK : rn_out_of_memory(ctx, 1);
}

static RnStatus
translate_all(RnContext *ctx, RnTranslator *translator, const RnSearchOptions *options, int n, const RnText *texts,
			  RnCutText *pieces, RnTranslation *results, const volatile int *stop)
{
	int			n_full = 0;
	int			first;
	int			size;
	int			i;

	for (i = 0; i < n; i++)
	{
		if (pieces[i].n == 0 || is_blank(&texts[i]))
		{
			free(pieces[i].ids);
			pieces[i].ids = NULL;
			pieces[i].n = 0;
			RN_TRY(answer_empty(ctx, &results[(size_t) i * options->n_best]));
		}
		else
			n_full++;
	}
	qsort(pieces, n, sizeof(RnCutText), compare_lengths);
	for (first = 0; first < n_full; first += size)
	{
		RN_TRY(rn_check_stop(ctx, stop));
		size = rn_batch_size(translator, pieces + first, n_full - first, options->beam);
		RN_TRY(translate_batch(ctx, translator, options, size, pieces + first, results, stop));
	}
	return RN_OK;
}

RnStatus
rn_translate(RnContext *ctx, RnTranslator *translator, const RnSearchOptions *options, int n, const RnText *texts,
			 RnTranslation *results, const volatile int *stop)
{
	RnCutText  *pieces;
	RnStatus	status;

	memset(results, 0, (size_t) n * options->n_best * sizeof(RnTranslation));
	RN_TRY(rn_check_stop(ctx, stop));
	RN_TRY(rn_cut_texts(ctx, translator, n, texts, &pieces));
	status = translate_all(ctx, translator, options, n, texts, pieces, results, stop);
	if (status != RN_OK)
		rn_translations_free(results, n * options->n_best);
	rn_free_cut_texts(pieces, n);
	return status;
}
