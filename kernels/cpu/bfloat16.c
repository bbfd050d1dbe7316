/*
 * bfloat16.c
 *		Products of numbers rounded to bfloat16, for processors that multiply
 *		those (AVX512-BF16).
 *
 * Both factors are rounded to nearest while they are packed; products and sums
 * are single precision.  An instruction multiplies pairs that follow one
 * another in k, so a 32-bit word holds two numbers of one row of op(A), or of
 * one column of op(B).  B is packed in panels as wide as a tile; A, a block of
 * rows at a time, as it lies: rows of words, or lines of words when it is
 * transposed.
 *
 * kernels/cpu/bfloat16.c
 */
#include "kernels/cpu/bfloat16.h"

#include "kernels/cpu/tile.h"
#include "kernels/cpu/transpose.h"

#if defined(RN_AVX512) && !defined(RN_DOUBLE)

#define PANEL		RN_TILE_COLS
#define BLOCK_K		512			/* even */
#define BLOCK_N		(PANEL * 16)
#define BLOCK_M		(RN_TILE_ROWS * 8)
#define LD_A		(BLOCK_K / 2 + 16)	/* words of a row of A: none a page from the next */

#define WORDS_B		((size_t) BLOCK_K / 2 * BLOCK_N)
#define WORDS_A		((size_t) BLOCK_M * LD_A)
#define WORDS_ROWS	((size_t) PANEL * LD_A)

/* Two bfloat16, the one of the lower k in the lower half. */
typedef uint32_t Pair;

/* The compiler is not told of the instructions, which not every processor of the level has. */
RN_INLINE __m512i
round_two(__m512 low, __m512 high)
{
	__m512i		v;

	__asm__("vcvtne2ps2bf16 %2, %1, %0":"=v"(v):"v"(high), "v"(low));
	return v;
}

/* sum += b times the pair at a in all lanes */
RN_INLINE void
add_pair(RnVector *sum, __m512i b, const Pair *a)
{
	__asm__("vdpbf16ps %2%{1to16%}, %1, %0":"+v"(*sum):"v"(b), "m"(*a));
}

/* ---- packing ---- */

/* The words of a row: k numbers, filled up with 0 to a whole word. */
static void
round_row(int k, const rn_real *x, Pair *to)
{
	int			p;

	for (p = 0; p < k; p += 32, to += 16)
	{
		const int	n = RN_MIN(32, k - p);
		__m512i		v = round_two((__m512) vector_load(x + p, RN_MIN(n, 16)),
								  n > 16 ? (__m512) vector_load(x + p + 16, n - 16) : _mm512_setzero_ps());

		if (n == 32)
			_mm512_storeu_si512(to, v);
		else
			_mm512_mask_storeu_epi32(to, (__mmask16) ((1u << ((n + 1) / 2)) - 1), v);
	}
}

/* Words of two rows each: k rows of n numbers become (k + 1) / 2 lines of words. */
static void
round_lines(int k, int n, const rn_real *x, long ldx, Pair *to, long ld)
{
	/* 0, 16, 1, 17, ...: halves of the words from both rows in turn */
	const __m512i order = _mm512_or_si512(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
										  _mm512_slli_epi32(_mm512_set_epi32(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21,
																			 20, 19, 18, 17, 16), 16));
	int			p;

	for (p = 0; p < k; p += 2, x += 2 * ldx, to += ld)
		RN_VECTORS(j, w, n,
		{
			const RnVector second = p + 1 < k ? vector_load(x + ldx + j, w) : (RnVector) {0};
			const __m512i v = round_two((__m512) vector_load(x + j, w), (__m512) second);

			_mm512_mask_storeu_epi32(to + j, (__mmask16) ((1u << w) - 1), _mm512_permutexvar_epi16(order, v));
		});
}

/* op(B)[k, n] in panels, [panel][k / 2][PANEL], filled up with zeros; rows is scratch. */
static void
pack_b(int transpose, int k, int n, const rn_real *b, long ldb, Pair *to, Pair *rows)
{
	const int	words = (k + 1) / 2;
	int			i;
	int			j;

	for (j = 0; j < n; j += PANEL, to += (size_t) words * PANEL)
	{
		const int	cols = RN_MIN(PANEL, n - j);

		if (cols < PANEL)
			memset(to, 0, (size_t) words * PANEL * sizeof(Pair));
		if (!transpose)
		{
			round_lines(k, cols, b + j, ldb, to, PANEL);
			continue;
		}
		for (i = 0; i < cols; i++)
			round_row(k, b + (j + i) * ldb, rows + i * LD_A);
		transpose_panel(cols, words, (const rn_real *) rows, LD_A, (rn_real *) to, PANEL);
	}
}

/* ---- products ---- */

