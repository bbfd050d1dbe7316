/*
 * random.h
 *		Random numbers that are counted, not carried.
 *
 * Philox4x32-10 (Salmon et al. 2011, "Parallel Random Numbers: As Easy as
 * 1, 2, 3"): a keyed bijection of a 128-bit counter.  A number is named by
 * (seed, purpose, step, stream, index), so that it is the same on every
 * device, with any number of threads and after a resume.
 *
 * src/base/random.h
 */
#ifndef RN_RANDOM_H
#define RN_RANDOM_H

#include <stdint.h>

/* What a number is for; part of the key.  Append, never renumber. */
typedef enum RnPurpose
{
	RN_RANDOM_INIT = 1,			/* initial weights; stream = parameter */
	RN_RANDOM_DROPOUT,			/* masks; step = update, stream = site */
	RN_RANDOM_SHUFFLE,			/* order of sentences and batches; step = epoch */
	RN_RANDOM_SAMPLE,			/* sampling a token; step = position */
	RN_RANDOM_RESERVOIR,		/* which sentences the tokenizer learns from */
	RN_RANDOM_PERTURB,			/* diagnostics */
	RN_RANDOM_BOOTSTRAP			/* which sentences a resample has; step = resample */
} RnPurpose;

/* The bijection itself: four words out of a counter and a key. */
extern void rn_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* The index-th 64 random bits of a stream. */
extern uint64_t rn_random_bits(uint64_t seed, RnPurpose purpose, uint32_t step,
							   uint32_t stream, uint64_t index);

/* Uniform in the open interval (0, 1). */
extern double rn_random_uniform(uint64_t seed, RnPurpose purpose, uint32_t step,
								uint32_t stream, uint64_t index);

/* Standard normal (Box-Muller over two words of one counter). */
extern double rn_random_normal(uint64_t seed, RnPurpose purpose, uint32_t step,
							   uint32_t stream, uint64_t index);

/* Shuffle n items in place (Fisher-Yates). */
extern void rn_random_shuffle(uint64_t seed, RnPurpose purpose, uint32_t step,
							  uint32_t stream, uint32_t *items, uint32_t n);

/*
 * Dropout.  An element of a [rows, cols] activation is named by its row, its
 * column and the place in the model (site).  One Philox call decides eight
 * elements, 16 bits each: element (row, col) is kept when the half
 *
 *		h = (col / 16) % 8		word h / 2, low half for even h, high for odd
 *
 * of philox(counter = { (col / 128) * 16 + col % 16, row, site, step },
 *			 key = { low(seed), high(seed) ^ RN_RANDOM_DROPOUT << 24 })
 *
 * is at least round(rate * 65536).  Kept elements are multiplied by
 * 1 / (1 - rate).  Sixteen neighbouring columns are sixteen counters, so
 * vector units of any width make the same mask.
 *
 * Attention masks: the "columns" of head h of a sentence with n queries and m
 * keys are the n * m entries i * m + j; row is the sentence's first query
 * row; site is the attention's site + (h << 16).
 */
typedef struct RnDropout
{
	double		rate;			/* 0 = off */
	uint64_t	seed;
	uint32_t	step;			/* update */
	uint32_t	site;			/* place in the model, below 65536 */
} RnDropout;

/* Halves below this are dropped. */
static inline uint32_t
rn_dropout_threshold(const RnDropout *dropout)
{
	return (uint32_t) (dropout->rate * 65536.0 + 0.5);
}

/* Is the element kept?  The plain version, the judge of the fast ones. */
extern int	rn_dropout_keeps(const RnDropout *dropout, uint32_t row, uint32_t col);

#endif							/* RN_RANDOM_H */
