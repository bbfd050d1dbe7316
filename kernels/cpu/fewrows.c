/*
 * fewrows.c
 *		A few rows times a transposed matrix: a decoding step.
 *
 * With few rows the matrix is read once and hardly used, so packing it would
 * cost as much as the product.  Both operands are read along k and each
 * element of the result is a dot product; some of them at a time, so that
 * what is loaded is used more than once.
 *
 * kernels/cpu/fewrows.c
 */
#include "kernels/cpu/tile.h"

#ifdef RN_AVX512
#define ROWS	4
#else
#define ROWS	2
#endif
#define COLS	4

/* The next n elements of k. */
RN_INLINE void
dots_step(int rows, int cols, int n, const rn_real *a, long lda, const rn_real *b, long ldb, RnVector sum[ROWS][COLS])
{
	RnVector	x[ROWS];
	int			i;
	int			j;

	RN_UNROLL
	for (i = 0; i < rows; i++)
		x[i] = vector_load(a + i * lda, n);
	RN_UNROLL
	for (j = 0; j < cols; j++)
	{
		RnVector	y = vector_load(b + j * ldb, n);

		RN_UNROLL
		for (i = 0; i < rows; i++)
			sum[i][j] += x[i] * y;
	}
}

/* rows x cols dot products; both are constants where this is inlined. */
RN_INLINE void
dots(int rows, int cols, int k, rn_real alpha, const rn_real *a, long lda, const rn_real *b, long ldb, rn_real beta,
	 rn_real *c, long ldc)
{
	RnVector	sum[ROWS][COLS];
	int			i;
	int			j;

	RN_UNROLL
	for (i = 0; i < rows; i++)
		RN_UNROLL
		for (j = 0; j < cols; j++)
			sum[i][j] = (RnVector) {0};
	RN_VECTORS(p, n, k,
	{
		dots_step(rows, cols, n, a + p, lda, b + p, ldb, sum);
	});
	RN_UNROLL
	for (i = 0; i < rows; i++)
		RN_UNROLL
		for (j = 0; j < cols; j++)
		{
			rn_real    *to = c + i * ldc + j;

			*to = alpha * vector_sum(sum[i][j]) + (beta == 0 ? 0 : beta * *to);
		}
}

#define DOTS(rows) \
	case rows: \
		for (j = 0; j + COLS <= n; j += COLS) \
			dots(rows, COLS, k, alpha, a, lda, b + j * ldb, ldb, beta, c + j, ldc); \
		for (; j < n; j++) \
			dots(rows, 1, k, alpha, a, lda, b + j * ldb, ldb, beta, c + j, ldc); \
		break;

void
rn_few_rows_product(int m, int n, int k, rn_real alpha, const rn_real *a, long lda, const rn_real *b, long ldb,
					rn_real beta, rn_real *c, long ldc)
{
	int			j;

	for (; m > 0; m -= ROWS, a += ROWS * lda, c += ROWS * ldc)
		switch (RN_MIN(m, ROWS))
		{
				DOTS(1)
				DOTS(2)
#if ROWS == 4
				DOTS(3)
				DOTS(4)
#endif
		}
}
