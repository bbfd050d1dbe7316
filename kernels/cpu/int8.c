/*
 * int8.c
 *		Products of 8-bit numbers, exact, and their way back to real ones.
 *
 * W is packed in panels as wide as a tile.  A step takes the next few numbers
 * of k for all columns of a panel, each column's in one 32-bit lane, so that
 * the same few of a row of x, repeated in all lanes, meet them:
 *
 *		pairs	2 of k a step, W widened to 16 bits: multiply and add pairs
 *		quads	4 of k a step, W stored as q + 128: VNNI multiplies unsigned by
 *				signed numbers; 128 sum x is taken off at the end
 *
 * Both give the same whole numbers, so translations do not depend on which a
 * processor has.  (Multiplying 8-bit numbers without VNNI saturates.)
 *
 * kernels/cpu/int8.c
 */
#include "kernels/cpu/prepared.h"

#include <stdlib.h>

#define LANES		(RN_VECTOR_BYTES / 4)	/* 32-bit sums in a vector */
#define PANEL		(2 * LANES)		/* columns */

#ifdef RN_AVX512
#define TILE_ROWS	12
#else
#define TILE_ROWS	6
#endif
#define WIDE		4				/* panels at once for a row or two, whose sums are few */

#define BLOCK_ROWS	192				/* of x at a time: they lie in the second-level cache */

typedef int32_t Sums __attribute__((vector_size(RN_VECTOR_BYTES), aligned(4), may_alias));

static int
padded(int k)
{
	return (k + 3) & ~3;
}

static size_t
panels(int n)
{
	return ((size_t) n + PANEL - 1) / PANEL;
}

size_t
rn_int8_bytes(int n, int k)
{
	return panels(n) * PANEL * ((size_t) padded(k) + sizeof(rn_real));
}

/* Row j of W, quantised, to its places. */
static void
place_row(RnPrepared *prepared, int j, const int8_t *row)
{
	const int	step = prepared->quads ? 4 : 2;
	const int	k = padded(prepared->k);
	char	   *to = prepared->memory + (size_t) (j / PANEL) * PANEL * k + j % PANEL * step;
	int			p;

	for (p = 0; prepared->quads && p < k; p += 4, to += 4 * PANEL)
	{
		uint32_t	quad;

		memcpy(&quad, row + p, 4);
		quad ^= 0x80808080;		/* + 128 */
		memcpy(to, &quad, 4);
	}
	for (p = 0; !prepared->quads && p < k; p += 2, to += 2 * PANEL)
		memcpy(to, row + p, 2);
}

RnStatus
rn_int8_pack(RnContext *ctx, RnPrepared *prepared, const rn_real *w)
{
	const size_t bytes = (size_t) padded(prepared->k) + RN_WIDTH;
	int8_t	   *row = malloc(bytes);
	int			j;

	if (row == NULL)
		return rn_out_of_memory(ctx, bytes);
	prepared->scales = (rn_real *) (prepared->memory + panels(prepared->n) * PANEL * padded(prepared->k));
	for (j = 0; j < prepared->n; j++)
	{
		prepared->scales[j] = rn_quantise_bytes(prepared->k, w + (size_t) j * prepared->k, row, NULL);
		place_row(prepared, j, row);
	}
	free(row);
	return RN_OK;
}

/* ---- products ---- */

/* Rows of x as 8-bit numbers. */
typedef struct Rows
{
	int32_t    *x;				/* a step in each */
	long		ld;				/* steps from row to row */
	rn_real    *scales;
	int32_t    *corrections;	/* 128 sum x, for quads */
} Rows;

/* What a tile needs beside its sizes. */
typedef struct Tile
{
	const Rows *rows;
	int			steps;
	const char *w;				/* first panel */
	size_t		panel_bytes;
	const rn_real *scales;		/* from here on of the first column */
	const rn_real *bias;		/* or NULL */
	rn_real    *y;
	long		ldy;
	int			cols;			/* of y that are there */
} Tile;

/* The columns' numbers of one step. */
RN_INLINE Sums
load_step(int quads, const char *w)
{
#if defined(RN_AVX512)
	return quads ? *(const Sums *) w : (Sums) _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *) w));
