/*
 * spill.c
 *		A temporary file as a store that memory need not hold.
 *
 * src/base/spill.c
 */
#include "base/spill.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void
rn_spill_init(RnSpill *spill, int fd, uint64_t limit)
{
	memset(spill, 0, sizeof(*spill));
	spill->fd = fd;
	spill->limit = limit;
}

static RnStatus
over_limit(RnContext *ctx, const RnSpill *spill, uint64_t size)
{
	rn_fail(ctx, RN_DISK_FULL, "temporary file of the training job would exceed its limit");
	rn_detail(ctx, "The file needs %llu bytes and may take %llu.",
			  (unsigned long long) (spill->end + size), (unsigned long long) spill->limit);
	return ctx->status;
}

RnStatus
rn_spill_reserve(RnContext *ctx, RnSpill *spill, uint64_t size, uint64_t *offset)
{
	int			i;

	for (i = 0; i < spill->n_free; i++)
	{
		RnRegion   *region = &spill->free[i];

		if (region->size < size)
			continue;
		*offset = region->offset;
		region->offset += size;
		region->size -= size;
		if (region->size == 0)
			*region = spill->free[--spill->n_free];
		return RN_OK;
	}
	if (spill->limit != 0 && (size > spill->limit || spill->end > spill->limit - size))
		return over_limit(ctx, spill, size);
	*offset = spill->end;
	spill->end += size;
	return RN_OK;
}

/* Join the region with free neighbours, so that big ones come back whole. */
static void
join_neighbours(RnSpill *spill, RnRegion *region)
{
	int			i = 0;

	while (i < spill->n_free)
	{
		RnRegion   *other = &spill->free[i];

		if (other->offset + other->size != region->offset && region->offset + region->size != other->offset)
		{
			i++;
			continue;
		}
		if (other->offset < region->offset)
			region->offset = other->offset;
		region->size += other->size;
		*other = spill->free[--spill->n_free];
		i = 0;
	}
}

void
rn_spill_release(RnSpill *spill, uint64_t offset, uint64_t size)
{
	RnRegion	region = {offset, size};
	int			smallest = 0;
	int			i;

	if (size == 0)
		return;
	join_neighbours(spill, &region);
	if (region.offset + region.size == spill->end)
	{
		spill->end = region.offset;
		return;
	}
	if (spill->n_free < RN_SPILL_FREE)
	{
		spill->free[spill->n_free++] = region;
		return;
	}
	for (i = 1; i < spill->n_free; i++)
		if (spill->free[i].size < spill->free[smallest].size)
			smallest = i;
	if (spill->free[smallest].size < region.size)
		spill->free[smallest] = region;
}

RnStatus
rn_spill_write(RnContext *ctx, RnSpill *spill, uint64_t offset, const void *bytes, size_t size)
{
	const char *at = bytes;

	while (size > 0)
	{
		ssize_t		n = pwrite(spill->fd, at, size, (off_t) offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == ENOSPC || errno == EFBIG || errno == EDQUOT))
			return rn_fail(ctx, RN_DISK_FULL, "could not write temporary file of the training job: %s",
						   strerror(errno));
		if (n <= 0)
			return rn_fail(ctx, RN_IO, "could not write temporary file of the training job: %s",
						   n < 0 ? strerror(errno) : "nothing was written");
		at += n;
		offset += (uint64_t) n;
		size -= (size_t) n;
	}
	return RN_OK;
}

RnStatus
rn_spill_read(RnContext *ctx, const RnSpill *spill, uint64_t offset, void *bytes, size_t size)
{
	char	   *at = bytes;

	while (size > 0)
	{
		ssize_t		n = pread(spill->fd, at, size, (off_t) offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return rn_fail(ctx, RN_IO, "could not read temporary file of the training job: %s", strerror(errno));
		if (n == 0)
		{
			rn_fail(ctx, RN_IO, "temporary file of the training job is too short");
			rn_detail(ctx, "%zu bytes are missing at offset %llu.", size, (unsigned long long) offset);
			return ctx->status;
		}
		at += n;
		offset += (uint64_t) n;
		size -= (size_t) n;
	}
	return RN_OK;
}
