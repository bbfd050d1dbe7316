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
 * A lane that gathers fills pinned memory while it notes its commands, and
 * sends all of it when the list is handed over: on a stream of its own, which
 * need not wait for the lists before, to a place from which the lane's stream
 * takes it when it is that far.  There are RING of both, and the host waits
 * when all are under way.  What kernels see lies in one place all the time.
 *
 * kernels/cuda/mirror.cu
 */
#include "kernels/cuda/cuda.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/pool.h"

#define CHUNK			((size_t) 256 * 1024)	/* the least that is allocated at once */
#define RING			3		/* lists whose arrays may be under way */
#define UPLOADS_MOST	((size_t) 2 << 20)		/* beyond it copies are forgotten, */
#define ENTRIES_MOST	256						/* or beyond so many, as they are looked through */

typedef struct Chunk
{
	struct Chunk *next;
	char	   *host;			/* [turns] pinned */
	char	   *device;			/* what kernels see; for uploads [turns] follow, where they arrive */
	size_t		size;			/* of one */
	size_t		taken;			/* bytes on the device, all together */
	size_t		used;
	size_t		sent;			/* of used */
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

	/* of uploads */
	int			turns;			/* RING; of results 1 */
	int			turn;			/* being filled */
	cudaStream_t stream;
	cudaEvent_t arrived;		/* in the places that arrive */
	cudaEvent_t done[RING];		/* the lane's stream has taken it from there */
	bool		pending[RING];	/* done was recorded and not waited for */
	bool		at_once;		/* something was sent from turn since, on the lane's stream */
};

/* turns: RING for uploads, 1 for results. */
static cudaError_t
create(int turns, struct RnMirror **mirror)
{
	cudaError_t error = cudaSuccess;
	int			i;

	*mirror = (struct RnMirror *) calloc(1, sizeof(**mirror));
	if (*mirror == NULL)
		return cudaErrorMemoryAllocation;
	(*mirror)->turns = turns;
	if (turns == 1)
		return cudaSuccess;
	error = cudaStreamCreateWithFlags(&(*mirror)->stream, cudaStreamNonBlocking);
	if (error == cudaSuccess)
		error = cudaEventCreateWithFlags(&(*mirror)->arrived, cudaEventDisableTiming);
	for (i = 0; i < turns && error == cudaSuccess; i++)
		error = cudaEventCreateWithFlags(&(*mirror)->done[i], cudaEventDisableTiming);
	return error;
}

cudaError_t
rn_lane_mirrors_create(RnLane *lane)
{
	const cudaError_t error = create(RING, &lane->uploads);

	return error == cudaSuccess ? create(1, &lane->results) : error;
}

static void
free_chunk(Chunk *chunk)
{
	if (chunk->host != NULL)
		cudaFreeHost(chunk->host);
	if (chunk->device != NULL)
		rn_pool_give(chunk->device, chunk->taken);
	free(chunk);
}

