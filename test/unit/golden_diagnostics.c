/*
 * golden_diagnostics.c
 *		What a model looks like inside, against reference values: gradient
 *		norms, what a pass shows, the answer to small changes of weights.
 *
 * test/unit/golden_diagnostics.c
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "golden_parts.h"
#include "golden_stack.h"
#include "model/residual/joint.h"

/* ---- gradients ---- */

static double
squares_of(const GoldenCase *this_case, const RnParam *param)
{
	double		sum = 0;
	size_t		k;

	for (k = 0; k < rn_param_size(param); k++)
		sum += (double) this_case->shadow[param->offset + k] * this_case->shadow[param->offset + k];
	return sum;
}

static void
check_layer_gradients(GoldenCase *this_case, const GoldenStack *stack)
{
	const RnParams *params = rn_model_params(this_case->model);
	double		layers[GOLDEN_LAYERS] = {0};
	double		ff2[GOLDEN_LAYERS] = {0};
	int			p,
				l;

	for (p = 0; p < params->count; p++)
	{
		const RnParam *param = &params->items[p];
		size_t		length = strlen(param->name);

		if (param->stack != stack->model->scheme.stack || param->layer < 0)
			continue;
		layers[param->layer] += squares_of(this_case, param);
		if (param->sublayer == RN_SUBLAYER_FEED_FORWARD && length > 4 && strcmp(param->name + length - 4, ".2.w") == 0)
			ff2[param->layer] = sqrt(squares_of(this_case, param));
	}
	for (l = 0; l < stack->model->scheme.layers; l++)
		layers[l] = sqrt(layers[l]);
	golden_compare_list(this_case, stack, "layer_grad", layers, stack->model->scheme.layers);
	golden_compare_list(this_case, stack, "ff2_grad", ff2, stack->model->scheme.layers);
}

static void
check_relative_gradients(GoldenCase *this_case)
{
	double	   *norms = malloc((this_case->n_params + 1) * sizeof(double));
	double		total = 0;
	double		largest = 0;
	int			p;

	if (norms == NULL)
		return;
	for (p = 0; p < this_case->n_params; p++)
	{
		norms[p] = squares_of(this_case, golden_param(this_case, this_case->params[p]));
		total += norms[p];
		norms[p] = sqrt(norms[p]);
		largest = fmax(largest, norms[p]);
	}
	total = sqrt(total);
	for (p = 0; p < this_case->n_params; p++)
		norms[p] /= largest;
	golden_compare_all(this_case, GOLDEN_DIAGNOSTIC, "diag.grad_total", &total, 1);
	golden_compare_all(this_case, GOLDEN_DIAGNOSTIC, "diag.rel_grad", norms, this_case->n_params);
	free(norms);
}

static void
check_activation_gradients(GoldenCase *this_case, GoldenStack *stack)
{
	double		norms[GOLDEN_SUBLAYERS] = {0};
	double		largest = 0;
	int			i,
				k;

	for (i = 0; i < stack->n; i++)
	{
		const RnTensor *x = stack->stream[i + 1];
		int			n = x->rows * x->cols;
		rn_real    *gradient = calloc(n, sizeof(rn_real));

		if (gradient == NULL)
			return;
		if (x->grad != NULL)
			this_case->kernels->copy_out(this_case->lane, gradient, x->grad, n * sizeof(rn_real));
		this_case->kernels->synchronize(&this_case->ctx, this_case->lane);
		for (k = 0; k < n; k++)
			norms[i] += (double) gradient[k] * gradient[k];
		norms[i] = sqrt(norms[i]);
		largest = fmax(largest, norms[i]);
		free(gradient);
	}
	golden_compare_list(this_case, stack, "act_grad", norms, stack->n);
	for (i = 0; i < stack->n; i++)
		norms[i] /= largest;
	if (largest > 0)
		golden_compare_list(this_case, stack, "act_grad_rel", norms, stack->n);
}

/* ---- the pass ---- */

