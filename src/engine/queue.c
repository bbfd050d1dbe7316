/*
 * queue.c
 *		Work between the I/O thread and the threads that compute.
 *
 * src/engine/queue.c
 */
#include "engine/queue.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* More than this waiting, and clients wait with their next request. */
#define QUEUE_ITEMS		(4 * RN_REQUEST_TEXTS)
#define QUEUE_BYTES		((size_t) 256 * 1024 * 1024)

/* Texts are not yet cut into pieces when batches are made: bytes of a piece, roughly. */
#define BYTES_OF_PIECE	4

RnStatus
rn_queue_init(RnContext *ctx, RnQueue *queue, int threads)
{
	memset(queue, 0, sizeof(*queue));
	queue->threads = threads;
	queue->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	queue->running = calloc(threads, sizeof(RnBatch *));
	if (queue->done_fd < 0 || queue->running == NULL)
	{
		rn_queue_free(queue);
		return rn_fail(ctx, RN_NO_MEMORY, "could not create the queue of the serving engine");
	}
	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->wake, NULL);
	return RN_OK;
}

void
rn_queue_free(RnQueue *queue)
{
	RnBuild    *build;

	if (queue->done_fd >= 0)
		close(queue->done_fd);
	free(queue->running);
	while ((build = queue->builds) != NULL)
	{
		queue->builds = build->next;
		free(build);
	}
	while ((build = queue->built) != NULL)
	{
		queue->built = build->next;
		rn_prepared_free(build->prepared);
		free(build);
	}
}

static void
append_turn(RnQueue *queue, RnRequest *request)
{
	request->next_queued = NULL;
	if (queue->last != NULL)
		queue->last->next_queued = request;
	else
		queue->first = request;
	queue->last = request;
}

/* Behind what its client has in the ring, or at the end of it. */
static void
append_request(RnQueue *queue, RnRequest *request)
{
	RnRequest  *at = queue->first;

	request->behind = NULL;
	while (at != NULL && at->connection != request->connection)
		at = at->next_queued;
	if (at == NULL)
	{
		append_turn(queue, request);
		return;
	}
	while (at->behind != NULL)
		at = at->behind;
	at->behind = request;
}

void
rn_queue_add(RnQueue *queue, RnRequest *request)
{
	pthread_mutex_lock(&queue->lock);
	append_request(queue, request);
	queue->n_waiting += request->n_items;
	queue->bytes += request->bytes;
	if (request->n_items > 1)
		pthread_cond_broadcast(&queue->wake);
	else
		pthread_cond_signal(&queue->wake);
	pthread_mutex_unlock(&queue->lock);
}

RnStatus
rn_queue_add_build(RnContext *ctx, RnQueue *queue, RnServedModel *model, int precision)
{
	RnBuild    *build = calloc(1, sizeof(*build));

	if (build == NULL)
		return rn_out_of_memory(ctx, sizeof(*build));
	build->model = model;
	build->precision = precision;
	pthread_mutex_lock(&queue->lock);
	build->next = queue->builds;
	queue->builds = build;
	pthread_cond_signal(&queue->wake);
	pthread_mutex_unlock(&queue->lock);
	return RN_OK;
}

/* Take a request out of the line behind another; false when it is not there. */
static int
remove_behind(RnRequest *at, RnRequest *request)
{
	while (at->behind != NULL && at->behind != request)
		at = at->behind;
	if (at->behind == NULL)
		return 0;
	at->behind = request->behind;
	return 1;
}

/* Take a request out of the ring of turns, if it is there; what stands behind it takes its place. */
static void
remove_turn(RnQueue *queue, RnRequest *request)
{
	RnRequest  *before = NULL;
	RnRequest  *at;
	RnRequest  *after;

	for (at = queue->first; at != NULL && at != request; at = at->next_queued)
	{
		if (remove_behind(at, request))
			return;
		before = at;
	}
	if (at == NULL)
		return;
	after = request->next_queued;
	if (request->behind != NULL)
	{
		request->behind->next_queued = after;
		after = request->behind;
	}
	if (before != NULL)
		before->next_queued = after;
	else
		queue->first = after;
	if (queue->last == request)
		queue->last = after != NULL ? after : before;
	request->next_queued = NULL;
	request->behind = NULL;
}

/* Tell batches to stop of which nobody wants anything any more. */
static void
stop_unwanted(RnQueue *queue)
{
	int			t,
				i;

	for (t = 0; t < queue->threads; t++)
	{
		RnBatch    *batch = queue->running[t];

		if (batch == NULL)
			continue;
		for (i = 0; i < batch->n && batch->requests[i]->abandoned; i++)
			;
		if (i == batch->n)
			__atomic_store_n(&batch->stop, 1, __ATOMIC_RELAXED);
	}
}

