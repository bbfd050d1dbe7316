/*
 * apart.h
 *		One question, answered by a process of its own.
 *
 * src/engine/apart.h
 */
#ifndef RN_APART_H
#define RN_APART_H

#include <signal.h>

/*
 * Greet the peer at the other end of the socket, be asked one question, answer
 * it, and wait for the peer to hang up.  The process ends at once when the
 * peer hangs up earlier.  Gives the exit status of the process.
 */
extern int	rn_apart(int control_fd, volatile sig_atomic_t *stop);

#endif							/* RN_APART_H */
