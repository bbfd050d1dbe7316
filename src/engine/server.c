/*
 * server.c
 *		The serving engine: sockets and the life of the process.
 *
 * One thread does all I/O and nothing that takes time, so a stop, a hang-up or
 * the end of the supervisor is seen within milliseconds whatever the other
 * threads compute.  Each turn of its loop reads what has come, passes it on,
 * and sends what may go.
 *
 * src/engine/server.c
 */
#include "engine/server.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/compute.h"
#include "engine/service.h"

#define MAX_CONNECTIONS 1000	/* where no other number is given */
#define LOAD_SECONDS	60.0	/* likewise, for a sender to be silent */
#define END_SECONDS		0.5		/* for threads to notice that they should end */
#define ACCEPT_PAUSE	0.1		/* after accept failed, as it does without descriptors */
#define LONGEST_WAIT	1.0		/* a thread of some library may have got our signal */

/* Places in the array of descriptors before the connections'. */
enum
{
	POLL_LISTENER,
	POLL_DONE,
	POLL_CONNECTIONS
};

typedef struct Server
{
	const RnServeOptions *options;
	RnService	service;
	RnCompute  *compute;
	int			listener;
	int			max_connections;	/* the supervisor's not counted */
	double		accept_at;		/* not before; 0: now */
	struct pollfd *polled;		/* [POLL_CONNECTIONS + service.room] */
	int			n_polled;		/* connections among them */
	int			stop;
} Server;

static void
add_connection(Server *server, RnConnection *connection)
{
	RnService  *service = &server->service;

	service->connections[service->n_connections++] = connection;
	service->n_accepted++;
	rn_service_greet(service, connection);
	rn_connection_flush(connection);
}

static RnStatus
start(RnContext *ctx, Server *server, int control_fd, int listener_fd, const RnServeOptions *options)
{
	RnService  *service = &server->service;
	RnConnection *control;

	server->options = options;
	server->listener = listener_fd;
	server->max_connections = options->max_connections > 0 ? options->max_connections : MAX_CONNECTIONS;
	service->room = server->max_connections + 1;
	service->started = service->last_activity = rn_now();
	service->handover.program = options->program;
	if (options->refusal != NULL)
		service->refusal = *options->refusal;
	service->load_timeout = options->load_seconds > 0 ? options->load_seconds : LOAD_SECONDS;
	service->connections = calloc(service->room, sizeof(RnConnection *));
	server->polled = calloc(POLL_CONNECTIONS + service->room, sizeof(struct pollfd));
	if (service->connections == NULL || server->polled == NULL)
		return rn_out_of_memory(ctx, service->room * sizeof(struct pollfd));
	RN_TRY(rn_queue_init(ctx, &service->queue, options->threads > 0 ? options->threads : 1));
	RN_TRY(rn_store_init(ctx, &service->store, options->kernels, service->queue.threads, options->memory));
	RN_TRY(rn_compute_start(ctx, &service->queue, &server->compute));
	if (control_fd >= 0)
	{
		RN_TRY(rn_connection_create(ctx, control_fd, &control));
		control->control = 1;
		add_connection(server, control);
	}
	return RN_OK;
}

static void
finish(Server *server)
{
	RnService  *service = &server->service;
	RnRequest  *done;
	RnRequest  *next;
	RnBuild    *built;

	rn_queue_stop(&service->queue);
	if (server->compute != NULL && !rn_compute_end(server->compute, END_SECONDS))
		return;					/* the process ends, and its memory with it */
	while (service->n_connections > 0)
	{
		RnConnection *connection = service->connections[--service->n_connections];

		rn_service_hang_up(service, connection);
		rn_connection_free(connection);
	}
	rn_queue_collect(&service->queue, &done, &built);
	for (; done != NULL; done = next)
	{
		next = done->next_done;
		rn_request_free(done);
	}
	service->queue.built = built;
	rn_store_free(&service->store);
	rn_queue_free(&service->queue);
	free(service->connections);
	free(server->polled);
}

/* Only our own user may connect: the socket's folder says so too, but this cannot be undone by chmod. */
static int
is_own_user(int fd)
{
	struct ucred peer;
	socklen_t	size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

static void
accept_connections(Server *server)
{
	RnService  *service = &server->service;

	while (service->n_connections < service->room)
	{
		RnConnection *connection;
		RnContext	ctx;
		int			fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		rn_context_reset(&ctx);
		if (fd < 0)
		{
			if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR && errno != ECONNABORTED)
				server->accept_at = rn_now() + ACCEPT_PAUSE;
			return;
		}
		if (!is_own_user(fd))
			close(fd);
		else if (rn_connection_create(&ctx, fd, &connection) == RN_OK)
			add_connection(server, connection);
	}
}

/* After an ERROR has gone out the peer is told that no more follows, and read from until it has seen it. */
static void
close_gently(RnConnection *connection)
{
	if (connection->close_at == 0 || connection->closed || rn_connection_wants_to_send(connection))
		return;
	if (!connection->drained)
	{
		shutdown(connection->fd, SHUT_WR);
		connection->drained = 1;
	}
}

