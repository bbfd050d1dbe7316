/*
 * joint.c
 *		What all residual schemes share: norms, and joining a sublayer.
 *
 * A plain scheme is wholly made here out of its RnJoin.
 *
 * src/model/residual/joint.c
 */
#include "model/residual/joint.h"

#include <stdio.h>
#include <string.h>

const char *
rn_stack_prefix(RnStack stack)
{
	return stack == RN_STACK_ENCODER ? "enc" : "dec";
}

const char *
rn_sublayer_prefix(RnSublayer kind)
{
	switch (kind)
	{
		case RN_SUBLAYER_SELF_ATTENTION:
			return "sa";
		case RN_SUBLAYER_CROSS_ATTENTION:
			return "ca";
		default:
			return "ff";
	}
}

/* ---- declaring ---- */

RnStatus
rn_declare_vector(RnContext *ctx, RnSchemeStack *stack, const RnPlace *place, const char *name,
				  int size, int flags, double value, int *number)
{
	RnParam		param;

	memset(&param, 0, sizeof(param));
	if (place == NULL)
		snprintf(param.name, sizeof(param.name), "%s.%s", rn_stack_prefix(stack->stack), name);
	else if (place->kind == RN_SUBLAYER_NONE)
		snprintf(param.name, sizeof(param.name), "%s.%d.%s", rn_stack_prefix(stack->stack), place->layer, name);
	else
		snprintf(param.name, sizeof(param.name), "%s.%d.%s.%s", rn_stack_prefix(stack->stack), place->layer,
				 rn_sublayer_prefix(place->kind), name);
	param.rows = 1;
	param.cols = size;
	param.ndim = 1;
	param.flags = flags;
	param.stack = stack->stack;
	param.layer = place == NULL ? -1 : place->layer;
	param.sublayer = place == NULL ? RN_SUBLAYER_STACK : place->kind;
	param.init = RN_INIT_CONSTANT;
	param.init_scale = value;
	param.init_zero_row = -1;
	*number = rn_params_add(ctx, stack->params, &param);
	return ctx->status;
}

RnStatus
rn_declare_norm(RnContext *ctx, RnSchemeStack *stack, const RnPlace *place, const char *name, RnJoint *joint)
{
	int			d = stack->config->d_model;
	char		part[RN_NAME_LENGTH];

	snprintf(part, sizeof(part), "%s.w", name);
	RN_TRY(rn_declare_vector(ctx, stack, place, part, d, RN_PARAM_NORM, 1, &joint->gain));
	snprintf(part, sizeof(part), "%s.b", name);
	return rn_declare_vector(ctx, stack, place, part, d, RN_PARAM_NORM, 0, &joint->shift);
}

RnStatus
rn_scheme_declare(RnContext *ctx, RnSchemeStack *stack, const RnPlace *place)
{
	RnJoin		join;

	stack->scheme->join(stack, place, &join);
	if (join.norm != RN_NORM_NONE)
		RN_TRY(rn_declare_norm(ctx, stack, place, "ln", &stack->joints[place->number]));
	if (stack->scheme->declare != NULL)
		RN_TRY(stack->scheme->declare(ctx, stack, place));
	return RN_OK;
}

static RnNormPlace
last_norm(const RnSchemeStack *stack)
{
	RnPlace		last;
	RnJoin		join;

	last.layer = stack->layers - 1;
	last.kind = RN_SUBLAYER_FEED_FORWARD;
	last.number = rn_stack_sublayers(stack) - 1;
	stack->scheme->join(stack, &last, &join);
	return join.norm;
}

RnStatus
rn_scheme_declare_end(RnContext *ctx, RnSchemeStack *stack)
{
	if (last_norm(stack) == RN_NORM_PRE)
		RN_TRY(rn_declare_norm(ctx, stack, NULL, "ln", &stack->end));
	if (stack->scheme->declare_end != NULL)
		RN_TRY(stack->scheme->declare_end(ctx, stack));
	return RN_OK;
}

/* ---- a pass over a stack ---- */

void
rn_scheme_begin(const RnSchemeStack *stack, RnStream *stream, RnGraph *graph, const RnPacked *rows, RnTensor *x)
{
	memset(stream, 0, sizeof(*stream));
	stream->graph = graph;
	stream->rows = rows;
	stream->x = x;
	if (stack->scheme->begin != NULL)
		stack->scheme->begin(stack, stream);
}

void
rn_scheme_layer_begin(const RnSchemeStack *stack, RnStream *stream, int layer)
{
	if (stack->scheme->layer_begin != NULL)
		stack->scheme->layer_begin(stack, stream, layer);
}

RnTensor *
rn_joint_norm(const RnSchemeStack *stack, RnStream *stream, const RnJoint *joint, RnTensor *x)
{
	return rn_layer_norm(stream->graph, x, rn_joint_param(stack, joint->gain), rn_joint_param(stack, joint->shift),
						 stack->config->layer_norm_epsilon);
}

RnTensor *
rn_scheme_input(const RnSchemeStack *stack, RnStream *stream, const RnPlace *place)
{
	RnJoin		join;

	stack->scheme->join(stack, place, &join);
	if (join.norm == RN_NORM_PRE)
		return rn_joint_norm(stack, stream, &stack->joints[place->number], stream->x);
	return stream->x;
}

void
rn_scheme_join(const RnSchemeStack *stack, RnStream *stream, const RnPlace *place, const RnBranch *branch)
{
	const RnJoint *joint = &stack->joints[place->number];
	RnResidual	residual;
	RnJoin		join;

	stack->scheme->join(stack, place, &join);
	memset(&residual, 0, sizeof(residual));
	residual.shortcut = stream->x;
	residual.branch = branch->value;
	residual.bias = branch->bias;
	residual.omega = join.omega;
	residual.gate = join.gate;
	if (join.norm == RN_NORM_POST)
	{
		residual.gain = rn_joint_param(stack, joint->gain);
		residual.shift = rn_joint_param(stack, joint->shift);
	}
	residual.shortcut_scale = join.shortcut_scale;
	residual.branch_scale = join.branch_scale;
	residual.dual_scale = 1;
	residual.epsilon = stack->config->layer_norm_epsilon;
	residual.dropout = stack->config->dropout;
	residual.packed = stream->rows;
	if (stack->scheme->joining != NULL)
		stack->scheme->joining(stack, stream, place, &residual);
	stream->x = rn_residual(stream->graph, &residual, residual.dual != NULL ? &stream->dual : NULL);
}

void
rn_scheme_layer_end(const RnSchemeStack *stack, RnStream *stream, int layer)
{
	if (stack->scheme->layer_end != NULL)
		stack->scheme->layer_end(stack, stream, layer);
}

RnTensor *
rn_scheme_end(const RnSchemeStack *stack, RnStream *stream)
{
	if (stack->scheme->end != NULL)
		return stack->scheme->end(stack, stream);
	if (stack->end.gain != 0)
		return rn_joint_norm(stack, stream, &stack->end, stream->x);
	return stream->x;
}
