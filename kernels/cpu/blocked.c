/*
 * blocked.c
 *		A product of any size out of tiles.
 *
 * B is packed in panels as wide as a tile, so that a tile reads it in one
 * stream.  A is read in place where its rows are stored one after another:
 * each element is used for a whole tile's width, which pays for its way from
 * the cache.  Transposed A is packed in panels as high as a tile.
 *
 * kernels/cpu/blocked.c
 */
#include "kernels/cpu/tile.h"
#include "kernels/cpu/transpose.h"

/*
 * BLOCK_K x BLOCK_N of B and BLOCK_M x BLOCK_K of A, packed, lie in the
 * second-level cache together with what is written.
 */
#define BLOCK_K		384
#define BLOCK_N		(RN_TILE_COLS * 16)
#define BLOCK_M		60			/* a multiple of RN_TILE_ROWS */

/*
 * Rows at a distance of a multiple of 4 KiB fall upon each other in the
 * first-level cache: such an A is packed too.
 */
#define BAD_STRIDE	((long) (4096 / sizeof(rn_real)))

/* op(B)[k, n] in panels of RN_TILE_COLS columns, [panel][k][RN_TILE_COLS], filled up with zeros. */
static void
pack_b(int transpose, int k, int n, const rn_real *b, long ldb, rn_real *to)
{
	int			j;
	int			p;

	for (j = 0; j < n; j += RN_TILE_COLS, to += (size_t) k * RN_TILE_COLS)
	{
		const int	cols = RN_MIN(RN_TILE_COLS, n - j);

		if (cols < RN_TILE_COLS)
			memset(to, 0, (size_t) k * RN_TILE_COLS * sizeof(rn_real));
		if (transpose)
			transpose_panel(cols, k, b + j * ldb, ldb, to, RN_TILE_COLS);
		else if (cols == RN_TILE_COLS)
			for (p = 0; p < k; p++)
				memcpy(to + p * RN_TILE_COLS, b + p * ldb + j, RN_TILE_COLS * sizeof(rn_real));
		else
			for (p = 0; p < k; p++)
				memcpy(to + p * RN_TILE_COLS, b + p * ldb + j, (size_t) cols * sizeof(rn_real));
	}
}

/* op(A)[m, k] in panels of RN_TILE_ROWS rows, [panel][k][RN_TILE_ROWS]. */
static void
pack_a(int transpose, int m, int k, const rn_real *a, long lda, rn_real *to)
{
	int			i;
	int			p;

	for (i = 0; i < m; i += RN_TILE_ROWS, to += (size_t) k * RN_TILE_ROWS)
	{
		const int	rows = RN_MIN(RN_TILE_ROWS, m - i);

		if (!transpose)
			transpose_panel(rows, k, a + i * lda, lda, to, RN_TILE_ROWS);
		else if (rows == RN_TILE_ROWS)
			for (p = 0; p < k; p++)
				memcpy(to + p * RN_TILE_ROWS, a + p * lda + i, RN_TILE_ROWS * sizeof(rn_real));
		else
			for (p = 0; p < k; p++)
				memcpy(to + p * RN_TILE_ROWS, a + p * lda + i, (size_t) rows * sizeof(rn_real));
	}
}

/* One panel of B against rows of A; its last columns may be fewer. */
static void
multiply_panel(int m, int cols, int k, rn_real alpha, const rn_real *a, long row, long step, const rn_real *panel,
			   rn_real beta, rn_real *c, long ldc)
{
	rn_real		edge[RN_TILE_ROWS * RN_TILE_COLS];
	int			i;

	if (cols == RN_TILE_COLS || cols == RN_WIDTH)
	{
		rn_tile_product(m, cols, k, alpha, a, row, step, panel, RN_TILE_COLS, beta, c, ldc);
		return;
	}
	for (; m > 0; m -= RN_TILE_ROWS, a += RN_TILE_ROWS * row, c += RN_TILE_ROWS * ldc)
	{
		const int	rows = RN_MIN(RN_TILE_ROWS, m);

		rn_tile_product(rows, cols > RN_WIDTH ? RN_TILE_COLS : RN_WIDTH, k, alpha, a, row, step, panel, RN_TILE_COLS, 0,
						edge, RN_TILE_COLS);
		for (i = 0; i < rows; i++)
			RN_VECTORS(j, n, cols,
			{
				RnVector	v = vector_load(edge + i * RN_TILE_COLS + j, n);

				if (beta != 0)
					v += beta * vector_load(c + i * ldc + j, n);
				vector_store(c + i * ldc + j, v, n);
			});
	}
}

