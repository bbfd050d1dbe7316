/*
 * sorter.c
 *		Records in the order of their keys, however many they are.
 *
 * A record in memory and in a run is its head and its bytes.  What is sorted
 * is a list of entries that carry the first half of the key, so that most
 * comparisons touch nothing else.
 *
 * src/train/sorter.c
 */
#include "train/sorter.h"

#include <stdlib.h>
#include <string.h>

#define RUN_BUFFER_LEAST	(16 * 1024) /* bytes read at once from a run */
#define RUN_BUFFER_MOST		(1024 * 1024)
#define WRITE_BUFFER		(256 * 1024)

typedef struct Head
{
	uint64_t	key[2];
	uint64_t	size;			/* bytes that follow */
} Head;

typedef struct Entry
{
	uint64_t	key;			/* first half */
	const char *record;			/* in the buffer: valid while sorting */
} Entry;

/* A run while it is merged. */
typedef struct Run
{
	RnRegion	region;
	uint64_t	read;			/* bytes of the region that were read */
	char	   *buffer;
	size_t		capacity;
	size_t		start;			/* of what is not yet used in buffer */
	size_t		end;
	Head		head;			/* of the record that is next */
} Run;

struct RnSorter
{
	RnSpill    *spill;
	size_t		memory;			/* bytes that records and entries may take */
	char	   *bytes;			/* records, one after another */
	size_t		used;
	size_t		capacity;
	size_t		n_records;		/* in bytes */
	Run		   *runs;
	int			n_runs;
	int			run_capacity;
};

RnStatus
rn_sorter_create(RnContext *ctx, RnSpill *spill, size_t memory_bytes, RnSorter **sorter)
{
	*sorter = calloc(1, sizeof(**sorter));
	if (*sorter == NULL)
		return rn_out_of_memory(ctx, sizeof(**sorter));
	(*sorter)->spill = spill;
	(*sorter)->memory = memory_bytes;
	return RN_OK;
}

void
rn_sorter_free(RnSorter *sorter)
{
	int			i;

	if (sorter == NULL)
		return;
	for (i = 0; i < sorter->n_runs; i++)
		free(sorter->runs[i].buffer);
	free(sorter->runs);
	free(sorter->bytes);
	free(sorter);
}

/* Records begin at multiples of 8, so that heads can be read in place. */
static size_t
record_size(uint64_t bytes)
{
	return sizeof(Head) + (((size_t) bytes + 7) & ~(size_t) 7);
}

static int
compare_entries(const void *left, const void *right)
{
	const Entry *a = left;
	const Entry *b = right;
	uint64_t	second_a,
				second_b;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	second_a = ((const Head *) a->record)->key[1];
	second_b = ((const Head *) b->record)->key[1];
	return (second_a > second_b) - (second_a < second_b);
}

/* The records in memory, in order; the caller frees. */
static RnStatus
sort_memory(RnContext *ctx, const RnSorter *sorter, Entry **entries)
{
	const char *at = sorter->bytes;
	size_t		i;

	*entries = malloc((sorter->n_records + 1) * sizeof(Entry));
	if (*entries == NULL)
		return rn_out_of_memory(ctx, (sorter->n_records + 1) * sizeof(Entry));
	for (i = 0; i < sorter->n_records; i++)
	{
		const Head *head = (const Head *) at;

		(*entries)[i].key = head->key[0];
		(*entries)[i].record = at;
		at += record_size(head->size);
	}
	qsort(*entries, sorter->n_records, sizeof(Entry), compare_entries);
	return RN_OK;
}

static RnStatus
write_records(RnContext *ctx, RnSorter *sorter, const Entry *entries, uint64_t offset, char *buffer)
{
	size_t		filled = 0;
	size_t		i;

	for (i = 0; i < sorter->n_records; i++)
	{
		const char *at = entries[i].record;
		size_t		left = record_size(((const Head *) at)->size);

		while (left > 0)
		{
			size_t		n = left < WRITE_BUFFER - filled ? left : WRITE_BUFFER - filled;

			memcpy(buffer + filled, at, n);
			filled += n;
			at += n;
			left -= n;
			if (filled < WRITE_BUFFER)
				continue;
			RN_TRY(rn_spill_write(ctx, sorter->spill, offset, buffer, filled));
			offset += filled;
			filled = 0;
		}
	}
	return rn_spill_write(ctx, sorter->spill, offset, buffer, filled);
}

