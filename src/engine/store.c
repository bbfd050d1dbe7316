/*
 * store.c
 *		The models that a serving engine holds.
 *
 * src/engine/store.c
 */
#include "engine/store.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

double
rn_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

RnStatus
rn_store_init(RnContext *ctx, RnStore *store, const RnKernels *kernels, int threads, size_t budget)
{
	memset(store, 0, sizeof(*store));
	store->kernels = kernels;
	store->threads = threads;
	store->budget = budget;
	return kernels->lane_create(ctx, &store->lane);
}

void
rn_store_free(RnStore *store)
{
	while (store->models != NULL)
		rn_store_drop(store, store->models);
	if (store->lane != NULL)
		store->kernels->lane_free(store->lane);
}

RnServedModel *
rn_store_find(RnStore *store, const RnModelKey *key)
{
	RnServedModel *model;

	for (model = store->models; model != NULL; model = model->next)
	{
		if (model->key.database == key->database && model->key.model == key->model &&
			model->key.version == key->version && model->key.checksum == key->checksum)
			return model;
	}
	return NULL;
}

RnStatus
rn_store_want(RnContext *ctx, RnStore *store, const RnModelKey *key, const void *sender, RnServedModel **result)
{
	RnServedModel *model = calloc(1, sizeof(*model));

	if (model == NULL)
		return rn_out_of_memory(ctx, sizeof(*model));
	model->key = *key;
	model->state = RN_SERVED_WANTED;
	model->sender = sender;
	model->kernels = store->kernels;
	model->last_use = rn_now();
	model->next = store->models;
	store->models = model;
	*result = model;
	return RN_OK;
}

static void
drop_weights(RnStore *store, RnServedModel *model, RnPrecision precision)
{
	RnWeights  *weights = &model->weights[precision];

	rn_prepared_free(weights->prepared);
	model->bytes -= weights->bytes;
	store->used -= weights->bytes;
	memset(weights, 0, sizeof(*weights));
}

/* Requests wait for weights that are being made, so their model must stay for them. */
static int
makes_weights(const RnServedModel *model)
{
	int			i;

	for (i = 0; i < RN_N_PRECISIONS; i++)
		if (model->weights[i].state == RN_WEIGHTS_BUILDING)
			return 1;
	return 0;
}

/* The least recently used ready model, with or without users, that is not this one; NULL when there is none. */
static RnServedModel *
least_recent(RnStore *store, int in_use, const RnServedModel *except)
{
	RnServedModel *least = NULL;
	RnServedModel *model;

	for (model = store->models; model != NULL; model = model->next)
	{
		if (model->state == RN_SERVED_READY && model->kept_for == NULL && (model->users > 0) == in_use &&
			model != except && !makes_weights(model) && (least == NULL || model->last_use < least->last_use))
			least = model;
	}
	return least;
}

/* Free what a model without users keeps for its translators. */
static void
trim(RnStore *store, RnServedModel *model)
{
	int			t;

	for (t = 0; t < model->n_translators; t++)
	{
		rn_translator_free(model->translators[t]);
		model->translators[t] = NULL;
		model->translator_bytes[t] = 0;
	}
	store->used -= model->cache_bytes;
	model->cache_bytes = 0;
}

/* The same for as many models as it takes to have room. */
static void
trim_until(RnStore *store, size_t bytes)
{
	while (store->used + bytes > store->budget)
	{
		RnServedModel *least = NULL;
		RnServedModel *model;

		for (model = store->models; model != NULL; model = model->next)
		{
			if (model->users == 0 && model->cache_bytes > 0 && (least == NULL || model->last_use < least->last_use))
				least = model;
		}
		if (least == NULL)
			return;
		trim(store, least);
	}
}

void
rn_store_recount(RnStore *store, RnServedModel *model)
{
	size_t		bytes = 0;
	int			t;

	for (t = 0; t < model->n_translators; t++)
		bytes += __atomic_load_n(&model->translator_bytes[t], __ATOMIC_RELAXED);
	store->used += bytes - model->cache_bytes;
	model->cache_bytes = bytes;
	if (store->budget > 0)
		trim_until(store, 0);
}

/* What only makes float32 faster goes before any model does; false when there is nothing of it. */
static int
drop_spare_weights(RnStore *store)
{
	RnServedModel *least = NULL;
	RnServedModel *model;

	for (model = store->models; model != NULL; model = model->next)
	{
		if (model->users == 0 && model->weights[RN_FLOAT32].state == RN_WEIGHTS_READY &&
			(least == NULL || model->last_use < least->last_use))
			least = model;
	}
	if (least != NULL)
		drop_weights(store, least, RN_FLOAT32);
	return least != NULL;
}