#else
	(void) quads;
#if defined(RN_NO_INTRINSICS)
	Sums		v;

	memcpy(&v, w, LANES * 2);
	return v;
#elif RN_VECTOR_BYTES == 32
	return (Sums) _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) w));
#else
	return (Sums) _mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *) w));
#endif
#endif
}

/* sum += w x */
RN_INLINE void
add_step(int quads, Sums *sum, Sums w, const int32_t *x)
{
#if defined(RN_AVX512)
	/* as an intrinsic gcc moves the sums to and fro: half the speed */
	if (quads)
		__asm__("vpdpbusd %2%{1to16%}, %1, %0": "+v"(*sum):"v"(w), "m"(*x));
	else
		*sum += (Sums) _mm512_madd_epi16((__m512i) w, _mm512_set1_epi32(*x));
#else
	(void) quads;
#if defined(RN_NO_INTRINSICS)
	int8_t		pairs[2 * LANES];
	int16_t		of_x[2];
	int			l;

	memcpy(pairs, &w, sizeof(pairs));
	memcpy(of_x, x, sizeof(of_x));
	for (l = 0; l < LANES; l++)
		(*sum)[l] += pairs[2 * l] * of_x[0] + pairs[2 * l + 1] * of_x[1];
#elif RN_VECTOR_BYTES == 32
	*sum += (Sums) _mm256_madd_epi16((__m256i) w, _mm256_set1_epi32(*x));
#else
	*sum += (Sums) _mm_madd_epi16((__m128i) w, _mm_set1_epi32(*x));
#endif
#endif
}

/*
 * y = scale scales (sum - correction) + bias, n of them.  In double, which only
 * tests use, not inlined: a hundred copies take a compiler a minute.
 */
#ifdef RN_DOUBLE
static __attribute__((noinline)) void
#else
RN_INLINE void
#endif
put(Sums sum, int32_t correction, rn_real scale, const rn_real *scales, const rn_real *bias, rn_real *y, int n)
{
#ifdef RN_DOUBLE
	int			l;

	for (l = 0; l < n; l++)
		y[l] = scale * scales[l] * (sum[l] - correction) + (bias != NULL ? bias[l] : 0);
#else
	RnVector	v = __builtin_convertvector(sum - correction, RnVector) * scale * *(const RnVector *) scales;

	if (bias != NULL)
		v += vector_load(bias, n);
	vector_store(y, v, n);
#endif
}

/* rows x vectors sums; these and quads are constants where this is inlined. */
RN_INLINE void
tile(int quads, int rows, int vectors, int row, const Tile *t)
{
	const int	step_bytes = LANES * (quads ? 4 : 2);
	const int32_t *x = t->rows->x + row * t->rows->ld;
	const long	ld = t->rows->ld;
	const char *w = t->w;
	Sums		sum[TILE_ROWS][2 * WIDE];
	int			i;
	int			j;
	int			p;

	RN_UNROLL
	for (i = 0; i < rows; i++)
		RN_UNROLL
		for (j = 0; j < vectors; j++)
			sum[i][j] = (Sums) {0};
	for (p = 0; p < t->steps; p++, x++, w += 2 * step_bytes)
		RN_UNROLL
		for (j = 0; j < vectors; j++)
		{
			const Sums	line = load_step(quads, w + j / 2 * t->panel_bytes + j % 2 * step_bytes);

			RN_UNROLL
			for (i = 0; i < rows; i++)
				add_step(quads, &sum[i][j], line, x + i * ld);
		}
	RN_UNROLL
	for (i = 0; i < rows; i++)
		RN_UNROLL
		for (j = 0; j < vectors; j++)
		{
			const int	col = j * LANES;

			if (col < t->cols)
				put(sum[i][j], quads ? t->rows->corrections[row + i] : 0, t->rows->scales[row + i], t->scales + col,
					t->bias != NULL ? t->bias + col : NULL, t->y + (row + i) * t->ldy + col, RN_MIN(LANES, t->cols - col));
		}
}

