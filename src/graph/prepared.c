/*
 * prepared.c
 *		The weights of products, made ready once for many passes.
 *
 * src/graph/prepared.c
 */
#include "graph/prepared.h"

#include <stdlib.h>

struct RnPreparedWeights
{
	const RnKernels *kernels;
	const RnParams *params;
	RnFormat	format;
	RnPrepared **items;			/* [params->count] by the first of joined weights; or NULL */
};

/* Rows of a parameter and those that are joined to it. */
static int
joined_rows(const RnParam *param)
{
	int			rows = 0;
	int			i;

	for (i = 0; i < param->joined; i++)
		rows += param[i].rows;
	return rows;
}

size_t
rn_prepared_size(const RnKernels *kernels, const RnParams *params, RnFormat format)
{
	size_t		size = 0;
	int			i;

	for (i = 0; i < params->count; i++)
		if (params->items[i].joined > 0)
			size += kernels->prepared_bytes(format, joined_rows(&params->items[i]), params->items[i].cols);
	return size;
}

RnStatus
rn_prepare_weights(RnContext *ctx, const RnKernels *kernels, RnLane *lane, const RnParams *params,
				   const rn_real *values, RnFormat format, RnPreparedWeights **result)
{
	RnPreparedWeights *prepared = calloc(1, sizeof(*prepared));
	int			i;

	*result = NULL;
	if (prepared == NULL || (prepared->items = calloc(params->count, sizeof(RnPrepared *))) == NULL)
	{
		free(prepared);
		return rn_out_of_memory(ctx, params->count * sizeof(RnPrepared *));
	}
	prepared->kernels = kernels;
	prepared->params = params;
	prepared->format = format;
	for (i = 0; i < params->count; i++)
	{
		const RnParam *param = &params->items[i];

		if (param->joined > 0 &&
			kernels->prepare(ctx, lane, format, joined_rows(param), param->cols, values + param->offset,
							 &prepared->items[i]) != RN_OK)
		{
			rn_prepared_free(prepared);
			return ctx->status;
		}
	}
	*result = prepared;
	return RN_OK;
}

void
rn_prepared_free(RnPreparedWeights *prepared)
{
	int			i;

	if (prepared == NULL)
		return;
	for (i = 0; i < prepared->params->count; i++)
		if (prepared->items[i] != NULL)
			prepared->kernels->discard(prepared->items[i]);
	free(prepared->items);
	free(prepared);
}

RnFormat
rn_prepared_format(const RnPreparedWeights *prepared)
{
	return prepared->format;
}

const RnPrepared *
rn_prepared_find(const RnPreparedWeights *prepared, const RnParam *weight, int n)
{
	return prepared != NULL && weight->joined == n ? prepared->items[weight - prepared->params->items] : NULL;
}
