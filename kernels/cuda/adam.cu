/*
 * adam.cu
 *		Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov &
 *		Hutter 2019).
 *
 * kernels/cuda/adam.cu
 */
#include "kernels/cuda/reduce.h"

#include <math.h>

#define THREADS		256

/* As RnAdamArgs, with what depends on the update alone worked out. */
typedef struct Adam
{
	size_t		n;
	rn_real    *value;
	rn_real    *gradient;
	rn_real    *first;
	rn_real    *second;
	rn_real    *change;
	rn_real		scale;
	rn_real		beta1;
	rn_real		beta2;
	rn_real		rest1;			/* 1 - beta1 */
	rn_real		rest2;
	rn_real		rate;
	rn_real		root;
	rn_real		decay;
	rn_real		epsilon;
} Adam;

/*
 *		m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
 *		change = -rate m / (sqrt(v) root + epsilon) - decay value
 *
 * with rate = learning rate / (1 - beta1^t), and root = 1 / sqrt(1 - beta2^t).
 * In fairseq's form epsilon is not divided by root: rate takes sqrt(1 - beta2^t)
 * and root is 1.
 */
static __global__ void
__launch_bounds__(THREADS) adam_kernel(Adam a)
{
	const size_t i = (size_t) blockIdx.x * THREADS + threadIdx.x;

	if (i >= a.n)
		return;

	const rn_real g = a.scale * a.gradient[i];
	const rn_real m = a.beta1 * a.first[i] + a.rest1 * g;
	const rn_real v = a.beta2 * a.second[i] + a.rest2 * g * g;
	const rn_real w = a.value[i];
	const rn_real step = -a.rate * m / (sqrt(v) * a.root + a.epsilon) - a.decay * w;

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
	const double correction1 = 1.0 - pow(args->beta1, (double) args->update);
	const double correction2 = sqrt(1.0 - pow(args->beta2, (double) args->update));
	Adam		a;

	if (args->n == 0)
		return;
	a.n = args->n;
	a.value = args->value;
	a.gradient = args->gradient;
	a.first = args->first;
	a.second = args->second;
	a.change = args->change;
	a.scale = (rn_real) args->gradient_scale;
	a.beta1 = (rn_real) args->beta1;
	a.beta2 = (rn_real) args->beta2;
	a.rest1 = (rn_real) (1.0 - args->beta1);
	a.rest2 = (rn_real) (1.0 - args->beta2);
	a.rate = (rn_real) (args->learning_rate / correction1 * (args->fairseq ? correction2 : 1.0));
	a.root = (rn_real) (args->fairseq ? 1.0 : 1.0 / correction2);
	a.decay = (rn_real) (args->learning_rate * args->weight_decay);
	a.epsilon = (rn_real) args->epsilon;
	RN_LAUNCH(adam_kernel, rn_blocks(args->n, THREADS), THREADS, 0, rn_lane_stream(lane), a);
	rn_cuda_launched(lane, "adam");
}
