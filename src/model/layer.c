/*
 * layer.c
 *		The sublayers: attention and feed-forward, and their parameters.
 *
 * src/model/layer.c
 */
#include "model/layer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/residual/joint.h"

/* ---- declaring ---- */

/* A parameter of a sublayer that begins at zero. */
static void
name_param(RnParam *param, const RnSchemeStack *stack, const RnPlace *place, const char *name, int rows, int cols)
{
	memset(param, 0, sizeof(*param));
	snprintf(param->name, sizeof(param->name), "%s.%d.%s.%s", rn_stack_prefix(stack->stack), place->layer,
			 rn_sublayer_prefix(place->kind), name);
	param->rows = rows;
	param->cols = cols;
	param->ndim = 2;
	param->stack = stack->stack;
	param->layer = place->layer;
	param->sublayer = place->kind;
	param->init_zero_row = -1;
}

/*
 * W [rows, cols], uniform in [-bound, bound] unless the scheme knows better;
 * joined to those declared next as RnParam says.
 */
static RnStatus
declare_weight(RnContext *ctx, RnSchemeStack *stack, const RnPlace *place, const char *name, RnWeightRole role,
			   int joined, int rows, int cols, double bound, int *number)
{
	RnParam		param;

	name_param(&param, stack, place, name, rows, cols);
	param.flags = RN_PARAM_ONCE;
	param.init = RN_INIT_UNIFORM;
	param.init_scale = bound;
	param.joined = joined;
	if (stack->scheme->init_weight != NULL)
		stack->scheme->init_weight(stack, role, &param);
	*number = rn_params_add(ctx, stack->params, &param);
	return ctx->status;
}

/* b [size], uniform in [-bound, bound]. */
static RnStatus
declare_bias(RnContext *ctx, RnSchemeStack *stack, const RnPlace *place, const char *name, int size, double bound,
			 int *number)
{
	RnParam		param;

	name_param(&param, stack, place, name, 1, size);
	param.ndim = 1;
	param.flags = RN_PARAM_BIAS;
	param.init = bound > 0 ? RN_INIT_UNIFORM : RN_INIT_ZERO;
	param.init_scale = bound;
	*number = rn_params_add(ctx, stack->params, &param);
	return ctx->status;
}

/* Xavier uniform; queries, keys and values with gain 1 / sqrt 2, as one [3d, d] matrix would have. */
RnStatus
rn_declare_attention(RnContext *ctx, RnSchemeStack *stack, const RnPlace *place, RnAttentionParams *params)
{
	int			d = stack->config->d_model;
	double		bound = sqrt(6.0 / (4.0 * d));
	int			whole = place->kind == RN_SUBLAYER_SELF_ATTENTION;	/* one product for the three */
	int			next;

	RN_TRY(declare_weight(ctx, stack, place, "q.w", RN_WEIGHT_QUERY, whole ? 3 : 1, d, d, bound, &params->weights));
	RN_TRY(declare_weight(ctx, stack, place, "k.w", RN_WEIGHT_KEY, whole ? 0 : 2, d, d, bound, &next));
	RN_TRY(declare_weight(ctx, stack, place, "v.w", RN_WEIGHT_VALUE, 0, d, d, bound, &next));
	RN_TRY(declare_bias(ctx, stack, place, "q.b", d, 0, &params->biases));
	RN_TRY(declare_bias(ctx, stack, place, "k.b", d, 0, &next));
	RN_TRY(declare_bias(ctx, stack, place, "v.b", d, 0, &next));
	RN_TRY(declare_weight(ctx, stack, place, "o.w", RN_WEIGHT_OUT, 1, d, d, sqrt(6.0 / (2.0 * d)),
						  &params->out_weight));
	return declare_bias(ctx, stack, place, "o.b", d, 0, &params->out_bias);
}

/* Xavier uniform and no bias, or everything uniform by fan-in. */
RnStatus
rn_declare_feed_forward(RnContext *ctx, RnSchemeStack *stack, const RnPlace *place, RnFeedForwardParams *params)
{
	int			d = stack->config->d_model;
	int			inner = stack->config->d_ffn;
	int			by_fan_in = stack->config->ffn_init == 1;
	double		xavier = sqrt(6.0 / ((double) d + inner));
	double		in_bound = by_fan_in ? 1 / sqrt(d) : xavier;
	double		out_bound = by_fan_in ? 1 / sqrt(inner) : xavier;

	RN_TRY(declare_weight(ctx, stack, place, "1.w", RN_WEIGHT_FFN_IN, 1, inner, d, in_bound, &params->in_weight));
	RN_TRY(declare_bias(ctx, stack, place, "1.b", inner, by_fan_in ? in_bound : 0, &params->in_bias));
	RN_TRY(declare_weight(ctx, stack, place, "2.w", RN_WEIGHT_FFN_OUT, 1, d, inner, out_bound, &params->out_weight));
	return declare_bias(ctx, stack, place, "2.b", d, by_fan_in ? out_bound : 0, &params->out_bias);
}

/* ---- passes ---- */

static const RnParam *
param_of(const RnSchemeStack *stack, int number)
{
	return &stack->params->items[number];
}

/* RealFormer's running mean divides by the number of layers so far. */
static double
score_divisor(const RnSchemeStack *stack, int layer)
{
	return stack->config->score_residual == 2 ? layer + 1 : 1;
}

/* The output projection, which leaves its bias to the joint. */
static RnBranch
attention_branch(const RnSchemeStack *stack, const RnAttentionParams *params, RnLayerPass *pass, RnTensor *heads)
{
	RnBranch	branch;

	branch.value = rn_linear(pass->graph, heads, param_of(stack, params->out_weight), NULL, 1);
	branch.bias = param_of(stack, params->out_bias);
	return branch;
}

