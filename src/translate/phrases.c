/*
 * phrases.c
 *		Sequences of tokens that an answer must contain, and how far one is.
 *
 * src/translate/phrases.c
 */
#include "translate/phrases.h"

#include <stdlib.h>
#include <string.h>

/* A state: these, then how often each phrase has been met. */
enum
{
	NODE,						/* place in the tree; 0: in no phrase */
	JUST_MET,					/* phrase that ends at this place, or -1 */
	LOCKED,						/* has written what only a phrase may: must end it */
	BEHIND,						/* pieces that may not follow, because of the phrase that has been met */
	MET
};

typedef struct Node
{
	int32_t		token;
	int			depth;
	int			child;			/* 0: none */
	int			sibling;
	int			ending;			/* first of the endings here, or -1 */
	int			bare;			/* child of the root that must be attached to something */
} Node;

/* A phrase ends at a node; several may when they are written alike. */
typedef struct Ending
{
	int			phrase;
	int			next;			/* -1: none */
} Ending;

typedef struct Phrase
{
	int			n;				/* tokens, not attached */
	int			wanted;
	unsigned	not_behind;
} Phrase;

struct RnPhrases
{
	const uint8_t *kinds;
	unsigned	guard;
	Node	   *nodes;
	int			n_nodes;
	Phrase	   *phrases;
	int			n;
	Ending	   *endings;
	int			n_endings;
};

RnStatus
rn_phrases_create(RnContext *ctx, const uint8_t *kinds, unsigned guard, RnPhrases **result)
{
	RnPhrases  *phrases = calloc(1, sizeof(*phrases));

	*result = NULL;
	if (phrases == NULL || (phrases->nodes = calloc(1, sizeof(Node))) == NULL)
	{
		free(phrases);
		return rn_out_of_memory(ctx, sizeof(*phrases));
	}
	phrases->kinds = kinds;
	phrases->guard = guard;
	phrases->n_nodes = 1;
	phrases->nodes[0].ending = -1;
	*result = phrases;
	return RN_OK;
}

void
rn_phrases_free(RnPhrases *phrases)
{
	if (phrases == NULL)
		return;
	free(phrases->nodes);
	free(phrases->phrases);
	free(phrases->endings);
	free(phrases);
}

static int
find_child(const RnPhrases *phrases, int node, int32_t token)
{
	int			child;

	for (child = phrases->nodes[node].child; child != 0; child = phrases->nodes[child].sibling)
	{
		if (phrases->nodes[child].token == token)
			return child;
	}
	return 0;
}

/* Write a phrase into the tree; there is room. */
static void
add_path(RnPhrases *phrases, const int32_t *ids, int n, int bare, int phrase)
{
	Ending	   *ending = &phrases->endings[phrases->n_endings];
	int			node = 0;
	int			i;

	for (i = 0; i < n; i++)
	{
		int			child = find_child(phrases, node, ids[i]);

		if (child == 0)
		{
			Node	   *made = &phrases->nodes[child = phrases->n_nodes++];

			memset(made, 0, sizeof(*made));
			made->token = ids[i];
			made->depth = i + 1;
			made->ending = -1;
			made->bare = bare && i == 0;
			made->sibling = phrases->nodes[node].child;
			phrases->nodes[node].child = child;
		}
		node = child;
	}
	ending->phrase = phrase;
	ending->next = phrases->nodes[node].ending;
	phrases->nodes[node].ending = phrases->n_endings++;
}

