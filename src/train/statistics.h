/*
 * statistics.h
 *		What gradients and steps are like, tensor by tensor.
 *
 * src/train/statistics.h
 */
#ifndef RN_STATISTICS_H
#define RN_STATISTICS_H

#include "train/optimizer.h"
#include "train/trainer.h"

/*
 * Look at a thread's pieces between the two rounds of an update: norms, and
 * how Adam's step would answer to a change of the gradient.  The moments are
 * those before the update.  RN_NO_MEMORY for the copies it works with.
 */
extern RnStatus rn_statistics_collect(RnContext *ctx, const RnOptimizer *optimizer, RnLane *lane, int thread,
									  const rn_real *values, const rn_real *gradient, const RnDecision *decision,
									  RnTally *tallies);

/* Pieces to tensors.  An update that was passed over had a gradient of which nothing can be said. */
extern void rn_statistics_finish(const RnOptimizer *optimizer, const RnParams *params, const RnTally *tallies,
								 const RnDecision *decision, RnTensorStatistics *statistics);

/*
 * Adam's step as a function of the gradient (learning rate 1, no decay): adds
 * the squares of gradient (times scale) and step to the tally, and raises its
 * jacobian, whose squares are added up, too.  m and v before the update, updates counted from 1.
 */
extern void rn_statistics_adam(const RnConfig *config, int64_t update, size_t n, const rn_real *gradient,
							   double scale, const rn_real *first, const rn_real *second, RnTally *tally);

#endif							/* RN_STATISTICS_H */
