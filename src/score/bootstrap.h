/*
 * bootstrap.h
 *		Is the difference between two systems more than chance?
 *
 * Paired bootstrap resampling (Koehn 2004, "Statistical Significance Tests for
 * Machine Translation Evaluation"), with the definitions of sacreBLEU: as many
 * sentences as there are are drawn with replacement, the same for both
 * systems; the p-value is the share of resamples (and one more) in which the
 * absolute difference of the scores, less its mean over the resamples, is
 * larger than the one that was observed.  The random numbers are ours, and so
 * is the p-value of two systems that differ in no resample: 1, where sacreBLEU
 * has its smallest.
 *
 * src/score/bootstrap.h
 */
#ifndef RN_BOOTSTRAP_H
#define RN_BOOTSTRAP_H

#include "score/judgement.h"

/* Scores of two systems on the same sentences. */
typedef struct RnPairedScores
{
	double		score[2][RN_MEASURES];	/* 0 .. 100 */
} RnPairedScores;

typedef struct RnComparison
{
	double		difference;		/* of the scores on all sentences, second less first */
	double		lower;			/* confidence interval of the difference: between the resamples' percentiles */
	double		upper;
	double		margin[2];		/* half of the confidence interval of each score */
	double		p_value;
} RnComparison;

/* Which of n sentences the resample of that number is made of: drawn [n], each below n. */
extern void rn_bootstrap_draw(uint64_t seed, uint32_t sample, uint32_t *drawn, uint32_t n);

/*
 * Scores on the n sentences that are drawn (NULL: each once); judgements of
 * the first and the second system, sentence by sentence.
 */
extern void rn_bootstrap_score(const RnJudgement *first, const RnJudgement *second, const uint32_t *drawn,
							   size_t n, RnPairedScores *scores);

/* What the scores on all sentences and on n_samples resamples say; confidence is in (0, 1). */
extern RnStatus rn_bootstrap_compare(RnContext *ctx, const RnPairedScores *whole,
									 const RnPairedScores *samples, size_t n_samples,
									 RnMeasure measure, double confidence, RnComparison *comparison);

#endif							/* RN_BOOTSTRAP_H */
