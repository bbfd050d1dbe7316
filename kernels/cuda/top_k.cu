/*
 * top_k.cu
 *		The best of each row of logits.
 *
 * A block has a row and looks through it once for each place: the best of
 * those that come after the one found last, by value, then by number.
 *
 * kernels/cuda/top_k.cu
 */
#include "kernels/cuda/reduce.h"

#define THREADS		256			/* of a block, at most */

/* An entry of a row; of equal ones that with the lower id comes first. */
typedef struct Candidate
{
	rn_real		value;
	int			id;				/* INT_MAX: none */
} Candidate;

static __device__ __forceinline__ int
comes_before(rn_real a, int a_id, rn_real b, int b_id)
{
	return a > b || (a == b && a_id < b_id);
}

/* The first of the block's candidates; shared: room for 32. */
static __device__ __forceinline__ Candidate
block_first(Candidate best, Candidate *shared)
{
	int			w;
	int			o;

	for (o = RN_WARP / 2; o > 0; o >>= 1)
	{
		const rn_real value = __shfl_xor_sync(RN_ALL_LANES, best.value, o);
		const int	id = __shfl_xor_sync(RN_ALL_LANES, best.id, o);

		if (comes_before(value, id, best.value, best.id))
		{
			best.value = value;
			best.id = id;
		}
	}
	if (threadIdx.x % RN_WARP == 0)
		shared[threadIdx.x / RN_WARP] = best;
	__syncthreads();
	for (w = 0; w < (int) (blockDim.x / RN_WARP); w++)
		if (comes_before(shared[w].value, shared[w].id, best.value, best.id))
			best = shared[w];
	__syncthreads();
	return best;
}

static __device__ __forceinline__ int
is_banned(const int32_t *banned, int n_banned, int id)
{
	int			i;

	for (i = 0; i < n_banned; i++)
		if (banned[i] == id)
			return 1;
	return 0;
}

static __global__ void
__launch_bounds__(THREADS) top_k_kernel(int cols, const rn_real *all_logits, int k, const int32_t *banned, int n_banned, int32_t *ids, rn_real *scores)
{
	RN_SHARED(double, sums, RN_WARP);
	RN_SHARED(Candidate, shared, RN_WARP);
	const rn_real *logits = all_logits + (size_t) blockIdx.x * cols;
	const int	none = 0x7fffffff;
	Candidate	last = {(rn_real) INFINITY, -1};
	rn_real		maximum = 0;
	double		sum = 0.0;
	double		lse;
	int			place;
	int			j;

	/* the largest, banned or not, for the normalisation */
	Candidate	largest = {(rn_real) -INFINITY, none};

	for (j = threadIdx.x; j < cols; j += blockDim.x)
		if (comes_before(logits[j], j, largest.value, largest.id))
		{
			largest.value = logits[j];
			largest.id = j;
		}
	maximum = block_first(largest, shared).value;
	for (j = threadIdx.x; j < cols; j += blockDim.x)
		sum += exp(logits[j] - maximum);
	lse = maximum + log(block_sum(sum, sums));

	for (place = 0; place < k; place++)
	{
		Candidate	best = {(rn_real) -INFINITY, none};

		for (j = threadIdx.x; j < cols; j += blockDim.x)
			if (comes_before(logits[j], j, best.value, best.id) && comes_before(last.value, last.id, logits[j], j) &&
				!is_banned(banned, n_banned, j))
			{
				best.value = logits[j];
				best.id = j;
			}
		best = block_first(best, shared);
		if (threadIdx.x == 0)
		{
			const size_t at = (size_t) blockIdx.x * k + place;

			/* not a number: whoever looks at the score sees it */
			ids[at] = best.id != none ? best.id : -1;
			scores[at] = lse != lse ? (rn_real) lse : best.id != none ? (rn_real) (best.value - lse) : (rn_real) -INFINITY;
		}
		last = best;
	}
}

void
rn_cuda_top_k(RnLane *lane, int rows, int cols, const rn_real *logits, int k, const int32_t *banned, int32_t *ids,
			  rn_real *scores)
{
	const size_t n = (size_t) rows * k;
	const int32_t *banned_device = NULL;
	int32_t    *device_ids;
	rn_real    *device_scores;
	int			n_banned = 0;

	if (rows <= 0 || cols <= 0 || k <= 0)
		return;
	while (banned != NULL && banned[n_banned] >= 0)
		n_banned++;
	if (n_banned > 0)
	{
		banned_device = rn_lane_integers(lane, banned, (size_t) n_banned);
		if (banned_device == NULL)
			return;
	}
	device_ids = (int32_t *) rn_lane_result(lane, ids, n * sizeof(int32_t));
	device_scores = (rn_real *) rn_lane_result(lane, scores, n * sizeof(rn_real));
	if (device_ids == NULL || device_scores == NULL)
		return;
	RN_QUEUE(lane, top_k_kernel, (unsigned) rows, rn_row_threads(cols, THREADS), 0, cols, logits, k, banned_device, n_banned,
			  device_ids, device_scores);
}
