/*
 * phrases.h
 *		Sequences of tokens that an answer must contain, and how far one is.
 *
 * The state of a hypothesis is a function of its tokens alone: phrases are
 * kept as a tree of tokens, the state is a place in it and, for each phrase,
 * how often it has been met.  So equal answers have equal states, and a
 * finished answer can be read again to see where its phrases stand.
 *
 * src/translate/phrases.h
 */
#ifndef RN_PHRASES_H
#define RN_PHRASES_H

#include <stdint.h>

#include "base/context.h"

/* What a piece looks like, for what may stand next to a phrase. */
enum
{
	RN_PIECE_CONTINUES = 1,		/* goes on with a word that stands before it */
	RN_PIECE_OPENS = 2,			/* something may be attached to it: a bracket, a quotation mark */
	RN_PIECE_DIGIT = 4,			/* contains a digit, and so on */
	RN_PIECE_BRACE = 8,
	RN_PIECE_PERCENT = 16,
	RN_PIECE_ADDRESS = 32,
	RN_PIECE_JOINS = 64,		/* attached to what stands before it, as a hyphen is, and no end of anything */
	RN_PIECE_BEGINS = 128		/* a space stands before it */
};

typedef struct RnPhrases RnPhrases;

/*
 * guard: an answer has pieces of these kinds only within a phrase (so that
 * a number is not written once more).  kinds: of each piece, lent.
 */
extern RnStatus rn_phrases_create(RnContext *ctx, const uint8_t *kinds, unsigned guard, RnPhrases **phrases);
extern void rn_phrases_free(RnPhrases *phrases);

/*
 * A phrase that must appear wanted times at least, written as ids.  bare: NULL
 * or another way to write it, attached to an opening piece before it.
 * not_behind: no piece of these kinds may follow; if RN_PIECE_JOINS is among
 * them not before the next space.  Numbered from 0.
 */
extern RnStatus rn_phrases_add(RnContext *ctx, RnPhrases *phrases, const int32_t *ids, int n, const int32_t *bare,
							   int n_bare, unsigned not_behind, int wanted);

/* Tokens that phrases are written with, by number from 0, some of them twice; -1 behind the last. */
extern int32_t rn_phrases_token(const RnPhrases *phrases, int number);

/* Phrases, each as often as it is wanted. */
extern int	rn_phrases_wanted(const RnPhrases *phrases);

/* ---- states ---- */

extern int	rn_phrases_state_size(const RnPhrases *phrases);
extern void rn_phrases_begin(const RnPhrases *phrases, int32_t *state);

/*
 * Read a token.  *done, if given: the phrase that this token completes, or -1.
 * A phrase may turn out to be the beginning of a longer one: then the state
 * takes it back, and *taken_back says so.
 */
extern void rn_phrases_step(const RnPhrases *phrases, const int32_t *state, int32_t token, int32_t *next, int *done,
							int *taken_back);

/* Tokens of the phrase that the state is in, so far. */
extern int	rn_phrases_depth(const RnPhrases *phrases, const int32_t *state);

/* Is it in a phrase that has been begun and does not end here? */
extern int	rn_phrases_is_within(const int32_t *state);

/* Whatever has been begun is not gone on with: the end of a prefix. */
extern void rn_phrases_leave(const RnPhrases *phrases, int32_t *state);

/* Phrases that are still to come, each as often as it is; and tokens that they take. */
extern int	rn_phrases_unmet(const RnPhrases *phrases, const int32_t *state);
extern int	rn_phrases_tokens(const RnPhrases *phrases, const int32_t *state);

/* Tokens that begin or go on with a phrase which is still to come; at most room of them. */
extern int	rn_phrases_next(const RnPhrases *phrases, const int32_t *state, int32_t before, int32_t *tokens, int room);

/* May a token follow that is none of them?  *forbidden: pieces of these kinds may not. */
extern int	rn_phrases_are_free(const RnPhrases *phrases, const int32_t *state, unsigned *forbidden);

/* Kinds of a piece. */
extern unsigned rn_phrases_kinds(const RnPhrases *phrases, int32_t token);

#endif							/* RN_PHRASES_H */
