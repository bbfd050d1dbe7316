/*
 * digest.c
 *		A short name for many bytes.
 *
 * Two lanes take 64 bits each in turn; every step is a bijection of a lane's
 * state (multiply by an odd number, rotate, exchange), so no difference gets
 * lost on the way.  At the end each lane is stirred until every bit of the
 * input reaches every bit of the output.
 *
 * src/base/digest.c
 */
#include "base/digest.h"

#include <string.h>

/* odd, with about as many ones as zeros: parts of e and of the root of 2 */
#define FACTOR_A	UINT64_C(0xADF85458A2BB4A9B)
#define FACTOR_B	UINT64_C(0xB504F333F9DE6485)

static uint64_t
rotate(uint64_t word, int bits)
{
	return word << bits | word >> (64 - bits);
}

static uint64_t
stir(uint64_t word)
{
	int			round;

	for (round = 0; round < 3; round++)
	{
		word ^= word >> 31;
		word *= round % 2 == 0 ? FACTOR_A : FACTOR_B;
	}
	return word ^ word >> 32;
}

void
rn_digest(const void *bytes, size_t size, uint64_t seed, uint64_t digest[2])
{
	const char *at = bytes;
	size_t		left = size;
	uint64_t	a = seed ^ FACTOR_B;
	uint64_t	b = rotate(seed, 32) + FACTOR_A;

	while (left > 0)
	{
		uint64_t	words[2] = {0, 0};
		size_t		n = left < sizeof(words) ? left : sizeof(words);

		memcpy(words, at, n);
		a = rotate((a ^ words[0]) * FACTOR_A, 29) + b;
		b = rotate((b ^ words[1]) * FACTOR_B, 37) + a;
		at += n;
		left -= n;
	}
	/* zeros that fill up the last words must not pass for text */
	a ^= size;
	a = stir(a + rotate(b, 17));
	b = stir(b ^ a);
	digest[0] = stir(a + b);
	digest[1] = b;
}
