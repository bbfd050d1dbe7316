/*
 * train_worker.c
 *		The background worker of one training job.
 *
 * It connects as the role that called residual_train, takes the job's lock and
 * a place, commits "running", starts an engine, feeds it the table's rows in
 * one short transaction, and then sleeps outside any transaction until the
 * engine reports something, which it writes in a short transaction each.
 *
 * Four ways to end.  Done: the model and the end of the job are one
 * transaction.  Failed: the error stands in the job's row.  Cancelled
 * (residual_cancel, pg_cancel_backend): the engine is asked for a last
 * checkpoint and killed when it is silent for longer than
 * residual.stop_grace.  Terminated (pg_terminate_backend, shutdown of the
 * server, DROP DATABASE ... FORCE): the same, but the job stays "running"
 * without a worker, which is called interrupted, and the launcher takes it up
 * when the server starts again.
 *
 * src/pg/train_worker.c
 */
#include "training.h"

#include <signal.h>
#include <sys/wait.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procsignal.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "encoding.h"
#include "launch.h"
#include "queue.h"

PGDLLEXPORT void res_train_main(Datum argument);

#define GPU_LOOK_MS		500		/* how often a job that waits for a GPU looks for one */
#define LAST_WORDS		500		/* ms that an engine that has said all has to exit */
#define PLACE_TRIES		5		/* somebody may be looking whether a place is free */

/* ---- taking the job up ---- */

/* What a role's or a database's settings could spoil; user code that runs while rows are read could, too. */
static void
reset_settings(void)
{
	static const char *const settings[][2] = {
		{"role", "none"},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"idle_session_timeout", "0"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		{"row_security", "on"}
	};
	int			i;

	for (i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_SESSION);
}

/* Only when the locks are gone, whatever way the process ends, is the place free. */
static void
announce_place(int code, Datum arg)
{
	res_launcher_wake();
}

static bool
take_place(void)
{
	int			i;

	for (i = 0; i < PLACE_TRIES; i++)
	{
		if (res_job_take_place())
			return true;
		pg_usleep(10000L);
	}
	return false;
}

static void
mark_running(int64 id)
{
	static const Oid types[] = {INT8OID, INT4OID};
	ResCatalog	catalog;
	Datum		values[2];

	values[0] = Int64GetDatum(id);
	values[1] = Int32GetDatum(MyProcPid);
	res_catalog_begin(&catalog, false);
	res_execute(&catalog,
				"UPDATE residual.job SET state = 'running', phase = 'reading', attempts = attempts + 1,"
				" started = COALESCE(started, now()), finished = NULL, pid = $2, engine_pid = NULL WHERE id = $1",
				2, types, values, NULL);
	res_catalog_end(&catalog);
}

/* False when there is nothing to do for this worker: somebody else has the job, or it waits for a place. */
static bool
take_up(const ResLaunch *launch, ResTraining *training)
{
	MemoryContext before;
	bool		mine;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	mine = res_extension_installed() && res_job_claim(launch->job);
	if (mine && !take_place())
	{
		mine = false;
		ereport(LOG,
				(errmsg("training job " INT64_FORMAT " stays queued: %d jobs run already", launch->job, res_max_jobs),
				 errdetail("The limit is residual.max_jobs.")));
		(void) res_launcher_notify(launch->database);
	}
	before = MemoryContextSwitchTo(TopMemoryContext);
	if (mine)
		mine = res_job_find_for_update(launch->job, &training->job) &&
			training->job.state == RES_JOB_QUEUED && training->job.owner == launch->owner;
	MemoryContextSwitchTo(before);
	if (mine)
	{
		training->table = res_job_table();
		mark_running(launch->job);
		rn_config_defaults(&training->config);
		res_options_parse(training->job.options, &training->config);
	}
	res_training_commit();
	return mine;
}

/* Code of the table's owner has run in this session: what it may have undone is done again. */
static void
recover_session(const ResTraining *training)
{
	reset_settings();
	res_training_begin(training);
	if (!res_job_claim(training->job.id))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("another worker has taken up job " INT64_FORMAT, training->job.id)));
	if (!take_place())
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("job " INT64_FORMAT " has lost its place to another one", training->job.id),
				 errdetail("Code that ran while rows were read has given up the locks of the worker."),
				 errhint("Train on a table or view that does not call pg_advisory_unlock_all().")));
	if (training->has_gpu && !res_job_take_gpu())
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("job " INT64_FORMAT " has lost its GPU to another one", training->job.id),
				 errdetail("Code that ran while rows were read has given up the locks of the worker.")));
	res_training_commit();
}

/* ---- a place on a GPU ---- */

