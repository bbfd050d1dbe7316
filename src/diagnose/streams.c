/*
 * streams.c
 *		What the streams of a stack are like: how large, how much alike, how
 *		they depend on one another.
 *
 * Tensors are fetched one after another, so that memory does not grow with
 * depth.
 *
 * src/diagnose/streams.c
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "diagnose/probe.h"
#include "model/residual/joint.h"

static size_t
matrix_size(const RnProbeStack *stack)
{
	return (size_t) stack->rows->rows * stack->d;
}

/* count matrices of the stack's shape in one piece. */
static double *
matrices(RnContext *ctx, const RnProbeStack *stack, int count)
{
	size_t		bytes = count * matrix_size(stack) * sizeof(double);
	double	   *memory = malloc(bytes > 0 ? bytes : 1);

	if (memory == NULL)
		rn_out_of_memory(ctx, bytes);
	return memory;
}

static double
deviation(const double *x, size_t n)
{
	double		mean = 0;
	double		squares = 0;
	size_t		k;

	for (k = 0; k < n; k++)
		mean += x[k] / n;
	for (k = 0; k < n; k++)
		squares += (x[k] - mean) * (x[k] - mean) / n;
	return sqrt(squares);
}

/* ---- a sublayer's sum ---- */

static const rn_real *
values_of(const RnProbe *probe, const RnParam *param)
{
	return param == NULL ? NULL : probe->host_values + param->offset;
}

/* The bias of a sublayer's last product. */
static const RnParam *
last_bias(const RnProbe *probe, const RnProbeStack *stack, const RnPlace *place)
{
	const RnLayer *layer = &stack->model->layers[place->layer];
	int			number = place->kind == RN_SUBLAYER_SELF_ATTENTION ? layer->self_attention.out_bias :
		place->kind == RN_SUBLAYER_CROSS_ATTENTION ? layer->cross_attention.out_bias : layer->feed_forward.out_bias;

	return &probe->model->params.items[number];
}

/* a_i, before factors where raw. */
static RnStatus
fetch_branch(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, int i, int raw, double *branch)
{
	const RnSchemeStack *scheme = &stack->model->scheme;
	const rn_real *bias;
	const rn_real *gate;
	double		scale;
	RnPlace		place;
	RnJoin		join;
	size_t		k;

	RN_TRY(rn_probe_fetch(ctx, probe, stack->branch[i], branch));
	rn_probe_place(stack, i, &place);
	scheme->scheme->join(scheme, &place, &join);
	bias = values_of(probe, last_bias(probe, stack, &place));
	gate = values_of(probe, join.gate);
	scale = raw ? 1 : join.branch_scale * (gate == NULL ? 1 : *gate);
	for (k = 0; k < matrix_size(stack); k++)
		branch[k] = scale * (branch[k] + bias[k % stack->d]);
	return RN_OK;
}

/* k_i x_{i-1} */
static RnStatus
fetch_shortcut(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, int i, double *shortcut)
{
	const RnSchemeStack *scheme = &stack->model->scheme;
	const rn_real *omega;
	RnPlace		place;
	RnJoin		join;
	size_t		k;

	RN_TRY(rn_probe_fetch(ctx, probe, stack->shortcut[i], shortcut));
	rn_probe_place(stack, i, &place);
	scheme->scheme->join(scheme, &place, &join);
	omega = values_of(probe, join.omega);
	for (k = 0; k < matrix_size(stack); k++)
		shortcut[k] *= join.shortcut_scale * (omega == NULL ? 1 : omega[k % stack->d]);
	return RN_OK;
}

RnStatus
rn_probe_deviations(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, double *shortcuts,
					double *branches, double *sums)
{
	size_t		n = matrix_size(stack);
	double	   *shortcut = matrices(ctx, stack, 2);
	double	   *branch = shortcut + n;
	size_t		k;
	int			i;

	for (i = 0; i < stack->n && ctx->status == RN_OK; i++)
	{
		if (fetch_shortcut(ctx, probe, stack, i, shortcut) != RN_OK ||
			fetch_branch(ctx, probe, stack, i, 0, branch) != RN_OK)
			break;
		shortcuts[i] = deviation(shortcut, n);
		branches[i] = deviation(branch, n);
		for (k = 0; k < n; k++)
			branch[k] += shortcut[k];
		sums[i] = deviation(branch, n);
	}
	free(shortcut);
	return ctx->status;
}

int
rn_probe_dependency(const RnProbeStack *stack, const double *shortcut, const double *branch, const double *sum,
					double *beta)
{
	size_t		width = (size_t) stack->n + 1;
	int			i,
				j;

	memset(beta, 0, width * width * sizeof(double));
	if (stack->model->scheme.scheme->sums_more)
		return 0;
	beta[0] = 1;
	for (i = 1; i <= stack->n; i++)
	{
		for (j = 0; j < i; j++)
			beta[i * width + j] = beta[(i - 1) * width + j] * shortcut[i - 1] / sum[i - 1];
		beta[i * width + i] = branch[i - 1] / sum[i - 1];
	}
	return 1;
}

