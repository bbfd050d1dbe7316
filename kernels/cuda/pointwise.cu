/*
 * pointwise.cu
 *		Activations, with the bias before and the dropout after in one pass.
 *
 * The derivative of ReLU with dropout needs no mask: y is above 0 exactly
 * where the element was kept and its activation open.
 *
 * kernels/cuda/pointwise.cu
 */
#include "kernels/cuda/columns.h"
#include "kernels/cuda/mask.h"
#include "kernels/cuda/reduce.h"

#define INVERSE_SQRT_2		((rn_real) 0.70710678118654752)
#define INVERSE_SQRT_2PI	((rn_real) 0.39894228040143268)

/* Phi(x) */
static __device__ __forceinline__ rn_real
normal(rn_real x)
{
	return (rn_real) 0.5 * erfc(-x * INVERSE_SQRT_2);
}

/* As RnActivationArgs, with row_ids on the device. */
typedef struct Activation
{
	int			rows;
	int			cols;
	const rn_real *x;
	const rn_real *bias;
	const uint32_t *row_ids;
	rn_real    *pre;
	rn_real    *y;
	const rn_real *dy;
	rn_real    *dx;
	int			accumulate;
	rn_real		scale;			/* of what is kept */
	int			bias_sum;		/* place in a strip; -1: not wanted */
	Mask		mask;
} Activation;

/* Names of the rows where there is a mask; 0 when they could not be had. */
static int
activation_of(RnLane *lane, const RnActivationArgs *args, int needs_mask, Activation *a)
{
	memset((void *) a, 0, sizeof(*a));
	a->rows = args->rows;
	a->cols = args->cols;
	a->x = args->x;
	a->bias = args->bias;
	a->row_ids = NULL;
	a->pre = args->pre;
	a->y = args->y;
	a->dy = args->dy;
	a->dx = args->dx;
	a->accumulate = args->accumulate;
	a->scale = (rn_real) (1.0 / (1.0 - args->dropout.rate));
	a->bias_sum = -1;
	if (args->rows <= 0 || args->cols <= 0)
		return 0;
	a->mask = mask_of(lane, &args->dropout);
	a->mask.on &= needs_mask;
	if (a->mask.on)
		a->row_ids = (const uint32_t *) rn_lane_upload(lane, args->row_ids, (size_t) args->rows * sizeof(uint32_t));
	return !a->mask.on || (a->row_ids != NULL && a->mask.step != NULL);
}

template <int KIND> static __global__ void
__launch_bounds__(RN_ROW_WARPS * RN_WARP) activation_forward_kernel(Activation a)
{
	const int	row = blockIdx.x * RN_ROW_WARPS + threadIdx.y;
	const int	lane = threadIdx.x;
	const size_t offset = (size_t) row * a.cols;
	uint32_t	words[RN_MASK_WORDS];
	int			block;
	int			i;

	if (row >= a.rows)
		return;
	for (block = 0; block * RN_MASK_COLUMNS < a.cols; block++)
	{
		if (a.mask.on)
			mask_lane(a.mask, a.row_ids[row], block, lane, words);
		RN_UNROLL
		for (i = 0; i < RN_MASK_WORDS; i++)
		{
			const int	j = block * RN_MASK_COLUMNS + i * RN_WARP + lane;
			rn_real		v;

			if (j >= a.cols)
				continue;
			v = a.x[offset + j];
			if (a.bias != NULL)
				v += a.bias[j];
			if (KIND == RN_RELU)
				v = v > 0 ? v : 0;
			else
			{
				if (a.pre != NULL)
					a.pre[offset + j] = v;
				v *= normal(v);
			}
			if (a.mask.on)
				v *= mask_factor(a.mask, words[i], lane);
			a.y[offset + j] = v;
		}
	}
}

void
rn_cuda_activation_forward(RnLane *lane, const RnActivationArgs *args)
{
	const unsigned blocks = rn_blocks((size_t) args->rows, RN_ROW_WARPS);
	const dim3	threads(RN_WARP, RN_ROW_WARPS);
	Activation	a;

	if (!activation_of(lane, args, 1, &a))
		return;
	if (args->kind == RN_RELU)
		RN_QUEUE(lane, (activation_forward_kernel<RN_RELU>), blocks, threads, 0, a);
	else
		RN_QUEUE(lane, (activation_forward_kernel<RN_GELU>), blocks, threads, 0, a);
}

/*
 * RELU:  dx = dy [y > 0] / (1 - rate)
 * GELU:  dx = dy mask (Phi(pre) + pre phi(pre))
 */
template <int KIND> static __global__ void
__launch_bounds__(RN_ROW_WARPS * RN_WARP) activation_backward_kernel(Activation a, ColumnSums sums)
{
	RN_DYN_SHARED(rn_real, shared);
	const int	lane = threadIdx.x;
	rn_real    *strip = column_strip(sums, shared);
	uint32_t	words[RN_MASK_WORDS];
	int			row;
	int			block;
	int			i;

	for (row = column_first_row(); row < a.rows; row += column_row_step())
		for (block = 0; block * RN_MASK_COLUMNS < a.cols; block++)
		{
			const size_t offset = (size_t) row * a.cols;

			if (a.mask.on)
				mask_lane(a.mask, a.row_ids[row], block, lane, words);
			RN_UNROLL
			for (i = 0; i < RN_MASK_WORDS; i++)
			{
				const int	j = block * RN_MASK_COLUMNS + i * RN_WARP + lane;
				rn_real		v;

				if (j >= a.cols)
					continue;
				v = a.dy[offset + j];
				if (KIND == RN_RELU)
					v = a.y[offset + j] > 0 ? a.scale * v : 0;
				else
				{
					const rn_real x = a.pre[offset + j];

					v *= normal(x) + INVERSE_SQRT_2PI * x * exp((rn_real) -0.5 * x * x);
					if (a.mask.on)
						v *= mask_factor(a.mask, words[i], lane);
				}
				if (a.bias_sum >= 0)
					strip[a.bias_sum + j] += v;
				if (a.dx != NULL)
					put(&a.dx[offset + j], v, a.accumulate);
			}
		}
	column_finish(sums, shared);
}

void
rn_cuda_activation_backward(RnLane *lane, const RnActivationArgs *args)
{
	const dim3	threads(RN_WARP, RN_ROW_WARPS);
	ColumnSums	sums;
	Activation	a;

	if (!activation_of(lane, args, args->kind == RN_GELU, &a))
		return;
	column_begin(&sums, args->cols);
	a.bias_sum = column_want(&sums, args->dbias, args->cols);
	if (!column_plan(lane, &sums, args->rows))
		return;
	if (args->kind == RN_RELU)
		RN_QUEUE(lane, (activation_backward_kernel<RN_RELU>), sums.blocks, threads, sums.shared, a, sums);
	else
		RN_QUEUE(lane, (activation_backward_kernel<RN_GELU>), sums.blocks, threads, sums.shared, a, sums);
	column_add(lane, &sums);
}