#define TILE(rows) \
	case rows: \
		if (quads) \
			tile(1, rows, 2, row, t); \
		else \
			tile(0, rows, 2, row, t); \
		break;

/* Up to TILE_ROWS rows of a panel. */
static void
any_tile(int quads, int rows, int row, const Tile *t)
{
	switch (rows)
	{
			TILE(1)
			TILE(2)
			TILE(3)
			TILE(4)
			TILE(5)
			TILE(6)
#if TILE_ROWS == 12
			TILE(7)
			TILE(8)
			TILE(9)
			TILE(10)
			TILE(11)
			TILE(12)
#endif
	}
}

/* One row over WIDE panels, or two. */
static void
wide_tile(int quads, int rows, const Tile *t)
{
	if (rows == 1 && quads)
		tile(1, 1, 2 * WIDE, 0, t);
	else if (rows == 1)
		tile(0, 1, 2 * WIDE, 0, t);
	else if (quads)
		tile(1, 2, 2 * WIDE, 0, t);
	else
		tile(0, 2, 2 * WIDE, 0, t);
}

/* All rows at hand against all panels. */
static void
multiply(const RnPrepared *w, int m, const Rows *rows, const rn_real *bias, rn_real *y, long ldy)
{
	/* two rows of wide tiles need more registers than there are below AVX-512 */
	const int	wide_rows = TILE_ROWS == 12 ? 2 : 1;
	int			j;
	Tile		t;

	t.rows = rows;
	t.steps = padded(w->k) / (w->quads ? 4 : 2);
	t.panel_bytes = (size_t) PANEL * padded(w->k);
	t.ldy = ldy;
	for (j = 0; j < w->n;)
	{
		const int	is_wide = m <= wide_rows && j + WIDE * PANEL <= w->n;
		int			left = m;

		t.w = w->memory + j / PANEL * t.panel_bytes;
		t.scales = w->scales + j;
		t.bias = bias != NULL ? bias + j : NULL;
		t.y = y + j;
		t.cols = w->n - j;
		if (is_wide)
			wide_tile(w->quads, m, &t);
		while (!is_wide && left > 0)
		{
			/* the last two tiles share what is left */
			const int	of_tile = left >= 2 * TILE_ROWS ? TILE_ROWS : left > TILE_ROWS ? (left + 1) / 2 : left;

			any_tile(w->quads, of_tile, m - left, &t);
			left -= of_tile;
		}
		j += is_wide ? WIDE * PANEL : PANEL;
	}
}

void
rn_int8_product(RnLane *lane, const RnPrepared *w, int m, const rn_real *x, long ldx, const rn_real *bias, rn_real *y,
				long ldy)
{
	const int	step = w->quads ? 4 : 2;
	const int	block = RN_MIN(m, BLOCK_ROWS);
	Rows		rows;
	int			first;
	int			i;

	/* room for the last vector of a row, and rows that do not fall upon each other in the cache */
	rows.ld = (padded(w->k) / step + 15) / 16 * 16 + 16;
	rows.x = rn_lane_scratch(lane, (size_t) block * (rows.ld * sizeof(int32_t) + sizeof(rn_real) + sizeof(int32_t)));
	if (rows.x == NULL)
		return;
	rows.scales = (rn_real *) (rows.x + block * rows.ld);
	rows.corrections = (int32_t *) (rows.scales + block);
	for (first = 0; first < m; first += BLOCK_ROWS, x += BLOCK_ROWS * ldx, y += BLOCK_ROWS * ldy)
	{
		const int	n = RN_MIN(BLOCK_ROWS, m - first);

		for (i = 0; i < n; i++)
		{
			int32_t    *to = rows.x + i * rows.ld;

			if (w->quads)
			{
				rows.scales[i] = rn_quantise_bytes(w->k, x + i * ldx, (int8_t *) to, &rows.corrections[i]);
				rows.corrections[i] *= 128;
			}
			else
				rows.scales[i] = rn_quantise_shorts(w->k, x + i * ldx, (int16_t *) to);
		}
		multiply(w, n, &rows, bias, y, ldy);
	}
}