RnStatus
rn_probe_dual(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, double *deviations, double *beta)
{
	size_t		width = (size_t) stack->n + 1;
	size_t		n = matrix_size(stack);
	double		scale = probe->model->config.dual_scale;
	double	   *dual = matrices(ctx, stack, 2);
	double	   *part = dual + n;
	double	   *parts = calloc(width, sizeof(double));
	size_t		k;
	int			i,
				j;

	if (parts == NULL)
		rn_out_of_memory(ctx, width * sizeof(double));
	memset(beta, 0, width * width * sizeof(double));
	for (i = 0; i <= stack->n && ctx->status == RN_OK; i++)
	{
		if ((i == 0 ? rn_probe_fetch(ctx, probe, stack->stream[0], part) :
			 fetch_branch(ctx, probe, stack, i - 1, 1, part)) != RN_OK)
			break;
		for (k = 0; k < n; k++)
			dual[k] = (i == 0 ? 0 : dual[k]) + scale * part[k];
		parts[i] = deviation(part, n);
		deviations[i] = deviation(dual, n);
		for (j = 0; j <= i; j++)
			beta[i * width + j] = scale * parts[j] / deviations[i];
	}
	free(parts);
	free(dual);
	return ctx->status;
}

/* ---- similarity ---- */

RnStatus
rn_similarity_create(RnContext *ctx, const RnProbeStack *stack, RnSimilarity *similarity)
{
	size_t		n = (size_t) stack->n;
	double	   *memory = calloc(4 * n + 3 + stack->layers, sizeof(double));

	memset(similarity, 0, sizeof(*similarity));
	if (memory == NULL)
		return rn_out_of_memory(ctx, 5 * n * sizeof(double));
	similarity->next = memory;
	similarity->next_normalised = memory + n;
	similarity->final = memory + 2 * n;
	similarity->token = memory + 3 * n + 1;
	similarity->layer = memory + 4 * n + 3;
	return RN_OK;
}

void
rn_similarity_free(RnSimilarity *similarity)
{
	free(similarity->next);
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
	return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

/* Cosine after a layer norm without parameters: that of the centred rows, but for an epsilon of 1e-12. */
static double
normalised_cosine(const double *a, const double *b, int d)
{
	double		mean_a = 0;
	double		mean_b = 0;
	double		ab = 0;
	double		aa = 0;
	double		bb = 0;
	int			j;

	for (j = 0; j < d; j++)
	{
		mean_a += a[j] / d;
		mean_b += b[j] / d;
	}
	for (j = 0; j < d; j++)
	{
		ab += (a[j] - mean_a) * (b[j] - mean_b);
		aa += (a[j] - mean_a) * (a[j] - mean_a);
		bb += (b[j] - mean_b) * (b[j] - mean_b);
	}
	return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

static double
mean_cosine(const RnProbeStack *stack, const double *a, const double *b, double (*of_rows) (const double *, const double *, int))
{
	double		sum = 0;
	int			row;

	for (row = 0; row < stack->rows->rows; row++)
		sum += of_rows(a + (size_t) row * stack->d, b + (size_t) row * stack->d, stack->d);
	return sum / stack->rows->rows;
}

/*
 * Mean over ordered pairs of different tokens of a sentence, all sentences'
 * pairs together: the pairs' cosines add up to |sum of unit vectors|^2 less
 * one for each token with itself.
 */
static double
token_cosine(const RnProbeStack *stack, const double *x, double *sum)
{
	const int32_t *offsets = stack->rows->offsets;
	double		total = 0;
	double		pairs = 0;
	int			s,
				row,
				j;

	for (s = 0; s < stack->rows->n_sentences; s++)
	{
		double		tokens = offsets[s + 1] - offsets[s];

		memset(sum, 0, stack->d * sizeof(double));
		for (row = offsets[s]; row < offsets[s + 1]; row++)
		{
			const double *at = x + (size_t) row * stack->d;
			double		squares = 0;

			for (j = 0; j < stack->d; j++)
				squares += at[j] * at[j];
			for (j = 0; j < stack->d && squares > 0; j++)
				sum[j] += at[j] / sqrt(squares);
		}
		for (j = 0; j < stack->d; j++)
			total += sum[j] * sum[j];
		total -= tokens;
		pairs += tokens * (tokens - 1);
	}
	return pairs > 0 ? total / pairs : NAN;
}

/* x: the streams as they come, out: the stack's output, below: the layer's input. */
static RnStatus
compare_streams(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, double *x[2], double *out,
				double *below, double *sum, RnSimilarity *similarity)
{
	int			per_layer = stack->model->scheme.sublayers_per_layer;
	int			i;

	RN_TRY(rn_probe_fetch(ctx, probe, stack->output, out));
	for (i = 0; i <= stack->n; i++)
	{
		double	   *now = x[i % 2];
		const double *before = x[(i + 1) % 2];

		RN_TRY(rn_probe_fetch(ctx, probe, stack->stream[i], now));
		similarity->final[i] = mean_cosine(stack, now, out, cosine);
		similarity->token[i] = token_cosine(stack, now, sum);
		if (i > 0)
		{
			similarity->next[i - 1] = mean_cosine(stack, before, now, cosine);
			similarity->next_normalised[i - 1] = mean_cosine(stack, before, now, normalised_cosine);
		}
		if (i % per_layer != 0)
			continue;
		if (i > 0)
			similarity->layer[i / per_layer - 1] = mean_cosine(stack, below, now, cosine);
		memcpy(below, now, matrix_size(stack) * sizeof(double));
	}
	similarity->token[stack->n + 1] = token_cosine(stack, out, sum);
	return RN_OK;
}

RnStatus
rn_probe_similarity(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, RnSimilarity *similarity)
{
	size_t		n = matrix_size(stack);
	double	   *memory = matrices(ctx, stack, 4);
	double	   *sum = malloc(stack->d * sizeof(double));
	double	   *x[2];

	x[0] = memory;
	x[1] = memory + n;
	if (sum == NULL)
		rn_out_of_memory(ctx, stack->d * sizeof(double));
	if (ctx->status == RN_OK)
		compare_streams(ctx, probe, stack, x, memory + 2 * n, memory + 3 * n, sum, similarity);
	free(sum);
	free(memory);
	return ctx->status;
}