RN_INLINE void
tile(int rows, int vectors, int words, rn_real alpha, const Pair *a, long row, long step, const Pair *b, rn_real beta,
	 rn_real *c, long ldc, int cols)
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
	for (p = 0; p < words; p++, a += step, b += PANEL)
	{
		__m512i		line[2];

		RN_UNROLL
		for (j = 0; j < vectors; j++)
			line[j] = _mm512_loadu_si512(b + j * RN_WIDTH);
		RN_UNROLL
		for (i = 0; i < rows; i++)
			RN_UNROLL
			for (j = 0; j < vectors; j++)
				add_pair(&sum[i][j], line[j], a + i * row);
	}
	RN_UNROLL
	for (i = 0; i < rows; i++)
		RN_UNROLL
		for (j = 0; j < vectors; j++)
		{
			const int	n = RN_MIN(RN_WIDTH, cols - j * RN_WIDTH);
			RnVector	v = alpha * sum[i][j];

			if (beta != 0)
				v += beta * vector_load(c + i * ldc + j * RN_WIDTH, n);
			vector_store(c + i * ldc + j * RN_WIDTH, v, n);
		}
}

#define TILE(rows) \
	case rows: \
		if (cols > RN_WIDTH) \
			tile(rows, 2, words, alpha, a, row, step, b, beta, c, ldc, cols); \
		else \
			tile(rows, 1, words, alpha, a, row, step, b, beta, c, ldc, cols); \
		break;

static void
any_tile(int rows, int words, rn_real alpha, const Pair *a, long row, long step, const Pair *b, rn_real beta, rn_real *c,
		 long ldc, int cols)
{
	switch (rows)
	{
			TILE(1)
			TILE(2)
			TILE(3)
			TILE(4)
			TILE(5)
			TILE(6)
			TILE(7)
			TILE(8)
			TILE(9)
			TILE(10)
			TILE(11)
			TILE(12)
	}
}

/* A block of rows of A, packed, against all panels of a packed block of B. */
static void
multiply_block(int m, int n, int words, rn_real alpha, const Pair *a, long row, long step, const Pair *packed_b,
			   rn_real beta, rn_real *c, long ldc)
{
	int			i;
	int			j;

	for (j = 0; j < n; j += PANEL, packed_b += (size_t) words * PANEL)
		for (i = 0; i < m; i += RN_TILE_ROWS)
			any_tile(RN_MIN(RN_TILE_ROWS, m - i), words, alpha, a + i * row, row, step, packed_b, beta,
					 c + i * ldc + j, ldc, RN_MIN(PANEL, n - j));
}

static void
multiply_rows(int transpose_a, int m, int n, int k, rn_real alpha, const rn_real *a, long lda, const Pair *packed_b,
			  Pair *packed_a, rn_real beta, rn_real *c, long ldc)
{
	const int	words = (k + 1) / 2;
	int			i;
	int			r;

	for (i = 0; i < m; i += BLOCK_M)
	{
		const int	ms = RN_MIN(BLOCK_M, m - i);

		if (transpose_a)
			round_lines(k, ms, a + i, lda, packed_a, BLOCK_M);
		else
			for (r = 0; r < ms; r++)
				round_row(k, a + (i + r) * lda, packed_a + r * LD_A);
		multiply_block(ms, n, words, alpha, packed_a, transpose_a ? 1 : LD_A, transpose_a ? BLOCK_M : 1, packed_b, beta,
					   c + i * ldc, ldc);
	}
}

static void
blocked_product(RnLane *lane, int transpose_a, int transpose_b, int m, int n, int k, rn_real alpha, const rn_real *a,
				long lda, const rn_real *b, long ldb, rn_real beta, rn_real *c, long ldc)
{
	Pair	   *packed_b = rn_lane_scratch(lane, (WORDS_B + WORDS_A + WORDS_ROWS) * sizeof(Pair));
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

			pack_b(transpose_b, ks, ns, transpose_b ? b + j * ldb + p : b + p * ldb + j, ldb, packed_b,
				   packed_b + WORDS_B + WORDS_A);
			multiply_rows(transpose_a, m, ns, ks, alpha, transpose_a ? a + p * lda : a + p, lda, packed_b,
						  packed_b + WORDS_B, p == 0 ? beta : 1, c + j, ldc);
		}
	}
}

/* A product with few rows is over before its other factor is packed: such are not rounded. */
#define FEW_ROWS	12

void
rn_cpu_product_bfloat16(RnLane *lane, int transpose_a, int transpose_b, int m, int n, int k, double alpha,
						const rn_real *a, int lda, const rn_real *b, int ldb, double beta, rn_real *c, int ldc)
{
	if (m <= FEW_ROWS || n <= FEW_ROWS || k <= 0 || alpha == 0.0)
		rn_cpu_product(lane, transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
	else
		blocked_product(lane, transpose_a, transpose_b, m, n, k, (rn_real) alpha, a, lda, b, ldb, (rn_real) beta, c, ldc);
}

void
rn_cpu_linear_forward_bfloat16(RnLane *lane, int rows, int out, int in, const rn_real *x, const rn_real *weight,
							   const rn_real *bias, rn_real *y)
{
	rn_cpu_product_bfloat16(lane, 0, 1, rows, out, in, 1.0, x, in, weight, in, 0.0, y, out);
	if (bias != NULL)
		rn_cpu_add_bias(rows, out, bias, y, out);
}

#endif
