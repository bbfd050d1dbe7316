/*
 * random.c
 *		Random numbers that are counted, not carried.
 *
 * A number's name is spread over counter and key so that no two names meet:
 * the counter holds index, stream and step, the key seed and purpose.
 *
 * src/base/random.c
 */
#include "base/random.h"

#include <math.h>

#define PHILOX_ROUNDS	10

static const double two_pi = 6.283185307179586;

void
rn_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
	uint32_t	c0 = counter[0];
	uint32_t	c1 = counter[1];
	uint32_t	c2 = counter[2];
	uint32_t	c3 = counter[3];
	uint32_t	k0 = key[0];
	uint32_t	k1 = key[1];
	int			round;

	for (round = 0; round < PHILOX_ROUNDS; round++)
	{
		uint64_t	a = (uint64_t) 0xD2511F53u * c0;
		uint64_t	b = (uint64_t) 0xCD9E8D57u * c2;

		c0 = (uint32_t) (b >> 32) ^ c1 ^ k0;
		c1 = (uint32_t) b;
		c2 = (uint32_t) (a >> 32) ^ c3 ^ k1;
		c3 = (uint32_t) a;
		k0 += 0x9E3779B9u;		/* golden ratio */
		k1 += 0xBB67AE85u;		/* sqrt(3) - 1 */
	}
	out[0] = c0;
	out[1] = c1;
	out[2] = c2;
	out[3] = c3;
}

static void
named_words(uint64_t seed, RnPurpose purpose, uint32_t step, uint32_t stream, uint64_t index, uint32_t out[4])
{
	uint32_t	counter[4] = {(uint32_t) index, (uint32_t) (index >> 32), stream, step};
	uint32_t	key[2] = {(uint32_t) seed, (uint32_t) (seed >> 32) ^ (uint32_t) purpose << 24};

	rn_philox(counter, key, out);
}

/* 52 bits and a half, so that neither 0 nor 1 is met. */
static double
open_uniform(uint32_t low, uint32_t high)
{
	uint64_t	bits = (uint64_t) high << 32 | low;

	return ((double) (bits >> 12) + 0.5) * 0x1p-52;
}

uint64_t
rn_random_bits(uint64_t seed, RnPurpose purpose, uint32_t step, uint32_t stream, uint64_t index)
{
	uint32_t	words[4];

	named_words(seed, purpose, step, stream, index, words);
	return (uint64_t) words[1] << 32 | words[0];
}

double
rn_random_uniform(uint64_t seed, RnPurpose purpose, uint32_t step, uint32_t stream, uint64_t index)
{
	uint32_t	words[4];

	named_words(seed, purpose, step, stream, index, words);
	return open_uniform(words[0], words[1]);
}

double
rn_random_normal(uint64_t seed, RnPurpose purpose, uint32_t step, uint32_t stream, uint64_t index)
{
	uint32_t	words[4];

	named_words(seed, purpose, step, stream, index, words);
	return sqrt(-2.0 * log(open_uniform(words[0], words[1]))) *
		cos(two_pi * open_uniform(words[2], words[3]));
}

/* bits * n / 2^64 without a 128-bit type: uniform below n. */
static uint32_t
below(uint64_t bits, uint32_t n)
{
	uint64_t	carry = (bits & 0xffffffffu) * n >> 32;

	return (uint32_t) (((bits >> 32) * n + carry) >> 32);
}

void
rn_random_shuffle(uint64_t seed, RnPurpose purpose, uint32_t step, uint32_t stream, uint32_t *items, uint32_t n)
{
	uint32_t	left;

	for (left = n; left > 1; left--)
	{
		uint32_t	pick = below(rn_random_bits(seed, purpose, step, stream, left), left);
		uint32_t	item = items[pick];

		items[pick] = items[left - 1];
		items[left - 1] = item;
	}
}

int
rn_dropout_keeps(const RnDropout *dropout, uint32_t row, uint32_t col)
{
	uint32_t	counter[4] = {col / 128 * 16 + col % 16, row, dropout->site, dropout->step};
	uint32_t	key[2] = {(uint32_t) dropout->seed,
	(uint32_t) (dropout->seed >> 32) ^ (uint32_t) RN_RANDOM_DROPOUT << 24};
	uint32_t	words[4];
	uint32_t	half = col / 16 % 8;

	rn_philox(counter, key, words);
	return (words[half / 2] >> (half % 2 * 16) & 0xffff) >= rn_dropout_threshold(dropout);
}
