/*
 * rows.c
 *		Rows of text in the spill file.
 *
 * The rows are one stream of bytes, cut into extents of the file.
 *
 * src/engine/rows.c
 */
#include "engine/rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"

#define EXTENT_BYTES	(256 * 1024)
#define WRITE_BYTES		(256 * 1024)
#define READ_BYTES		(1024 * 1024)	/* of rows read at once, about */
#define READ_ROWS		4096

typedef struct Head
{
	uint64_t	hash[2];
	uint64_t	source_size;
	uint64_t	target_size;
	uint64_t	set;
} Head;

struct RnRows
{
	RnSpill    *spill;
	RnRegion   *extents;
	int			n_extents;
	int			extent_capacity;
	uint64_t	room;			/* of all extents */
	uint64_t	stored;			/* bytes of the stream that are in the file */
	char	   *out;			/* what follows them, [WRITE_BYTES] */
	size_t		n_out;
	uint64_t	count[2];
	uint64_t	bytes[2];

	/* reading */
	uint64_t	at;				/* next byte of the stream */
	int			extent;			/* in which it lies */
	uint64_t	extent_start;	/* in the stream */
	char	   *in;
	size_t		in_capacity;
	RnRow	   *some;			/* [READ_ROWS] */
};

RnStatus
rn_rows_create(RnContext *ctx, RnSpill *spill, RnRows **result)
{
	RnRows	   *rows = calloc(1, sizeof(RnRows));

	*result = rows;
	if (rows == NULL)
		return rn_out_of_memory(ctx, sizeof(RnRows));
	rows->spill = spill;
	rows->out = malloc(WRITE_BYTES);
	rows->some = malloc(READ_ROWS * sizeof(RnRow));
	if (rows->out == NULL || rows->some == NULL)
		return rn_out_of_memory(ctx, WRITE_BYTES);
	return RN_OK;
}

void
rn_rows_free(RnRows *rows)
{
	int			i;

	if (rows == NULL)
		return;
	for (i = 0; i < rows->n_extents; i++)
		rn_spill_release(rows->spill, rows->extents[i].offset, rows->extents[i].size);
	free(rows->extents);
	free(rows->out);
	free(rows->in);
	free(rows->some);
	free(rows);
}

/* ---- writing ---- */

static RnStatus
add_extent(RnContext *ctx, RnRows *rows)
{
	RnRegion   *last = rows->n_extents > 0 ? &rows->extents[rows->n_extents - 1] : NULL;
	uint64_t	offset;

	if (rows->n_extents == rows->extent_capacity)
	{
		int			capacity = rows->extent_capacity ? 2 * rows->extent_capacity : 16;
		RnRegion   *grown = realloc(rows->extents, (size_t) capacity * sizeof(RnRegion));

		if (grown == NULL)
			return rn_out_of_memory(ctx, (size_t) capacity * sizeof(RnRegion));
		rows->extents = grown;
		rows->extent_capacity = capacity;
		last = rows->n_extents > 0 ? &rows->extents[rows->n_extents - 1] : NULL;
	}
	RN_TRY(rn_spill_reserve(ctx, rows->spill, EXTENT_BYTES, &offset));
	rows->room += EXTENT_BYTES;
	if (last != NULL && last->offset + last->size == offset)
		last->size += EXTENT_BYTES;
	else
	{
		rows->extents[rows->n_extents].offset = offset;
		rows->extents[rows->n_extents++].size = EXTENT_BYTES;
	}
	return RN_OK;
}

static RnStatus
flush(RnContext *ctx, RnRows *rows)
{
	const char *at = rows->out;

	while (rows->n_out > 0)
	{
		const RnRegion *last;
		uint64_t	left = rows->room - rows->stored;
		size_t		n = rows->n_out;

		if (left == 0)
		{
			RN_TRY(add_extent(ctx, rows));
			continue;
		}
		if (n > left)
			n = (size_t) left;
		last = &rows->extents[rows->n_extents - 1];
		RN_TRY(rn_spill_write(ctx, rows->spill, last->offset + last->size - left, at, n));
		at += n;
		rows->stored += n;
		rows->n_out -= n;
	}
	return RN_OK;
}

static RnStatus
put(RnContext *ctx, RnRows *rows, const void *bytes, size_t size)
{
	const char *at = bytes;

	while (size > 0)
	{
		size_t		n = size < WRITE_BYTES - rows->n_out ? size : WRITE_BYTES - rows->n_out;

		memcpy(rows->out + rows->n_out, at, n);
		rows->n_out += n;
		at += n;
		size -= n;
		if (rows->n_out == WRITE_BYTES)
			RN_TRY(flush(ctx, rows));
	}
	return RN_OK;
}

static void
pair_hash(RnText source, RnText target, uint64_t hash[2])
{
	uint64_t	of_source[2];

	rn_digest(source.bytes, source.size, 0, of_source);
	rn_digest(target.bytes, target.size, of_source[0] ^ of_source[1], hash);
}

