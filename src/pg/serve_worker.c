/*
 * serve_worker.c
 *		The supervisor: one background worker a cluster that keeps the serving
 *		engine alive.
 *
 * It is connected to no database, holds no snapshot, and sleeps on its latch,
 * the engine's end, the engine's words and the answers to its pings.  An
 * engine that ends is started again, at once the first time, then after
 * growing pauses; one that is silent (stopped, deadlocked) is killed first;
 * one that ended because nobody asked for long is started again by the next
 * connection.
 *
 * src/pg/serve_worker.c
 */
#include "serve_worker.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "channel.h"
#include "engine_process.h"

#define BACKLOG			1024	/* connections that wait while an engine restarts */
#define PING_EVERY_MS	5000
#define SILENCE_MS		10000	/* a ping without an answer for so long: it is stuck */
#define STOP_GRACE_MS	1000
#define HEALTHY_MS		10000	/* an engine that lived so long starts anew without a pause */
#define FIRST_PAUSE_MS	200
#define LONGEST_PAUSE_MS 10000

/* How an engine's life ended. */
typedef enum EngineEnd
{
	ENGINE_STOPPED,				/* we are to end, or to start it with other settings */
	ENGINE_IDLE,				/* it left by itself, with code 0 */
	ENGINE_FAILED				/* it crashed, was killed, was stuck, or could not start */
} EngineEnd;

static ResEngine engine;
static int	listener = -1;
static int	failures;			/* in a row */
static bool preloaded;			/* noted in the postmaster, inherited by all */

int
res_lock_file(const char *path, bool shared)
{
	int			fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);

	if (fd >= 0 && flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0)
	{
		close(fd);
		fd = -1;
	}
	return fd;
}

/* ---------- registration ---------- */

static void
describe_worker(BackgroundWorker *worker, int restart_time)
{
	memset(worker, 0, sizeof(*worker));
	/* shared catalogs only, but so it is seen in pg_stat_activity and can be terminated */
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_ConsistentState; /* hot standbys translate as well */
	worker->bgw_restart_time = restart_time;
	strlcpy(worker->bgw_library_name, RES_LIBRARY, sizeof(worker->bgw_library_name));
	strlcpy(worker->bgw_function_name, "res_serve_main", sizeof(worker->bgw_function_name));
	strlcpy(worker->bgw_name, "residual serving", sizeof(worker->bgw_name));
	strlcpy(worker->bgw_type, "residual serving", sizeof(worker->bgw_type));
}

void
res_serve_register(void)
{
	BackgroundWorker worker;

	describe_worker(&worker, 1);
	RegisterBackgroundWorker(&worker);
	preloaded = true;
}

bool
res_serve_is_preloaded(void)
{
	return preloaded;
}

bool
res_serve_start_worker(BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;

	/* never restarted by the server: sessions register it anew, and failing ones must not pile up */
	describe_worker(&worker, BGW_NEVER_RESTART);
	worker.bgw_notify_pid = MyProcPid;
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

/* ---------- the socket ---------- */

static void
make_listener(void)
{
	struct sockaddr_un address;
	mode_t		mask = umask(S_IXUSR | S_IRWXG | S_IRWXO);

	memset(&address, 0, sizeof(address));
	address.sun_family = AF_UNIX;
	strlcpy(address.sun_path, RES_SERVE_SOCKET, sizeof(address.sun_path));
	(void) unlink(RES_SERVE_SOCKET);	/* ours to remove: we hold the lock */
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *) &address, sizeof(address)) < 0 ||
		listen(listener, BACKLOG) < 0)
		ereport(ERROR,
				(errcode_for_socket_access(),
				 errmsg("could not listen on \"%s\": %m", RES_SERVE_SOCKET)));
	(void) umask(mask);
}

static void
remove_socket(int code, Datum arg)
{
	(void) unlink(RES_SERVE_SOCKET);
}

/* ---------- waiting ---------- */

