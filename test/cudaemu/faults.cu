/*
 * faults.cu
 *		Kernels with one mistake each: every kind that the emulator must find.
 *
 * test/cudaemu/faults.cu
 */
#include "cudaemu.h"

#include "faults.h"

#define FULL	0xffffffffu

/* ---- barriers ---- */

__global__ void
no_barrier(float *out, const float *in)
{
	RN_SHARED(float, shared, 128);

	shared[threadIdx.x] = 0;
	__syncthreads();
	shared[threadIdx.x] = in[threadIdx.x];			/* fault: no_barrier */
	out[threadIdx.x] = shared[127 - threadIdx.x];	/* fault: no_barrier */
}

__global__ void
no_barrier_before_reuse(float *out, const float *in)
{
	RN_SHARED(float, shared, 64);

	for (int round = 0; round < 2; round++)
	{
		shared[threadIdx.x] = in[round * 64 + threadIdx.x]; /* fault: no_barrier_before_reuse */
		__syncthreads();
		out[round * 64 + threadIdx.x] = shared[63 - threadIdx.x];	/* fault: no_barrier_before_reuse */
	}
}

__global__ void
divergent_barrier(float *out)
{
	if (threadIdx.x < 16)
	{
		__syncthreads();	/* fault: divergent_barrier */
		out[threadIdx.x] = 1;
	}
	else
	{
		__syncthreads();	/* fault: divergent_barrier */
		out[threadIdx.x] = 2;
	}
}

__global__ void
return_before_barrier(float *out)
{
	if (threadIdx.x == 7)
		return;
	__syncthreads();	/* fault: return_before_barrier */
	out[threadIdx.x] = 1;
}

/* ---- warps ---- */

__global__ void
lockstep(float *out)
{
	RN_SHARED(float, shared, 64);

	shared[threadIdx.x] = 1;
	shared[threadIdx.x + 32] = 1;
	__syncthreads();
	shared[threadIdx.x] += shared[threadIdx.x + 16];	/* fault: lockstep */
	out[threadIdx.x] = shared[threadIdx.x];
}

__global__ void
wide_mask(float *out)
{
	if (threadIdx.x < 16)
		out[threadIdx.x] = __shfl_xor_sync(FULL, 1.0f, 1);	/* fault: wide_mask */
}

__global__ void
mask_without_caller(float *out)
{
	out[threadIdx.x] = __shfl_xor_sync(0xffffu, 1.0f, 1);	/* fault: mask_without_caller */
}

__global__ void
mixed_operations(float *out)
{
	if (threadIdx.x % 2 == 0)
		out[threadIdx.x] = __shfl_xor_sync(FULL, 1.0f, 1);	/* fault: mixed_operations */
	else
		out[threadIdx.x] = (float) __ballot_sync(FULL, true);	/* fault: mixed_operations */
}

/* ---- where an access goes ---- */

__global__ void
beyond_global(float *out, int n)
{
	const int	i = (int) (blockIdx.x * blockDim.x + threadIdx.x);

	if (i <= n)
		out[i] = 1;				/* fault: beyond_global */
}

__global__ void
before_global(float *out, const float *in)
{
	out[threadIdx.x] = in[(int) threadIdx.x - 1];	/* fault: before_global */
}

__global__ void
beyond_shared(float *out)
{
	RN_SHARED(float, shared, 32);

	shared[threadIdx.x + 1] = 1;	/* fault: beyond_shared */
	__syncthreads();
	out[threadIdx.x] = shared[threadIdx.x];
}

__global__ void
beyond_dynamic_shared(float *out)
{
	RN_DYN_SHARED(float, shared);

	shared[threadIdx.x] = 1;	/* fault: beyond_dynamic_shared */
	out[threadIdx.x] = shared[threadIdx.x];
}

__global__ void
misaligned(float4 *out, const float *in)
{
	const float4 *fours = reinterpret_cast<const float4 *>(in + 1);

	out[threadIdx.x] = fours[threadIdx.x];	/* fault: misaligned */
}

/* Plain copies: with host memory, freed memory, memory never written. */
__global__ void
copy_host(float *out, const float *in)
{
	out[threadIdx.x] = in[threadIdx.x]; /* fault: host_pointer */
}

__global__ void
copy_freed(float *out, const float *in)
{
	out[threadIdx.x] = in[threadIdx.x]; /* fault: after_free */
}

__global__ void
copy_raw(float *out, const float *in)
{
	out[threadIdx.x] = in[threadIdx.x]; /* fault: unwritten_global */
}

__global__ void
unwritten_shared(float *out)
{
	RN_SHARED(float, shared, 64);

	shared[threadIdx.x] = 1;
	__syncthreads();
	out[threadIdx.x] = shared[threadIdx.x + 1]; /* fault: unwritten_shared */
}