static bool
take_gpu(const ResTraining *training, bool tell)
{
	static const Oid types[] = {INT8OID};
	Datum		id = Int64GetDatum(training->job.id);
	ResCatalog	catalog;
	bool		taken;

	res_training_begin_report(training);
	taken = res_job_take_gpu();
	if (!taken && tell)
	{
		res_catalog_begin(&catalog, false);
		res_execute(&catalog, "UPDATE residual.job SET phase = 'waiting for a GPU' WHERE id = $1", 1, types, &id, NULL);
		res_catalog_end(&catalog);
	}
	res_training_commit();
	return taken;
}

/* Who insists on a GPU waits for a place; who left the choice to us does not. */
static void
await_gpu(ResTraining *training)
{
	char	   *device = training->config.device;
	bool		insists = strncmp(device, "cuda", 4) == 0;
	bool		told = false;

	if (!insists && strcmp(device, "auto") != 0)
		return;
	if (insists && res_max_gpu_jobs == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no training job may use a GPU"),
				 errhint("Raise residual.max_gpu_jobs, or train on device \"cpu\".")));
	while (!take_gpu(training, insists && !told))
	{
		if (!insists)
		{
			ereport(LOG, (errmsg("training job " INT64_FORMAT " takes the CPU: all places on GPUs are taken", training->job.id)));
			strlcpy(device, "cpu", sizeof(training->config.device));
			return;
		}
		told = true;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, GPU_LOOK_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		res_training_serve_interrupts();
	}
	training->has_gpu = true;
}

/* ---- the engine's end ---- */

/* A kill that the kernel's memory shortage explains is told as such. */
void
res_training_engine_lost(ResTraining *training)
{
	int			status;
	bool		killed,
				no_memory;
	char	   *lines;

	if (training->engine.pid == 0)
		ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE), errmsg("engine is not running")));
	status = res_engine_stop(&training->engine, LAST_WORDS);
	CHECK_FOR_INTERRUPTS();		/* a shutdown tells engine and worker at once */
	killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	no_memory = killed && res_training_oom_kills() > training->oom_kills;
	lines = res_string_from_utf8(training->engine.last_lines);
	ereport(ERROR,
			(errcode(no_memory ? ERRCODE_OUT_OF_MEMORY : ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("engine %s", res_engine_status(status)),
			 no_memory ? errdetail("The kernel has killed it because memory ran out.") :
			 lines[0] != '\0' ? errdetail("%s", lines) : 0,
			 no_memory ? errhint("Set residual.training_memory, or train with a smaller model or batch_tokens.") :
			 errhint("residual_resume(" INT64_FORMAT ") goes on from the last checkpoint.", training->job.id)));
}

/* ---- the conversation ---- */

/* An engine that is told to stop may take its time as long as it says something. */
static bool
stop_is_overdue(ResTraining *training, TimestampTz *heard, bool something_came)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!training->stopping && (QueryCancelPending || ProcDiePending))
	{
		res_channel_put(&training->channel, RN_STOP);
		training->stopping = true;
		*heard = now;
	}
	if (something_came)
		*heard = now;
	return training->stopping && TimestampDifferenceExceeds(*heard, now, res_stop_grace);
}

/*
 * Until the engine has said all.  Interrupts are held: one that came between
 * the frames of a last checkpoint would lose it.
 */
static void
converse(ResTraining *training)
{
	MemoryContext frames = AllocSetContextCreate(TopMemoryContext, "frames of the engine", ALLOCSET_DEFAULT_SIZES);
	TimestampTz heard = 0;
	RnFrame		frame;

	HOLD_INTERRUPTS();
	while (!training->done)
	{
		bool		came = false;

		while (!training->done && res_channel_next(&training->channel, &frame))
		{
			MemoryContextSwitchTo(frames);
			res_training_store(training, &frame);
			came = true;
		}
		MemoryContextSwitchTo(TopMemoryContext);
		MemoryContextReset(frames);
		if (training->done || training->channel.closed)
			break;
		res_training_serve_interrupts();
		if (stop_is_overdue(training, &heard, came))
			break;
		res_channel_wait(&training->channel, training->stopping ? 50 : 1000);
		res_engine_drain(&training->engine);
	}
	RESUME_INTERRUPTS();
}

/* ---- the ends ---- */

