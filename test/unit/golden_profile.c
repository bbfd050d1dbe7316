/*
 * golden_profile.c
 *		What Admin measures before training, against reference values.
 *
 * test/unit/golden_profile.c
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden_parts.h"

/* The shortcut vectors of a stack: all entries of one are equal after measuring. */
static void
compare_stack(GoldenCase *this_case, const rn_real *values, RnStack stack, const char *name)
{
	const RnParams *params = rn_model_params(this_case->model);
	double		omegas[64];
	int			n = 0;
	int			p,
				k;

	for (p = 0; p < params->count; p++)
	{
		const RnParam *param = &params->items[p];

		if (param->stack != stack || strstr(param->name, ".omega") == NULL || n == 64)
			continue;
		omegas[n++] = values[param->offset];
		for (k = 1; k < param->cols; k++)
		{
			if (values[param->offset + k] != values[param->offset])
				golden_fail(this_case, "%s: entry %d differs", param->name, k);
		}
	}
	golden_compare_all(this_case, GOLDEN_DIAGNOSTIC, name, omegas, n);
}

/* The case's weights, but omegas as a fresh model has them. */
static void
fresh_values(GoldenCase *this_case, rn_real *host)
{
	int			p,
				k;

	memcpy(host, this_case->host, this_case->size * sizeof(rn_real));
	for (p = 0; p < this_case->n_params; p++)
	{
		const RnParam *param = golden_param(this_case, this_case->params[p]);

		for (k = 0; k < param->cols && strstr(param->name, ".omega") != NULL; k++)
			host[param->offset + k] = 1;
	}
}

/* A model that measures in this way, on the batch. */
static void
check_way(GoldenCase *this_case, const char *option, const char *name, const RnModelBatch *batch, rn_real *host)
{
	const RnKernels *kernels = this_case->kernels;
	RnContext  *ctx = &this_case->ctx;
	size_t		bytes = this_case->size * sizeof(rn_real);
	RnConfig	config = this_case->config;
	RnModel    *model = NULL;
	rn_real    *values = NULL;
	char		record[64];
	int			n_set;

	fresh_values(this_case, host);
	if (rn_config_set(ctx, &config, "admin_omega", option) == RN_OK)
	{
		config.vocab_size = this_case->config.vocab_size;
		if (rn_model_create(ctx, &config, &this_case->special, 32, &model) == RN_OK &&
			kernels->allocate(ctx, bytes, (void **) &values) == RN_OK)
		{
			kernels->copy_in(this_case->lane, values, host, bytes);
			rn_model_profile(ctx, model, kernels, this_case->lane, batch, values, &n_set);
			kernels->copy_out(this_case->lane, host, values, bytes);
			kernels->synchronize(ctx, this_case->lane);
			snprintf(record, sizeof(record), "profile.%s.enc.omega", name);
			compare_stack(this_case, host, RN_STACK_ENCODER, record);
			snprintf(record, sizeof(record), "profile.%s.dec.omega", name);
			compare_stack(this_case, host, RN_STACK_DECODER, record);
			kernels->release(values, bytes);
		}
	}
	rn_model_free(model);
}

/* The batch is one of its own. */
void
golden_check_profile(GoldenCase *this_case)
{
	const GoldenRecord *source = golden_find(this_case->file, "profile.src");
	const GoldenRecord *in = golden_find(this_case->file, "profile.prev");
	RnContext  *ctx = &this_case->ctx;
	int32_t    *integers = NULL;
	rn_real    *host;
	RnModelBatch batch;

	if (source == NULL || ctx->status != RN_OK)
		return;
	host = malloc(this_case->size * sizeof(rn_real));
	if (host != NULL && golden_batch(this_case, source, in, in, &batch, &integers) == 0)
	{
		check_way(this_case, "profile", "running", &batch, host);
		check_way(this_case, "profile_ones", "ones", &batch, host);
	}
	if (ctx->status != RN_OK)
		golden_fail(this_case, "profile: %s", ctx->message);
	free(integers);
	free(host);
}
