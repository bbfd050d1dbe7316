/*
 * attention.c
 *		Scaled dot-product attention, a sentence and a head at a time.
 *
 * Everything a head needs lies in scratch that stays in the first cache
 * levels; nothing of the size of a batch is made.  Masks of dropout are
 * computed again in backward.
 *
 * kernels/cpu/attention.c
 */
#include "kernels/cpu/cpu.h"

#include "kernels/cpu/exp.h"
#include "kernels/cpu/mask.h"
#include "kernels/cpu/tile.h"
#include "kernels/cpu/vector.h"

/* One head of one sentence. */
typedef struct Head
{
	int			number;			/* head */
	int			n;				/* queries */
	int			m;				/* keys */
	int			stride;			/* of a row of scores */
	int			width;			/* head size, a multiple of RN_WIDTH */
	size_t		query;			/* first query row */
	size_t		key;			/* first key row */
	size_t		scores;			/* where its scores begin */
} Head;

/* Scratch of one head, [rows][columns]. */
typedef struct Scratch
{
	rn_real    *keys;			/* [width][stride] K or V transposed */
	rn_real    *columns;		/* [m][width] K or V, when the head size is not a multiple of RN_WIDTH */
	rn_real    *queries;		/* [n][width] likewise a result of n rows */
	rn_real    *results;		/* [m][width] likewise a result of m rows */
	rn_real    *scores;			/* [n][stride] */
	rn_real    *dropped;		/* [n][stride] */
	rn_real    *mask;			/* n * m in whole blocks */
} Scratch;

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
	rn_real    *p;
	int			s;

	for (s = 0; s < args->queries->n_sentences; s++)
	{
		n = RN_MAX(n, (size_t) (args->queries->offsets[s + 1] - args->queries->offsets[s]));
		m = RN_MAX(m, (size_t) (args->keys->offsets[s + 1] - args->keys->offsets[s]));
	}
	stride = (size_t) rn_attention_stride((int) m);
	p = rn_lane_scratch(lane, (width * stride + 2 * m * width + n * width + 2 * n * stride +
							   mask_length(n * m)) * sizeof(rn_real));
	if (p == NULL)
		return 0;
	scratch->keys = p;
	scratch->columns = scratch->keys + width * stride;
	scratch->results = scratch->columns + m * width;
	scratch->queries = scratch->results + m * width;
	scratch->scores = scratch->queries + n * width;
	scratch->dropped = scratch->scores + n * stride;
	scratch->mask = scratch->dropped + n * stride;
	return 1;
}

/* scale X^T of [m, size] into [size][stride], zeros beyond m. */
static void
transpose(const rn_real *x, int ld, int m, int size, int stride, rn_real scale, rn_real *t)
{
	int			c;
	int			j;

	for (c = 0; c < size; c++, t += stride)
	{
		for (j = 0; j < m; j++)
			t[j] = scale * x[(size_t) j * ld + c];
		for (; j < stride; j++)
			t[j] = 0;
	}
}

/* X itself, or a copy of it filled up with zeros to whole vectors. */
static const rn_real *
whole_columns(const rn_real *x, int ld, int m, int size, int width, rn_real *copy, long *copy_ld)
{
	int			j;

	*copy_ld = ld;
	if (width == size)
		return x;
	for (j = 0; j < m; j++)
	{
		memcpy(copy + (size_t) j * width, x + (size_t) j * ld, (size_t) size * sizeof(rn_real));
		memset(copy + (size_t) j * width + size, 0, (size_t) (width - size) * sizeof(rn_real));
	}
	*copy_ld = width;
	return copy;
}

