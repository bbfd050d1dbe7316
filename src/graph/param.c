/*
 * param.c
 *		Named parameters, laid out in one flat buffer.
 *
 * Initial values are named by the parameter's name and not by its number, so
 * that a model with one more parameter begins with the same others.
 *
 * src/graph/param.c
 */
#include "graph/param.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

#define FNV_OFFSET		UINT64_C(14695981039346656037)
#define FNV_PRIME		UINT64_C(1099511628211)

void
rn_params_init(RnParams *params)
{
	memset(params, 0, sizeof(*params));
}

void
rn_params_free(RnParams *params)
{
	free(params->items);
	rn_params_init(params);
}

static RnStatus
check_declaration(RnContext *ctx, const RnParams *params, const RnParam *param)
{
	size_t		length = strnlen(param->name, RN_PARAM_NAME_LENGTH);

	if (length == 0 || length == RN_PARAM_NAME_LENGTH)
		return rn_fail(ctx, RN_INVALID, "a parameter's name must have 1 to %d bytes", RN_PARAM_NAME_LENGTH - 1);
	if (rn_params_find(params, param->name) != NULL)
		return rn_fail(ctx, RN_INVALID, "parameter \"%s\" is declared twice", param->name);
	if (param->rows < 1 || param->cols < 1)
		return rn_fail(ctx, RN_INVALID, "parameter \"%s\" has the shape [%d, %d]", param->name, param->rows, param->cols);
	if (rn_param_size(param) > SIZE_MAX / sizeof(rn_real) - params->size)
		return rn_fail(ctx, RN_LIMIT, "parameter \"%s\" is too large", param->name);
	if (param->ndim < 0 || param->ndim > 2 || (param->ndim == 1 && param->rows != 1))
		return rn_fail(ctx, RN_INVALID, "parameter \"%s\" of shape [%d, %d] cannot have %d dimensions",
					   param->name, param->rows, param->cols, param->ndim);
	if (param->init_zero_row >= param->rows)
		return rn_fail(ctx, RN_INVALID, "parameter \"%s\" has no row %d", param->name, param->init_zero_row);
	return RN_OK;
}

int
rn_params_add(RnContext *ctx, RnParams *params, const RnParam *param)
{
	RnParam    *item;

	if (check_declaration(ctx, params, param) != RN_OK)
		return -1;
	if (params->count == params->capacity)
	{
		int			capacity = params->capacity > 0 ? 2 * params->capacity : 64;
		RnParam    *items = realloc(params->items, capacity * sizeof(*items));

		if (items == NULL)
		{
			rn_out_of_memory(ctx, capacity * sizeof(*items));
			return -1;
		}
		params->items = items;
		params->capacity = capacity;
	}
	item = &params->items[params->count];
	*item = *param;
	if (item->ndim == 0)
		item->ndim = item->rows == 1 ? 1 : 2;
	item->offset = params->size;
	params->size += rn_param_size(item);
	params->once_from = params->size;
	return params->count++;
}

static size_t
place(RnParams *params, int flag, size_t offset)
{
	int			i;

	for (i = 0; i < params->count; i++)
	{
		RnParam    *param = &params->items[i];

		if ((param->flags & RN_PARAM_ONCE) != flag)
			continue;
		param->offset = offset;
		offset += rn_param_size(param);
	}
	return offset;
}

void
rn_params_lay_out(RnParams *params)
{
	params->once_from = place(params, 0, 0);
	(void) place(params, RN_PARAM_ONCE, params->once_from);
}

const RnParam *
rn_params_find(const RnParams *params, const char *name)
{
	int			i;

	for (i = 0; i < params->count; i++)
		if (strcmp(params->items[i].name, name) == 0)
			return &params->items[i];
	return NULL;
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
static uint64_t
name_hash(const char *name)
{
	uint64_t	hash = FNV_OFFSET;

	for (; *name != '\0'; name++)
		hash = (hash ^ (unsigned char) *name) * FNV_PRIME;
	return hash;
}

static void
initialize(const RnParam *param, uint64_t seed, rn_real *values)
{
	uint64_t	hash = name_hash(param->name);
	uint32_t	step = (uint32_t) (hash >> 32);
	uint32_t	stream = (uint32_t) hash;
	size_t		n = rn_param_size(param);
	size_t		i;

	for (i = 0; i < n; i++)
	{
		switch (param->init)
		{
			case RN_INIT_ZERO:
				values[i] = 0;
				break;
			case RN_INIT_ONE:
				values[i] = 1;
				break;
			case RN_INIT_CONSTANT:
				values[i] = (rn_real) param->init_scale;
				break;
			case RN_INIT_NORMAL:
				values[i] = (rn_real) (param->init_scale *
									   rn_random_normal(seed, RN_RANDOM_INIT, step, stream, i));
				break;
			case RN_INIT_UNIFORM:
				values[i] = (rn_real) (param->init_scale *
									   (2.0 * rn_random_uniform(seed, RN_RANDOM_INIT, step, stream, i) - 1.0));
				break;
		}
	}
	if (param->init_zero_row >= 0)
		memset(values + (size_t) param->init_zero_row * param->cols, 0, param->cols * sizeof(*values));
}

void
rn_params_initialize(const RnParams *params, uint64_t seed, rn_real *values)
{
	int			i;

	for (i = 0; i < params->count; i++)
		initialize(&params->items[i], seed, values + params->items[i].offset);
}

const char *
rn_stack_name(RnStack stack)
{
	switch (stack)
	{
		case RN_STACK_ENCODER:
			return "encoder";
		case RN_STACK_DECODER:
			return "decoder";
		case RN_STACK_NONE:
			break;
	}
	return "";
}

const char *
rn_sublayer_name(RnSublayer sublayer)
{
	switch (sublayer)
	{
		case RN_SUBLAYER_SELF_ATTENTION:
			return "self_attention";
		case RN_SUBLAYER_CROSS_ATTENTION:
			return "cross_attention";
		case RN_SUBLAYER_FEED_FORWARD:
			return "feed_forward";
		case RN_SUBLAYER_STACK:
			return "stack";
		case RN_SUBLAYER_NONE:
			break;
	}
	return "";
}
