/*
 * connection.c
 *		A client of the serving engine: its bytes in and out.
 *
 * src/engine/connection.c
 */
#include "engine/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/frames.h"

#define READ_BYTES		(256 * 1024)	/* at once, so that the others get their turn */
#define KEEP_BYTES		(64 * 1024)	/* an empty buffer larger than this is given back */

RnStatus
rn_connection_create(RnContext *ctx, int fd, RnConnection **result)
{
	RnConnection *connection = calloc(1, sizeof(*connection));

	*result = NULL;
	if (connection == NULL)
	{
		close(fd);
		return rn_out_of_memory(ctx, sizeof(*connection));
	}
	connection->fd = fd;
	rn_inbox_init(&connection->inbox);
	rn_writer_init(&connection->out);
	*result = connection;
	return RN_OK;
}

void
rn_connection_free(RnConnection *connection)
{
	close(connection->fd);
	rn_inbox_free(&connection->inbox);
	rn_writer_free(&connection->out);
	rn_load_end(&connection->load);
	free(connection->pending);
	free(connection);
}

static void
give_back(RnConnection *connection)
{
	if (connection->inbox.start == connection->inbox.end && connection->inbox.capacity > KEEP_BYTES)
	{
		rn_inbox_free(&connection->inbox);
		rn_inbox_init(&connection->inbox);
	}
}

void
rn_connection_read(RnConnection *connection)
{
	char	   *room;
	ssize_t		n;

	give_back(connection);
	room = rn_inbox_room(&connection->inbox, connection->inbox.capacity ? READ_BYTES : KEEP_BYTES);
	if (room == NULL)
	{
		connection->closed = 1;
		return;
	}
	do
		n = recv(connection->fd, room, connection->inbox.capacity - connection->inbox.end, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n <= 0)
	{
		connection->closed = 1;
		return;
	}
	/* What a closing connection still sends is of no interest. */
	if (connection->close_at == 0)
		rn_inbox_filled(&connection->inbox, n);
}

uint32_t
rn_connection_next_type(const RnConnection *connection)
{
	const RnInbox *inbox = &connection->inbox;
	uint32_t	type;

	if (inbox->end - inbox->start < RN_FRAME_HEAD)
		return 0;
	memcpy(&type, inbox->bytes + inbox->start, sizeof(type));
	return type;
}

size_t
rn_connection_backlog(const RnConnection *connection)
{
	return connection->out.used - connection->out_sent;
}

void
rn_connection_append(RnConnection *connection, RnRequest *request)
{
	request->connection = connection;
	request->next_of_connection = NULL;
	if (connection->last != NULL)
		connection->last->next_of_connection = request;
	else
		connection->first = request;
	connection->last = request;
	connection->n_requests++;
	connection->request_bytes += request->bytes;
}

void
rn_connection_remove(RnConnection *connection, RnRequest *request)
{
	RnRequest  *before = NULL;
	RnRequest  *at;

	for (at = connection->first; at != request; at = at->next_of_connection)
		before = at;
	if (before != NULL)
		before->next_of_connection = request->next_of_connection;
	else
		connection->first = request->next_of_connection;
	if (connection->last == request)
		connection->last = before;
	if (connection->sending == request)
		connection->sending = NULL;
	connection->n_requests--;
	connection->request_bytes -= request->bytes;
	request->connection = NULL;
}

/* Send a piece of a buffer; false when the socket takes no more. */
static int
send_some(RnConnection *connection, const RnWriter *writer, size_t *sent)
{
	ssize_t		n;

	do
		n = send(connection->fd, writer->bytes + *sent, writer->used - *sent, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
	{
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			connection->closed = 1;
		return 0;
	}
	*sent += n;
	return 1;
}

static void
answered(RnConnection *connection)
{
	RnRequest  *request = connection->sending;

	rn_connection_remove(connection, request);
	rn_request_free(request);
	connection->sent = 0;
}

void
rn_connection_flush(RnConnection *connection)
{
	while (!connection->closed)
	{
		if (connection->sending != NULL)
		{
			if (!send_some(connection, &connection->sending->answer, &connection->sent))
				return;
			if (connection->sent == connection->sending->answer.used)
				answered(connection);
		}
		else if (connection->out_sent < connection->out.used)
		{
			if (!send_some(connection, &connection->out, &connection->out_sent))
				return;
			if (connection->out_sent == connection->out.used)
			{
				rn_writer_consume(&connection->out, connection->out_sent);
				connection->out_sent = 0;
			}
		}
		else if (connection->first != NULL && connection->first->ready)
			connection->sending = connection->first;
		else
			return;
	}
}

int
rn_connection_wants_to_send(const RnConnection *connection)
{
	return connection->sending != NULL || connection->out_sent < connection->out.used ||
		(connection->first != NULL && connection->first->ready);
}

void
rn_connection_say(RnConnection *connection, uint32_t type, uint64_t id)
{
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (rn_write_empty(&ctx, &connection->out, type, id) != RN_OK)
		connection->closed = 1;
}

void
rn_connection_say_error(RnConnection *connection, uint64_t id, const RnContext *error)
{
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (rn_write_error(&ctx, &connection->out, id, error) != RN_OK)
		connection->closed = 1;
}
