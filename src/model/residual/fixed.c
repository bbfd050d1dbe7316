/*
 * fixed.c
 *		Branches times a constant (Mescheder et al. 2018, "Which Training
 *		Methods for GANs do actually Converge?"), without norms or within
 *		Post-LN or Pre-LN.
 *
 *		x_i = x_{i-1} + c f_i(x_{i-1})				out = x_N
 *
 * src/model/residual/fixed.c
 */
#include "model/residual/joint.h"
#include "model/residual/schemes.h"

static void
fixed_join(const RnSchemeStack *stack, const RnPlace *place, RnJoin *join)
{
	(void) place;
	rn_join_plain(join, stack->config->norm == RN_NORM_AUTO ? RN_NORM_NONE : (RnNormPlace) stack->config->norm);
	join->branch_scale = stack->config->branch_scale;
}

const RnScheme rn_scheme_fixed = {
	.name = "fixed",
	.join = fixed_join
};
