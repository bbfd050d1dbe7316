/*
 * decide.h
 *		What becomes of a step: the same lines on every device.
 *
 * kernels/decide.h
 */
#ifndef RN_DECIDE_H
#define RN_DECIDE_H

#include <math.h>

#include "kernels/kernel.h"

#ifdef __CUDACC__
#define RN_DECIDED_THERE	__device__ inline
#else
#define RN_DECIDED_THERE	static inline
#endif

#define RN_GOOD_STEPS	2000	/* before twice the scale of the losses is tried */

/* The scale after a step whose gradient was finite, or too large. */
RN_DECIDED_THERE void
rn_decide_scale(RnDecision *decision, int scaling, int good)
{
	int			change = 0;

	if (!good)
		change = -1;
	else if (++decision->good_steps >= RN_GOOD_STEPS && scaling && decision->loss_exponent < RN_LOSS_EXPONENT_MOST)
		change = 1;
	if (change == 0)
		return;
	decision->loss_exponent += change;
	decision->loss_scale *= change > 0 ? 2.0 : 0.5;
	decision->good_steps = 0;
}

/* What adam needs to know of the update that comes: see there for rate and root. */
RN_DECIDED_THERE void
rn_decide_update(const RnDecideArgs *args, RnDecision *decision)
{
	const double update = (double) (decision->updates + 1);
	const double correction1 = 1.0 - pow(args->beta1, update);
	const double correction2 = sqrt(1.0 - pow(args->beta2, update));

	decision->gradient_scale = decision->mean_scale;
	if (args->clip_norm > 0 && decision->norm > args->clip_norm)
		decision->gradient_scale *= args->clip_norm / (decision->norm + 1e-6);
	decision->learning_rate = args->learning_rate;
	decision->rate = args->learning_rate / correction1 * (args->fairseq ? correction2 : 1.0);
	decision->root = args->fairseq ? 1.0 : 1.0 / correction2;
	decision->updates++;
}

/*
 * A loss that is not finite halts; so does such a gradient, unless the scale of
 * the losses may have made it so: then the step is passed over, and the next
 * one has half the scale.
 */
RN_DECIDED_THERE void
rn_decide(const RnDecideArgs *args, double squares, double loss, double nll)
{
	RnDecision *decision = args->decision;
	double		norm;

	decision->skip = 1;
	if (decision->halted != RN_HALT_NONE)
		return;
	decision->mean_scale = 1.0 / (args->gradient_scale * decision->loss_scale * args->target_tokens);
	norm = decision->mean_scale * sqrt(squares);
	if (args->first)
	{
		decision->loss = decision->nll = 0.0;
		decision->steps = decision->skipped = 0;
	}
	decision->steps++;
	decision->loss += loss;
	decision->nll += nll;
	if (!isfinite(loss))
		decision->halted = RN_HALT_LOSS;
	else if (isfinite(norm))
	{
		decision->skip = 0;
		decision->norm = norm;
		rn_decide_update(args, decision);
		rn_decide_scale(decision, args->scaling, 1);
	}
	else if (args->scaling && decision->loss_exponent > RN_LOSS_EXPONENT_LEAST)
	{
		decision->skipped++;
		rn_decide_scale(decision, args->scaling, 0);
	}
	else
		decision->halted = RN_HALT_GRADIENT;
}

#endif							/* RN_DECIDE_H */
