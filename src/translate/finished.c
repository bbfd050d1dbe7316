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

/* The place for one more; that of the worst where there are enough. */
static RnFinished *
place_of(const RnSearch *search, RnGroup *group)
{
	RnFinished *worst = group->finished;
	int			i;

	if (group->n_finished < search->answers_of_group)
		return &group->finished[group->n_finished++];
	for (i = 1; i < group->n_finished; i++)
	{
		if (group->finished[i].score < worst->score)
			worst = &group->finished[i];
	}
	return worst;
}

void
rn_finish(RnSearch *search, RnGroup *group, const RnCandidate *candidate)
{
	const RnDictated *dictated = &search->dictated[candidate->row];
	double		rank = candidate->score - dictated->log_probability;
	double		score = rank / pow(search->step + 1 - dictated->n, search->options->length_penalty);
	int			is_full = group->n_finished == search->answers_of_group;
	RnFinished *finished = place_of(search, group);

	if (is_full && finished->score >= score)
		return;
	finished->step = search->step;
	finished->row = candidate->row;
	finished->end_probability = candidate->log_probability;
	finished->log_probability = candidate->score;
	finished->rank = rank;
	finished->score = score;
}

/* Best first; equal ones as they lie there. */
static void
sort_finished(RnFinished *finished, int n)
{
	int			i,
				j;

	for (i = 1; i < n; i++)
	{
		RnFinished	moved = finished[i];

		for (j = i; j > 0 && finished[j - 1].score < moved.score; j--)
			finished[j] = finished[j - 1];
		finished[j] = moved;
	}
}

/* The answers of a sentence, at most n_best: the best of each group where there are several. */
static int
answers_of(const RnSearch *search, const RnSearchSentence *sentence, RnFinished *answers)
{
	int			groups = search->groups_of_sentence;
	int			n = 0;
	int			g,
				i;

	for (g = 0; g < groups; g++)
	{
		const RnGroup *group = &sentence->groups[g];
		int			most = search->options->sampling || search->options->alternatives ? 1 : search->options->n_best;

		sort_finished(group->finished, group->n_finished);
		for (i = 0; i < group->n_finished && i < most; i++)
			answers[n++] = group->finished[i];
	}
	sort_finished(answers, n);
	return n;
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
	hypothesis->log_probabilities[finished->step] = finished->end_probability;
	for (step = finished->step; step > 0; step--)
	{
		hypothesis->ids[step - 1] = rn_ids_of_step(search, step)[row];
		hypothesis->log_probabilities[step - 1] = rn_log_probabilities_of_step(search, step)[row];
		row = rn_parents_of_step(search, step)[row];
	}
}

static RnStatus
allocate_results(RnContext *ctx, const RnSearch *search, RnHypotheses *results)
{
	size_t		items = (size_t) search->n_sentences * results->n_best;
	size_t		groups = (size_t) search->n_sentences * search->groups_of_sentence;
	size_t		total = 1;
	size_t		g;
	int			i;

	for (g = 0; g < groups; g++)
	{
		for (i = 0; i < search->groups[g].n_finished; i++)
			total += search->groups[g].finished[i].step + 1;
	}
	results->items = calloc(items, sizeof(RnHypothesis));
	results->ids = malloc(total * sizeof(int32_t));
	results->log_probabilities = malloc(total * sizeof(double));
	if (results->items != NULL && results->ids != NULL && results->log_probabilities != NULL)
		return RN_OK;
	rn_hypotheses_free(results);
	return rn_out_of_memory(ctx, items * sizeof(RnHypothesis) + total * (sizeof(int32_t) + sizeof(double)));
}

RnStatus
rn_collect_finished(RnContext *ctx, RnSearch *search, RnHypotheses *results)
{
	RnFinished	answers[RN_BEAM_MAX];
	size_t		total = 0;
	int			s,
				i;

	RN_TRY(allocate_results(ctx, search, results));
	results->n_sentences = search->n_sentences;
	for (s = 0; s < search->n_sentences; s++)
	{
		int			n = answers_of(search, &search->sentences[s], answers);

		for (i = 0; i < n; i++)
		{
			RnHypothesis *hypothesis = &results->items[(size_t) s * results->n_best + i];

			hypothesis->ids = results->ids + total;
			hypothesis->log_probabilities = results->log_probabilities + total;
			read_back(search, &answers[i], hypothesis);
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
	free(results->log_probabilities);
	memset(results, 0, sizeof(*results));
}
