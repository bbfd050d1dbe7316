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

#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONTROL_FD		3		/* where the program looks for its peer */

int
rn_handover_has_place(const RnHandover *handover)
{
	return handover->running < RN_APART_MOST;
}

/* Nothing of ours but the socket and where errors go; signals as after a start. */
static int
spawn(const char *program, int fd, pid_t *pid)
{
	char	   *arguments[] = {(char *) "residual_engine", (char *) "apart", NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t	none,
				all;
	int			error;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	error = posix_spawn_file_actions_adddup2(&actions, fd, CONTROL_FD);
	if (error == 0)
		error = posix_spawn_file_actions_addclosefrom_np(&actions, CONTROL_FD + 1);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (error == 0)
		error = posix_spawn(pid, program, &actions, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

RnStatus
rn_handover_start(RnContext *ctx, RnHandover *handover, int fd)
{
	pid_t		pid;
	int			error;

	if (handover->program == NULL)
		return rn_fail(ctx, RN_UNSUPPORTED, "this engine starts no processes of its own");
	error = spawn(handover->program, fd, &pid);
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