void
rn_mirror_free(struct RnMirror *mirror)
{
	int			i;

	if (mirror == NULL)
		return;
	if (mirror->stream != NULL)
	{
		cudaStreamSynchronize(mirror->stream);
		cudaStreamDestroy(mirror->stream);
	}
	if (mirror->arrived != NULL)
		cudaEventDestroy(mirror->arrived);
	for (i = 0; i < RING; i++)
		if (mirror->done[i] != NULL)
			cudaEventDestroy(mirror->done[i]);
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
		chunk->used = chunk->sent = 0;
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
	chunk->taken = mirror->turns > 1 ? (1 + mirror->turns) * size : size;
	(void) rn_lane_stream(lane);
	if (rn_pool_take(chunk->taken, &memory) != cudaSuccess)
	{
		cudaGetLastError();
		lane->refused = size;
		free(chunk);
		return NULL;
	}
	chunk->device = (char *) memory;
	if (cudaMallocHost((void **) &chunk->host, mirror->turns * size) != cudaSuccess)
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
add_entry(RnLane *lane, struct RnMirror *mirror, size_t bytes)
{
	const size_t whole = (bytes + 63) / 64 * 64;
	Chunk	   *chunk;
	Entry	   *entry;

	if (mirror->n_entries == mirror->capacity)
	{
		const int	capacity = mirror->capacity > 0 ? 2 * mirror->capacity : 64;
		Entry	   *entries = (Entry *) realloc(mirror->entries, capacity * sizeof(Entry));

		if (entries != NULL)
		{
			mirror->entries = entries;
			mirror->capacity = capacity;
		}
	}
	if (mirror->n_entries == mirror->capacity)
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
	entry->mirrored = chunk->host + mirror->turn * chunk->size + chunk->used;
	entry->device = chunk->device + chunk->used;
	chunk->used += whole;
	mirror->used += whole;
	return entry;
}

/* Before it is settled a pass has added its arrays: numbers of rows, a few of each side, and of what is beside them. */
size_t
rn_mirrors_most(const RnWork *work)
{
	return (1 + RING) * (UPLOADS_MOST + 4 * CHUNK + 16 * (size_t) work->rows * sizeof(int32_t)) + 4 * CHUNK;
}

/* ---- towards the device ---- */

static void
mark_sent(struct RnMirror *mirror)
{
	Chunk	   *chunk;

	for (chunk = mirror->chunks; chunk != NULL; chunk = chunk->next)
		chunk->sent = chunk->used;
}

const void *
rn_lane_upload(RnLane *lane, const void *host, size_t bytes)
{
	Entry	   *entry;
	int			i;

	if (lane->failed != cudaSuccess)
		return NULL;
	for (i = lane->uploads->n_entries; i-- > 0;)
	{
		entry = &lane->uploads->entries[i];
		if (entry->host == host && entry->bytes == bytes)
		{
			if (memcmp(entry->mirrored, host, bytes) == 0)
				return entry->device;
			break;
		}
	}
	entry = add_entry(lane, lane->uploads, bytes);
	if (entry == NULL)
		return NULL;
	entry->host = (void *) host;
	if (bytes > 0)
		memcpy(entry->mirrored, host, bytes);
	if (bytes > 0 && !rn_lane_gathers(lane) &&
		!rn_cuda_ok(lane, cudaMemcpyAsync(entry->device, entry->mirrored, bytes, cudaMemcpyHostToDevice,
										  rn_lane_stream(lane)), "copying to the GPU"))
		return NULL;
	if (!rn_lane_gathers(lane))
	{
		mark_sent(lane->uploads);
		lane->uploads->at_once = true;
	}
	return entry->device;
}

const uint32_t *
rn_lane_number(RnLane *lane, uint32_t number)
{
	lane->number = number;
	return (const uint32_t *) rn_lane_upload(lane, &lane->number, sizeof(lane->number));
}

/* When the lane's stream has come here, what was sent in this turn is where kernels see it. */
static void
note_taken(RnLane *lane, struct RnMirror *mirror)
{
	mirror->pending[mirror->turn] = rn_cuda_ok(lane, cudaEventRecord(mirror->done[mirror->turn], rn_lane_stream(lane)),
											   "copying to the GPU");
	mirror->at_once = false;
}

/* Give the list that comes memory of its own: what was sent before may still be under way. */
void
rn_lane_uploads_turn(RnLane *lane)
{
	struct RnMirror *mirror = lane->uploads;

	if (mirror->n_entries == 0)
		return;
	if (mirror->at_once)
		note_taken(lane, mirror);
	mirror->turn = (mirror->turn + 1) % RING;
	if (mirror->pending[mirror->turn])
		rn_cuda_ok(lane, cudaEventSynchronize(mirror->done[mirror->turn]), "copying to the GPU");
	mirror->pending[mirror->turn] = false;
	forget(mirror);
}

void
rn_lane_uploads_send(RnLane *lane)
{
	struct RnMirror *mirror = lane->uploads;
	Chunk	   *chunk;
	bool		any = false;

	for (chunk = mirror->chunks; chunk != NULL; chunk = chunk->next)
	{
		const size_t at = (size_t) mirror->turn * chunk->size + chunk->sent;

		if (chunk->used == chunk->sent)
			continue;
		rn_cuda_ok(lane, cudaMemcpyAsync(chunk->device + chunk->size + at, chunk->host + at, chunk->used - chunk->sent,
										 cudaMemcpyHostToDevice, mirror->stream), "copying to the GPU");
		any = true;
	}
	if (!any)
		return;
	rn_cuda_ok(lane, cudaEventRecord(mirror->arrived, mirror->stream), "copying to the GPU");
	rn_cuda_ok(lane, cudaStreamWaitEvent(rn_lane_stream(lane), mirror->arrived, 0), "copying to the GPU");
	for (chunk = mirror->chunks; chunk != NULL; chunk = chunk->next)
		if (chunk->used > chunk->sent)
			rn_cuda_ok(lane, cudaMemcpyAsync(chunk->device + chunk->sent,
											 chunk->device + chunk->size + (size_t) mirror->turn * chunk->size + chunk->sent,
											 chunk->used - chunk->sent, cudaMemcpyDeviceToDevice, rn_lane_stream(lane)),
					   "copying to the GPU");
	note_taken(lane, mirror);
	mark_sent(mirror);
}

bool
rn_lane_uploads_abound(const RnLane *lane)
{
	return !rn_lane_gathers(lane) && (lane->uploads->used > UPLOADS_MOST || lane->uploads->n_entries > ENTRIES_MOST);
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
	Entry	   *entry = lane->failed == cudaSuccess ? add_entry(lane, lane->results, bytes) : NULL;

	if (entry == NULL)
		return NULL;
	entry->host = host;
	return entry->device;
}

void
rn_lane_results_fetch(RnLane *lane)
{
	Chunk	   *chunk;

	if (lane->failed != cudaSuccess)
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

	for (i = 0; arrived && i < lane->results->n_entries; i++)
	{
		const Entry *entry = &lane->results->entries[i];

		memcpy(entry->host, entry->mirrored, entry->bytes);
	}
	forget(lane->results);
}
