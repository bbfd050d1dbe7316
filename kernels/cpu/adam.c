/*
 * adam.c
 *		What becomes of a step, and Adam (Kingma & Ba 2015) with decoupled
 *		weight decay (Loshchilov & Hutter 2019).
 *
 * kernels/cpu/adam.c
 */
#include "kernels/cpu/cpu.h"

#include <string.h>

#include "kernels/cpu/vector.h"
#include "kernels/decide.h"

void
rn_cpu_decide(RnLane *lane, const RnDecideArgs *args)
{
	double		squares = 0;
	double		loss = 0;
	double		nll = 0;
	int			i;

	(void) lane;
	for (i = 0; i < args->n_squares; i++)
		squares += args->squares[i];
	for (i = 0; i < args->n_sums; i++)
	{
		loss += args->sums[2 * i];
		nll += args->sums[2 * i + 1];
		args->sums[2 * i] = args->sums[2 * i + 1] = 0;
	}
	rn_decide(args, squares, loss, nll);
}

/*
 *		m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
 *		change = -rate m / (sqrt(v) root + epsilon) - decay value
 *
 * with rate = learning rate / (1 - beta1^t), and root = 1 / sqrt(1 - beta2^t).
 * In fairseq's form epsilon is not divided by root: rate takes sqrt(1 - beta2^t)
 * and root is 1.  An update that is not made clears the gradient all the same.
 */
void
rn_cpu_adam(RnLane *lane, const RnAdamArgs *args)
{
	const RnDecision *decision = args->decision;
	const rn_real rate = (rn_real) decision->rate;
	const rn_real root = (rn_real) decision->root;
	const rn_real decay = (rn_real) (decision->learning_rate * args->weight_decay);
	const rn_real epsilon = (rn_real) args->epsilon;
	const rn_real beta1 = (rn_real) args->beta1;
	const rn_real beta2 = (rn_real) args->beta2;
	const rn_real rest1 = (rn_real) (1.0 - args->beta1);
	const rn_real rest2 = (rn_real) (1.0 - args->beta2);
	const rn_real scale = (rn_real) decision->gradient_scale;
	const size_t run = (size_t) 1 << 30;
	size_t		at;

	(void) lane;
	if (decision->skip)
	{
		memset(args->gradient, 0, args->n * sizeof(rn_real));
		if (args->change != NULL)
			memset(args->change, 0, args->n * sizeof(rn_real));
		return;
	}
	for (at = 0; at < args->n; at += run)
	{
		const int	count = (int) RN_MIN(args->n - at, run);
		rn_real    *value = args->value + at;
		rn_real    *gradient = args->gradient + at;
		rn_real    *first = args->first + at;
		rn_real    *second = args->second + at;
		rn_real    *change = args->change != NULL ? args->change + at : NULL;

		RN_VECTORS(j, n, count,
		{
			RnVector	g = scale * vector_load(gradient + j, n);
			RnVector	m = beta1 * vector_load(first + j, n) + rest1 * g;
			RnVector	v = beta2 * vector_load(second + j, n) + rest2 * g * g;
			RnVector	w = vector_load(value + j, n);
			RnVector	step = -rate * m / (vector_sqrt(v) * root + epsilon) - decay * w;

			vector_store(first + j, m, n);
			vector_store(second + j, v, n);
			vector_store(value + j, w + step, n);
			vector_store(gradient + j, (RnVector) {0}, n);
			if (change != NULL)
				vector_store(change + j, step, n);
		});
	}
}
