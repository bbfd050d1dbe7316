/*
 * blaslt_matrix.cpp
 *		Matrices in device memory, and numbers of 16 bits.
 *
 * Every matrix is held to the bounds of its allocation, and what is read must
 * have been written.  Inputs of less exact products are rounded as a GPU
 * rounds them.
 *
 * test/cudaemu/blaslt_matrix.cpp
 */
#include "blaslt.h"

namespace cudaemu
{

size_t
size_of(int type)
{
	return type == CUDA_R_32F ? 4 : type == CUDA_R_16BF || type == CUDA_R_16F ? 2 : 0;
}

static float
bfloat16_value(uint16_t bits)
{
	return __uint_as_float((uint32_t) bits << 16);
}

static float
float16_value(uint16_t bits)
{
	const int	exponent = bits >> 10 & 31;
	const float fraction = (float) (bits & 1023);
	float		size = ldexpf(exponent > 0 ? 1024.0f + fraction : fraction, (exponent > 0 ? exponent : 1) - 25);

	if (exponent == 31)
		size = fraction > 0 ? NAN : INFINITY;
	return bits >> 15 ? -size : size;
}

float
load(const void *at, int type)
{
	switch (type)
	{
		case CUDA_R_16BF:
			return bfloat16_value(*(const uint16_t *) at);
		case CUDA_R_16F:
			return float16_value(*(const uint16_t *) at);
		default:
			return *(const float *) at;
	}
}

void
store(void *at, int type, float value)
{
	switch (type)
	{
#ifdef RN_HAVE_HALF
		case CUDA_R_16BF:
			*(__nv_bfloat16 *) at = __float2bfloat16(value);
			break;
		case CUDA_R_16F:
			*(__half *) at = __float2half(value);
			break;
#endif
		default:
			*(float *) at = value;
	}
}

/* Without so many bits at the end of the mantissa: to nearest, ties to even. */
static float
drop_bits(float x, int bits)
{
	uint32_t	word = __float_as_uint(x);

	if ((word & 0x7f800000u) == 0x7f800000u)
		return x;
	word += (1u << (bits - 1)) - 1 + (word >> bits & 1);
	return __uint_as_float(word & ~((1u << bits) - 1));
}

static float
round_half(float x)
{
	const float smallest = 1.0f / (1 << 24);
	float		y = drop_bits(x, 13);

	if (fabsf(x) < 1.0f / (1 << 14))
		return nearbyintf(x / smallest) * smallest;
	return fabsf(y) > 65504.0f ? copysignf(INFINITY, x) : y;
}

/* An input of a product, as exact as the product is asked to be. */
static float
round_input(float x, cublasComputeType_t compute)
{
	switch (compute)
	{
		case CUBLAS_COMPUTE_32F_FAST_TF32:
			return drop_bits(x, 13);
		case CUBLAS_COMPUTE_32F_FAST_16BF:
			return drop_bits(x, 16);
		case CUBLAS_COMPUTE_32F_FAST_16F:
			return round_half(x);
		default:
			return x;
	}
}

/* ---- matrices in device memory ---- */

size_t
index_of(const Layout &layout, uint64_t row, uint64_t col)
{
	return layout.order == CUBLASLT_ORDER_ROW ? row * (size_t) layout.ld + col : col * (size_t) layout.ld + row;
}

bool
matrix_is_good(const Layout &layout, const void *at, bool is_read, const char *what)
{
	size_t		bytes = size_of(layout.type);
	uint64_t	outer = layout.order == CUBLASLT_ORDER_ROW ? layout.rows : layout.cols;
	uint64_t	inner = layout.order == CUBLASLT_ORDER_ROW ? layout.cols : layout.rows;
	uint64_t	i;

	if (!range_is_good(at, (index_of(layout, layout.rows - 1, layout.cols - 1) + 1) * bytes, true, what))
		return false;
	for (i = 0; is_read && i < outer; i++)
		if (!was_written((const char *) at + i * (size_t) layout.ld * bytes, inner * bytes))
		{
			report(cudaErrorLaunchFailure, 0, "%s: read of global memory that was never written", what);
			return false;
		}
	return true;
}

Dense
gather(const Layout &layout, const char *at, bool transpose, cublasComputeType_t compute)
{
	size_t		bytes = size_of(layout.type);
	Dense		dense;
	int			i;
	int			j;

	dense.rows = (int) (transpose ? layout.cols : layout.rows);
	dense.cols = (int) (transpose ? layout.rows : layout.cols);
	dense.values.resize((size_t) dense.rows * dense.cols);
	for (j = 0; j < dense.cols; j++)
		for (i = 0; i < dense.rows; i++)
		{
			const char *from = at + index_of(layout, transpose ? j : i, transpose ? i : j) * bytes;

			dense.values[(size_t) j * dense.rows + i] = round_input(load(from, layout.type), compute);
		}
	return dense;
}

}								/* namespace cudaemu */
