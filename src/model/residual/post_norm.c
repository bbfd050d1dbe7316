/*
 * post_norm.c
 *		Post-LN (Vaswani et al. 2017, "Attention Is All You Need").
 *
 *		x_i = LN_i(x_{i-1} + f_i(x_{i-1}))			out = x_N
 *
 * src/model/residual/post_norm.c
 */
#include "model/residual/joint.h"
#include "model/residual/schemes.h"

static void
post_join(const RnSchemeStack *stack, const RnPlace *place, RnJoin *join)
{
	(void) stack;
	(void) place;
	rn_join_plain(join, RN_NORM_POST);
}

const RnScheme rn_scheme_post = {
	.name = "post",
	.join = post_join
};
