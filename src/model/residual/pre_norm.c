/*
 * pre_norm.c
 *		Pre-LN (Wang et al. 2019, "Learning Deep Transformer Models for Machine
 *		Translation"; Xiong et al. 2020, "On Layer Normalization in the
 *		Transformer Architecture").
 *
 *		x_i = x_{i-1} + f_i(LN_i(x_{i-1}))			out = LN(x_N)
 *
 * src/model/residual/pre_norm.c
 */
#include "model/residual/joint.h"
#include "model/residual/schemes.h"

static void
pre_join(const RnSchemeStack *stack, const RnPlace *place, RnJoin *join)
{
	(void) stack;
	(void) place;
	rn_join_plain(join, RN_NORM_PRE);
}

const RnScheme rn_scheme_pre = {
	.name = "pre",
	.join = pre_join
};
