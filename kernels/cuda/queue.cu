/*
 * queue.cu
 *		Lists of commands, and the graphs that take the place of some.
 *
 * A list is done one by one the first two times that it is met, and captured
 * the third time.  A graph is used where its list is the same byte by byte, so
 * it does what the list would have done, whatever has become of memory in
 * between.  A capture that fails costs nothing but itself: the list is there.
 *
 * kernels/cuda/queue.cu
 */
#include "kernels/cuda/cuda.h"

#include <stdlib.h>

#define GRAPHS_MOST		64		/* kept; the one that has not been used for longest goes */
#define SEEN_MOST		512		/* lists that are remembered by a hash */
#define PLAIN_TIMES		2		/* before a graph is made */
#define COMMANDS_LEAST	8		/* of a list that is worth a graph */
#define NEVER			1000000 /* times seen, of a list that could not be captured */

/* Before each command in a list. */
typedef struct Header
{
	RnCommand	command;
	size_t		bytes;			/* of the payload */
} Header;

typedef struct Graph
{
	uint64_t	hash;
	char	   *list;
	size_t		bytes;
	cudaGraphExec_t executable;
	uint64_t	used;			/* clock */
} Graph;

typedef struct Seen
{
	uint64_t	hash;
	int			times;
	uint64_t	used;
} Seen;

struct RnQueue
{
	bool		gathers;
	char	   *list;
	size_t		bytes;
	size_t		capacity;
	int			n;				/* commands */
	Graph		graphs[GRAPHS_MOST];
	int			n_graphs;
	Seen		seen[SEEN_MOST];
	int			n_seen;
	uint64_t	clock;
};

/* ---- the list ---- */

bool
rn_lane_gathers(const RnLane *lane)
{
	return lane->queue != NULL && lane->queue->gathers;
}

cudaStream_t
rn_queue_stream(RnLane *lane)
{
	return rn_lane_stream(lane);
}

void
rn_queue_launched(RnLane *lane, const char *name)
{
	rn_cuda_ok(lane, cudaGetLastError(), name);
}

static bool
make_room(struct RnQueue *queue, size_t bytes)
{
	const size_t capacity = 2 * queue->capacity + bytes + 65536;
	char	   *list;

	if (queue->bytes + bytes <= queue->capacity)
		return true;
	list = (char *) realloc(queue->list, capacity);
	if (list == NULL)
		return false;
	queue->list = list;
	queue->capacity = capacity;
	return true;
}

char *
rn_queue_add(RnLane *lane, RnCommand command, size_t bytes)
{
	struct RnQueue *queue = lane->queue;
	const size_t whole = (bytes + 15) / 16 * 16;
	Header	   *header;

	if (queue == NULL || !queue->gathers)
		return NULL;
	if (!make_room(queue, sizeof(Header) + whole))
	{
		/* in order, but at once */
		rn_queue_flush(lane);
		if (!make_room(queue, sizeof(Header) + whole))
			return NULL;
	}
	header = (Header *) (queue->list + queue->bytes);
	memset((void *) header, 0, sizeof(Header) + whole);
	header->command = command;
	header->bytes = whole;
	queue->bytes += sizeof(Header) + whole;
	queue->n++;
	return (char *) (header + 1);
}

static void
do_all(RnLane *lane)
{
	const struct RnQueue *queue = lane->queue;
	size_t		at;

	for (at = 0; at < queue->bytes;)
	{
		const Header *header = (const Header *) (queue->list + at);

		header->command(lane, (const char *) (header + 1));
		at += sizeof(Header) + header->bytes;
	}
}

/* ---- graphs ---- */

static uint64_t
hash_of(const char *list, size_t bytes)
{
	uint64_t	hash = UINT64_C(0xcbf29ce484222325);
	size_t		i;

	for (i = 0; i + sizeof(uint64_t) <= bytes; i += sizeof(uint64_t))
	{
		uint64_t	word;

		memcpy(&word, list + i, sizeof(word));
		hash = (hash ^ word) * UINT64_C(0x100000001b3);
		hash ^= hash >> 29;
	}
	return hash;
}

static Graph *
find_graph(struct RnQueue *queue, uint64_t hash)
{
	int			i;

	for (i = 0; i < queue->n_graphs; i++)
	{
		Graph	   *graph = &queue->graphs[i];

		if (graph->hash == hash && graph->bytes == queue->bytes && memcmp(graph->list, queue->list, queue->bytes) == 0)
			return graph;
	}
	return NULL;
}

/* How often such a list was met before; the oldest is forgotten. */
static Seen *
find_seen(struct RnQueue *queue, uint64_t hash)
{
	Seen	   *seen = queue->seen;
	int			i;

	for (i = 0; i < queue->n_seen; i++)
	{
		if (queue->seen[i].hash == hash)
			return &queue->seen[i];
		if (queue->seen[i].used < seen->used)
			seen = &queue->seen[i];
	}
	if (queue->n_seen < SEEN_MOST)
		seen = &queue->seen[queue->n_seen++];
	seen->hash = hash;
	seen->times = 0;
	return seen;
}

