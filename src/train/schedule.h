/*
 * schedule.h
 *		The learning rate at update n.
 *
 * src/train/schedule.h
 */
#ifndef RN_SCHEDULE_H
#define RN_SCHEDULE_H

#include "model/config.h"

/* update counts from 1; total_steps (for linear and cosine) may be 0: unknown. */
extern double rn_learning_rate(const RnConfig *config, int64_t update, int64_t total_steps);

#endif							/* RN_SCHEDULE_H */
