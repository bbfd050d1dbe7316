/*
 * service.h
 *		What a serving engine does with the frames of its clients.
 *
 * Everything here runs in the I/O thread and never waits: what takes time
 * goes to the queue, what cannot be done yet is kept until the store or the
 * queue has changed.
 *
 * src/engine/service.h
 */
#ifndef RN_SERVICE_H
#define RN_SERVICE_H

#include "engine/connection.h"
#include "engine/handover.h"
#include "engine/queue.h"

typedef struct RnService
{
	RnStore		store;
	RnQueue		queue;
	RnHandover	handover;
	RnConnection **connections; /* [n_connections] */
	int			n_connections;
	int			room;			/* of connections */
	RnRequest  *waiting;		/* for a model, in the order of arrival */
	RnRequest  *last_waiting;
	double		started;		/* rn_now() */
	double		last_activity;
	double		load_timeout;	/* seconds that a sender of a model may be silent */
	RnContext	refusal;		/* why no model is taken; RN_OK: all are */
	uint64_t	n_accepted;		/* connections so far */
	uint64_t	n_malformed;	/* of them closed for a malformed frame */
} RnService;

/* Greet a new connection. */
extern void rn_service_greet(RnService *service, RnConnection *connection);

/* Deal with the frames that have come, as far as may be; true when there were any. */
extern int	rn_service_process(RnService *service, RnConnection *connection);

/* May more be read from it now? */
extern int	rn_service_reads(RnService *service, const RnConnection *connection);

/* Results have come from the threads. */
extern void rn_service_collect(RnService *service);

/* The store has changed: who waits may go on.  And senders that fell silent are given up. */
extern void rn_service_retry(RnService *service);
extern void rn_service_check_deadlines(RnService *service, double now);

/* When the next deadline is; 0: none. */
extern double rn_service_next_deadline(const RnService *service);

/* Hand over connections that asked for it, as far as there are places; they are closed here, and live on there. */
extern void rn_service_hand_over(RnService *service);

/* A connection has gone: drop all that it asked for and was sending. */
extern void rn_service_hang_up(RnService *service, RnConnection *connection);

/* Is there no work, done or undone? */
extern int	rn_service_is_idle(RnService *service);

/* Write the answer to STATUS (status.c). */
extern void rn_service_status(RnService *service, RnConnection *connection, uint64_t id);

#endif							/* RN_SERVICE_H */