/* A block of A, packed or in place, against all panels of a packed block of B. */
static void
multiply_block(int m, int n, int k, rn_real alpha, const rn_real *a, long row, long step, long panel_step,
			   const rn_real *packed_b, rn_real beta, rn_real *c, long ldc)
{
	int			i;
	int			j;

	for (j = 0; j < n; j += RN_TILE_COLS, packed_b += (size_t) k * RN_TILE_COLS)
	{
		const int	cols = RN_MIN(RN_TILE_COLS, n - j);

		if (panel_step == RN_TILE_ROWS * row)
			multiply_panel(m, cols, k, alpha, a, row, step, packed_b, beta, c + j, ldc);
		else
			for (i = 0; i < m; i += RN_TILE_ROWS)
				multiply_panel(RN_MIN(RN_TILE_ROWS, m - i), cols, k, alpha, a + i / RN_TILE_ROWS * panel_step, row, step,
							   packed_b, beta, c + i * ldc + j, ldc);
	}
}

/* A block of rows of C against a packed block of B. */
static void
multiply_rows(int transpose_a, int m, int n, int k, rn_real alpha, const rn_real *a, long lda, const rn_real *packed_b,
			  rn_real *packed_a, rn_real beta, rn_real *c, long ldc)
{
	int			i;

	for (i = 0; i < m; i += BLOCK_M)
	{
		const int	ms = RN_MIN(BLOCK_M, m - i);
		const rn_real *block = transpose_a ? a + i : a + i * lda;

		if (transpose_a || lda % BAD_STRIDE == 0)
		{
			pack_a(transpose_a, ms, k, block, lda, packed_a);
			multiply_block(ms, n, k, alpha, packed_a, 1, RN_TILE_ROWS, (long) k * RN_TILE_ROWS, packed_b, beta,
						   c + i * ldc, ldc);
		}
		else
			multiply_block(ms, n, k, alpha, block, lda, 1, RN_TILE_ROWS * lda, packed_b, beta, c + i * ldc, ldc);
	}
}

#define SIZE_B	((size_t) BLOCK_K * BLOCK_N)
#define SIZE_A	((size_t) BLOCK_K * BLOCK_M)

void
rn_blocked_product(RnLane *lane, int transpose_a, int transpose_b, int m, int n, int k, rn_real alpha,
				   const rn_real *a, long lda, const rn_real *b, long ldb, rn_real beta, rn_real *c, long ldc)
{
	rn_real    *packed_b = rn_lane_scratch(lane, (SIZE_B + SIZE_A) * sizeof(rn_real));
	int			j;
	int			p;

	if (packed_b == NULL)
		return;
	for (p = 0; p < k; p += BLOCK_K)
	{
		const int	ks = RN_MIN(BLOCK_K, k - p);

		for (j = 0; j < n; j += BLOCK_N)
		{
			const int	ns = RN_MIN(BLOCK_N, n - j);

			pack_b(transpose_b, ks, ns, transpose_b ? b + j * ldb + p : b + p * ldb + j, ldb, packed_b);
			multiply_rows(transpose_a, m, ns, ks, alpha, transpose_a ? a + p * lda : a + p, lda, packed_b,
						  packed_b + SIZE_B, p == 0 ? beta : 1, c + j, ldc);
		}
	}
}

/* Panels of a block of k, and then of the next. */
static size_t
whole_panels(int n)
{
	return ((size_t) n + RN_TILE_COLS - 1) / RN_TILE_COLS * RN_TILE_COLS;
}

size_t
rn_blocked_bytes(int n, int k)
{
	return whole_panels(n) * k * sizeof(rn_real);
}

void
rn_blocked_pack(int n, int k, const rn_real *b, rn_real *to)
{
	int			p;

	for (p = 0; p < k; p += BLOCK_K)
		pack_b(1, RN_MIN(BLOCK_K, k - p), n, b + p, k, to + p * whole_panels(n));
}

void
rn_blocked_packed_product(RnLane *lane, int m, int n, int k, const rn_real *a, long lda, const rn_real *packed_b,
						  rn_real *c, long ldc)
{
	rn_real    *packed_a = rn_lane_scratch(lane, SIZE_A * sizeof(rn_real));
	int			j;
	int			p;

	if (packed_a == NULL)
		return;
	for (p = 0; p < k; p += BLOCK_K)
	{
		const int	ks = RN_MIN(BLOCK_K, k - p);

		for (j = 0; j < n; j += BLOCK_N)
			multiply_rows(0, m, RN_MIN(BLOCK_N, n - j), ks, 1, a + p, lda,
						  packed_b + p * whole_panels(n) + (size_t) j * ks, packed_a, p == 0 ? 0 : 1, c + j, ldc);
	}
}
