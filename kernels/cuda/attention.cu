/*
 * attention.cu
 *		Scaled dot-product attention over packed sentences.
 *
 * A block has 16 queries of one sentence and head, backward also one that has
 * 16 keys; each warp has four of them.  Keys (or queries) pass by in tiles of
 * 32 through shared memory, columns of a head 64 at a time.  Scores and
 * probabilities are ragged as kernel.h says, in memory, so sentences may have
 * any length.  Masks of dropout are computed again in backward.  Where the
 * future is hidden, tiles that nobody sees are left out.
 *
 * kernels/cuda/attention.cu
 */
#include "kernels/cuda/mask.h"
#include "kernels/cuda/reduce.h"

#define WARPS		4
#define OWN			4			/* rows of a warp */
#define ROWS		(WARPS * OWN)	/* of a block */
#define TILE		32			/* rows that pass by together: one a lane */
#define CHUNK		64			/* columns at a time: two a lane */
#define PITCH		(CHUNK + 1)	/* of a row in shared memory: lanes meet no bank twice */
#define THREADS		dim3(RN_WARP, WARPS)

/* As RnAttentionArgs, in the kernels' numbers and with integers on the device. */
typedef struct Attention
{
	const int32_t *query_offsets;
	const int32_t *key_offsets;
	const uint32_t *row_ids;
	int			tiles;			/* blocks of a sentence and head */
	int			heads;
	int			size;
	int			causal;
	rn_real		scale;
	rn_real		inverse_divisor;
	Mask		mask;

	const rn_real *q;
	const rn_real *k;
	const rn_real *v;
	int			ldq;
	int			ldk;
	int			ldv;
	const rn_real *scores_in;
	rn_real    *scores_out;
	rn_real    *p;				/* ragged */
	rn_real    *output;

	const rn_real *doutput;
	const rn_real *dscores_out;
	rn_real    *dscores_in;
	rn_real    *da;				/* ragged, scratch */
	rn_real    *dq;
	rn_real    *dk;
	rn_real    *dv;
	int			lddq;
	int			lddk;
	int			lddv;
	int			accumulate_q;
	int			accumulate_kv;
} Attention;

/* What a block works on. */
typedef struct Head
{
	int			number;
	int			column;			/* first of its columns */
	int			n;				/* queries */
	int			m;				/* keys */
	int			stride;			/* of a row of scores */
	int			first;			/* of the block's own rows, in the sentence */
	size_t		query;			/* first query row */
	size_t		key;
	size_t		scores;			/* where its scores begin */
} Head;

/* Rows in memory. */
typedef struct Matrix
{
	const rn_real *x;
	int			ld;
	int			rows;
} Matrix;

/* rn_attention_stride, for the device */
static __device__ __forceinline__ int
row_stride(int n_keys)
{
	return (n_keys + 15) & ~15;
}

static __device__ __forceinline__ Head
head_of(const Attention &a, unsigned long long *shared)
{
	const int	sentence = blockIdx.x / a.tiles;
	unsigned long long before = 0;
	Head		head;
	int			s;

	for (s = threadIdx.y * RN_WARP + threadIdx.x; s < sentence; s += WARPS * RN_WARP)
		before += (unsigned long long) (a.query_offsets[s + 1] - a.query_offsets[s]) *
			row_stride(a.key_offsets[s + 1] - a.key_offsets[s]);
	before = warp_sum(before);
	if (threadIdx.x == 0)
		shared[threadIdx.y] = before;
	__syncthreads();
	before = shared[0] + shared[1] + shared[2] + shared[3];
	head.number = blockIdx.y;
	head.column = head.number * a.size;
	head.query = (size_t) a.query_offsets[sentence];
	head.key = (size_t) a.key_offsets[sentence];
	head.n = a.query_offsets[sentence + 1] - a.query_offsets[sentence];
	head.m = a.key_offsets[sentence + 1] - a.key_offsets[sentence];
	head.stride = row_stride(head.m);
	head.first = blockIdx.x % a.tiles * ROWS;
	head.scores = (size_t) before * a.heads + (size_t) head.number * head.n * head.stride;
	return head;
}

/* Dropout's factor of query i and key j. */
static __device__ __forceinline__ rn_real
factor_of(const Attention &a, const Head &head, int i, int j)
{
	return mask_element(a.mask, a.mask.site + ((uint32_t) head.number << 16), a.row_ids[head.query],
						(uint32_t) i * (uint32_t) head.m + (uint32_t) j);
}