RnStatus
rn_phrases_add(RnContext *ctx, RnPhrases *phrases, const int32_t *ids, int n, const int32_t *bare, int n_bare,
			   unsigned not_behind, int wanted)
{
	size_t		nodes = phrases->n_nodes + n + n_bare;
	void	   *grown;

	if ((grown = realloc(phrases->nodes, nodes * sizeof(Node))) == NULL)
		return rn_out_of_memory(ctx, nodes * sizeof(Node));
	phrases->nodes = grown;
	if ((grown = realloc(phrases->phrases, (phrases->n + 1) * sizeof(Phrase))) == NULL)
		return rn_out_of_memory(ctx, (phrases->n + 1) * sizeof(Phrase));
	phrases->phrases = grown;
	if ((grown = realloc(phrases->endings, (phrases->n_endings + 2) * sizeof(Ending))) == NULL)
		return rn_out_of_memory(ctx, (phrases->n_endings + 2) * sizeof(Ending));
	phrases->endings = grown;
	phrases->phrases[phrases->n].n = n;
	phrases->phrases[phrases->n].wanted = wanted;
	phrases->phrases[phrases->n].not_behind = not_behind;
	add_path(phrases, ids, n, 0, phrases->n);
	if (bare != NULL && n_bare > 0)
		add_path(phrases, bare, n_bare, 1, phrases->n);
	phrases->n++;
	return RN_OK;
}

int32_t
rn_phrases_token(const RnPhrases *phrases, int number)
{
	return number + 1 < phrases->n_nodes ? phrases->nodes[number + 1].token : -1;
}

int
rn_phrases_wanted(const RnPhrases *phrases)
{
	int			wanted = 0;
	int			i;

	for (i = 0; i < phrases->n; i++)
		wanted += phrases->phrases[i].wanted;
	return wanted;
}

/* ---- states ---- */

int
rn_phrases_state_size(const RnPhrases *phrases)
{
	return MET + phrases->n;
}

void
rn_phrases_begin(const RnPhrases *phrases, int32_t *state)
{
	memset(state, 0, rn_phrases_state_size(phrases) * sizeof(int32_t));
	state[JUST_MET] = -1;
}

static int
is_unmet(const RnPhrases *phrases, const int32_t *state, int phrase)
{
	return state[MET + phrase] < phrases->phrases[phrase].wanted;
}

/* The first phrase that ends at the node and is still to come, or -1. */
static int
unmet_ending(const RnPhrases *phrases, const int32_t *state, int node)
{
	int			at;

	for (at = phrases->nodes[node].ending; at >= 0; at = phrases->endings[at].next)
	{
		if (is_unmet(phrases, state, phrases->endings[at].phrase))
			return phrases->endings[at].phrase;
	}
	return -1;
}

/* Tokens from the node to the nearest end of a phrase that is still to come, which is *phrase; or -1. */
static int
nearest_unmet(const RnPhrases *phrases, const int32_t *state, int node, int *phrase)
{
	int			nearest = -1;
	int			child;

	*phrase = unmet_ending(phrases, state, node);
	if (*phrase >= 0)
		return 0;
	for (child = phrases->nodes[node].child; child != 0; child = phrases->nodes[child].sibling)
	{
		int			of_child;
		int			distance = nearest_unmet(phrases, state, child, &of_child);

		if (distance >= 0 && (nearest < 0 || distance + 1 < nearest))
		{
			nearest = distance + 1;
			*phrase = of_child;
		}
	}
	return nearest;
}

static int
leads_on(const RnPhrases *phrases, const int32_t *state, int node)
{
	int			phrase;

	return node != 0 && nearest_unmet(phrases, state, node, &phrase) >= 0;
}

/* Stand at a node that has just been reached. */
static void
arrive(const RnPhrases *phrases, int32_t *state, int node, int *done)
{
	int			phrase = unmet_ending(phrases, state, node);

	state[NODE] = node;
	state[JUST_MET] = phrase;
	state[BEHIND] = 0;
	if (phrase >= 0)
	{
		state[MET + phrase]++;
		state[LOCKED] = 0;
		state[BEHIND] = (int32_t) phrases->phrases[phrase].not_behind;
	}
	else
		state[LOCKED] |= (phrases->kinds[phrases->nodes[node].token] & phrases->guard) != 0;
	*done = phrase;
}

