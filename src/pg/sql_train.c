/*
 * sql_train.c
 *		residual_train(): check all that can be checked at once, write the job,
 *		have a worker started at commit.
 *
 * src/pg/sql_train.c
 */
#include "residual.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "launch.h"
#include "submit.h"

PG_FUNCTION_INFO_V1(residual_train);

static void
check_not_null(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {"model", "corpus", "source", "target", "options"};
	int			i;

	for (i = 0; i < lengthof(names); i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" of residual_train must not be null", names[i])));
	}
}

/* Nobody may be surprised by a job that does not start. */
static void
warn_if_full(int64 job)
{
	if (res_job_free_places() > 0)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("%d training jobs run already: job " INT64_FORMAT " stays queued", res_max_jobs, job),
			 errdetail("The limit is residual.max_jobs."),
			 res_launcher_runs() ?
			 errhint("It starts when another job has ended.") :
			 errhint("It starts when another job of this database has ended; or start it later with residual_resume("
					 INT64_FORMAT ").", job)));
}

Datum
residual_train(PG_FUNCTION_ARGS)
{
	int64		job;

	PreventCommandDuringRecovery("residual_train()");
	PreventCommandIfReadOnly("residual_train()");
	check_not_null(fcinfo);
	job = res_submit(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_OID(1), NameStr(*PG_GETARG_NAME(2)),
					 NameStr(*PG_GETARG_NAME(3)), PG_GETARG_JSONB_P(4));
	warn_if_full(job);
	res_launch_at_commit(job, GetUserId());
	PG_RETURN_INT64(job);
}
