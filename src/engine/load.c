/*
 * load.c
 *		A model on its way from a client into the store.
 *
 * src/engine/load.c
 */
#include "engine/load.h"

#include <stdlib.h>
#include <string.h>

#include "engine/request.h"

#define TOKENIZER_NAME	"tokenizer"
#define SHORTLIST_NAME	"shortlist"
#define BLOB_MAX		((uint64_t) 256 * 1024 * 1024)
#define MAX_DIMS		4

/* A chunk of a tensor or blob. */
typedef struct Part
{
	char		name[RN_PARAM_NAME_LENGTH];
	uint32_t	ndim;
	uint32_t	dims[MAX_DIMS];
	uint32_t	dtype;
	uint64_t	total;
	uint64_t	offset;
	const char *bytes;
	size_t		size;
} Part;

RnStatus
rn_load_read(RnContext *ctx, const RnFrame *frame, RnLoadHead *head)
{
	RnReader	reader;
	uint32_t	n,
				i;

	memset(head, 0, sizeof(*head));
	rn_reader_init(&reader, frame);
	rn_read_model_key(&reader, &head->key);
	rn_config_defaults(&head->config);
	n = rn_read_count(&reader, 2 * sizeof(uint32_t));
	for (i = 0; i < n; i++)
	{
		char		key[RN_NAME_LENGTH];
		char		value[512];

		rn_read_string(&reader, key, sizeof(key));
		rn_read_string(&reader, value, sizeof(value));
		if (!reader.failed && head->error.status == RN_OK)
			rn_config_set(&head->error, &head->config, key, value);
	}
	head->bytes = rn_read_u64(&reader);
	RN_TRY(rn_reader_end(ctx, &reader, "load"));
	if (head->error.status == RN_OK)
		rn_config_check(&head->error, &head->config);
	return RN_OK;
}

RnStatus
rn_load_begin(RnContext *ctx, RnLoad *load, uint64_t id, RnServedModel *model)
{
	memset(load, 0, sizeof(*load));
	load->active = 1;
	load->id = id;
	if (model == NULL)
		return RN_OK;
	load->received = calloc(rn_model_params(model->model)->count, sizeof(size_t));
	if (load->received == NULL)
		return rn_out_of_memory(ctx, rn_model_params(model->model)->count * sizeof(size_t));
	load->model = model;
	return RN_OK;
}

static RnStatus
read_part(RnContext *ctx, const RnFrame *frame, Part *part)
{
	RnReader	reader;
	uint32_t	i;

	rn_reader_init(&reader, frame);
	rn_read_string(&reader, part->name, sizeof(part->name));
	part->ndim = rn_read_u32(&reader);
	if (part->ndim > MAX_DIMS)
		return rn_fail(ctx, RN_CORRUPT, "received a malformed part message");
	for (i = 0; i < part->ndim; i++)
		part->dims[i] = rn_read_u32(&reader);
	part->dtype = rn_read_u32(&reader);
	part->total = rn_read_u64(&reader);
	part->offset = rn_read_u64(&reader);
	part->bytes = rn_read_bytes(&reader, &part->size);
	RN_TRY(rn_reader_end(ctx, &reader, "part"));
	if (part->size > RN_CHUNK || part->offset > part->total || part->size > part->total - part->offset)
		return rn_fail(ctx, RN_CORRUPT, "received a malformed part message");
	return RN_OK;
}

static RnStatus
out_of_order(RnContext *ctx, const Part *part, size_t received)
{
	rn_fail(ctx, RN_MISMATCH, "parts of tensor \"%s\" are not in order", part->name);
	rn_detail(ctx, "Expected offset %zu, received %llu.", received, (unsigned long long) part->offset);
	return ctx->status;
}

/* A chunk of what is bytes and no tensor. */
static RnStatus
take_blob(RnContext *ctx, const Part *part, char **bytes, size_t *size, size_t *received)
{
	if (part->dtype != RN_DTYPE_BYTES || part->ndim != 0 || part->total == 0 || part->total > BLOB_MAX)
		return rn_fail(ctx, RN_MISMATCH, "%s of the model has a wrong size or type", part->name);
	if (*bytes == NULL)
	{
		*bytes = malloc(part->total);
		if (*bytes == NULL)
			return rn_out_of_memory(ctx, part->total);
		*size = part->total;
	}
	if (part->offset != *received || part->total != *size)
		return out_of_order(ctx, part, *received);
	memcpy(*bytes + part->offset, part->bytes, part->size);
	*received += part->size;
	return RN_OK;
}

