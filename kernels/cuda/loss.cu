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
	double		gradient_scale;
	const double *loss_scale;	/* [1] or NULL */
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
	const rn_real at_target = logits[target >= 0 ? target : 0];
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
		const double nll = target >= 0 ? lse - ((double) at_target - maximum) : 0.0;

		l.row_losses[2 * blockIdx.x] = target >= 0 ? l.own * nll + l.every * (l.cols * lse - sum_logits) : 0.0;
		l.row_losses[2 * blockIdx.x + 1] = nll;
		if (l.row_nll != NULL)
			l.row_nll[blockIdx.x] = (rn_real) nll;
	}
	if (l.gradient)
	{
		const double scale = l.loss_scale != NULL ? l.gradient_scale * *l.loss_scale : l.gradient_scale;
		const rn_real factor = (rn_real) (scale / sum);
		const rn_real less = (rn_real) (scale * l.every);
		const rn_real own = (rn_real) (scale * l.own);

		for (j = threadIdx.x; j < l.cols; j += blockDim.x)
			logits[j] = target >= 0 ? factor * exp(logits[j] - maximum) - less - (j == target ? own : 0) : 0;
	}
}

static __global__ void
__launch_bounds__(RN_WARP) loss_end_kernel(int rows, const double *row_losses, double *sums)
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
		sums[0] += loss;
		sums[1] += nll;
	}
}

void
rn_cuda_loss(RnLane *lane, const RnLossArgs *args)
{
	Loss		l;

	if (args->rows <= 0 || args->cols <= 0)
		return;
	memset((void *) &l, 0, sizeof(l));
	l.cols = args->cols;
	l.logits = args->logits;
	l.every = args->variant == 0 ? (args->cols > 1 ? args->smoothing / (args->cols - 1.0) : 0.0) :
		args->smoothing / args->cols;
	l.own = 1.0 - l.every * args->cols;
	l.gradient = args->gradient;
	l.gradient_scale = args->gradient_scale;
	l.loss_scale = args->loss_scale;
	l.row_nll = args->row_nll;
	l.targets = rn_lane_integers(lane, args->targets, (size_t) args->rows);
	l.row_losses = (double *) rn_lane_scratch(lane, 2 * (size_t) args->rows * sizeof(double));
	if (l.targets == NULL || l.row_losses == NULL)
		return;
	RN_QUEUE(lane, loss_kernel, (unsigned) args->rows, rn_row_threads(args->cols, THREADS), 0, l);
	if (args->sums != NULL)
		RN_QUEUE(lane, loss_end_kernel, 1, RN_WARP, 0, args->rows, l.row_losses, args->sums);
}
