/*
 * quantise.c
 *		Rows of real numbers as 8-bit ones with a scale.
 *
 * Numbers go from -127 to 127, so that a row and its negative are treated
 * alike and a product of two of them fits anywhere.
 *
 * kernels/cpu/quantise.c
 */
#include "kernels/cpu/prepared.h"

#define LARGEST		127

typedef int8_t Bytes __attribute__((vector_size(RN_VECTOR_BYTES / sizeof(rn_real)), aligned(1), may_alias));
typedef int16_t Shorts __attribute__((vector_size(2 * RN_VECTOR_BYTES / sizeof(rn_real)), aligned(2), may_alias));

/* max |x|; not a number when x is not finite. */
static rn_real
largest(int k, const rn_real *x)
{
	RnVector	best = {0};
	RnVector	zeros = {0};

	RN_VECTORS(j, n, k,
	{
		const RnVector v = vector_load(x + j, n);

		best = vector_max(vector_abs(v), best);
		zeros += 0 * v;
	});
	return vector_maximum(best) + vector_sum(zeros);
}

RN_INLINE RnInts
rounded(RnVector v, rn_real factor)
{
#if defined(RN_AVX512) && !defined(RN_DOUBLE)
	return (RnInts) _mm512_cvtps_epi32((__m512) (v * factor));
#else
	return __builtin_convertvector(vector_round(v * factor), RnInts);
#endif
}

rn_real
rn_quantise_bytes(int k, const rn_real *x, int8_t *to, int32_t *sum)
{
	const rn_real most = largest(k, x);
	const rn_real factor = most > 0 ? LARGEST / most : 0;
	RnInts		total = {0};
	int			l;

	if (k % 4 != 0 || isnan(most))
		memset(to, 0, (size_t) ((k + 3) & ~3));
	if (!isnan(most))
		RN_VECTORS(j, n, k,
		{
			const RnInts q = rounded(vector_load(x + j, n), factor);

			total += q;
			*(Bytes *) (to + j) = __builtin_convertvector(q, Bytes);
		});
	if (sum != NULL)
	{
#if defined(RN_AVX512) && !defined(RN_DOUBLE)
		(void) l;
		*sum = _mm512_reduce_add_epi32((__m512i) total);
#else
		*sum = 0;
		for (l = 0; l < RN_WIDTH; l++)
			*sum += (int32_t) total[l];
#endif
	}
	return most / LARGEST;
}

rn_real
rn_quantise_shorts(int k, const rn_real *x, int16_t *to)
{
	const rn_real most = largest(k, x);
	const rn_real factor = most > 0 ? LARGEST / most : 0;

	if (k % 4 != 0 || isnan(most))
		memset(to, 0, (size_t) ((k + 3) & ~3) * sizeof(int16_t));
	if (!isnan(most))
		RN_VECTORS(j, n, k,
		{
			*(Shorts *) (to + j) = __builtin_convertvector(rounded(vector_load(x + j, n), factor), Shorts);
		});
	return most / LARGEST;
}
