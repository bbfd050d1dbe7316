/*
 * decode.c
 *		Attention of one decoding step: one query a row, over cached keys.
 *
 * Cached rows lie apart and are used once, so what counts is how they are
 * read: whole rows, all heads of them, a few rows at a time.
 *
 * kernels/cpu/decode.c
 */
#include "kernels/cpu/cpu.h"

#include "kernels/cpu/softmax.h"
#include "kernels/cpu/vector.h"

#define GROUP	4				/* cached rows at a time */

/* Scores of one query, [heads][stride], stride a multiple of RN_WIDTH. */
typedef struct Scores
{
	rn_real    *x;
	int			stride;
} Scores;

/* The GROUP cached rows from entry i on; the last one again where there are fewer. */
static void
cached_rows(const RnAttentionStepArgs *args, int row, int i, const rn_real *cache, int ld, const rn_real *rows[GROUP])
{
	int			g;

	for (g = 0; g < GROUP; g++)
	{
		const int32_t at = args->first[row] + RN_MIN(i + g, args->count[row] - 1);

		rows[g] = cache + (size_t) (args->list != NULL ? args->list[at] : at) * ld;
	}
}

/* Q K^T scale of GROUP keys and all heads. */
static void
group_scores(const RnAttentionStepArgs *args, const rn_real *q, const rn_real *const keys[GROUP], int i, Scores scores)
{
	const int	size = args->head_size;
	const rn_real scale = (rn_real) args->scale;
	int			h;

	for (h = 0; h < args->heads; h++)
	{
		const int	column = h * size;
		RnVector	sum[GROUP] = {{0}, {0}, {0}, {0}};

		RN_VECTORS(j, n, size,
		{
			const RnVector x = scale * vector_load(q + column + j, n);

			sum[0] += x * vector_load(keys[0] + column + j, n);
			sum[1] += x * vector_load(keys[1] + column + j, n);
			sum[2] += x * vector_load(keys[2] + column + j, n);
			sum[3] += x * vector_load(keys[3] + column + j, n);
		});
		vector_four_sums(sum, scores.x + (size_t) h * scores.stride + i);
	}
}

/* output += P V of GROUP values and all heads. */
static void
group_output(const RnAttentionStepArgs *args, const rn_real *const values[GROUP], int i, Scores scores, rn_real *output)
{
	const int	size = args->head_size;
	int			h;

	for (h = 0; h < args->heads; h++)
	{
		const rn_real *p = scores.x + (size_t) h * scores.stride + i;
		const int	column = h * size;

		RN_VECTORS(j, n, size,
		{
			RnVector	sum = vector_load(output + column + j, n);

			sum += p[0] * vector_load(values[0] + column + j, n);
			sum += p[1] * vector_load(values[1] + column + j, n);
			sum += p[2] * vector_load(values[2] + column + j, n);
			sum += p[3] * vector_load(values[3] + column + j, n);
			vector_store(output + column + j, sum, n);
		});
	}
}

/* From products to probabilities, and what is kept of both. */
static void
finish_scores(const RnAttentionStepArgs *args, int row, int head, rn_real *x, int stride)
{
	const int	count = args->count[row];
	const size_t at = ((size_t) row * args->heads + head) * args->score_stride;

	if (args->scores_in != NULL)
		vector_add_row(x, args->scores_in + at, count);
	if (args->scores_out != NULL)
		memcpy(args->scores_out + at, x, (size_t) count * sizeof(rn_real));
	softmax_row(x, count, stride, (rn_real) (1.0 / args->score_divisor));
	if (args->probabilities != NULL)
		memcpy(args->probabilities + at, x, (size_t) count * sizeof(rn_real));
}

static void
step_row(const RnAttentionStepArgs *args, int row, Scores scores)
{
	const size_t width = (size_t) args->heads * args->head_size;
	const int	count = args->count[row];
	rn_real    *output = args->output + row * width;
	const rn_real *rows[GROUP];
	int			i;
	int			h;

	for (i = 0; i < count; i += GROUP)
	{
		cached_rows(args, row, i, args->k, args->ldk, rows);
		group_scores(args, args->q + (size_t) row * args->ldq, rows, i, scores);
	}
	/* probabilities beyond count are 0, so repeated rows add nothing */
	for (h = 0; h < args->heads; h++)
		finish_scores(args, row, h, scores.x + (size_t) h * scores.stride, scores.stride);
	memset(output, 0, width * sizeof(rn_real));
	for (i = 0; i < count; i += GROUP)
	{
		cached_rows(args, row, i, args->v, args->ldv, rows);
		group_output(args, rows, i, scores, output);
	}
}

void
rn_cpu_attention_step(RnLane *lane, const RnAttentionStepArgs *args)
{
	const int	unit = RN_MAX(RN_WIDTH, GROUP);
	Scores		scores;
	int			longest = 0;
	int			r;

	for (r = 0; r < args->rows; r++)
		longest = RN_MAX(longest, args->count[r]);
	scores.stride = (longest + unit - 1) / unit * unit;
	scores.x = rn_lane_scratch(lane, (size_t) args->heads * scores.stride * sizeof(rn_real));
	if (scores.x == NULL)
		return;
	for (r = 0; r < args->rows; r++)
		step_row(args, r, scores);
}
