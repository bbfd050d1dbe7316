/*
 * softmax.h
 *		Softmax of one row of scores.
 *
 * kernels/cpu/softmax.h
 */
#ifndef RN_SOFTMAX_H
#define RN_SOFTMAX_H

#include "kernels/cpu/exp.h"
#include "kernels/cpu/vector.h"

/*
 * x = softmax(x / divisor) of the first count > 0 elements, 0 up to stride,
 * a multiple of RN_WIDTH, whatever stood there.
 */
RN_INLINE void
softmax_row(rn_real *x, int count, int stride, rn_real inverse_divisor)
{
	RnVector	best = vector_set(x[0]);
	RnVector	sum = {0};
	rn_real		maximum;
	rn_real		factor;
	int			j;

	RN_VECTORS(j, n, count,
	{
		best = vector_max(best, vector_fill_from(*(const RnVector *) (x + j), n, x[0]));
	});
	maximum = vector_maximum(best);
	RN_VECTORS(j, n, count,
	{
		RnVector	v = *(const RnVector *) (x + j);
		RnVector	e = vector_first(vector_exp((v - maximum) * inverse_divisor), n);

		sum += e;
		*(RnVector *) (x + j) = e;
	});
	factor = 1 / vector_sum(sum);
	for (j = 0; j < count; j += RN_WIDTH)
		*(RnVector *) (x + j) *= factor;
	for (; j < stride; j += RN_WIDTH)
		*(RnVector *) (x + j) = (RnVector) {0};
}

#endif							/* RN_SOFTMAX_H */
