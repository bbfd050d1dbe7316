/*
 * decode.cu
 *		Attention of one decoding step: one query a row, over cached keys.
 *
 * A block has a row and a head.  A thread has a key while scores are made, a
 * column while values are added up.
 *
 * kernels/cuda/decode.cu
 */
#include "kernels/cuda/reduce.h"

#define THREADS		128

/* As RnAttentionStepArgs, with integers on the device. */
typedef struct Step
{
	int			heads;
	int			size;
	rn_real		scale;
	rn_real		inverse_divisor;
	const int32_t *first;
	const int32_t *count;
	const int32_t *list;
	const rn_real *q;
	int			ldq;
	const rn_real *k;
	int			ldk;
	const rn_real *v;
	int			ldv;
	const rn_real *scores_in;
	rn_real    *scores_out;
	rn_real    *probabilities;
	int			score_stride;
	rn_real    *output;
	int			longest;		/* largest count */
	rn_real    *scores;			/* [rows][heads][longest], or NULL: shared */
} Step;

static __device__ __forceinline__ size_t
cache_row(const Step &s, int first, int j)
{
	return (size_t) (s.list != NULL ? s.list[first + j] : first + j);
}

/* Scores of the thread's keys; the largest of them. */
static __device__ __forceinline__ rn_real
step_scores(const Step &s, int first, int count, size_t kept, rn_real *scores)
{
	const rn_real *q = s.q + (size_t) blockIdx.x * s.ldq + blockIdx.y * s.size;
	rn_real		maximum = -INFINITY;
	int			j;
	int			c;

	for (j = threadIdx.x; j < count; j += THREADS)
	{
		const rn_real *k = s.k + cache_row(s, first, j) * s.ldk + blockIdx.y * s.size;
		rn_real		parts[4] = {0, 0, 0, 0};	/* that do not wait for one another */
		rn_real		sum;

		for (c = 0; c + 4 <= s.size; c += 4)
		{
			parts[0] += q[c] * k[c];
			parts[1] += q[c + 1] * k[c + 1];
			parts[2] += q[c + 2] * k[c + 2];
			parts[3] += q[c + 3] * k[c + 3];
		}
		for (; c < s.size; c++)
			parts[0] += q[c] * k[c];
		sum = s.scale * ((parts[0] + parts[1]) + (parts[2] + parts[3]));
		if (s.scores_in != NULL)
			sum += s.scores_in[kept + j];
		if (s.scores_out != NULL)
			s.scores_out[kept + j] = sum;
		scores[j] = sum;
		maximum = sum > maximum ? sum : maximum;
	}
	return maximum;
}

static __global__ void
__launch_bounds__(THREADS) attention_step_kernel(Step s)
{
	RN_DYN_SHARED(rn_real, dynamic);
	RN_SHARED(rn_real, shared, RN_WARP);
	const size_t row_head = (size_t) blockIdx.x * s.heads + blockIdx.y;
	const size_t kept = row_head * s.score_stride;
	const int	first = s.first[blockIdx.x];
	const int	count = s.count[blockIdx.x];
	rn_real    *scores = s.scores != NULL ? s.scores + row_head * s.longest : dynamic;
	rn_real    *output = s.output + row_head * s.size;
	rn_real		maximum;
	rn_real		sum = 0;
	int			j;
	int			c;

	maximum = block_maximum(step_scores(s, first, count, kept, scores), shared);
	for (j = threadIdx.x; j < count; j += THREADS)
	{
		const rn_real e = exp((scores[j] - maximum) * s.inverse_divisor);

		sum += e;
		scores[j] = e;
	}
	sum = 1 / block_sum(sum, shared);
	for (j = threadIdx.x; s.probabilities != NULL && j < count; j += THREADS)
		s.probabilities[kept + j] = scores[j] * sum;
	for (c = threadIdx.x; c < s.size; c += THREADS)
	{
		const rn_real *v = s.v + blockIdx.y * s.size + c;
		rn_real		total = 0;

		for (j = 0; j < count; j++)
			total += scores[j] * v[cache_row(s, first, j) * s.ldv];
		output[c] = total * sum;
	}
}

void
rn_cuda_attention_step(RnLane *lane, const RnAttentionStepArgs *args)
{
	const size_t rows = (size_t) args->rows;
	size_t		listed = 0;
	size_t		shared;
	Step		s;
	int			r;

	memset((void *) &s, 0, sizeof(s));
	for (r = 0; r < args->rows; r++)
	{
		const size_t end = (size_t) args->first[r] + args->count[r];

		s.longest = args->count[r] > s.longest ? args->count[r] : s.longest;
		listed = end > listed ? end : listed;
	}
	if (args->rows <= 0 || args->heads <= 0 || args->head_size <= 0)
		return;
	s.heads = args->heads;
	s.size = args->head_size;
	s.scale = (rn_real) args->scale;
	s.inverse_divisor = (rn_real) (1.0 / args->score_divisor);
	s.first = rn_lane_integers(lane, args->first, rows);
	s.count = rn_lane_integers(lane, args->count, rows);
	s.list = args->list != NULL ? rn_lane_integers(lane, args->list, listed) : NULL;
	s.q = args->q;
	s.ldq = args->ldq;
	s.k = args->k;
	s.ldk = args->ldk;
	s.v = args->v;
	s.ldv = args->ldv;
	s.scores_in = args->scores_in;
	s.scores_out = args->scores_out;
	s.probabilities = args->probabilities;
	s.score_stride = args->score_stride;
	s.output = args->output;
	shared = (size_t) s.longest * sizeof(rn_real);
	s.scores = NULL;
	if (shared > RN_SHARED_MOST - 1024)
	{
		s.scores = (rn_real *) rn_lane_scratch(lane, rows * args->heads * shared);
		shared = 0;
		if (s.scores == NULL)
			return;
	}
	if (s.first == NULL || s.count == NULL || (args->list != NULL && s.list == NULL))
		return;
	RN_QUEUE(lane, attention_step_kernel, dim3((unsigned) rows, (unsigned) s.heads), THREADS, shared, s);
}
