/*
 * collective.h
 *		Processes that compute together, one device each.
 *
 * They form a group once, by an identity that the first of them makes and the
 * others are told.  Then each calls the same operations with the same lengths
 * in the same order.  An operation is queued on the caller's lane like a
 * kernel; it ends only when all have come to it, so it may never end.  That
 * is why whoever queues one ends with wait, which looks about while it waits:
 * synchronize would not.  After a failure the group is of no use any more.
 *
 * kernels/collective.h
 */
#ifndef RN_COLLECTIVE_H
#define RN_COLLECTIVE_H

#include "kernels/kernel.h"

#define RN_GROUP_ID		128		/* bytes of an identity */
#define RN_GROUP_MOST	8		/* processes of a group */

typedef struct RnGroup RnGroup;

typedef struct RnGroupOptions
{
	char		id[RN_GROUP_ID];
	int			rank;			/* from 0 */
	int			n;				/* processes of the group */

	/*
	 * Called again and again while others are waited for.  Not RN_OK ends the
	 * wait with that; it knows best why another one does not come.
	 */
	RnStatus	(*watch) (RnContext *ctx, void *arg);
	void	   *arg;
} RnGroupOptions;

typedef struct RnCollectives
{
	/* RN_UNSUPPORTED when the library that they need is not there. */
	RnStatus	(*make_id) (RnContext *ctx, char id[RN_GROUP_ID]);

	/* After the device has been opened.  Returns when all have come. */
	RnStatus	(*join) (RnContext *ctx, const RnGroupOptions *options, RnGroup **group);
	void		(*leave) (RnGroup *group);

	/* x, device memory, becomes the sum over the ranks, the same bits on each. */
	void		(*sum) (RnGroup *group, RnLane *lane, size_t n, rn_real *x);
	void		(*sum_doubles) (RnGroup *group, RnLane *lane, size_t n, double *x);

	/* Device memory becomes that of rank 0. */
	void		(*broadcast) (RnGroup *group, RnLane *lane, size_t bytes, void *memory);

	/* synchronize, for a lane that collectives are queued on. */
	RnStatus	(*wait) (RnContext *ctx, RnGroup *group, RnLane *lane);
} RnCollectives;

#endif							/* RN_COLLECTIVE_H */
