/*
 * train_job.h
 *		The training journey of one job, on the engine's side of the wire.
 *
 * src/engine/train_job.h
 */
#ifndef RN_TRAIN_JOB_H
#define RN_TRAIN_JOB_H

#include <signal.h>

/*
 * Be told a job over the control socket, do it, tell the outcome, and wait for
 * the peer to hang up.  spill_fd: a temporary file that only this process
 * uses.  *stop, set by a signal's handler or by RN_STOP, ends the job with a
 * checkpoint.  Gives the exit status of the process, unless the peer's end
 * ends it from within.
 */
extern int	rn_train(int control_fd, int spill_fd, volatile sig_atomic_t *stop);

#endif							/* RN_TRAIN_JOB_H */
