/*
 * schedule.h
 *		The learning rate at update n.
 *
 * src/train/schedule.h
 */
#ifndef RN_SCHEDULE_H
#define RN_SCHEDULE_H

#include "model/config.h"

/* Without a warm-up, inverse_sqrt stays at its peak for so many updates. */
#define RN_FLAT_UPDATES		4000

/*
 * update counts from 1; total (for linear and cosine) may be 0: unknown, the
 * rate stays at its peak then.
 */
extern double rn_learning_rate(const RnConfig *config, int64_t update, int64_t total);

#endif							/* RN_SCHEDULE_H */
