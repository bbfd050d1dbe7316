/*
 * gradients.c
 *		How large gradients are, and what Adam makes of them.
 *
 * src/diagnose/gradients.c
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "diagnose/probe.h"
#include "train/statistics.h"

static double
squares_of(const rn_real *x, size_t n)
{
	double		sum = 0;
	size_t		k;

	for (k = 0; k < n; k++)
		sum += (double) x[k] * x[k];
	return sum;
}

void
rn_probe_layer_gradients(const RnProbe *probe, const RnProbeStack *stack, double *all, double *ffn_out)
{
	const RnParams *params = &probe->model->params;
	int			p,
				l;

	memset(all, 0, stack->layers * sizeof(double));
	for (p = 0; p < params->count; p++)
	{
		const RnParam *param = &params->items[p];

		if (param->stack == stack->model->scheme.stack && param->layer >= 0)
			all[param->layer] += squares_of(probe->host_gradients + param->offset, rn_param_size(param));
	}
	for (l = 0; l < stack->layers; l++)
	{
		const RnParam *out = &params->items[stack->model->layers[l].feed_forward.out_weight];

		all[l] = sqrt(all[l]);
		ffn_out[l] = sqrt(squares_of(probe->host_gradients + out->offset, rn_param_size(out)));
	}
}

RnStatus
rn_probe_stream_gradients(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, double *norms)
{
	size_t		n = (size_t) stack->rows->rows * stack->d;
	rn_real    *gradient = malloc(n * sizeof(rn_real));
	int			i;

	if (gradient == NULL)
		return rn_out_of_memory(ctx, n * sizeof(rn_real));
	for (i = 0; i < stack->n && ctx->status == RN_OK; i++)
	{
		const RnTensor *x = stack->stream[i + 1];

		norms[i] = 0;
		if (x->grad == NULL)
			continue;			/* none reaches it */
		probe->kernels->copy_out(probe->lane, gradient, x->grad, n * sizeof(rn_real));
		probe->kernels->synchronize(ctx, probe->lane);
		norms[i] = sqrt(squares_of(gradient, n));
	}
	free(gradient);
	return ctx->status;
}

/* ---- an update ---- */

/* What an update needs beside the optimizer. */
typedef struct Update
{
	rn_real    *values;			/* flat, device: a copy */
	rn_real    *gradients;		/* likewise */
	rn_real    *change;			/* [piece_most], device */
	RnTally    *tallies;		/* [pieces] */
} Update;

static RnStatus
create_update(RnContext *ctx, const RnProbe *probe, const RnOptimizer *optimizer, Update *update)
{
	const RnKernels *kernels = probe->kernels;
	size_t		bytes = probe->model->params.size * sizeof(rn_real);

	update->tallies = calloc((size_t) optimizer->n_pieces + 1, sizeof(RnTally));
	if (update->tallies == NULL)
		return rn_out_of_memory(ctx, ((size_t) optimizer->n_pieces + 1) * sizeof(RnTally));
	RN_TRY(kernels->allocate(ctx, bytes, (void **) &update->values));
	RN_TRY(kernels->allocate(ctx, bytes, (void **) &update->gradients));
	RN_TRY(kernels->allocate(ctx, optimizer->piece_most * sizeof(rn_real), (void **) &update->change));
	kernels->copy(probe->lane, update->values, probe->values, bytes);
	kernels->copy(probe->lane, update->gradients, probe->gradients, bytes);
	return kernels->synchronize(ctx, probe->lane);
}

static void
free_update(const RnProbe *probe, const RnOptimizer *optimizer, Update *update)
{
	size_t		bytes = probe->model->params.size * sizeof(rn_real);

	if (update->values != NULL)
		probe->kernels->release(update->values, bytes);
	if (update->gradients != NULL)
		probe->kernels->release(update->gradients, bytes);
	if (update->change != NULL)
		probe->kernels->release(update->change, optimizer->piece_most * sizeof(rn_real));
	free(update->tallies);
}

static RnStatus
make_update(RnContext *ctx, const RnProbe *probe, RnOptimizer *optimizer, const Update *with, double rate,
			RnDecision *decision)
{
	const RnStepTerms terms = {.gradient_scale = 1, .target_tokens = 1, .learning_rate = rate, .first = 1};

	rn_optimizer_begin(optimizer, probe->lane, 0, 0, 0);
	rn_optimizer_reduce(optimizer, probe->lane, 0, (rn_real *const *) &with->gradients, 0);
	rn_optimizer_decide(optimizer, probe->lane, &terms);
	RN_TRY(rn_optimizer_decided(ctx, optimizer, probe->lane, decision));
	RN_TRY(rn_statistics_collect(ctx, optimizer, probe->lane, 0, with->values, with->gradients, decision, with->tallies));
	rn_optimizer_update(optimizer, probe->lane, 0, with->values, with->gradients, with->change);
	return rn_optimizer_squares(ctx, optimizer, probe->lane, with->tallies);
}

RnStatus
rn_probe_update(RnContext *ctx, RnProbe *probe, double rate, RnTensorStatistics *statistics)
{
	const RnParams *params = &probe->model->params;
	RnOptimizer optimizer;
	RnDecision	decision;
	Update		update;

	memset(&update, 0, sizeof(update));
	if (rn_optimizer_init(ctx, &optimizer, params, &probe->model->config, probe->kernels, 1) == RN_OK &&
		create_update(ctx, probe, &optimizer, &update) == RN_OK &&
		make_update(ctx, probe, &optimizer, &update, rate, &decision) == RN_OK)
		rn_statistics_finish(&optimizer, params, update.tallies, &decision, statistics);
	free_update(probe, &optimizer, &update);
	rn_optimizer_free(&optimizer);
	return ctx->status;
}

/* ---- sizes ---- */

static void
count_sizes(const rn_real *gradient, size_t n, RnGradientSizes *sizes)
{
	double		bounds[RN_PROBE_BOUNDS];
	size_t		k;
	int			b;

	for (b = 0; b < RN_PROBE_BOUNDS; b++)
		bounds[b] = pow(10, -6 - b);
	for (k = 0; k < n; k++)
	{
		double		size = fabs((double) gradient[k]);

		sizes->zeros += size == 0;
		for (b = 0; b < RN_PROBE_BOUNDS && size < bounds[b]; b++)
			sizes->below[b]++;
	}
	sizes->n += (double) n;
}

RnStatus
rn_probe_gradient_sizes(RnContext *ctx, const RnProbe *probe, const RnParam *param, RnGradientSizes *sizes)
{
	const rn_real *gradient = probe->host_gradients + param->offset;
	size_t		n = rn_param_size(param);
	rn_real    *moments = calloc(n, sizeof(rn_real));	/* of a fresh Adam */
	RnTally		tally;

	if (moments == NULL)
		return rn_out_of_memory(ctx, n * sizeof(rn_real));
	memset(&tally, 0, sizeof(tally));
	rn_statistics_adam(&probe->model->config, 1, n, gradient, 1, moments, moments, &tally);
	free(moments);
	count_sizes(gradient, n, sizes);
	sizes->squares += tally.fed;
	sizes->step += tally.step;
	sizes->jacobian = fmax(sizes->jacobian, tally.jacobian);
	sizes->jacobian_squares += tally.jacobian_squares;
	return RN_OK;
}
