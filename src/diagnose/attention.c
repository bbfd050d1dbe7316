/*
 * attention.c
 *		What the heads of a stack look at: how sharply, and how differently
 *		from the layer above (He et al. 2021, RealFormer).
 *
 * src/diagnose/attention.c
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "diagnose/median.h"
#include "diagnose/probe.h"

/* One kind of attention of a stack. */
typedef struct View
{
	const RnPacked *queries;
	const RnPacked *keys;
	int			layers;
	int			heads;
	size_t		size;			/* of a layer's probabilities */
	double	   *entropies;		/* [queries] of the head at hand */
} View;

/* What one query gives; n keys are there, and what it does not see has probability 0. */
typedef struct Query
{
	const rn_real *p;
	const rn_real *above;		/* of the layer above; NULL: none */
	const double *scores;
	int			n;
	int			seen;			/* keys 0 .. seen - 1 */
} Query;

static const RnPacked *
keys_of(const RnProbeStack *stack, int cross)
{
	return cross ? stack->memory_rows : stack->rows;
}

/* ---- scores ---- */

static RnStatus
fetch_columns(RnContext *ctx, const RnProbe *probe, const RnColumns *columns, double **values)
{
	*values = malloc((size_t) columns->tensor->rows * columns->tensor->cols * sizeof(double));
	if (*values == NULL)
		return rn_out_of_memory(ctx, (size_t) columns->tensor->rows * columns->tensor->cols * sizeof(double));
	return rn_probe_fetch(ctx, probe, columns->tensor, *values);
}

static double
product(const double *a, const double *b, int n)
{
	double		sum = 0;
	int			j;

	for (j = 0; j < n; j++)
		sum += a[j] * b[j];
	return sum;
}

/* scores holds those of the layer below, or 0; adds this layer's. */
static void
add_scores(const RnAttentionScores *of, const RnPacked *queries, const RnPacked *keys, const double *q, const double *k,
		   double *scores)
{
	int			s,
				h,
				i,
				j;

	for (s = 0; s < queries->n_sentences; s++)
	{
		int			n = queries->offsets[s + 1] - queries->offsets[s];
		int			m = keys->offsets[s + 1] - keys->offsets[s];

		for (h = 0; h < of->heads; h++)
		{
			for (i = 0; i < n; i++)
			{
				const double *query = q + (size_t) (queries->offsets[s] + i) * of->q.tensor->cols + of->q.first +
					h * of->head_size;

				for (j = 0; j < m; j++)
					scores[j] += of->scale * product(query, k + (size_t) (keys->offsets[s] + j) * of->k.tensor->cols +
													 of->k.first + h * of->head_size, of->head_size);
				scores += rn_attention_stride(m);
			}
		}
	}
}

RnStatus
rn_probe_scores(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, int cross, int layer, double **scores)
{
	const RnAttentionScores *of = &stack->scores[cross][layer];
	const RnPacked *keys = keys_of(stack, cross);
	size_t		size = rn_attention_size(stack->rows, keys, of->heads);
	double	   *q = NULL;
	double	   *k = NULL;

	*scores = calloc(size > 0 ? size : 1, sizeof(double));
	if (*scores == NULL)
		return rn_out_of_memory(ctx, size * sizeof(double));
	if (of->scores_in != NULL)
		rn_probe_fetch(ctx, probe, of->scores_in, *scores);
	if (ctx->status == RN_OK && fetch_columns(ctx, probe, &of->q, &q) == RN_OK &&
		fetch_columns(ctx, probe, &of->k, &k) == RN_OK)
		add_scores(of, stack->rows, keys, q, k, *scores);
	free(q);
	free(k);
	if (ctx->status != RN_OK)
	{
		free(*scores);
		*scores = NULL;
	}
	return ctx->status;
}

/* ---- heads ---- */

static double
entropy_part(double p)
{
	return p > 0 ? -p * log(p) : 0;
}

