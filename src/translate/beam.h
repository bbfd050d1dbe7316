/*
 * beam.h
 *		Search over "one decoder step", batched over sentences.
 *
 * Beam search is fairseq's procedure: at each step all beam * V candidates of
 * a sentence are ranked by cumulative log-probability (ties: lower beam index,
 * then lower token id) and the best 2 * beam kept; those among the first beam
 * that are end are finished with score raw / length ^ length_penalty; the
 * first beam that are not end continue.  At step max_length only end is
 * allowed, before min_length it is not.  A sentence ends when beam hypotheses
 * are finished; finished sentences leave the batch.  Pad is never produced.
 * beam 1 is greedy search.
 *
 * Sampling draws n_best answers, each on its own.  A draw is named by seed,
 * source, number of the answer and position: the same in any batch.
 *
 * Alternatives: after the prefix the n_best likeliest tokens are taken, and
 * each is searched on from apart, with a beam of its own.
 *
 * Where answers are made of some tokens only (restriction.h), probabilities
 * are those among these: others do not count in the sum.
 *
 * A demand is what the answers to one sentence must hold: a prefix they begin
 * with, and phrases.  See phrases.h and demanded.c.
 *
 * src/translate/beam.h
 */
#ifndef RN_BEAM_H
#define RN_BEAM_H

#include "model/transformer.h"
#include "translate/phrases.h"
#include "translate/search_options.h"

typedef struct RnRestriction RnRestriction;

typedef struct RnDemand
{
	int32_t    *prefix;			/* [n_prefix] tokens that answers begin with */
	int			n_prefix;
	RnPhrases  *phrases;		/* NULL: none; not with sampling */

	/*
	 * With phrases: may an answer that has them all stand, as far as it goes?
	 * If not, nothing that follows makes it right.  May be NULL.
	 */
	int			(*accepts) (void *arg, const int32_t *ids, int n);
	void	   *arg;
} RnDemand;

/* One finished hypothesis; arrays with final end, in memory of the search's result. */
typedef struct RnHypothesis
{
	int32_t    *ids;
	double	   *log_probabilities;	/* of each, given what is before it */
	int			n;
	double		score;
	double		log_probability;	/* their sum */
} RnHypothesis;

typedef struct RnHypotheses
{
	int			n_sentences;
	int			n_best;
	RnHypothesis *items;		/* [n_sentences * n_best], best first; ids NULL where there are fewer */
	int32_t    *ids;			/* where they point to */
	double	   *log_probabilities;
} RnHypotheses;

/* How far a search over these sources may go that demands nothing. */
typedef struct RnSearchSize
{
	int			rows;			/* hypotheses at once */
	int			steps;			/* positions */
	size_t		cells;			/* positions of all hypotheses */
} RnSearchSize;

extern RnSearchSize rn_search_size(const RnSearchOptions *options, int longest, const RnPacked *source);

/* Rows that the search of one sentence takes at most; demand may be NULL. */
extern int	rn_search_rows(const RnSearchOptions *options, const RnDemand *demand);

/*
 * Search for a packed batch of sources.  decoder: of the same model; values:
 * flat weights; demands: [n_sentences] or NULL, each may be NULL; restriction:
 * NULL for all tokens.  *stop, which
 * may be NULL, is looked at before each step: RN_CANCELLED.  RN_DIVERGED when
 * the model gives no numbers, RN_INVALID or RN_LIMIT when there is no room for
 * what is demanded.  What results holds is to be freed after RN_OK only.
 */
extern RnStatus rn_beam_search(RnContext *ctx, RnDecoder *decoder, const RnModel *model, const RnKernels *kernels,
							   RnLane *lane, const rn_real *values, const RnPacked *source,
							   const int32_t *source_ids, const RnSearchOptions *options,
							   const RnDemand *const *demands, const RnRestriction *restriction,
							   RnHypotheses *results, const volatile int *stop);
extern void rn_hypotheses_free(RnHypotheses *results);

#endif							/* RN_BEAM_H */
