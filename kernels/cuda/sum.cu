/*
 * sum.cu
 *		Gradients of biases, sums of tensors, and sums over all of a tensor.
 *
 * A sum over everything is made by blocks whose number depends on the length
 * alone; one block then adds their sums in order, in double.
 *
 * kernels/cuda/sum.cu
 */
#include "kernels/cuda/columns.h"
#include "kernels/cuda/reduce.h"

#define THREADS		256
#define EACH		4			/* elements of a thread, where they are taken in turn */
#define DOT_BLOCKS	512			/* at most, of one sum */

/* ---- y = alpha x + beta y ---- */

static __global__ void
__launch_bounds__(THREADS) scaled_add_kernel(size_t n, rn_real alpha, const rn_real *weight, const rn_real *x, rn_real beta, rn_real *y)
{
	const size_t first = (size_t) blockIdx.x * THREADS * EACH + threadIdx.x;
	const rn_real factor = weight != NULL ? *weight : alpha;
	int			k;

	RN_UNROLL
	for (k = 0; k < EACH; k++)
	{
		const size_t i = first + (size_t) k * THREADS;

		if (i < n)
			y[i] = beta == 0 ? factor * x[i] : factor * x[i] + beta * y[i];
	}
}

static void
add(RnLane *lane, size_t n, double alpha, const rn_real *weight, const rn_real *x, double beta, rn_real *y)
{
	if (n == 0)
		return;
	RN_QUEUE(lane, scaled_add_kernel, rn_blocks(n, THREADS * EACH), THREADS, 0, n, (rn_real) alpha, weight,
			  x, (rn_real) beta, y);
}

void
rn_cuda_scaled_add(RnLane *lane, size_t n, double alpha, const rn_real *x, double beta, rn_real *y)
{
	add(lane, n, alpha, NULL, x, beta, y);
}

void
rn_cuda_weighted_add(RnLane *lane, size_t n, const rn_real *weight, const rn_real *x, double beta, rn_real *y)
{
	add(lane, n, 0.0, weight, x, beta, y);
}

/* ---- sums of products ---- */

static __global__ void
__launch_bounds__(THREADS) dot_kernel(size_t n, const rn_real *x, const rn_real *y, double *partial)
{
	RN_SHARED(double, shared, RN_WARP);
	const size_t step = (size_t) gridDim.x * THREADS;
	double		sum = 0.0;
	size_t		i;

	for (i = (size_t) blockIdx.x * THREADS + threadIdx.x; i < n; i += step)
		sum += (double) x[i] * (double) y[i];
	sum = block_sum(sum, shared);
	if (threadIdx.x == 0)
		partial[blockIdx.x] = sum;
}

/* *total = the sum, or *number += it */
static __global__ void
__launch_bounds__(RN_WARP) dot_end_kernel(int blocks, const double *partial, double *total, rn_real *number)
{
	double		sum = 0.0;
	int			i;

	for (i = threadIdx.x; i < blocks; i += RN_WARP)
		sum += partial[i];
	sum = warp_sum(sum);
	if (threadIdx.x == 0 && total != NULL)
		*total = sum;
	if (threadIdx.x == 0 && number != NULL)
		*number += (rn_real) sum;
}

static void
dot(RnLane *lane, size_t n, const rn_real *x, const rn_real *y, double *total, rn_real *number)
{
	const unsigned wished = rn_blocks(n, (size_t) THREADS * EACH);
	const unsigned blocks = wished < DOT_BLOCKS ? wished : DOT_BLOCKS;
	double	   *partial = (double *) rn_lane_scratch(lane, (blocks + 1) * sizeof(double));

	if (partial == NULL)
		return;
	if (blocks > 0)
		RN_QUEUE(lane, dot_kernel, blocks, THREADS, 0, n, x, y, partial);
	RN_QUEUE(lane, dot_end_kernel, 1, RN_WARP, 0, (int) blocks, partial, total, number);
}

void
rn_cuda_dot_add(RnLane *lane, size_t n, const rn_real *x, const rn_real *y, rn_real *out)
{
	dot(lane, n, x, y, NULL, out);
}

void
rn_cuda_sum_squares(RnLane *lane, size_t n, const rn_real *x, double *out)
{
	dot(lane, n, x, x, out, NULL);
}

/* ---- gradients of biases ---- */

static __global__ void
__launch_bounds__(RN_ROW_WARPS * RN_WARP) bias_backward_kernel(int rows, int cols, const rn_real *dy, int lddy, ColumnSums sums)
{
	RN_DYN_SHARED(rn_real, shared);
	rn_real    *strip = column_strip(sums, shared);
	int			row;
	int			j;

	for (row = column_first_row(); row < rows; row += column_row_step())
		for (j = threadIdx.x; j < cols; j += RN_WARP)
			strip[j] += dy[(size_t) row * lddy + j];
	column_finish(sums, shared);
}

/* dbias += column sums of dy */
void
rn_cuda_bias_backward(RnLane *lane, int rows, int cols, const rn_real *dy, int lddy, rn_real *dbias)
{
	ColumnSums	sums;

	column_begin(&sums, cols);
	column_want(&sums, dbias, cols);
	if (!column_plan(lane, &sums, rows))
		return;
	RN_QUEUE(lane, bias_backward_kernel, sums.blocks, dim3(RN_WARP, RN_ROW_WARPS), sums.shared, rows, cols,
			  dy, lddy, sums);
	column_add(lane, &sums);
}