/* ---- between blocks ---- */

__global__ void
lost_update(float *out)
{
	*out += 1;					/* fault: lost_update */
}

__global__ void
blocks_hand_over(float *out)
{
	if (blockIdx.x == 0)
		out[threadIdx.x] = 1;	/* fault: blocks_hand_over */
	else
		out[threadIdx.x + 64] = out[threadIdx.x] + 1;	/* fault: blocks_hand_over */
}

__global__ void
half_atomic(float *out)
{
	if (threadIdx.x == 0)
		*out = 1;				/* fault: half_atomic */
	else
		atomicAdd(out, 1.0f);	/* fault: half_atomic */
}

/* ---- the list ---- */

static void
plant_after_free(const Ground &g)
{
	float	   *memory;

	cudaMalloc(&memory, 256);
	cudaFree(memory);
	RN_LAUNCH(copy_freed, 1, 32, 0, g.stream, g.out, memory);
}

const Fault faults[] = {
	{"no_barrier", [] (const Ground &g) {RN_LAUNCH(no_barrier, 1, 128, 0, g.stream, g.out, g.in);}, "race: "},
	{"no_barrier_before_reuse", [] (const Ground &g) {
		RN_LAUNCH(no_barrier_before_reuse, 1, 64, 0, g.stream, g.out, g.in);
	}, "race: "},
	{"divergent_barrier", [] (const Ground &g) {RN_LAUNCH(divergent_barrier, 1, 32, 0, g.stream, g.out);},
	"divergent __syncthreads"},
	{"return_before_barrier", [] (const Ground &g) {RN_LAUNCH(return_before_barrier, 1, 32, 0, g.stream, g.out);},
	"returned"},
	{"lockstep", [] (const Ground &g) {RN_LAUNCH(lockstep, 1, 32, 0, g.stream, g.out);}, "race: "},
	{"wide_mask", [] (const Ground &g) {RN_LAUNCH(wide_mask, 1, 32, 0, g.stream, g.out);}, "deadlock"},
	{"mask_without_caller", [] (const Ground &g) {RN_LAUNCH(mask_without_caller, 1, 32, 0, g.stream, g.out);},
	"which lacks it"},
	{"mixed_operations", [] (const Ground &g) {RN_LAUNCH(mixed_operations, 1, 32, 0, g.stream, g.out);},
	"different warp operations"},
	{"beyond_global", [] (const Ground &g) {
		RN_LAUNCH(beyond_global, (g.n + 64) / 64, 64, 0, g.stream, g.out, g.n);
	}, "write of 4 bytes at 1024 of an allocation of 1024 bytes"},
	{"before_global", [] (const Ground &g) {RN_LAUNCH(before_global, 1, 32, 0, g.stream, g.out, g.in);},
	"read of 4 bytes at "},
	{"beyond_shared", [] (const Ground &g) {RN_LAUNCH(beyond_shared, 1, 32, 0, g.stream, g.out);},
	"outside every shared array"},
	{"beyond_dynamic_shared", [] (const Ground &g) {
		RN_LAUNCH(beyond_dynamic_shared, 1, 32, 31 * sizeof(float), g.stream, g.out);
	}, "outside every shared array"},
	{"misaligned", [] (const Ground &g) {
		RN_LAUNCH(misaligned, 1, 4, 0, g.stream, (float4 *) g.out, g.in);
	}, "misaligned"},
	{"host_pointer", [] (const Ground &g) {RN_LAUNCH(copy_host, 1, 32, 0, g.stream, g.out, g.host);},
	"through host pointer"},
	{"after_free", plant_after_free, "after cudaFree"},
	{"unwritten_global", [] (const Ground &g) {RN_LAUNCH(copy_raw, 1, 32, 0, g.stream, g.out, g.raw);},
	"global memory that was never written"},
	{"unwritten_shared", [] (const Ground &g) {RN_LAUNCH(unwritten_shared, 1, 32, 0, g.stream, g.out);},
	"shared memory that was never written"},
	{"lost_update", [] (const Ground &g) {RN_LAUNCH(lost_update, 4, 64, 0, g.stream, g.out);}, "race: "},
	{"blocks_hand_over", [] (const Ground &g) {RN_LAUNCH(blocks_hand_over, 2, 64, 0, g.stream, g.out);},
	"another block's thread"},
	{"half_atomic", [] (const Ground &g) {RN_LAUNCH(half_atomic, 1, 64, 0, g.stream, g.out);}, "race: "},
};

const int	n_faults = sizeof(faults) / sizeof(faults[0]);
