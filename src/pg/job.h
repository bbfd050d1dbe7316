/*
 * job.h
 *		The job row, its states, and the lock that proves that a job lives.
 *
 *		residual_train ── commit ──> queued ── a worker takes it up ──> running ──> done
 *		                             |    ^                             |  |  |
 *		             residual_cancel |    | residual_resume             |  |  └───> failed
 *		                             v    |                             |  └──────> cancelled
 *		                          cancelled                             v
 *		                                            running, but nobody holds its lock:
 *		                                            "interrupted" wherever it is shown
 *
 * failed, cancelled and interrupted jobs go back to queued by residual_resume,
 * interrupted ones also by the launcher after a restart.  Whoever takes a job
 * up commits "running" before it does anything else, so an end without a word
 * can be seen afterwards.  A worker holds the job's lock as long as its
 * process lives, whatever way that ends.
 *
 * src/pg/job.h
 */
#ifndef RES_JOB_H
#define RES_JOB_H

#include "residual.h"

#include "utils/jsonb.h"

typedef enum ResJobState
{
	RES_JOB_QUEUED,				/* -> running, cancelled */
	RES_JOB_RUNNING,			/* -> done, failed, cancelled; queued when interrupted */
	RES_JOB_DONE,				/* the end */
	RES_JOB_FAILED,				/* -> queued */
	RES_JOB_CANCELLED			/* -> queued */
} ResJobState;

typedef struct ResJob
{
	int64		id;
	char	   *model;
	Oid			owner;
	char	   *corpus;			/* qualified and quoted */
	char	   *source;
	char	   *target;
	Jsonb	   *options;		/* effective */
	ResJobState state;
	int			pid;			/* of the worker that took it up last; 0: none did */
	char	   *fingerprint;	/* of the pairs, NULL when not read yet */
	int64		checkpoint_step;	/* -1: none */
} ResJob;

/* ---- the row ---- */

/* The table that the rows are in; another one when the extension was dropped and created anew. */
extern Oid	res_job_table(void);

/* With the latest snapshot, palloc'd; false when there is no such job. */
extern bool res_job_find(int64 id, ResJob *job);

/* The same, or ERROR 42704; ERROR 42501 unless role has the rights of the job's owner. */
extern void res_job_get(int64 id, Oid role, ResJob *job);

/* Lock the row until the end of the transaction, then read it as it is now. */
extern bool res_job_find_for_update(int64 id, ResJob *job);

/* The same without waiting: false as well when somebody else has the row locked. */
extern bool res_job_find_unless_locked(int64 id, ResJob *job);

/* What residual_jobs would show: also "interrupted". */
extern const char *res_job_state_name(const ResJob *job);
extern bool res_job_has_ended(const ResJob *job);

/* job needs model, owner, corpus, source, target and options; gives its number. */
extern int64 res_job_insert(const ResJob *job);
extern void res_job_set_state(int64 id, ResJobState state);

/* failed, cancelled or interrupted -> queued, without the traces of its last end. */
extern void res_job_requeue(int64 id);

/* sql_job.c: have a job end, now or before it starts; false when it had ended.  ERROR when the user has no right to it. */
extern bool res_job_cancel(int64 id);

/*
 * A job that is training the model, or is about to; 0: none.  Whoever starts
 * one, or must keep others from starting one, takes the lock first: it lasts
 * until the end of the transaction.
 */
extern void res_job_lock_model(const char *model);
extern int64 res_job_of_model(const char *model);

/* ---- the lock ---- */

/* For a worker: take the job's lock for the life of the process; false when another worker has it. */
extern bool res_job_claim(int64 id);

/* For a worker: take, or still have, one of residual.max_jobs places of the cluster; false when none is free. */
extern bool res_job_take_place(void);

/* The same for one of residual.max_gpu_jobs places on GPUs. */
extern bool res_job_take_gpu(void);

/* For a worker that has done: give back the job's lock and the place before the process ends. */
extern void res_job_leave(void);

/* How many places are free now? */
extern int	res_job_free_places(void);

/* Does a worker hold the job's lock now? */
extern bool res_job_is_live(int64 id);

#endif							/* RES_JOB_H */
