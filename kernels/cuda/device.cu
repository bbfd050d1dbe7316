/*
 * device.cu
 *		What residual_cuda.so answers to the engine: its devices and the table.
 *
 * kernels/cuda/device.cu
 */
#include "kernels/cuda/cuda.h"

#include <stdio.h>
#include <string.h>

#include "kernels/cuda/pool.h"
#include "kernels/cuda/product.h"

/* What is left for others, in parts of a hundred of what is free, where no limit is given. */
#define SHARE_FREE	20

/* Of training: so many waits are saved, and what a step was like is known so much later. */
#define STEPS_AHEAD	16
static_assert(STEPS_AHEAD <= RN_STEPS_AHEAD_MOST, "of which trainers keep no more");

/* Passes whose rows are multiples of this have few shapes, and are repeated as graphs (queue.h). */
#define PAD_ROWS	512

/* The device that this process opened. */
static int	opened = -1;
static char description[160];

void
rn_cuda_bind(void)
{
	cudaSetDevice(opened);
}

static const char *
describe_device(void)
{
	return description;
}

/* No format of weights pays here yet: products read the flat values. */
static size_t
prepared_bytes(RnFormat format, int n, int k)
{
	(void) format;
	(void) n;
	(void) k;
	return 0;
}

static RnStatus
prepare(RnContext *ctx, RnLane *lane, RnFormat format, int n, int k, const rn_real *w, RnPrepared **prepared)
{
	(void) lane;
	(void) n;
	(void) k;
	(void) w;
	*prepared = NULL;
	return rn_fail(ctx, RN_UNSUPPORTED, "device \"cuda\" has no weights of format %d", (int) format);
}

/* Nothing that it could be called with exists. */
static void
discard(RnPrepared *prepared)
{
	(void) prepared;
}

static void
prepared_product(RnLane *lane, const RnPrepared *w, int m, const rn_real *x, int ldx, const rn_real *bias, rn_real *y,
				 int ldy)
{
	(void) lane;
	(void) w;
	(void) m;
	(void) x;
	(void) ldx;
	(void) bias;
	(void) y;
	(void) ldy;
}

static RnKernels
make_table(void)
{
	RnKernels	table;

	memset(&table, 0, sizeof(table));
	table.version = RN_KERNELS_VERSION;
	table.real_size = sizeof(rn_real);
	table.lanes = 1;
	table.pass_rows = 8192;
	table.steps_ahead = STEPS_AHEAD;
	table.pad_rows = PAD_ROWS;
	table.name = "cuda";
	table.description = describe_device;
	table.lane_create = rn_cuda_lane_create;
	table.lane_free = rn_cuda_lane_free;
	table.lane_bytes = rn_cuda_lane_bytes;
	table.lane_reserve = rn_cuda_lane_reserve;
	table.reserve = rn_cuda_reserve;
	table.allocate = rn_cuda_allocate;
	table.release = rn_cuda_release;
	table.copy_in = rn_cuda_copy_in;
	table.copy_out = rn_cuda_copy_out;
	table.copy = rn_cuda_copy;
	table.zero = rn_cuda_zero;
	table.synchronize = rn_cuda_synchronize;
	table.look = rn_cuda_look;
	table.note_begin = rn_cuda_note_begin;
	table.note_end = rn_cuda_note_end;
	table.product = rn_cuda_product;
	table.round = rn_cuda_round;
	table.rounded_product = rn_cuda_rounded_product;
	table.prepared_bytes = prepared_bytes;
	table.prepare = prepare;
	table.discard = discard;
	table.prepared_product = prepared_product;
	table.linear_forward = rn_cuda_linear_forward;
	table.bias_backward = rn_cuda_bias_backward;
	table.activation_forward = rn_cuda_activation_forward;
	table.activation_backward = rn_cuda_activation_backward;
	table.residual_forward = rn_cuda_residual_forward;
	table.residual_backward = rn_cuda_residual_backward;
	table.norm_forward = rn_cuda_norm_forward;
	table.norm_backward = rn_cuda_norm_backward;
	table.embedding_forward = rn_cuda_embedding_forward;
	table.embedding_backward = rn_cuda_embedding_backward;
	table.attention_forward = rn_cuda_attention_forward;
	table.attention_backward = rn_cuda_attention_backward;
	table.attention_step = rn_cuda_attention_step;
	table.loss = rn_cuda_loss;
	table.scaled_add = rn_cuda_scaled_add;
	table.weighted_add = rn_cuda_weighted_add;
	table.dot_add = rn_cuda_dot_add;
	table.sum_squares = rn_cuda_sum_squares;
	table.decide = rn_cuda_decide;
	table.adam = rn_cuda_adam;
	table.gather = rn_cuda_gather;
	table.top_k = rn_cuda_top_k;
	return table;
}

