/*
 * residual.c
 *		ResiDual (Xie et al. 2023, "ResiDual: Transformer with Dual Residual
 *		Connections").
 *
 *		D_0 = s x_0
 *		a_i = f_i(x_{i-1}),  x_i = LN_i(x_{i-1} + a_i),  D_i = D_{i-1} + s a_i
 *		out = alpha x_N + LN_D(D_N)
 *
 * Sublayers read the Post-LN stream only, so that caches are those of
 * Post-LN.  The released code has an epsilon of its own in LN_D.
 *
 * src/model/residual/residual.c
 */
#include "model/residual/joint.h"
#include "model/residual/schemes.h"

static void
residual_join(const RnSchemeStack *stack, const RnPlace *place, RnJoin *join)
{
	(void) stack;
	(void) place;
	rn_join_plain(join, RN_NORM_POST);
}

static RnStatus
residual_declare_end(RnContext *ctx, RnSchemeStack *stack)
{
	return rn_declare_norm(ctx, stack, NULL, "ln", &stack->end);
}

static void
residual_begin(const RnSchemeStack *stack, RnStream *stream)
{
	stream->dual = rn_add(stream->graph, stream->x, stack->config->dual_scale, NULL, 0);
}

static void
residual_joining(const RnSchemeStack *stack, RnStream *stream, const RnPlace *place, RnResidual *residual)
{
	(void) place;
	residual->dual = stream->dual;
	residual->dual_scale = stack->config->dual_scale;
}

static RnTensor *
residual_end(const RnSchemeStack *stack, RnStream *stream)
{
	const RnConfig *config = stack->config;

	return rn_norm_add(stream->graph, stream->dual,
					   rn_joint_param(stack, stack->end.gain), rn_joint_param(stack, stack->end.shift),
					   config->dual_epsilon, stream->x,
					   stack->stack == RN_STACK_ENCODER ? config->encoder_alpha : config->decoder_alpha);
}

const RnScheme rn_scheme_residual = {
	.name = "residual",
	.join = residual_join,
	.declare_end = residual_declare_end,
	.begin = residual_begin,
	.joining = residual_joining,
	.end = residual_end
};
