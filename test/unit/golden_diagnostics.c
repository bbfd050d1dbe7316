/*
 * golden_diagnostics.c
 *		What a model looks like inside, against reference values: gradient
 *		norms, streams, attention, the answer to small changes of weights.
 *
 * Numbers are worked out here, in double, from what a pass shows (RnWatch).
 *
 * test/unit/golden_diagnostics.c
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "golden_parts.h"
#include "model/model.h"
#include "model/residual/joint.h"

#define MAX_SUBLAYERS	16
#define MAX_LAYERS		8
#define MAX_HEADS		8

/* A stack of the case, with copies of what a pass showed; matrices are [rows, d]. */
typedef struct Stack
{
	const char *name;			/* "enc", "dec" */
	const RnModelStack *model;
	const RnPacked *packed;
	int			n;				/* sublayers */
	int			d;
	RnTensor   *output;
	RnTensor   *stream[MAX_SUBLAYERS + 1];
	RnTensor   *shortcut[MAX_SUBLAYERS];
	RnTensor   *branch[MAX_SUBLAYERS];
	RnTensor   *attention[2][MAX_LAYERS];	/* self, cross */
	const rn_real *const *probabilities[2][MAX_LAYERS];
	double	   *out;			/* copies: the output, */
	double	   *x[MAX_SUBLAYERS + 1];	/* the streams, */
	double	   *a[MAX_SUBLAYERS];	/* branches with their bias, */
	double	   *scaled[MAX_SUBLAYERS];	/* the same with their factors, */
	double	   *added_to[MAX_SUBLAYERS];	/* shortcuts with theirs */
} Stack;

