/*
 * search_options.h
 *		Options of a translation: one table, checked once, typed ever after.
 *
 * Linked into both programs, like model/config.h: residual.so checks a
 * caller's options at once and lists them, the engine reads the struct.
 *
 * src/translate/search_options.h
 */
#ifndef RN_SEARCH_OPTIONS_H
#define RN_SEARCH_OPTIONS_H

#include "model/config.h"

#define RN_BEAM_MAX		64

typedef enum RnPrecision
{
	RN_FLOAT32 = 0,
	RN_INT8
} RnPrecision;

#define RN_N_PRECISIONS	2

/*
 * Where no max_length is given an answer may be twice as long as its source
 * and a little more, or as the model's length_factor says, which bounds what
 * a model that fails to end can cost.
 */
#define RN_LENGTH_FACTOR	2.0
#define RN_LENGTH_OFFSET	10

typedef struct RnSearchOptions
{
	int			beam;			/* 1 .. RN_BEAM_MAX; 1: greedy */
	int			n_best;			/* 1 .. beam */
	double		length_penalty; /* exponent of the length in a score; 0: none */
	int			min_length;		/* tokens of an answer without its end, at least (as far as max_length allows) */
	int			max_length;		/* at most; 0: only the bounds below */
	double		max_length_factor;	/* and at most this (or the model's) times the source's pieces ... */
	int			max_length_offset;	/* ... plus this; factor 0: no such bound */
	int			sampling;		/* tokens are drawn instead of searched for */
	double		temperature;	/* log-probabilities are divided by this before drawing */
	int			top_k;			/* drawn from so many likeliest tokens; 0: from all */
	int64_t		seed;			/* of what is drawn */
	int			alternatives;	/* answers differ in their first token (behind the prefix) */
	int			glossary_ignore_case;	/* of its terms, not of their translations */
	int			preserve;		/* placeholders, addresses and numbers */
	int			precision;		/* RnPrecision */
	int			shortlist;		/* answers are made of what the model's shortlist says, where it has one */
	int			token_scores;	/* whoever asks wants to know each token's: not an option of users */

	/* which options were given, so that what contradicts them can be told */
	int			has_beam;
	int			has_drawing;	/* temperature, top_k or seed */
	int			has_prefix;		/* texts come with one */
	int			has_glossary;
} RnSearchOptions;

/* All options in the order of documentation, *n of them; offsets are into RnSearchOptions. */
extern const RnOption *rn_search_option_list(int *n);

extern void rn_search_defaults(RnSearchOptions *options);

/*
 * Set one option from text: RN_INVALID for an unknown key (with the nearest
 * as a hint), what is no number, or what is out of range.
 */
extern RnStatus rn_search_set(RnContext *ctx, RnSearchOptions *options, const char *key, const char *value);

/* Is it decided by the function that is called, and no option of users? */
extern int	rn_search_is_internal(const char *key);

/*
 * What single options cannot tell: those that contradict one another, n_best
 * above beam.  Sampling sets a beam that was not given to 1.
 */
extern RnStatus rn_search_check(RnContext *ctx, RnSearchOptions *options);

#endif							/* RN_SEARCH_OPTIONS_H */
