/*
 * rezero.c
 *		ReZero (Bachlechner et al. 2020, "ReZero is All You Need").
 *
 *		x_i = x_{i-1} + a_l f_i(x_{i-1})			out = x_N
 *
 * One a_l a layer, shared by its sublayers, 0 at the start; the authors keep
 * it out of weight decay.  With norm post: x_i = LN_i(x_{i-1} + a_l f_i).
 *
 * src/model/residual/rezero.c
 */
#include "model/residual/joint.h"
#include "model/residual/schemes.h"

static void
rezero_join(const RnSchemeStack *stack, const RnPlace *place, RnJoin *join)
{
	rn_join_plain(join, stack->config->norm == RN_NORM_POST ? RN_NORM_POST : RN_NORM_NONE);
	join->gate = rn_joint_param(stack, stack->layer_joints[place->layer].gate);
}

static RnStatus
rezero_declare(RnContext *ctx, RnSchemeStack *stack, const RnPlace *place)
{
	RnPlace		layer;

	if (place->number % stack->sublayers_per_layer != 0)
		return RN_OK;
	layer = *place;
	layer.kind = RN_SUBLAYER_NONE;
	return rn_declare_vector(ctx, stack, &layer, "alpha", 1, RN_PARAM_SCHEME | RN_PARAM_NO_DECAY, 0,
							 &stack->layer_joints[place->layer].gate);
}

const RnScheme rn_scheme_rezero = {
	.name = "rezero",
	.join = rezero_join,
	.declare = rezero_declare
};
