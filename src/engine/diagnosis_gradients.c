/*
 * diagnosis_gradients.c
 *		What a probe shows of gradients, of the first update and of Adam, as
 *		tables.
 *
 * src/engine/diagnosis_gradients.c
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/diagnosis.h"
#include "train/schedule.h"
#include "train/statistics.h"

/* In proportion to the largest; null where all are 0. */
static double
relative(double value, double largest)
{
	return largest > 0 ? value / largest : NAN;
}

static double
largest_of(const double *values, int n)
{
	double		largest = 0;
	int			i;

	for (i = 0; i < n; i++)
		largest = fmax(largest, values[i]);
	return largest;
}

/* ---- gradients and the update ---- */

static RnStatus
update_statistics(RnContext *ctx, const RnDiagnosis *diagnosis, RnTensorStatistics **statistics)
{
	const RnConfig *config = &diagnosis->config;

	*statistics = calloc((size_t) rn_model_params(diagnosis->model)->count, sizeof(RnTensorStatistics));
	if (*statistics == NULL)
		return rn_out_of_memory(ctx, sizeof(RnTensorStatistics));
	return rn_probe_update(ctx, diagnosis->probe, rn_learning_rate(config, 1, config->max_steps), *statistics);
}

static void
put_tensors(const RnTensorStatistics *statistics, int n, RnTable *table)
{
	double		gradient = 0;
	double		update = 0;
	int			p;

	for (p = 0; p < n; p++)
	{
		gradient = fmax(gradient, statistics[p].gradient_norm);
		update = fmax(update, statistics[p].update_norm);
	}
	for (p = 0; p < n; p++)
	{
		const RnTensorStatistics *one = &statistics[p];

		rn_table_text(table, rn_stack_name(one->param->stack));
		if (one->param->layer >= 0)
			rn_table_integer(table, one->param->layer);
		else
			rn_table_null(table);
		rn_table_text(table, rn_sublayer_name(one->param->sublayer));
		rn_table_text(table, one->param->name);
		rn_table_integer(table, (int64_t) rn_param_size(one->param));
		rn_table_number(table, one->parameter_norm);
		rn_table_number(table, one->gradient_norm);
		rn_table_number(table, relative(one->gradient_norm, gradient));
		rn_table_number(table, one->update_norm);
		rn_table_number(table, relative(one->update_norm, update));
		rn_table_number(table, one->adam_condition);
	}
}

RnStatus
rn_answer_probe(RnContext *ctx, RnDiagnosis *diagnosis, RnTable *table)
{
	RnTensorStatistics *statistics;

	if (update_statistics(ctx, diagnosis, &statistics) == RN_OK)
		put_tensors(statistics, rn_model_params(diagnosis->model)->count, table);
	free(statistics);
	return ctx->status;
}

/* Norms of the updates of each layer; [layers]. */
static void
layer_updates(const RnProbeStack *stack, const RnTensorStatistics *statistics, int n, double *norms)
{
	int			p,
				l;

	for (p = 0; p < n; p++)
	{
		const RnParam *param = statistics[p].param;

		if (param->stack == stack->model->scheme.stack && param->layer >= 0)
			norms[param->layer] += statistics[p].update_norm * statistics[p].update_norm;
	}
	for (l = 0; l < stack->layers; l++)
		norms[l] = sqrt(norms[l]);
}

static RnStatus
put_layers(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, const RnTensorStatistics *statistics,
		   RnTable *table)
{
	int			layers = stack->layers;
	int			per_layer = stack->n / layers;
	double	   *all;
	double	   *ffn,
			   *updates,
			   *streams;
	int			l;

	all = calloc(3 * (size_t) layers + stack->n, sizeof(double));
	if (all == NULL)
		return rn_out_of_memory(ctx, (3 * (size_t) layers + stack->n) * sizeof(double));
	ffn = all + layers;
	updates = ffn + layers;
	streams = updates + layers;
	rn_probe_layer_gradients(probe, stack, all, ffn);
	layer_updates(stack, statistics, probe->model->params.count, updates);
	if (rn_probe_stream_gradients(ctx, probe, stack, streams) == RN_OK)
	{
		for (l = 0; l < layers; l++)
		{
			double		stream = streams[(l + 1) * per_layer - 1];

			rn_table_text(table, rn_stack_name(stack->model->scheme.stack));
			rn_table_integer(table, l);
			rn_table_number(table, all[l]);
			rn_table_number(table, relative(all[l], largest_of(all, layers)));
			rn_table_number(table, ffn[l]);
			rn_table_number(table, stream);
			rn_table_number(table, relative(stream, largest_of(streams, stack->n)));
			rn_table_number(table, updates[l]);
			rn_table_number(table, relative(updates[l], largest_of(updates, layers)));
		}
	}
	free(all);
	return ctx->status;
}