static void
attend(void)
{
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

static void
pause_for(int ms)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);

	while (!ShutdownRequestPending)
	{
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);

		if (left <= 0)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		attend();
	}
}

/* Until a session connects; the engine will find it in the backlog. */
static void
wait_for_connection(void)
{
	pgstat_report_activity(STATE_IDLE, "waiting for a request");
	while (!ShutdownRequestPending)
	{
		int			events = WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_EXIT_ON_PM_DEATH,
											   listener, -1, PG_WAIT_EXTENSION);

		ResetLatch(MyLatch);
		attend();
		if (events & WL_SOCKET_READABLE)
			break;
	}
}

/* Without the program there is nothing to do but to look again; sessions tell their users meanwhile. */
static void
wait_for_program(void)
{
	bool		told = false;

	while (!ShutdownRequestPending && access(res_engine_path, X_OK) < 0)
	{
		if (!told)
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("could not run engine \"%s\": %m", res_engine_path),
					 errhint("Install residual_engine beside the library, or set residual.engine.")));
		told = true;
		pgstat_report_activity(STATE_IDLE, "waiting for the engine's program");
		pause_for(1000);
	}
}

/* ---------- one engine's life ---------- */

/* What an engine is started with. */
static char *
engine_arguments(void)
{
	return psprintf("serve --threads=%d --memory=%d --idle=%d --device=%s",
					res_serving_threads(), res_serve_memory, res_serve_idle, res_device);
}

/* A change of this asks for another engine. */
static char *
engine_settings(void)
{
	char	   *arguments = engine_arguments();
	char	   *settings = psprintf("%s %s %s %s %d", res_engine_path, arguments, res_cuda_library,
									res_cuda_visible_devices, res_gpu_memory_limit);

	pfree(arguments);			/* asked for at each ping of an engine that may live for years */
	return settings;
}

static bool
settings_changed(const char *before)
{
	char	   *now = engine_settings();
	bool		changed = strcmp(before, now) != 0;

	pfree(now);
	return changed;
}

typedef struct Watch
{
	ResChannel	channel;		/* to the engine's control socket */
	WaitEventSet *set;
	TimestampTz next_ping;
	TimestampTz asked;			/* of the ping that has no answer yet, or 0 */
	bool		ended;
} Watch;

