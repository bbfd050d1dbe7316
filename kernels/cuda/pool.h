/*
 * pool.h
 *		Device memory: pieces taken before work begins, and what is carved
 *		from them.
 *
 * kernels/cuda/pool.h
 */
#ifndef RN_CUDA_POOL_H
#define RN_CUDA_POOL_H

#include <stddef.h>

#include "kernels/cuda/language.h"

/* As the driver's own memory is. */
#define RN_POOL_ALIGNMENT	((size_t) 256)

/* What a request takes. */
static inline size_t
rn_pool_whole(size_t bytes)
{
	return bytes > 0 ? (bytes + RN_POOL_ALIGNMENT - 1) / RN_POOL_ALIGNMENT * RN_POOL_ALIGNMENT : RN_POOL_ALIGNMENT;
}

/* Bytes that may be taken from the driver, before anything is. */
extern void rn_pool_limit(size_t bytes);

/* A piece for those who take from now on; it goes back to the driver when all that was carved from it was given back. */
extern cudaError_t rn_pool_reserve(size_t bytes);

/*
 * Memory as it is, not cleared.  cudaErrorMemoryAllocation where there is
 * none left or the limit forbids it.
 */
extern cudaError_t rn_pool_take(size_t bytes, void **memory);

/* The bytes that were asked for.  Nothing on its way may still use it. */
extern void rn_pool_give(void *memory, size_t bytes);

#endif							/* RN_CUDA_POOL_H */