/* Rows first .. first + n - 1 and a chunk of columns into shared memory; zeros beyond the matrix. */
static __device__ __forceinline__ void
load_tile(const Matrix &x, int first, int n, int column, int size, rn_real *tile)
{
	int			r;
	int			c;

	for (r = threadIdx.y; r < n; r += WARPS)
		for (c = threadIdx.x; c < CHUNK; c += RN_WARP)
			tile[r * PITCH + c] = first + r < x.rows && column + c < size ?
				x.x[(size_t) (first + r) * x.ld + column + c] : 0;
}

/* sums[o] = row o of the warp's own x times the lane's row of the tile of y that begins at first. */
static __device__ __forceinline__ void
tile_products(const Matrix &x, int own, const Matrix &y, int first, int size, rn_real *x_tile, rn_real *y_tile, rn_real sums[OWN])
{
	int			column;
	int			c;
	int			o;

	RN_UNROLL
	for (o = 0; o < OWN; o++)
		sums[o] = 0;
	for (column = 0; column < size; column += CHUNK)
	{
		const int	columns = size - column < CHUNK ? size - column : CHUNK;

		__syncthreads();
		load_tile(x, own, ROWS, column, size, x_tile);
		load_tile(y, first, TILE, column, size, y_tile);
		__syncthreads();
		for (c = 0; c < columns; c++)
		{
			const rn_real at = y_tile[threadIdx.x * PITCH + c];

			RN_UNROLL
			for (o = 0; o < OWN; o++)
				sums[o] += x_tile[(threadIdx.y * OWN + o) * PITCH + c] * at;
		}
	}
}

/*
 * sums[o][.] += weights of the warp's row o times a tile of x: the lane has
 * columns lane and lane + 32 of the chunk in the tile.
 */
static __device__ __forceinline__ void
weigh_tile(const rn_real *weights, const rn_real *x_tile, int n, rn_real sums[OWN][2])
{
	int			t;
	int			o;

	for (t = 0; t < n; t++)
	{
		const rn_real low = x_tile[t * PITCH + threadIdx.x];
		const rn_real high = x_tile[t * PITCH + RN_WARP + threadIdx.x];

		RN_UNROLL
		for (o = 0; o < OWN; o++)
		{
			const rn_real w = weights[(threadIdx.y * OWN + o) * TILE + t];

			sums[o][0] += w * low;
			sums[o][1] += w * high;
		}
	}
}

/* The warp's rows of a result, a chunk of columns. */
static __device__ __forceinline__ void
store_rows(rn_real *y, int ld, int own, int rows, int column, int size, rn_real scale, rn_real sums[OWN][2], int accumulate)
{
	int			o;
	int			half;

	RN_UNROLL
	for (o = 0; o < OWN; o++)
	{
		const int	row = own + threadIdx.y * OWN + o;

		RN_UNROLL
		for (half = 0; half < 2; half++)
		{
			const int	c = column + half * RN_WARP + threadIdx.x;

			if (row < rows && c < size)
				put(&y[(size_t) row * ld + c], scale * sums[o][half], accumulate);
		}
	}
}

/* How many keys a block of queries sees at most. */
static __device__ __forceinline__ int
keys_seen(const Head &head, int hidden)
{
	const int	last = head.first + ROWS;

	return hidden && last < head.m ? last : head.m;
}

static __device__ __forceinline__ int
keys_of_query(const Attention &a, const Head &head, int i)
{
	return a.causal && i + 1 < head.m ? i + 1 : head.m;
}

/*
 * y (+)= scale W X for the block's queries, W ragged at w, times dropout's
 * factors where masked, X a row for each key.
 */
static __device__ __forceinline__ void
query_result(const Attention &a, const Head &head, const rn_real *w, int masked, const Matrix &x, int seen, rn_real scale,
			 rn_real *y, int ldy, int accumulate, rn_real *weights, rn_real *x_tile)
{
	int			column;
	int			first;
	int			o;

	for (column = 0; column < a.size; column += CHUNK)
	{
		rn_real		sums[OWN][2] = {{0}};

		for (first = 0; first < seen; first += TILE)
		{
			const int	j = first + threadIdx.x;

			__syncthreads();
			RN_UNROLL
			for (o = 0; o < OWN; o++)
			{
				const int	i = head.first + threadIdx.y * OWN + o;
				rn_real		weight = 0;

				if (i < head.n && j < seen)
				{
					weight = w[head.scores + (size_t) i * head.stride + j];
					if (masked && weight != 0)
						weight *= factor_of(a, head, i, j);
				}
				weights[(threadIdx.y * OWN + o) * TILE + threadIdx.x] = weight;
			}
			load_tile(x, first, TILE, column, a.size, x_tile);
			__syncthreads();
			weigh_tile(weights, x_tile, seen - first < TILE ? seen - first : TILE, sums);
		}
		store_rows(y, ldy, head.first, head.n, column, a.size, scale, sums, accumulate);
	}
}

