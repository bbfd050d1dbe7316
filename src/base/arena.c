/*
 * arena.c
 *		Memory that goes with one reset.
 *
 * The mapping starts on a huge page, so that the kernel can back all of it
 * with huge pages; whether it does is its own affair.
 *
 * src/base/arena.c
 */
#include "base/arena.h"

#include <stdint.h>
#include <sys/mman.h>

#define ALIGNMENT	((size_t) 64)
#define HUGE_PAGE	((size_t) 2 << 20)

/* What a block of no bytes points to. */
static char nothing[64] __attribute__((aligned(64)));

void
rn_arena_init(RnArena *arena)
{
	arena->base = NULL;
	arena->size = 0;
	arena->used = 0;
	arena->peak = 0;
}

/* Map size bytes, a multiple of HUGE_PAGE, at a multiple of HUGE_PAGE. */
static char *
map_aligned(size_t size)
{
	char	   *whole = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t		before;

	if (whole == MAP_FAILED)
		return NULL;
	before = (HUGE_PAGE - (uintptr_t) whole % HUGE_PAGE) % HUGE_PAGE;
	if (before > 0)
		munmap(whole, before);
	munmap(whole + before + size, HUGE_PAGE - before);
#ifdef MADV_HUGEPAGE
	madvise(whole + before, size, MADV_HUGEPAGE);
#endif
	return whole + before;
}

RnStatus
rn_arena_reserve(RnContext *ctx, RnArena *arena, size_t bytes)
{
	size_t		size;
	char	   *base;

	if (bytes <= arena->size)
		return RN_OK;
	if (bytes > SIZE_MAX - 2 * HUGE_PAGE)
		return rn_out_of_memory(ctx, bytes);
	size = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	rn_arena_free(arena);
	base = map_aligned(size);
	if (base == NULL)
		return rn_out_of_memory(ctx, bytes);
	arena->base = base;
	arena->size = size;
	return RN_OK;
}

void *
rn_arena_take(RnArena *arena, size_t bytes)
{
	size_t		rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	char	   *block;

	if (bytes == 0)
		return nothing;
	if (rounded < bytes || rounded > arena->size - arena->used)
		return NULL;
	block = arena->base + arena->used;
	arena->used += rounded;
	if (arena->used > arena->peak)
		arena->peak = arena->used;
	return block;
}

void
rn_arena_reset(RnArena *arena)
{
	arena->used = 0;
}

/* The peak is remembered: it is a report, not memory. */
void
rn_arena_free(RnArena *arena)
{
	if (arena->base != NULL)
		munmap(arena->base, arena->size);
	arena->base = NULL;
	arena->size = 0;
	arena->used = 0;
}
