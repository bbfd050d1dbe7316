/*
 * language.h
 *		CUDA C++ as the kernels are written in it; the one include by which
 *		they reach CUDA.
 *
 * Under nvcc this is CUDA itself.  Under a C++ compiler it is the emulator in
 * test/cudaemu, which runs the same kernels on the CPU and watches every
 * access.  Macros cover what C++ cannot say; all else keeps its CUDA spelling.
 * Kernels are launched by RN_QUEUE (queue.h).
 *
 * What keeps a kernel testable: no inline PTX, cooperative groups, cp.async,
 * TMA or wmma without a portable body beside it; full, explicit masks for
 * warp operations; no reliance on lockstep; no return before a barrier; no
 * hand-over between blocks by fence and flag (launch a second kernel).
 *
 * kernels/cuda/language.h
 */
#ifndef RN_CUDA_LANGUAGE_H
#define RN_CUDA_LANGUAGE_H

#ifdef __CUDACC__

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define RN_HAVE_HALF	1		/* __half and __nv_bfloat16 are there */

/* kernel<<<grid, block, dynamic shared bytes, stream>>>(arguments) */
#define RN_LAUNCH(kernel, grid, block, shared, stream, ...) \
	kernel<<<(grid), (block), (shared), (stream)>>>(__VA_ARGS__)

/* The same with a name for reports, where the kernel is a variable. */
#define RN_LAUNCH_NAMED(name, kernel, grid, block, shared, stream, ...) \
	RN_LAUNCH(kernel, grid, block, shared, stream, __VA_ARGS__)

/* type name[n] in shared memory; first in a function's body */
#define RN_SHARED(type, name, n)	__shared__ type name[n]

/* type *name: the dynamic shared memory of the launch, 16-byte aligned */
#define RN_DYN_SHARED(type, name) \
	extern __shared__ __align__(16) unsigned char rn_dynamic_shared[]; \
	type	   *name = reinterpret_cast<type *>(rn_dynamic_shared)

#else

#include <cudaemu.h>

#endif

#endif							/* RN_CUDA_LANGUAGE_H */
