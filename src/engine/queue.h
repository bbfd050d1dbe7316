/*
 * queue.h
 *		Work between the I/O thread and the threads that compute.
 *
 * What waits is single texts, each with the request it belongs to: a thread
 * that is free takes as many of one model, task and set of options as make a
 * good batch, from whatever requests they come.  Clients take turns, so that
 * a single text does not wait for a column of thousands; a client's own
 * requests are worked on in its order.  Idle threads share what is there.
 *
 * Building a model is work as well, and goes first: requests wait for it.
 *
 * src/engine/queue.h
 */
#ifndef RN_QUEUE_H
#define RN_QUEUE_H

#include <pthread.h>

#include "engine/request.h"

typedef struct RnBuild
{
	RnServedModel *model;		/* BUILDING, or its weights of a precision are */
	int			precision;		/* -1: the model itself */
	RnPreparedWeights *prepared;	/* its weights when they are built */
	RnContext	error;			/* status RN_OK: it is built */
	struct RnBuild *next;
} RnBuild;

/* What a thread works on: items of requests, or a model to build. */
typedef struct RnBatch
{
	RnBuild    *build;			/* not NULL: nothing but this */
	RnServedModel *model;
	RnTask		task;
	RnSearchOptions options;
	int			n;
	RnRequest **requests;		/* [n] */
	int		   *items;			/* [n] item of that request */
	int			capacity;
	volatile int stop;			/* nobody waits for any of it; read and written atomically */
} RnBatch;

/* Counters for RN_STATUS, read under the lock. */
typedef struct RnQueueCounters
{
	uint64_t	requests;		/* finished */
	uint64_t	sentences;
	uint64_t	tokens;			/* of answers, ends included */
	uint64_t	batches;
	uint64_t	largest_batch;	/* sentences */
	uint64_t	errors;			/* requests that ended with an error */
	uint64_t	abandoned;		/* requests whose client hung up */
} RnQueueCounters;

#define RN_RATE_SECONDS	10

/* Sentences of the last seconds, a place each. */
typedef struct RnRate
{
	int64_t		second[RN_RATE_SECONDS + 1];	/* of rn_now() */
	uint64_t	n[RN_RATE_SECONDS + 1];
} RnRate;

typedef struct RnQueue
{
	pthread_mutex_t lock;
	pthread_cond_t wake;
	int			done_fd;		/* eventfd, readable when something is done */
	int			threads;
	int			idle;			/* threads that wait */
	int			stop;
	RnRequest  *first;			/* ring of turns: the first request with items not taken of each client */
	RnRequest  *last;
	int			n_waiting;		/* items not taken */
	size_t		bytes;			/* payload of requests in the queue or running */
	int			n_running;		/* items taken and not finished */
	RnBatch   **running;		/* [threads] or NULL */
	RnRequest  *done;
	RnRequest  *last_done;
	RnBuild    *builds;			/* to be done */
	RnBuild    *built;
	RnQueueCounters counters;
	RnRate		rate;
} RnQueue;

extern RnStatus rn_queue_init(RnContext *ctx, RnQueue *queue, int threads);
extern void rn_queue_free(RnQueue *queue);

/* ---- the I/O thread ---- */

/* The request's model is held and its results are prepared; n_items is at least 1. */
extern void rn_queue_add(RnQueue *queue, RnRequest *request);

/* precision -1: the model itself, else its weights. */
extern RnStatus rn_queue_add_build(RnContext *ctx, RnQueue *queue, RnServedModel *model, int precision);

/*
 * Its client hung up.  True: the queue has let go of it, the caller frees it.
 * False: it will come out as done.
 */
extern int	rn_queue_abandon(RnQueue *queue, RnRequest *request);

/* Lists of what has been done since, linked by next_done and next; clears the descriptor. */
extern void rn_queue_collect(RnQueue *queue, RnRequest **done, RnBuild **built);

/* Enough waits: take nothing more in. */
extern int	rn_queue_full(RnQueue *queue);

/* Sentences a second, over the last ten; the caller holds the lock. */
extern double rn_queue_rate(const RnQueue *queue, double now);

/* Let the threads end; whatever runs is told to stop. */
extern void rn_queue_stop(RnQueue *queue);

/* ---- the threads that compute ---- */

/* Wait for work; false when the thread is to end.  The batch keeps its arrays from call to call. */
extern int	rn_queue_take(RnQueue *queue, int thread, RnBatch *batch);

/* An item failed: its request will be answered by this error. */
extern void rn_queue_fail(RnQueue *queue, RnRequest *request, const RnContext *error);

/* All items of the batch are done; tokens counts those of answers. */
extern void rn_queue_finish(RnQueue *queue, int thread, RnBatch *batch, uint64_t tokens);
extern void rn_queue_finish_build(RnQueue *queue, RnBuild *build);

#endif							/* RN_QUEUE_H */