static double *
copy_tensor(GoldenCase *this_case, const RnTensor *tensor)
{
	int			n = tensor->rows * tensor->cols;
	rn_real    *host = malloc(n * sizeof(rn_real));
	double	   *copy = malloc(n * sizeof(double));
	int			k;

	if (host != NULL && copy != NULL)
	{
		this_case->kernels->copy_out(this_case->lane, host, tensor->value, n * sizeof(rn_real));
		this_case->kernels->synchronize(&this_case->ctx, this_case->lane);
		for (k = 0; k < n; k++)
			copy[k] = host[k];
	}
	free(host);
	return copy;
}

static double
value_of(const GoldenCase *this_case, const RnParam *param, int k, double otherwise)
{
	return param == NULL ? otherwise : this_case->host[param->offset + k];
}

/* The bias of a sublayer's last product. */
static const RnParam *
last_bias(const GoldenStack *stack, const RnPlace *place)
{
	const RnLayer *layer = &stack->model->layers[place->layer];
	int			number = place->kind == RN_SUBLAYER_SELF_ATTENTION ? layer->self_attention.out_bias :
		place->kind == RN_SUBLAYER_CROSS_ATTENTION ? layer->cross_attention.out_bias : layer->feed_forward.out_bias;

	return &stack->model->scheme.params->items[number];
}

/* Copies of all that was shown; branches and shortcuts with the factors that the scheme gives them. */
static void
copy_stack(GoldenCase *this_case, GoldenStack *stack)
{
	const RnSchemeStack *scheme = &stack->model->scheme;
	int			size = stack->packed->rows * stack->d;
	int			i,
				k;

	stack->out = copy_tensor(this_case, stack->output);
	for (i = 0; i <= stack->n; i++)
		stack->x[i] = copy_tensor(this_case, stack->stream[i]);
	for (i = 0; i < stack->n; i++)
	{
		int			in_layer = i % scheme->sublayers_per_layer;
		RnPlace		place;
		RnJoin		join;

		place.layer = i / scheme->sublayers_per_layer;
		place.number = i;
		place.kind = in_layer == 0 ? RN_SUBLAYER_SELF_ATTENTION :
			in_layer == scheme->sublayers_per_layer - 1 ? RN_SUBLAYER_FEED_FORWARD : RN_SUBLAYER_CROSS_ATTENTION;
		scheme->scheme->join(scheme, &place, &join);
		stack->a[i] = copy_tensor(this_case, stack->branch[i]);
		stack->scaled[i] = malloc(size * sizeof(double));
		stack->added_to[i] = copy_tensor(this_case, stack->shortcut[i]);
		for (k = 0; k < size; k++)
		{
			stack->a[i][k] += value_of(this_case, last_bias(stack, &place), k % stack->d, 0);
			stack->scaled[i][k] = stack->a[i][k] * join.branch_scale * value_of(this_case, join.gate, 0, 1);
			stack->added_to[i][k] *= join.shortcut_scale * value_of(this_case, join.omega, k % stack->d, 1);
		}
	}
}

static void
free_stack(GoldenStack *stack)
{
	int			i;

	free(stack->out);
	for (i = 0; i <= stack->n; i++)
		free(stack->x[i]);
	for (i = 0; i < stack->n; i++)
	{
		free(stack->a[i]);
		free(stack->scaled[i]);
		free(stack->added_to[i]);
	}
}

static void
begin_stack(GoldenStack *stack, const char *name, const RnModelStack *model, const RnPacked *packed, int d)
{
	memset(stack, 0, sizeof(*stack));
	stack->name = name;
	stack->model = model;
	stack->packed = packed;
	stack->n = rn_stack_sublayers(&model->scheme);
	stack->d = d;
}