/* In a transaction of its own; false when the job is not there any more. */
static bool
end_job(const ResTraining *training, ResJobState state, const ErrorData *error)
{
	static const Oid types[] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	ResCatalog	catalog;
	Datum		values[6];
	char		nulls[6];
	bool		found = false;
	bool		is_there;
	int			i;

	is_there = res_training_begin_end(training);
	memset(nulls, 'n', sizeof(nulls));
	nulls[0] = nulls[1] = ' ';
	values[0] = Int64GetDatum(training->job.id);
	values[1] = CStringGetTextDatum(state == RES_JOB_CANCELLED ? "cancelled" : "failed");
	if (error != NULL && state != RES_JOB_CANCELLED)
	{
		const char *const texts[] = {unpack_sql_state(error->sqlerrcode), error->message, error->detail, error->hint};

		for (i = 0; i < lengthof(texts); i++)
		{
			if (texts[i] == NULL)
				continue;
			values[2 + i] = CStringGetTextDatum(texts[i]);
			nulls[2 + i] = ' ';
		}
	}
	if (is_there)
	{
		res_catalog_begin(&catalog, false);
		found = res_execute(&catalog,
							"UPDATE residual.job SET state = $2, phase = NULL, finished = now(), sqlstate = $3,"
							" error = $4, error_detail = $5, error_hint = $6,"
							" reason = CASE WHEN $2 = 'cancelled' THEN 'stop' END WHERE id = $1",
							6, types, values, nulls) > 0;
		res_catalog_end(&catalog);
	}
	res_training_commit();
	return found;
}

static void
log_failure(const ResTraining *training, const ErrorData *error)
{
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("training job " INT64_FORMAT " failed: %s", training->job.id, error->message),
			 error->detail != NULL ? errdetail_internal("%s", error->detail) : 0,
			 error->hint != NULL ? errhint("%s", error->hint) : 0,
			 error->context != NULL ? errcontext("%s", error->context) : 0));
}

/*
 * After an error: into the job's row, and the server log.  Where the row has
 * gone, most likely with DROP EXTENSION, the error is only a consequence.
 * A job that is not this worker's is none of its business.
 */
static void
fail(ResTraining *training)
{
	ErrorData  *error;
	bool		cancelled;
	volatile bool found = false;

	if (!OidIsValid(training->table))
		PG_RE_THROW();

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(TopMemoryContext);
	error = CopyErrorData();
	FlushErrorState();
	AbortOutOfAnyTransaction();
	(void) res_engine_stop(&training->engine, -1);
	QueryCancelPending = false;
	cancelled = (error->sqlerrcode == ERRCODE_QUERY_CANCELED);
	PG_TRY();
	{
		found = end_job(training, cancelled ? RES_JOB_CANCELLED : RES_JOB_FAILED, error);
	}
	PG_CATCH();
	{
		EmitErrorReport();		/* the job is "interrupted" then */
		FlushErrorState();
		AbortOutOfAnyTransaction();
		found = true;
	}
	PG_END_TRY();
	if (!found)
		ereport(LOG, (errmsg("training job " INT64_FORMAT " ends: its row has been removed", training->job.id)));
	else if (!cancelled)
		log_failure(training, error);
	RESUME_INTERRUPTS();
}

static void
run(ResTraining *training)
{
	await_gpu(training);
	res_training_feed(training);
	recover_session(training);
	converse(training);
	if (!training->done && training->channel.closed && !training->stopping)
		res_training_engine_lost(training);
	if (training->done && strcmp(training->end_state, "done") == 0)
	{
		(void) res_engine_stop(&training->engine, LAST_WORDS);
		return;
	}

	/* stopped: the transaction of a checkpoint may be open still */
	AbortOutOfAnyTransaction();
	(void) res_engine_stop(&training->engine, training->done ? LAST_WORDS : -1);
	if (ProcDiePending)
		CHECK_FOR_INTERRUPTS(); /* ends the process */
	QueryCancelPending = false;
	end_job(training, RES_JOB_CANCELLED, NULL);
}

/*
 * Where there is no launcher, whoever has done starts the next: this job's,
 * or one that somebody else has taken up first.  It may wait for a lock on the
 * table, but not for long.
 */
static void
start_next(void)
{
	res_job_leave();
	if (res_launcher_runs())
		return;
	SetConfigOption("lock_timeout", "1s", PGC_SUSET, PGC_S_SESSION);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (res_extension_installed())
		res_queue_start(false);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

void
res_train_main(Datum argument)
{
	ResLaunch	launch;
	ResTraining *training;

	memcpy(&launch, MyBgworkerEntry->bgw_extra, sizeof(launch));
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(launch.database, launch.owner, 0);
	reset_settings();
	pgstat_report_appname("residual training");

	on_shmem_exit(announce_place, 0);
	training = MemoryContextAllocZero(TopMemoryContext, sizeof(*training));
	MemoryContextSwitchTo(TopMemoryContext);
	initStringInfo(&training->tokenizer);
	PG_TRY();
	{
		if (take_up(&launch, training))
			run(training);
	}
	PG_CATCH();
	{
		fail(training);
	}
	PG_END_TRY();
	start_next();
	proc_exit(0);
}
