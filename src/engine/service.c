/*
 * service.c
 *		What a serving engine does with the frames of its clients.
 *
 * src/engine/service.c
 */
#include "engine/service_parts.h"

#include <string.h>

#include "engine/frames.h"

/* A connection with more than this unanswered is read again when answers have gone. */
#define CONNECTION_REQUESTS 64
#define CONNECTION_BYTES	((size_t) RN_FRAME_MAX)
#define CONNECTION_BACKLOG	((size_t) 1024 * 1024)

/* An ERROR before closing must be read within this time. */
#define CLOSE_SECONDS		2.0

void
rn_service_greet(RnService *service, RnConnection *connection)
{
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (rn_write_hello(&ctx, &connection->out, service->store.kernels->description()) != RN_OK)
		connection->closed = 1;
}

void
rn_service_hang_up(RnService *service, RnConnection *connection)
{
	rn_service_drop_requests(service, connection);
	rn_service_drop_loads(service, connection);
}

/* Say why, then close; nothing more is read. */
void
rn_service_close_with_error(RnService *service, RnConnection *connection, uint64_t id, const RnContext *error)
{
	service->n_malformed++;
	rn_service_hang_up(service, connection);
	if (connection->sending == NULL && connection->sent > 0)
		connection->closed = 1; /* half an answer is out: no frame can follow it */
	rn_connection_say_error(connection, id, error);
	connection->close_at = rn_now() + CLOSE_SECONDS;
}

/* Nothing may be under way, nor anything said that the other process would have to know. */
static void
take_apart(RnService *service, RnConnection *connection, const RnFrame *frame)
{
	RnContext	ctx;

	rn_context_reset(&ctx);
	service->last_activity = rn_now();
	if (connection->n_requests > 0 || connection->load.active || connection->inbox.start != connection->inbox.end)
	{
		rn_fail(&ctx, RN_CORRUPT, "received a wish for a process of its own in the middle of something");
		rn_service_close_with_error(service, connection, frame->id, &ctx);
		return;
	}
	connection->apart = 1;
	connection->apart_id = frame->id;
}

void
rn_service_hand_over(RnService *service)
{
	RnContext	ctx;
	int			i;

	rn_handover_reap(&service->handover);
	for (i = 0; i < service->n_connections && rn_handover_has_place(&service->handover); i++)
	{
		RnConnection *connection = service->connections[i];

		if (!connection->apart || connection->closed || rn_connection_wants_to_send(connection))
			continue;
		rn_context_reset(&ctx);
		connection->apart = 0;
		service->last_activity = rn_now();
		if (rn_handover_start(&ctx, &service->handover, connection->fd) == RN_OK)
			connection->closed = 1;
		else
			rn_connection_say_error(connection, connection->apart_id, &ctx);
	}
}

static void
take_frame(RnService *service, RnConnection *connection, const RnFrame *frame)
{
	RnContext	ctx;

	rn_context_reset(&ctx);
	switch (frame->type)
	{
		case RN_PING:
			rn_connection_say(connection, RN_PONG, frame->id);
			return;
		case RN_STATUS:
			rn_service_status(service, connection, frame->id);
			return;
		default:
			break;
	}
	if (connection->control)
		return;
	if (frame->type == RN_REQUEST)
		rn_service_take_request(service, connection, frame);
	else if (frame->type == RN_FORGET)
		rn_service_take_forget(service, connection, frame->id);
	else if (frame->type == RN_LOAD)
		rn_service_take_load(service, connection, frame);
	else if (frame->type == RN_PART)
		rn_service_take_part(service, connection, frame);
	else if (frame->type == RN_LOAD_END)
		rn_service_take_load_end(service, connection, frame);
	else if (frame->type == RN_APART)
		take_apart(service, connection, frame);
	else
	{
		rn_fail(&ctx, RN_CORRUPT, "received a message of unknown type %u", frame->type);
		rn_service_close_with_error(service, connection, frame->id, &ctx);
	}
}

/* Is the connection to be left alone for now? */
static int
is_held(RnService *service, const RnConnection *connection)
{
	if (connection->closed || connection->close_at != 0 || connection->pending != NULL ||
		connection->building != NULL || connection->apart || rn_connection_backlog(connection) > CONNECTION_BACKLOG)
		return 1;
	if (rn_connection_next_type(connection) != RN_REQUEST)
		return 0;
	return connection->n_requests >= CONNECTION_REQUESTS || connection->request_bytes >= CONNECTION_BYTES ||
		rn_queue_full(&service->queue);
}

int
rn_service_reads(RnService *service, const RnConnection *connection)
{
	return connection->close_at != 0 || !is_held(service, connection);
}

int
rn_service_process(RnService *service, RnConnection *connection)
{
	RnContext	ctx;
	RnFrame		frame;
	int			progress = 0;
	int			got = 1;

	rn_context_reset(&ctx);
	while (got && !is_held(service, connection))
	{
		memset(&frame, 0, sizeof(frame));
		if (rn_inbox_next(&ctx, &connection->inbox, &frame, &got) != RN_OK)
			rn_service_close_with_error(service, connection, frame.id, &ctx);
		else if (got)
		{
			take_frame(service, connection, &frame);
			rn_store_unkeep(&service->store, connection);
		}
		progress |= got;
	}
	return progress;
}

void
rn_service_collect(RnService *service)
{
	RnRequest  *requests;
	RnBuild    *build;
	RnBuild    *next;

	rn_queue_collect(&service->queue, &requests, &build);
	for (; build != NULL; build = next)
	{
		next = build->next;
		if (build->precision < 0)
			rn_service_finish_model(service, build);
		else
			rn_service_finish_weights(service, build);
	}
	rn_service_finish_requests(service, requests);
}

void
rn_service_retry(RnService *service)
{
	int			i;

	while (service->store.changed)
	{
		service->store.changed = 0;
		for (i = 0; i < service->n_connections; i++)
		{
			RnConnection *connection = service->connections[i];

			if (connection->pending != NULL)
				rn_service_begin_load(service, connection, connection->pending, connection->pending_id);
		}
		rn_service_place_waiting(service);
	}
}

void
rn_service_check_deadlines(RnService *service, double now)
{
	RnServedModel *model;
	RnServedModel *next;

	for (model = service->store.models; model != NULL; model = next)
	{
		next = model->next;
		if (model->deadline == 0 || model->deadline > now)
			continue;
		if (model->kept_for != NULL)
			rn_store_unkeep(&service->store, model->kept_for);
		else
			rn_service_give_up_load(service, model);
	}
}

double
rn_service_next_deadline(const RnService *service)
{
	const RnServedModel *model;
	double		least = 0;
	int			i;

	for (model = service->store.models; model != NULL; model = model->next)
	{
		if (model->deadline != 0 && (least == 0 || model->deadline < least))
			least = model->deadline;
	}
	for (i = 0; i < service->n_connections; i++)
	{
		double		close_at = service->connections[i]->close_at;

		if (close_at != 0 && (least == 0 || close_at < least))
			least = close_at;
	}
	return least;
}

int
rn_service_is_idle(RnService *service)
{
	int			i;

	if (service->waiting != NULL || service->handover.running > 0)
		return 0;
	for (i = 0; i < service->n_connections; i++)
	{
		const RnConnection *connection = service->connections[i];

		if (connection->n_requests > 0 || connection->load.active || connection->pending != NULL ||
			connection->building != NULL)
			return 0;
	}
	return 1;
}