/* ---- forward ---- */

/* A = Q K^T scale + scores_in of the block's queries, as far as somebody sees it. */
static __device__ __forceinline__ void
query_scores(const Attention &a, const Head &head, int seen, rn_real *x_tile, rn_real *y_tile)
{
	const Matrix q = {a.q + head.query * a.ldq + head.column, a.ldq, head.n};
	const Matrix k = {a.k + head.key * a.ldk + head.column, a.ldk, head.m};
	int			first;
	int			o;

	for (first = 0; first < seen; first += TILE)
	{
		const int	j = first + threadIdx.x;
		rn_real		sums[OWN];

		tile_products(q, head.first, k, first, a.size, x_tile, y_tile, sums);
		RN_UNROLL
		for (o = 0; o < OWN; o++)
		{
			const int	i = head.first + threadIdx.y * OWN + o;
			const size_t at = head.scores + (size_t) i * head.stride + j;
			rn_real		score = 0;

			if (i >= head.n || j >= head.stride)
				continue;
			if (j < head.m)
				score = a.scale * sums[o] + (a.scores_in != NULL ? a.scores_in[at] : 0);
			if (a.scores_out != NULL)
				a.scores_out[at] = score;
			a.p[at] = score;
		}
	}
}

/* P of one query from its scores, which the same lane wrote. */
static __device__ __forceinline__ void
softmax_row(rn_real *row, int seen, int stride, rn_real inverse_divisor)
{
	rn_real		maximum = -INFINITY;
	rn_real		sum = 0;
	rn_real		inverse;
	int			j;

	for (j = threadIdx.x; j < seen; j += RN_WARP)
		maximum = row[j] > maximum ? row[j] : maximum;
	maximum = warp_maximum(maximum);
	for (j = threadIdx.x; j < seen; j += RN_WARP)
	{
		const rn_real e = exp((row[j] - maximum) * inverse_divisor);

		sum += e;
		row[j] = e;
	}
	inverse = 1 / warp_sum(sum);
	for (j = threadIdx.x; j < stride; j += RN_WARP)
		row[j] = j < seen ? row[j] * inverse : 0;
}

static __global__ void
__launch_bounds__(RN_WARP * WARPS, 3) attention_forward_kernel(Attention a)
{
	RN_SHARED(rn_real, x_tile, ROWS * PITCH);
	RN_SHARED(rn_real, y_tile, TILE * PITCH);
	RN_SHARED(rn_real, weights, ROWS * TILE);
	RN_SHARED(unsigned long long, shared, WARPS);
	const Head	head = head_of(a, shared);
	const Matrix v = {a.v + head.key * a.ldv + head.column, a.ldv, head.m};
	const int	width = a.heads * a.size;
	int			o;

	if (head.first >= head.n)
		return;
	/* scores that are handed on are handed on whole */
	query_scores(a, head, keys_seen(head, a.causal && a.scores_out == NULL), x_tile, y_tile);
	for (o = 0; o < OWN; o++)
	{
		const int	i = head.first + threadIdx.y * OWN + o;

		if (i < head.n)
			softmax_row(a.p + head.scores + (size_t) i * head.stride, keys_of_query(a, head, i), head.stride,
						a.inverse_divisor);
	}
	query_result(a, head, a.p, a.mask.on, v, keys_seen(head, a.causal), 1, a.output + head.query * width + head.column, width,
				 0, weights, y_tile);
}

