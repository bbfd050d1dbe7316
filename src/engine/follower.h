/*
 * follower.h
 *		One of several processes that train one model, but not the first.
 *
 * src/engine/follower.h
 */
#ifndef RN_FOLLOWER_H
#define RN_FOLLOWER_H

/*
 * Be told a device and a model over the control socket, and take part in the
 * leader's steps (leader.h) until it hangs up.  Gives the exit status of the
 * process, unless the leader's end ends it from within.
 */
extern int	rn_follow(int control_fd);

#endif							/* RN_FOLLOWER_H */
