/*
 * launcher.c
 *		The worker that starts jobs without being asked; only where the library
 *		is preloaded by the server.
 *
 * It has no database.  At the start of the server it has each database looked
 * through, one after another, by a worker that lives just for that: jobs that
 * are queued are started, jobs that a crash or a shutdown has interrupted go
 * on.  Later it sleeps until a database is noted as having jobs that wait, or
 * a place becomes free.
 *
 * src/pg/launcher.c
 */
#include "residual.h"

#include <signal.h>

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "job.h"
#include "launch.h"
#include "queue.h"

PGDLLEXPORT void res_launcher_main(Datum argument);
PGDLLEXPORT void res_scan_main(Datum argument);

#define MAX_WAITING		64
#define LONGEST_SLEEP	60000	/* ms */
#define RETRY_SLEEP		1000	/* ms, while no worker is free */
#define MAX_HANDED_OVER	64

/* In shared memory. */
typedef struct Launcher
{
	slock_t		mutex;
	Latch	   *latch;			/* of the launcher; NULL while none runs */
	int			n_waiting;
	Oid			waiting[MAX_WAITING];	/* databases with jobs that wait */
	int			n_handed_over;
	ResLaunch	handed_over[MAX_HANDED_OVER];	/* workers that found no slot; only the launcher removes them */
} Launcher;

/* What a worker that looks through a database is told. */
typedef struct ScanOrder
{
	Oid			database;
	bool		interrupted;	/* take up interrupted jobs, too */
} ScanOrder;

static Launcher *launcher;		/* NULL when not preloaded */
static shmem_request_hook_type next_request_hook;
static shmem_startup_hook_type next_startup_hook;

/* ---- shared memory ---- */

static void
request_memory(void)
{
	if (next_request_hook != NULL)
		next_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(Launcher)));
}

