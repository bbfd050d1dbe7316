/*
 * norm.cu
 *		Layer norm, and the end of a dual stream.
 *
 * kernels/cuda/norm.cu
 */
#include "kernels/cuda/norm.h"

#include "kernels/cuda/columns.h"

/* As RnNormArgs, in the kernels' numbers. */
typedef struct Norm
{
	int			rows;
	int			cols;
	const rn_real *x;
	const rn_real *add;
	rn_real		add_scale;
	const rn_real *gain;
	const rn_real *shift;
	rn_real		epsilon;
	rn_real    *output;
	rn_real    *normalized;
	rn_real    *rstd;

	const rn_real *doutput;
	rn_real    *dx;
	rn_real    *dadd;
	int			accumulate_x;
	int			accumulate_add;
	int			gain_sum;		/* places in a strip of column sums; -1: not wanted */
	int			shift_sum;
} Norm;

static Norm
norm_of(const RnNormArgs *args)
{
	Norm		n;

	memset((void *) &n, 0, sizeof(n));
	n.rows = args->rows;
	n.cols = args->cols;
	n.x = args->x;
	n.add = args->add;
	n.add_scale = (rn_real) args->add_scale;
	n.gain = args->gain;
	n.shift = args->shift;
	n.epsilon = (rn_real) args->epsilon;
	n.output = args->output;
	n.normalized = args->normalized;
	n.rstd = args->rstd;
	n.doutput = args->doutput;
	n.dx = args->dx;
	n.dadd = args->dadd;
	n.accumulate_x = args->accumulate_x;
	n.accumulate_add = args->accumulate_add;
	n.gain_sum = n.shift_sum = -1;
	return n;
}

template <int BLOCKS> static __global__ void
__launch_bounds__(RN_ROW_WARPS * RN_WARP) norm_forward_kernel(Norm n)
{
	const int	number = blockIdx.x * RN_ROW_WARPS + threadIdx.y;
	const int	lane = threadIdx.x;
	const size_t offset = (size_t) number * n.cols;
	rn_real		sum = 0;
	rn_real		mean;
	rn_real		rstd;

	if (number >= n.rows)
		return;

	/* rows that do not fit into registers are read again from x, which nobody writes before the last pass */
	Row<BLOCKS> row((rn_real *) n.x + offset);

	RN_EACH_COLUMN(BLOCKS, n.cols, lane, block, i, j,
	{
		const rn_real v = n.x[offset + j];

		if (BLOCKS > 0)
			row.set(block, i, j, v);
		sum += v;
	});
	mean = warp_sum(sum) / n.cols;
	rstd = row_rstd<BLOCKS>(row, n.cols, lane, mean, n.epsilon);
	if (n.rstd != NULL && lane == 0)
		n.rstd[number] = rstd;
	RN_EACH_COLUMN(BLOCKS, n.cols, lane, block, i, j,
	{
		rn_real		v = (row.get(block, i, j) - mean) * rstd;

		if (n.normalized != NULL)
			n.normalized[offset + j] = v;
		if (n.gain != NULL)
			v *= n.gain[j];
		if (n.shift != NULL)
			v += n.shift[j];
		if (n.add != NULL)
			v += n.add_scale * n.add[offset + j];
		n.output[offset + j] = v;
	});
}

void
rn_cuda_norm_forward(RnLane *lane, const RnNormArgs *args)
{
	const unsigned blocks = rn_blocks((size_t) args->rows, RN_ROW_WARPS);
	const dim3	threads(RN_WARP, RN_ROW_WARPS);
	const Norm	n = norm_of(args);

	if (n.rows <= 0 || n.cols <= 0)
		return;
	switch (row_blocks_of(n.cols))
	{
		case 4:
			RN_QUEUE(lane, (norm_forward_kernel<4>), blocks, threads, 0, n);
			break;
		case 8:
			RN_QUEUE(lane, (norm_forward_kernel<8>), blocks, threads, 0, n);
			break;
		default:
			RN_QUEUE(lane, (norm_forward_kernel<0>), blocks, threads, 0, n);
	}
}

/*
 * dx = rstd (g - mean(g) - xhat mean(g xhat)), g = dy gain; dgain += dy xhat;
 * dshift += dy; dadd = add_scale dy.
 */
static __global__ void
__launch_bounds__(RN_ROW_WARPS * RN_WARP) norm_backward_kernel(Norm n, ColumnSums sums)
{
	RN_DYN_SHARED(rn_real, shared);
	const int	lane = threadIdx.x;
	rn_real    *strip = column_strip(sums, shared);
	int			number;
	int			j;

	for (number = column_first_row(); number < n.rows; number += column_row_step())
	{
		const size_t offset = (size_t) number * n.cols;
		const rn_real rstd = n.rstd[number];
		rn_real		mean = 0;
		rn_real		mean_xhat = 0;

		for (j = lane; j < n.cols; j += RN_WARP)
		{
			const rn_real dy = n.doutput[offset + j];
			const rn_real xhat = n.normalized[offset + j];
			const rn_real g = n.gain != NULL ? dy * n.gain[j] : dy;

			if (n.gain_sum >= 0)
				strip[n.gain_sum + j] += dy * xhat;
			if (n.shift_sum >= 0)
				strip[n.shift_sum + j] += dy;
			mean += g;
			mean_xhat += g * xhat;
		}
		mean = warp_sum(mean) / n.cols;
		mean_xhat = warp_sum(mean_xhat) / n.cols;
		for (j = lane; j < n.cols; j += RN_WARP)
		{
			const rn_real dy = n.doutput[offset + j];
			const rn_real g = n.gain != NULL ? dy * n.gain[j] : dy;

			if (n.dadd != NULL)
				put(&n.dadd[offset + j], n.add_scale * dy, n.accumulate_add);
			if (n.dx != NULL)
				put(&n.dx[offset + j], rstd * (g - mean - mean_xhat * n.normalized[offset + j]), n.accumulate_x);
		}
	}
	column_finish(sums, shared);
}

void
rn_cuda_norm_backward(RnLane *lane, const RnNormArgs *args)
{
	ColumnSums	sums;
	Norm		n = norm_of(args);

	column_begin(&sums, args->cols);
	n.gain_sum = column_want(&sums, args->dgain, args->cols);
	n.shift_sum = column_want(&sums, args->dshift, args->cols);
	if (!column_plan(lane, &sums, args->rows))
		return;
	RN_QUEUE(lane, norm_backward_kernel, sums.blocks, dim3(RN_WARP, RN_ROW_WARPS), sums.shared, n, sums);
	column_add(lane, &sums);
}
