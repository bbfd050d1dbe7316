/*
 * service.c
 *		What a serving engine does with the frames of its clients.
 *
 * src/engine/service.c
 */
#include "engine/service.h"

#include <stdlib.h>
#include <string.h>

#include "engine/frames.h"

/* A connection with more than this unanswered is read again when answers have gone. */
#define CONNECTION_REQUESTS 64
#define CONNECTION_BYTES	((size_t) RN_FRAME_MAX)
#define CONNECTION_BACKLOG	((size_t) 1024 * 1024)

/* Whoever has sent a model asks for what it wants of it within this time. */
#define KEEP_SECONDS		2.0

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

static void
remove_waiting(RnService *service, RnRequest *request)
{
	RnRequest  *before = NULL;
	RnRequest  *at;

	for (at = service->waiting; at != NULL && at != request; at = at->next_waiting)
		before = at;
	if (at == NULL)
		return;
	if (before != NULL)
		before->next_waiting = request->next_waiting;
	else
		service->waiting = request->next_waiting;
	if (service->last_waiting == request)
		service->last_waiting = before;
	request->next_waiting = NULL;
}

static void
append_waiting(RnService *service, RnRequest *request)
{
	request->next_waiting = NULL;
	if (service->last_waiting != NULL)
		service->last_waiting->next_waiting = request;
	else
		service->waiting = request;
	service->last_waiting = request;
}

/* Nobody waits for it any more. */
static void
drop_request(RnService *service, RnConnection *connection, RnRequest *request)
{
	rn_connection_remove(connection, request);
	if (request->model == NULL)
		remove_waiting(service, request);
	else if (rn_queue_abandon(&service->queue, request))
		rn_store_release(&service->store, request->model);
	else
		return;					/* comes out of the queue later */
	rn_request_free(request);
}

static void
drop_requests(RnService *service, RnConnection *connection)
{
	while (connection->first != NULL)
		drop_request(service, connection, connection->first);
}

/* What it was to send is absent again, so that who waits is asked for it. */
static void
drop_models(RnService *service, RnConnection *connection)
{
	RnServedModel *model;
	RnServedModel *next;

	for (model = service->store.models; model != NULL; model = next)
	{
		next = model->next;
		if (model->sender == connection)
			rn_store_drop(&service->store, model);
	}
	rn_store_unkeep(&service->store, connection);
	rn_load_end(&connection->load);
	free(connection->pending);
	connection->pending = NULL;
	connection->building = NULL;
}

void
rn_service_hang_up(RnService *service, RnConnection *connection)
{
	drop_requests(service, connection);
	drop_models(service, connection);
}

/* Say why, then close; nothing more is read. */
static void
close_with_error(RnService *service, RnConnection *connection, uint64_t id, const RnContext *error)
{
	service->n_malformed++;
	rn_service_hang_up(service, connection);
	if (connection->sending == NULL && connection->sent > 0)
		connection->closed = 1; /* half an answer is out: no frame can follow it */
	rn_connection_say_error(connection, id, error);
	connection->close_at = rn_now() + CLOSE_SECONDS;
}

/* Answer a request that needs no thread, with its error or without items. */
static void
answer_now(RnRequest *request)
{
	rn_request_answer(request);
	request->ready = 1;
	if (request->answer.used == 0)
		request->connection->closed = 1;
}

/* The model is ready: hand the request to the threads. */
static void
start_request(RnService *service, RnRequest *request, RnServedModel *model)
{
	request->model = model;
	rn_store_hold(model, request->n);
	if (rn_request_prepare(&request->error, request) == RN_OK && request->n_items > 0)
	{
		rn_queue_add(&service->queue, request);
		return;
	}
	answer_now(request);
	request->model = NULL;
	rn_store_release(&service->store, model);
}

/* Answer with an error instead of starting. */
static void
refuse_request(RnRequest *request, const RnContext *error)
{
	request->error = *error;
	answer_now(request);
}

/*
 * Are the weights there that a request wants of a READY model?  If not it
 * waits for them, or is refused; the first to want them has them built.
 */
