/*
 * connection.h
 *		A client of the serving engine: its bytes in and out, and what it asked.
 *
 * Answers go out in the order of asking; what else the engine has to say
 * (greeting, pong, a model that it needs) goes between two answers.  Nothing
 * here blocks.
 *
 * src/engine/connection.h
 */
#ifndef RN_CONNECTION_H
#define RN_CONNECTION_H

#include "engine/load.h"
#include "engine/request.h"

typedef struct RnConnection
{
	int			fd;				/* non-blocking */
	int			control;		/* the supervisor's: greeted, may ping and ask for the status */
	RnInbox		inbox;
	RnWriter	out;			/* frames that are no answer to a request */
	size_t		out_sent;		/* bytes of it that are gone */

	RnRequest  *first;			/* requests, in the order of asking */
	RnRequest  *last;
	int			n_requests;
	size_t		request_bytes;
	RnRequest  *sending;		/* the first one, when its answer has begun to go out */
	size_t		sent;			/* bytes of that answer that are gone */

	RnLoad		load;			/* model that it is sending */
	RnLoadHead *pending;		/* LOAD that waits for room; nothing more is read meanwhile */
	uint64_t	pending_id;
	RnServedModel *building;	/* sent and being made ready; nothing more is read meanwhile */
	uint64_t	building_id;

	int			apart;			/* to be handed over to a process of its own; nothing more is read */
	uint64_t	apart_id;

	double		close_at;		/* not 0: only what is written still goes out, at most until then */
	int			drained;		/* closing: all is sent, the peer is told so */
	int			closed;			/* hung up, or to be hung up at once */
} RnConnection;

/* Takes over the descriptor, also when it fails. */
extern RnStatus rn_connection_create(RnContext *ctx, int fd, RnConnection **connection);

/* Has no requests any more. */
extern void rn_connection_free(RnConnection *connection);

/* Read what is there, within reason; sets closed at the end of the stream or when there is no memory. */
extern void rn_connection_read(RnConnection *connection);

/* The type of the frame whose head has come, complete or not; 0 when there is none. */
extern uint32_t rn_connection_next_type(const RnConnection *connection);

/* Bytes that wait to be sent before the next answer. */
extern size_t rn_connection_backlog(const RnConnection *connection);

/* Append a request to those that are to be answered; or take one out of them. */
extern void rn_connection_append(RnConnection *connection, RnRequest *request);
extern void rn_connection_remove(RnConnection *connection, RnRequest *request);

/* Send what may go; frees requests that are answered. */
extern void rn_connection_flush(RnConnection *connection);

/* Is there anything to send now? */
extern int	rn_connection_wants_to_send(const RnConnection *connection);

/* Frames without payload, and errors that are no answer in turn. */
extern void rn_connection_say(RnConnection *connection, uint32_t type, uint64_t id);
extern void rn_connection_say_error(RnConnection *connection, uint64_t id, const RnContext *error);

#endif							/* RN_CONNECTION_H */
