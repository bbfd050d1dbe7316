/*
 * mirror.cu
 *		Memory that exists twice, pinned on the host and on the device.
 *
 * Towards the device go the caller's arrays of integers: who asks for one
 * that was sent already and has not changed gets the copy that is there, so
 * the names of a batch's rows travel once and not once a layer.  Towards the
 * host go results that kernels leave behind: they wait in the device's half
 * and synchronize fetches them together.
 *
 * kernels/cuda/mirror.cu
 */
#include "kernels/cuda/cuda.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/pool.h"

#define CHUNK			((size_t) 256 * 1024)	/* the least that is allocated at once */
#define UPLOADS_MOST	((size_t) 8 << 20)		/* beyond it copies are forgotten, */
#define ENTRIES_MOST	256						/* or beyond so many, as they are looked through */

typedef struct Chunk
{
	struct Chunk *next;
	char	   *host;			/* pinned */
	char	   *device;
	size_t		size;
	size_t		used;
} Chunk;

/* An array sent, or a result awaited. */
typedef struct Entry
{
	void	   *host;			/* the caller's */
	size_t		bytes;
	char	   *mirrored;		/* in the chunk's pinned half */
	char	   *device;
} Entry;

struct RnMirror
{
	Chunk	   *chunks;
	Entry	   *entries;
	int			n_entries;
	int			capacity;
	size_t		used;
};

static void
free_chunk(Chunk *chunk)
{
	if (chunk->host != NULL)
		cudaFreeHost(chunk->host);
	if (chunk->device != NULL)
		rn_pool_give(chunk->device, chunk->size);
	free(chunk);
}

void
rn_mirror_free(struct RnMirror *mirror)
{
	if (mirror == NULL)
		return;
	while (mirror->chunks != NULL)
	{
		Chunk	   *next = mirror->chunks->next;

		free_chunk(mirror->chunks);
		mirror->chunks = next;
	}
	free(mirror->entries);
	free(mirror);
}

static void
forget(struct RnMirror *mirror)
{
	Chunk	   *chunk;

	for (chunk = mirror->chunks; chunk != NULL; chunk = chunk->next)
		chunk->used = 0;
	mirror->n_entries = 0;
	mirror->used = 0;
}

static Chunk *
add_chunk(RnLane *lane, struct RnMirror *mirror, size_t bytes)
{
	const size_t size = bytes > CHUNK ? bytes : CHUNK;
	Chunk	   *chunk = (Chunk *) calloc(1, sizeof(*chunk));

	void	   *memory;

	if (chunk == NULL)
	{
		lane->refused = size;
		return NULL;
	}
	chunk->size = size;
	(void) rn_lane_stream(lane);
	if (rn_pool_take(size, &memory) != cudaSuccess)
	{
		cudaGetLastError();
		lane->refused = size;
		free(chunk);
		return NULL;
	}
	chunk->device = (char *) memory;
	if (cudaMallocHost((void **) &chunk->host, size) != cudaSuccess)
	{
		cudaGetLastError();
		chunk->host = NULL;
		lane->refused = size;
	}
	if (chunk->host == NULL)
	{
		free_chunk(chunk);
		return NULL;
	}
	chunk->next = mirror->chunks;
	mirror->chunks = chunk;
	return chunk;
}