/* Let other models go until there is room; those in use are only told to. */
static int
make_room(RnStore *store, size_t bytes, const RnServedModel *except)
{
	RnServedModel *model;
	size_t		leaving = 0;

	if (store->budget == 0)
		return 1;
	trim_until(store, bytes);
	while (store->used + bytes > store->budget && drop_spare_weights(store))
		;
	while (store->used + bytes > store->budget && (model = least_recent(store, 0, except)) != NULL)
	{
		store->n_evicted++;
		rn_store_drop(store, model);
	}
	if (store->used + bytes <= store->budget)
		return 1;
	for (model = store->models; model != NULL; model = model->next)
		leaving += model->state == RN_SERVED_LEAVING ? model->bytes + model->cache_bytes : 0;
	while (store->used - leaving + bytes > store->budget && (model = least_recent(store, 1, except)) != NULL)
	{
		model->state = RN_SERVED_LEAVING;
		leaving += model->bytes + model->cache_bytes;
	}
	return 0;
}

static RnStatus
create_model(RnContext *ctx, RnStore *store, RnServedModel *model, size_t announced)
{
	static const RnSpecialIds special = {RN_PAD_ID, RN_START_ID, RN_END_ID};

	RN_TRY(rn_model_create(ctx, &model->config, &special, model->config.max_length, &model->model));
	if (rn_model_params(model->model)->size * sizeof(float) > announced)
	{
		rn_fail(ctx, RN_MISMATCH, "weights do not belong to the model's configuration");
		rn_detail(ctx, "The configuration needs %zu bytes, there are %zu.",
				  rn_model_params(model->model)->size * sizeof(float), announced);
		return ctx->status;
	}
	model->translators = calloc(store->threads, sizeof(RnTranslator *));
	model->translator_bytes = calloc(store->threads, sizeof(size_t));
	if (model->translators == NULL || model->translator_bytes == NULL)
		return rn_out_of_memory(ctx, store->threads * sizeof(RnTranslator *));
	model->n_translators = store->threads;
	return RN_OK;
}

static void
release_parts(RnServedModel *model)
{
	int			i;

	for (i = 0; i < model->n_translators; i++)
	{
		if (model->translators[i] != NULL)
			rn_translator_free(model->translators[i]);
	}
	for (i = 0; i < RN_N_PRECISIONS; i++)
		rn_prepared_free(model->weights[i].prepared);
	memset(model->weights, 0, sizeof(model->weights));
	free(model->translators);
	free(model->translator_bytes);
	model->translators = NULL;
	model->translator_bytes = NULL;
	model->n_translators = 0;
	if (model->tokenizer != NULL)
		rn_tokenizer_free(model->tokenizer);
	model->tokenizer = NULL;
	free(model->tokenizer_bytes);
	model->tokenizer_bytes = NULL;
	rn_shortlist_free(model->shortlist);
	model->shortlist = NULL;
	free(model->shortlist_bytes);
	model->shortlist_bytes = NULL;
	if (model->values != NULL)
		model->kernels->release(model->values, rn_model_params(model->model)->size * sizeof(rn_real));
	model->values = NULL;
	if (model->model != NULL)
		rn_model_free(model->model);
	model->model = NULL;
}

static RnStatus
too_large(RnContext *ctx, const RnStore *store, size_t bytes)
{
	rn_fail(ctx, RN_LIMIT, "model does not fit into the memory of the serving engine");
	rn_detail(ctx, "It needs %zu bytes of %zu.", bytes, store->budget);
	rn_hint(ctx, "Raise residual.serve_memory.");
	return ctx->status;
}

static RnStatus
load(RnContext *ctx, RnStore *store, RnServedModel *model, size_t bytes, int *room)
{
	size_t		weights;

	RN_TRY(create_model(ctx, store, model, bytes));
	weights = rn_model_params(model->model)->size * sizeof(rn_real);
	if (bytes < weights)
		bytes = weights;
	if (store->budget > 0 && bytes > store->budget)
		return too_large(ctx, store, bytes);
	*room = make_room(store, bytes, NULL);
	if (!*room)
		return RN_OK;
	RN_TRY(store->kernels->allocate(ctx, weights, (void **) &model->values));
	model->bytes = bytes;
	return RN_OK;
}

RnStatus
rn_store_load(RnContext *ctx, RnStore *store, RnServedModel *model, const RnConfig *config, size_t bytes, int *room)
{
	RnStatus	status;

	*room = 0;
	model->config = *config;
	status = load(ctx, store, model, bytes, room);
	if (status != RN_OK || !*room)
	{
		release_parts(model);
		return status;
	}
	model->state = RN_SERVED_LOADING;
	store->used += model->bytes;
	return RN_OK;
}

void
rn_store_complete(RnStore *store, RnServedModel *model)
{
	model->state = RN_SERVED_BUILDING;
	model->sender = NULL;
	model->deadline = 0;
	store->count++;
}

