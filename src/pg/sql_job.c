/*
 * sql_job.c
 *		SQL functions over jobs: wait, cancel, resume.
 *
 * A worker is reached by signals and seen by the lock it holds; there is no
 * memory to share, so all this works without the library being preloaded.
 *
 * src/pg/sql_job.c
 */
#include "residual.h"

#include <signal.h>

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "launch.h"
#include "submit.h"

PG_FUNCTION_INFO_V1(residual_wait);
PG_FUNCTION_INFO_V1(residual_cancel);
PG_FUNCTION_INFO_V1(residual_resume);
PG_FUNCTION_INFO_V1(residual_job_is_live);

#define FIRST_NAP		10		/* ms between looks at the job, doubled up to */
#define LONGEST_NAP		200
#define START_GRACE		10000	/* ms in which a worker takes up a job that was committed */

/* ---- residual_wait ---- */

/* When to give up; DT_NOEND for never. */
static TimestampTz
deadline_of(FunctionCallInfo fcinfo)
{
	TimestampTz now = GetCurrentTimestamp();

	if (PG_ARGISNULL(1))
		return DT_NOEND;
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(now),
												   PG_GETARG_DATUM(1)));
}

static void
refuse_own_job(int64 id)
{
	if (!res_launch_is_pending(id))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("job " INT64_FORMAT " starts when this transaction commits", id),
			 errhint("Wait for it in a transaction after that.")));
}

static void
warn_not_taken_up(int64 id)
{
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("no worker has taken up job " INT64_FORMAT, id),
			 errdetail("The server log says why if one was started."),
			 errhint("Start it with residual_resume(" INT64_FORMAT ").", id)));
}

/*
 * Is there nothing to wait for any more?  A worker that ends commits first and
 * lets go of its lock then, so a job that seems interrupted is looked at twice.
 * *since: from when on a queued job could have been taken up.
 */
static bool
settled(ResJob *job, TimestampTz *since)
{
	if (res_job_has_ended(job))
		return true;
	if (job->state == RES_JOB_RUNNING && strcmp(res_job_state_name(job), "interrupted") == 0)
	{
		if (!res_job_find(job->id, job))
			return true;
		return job->state != RES_JOB_RUNNING || !res_job_is_live(job->id);
	}
	if (job->state != RES_JOB_QUEUED || RecoveryInProgress() || res_launcher_runs())
		return false;
	if (res_job_free_places() == 0)
		*since = GetCurrentTimestamp(); /* it waits for one */
	else if (TimestampDifferenceExceeds(*since, GetCurrentTimestamp(), START_GRACE))
	{
		warn_not_taken_up(job->id);
		return true;
	}
	return false;
}

Datum
residual_wait(PG_FUNCTION_ARGS)
{
	TimestampTz begin = GetCurrentTimestamp();
	TimestampTz deadline;
	Oid			user = GetUserId();
	MemoryContext look = AllocSetContextCreate(CurrentMemoryContext, "look at a job", ALLOCSET_SMALL_SIZES);
	MemoryContext before;
	int64		id;
	long		nap = FIRST_NAP;
	ResJob		job;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"job\" of residual_wait must not be null")));
	id = PG_GETARG_INT64(0);
	deadline = deadline_of(fcinfo);
	refuse_own_job(id);
	before = MemoryContextSwitchTo(look);
	for (;;)
	{
		long		left;

		MemoryContextReset(look);
		res_job_get(id, user, &job);
		if (settled(&job, &begin))
			break;
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
		if (left <= 0)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, Min(nap, left), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		nap = Min(2 * nap, LONGEST_NAP);
	}
	MemoryContextSwitchTo(before);
	PG_RETURN_TEXT_P(cstring_to_text(res_job_state_name(&job)));
}

/* ---- residual_cancel ---- */

/* Process numbers are used again: only one of this database that runs as the job's owner is meant. */
static bool
signal_worker(const ResJob *job)
{
	PGPROC	   *worker = BackendPidGetProc(job->pid);

	return worker != NULL && worker->isBackgroundWorker && worker->databaseId == MyDatabaseId &&
		worker->roleId == job->owner && kill(job->pid, SIGINT) == 0;
}

bool
res_job_cancel(int64 id)
{
	ResJob		job;

	res_job_get(id, GetUserId(), &job);
	if (res_job_has_ended(&job))
		return false;
	if (job.state == RES_JOB_RUNNING && res_job_is_live(id) && signal_worker(&job))
		return true;

	/* nobody works on it, or somebody is about to: the row decides */
	if (!res_job_find_for_update(id, &job) || res_job_has_ended(&job))
		return false;
	if (job.state == RES_JOB_RUNNING && res_job_is_live(id))
		return signal_worker(&job);
	res_job_set_state(id, RES_JOB_CANCELLED);
	return true;
}

Datum
residual_cancel(PG_FUNCTION_ARGS)
{
	PreventCommandDuringRecovery("residual_cancel()");
	PreventCommandIfReadOnly("residual_cancel()");
	PG_RETURN_BOOL(res_job_cancel(PG_GETARG_INT64(0)));
}

/* ---- residual_resume ---- */

/* Let the job go on from an earlier checkpoint than its last. */
static void
go_back(int64 id, int64 step)
{
	static const Oid types[] = {INT8OID, INT8OID};
	ResCatalog	catalog;
	Datum		values[2];
	uint64		rows;

	values[0] = Int64GetDatum(id);
	values[1] = Int64GetDatum(step);
	res_catalog_begin(&catalog, false);
	rows = res_execute(&catalog,
					   "UPDATE residual.job SET checkpoint_step = $2 WHERE id = $1 AND $2 > 0"
					   " AND EXISTS (SELECT FROM residual.checkpoint WHERE job = $1 AND step = $2)",
					   2, types, values, NULL);
	res_catalog_end(&catalog);
	if (rows == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("job " INT64_FORMAT " has no checkpoint of step " INT64_FORMAT, id, step),
				 errhint("The view residual_checkpoints lists what there is; option keep_checkpoints says how many stay.")));
}

Datum
residual_resume(PG_FUNCTION_ARGS)
{
	int64		id = PG_GETARG_INT64(0);
	ResJob		job;

	PreventCommandDuringRecovery("residual_resume()");
	PreventCommandIfReadOnly("residual_resume()");
	if (!res_resubmit(id, &job))
		PG_RETURN_BOOL(false);
	if (PG_NARGS() > 1)
		go_back(id, PG_GETARG_INT64(1));
	res_launch_at_commit(id, job.owner);
	PG_RETURN_BOOL(true);
}

/* NULL on a standby: locks of the primary are not seen there. */
Datum
residual_job_is_live(PG_FUNCTION_ARGS)
{
	if (RecoveryInProgress())
		PG_RETURN_NULL();
	PG_RETURN_BOOL(res_job_is_live(PG_GETARG_INT64(0)));
}