/* y (+)= A B of [m, size], with scratch where size is not whole vectors. */
static void
product_into(const Head *head, int size, int m, int k, const rn_real *a, long row, long step, const rn_real *b, long ldb,
			 rn_real *scratch, rn_real *y, long ldy, int accumulate)
{
	int			i;

	if (head->width == size)
	{
		rn_tile_product(m, size, k, 1, a, row, step, b, ldb, (rn_real) accumulate, y, ldy);
		return;
	}
	rn_tile_product(m, head->width, k, 1, a, row, step, b, ldb, 0, scratch, head->width);
	for (i = 0; i < m; i++)
		RN_VECTORS(j, n, size,
		{
			vector_put(y + i * ldy + j, vector_load(scratch + (size_t) i * head->width + j, n), n, accumulate);
		});
}

/* The mask of a whole head: entry i * m + j. */
static void
fill_mask(const RnAttentionArgs *args, const Head *head, rn_real *mask)
{
	mask_fill(&args->dropout, (uint32_t) head->number, args->queries->row_ids[head->query], 0,
			  (uint32_t) (mask_length((size_t) head->n * head->m) / RN_MASK_BLOCK), mask);
}

/* softmax(x / divisor) of the first count, zeros up to stride. */
static void
softmax_row(rn_real *x, int count, int stride, rn_real inverse_divisor)
{
	RnVector	best = vector_set(x[0]);
	RnVector	sum = {0};
	rn_real		maximum;
	rn_real		factor;
	int			j;

	RN_VECTORS(j, n, count,
	{
		best = vector_max(best, vector_fill_from(vector_load(x + j, n), n, x[0]));
	});
	maximum = vector_maximum(best);
	RN_VECTORS(j, n, count,
	{
		RnVector	e = vector_first(vector_exp((vector_load(x + j, n) - maximum) * inverse_divisor), n);

		sum += e;
		vector_store(x + j, e, n);
	});
	factor = 1 / vector_sum(sum);
	RN_VECTORS(j, n, count,
	{
		vector_store(x + j, factor * vector_load(x + j, n), n);
	});
	for (j = count; j < stride; j++)
		x[j] = 0;
}

/* to = x mask for the first m, zeros up to stride. */
static void
drop_rows(const Head *head, const rn_real *x, const rn_real *mask, rn_real *to)
{
	int			i;

	for (i = 0; i < head->n; i++, x += head->stride, mask += head->m, to += head->stride)
	{
		RN_VECTORS(j, n, head->m,
		{
			vector_store(to + j, vector_load(x + j, n) * vector_load(mask + j, n), n);
		});
		memset(to + head->m, 0, (size_t) (head->stride - head->m) * sizeof(rn_real));
	}
}

