/*
 * columns.h
 *		Gradients of parameters that belong to columns: sums over all rows.
 *
 * A kernel in which each warp walks over rows adds to a strip of the warp's
 * own, one number for each wanted sum; a lane touches only elements of its
 * columns, so nobody waits.  At the end a block adds up its strips, and a
 * second kernel the blocks, in order.  Strips lie in shared memory where they
 * fit, else in scratch.
 *
 * kernels/cuda/columns.h
 */
#ifndef RN_CUDA_COLUMNS_H
#define RN_CUDA_COLUMNS_H

#include "kernels/cuda/cuda.h"

#define RN_COLUMN_SUMS	5		/* at most, of one kernel */
#define RN_COLUMN_BLOCKS	264	/* at most, of one kernel */
#define RN_COLUMN_ROWS	4		/* of a warp, before there are more blocks */

typedef struct ColumnSums
{
	int			n;				/* sums wanted */
	int			cols;
	int			length;			/* numbers in a strip */
	int			begins[RN_COLUMN_SUMS]; /* where in the strip a sum begins */
	int			counts[RN_COLUMN_SUMS];
	rn_real    *targets[RN_COLUMN_SUMS];	/* added to */
	int			blocks;
	size_t		shared;			/* dynamic shared memory */
	rn_real    *strips;			/* [blocks][RN_ROW_WARPS][length], or NULL: shared */
	rn_real    *partial;		/* [blocks][length] */
} ColumnSums;

static inline void
column_begin(ColumnSums *sums, int cols)
{
	memset((void *) sums, 0, sizeof(*sums));
	sums->cols = cols;
	sums->length = 0;
}

/* Where the sum stands in a strip; -1 when target is NULL: not wanted. */
static inline int
column_want(ColumnSums *sums, rn_real *target, int count)
{
	const int	begin = sums->length;

	if (target == NULL)
		return -1;
	sums->begins[sums->n] = begin;
	sums->counts[sums->n] = count;
	sums->targets[sums->n++] = target;
	/* a lane meets the same columns in every sum */
	sums->length += (count + RN_WARP - 1) / RN_WARP * RN_WARP;
	return begin;
}

/* The most scratch that n sums over as many columns take. */
extern size_t column_scratch_most(int n, int cols);

/* Blocks and memory for a kernel over rows; 0: nothing to do, or no memory. */
extern int	column_plan(RnLane *lane, ColumnSums *sums, int rows);

/* After the kernel: add the blocks' sums to the targets. */
extern void column_add(RnLane *lane, const ColumnSums *sums);

/* ---- in a kernel of (RN_WARP, RN_ROW_WARPS) threads ---- */

/* The warp's strip, cleared. */
static __device__ __forceinline__ rn_real *
column_strip(const ColumnSums &sums, rn_real *shared)
{
	rn_real    *strips = sums.strips != NULL ? sums.strips + (size_t) blockIdx.x * RN_ROW_WARPS * sums.length : shared;
	rn_real    *strip = strips + (size_t) threadIdx.y * sums.length;
	int			i;

	for (i = threadIdx.x; i < sums.length; i += RN_WARP)
		strip[i] = 0;
	return strip;
}

static __device__ __forceinline__ int
column_first_row(void)
{
	return blockIdx.x * RN_ROW_WARPS + threadIdx.y;
}

static __device__ __forceinline__ int
column_row_step(void)
{
	return gridDim.x * RN_ROW_WARPS;
}

/* The block's sums; every thread of the block comes here. */
static __device__ __forceinline__ void
column_finish(const ColumnSums &sums, rn_real *shared)
{
	const rn_real *strips = sums.strips != NULL ? sums.strips + (size_t) blockIdx.x * RN_ROW_WARPS * sums.length : shared;
	int			i;
	int			w;

	__syncthreads();
	for (i = threadIdx.y * RN_WARP + threadIdx.x; i < sums.length; i += RN_WARP * RN_ROW_WARPS)
	{
		rn_real		sum = 0;

		for (w = 0; w < RN_ROW_WARPS; w++)
			sum += strips[(size_t) w * sums.length + i];
		sums.partial[(size_t) blockIdx.x * sums.length + i] = sum;
	}
}

#endif							/* RN_CUDA_COLUMNS_H */
