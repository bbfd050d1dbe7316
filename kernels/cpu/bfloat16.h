/*
 * bfloat16.h
 *		The slots of a table whose products round their factors to bfloat16.
 *
 * kernels/cpu/bfloat16.h
 */
#ifndef RN_BFLOAT16_H
#define RN_BFLOAT16_H

#include "kernels/cpu/cpu.h"

#define rn_cpu_product_bfloat16			RN_AT_LEVEL(rn_cpu_product_bfloat16)
#define rn_cpu_linear_forward_bfloat16	RN_AT_LEVEL(rn_cpu_linear_forward_bfloat16)

extern void rn_cpu_product_bfloat16(RnLane *lane, int transpose_a, int transpose_b, int m, int n, int k, double alpha,
									const rn_real *a, int lda, const rn_real *b, int ldb, double beta, rn_real *c,
									int ldc);
extern void rn_cpu_linear_forward_bfloat16(RnLane *lane, int rows, int out, int in, const rn_real *x,
										   const rn_real *weight, const rn_real *bias, rn_real *y);

#endif							/* RN_BFLOAT16_H */
