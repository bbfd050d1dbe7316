/*
 * beam.c
 *		Beam search over "one decoder step".
 *
 * src/translate/beam.c
 */
#include "translate/search.h"

#include <string.h>

/* Finish and continue hypotheses of a sentence; the new rows are appended to the next step's. */
static void
advance(RnSearch *search, RnSearchSentence *sentence, int n_candidates, int *n_next)
{
	int			beam = search->options->beam;
	int			first = *n_next;
	int32_t    *next_ids;
	int32_t    *next_parents;
	int			i;

	for (i = 0; i < n_candidates && i < beam; i++)
	{
		if (search->candidates[i].id == search->end && sentence->n_finished < beam)
			rn_finish(search, sentence, &search->candidates[i]);
	}
	sentence->n_rows = 0;
	if (sentence->n_finished == beam || search->step == sentence->limit)
		return;
	next_ids = rn_ids_of_step(search, search->step + 1);
	next_parents = rn_parents_of_step(search, search->step + 1);
	for (i = 0; i < n_candidates && *n_next - first < beam; i++)
	{
		const RnCandidate *candidate = &search->candidates[i];

		if (candidate->id == search->end)
			continue;
		next_ids[*n_next] = candidate->id;
		next_parents[*n_next] = candidate->row;
		search->next_score[*n_next] = candidate->score;
		search->next_sentence_of[*n_next] = (int32_t) (sentence - search->sentences);
		(*n_next)++;
	}
	sentence->first = first;
	sentence->n_rows = *n_next - first;
}

static RnStatus
search_step(RnContext *ctx, RnSearch *search, RnDecoder *decoder)
{
	const rn_real *logits;
	int			n_next = 0;
	int			s;

	RN_TRY(rn_decoder_step(ctx, decoder, search->n_rows, search->sentence_of,
						   rn_parents_of_step(search, search->step), rn_ids_of_step(search, search->step), &logits));
	search->kernels->top_k(search->lane, search->n_rows, search->vocabulary, logits, search->k,
						   search->banned, search->best_ids, search->best_scores);
	RN_TRY(search->kernels->synchronize(ctx, search->lane));
	RN_TRY(rn_search_note_steps(ctx, search, search->step + 2));
	for (s = 0; s < search->n_sentences; s++)
	{
		RnSearchSentence *sentence = &search->sentences[s];
		int			n = 0;

		if (sentence->n_rows == 0)
			continue;
		if (search->step == sentence->limit)
			RN_TRY(rn_rank_ends(ctx, search, sentence, logits, &n));
		else
			RN_TRY(rn_rank_all(ctx, search, sentence, &n));
		advance(search, sentence, n, &n_next);
	}
	memcpy(search->score, search->next_score, n_next * sizeof(double));
	memcpy(search->sentence_of, search->next_sentence_of, n_next * sizeof(int32_t));
	search->n_rows = n_next;
	search->step++;
	return RN_OK;
}

static RnStatus
search_run(RnContext *ctx, RnSearch *search, RnDecoder *decoder, const RnModel *model, const rn_real *values,
		   const RnPacked *source, const int32_t *source_ids, const volatile int *stop)
{
	RN_TRY(rn_search_begin(ctx, search, model, source));
	RN_TRY(rn_decoder_begin(ctx, decoder, values, source, source_ids, (int) rn_rows_at_most(search),
							search->longest_limit + 1));
	while (search->n_rows > 0)
	{
		if (stop != NULL && __atomic_load_n(stop, __ATOMIC_RELAXED))
			return rn_fail(ctx, RN_CANCELLED, "translation was cancelled");
		RN_TRY(search_step(ctx, search, decoder));
	}
	return RN_OK;
}

RnStatus
rn_beam_search(RnContext *ctx, RnDecoder *decoder, const RnModel *model, const RnKernels *kernels,
			   RnLane *lane, const rn_real *values, const RnPacked *source, const int32_t *source_ids,
			   const RnSearchOptions *options, RnHypotheses *results, const volatile int *stop)
{
	RnSearch		search;
	RnStatus	status;

	memset(results, 0, sizeof(*results));
	if (options->beam < 1 || options->beam > RN_BEAM_MAX || options->n_best < 1 || options->n_best > options->beam)
		return rn_fail(ctx, RN_INVALID, "cannot search with beam %d for %d answers", options->beam, options->n_best);
	results->n_best = options->n_best;
	if (source->n_sentences == 0)
		return RN_OK;
	memset(&search, 0, sizeof(search));
	search.options = options;
	search.kernels = kernels;
	search.lane = lane;
	status = search_run(ctx, &search, decoder, model, values, source, source_ids, stop);
	if (status == RN_OK)
		status = rn_collect_finished(ctx, &search, results);
	rn_search_free(&search);
	return status;
}