RnStatus
rn_rows_add(RnContext *ctx, RnRows *rows, int set, RnText source, RnText target)
{
	Head		head;

	memset(&head, 0, sizeof(head));
	pair_hash(source, target, head.hash);
	head.source_size = source.size;
	head.target_size = target.size;
	head.set = (uint64_t) set;
	RN_TRY(put(ctx, rows, &head, sizeof(head)));
	RN_TRY(put(ctx, rows, source.bytes, source.size));
	RN_TRY(put(ctx, rows, target.bytes, target.size));
	rows->count[set]++;
	rows->bytes[set] += source.size + target.size;
	return RN_OK;
}

RnStatus
rn_rows_finish(RnContext *ctx, RnRows *rows)
{
	RN_TRY(flush(ctx, rows));
	free(rows->out);
	rows->out = NULL;
	rn_rows_rewind(rows);
	return RN_OK;
}

uint64_t
rn_rows_count(const RnRows *rows, int set)
{
	return rows->count[set];
}

uint64_t
rn_rows_bytes(const RnRows *rows, int set)
{
	return rows->bytes[set];
}

/* ---- reading ---- */

void
rn_rows_rewind(RnRows *rows)
{
	rows->at = 0;
	rows->extent = 0;
	rows->extent_start = 0;
}

/* Bytes of the stream from at on, which stays. */
static RnStatus
get(RnContext *ctx, RnRows *rows, uint64_t at, char *bytes, size_t size)
{
	int			extent = rows->extent;
	uint64_t	start = rows->extent_start;

	while (size > 0 && extent < rows->n_extents)
	{
		const RnRegion *region = &rows->extents[extent];
		uint64_t	within = at - start;
		size_t		n = size;

		if (within >= region->size)
		{
			start += region->size;
			extent++;
			continue;
		}
		if (n > region->size - within)
			n = (size_t) (region->size - within);
		RN_TRY(rn_spill_read(ctx, rows->spill, region->offset + within, bytes, n));
		at += n;
		bytes += n;
		size -= n;
	}
	return size == 0 ? RN_OK : rn_fail(ctx, RN_IO, "temporary file of the training job is too short");
}

static RnStatus
make_room(RnContext *ctx, RnRows *rows, size_t size)
{
	char	   *grown;

	if (size <= rows->in_capacity)
		return RN_OK;
	grown = realloc(rows->in, size);
	if (grown == NULL)
		return rn_out_of_memory(ctx, size);
	rows->in = grown;
	rows->in_capacity = size;
	return RN_OK;
}

/* Does a whole row begin at these bytes?  Its size, 0 if not. */
static size_t
whole_row(const char *bytes, size_t size, Head *head)
{
	uint64_t	text;

	if (size < sizeof(*head))
		return 0;
	memcpy(head, bytes, sizeof(*head));
	if (head->source_size > size || head->target_size > size)
		return 0;
	text = head->source_size + head->target_size;
	return text <= size - sizeof(*head) ? sizeof(*head) + (size_t) text : 0;
}

/* Read bytes from the stream's place on: READ_BYTES, or what the first row takes. */
static RnStatus
read_bytes(RnContext *ctx, RnRows *rows, size_t *size)
{
	uint64_t	left = rows->stored - rows->at;
	Head		head;

	*size = left < READ_BYTES ? (size_t) left : READ_BYTES;
	RN_TRY(make_room(ctx, rows, *size));
	RN_TRY(get(ctx, rows, rows->at, rows->in, *size));
	if (*size == 0 || whole_row(rows->in, *size, &head) > 0)
		return RN_OK;
	if (*size < sizeof(head) || head.source_size > left || head.target_size > left ||
		sizeof(head) + head.source_size + head.target_size > left)
		return rn_fail(ctx, RN_IO, "temporary file of the training job is damaged");
	*size = sizeof(head) + (size_t) (head.source_size + head.target_size);
	RN_TRY(make_room(ctx, rows, *size));
	return get(ctx, rows, rows->at, rows->in, *size);
}

static RnStatus
take_row(RnContext *ctx, const char *at, const Head *head, RnRow *row)
{
	row->set = (int) head->set;
	row->source.bytes = at + sizeof(*head);
	row->source.size = (size_t) head->source_size;
	row->target.bytes = row->source.bytes + row->source.size;
	row->target.size = (size_t) head->target_size;
	pair_hash(row->source, row->target, row->hash);
	if (head->set > 1 || row->hash[0] != head->hash[0] || row->hash[1] != head->hash[1])
		return rn_fail(ctx, RN_IO, "temporary file of the training job is damaged");
	return RN_OK;
}

RnStatus
rn_rows_read(RnContext *ctx, RnRows *rows, const RnRow **some, int *n)
{
	size_t		used = 0;
	size_t		size;

	*some = rows->some;
	*n = 0;
	RN_TRY(read_bytes(ctx, rows, &size));
	while (*n < READ_ROWS)
	{
		const char *at = rows->in + used;
		Head		head;
		size_t		whole = size > used ? whole_row(at, size - used, &head) : 0;

		if (whole == 0)
			break;
		RN_TRY(take_row(ctx, at, &head, &rows->some[*n]));
		used += whole;
		(*n)++;
	}
	rows->at += used;
	while (rows->extent < rows->n_extents && rows->at - rows->extent_start >= rows->extents[rows->extent].size)
		rows->extent_start += rows->extents[rows->extent++].size;
	return RN_OK;
}
