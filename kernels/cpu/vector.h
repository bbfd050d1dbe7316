/*
 * vector.h
 *		Vectors as wide as the target's registers, and no wider.
 *
 * A vector type wider than the registers is fifty times slower than plain
 * code, so the width follows from what the compiler was told to build for.
 * Rows are walked with RN_VECTORS, whose body is written once and compiled
 * twice: for whole vectors, and for the n elements left over.
 *
 * kernels/cpu/vector.h
 */
#ifndef RN_VECTOR_H
#define RN_VECTOR_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/real.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define RN_VECTOR_BYTES		64
#define RN_VECTOR_NAME		"AVX-512"
#define RN_AVX512
#elif defined(__AVX2__) && defined(__FMA__)
#define RN_VECTOR_BYTES		32
#define RN_VECTOR_NAME		"AVX2"
#elif defined(__SSE4_1__)
#define RN_VECTOR_BYTES		16
#define RN_VECTOR_NAME		"SSE4"
#else
#define RN_VECTOR_BYTES		16
#define RN_VECTOR_NAME		"generic"
#define RN_NO_INTRINSICS
#endif

#define RN_WIDTH	((int) (RN_VECTOR_BYTES / sizeof(rn_real)))
#define RN_INLINE	static inline __attribute__((always_inline, unused))

/* Before a loop of a few rounds, known when compiled, that must leave no loop. */
#ifdef __clang__
#define RN_UNROLL	_Pragma("clang loop unroll(full)")
#else
#define RN_UNROLL	_Pragma("GCC unroll 16")
#endif

#ifdef RN_DOUBLE
typedef int64_t RnLaneInt;
#else
typedef int32_t RnLaneInt;
#endif

/* aligned to an element: a vector may be read from anywhere in a row */
typedef rn_real RnVector __attribute__((vector_size(RN_VECTOR_BYTES), aligned(sizeof(rn_real)), may_alias));
typedef RnLaneInt RnInts __attribute__((vector_size(RN_VECTOR_BYTES), aligned(sizeof(rn_real)), may_alias));

#define RN_MIN(a, b)	((a) < (b) ? (a) : (b))
#define RN_MAX(a, b)	((a) > (b) ? (a) : (b))

/*
 * For j = 0, RN_WIDTH, ... below count: the body, with n the elements of this
 * vector, a constant but in the last.
 */
#define RN_VECTORS(j, n, count, ...) \
	do { \
		int			j = 0; \
		for (; j + RN_WIDTH <= (count); j += RN_WIDTH) \
		{ \
			enum {n = RN_WIDTH}; \
			__VA_ARGS__ \
		} \
		if (j < (count)) \
		{ \
			const int	n = (count) - j; \
			__VA_ARGS__ \
		} \
	} while (0)

RN_INLINE RnVector
vector_set(rn_real x)
{
	return x - (RnVector) {0};
}

/* The first n elements; the others are 0. */
RN_INLINE RnVector
vector_load(const rn_real *p, int n)
{
	RnVector	v = {0};

	if (n == RN_WIDTH)
		return *(const RnVector *) p;
#ifdef RN_AVX512
#ifdef RN_DOUBLE
	v = (RnVector) _mm512_maskz_loadu_pd((__mmask8) ((1u << n) - 1), p);
#else
	v = (RnVector) _mm512_maskz_loadu_ps((__mmask16) ((1u << n) - 1), p);
#endif
#else
	memcpy(&v, p, (size_t) n * sizeof(rn_real));
#endif
	return v;
}

RN_INLINE void
vector_store(rn_real *p, RnVector v, int n)
{
	if (n == RN_WIDTH)
		*(RnVector *) p = v;
	else
	{
#ifdef RN_AVX512
#ifdef RN_DOUBLE
		_mm512_mask_storeu_pd(p, (__mmask8) ((1u << n) - 1), (__m512d) v);
#else
		_mm512_mask_storeu_ps(p, (__mmask16) ((1u << n) - 1), (__m512) v);
#endif
#else
		memcpy(p, &v, (size_t) n * sizeof(rn_real));
#endif
	}
}

