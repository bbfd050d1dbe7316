/*
 * judgement.h
 *		What a hypothesis is worth beside its reference, by every measure at once.
 *
 * src/score/judgement.h
 */
#ifndef RN_JUDGEMENT_H
#define RN_JUDGEMENT_H

#include "score/bleu.h"
#include "score/chrf.h"

typedef enum RnMeasure
{
	RN_MEASURE_BLEU,
	RN_MEASURE_CHRF,
	RN_MEASURE_EXACT,			/* per cent of hypotheses that are the reference, white space apart */
	RN_MEASURES
} RnMeasure;

/* Sufficient statistics of one sentence or of many; plain data, may be copied; all zero is none. */
typedef struct RnJudgement
{
	RnBleu		bleu;
	RnChrf		chrf;
	int64_t		exact;			/* sentences that are the reference */
} RnJudgement;

/* "bleu", "chrf", "exact_match" */
extern const char *rn_measure_name(RnMeasure measure);

/* Add one sentence; texts are UTF-8, need not end in NUL, may be malformed. */
extern RnStatus rn_judge(RnContext *ctx, RnJudgement *judgement,
						 const char *hypothesis, size_t hypothesis_bytes,
						 const char *reference, size_t reference_bytes);
extern void rn_judgement_combine(RnJudgement *into, const RnJudgement *other);

/* 0 .. 100; 0 for no sentences. */
extern double rn_judgement_score(const RnJudgement *judgement, RnMeasure measure);

#endif							/* RN_JUDGEMENT_H */
