/*
 * product.c
 *		C = alpha op(A) op(B) + beta C.
 *
 * kernels/cpu/product.c
 */
#include "kernels/cpu/cpu.h"

#include <cblas.h>

#include "kernels/cpu/vector.h"

#ifdef RN_DOUBLE
#define BLAS_PRODUCT	cblas_dgemm
#else
#define BLAS_PRODUCT	cblas_sgemm
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
	(void) lane;
	if (m <= 0 || n <= 0)
		return;
	if (k <= 0 || alpha == 0.0)
	{
		scale_rows(m, n, (rn_real) beta, c, ldc);
		return;
	}
	BLAS_PRODUCT(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans,
				 m, n, k, (rn_real) alpha, a, lda, b, ldb, (rn_real) beta, c, ldc);
}
