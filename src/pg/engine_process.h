/*
 * engine_process.h
 *		Start, watch and end an engine as a child of a background worker.
 *
 * Never from a client backend.  The child inherits nothing but the
 * descriptors named here; whatever way the worker ends, it ends too.
 *
 * src/pg/engine_process.h
 */
#ifndef RES_ENGINE_PROCESS_H
#define RES_ENGINE_PROCESS_H

#include "residual.h"

#include <sys/types.h>

typedef struct ResEngine
{
	pid_t		pid;			/* 0: none */
	int			pidfd;			/* readable when it has ended */
	int			control;		/* our end of its descriptor 3, non-blocking */
	int			error_pipe;		/* what it writes to stdout and stderr */
	char		last_lines[1024];	/* of that, for the DETAIL of an error */
} ResEngine;

/*
 * arguments: "train", or "serve" and its options, a blank between words.
 * listener: becomes descriptor 4, or -1; spill: becomes descriptor 6, or -1.
 * ERROR when it cannot be started; nothing is left open or running then.
 * Registers the exit callback on first use.
 */
extern void res_engine_start(ResEngine *engine, const char *arguments, int listener, int spill, int nice_level);

/* ERROR 58P01 with a hint when the program is not there or not executable. */
extern void res_engine_check_program(void);

/* Pass on to the server log what it wrote. */
extern void res_engine_drain(ResEngine *engine);

/* End it and reap it; grace_ms < 0 kills at once.  Gives the wait status. */
extern int	res_engine_stop(ResEngine *engine, int grace_ms);

/* "was terminated by signal 9: Killed", "exited with code 1" */
extern char *res_engine_status(int status);

#endif							/* RES_ENGINE_PROCESS_H */