RnStatus
rn_answer_layers(RnContext *ctx, RnDiagnosis *diagnosis, RnTable *table)
{
	const RnProbe *probe = diagnosis->probe;
	RnTensorStatistics *statistics;

	if (update_statistics(ctx, diagnosis, &statistics) == RN_OK &&
		(probe->encoder.n == 0 || put_layers(ctx, probe, &probe->encoder, statistics, table) == RN_OK) &&
		probe->decoder.n > 0)
		put_layers(ctx, probe, &probe->decoder, statistics, table);
	free(statistics);
	return ctx->status;
}

/* ---- Adam ---- */

static void
put_jacobian(RnTable *table, double rate, const RnGradientSizes *sizes)
{
	rn_table_number(table, rate * sizes->jacobian);
	rn_table_number(table, rate * sqrt(sizes->jacobian_squares));
	rn_table_number(table, sizes->step > 0 ? sizes->jacobian * sqrt(sizes->squares / sizes->step) : NAN);
}

static void
put_sizes(RnTable *table, RnStack stack, int layer, double rate, const RnGradientSizes *sizes)
{
	int			b;

	rn_table_text(table, rn_stack_name(stack));
	if (layer >= 0)
		rn_table_integer(table, layer);
	else
		rn_table_null(table);
	rn_table_integer(table, (int64_t) sizes->n);
	rn_table_number(table, sqrt(sizes->squares / sizes->n));
	rn_table_number(table, sizes->zeros / sizes->n);
	for (b = 0; b < RN_PROBE_BOUNDS; b++)
		rn_table_number(table, sizes->below[b] / sizes->n);
	put_jacobian(table, rate, sizes);
}

/* All parameters of a layer; of the rest of a stack, or of none, with layer -1. */
static RnStatus
put_layer_sizes(RnContext *ctx, const RnDiagnosis *diagnosis, RnStack stack, int layer, RnTable *table)
{
	const RnParams *params = rn_model_params(diagnosis->model);
	RnGradientSizes sizes;
	int			p;

	memset(&sizes, 0, sizeof(sizes));
	for (p = 0; p < params->count; p++)
	{
		if (params->items[p].stack == stack && params->items[p].layer == layer)
			RN_TRY(rn_probe_gradient_sizes(ctx, diagnosis->probe, &params->items[p], &sizes));
	}
	if (sizes.n > 0)
		put_sizes(table, stack, layer, diagnosis->config.learning_rate, &sizes);
	return RN_OK;
}

RnStatus
rn_answer_adam_condition(RnContext *ctx, RnDiagnosis *diagnosis, RnTable *table)
{
	const RnProbe *probe = diagnosis->probe;
	int			l;

	RN_TRY(put_layer_sizes(ctx, diagnosis, RN_STACK_NONE, -1, table));
	for (l = -1; l < probe->encoder.layers; l++)
		RN_TRY(put_layer_sizes(ctx, diagnosis, RN_STACK_ENCODER, l, table));
	for (l = -1; l < probe->decoder.layers; l++)
		RN_TRY(put_layer_sizes(ctx, diagnosis, RN_STACK_DECODER, l, table));
	return RN_OK;
}

#define CURVE_WIDTH		1024	/* as in the paper's figure */
#define CURVE_POINTS	23		/* 1e-1 .. 1e-12, two a decade */

/* The made-up axis: normal gradients of every size. */
RnStatus
rn_answer_adam_curve(RnContext *ctx, RnDiagnosis *diagnosis, RnTable *table)
{
	rn_real		gradient[CURVE_WIDTH];
	rn_real		moments[CURVE_WIDTH] = {0};
	int			point,
				k;

	(void) ctx;
	for (point = 0; point < CURVE_POINTS; point++)
	{
		double		sigma = pow(10, -1 - point / 2.0);
		RnGradientSizes sizes;
		RnTally		tally;

		for (k = 0; k < CURVE_WIDTH; k++)
			gradient[k] = (rn_real) (sigma * rn_random_normal((uint64_t) diagnosis->config.seed, RN_RANDOM_PERTURB, 1, 0,
															  (uint64_t) k));
		memset(&tally, 0, sizeof(tally));
		memset(&sizes, 0, sizeof(sizes));
		rn_statistics_adam(&diagnosis->config, 1, CURVE_WIDTH, gradient, 1, moments, moments, &tally);
		sizes.squares = tally.fed;
		sizes.step = tally.step;
		sizes.jacobian = tally.jacobian;
		sizes.jacobian_squares = tally.jacobian_squares;
		rn_table_number(table, sigma);
		put_jacobian(table, diagnosis->config.learning_rate, &sizes);
	}
	return RN_OK;
}
