/*
 * admin.c
 *		Admin (Liu et al. 2020, "Understanding the Difficulty of Training
 *		Transformers").
 *
 *		x_i = LN_i(w_i * x_{i-1} + f_i(x_{i-1}))	out = x_N
 *
 * w_i is a trained vector.  It begins as measured on a batch (profile.c), or
 * as one number for the whole stack of N sublayers (Liu's later admin-torch).
 * With option fold_omega it is folded away when training ends.
 *
 * src/model/residual/admin.c
 */
#include "model/residual/joint.h"
#include "model/residual/schemes.h"

#include <math.h>

/* RnConfig.admin_omega; the option's choices in their order. */
enum
{
	OMEGA_PROFILE,
	OMEGA_LOG,
	OMEGA_SQRT,
	OMEGA_ONE,
	OMEGA_PROFILE_ONES
};

static double
first_omega(const RnSchemeStack *stack)
{
	double		n = rn_stack_sublayers(stack);

	switch (stack->config->admin_omega)
	{
		case OMEGA_LOG:
			return sqrt((n + 1) / log(n + 1) - 1);
		case OMEGA_SQRT:
			return sqrt(n);
		default:
			return 1;
	}
}

static void
admin_join(const RnSchemeStack *stack, const RnPlace *place, RnJoin *join)
{
	rn_join_plain(join, RN_NORM_POST);
	join->omega = rn_joint_param(stack, stack->joints[place->number].omega);
}

static RnStatus
admin_declare(RnContext *ctx, RnSchemeStack *stack, const RnPlace *place)
{
	/* nothing stands before the first one that it could be folded into: it stays 1 */
	int			fixed = stack->config->fold_omega && place->number == 0;

	return rn_declare_vector(ctx, stack, place, "omega", stack->config->d_model,
							 RN_PARAM_SCHEME | (fixed ? RN_PARAM_FROZEN : 0), fixed ? 1 : first_omega(stack),
							 &stack->joints[place->number].omega);
}

/*
 * profile: w_{i+1} = sqrt(Var[w_i x_{i-1}] + Var[f_i(x_{i-1})]), each w in use
 * as soon as it is found, as in the released code.  profile_ones: measured
 * with w = 1, as in the paper, w_{i+1} = sqrt(Var[x_0] + sum_{j<=i} Var[f_j]).
 */
static void
admin_measured(const RnSchemeStack *stack, const RnPlace *place, const RnMeasured *measured, const RnParam **param,
			   double *value, int *later)
{
	int			ones = stack->config->admin_omega == OMEGA_PROFILE_ONES;

	*param = NULL;
	if ((ones || stack->config->admin_omega == OMEGA_PROFILE) && place->number + 1 < rn_stack_sublayers(stack))
		*param = rn_joint_param(stack, stack->joints[place->number + 1].omega);
	*value = ones ? sqrt(measured->input + measured->branches) : sqrt(measured->shortcut + measured->branch);
	*later = ones;
}

const RnScheme rn_scheme_admin = {
	.name = "admin",
	.folded = "post",
	.join = admin_join,
	.declare = admin_declare,
	.measured = admin_measured
};
