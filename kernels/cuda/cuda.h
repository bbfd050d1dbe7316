/*
 * cuda.h
 *		What the CUDA device's kernels share on the host.
 *
 * A lane is one stream and what its kernels need beside the caller's memory:
 * scratch that grows, copies of the caller's arrays of integers, and places
 * where results wait that belong to the host.  Kernels note what went wrong
 * in the lane; synchronize tells it.
 *
 * Sums have a fixed order that depends on shapes alone, not on the GPU: no
 * kernel adds floating-point numbers atomically.
 *
 * kernels/cuda/cuda.h
 */
#ifndef RN_CUDA_H
#define RN_CUDA_H

#include "kernels/cuda/language.h"
#include "kernels/cuda/queue.h"

extern "C"
{
#include "kernels/device.h"
}

/* Threads of a warp, and of a block where a warp has a row. */
#define RN_WARP			32
#define RN_ROW_WARPS	4

/* The most dynamic shared memory that needs no asking, on every GPU. */
#define RN_SHARED_MOST	((size_t) 48 * 1024)

struct RnMirror;
struct RnStaging;

struct RnLane
{
	cudaStream_t stream;		/* use rn_lane_stream */
	char	   *scratch;		/* device */
	size_t		scratch_size;
	struct RnMirror *uploads;	/* the host's arrays */
	struct RnMirror *results;	/* what the host waits for */
	struct RnStaging *staging;	/* pinned memory for copies */
	uint32_t	number;			/* the last one asked for */
	struct RnQueue *queue;		/* commands not yet done; NULL before the lane first gathers */
	size_t		refused;		/* bytes that could not be had; told by synchronize, once */
	cudaError_t failed;			/* the first error; told by synchronize from then on */
	const char *failed_at;		/* what was being done */
};

/* device.cu: the device that this process opened is the calling thread's too. */
extern void rn_cuda_bind(void);

static inline cudaStream_t
rn_lane_stream(RnLane *lane)
{
	static thread_local bool bound;

	if (!bound)
		rn_cuda_bind();
	bound = true;
	return lane->stream;
}

/* lane.cu: note the error that a call of the run time gave; true when it gave none. */
extern bool rn_cuda_ok(RnLane *lane, cudaError_t error, const char *what);

/* At least bytes of device memory, valid until the next call; NULL: the kernel does nothing and synchronize tells. */
extern void *rn_lane_scratch(RnLane *lane, size_t bytes);

/*
 * mirror.cu: the device's copy of an array in host memory, as it is now.  An
 * array that has not changed since it was last asked for is not copied again.
 * Valid until the lane is next synchronized or looked at; NULL as above.
 */
extern const void *rn_lane_upload(RnLane *lane, const void *host, size_t bytes);

static inline const int32_t *
rn_lane_integers(RnLane *lane, const int32_t *host, size_t n)
{
	return (const int32_t *) rn_lane_upload(lane, host, n * sizeof(int32_t));
}

/* One number, for kernels whose launches must not depend on it. */
extern const uint32_t *rn_lane_number(RnLane *lane, uint32_t number);

/* mirror.cu: device memory for a result that synchronize brings to the host; NULL as above. */
extern void *rn_lane_result(RnLane *lane, void *host, size_t bytes);

/* mirror.cu: for queue.cu.  A list that begins; the arrays of one that is handed over. */
extern void rn_lane_uploads_turn(RnLane *lane);
extern void rn_lane_uploads_send(RnLane *lane);

/* mirror.cu: for lane.cu. */
extern cudaError_t rn_lane_mirrors_create(RnLane *lane);
extern bool rn_lane_uploads_abound(const RnLane *lane);
extern void rn_lane_uploads_settled(RnLane *lane);
extern void rn_lane_results_fetch(RnLane *lane);
extern void rn_lane_results_deliver(RnLane *lane, bool arrived);
extern void rn_mirror_free(struct RnMirror *mirror);

/* What a lane's uploads and results take on the device, at most. */
extern size_t rn_mirrors_most(const RnWork *work);

/* Blocks of so many things each. */
static inline unsigned
rn_blocks(size_t n, size_t each)
{
	return (unsigned) ((n + each - 1) / each);
}

/* Threads of a block that has a row: whole warps, four columns a thread at least, where there are many. */
static inline unsigned
rn_row_threads(int cols, unsigned most)
{
	const unsigned threads = rn_blocks((size_t) cols, 4 * RN_WARP) * RN_WARP;

	return threads < most ? threads : most;
}

