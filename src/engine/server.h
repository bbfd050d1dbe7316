/*
 * server.h
 *		The serving engine: many clients, one queue, a translator a thread,
 *		models within a budget.
 *
 * The frames are those of wire/protocol.h, "serving".  The engine knows no
 * roles and no database: whoever may connect may use what is loaded.
 *
 * src/engine/server.h
 */
#ifndef RN_SERVER_H
#define RN_SERVER_H

#include <signal.h>
#include <stddef.h>

#include "kernels/device.h"

typedef struct RnServeOptions
{
	const RnKernels *kernels;	/* the device; must not be NULL */
	const RnContext *refusal;	/* why no model is taken, told to who sends one; NULL: all are */
	int			threads;		/* translator threads, at least 1 */
	size_t		memory;			/* bytes of all models together; 0: no bound */
	int			idle_seconds;	/* end after so long without a request; 0: never */
	int			load_seconds;	/* a client that is to send a model may be silent so long; 0: 60 */
	int			max_connections;	/* further ones wait in the backlog; 0: 1000 */
	const char *program;		/* file of this program, for what is to run apart; NULL: nothing can */
	const volatile sig_atomic_t *stop;	/* set by the handler of SIGTERM; may be NULL */
} RnServeOptions;

/*
 * Serve until the control socket ends, *stop is set or the engine was idle for
 * too long.  Gives the exit status of the process: 0, or 1 when it could not
 * start (the reason goes to stderr).
 *
 * control_fd: socket to the supervisor, -1 when there is none.  It is greeted
 * like a client and may send PING and STATUS; its end is the engine's.
 * listener_fd: listening Unix socket; only peers of our own user are let in.
 *
 * All signals should be blocked when this is called: they are let in only
 * while the main thread waits.  SIGCHLD needs a handler, or the end of what
 * runs apart is noticed late.
 */
extern int	rn_serve(int control_fd, int listener_fd, const RnServeOptions *options);

#endif							/* RN_SERVER_H */
