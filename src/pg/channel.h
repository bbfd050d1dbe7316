/*
 * channel.h
 *		Frames over a non-blocking socket, for a process that must stay awake.
 *
 * Sending never blocks: what the socket does not take waits in the outbox.
 * What comes in while one sends is kept, so that two sides that both send much
 * cannot lock each other out.  The caller closes the socket.
 *
 * src/pg/channel.h
 */
#ifndef RES_CHANNEL_H
#define RES_CHANNEL_H

#include "residual.h"

#include "wire/message.h"
#include "wire/protocol.h"

typedef struct ResChannel
{
	int			socket;
	RnWriter	out;			/* write frames here, then res_channel_end */
	RnInbox		in;
	bool		closed;			/* the other side has hung up */
} ResChannel;

extern void res_channel_init(ResChannel *channel, int socket);
extern void res_channel_free(ResChannel *channel);

/* Close the frame that was begun on channel->out; ERROR when it is too long. */
extern void res_channel_end(ResChannel *channel);

/* A frame without payload. */
extern void res_channel_put(ResChannel *channel, uint32 type);

/* Send what can be sent without waiting; never an ERROR. */
extern void res_channel_send(ResChannel *channel);

/* Send and receive what can be without waiting; false when nothing moved. */
extern bool res_channel_pump(ResChannel *channel);

/*
 * Wait until something can move, the latch is set or so many ms have passed
 * (-1: no limit), then pump.  Resets the latch; looks at no interrupts.
 */
extern void res_channel_wait(ResChannel *channel, long timeout_ms);

/* The next whole frame that has come; its payload lives until the next call on the channel. */
extern bool res_channel_next(ResChannel *channel, RnFrame *frame);

/* Bytes that still wait to be sent. */
extern size_t res_channel_pending(const ResChannel *channel);

/* Is that greeting of an engine that we can talk to?  ERROR 55000 with a hint when not. */
extern void res_channel_check_hello(const RnFrame *frame, uint64 *pid);

#endif							/* RES_CHANNEL_H */