int
rn_queue_abandon(RnQueue *queue, RnRequest *request)
{
	int			n_left;
	int			gone;

	pthread_mutex_lock(&queue->lock);
	n_left = request->n_items - request->n_taken;
	remove_turn(queue, request);
	queue->n_waiting -= n_left;
	request->n_taken = request->n_items;
	request->n_unfinished -= n_left;
	request->abandoned = 1;
	queue->counters.abandoned++;
	gone = request->n_unfinished == 0 && n_left > 0;
	if (gone)
		queue->bytes -= request->bytes;
	else
		stop_unwanted(queue);
	pthread_mutex_unlock(&queue->lock);
	return gone;
}

void
rn_queue_collect(RnQueue *queue, RnRequest **done, RnBuild **built)
{
	eventfd_t	count;

	eventfd_read(queue->done_fd, &count);
	pthread_mutex_lock(&queue->lock);
	*done = queue->done;
	*built = queue->built;
	queue->done = queue->last_done = NULL;
	queue->built = NULL;
	pthread_mutex_unlock(&queue->lock);
}

int
rn_queue_full(RnQueue *queue)
{
	int			full;

	pthread_mutex_lock(&queue->lock);
	full = queue->n_waiting >= QUEUE_ITEMS || queue->bytes >= QUEUE_BYTES;
	pthread_mutex_unlock(&queue->lock);
	return full;
}

void
rn_queue_stop(RnQueue *queue)
{
	int			t;

	pthread_mutex_lock(&queue->lock);
	queue->stop = 1;
	for (t = 0; t < queue->threads; t++)
	{
		if (queue->running[t] != NULL)
			__atomic_store_n(&queue->running[t]->stop, 1, __ATOMIC_RELAXED);
	}
	pthread_cond_broadcast(&queue->wake);
	pthread_mutex_unlock(&queue->lock);
}

static int
same_kind(const RnRequest *a, const RnRequest *b)
{
	return a->model == b->model && a->task == b->task &&
		memcmp(&a->options, &b->options, sizeof(a->options)) == 0;
}

/* Pieces that an item will have, about; what has several hypotheses counts as often. */
static int
item_cost(const RnRequest *request, int item)
{
	int			rows = request->task == RN_TASK_TRANSLATE ? rn_search_rows(&request->options, NULL) : 1;
	size_t		pieces;

	if (request->task == RN_TASK_DETOKENIZE)
		return 1;
	pieces = request->texts[item].size / BYTES_OF_PIECE + 1;
	if (request->targets != NULL)
		pieces += request->targets[item].size / BYTES_OF_PIECE + 1;
	if (pieces > (size_t) request->model->config.max_length)
		pieces = request->model->config.max_length;
	return (int) pieces * rows;
}

/* Move up to n items of a request to the batch, as long as they fit. */
static void
take_items(RnQueue *queue, RnBatch *batch, RnRequest *request, int n, int limit, int *cost)
{
	while (n > 0 && batch->n < limit && request->n_taken < request->n_items)
	{
		int			item = request->order[request->n_taken];
		int			more = item_cost(request, item);

		if (batch->n > 0 && *cost + more > RN_BATCH_PIECES)
			return;
		*cost += more;
		batch->requests[batch->n] = request;
		batch->items[batch->n] = item;
		batch->n++;
		request->n_taken++;
		queue->n_waiting--;
		queue->n_running++;
		n--;
	}
}

/* The same from a client's requests, one after the other, while they are of one kind. */
static void
take_from_client(RnQueue *queue, RnBatch *batch, RnRequest *request, int n, int limit, int *cost)
{
	const RnRequest *kind = request;

	for (; request != NULL && same_kind(kind, request); request = request->behind)
	{
		int			before = batch->n;

		take_items(queue, batch, request, n, limit, cost);
		n -= batch->n - before;
		if (request->n_taken < request->n_items)
			return;
	}
}

/* Items of a client that could go into one batch. */
static int
count_items(const RnRequest *request)
{
	const RnRequest *kind = request;
	int			n = 0;

	for (; request != NULL && same_kind(kind, request); request = request->behind)
		n += request->n_items - request->n_taken;
	return n;
}

/* Drop requests that have nothing left; the client at the head of the ring goes behind the others. */
static void
next_turn(RnQueue *queue)
{
	RnRequest  *head = queue->first;
	RnRequest  *at = head;
	RnRequest  *next;

	queue->first = queue->last = NULL;
	for (; at != NULL; at = next)
	{
		next = at->next_queued;
		while (at != NULL && at->n_taken == at->n_items)
		{
			RnRequest  *taken = at;

			at = at->behind;
			taken->behind = NULL;
			if (taken == head)
				head = at;
		}
		if (at != NULL && at != head)
			append_turn(queue, at);
	}
	if (head != NULL)
		append_turn(queue, head);
}