static int
has_weights(RnService *service, RnRequest *request, RnServedModel *model)
{
	RnPrecision precision = (RnPrecision) request->options.precision;
	RnWeights  *weights = &model->weights[precision];
	RnContext	error;
	int			room = 1;

	if (request->task == RN_TASK_TOKENIZE || request->task == RN_TASK_DETOKENIZE)
		return 1;
	if (weights->state == RN_WEIGHTS_ABSENT)
	{
		rn_context_reset(&error);
		if (rn_store_want_weights(&error, &service->store, model, precision, &room) == RN_OK &&
			weights->state == RN_WEIGHTS_BUILDING &&
			rn_queue_add_build(&error, &service->queue, model, precision) != RN_OK)
		{
			rn_store_end_weights(&service->store, model, precision, NULL);
			rn_store_release(&service->store, model);
		}
		if (error.status != RN_OK)
			refuse_request(request, &error);
	}
	return weights->state == RN_WEIGHTS_READY ||
		(weights->state == RN_WEIGHTS_ABSENT && precision == RN_FLOAT32 && !request->ready);
}

/*
 * Start a request, ask its client for the model, or let it wait for another
 * who was asked.  True when it need not wait.
 */
static int
place_request(RnService *service, RnRequest *request)
{
	RnConnection *connection = request->connection;
	RnServedModel *model = rn_store_find(&service->store, &request->key);
	uint64_t	id = request->id;

	if (model != NULL && model->state == RN_SERVED_READY)
	{
		if (!has_weights(service, request, model))
			return request->ready || connection->closed;
		start_request(service, request, model);
		return 1;
	}
	if (model == NULL)
	{
		if (rn_store_want(&request->error, &service->store, &request->key, connection, &model) != RN_OK)
		{
			answer_now(request);
			return 1;
		}
		model->deadline = rn_now() + service->load_timeout;
	}
	else if (model->state != RN_SERVED_WANTED || model->sender != connection)
		return 0;
	rn_connection_remove(connection, request);
	rn_request_free(request);
	rn_connection_say(connection, RN_NEED_MODEL, id);
	return 1;
}

static void
take_request(RnService *service, RnConnection *connection, const RnFrame *frame)
{
	RnContext	ctx;
	RnRequest  *request;

	rn_context_reset(&ctx);
	service->last_activity = rn_now();
	if (rn_request_read(&ctx, frame, &request) != RN_OK)
	{
		if (ctx.status == RN_NO_MEMORY)
			rn_connection_say_error(connection, frame->id, &ctx);
		else
			close_with_error(service, connection, frame->id, &ctx);
		return;
	}
	rn_connection_append(connection, request);
	if (request->error.status != RN_OK)
		answer_now(request);
	else if (!place_request(service, request))
		append_waiting(service, request);
}

/*
 * A client wants a request no more.  What it was asked to send for one it may
 * not send now; who else waits for that model is asked then.
 */
static void
take_forget(RnService *service, RnConnection *connection, uint64_t id)
{
	RnRequest  *request = connection->first;
	RnServedModel *model;
	RnServedModel *next;

	while (request != NULL && request->id != id)
		request = request->next_of_connection;
	if (request != NULL && request != connection->sending)
		drop_request(service, connection, request);
	for (model = service->store.models; model != NULL; model = next)
	{
		next = model->next;
		if (model->state == RN_SERVED_WANTED && model->sender == connection)
			rn_store_drop(&service->store, model);
	}
}

/* A load has failed: say so once, pass over what still comes of it. */
static void
fail_load(RnService *service, RnConnection *connection, const RnContext *error)
{
	RnLoad	   *load = &connection->load;

	rn_connection_say_error(connection, load->id, error);
	load->failed = 1;
	if (load->model != NULL)
		rn_store_drop(&service->store, load->model);
	load->model = NULL;
}

