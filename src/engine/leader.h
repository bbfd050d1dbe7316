/*
 * leader.h
 *		The first of several processes that train one model, a device each.
 *
 * The job's engine leads: it alone has the corpus, validates, reports and
 * writes checkpoints.  For each further device it starts itself anew as a
 * child, a follower (follower.h), which is told what to compute over a socket
 * and exchanges gradients with all from device to device (train/ranks.h).
 *
 * All end together.  A follower that fails or dies is noticed while it is
 * waited for, and is the job's failure; a follower whose leader is gone ends
 * at once.
 *
 * src/engine/leader.h
 */
#ifndef RN_LEADER_H
#define RN_LEADER_H

#include <signal.h>

#include "model/config.h"
#include "train/trainer.h"
#include "wire/protocol.h"

typedef struct RnLeader RnLeader;

/*
 * Start a follower for each device that the option names after the first,
 * which this process has opened, and form the group with them.  *leader is
 * NULL when there is only one.
 */
extern RnStatus rn_leader_start(RnContext *ctx, const RnConfig *config, const volatile sig_atomic_t *stop,
								RnLeader **leader);

/* Followers are gone when it returns; NULL is nothing. */
extern void rn_leader_free(RnLeader *leader);

/* For the trainer; NULL without followers. */
extern const RnRanks *rn_leader_ranks(const RnLeader *leader);

/*
 * Have the followers make the model; take part in a step that the trainer is
 * about to make; compare their weights with the trainer's: RN_DEVICE when they
 * are not the same.  Nothing happens where leader is NULL.
 */
extern RnStatus rn_leader_make_model(RnContext *ctx, RnLeader *leader, const RnConfig *config);
extern RnStatus rn_leader_step(RnContext *ctx, RnLeader *leader, RnRankStep what);
extern RnStatus rn_leader_compare(RnContext *ctx, RnLeader *leader, RnTrainer *trainer);

#endif							/* RN_LEADER_H */
