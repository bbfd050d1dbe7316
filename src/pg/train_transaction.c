/*
 * train_transaction.c
 *		The transactions of a training worker, which never wait for a lock.
 *
 * A worker that waits for somebody's lock would be deaf: to a cancel, to the
 * server's shutdown, and to what DROP DATABASE elsewhere waits for.  Its
 * interrupts are held while the engine talks, so the wait could not even be
 * broken off.  Whatever a report may have to lock is therefore asked for at
 * the beginning, without waiting; where somebody has it, the transaction is
 * given up and tried again, and in between the worker listens.
 *
 * src/pg/train_transaction.c
 */
#include "training.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/procsignal.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define NAP				20		/* ms between two tries */
#define SAY_AFTER		1000	/* ms that somebody is in the way before the log says so */

/* All that a worker writes to, in the order in which CREATE EXTENSION makes them. */
static const char *const written[] = {
	"model", "model_version", "weight", "job", "progress", "training_log", "gradient_stats", "checkpoint"
};

static void
begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
res_training_commit(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
}

/* ---- listening ---- */

void
res_training_serve_interrupts(void)
{
	if (ProcSignalBarrierPending)
		ProcessProcSignalBarrier();
	if (LogMemoryContextPending)
		ProcessLogMemoryContextInterrupt();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/* For so long a stop waits for a report in progress; then nothing is waited for. */
static void
give_up_when_stopped(TimestampTz *stopped)
{
	if (!QueryCancelPending && !ProcDiePending)
		return;
	if (*stopped == 0)
		*stopped = GetCurrentTimestamp();
	if (!TimestampDifferenceExceeds(*stopped, GetCurrentTimestamp(), res_stop_grace))
		return;
	InterruptHoldoffCount = 0;
	CHECK_FOR_INTERRUPTS();
}

static void
nap(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, NAP, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();		/* does nothing while they are held */
	res_training_serve_interrupts();
}

/* ---- locks ---- */

/* False: somebody has one of them.  True as well when the extension has gone: the next look says so. */
static bool
lock_tables(void)
{
	Oid			extension = get_extension_oid("residual", true);
	Oid			schema;
	int			i;

	if (!OidIsValid(extension))
		return true;
	if (!ConditionalLockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock))
		return false;
	schema = get_namespace_oid("residual", true);
	for (i = 0; i < lengthof(written) && OidIsValid(schema); i++)
	{
		Oid			table = get_relname_relid(written[i], schema);

		if (OidIsValid(table) && !ConditionalLockRelationOid(table, RowExclusiveLock))
			return false;
	}
	return true;
}

/* The row that a statement finds, if any; false: somebody has it locked. */
static bool
lock_row(const char *find, const char *lock, Oid type, Datum key)
{
	ResCatalog	catalog;
	bool		locked;

	res_catalog_begin(&catalog, false);
	locked = res_execute(&catalog, lock, 1, &type, &key, NULL) > 0 ||
		res_execute(&catalog, find, 1, &type, &key, NULL) == 0;
	res_catalog_end(&catalog);
	return locked;
}

static bool
lock_rows(const ResTraining *training, bool model)
{
	if (res_job_table() != training->table)
		return true;
	if (!lock_row("SELECT FROM residual.job WHERE id = $1",
				  "SELECT FROM residual.job WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED",
				  INT8OID, Int64GetDatum(training->job.id)))
		return false;
	return !model ||
		lock_row("SELECT FROM residual.model WHERE name = $1",
				 "SELECT FROM residual.model WHERE name = $1 FOR NO KEY UPDATE SKIP LOCKED",
				 TEXTOID, CStringGetTextDatum(training->job.model));
}

/* Everything, or false. */
static bool
lock_all(const ResTraining *training, bool model)
{
	return lock_tables() && (!res_extension_installed() || lock_rows(training, model));
}

static void
say_what_is_waited_for(const ResTraining *training)
{
	ereport(LOG,
			(errmsg("training job " INT64_FORMAT " waits to write: another session has locked its rows or tables",
					training->job.id),
			 errhint("Look into pg_locks for who holds locks on tables of the schema \"residual\".")));
}

/* Until all locks are had. */
static void
begin_unblocked(const ResTraining *training, bool model)
{
	TimestampTz since = GetCurrentTimestamp();
	TimestampTz stopped = 0;
	bool		said = false;

	for (;;)
	{
		begin();
		if (lock_all(training, model))
			break;
		PopActiveSnapshot();
		AbortCurrentTransaction();
		if (!said && TimestampDifferenceExceeds(since, GetCurrentTimestamp(), SAY_AFTER))
		{
			say_what_is_waited_for(training);
			said = true;
		}
		give_up_when_stopped(&stopped);
		nap();
	}
}

/* ---- what a transaction needs to be there ---- */

static void
check_still_there(const ResTraining *training)
{
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(training->job.owner)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the role that owns job " INT64_FORMAT " has been dropped", training->job.id)));
	/* a job of the same number in another table is not ours */
	if (res_job_table() != training->table)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the extension of job " INT64_FORMAT " has been dropped", training->job.id)));
}

void
res_training_begin(const ResTraining *training)
{
	begin();
	res_extension_lock();
	check_still_there(training);
}

void
res_training_begin_report(const ResTraining *training)
{
	begin_unblocked(training, false);
	check_still_there(training);
}

void
res_training_begin_model(const ResTraining *training)
{
	begin_unblocked(training, true);
	check_still_there(training);
}

bool
res_training_begin_end(const ResTraining *training)
{
	begin_unblocked(training, false);
	return res_extension_installed() && res_job_table() == training->table;
}