/* Who is to receive the model of a LOAD; NULL: nobody, it is there or on its way already. */
static RnStatus
find_receiver(RnContext *ctx, RnService *service, RnConnection *connection, const RnModelKey *key,
			  RnServedModel **model)
{
	*model = rn_store_find(&service->store, key);
	if (*model == NULL)
		return rn_store_want(ctx, &service->store, key, connection, model);
	if ((*model)->state == RN_SERVED_WANTED)
		(*model)->sender = connection;
	else
		*model = NULL;
	return RN_OK;
}

/* Begin, or let it wait until other models have left; then this is called again. */
static void
begin_load(RnService *service, RnConnection *connection, RnLoadHead *head, uint64_t id)
{
	RnServedModel *model = NULL;
	RnContext	error = service->refusal.status != RN_OK ? service->refusal : head->error;
	int			room = 1;

	connection->pending = NULL;
	if (find_receiver(&error, service, connection, &head->key, &model) == RN_OK && model != NULL &&
		error.status == RN_OK)
		rn_store_load(&error, &service->store, model, &head->config, head->bytes, &room);
	if (error.status == RN_OK && !room)
	{
		model->deadline = 0;
		connection->pending = head;
		connection->pending_id = id;
		return;
	}
	free(head);
	if (error.status == RN_OK)
		rn_load_begin(&error, &connection->load, id, model);
	if (error.status == RN_OK)
	{
		if (model != NULL)
			model->deadline = rn_now() + service->load_timeout;
		return;
	}
	memset(&connection->load, 0, sizeof(connection->load));
	connection->load.active = 1;
	connection->load.id = id;
	connection->load.model = model;
	fail_load(service, connection, &error);
}

static void
take_load(RnService *service, RnConnection *connection, const RnFrame *frame)
{
	RnContext	ctx;
	RnLoadHead *head = malloc(sizeof(*head));

	rn_context_reset(&ctx);
	service->last_activity = rn_now();
	if (head == NULL)
		rn_out_of_memory(&ctx, sizeof(*head));
	else if (connection->load.active)
		rn_fail(&ctx, RN_CORRUPT, "received a model within a model");
	else
		rn_load_read(&ctx, frame, head);
	if (ctx.status == RN_OK)
		begin_load(service, connection, head, frame->id);
	else
	{
		free(head);
		close_with_error(service, connection, frame->id, &ctx);
	}
}

static void
take_part(RnService *service, RnConnection *connection, const RnFrame *frame)
{
	RnContext	ctx;
	RnContext	error;

	rn_context_reset(&ctx);
	rn_context_reset(&error);
	if (!connection->load.active)
		rn_fail(&ctx, RN_CORRUPT, "received a part of no model");
	else
		rn_load_part(&ctx, &service->store, &connection->load, frame, &error);
	if (ctx.status != RN_OK)
		close_with_error(service, connection, frame->id, &ctx);
	else if (error.status != RN_OK)
		fail_load(service, connection, &error);
	else if (connection->load.model != NULL)
		connection->load.model->deadline = rn_now() + service->load_timeout;
}

static void
take_load_end(RnService *service, RnConnection *connection, const RnFrame *frame)
{
	RnLoad	   *load = &connection->load;
	RnServedModel *model = load->model;
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (!load->active)
	{
		rn_fail(&ctx, RN_CORRUPT, "received the end of no model");
		close_with_error(service, connection, frame->id, &ctx);
		return;
	}
	if (model == NULL)
	{
		if (!load->failed)
			rn_connection_say(connection, RN_LOADED, load->id);
	}
	else if (rn_load_check(&ctx, load) != RN_OK || rn_queue_add_build(&ctx, &service->queue, model, -1) != RN_OK)
		fail_load(service, connection, &ctx);
	else
	{
		rn_store_complete(&service->store, model);
		connection->building = model;
		connection->building_id = load->id;
	}
	rn_load_end(load);
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
		close_with_error(service, connection, frame->id, &ctx);
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
		take_request(service, connection, frame);
	else if (frame->type == RN_FORGET)
		take_forget(service, connection, frame->id);
	else if (frame->type == RN_LOAD)
		take_load(service, connection, frame);
	else if (frame->type == RN_PART)
		take_part(service, connection, frame);
	else if (frame->type == RN_LOAD_END)
		take_load_end(service, connection, frame);
	else if (frame->type == RN_APART)
		take_apart(service, connection, frame);
	else
	{
		rn_fail(&ctx, RN_CORRUPT, "received a message of unknown type %u", frame->type);
		close_with_error(service, connection, frame->id, &ctx);
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
			close_with_error(service, connection, frame.id, &ctx);
		else if (got)
		{
			take_frame(service, connection, &frame);
			rn_store_unkeep(&service->store, connection);
		}
		progress |= got;
	}
	return progress;
}

