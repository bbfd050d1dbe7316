/*
 * lexicon.h
 *		A shortlist out of sentence pairs: which target pieces translate a
 *		source piece.
 *
 * IBM Model 1 (Brown et al. 1993, section 4.1): each piece of a target is a
 * translation of one piece of its source, or of none ("NULL"), all positions
 * being as likely.  t(f | e) is found by expectation maximisation:
 *
 *		count(f, e) += t(f | e) / sum over e' of t(f | e')		e' in the pair's source and NULL
 *		t(f | e) = count(f, e) / sum over f' of count(f', e)
 *
 * starting from one value for all.  Ids only, never text.  Deterministic: the
 * pairs in the same order give the same shortlist.
 *
 * Memory does not grow with the pairs: for each source piece only so many
 * target pieces are considered as fit into a bound, those with the largest
 * count of the first round, which are found before, some source pieces a pass.
 *
 * src/shortlist/lexicon.h
 */
#ifndef RN_LEXICON_H
#define RN_LEXICON_H

#include "shortlist/shortlist.h"

#define RN_LEXICON_MEMORY	((size_t) 256 * 1024 * 1024)	/* enough for every vocabulary up to 100,000 */

/* Takes a pair of pieces, without start and end. */
typedef void (*RnLexiconSink) (void *arg, const int32_t *source, int n_source, const int32_t *target, int n_target);

/* Gives all pairs to the sink, in the same order each time; is called once a pass. */
typedef RnStatus (*RnLexiconPass) (RnContext *ctx, void *arg, RnLexiconSink sink, void *sink_arg);

typedef struct RnLexiconOptions
{
	int			vocabulary;
	int			rounds;			/* of expectation maximisation */
	int			frequent;		/* target pieces that are in every set */
	int			best;			/* target pieces of each source piece; fewer where memory does not allow so many */
	size_t		memory;			/* bytes, about */
} RnLexiconOptions;

typedef struct RnLexicon RnLexicon;

extern RnStatus rn_lexicon_learn(RnContext *ctx, const RnLexiconOptions *options, RnLexiconPass pass, void *arg,
								 RnLexicon **lexicon);
extern void rn_lexicon_free(RnLexicon *lexicon);

/* t(target | source); source -1: NULL.  0 where it was not considered. */
extern double rn_lexicon_probability(const RnLexicon *lexicon, int32_t source, int32_t target);

/* The most frequent target pieces, and the best of each source piece. */
extern RnStatus rn_lexicon_shortlist(RnContext *ctx, const RnLexicon *lexicon, RnShortlist **shortlist);

#endif							/* RN_LEXICON_H */