/* y = v, or y += v */
RN_INLINE void
vector_put(rn_real *y, RnVector v, int n, int accumulate)
{
	if (accumulate)
		v += vector_load(y, n);
	vector_store(y, v, n);
}

#ifndef RN_NO_INTRINSICS
#if RN_VECTOR_BYTES == 64
#define RN_MM_(name, kind)	_mm512_##name##_##kind
#define RN_MM_TYPE_(kind)	__m512##kind
#elif RN_VECTOR_BYTES == 32
#define RN_MM_(name, kind)	_mm256_##name##_##kind
#define RN_MM_TYPE_(kind)	__m256##kind
#else
#define RN_MM_(name, kind)	_mm_##name##_##kind
#define RN_MM_TYPE_(kind)	__m128##kind
#endif
#ifdef RN_DOUBLE
#define RN_MM(name)	RN_MM_(name, pd)
#define RN_MM_REAL	RN_MM_TYPE_(d)
#else
#define RN_MM(name)	RN_MM_(name, ps)
#define RN_MM_REAL	RN_MM_TYPE_()
#endif
#endif

/* a > b ? a : b, so b where a is not a number. */
RN_INLINE RnVector
vector_max(RnVector a, RnVector b)
{
#ifdef RN_NO_INTRINSICS
	RnInts		greater = a > b;

	return (RnVector) ((greater & (RnInts) a) | (~greater & (RnInts) b));
#else
	return (RnVector) RN_MM(max) ((RN_MM_REAL) a, (RN_MM_REAL) b);
#endif
}

RN_INLINE RnVector
vector_min(RnVector a, RnVector b)
{
#ifdef RN_NO_INTRINSICS
	RnInts		less = a < b;

	return (RnVector) ((less & (RnInts) a) | (~less & (RnInts) b));
#else
	return (RnVector) RN_MM(min) ((RN_MM_REAL) a, (RN_MM_REAL) b);
#endif
}

RN_INLINE RnVector
vector_sqrt(RnVector a)
{
#ifdef RN_NO_INTRINSICS
	int			l;

	for (l = 0; l < RN_WIDTH; l++)
		a[l] = (rn_real) sqrt(a[l]);
	return a;
#else
	return (RnVector) RN_MM(sqrt) ((RN_MM_REAL) a);
#endif
}