/* Gives the entropy; adds the rest up.  JS(p, q) = H((p + q) / 2) - (H(p) + H(q)) / 2. */
static double
add_query(const Query *query, RnHeadStatistics *sum)
{
	double		entropy = 0;
	double		largest = 0;
	int			j;

	for (j = 0; j < query->n; j++)
	{
		double		p = query->p[j];

		entropy += entropy_part(p);
		largest = fmax(largest, p);
		if (query->above != NULL)
			sum->divergence += entropy_part((p + query->above[j]) / 2) -
				(entropy_part(p) + entropy_part(query->above[j])) / 2;
		if (j < query->seen)
			sum->largest = fmax(sum->largest, fabs(query->scores[j]));
	}
	sum->one_hot += query->seen > 1 && largest > RN_PROBE_ONE_HOT;
	return entropy;
}

/* One head of one layer over all sentences. */
static void
look_at_head(View *view, const rn_real *p, const rn_real *above, const double *scores, int causal, int head,
			 RnHeadStatistics *result)
{
	double		choosing = 0;	/* queries that see several keys */
	int			done = 0;
	int			s,
				i;

	memset(result, 0, sizeof(*result));
	for (s = 0; s < view->queries->n_sentences; s++)
	{
		int			n = view->queries->offsets[s + 1] - view->queries->offsets[s];
		int			m = view->keys->offsets[s + 1] - view->keys->offsets[s];
		size_t		stride = rn_attention_stride(m);

		for (i = 0; i < n; i++)
		{
			size_t		at = ((size_t) head * n + i) * stride;
			Query		query = {p + at, above == NULL ? NULL : above + at, scores + at, m, causal ? i + 1 : m};

			view->entropies[done] = add_query(&query, result);
			result->entropy += view->entropies[done++];
			choosing += query.seen > 1;
		}
		p += view->heads * n * stride;
		above = above == NULL ? NULL : above + view->heads * n * stride;
		scores += view->heads * n * stride;
	}
	result->entropy /= done;
	result->entropy_median = rn_median(view->entropies, done);
	result->one_hot = choosing > 0 ? result->one_hot / choosing : NAN;
	result->divergence = above == NULL ? NAN : result->divergence / done;
}

static RnStatus
fetch_probabilities(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, int cross, int layer, size_t size,
					rn_real *p)
{
	probe->kernels->copy_out(probe->lane, p, *stack->probabilities[cross][layer], size * sizeof(rn_real));
	return probe->kernels->synchronize(ctx, probe->lane);
}

/* p: two layers' probabilities, filled in turn. */
static RnStatus
look_at_layers(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, int cross, View *view, rn_real *p[2],
			   RnHeadStatistics *heads)
{
	int			l,
				h;

	RN_TRY(fetch_probabilities(ctx, probe, stack, cross, 0, view->size, p[0]));
	for (l = 0; l < view->layers; l++)
	{
		int			last = l + 1 == view->layers;
		double	   *scores;

		if (!last)
			RN_TRY(fetch_probabilities(ctx, probe, stack, cross, l + 1, view->size, p[(l + 1) % 2]));
		RN_TRY(rn_probe_scores(ctx, probe, stack, cross, l, &scores));
		for (h = 0; h < view->heads; h++)
			look_at_head(view, p[l % 2], last ? NULL : p[(l + 1) % 2], scores, stack->scores[cross][l].causal, h,
						 &heads[l * view->heads + h]);
		free(scores);
	}
	return RN_OK;
}

RnStatus
rn_probe_attention(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, int cross, RnHeadStatistics *heads)
{
	View		view;
	rn_real    *memory;
	rn_real    *p[2];

	view.queries = stack->rows;
	view.keys = keys_of(stack, cross);
	view.layers = stack->layers;
	view.heads = probe->model->config.heads;
	view.size = rn_attention_size(view.queries, view.keys, view.heads);
	view.entropies = malloc(((size_t) view.queries->rows + 1) * sizeof(double));
	memory = malloc((2 * view.size + 1) * sizeof(rn_real));
	p[0] = memory;
	p[1] = memory + view.size;
	if (view.entropies == NULL || memory == NULL)
		rn_out_of_memory(ctx, 2 * view.size * sizeof(rn_real));
	else if (view.layers > 0)
		look_at_layers(ctx, probe, stack, cross, &view, p, heads);
	free(view.entropies);
	free(memory);
	return ctx->status;
}
