/*
 * tile.c
 *		Small products in registers.
 *
 * A tile's sums stay in registers over the whole of k; for each p two vectors
 * of B are loaded and each row adds its element of A times them.  The number
 * of rows and vectors must be known when a tile is compiled, so there is one
 * for each.  C is asked for before the loop: it arrives while the sums grow.
 *
 * kernels/cpu/tile.c
 */

/*
 * gcc would write each loop twice, once for step 1, and then copies registers
 * in both: 4 % of the speed.
 */
#ifndef __clang__
#pragma GCC optimize ("no-version-loops-for-strides")
#endif

#include "kernels/cpu/tile.h"

RN_INLINE void
tile(int rows, int vectors, int k, rn_real alpha, const rn_real *a, long row, long step, const rn_real *b, long ldb,
	 rn_real beta, rn_real *c, long ldc)
{
	RnVector	sum[RN_TILE_ROWS][2];
	int			i;
	int			j;
	int			p;

	RN_UNROLL
	for (i = 0; i < rows; i++)
		RN_UNROLL
		for (j = 0; j < vectors; j++)
		{
			sum[i][j] = (RnVector) {0};
			__builtin_prefetch(c + i * ldc + j * RN_WIDTH, 1);
		}
	for (p = 0; p < k; p++, a += step, b += ldb)
	{
		RnVector	line[2];

		RN_UNROLL
		for (j = 0; j < vectors; j++)
			line[j] = *(const RnVector *) (b + j * RN_WIDTH);
		RN_UNROLL
		for (i = 0; i < rows; i++)
			RN_UNROLL
			for (j = 0; j < vectors; j++)
				sum[i][j] += a[i * row] * line[j];
	}
	RN_UNROLL
	for (i = 0; i < rows; i++)
		RN_UNROLL
		for (j = 0; j < vectors; j++)
		{
			RnVector   *to = (RnVector *) (c + i * ldc + j * RN_WIDTH);

			if (beta == 0)
				*to = alpha * sum[i][j];
			else
				*to = alpha * sum[i][j] + beta * *to;
		}
}

#define TILE(rows) \
	case rows: \
		if (wide) \
			tile(rows, 2, k, alpha, a, row, step, b, ldb, beta, c, ldc); \
		else \
			tile(rows, 1, k, alpha, a, row, step, b, ldb, beta, c, ldc); \
		break;

/* Up to RN_TILE_ROWS rows of one or two vectors. */
static void
any_tile(int rows, int wide, int k, rn_real alpha, const rn_real *a, long row, long step, const rn_real *b, long ldb,
		 rn_real beta, rn_real *c, long ldc)
{
	switch (rows)
	{
			TILE(1)
			TILE(2)
			TILE(3)
			TILE(4)
			TILE(5)
			TILE(6)
#if RN_TILE_ROWS == 12
			TILE(7)
			TILE(8)
			TILE(9)
			TILE(10)
			TILE(11)
			TILE(12)
#endif
	}
}

void
rn_tile_product(int m, int n, int k, rn_real alpha, const rn_real *a, long row, long step, const rn_real *b, long ldb,
				rn_real beta, rn_real *c, long ldc)
{
	int			i;
	int			j;

	for (j = 0; j < n; j += RN_TILE_COLS)
	{
		int			left = m;

		for (i = 0; left > 0;)
		{
			/* the last two tiles share what is left: one of a single row is slow */
			const int	rows = left >= 2 * RN_TILE_ROWS ? RN_TILE_ROWS : left > RN_TILE_ROWS ? (left + 1) / 2 : left;

			any_tile(rows, n - j > RN_WIDTH, k, alpha, a + i * row, row, step, b + j, ldb, beta, c + i * ldc + j, ldc);
			i += rows;
			left -= rows;
		}
	}
}