/* A pass with everything shown, forwards and backwards. */
static int
run_watched(GoldenCase *this_case, RnGraph *graph, GoldenStack *encoder, GoldenStack *decoder)
{
	RnContext  *ctx = &this_case->ctx;
	RnWatch		watch;
	RnPass		pass;
	RnLoss		loss;
	int			l;

	memset(&watch, 0, sizeof(watch));
	watch.encoder_stream = encoder->stream;
	watch.encoder_shortcut = encoder->shortcut;
	watch.encoder_branch = encoder->branch;
	watch.encoder_attention = encoder->attention[0];
	watch.decoder_stream = decoder->stream;
	watch.decoder_shortcut = decoder->shortcut;
	watch.decoder_branch = decoder->branch;
	watch.decoder_attention = decoder->attention[0];
	watch.cross_attention = decoder->attention[1];
	memset(&pass, 0, sizeof(pass));
	pass.params = rn_model_params(this_case->model);
	pass.values = this_case->values;
	pass.gradients = this_case->gradients;
	rn_graph_begin(graph, &pass);
	rn_model_loss(this_case->model, graph, &this_case->batch, 1.0 / this_case->batch.target.rows, NULL, &loss, &watch);
	for (l = 0; l < encoder->model->scheme.layers; l++)
		encoder->probabilities[0][l] = rn_attention_probabilities(graph, encoder->attention[0][l]);
	for (l = 0; l < decoder->model->scheme.layers; l++)
	{
		decoder->probabilities[0][l] = rn_attention_probabilities(graph, decoder->attention[0][l]);
		decoder->probabilities[1][l] = rn_attention_probabilities(graph, decoder->attention[1][l]);
	}
	encoder->output = watch.encoder_output;
	decoder->output = watch.decoder_output;
	if (rn_graph_forward(ctx, graph) != RN_OK || rn_graph_backward(ctx, graph) != RN_OK)
		return -1;
	this_case->kernels->copy_out(this_case->lane, this_case->shadow, this_case->gradients,
								 this_case->size * sizeof(rn_real));
	this_case->kernels->zero(this_case->lane, this_case->gradients, this_case->size * sizeof(rn_real));
	return this_case->kernels->synchronize(ctx, this_case->lane) == RN_OK ? 0 : -1;
}

/* ---- small changes of the weights ---- */

static int
stays(const RnParam *param)
{
	size_t		length = strlen(param->name);

	return (param->flags & (RN_PARAM_NORM | RN_PARAM_BIAS | RN_PARAM_SCHEME)) != 0 ||
		strcmp(param->name + length - 2, ".b") == 0;
}

/* Every weight a small step aside: along the sign of its gradient, or at random. */
static void
perturb(const GoldenCase *this_case, int by_gradient, rn_real *values)
{
	const RnParams *params = rn_model_params(this_case->model);
	uint32_t	seed = (uint32_t) atoi(golden_setting(this_case->file, "seed"));
	int			p;
	size_t		k;

	memcpy(values, this_case->host, this_case->size * sizeof(rn_real));
	for (p = 0; p < params->count; p++)
	{
		const RnParam *param = &params->items[p];
		char		name[GOLDEN_NAME * 2];
		uint32_t	state;

		if (stays(param))
			continue;
		snprintf(name, sizeof(name), "perturb.%s", param->name);
		state = golden_state(name, seed);
		for (k = param->offset; k < param->offset + rn_param_size(param); k++)
		{
			double		gradient = this_case->shadow[k];

			if (by_gradient)
				values[k] -= 1e-6 * ((gradient > 0) - (gradient < 0));
			else
				values[k] -= 1e-4 * (golden_unit(&state) >= 0 ? 1 : -1);
		}
	}
}

static void
compare_outputs(GoldenCase *this_case, const GoldenStack *stack, const RnTensor *changed, const char *what)
{
	double		expected = golden_find(this_case->file, "diag.%s.%s", stack->name, what)->values[0];
	double	   *output = copy_tensor(this_case, changed);
	double		squares = 0;
	int			k;

	if (output == NULL)
		return;
	for (k = 0; k < changed->rows * changed->cols; k++)
		squares += (output[k] - stack->out[k]) * (output[k] - stack->out[k]);
	/* tiny numbers, so in proportion to their size; the difference of outputs has lost ten digits */
	if (!(fabs(squares - expected) <= 1e-4 * expected))
		golden_fail(this_case, "diag.%s.%s: expected %.17g, got %.17g", stack->name, what, expected, squares);
	this_case->compared++;
	free(output);
}

