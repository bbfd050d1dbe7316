/*
 * control.h
 *		The thread that listens while a job computes.
 *
 * It reads the control socket, so that a stop, a ping or the peer's end is
 * seen at once whatever the job is doing.  The job looks at the stop flag
 * often enough, but in places where it cannot (learning a tokenizer): there
 * the thread itself ends the process, when nothing is lost by it.
 *
 * src/engine/control.h
 */
#ifndef RN_CONTROL_H
#define RN_CONTROL_H

#include <signal.h>
#include <stdint.h>

#include "engine/peer.h"

typedef struct RnControl RnControl;

/* From now on only the control thread receives.  *stop is set by RN_STOP and by whoever else. */
extern RnStatus rn_control_start(RnContext *ctx, RnPeer *peer, volatile sig_atomic_t *stop, RnControl **control);

/*
 * Between the two the job cannot be stopped: a stop is answered with DONE
 * "stopped" at this step and the end of the process.
 */
extern void rn_control_job_is_deaf(RnControl *control, int64_t step);
extern void rn_control_job_listens(RnControl *control);

/* What the peer did wrong, if anything; the stop flag is set then, too. */
extern RnStatus rn_control_check(RnContext *ctx, RnControl *control);

#endif							/* RN_CONTROL_H */
