/*
 * spill.h
 *		A temporary file as a store that memory need not hold.
 *
 * Whoever made the file bounds it and unlinks it; here it is a descriptor
 * with a size limit.  Regions are reserved, written and read at any place,
 * and given back, so that what is no longer needed makes room for what comes.
 *
 * src/base/spill.h
 */
#ifndef RN_SPILL_H
#define RN_SPILL_H

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

#define RN_SPILL_FREE	32

typedef struct RnRegion
{
	uint64_t	offset;
	uint64_t	size;
} RnRegion;

typedef struct RnSpill
{
	int			fd;				/* lent */
	uint64_t	end;			/* everything from here on is unused */
	uint64_t	limit;			/* of end; 0: none */
	int			n_free;
	RnRegion	free[RN_SPILL_FREE];	/* given back; when there are more, the smallest is forgotten */
} RnSpill;

extern void rn_spill_init(RnSpill *spill, int fd, uint64_t limit);

/* RN_DISK_FULL when the limit does not allow it. */
extern RnStatus rn_spill_reserve(RnContext *ctx, RnSpill *spill, uint64_t size, uint64_t *offset);
extern void rn_spill_release(RnSpill *spill, uint64_t offset, uint64_t size);

/* RN_DISK_FULL, or RN_IO; a read that meets the end of the file is RN_IO. */
extern RnStatus rn_spill_write(RnContext *ctx, RnSpill *spill, uint64_t offset, const void *bytes, size_t size);
extern RnStatus rn_spill_read(RnContext *ctx, const RnSpill *spill, uint64_t offset, void *bytes, size_t size);

#endif							/* RN_SPILL_H */
