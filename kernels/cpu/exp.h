/*
 * exp.h
 *		exp and the normal distribution of a vector.
 *
 * In float by polynomials of our own, held to libm in test_kernels.c; in the
 * double build, which is a judge, by libm itself.  Neither may be compiled
 * with -ffast-math.
 *
 * kernels/cpu/exp.h
 */
#ifndef RN_EXP_H
#define RN_EXP_H

#include "kernels/cpu/vector.h"

#ifdef RN_DOUBLE

RN_INLINE RnVector
vector_exp(RnVector x)
{
	int			l;

	for (l = 0; l < RN_WIDTH; l++)
		x[l] = exp(x[l]);
	return x;
}

RN_INLINE RnVector
vector_normal(RnVector x, RnVector *bell)
{
	int			l;

	*bell = vector_exp(-0.5 * x * x);
	for (l = 0; l < RN_WIDTH; l++)
		x[l] = 0.5 * erfc(x[l] * -0.70710678118654752);
	return x;
}

#else

/*
 * exp(x) = 2^k exp(f) with k = round(x / ln 2), |f| <= ln 2 / 2; ln 2 in two
 * parts, so that f keeps its bits for large |x|.  Below -87.3 the result
 * would be denormal: 0.  Above 88.3 it stays at exp(88.3), still finite; what
 * is not a number goes through.
 */
RN_INLINE RnVector
vector_exp(RnVector x)
{
	RnVector	clamped = vector_min(vector_set(88.3f), vector_max(vector_set(-87.3f), x));
	RnVector	k = vector_round(clamped * 1.44269504f);
	RnVector	f = clamped - k * 0.693145752f - k * 1.42860677e-6f;
	RnVector	p = f * 0.00138888889f + 0.00833333333f;
	RnInts		scale = __builtin_convertvector(k, RnInts) << 23;

	p = p * f + 0.0416666667f;
	p = p * f + 0.166666667f;
	p = p * f + 0.5f;
	p = p * f + 1.0f;
	p = p * f + 1.0f;
	return vector_and(~(x < -87.3f), (RnVector) ((RnInts) p + scale));
}

/*
 * The cumulative normal distribution: for x < 0
 *
 *		Phi(x) = exp(-x^2 / 2) t p(t),  t = 1 / (1 - 0.305 x)
 *
 * where p is fitted to a relative error of 1e-7 over -13.3 .. 0 (below, the
 * exponential is 0), and Phi(x) = 1 - Phi(-x).  Gives exp(-x^2 / 2) too.
 */
RN_INLINE RnVector
vector_normal(RnVector x, RnVector *bell)
{
	RnVector	t = 1.0f / (1.0f + 0.305f * vector_abs(x));
	RnVector	p = t * 0.0366991747f - 0.152988255f;

	*bell = vector_exp(-0.5f * x * x);
	p = p * t + 0.18571679f;
	p = p * t - 0.0379767245f;
	p = p * t + 0.121021624f;
	p = p * t + 0.103420883f;
	p = p * t + 0.122466814f;
	p = p * t + 0.121639733f;
	p = p * t * *bell;
	return vector_select(x < 0, p, 1.0f - p);
}

#endif

#endif							/* RN_EXP_H */
