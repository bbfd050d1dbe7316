/*
 * attention.c
 *		Scaled dot-product attention, a sentence and a head at a time.
 *
 * Everything a head needs lies in scratch that stays in the first cache
 * levels; nothing of the size of a batch is made.  Masks of dropout are
 * computed again in backward.  Where the future is hidden, blocks of queries
 * leave out the keys that none of them sees.
 *
 * kernels/cpu/attention.c
 */
#include "kernels/cpu/cpu.h"

#include "kernels/cpu/mask.h"
#include "kernels/cpu/softmax.h"
#include "kernels/cpu/tile.h"
#include "kernels/cpu/transpose.h"
#include "kernels/cpu/vector.h"

/* Queries of a block that leaves out keys, or keys of one that leaves out queries. */
#define BLOCK	12

/* By how much a row of scores may be longer than the keys. */
#define PADDING	16

/* One head of one sentence. */
typedef struct Head
{
	int			number;			/* head */
	int			n;				/* queries */
	int			m;				/* keys */
	int			stride;			/* of a row of scores */
	int			width;			/* head size, rounded up to whole vectors */
	int			hidden;			/* keys after the query's position take no part */
	size_t		query;			/* first query row */
	size_t		key;			/* first key row */
	size_t		scores;			/* where its scores begin */
} Head;

/* Scratch of one head, [rows][columns]. */
typedef struct Scratch
{
	rn_real    *columns;		/* [head size][stride] K or V transposed */
	rn_real    *operand;		/* [n or m][width] a matrix filled up to whole vectors */
	rn_real    *result;			/* [n or m][width] likewise a result */
	rn_real    *scores;			/* [n][stride] */
	rn_real    *dropped;		/* [n][stride] */
	rn_real    *mask;			/* n * m in whole blocks, and PADDING */
} Scratch;

/* A matrix within a larger one. */
typedef struct Matrix
{
	const rn_real *x;
	long		ld;
} Matrix;

static int
round_to_width(int n)
{
	return (n + RN_WIDTH - 1) / RN_WIDTH * RN_WIDTH;
}

/* Scratch for the longest of the sentences; 0 when there is no memory. */
static int
take_scratch(RnLane *lane, const RnAttentionArgs *args, Scratch *scratch)
{
	const size_t width = (size_t) round_to_width(args->head_size);
	size_t		n = 0;
	size_t		m = 0;
	size_t		stride;
	size_t		longer;
	rn_real    *p;
	int			s;

	for (s = 0; s < args->queries->n_sentences; s++)
	{
		n = RN_MAX(n, (size_t) (args->queries->offsets[s + 1] - args->queries->offsets[s]));
		m = RN_MAX(m, (size_t) (args->keys->offsets[s + 1] - args->keys->offsets[s]));
	}
	longer = RN_MAX(n, m);
	stride = (size_t) rn_attention_stride((int) m);
	p = rn_lane_scratch(lane, (width * stride + 2 * longer * width + 2 * n * stride + mask_length(n * m) + PADDING) *
						sizeof(rn_real));
	if (p == NULL)
		return 0;
	scratch->columns = p;
	scratch->operand = scratch->columns + width * stride;
	scratch->result = scratch->operand + longer * width;
	scratch->scores = scratch->result + longer * width;
	scratch->dropped = scratch->scores + n * stride;
	scratch->mask = scratch->dropped + n * stride;
	memset(scratch->mask + mask_length(n * m), 0, PADDING * sizeof(rn_real));
	return 1;
}

/* X^T of [m, size] into [size][stride], zeros beyond m. */
static void
transpose(Matrix x, int m, int size, int stride, rn_real *t)
{
	int			c;

	transpose_panel(m, size, x.x, x.ld, t, stride);
	for (c = 0; c < size && m < stride; c++)
		memset(t + c * stride + m, 0, (size_t) (stride - m) * sizeof(rn_real));
}

/* The matrix itself, or a copy of it filled up with zeros to whole vectors. */
static Matrix
whole_columns(const Head *head, Matrix x, int rows, int size, rn_real *copy)
{
	Matrix		filled = {copy, head->width};
	int			i;

	if (head->width == size)
		return x;
	for (i = 0; i < rows; i++, copy += head->width)
	{
		memcpy(copy, x.x + i * x.ld, (size_t) size * sizeof(rn_real));
		memset(copy + size, 0, (size_t) (head->width - size) * sizeof(rn_real));
	}
	return filled;
}

