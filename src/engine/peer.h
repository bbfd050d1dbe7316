/*
 * peer.h
 *		The other end of a socket, for an engine that does one thing for one
 *		peer: frames out, frames in, waiting allowed.
 *
 * Any thread may send; one at a time receives.
 *
 * src/engine/peer.h
 */
#ifndef RN_PEER_H
#define RN_PEER_H

#include <pthread.h>

#include "wire/message.h"

typedef struct RnPeer
{
	int			fd;				/* lent */
	RnInbox		in;
	pthread_mutex_t sending;	/* held while whole frames go out */
} RnPeer;

extern void rn_peer_init(RnPeer *peer, int fd);
extern void rn_peer_free(RnPeer *peer);

/* Send all that the writer holds, and empty it.  RN_IO when the peer has hung up. */
extern RnStatus rn_peer_send(RnContext *ctx, RnPeer *peer, RnWriter *writer);

/*
 * The next frame, waited for up to timeout milliseconds (-1: for ever).
 * *got 0 when none came in that time or a signal did.  RN_IO when the peer
 * has hung up, RN_CORRUPT for a frame that cannot be one.  The payload lives
 * until the next call.
 */
extern RnStatus rn_peer_receive(RnContext *ctx, RnPeer *peer, int timeout, RnFrame *frame, int *got);

/* Wait until the peer hangs up; what it still sends is of no interest. */
extern void rn_peer_await_end(RnPeer *peer);

/* An error as the peer reads it. */
extern RnStatus rn_peer_send_error(RnPeer *peer, uint64_t id, const RnContext *error);

#endif							/* RN_PEER_H */