static RnKernels table = make_table();

/* ---- the library ---- */

static RnStatus
count_devices(RnContext *ctx, int *n)
{
	const cudaError_t error = cudaGetDeviceCount(n);

	if (error == cudaSuccess && *n > 0)
		return RN_OK;
	*n = 0;
	cudaGetLastError();
	rn_fail(ctx, RN_UNSUPPORTED, "no GPU can be used");
	rn_detail(ctx, "The driver says: %s.", error == cudaSuccess ? "no device" : cudaGetErrorString(error));
	return ctx->status;
}

/* "13.0" */
static void
print_version(char *text, size_t size, int version)
{
	snprintf(text, size, "%d.%d", version / 1000, version % 1000 / 10);
}

static RnStatus
check_number(RnContext *ctx, int number)
{
	int			n;

	RN_TRY(count_devices(ctx, &n));
	if (number < 0 || number >= n)
	{
		rn_fail(ctx, RN_UNSUPPORTED, "device \"cuda:%d\" is not there", number);
		rn_detail(ctx, "GPUs are numbered from 0 to %d.", n - 1);
		return ctx->status;
	}
	return RN_OK;
}

static RnStatus
driver_failed(RnContext *ctx, cudaError_t error)
{
	return rn_fail(ctx, RN_DEVICE, "the GPU failed: %s", cudaGetErrorString(error));
}

static RnStatus
describe(RnContext *ctx, int number, RnDeviceInfo *info)
{
	struct cudaDeviceProp properties;
	cudaError_t error;
	size_t		memory_free = 0;
	size_t		memory = 0;
	int			driver = 0;
	int			runtime = 0;
	char		texts[2][14];

	memset(info, 0, sizeof(*info));
	RN_TRY(check_number(ctx, number));
	error = cudaSetDevice(number);
	if (error == cudaSuccess)
		error = cudaGetDeviceProperties(&properties, number);
	if (error == cudaSuccess)
		error = cudaMemGetInfo(&memory_free, &memory);
	if (error == cudaSuccess)
		error = cudaDriverGetVersion(&driver);
	if (error == cudaSuccess)
		error = cudaRuntimeGetVersion(&runtime);
	if (error != cudaSuccess)
		return driver_failed(ctx, error);
	snprintf(info->name, sizeof(info->name), "%.90s", properties.name);
	snprintf(info->capability, sizeof(info->capability), "%d.%d", properties.major, properties.minor);
	info->memory = (int64_t) memory;
	info->memory_free = (int64_t) memory_free;
	info->processors = properties.multiProcessorCount;
	print_version(texts[0], sizeof(texts[0]), driver);
	print_version(texts[1], sizeof(texts[1]), runtime);
	snprintf(info->driver, sizeof(info->driver), "%s/%s", texts[0], texts[1]);
	return RN_OK;
}

static RnStatus
open_device(RnContext *ctx, const RnDeviceOptions *options, const RnKernels **kernels)
{
	RnDeviceInfo info;
	cudaError_t error;

	if (opened >= 0 && opened != options->number)
		return rn_fail(ctx, RN_INTERNAL, "a process opens one GPU");
	RN_TRY(check_number(ctx, options->number));
	/* a thread that waits sleeps; fails harmlessly where a context is there already */
	cudaSetDeviceFlags(cudaDeviceScheduleBlockingSync);
	cudaGetLastError();
	error = cudaSetDevice(options->number);
	if (error != cudaSuccess)
		return driver_failed(ctx, error);
	RN_TRY(describe(ctx, options->number, &info));
	RN_TRY(rn_product_open(ctx, &info, options->precision));
	opened = options->number;
	table.rounded_size = rn_product_rounding() == RN_ROUND_NOTHING ? 0 : (int) sizeof(uint16_t);
	/* numbers below 6e-8 become 0 */
	table.loss_scaling = rn_product_rounding() == RN_ROUND_FLOAT16;
	table.memory = options->memory_limit > 0 ? options->memory_limit : info.memory_free / 100 * (100 - SHARE_FREE);
	rn_pool_limit((size_t) table.memory);
	snprintf(description, sizeof(description), "%s (%s), %s", info.name, info.capability, rn_product_precision());
	*kernels = &table;
	return RN_OK;
}

static const RnDeviceLibrary library = {
	RN_DEVICE_VERSION,
	count_devices,
	describe,
	open_device,
	&rn_cuda_collectives,
};

extern "C" __attribute__((visibility("default"))) const RnDeviceLibrary *
residual_device(int version)
{
	return version == RN_DEVICE_VERSION ? &library : NULL;
}