/* y (+)= what was computed into whole vectors. */
static void
copy_result(const Head *head, int rows, int size, const rn_real *result, rn_real *y, long ldy, int accumulate)
{
	int			i;

	for (i = 0; i < rows; i++, y += ldy, result += head->width)
		RN_VECTORS(j, n, size,
		{
			vector_put(y + j, vector_load(result + j, n), n, accumulate);
		});
}

/* S = scale X C^T where C^T lies in columns; only what some query of a block sees. */
static void
scores_product(const Head *head, int size, rn_real scale, Matrix x, const rn_real *columns, rn_real *s)
{
	const int	block = head->hidden ? BLOCK : head->n;
	int			i;

	for (i = 0; i < head->n; i += block)
	{
		const int	rows = RN_MIN(block, head->n - i);
		const int	seen = head->hidden ? RN_MIN(head->stride, round_to_width(i + rows)) : head->stride;

		rn_tile_product(rows, seen, size, scale, x.x + i * x.ld, x.ld, 1, columns, head->stride, 0,
						s + (size_t) i * head->stride, head->stride);
	}
}

/* y (+)= scale S X, a row for each query; x has whole columns. */
static void
query_product(const Head *head, int size, rn_real scale, const rn_real *s, Matrix x, rn_real *result, rn_real *y,
			  long ldy, int accumulate)
{
	const int	block = head->hidden ? BLOCK : head->n;
	const int	direct = head->width == size;
	rn_real    *to = direct ? y : result;
	const long	ld = direct ? ldy : head->width;
	int			i;

	for (i = 0; i < head->n; i += block)
	{
		const int	rows = RN_MIN(block, head->n - i);
		const int	seen = head->hidden ? RN_MIN(head->m, i + rows) : head->m;

		rn_tile_product(rows, head->width, seen, scale, s + (size_t) i * head->stride, head->stride, 1, x.x, x.ld,
						direct && accumulate, to + i * ld, ld);
	}
	if (!direct)
		copy_result(head, head->n, size, result, y, ldy, accumulate);
}

/* y (+)= scale S^T X, a row for each key; only queries that see a key of the block. */
static void
key_product(const Head *head, int size, rn_real scale, const rn_real *s, Matrix x, rn_real *result, rn_real *y, long ldy,
			int accumulate)
{
	const int	block = head->hidden ? BLOCK : head->m;
	const int	direct = head->width == size;
	rn_real    *to = direct ? y : result;
	const long	ld = direct ? ldy : head->width;
	int			j;

	for (j = 0; j < head->m; j += block)
	{
		const int	rows = RN_MIN(block, head->m - j);
		const int	first = head->hidden ? RN_MIN(j, head->n) : 0;

		rn_tile_product(rows, head->width, head->n - first, scale, s + (size_t) first * head->stride + j, 1, head->stride,
						x.x + first * x.ld, x.ld, direct && accumulate, to + j * ld, ld);
	}
	if (!direct)
		copy_result(head, head->m, size, result, y, ldy, accumulate);
}

/* The mask of a whole head: entry i * m + j. */
static void
fill_mask(const RnAttentionArgs *args, const Head *head, rn_real *mask)
{
	mask_fill(&args->dropout, (uint32_t) head->number, args->queries->row_ids[head->query], 0,
			  (uint32_t) (mask_length((size_t) head->n * head->m) / RN_MASK_BLOCK), mask);
}

/*
 * to = p mask.  A row of the mask is shorter than one of p; what is read of
 * the next one meets the zeros of p.
 */
static void
drop_row(int stride, const rn_real *p, const rn_real *mask, rn_real *to)
{
	int			j;

	for (j = 0; j < stride; j += RN_WIDTH)
		*(RnVector *) (to + j) = *(const RnVector *) (p + j) * *(const RnVector *) (mask + j);
}

