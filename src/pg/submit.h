/*
 * submit.h
 *		What must hold before a job is written down or taken up again.
 *
 * Jobs become queued here; that a worker starts is for launch.h and queue.h.
 *
 * src/pg/submit.h
 */
#ifndef RES_SUBMIT_H
#define RES_SUBMIT_H

#include "job.h"

/*
 * A job of the user that trains the model on a table's columns: table, rights
 * and options checked, or an ERROR that says what is wrong.  Gives its number.
 */
extern int64 res_submit(const char *model, Oid corpus, const char *source, const char *target, Jsonb *options);

/*
 * Queue a job again, which *job is as it was before; false when it is running,
 * done, or on its way already.  ERROR when the user has no right to it, or its
 * model has another job.
 */
extern bool res_resubmit(int64 id, ResJob *job);

#endif							/* RES_SUBMIT_H */
