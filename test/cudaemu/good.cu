/*
 * good.cu
 *		Kernels without a mistake, of the patterns that the device's kernels use.
 *
 * test/cudaemu/good.cu
 */
#include "cudaemu.h"

#include "faults.h"

#include <vector>

#define FULL	0xffffffffu

__global__ void
block_sum(float *out, const float *in, int n)
{
	RN_SHARED(float, partial, 8);
	float		sum = 0;

	for (int i = (int) threadIdx.x; i < n; i += (int) blockDim.x)
		sum += in[i];
	for (int offset = 16; offset > 0; offset /= 2)
		sum += __shfl_down_sync(FULL, sum, offset);
	if (threadIdx.x % 32 == 0)
		partial[threadIdx.x / 32] = sum;
	__syncthreads();
	if (threadIdx.x == 0)
	{
		sum = 0;
		for (int i = 0; i < (int) blockDim.x / 32; i++)
			sum += partial[i];
		*out = sum;
	}
}

__global__ void
scatter(float *out, const float *in)
{
	atomicAdd(&out[(int) in[blockIdx.x * blockDim.x + threadIdx.x] % 5], 1.0f);
}

/* Two shared arrays, one of them dynamic, used again in each round. */
__global__ void
reverse_tiles(float *out, const float *in, int rounds)
{
	RN_SHARED(float, tile, 64);
	RN_DYN_SHARED(float, other);

	for (int round = 0; round < rounds; round++)
	{
		tile[threadIdx.x] = in[round * 64 + (int) threadIdx.x];
		__syncthreads();
		other[63 - threadIdx.x] = tile[threadIdx.x];
		__syncthreads();
		out[round * 64 + (int) threadIdx.x] = other[threadIdx.x];
	}
}

/* Half a warp has business of its own, then all meet. */
__global__ void
halves(float *out)
{
	float		value = (float) threadIdx.x;

	if (threadIdx.x < 16)
		value = __shfl_xor_sync(0xffffu, value, 1);
	else
		__syncwarp(0xffff0000u);
	value += __shfl_sync(FULL, value, 0);
	if (__any_sync(FULL, value > 1000))
		value = -1;
	out[threadIdx.x] = value;
}

__global__ void
votes(float *out, int bound)
{
	const int	below = __syncthreads_count((int) threadIdx.x < bound);
	const int	all = __syncthreads_and((int) threadIdx.x < bound);
	const int	any = __syncthreads_or((int) threadIdx.x < bound);

	out[threadIdx.x] = (float) (below * 4 + (all != 0) * 2 + (any != 0));
}

__global__ void
vectors(float4 *out, const float4 *in)
{
	float4		four = in[threadIdx.x];

	four.x = four.w;
	out[threadIdx.x] = four;
}

static std::vector<float>
result(const Ground &g)
{
	std::vector<float> host((size_t) g.n);

	cudaMemcpyAsync(host.data(), g.out, (size_t) g.n * sizeof(float), cudaMemcpyDeviceToHost, g.stream);
	return host;
}

static bool
run_block_sum(const Ground &g)
{
	RN_LAUNCH(block_sum, 1, 128, 0, g.stream, g.out, g.in, g.n);
	return result(g)[0] == (float) (g.n * (g.n - 1) / 2);
}

static bool
run_scatter(const Ground &g)
{
	std::vector<float> host;

	RN_LAUNCH(scatter, 4, 64, 0, g.stream, g.out, g.in);
	host = result(g);
	return host[0] == 52 && host[1] == 51 && host[4] == 51;
}

static bool
run_reverse_tiles(const Ground &g)
{
	std::vector<float> host;
	bool		good = true;

	RN_LAUNCH(reverse_tiles, 1, 64, 64 * sizeof(float), g.stream, g.out, g.in, 4);
	host = result(g);
	for (int i = 0; i < g.n; i++)
		good = good && host[(size_t) i] == (float) (i / 64 * 64 + 63 - i % 64);
	return good;
}

static bool
run_halves(const Ground &g)
{
	std::vector<float> host;

	RN_LAUNCH(halves, 1, 32, 0, g.stream, g.out);
	host = result(g);
	return host[0] == 2 && host[1] == 1 && host[20] == 21;
}

static bool
run_votes(const Ground &g)
{
	RN_LAUNCH(votes, 1, 96, 0, g.stream, g.out, 33);
	return result(g)[95] == 33 * 4 + 1;
}

static bool
run_vectors(const Ground &g)
{
	std::vector<float> host;

	RN_LAUNCH(vectors, 1, 64, 0, g.stream, (float4 *) g.out, (const float4 *) g.in);
	host = result(g);
	return host[4] == 7 && host[5] == 5 && host[7] == 7;
}

const GoodKernel good_kernels[] = {
	{"block_sum", run_block_sum},
	{"scatter", run_scatter},
	{"reverse_tiles", run_reverse_tiles},
	{"halves", run_halves},
	{"votes", run_votes},
	{"vectors", run_vectors},
};

const int	n_good_kernels = sizeof(good_kernels) / sizeof(good_kernels[0]);
