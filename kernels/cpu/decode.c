/*
 * decode.c
 *		Attention of one decoding step: one query a row, over cached keys.
 *
 * kernels/cpu/decode.c
 */
#include "kernels/cpu/cpu.h"

#include "kernels/cpu/exp.h"
#include "kernels/cpu/vector.h"

static rn_real
dot(const rn_real *x, const rn_real *y, int count)
{
	RnVector	sum = {0};

	RN_VECTORS(j, n, count,
	{
		sum += vector_load(x + j, n) * vector_load(y + j, n);
	});
	return vector_sum(sum);
}

/* The cache row that entry i of a query's list names. */
static size_t
cache_row(const RnAttentionStepArgs *args, int row, int i)
{
	const int32_t at = args->first[row] + i;

	return (size_t) (args->list != NULL ? args->list[at] : at);
}

/* Probabilities of one head of one row, from its scores. */
static void
softmax(rn_real *x, int count, rn_real inverse_divisor)
{
	rn_real		maximum = x[0];
	RnVector	sum = {0};
	rn_real		factor;
	int			i;

	for (i = 1; i < count; i++)
		maximum = RN_MAX(x[i], maximum);
	RN_VECTORS(j, n, count,
	{
		RnVector	e = vector_first(vector_exp((vector_load(x + j, n) - maximum) * inverse_divisor), n);

		sum += e;
		vector_store(x + j, e, n);
	});
	factor = 1 / vector_sum(sum);
	for (i = 0; i < count; i++)
		x[i] *= factor;
}

static void
step_head(const RnAttentionStepArgs *args, int row, int head, rn_real *scores)
{
	const int	size = args->head_size;
	const int	column = head * size;
	const int	count = args->count[row];
	const size_t at = ((size_t) row * args->heads + head) * args->score_stride;
	const rn_real *q = args->q + (size_t) row * args->ldq + column;
	rn_real    *output = args->output + (size_t) row * args->heads * size + column;
	int			i;

	for (i = 0; i < count; i++)
	{
		scores[i] = (rn_real) args->scale * dot(q, args->k + cache_row(args, row, i) * args->ldk + column, size);
		if (args->scores_in != NULL)
			scores[i] += args->scores_in[at + i];
		if (args->scores_out != NULL)
			args->scores_out[at + i] = scores[i];
	}
	softmax(scores, count, (rn_real) (1.0 / args->score_divisor));
	if (args->probabilities != NULL)
		memcpy(args->probabilities + at, scores, (size_t) count * sizeof(rn_real));
	memset(output, 0, (size_t) size * sizeof(rn_real));
	for (i = 0; i < count; i++)
	{
		const rn_real *v = args->v + cache_row(args, row, i) * args->ldv + column;

		RN_VECTORS(j, n, size,
		{
			vector_store(output + j, vector_load(output + j, n) + scores[i] * vector_load(v + j, n), n);
		});
	}
}

void
rn_cpu_attention_step(RnLane *lane, const RnAttentionStepArgs *args)
{
	rn_real    *scores;
	int			longest = 0;
	int			r;
	int			h;

	for (r = 0; r < args->rows; r++)
		longest = RN_MAX(longest, args->count[r]);
	scores = rn_lane_scratch(lane, (size_t) (longest + RN_WIDTH) * sizeof(rn_real));
	if (scores == NULL)
		return;
	for (r = 0; r < args->rows; r++)
		for (h = 0; h < args->heads; h++)
			step_head(args, r, h, scores);
}
