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

void *
rn_lane_scratch(RnLane *lane, size_t bytes)
{
	if (bytes > lane->scratch_size)
	{
		/* half as much again, so that growing sentences do not ask each time */
		size_t		size = bytes + bytes / 2;
		void	   *scratch;

		if (posix_memalign(&scratch, ALIGNMENT, size) != 0)
		{
			lane->refused = bytes;
			return NULL;
		}
		free(lane->scratch);
		lane->scratch = scratch;
		lane->scratch_size = size;
	}
	return lane->scratch;
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