static void
set_up_memory(void)
{
	bool		found;

	if (next_startup_hook != NULL)
		next_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	launcher = ShmemInitStruct("residual launcher", sizeof(Launcher), &found);
	if (!found)
	{
		memset(launcher, 0, sizeof(*launcher));
		SpinLockInit(&launcher->mutex);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
res_launcher_register(void)
{
	BackgroundWorker worker;

	next_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	next_startup_hook = shmem_startup_hook;
	shmem_startup_hook = set_up_memory;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 10;
	strlcpy(worker.bgw_library_name, RES_LIBRARY, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "res_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "residual launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "residual launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

bool
res_launcher_runs(void)
{
	return launcher != NULL && launcher->latch != NULL;
}

void
res_launcher_wake(void)
{
	Latch	   *latch = NULL;

	if (launcher == NULL)
		return;
	SpinLockAcquire(&launcher->mutex);
	latch = launcher->latch;
	SpinLockRelease(&launcher->mutex);
	if (latch != NULL)
		SetLatch(latch);
}

static void
note_waiting(Oid database)
{
	int			i;

	SpinLockAcquire(&launcher->mutex);
	for (i = 0; i < launcher->n_waiting && launcher->waiting[i] != database; i++)
		;
	if (i == launcher->n_waiting && i < MAX_WAITING)
		launcher->waiting[launcher->n_waiting++] = database;
	SpinLockRelease(&launcher->mutex);
}

bool
res_launcher_notify(Oid database)
{
	if (!res_launcher_runs())
		return false;
	note_waiting(database);
	res_launcher_wake();
	return true;
}

bool
res_launcher_hand_over(const ResLaunch *launch)
{
	int			i;

	if (!res_launcher_runs())
		return false;
	SpinLockAcquire(&launcher->mutex);
	for (i = 0; i < launcher->n_handed_over; i++)
	{
		if (launcher->handed_over[i].job == launch->job && launcher->handed_over[i].database == launch->database)
			break;
	}
	if (i == launcher->n_handed_over && i < MAX_HANDED_OVER)
		launcher->handed_over[launcher->n_handed_over++] = *launch;
	SpinLockRelease(&launcher->mutex);
	res_launcher_wake();
	return i < MAX_HANDED_OVER;
}

static bool
first_handed_over(ResLaunch *launch)
{
	bool		found;

	SpinLockAcquire(&launcher->mutex);
	found = launcher->n_handed_over > 0;
	if (found)
		*launch = launcher->handed_over[0];
	SpinLockRelease(&launcher->mutex);
	return found;
}

static void
remove_first_handed_over(void)
{
	SpinLockAcquire(&launcher->mutex);
	launcher->n_handed_over--;
	memmove(launcher->handed_over, launcher->handed_over + 1, launcher->n_handed_over * sizeof(ResLaunch));
	SpinLockRelease(&launcher->mutex);
}

static Oid
next_waiting(void)
{
	Oid			database = InvalidOid;

	SpinLockAcquire(&launcher->mutex);
	if (launcher->n_waiting > 0)
	{
		database = launcher->waiting[0];
		launcher->n_waiting--;
		memmove(launcher->waiting, launcher->waiting + 1, launcher->n_waiting * sizeof(Oid));
	}
	SpinLockRelease(&launcher->mutex);
	return database;
}

/* ---- the launcher ---- */

static void
forget_latch(int code, Datum arg)
{
	SpinLockAcquire(&launcher->mutex);
	launcher->latch = NULL;
	SpinLockRelease(&launcher->mutex);
}

/* Have a database looked through, and wait for that; false when no worker is free. */
static bool
look_through(Oid database, bool interrupted)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	ScanOrder		scan = {database, interrupted};

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, RES_LIBRARY, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "res_scan_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "residual look for jobs", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "residual look for jobs", BGW_MAXLEN);
	worker.bgw_notify_pid = MyProcPid;
	memcpy(worker.bgw_extra, &scan, sizeof(scan));
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		return false;
	(void) WaitForBackgroundWorkerShutdown(handle);
	pfree(handle);
	return true;
}

/* Databases that one can connect to; templates have no jobs, and who copies them wants no visitors. */
static List *
list_databases(void)
{
	List	   *databases = NIL;
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);

		if (database->datallowconn && !database->datistemplate)
			databases = lappend_oid(databases, database->oid);
		MemoryContextSwitchTo(before);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	return databases;
}

static void
look_through_all(void)
{
	List	   *databases = list_databases();
	ListCell   *cell;

	foreach(cell, databases)
	{
		CHECK_FOR_INTERRUPTS();
		if (!look_through(lfirst_oid(cell), true))
			ereport(LOG,
					(errmsg("no background worker is free to look for training jobs in database %u", lfirst_oid(cell)),
					 errhint("You may need to increase max_worker_processes.")));
	}
	list_free(databases);
}

/*
 * By the launcher itself: where one slot is left, a worker that looks through
 * the database takes the very slot that the training needs.
 */
static bool
start_handed_over(void)
{
	ResLaunch	launch;

	while (first_handed_over(&launch))
	{
		if (!res_launch_now(&launch))
			return false;
		remove_first_handed_over();
	}
	return true;
}

/* False when something is left that only time can help. */
static bool
serve_waiting(void)
{
	List	   *tried = NIL;
	Oid			database;
	bool		all = true;

	while (all && res_job_free_places() > 0 && OidIsValid(database = next_waiting()))
	{
		/* what could not be started at once is noted again: no second turn before others had one */
		if (list_member_oid(tried, database) || !look_through(database, false))
		{
			note_waiting(database);
			all = false;
		}
		tried = lappend_oid(tried, database);
	}
	list_free(tried);
	return all;
}

void
res_launcher_main(Datum argument)
{
	long		sleep = RETRY_SLEEP;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, SIG_IGN);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	before_shmem_exit(forget_latch, 0);
	SpinLockAcquire(&launcher->mutex);
	launcher->latch = MyLatch;
	SpinLockRelease(&launcher->mutex);

	look_through_all();
	for (;;)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, sleep, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		sleep = start_handed_over() && serve_waiting() ? LONGEST_SLEEP : RETRY_SLEEP;
	}
}

/* ---- one look through one database ---- */

void
res_scan_main(Datum argument)
{
	ScanOrder		scan;

	memcpy(&scan, MyBgworkerEntry->bgw_extra, sizeof(scan));
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(scan.database, InvalidOid, 0);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_SESSION);
	SetConfigOption("lock_timeout", "10s", PGC_SUSET, PGC_S_SESSION);	/* the launcher waits for us */
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_SESSION);
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (res_extension_installed())
		res_queue_start(scan.interrupted);
	PopActiveSnapshot();
	CommitTransactionCommand();
	proc_exit(0);
}
