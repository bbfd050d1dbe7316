/*
 * child.c
 *		This program anew, as a child.
 *
 * src/engine/child.c
 */
#include "engine/child.h"

#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#define CONTROL_FD		3		/* where the program looks for its peer */

int
rn_child_start(const char *program, const char *argument, int fd, pid_t *pid)
{
	char	   *arguments[] = {(char *) "residual_engine", (char *) argument, NULL};
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
