/*
 * adam.c
 *		Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov &
 *		Hutter 2019).
 *
 * kernels/cpu/adam.c
 */
#include "kernels/cpu/cpu.h"

#include "kernels/cpu/vector.h"

/*
 *		m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
 *		change = -rate m / (sqrt(v) root + epsilon) - decay value
 *
 * with rate = learning rate / (1 - beta1^t), and root = 1 / sqrt(1 - beta2^t).
 * In fairseq's form epsilon is not divided by root: rate takes sqrt(1 - beta2^t)
 * and root is 1.
 */
void
rn_cpu_adam(RnLane *lane, const RnAdamArgs *args)
{
	const double correction1 = 1.0 - pow(args->beta1, (double) args->update);
	const double correction2 = sqrt(1.0 - pow(args->beta2, (double) args->update));
	const rn_real rate = (rn_real) (args->learning_rate / correction1 * (args->fairseq ? correction2 : 1.0));
	const rn_real root = (rn_real) (args->fairseq ? 1.0 : 1.0 / correction2);
	const rn_real decay = (rn_real) (args->learning_rate * args->weight_decay);
	const rn_real epsilon = (rn_real) args->epsilon;
	const rn_real beta1 = (rn_real) args->beta1;
	const rn_real beta2 = (rn_real) args->beta2;
	const rn_real rest1 = (rn_real) (1.0 - args->beta1);
	const rn_real rest2 = (rn_real) (1.0 - args->beta2);
	const rn_real scale = (rn_real) args->gradient_scale;
	const size_t run = (size_t) 1 << 30;
	size_t		at;

	(void) lane;
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