/* What forward and backward have in common; 0: nothing to do, or no memory.  Gives the longest sentences. */
static int
attention_of(RnLane *lane, const RnAttentionArgs *args, Attention *a, int *most_queries, int *most_keys)
{
	const RnPacked *queries = args->queries;
	const RnPacked *keys = args->keys;
	int			s;

	memset((void *) a, 0, sizeof(*a));
	*most_queries = *most_keys = 0;
	for (s = 0; s < queries->n_sentences; s++)
	{
		const int	n = queries->offsets[s + 1] - queries->offsets[s];
		const int	m = keys->offsets[s + 1] - keys->offsets[s];

		*most_queries = n > *most_queries ? n : *most_queries;
		*most_keys = m > *most_keys ? m : *most_keys;
	}
	a->heads = args->heads;
	a->size = args->head_size;
	a->causal = args->causal;
	a->scale = (rn_real) args->scale;
	a->inverse_divisor = (rn_real) (1.0 / args->score_divisor);
	a->mask = mask_of(lane, &args->dropout);
	a->q = args->q;
	a->k = args->k;
	a->v = args->v;
	a->ldq = args->ldq;
	a->ldk = args->ldk;
	a->ldv = args->ldv;
	a->scores_in = args->scores_in;
	a->scores_out = args->scores_out;
	a->p = args->probabilities;
	a->output = args->output;
	a->query_offsets = rn_lane_integers(lane, queries->offsets, (size_t) queries->n_sentences + 1);
	a->key_offsets = rn_lane_integers(lane, keys->offsets, (size_t) keys->n_sentences + 1);
	a->row_ids = NULL;
	if (a->mask.on)
		a->row_ids = (const uint32_t *) rn_lane_upload(lane, queries->row_ids, (size_t) queries->rows * sizeof(uint32_t));
	return queries->n_sentences > 0 && a->query_offsets != NULL && a->key_offsets != NULL &&
		(!a->mask.on || (a->row_ids != NULL && a->mask.step != NULL));
}

void
rn_cuda_attention_forward(RnLane *lane, const RnAttentionArgs *args)
{
	Attention	a;
	int			most_queries;
	int			most_keys;

	if (!attention_of(lane, args, &a, &most_queries, &most_keys) || most_queries == 0)
		return;
	if (a.p == NULL)
		a.p = (rn_real *) rn_lane_scratch(lane, (rn_attention_size(args->queries, args->keys, args->heads) + 1) *
										  sizeof(rn_real));
	if (a.p == NULL)
		return;
	a.tiles = (int) rn_blocks((size_t) most_queries, ROWS);
	RN_QUEUE(lane, attention_forward_kernel, dim3((unsigned) (a.tiles * args->queries->n_sentences), (unsigned) a.heads), THREADS, 0, a);
}

/* ---- backward ---- */

/*
 *		dP = mask (dO V^T)
 *		dA = P (dP - sum P dP) / divisor + dscores_out,  dscores_in = dA
 */
static __device__ __forceinline__ void
query_gradients(const Attention &a, const Head &head, rn_real *x_tile, rn_real *y_tile)
{
	const int	width = a.heads * a.size;
	const int	seen = keys_seen(head, a.causal);
	const Matrix d = {a.doutput + head.query * width + head.column, width, head.n};
	const Matrix v = {a.v + head.key * a.ldv + head.column, a.ldv, head.m};
	rn_real		means[OWN] = {0};
	int			first;
	int			j;
	int			o;

	for (first = 0; first < seen; first += TILE)
	{
		rn_real		sums[OWN];

		tile_products(d, head.first, v, first, a.size, x_tile, y_tile, sums);
		j = first + threadIdx.x;
		RN_UNROLL
		for (o = 0; o < OWN; o++)
		{
			const int	i = head.first + threadIdx.y * OWN + o;
			const size_t at = head.scores + (size_t) i * head.stride + j;

			if (i >= head.n || j >= keys_of_query(a, head, i))
				continue;
			if (a.mask.on)
				sums[o] *= factor_of(a, head, i, j);
			a.da[at] = sums[o];
			means[o] += a.p[at] * sums[o];
		}
	}
	RN_UNROLL
	for (o = 0; o < OWN; o++)
	{
		const int	i = head.first + threadIdx.y * OWN + o;
		const size_t row = head.scores + (size_t) i * head.stride;
		const rn_real mean = warp_sum(means[o]);

		for (j = threadIdx.x; i < head.n && j < head.stride; j += RN_WARP)
		{
			rn_real		g = 0;

			if (j < keys_of_query(a, head, i))
				g = a.p[row + j] * (a.da[row + j] - mean) * a.inverse_divisor;
			if (a.dscores_out != NULL && j < head.m)
				g += a.dscores_out[row + j];
			a.da[row + j] = g;
			if (a.dscores_in != NULL)
				a.dscores_in[row + j] = g;
		}
	}
}

/* dA, and dQ = dA K scale. */
static __global__ void
__launch_bounds__(RN_WARP * WARPS, 4) attention_query_kernel(Attention a)
{
	RN_SHARED(rn_real, x_tile, ROWS * PITCH);
	RN_SHARED(rn_real, y_tile, TILE * PITCH);
	RN_SHARED(rn_real, weights, ROWS * TILE);
	RN_SHARED(unsigned long long, shared, WARPS);
	const Head	head = head_of(a, shared);
	const Matrix k = {a.k + head.key * a.ldk + head.column, a.ldk, head.m};

	if (head.first >= head.n)
		return;
	query_gradients(a, head, x_tile, y_tile);
	/* the layer above saw all of A */
	if (a.dq != NULL)
		query_result(a, head, a.da, 0, k, keys_seen(head, a.causal && a.dscores_out == NULL), a.scale,
					 a.dq + head.query * a.lddq + head.column, a.lddq, a.accumulate_q, weights, y_tile);
}