static void
forward_head(const RnAttentionArgs *args, Head *head, const Scratch *scratch)
{
	const int	size = args->head_size;
	const int	column = head->number * size;
	const int	out_ld = args->heads * size;
	const int	dropout = args->dropout.rate > 0.0;
	const size_t length = (size_t) head->n * head->stride;
	const Matrix q = {args->q + head->query * args->ldq + column, args->ldq};
	const Matrix k = {args->k + head->key * args->ldk + column, args->ldk};
	const Matrix v = {args->v + head->key * args->ldv + column, args->ldv};
	rn_real    *p = args->probabilities != NULL ? args->probabilities + head->scores : scratch->scores;
	int			i;

	/* scores that are handed on are handed on whole */
	head->hidden = args->causal && args->scores_out == NULL;
	transpose(k, head->m, size, head->stride, scratch->columns);
	scores_product(head, size, (rn_real) args->scale, q, scratch->columns, p);
	if (args->scores_in != NULL)
		vector_add_row(p, args->scores_in + head->scores, (int) length);
	if (args->scores_out != NULL)
		memcpy(args->scores_out + head->scores, p, length * sizeof(rn_real));
	if (dropout)
		fill_mask(args, head, scratch->mask);
	for (i = 0; i < head->n; i++)
	{
		rn_real    *row = p + (size_t) i * head->stride;

		softmax_row(row, args->causal ? RN_MIN(i + 1, head->m) : head->m, head->stride,
					(rn_real) (1.0 / args->score_divisor));
		if (dropout)
			drop_row(head->stride, row, scratch->mask + (size_t) i * head->m, scratch->dropped + (size_t) i * head->stride);
	}
	head->hidden = args->causal;
	query_product(head, size, 1, dropout ? scratch->dropped : p, whole_columns(head, v, head->m, size, scratch->operand),
				  scratch->result, args->output + head->query * out_ld + column, out_ld, 0);
}

/* Queries that see nothing: 0. */
static void
clear_rows(rn_real *x, int ld, int rows, int cols)
{
	int			i;

	for (i = 0; i < rows; i++)
		memset(x + (size_t) i * ld, 0, (size_t) cols * sizeof(rn_real));
}

/* Call work for each head of each sentence that has queries and keys. */
static void
each_head(RnLane *lane, const RnAttentionArgs *args,
		  void (*work) (const RnAttentionArgs *args, Head *head, const Scratch *scratch),
		  void (*empty) (const RnAttentionArgs *args, const Head *head))
{
	Scratch		scratch;
	Head		head;
	int			s;

	if (!take_scratch(lane, args, &scratch))
		return;
	head.scores = 0;
	head.width = round_to_width(args->head_size);
	for (s = 0; s < args->queries->n_sentences; s++)
	{
		head.query = (size_t) args->queries->offsets[s];
		head.key = (size_t) args->keys->offsets[s];
		head.n = args->queries->offsets[s + 1] - args->queries->offsets[s];
		head.m = args->keys->offsets[s + 1] - args->keys->offsets[s];
		head.stride = rn_attention_stride(head.m);
		if (head.n == 0 || head.m == 0)
			empty(args, &head);
		else
			for (head.number = 0; head.number < args->heads; head.number++)
			{
				work(args, &head, &scratch);
				head.scores += (size_t) head.n * head.stride;
			}
	}
}

static void
forward_empty(const RnAttentionArgs *args, const Head *head)
{
	const int	width = args->heads * args->head_size;

	clear_rows(args->output + head->query * width, width, head->n, width);
}

void
rn_cpu_attention_forward(RnLane *lane, const RnAttentionArgs *args)
{
	each_head(lane, args, forward_head, forward_empty);
}

/*
 * One row of dA from dP, in place, and of dropout(P): with mask NULL
 *
 *		dA = P (dP - sum P dP) / divisor
 *
 * else dP mask stands for dP.  Where P is 0, dP need not be set.
 */
