/*
 * adam.cu
 *		What becomes of a step, and Adam (Kingma & Ba 2015) with decoupled
 *		weight decay (Loshchilov & Hutter 2019).
 *
 * kernels/cuda/adam.cu
 */
#include "kernels/cuda/reduce.h"

#include <math.h>

#include "kernels/decide.h"

#define THREADS		256

/* ---- what becomes of a step ---- */

/* One warp; sums have a fixed order. */
static __global__ void
__launch_bounds__(RN_WARP) decide_kernel(RnDecideArgs args)
{
	double		squares = 0.0;
	double		loss = 0.0;
	double		nll = 0.0;
	int			i;

	for (i = threadIdx.x; i < args.n_squares; i += RN_WARP)
		squares += args.squares[i];
	squares = warp_sum(squares);
	if (threadIdx.x > 0)
		return;
	for (i = 0; i < args.n_sums; i++)
	{
		loss += args.sums[2 * i];
		nll += args.sums[2 * i + 1];
		args.sums[2 * i] = args.sums[2 * i + 1] = 0.0;
	}
	rn_decide(&args, squares, loss, nll);
}

void
rn_cuda_decide(RnLane *lane, const RnDecideArgs *args)
{
	RN_QUEUE(lane, decide_kernel, 1, RN_WARP, 0, *args);
}

/* ---- Adam ---- */

/* As RnAdamArgs. */
typedef struct Adam
{
	size_t		n;
	rn_real    *value;
	rn_real    *gradient;
	rn_real    *first;
	rn_real    *second;
	rn_real    *change;
	const RnDecision *decision;
	rn_real		beta1;
	rn_real		beta2;
	rn_real		rest1;			/* 1 - beta1 */
	rn_real		rest2;
	double		weight_decay;
	rn_real		epsilon;
} Adam;

/*
 *		m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
 *		change = -rate m / (sqrt(v) root + epsilon) - decay value
 *
 * with rate = learning rate / (1 - beta1^t), and root = 1 / sqrt(1 - beta2^t).
 * In fairseq's form epsilon is not divided by root: rate takes sqrt(1 - beta2^t)
 * and root is 1.  An update that is not made clears the gradient all the same.
 */
static __global__ void
__launch_bounds__(THREADS) adam_kernel(Adam a)
{
	const size_t i = (size_t) blockIdx.x * THREADS + threadIdx.x;

	if (i >= a.n)
		return;
	if (a.decision->skip)
	{
		a.gradient[i] = 0;
		if (a.change != NULL)
			a.change[i] = 0;
		return;
	}

	const rn_real scale = (rn_real) a.decision->gradient_scale;
	const rn_real rate = (rn_real) a.decision->rate;
	const rn_real root = (rn_real) a.decision->root;
	const rn_real decay = (rn_real) (a.decision->learning_rate * a.weight_decay);
	const rn_real g = scale * a.gradient[i];
	const rn_real m = a.beta1 * a.first[i] + a.rest1 * g;
	const rn_real v = a.beta2 * a.second[i] + a.rest2 * g * g;
	const rn_real w = a.value[i];
	const rn_real step = -rate * m / (sqrt(v) * root + a.epsilon) - decay * w;

	a.first[i] = m;
	a.second[i] = v;
	a.value[i] = w + step;
	a.gradient[i] = 0;
	if (a.change != NULL)
		a.change[i] = step;
}

void
rn_cuda_adam(RnLane *lane, const RnAdamArgs *args)
{
	Adam		a;

	if (args->n == 0)
		return;
	memset((void *) &a, 0, sizeof(a));
	a.n = args->n;
	a.value = args->value;
	a.gradient = args->gradient;
	a.first = args->first;
	a.second = args->second;
	a.change = args->change;
	a.decision = args->decision;
	a.beta1 = (rn_real) args->beta1;
	a.beta2 = (rn_real) args->beta2;
	a.rest1 = (rn_real) (1.0 - args->beta1);
	a.rest2 = (rn_real) (1.0 - args->beta2);
	a.weight_decay = args->weight_decay;
	a.epsilon = (rn_real) args->epsilon;
	RN_QUEUE(lane, adam_kernel, rn_blocks(args->n, THREADS), THREADS, 0, a);
}
