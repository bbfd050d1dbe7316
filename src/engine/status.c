/*
 * status.c
 *		What a serving engine tells of itself.
 *
 * Pairs of text: single figures by name, and for each model "model" with
 * "database model version checksum state bytes users requests sentences
 * seconds_since_use cache_bytes errors".  Counters count since the start.
 *
 * src/engine/status.c
 */
#include "engine/service.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

typedef struct Figure
{
	const char *name;
	uint64_t	value;
} Figure;

static const char *const state_names[] = {"wanted", "loading", "building", "ready", "leaving"};

static void
write_pair(RnWriter *writer, const char *name, const char *value)
{
	rn_write_string(writer, name);
	rn_write_string(writer, value);
}

static void
write_model(RnWriter *writer, const RnServedModel *model, double now)
{
	char		text[256];

	snprintf(text, sizeof(text), "%" PRIu32 " %" PRId64 " %" PRId32 " %" PRIu64 " %s %zu %d %" PRIu64 " %" PRIu64 " %.3f %zu %" PRIu64,
			 model->key.database, model->key.model, model->key.version, model->key.checksum,
			 state_names[model->state], model->bytes, model->users, model->n_requests, model->n_sentences,
			 now - model->last_use, model->cache_bytes, model->n_errors);
	write_pair(writer, "model", text);
}

static int
count_waiting(const RnService *service)
{
	const RnRequest *request;
	int			n = 0;

	for (request = service->waiting; request != NULL; request = request->next_waiting)
		n++;
	return n;
}

void
rn_service_status(RnService *service, RnConnection *connection, uint64_t id)
{
	RnQueue    *queue = &service->queue;
	RnStore    *store = &service->store;
	RnWriter   *writer = &connection->out;
	const RnServedModel *model;
	RnContext	ctx;
	double		now = rn_now();
	double		rate;
	char		text[64];
	uint32_t	n_models = 0;
	size_t		i;

	for (model = store->models; model != NULL; model = model->next)
		n_models++;
	pthread_mutex_lock(&queue->lock);
	{
		const Figure figures[] = {
			{"pid", getpid()},
			{"threads", queue->threads},
			{"threads_idle", queue->idle},
			{"connections", service->n_connections},
			{"accepted", service->n_accepted},
			{"malformed", service->n_malformed},
			{"queue_sentences", queue->n_waiting},
			{"running_sentences", queue->n_running},
			{"queue_bytes", queue->bytes},
			{"waiting_for_model", count_waiting(service)},
			{"requests", queue->counters.requests},
			{"sentences", queue->counters.sentences},
			{"tokens", queue->counters.tokens},
			{"batches", queue->counters.batches},
			{"largest_batch", queue->counters.largest_batch},
			{"errors", queue->counters.errors},
			{"abandoned", queue->counters.abandoned},
			{"apart", service->handover.running},
			{"apart_started", service->handover.started},
			{"models", store->count},
			{"model_bytes", store->used},
			{"memory_limit", store->budget},
			{"models_loaded", store->n_loaded},
			{"models_evicted", store->n_evicted},
		};
		const size_t n_figures = sizeof(figures) / sizeof(figures[0]);

		rate = rn_queue_rate(queue, now);
		pthread_mutex_unlock(&queue->lock);
		rn_write_begin(writer, RN_STATUS, id);
		rn_write_u32(writer, (uint32_t) n_figures + n_models + 3);
		for (i = 0; i < n_figures; i++)
		{
			snprintf(text, sizeof(text), "%" PRIu64, figures[i].value);
			write_pair(writer, figures[i].name, text);
		}
	}
	write_pair(writer, "device", store->kernels->description());
	snprintf(text, sizeof(text), "%.1f", rate);
	write_pair(writer, "sentences_per_second", text);
	snprintf(text, sizeof(text), "%.3f", now - service->started);
	write_pair(writer, "uptime_seconds", text);
	for (model = store->models; model != NULL; model = model->next)
		write_model(writer, model, now);
	rn_context_reset(&ctx);
	if (rn_write_end(&ctx, writer) != RN_OK)
		connection->closed = 1;
}
