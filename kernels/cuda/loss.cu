/*
 * loss.cu
 *		Rows of logits: smoothed cross-entropy, which becomes its gradient in
 *		place.
 *
 * A block has a row.  Losses of rows are added by one warp, in order.
 *
 * kernels/cuda/loss.cu
 */
#include "kernels/cuda/reduce.h"

#define THREADS		256			/* of a block, at most */

/* As RnLossArgs. */
typedef struct Loss
{
	int			cols;
	rn_real    *logits;
	const int32_t *targets;
	double		own;			/* w and u below */
	double		every;
	int			gradient;
	rn_real		gradient_scale;
	rn_real    *row_nll;
	double	   *row_losses;		/* [rows][2] loss, nll */
} Loss;

/*
 * With w = weight of the target's own term and u that of every column:
 *
 *		loss = w (lse - l[t]) + u (V lse - sum l),  w + V u = 1
 *		dloss / dl[j] = softmax[j] - u - w [j = t]
 */
static __global__ void
__launch_bounds__(THREADS) loss_kernel(Loss l)
{
	RN_SHARED(double, sums, RN_WARP);
	RN_SHARED(rn_real, maxima, RN_WARP);
	rn_real    *logits = l.logits + (size_t) blockIdx.x * l.cols;
	const int	target = l.targets[blockIdx.x];
	const rn_real at_target = logits[target];
	rn_real		maximum = logits[0];
	double		sum = 0.0;
	double		sum_logits = 0.0;
	int			j;

	for (j = threadIdx.x; j < l.cols; j += blockDim.x)
		maximum = logits[j] > maximum ? logits[j] : maximum;
	maximum = block_maximum(maximum, maxima);
	for (j = threadIdx.x; j < l.cols; j += blockDim.x)
	{
		const rn_real less = logits[j] - maximum;

		sum += exp(less);
		sum_logits += less;
	}
	sum = block_sum(sum, sums);
	sum_logits = block_sum(sum_logits, sums);
	if (threadIdx.x == 0)
	{
		const double lse = log(sum);	/* less the maximum, as are the logits */
		const double nll = lse - ((double) at_target - maximum);

		l.row_losses[2 * blockIdx.x] = l.own * nll + l.every * (l.cols * lse - sum_logits);
		l.row_losses[2 * blockIdx.x + 1] = nll;
		if (l.row_nll != NULL)
			l.row_nll[blockIdx.x] = (rn_real) nll;
	}
	if (l.gradient)
	{
		const rn_real factor = (rn_real) (l.gradient_scale / sum);
		const rn_real less = (rn_real) (l.gradient_scale * l.every);
		const rn_real own = (rn_real) (l.gradient_scale * l.own);

		for (j = threadIdx.x; j < l.cols; j += blockDim.x)
			logits[j] = factor * exp(logits[j] - maximum) - less - (j == target ? own : 0);
	}
}

static __global__ void
__launch_bounds__(RN_WARP) loss_end_kernel(int rows, const double *row_losses, double *total_loss, double *total_nll)
{
	double		loss = 0.0;
	double		nll = 0.0;
	int			i;

	for (i = threadIdx.x; i < rows; i += RN_WARP)
	{
		loss += row_losses[2 * i];
		nll += row_losses[2 * i + 1];
	}
	loss = warp_sum(loss);
	nll = warp_sum(nll);
	if (threadIdx.x == 0)
	{
		*total_loss = loss;
		*total_nll = nll;
	}
}

void
rn_cuda_loss(RnLane *lane, const RnLossArgs *args)
{
	double	   *totals[2];
	Loss		l;

	if (args->rows <= 0 || args->cols <= 0)
		return;
	l.cols = args->cols;
	l.logits = args->logits;
	l.every = args->variant == 0 ? (args->cols > 1 ? args->smoothing / (args->cols - 1.0) : 0.0) :
		args->smoothing / args->cols;
	l.own = 1.0 - l.every * args->cols;
	l.gradient = args->gradient;
	l.gradient_scale = (rn_real) args->gradient_scale;
	l.row_nll = args->row_nll;
	l.targets = rn_lane_integers(lane, args->targets, (size_t) args->rows);
	l.row_losses = (double *) rn_lane_scratch(lane, 2 * (size_t) args->rows * sizeof(double));
	totals[0] = (double *) rn_lane_result(lane, args->loss_sum, sizeof(double), RN_ARRIVE_SUM);
	totals[1] = (double *) rn_lane_result(lane, args->nll_sum, sizeof(double), RN_ARRIVE_SUM);
	if (l.targets == NULL || l.row_losses == NULL || totals[0] == NULL || totals[1] == NULL)
		return;
	RN_LAUNCH(loss_kernel, (unsigned) args->rows, rn_row_threads(args->cols, THREADS), 0, rn_lane_stream(lane), l);
	RN_LAUNCH(loss_end_kernel, 1, RN_WARP, 0, rn_lane_stream(lane), args->rows, l.row_losses, totals[0], totals[1]);
	rn_cuda_launched(lane, "loss");
}
