/*
 * serve_connection.h
 *		A session's connection to the serving engine: made when first needed,
 *		the supervisor started if there is none, kept between requests.
 *
 * Nothing here blocks without looking at the latch, so cancel and timeouts act
 * at once.  False always means that the engine has hung up.
 *
 * src/pg/serve_connection.h
 */
#ifndef RES_SERVE_CONNECTION_H
#define RES_SERVE_CONNECTION_H

#include "channel.h"

#include "datatype/timestamp.h"

/*
 * The greeted connection, or NULL when the engine died while we stood in the
 * backlog: try again.  ERROR when there is no engine and none can be started,
 * or it is of another version.
 */
extern ResChannel *res_serve_connect(void);

/* Is there a supervisor to connect to?  Starts none, greets nobody. */
extern ResChannel *res_serve_connect_if_running(long timeout_ms);

/* Close it; the engine drops the work of a closed connection. */
extern void res_serve_disconnect(void);

/* Who is to be told whenever a connection has gone; died: by the engine's end, not our own doing. */
extern void res_serve_on_loss(void (*lost) (bool died));

/* Until this is taken back, who finds the connection so closes it: an error left something half done in it. */
extern void res_serve_set_busy(bool under_way);

/* Send all that waits in the channel's outbox; what comes in meanwhile is kept. */
extern bool res_serve_flush(void);

/* Say this much without waiting; a connection that does not take it at once is closed.  Never an ERROR. */
extern void res_serve_say(uint32 type, uint64 id);

/* The next frame; false as well when until has passed (0: no limit). */
extern bool res_serve_receive(RnFrame *frame, TimestampTz until);

/* Sleep until a socket event (0: none asked for), the latch or so many ms (-1: no limit); interrupts act here. */
extern void res_serve_wait(uint32 events, long timeout_ms);

#endif							/* RES_SERVE_CONNECTION_H */