static void
watch_begin(Watch *watch)
{
	memset(watch, 0, sizeof(*watch));
	res_channel_init(&watch->channel, engine.control);
	watch->set = CreateWaitEventSet(TopMemoryContext, 5);
	AddWaitEventToSet(watch->set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(watch->set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(watch->set, WL_SOCKET_READABLE, engine.control, NULL, NULL);
	AddWaitEventToSet(watch->set, WL_SOCKET_READABLE, engine.error_pipe, NULL, NULL);
	if (engine.pidfd >= 0)
		AddWaitEventToSet(watch->set, WL_SOCKET_READABLE, engine.pidfd, NULL, NULL);
	/* its greeting is the first answer we wait for */
	watch->asked = GetCurrentTimestamp();
	watch->next_ping = TimestampTzPlusMilliseconds(watch->asked, PING_EVERY_MS);
}

static void
watch_end(Watch *watch)
{
	FreeWaitEventSet(watch->set);
	res_channel_free(&watch->channel);
}

/* Read what it answers; a hang-up is its end. */
static void
hear(Watch *watch)
{
	RnFrame		frame;

	(void) res_channel_pump(&watch->channel);
	while (res_channel_next(&watch->channel, &frame))
	{
		if (frame.type == RN_HELLO || frame.type == RN_PONG)
			watch->asked = 0;
	}
	if (watch->channel.closed)
		watch->ended = true;
}

/* Ask whether it is still there; kill it when it has not answered for too long. */
static void
ping(Watch *watch)
{
	TimestampTz now = GetCurrentTimestamp();

	if (watch->asked != 0)
	{
		if (now < TimestampTzPlusMilliseconds(watch->asked, SILENCE_MS))
			return;
		ereport(LOG,
				(errmsg("engine %d has been silent for %d seconds, killing it",
						(int) engine.pid, SILENCE_MS / 1000)));
		kill(engine.pid, SIGKILL);
		watch->ended = true;
	}
	else if (now >= watch->next_ping)
	{
		res_channel_put(&watch->channel, RN_PING);
		(void) res_channel_pump(&watch->channel);
		watch->asked = now;
		watch->next_ping = TimestampTzPlusMilliseconds(now, PING_EVERY_MS);
	}
}

static long
until_next_look(const Watch *watch)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = watch->asked != 0 ?
		TimestampTzPlusMilliseconds(watch->asked, SILENCE_MS) : watch->next_ping;

	return Max(TimestampDifferenceMilliseconds(now, next), 1);
}

/* Stay beside a running engine until it ends, we are told to, or settings have changed. */
static void
watch_engine(const char *settings)
{
	Watch		watch;

	watch_begin(&watch);
	while (!watch.ended && !ShutdownRequestPending)
	{
		WaitEvent	events[5];
		int			n = WaitEventSetWait(watch.set, until_next_look(&watch), events, lengthof(events),
										 PG_WAIT_EXTENSION);
		int			i;

		ResetLatch(MyLatch);
		attend();
		for (i = 0; i < n; i++)
		{
			if (events[i].fd == engine.pidfd && (events[i].events & WL_SOCKET_READABLE))
				watch.ended = true;
		}
		res_engine_drain(&engine);
		/* before the ping: an answer that has come counts, however late we read it */
		hear(&watch);
		if (!watch.ended)
			ping(&watch);
		if (settings_changed(settings))
			break;
	}
	watch_end(&watch);
}

static EngineEnd
run_engine(void)
{
	TimestampTz started = GetCurrentTimestamp();
	char	   *settings = engine_settings();
	pid_t		pid;
	int			status;
	bool		asked;

	res_engine_start(&engine, engine_arguments(), listener, -1, 0);
	pid = engine.pid;
	pgstat_report_activity(STATE_IDLE, psprintf("serving with engine %d", (int) pid));
	ereport(LOG, (errmsg("serving engine started with pid %d", (int) pid)));
	watch_engine(settings);
	asked = ShutdownRequestPending || settings_changed(settings);
	status = res_engine_stop(&engine, STOP_GRACE_MS);
	ereport(LOG, (errmsg("serving engine %d %s", (int) pid, res_engine_status(status))));
	if (asked)
		return ENGINE_STOPPED;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return ENGINE_IDLE;
	if (GetCurrentTimestamp() >= TimestampTzPlusMilliseconds(started, HEALTHY_MS))
		failures = 0;
	return ENGINE_FAILED;
}

void
res_serve_main(Datum arg)
{
	MemoryContext life;

	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, SIG_IGN);	/* pg_cancel_backend has nothing to cancel here */
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	if (res_lock_file(RES_SERVE_LOCK, false) < 0)
	{
		ereport(DEBUG1, (errmsg_internal("another supervisor is running")));
		proc_exit(0);			/* 0: do not start this one again */
	}
	before_shmem_exit(remove_socket, 0);
	make_listener();

	life = AllocSetContextCreate(TopMemoryContext, "engine's life", ALLOCSET_SMALL_SIZES);
	while (!ShutdownRequestPending)
	{
		EngineEnd	end;

		MemoryContextReset(life);
		MemoryContextSwitchTo(life);
		wait_for_program();
		if (ShutdownRequestPending)
			break;
		end = run_engine();
		if (end == ENGINE_IDLE)
		{
			failures = 0;
			wait_for_connection();
		}
		else if (end == ENGINE_FAILED && failures++ > 0)
			pause_for(Min(FIRST_PAUSE_MS << Min(failures - 2, 10), LONGEST_PAUSE_MS));
	}
	proc_exit(1);				/* 1: a preloaded one starts again after pg_terminate_backend */
}
