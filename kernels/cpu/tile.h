/*
 * tile.h
 *		Small products in registers: the hot loop of attention.
 *
 * C[m, n] (+)= A[m, k] B[k, n], where A is addressed as a[i * row + p * step],
 * so that one function serves A, A transposed and packed panels; n is a
 * multiple of RN_WIDTH.  A tile of up to TILE_ROWS rows and two vectors of
 * columns is kept in registers over the whole of k.
 *
 * kernels/cpu/tile.h
 */
#ifndef RN_TILE_H
#define RN_TILE_H

#include "kernels/cpu/vector.h"

#define RN_TILE_ROWS	6

/* One tile: rows x vectors are constants where this is inlined. */
RN_INLINE void
tile(int rows, int vectors, int k, const rn_real *a, long row, long step, const rn_real *b, long ldb, rn_real *c,
	 long ldc, int accumulate)
{
	RnVector	sum[RN_TILE_ROWS][2];
	int			i;
	int			j;
	int			p;

#pragma GCC unroll 16
	for (i = 0; i < rows; i++)
#pragma GCC unroll 2
		for (j = 0; j < vectors; j++)
			sum[i][j] = (RnVector) {0};
	for (p = 0; p < k; p++, a += step, b += ldb)
	{
		RnVector	line[2];

#pragma GCC unroll 2
		for (j = 0; j < vectors; j++)
			line[j] = *(const RnVector *) (b + j * RN_WIDTH);
#pragma GCC unroll 16
		for (i = 0; i < rows; i++)
#pragma GCC unroll 2
			for (j = 0; j < vectors; j++)
				sum[i][j] += a[i * row] * line[j];
	}
#pragma GCC unroll 16
	for (i = 0; i < rows; i++)
#pragma GCC unroll 2
		for (j = 0; j < vectors; j++)
			vector_put(c + i * ldc + j * RN_WIDTH, sum[i][j], RN_WIDTH, accumulate);
}

RN_INLINE void
tile_of(int rows, int vectors, int k, const rn_real *a, long row, long step, const rn_real *b, long ldb, rn_real *c,
		long ldc, int accumulate)
{
	switch (rows)
	{
		case 1:
			tile(1, vectors, k, a, row, step, b, ldb, c, ldc, accumulate);
			break;
		case 2:
			tile(2, vectors, k, a, row, step, b, ldb, c, ldc, accumulate);
			break;
		case 3:
			tile(3, vectors, k, a, row, step, b, ldb, c, ldc, accumulate);
			break;
		case 4:
			tile(4, vectors, k, a, row, step, b, ldb, c, ldc, accumulate);
			break;
		case 5:
			tile(5, vectors, k, a, row, step, b, ldb, c, ldc, accumulate);
			break;
		default:
			tile(6, vectors, k, a, row, step, b, ldb, c, ldc, accumulate);
			break;
	}
}

static inline __attribute__((unused)) void
tile_product(int m, int n, int k, const rn_real *a, long row, long step, const rn_real *b, long ldb, rn_real *c,
			 long ldc, int accumulate)
{
	int			i;
	int			j;

	for (j = 0; j < n; j += 2 * RN_WIDTH)
		for (i = 0; i < m; i += RN_TILE_ROWS)
		{
			const int	rows = RN_MIN(RN_TILE_ROWS, m - i);

			if (n - j > RN_WIDTH)
				tile_of(rows, 2, k, a + i * row, row, step, b + j, ldb, c + i * ldc + j, ldc, accumulate);
			else
				tile_of(rows, 1, k, a + i * row, row, step, b + j, ldb, c + i * ldc + j, ldc, accumulate);
		}
}

#endif							/* RN_TILE_H */
