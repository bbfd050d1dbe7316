/*
 * round.cu
 *		Numbers of 16 bits out of those of 32: to nearest, ties to even.
 *
 * Bits are computed with instead of the toolkit's types, so that the same
 * lines run where there is no toolkit.
 *
 * kernels/cuda/round.cu
 */
#include "kernels/cuda/product.h"

#define THREADS		256
#define EACH		8			/* numbers of a thread */

/* The high half, and one more where the low half says so. */
static __device__ __forceinline__ uint16_t
bfloat16_bits(float x)
{
	const uint32_t bits = __float_as_uint(x);

	if ((bits & 0x7fffffffu) > 0x7f800000u)
		return (uint16_t) (bits >> 16 | 0x40);	/* not a number stays none */
	return (uint16_t) ((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static __device__ __forceinline__ uint16_t
float16_bits(float x)
{
	const uint32_t bits = __float_as_uint(x);
	const uint32_t sign = bits >> 16 & 0x8000;
	const uint32_t size = bits & 0x7fffffffu;

	if (size >= 0x477ff000u)	/* 65520 and more, and what is not a number */
		return (uint16_t) (sign | (size > 0x7f800000u ? 0x7e00 : 0x7c00));
	/* below 2^-14 all numbers are as far apart as those at 0.5 in 32 bits */
	if (size < 0x38800000u)
		return (uint16_t) (sign | (__float_as_uint(__uint_as_float(size) + 0.5f) - 0x3f000000u));
	return (uint16_t) (sign | ((size - 0x38000000u + 0xfff + (size >> 13 & 1)) >> 13));
}

template <bool SMALL>
static __global__ void
__launch_bounds__(THREADS) round_kernel(size_t n, const rn_real *x, uint16_t *rounded)
{
	const size_t first = (size_t) blockIdx.x * THREADS * EACH + threadIdx.x;
	int			k;

	for (k = 0; k < EACH; k++)
	{
		const size_t i = first + (size_t) k * THREADS;

		if (i < n)
			rounded[i] = SMALL ? float16_bits((float) x[i]) : bfloat16_bits((float) x[i]);
	}
}

void
rn_cuda_round(RnLane *lane, size_t n, const rn_real *x, void *rounded)
{
	const unsigned blocks = rn_blocks(n, (size_t) THREADS * EACH);

	if (n == 0)
		return;
	if (rn_product_rounding() == RN_ROUND_FLOAT16)
		RN_QUEUE(lane, round_kernel<true>, blocks, THREADS, 0, n, x, (uint16_t *) rounded);
	else
		RN_QUEUE(lane, round_kernel<false>, blocks, THREADS, 0, n, x, (uint16_t *) rounded);
}