/* A new entry with room in both halves; NULL when there is none. */
static Entry *
add_entry(RnLane *lane, struct RnMirror **mirror_at, size_t bytes)
{
	const size_t whole = (bytes + 63) / 64 * 64;
	struct RnMirror *mirror = *mirror_at;
	Chunk	   *chunk;
	Entry	   *entry;

	if (mirror == NULL)
		mirror = *mirror_at = (struct RnMirror *) calloc(1, sizeof(*mirror));
	if (mirror != NULL && mirror->n_entries == mirror->capacity)
	{
		const int	capacity = mirror->capacity > 0 ? 2 * mirror->capacity : 64;
		Entry	   *entries = (Entry *) realloc(mirror->entries, capacity * sizeof(Entry));

		if (entries != NULL)
		{
			mirror->entries = entries;
			mirror->capacity = capacity;
		}
	}
	if (mirror == NULL || mirror->n_entries == mirror->capacity)
	{
		lane->refused = sizeof(Entry);
		return NULL;
	}
	for (chunk = mirror->chunks; chunk != NULL && chunk->size - chunk->used < whole; chunk = chunk->next)
		;
	if (chunk == NULL)
		chunk = add_chunk(lane, mirror, whole);
	if (chunk == NULL)
		return NULL;
	entry = &mirror->entries[mirror->n_entries++];
	entry->bytes = bytes;
	entry->mirrored = chunk->host + chunk->used;
	entry->device = chunk->device + chunk->used;
	chunk->used += whole;
	mirror->used += whole;
	return entry;
}

/* Before it is settled a pass has added its arrays: numbers of rows, a few of each side, and of what is beside them. */
size_t
rn_mirrors_most(const RnWork *work)
{
	return UPLOADS_MOST + 8 * CHUNK + 16 * (size_t) work->rows * sizeof(int32_t);
}

/* ---- towards the device ---- */

const void *
rn_lane_upload(RnLane *lane, const void *host, size_t bytes)
{
	Entry	   *entry;
	int			i;

	if (lane->failed != cudaSuccess)
		return NULL;
	for (i = lane->uploads != NULL ? lane->uploads->n_entries : 0; i-- > 0;)
	{
		entry = &lane->uploads->entries[i];
		if (entry->host == host && entry->bytes == bytes)
		{
			if (memcmp(entry->mirrored, host, bytes) == 0)
				return entry->device;
			break;
		}
	}
	entry = add_entry(lane, &lane->uploads, bytes);
	if (entry == NULL)
		return NULL;
	entry->host = (void *) host;
	if (bytes > 0)
	{
		memcpy(entry->mirrored, host, bytes);
		if (!rn_cuda_ok(lane, cudaMemcpyAsync(entry->device, entry->mirrored, bytes, cudaMemcpyHostToDevice,
											  rn_lane_stream(lane)), "copying to the GPU"))
			return NULL;
	}
	return entry->device;
}

bool
rn_lane_uploads_abound(const RnLane *lane)
{
	return lane->uploads != NULL && (lane->uploads->used > UPLOADS_MOST || lane->uploads->n_entries > ENTRIES_MOST);
}

/* Nothing is on its way: what was sent may be forgotten. */
void
rn_lane_uploads_settled(RnLane *lane)
{
	if (rn_lane_uploads_abound(lane))
		forget(lane->uploads);
}

/* ---- towards the host ---- */

void *
rn_lane_result(RnLane *lane, void *host, size_t bytes)
{
	Entry	   *entry = lane->failed == cudaSuccess ? add_entry(lane, &lane->results, bytes) : NULL;

	if (entry == NULL)
		return NULL;
	entry->host = host;
	return entry->device;
}

void
rn_lane_results_fetch(RnLane *lane)
{
	Chunk	   *chunk;

	if (lane->results == NULL || lane->failed != cudaSuccess)
		return;
	for (chunk = lane->results->chunks; chunk != NULL; chunk = chunk->next)
		if (chunk->used > 0)
			rn_cuda_ok(lane, cudaMemcpyAsync(chunk->host, chunk->device, chunk->used, cudaMemcpyDeviceToHost,
											 rn_lane_stream(lane)), "copying from the GPU");
}

/* In the order in which they were asked for. */
void
rn_lane_results_deliver(RnLane *lane, bool arrived)
{
	int			i;

	if (lane->results == NULL)
		return;
	for (i = 0; arrived && i < lane->results->n_entries; i++)
	{
		const Entry *entry = &lane->results->entries[i];

		memcpy(entry->host, entry->mirrored, entry->bytes);
	}
	forget(lane->results);
}
