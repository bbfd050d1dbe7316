/*
 * dlcl.c
 *		Dynamic linear combination of layers (Wang et al. 2019, "Learning Deep
 *		Transformer Models for Machine Translation").
 *
 * A layer reads a learned sum of the outputs y of all layers before it, y_0
 * being the stack's input and W lower triangular:
 *
 *		Pre-LN		z_l = sum_{k<=l} W[l,k] n_k,  n_0 = y_0,  n_k = LN'_k(y_k)
 *					out = LN(z_L)
 *		Post-LN		z_0 = W[0,0] y_0,  z_l = LN'_l(sum_{k<=l} W[l,k] y_k)
 *					out = z_L
 *
 * W begins as means: W[l,k] = 1 / (l + 1).  Entries above the diagonal are 0
 * and stay so, as no gradient reaches them.
 *
 * src/model/residual/dlcl.c
 */
#include "model/residual/joint.h"
#include "model/residual/schemes.h"

#include <stdio.h>
#include <string.h>

static RnNormPlace
dlcl_norm(const RnSchemeStack *stack)
{
	return stack->config->norm == RN_NORM_POST ? RN_NORM_POST : RN_NORM_PRE;
}

static void
dlcl_join(const RnSchemeStack *stack, const RnPlace *place, RnJoin *join)
{
	(void) place;
	rn_join_plain(join, dlcl_norm(stack));
}

static RnStatus
dlcl_declare_end(RnContext *ctx, RnSchemeStack *stack)
{
	RnParam		param;
	int			l;

	for (l = 1; l <= stack->layers; l++)
	{
		char		name[RN_NAME_LENGTH];

		snprintf(name, sizeof(name), "dlcl.ln.%d", l);
		RN_TRY(rn_declare_norm(ctx, stack, NULL, name, &stack->layer_joints[l]));
	}
	memset(&param, 0, sizeof(param));
	snprintf(param.name, sizeof(param.name), "%s.dlcl.w", rn_stack_prefix(stack->stack));
	param.rows = param.cols = stack->layers + 1;
	param.ndim = 2;
	param.flags = RN_PARAM_SCHEME;
	param.stack = stack->stack;
	param.layer = -1;
	param.sublayer = RN_SUBLAYER_STACK;
	param.init_zero_row = -1;
	stack->layer_weights = rn_params_add(ctx, stack->params, &param);
	return ctx->status;
}

static void
dlcl_initialize(const RnSchemeStack *stack, rn_real *values)
{
	rn_real    *w = values + rn_joint_param(stack, stack->layer_weights)->offset;
	int			l,
				k;

	for (l = 0; l <= stack->layers; l++)
	{
		for (k = 0; k <= l; k++)
			w[l * (stack->layers + 1) + k] = (rn_real) (1.0 / (l + 1));
	}
}

/* z_l out of y_0 .. y_l. */
static RnTensor *
dlcl_combine(const RnSchemeStack *stack, RnStream *stream, int l)
{
	RnTensor   *sum;

	if (stream->layer_outputs == NULL)
		return NULL;
	sum = rn_weighted_sum(stream->graph, l + 1, stream->layer_outputs, rn_joint_param(stack, stack->layer_weights),
						  l * (stack->layers + 1));
	if (dlcl_norm(stack) == RN_NORM_POST && l > 0)
		return rn_joint_norm(stack, stream, &stack->layer_joints[l], sum);
	return sum;
}

static void
dlcl_begin(const RnSchemeStack *stack, RnStream *stream)
{
	stream->layer_outputs = rn_graph_scratch(stream->graph, (stack->layers + 1) * sizeof(RnTensor *));
	if (stream->layer_outputs != NULL)
		stream->layer_outputs[0] = stream->x;
}

static void
dlcl_layer_begin(const RnSchemeStack *stack, RnStream *stream, int layer)
{
	stream->x = dlcl_combine(stack, stream, layer);
}

static void
dlcl_layer_end(const RnSchemeStack *stack, RnStream *stream, int layer)
{
	RnTensor   *y = stream->x;

	if (stream->layer_outputs == NULL)
		return;
	if (dlcl_norm(stack) == RN_NORM_PRE)
		y = rn_joint_norm(stack, stream, &stack->layer_joints[layer + 1], y);
	stream->layer_outputs[layer + 1] = y;
}

static RnTensor *
dlcl_end(const RnSchemeStack *stack, RnStream *stream)
{
	RnTensor   *z = dlcl_combine(stack, stream, stack->layers);

	return stack->end.gain != 0 ? rn_joint_norm(stack, stream, &stack->end, z) : z;
}

const RnScheme rn_scheme_dlcl = {
	.name = "dlcl",
	.sums_more = 1,
	.join = dlcl_join,
	.declare_end = dlcl_declare_end,
	.initialize = dlcl_initialize,
	.begin = dlcl_begin,
	.layer_begin = dlcl_layer_begin,
	.layer_end = dlcl_layer_end,
	.end = dlcl_end
};