/* Only in double: the change is far below what float resolves. */
static void
check_output_change(GoldenCase *this_case, RnGraph *graph, const GoldenStack *encoder, const GoldenStack *decoder, int by_gradient)
{
	const char *what = by_gradient ? "output_change_gradient" : "output_change_random";
	size_t		bytes = this_case->size * sizeof(rn_real);
	rn_real    *host = malloc(bytes);
	rn_real    *device = NULL;
	RnWatch		watch;
	RnPass		pass;
	RnLoss		loss;

	if (golden_find(this_case->file, "diag.enc.%s", what) == NULL ||
		golden_find(this_case->file, "diag.dec.%s", what) == NULL || host == NULL ||
		this_case->kernels->allocate(&this_case->ctx, bytes, (void **) &device) != RN_OK)
	{
		golden_fail(this_case, "%s: not there", what);
		free(host);
		return;
	}
	perturb(this_case, by_gradient, host);
	this_case->kernels->copy_in(this_case->lane, device, host, bytes);
	memset(&watch, 0, sizeof(watch));
	memset(&pass, 0, sizeof(pass));
	pass.params = rn_model_params(this_case->model);
	pass.values = device;
	rn_graph_begin(graph, &pass);
	rn_model_loss(this_case->model, graph, &this_case->batch, 1, NULL, &loss, &watch);
	if (rn_graph_forward(&this_case->ctx, graph) == RN_OK)
	{
		compare_outputs(this_case, encoder, watch.encoder_output, what);
		compare_outputs(this_case, decoder, watch.decoder_output, what);
	}
	this_case->kernels->release(device, bytes);
	free(host);
}

/* ---- all together ---- */

void
golden_check_diagnostics(GoldenCase *this_case)
{
	const RnModel *model = this_case->model;
	GoldenStack		encoder,
				decoder;
	RnGraph    *graph;

	if (this_case->ctx.status != RN_OK)
		return;
	begin_stack(&encoder, "enc", &model->encoder, &this_case->batch.source, this_case->config.d_model);
	begin_stack(&decoder, "dec", &model->decoder, &this_case->batch.target, this_case->config.d_model);
	if (encoder.n > GOLDEN_SUBLAYERS || decoder.n > GOLDEN_SUBLAYERS || this_case->config.heads > GOLDEN_HEADS ||
		encoder.d > GOLDEN_WIDTH || encoder.model->scheme.layers > GOLDEN_LAYERS || decoder.model->scheme.layers > GOLDEN_LAYERS)
	{
		golden_fail(this_case, "diagnostics: the model is too large for this program");
		return;
	}
	if (rn_graph_create(&this_case->ctx, this_case->kernels, this_case->lane, &graph) != RN_OK ||
		run_watched(this_case, graph, &encoder, &decoder) != 0)
		golden_fail(this_case, "diagnostics: %s", this_case->ctx.message);
	else
	{
		copy_stack(this_case, &encoder);
		copy_stack(this_case, &decoder);
		check_relative_gradients(this_case);
		check_layer_gradients(this_case, &encoder);
		check_layer_gradients(this_case, &decoder);
		check_activation_gradients(this_case, &encoder);
		check_activation_gradients(this_case, &decoder);
		golden_check_attention(this_case, &encoder, 0);
		golden_check_attention(this_case, &decoder, 0);
		golden_check_attention(this_case, &decoder, 1);
		golden_check_streams(this_case, &encoder);
		golden_check_streams(this_case, &decoder);
		if (sizeof(rn_real) == sizeof(double))
		{
			check_output_change(this_case, graph, &encoder, &decoder, 0);
			check_output_change(this_case, graph, &encoder, &decoder, 1);
		}
	}
	rn_graph_free(graph);
	free_stack(&encoder);
	free_stack(&decoder);
}
