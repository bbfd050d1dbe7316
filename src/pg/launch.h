/*
 * launch.h
 *		Workers that start when the transaction commits.
 *
 * src/pg/launch.h
 */
#ifndef RES_LAUNCH_H
#define RES_LAUNCH_H

#include "residual.h"

/* What a training worker is told. */
typedef struct ResLaunch
{
	Oid			database;
	Oid			owner;			/* it runs as this role */
	int64		job;
} ResLaunch;

/* May a worker connect to this database as the role?  The second: ERROR unless it may. */
extern bool res_launch_role_may_connect(Oid role);
extern void res_launch_check_role(Oid role);

/*
 * Start a worker for the job when the transaction commits; none when it, or
 * the savepoint around the call, rolls back.  PREPARE TRANSACTION is refused
 * from then on.
 */
extern void res_launch_at_commit(int64 job, Oid owner);

/* Tell the launcher, if there is one, at commit that jobs wait for a place. */
extern void res_launch_queue_at_commit(void);

/* Is the job waiting for the commit of this transaction? */
extern bool res_launch_is_pending(int64 job);

/* Start a worker now; false when the server has no slot for one.  Never an error. */
extern bool res_launch_now(const ResLaunch *launch);

/* launcher.c: does it run?  It does where the library is preloaded by the server. */
extern bool res_launcher_runs(void);

/* Tell it that a database has jobs that wait for a place; false when there is no launcher. */
extern bool res_launcher_notify(Oid database);

/* Have it start the worker when the server has a slot; false when there is no launcher, or it has enough to do. */
extern bool res_launcher_hand_over(const ResLaunch *launch);

/* Tell it that a place has become free. */
extern void res_launcher_wake(void);

#endif							/* RES_LAUNCH_H */