RN_INLINE void
gradient_row(int seen, int stride, const rn_real *p, const rn_real *mask, rn_real inverse_divisor, rn_real *da,
			 rn_real *dropped)
{
	RnVector	sum = {0};
	rn_real		mean;
	int			j;

	for (j = 0; j < seen; j += RN_WIDTH)
	{
		RnVector	d = *(const RnVector *) (da + j);
		RnVector	w = *(const RnVector *) (p + j);

		if (mask != NULL)
		{
			RnVector	f = *(const RnVector *) (mask + j);

			d *= f;
			*(RnVector *) (dropped + j) = w * f;
			*(RnVector *) (da + j) = d;
		}
		sum += w * d;
	}
	mean = vector_sum(sum);
	for (j = 0; j < seen; j += RN_WIDTH)
		*(RnVector *) (da + j) = *(const RnVector *) (p + j) * (*(const RnVector *) (da + j) - mean) * inverse_divisor;
	for (; j < stride; j += RN_WIDTH)
	{
		*(RnVector *) (da + j) = (RnVector) {0};
		if (mask != NULL)
			*(RnVector *) (dropped + j) = (RnVector) {0};
	}
}

/*
 *		dV = dropout(P)^T dO,  dP = mask (dO V^T)
 *		dA = P (dP - sum P dP) / divisor + dscores_out,  dscores_in = dA
 *		dQ = dA K scale,  dK = dA^T Q scale
 */
static void
backward_head(const RnAttentionArgs *args, Head *head, const Scratch *scratch)
{
	const int	size = args->head_size;
	const int	column = head->number * size;
	const int	out_ld = args->heads * size;
	const int	dropout = args->dropout.rate > 0.0;
	const size_t length = (size_t) head->n * head->stride;
	const rn_real scale = (rn_real) args->scale;
	const rn_real *p = args->probabilities + head->scores;
	const Matrix q = {args->q + head->query * args->ldq + column, args->ldq};
	const Matrix k = {args->k + head->key * args->ldk + column, args->ldk};
	const Matrix v = {args->v + head->key * args->ldv + column, args->ldv};
	const Matrix d = {args->doutput + head->query * out_ld + column, out_ld};
	rn_real    *da = scratch->scores;
	int			i;

	head->hidden = args->causal;
	transpose(v, head->m, size, head->stride, scratch->columns);
	scores_product(head, size, 1, d, scratch->columns, da);
	if (dropout)
		fill_mask(args, head, scratch->mask);
	for (i = 0; i < head->n; i++)
		gradient_row(args->causal ? RN_MIN(i + 1, head->m) : head->m, head->stride, p + (size_t) i * head->stride,
					 dropout ? scratch->mask + (size_t) i * head->m : NULL, (rn_real) (1.0 / args->score_divisor),
					 da + (size_t) i * head->stride, scratch->dropped + (size_t) i * head->stride);
	if (args->dv != NULL)
		key_product(head, size, 1, dropout ? scratch->dropped : p, whole_columns(head, d, head->n, size, scratch->operand),
					scratch->result, args->dv + head->key * args->lddv + column, args->lddv, args->accumulate_kv);
	if (args->dscores_out != NULL)
	{
		head->hidden = 0;		/* the layer above saw all of A */
		vector_add_row(da, args->dscores_out + head->scores, (int) length);
	}
	if (args->dscores_in != NULL)
		memcpy(args->dscores_in + head->scores, da, length * sizeof(rn_real));
	if (args->dq != NULL)
		query_product(head, size, scale, da, whole_columns(head, k, head->m, size, scratch->operand), scratch->result,
					  args->dq + head->query * args->lddq + column, args->lddq, args->accumulate_q);
	if (args->dk != NULL)
		key_product(head, size, scale, da, whole_columns(head, q, head->n, size, scratch->operand), scratch->result,
					args->dk + head->key * args->lddk + column, args->lddk, args->accumulate_kv);
}

/* A sentence without queries or without keys: nothing flows. */
static void
backward_empty(const RnAttentionArgs *args, const Head *head)
{
	const int	width = args->heads * args->head_size;

	if (args->dq != NULL && !args->accumulate_q)
		clear_rows(args->dq + head->query * args->lddq, args->lddq, head->n, width);
	if (args->dk != NULL && !args->accumulate_kv)
		clear_rows(args->dk + head->key * args->lddk, args->lddk, head->m, width);
	if (args->dv != NULL && !args->accumulate_kv)
		clear_rows(args->dv + head->key * args->lddv, args->lddv, head->m, width);
}

void
rn_cpu_attention_backward(RnLane *lane, const RnAttentionArgs *args)
{
	each_head(lane, args, backward_head, backward_empty);
}