/* Sort what is in memory and send it to the file. */
static RnStatus
write_run(RnContext *ctx, RnSorter *sorter)
{
	RnStatus	status;
	Entry	   *entries;
	char	   *buffer;
	Run		   *run;

	if (sorter->n_runs == sorter->run_capacity)
	{
		int			capacity = sorter->run_capacity ? 2 * sorter->run_capacity : 16;
		Run		   *grown = realloc(sorter->runs, (size_t) capacity * sizeof(Run));

		if (grown == NULL)
			return rn_out_of_memory(ctx, (size_t) capacity * sizeof(Run));
		sorter->runs = grown;
		sorter->run_capacity = capacity;
	}
	run = &sorter->runs[sorter->n_runs];
	memset(run, 0, sizeof(*run));
	run->region.size = sorter->used;
	RN_TRY(rn_spill_reserve(ctx, sorter->spill, sorter->used, &run->region.offset));
	sorter->n_runs++;
	RN_TRY(sort_memory(ctx, sorter, &entries));
	buffer = malloc(WRITE_BUFFER);
	if (buffer == NULL)
		status = rn_out_of_memory(ctx, WRITE_BUFFER);
	else
		status = write_records(ctx, sorter, entries, run->region.offset, buffer);
	free(buffer);
	free(entries);
	sorter->used = sorter->n_records = 0;
	return status;
}

/* Room for one more record of so many bytes in memory. */
static RnStatus
make_room(RnContext *ctx, RnSorter *sorter, size_t size)
{
	size_t		capacity = sorter->capacity ? sorter->capacity : 64 * 1024;
	char	   *grown;

	if (sorter->n_records > 0 &&
		sorter->used + size + (sorter->n_records + 1) * sizeof(Entry) > sorter->memory)
		RN_TRY(write_run(ctx, sorter));
	if (sorter->used + size <= sorter->capacity)
		return RN_OK;
	while (capacity < sorter->used + size)
		capacity *= 2;
	if (capacity > sorter->memory && sorter->used + size <= sorter->memory)
		capacity = sorter->memory;
	grown = realloc(sorter->bytes, capacity);
	if (grown == NULL)
		return rn_out_of_memory(ctx, capacity);
	sorter->bytes = grown;
	sorter->capacity = capacity;
	return RN_OK;
}

RnStatus
rn_sorter_add(RnContext *ctx, RnSorter *sorter, const uint64_t key[2], const char *bytes, size_t size)
{
	Head		head = {{key[0], key[1]}, size};
	size_t		whole = record_size(size);

	RN_TRY(make_room(ctx, sorter, whole));
	memset(sorter->bytes + sorter->used + whole - 8, 0, 8);
	memcpy(sorter->bytes + sorter->used, &head, sizeof(head));
	memcpy(sorter->bytes + sorter->used + sizeof(head), bytes, size);
	sorter->used += whole;
	sorter->n_records++;
	return RN_OK;
}

/* See to it that size bytes of a run lie at start. */
static RnStatus
fill(RnContext *ctx, RnSorter *sorter, Run *run, size_t size)
{
	size_t		have = run->end - run->start;
	size_t		want;

	if (have >= size)
		return RN_OK;
	if (size > run->capacity)
	{
		char	   *grown = realloc(run->buffer, size);

		if (grown == NULL)
			return rn_out_of_memory(ctx, size);
		run->buffer = grown;
		run->capacity = size;
	}
	memmove(run->buffer, run->buffer + run->start, have);
	run->start = 0;
	run->end = have;
	want = run->capacity - have;
	if (want > run->region.size - run->read)
		want = (size_t) (run->region.size - run->read);
	RN_TRY(rn_spill_read(ctx, sorter->spill, run->region.offset + run->read, run->buffer + have, want));
	run->read += want;
	run->end += want;
	if (run->end < size)
		return rn_fail(ctx, RN_IO, "temporary file of the training job is damaged");
	return RN_OK;
}