/* To the nearest whole number.  Never by adding 1.5 2^23: see -ffast-math. */
RN_INLINE RnVector
vector_round(RnVector a)
{
#if defined(RN_NO_INTRINSICS)
	int			l;

	for (l = 0; l < RN_WIDTH; l++)
		a[l] = (rn_real) rint(a[l]);
	return a;
#elif defined(RN_AVX512)
	return (RnVector) RN_MM(roundscale) ((RN_MM_REAL) a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
	return (RnVector) RN_MM(round) ((RN_MM_REAL) a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#endif
}

RN_INLINE RnVector
vector_abs(RnVector a)
{
	return vector_max(a, -a);
}

/* v where the mask's lanes are set, else 0. */
RN_INLINE RnVector
vector_and(RnInts mask, RnVector v)
{
	return (RnVector) (mask & (RnInts) v);
}

RN_INLINE RnVector
vector_select(RnInts mask, RnVector a, RnVector b)
{
	return (RnVector) ((mask & (RnInts) a) | (~mask & (RnInts) b));
}

/* Pairs of halves are added, so the order is the same at every call. */
RN_INLINE rn_real
vector_sum(RnVector v)
{
#if defined(RN_AVX512)
	return RN_MM(reduce_add) ((RN_MM_REAL) v);
#else
	rn_real		lanes[RN_WIDTH];
	int			half;
	int			l;

	memcpy(lanes, &v, sizeof(v));
	for (half = RN_WIDTH / 2; half > 0; half /= 2)
		for (l = 0; l < half; l++)
			lanes[l] += lanes[l + half];
	return lanes[0];
#endif
}

/* The sums of four vectors, which take little more than that of one. */
RN_INLINE void
vector_four_sums(const RnVector v[4], rn_real sums[4])
{
#if !defined(RN_DOUBLE) && !defined(RN_NO_INTRINSICS)
	/* in each 128 bits: halves of v[0] and v[1], of v[2] and v[3], then of all four */
	const RnVector a = (RnVector) RN_MM(unpacklo) ((RN_MM_REAL) v[0], (RN_MM_REAL) v[1]) +
		(RnVector) RN_MM(unpackhi) ((RN_MM_REAL) v[0], (RN_MM_REAL) v[1]);
	const RnVector b = (RnVector) RN_MM(unpacklo) ((RN_MM_REAL) v[2], (RN_MM_REAL) v[3]) +
		(RnVector) RN_MM(unpackhi) ((RN_MM_REAL) v[2], (RN_MM_REAL) v[3]);
	const RnVector all = (RnVector) RN_MM_(unpacklo, pd) ((RN_MM_TYPE_(d)) a, (RN_MM_TYPE_(d)) b) +
		(RnVector) RN_MM_(unpackhi, pd) ((RN_MM_TYPE_(d)) a, (RN_MM_TYPE_(d)) b);
#if RN_VECTOR_BYTES == 64
	const __m256 half = _mm512_castps512_ps256((__m512) all) + _mm512_extractf32x8_ps((__m512) all, 1);
	const __m128 quarter = _mm256_castps256_ps128(half) + _mm256_extractf128_ps(half, 1);
#elif RN_VECTOR_BYTES == 32
	const __m128 quarter = _mm256_castps256_ps128((__m256) all) + _mm256_extractf128_ps((__m256) all, 1);
#else
	const __m128 quarter = (__m128) all;
#endif

	_mm_storeu_ps(sums, quarter);
#else
	int			i;

	for (i = 0; i < 4; i++)
		sums[i] = vector_sum(v[i]);
#endif
}

/* Set in the first n lanes. */
RN_INLINE RnInts
vector_lanes(int n)
{
	static const RnLaneInt numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

	return *(const RnInts *) numbers < (RnLaneInt) n;
}

/* The first n lanes, the others 0. */
RN_INLINE RnVector
vector_first(RnVector v, int n)
{
	return n == RN_WIDTH ? v : vector_and(vector_lanes(n), v);
}

/* The first n lanes, the others x. */
RN_INLINE RnVector
vector_fill_from(RnVector v, int n, rn_real x)
{
	return n == RN_WIDTH ? v : vector_select(vector_lanes(n), v, vector_set(x));
}

/* Sum in double, for sums that are kept for long. */
RN_INLINE double
vector_sum_double(RnVector v)
{
	double		sum = 0.0;
	int			l;

	for (l = 0; l < RN_WIDTH; l++)
		sum += v[l];
	return sum;
}

RN_INLINE rn_real
vector_maximum(RnVector v)
{
#if defined(RN_AVX512)
	return RN_MM(reduce_max) ((RN_MM_REAL) v);
#else
	rn_real		best = v[0];
	int			l;

	for (l = 1; l < RN_WIDTH; l++)
		best = v[l] > best ? v[l] : best;
	return best;
#endif
}

/* Is any lane of a comparison set? */
RN_INLINE int
vector_any(RnInts mask)
{
#if defined(RN_AVX512) && defined(RN_DOUBLE)
	return _mm512_movepi64_mask((__m512i) mask) != 0;
#elif defined(RN_AVX512)
	return _mm512_movepi32_mask((__m512i) mask) != 0;
#elif !defined(RN_NO_INTRINSICS)
	return RN_MM(movemask) ((RN_MM_REAL) mask) != 0;
#else
	RnLaneInt	any = 0;
	int			l;

	for (l = 0; l < RN_WIDTH; l++)
		any |= mask[l];
	return any != 0;
#endif
}

/* y[0 .. count - 1] += x */
RN_INLINE void
vector_add_row(rn_real *y, const rn_real *x, int count)
{
	RN_VECTORS(j, n, count,
	{
		vector_store(y + j, vector_load(y + j, n) + vector_load(x + j, n), n);
	});
}

#endif							/* RN_VECTOR_H */
