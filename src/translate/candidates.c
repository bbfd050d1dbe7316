/*
 * candidates.c
 *		The continuations of a sentence that compete for a place in its beam.
 *
 * src/translate/candidates.c
 */
#include "translate/search.h"

#include <math.h>
#include <string.h>

static RnStatus
not_a_number(RnContext *ctx)
{
	rn_fail(ctx, RN_DIVERGED, "model gives no probabilities");
	rn_detail(ctx, "Its output is not a number.");
	return ctx->status;
}

/* Where there is no room left only end may follow: its log-probability after each row. */
RnStatus
rn_rank_ends(RnContext *ctx, RnSearch *search, const RnSearchSentence *sentence, const rn_real *logits, int *n)
{
	RnLossArgs	args;
	double		unused[2] = {0, 0};
	int			count = 0;
	int			r,
				i;

	memset(&args, 0, sizeof(args));
	args.rows = sentence->n_rows;
	args.cols = search->vocabulary;
	args.logits = (rn_real *) logits + (size_t) sentence->first * search->vocabulary;
	args.targets = search->ends;
	args.row_nll = search->end_nll;
	args.loss_sum = &unused[0];
	args.nll_sum = &unused[1];
	search->kernels->loss(search->lane, &args);
	search->kernels->copy_out(search->lane, search->end_scores, search->end_nll, sentence->n_rows * sizeof(rn_real));
	RN_TRY(search->kernels->synchronize(ctx, search->lane));
	for (r = 0; r < sentence->n_rows; r++)
	{
		double		score = search->score[sentence->first + r] - search->end_scores[r];

		if (isnan(score))
			return not_a_number(ctx);
		if (score == -INFINITY)
			continue;
		for (i = count++; i > 0 && search->candidates[i - 1].score < score; i--)
			search->candidates[i] = search->candidates[i - 1];
		search->candidates[i].score = score;
		search->candidates[i].row = sentence->first + r;
		search->candidates[i].id = search->end;
	}
	*n = count;
	return RN_OK;
}

/*
 * The best 2 * beam continuations of a sentence, best first: a merge of its
 * rows' own lists, of which none can hold more than that.
 */
RnStatus
rn_rank_all(RnContext *ctx, RnSearch *search, const RnSearchSentence *sentence, int *n)
{
	int			k = search->k;
	int			count;
	int			r;

	for (r = 0; r < sentence->n_rows; r++)
		search->heads[r] = 0;
	for (count = 0; count < 2 * search->options->beam; count++)
	{
		RnCandidate  *best = &search->candidates[count];

		best->score = -INFINITY;
		best->row = -1;
		for (r = 0; r < sentence->n_rows; r++)
		{
			size_t		at = (size_t) (sentence->first + r) * k + search->heads[r];
			double		score;

			if (search->heads[r] == k)
				continue;
			score = search->score[sentence->first + r] + search->best_scores[at];
			if (isnan(score) || search->best_ids[at] < 0 || search->best_ids[at] >= search->vocabulary)
				return not_a_number(ctx);
			if (score > best->score)
			{
				best->score = score;
				best->row = sentence->first + r;
				best->id = search->best_ids[at];
			}
		}
		if (best->row < 0)
			break;
		search->heads[best->row - sentence->first]++;
	}
	*n = count;
	return RN_OK;
}