/* Attention over whole sequences; k and v follow one another in key_value from column first on. */
static RnTensor *
whole_attention(const RnSchemeStack *stack, RnLayerPass *pass, RnScoreChain *chain, int layer, RnTensor *query,
				RnTensor *key_value, int first, const RnPacked *keys, int causal)
{
	const RnConfig *config = stack->config;
	RnAttention spec;

	memset(&spec, 0, sizeof(spec));
	spec.q.tensor = query;
	spec.k.tensor = key_value;
	spec.k.first = first;
	spec.v.tensor = key_value;
	spec.v.first = first + config->d_model;
	spec.queries = pass->rows;
	spec.keys = keys;
	spec.heads = config->heads;
	spec.head_size = config->d_model / config->heads;
	spec.causal = causal;
	spec.dropout = config->attention_dropout;
	spec.score_divisor = score_divisor(stack, layer);
	spec.scores_in = chain->scores;
	spec.keep_scores = config->score_residual != 0 && layer + 1 < stack->layers;
	pass->attention = rn_attention(pass->graph, &spec, spec.keep_scores ? &chain->scores : NULL);
	return pass->attention;
}

/* Attention of one step, over a cache of keys and values in rows of 2 * width. */
static RnTensor *
step_attention(const RnSchemeStack *stack, RnLayerPass *pass, RnScoreChain *chain, int layer, RnCachedAttention *spec)
{
	const RnConfig *config = stack->config;

	spec->heads = config->heads;
	spec->head_size = config->d_model / config->heads;
	spec->score_divisor = score_divisor(stack, layer);
	spec->scores_in = chain->scores;
	spec->keep_scores = config->score_residual != 0 && layer + 1 < stack->layers;
	pass->attention = rn_cached_attention(pass->graph, spec, spec->keep_scores ? &chain->scores : NULL);
	return pass->attention;
}

RnBranch
rn_self_attention(const RnSchemeStack *stack, const RnAttentionParams *params, RnLayerPass *pass, int layer,
				  RnTensor *x)
{
	const RnStepCaches *caches = pass->caches;
	int			d = stack->config->d_model;
	RnTensor   *qkv = rn_linear(pass->graph, x, param_of(stack, params->weights), param_of(stack, params->biases), 3);
	RnTensor   *heads;

	if (pass->projections != NULL)
		pass->projections[layer] = qkv;
	if (caches == NULL)
		heads = whole_attention(stack, pass, &pass->self_scores, layer, qkv, qkv, d, pass->rows,
								stack->stack == RN_STACK_DECODER);
	else
	{
		RnCachedAttention spec;

		memset(&spec, 0, sizeof(spec));
		spec.q.tensor = qkv;
		spec.key_in.tensor = qkv;
		spec.key_in.first = d;
		spec.value_in.tensor = qkv;
		spec.value_in.first = 2 * d;
		spec.write = caches->write;
		spec.k = caches->own[layer] + caches->own_first;
		spec.v = spec.k + d;
		spec.ldk = spec.ldv = caches->own_width;
		spec.first = caches->first;
		spec.count = caches->count;
		spec.list = caches->list;
		spec.max_count = caches->max_count;
		heads = step_attention(stack, pass, &pass->self_scores, layer, &spec);
	}
	return attention_branch(stack, params, pass, heads);
}

RnBranch
rn_cross_attention(const RnSchemeStack *stack, const RnAttentionParams *params, RnLayerPass *pass, int layer,
				   RnTensor *x)
{
	const RnStepCaches *caches = pass->caches;
	RnTensor   *q = rn_linear(pass->graph, x, param_of(stack, params->weights), param_of(stack, params->biases), 1);
	RnTensor   *heads;

	if (caches == NULL)
		heads = whole_attention(stack, pass, &pass->cross_scores, layer, q,
								rn_cross_keys_values(stack, params, pass->graph, pass->memory), 0,
								pass->memory_rows, 0);
	else
	{
		RnCachedAttention spec;

		memset(&spec, 0, sizeof(spec));
		spec.q.tensor = q;
		spec.k = caches->source[layer]->value;
		spec.v = spec.k + stack->config->d_model;
		spec.ldk = spec.ldv = 2 * stack->config->d_model;
		spec.first = caches->source_first;
		spec.count = caches->source_count;
		spec.max_count = caches->max_source_count;
		heads = step_attention(stack, pass, &pass->cross_scores, layer, &spec);
	}
	return attention_branch(stack, params, pass, heads);
}

RnTensor *
rn_cross_keys_values(const RnSchemeStack *stack, const RnAttentionParams *params, RnGraph *graph, RnTensor *memory)
{
	return rn_linear(graph, memory, param_of(stack, params->weights + 1), param_of(stack, params->biases + 1), 2);
}

RnBranch
rn_feed_forward(const RnSchemeStack *stack, const RnFeedForwardParams *params, RnLayerPass *pass, RnTensor *x)
{
	const RnConfig *config = stack->config;
	RnTensor   *inner = rn_linear(pass->graph, x, param_of(stack, params->in_weight), NULL, 1);
	RnBranch	branch;

	inner = rn_activation(pass->graph, inner, param_of(stack, params->in_bias), (RnActivation) config->activation,
						  config->activation_dropout, pass->rows);
	branch.value = rn_linear(pass->graph, inner, param_of(stack, params->out_weight), NULL, 1);
	branch.bias = param_of(stack, params->out_bias);
	return branch;
}