static void
forward_head(const RnAttentionArgs *args, const Head *head, const Scratch *scratch)
{
	const int	size = args->head_size;
	const int	column = head->number * size;
	const int	out_ld = args->heads * size;
	const size_t length = (size_t) head->n * head->stride;
	rn_real    *p = args->probabilities != NULL ? args->probabilities + head->scores : scratch->scores;
	const rn_real *weights = p;
	const rn_real *v;
	long		ldv;
	int			i;

	transpose(args->k + head->key * args->ldk + column, args->ldk, head->m, size, head->stride, (rn_real) args->scale,
			  scratch->keys);
	rn_tile_product(head->n, head->stride, size, 1, args->q + head->query * args->ldq + column, args->ldq, 1,
					scratch->keys, head->stride, 0, p, head->stride);
	if (args->scores_in != NULL)
		vector_add_row(p, args->scores_in + head->scores, (int) length);
	if (args->scores_out != NULL)
		memcpy(args->scores_out + head->scores, p, length * sizeof(rn_real));
	for (i = 0; i < head->n; i++)
		softmax_row(p + (size_t) i * head->stride, args->causal ? RN_MIN(i + 1, head->m) : head->m, head->stride,
					(rn_real) (1.0 / args->score_divisor));
	if (args->dropout.rate > 0.0)
	{
		fill_mask(args, head, scratch->mask);
		drop_rows(head, p, scratch->mask, scratch->dropped);
		weights = scratch->dropped;
	}
	v = whole_columns(args->v + head->key * args->ldv + column, args->ldv, head->m, size, head->width, scratch->columns,
					  &ldv);
	product_into(head, size, head->n, head->m, weights, head->stride, 1, v, ldv, scratch->queries,
				 args->output + head->query * out_ld + column, out_ld, 0);
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
		  void (*work) (const RnAttentionArgs *args, const Head *head, const Scratch *scratch),
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
 * dA of one row from dP and P, in place: dA = P (dP - sum P dP) / divisor,
 * plus what comes from the scores given to the layer above.
 */
static void
softmax_gradient_row(const Head *head, const rn_real *p, rn_real *dp, rn_real inverse_divisor)
{
	RnVector	sum = {0};
	rn_real		mean;

	RN_VECTORS(j, n, head->m,
	{
		sum += vector_load(p + j, n) * vector_load(dp + j, n);
	});
	mean = vector_sum(sum);
	RN_VECTORS(j, n, head->stride,
	{
		vector_store(dp + j, vector_load(p + j, n) * (vector_load(dp + j, n) - mean) * inverse_divisor, n);
	});
}

/*
 *		dV = dropout(P)^T dO,  dP = mask (dO V^T)
 *		dA = P (dP - sum P dP) / divisor + dscores_out,  dscores_in = dA
 *		dQ = dA K scale,  dK = dA^T Q scale
 */
static void
backward_head(const RnAttentionArgs *args, const Head *head, const Scratch *scratch)
{
	const int	size = args->head_size;
	const int	column = head->number * size;
	const int	out_ld = args->heads * size;
	const size_t length = (size_t) head->n * head->stride;
	const rn_real *p = args->probabilities + head->scores;
	const rn_real *weights = p;
	const rn_real *doutput = args->doutput + head->query * out_ld + column;
	rn_real    *da = scratch->scores;
	const rn_real *b;
	long		ldb;
	size_t		l;
	int			i;

	if (args->dropout.rate > 0.0)
	{
		fill_mask(args, head, scratch->mask);
		drop_rows(head, p, scratch->mask, scratch->dropped);
		weights = scratch->dropped;
	}
	if (args->dv != NULL)
	{
		b = whole_columns(doutput, out_ld, head->n, size, head->width, scratch->queries, &ldb);
		product_into(head, size, head->m, head->n, weights, 1, head->stride, b, ldb, scratch->results,
					 args->dv + head->key * args->lddv + column, args->lddv, args->accumulate_kv != 0);
	}
	transpose(args->v + head->key * args->ldv + column, args->ldv, head->m, size, head->stride, 1, scratch->keys);
	rn_tile_product(head->n, head->stride, size, 1, doutput, out_ld, 1, scratch->keys, head->stride, 0, da, head->stride);
	if (args->dropout.rate > 0.0)
		drop_rows(head, da, scratch->mask, da);
	for (i = 0; i < head->n; i++)
		softmax_gradient_row(head, p + (size_t) i * head->stride, da + (size_t) i * head->stride,
							 (rn_real) (1.0 / args->score_divisor));
	if (args->dscores_out != NULL)
		vector_add_row(da, args->dscores_out + head->scores, (int) length);
	if (args->dscores_in != NULL)
		memcpy(args->dscores_in + head->scores, da, length * sizeof(rn_real));
	for (l = 0; l < length; l++)
		da[l] *= (rn_real) args->scale;
	if (args->dq != NULL)
	{
		b = whole_columns(args->k + head->key * args->ldk + column, args->ldk, head->m, size, head->width,
						  scratch->columns, &ldb);
		product_into(head, size, head->n, head->m, da, head->stride, 1, b, ldb, scratch->queries,
					 args->dq + head->query * args->lddq + column, args->lddq, args->accumulate_q != 0);
	}
	if (args->dk != NULL)
	{
		b = whole_columns(args->q + head->query * args->ldq + column, args->ldq, head->n, size, head->width,
						  scratch->queries, &ldb);
		product_into(head, size, head->m, head->n, da, 1, head->stride, b, ldb, scratch->results,
					 args->dk + head->key * args->lddk + column, args->lddk, args->accumulate_kv != 0);
	}
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
