/*
 * residual.cu
 *		How a sublayer joins the stream: bias, dropout, sum, dual stream and
 *		norm in one pass, and all of their gradients in another.
 *
 * A warp has a row.  The dual stream's gradient is one buffer for all
 * sublayers of a stack: backward reads it and writes nothing for it.
 *
 * kernels/cuda/residual.cu
 */
#include "kernels/cuda/columns.h"
#include "kernels/cuda/norm.h"

/* As RnResidualArgs, in the kernels' numbers and with row_ids on the device. */
typedef struct Residual
{
	int			rows;
	int			cols;
	const rn_real *shortcut;
	const rn_real *branch;
	const rn_real *bias;
	const rn_real *omega;
	const rn_real *gate;
	const rn_real *gain;
	const rn_real *shift;
	rn_real		shortcut_scale;
	rn_real		branch_scale;
	rn_real		dual_scale;
	rn_real		epsilon;
	const uint32_t *row_ids;
	rn_real    *dual;
	rn_real    *output;
	rn_real    *normalized;
	rn_real    *rstd;

	const rn_real *doutput;
	const rn_real *ddual;
	rn_real    *dshortcut;
	rn_real    *dbranch;
	int			accumulate_shortcut;
	int			accumulate_branch;
	Mask		mask;

	/* places in a strip of column sums; -1: not wanted */
	int			gain_sum;
	int			shift_sum;
	int			bias_sum;
	int			omega_sum;
	int			gate_sum;
} Residual;

static int
residual_of(RnLane *lane, const RnResidualArgs *args, Residual *r)
{
	memset((void *) r, 0, sizeof(*r));
	r->rows = args->rows;
	r->cols = args->cols;
	r->shortcut = args->shortcut;
	r->branch = args->branch;
	r->bias = args->bias;
	r->omega = args->omega;
	r->gate = args->gate;
	r->gain = args->gain;
	r->shift = args->shift;
	r->shortcut_scale = (rn_real) args->shortcut_scale;
	r->branch_scale = (rn_real) args->branch_scale;
	r->dual_scale = (rn_real) args->dual_scale;
	r->epsilon = (rn_real) args->epsilon;
	r->dual = args->dual;
	r->output = args->output;
	r->normalized = args->normalized;
	r->rstd = args->rstd;
	r->doutput = args->doutput;
	r->ddual = args->ddual;
	r->dshortcut = args->dshortcut;
	r->dbranch = args->dbranch;
	r->accumulate_shortcut = args->accumulate_shortcut;
	r->accumulate_branch = args->accumulate_branch;
	r->row_ids = NULL;
	if (args->rows <= 0 || args->cols <= 0)
		return 0;
	r->mask = mask_of(lane, &args->dropout);
	if (r->mask.on)
		r->row_ids = (const uint32_t *) rn_lane_upload(lane, args->row_ids, (size_t) args->rows * sizeof(uint32_t));
	return !r->mask.on || (r->row_ids != NULL && r->mask.step != NULL);
}

/* ---- forward ---- */

/* s into row, D += dual_scale a; the lane's part of the sum of s. */
template <int BLOCKS> static __device__ __forceinline__ rn_real
join_row(const Residual &r, size_t offset, uint32_t row_id, int lane, Row<BLOCKS> &row)
{
	const rn_real scale = r.branch_scale * (r.gate != NULL ? *r.gate : 1);
	uint32_t	words[RN_MASK_WORDS];
	rn_real		sum = 0;

	RN_EACH_COLUMN(BLOCKS, r.cols, lane, block, i, j,
	{
		rn_real		a = r.branch[offset + j];
		rn_real		s = r.shortcut_scale * r.shortcut[offset + j];

		if (r.bias != NULL)
			a += r.bias[j];
		if (r.mask.on)
		{
			if (i == 0)
				mask_lane(r.mask, row_id, block, lane, words);
			a *= mask_factor(r.mask, words[i], lane);
		}
		a *= scale;
		if (r.dual != NULL)
			r.dual[offset + j] += r.dual_scale * a;
		if (r.omega != NULL)
			s *= r.omega[j];
		s += a;
		row.set(block, i, j, s);
		sum += s;
	});
	return sum;
}

template <int BLOCKS> static __global__ void
__launch_bounds__(RN_ROW_WARPS * RN_WARP, BLOCKS == 8 ? 3 : 0) residual_forward_kernel(Residual r)
{
	const int	number = blockIdx.x * RN_ROW_WARPS + threadIdx.y;
	const int	lane = threadIdx.x;
	const size_t offset = (size_t) number * r.cols;
	rn_real		mean = 0;
	rn_real		rstd = 1;

	if (number >= r.rows)
		return;

	/* what lies in memory meanwhile must not be the shortcut; the branch's element was read before */
	Row<BLOCKS> row(r.output + offset);
	const rn_real sum = join_row<BLOCKS>(r, offset, r.mask.on ? r.row_ids[number] : 0, lane, row);

	if (r.gain != NULL)
	{
		mean = warp_sum(sum) / r.cols;
		rstd = row_rstd<BLOCKS>(row, r.cols, lane, mean, r.epsilon);
		if (r.rstd != NULL && lane == 0)
			r.rstd[number] = rstd;
	}
	RN_EACH_COLUMN(BLOCKS, r.cols, lane, block, i, j,
	{
		rn_real		v = row.get(block, i, j);

		if (r.gain != NULL)
		{
			v = (v - mean) * rstd;
			if (r.normalized != NULL)
				r.normalized[offset + j] = v;
			v = r.gain[j] * v + r.shift[j];
		}
		r.output[offset + j] = v;
	});
}

