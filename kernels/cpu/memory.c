/*
 * memory.c
 *		Lanes, buffers and copies: what is the same at every level.
 *
 * The CPU's device memory is the host's, and kernels have ended when they
 * return, so copies are memmove and synchronize only looks for what was
 * refused.
 *
 * kernels/cpu/memory.c
 */
#include "kernels/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGNMENT	((size_t) 64)

/* Elements that a product packs, at the widest vectors: blocks of both matrices (blocked.c). */
#define PRODUCT_MOST	((size_t) 384 * (512 + 60))

/* From here on a buffer is a mapping of its own, huge pages advised. */
#define MAP_FROM	((size_t) 4 << 20)

RnStatus
rn_cpu_lane_create(RnContext *ctx, RnLane **lane)
{
	*lane = calloc(1, sizeof(RnLane));
	if (*lane == NULL)
		return rn_out_of_memory(ctx, sizeof(RnLane));
	return RN_OK;
}

void
rn_cpu_lane_free(RnLane *lane)
{
	if (lane == NULL)
		return;
	free(lane->scratch);
	free(lane);
}

static void *
resize_scratch(RnLane *lane, size_t size)
{
	void	   *scratch;

	if (size <= lane->scratch_size)
		return lane->scratch;
	if (posix_memalign(&scratch, ALIGNMENT, size) != 0)
	{
		lane->refused = size;
		return NULL;
	}
	free(lane->scratch);
	lane->scratch = scratch;
	lane->scratch_size = size;
	return scratch;
}

void *
rn_lane_scratch(RnLane *lane, size_t bytes)
{
	/* half as much again, so that growing sentences do not ask each time */
	return resize_scratch(lane, bytes <= lane->scratch_size ? bytes : bytes + bytes / 2);
}

/* Of the most demanding: an attention's longest sentence, a product's blocks, masks of a row. */
static size_t
scratch_most(const RnWork *work)
{
	const size_t longest = (size_t) work->longest;
	const size_t stride = (size_t) rn_attention_stride(work->longest);
	const size_t width = (size_t) work->width + ALIGNMENT;
	const size_t attention = width * stride + 2 * longest * (width + stride) + longest * longest + 1024;
	const size_t row = 6 * ((size_t) work->widest + 128);
	size_t		most = PRODUCT_MOST;

	most = most > attention ? most : attention;
	return (most > row ? most : row) * sizeof(rn_real);
}

size_t
rn_cpu_lane_bytes(const RnWork *work)
{
	return scratch_most(work);
}

RnStatus
rn_cpu_lane_reserve(RnContext *ctx, RnLane *lane, const RnWork *work)
{
	resize_scratch(lane, scratch_most(work));
	return rn_cpu_synchronize(ctx, lane);
}

/* The host's memory is there without being asked for; what is touched counts. */
RnStatus
rn_cpu_reserve(RnContext *ctx, size_t bytes)
{
	(void) ctx;
	(void) bytes;
	return RN_OK;
}

/* Nothing is noted: all is done when a call returns. */
void
rn_cpu_at_once(RnLane *lane)
{
	(void) lane;
}

RnStatus
rn_cpu_synchronize(RnContext *ctx, RnLane *lane)
{
	size_t		refused = lane->refused;

	lane->refused = 0;
	return refused > 0 ? rn_out_of_memory(ctx, refused) : RN_OK;
}

/* Large buffers are mappings: cleared by the system, and only where touched. */
static RnStatus
map_large(RnContext *ctx, size_t bytes, void **memory)
{
	*memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (*memory == MAP_FAILED)
	{
		*memory = NULL;
		return rn_out_of_memory(ctx, bytes);
	}
#ifdef MADV_HUGEPAGE
	madvise(*memory, bytes, MADV_HUGEPAGE);
#endif
	return RN_OK;
}

RnStatus
rn_cpu_allocate(RnContext *ctx, size_t bytes, void **memory)
{
	if (bytes >= MAP_FROM)
		return map_large(ctx, bytes, memory);
	if (posix_memalign(memory, ALIGNMENT, bytes > 0 ? bytes : 1) != 0)
	{
		*memory = NULL;
		return rn_out_of_memory(ctx, bytes);
	}
	memset(*memory, 0, bytes);
	return RN_OK;
}

void
rn_cpu_release(void *memory, size_t bytes)
{
	if (memory != NULL && bytes >= MAP_FROM)
		munmap(memory, bytes);
	else
		free(memory);
}

static void
move(void *to, const void *from, size_t bytes)
{
	if (bytes > 0 && to != from)
		memmove(to, from, bytes);
}

void
rn_cpu_copy_in(RnLane *lane, void *device, const void *host, size_t bytes)
{
	(void) lane;
	move(device, host, bytes);
}

void
rn_cpu_copy_out(RnLane *lane, void *host, const void *device, size_t bytes)
{
	(void) lane;
	move(host, device, bytes);
}

void
rn_cpu_copy(RnLane *lane, void *to, const void *from, size_t bytes)
{
	(void) lane;
	move(to, from, bytes);
}

void
rn_cpu_zero(RnLane *lane, void *memory, size_t bytes)
{
	(void) lane;
	if (bytes > 0)
		memset(memory, 0, bytes);
}

/* rounded_size is 0: nobody calls these.  What is to be rounded is rounded while it is packed. */
void
rn_cpu_round(RnLane *lane, size_t n, const rn_real *x, void *rounded)
{
	(void) lane;
	(void) n;
	(void) x;
	(void) rounded;
}

void
rn_cpu_rounded_product(RnLane *lane, int transpose_a, int transpose_b, int m, int n, int k,
					   double alpha, const void *a, int lda, const void *b, int ldb,
					   const rn_real *bias, double beta, rn_real *c, int ldc)
{
	(void) lane;
	(void) transpose_a;
	(void) transpose_b;
	(void) m;
	(void) n;
	(void) k;
	(void) alpha;
	(void) a;
	(void) lda;
	(void) b;
	(void) ldb;
	(void) bias;
	(void) beta;
	(void) c;
	(void) ldc;
}