/* Whoever waits for weights that could not be made is told why. */
static void
refuse_waiting(RnService *service, const RnServedModel *model, int precision, const RnContext *error)
{
	RnRequest  *request;
	RnRequest  *next;

	for (request = service->waiting; request != NULL; request = next)
	{
		next = request->next_waiting;
		if (rn_store_find(&service->store, &request->key) != model || request->options.precision != precision)
			continue;
		remove_waiting(service, request);
		refuse_request(request, error);
	}
}

/* Look again at all requests that wait for a model. */
static void
place_waiting(RnService *service)
{
	RnRequest  *request = service->waiting;
	RnRequest  *next;

	service->waiting = service->last_waiting = NULL;
	for (; request != NULL; request = next)
	{
		next = request->next_waiting;
		if (!place_request(service, request))
			append_waiting(service, request);
	}
}

/* Those who have waited for them come first, before the model can leave for another. */
static void
finish_weights(RnService *service, RnBuild *build)
{
	if (build->error.status != RN_OK && build->precision != RN_FLOAT32)
		refuse_waiting(service, build->model, build->precision, &build->error);
	rn_store_end_weights(&service->store, build->model, (RnPrecision) build->precision, build->prepared);
	place_waiting(service);
	rn_store_release(&service->store, build->model);
	free(build);
}

static void
finish_build(RnService *service, RnBuild *build)
{
	RnServedModel *model = build->model;
	int			i;

	for (i = 0; i < service->n_connections; i++)
	{
		RnConnection *connection = service->connections[i];

		if (connection->building != model)
			continue;
		connection->building = NULL;
		if (build->error.status == RN_OK)
		{
			rn_connection_say(connection, RN_LOADED, connection->building_id);
			rn_store_keep(model, connection, rn_now() + KEEP_SECONDS);
		}
		else
			rn_connection_say_error(connection, connection->building_id, &build->error);
	}
	if (build->error.status == RN_OK)
		rn_store_ready(&service->store, model);
	else
		rn_store_drop(&service->store, model);
	free(build);
}

void
rn_service_collect(RnService *service)
{
	RnRequest  *request;
	RnRequest  *next_request;
	RnBuild    *build;
	RnBuild    *next_build;

	rn_queue_collect(&service->queue, &request, &build);
	for (; build != NULL; build = next_build)
	{
		next_build = build->next;
		if (build->precision < 0)
			finish_build(service, build);
		else
			finish_weights(service, build);
	}
	for (; request != NULL; request = next_request)
	{
		next_request = request->next_done;
		request->model->n_errors += request->error.status != RN_OK && request->connection != NULL;
		rn_store_recount(&service->store, request->model);
		rn_store_release(&service->store, request->model);
		request->model = NULL;
		service->last_activity = rn_now();
		if (request->connection == NULL)
			rn_request_free(request);
		else if (request->answer.used == 0)
			request->connection->closed = 1;
		else
			request->ready = 1;
	}
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
				begin_load(service, connection, connection->pending, connection->pending_id);
		}
		place_waiting(service);
	}
}

static void
give_up_load(RnService *service, RnServedModel *model)
{
	RnContext	ctx;
	int			i;

	rn_context_reset(&ctx);
	rn_fail(&ctx, RN_CANCELLED, "model was not sent in time");
	for (i = 0; i < service->n_connections; i++)
	{
		RnConnection *connection = service->connections[i];

		if (connection->load.active && connection->load.model == model)
		{
			fail_load(service, connection, &ctx);
			return;
		}
	}
	rn_store_drop(&service->store, model);
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
			give_up_load(service, model);
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
