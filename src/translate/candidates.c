/*
 * candidates.c
 *		The continuations that compete for a place in a beam.
 *
 * src/translate/candidates.c
 */
#include "translate/search.h"

#include <math.h>
#include <string.h>

RnStatus
rn_not_a_number(RnContext *ctx)
{
	rn_fail(ctx, RN_DIVERGED, "model gives no probabilities");
	rn_detail(ctx, "Its output is not a number.");
	return ctx->status;
}

/* -log p of one token after each row of a group, to host_nll. */
static RnStatus
fetch_token(RnContext *ctx, RnSearch *search, const RnGroup *group, const rn_real *logits, int32_t token)
{
	RnLossArgs	args;
	int			r;

	if (search->restriction != NULL)
		token = rn_restriction_column(search->restriction, search->sentence_of[group->first], token);
	if (token < 0)
		return rn_fail(ctx, RN_INTERNAL, "search: a token that is asked for is none of the sentence's own");
	for (r = 0; r < group->n_rows; r++)
		search->targets[r] = token;
	memset(&args, 0, sizeof(args));
	args.rows = group->n_rows;
	args.cols = search->cols;
	args.logits = (rn_real *) logits + (size_t) group->first * search->cols;
	args.targets = search->targets;
	args.row_nll = search->nll;
	search->kernels->loss(search->lane, &args);
	search->kernels->copy_out(search->lane, search->host_nll, search->nll, group->n_rows * sizeof(rn_real));
	return search->kernels->synchronize(ctx, search->lane);
}

RnStatus
rn_rank_only(RnContext *ctx, RnSearch *search, const RnGroup *group, const rn_real *logits, int32_t token, int *n)
{
	int			count = 0;
	int			r,
				i;

	RN_TRY(fetch_token(ctx, search, group, logits, token));
	for (r = 0; r < group->n_rows; r++)
	{
		double		score = search->score[group->first + r] - search->host_nll[r];

		if (isnan(score))
			return rn_not_a_number(ctx);
		if (score == -INFINITY)
			continue;
		for (i = count++; i > 0 && search->candidates[i - 1].score < score; i--)
			search->candidates[i] = search->candidates[i - 1];
		search->candidates[i].score = score;
		search->candidates[i].log_probability = -search->host_nll[r];
		search->candidates[i].row = group->first + r;
		search->candidates[i].id = token;
	}
	*n = count;
	return RN_OK;
}

/* Move a row's head over end, where that is not allowed yet. */
static void
pass_over_end(RnSearch *search, const RnSearchSentence *sentence, int row, int *head)
{
	if (search->step < sentence->shortest && *head < search->k &&
		search->best_ids[(size_t) row * search->k + *head] == search->end)
		(*head)++;
}

/* A merge of the rows' own lists, of which none can hold more than that. */
RnStatus
rn_rank_all(RnContext *ctx, RnSearch *search, const RnSearchSentence *sentence, const RnGroup *group, int *n)
{
	int			k = search->k;
	int			most = 2 * sentence->width;
	int			count;
	int			r;

	if (search->options->alternatives && most < search->options->n_best)
		most = search->options->n_best;
	for (r = 0; r < group->n_rows; r++)
		search->heads[r] = 0;
	for (count = 0; count < most; count++)
	{
		RnCandidate *best = &search->candidates[count];

		best->score = -INFINITY;
		best->row = -1;
		for (r = 0; r < group->n_rows; r++)
		{
			size_t		at;
			double		score;

			pass_over_end(search, sentence, group->first + r, &search->heads[r]);
			if (search->heads[r] == k)
				continue;
			at = (size_t) (group->first + r) * k + search->heads[r];
			score = search->score[group->first + r] + search->best_scores[at];
			if (isnan(score) || search->best_ids[at] < 0 || search->best_ids[at] >= search->vocabulary)
				return rn_not_a_number(ctx);
			if (score > best->score)
			{
				best->score = score;
				best->log_probability = search->best_scores[at];
				best->row = group->first + r;
				best->id = search->best_ids[at];
			}
		}
		if (best->row < 0)
			break;
		search->heads[best->row - group->first]++;
	}
	*n = count;
	return RN_OK;
}

RnStatus
rn_fetch_row(RnContext *ctx, RnSearch *search, const rn_real *logits, int row)
{
	const RnRestriction *restriction = search->restriction;
	rn_real    *host = restriction != NULL ? search->host_own : search->row;
	int			sentence = search->sentence_of[row];
	int			i;

	search->kernels->copy_out(search->lane, host, logits + (size_t) row * search->cols, search->cols * sizeof(rn_real));
	RN_TRY(search->kernels->synchronize(ctx, search->lane));
	if (restriction == NULL)
		return RN_OK;
	for (i = 0; i < search->vocabulary; i++)
		search->row[i] = -INFINITY;
	for (i = 0; i < restriction->count[sentence]; i++)
		search->row[rn_restriction_token(restriction, sentence, i)] = host[i];
	return RN_OK;
}

/* log of the sum of exponentials of the fetched row, pad included as in the device's own lists. */
RnStatus
rn_row_normalizer(RnContext *ctx, const RnSearch *search, double *normalizer)
{
	double		maximum = -INFINITY;
	double		sum = 0;
	int			v;

	for (v = 0; v < search->vocabulary; v++)
		maximum = search->row[v] > maximum ? search->row[v] : maximum;
	for (v = 0; v < search->vocabulary; v++)
		sum += exp(search->row[v] - maximum);
	*normalizer = maximum + log(sum);
	return isfinite(*normalizer) ? RN_OK : rn_not_a_number(ctx);
}
