/*
 * service_request.c
 *		Requests of a serving engine, from the frame to the queue and back:
 *		they wait for their model, and for its weights, outside the queue.
 *
 * src/engine/service_request.c
 */
#include "engine/service_parts.h"

#include <stdlib.h>

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

void
rn_service_drop_requests(RnService *service, RnConnection *connection)
{
	while (connection->first != NULL)
		drop_request(service, connection, connection->first);
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

	if (request->task == RN_TASK_TOKENIZE || request->task == RN_TASK_DETOKENIZE ||
		request->task == RN_TASK_SHORTLIST)
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

void
rn_service_take_request(RnService *service, RnConnection *connection, const RnFrame *frame)
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
			rn_service_close_with_error(service, connection, frame->id, &ctx);
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
void
rn_service_take_forget(RnService *service, RnConnection *connection, uint64_t id)
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
void
rn_service_place_waiting(RnService *service)
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
void
rn_service_finish_weights(RnService *service, RnBuild *build)
{
	if (build->error.status != RN_OK && build->precision != RN_FLOAT32)
		refuse_waiting(service, build->model, build->precision, &build->error);
	rn_store_end_weights(&service->store, build->model, (RnPrecision) build->precision, build->prepared);
	rn_service_place_waiting(service);
	rn_store_release(&service->store, build->model);
	free(build);
}

void
rn_service_finish_requests(RnService *service, RnRequest *request)
{
	RnRequest  *next;

	for (; request != NULL; request = next)
	{
		next = request->next_done;
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
