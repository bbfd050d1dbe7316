/*
 * lane.cu
 *		Lanes, buffers and copies.
 *
 * A copy to the device goes through pinned memory in two halves: while one
 * is on its way the other is filled, and the caller's memory is free as soon
 * as the call returns.
 *
 * kernels/cuda/lane.cu
 */
#include "kernels/cuda/cuda.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/columns.h"
#include "kernels/cuda/pool.h"
#include "kernels/cuda/product.h"

#define HALF	((size_t) 1 << 20)	/* of the pinned memory */

struct RnStaging
{
	char	   *host;			/* [2 * HALF] pinned */
	int			half;			/* being filled */
	size_t		used;			/* of it */
	cudaEvent_t done[2];
	bool		pending[2];		/* done was recorded and not waited for */
};

/* ---- errors ---- */

bool
rn_cuda_ok(RnLane *lane, cudaError_t error, const char *what)
{
	if (error == cudaSuccess)
		return true;
	if (lane->failed == cudaSuccess)
	{
		lane->failed = error;
		lane->failed_at = what;
	}
	return false;
}

/* A status for a call outside any lane. */
static RnStatus
check(RnContext *ctx, cudaError_t error, size_t bytes, const char *what)
{
	if (error == cudaSuccess)
		return RN_OK;
	if (error == cudaErrorMemoryAllocation)
	{
		/* the error of one call, not of the device */
		cudaGetLastError();
		rn_fail(ctx, RN_NO_MEMORY, "out of memory on the GPU");
		rn_detail(ctx, "Failed on a request of %zu bytes.", bytes);
		rn_hint(ctx, "Lower batch_tokens, max_length, d_model or the number of layers, or let residual.gpu_memory_limit allow more.");
		return ctx->status;
	}
	return rn_fail(ctx, RN_DEVICE, "%s failed: %s", what, cudaGetErrorString(error));
}

RnStatus
rn_cuda_synchronize(RnContext *ctx, RnLane *lane)
{
	cudaError_t error;

	rn_queue_flush(lane);
	rn_lane_results_fetch(lane);
	error = cudaStreamSynchronize(rn_lane_stream(lane));
	rn_cuda_ok(lane, error, "waiting for the GPU");
	rn_lane_results_deliver(lane, lane->failed == cudaSuccess && lane->refused == 0);
	rn_lane_uploads_settled(lane);
	return rn_cuda_look(ctx, lane);
}

RnStatus
rn_cuda_look(RnContext *ctx, RnLane *lane)
{
	const size_t refused = lane->refused;

	/* between passes: the one moment at which nobody holds on to what was sent */
	if (rn_lane_uploads_abound(lane))
	{
		rn_cuda_ok(lane, cudaStreamSynchronize(rn_lane_stream(lane)), "waiting for the GPU");
		rn_lane_uploads_settled(lane);
	}
	lane->refused = 0;
	if (lane->failed != cudaSuccess)
	{
		rn_fail(ctx, RN_DEVICE, "the GPU failed: %s", cudaGetErrorString(lane->failed));
		rn_detail(ctx, "The error was noticed at \"%s\".", lane->failed_at);
		rn_hint(ctx, "The process that used the GPU cannot go on; the job can be resumed from its last checkpoint.");
		return ctx->status;
	}
	return refused > 0 ? check(ctx, cudaErrorMemoryAllocation, refused, "") : RN_OK;
}

/* ---- memory ---- */

RnStatus
rn_cuda_reserve(RnContext *ctx, size_t bytes)
{
	rn_cuda_bind();
	return check(ctx, rn_pool_reserve(bytes), bytes, "taking memory");
}

