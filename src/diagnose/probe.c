/*
 * probe.c
 *		A model looked at from inside: the pass that shows everything.
 *
 * src/diagnose/probe.c
 */
#include "diagnose/probe.h"

#include <stdlib.h>
#include <string.h>

#include "model/residual/joint.h"

/* ---- making ---- */

static RnStatus
create_stack(RnContext *ctx, const RnModel *model, const RnModelStack *of, const RnPacked *rows,
			 const RnPacked *memory_rows, RnProbeStack *stack)
{
	int			kind;
	int			room;

	stack->model = of;
	stack->rows = rows;
	stack->memory_rows = memory_rows;
	stack->n = rn_stack_sublayers(&of->scheme);
	stack->layers = of->scheme.layers;
	stack->d = model->config.d_model;
	room = stack->n + 1;
	stack->stream = calloc(room, sizeof(RnTensor *));
	stack->shortcut = calloc(room, sizeof(RnTensor *));
	stack->branch = calloc(room, sizeof(RnTensor *));
	if (stack->stream == NULL || stack->shortcut == NULL || stack->branch == NULL)
		return rn_out_of_memory(ctx, room * sizeof(RnTensor *));
	for (kind = 0; kind < 2; kind++)
	{
		stack->attention[kind] = calloc(room, sizeof(RnTensor *));
		stack->probabilities[kind] = calloc(room, sizeof(*stack->probabilities[kind]));
		stack->scores[kind] = calloc(room, sizeof(RnAttentionScores));
		if (stack->attention[kind] == NULL || stack->probabilities[kind] == NULL || stack->scores[kind] == NULL)
			return rn_out_of_memory(ctx, room * sizeof(RnAttentionScores));
	}
	return RN_OK;
}

static void
free_stack(RnProbeStack *stack)
{
	int			kind;

	free(stack->stream);
	free(stack->shortcut);
	free(stack->branch);
	for (kind = 0; kind < 2; kind++)
	{
		free(stack->attention[kind]);
		free(stack->probabilities[kind]);
		free(stack->scores[kind]);
	}
}

static RnStatus
create_parts(RnContext *ctx, RnProbe *probe)
{
	const RnModel *model = probe->model;
	size_t		bytes = model->params.size * sizeof(rn_real);

	RN_TRY(create_stack(ctx, model, &model->encoder, &probe->batch->source, NULL, &probe->encoder));
	RN_TRY(create_stack(ctx, model, &model->decoder, &probe->batch->target,
						model->decoder.scheme.sublayers_per_layer > 2 ? &probe->batch->source : NULL, &probe->decoder));
	probe->host_gradients = malloc(bytes);
	probe->host_values = malloc(bytes);
	if (probe->host_gradients == NULL || probe->host_values == NULL)
		return rn_out_of_memory(ctx, bytes);
	RN_TRY(probe->kernels->allocate(ctx, bytes, (void **) &probe->gradients));
	return rn_graph_create(ctx, probe->kernels, probe->lane, &probe->graph);
}

RnStatus
rn_probe_create(RnContext *ctx, const RnModel *model, const RnKernels *kernels, RnLane *lane, const rn_real *values,
				const RnModelBatch *batch, RnProbe **result)
{
	RnProbe    *probe = calloc(1, sizeof(RnProbe));

	*result = NULL;
	if (probe == NULL)
		return rn_out_of_memory(ctx, sizeof(RnProbe));
	probe->model = model;
	probe->kernels = kernels;
	probe->lane = lane;
	probe->values = values;
	probe->batch = batch;
	if (create_parts(ctx, probe) != RN_OK)
	{
		rn_probe_free(probe);
		return ctx->status;
	}
	*result = probe;
	return RN_OK;
}

void
rn_probe_free(RnProbe *probe)
{
	if (probe == NULL)
		return;
	rn_graph_free(probe->graph);
	if (probe->gradients != NULL)
		probe->kernels->release(probe->gradients, probe->model->params.size * sizeof(rn_real));
	free(probe->host_gradients);
	free(probe->host_values);
	free_stack(&probe->encoder);
	free_stack(&probe->decoder);
	free(probe);
}

