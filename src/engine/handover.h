/*
 * handover.h
 *		A connection of the serving engine becomes that of a fresh process.
 *
 * What may take long, or is to be measured alone, must not run beside the
 * translators: the program is started anew with the connection as its control
 * socket (engine/apart.c), and the serving engine forgets it.  A few run at
 * once; who comes later waits.
 *
 * src/engine/handover.h
 */
#ifndef RN_HANDOVER_H
#define RN_HANDOVER_H

#include <stdint.h>
#include <sys/types.h>

#include "base/context.h"

#define RN_APART_MOST	4

typedef struct RnHandover
{
	const char *program;		/* this engine's own file; NULL: nothing can be handed over */
	pid_t		pids[RN_APART_MOST];	/* [running] */
	int			running;
	uint64_t	started;		/* so far */
} RnHandover;

/* Is there a place? */
extern int	rn_handover_has_place(const RnHandover *handover);

/* Start a process that takes over the socket; the caller closes its own descriptor.  RN_LIMIT when it cannot be. */
extern RnStatus rn_handover_start(RnContext *ctx, RnHandover *handover, int fd);

/* Reap those that have ended; true when there were any. */
extern int	rn_handover_reap(RnHandover *handover);

#endif							/* RN_HANDOVER_H */
