/*
 * mask.h
 *		Dropout masks, as base/random.h defines them, sixteen counters at a time.
 *
 * Philox wants 32 x 32 -> 64 bit products, which vector units make of every
 * second 32-bit lane.  So counters of even and odd columns are kept in
 * vectors of their own, one to a 64-bit lane; put together again they are
 * sixteen columns in order.
 *
 * kernels/cpu/mask.h
 */
#ifndef RN_MASK_H
#define RN_MASK_H

#include "base/random.h"
#include "kernels/cpu/vector.h"

/* A mask's row has a whole number of these. */
#define RN_MASK_BLOCK	128

typedef uint64_t RnWide __attribute__((vector_size(RN_VECTOR_BYTES), may_alias));
typedef uint32_t RnWords __attribute__((vector_size(RN_VECTOR_BYTES), may_alias));

/* vectors of even, and as many of odd, counters in a block of 16 */
#define RN_WIDE_COUNT	(64 / RN_VECTOR_BYTES)
#define RN_WIDE_LANES	(RN_VECTOR_BYTES / 8)

/* Elements of a mask that covers cols columns. */
RN_INLINE size_t
mask_length(size_t cols)
{
	return (cols + RN_MASK_BLOCK - 1) / RN_MASK_BLOCK * RN_MASK_BLOCK;
}

/* Product of the low halves of 64-bit lanes. */
RN_INLINE RnWide
multiply_low(RnWide a, RnWide b)
{
#if defined(RN_NO_INTRINSICS)
	return (a & 0xffffffffu) * (b & 0xffffffffu);
#elif RN_VECTOR_BYTES == 64
	return (RnWide) _mm512_mul_epu32((__m512i) a, (__m512i) b);
#elif RN_VECTOR_BYTES == 32
	return (RnWide) _mm256_mul_epu32((__m256i) a, (__m256i) b);
#else
	return (RnWide) _mm_mul_epu32((__m128i) a, (__m128i) b);
#endif
}

/*
 * Philox of RN_WIDE_LANES counters.  Only the low halves of c count; the high
 * ones hold what the products left there.
 */
RN_INLINE void
philox_lanes(RnWide c[4], uint32_t k0, uint32_t k1)
{
	const RnWide m0 = 0xD2511F53u - (RnWide) {0};
	const RnWide m1 = 0xCD9E8D57u - (RnWide) {0};
	int			round;

	RN_UNROLL
	for (round = 0; round < 10; round++)
	{
		RnWide		a = multiply_low(c[0], m0);
		RnWide		b = multiply_low(c[2], m1);

		c[0] = (b >> 32) ^ c[1] ^ (uint64_t) k0;
		c[1] = b;
		c[2] = (a >> 32) ^ c[3] ^ (uint64_t) k1;
		c[3] = a;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
}

/* 16-bit halves of RN_VECTOR_BYTES / 4 columns to factors: scale or 0. */
RN_INLINE void
mask_store(rn_real *mask, RnWords halves, uint32_t threshold, rn_real scale)
{
#ifdef RN_DOUBLE
	int			l;

	for (l = 0; l < RN_VECTOR_BYTES / 4; l++)
		mask[l] = halves[l] >= threshold ? scale : 0;
#else
	RnInts		kept = (RnInts) halves >= (RnLaneInt) threshold;

	*(RnVector *) mask = vector_and(kept, vector_set(scale));
#endif
}

/*
 * Factors of the columns from first_block * 128 on, of n_blocks * 128
 * columns: 0 or 1 / (1 - rate).  head goes into the site (attention).
 */
static inline __attribute__((unused)) void
mask_fill(const RnDropout *dropout, uint32_t head, uint32_t row, uint32_t first_block, uint32_t n_blocks,
		  rn_real *mask)
{
	const uint32_t threshold = rn_dropout_threshold(dropout);
	const rn_real scale = (rn_real) (1.0 / (1.0 - dropout->rate));
	const uint32_t k0 = (uint32_t) dropout->seed;
	const uint32_t k1 = (uint32_t) (dropout->seed >> 32) ^ (uint32_t) RN_RANDOM_DROPOUT << 24;
	const uint64_t site = dropout->site + (head << 16);
	RnWide		lanes;
	uint32_t	block;
	int			l;

	for (l = 0; l < RN_WIDE_LANES; l++)
		lanes[l] = 2 * (uint64_t) l;
	for (block = first_block; block < first_block + n_blocks; block++, mask += RN_MASK_BLOCK)
	{
		int			part;

		for (part = 0; part < RN_WIDE_COUNT; part++)
		{
			const uint64_t base = (uint64_t) block * 16 + (uint64_t) part * 2 * RN_WIDE_LANES;
			RnWide		even[4] = {lanes + base, row - (RnWide) {0}, site - (RnWide) {0}, dropout->step - (RnWide) {0}};
			RnWide		odd[4] = {lanes + (base + 1), even[1], even[2], even[3]};
			rn_real    *out = mask + part * 2 * RN_WIDE_LANES;
			int			w;

			philox_lanes(even, k0, k1);
			philox_lanes(odd, k0, k1);
			for (w = 0; w < 4; w++)
			{
				RnWords		words = (RnWords) ((even[w] & 0xffffffffu) | odd[w] << 32);

				mask_store(out + 32 * w, words & 0xffff, threshold, scale);
				mask_store(out + 32 * w + 16, words >> 16, threshold, scale);
			}
		}
	}
}

#endif							/* RN_MASK_H */