/* Send, and let go of connections that are over. */
static void
flush_connections(Server *server)
{
	RnService  *service = &server->service;
	double		now = rn_now();
	int			i;

	for (i = service->n_connections - 1; i >= 0; i--)
	{
		RnConnection *connection = service->connections[i];

		if (!connection->closed)
			rn_connection_flush(connection);
		close_gently(connection);
		if (connection->close_at != 0 && connection->close_at <= now)
			connection->closed = 1;
		if (!connection->closed)
			continue;
		if (connection->control)
			server->stop = 1;
		rn_service_hang_up(service, connection);
		rn_connection_free(connection);
		service->connections[i] = service->connections[--service->n_connections];
	}
}

static void
fill_poll(Server *server)
{
	RnService  *service = &server->service;
	int			accepts = service->n_connections < service->room && server->accept_at == 0;
	int			i;

	server->polled[POLL_LISTENER] = (struct pollfd) {accepts ? server->listener : -1, POLLIN, 0};
	server->polled[POLL_DONE] = (struct pollfd) {service->queue.done_fd, POLLIN, 0};
	server->n_polled = service->n_connections;
	for (i = 0; i < service->n_connections; i++)
	{
		RnConnection *connection = service->connections[i];
		struct pollfd *polled = &server->polled[POLL_CONNECTIONS + i];

		polled->fd = connection->fd;
		polled->events = 0;
		polled->revents = 0;
		if (rn_service_reads(service, connection))
			polled->events |= POLLIN;
		if (rn_connection_wants_to_send(connection))
			polled->events |= POLLOUT;
	}
}

static double
earlier(double a, double b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

/* Wait for something to happen; signals are let in only here. */
static void
wait_for_events(Server *server)
{
	double		until = earlier(rn_service_next_deadline(&server->service), server->accept_at);
	double		seconds = LONGEST_WAIT;
	struct timespec timeout;
	sigset_t	none;

	if (server->options->idle_seconds > 0)
		until = earlier(until, server->service.last_activity + server->options->idle_seconds);
	if (until != 0)
		seconds = fmin(fmax(until - rn_now(), 0.001), LONGEST_WAIT);
	timeout.tv_sec = (time_t) seconds;
	timeout.tv_nsec = (long) ((seconds - (time_t) seconds) * 1e9);
	sigemptyset(&none);
	if (ppoll(server->polled, POLL_CONNECTIONS + server->n_polled, &timeout, &none) < 0)
	{
		int			i;

		for (i = 0; i < POLL_CONNECTIONS + server->n_polled; i++)
			server->polled[i].revents = 0;
		if (errno != EINTR)
			usleep(1000);
	}
}

static void
read_connections(Server *server)
{
	RnService  *service = &server->service;
	int			i;

	for (i = 0; i < server->n_polled; i++)
	{
		RnConnection *connection = service->connections[i];
		int			revents = server->polled[POLL_CONNECTIONS + i].revents;

		if (revents & (POLLHUP | POLLERR | POLLNVAL))
			connection->closed = 1; /* nobody reads what it asked for */
		else if (revents & POLLIN)
			rn_connection_read(connection);
	}
}

static void
look_at_clock(Server *server)
{
	RnService  *service = &server->service;
	double		now = rn_now();

	rn_service_check_deadlines(service, now);
	if (server->accept_at != 0 && server->accept_at <= now)
		server->accept_at = 0;
	if (server->options->idle_seconds > 0 && now >= service->last_activity + server->options->idle_seconds)
	{
		if (rn_service_is_idle(service))
			server->stop = 1;
		else
			service->last_activity = now;
	}
	if (server->options->stop != NULL && *server->options->stop)
		server->stop = 1;
}

static void
turn(Server *server)
{
	RnService  *service = &server->service;
	int			progress;
	int			i;

	fill_poll(server);
	wait_for_events(server);
	read_connections(server);
	if (server->polled[POLL_DONE].revents)
		rn_service_collect(service);
	if (server->polled[POLL_LISTENER].revents)
		accept_connections(server);
	look_at_clock(server);
	/* Sending an answer may let the next frame of its client in, which no event would tell. */
	do
	{
		progress = 0;
		for (i = 0; i < service->n_connections; i++)
			progress |= rn_service_process(service, service->connections[i]);
		flush_connections(server);
		rn_service_retry(service);
		rn_service_hand_over(service);
		flush_connections(server);
	} while (progress || service->store.changed);
}

int
rn_serve(int control_fd, int listener_fd, const RnServeOptions *options)
{
	Server		server;
	RnContext	ctx;

	memset(&server, 0, sizeof(server));
	server.service.queue.done_fd = -1;
	rn_context_reset(&ctx);
	if (start(&ctx, &server, control_fd, listener_fd, options) != RN_OK)
	{
		fprintf(stderr, "could not start serving: %s %s\n", ctx.message, ctx.detail);
		return 1;
	}
	while (!server.stop)
		turn(&server);
	finish(&server);
	return 0;
}
