/*
 * arena.h
 *		Memory that goes with one reset.
 *
 * A bump allocator over one mapping.  Every block is aligned to 64 bytes and
 * not cleared.  Asking for more than is reserved grows the arena only through
 * rn_arena_reserve, between steps: a steady step allocates nothing.
 *
 * src/base/arena.h
 */
#ifndef RN_ARENA_H
#define RN_ARENA_H

#include <stddef.h>

#include "base/context.h"

typedef struct RnArena
{
	char	   *base;			/* 64-byte aligned mapping; huge pages advised */
	size_t		size;			/* bytes reserved */
	size_t		used;			/* bytes handed out since the last reset */
	size_t		peak;			/* most ever handed out */
} RnArena;

extern void rn_arena_init(RnArena *arena);

/* Make room for at least bytes.  Existing blocks are lost when it grows. */
extern RnStatus rn_arena_reserve(RnContext *ctx, RnArena *arena, size_t bytes);

/* A block, or NULL when the reserve is used up. */
extern void *rn_arena_take(RnArena *arena, size_t bytes);
extern void rn_arena_reset(RnArena *arena);
extern void rn_arena_free(RnArena *arena);

#endif							/* RN_ARENA_H */
