/*
 * handover.c
 *		A connection of the serving engine becomes that of a fresh process.
 *
 * The child is a program anew, so that neither threads nor memory of this one
 * follow it.  It lives as long as its connection; whether this engine lives is
 * of no concern to it.
 *
 * src/engine/handover.c
 */
#include "engine/handover.h"

#include <string.h>
#include <sys/wait.h>

#include "engine/child.h"

int
rn_handover_has_place(const RnHandover *handover)
{
	return handover->running < RN_APART_MOST;
}

RnStatus
rn_handover_start(RnContext *ctx, RnHandover *handover, int fd)
{
	pid_t		pid;
	int			error;

	if (handover->program == NULL)
		return rn_fail(ctx, RN_UNSUPPORTED, "this engine starts no processes of its own");
	error = rn_child_start(handover->program, "apart", fd, &pid);
	if (error != 0)
		return rn_fail(ctx, RN_LIMIT, "could not start an engine for the request: %s", strerror(error));
	handover->pids[handover->running++] = pid;
	handover->started++;
	return RN_OK;
}

int
rn_handover_reap(RnHandover *handover)
{
	int			before = handover->running;
	int			i;

	for (i = handover->running - 1; i >= 0; i--)
	{
		if (waitpid(handover->pids[i], NULL, WNOHANG) != 0)
			handover->pids[i] = handover->pids[--handover->running];
	}
	return handover->running < before;
}
