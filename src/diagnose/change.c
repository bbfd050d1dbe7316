/*
 * change.c
 *		How far a stack's output moves when its weights do (Liu et al. 2020).
 *
 * src/diagnose/change.c
 */
#include <stdlib.h>
#include <string.h>

#include "diagnose/probe.h"

int
rn_probe_moves(const RnParam *param)
{
	return (param->flags & (RN_PARAM_NORM | RN_PARAM_BIAS | RN_PARAM_SCHEME)) == 0 && param->ndim == 2;
}

void
rn_probe_step_down(const RnProbe *probe, double step, rn_real *values)
{
	const RnParams *params = &probe->model->params;
	size_t		k;
	int			p;

	memcpy(values, probe->host_values, params->size * sizeof(rn_real));
	for (p = 0; p < params->count; p++)
	{
		const RnParam *param = &params->items[p];

		if (!rn_probe_moves(param))
			continue;
		for (k = param->offset; k < param->offset + rn_param_size(param); k++)
		{
			rn_real		gradient = probe->host_gradients[k];

			values[k] -= step * ((gradient > 0) - (gradient < 0));
		}
	}
}

void
rn_probe_step_random(const RnProbe *probe, double step, uint64_t seed, rn_real *values)
{
	const RnParams *params = &probe->model->params;
	size_t		k;
	int			p;

	memcpy(values, probe->host_values, params->size * sizeof(rn_real));
	for (p = 0; p < params->count; p++)
	{
		const RnParam *param = &params->items[p];
		uint64_t	bits = 0;

		if (!rn_probe_moves(param))
			continue;
		for (k = 0; k < rn_param_size(param); k++)
		{
			if (k % 64 == 0)
				bits = rn_random_bits(seed, RN_RANDOM_PERTURB, 0, (uint32_t) p, k / 64);
			values[param->offset + k] -= (bits & 1) ? step : -step;
			bits >>= 1;
		}
	}
}

/* |a|^2 and |a - b|^2 of two tensors of one shape, which may be NULL. */
static RnStatus
compare(RnContext *ctx, const RnProbe *probe, const RnTensor *tensor, const RnTensor *changed, double *squares,
		double *change)
{
	size_t		n;
	double	   *a;
	double	   *b;
	size_t		k;

	*squares = *change = 0;
	if (tensor == NULL || changed == NULL)
		return RN_OK;
	n = (size_t) tensor->rows * tensor->cols;
	a = malloc(n * sizeof(double));
	b = malloc(n * sizeof(double));
	if (a == NULL || b == NULL)
		rn_out_of_memory(ctx, n * sizeof(double));
	else if (rn_probe_fetch(ctx, probe, tensor, a) == RN_OK && rn_probe_fetch(ctx, probe, changed, b) == RN_OK)
	{
		for (k = 0; k < n; k++)
		{
			*squares += a[k] * a[k];
			*change += (a[k] - b[k]) * (a[k] - b[k]);
		}
	}
	free(a);
	free(b);
	return ctx->status;
}

/* On a graph of its own: what the probe's pass showed is still to be compared with. */
static RnStatus
pass_again(RnContext *ctx, const RnProbe *probe, RnGraph *graph, const rn_real *values, const volatile int *stop,
		   RnOutputChange *change)
{
	RnWatch		watch;
	RnPass		pass;
	RnLoss		loss;

	memset(&watch, 0, sizeof(watch));
	memset(&pass, 0, sizeof(pass));
	pass.params = &probe->model->params;
	pass.values = values;
	pass.stop = stop;
	rn_graph_begin(graph, &pass);
	rn_model_loss(probe->model, graph, probe->batch, 1, NULL, &loss, &watch);
	RN_TRY(rn_graph_forward(ctx, graph));
	if (probe->encoder.n > 0)
		RN_TRY(compare(ctx, probe, probe->encoder.output, watch.encoder_output, &change->encoder_squares,
					   &change->encoder));
	return compare(ctx, probe, probe->decoder.output, watch.decoder_output, &change->decoder_squares, &change->decoder);
}

RnStatus
rn_probe_output_change(RnContext *ctx, const RnProbe *probe, const rn_real *values, const volatile int *stop,
					   RnOutputChange *change)
{
	const RnKernels *kernels = probe->kernels;
	size_t		bytes = probe->model->params.size * sizeof(rn_real);
	RnGraph    *graph = NULL;
	rn_real    *device;

	RN_TRY(kernels->allocate(ctx, bytes, (void **) &device));
	kernels->copy_in(probe->lane, device, values, bytes);
	if (kernels->synchronize(ctx, probe->lane) == RN_OK &&
		rn_graph_create(ctx, kernels, probe->lane, &graph) == RN_OK)
		pass_again(ctx, probe, graph, device, stop, change);
	rn_graph_free(graph);
	kernels->release(device, bytes);
	return ctx->status;
}