static void
fill_batch(RnQueue *queue, RnBatch *batch)
{
	RnRequest  *head = queue->first;
	RnRequest  *at;
	int			limit = batch->capacity;
	int			waiting = 0;
	int			n_clients = 0;
	int			cost = 0;
	int			share;

	batch->model = head->model;
	batch->task = head->task;
	batch->options = head->options;
	if (head->task == RN_TASK_TRANSLATE)
		limit = RN_BATCH_ROWS / rn_search_rows(&head->options, NULL);
	for (at = head; at != NULL; at = at->next_queued)
	{
		if (same_kind(head, at))
		{
			waiting += count_items(at);
			n_clients++;
		}
	}
	share = (waiting + queue->idle) / (queue->idle + 1);
	if (limit > share)
		limit = share;
	if (limit < 1)
		limit = 1;
	for (at = head; at != NULL; at = at->next_queued)
	{
		if (same_kind(head, at))
			take_from_client(queue, batch, at, limit / n_clients > 0 ? limit / n_clients : 1, limit, &cost);
	}
	for (at = head; at != NULL; at = at->next_queued)
	{
		if (same_kind(head, at))
			take_from_client(queue, batch, at, limit, limit, &cost);
	}
	next_turn(queue);
}

static void
count_rate(RnRate *rate, double now, int n)
{
	int64_t		second = (int64_t) now;
	int			place = second % (RN_RATE_SECONDS + 1);

	if (rate->second[place] != second)
		rate->n[place] = 0;
	rate->second[place] = second;
	rate->n[place] += n;
}

/* Of the whole seconds before this one. */
double
rn_queue_rate(const RnQueue *queue, double now)
{
	int64_t		second = (int64_t) now;
	uint64_t	n = 0;
	int			i;

	for (i = 0; i <= RN_RATE_SECONDS; i++)
	{
		if (queue->rate.second[i] < second && queue->rate.second[i] >= second - RN_RATE_SECONDS)
			n += queue->rate.n[i];
	}
	return (double) n / RN_RATE_SECONDS;
}

int
rn_queue_take(RnQueue *queue, int thread, RnBatch *batch)
{
	batch->n = 0;
	batch->build = NULL;
	__atomic_store_n(&batch->stop, 0, __ATOMIC_RELAXED);
	pthread_mutex_lock(&queue->lock);
	while (!queue->stop && queue->first == NULL && queue->builds == NULL)
	{
		queue->idle++;
		pthread_cond_wait(&queue->wake, &queue->lock);
		queue->idle--;
	}
	if (queue->stop)
	{
		pthread_mutex_unlock(&queue->lock);
		return 0;
	}
	if (queue->builds != NULL)
	{
		batch->build = queue->builds;
		queue->builds = batch->build->next;
	}
	else
	{
		fill_batch(queue, batch);
		queue->running[thread] = batch;
		queue->counters.batches++;
	}
	pthread_mutex_unlock(&queue->lock);
	return 1;
}

void
rn_queue_fail(RnQueue *queue, RnRequest *request, const RnContext *error)
{
	pthread_mutex_lock(&queue->lock);
	if (request->error.status == RN_OK)
		request->error = *error;
	pthread_mutex_unlock(&queue->lock);
}

/* Append to what is done; the caller holds the lock. */
static void
append_done(RnQueue *queue, RnRequest *request)
{
	request->next_done = NULL;
	if (queue->last_done != NULL)
		queue->last_done->next_done = request;
	else
		queue->done = request;
	queue->last_done = request;
	queue->bytes -= request->bytes;
	queue->counters.requests++;
	queue->counters.errors += request->error.status != RN_OK && !request->abandoned;
}

void
rn_queue_finish(RnQueue *queue, int thread, RnBatch *batch, uint64_t tokens)
{
	RnRequest  *complete = NULL;
	RnRequest  *next;
	int			abandoned = 0;
	int			i;

	pthread_mutex_lock(&queue->lock);
	queue->running[thread] = NULL;
	queue->n_running -= batch->n;
	queue->counters.sentences += batch->n;
	if (queue->counters.largest_batch < (uint64_t) batch->n)
		queue->counters.largest_batch = batch->n;
	count_rate(&queue->rate, rn_now(), batch->n);
	queue->counters.tokens += tokens;
	for (i = 0; i < batch->n; i++)
	{
		RnRequest  *request = batch->requests[i];

		if (--request->n_unfinished > 0)
			continue;
		if (request->abandoned)
		{
			append_done(queue, request);
			abandoned = 1;
		}
		else
		{
			request->next_done = complete;
			complete = request;
		}
	}
	pthread_mutex_unlock(&queue->lock);
	if (complete == NULL && !abandoned)
		return;

	/* Nobody else touches a request whose items are all done, except to abandon it. */
	for (; complete != NULL; complete = next)
	{
		next = complete->next_done;
		rn_request_answer(complete);
		pthread_mutex_lock(&queue->lock);
		append_done(queue, complete);
		pthread_mutex_unlock(&queue->lock);
	}
	eventfd_write(queue->done_fd, 1);
}

void
rn_queue_finish_build(RnQueue *queue, RnBuild *build)
{
	pthread_mutex_lock(&queue->lock);
	build->next = queue->built;
	queue->built = build;
	pthread_mutex_unlock(&queue->lock);
	eventfd_write(queue->done_fd, 1);
}
