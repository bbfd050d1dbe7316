/*
 * service_load.c
 *		Models that clients send to a serving engine, until they are ready or
 *		given up.
 *
 * src/engine/service_load.c
 */
#include "engine/service_parts.h"

#include <stdlib.h>
#include <string.h>

/* Whoever has sent a model asks for what it wants of it within this time. */
#define KEEP_SECONDS		2.0

/* What it was to send is absent again, so that who waits is asked for it. */
void
rn_service_drop_loads(RnService *service, RnConnection *connection)
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
void
rn_service_begin_load(RnService *service, RnConnection *connection, RnLoadHead *head, uint64_t id)
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

void
rn_service_take_load(RnService *service, RnConnection *connection, const RnFrame *frame)
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
		rn_service_begin_load(service, connection, head, frame->id);
	else
	{
		free(head);
		rn_service_close_with_error(service, connection, frame->id, &ctx);
	}
}

void
rn_service_take_part(RnService *service, RnConnection *connection, const RnFrame *frame)
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
		rn_service_close_with_error(service, connection, frame->id, &ctx);
	else if (error.status != RN_OK)
		fail_load(service, connection, &error);
	else if (connection->load.model != NULL)
		connection->load.model->deadline = rn_now() + service->load_timeout;
}

void
rn_service_take_load_end(RnService *service, RnConnection *connection, const RnFrame *frame)
{
	RnLoad	   *load = &connection->load;
	RnServedModel *model = load->model;
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (!load->active)
	{
		rn_fail(&ctx, RN_CORRUPT, "received the end of no model");
		rn_service_close_with_error(service, connection, frame->id, &ctx);
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

void
rn_service_finish_model(RnService *service, RnBuild *build)
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
rn_service_give_up_load(RnService *service, RnServedModel *model)
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
