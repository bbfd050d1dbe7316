/*
 * launch.c
 *		Workers that start when the transaction commits.
 *
 * Registering a worker is not transactional, so it is put off to the commit.
 * By then nothing may fail any more: a worker that cannot be registered is a
 * WARNING, and the job stays queued.
 *
 * src/pg/launch.c
 */
#include "launch.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "job.h"

typedef struct Pending
{
	ResLaunch	launch;
	SubTransactionId subtransaction;	/* goes with its rollback */
	struct Pending *next;
} Pending;

static Pending *pending;		/* in TopTransactionContext, latest first */
static bool queue_pending;		/* jobs that wait for a place were written */

/* LOGIN of an existing role, in *exists whether it does. */
static bool
may_log_in(Oid role, bool *exists)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool		may;

	*exists = HeapTupleIsValid(tuple);
	if (!*exists)
		return false;
	may = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	return may;
}

bool
res_launch_role_may_connect(Oid role)
{
	bool		exists;

	return may_log_in(role, &exists) && pg_database_aclcheck(MyDatabaseId, role, ACL_CONNECT) == ACLCHECK_OK;
}

/* Better to hear now what the worker would be told then. */
void
res_launch_check_role(Oid role)
{
	bool		exists;
	bool		may = may_log_in(role, &exists);

	if (!exists)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("role with OID %u does not exist", role)));
	if (!may)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("role \"%s\" is not permitted to log in", GetUserNameFromId(role, false)),
				 errdetail("A training job runs in a background worker that connects as this role."),
				 errhint("Call residual_train as a role that may log in, or ALTER ROLE ... LOGIN.")));
	if (pg_database_aclcheck(MyDatabaseId, role, ACL_CONNECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_DATABASE, get_database_name(MyDatabaseId));
}

bool
res_launch_now(const ResLaunch *launch)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, RES_LIBRARY, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "res_train_main", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "residual training job " INT64_FORMAT, launch->job);
	strlcpy(worker.bgw_type, "residual training", BGW_MAXLEN);
	memcpy(worker.bgw_extra, launch, sizeof(*launch));
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}

static void
start_pending(void)
{
	Pending    *item;

	for (item = pending; item != NULL; item = item->next)
	{
		bool		handed_over;

		if (res_launch_now(&item->launch))
			continue;
		handed_over = res_launcher_hand_over(&item->launch);
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker is free: job " INT64_FORMAT " stays queued", item->launch.job),
				 handed_over ?
				 errhint("It starts when a worker is free; max_worker_processes is %d.", max_worker_processes) :
				 errhint("Start it later with residual_resume(" INT64_FORMAT "), or raise max_worker_processes, which is %d.",
						 item->launch.job, max_worker_processes)));
	}
	pending = NULL;
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			if (pending != NULL || queue_pending)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has started a training job")));
			break;
		case XACT_EVENT_COMMIT:
			start_pending();
			if (queue_pending)
				(void) res_launcher_notify(MyDatabaseId);
			queue_pending = false;
			break;
		case XACT_EVENT_ABORT:
			pending = NULL;
			queue_pending = false;
			break;
		default:
			break;
	}
}

static void
at_savepoint_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	Pending   **link = &pending;

	while (*link != NULL)
	{
		if ((*link)->subtransaction == mine && event == SUBXACT_EVENT_ABORT_SUB)
		{
			*link = (*link)->next;
			continue;
		}
		if ((*link)->subtransaction == mine && event == SUBXACT_EVENT_COMMIT_SUB)
			(*link)->subtransaction = parent;
		link = &(*link)->next;
	}
}

static void
watch_transaction(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_savepoint_end, NULL);
	registered = true;
}

/* After a rollback to a savepoint the launcher looks in vain, and that is all. */
void
res_launch_queue_at_commit(void)
{
	watch_transaction();
	queue_pending = true;
}

void
res_launch_at_commit(int64 job, Oid owner)
{
	Pending    *item;

	watch_transaction();
	item = MemoryContextAllocZero(TopTransactionContext, sizeof(*item));
	item->launch.database = MyDatabaseId;
	item->launch.owner = owner;
	item->launch.job = job;
	item->subtransaction = GetCurrentSubTransactionId();
	item->next = pending;
	pending = item;
}

bool
res_launch_is_pending(int64 job)
{
	Pending    *item;

	for (item = pending; item != NULL; item = item->next)
	{
		if (item->launch.job == job)
			return true;
	}
	return false;
}
