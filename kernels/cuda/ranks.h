/*
 * ranks.h
 *		Several GPUs that add up their gradients.
 *
 * kernels/cuda/ranks.h
 */
#ifndef RN_CUDA_RANKS_H
#define RN_CUDA_RANKS_H

#include "kernels/cuda/cuda.h"

extern RnStatus rn_ranks_id(RnContext *ctx, uint8_t id[RN_RANKS_ID]);
extern RnStatus rn_ranks_join(RnContext *ctx, const uint8_t id[RN_RANKS_ID], int rank, int n_ranks, double timeout,
							  RnRanks **ranks);
extern RnStatus rn_ranks_sum(RnContext *ctx, RnRanks *ranks, RnLane *lane, rn_real *values, size_t n);
extern void rn_ranks_leave(RnRanks *ranks);

#endif							/* RN_CUDA_RANKS_H */
