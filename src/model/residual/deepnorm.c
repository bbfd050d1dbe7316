/*
 * deepnorm.c
 *		DeepNorm (Wang et al. 2022, "DeepNet: Scaling Transformers to 1,000
 *		Layers").
 *
 *		x_i = LN_i(alpha x_{i-1} + f_i(x_{i-1}))	out = x_N
 *
 * With N encoder and M decoder layers:
 *
 *		encoder		alpha 0.81 (N^4 M)^(1/16)		beta 0.87 (N^4 M)^(-1/16)
 *		decoder		alpha (3 M)^(1/4)				beta (12 M)^(-1/4)
 *		L alone		alpha (2 L)^(1/4)				beta (8 L)^(-1/4)
 *
 * Weights begin Xavier normal, with gain beta but for queries and keys.  One
 * released implementation divides by 0.87 where the paper multiplies; this
 * follows the paper.
 *
 * src/model/residual/deepnorm.c
 */
#include "model/residual/joint.h"
#include "model/residual/schemes.h"

#include <math.h>

static double
deepnorm_alpha(const RnSchemeStack *stack)
{
	double		own = stack->layers;
	double		other = stack->other_layers;

	if (stack->other_layers == 0)
		return pow(2 * own, 0.25);
	if (stack->stack == RN_STACK_ENCODER)
		return 0.81 * pow(pow(own, 4) * other, 1.0 / 16);
	return pow(3 * own, 0.25);
}

static double
deepnorm_beta(const RnSchemeStack *stack)
{
	double		own = stack->layers;
	double		other = stack->other_layers;

	if (stack->other_layers == 0)
		return pow(8 * own, -0.25);
	if (stack->stack == RN_STACK_ENCODER)
		return 0.87 * pow(pow(own, 4) * other, -1.0 / 16);
	return pow(12 * own, -0.25);
}

static void
deepnorm_join(const RnSchemeStack *stack, const RnPlace *place, RnJoin *join)
{
	(void) place;
	rn_join_plain(join, RN_NORM_POST);
	join->shortcut_scale = deepnorm_alpha(stack);
}

static void
deepnorm_init_weight(const RnSchemeStack *stack, RnWeightRole role, RnParam *param)
{
	double		gain = (role == RN_WEIGHT_QUERY || role == RN_WEIGHT_KEY) ? 1 : deepnorm_beta(stack);

	param->init = RN_INIT_NORMAL;
	param->init_scale = gain * sqrt(2.0 / (param->rows + param->cols));
}

const RnScheme rn_scheme_deepnorm = {
	.name = "deepnorm",
	.join = deepnorm_join,
	.init_weight = deepnorm_init_weight
};