void
rn_cuda_residual_forward(RnLane *lane, const RnResidualArgs *args)
{
	const unsigned blocks = rn_blocks((size_t) args->rows, RN_ROW_WARPS);
	const dim3	threads(RN_WARP, RN_ROW_WARPS);
	Residual	r;

	if (!residual_of(lane, args, &r))
		return;
	switch (row_blocks_of(r.cols))
	{
		case 4:
			RN_QUEUE(lane, (residual_forward_kernel<4>), blocks, threads, 0, r);
			break;
		case 8:
			RN_QUEUE(lane, (residual_forward_kernel<8>), blocks, threads, 0, r);
			break;
		default:
			RN_QUEUE(lane, (residual_forward_kernel<0>), blocks, threads, 0, r);
	}
}

/* ---- backward ---- */

/* The means of g and of g xhat, g = dy gain; dgain += dy xhat, dshift += dy. */
static __device__ __forceinline__ void
gradient_means(const Residual &r, size_t offset, int lane, rn_real *strip, rn_real *mean, rn_real *mean_xhat)
{
	rn_real		sum = 0;
	rn_real		sum_xhat = 0;
	int			j;

	for (j = lane; j < r.cols; j += RN_WARP)
	{
		const rn_real dy = r.doutput[offset + j];
		const rn_real xhat = r.normalized[offset + j];
		const rn_real g = dy * r.gain[j];

		if (r.gain_sum >= 0)
			strip[r.gain_sum + j] += dy * xhat;
		if (r.shift_sum >= 0)
			strip[r.shift_sum + j] += dy;
		sum += g;
		sum_xhat += g * xhat;
	}
	*mean = warp_sum(sum) / r.cols;
	*mean_xhat = warp_sum(sum_xhat) / r.cols;
}

/* One element, from d = dL/ds; gives its part of dgate. */
static __device__ __forceinline__ rn_real
split_element(const Residual &r, size_t at, int j, rn_real d, rn_real factor, rn_real gate, rn_real *strip)
{
	rn_real		a = d;
	rn_real		gate_part = 0;

	if (r.ddual != NULL)
		a += r.dual_scale * r.ddual[at];
	a *= r.branch_scale * factor;
	if (r.gate_sum >= 0)
		gate_part = a * (r.branch[at] + (r.bias != NULL ? r.bias[j] : 0));
	a *= gate;
	d *= r.shortcut_scale;
	if (r.omega_sum >= 0)
		strip[r.omega_sum + j] += d * r.shortcut[at];
	if (r.omega != NULL)
		d *= r.omega[j];
	if (r.bias_sum >= 0)
		strip[r.bias_sum + j] += a;
	if (r.dshortcut != NULL)
		put(&r.dshortcut[at], d, r.accumulate_shortcut);
	if (r.dbranch != NULL)
		put(&r.dbranch[at], a, r.accumulate_branch);
	return gate_part;
}

static __global__ void
__launch_bounds__(RN_ROW_WARPS * RN_WARP) residual_backward_kernel(Residual r, ColumnSums sums)
{
	RN_DYN_SHARED(rn_real, shared);
	const int	lane = threadIdx.x;
	const rn_real gate = r.gate != NULL ? *r.gate : 1;
	rn_real    *strip = column_strip(sums, shared);
	rn_real		gate_sum = 0;
	int			number;

	for (number = column_first_row(); number < r.rows; number += column_row_step())
	{
		const size_t offset = (size_t) number * r.cols;
		const rn_real rstd = r.gain != NULL ? r.rstd[number] : 1;
		uint32_t	words[RN_MASK_WORDS];
		rn_real		mean = 0;
		rn_real		mean_xhat = 0;

		if (r.gain != NULL)
			gradient_means(r, offset, lane, strip, &mean, &mean_xhat);
		RN_EACH_COLUMN(0, r.cols, lane, block, i, j,
		{
			rn_real		d = r.doutput[offset + j];
			rn_real		factor = 1;

			if (r.gain != NULL)
				d = rstd * (d * r.gain[j] - mean - mean_xhat * r.normalized[offset + j]);
			if (r.mask.on)
			{
				if (i == 0)
					mask_lane(r.mask, r.row_ids[number], block, lane, words);
				factor = mask_factor(r.mask, words[i], lane);
			}
			gate_sum += split_element(r, offset + j, j, d, factor, gate, strip);
		});
	}
	if (r.gate_sum >= 0)
	{
		gate_sum = warp_sum(gate_sum);
		if (lane == 0)
			strip[r.gate_sum] = gate_sum;
	}
	column_finish(sums, shared);
}

void
rn_cuda_residual_backward(RnLane *lane, const RnResidualArgs *args)
{
	ColumnSums	sums;
	Residual	r;

	if (!residual_of(lane, args, &r))
		return;
	column_begin(&sums, args->cols);
	r.gain_sum = column_want(&sums, args->gain != NULL ? args->dgain : NULL, args->cols);
	r.shift_sum = column_want(&sums, args->gain != NULL ? args->dshift : NULL, args->cols);
	r.bias_sum = column_want(&sums, args->dbias, args->cols);
	r.omega_sum = column_want(&sums, args->domega, args->cols);
	r.gate_sum = column_want(&sums, args->dgate, 1);
	if (!column_plan(lane, &sums, args->rows))
		return;
	RN_QUEUE(lane, residual_backward_kernel, sums.blocks, dim3(RN_WARP, RN_ROW_WARPS), sums.shared, r, sums);
	column_add(lane, &sums);
}
