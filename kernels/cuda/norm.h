/*
 * norm.h
 *		A row of a layer norm, held by the lanes of a warp.
 *
 * Rows of up to 1024 columns stay in registers between the passes over them;
 * longer ones lie in the output meanwhile.
 *
 * kernels/cuda/norm.h
 */
#ifndef RN_CUDA_NORM_H
#define RN_CUDA_NORM_H

#include "kernels/cuda/mask.h"
#include "kernels/cuda/reduce.h"

/* What a lane holds of a row of BLOCKS * 128 columns; BLOCKS 0: any number, in memory. */
template <int BLOCKS> struct Row
{
	rn_real		x[BLOCKS * RN_MASK_WORDS];

	__device__ __forceinline__ Row(rn_real *) {}
	__device__ __forceinline__ rn_real get(int block, int i, int) const {return x[block * RN_MASK_WORDS + i];}
	__device__ __forceinline__ void set(int block, int i, int, rn_real v) {x[block * RN_MASK_WORDS + i] = v;}
};

template <> struct Row<0>
{
	rn_real    *x;

	__device__ __forceinline__ Row(rn_real *memory) : x(memory) {}
	__device__ __forceinline__ rn_real get(int, int, int j) const {return x[j];}
	__device__ __forceinline__ void set(int, int, int j, rn_real v) {x[j] = v;}
};

/* For each of a lane's columns j, which is element i of 128 columns number block. */
#define RN_EACH_COLUMN(BLOCKS, cols, lane, block, i, j, ...) \
	RN_UNROLL \
	for (int block = 0; block < ((BLOCKS) > 0 ? (BLOCKS) : ((cols) + RN_MASK_COLUMNS - 1) / RN_MASK_COLUMNS); block++) \
	{ \
		RN_UNROLL \
		for (int i = 0; i < RN_MASK_WORDS; i++) \
		{ \
			const int	j = block * RN_MASK_COLUMNS + i * RN_WARP + (lane); \
			\
			if (j < (cols)) \
				__VA_ARGS__ \
		} \
	}

/* 1 / sqrt(var + epsilon) of a row whose sum is known, in two passes: one over squares loses bits. */
template <int BLOCKS> static __device__ __forceinline__ rn_real
row_rstd(const Row<BLOCKS> &row, int cols, int lane, rn_real mean, rn_real epsilon)
{
	rn_real		squares = 0;

	RN_EACH_COLUMN(BLOCKS, cols, lane, block, i, j,
	{
		const rn_real d = row.get(block, i, j) - mean;

		squares += d * d;
	});
	return 1 / sqrt(warp_sum(squares) / cols + epsilon);
}

/* How many blocks of columns stay in registers: the BLOCKS to launch with. */
static inline int
row_blocks_of(int cols)
{
	return cols <= 4 * RN_MASK_COLUMNS ? 4 : cols <= 8 * RN_MASK_COLUMNS ? 8 : 0;
}

#endif							/* RN_CUDA_NORM_H */
