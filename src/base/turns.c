/*
 * turns.c
 *		Things that several threads do, each of them in a fixed order.
 *
 * src/base/turns.c
 */
#include "base/turns.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct RnTurns
{
	int			n_things;
	int		   *next;			/* [n_things] the turn that may do it; written under the mutex */
	int			given_up;
	int			waiting;		/* threads that sleep */
	pthread_mutex_t mutex;
	pthread_cond_t moved;		/* one of next went up, or given_up was set */
};

RnStatus
rn_turns_create(RnContext *ctx, int n_things, RnTurns **result)
{
	RnTurns    *turns = calloc(1, sizeof(*turns));

	*result = NULL;
	if (turns == NULL)
		return rn_out_of_memory(ctx, sizeof(*turns));
	turns->next = calloc((size_t) n_things + 1, sizeof(int));
	if (turns->next == NULL)
	{
		free(turns);
		return rn_out_of_memory(ctx, (size_t) n_things * sizeof(int));
	}
	turns->n_things = n_things;
	pthread_mutex_init(&turns->mutex, NULL);
	pthread_cond_init(&turns->moved, NULL);
	*result = turns;
	return RN_OK;
}

void
rn_turns_free(RnTurns *turns)
{
	if (turns == NULL)
		return;
	pthread_cond_destroy(&turns->moved);
	pthread_mutex_destroy(&turns->mutex);
	free(turns->next);
	free(turns);
}

void
rn_turns_begin(RnTurns *turns)
{
	memset(turns->next, 0, (size_t) turns->n_things * sizeof(int));
	turns->given_up = 0;
}

/* With the mutex held. */
static RnTurn
wait_for(RnTurns *turns, int thing, int turn)
{
	while (turns->next[thing] < turn && !turns->given_up)
	{
		turns->waiting++;
		pthread_cond_wait(&turns->moved, &turns->mutex);
		turns->waiting--;
	}
	if (turns->given_up)
		return RN_TURN_GIVEN_UP;
	return turns->next[thing] == turn ? RN_TURN_MINE : RN_TURN_PASSED;
}

static void
wake(RnTurns *turns)
{
	if (turns->waiting > 0)
		pthread_cond_broadcast(&turns->moved);
}

RnTurn
rn_turns_wait(RnTurns *turns, int thing, int turn)
{
	RnTurn		result;

	pthread_mutex_lock(&turns->mutex);
	result = wait_for(turns, thing, turn);
	pthread_mutex_unlock(&turns->mutex);
	return result;
}

void
rn_turns_done(RnTurns *turns, int thing)
{
	pthread_mutex_lock(&turns->mutex);
	turns->next[thing]++;
	wake(turns);
	pthread_mutex_unlock(&turns->mutex);
}

void
rn_turns_over(RnTurns *turns, int turn)
{
	int			thing;

	pthread_mutex_lock(&turns->mutex);
	for (thing = 0; thing < turns->n_things; thing++)
	{
		if (wait_for(turns, thing, turn) == RN_TURN_MINE)
			turns->next[thing]++;
	}
	wake(turns);
	pthread_mutex_unlock(&turns->mutex);
}

void
rn_turns_give_up(RnTurns *turns)
{
	pthread_mutex_lock(&turns->mutex);
	turns->given_up = 1;
	wake(turns);
	pthread_mutex_unlock(&turns->mutex);
}
