/*
 * turns.h
 *		Things that several threads do, each of them in a fixed order.
 *
 * Sums of floating-point numbers depend on their order: threads that add to
 * one sum take turns, thing by thing, so that the result is always the same.
 * A thread that does its things in about the order of the thread before it
 * hardly ever waits.
 *
 * src/base/turns.h
 */
#ifndef RN_TURNS_H
#define RN_TURNS_H

#include "base/context.h"

typedef struct RnTurns RnTurns;

/* Things are numbered from 0. */
extern RnStatus rn_turns_create(RnContext *ctx, int n_things, RnTurns **turns);
extern void rn_turns_free(RnTurns *turns);

/* Nobody is at work: all things wait for turn 0. */
extern void rn_turns_begin(RnTurns *turns);

/* Wait until all turns before this one have done the thing. */
typedef enum RnTurn
{
	RN_TURN_MINE,
	RN_TURN_PASSED,				/* this turn has done it already */
	RN_TURN_GIVEN_UP
} RnTurn;

extern RnTurn rn_turns_wait(RnTurns *turns, int thing, int turn);

/* After that: the next turn may do it. */
extern void rn_turns_done(RnTurns *turns, int thing);

/* This turn is over: whatever it has not done it leaves out. */
extern void rn_turns_over(RnTurns *turns, int turn);

/* Somebody has failed: nobody waits any more until the next beginning. */
extern void rn_turns_give_up(RnTurns *turns);

#endif							/* RN_TURNS_H */
