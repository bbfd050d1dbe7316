/*
 * child.h
 *		This program anew, as a child that has nothing of ours but a socket.
 *
 * src/engine/child.h
 */
#ifndef RN_CHILD_H
#define RN_CHILD_H

#include <sys/types.h>

/*
 * Start the program with one argument.  The socket becomes its descriptor 3,
 * errors go where ours go, signals are as after a start.  Gives 0 or an errno;
 * the caller closes its own descriptor.
 */
extern int	rn_child_start(const char *program, const char *argument, int fd, pid_t *pid);

#endif							/* RN_CHILD_H */
