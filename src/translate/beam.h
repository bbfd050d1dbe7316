/*
 * beam.h
 *		Beam search over "one decoder step", batched over sentences.
 *
 * fairseq's procedure: at each step all beam * V candidates of a sentence are
 * ranked by cumulative log-probability (ties: lower beam index, then lower
 * token id) and the best 2 * beam kept; those among the first beam that are
 * end are finished with score raw / length ^ length_penalty; the first beam
 * that are not end continue.  At step max_length only end is allowed.  A
 * sentence ends when beam hypotheses are finished; finished sentences leave
 * the batch.  Pad is never produced.  beam 1 is greedy search.
 *
 * src/translate/beam.h
 */
#ifndef RN_BEAM_H
#define RN_BEAM_H

#include "model/transformer.h"
#include "translate/search_options.h"

/* One finished hypothesis; ids with final end, in memory of the search's result. */
typedef struct RnHypothesis
{
	int32_t    *ids;
	int			n;
	double		score;
	double		log_probability;
} RnHypothesis;

typedef struct RnHypotheses
{
	int			n_sentences;
	int			n_best;
	RnHypothesis *items;		/* [n_sentences * n_best], best first; ids NULL where there are fewer */
	int32_t    *ids;			/* where they point to */
} RnHypotheses;

/*
 * Search for a packed batch of sources.  decoder: of the same model; values:
 * flat weights.  *stop, which may be NULL, is looked at before each step:
 * RN_CANCELLED.  RN_DIVERGED when the model gives no numbers.  What results
 * holds is to be freed after RN_OK only.
 */
extern RnStatus rn_beam_search(RnContext *ctx, RnDecoder *decoder, const RnModel *model, const RnKernels *kernels,
							   RnLane *lane, const rn_real *values, const RnPacked *source,
							   const int32_t *source_ids, const RnSearchOptions *options,
							   RnHypotheses *results, const volatile int *stop);
extern void rn_hypotheses_free(RnHypotheses *results);

#endif							/* RN_BEAM_H */
