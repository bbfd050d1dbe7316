/*
 * channel.c
 *		Frames over a non-blocking socket, for a process that must stay awake.
 *
 * src/pg/channel.c
 */
#include "channel.h"

#include <sys/socket.h>

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#define READ_SIZE	(64 * 1024)
#define READ_TURNS	64			/* then somebody else's turn: latch, sending */

void
res_channel_init(ResChannel *channel, int socket)
{
	memset(channel, 0, sizeof(*channel));
	channel->socket = socket;
	rn_writer_init(&channel->out);
	rn_inbox_init(&channel->in);
}

void
res_channel_free(ResChannel *channel)
{
	rn_writer_free(&channel->out);
	rn_inbox_free(&channel->in);
	channel->closed = true;
}

void
res_channel_end(ResChannel *channel)
{
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (rn_write_end(&ctx, &channel->out) != RN_OK)
		res_report(&ctx);
}

void
res_channel_put(ResChannel *channel, uint32 type)
{
	rn_write_begin(&channel->out, type, 0);
	res_channel_end(channel);
}

size_t
res_channel_pending(const ResChannel *channel)
{
	return channel->out.used;
}

static bool
send_some(ResChannel *channel)
{
	size_t		sent = 0;

	while (!channel->closed && sent < channel->out.used)
	{
		ssize_t		n = send(channel->socket, channel->out.bytes + sent, channel->out.used - sent,
							 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0)
			sent += n;
		else if (n < 0 && errno == EINTR)
			continue;
		else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		else
			break;				/* what it said before it hung up is still to be read */
	}
	rn_writer_consume(&channel->out, sent);
	return sent > 0;
}

static bool
receive_some(ResChannel *channel)
{
	bool		moved = false;
	int			turn;

	for (turn = 0; turn < READ_TURNS && !channel->closed; turn++)
	{
		char	   *room = rn_inbox_room(&channel->in, READ_SIZE);
		ssize_t		n;

		if (room == NULL)
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
		n = recv(channel->socket, room, READ_SIZE, MSG_DONTWAIT);
		if (n > 0)
		{
			rn_inbox_filled(&channel->in, n);
			moved = true;
		}
		else if (n < 0 && errno == EINTR)
			continue;
		else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		else
		{
			channel->closed = true;
			moved = true;
		}
	}
	return moved;
}

void
res_channel_send(ResChannel *channel)
{
	(void) send_some(channel);
}

bool
res_channel_pump(ResChannel *channel)
{
	bool		sent = send_some(channel);

	return receive_some(channel) || sent;
}

void
res_channel_wait(ResChannel *channel, long timeout_ms)
{
	int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | WL_SOCKET_READABLE;

	if (res_channel_pump(channel) || channel->closed)
		return;
	if (channel->out.used > 0)
		events |= WL_SOCKET_WRITEABLE;
	if (timeout_ms >= 0)
		events |= WL_TIMEOUT;
	if (WaitLatchOrSocket(MyLatch, events, channel->socket, timeout_ms, PG_WAIT_EXTENSION) & WL_LATCH_SET)
		ResetLatch(MyLatch);
	res_channel_pump(channel);
}

bool
res_channel_next(ResChannel *channel, RnFrame *frame)
{
	RnContext	ctx;
	int			got;

	rn_context_reset(&ctx);
	if (rn_inbox_next(&ctx, &channel->in, frame, &got) != RN_OK)
		res_report(&ctx);
	return got != 0;
}

void
res_channel_check_hello(const RnFrame *frame, uint64 *pid)
{
	RnReader	reader;
	uint32		protocol;
	char		build[64];
	char		device[256];

	rn_reader_init(&reader, frame);
	protocol = rn_read_u32(&reader);
	rn_read_string(&reader, build, sizeof(build));
	rn_read_string(&reader, device, sizeof(device));
	*pid = rn_read_u64(&reader);
	if (frame->type == RN_HELLO && !reader.failed &&
		protocol == RN_PROTOCOL_VERSION && strcmp(build, RN_BUILD_VERSION) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("engine \"%s\" does not fit this version of the extension", res_engine_path),
			 frame->type == RN_HELLO && !reader.failed ?
			 errdetail("The engine speaks protocol %u, build \"%s\"; the library speaks protocol %d, build \"%s\".",
					   protocol, build, RN_PROTOCOL_VERSION, RN_BUILD_VERSION) :
			 errdetail("It does not greet as an engine does."),
			 errhint("After a package upgrade restart the server; otherwise look at residual.engine.")));
}
