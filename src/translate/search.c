/*
 * search.c
 *		The memory of a search, and how it begins.
 *
 * src/translate/search.c
 */
#include "translate/search.h"

#include <math.h>
#include <stdlib.h>

/* How long an answer to a source of so many rows (pieces and end) may be. */
static int
length_limit(const RnSearchOptions *options, int source_rows, int longest)
{
	double		limit = longest - 1;

	if (options->max_length > 0 && options->max_length < limit)
		limit = options->max_length;
	if (options->max_length_factor > 0)
	{
		double		bound = floor(options->max_length_factor * (source_rows - 1)) + options->max_length_offset;

		if (bound < limit)
			limit = bound;
	}
	return limit > 0 ? (int) limit : 0;
}

RnStatus
rn_search_note_steps(RnContext *ctx, RnSearch *search, int steps)
{
	int			room = search->steps_noted ? search->steps_noted : 16;
	size_t		bytes;
	int32_t    *grown;

	if (steps <= search->steps_noted)
		return RN_OK;
	while (room < steps)
		room *= 2;
	bytes = room * rn_rows_at_most(search) * sizeof(int32_t);
	if ((grown = realloc(search->ids, bytes)) == NULL)
		return rn_out_of_memory(ctx, bytes);
	search->ids = grown;
	if ((grown = realloc(search->parents, bytes)) == NULL)
		return rn_out_of_memory(ctx, bytes);
	search->parents = grown;
	search->steps_noted = room;
	return RN_OK;
}

static RnStatus
search_allocate(RnContext *ctx, RnSearch *search)
{
	int			beam = search->options->beam;
	size_t		rows = rn_rows_at_most(search);
	size_t		best = rows * search->k;

	search->sentences = calloc(search->n_sentences, sizeof(RnSearchSentence));
	search->finished = calloc(rows, sizeof(RnFinished));
	search->sentence_of = malloc(rows * sizeof(int32_t));
	search->next_sentence_of = malloc(rows * sizeof(int32_t));
	search->score = malloc(rows * sizeof(double));
	search->next_score = malloc(rows * sizeof(double));
	search->best_ids = malloc(best * sizeof(int32_t));
	search->best_scores = malloc(best * sizeof(rn_real));
	search->end_scores = malloc(beam * sizeof(rn_real));
	search->candidates = malloc(2 * beam * sizeof(RnCandidate));
	search->heads = malloc(beam * sizeof(int));
	if (!search->sentences || !search->finished || !search->sentence_of || !search->next_sentence_of ||
		!search->score || !search->next_score || !search->best_ids || !search->best_scores ||
		!search->end_scores || !search->candidates || !search->heads)
		return rn_out_of_memory(ctx, best * (sizeof(int32_t) + sizeof(rn_real)));
	return search->kernels->allocate(ctx, beam * sizeof(rn_real), (void **) &search->end_nll);
}

RnStatus
rn_search_begin(RnContext *ctx, RnSearch *search, const RnModel *model, const RnPacked *source)
{
	const RnSpecialIds *special = rn_model_special(model);
	int			i,
				s;

	search->end = special->end;
	for (i = 0; i < search->options->beam; i++)
		search->ends[i] = special->end;
	search->banned[0] = special->pad;
	search->banned[1] = -1;
	search->vocabulary = rn_model_config(model)->vocab_size;
	search->n_sentences = source->n_sentences;
	search->k = search->options->beam > 1 ? 2 * search->options->beam : 1;
	if (search->k > search->vocabulary - (special->pad >= 0))
		search->k = search->vocabulary - (special->pad >= 0);
	RN_TRY(search_allocate(ctx, search));
	RN_TRY(rn_search_note_steps(ctx, search, 1));
	search->n_rows = search->n_sentences;
	for (s = 0; s < search->n_sentences; s++)
	{
		RnSearchSentence *sentence = &search->sentences[s];

		sentence->first = s;
		sentence->n_rows = 1;
		sentence->limit = length_limit(search->options, source->offsets[s + 1] - source->offsets[s],
									   rn_model_longest(model));
		sentence->finished = search->finished + (size_t) s * search->options->beam;
		if (sentence->limit > search->longest_limit)
			search->longest_limit = sentence->limit;
		search->sentence_of[s] = s;
		search->score[s] = 0;
		search->ids[s] = special->start;
		search->parents[s] = 0;
	}
	return RN_OK;
}

void
rn_search_free(RnSearch *search)
{
	int			beam = search->options->beam;

	free(search->sentences);
	free(search->finished);
	free(search->sentence_of);
	free(search->next_sentence_of);
	free(search->score);
	free(search->next_score);
	free(search->ids);
	free(search->parents);
	free(search->best_ids);
	free(search->best_scores);
	free(search->end_scores);
	free(search->candidates);
	free(search->heads);
	if (search->end_nll != NULL)
		search->kernels->release(search->end_nll, beam * sizeof(rn_real));
}
