/*
 * tile.h
 *		Small products in registers: the hot loop of products and attention.
 *
 * kernels/cpu/tile.h
 */
#ifndef RN_TILE_H
#define RN_TILE_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector.h"

/*
 * Rows of a tile: as many as leave registers for two vectors of B.  Each row
 * is two vectors wide, so that a tile has enough sums to hide the latency of
 * a multiplication.
 */
#ifdef RN_AVX512
#define RN_TILE_ROWS	12
#else
#define RN_TILE_ROWS	6
#endif
#define RN_TILE_COLS	(2 * RN_WIDTH)

/*
 * C[m, n] = alpha A[m, k] B[k, n] + beta C, where n is a multiple of RN_WIDTH
 * and A[i, p] is a[i * row + p * step]: one function serves A, A transposed
 * and packed panels.  beta 0 does not read C.
 */
#define rn_tile_product		RN_AT_LEVEL(rn_tile_product)

extern void rn_tile_product(int m, int n, int k, rn_real alpha, const rn_real *a, long row, long step,
							const rn_real *b, long ldb, rn_real beta, rn_real *c, long ldc);

/* C = alpha op(A) op(B) + beta C of any size; k > 0. */
#define rn_blocked_product	RN_AT_LEVEL(rn_blocked_product)

extern void rn_blocked_product(RnLane *lane, int transpose_a, int transpose_b, int m, int n, int k, rn_real alpha,
							   const rn_real *a, long lda, const rn_real *b, long ldb, rn_real beta, rn_real *c,
							   long ldc);

/*
 * The same for a B^T [n, k] that is packed beforehand: C[m, n] = A B^T.
 */
#define rn_blocked_bytes			RN_AT_LEVEL(rn_blocked_bytes)
#define rn_blocked_pack				RN_AT_LEVEL(rn_blocked_pack)
#define rn_blocked_packed_product	RN_AT_LEVEL(rn_blocked_packed_product)

extern size_t rn_blocked_bytes(int n, int k);
extern void rn_blocked_pack(int n, int k, const rn_real *b, rn_real *to);
extern void rn_blocked_packed_product(RnLane *lane, int m, int n, int k, const rn_real *a, long lda,
									  const rn_real *packed_b, rn_real *c, long ldc);

/* C[m, n] = alpha A B^T + beta C for a few rows of A. */
#define rn_few_rows_product	RN_AT_LEVEL(rn_few_rows_product)

extern void rn_few_rows_product(int m, int n, int k, rn_real alpha, const rn_real *a, long lda, const rn_real *b,
								long ldb, rn_real beta, rn_real *c, long ldc);

#endif							/* RN_TILE_H */
