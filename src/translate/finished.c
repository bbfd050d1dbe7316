/*
 * finished.c
 *		Hypotheses that ended.
 *
 * src/translate/finished.c
 */
#include "translate/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void
rn_finish(RnSearch *search, RnSearchSentence *sentence, const RnCandidate *candidate)
{
	RnFinished *finished = &sentence->finished[sentence->n_finished++];

	finished->step = search->step;
	finished->row = candidate->row;
	finished->log_probability = candidate->score;
	finished->score = candidate->score / pow(search->step + 1, search->options->length_penalty);
}

/* Best first; equal ones in the order of ending. */
static void
sort_finished(RnSearchSentence *sentence)
{
	int			i,
				j;

	for (i = 1; i < sentence->n_finished; i++)
	{
		RnFinished	moved = sentence->finished[i];

		for (j = i; j > 0 && sentence->finished[j - 1].score < moved.score; j--)
			sentence->finished[j] = sentence->finished[j - 1];
		sentence->finished[j] = moved;
	}
}

/* Walk back from where a hypothesis ended. */
static void
read_back(const RnSearch *search, const RnFinished *finished, RnHypothesis *hypothesis)
{
	int			row = finished->row;
	int			step;

	hypothesis->n = finished->step + 1;
	hypothesis->score = finished->score;
	hypothesis->log_probability = finished->log_probability;
	hypothesis->ids[finished->step] = search->end;
	for (step = finished->step; step > 0; step--)
	{
		hypothesis->ids[step - 1] = rn_ids_of_step(search, step)[row];
		row = rn_parents_of_step(search, step)[row];
	}
}

RnStatus
rn_collect_finished(RnContext *ctx, RnSearch *search, RnHypotheses *results)
{
	int			n_best = search->options->n_best;
	size_t		items = (size_t) search->n_sentences * n_best;
	size_t		total = 0;
	int			s,
				i;

	for (s = 0; s < search->n_sentences; s++)
	{
		RnSearchSentence *sentence = &search->sentences[s];

		sort_finished(sentence);
		if (sentence->n_finished > n_best)
			sentence->n_finished = n_best;
		for (i = 0; i < sentence->n_finished; i++)
			total += sentence->finished[i].step + 1;
	}
	results->items = calloc(items, sizeof(RnHypothesis));
	results->ids = malloc((total ? total : 1) * sizeof(int32_t));
	if (results->items == NULL || results->ids == NULL)
	{
		rn_hypotheses_free(results);
		return rn_out_of_memory(ctx, items * sizeof(RnHypothesis) + total * sizeof(int32_t));
	}
	results->n_sentences = search->n_sentences;
	total = 0;
	for (s = 0; s < search->n_sentences; s++)
	{
		for (i = 0; i < search->sentences[s].n_finished; i++)
		{
			RnHypothesis *hypothesis = &results->items[(size_t) s * n_best + i];

			hypothesis->ids = results->ids + total;
			read_back(search, &search->sentences[s].finished[i], hypothesis);
			total += hypothesis->n;
		}
	}
	return RN_OK;
}

void
rn_hypotheses_free(RnHypotheses *results)
{
	free(results->items);
	free(results->ids);
	memset(results, 0, sizeof(*results));
}