RnStatus
rn_store_build(RnContext *ctx, RnServedModel *model)
{
	RN_TRY(rn_tokenizer_load(ctx, model->tokenizer_bytes, model->tokenizer_size, &model->tokenizer));
	free(model->tokenizer_bytes);
	model->tokenizer_bytes = NULL;
	if (rn_tokenizer_vocab_size(model->tokenizer) != model->config.vocab_size)
	{
		rn_fail(ctx, RN_MISMATCH, "tokenizer and model have different vocabularies");
		rn_detail(ctx, "The tokenizer has %d pieces, the model %d.", rn_tokenizer_vocab_size(model->tokenizer),
				  model->config.vocab_size);
		return ctx->status;
	}
	if (model->shortlist_bytes == NULL)
		return RN_OK;
	RN_TRY(rn_shortlist_read(ctx, model->shortlist_bytes, model->shortlist_size, model->config.vocab_size,
							 &model->shortlist));
	free(model->shortlist_bytes);
	model->shortlist_bytes = NULL;
	return RN_OK;
}

/* ---- weights made ready ---- */

static RnFormat
format_of(RnPrecision precision)
{
	return precision == RN_INT8 ? RN_FORMAT_INT8 : RN_FORMAT_REAL;
}

static RnStatus
refuse_weights(RnContext *ctx, const RnStore *store, const RnServedModel *model, size_t bytes)
{
	if (bytes > 0)
		return too_large(ctx, store, model->bytes + bytes);
	rn_fail(ctx, RN_UNSUPPORTED, "precision \"int8\" is not supported by device \"%s\"", store->kernels->name);
	rn_hint(ctx, "Use precision \"float32\".");
	return ctx->status;
}

RnStatus
rn_store_want_weights(RnContext *ctx, RnStore *store, RnServedModel *model, RnPrecision precision, int *room)
{
	RnWeights  *weights = &model->weights[precision];
	size_t		bytes = rn_prepared_size(model->kernels, rn_model_params(model->model), format_of(precision));
	size_t		spare = model->weights[RN_FLOAT32].bytes;

	*room = 1;
	if (precision == RN_FLOAT32)
	{
		if (bytes == 0 || (store->budget > 0 && store->used + bytes > store->budget))
			return RN_OK;
	}
	else if (bytes == 0 || (store->budget > 0 && model->bytes - spare + bytes > store->budget))
		return refuse_weights(ctx, store, model, bytes);
	else if (!(*room = make_room(store, bytes, model)))
		return RN_OK;
	weights->state = RN_WEIGHTS_BUILDING;
	weights->bytes = bytes;
	model->bytes += bytes;
	store->used += bytes;
	model->users++;
	return RN_OK;
}

RnStatus
rn_store_build_weights(RnContext *ctx, const RnServedModel *model, RnPrecision precision, RnPreparedWeights **prepared)
{
	RnLane	   *lane;
	RnStatus	status;

	*prepared = NULL;
	RN_TRY(model->kernels->lane_create(ctx, &lane));
	status = rn_prepare_weights(ctx, model->kernels, lane, rn_model_params(model->model), model->values,
								format_of(precision), prepared);
	model->kernels->lane_free(lane);
	return status;
}

void
rn_store_end_weights(RnStore *store, RnServedModel *model, RnPrecision precision, RnPreparedWeights *prepared)
{
	RnWeights  *weights = &model->weights[precision];

	weights->prepared = prepared;
	weights->state = RN_WEIGHTS_READY;
	if (prepared == NULL)
		drop_weights(store, model, precision);
	store->changed = 1;
}

void
rn_store_ready(RnStore *store, RnServedModel *model)
{
	model->state = RN_SERVED_READY;
	model->last_use = rn_now();
	store->n_loaded++;
	store->changed = 1;
}

void
rn_store_keep(RnServedModel *model, const void *sender, double until)
{
	model->kept_for = sender;
	model->deadline = until;
}

void
rn_store_unkeep(RnStore *store, const void *sender)
{
	RnServedModel *model;

	for (model = store->models; model != NULL; model = model->next)
	{
		if (model->kept_for != sender)
			continue;
		model->kept_for = NULL;
		model->deadline = 0;
		store->changed = 1;
	}
}

void
rn_store_drop(RnStore *store, RnServedModel *model)
{
	RnServedModel **link = &store->models;

	while (*link != model)
		link = &(*link)->next;
	*link = model->next;
	store->used -= model->bytes + model->cache_bytes;
	store->count -= model->state >= RN_SERVED_BUILDING;
	store->changed = 1;
	release_parts(model);
	free(model);
}

void
rn_store_hold(RnServedModel *model, int n_sentences)
{
	model->users++;
	model->last_use = rn_now();
	model->n_requests++;
	model->n_sentences += n_sentences;
}

void
rn_store_release(RnStore *store, RnServedModel *model)
{
	model->last_use = rn_now();
	if (--model->users > 0)
		return;
	if (model->state == RN_SERVED_LEAVING)
	{
		store->n_evicted++;
		rn_store_drop(store, model);
	}
	if (store->budget > 0)
		trim_until(store, 0);
	store->changed = 1;
}
