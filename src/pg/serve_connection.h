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

/* A request is under way, or its whole answer has come. */
extern void res_serve_set_busy(bool under_way);
extern bool res_serve_is_busy(void);

/* Send all of these bytes, or all that waits in the channel's outbox; what comes in meanwhile is kept. */
extern bool res_serve_send(const char *bytes, size_t size);
extern bool res_serve_flush(void);

/* The next frame; false as well when until has passed (0: no limit). */
extern bool res_serve_receive(RnFrame *frame, TimestampTz until);

/* Sleep until a socket event (0: none asked for), the latch or so many ms (-1: no limit); interrupts act here. */
extern void res_serve_wait(uint32 events, long timeout_ms);

#endif							/* RES_SERVE_CONNECTION_H */
