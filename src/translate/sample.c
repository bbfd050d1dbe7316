/*
 * sample.c
 *		Tokens drawn instead of searched for.
 *
 *		p(token) ~ exp(log-probability / temperature)
 *
 * over all tokens, or the top_k likeliest.  A number below the sum of these is
 * drawn, and the tokens are gone through until it is used up.
 *
 * src/translate/sample.c
 */
#include "translate/search.h"

#include <math.h>

#include "base/random.h"

/* A number in (0, 1) for this step of an answer, the same in any batch. */
static double
draw(const RnSearch *search, const RnSearchSentence *sentence, const RnGroup *group)
{
	return rn_random_uniform((uint64_t) search->options->seed, RN_RANDOM_SAMPLE, (uint32_t) search->step,
							 (uint32_t) group->number, sentence->name);
}

static int
is_possible(const RnSearch *search, const RnSearchSentence *sentence, int32_t id)
{
	return id != search->pad && (id != search->end || search->step >= sentence->shortest);
}

/* What of the device's list is possible, *count candidates; their weights, the likeliest's being 1, as scores. */
static RnStatus
weigh_best(RnContext *ctx, RnSearch *search, const RnSearchSentence *sentence, const RnGroup *group, int *count)
{
	const int32_t *ids = search->best_ids + (size_t) group->first * search->k;
	const rn_real *scores = search->best_scores + (size_t) group->first * search->k;
	int			i;

	/* where end is not allowed there is one more in the list */
	for (i = 0, *count = 0; i < search->k && *count < search->options->top_k; i++)
	{
		RnCandidate *candidate = &search->candidates[*count];

		if (ids[i] < 0 || ids[i] >= search->vocabulary || isnan(scores[i]))
			return rn_not_a_number(ctx);
		if (!is_possible(search, sentence, ids[i]))
			continue;
		candidate->id = ids[i];
		candidate->log_probability = scores[i];
		candidate->score = exp((scores[i] - search->candidates[0].log_probability) / search->options->temperature);
		(*count)++;
	}
	return RN_OK;
}

static RnStatus
draw_of_best(RnContext *ctx, RnSearch *search, const RnSearchSentence *sentence, const RnGroup *group)
{
	double		sum = 0;
	double		left;
	int			chosen = -1;
	int			count;
	int			i;

	RN_TRY(weigh_best(ctx, search, sentence, group, &count));
	for (i = 0; i < count; i++)
		sum += search->candidates[i].score;
	left = sum * draw(search, sentence, group);
	for (i = 0; i < count && left >= 0; i++)
	{
		if (!(search->candidates[i].score > 0))
			continue;
		left -= search->candidates[i].score;
		chosen = i;
	}
	if (chosen < 0)
		return rn_not_a_number(ctx);
	search->candidates[0] = search->candidates[chosen];
	return RN_OK;
}

static RnStatus
draw_of_all(RnContext *ctx, RnSearch *search, const RnSearchSentence *sentence, const RnGroup *group,
			const rn_real *logits)
{
	RnCandidate *candidate = search->candidates;
	double		temperature = search->options->temperature;
	double		maximum = -INFINITY;
	double		normalizer;
	double		sum = 0;
	double		left;
	int			chosen = -1;
	int			v;

	RN_TRY(rn_fetch_row(ctx, search, logits, group->first));
	RN_TRY(rn_row_normalizer(ctx, search, &normalizer));
	for (v = 0; v < search->vocabulary; v++)
	{
		if (is_possible(search, sentence, v) && search->row[v] > maximum)
			maximum = search->row[v];
	}
	for (v = 0; v < search->vocabulary; v++)
	{
		if (is_possible(search, sentence, v))
			sum += exp((search->row[v] - maximum) / temperature);
	}
	left = sum * draw(search, sentence, group);
	for (v = 0; v < search->vocabulary && left >= 0; v++)
	{
		double		weight = is_possible(search, sentence, v) ? exp((search->row[v] - maximum) / temperature) : 0;

		if (!(weight > 0))
			continue;
		left -= weight;
		chosen = v;
	}
	if (chosen < 0)
		return rn_not_a_number(ctx);
	candidate->id = chosen;
	candidate->log_probability = search->row[chosen] - normalizer;
	return RN_OK;
}

RnStatus
rn_rank_drawn(RnContext *ctx, RnSearch *search, const RnSearchSentence *sentence, const RnGroup *group,
			  const rn_real *logits, int *n)
{
	RnCandidate *candidate = search->candidates;

	if (search->options->top_k > 0)
		RN_TRY(draw_of_best(ctx, search, sentence, group));
	else
		RN_TRY(draw_of_all(ctx, search, sentence, group, logits));
	candidate->row = group->first;
	candidate->score = search->score[group->first] + candidate->log_probability;
	*n = 1;
	return RN_OK;
}
