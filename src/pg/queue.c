/*
 * queue.c
 *		The jobs of this database that wait for a place.
 *
 * A job that was taken up MAX_ATTEMPTS times without getting as far as a
 * checkpoint is left to residual_resume, and one whose owner may not connect
 * any more does not stand in the way of the others.
 *
 * src/pg/queue.c
 */
#include "queue.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "job.h"
#include "launch.h"

#define MAX_ATTEMPTS	5

/* May this job be started?  An interrupted one becomes queued. */
static bool
prepare(const ResJob *job, int attempts, bool interrupted)
{
	int64		other;

	if (res_job_is_live(job->id) || !res_launch_role_may_connect(job->owner))
		return false;
	if (job->state == RES_JOB_QUEUED)
		return true;
	if (!interrupted || attempts >= MAX_ATTEMPTS)
		return false;
	res_job_lock_model(job->model);
	other = res_job_of_model(job->model);
	if (other != 0 && other != job->id)
		return false;
	res_job_requeue(job->id);
	ereport(LOG,
			(errmsg("training job " INT64_FORMAT " was interrupted and goes on", job->id)));
	return true;
}

static uint64
list_jobs(int64 **jobs, int **attempts)
{
	MemoryContext target = CurrentMemoryContext;
	ResCatalog	catalog;
	uint64		n,
				i;
	bool		is_null;

	res_catalog_begin(&catalog, true);
	n = res_execute(&catalog,
					"SELECT id, attempts FROM residual.job WHERE state IN ('queued', 'running') ORDER BY id",
					0, NULL, NULL, NULL);
	*jobs = MemoryContextAlloc(target, Max(n, 1) * sizeof(int64));
	*attempts = MemoryContextAlloc(target, Max(n, 1) * sizeof(int));
	for (i = 0; i < n; i++)
	{
		(*jobs)[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null));
		(*attempts)[i] = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &is_null));
	}
	res_catalog_end(&catalog);
	return n;
}

/* Workers start at commit; those that find no place after all note the database again. */
void
res_queue_start(bool interrupted)
{
	int64	   *jobs;
	int		   *attempts;
	uint64		n = list_jobs(&jobs, &attempts);
	int			places = res_job_free_places();
	int			started = 0;
	uint64		i;
	ResJob		job;

	for (i = 0; i < n; i++)
	{
		/* a row that somebody has locked is being started or ended already, and must not hold up the others */
		if (!res_job_find_unless_locked(jobs[i], &job) || res_job_has_ended(&job) ||
			!prepare(&job, attempts[i], interrupted))
			continue;
		if (started == places)
		{
			(void) res_launcher_notify(MyDatabaseId);
			break;
		}
		res_launch_at_commit(job.id, job.owner);
		started++;
	}
}
