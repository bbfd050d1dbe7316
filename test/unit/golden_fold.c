/*
 * golden_fold.c
 *		Admin's factors folded away: the Post-LN model that is left gives the
 *		same logits.
 *
 * The first factor of a stack is set to 1, as it is where models are folded;
 * both models are held to reference values of their own elsewhere.
 *
 * test/unit/golden_fold.c
 */
#include <stdlib.h>
#include <string.h>

#include "golden_parts.h"

/* Logits of the case's batch; n of them, to be freed. */
static rn_real *
logits_of(GoldenCase *this_case, const RnModel *model, const rn_real *host, int *n)
{
	const RnKernels *kernels = this_case->kernels;
	RnContext  *ctx = &this_case->ctx;
	size_t		bytes = rn_model_params(model)->size * sizeof(rn_real);
	rn_real    *values = NULL;
	rn_real    *copy = NULL;
	RnGraph    *graph = NULL;
	RnTensor   *logits;
	RnPass		pass;

	if (kernels->allocate(ctx, bytes, (void **) &values) != RN_OK)
		return NULL;
	kernels->copy_in(this_case->lane, values, host, bytes);
	memset(&pass, 0, sizeof(pass));
	pass.params = rn_model_params(model);
	pass.values = values;
	if (rn_graph_create(ctx, kernels, this_case->lane, &graph) == RN_OK)
	{
		rn_graph_begin(graph, &pass);
		logits = rn_model_logits(model, graph, rn_model_output(model, graph, &this_case->batch, NULL));
		if (logits != NULL)
			rn_graph_keep(graph, logits);
		if (rn_graph_forward(ctx, graph) == RN_OK)
		{
			*n = logits->rows * logits->cols;
			copy = malloc(*n * sizeof(rn_real));
			if (copy != NULL)
				kernels->copy_out(this_case->lane, copy, logits->value, *n * sizeof(rn_real));
			kernels->synchronize(ctx, this_case->lane);
		}
	}
	rn_graph_free(graph);
	kernels->release(values, bytes);
	return copy;
}

/* The values that a plainer model shares with the case's, in its own places; NULL when one is missing. */
static rn_real *
plain_values(GoldenCase *this_case, const RnModel *plain, const rn_real *values, const RnFolded *folded)
{
	const RnParams *params = rn_model_params(this_case->model);
	rn_real    *host = calloc(rn_model_params(plain)->size, sizeof(rn_real));
	int			left = rn_model_params(plain)->count;
	int			p;

	for (p = 0; p < params->count && host != NULL; p++)
	{
		const RnParam *param = &params->items[p];
		const RnParam *mine = rn_params_find(rn_model_params(plain), param->name);

		if ((mine == NULL) != (rn_folded_away(folded, param) != 0))
			golden_fail(this_case, "fold: %s has no place, or ought to have none", param->name);
		if (mine == NULL)
			continue;
		memcpy(host + mine->offset, values + param->offset, rn_param_size(param) * sizeof(rn_real));
		left--;
	}
	if (left != 0)
		golden_fail(this_case, "fold: %d parameters of the plain model have no values", left);
	return host;
}

static void
set_first_omegas(GoldenCase *this_case, rn_real *values, rn_real value)
{
	static const char *const names[] = {"enc.0.sa.omega", "dec.0.sa.omega"};
	int			s,
				k;

	for (s = 0; s < 2; s++)
	{
		const RnParam *param = rn_params_find(rn_model_params(this_case->model), names[s]);

		for (k = 0; param != NULL && k < param->cols; k++)
			values[param->offset + k] = value;
	}
}

/* One entry of one factor keeps its stack from being folded, and nothing is changed there. */
static void
check_nearly_zero(GoldenCase *this_case, const rn_real *values)
{
	const RnParam *param = rn_params_find(rn_model_params(this_case->model), "dec.0.ff.omega");
	size_t		bytes = this_case->size * sizeof(rn_real);
	rn_real    *copy = malloc(bytes);
	RnConfig	config = this_case->config;
	RnFolded	folded;

	if (copy == NULL || param == NULL)
		golden_fail(this_case, "fold: no factor to make small");
	else
	{
		memcpy(copy, values, bytes);
		copy[param->offset + 1] = (rn_real) 1e-5;
		rn_model_fold(this_case->model, copy, &config, &folded);
		if (folded.stack[1] || !folded.refused[1] || folded.refused[0] || strcmp(config.decoder_scheme, "admin") != 0 ||
			copy[param->offset + 1] != (rn_real) 1e-5)
			golden_fail(this_case, "fold: a factor that is nearly 0 was folded");
	}
	free(copy);
}

void
golden_check_fold(GoldenCase *this_case)
{
	RnContext  *ctx = &this_case->ctx;
	size_t		bytes = this_case->size * sizeof(rn_real);
	RnConfig	config = this_case->config;
	RnModel    *plain = NULL;
	rn_real    *values = NULL;
	rn_real    *host = NULL;
	rn_real    *before = NULL;
	rn_real    *after = NULL;
	RnFolded	folded;
	int			n = 0;
	int			k;

	if (strcmp(golden_setting(this_case->file, "residual"), "omega") != 0 || ctx->status != RN_OK)
		return;
	values = malloc(bytes);
	if (values == NULL)
		return;
	memcpy(values, this_case->host, bytes);
	set_first_omegas(this_case, values, 2);
	rn_model_fold(this_case->model, values, &config, &folded);
	if (folded.stack[0] || folded.stack[1] ||
		folded.refused[0] != rn_config_has_encoder(&config) || !folded.refused[1])
		golden_fail(this_case, "fold: a first factor that is not 1 was folded");
	set_first_omegas(this_case, values, 1);
	check_nearly_zero(this_case, values);
	before = logits_of(this_case, this_case->model, values, &n);
	rn_model_fold(this_case->model, values, &config, &folded);
	if (folded.refused[0] || folded.refused[1])
		golden_fail(this_case, "fold: factors that fold were refused");
	if (strcmp(config.decoder_scheme, "post") != 0 || strcmp(config.encoder_scheme, "post") != 0)
		golden_fail(this_case, "fold: what is left is %s and %s", config.encoder_scheme, config.decoder_scheme);
	else if (rn_model_create(ctx, &config, &this_case->special, 32, &plain) == RN_OK)
		host = plain_values(this_case, plain, values, &folded);
	if (host != NULL)
		after = logits_of(this_case, plain, host, &n);
	if (before == NULL || after == NULL)
		golden_fail(this_case, "fold: no logits (%s)", ctx->message);
	for (k = 0; before != NULL && after != NULL && k < n; k++)
		golden_compare(this_case, GOLDEN_FORWARD, "fold", k, before[k], after[k]);
	rn_model_free(plain);
	free(values);
	free(host);
	free(before);
	free(after);
}