RnStatus
rn_cuda_allocate(RnContext *ctx, size_t bytes, void **memory)
{
	cudaError_t error;

	rn_cuda_bind();
	error = rn_pool_take(bytes, memory);
	if (error != cudaSuccess)
		return check(ctx, error, bytes, "taking memory");
	error = bytes > 0 ? cudaMemset(*memory, 0, bytes) : cudaSuccess;
	/* lanes do not wait for the stream that clears */
	if (error == cudaSuccess)
		error = cudaStreamSynchronize(0);
	if (error == cudaSuccess)
		return RN_OK;
	rn_pool_give(*memory, bytes);
	*memory = NULL;
	return check(ctx, error, bytes, "clearing memory");
}

/* What still uses it comes to its end first, as the next one may get it at once. */
void
rn_cuda_release(void *memory, size_t bytes)
{
	if (memory == NULL)
		return;
	cudaDeviceSynchronize();
	rn_pool_give(memory, bytes);
}

/* Growing waits for what still uses the old one. */
static void *
resize_scratch(RnLane *lane, size_t size)
{
	void	   *scratch;

	rn_queue_flush(lane);
	if (lane->failed != cudaSuccess || !rn_cuda_ok(lane, cudaStreamSynchronize(rn_lane_stream(lane)), "growing scratch"))
		return NULL;
	if (lane->scratch != NULL)
		rn_pool_give(lane->scratch, lane->scratch_size);
	lane->scratch = NULL;
	lane->scratch_size = 0;
	if (rn_pool_take(size, &scratch) != cudaSuccess)
	{
		cudaGetLastError();
		lane->refused = size;
		return NULL;
	}
	lane->scratch = (char *) scratch;
	lane->scratch_size = size;
	return scratch;
}

void *
rn_lane_scratch(RnLane *lane, size_t bytes)
{
	if (bytes <= lane->scratch_size && lane->scratch != NULL)
		return lane->scratch;
	/* half as much again, so that growing sentences do not ask each time */
	return resize_scratch(lane, bytes + bytes / 2 + 1);
}

/* ---- what is needed ---- */

static size_t
larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* The most that a kernel of such work asks rn_lane_scratch for. */
static size_t
scratch_most(const RnWork *work)
{
	size_t		most = larger(rn_product_scratch_most(), (work->scores + 1) * sizeof(rn_real));

	most = larger(most, 2 * (size_t) work->rows * sizeof(double));
	most = larger(most, column_scratch_most(RN_COLUMN_SUMS, work->width));
	return larger(most, column_scratch_most(1, work->widest));
}

size_t
rn_cuda_lane_bytes(const RnWork *work)
{
	return rn_pool_whole(scratch_most(work)) + rn_mirrors_most(work);
}

RnStatus
rn_cuda_lane_reserve(RnContext *ctx, RnLane *lane, const RnWork *work)
{
	const size_t size = scratch_most(work);

	if (size > lane->scratch_size)
		resize_scratch(lane, size);
	return rn_cuda_synchronize(ctx, lane);
}

/* ---- lanes ---- */

RnStatus
rn_cuda_lane_create(RnContext *ctx, RnLane **result)
{
	RnLane	   *lane = (RnLane *) calloc(1, sizeof(RnLane));
	struct RnStaging *staging = (struct RnStaging *) calloc(1, sizeof(*staging));
	cudaError_t error;

	*result = NULL;
	if (lane == NULL || staging == NULL)
	{
		free(lane);
		free(staging);
		return rn_out_of_memory(ctx, sizeof(RnLane) + sizeof(*staging));
	}
	lane->staging = staging;
	rn_cuda_bind();
	error = cudaStreamCreateWithFlags(&lane->stream, cudaStreamNonBlocking);
	if (error == cudaSuccess)
		error = rn_lane_mirrors_create(lane);
	if (error == cudaSuccess)
		error = cudaMallocHost((void **) &staging->host, 2 * HALF);
	if (error == cudaSuccess)
		error = cudaEventCreateWithFlags(&staging->done[0], cudaEventDisableTiming);
	if (error == cudaSuccess)
		error = cudaEventCreateWithFlags(&staging->done[1], cudaEventDisableTiming);
	if (error != cudaSuccess)
	{
		check(ctx, error, 2 * HALF, "opening a stream");
		rn_cuda_lane_free(lane);
		return ctx->status;
	}
	*result = lane;
	return RN_OK;
}

