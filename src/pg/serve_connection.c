/*
 * serve_connection.c
 *		A session's connection to the serving engine.
 *
 * While a greeting is awaited, or a conversation of another kind held, the
 * connection is "busy".  Whoever finds it busy without having made it so
 * closes it: an error left the conversation half done.
 *
 * src/pg/serve_connection.c
 */
#include "serve_connection.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "engine_process.h"
#include "serve_worker.h"

#define START_MS		30000	/* for supervisor and engine to be there */
#define RESTART_MS		3000	/* for the server to restart a supervisor of its own */
#define LOOK_MS			100	/* how often to look for the reason of a silence */
#define LONGEST_NAP_MS	50
#define KEEP_BYTES		(1024 * 1024)	/* larger buffers are given back when they are empty */

static ResChannel channel = {.socket = PGINVALID_SOCKET, .closed = true};
static WaitEventSet *wait_set;
static bool busy;				/* in the middle of something */
static void (*on_loss) (bool died);

void
res_serve_on_loss(void (*lost) (bool died))
{
	on_loss = lost;
}

void
res_serve_disconnect(void)
{
	bool		died = channel.closed;

	if (wait_set != NULL)
		FreeWaitEventSet(wait_set);
	wait_set = NULL;
	if (channel.socket != PGINVALID_SOCKET)
	{
		close(channel.socket);
		ReleaseExternalFD();
	}
	res_channel_free(&channel);
	channel.socket = PGINVALID_SOCKET;
	busy = false;
	if (on_loss != NULL)
		on_loss(died);
}

void
res_serve_wait(uint32 events, long timeout_ms)
{
	WaitEvent	event;

	if (channel.socket == PGINVALID_SOCKET)
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout_ms, PG_WAIT_EXTENSION);
	else
	{
		/* kept with the connection: making one costs more than a short answer */
		if (wait_set == NULL)
		{
			wait_set = CreateWaitEventSet(TopMemoryContext, 3);
			AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, channel.socket, NULL, NULL);
			AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
			AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
		}
		ModifyWaitEvent(wait_set, 0, events, NULL);
		(void) WaitEventSetWait(wait_set, timeout_ms, &event, 1, PG_WAIT_EXTENSION);
	}
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* One try, which does not wait. */
static bool
try_connect(void)
{
	struct sockaddr_un address;
	int			fd;
	int			error;

	memset(&address, 0, sizeof(address));
	address.sun_family = AF_UNIX;
	strlcpy(address.sun_path, RES_SERVE_SOCKET, sizeof(address.sun_path));
	if (!AcquireExternalFD())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not connect to the serving engine: %m")));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0)
	{
		res_channel_init(&channel, fd);
		return true;
	}
	error = errno;
	if (fd >= 0)
		close(fd);
	ReleaseExternalFD();
	errno = error;
	return false;
}

typedef struct Starting
{
	TimestampTz not_before;		/* until then the server's own supervisor may come */
	int			lock;			/* descriptor of RES_SERVE_START, or -1 */
	BackgroundWorkerHandle *handle; /* of the supervisor that we registered, or NULL */
} Starting;

/* Where no supervisor is, the session that gets the start lock registers one. */
static void
start_supervisor(Starting *starting)
{
	pid_t		pid;

	res_engine_check_program();
	if (GetCurrentTimestamp() < starting->not_before)
		return;
	if (starting->handle != NULL)
	{
		if (GetBackgroundWorkerPid(starting->handle, &pid) != BGWH_STOPPED)
			return;				/* on its way */
		starting->handle = NULL;
	}
	if (starting->lock < 0)
		starting->lock = res_lock_file(RES_SERVE_START, false);
	if (starting->lock < 0)
		return;					/* somebody else is at it */
	if (!res_serve_start_worker(&starting->handle))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker slot is free for serving translations"),
				 errhint("Raise max_worker_processes, or preload the library with shared_preload_libraries.")));
}

static void
report_silence(void)
{
	res_serve_disconnect();
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("the serving engine has not answered within %d seconds", START_MS / 1000),
			 errhint("The server log says why it does not start.")));
}

