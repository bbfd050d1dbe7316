/*
 * mask.h
 *		Dropout masks, as base/random.h defines them.
 *
 * A lane that takes columns lane, lane + 32, lane + 64 and lane + 96 of 128
 * finds all four in one call of Philox: word i, the low half for lanes below
 * 16, else the high one.
 *
 * kernels/cuda/mask.h
 */
#ifndef RN_CUDA_MASK_H
#define RN_CUDA_MASK_H

#include "kernels/cuda/cuda.h"

/* Columns that a warp takes at a time, and a lane of it. */
#define RN_MASK_COLUMNS	128
#define RN_MASK_WORDS	4

/* A site's dropout as kernels want it. */
typedef struct Mask
{
	const uint32_t *step;		/* on the device: it is another one each time */
	int			on;
	uint32_t	key0;
	uint32_t	key1;
	uint32_t	site;
	uint32_t	threshold;		/* halves below this are dropped */
	rn_real		scale;			/* 1 / (1 - rate) */
} Mask;

static inline Mask
mask_of(RnLane *lane, const RnDropout *dropout)
{
	Mask		mask;

	mask.on = dropout->rate > 0.0;
	mask.step = mask.on ? rn_lane_number(lane, dropout->step) : NULL;
	mask.key0 = (uint32_t) dropout->seed;
	mask.key1 = (uint32_t) (dropout->seed >> 32) ^ (uint32_t) RN_RANDOM_DROPOUT << 24;
	mask.site = dropout->site;
	mask.threshold = rn_dropout_threshold(dropout);
	mask.scale = (rn_real) (1.0 / (1.0 - dropout->rate));
	return mask;
}

/* Philox4x32-10 of one counter. */
static __device__ __forceinline__ void
mask_words(const Mask &mask, uint32_t site, uint32_t row, uint32_t counter, uint32_t words[RN_MASK_WORDS])
{
	uint32_t	c0 = counter;
	uint32_t	c1 = row;
	uint32_t	c2 = site;
	uint32_t	c3 = *mask.step;
	uint32_t	k0 = mask.key0;
	uint32_t	k1 = mask.key1;
	int			round;

	for (round = 0; round < 10; round++)
	{
		const uint32_t a_high = __umulhi(0xD2511F53u, c0);
		const uint32_t a_low = 0xD2511F53u * c0;
		const uint32_t b_high = __umulhi(0xCD9E8D57u, c2);
		const uint32_t b_low = 0xCD9E8D57u * c2;

		c0 = b_high ^ c1 ^ k0;
		c1 = b_low;
		c2 = a_high ^ c3 ^ k1;
		c3 = a_low;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	words[0] = c0;
	words[1] = c1;
	words[2] = c2;
	words[3] = c3;
}

/* The words of a lane's columns in the 128 that begin at 128 * block. */
static __device__ __forceinline__ void
mask_lane(const Mask &mask, uint32_t row, int block, int lane, uint32_t words[RN_MASK_WORDS])
{
	mask_words(mask, mask.site, row, (uint32_t) (block * 16 + lane % 16), words);
}

/* 0 or 1 / (1 - rate) of a lane's column in word i. */
static __device__ __forceinline__ rn_real
mask_factor(const Mask &mask, uint32_t word, int lane)
{
	return (lane < 16 ? word & 0xffff : word >> 16) >= mask.threshold ? mask.scale : (rn_real) 0;
}

/* Of any one element of a row. */
static __device__ __forceinline__ rn_real
mask_element(const Mask &mask, uint32_t site, uint32_t row, uint32_t column)
{
	const uint32_t half = column / 16 % 8;
	uint32_t	words[RN_MASK_WORDS];
	uint32_t	word;

	mask_words(mask, site, row, column / 128 * 16 + column % 16, words);
	word = half < 4 ? (half < 2 ? words[0] : words[1]) : (half < 6 ? words[2] : words[3]);
	return (half % 2 == 0 ? word & 0xffff : word >> 16) >= mask.threshold ? mask.scale : (rn_real) 0;
}

#endif							/* RN_CUDA_MASK_H */