void
rn_phrases_step(const RnPhrases *phrases, const int32_t *state, int32_t token, int32_t *next, int *done,
				int *taken_back)
{
	int32_t		behind = state[BEHIND];
	int			unused;
	int			child;

	done = done != NULL ? done : &unused;
	taken_back = taken_back != NULL ? taken_back : &unused;
	*taken_back = 0;
	if (next != state)
		memcpy(next, state, rn_phrases_state_size(phrases) * sizeof(int32_t));
	child = next[NODE] == 0 ? 0 : find_child(phrases, next[NODE], token);
	if (child != 0)
	{
		int			before = next[JUST_MET];

		if (before >= 0)
			next[MET + before]--;
		if (leads_on(phrases, next, child))
		{
			arrive(phrases, next, child, done);
			*taken_back = before >= 0;
			return;
		}
		if (before >= 0)
			next[MET + before]++;
	}
	rn_phrases_leave(phrases, next);
	*done = -1;
	if ((behind & RN_PIECE_JOINS) != 0 && (phrases->kinds[token] & RN_PIECE_BEGINS) == 0)
		next[BEHIND] = behind;
	child = find_child(phrases, 0, token);
	if (leads_on(phrases, next, child))
		arrive(phrases, next, child, done);
}

void
rn_phrases_leave(const RnPhrases *phrases, int32_t *state)
{
	(void) phrases;
	state[NODE] = 0;
	state[JUST_MET] = -1;
	state[LOCKED] = 0;
	state[BEHIND] = 0;
}

int
rn_phrases_depth(const RnPhrases *phrases, const int32_t *state)
{
	return phrases->nodes[state[NODE]].depth;
}

int
rn_phrases_is_within(const int32_t *state)
{
	return state[NODE] != 0 && state[JUST_MET] < 0;
}

int
rn_phrases_unmet(const RnPhrases *phrases, const int32_t *state)
{
	int			unmet = 0;
	int			i;

	for (i = 0; i < phrases->n; i++)
		unmet += phrases->phrases[i].wanted - state[MET + i];
	return unmet;
}

int
rn_phrases_tokens(const RnPhrases *phrases, const int32_t *state)
{
	int			tokens = 0;
	int			phrase;
	int			i;

	for (i = 0; i < phrases->n; i++)
		tokens += (phrases->phrases[i].wanted - state[MET + i]) * phrases->phrases[i].n;
	/* what has been written of one need not be written again */
	if (state[NODE] != 0 && state[JUST_MET] < 0)
	{
		int			left = nearest_unmet(phrases, state, state[NODE], &phrase);

		if (left >= 0)
			tokens += left - phrases->phrases[phrase].n;
	}
	return tokens;
}

/* Children of a node that lead to what is still to come. */
static int
add_children(const RnPhrases *phrases, const int32_t *state, int node, int attachable, int32_t *tokens, int n,
			 int room)
{
	int			child;

	for (child = phrases->nodes[node].child; child != 0 && n < room; child = phrases->nodes[child].sibling)
	{
		int32_t		token = phrases->nodes[child].token;
		int			i;

		if ((phrases->nodes[child].bare && !attachable) || !leads_on(phrases, state, child))
			continue;
		for (i = 0; i < n && tokens[i] != token; i++)
			;
		if (i == n)
			tokens[n++] = token;
	}
	return n;
}

int
rn_phrases_next(const RnPhrases *phrases, const int32_t *state, int32_t before, int32_t *tokens, int room)
{
	int			attachable = (phrases->kinds[before] & RN_PIECE_OPENS) != 0;
	int			n = 0;

	if (state[NODE] != 0)
		n = add_children(phrases, state, state[NODE], 1, tokens, n, room);
	if (state[LOCKED])
		return n;
	return add_children(phrases, state, 0, attachable, tokens, n, room);
}

int
rn_phrases_are_free(const RnPhrases *phrases, const int32_t *state, unsigned *forbidden)
{
	*forbidden = phrases->guard | (unsigned) state[BEHIND];
	return !state[LOCKED];
}

unsigned
rn_phrases_kinds(const RnPhrases *phrases, int32_t token)
{
	return phrases->kinds[token];
}