static void
free_staging(struct RnStaging *staging)
{
	int			i;

	for (i = 0; i < 2; i++)
		if (staging->done[i] != NULL)
			cudaEventDestroy(staging->done[i]);
	if (staging->host != NULL)
		cudaFreeHost(staging->host);
	free(staging);
}

void
rn_cuda_lane_free(RnLane *lane)
{
	if (lane == NULL)
		return;
	if (lane->stream != NULL)
		cudaStreamSynchronize(rn_lane_stream(lane));
	free_staging(lane->staging);
	rn_queue_free(lane);
	rn_mirror_free(lane->uploads);
	rn_mirror_free(lane->results);
	if (lane->scratch != NULL)
		rn_pool_give(lane->scratch, lane->scratch_size);
	if (lane->stream != NULL)
		cudaStreamDestroy(lane->stream);
	free(lane);
}

/* ---- copies ---- */

/* Pinned memory for at most HALF bytes; NULL after an error. */
static char *
staging_take(RnLane *lane, size_t bytes)
{
	struct RnStaging *staging = lane->staging;
	char	   *at;

	if (staging->used + bytes > HALF)
	{
		if (!rn_cuda_ok(lane, cudaEventRecord(staging->done[staging->half], rn_lane_stream(lane)), "copying to the GPU"))
			return NULL;
		staging->pending[staging->half] = true;
		staging->half ^= 1;
		staging->used = 0;
		if (staging->pending[staging->half] &&
			!rn_cuda_ok(lane, cudaEventSynchronize(staging->done[staging->half]), "copying to the GPU"))
			return NULL;
		staging->pending[staging->half] = false;
	}
	at = staging->host + staging->half * HALF + staging->used;
	staging->used += (bytes + 63) / 64 * 64;
	return at;
}

void
rn_cuda_copy_in(RnLane *lane, void *device, const void *host, size_t bytes)
{
	size_t		done;

	rn_queue_flush(lane);
	for (done = 0; done < bytes; done += HALF)
	{
		const size_t some = bytes - done < HALF ? bytes - done : HALF;
		char	   *at = staging_take(lane, some);

		if (at == NULL)
			return;
		memcpy(at, (const char *) host + done, some);
		rn_cuda_ok(lane, cudaMemcpyAsync((char *) device + done, at, some, cudaMemcpyHostToDevice, rn_lane_stream(lane)),
				   "copying to the GPU");
	}
}

void
rn_cuda_copy_out(RnLane *lane, void *host, const void *device, size_t bytes)
{
	rn_queue_flush(lane);
	if (bytes > 0)
		rn_cuda_ok(lane, cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, rn_lane_stream(lane)),
				   "copying from the GPU");
}

/* Bytes on the device, from there or 0. */
typedef struct Fill
{
	void	   *to;
	const void *from;
	size_t		bytes;
} Fill;

static void
copy_now(RnLane *lane, const Fill *fill)
{
	rn_cuda_ok(lane, cudaMemcpyAsync(fill->to, fill->from, fill->bytes, cudaMemcpyDeviceToDevice, rn_lane_stream(lane)),
			   "copying on the GPU");
}

static void
zero_now(RnLane *lane, const Fill *fill)
{
	rn_cuda_ok(lane, cudaMemsetAsync(fill->to, 0, fill->bytes, rn_lane_stream(lane)), "clearing memory");
}

void
rn_cuda_copy(RnLane *lane, void *to, const void *from, size_t bytes)
{
	const Fill	fill = {to, from, bytes};

	if (bytes > 0 && to != from)
		rn_queue_do(lane, copy_now, fill);
}

void
rn_cuda_zero(RnLane *lane, void *memory, size_t bytes)
{
	const Fill	fill = {memory, NULL, bytes};

	if (bytes > 0)
		rn_queue_do(lane, zero_now, fill);
}
