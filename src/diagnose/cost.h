/*
 * cost.h
 *		What a model costs in training, beside the same model as Post-LN.
 *
 * src/diagnose/cost.h
 */
#ifndef RN_COST_H
#define RN_COST_H

#include <signal.h>

#include "kernels/kernel.h"
#include "model/transformer.h"

typedef struct RnCost
{
	double		parameters;
	double		flops;			/* of a target token's forward and backward products, its share of the source included */
	double		weight_bytes;
	double		gradient_bytes; /* of one thread's */
	double		optimizer_bytes;
	double		activation_bytes;	/* of a pass of one thread, as planned */
	double		peak_bytes;		/* that the process grew by when it made the model and took a step; NaN: unknown */
	double		step_seconds;	/* medians of the steps timed */
	double		processor_seconds;
} RnCost;

/* Floating-point operations of one forward pass's products (2 a multiply-add). */
extern double rn_cost_forward(const RnModel *model, const RnModelBatch *batch);

/*
 * costs [2]: of the configuration and of Post-LN in both stacks, everything
 * else alike.  Both take the same steps, in turn, on one made-up batch of
 * batch_tokens target tokens in sentences of 8 to 40 pieces.  RN_CANCELLED
 * when stopped, RN_LIMIT where one of them needs more than memory_limit (0:
 * none).
 */
extern RnStatus rn_cost_measure(RnContext *ctx, const RnConfig *config, const RnKernels *kernels, int repeats,
								size_t memory_limit, const volatile sig_atomic_t *stop, RnCost *costs);

#endif							/* RN_COST_H */