static void
connect_or_start(TimestampTz until, Starting *starting)
{
	long		nap = 1;

	while (!try_connect())
	{
		/* EAGAIN: the backlog is full; others: no supervisor, or not yet */
		bool		full = errno == EAGAIN;

		if (GetCurrentTimestamp() > until)
			report_silence();
		if (!full)
			start_supervisor(starting);
		res_serve_wait(0, nap);
		nap = Min(nap * 2, LONGEST_NAP_MS);
	}
}

static void
start_done(Starting *starting)
{
	if (starting->lock >= 0)
		close(starting->lock);
	starting->lock = -1;
}

static void
connect_socket(TimestampTz until)
{
	static Starting starting;	/* not in a register when an error comes */

	starting.not_before = res_serve_is_preloaded() ?
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RESTART_MS) : 0;
	starting.lock = -1;
	starting.handle = NULL;
	PG_TRY();
	{
		connect_or_start(until, &starting);
	}
	PG_CATCH();
	{
		start_done(&starting);
		PG_RE_THROW();
	}
	PG_END_TRY();
	start_done(&starting);
}

bool
res_serve_receive(RnFrame *frame, TimestampTz until)
{
	for (;;)
	{
		if (res_channel_next(&channel, frame))
			return true;
		if (channel.closed || (until != 0 && GetCurrentTimestamp() >= until))
			return false;
		if (!res_channel_pump(&channel))
			res_serve_wait(WL_SOCKET_READABLE | (res_channel_pending(&channel) > 0 ? WL_SOCKET_WRITEABLE : 0),
						   until == 0 ? -1 : TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until) + 1);
		CHECK_FOR_INTERRUPTS();
	}
}

/* One that was left in the middle of something, or whose engine has hung up since the last request. */
static void
drop_dead_connection(void)
{
	if (channel.socket == PGINVALID_SOCKET)
		return;
	(void) res_channel_pump(&channel);
	if (busy || channel.closed)
		res_serve_disconnect();
}

ResChannel *
res_serve_connect(void)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), START_MS);
	RnFrame		frame;
	uint64		pid;

	drop_dead_connection();
	if (channel.socket != PGINVALID_SOCKET)
	{
		if (channel.in.capacity > KEEP_BYTES && channel.in.start == channel.in.end)
			rn_inbox_free(&channel.in);
		return &channel;
	}
	connect_socket(until);
	busy = true;				/* until the greeting is read */
	while (!res_serve_receive(&frame, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOOK_MS)))
	{
		if (channel.closed)
			return NULL;
		/* a preloaded supervisor holds the socket even where it cannot start an engine */
		res_engine_check_program();
		if (GetCurrentTimestamp() > until)
			report_silence();
	}
	res_channel_check_hello(&frame, &pid);
	busy = false;
	return &channel;
}

ResChannel *
res_serve_connect_if_running(long timeout_ms)
{
	RnFrame		frame;
	uint64		pid;

	drop_dead_connection();
	if (channel.socket == PGINVALID_SOCKET)
	{
		if (!try_connect())
			return NULL;
		busy = true;
		if (!res_serve_receive(&frame, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms)))
		{
			res_serve_disconnect();
			return NULL;
		}
		res_channel_check_hello(&frame, &pid);
		busy = false;
	}
	return &channel;
}

void
res_serve_set_busy(bool under_way)
{
	busy = under_way;
}

bool
res_serve_flush(void)
{
	while (res_channel_pending(&channel) > 0)
	{
		if (!res_channel_pump(&channel))
			res_serve_wait(WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE, -1);
		if (channel.closed)
			return false;
		CHECK_FOR_INTERRUPTS();
	}
	if (channel.out.capacity > KEEP_BYTES)
		rn_writer_free(&channel.out);
	return true;
}

void
res_serve_say(uint32 type, uint64 id)
{
	RnContext	ctx;

	if (channel.socket == PGINVALID_SOCKET)
		return;
	rn_context_reset(&ctx);
	rn_write_begin(&channel.out, type, id);
	if (rn_write_end(&ctx, &channel.out) == RN_OK)
		res_channel_send(&channel);
	if (res_channel_pending(&channel) > 0)
		res_serve_disconnect();
}