static RnStatus
check_shape(RnContext *ctx, const RnParam *param, const Part *part)
{
	size_t		size = rn_param_size(param);
	int			fits;

	if (param->ndim == 2)
		fits = part->ndim == 2 && part->dims[0] == (uint32_t) param->rows && part->dims[1] == (uint32_t) param->cols;
	else
		fits = part->ndim == 1 && part->dims[0] == size;
	if (fits && part->dtype == RN_DTYPE_FLOAT32 && part->total == size * sizeof(float))
		return RN_OK;
	rn_fail(ctx, RN_MISMATCH, "tensor \"%s\" has a shape or type that the model's configuration does not give it",
			part->name);
	if (param->ndim == 2)
		rn_detail(ctx, "Expected [%d, %d] float32.", param->rows, param->cols);
	else
		rn_detail(ctx, "Expected [%zu] float32.", size);
	return ctx->status;
}

/* Numbers cross as float; the double build widens them. */
static RnStatus
copy_weights(RnContext *ctx, RnStore *store, rn_real *to, const Part *part)
{
#ifdef RN_DOUBLE
	size_t		n = part->size / sizeof(float);
	rn_real    *wide = malloc((n ? n : 1) * sizeof(rn_real));
	size_t		i;

	if (wide == NULL)
		return rn_out_of_memory(ctx, n * sizeof(rn_real));
	for (i = 0; i < n; i++)
	{
		float		narrow;

		memcpy(&narrow, part->bytes + i * sizeof(float), sizeof(float));
		wide[i] = narrow;
	}
	store->kernels->copy_in(store->lane, to, wide, n * sizeof(rn_real));
	n = store->kernels->synchronize(ctx, store->lane) == RN_OK;
	free(wide);
	return n ? RN_OK : ctx->status;
#else
	store->kernels->copy_in(store->lane, to, part->bytes, part->size);
	return store->kernels->synchronize(ctx, store->lane);
#endif
}

static RnStatus
take_weights(RnContext *ctx, RnStore *store, RnLoad *load, const Part *part)
{
	const RnParams *params = rn_model_params(load->model->model);
	const RnParam *param = rn_params_find(params, part->name);
	size_t	   *received;

	if (param == NULL)
		return rn_fail(ctx, RN_MISMATCH, "model has no tensor \"%s\"", part->name);
	RN_TRY(check_shape(ctx, param, part));
	received = &load->received[param - params->items];
	if (part->offset != *received || part->size % sizeof(float) != 0)
		return out_of_order(ctx, part, *received);
	RN_TRY(copy_weights(ctx, store, load->model->values + param->offset + part->offset / sizeof(float), part));
	*received += part->size;
	return RN_OK;
}

RnStatus
rn_load_part(RnContext *ctx, RnStore *store, RnLoad *load, const RnFrame *frame, RnContext *error)
{
	Part		part;

	RN_TRY(read_part(ctx, frame, &part));
	if (load->model == NULL)
		return RN_OK;
	if (strcmp(part.name, TOKENIZER_NAME) == 0)
		take_blob(error, &part, &load->model->tokenizer_bytes, &load->model->tokenizer_size, &load->tokenizer_received);
	else if (strcmp(part.name, SHORTLIST_NAME) == 0)
		take_blob(error, &part, &load->model->shortlist_bytes, &load->model->shortlist_size, &load->shortlist_received);
	else
		take_weights(error, store, load, &part);
	return RN_OK;
}

RnStatus
rn_load_check(RnContext *ctx, const RnLoad *load)
{
	const RnParams *params = rn_model_params(load->model->model);
	int			i;

	for (i = 0; i < params->count; i++)
	{
		if (load->received[i] == rn_param_size(&params->items[i]) * sizeof(float))
			continue;
		rn_fail(ctx, RN_MISMATCH, "tensor \"%s\" of the model is %s", params->items[i].name,
				load->received[i] == 0 ? "missing" : "incomplete");
		return ctx->status;
	}
	if (load->model->tokenizer_bytes == NULL || load->tokenizer_received != load->model->tokenizer_size)
		return rn_fail(ctx, RN_MISMATCH, "tokenizer of the model is %s",
					   load->model->tokenizer_bytes == NULL ? "missing" : "incomplete");
	if (load->model->shortlist_bytes != NULL && load->shortlist_received != load->model->shortlist_size)
		return rn_fail(ctx, RN_MISMATCH, "shortlist of the model is incomplete");
	return RN_OK;
}

void
rn_load_end(RnLoad *load)
{
	free(load->received);
	memset(load, 0, sizeof(*load));
}