/* Look at the next record; *more 0 when there is none. */
static RnStatus
next_record(RnContext *ctx, RnSorter *sorter, Run *run, int *more)
{
	*more = run->start < run->end || run->read < run->region.size;
	if (!*more)
		return RN_OK;
	RN_TRY(fill(ctx, sorter, run, sizeof(Head)));
	memcpy(&run->head, run->buffer + run->start, sizeof(Head));
	if (run->head.size > run->region.size)
		return rn_fail(ctx, RN_IO, "temporary file of the training job is damaged");
	return fill(ctx, sorter, run, record_size(run->head.size));
}

static int
run_before(const Run *a, const Run *b)
{
	if (a->head.key[0] != b->head.key[0])
		return a->head.key[0] < b->head.key[0];
	return a->head.key[1] < b->head.key[1];
}

/* The least run at the top. */
static void
sift_down(Run **heap, int n, int at)
{
	for (;;)
	{
		int			child = 2 * at + 1;
		Run		   *run = heap[at];

		if (child >= n)
			return;
		if (child + 1 < n && run_before(heap[child + 1], heap[child]))
			child++;
		if (!run_before(heap[child], run))
			return;
		heap[at] = heap[child];
		heap[child] = run;
		at = child;
	}
}

static RnStatus
merge(RnContext *ctx, RnSorter *sorter, Run **heap, RnSorterEmit emit, void *arg)
{
	size_t		buffer = sorter->memory / (size_t) (sorter->n_runs + 1);
	int			n = 0;
	int			more;
	int			i;

	if (buffer < RUN_BUFFER_LEAST)
		buffer = RUN_BUFFER_LEAST;
	if (buffer > RUN_BUFFER_MOST)
		buffer = RUN_BUFFER_MOST;
	for (i = 0; i < sorter->n_runs; i++)
	{
		Run		   *run = &sorter->runs[i];

		run->buffer = malloc(buffer);
		if (run->buffer == NULL)
			return rn_out_of_memory(ctx, buffer);
		run->capacity = buffer;
		RN_TRY(next_record(ctx, sorter, run, &more));
		if (more)
			heap[n++] = run;
	}
	for (i = n / 2 - 1; i >= 0; i--)
		sift_down(heap, n, i);
	while (n > 0)
	{
		Run		   *run = heap[0];

		RN_TRY(emit(ctx, arg, run->buffer + run->start + sizeof(Head), (size_t) run->head.size));
		run->start += record_size(run->head.size);
		RN_TRY(next_record(ctx, sorter, run, &more));
		if (!more)
			heap[0] = heap[--n];
		sift_down(heap, n, 0);
	}
	return RN_OK;
}

static RnStatus
merge_runs(RnContext *ctx, RnSorter *sorter, RnSorterEmit emit, void *arg)
{
	RnStatus	status;
	Run		  **heap;
	int			i;

	if (sorter->n_records > 0)
		RN_TRY(write_run(ctx, sorter));
	free(sorter->bytes);
	sorter->bytes = NULL;
	sorter->capacity = 0;
	heap = malloc((size_t) sorter->n_runs * sizeof(*heap));
	if (heap == NULL)
		return rn_out_of_memory(ctx, (size_t) sorter->n_runs * sizeof(*heap));
	status = merge(ctx, sorter, heap, emit, arg);
	free(heap);
	for (i = 0; i < sorter->n_runs; i++)
		rn_spill_release(sorter->spill, sorter->runs[i].region.offset, sorter->runs[i].region.size);
	return status;
}

RnStatus
rn_sorter_finish(RnContext *ctx, RnSorter *sorter, RnSorterEmit emit, void *arg)
{
	RnStatus	status = RN_OK;
	Entry	   *entries;
	size_t		i;

	if (sorter->n_runs > 0)
		return merge_runs(ctx, sorter, emit, arg);
	RN_TRY(sort_memory(ctx, sorter, &entries));
	for (i = 0; i < sorter->n_records && status == RN_OK; i++)
		status = emit(ctx, arg, entries[i].record + sizeof(Head),
					  (size_t) ((const Head *) entries[i].record)->size);
	free(entries);
	return status;
}
