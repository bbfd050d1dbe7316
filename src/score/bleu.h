/*
 * bleu.h
 *		Corpus BLEU, equal to sacreBLEU's default.
 *
 * Papineni et al. 2002; Post 2018, "A Call for Clarity in Reporting BLEU
 * Scores": 13a tokenisation, 4-grams, exponential smoothing, case kept, one
 * reference.  Signature: nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp.
 * Counts add up over sentences, so partial results combine (parallel
 * aggregates, threads).
 *
 * src/score/bleu.h
 */
#ifndef RN_BLEU_H
#define RN_BLEU_H

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

#define RN_BLEU_ORDER	4
#define RN_BLEU_SIGNATURE	"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp"

/* Sufficient statistics; plain data, may be copied and added. */
typedef struct RnBleu
{
	int64_t		match[RN_BLEU_ORDER];	/* clipped n-gram matches, n = index + 1 */
	int64_t		total[RN_BLEU_ORDER];	/* n-grams of the hypotheses */
	int64_t		hypothesis_length;	/* tokens */
	int64_t		reference_length;	/* tokens */
	int64_t		sentences;
} RnBleu;

extern void rn_bleu_init(RnBleu *bleu);

/* Add one sentence; texts are UTF-8, need not end in NUL, may be malformed. */
extern RnStatus rn_bleu_add(RnContext *ctx, RnBleu *bleu,
							const char *hypothesis, size_t hypothesis_bytes,
							const char *reference, size_t reference_bytes);
extern void rn_bleu_combine(RnBleu *into, const RnBleu *other);

/* 0 .. 100; 0 for no sentences. */
extern double rn_bleu_score(const RnBleu *bleu);

#endif							/* RN_BLEU_H */
