/*
 * product.c
 *		C = alpha op(A) op(B) + beta C: which way is fastest for a shape.
 *
 * The rule is fixed and looks at sizes only, so equal runs give equal bits.
 * test/bench/kernels.c measures what it rests on: BLAS is as good as any from
 * a few hundred in every direction on, below that our own products win.
 *
 * kernels/cpu/product.c
 */
#include "kernels/cpu/cpu.h"

#include <cblas.h>

#include "kernels/cpu/tile.h"

#ifdef RN_DOUBLE
#define BLAS_PRODUCT	cblas_dgemm
#else
#define BLAS_PRODUCT	cblas_sgemm
#endif

#define FEW_ROWS	12			/* up to here a matrix is not worth packing */
#define SMALL_M		64			/* up to here BLAS does not reach its speed */

/* Up to these n and k our own products are faster.  BLAS is better with AVX2. */
#if RN_VECTOR_BYTES == 32
#define SMALL_N				160
#define SMALL_K				160
#define SMALL_N_TRANSPOSED	0
#else
#define SMALL_N				512
#define SMALL_K				256
#define SMALL_N_TRANSPOSED	256	/* with A transposed only n counts */
#endif

/* C = beta C, for products over nothing. */
static void
scale_rows(int m, int n, rn_real beta, rn_real *c, int ldc)
{
	int			i;

	for (i = 0; i < m; i++, c += ldc)
		RN_VECTORS(j, w, n,
		{
			RnVector	v = {0};

			if (beta != 0)
				v = beta * vector_load(c + j, w);
			vector_store(c + j, v, w);
		});
}

void
rn_cpu_product(RnLane *lane, int transpose_a, int transpose_b, int m, int n, int k, double alpha, const rn_real *a,
			   int lda, const rn_real *b, int ldb, double beta, rn_real *c, int ldc)
{
	if (m <= 0 || n <= 0)
		return;
	if (k <= 0 || alpha == 0.0)
		scale_rows(m, n, (rn_real) beta, c, ldc);
	else if (!transpose_a && transpose_b && m <= FEW_ROWS)
		rn_few_rows_product(m, n, k, (rn_real) alpha, a, lda, b, ldb, (rn_real) beta, c, ldc);
	else if (transpose_a ? n <= SMALL_N_TRANSPOSED : m <= SMALL_M || n <= SMALL_N || k <= SMALL_K)
		rn_blocked_product(lane, transpose_a, transpose_b, m, n, k, (rn_real) alpha, a, lda, b, ldb, (rn_real) beta, c,
						   ldc);
	else
		BLAS_PRODUCT(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans,
					 m, n, k, (rn_real) alpha, a, lda, b, ldb, (rn_real) beta, c, ldc);
}
