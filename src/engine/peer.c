/*
 * peer.c
 *		The other end of a socket.
 *
 * src/engine/peer.c
 */
#include "engine/peer.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "wire/protocol.h"

#define RECEIVE_BYTES	(64 * 1024)

void
rn_peer_init(RnPeer *peer, int fd)
{
	peer->fd = fd;
	rn_inbox_init(&peer->in);
	pthread_mutex_init(&peer->sending, NULL);
}

void
rn_peer_free(RnPeer *peer)
{
	rn_inbox_free(&peer->in);
	pthread_mutex_destroy(&peer->sending);
}

static RnStatus
hung_up(RnContext *ctx, const char *reason)
{
	return rn_fail(ctx, RN_IO, "connection of the engine was lost: %s", reason);
}

/* 0 when something can be done, or a signal came, or time is up: whoever called looks again. */
static int
wait_for(int fd, short events, int timeout)
{
	struct pollfd one = {fd, events, 0};

	return poll(&one, 1, timeout) < 0 && errno != EINTR ? -1 : 0;
}

static RnStatus
send_all(RnContext *ctx, const RnPeer *peer, const char *bytes, size_t size)
{
	while (size > 0)
	{
		ssize_t		n = send(peer->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
		{
			bytes += n;
			size -= (size_t) n;
		}
		else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			return hung_up(ctx, strerror(errno));
		else if (wait_for(peer->fd, POLLOUT, -1) < 0)
			return hung_up(ctx, strerror(errno));
	}
	return RN_OK;
}

RnStatus
rn_peer_send(RnContext *ctx, RnPeer *peer, RnWriter *writer)
{
	RnStatus	status;

	pthread_mutex_lock(&peer->sending);
	status = send_all(ctx, peer, writer->bytes, writer->used);
	pthread_mutex_unlock(&peer->sending);
	rn_writer_consume(writer, writer->used);
	return status;
}

/* Read what is there, or come in time; *n bytes. */
static RnStatus
receive_some(RnContext *ctx, RnPeer *peer, int timeout, ssize_t *n)
{
	char	   *space = rn_inbox_room(&peer->in, RECEIVE_BYTES);

	if (space == NULL)
		return rn_out_of_memory(ctx, RECEIVE_BYTES);
	if (wait_for(peer->fd, POLLIN, timeout) < 0)
		return hung_up(ctx, strerror(errno));
	*n = recv(peer->fd, space, RECEIVE_BYTES, MSG_DONTWAIT);
	if (*n == 0)
		return hung_up(ctx, "end of file");
	if (*n < 0)
	{
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			return hung_up(ctx, strerror(errno));
		*n = 0;
	}
	rn_inbox_filled(&peer->in, (size_t) *n);
	return RN_OK;
}

RnStatus
rn_peer_receive(RnContext *ctx, RnPeer *peer, int timeout, RnFrame *frame, int *got)
{
	ssize_t		n;

	for (;;)
	{
		RN_TRY(rn_inbox_next(ctx, &peer->in, frame, got));
		if (*got)
			return RN_OK;
		RN_TRY(receive_some(ctx, peer, timeout, &n));
		if (n == 0)
			return RN_OK;
	}
}

void
rn_peer_await_end(RnPeer *peer)
{
	char		bytes[4096];

	for (;;)
	{
		ssize_t		n = recv(peer->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n > 0 || (n < 0 && errno == EINTR))
			continue;
		if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK) || wait_for(peer->fd, POLLIN, -1) < 0)
			return;
	}
}

RnStatus
rn_peer_send_error(RnPeer *peer, uint64_t id, const RnContext *error)
{
	RnWriter	writer;
	RnContext	ctx;

	rn_context_reset(&ctx);
	rn_writer_init(&writer);
	rn_write_begin(&writer, RN_ERROR, id);
	rn_write_u32(&writer, (uint32_t) error->status);
	rn_write_string(&writer, error->message);
	rn_write_string(&writer, error->detail);
	rn_write_string(&writer, error->hint);
	if (rn_write_end(&ctx, &writer) == RN_OK)
		rn_peer_send(&ctx, peer, &writer);
	rn_writer_free(&writer);
	return ctx.status;
}
