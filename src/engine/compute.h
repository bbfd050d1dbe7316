/*
 * compute.h
 *		The threads of a serving engine that translate.
 *
 * src/engine/compute.h
 */
#ifndef RN_COMPUTE_H
#define RN_COMPUTE_H

#include "engine/queue.h"

typedef struct RnCompute RnCompute;

/* Start queue->threads of them; they block every signal. */
extern RnStatus rn_compute_start(RnContext *ctx, RnQueue *queue, RnCompute **compute);

/*
 * Wait for their end, after rn_queue_stop, but no longer than so many
 * seconds.  False: some still run, so nothing that they use may be freed.
 */
extern int	rn_compute_end(RnCompute *compute, double seconds);

#endif							/* RN_COMPUTE_H */