static void
drop_graph(Graph *graph)
{
	if (graph->executable != NULL)
		cudaGraphExecDestroy(graph->executable);
	free(graph->list);
	memset(graph, 0, sizeof(*graph));
}

/* A place for one more. */
static Graph *
free_place(RnLane *lane, struct RnQueue *queue)
{
	Graph	   *oldest = queue->graphs;
	int			i;

	if (queue->n_graphs < GRAPHS_MOST)
		return &queue->graphs[queue->n_graphs++];
	for (i = 1; i < GRAPHS_MOST; i++)
		if (queue->graphs[i].used < oldest->used)
			oldest = &queue->graphs[i];
	cudaStreamSynchronize(rn_lane_stream(lane));
	drop_graph(oldest);
	return oldest;
}

/* What goes wrong while a stream is captured says nothing of the device. */
static cudaGraphExec_t
capture(RnLane *lane)
{
	const cudaError_t failed = lane->failed;
	const char *failed_at = lane->failed_at;
	cudaGraphExec_t executable = NULL;
	cudaGraph_t graph = NULL;
	cudaError_t error = cudaStreamBeginCapture(rn_lane_stream(lane), cudaStreamCaptureModeThreadLocal);

	if (error == cudaSuccess)
	{
		do_all(lane);
		error = cudaStreamEndCapture(rn_lane_stream(lane), &graph);
	}
	if (error == cudaSuccess && lane->failed == failed)
		error = cudaGraphInstantiate(&executable, graph, 0);
	if (graph != NULL)
		cudaGraphDestroy(graph);
	if (error != cudaSuccess || lane->failed != failed)
		cudaGetLastError();
	lane->failed = failed;
	lane->failed_at = failed_at;
	return error == cudaSuccess ? executable : NULL;
}

static Graph *
make_graph(RnLane *lane, uint64_t hash)
{
	struct RnQueue *queue = lane->queue;
	char	   *list = (char *) malloc(queue->bytes);
	cudaGraphExec_t executable = list != NULL ? capture(lane) : NULL;
	Graph	   *graph;

	if (executable == NULL)
	{
		free(list);
		return NULL;
	}
	graph = free_place(lane, queue);
	memcpy(list, queue->list, queue->bytes);
	graph->hash = hash;
	graph->list = list;
	graph->bytes = queue->bytes;
	graph->executable = executable;
	return graph;
}

/* Is there a graph in its place, or can one be made by now? */
static bool
launch_graph(RnLane *lane)
{
	struct RnQueue *queue = lane->queue;
	const uint64_t hash = hash_of(queue->list, queue->bytes);
	Graph	   *graph = find_graph(queue, hash);

	queue->clock++;
	if (graph == NULL)
	{
		Seen	   *seen = find_seen(queue, hash);

		seen->used = queue->clock;
		if (seen->times++ != PLAIN_TIMES)
			return false;
		graph = make_graph(lane, hash);
		seen->times = graph != NULL ? PLAIN_TIMES : NEVER;
		if (graph == NULL)
			return false;
	}
	graph->used = queue->clock;
	rn_cuda_ok(lane, cudaGraphLaunch(graph->executable, rn_lane_stream(lane)), "a graph");
	return true;
}

void
rn_queue_flush(RnLane *lane)
{
	struct RnQueue *queue = lane->queue;

	if (queue == NULL || queue->n == 0)
		return;
	rn_lane_uploads_send(lane);
	if (lane->failed == cudaSuccess && (queue->n < COMMANDS_LEAST || !launch_graph(lane)))
		do_all(lane);
	queue->bytes = 0;
	queue->n = 0;
}

/* ---- a lane that gathers ---- */

void
rn_cuda_note_begin(RnLane *lane)
{
	if (lane->queue == NULL)
		lane->queue = (struct RnQueue *) calloc(1, sizeof(struct RnQueue));
	if (lane->queue == NULL || lane->failed != cudaSuccess)
		return;
	rn_lane_uploads_turn(lane);
	lane->queue->gathers = true;
}

void
rn_cuda_note_end(RnLane *lane)
{
	if (lane->queue == NULL)
		return;
	rn_queue_flush(lane);
	lane->queue->gathers = false;
}

void
rn_queue_free(RnLane *lane)
{
	struct RnQueue *queue = lane->queue;
	int			i;

	if (queue == NULL)
		return;
	for (i = 0; i < queue->n_graphs; i++)
		drop_graph(&queue->graphs[i]);
	free(queue->list);
	free(queue);
	lane->queue = NULL;
}