/* y (+)= scale W^T X for the block's keys, W and masked as in query_result, X a row for each query. */
static __device__ __forceinline__ void
key_result(const Attention &a, const Head &head, const rn_real *w, int masked, int hidden, const Matrix &x, rn_real scale,
		   rn_real *y, int ldy, rn_real *weights, rn_real *x_tile)
{
	const int	start = hidden ? head.first / TILE * TILE : 0;
	int			column;
	int			first;
	int			t;

	for (column = 0; column < a.size; column += CHUNK)
	{
		rn_real		sums[OWN][2] = {{0}};

		for (first = start; first < head.n; first += TILE)
		{
			__syncthreads();
			for (t = threadIdx.y * RN_WARP + threadIdx.x; t < ROWS * TILE; t += RN_WARP * WARPS)
			{
				const int	own = t % ROWS;
				const int	i = first + t / ROWS;
				const int	j = head.first + own;
				rn_real		weight = 0;

				if (i < head.n && j < head.m)
				{
					weight = w[head.scores + (size_t) i * head.stride + j];
					if (masked && weight != 0)
						weight *= factor_of(a, head, i, j);
				}
				weights[own * TILE + t / ROWS] = weight;
			}
			load_tile(x, first, TILE, column, a.size, x_tile);
			__syncthreads();
			weigh_tile(weights, x_tile, head.n - first < TILE ? head.n - first : TILE, sums);
		}
		store_rows(y, ldy, head.first, head.m, column, a.size, scale, sums, a.accumulate_kv);
	}
}

/* dV = dropout(P)^T dO, dK = dA^T Q scale. */
static __global__ void
__launch_bounds__(RN_WARP * WARPS, 4) attention_key_kernel(Attention a)
{
	RN_SHARED(rn_real, x_tile, TILE * PITCH);
	RN_SHARED(rn_real, weights, ROWS * TILE);
	RN_SHARED(unsigned long long, shared, WARPS);
	const Head	head = head_of(a, shared);
	const int	width = a.heads * a.size;
	const Matrix d = {a.doutput + head.query * width + head.column, width, head.n};
	const Matrix q = {a.q + head.query * a.ldq + head.column, a.ldq, head.n};

	if (head.first >= head.m)
		return;
	if (a.dv != NULL)
		key_result(a, head, a.p, a.mask.on, a.causal, d, 1, a.dv + head.key * a.lddv + head.column, a.lddv, weights, x_tile);
	if (a.dk != NULL)
		key_result(a, head, a.da, 0, a.causal && a.dscores_out == NULL, q, a.scale,
				   a.dk + head.key * a.lddk + head.column, a.lddk, weights, x_tile);
}

void
rn_cuda_attention_backward(RnLane *lane, const RnAttentionArgs *args)
{
	const int	n_sentences = args->queries->n_sentences;
	Attention	a;
	int			most_queries;
	int			most_keys;

	if (!attention_of(lane, args, &a, &most_queries, &most_keys))
		return;
	a.doutput = args->doutput;
	a.dscores_out = args->dscores_out;
	a.dscores_in = args->dscores_in;
	a.dq = args->dq;
	a.dk = args->dk;
	a.dv = args->dv;
	a.lddq = args->lddq;
	a.lddk = args->lddk;
	a.lddv = args->lddv;
	a.accumulate_q = args->accumulate_q;
	a.accumulate_kv = args->accumulate_kv;
	a.da = (rn_real *) rn_lane_scratch(lane, (rn_attention_size(args->queries, args->keys, args->heads) + 1) *
									   sizeof(rn_real));
	if (a.da == NULL)
		return;
	a.tiles = (int) rn_blocks((size_t) most_queries, ROWS);
	if (a.tiles > 0)
		RN_QUEUE(lane, attention_query_kernel, dim3((unsigned) (a.tiles * n_sentences), (unsigned) a.heads), THREADS, 0, a);
	a.tiles = (int) rn_blocks((size_t) most_keys, ROWS);
	if (a.tiles > 0)
		RN_QUEUE(lane, attention_key_kernel, dim3((unsigned) (a.tiles * n_sentences), (unsigned) a.heads), THREADS, 0, a);
}