/* ---- the pass ---- */

static void
watch_stacks(RnProbe *probe, RnWatch *watch)
{
	memset(watch, 0, sizeof(*watch));
	watch->encoder_stream = probe->encoder.stream;
	watch->encoder_shortcut = probe->encoder.shortcut;
	watch->encoder_branch = probe->encoder.branch;
	watch->encoder_attention = probe->encoder.attention[0];
	watch->decoder_stream = probe->decoder.stream;
	watch->decoder_shortcut = probe->decoder.shortcut;
	watch->decoder_branch = probe->decoder.branch;
	watch->decoder_attention = probe->decoder.attention[0];
	watch->cross_attention = probe->decoder.attention[1];
}

/* Attention is asked for while the pass is noted: what it shows is then kept. */
static void
keep_attention(RnGraph *graph, RnProbeStack *stack)
{
	int			kind;
	int			l;

	for (kind = 0; kind < 2; kind++)
	{
		for (l = 0; l < stack->layers && stack->attention[kind][l] != NULL; l++)
		{
			stack->probabilities[kind][l] = rn_attention_probabilities(graph, stack->attention[kind][l]);
			rn_attention_scores(graph, stack->attention[kind][l], &stack->scores[kind][l]);
		}
	}
}

RnStatus
rn_probe_run(RnContext *ctx, RnProbe *probe, const volatile int *stop)
{
	const RnKernels *kernels = probe->kernels;
	size_t		bytes = probe->model->params.size * sizeof(rn_real);
	RnWatch		watch;
	RnPass		pass;

	kernels->zero(probe->lane, probe->gradients, bytes);
	watch_stacks(probe, &watch);
	memset(&pass, 0, sizeof(pass));
	pass.params = &probe->model->params;
	pass.values = probe->values;
	pass.gradients = probe->gradients;
	pass.stop = stop;
	rn_graph_begin(probe->graph, &pass);
	rn_model_loss(probe->model, probe->graph, probe->batch, 1.0 / probe->batch->target.rows, NULL, &probe->loss, &watch);
	if (watch.decoder_rows != NULL)
		probe->decoder.rows = watch.decoder_rows;
	keep_attention(probe->graph, &probe->encoder);
	keep_attention(probe->graph, &probe->decoder);
	probe->encoder.output = watch.encoder_output;
	probe->encoder.dual = watch.encoder_dual;
	probe->decoder.output = watch.decoder_output;
	probe->decoder.dual = watch.decoder_dual;
	RN_TRY(rn_graph_forward(ctx, probe->graph));
	RN_TRY(rn_graph_backward(ctx, probe->graph));
	kernels->copy_out(probe->lane, probe->host_gradients, probe->gradients, bytes);
	kernels->copy_out(probe->lane, probe->host_values, probe->values, bytes);
	return kernels->synchronize(ctx, probe->lane);
}

/* ---- what it showed ---- */

void
rn_probe_place(const RnProbeStack *stack, int i, RnPlace *place)
{
	int			per_layer = stack->model->scheme.sublayers_per_layer;
	int			in_layer = i % per_layer;

	place->layer = i / per_layer;
	place->number = i;
	place->kind = in_layer == 0 ? RN_SUBLAYER_SELF_ATTENTION :
		in_layer == per_layer - 1 ? RN_SUBLAYER_FEED_FORWARD : RN_SUBLAYER_CROSS_ATTENTION;
}

RnStatus
rn_probe_fetch(RnContext *ctx, const RnProbe *probe, const RnTensor *tensor, double *values)
{
	size_t		n = (size_t) tensor->rows * tensor->cols;
	rn_real    *host = malloc((n > 0 ? n : 1) * sizeof(rn_real));
	RnStatus	status;
	size_t		k;

	if (host == NULL)
		return rn_out_of_memory(ctx, n * sizeof(rn_real));
	probe->kernels->copy_out(probe->lane, host, tensor->value, n * sizeof(rn_real));
	status = probe->kernels->synchronize(ctx, probe->lane);
	for (k = 0; k < n && status == RN_OK; k++)
		values[k] = host[k];
	free(host);
	return status;
}