static void
compare_list(GoldenCase *this_case, const Stack *stack, const char *what, const double *got, int n)
{
	char		name[GOLDEN_NAME];

	snprintf(name, sizeof(name), "diag.%s.%s", stack->name, what);
	golden_compare_all(this_case, GOLDEN_DIAGNOSTIC, name, got, n);
}

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
check_layer_gradients(GoldenCase *this_case, const Stack *stack)
{
	const RnParams *params = rn_model_params(this_case->model);
	double		layers[MAX_LAYERS] = {0};
	double		ff2[MAX_LAYERS] = {0};
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
	compare_list(this_case, stack, "layer_grad", layers, stack->model->scheme.layers);
	compare_list(this_case, stack, "ff2_grad", ff2, stack->model->scheme.layers);
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
check_activation_gradients(GoldenCase *this_case, Stack *stack)
{
	double		norms[MAX_SUBLAYERS];
	double		largest = 0;
	int			i,
				k;

	for (i = 0; i < stack->n; i++)
	{
		const RnTensor *x = stack->stream[i + 1];
		int			n = x->rows * x->cols;
		rn_real    *gradient = calloc(n, sizeof(rn_real));

		norms[i] = 0;
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
	compare_list(this_case, stack, "act_grad", norms, stack->n);
	for (i = 0; i < stack->n; i++)
		norms[i] /= largest;
	if (largest > 0)
		compare_list(this_case, stack, "act_grad_rel", norms, stack->n);
}

/* ---- streams ---- */

/* Standard deviation over all rows and features. */
static double
deviation(const Stack *stack, const double *x)
{
	int			n = stack->packed->rows * stack->d;
	double		mean = 0;
	double		squares = 0;
	int			k;

	for (k = 0; k < n; k++)
		mean += x[k] / n;
	for (k = 0; k < n; k++)
		squares += (x[k] - mean) * (x[k] - mean) / n;
	return sqrt(squares);
}

static double
cosine(const double *a, const double *b, int d)
{
	double		ab = 0;
	double		aa = 0;
	double		bb = 0;
	int			j;

	for (j = 0; j < d; j++)
	{
		ab += a[j] * b[j];
		aa += a[j] * a[j];
		bb += b[j] * b[j];
	}
	return ab / sqrt(aa * bb);
}

static void
normalise(const double *x, int d, double *out)
{
	double		mean = 0;
	double		squares = 0;
	int			j;

	for (j = 0; j < d; j++)
		mean += x[j] / d;
	for (j = 0; j < d; j++)
		squares += (x[j] - mean) * (x[j] - mean) / d;
	for (j = 0; j < d; j++)
		out[j] = (x[j] - mean) / sqrt(squares + 1e-12);
}

/* Mean over rows of the cosine of two matrices' rows, normalised before if asked for. */
static double
mean_cosine(const Stack *stack, const double *a, const double *b, int normalised)
{
	double		u[64],
				v[64];
	double		sum = 0;
	int			row;

	for (row = 0; row < stack->packed->rows; row++)
	{
		const double *x = a + row * stack->d;
		const double *y = b + row * stack->d;

		if (normalised)
		{
			normalise(x, stack->d, u);
			normalise(y, stack->d, v);
			x = u;
			y = v;
		}
		sum += cosine(x, y, stack->d);
	}
	return sum / stack->packed->rows;
}

/* Mean over ordered pairs of different tokens of a sentence. */
static double
token_cosine(const Stack *stack, const double *x)
{
	const int32_t *offsets = stack->packed->offsets;
	double		sum = 0;
	int			pairs = 0;
	int			s,
				i,
				j;

	for (s = 0; s < stack->packed->n_sentences; s++)
	{
		for (i = offsets[s]; i < offsets[s + 1]; i++)
		{
			for (j = offsets[s]; j < offsets[s + 1]; j++)
			{
				if (i == j)
					continue;
				sum += cosine(x + i * stack->d, x + j * stack->d, stack->d);
				pairs++;
			}
		}
	}
	return sum / pairs;
}

static void
check_cosines(GoldenCase *this_case, const Stack *stack)
{
	double		next[MAX_SUBLAYERS],
				next_normalised[MAX_SUBLAYERS],
				final[MAX_SUBLAYERS + 1],
				token[MAX_SUBLAYERS + 2];
	int			i;

	for (i = 0; i <= stack->n; i++)
	{
		if (i < stack->n)
		{
			next[i] = mean_cosine(stack, stack->x[i], stack->x[i + 1], 0);
			next_normalised[i] = mean_cosine(stack, stack->x[i], stack->x[i + 1], 1);
		}
		final[i] = mean_cosine(stack, stack->x[i], stack->out, 0);
		token[i] = token_cosine(stack, stack->x[i]);
	}
	token[stack->n + 1] = token_cosine(stack, stack->out);
	compare_list(this_case, stack, "cos_next", next, stack->n);
	compare_list(this_case, stack, "cos_next_norm", next_normalised, stack->n);
	compare_list(this_case, stack, "cos_final", final, stack->n + 1);
	compare_list(this_case, stack, "cos_token", token, stack->n + 2);
}

/* Dependency of each sublayer on those below: beta_ij = beta_{i-1,j} Std[k_i x_{i-1}] / Std[s_i]. */
static void
check_dependency(GoldenCase *this_case, const Stack *stack, const double *shortcuts, const double *branches)
{
	int			width = stack->n + 1;
	int			size = stack->packed->rows * stack->d;
	double		beta[(MAX_SUBLAYERS + 1) * (MAX_SUBLAYERS + 1)] = {0};
	double	   *sum = malloc(size * sizeof(double));
	int			i,
				j;

	if (sum == NULL)
		return;
	beta[0] = 1;
	for (i = 1; i <= stack->n; i++)
	{
		double		all;

		for (j = 0; j < size; j++)
			sum[j] = stack->added_to[i - 1][j] + stack->scaled[i - 1][j];
		all = deviation(stack, sum);
		for (j = 0; j < i; j++)
			beta[i * width + j] = beta[(i - 1) * width + j] * shortcuts[i - 1] / all;
		beta[i * width + i] = branches[i - 1] / all;
	}
	compare_list(this_case, stack, "beta", beta, width * width);
	free(sum);
}

/* ResiDual: D_i = s (x_0 + a_1 + ... + a_i). */
static void
check_dual(GoldenCase *this_case, const Stack *stack)
{
	int			width = stack->n + 1;
	int			size = stack->packed->rows * stack->d;
	double		scale = this_case->config.dual_scale;
	double		beta[(MAX_SUBLAYERS + 1) * (MAX_SUBLAYERS + 1)] = {0};
	double		parts[MAX_SUBLAYERS + 1];
	double		deviations[MAX_SUBLAYERS + 1];
	double	   *dual = calloc(size, sizeof(double));
	int			i,
				j;

	if (dual == NULL)
		return;
	for (i = 0; i <= stack->n; i++)
	{
		const double *part = i == 0 ? stack->x[0] : stack->a[i - 1];

		for (j = 0; j < size; j++)
			dual[j] += scale * part[j];
		parts[i] = deviation(stack, part);
		deviations[i] = deviation(stack, dual);
		for (j = 0; j <= i; j++)
			beta[i * width + j] = parts[j] / (deviations[i] / scale);
	}
	compare_list(this_case, stack, "beta_dual", beta, width * width);
	compare_list(this_case, stack, "std_dual", deviations, width);
	free(dual);
}

static void
check_streams(GoldenCase *this_case, const Stack *stack)
{
	const char *scheme = stack->model->scheme.scheme->name;
	double		shortcuts[MAX_SUBLAYERS],
				branches[MAX_SUBLAYERS];
	int			i;

	for (i = 0; i < stack->n; i++)
	{
		shortcuts[i] = deviation(stack, stack->added_to[i]);
		branches[i] = deviation(stack, stack->scaled[i]);
	}
	compare_list(this_case, stack, "std_short", shortcuts, stack->n);
	compare_list(this_case, stack, "std_branch", branches, stack->n);
	if (strcmp(scheme, "dlcl") != 0 && strcmp(scheme, "b2t") != 0)
		check_dependency(this_case, stack, shortcuts, branches);
	if (strcmp(scheme, "residual") == 0)
		check_dual(this_case, stack);
	check_cosines(this_case, stack);
}

/* ---- attention ---- */

/* One attention's distributions of one head: for every query a row of probabilities. */
static const rn_real *
distribution(const GoldenCase *this_case, const Stack *stack, const RnPacked *keys, const rn_real *probabilities,
			 int head, int query, int *n_keys)
{
	int			s = 0;
	int			n,
				m;

	while (stack->packed->offsets[s + 1] <= query)
	{
		n = stack->packed->offsets[s + 1] - stack->packed->offsets[s];
		m = keys->offsets[s + 1] - keys->offsets[s];
		probabilities += (size_t) this_case->config.heads * n * rn_attention_stride(m);
		s++;
	}
	n = stack->packed->offsets[s + 1] - stack->packed->offsets[s];
	*n_keys = keys->offsets[s + 1] - keys->offsets[s];
	return probabilities + ((size_t) head * n + query - stack->packed->offsets[s]) * rn_attention_stride(*n_keys);
}

static double
entropy_part(double p)
{
	return p > 0 ? -p * log(p) : 0;
}

/* Entropy of each layer's distributions, and their divergence from those one layer up; means over queries. */
static void
check_attention(GoldenCase *this_case, const Stack *stack, int kind)
{
	const RnPacked *keys = kind == 1 ? &this_case->batch.source : stack->packed;
	int			layers = stack->model->scheme.layers;
	int			heads = this_case->config.heads;
	int			rows = stack->packed->rows;
	double		entropies[MAX_LAYERS * MAX_HEADS] = {0};
	double		divergences[MAX_LAYERS * MAX_HEADS] = {0};
	int			l,
				h,
				q,
				j;

	for (l = 0; l < layers; l++)
	{
		for (h = 0; h < heads; h++)
		{
			for (q = 0; q < rows; q++)
			{
				int			n;
				const rn_real *p = distribution(this_case, stack, keys, *stack->probabilities[kind][l], h, q, &n);
				const rn_real *above = l + 1 == layers ? p :
					distribution(this_case, stack, keys, *stack->probabilities[kind][l + 1], h, q, &n);

				for (j = 0; j < n; j++)
				{
					entropies[l * heads + h] += entropy_part(p[j]) / rows;
					divergences[l * heads + h] += (entropy_part((p[j] + above[j]) / 2.0) -
												   (entropy_part(p[j]) + entropy_part(above[j])) / 2) / rows;
				}
			}
		}
	}
	compare_list(this_case, stack, kind == 1 ? "ca.entropy" : "sa.entropy", entropies, layers * heads);
	if (layers > 1)
		compare_list(this_case, stack, kind == 1 ? "ca.jsd" : "sa.jsd", divergences, (layers - 1) * heads);
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
last_bias(const Stack *stack, const RnPlace *place)
{
	const RnLayer *layer = &stack->model->layers[place->layer];
	int			number = place->kind == RN_SUBLAYER_SELF_ATTENTION ? layer->self_attention.out_bias :
		place->kind == RN_SUBLAYER_CROSS_ATTENTION ? layer->cross_attention.out_bias : layer->feed_forward.out_bias;

	return &stack->model->scheme.params->items[number];
}

/* Copies of all that was shown; branches and shortcuts with the factors that the scheme gives them. */
static void
copy_stack(GoldenCase *this_case, Stack *stack)
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
free_stack(Stack *stack)
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
begin_stack(Stack *stack, const char *name, const RnModelStack *model, const RnPacked *packed, int d)
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
run_watched(GoldenCase *this_case, RnGraph *graph, Stack *encoder, Stack *decoder)
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
compare_outputs(GoldenCase *this_case, const Stack *stack, const RnTensor *changed, const char *what)
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
check_output_change(GoldenCase *this_case, RnGraph *graph, const Stack *encoder, const Stack *decoder, int by_gradient)
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
	Stack		encoder,
				decoder;
	RnGraph    *graph;

	if (this_case->ctx.status != RN_OK)
		return;
	begin_stack(&encoder, "enc", &model->encoder, &this_case->batch.source, this_case->config.d_model);
	begin_stack(&decoder, "dec", &model->decoder, &this_case->batch.target, this_case->config.d_model);
	if (encoder.n > MAX_SUBLAYERS || decoder.n > MAX_SUBLAYERS || this_case->config.heads > MAX_HEADS ||
		encoder.d > 64 || encoder.model->scheme.layers > MAX_LAYERS || decoder.model->scheme.layers > MAX_LAYERS)
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
		check_attention(this_case, &encoder, 0);
		check_attention(this_case, &decoder, 0);
		check_attention(this_case, &decoder, 1);
		check_streams(this_case, &encoder);
		check_streams(this_case, &decoder);
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
