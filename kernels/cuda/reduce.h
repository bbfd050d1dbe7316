/*
 * reduce.h
 *		Sums and largest elements over a warp and over a block.
 *
 * Partners are added symmetrically, so every lane has the same bits.
 *
 * kernels/cuda/reduce.h
 */
#ifndef RN_CUDA_REDUCE_H
#define RN_CUDA_REDUCE_H

#include "kernels/cuda/cuda.h"

#define RN_ALL_LANES	0xffffffffu

#ifdef __CUDACC__
#define RN_UNROLL	_Pragma("unroll")
#else
#define RN_UNROLL
#endif

template <class T> static __device__ __forceinline__ T
warp_sum(T v)
{
	int			o;

	RN_UNROLL
	for (o = RN_WARP / 2; o > 0; o >>= 1)
		v += __shfl_xor_sync(RN_ALL_LANES, v, o);
	return v;
}

template <class T> static __device__ __forceinline__ T
warp_maximum(T v)
{
	int			o;

	RN_UNROLL
	for (o = RN_WARP / 2; o > 0; o >>= 1)
	{
		T			other = __shfl_xor_sync(RN_ALL_LANES, v, o);

		v = other > v ? other : v;
	}
	return v;
}

/*
 * Over all threads of a one-dimensional block of whole warps; shared has
 * room for 32.  Every thread gets the result, and shared may be used again at once.
 */
template <class T> static __device__ __forceinline__ T
block_sum(T v, T *shared)
{
	const int	warps = blockDim.x / RN_WARP;
	T			sum = 0;
	int			w;

	v = warp_sum(v);
	if (threadIdx.x % RN_WARP == 0)
		shared[threadIdx.x / RN_WARP] = v;
	__syncthreads();
	for (w = 0; w < warps; w++)
		sum += shared[w];
	__syncthreads();
	return sum;
}

template <class T> static __device__ __forceinline__ T
block_maximum(T v, T *shared)
{
	const int	warps = blockDim.x / RN_WARP;
	int			w;

	v = warp_maximum(v);
	if (threadIdx.x % RN_WARP == 0)
		shared[threadIdx.x / RN_WARP] = v;
	__syncthreads();
	v = shared[0];
	for (w = 1; w < warps; w++)
		v = shared[w] > v ? shared[w] : v;
	__syncthreads();
	return v;
}

/* y (+)= v */
static __device__ __forceinline__ void
put(rn_real *y, rn_real v, int accumulate)
{
	*y = accumulate ? *y + v : v;
}

#endif							/* RN_CUDA_REDUCE_H */