/* lane.cu */
extern RnStatus rn_cuda_lane_create(RnContext *ctx, RnLane **lane);
extern void rn_cuda_lane_free(RnLane *lane);
extern size_t rn_cuda_lane_bytes(const RnWork *work);
extern RnStatus rn_cuda_lane_reserve(RnContext *ctx, RnLane *lane, const RnWork *work);
extern RnStatus rn_cuda_reserve(RnContext *ctx, size_t bytes);
extern RnStatus rn_cuda_allocate(RnContext *ctx, size_t bytes, void **memory);
extern void rn_cuda_release(void *memory, size_t bytes);
extern void rn_cuda_copy_in(RnLane *lane, void *device, const void *host, size_t bytes);
extern void rn_cuda_copy_out(RnLane *lane, void *host, const void *device, size_t bytes);
extern void rn_cuda_copy(RnLane *lane, void *to, const void *from, size_t bytes);
extern void rn_cuda_zero(RnLane *lane, void *memory, size_t bytes);
extern RnStatus rn_cuda_synchronize(RnContext *ctx, RnLane *lane);
extern RnStatus rn_cuda_look(RnContext *ctx, RnLane *lane);
extern void rn_cuda_note_begin(RnLane *lane);
extern void rn_cuda_note_end(RnLane *lane);

/* one file each: product, sum, pointwise, norm, embed, attention, decode, loss, gather, top_k, adam */
extern void rn_cuda_product(RnLane *lane, int transpose_a, int transpose_b, int m, int n, int k,
							double alpha, const rn_real *a, int lda, const rn_real *b, int ldb,
							double beta, rn_real *c, int ldc);
extern void rn_cuda_round(RnLane *lane, size_t n, const rn_real *x, void *rounded);
extern void rn_cuda_rounded_product(RnLane *lane, int transpose_a, int transpose_b, int m, int n, int k,
									double alpha, const void *a, int lda, const void *b, int ldb,
									const rn_real *bias, double beta, rn_real *c, int ldc);
extern void rn_cuda_linear_forward(RnLane *lane, int rows, int out, int in, const rn_real *x, const rn_real *weight,
								   const rn_real *bias, rn_real *y);
extern void rn_cuda_bias_backward(RnLane *lane, int rows, int cols, const rn_real *dy, int lddy, rn_real *dbias);
extern void rn_cuda_activation_forward(RnLane *lane, const RnActivationArgs *args);
extern void rn_cuda_activation_backward(RnLane *lane, const RnActivationArgs *args);
extern void rn_cuda_residual_forward(RnLane *lane, const RnResidualArgs *args);
extern void rn_cuda_residual_backward(RnLane *lane, const RnResidualArgs *args);
extern void rn_cuda_norm_forward(RnLane *lane, const RnNormArgs *args);
extern void rn_cuda_norm_backward(RnLane *lane, const RnNormArgs *args);
extern void rn_cuda_embedding_forward(RnLane *lane, const RnEmbeddingArgs *args);
extern void rn_cuda_embedding_backward(RnLane *lane, const RnEmbeddingArgs *args);
extern void rn_cuda_attention_forward(RnLane *lane, const RnAttentionArgs *args);
extern void rn_cuda_attention_backward(RnLane *lane, const RnAttentionArgs *args);
extern void rn_cuda_attention_step(RnLane *lane, const RnAttentionStepArgs *args);
extern void rn_cuda_loss(RnLane *lane, const RnLossArgs *args);
extern void rn_cuda_scaled_add(RnLane *lane, size_t n, double alpha, const rn_real *x, double beta, rn_real *y);
extern void rn_cuda_weighted_add(RnLane *lane, size_t n, const rn_real *weight, const rn_real *x, double beta,
								 rn_real *y);
extern void rn_cuda_dot_add(RnLane *lane, size_t n, const rn_real *x, const rn_real *y, rn_real *out);
extern void rn_cuda_sum_squares(RnLane *lane, size_t n, const rn_real *x, double *out);
extern void rn_cuda_decide(RnLane *lane, const RnDecideArgs *args);
extern void rn_cuda_adam(RnLane *lane, const RnAdamArgs *args);
extern void rn_cuda_gather(RnLane *lane, const RnGatherArgs *args);
extern void rn_cuda_top_k(RnLane *lane, int rows, int cols, const rn_real *logits, int k, const int32_t *banned,
						  int32_t *ids, rn_real *scores);

/* collective.cu */
extern const RnCollectives rn_cuda_collectives;

#endif							/* RN_CUDA_H */
