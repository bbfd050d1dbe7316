/*
 * chrf.h
 *		Corpus chrF, equal to sacreBLEU's default.
 *
 * Popović 2015, "chrF: character n-gram F-score": character order 6, word
 * order 0, beta 2, white space removed, effective order
 * (signature nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no).
 *
 * src/score/chrf.h
 */
#ifndef RN_CHRF_H
#define RN_CHRF_H

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

#define RN_CHRF_ORDER	6
#define RN_CHRF_SIGNATURE	"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no"

/* Sufficient statistics; plain data, may be copied and added. */
typedef struct RnChrf
{
	int64_t		hypothesis[RN_CHRF_ORDER];	/* n-grams, n = index + 1 */
	int64_t		reference[RN_CHRF_ORDER];
	int64_t		match[RN_CHRF_ORDER];
	int64_t		sentences;
} RnChrf;

extern void rn_chrf_init(RnChrf *chrf);

/* Add one sentence; texts are UTF-8, need not end in NUL, may be malformed. */
extern RnStatus rn_chrf_add(RnContext *ctx, RnChrf *chrf,
							const char *hypothesis, size_t hypothesis_bytes,
							const char *reference, size_t reference_bytes);
extern void rn_chrf_combine(RnChrf *into, const RnChrf *other);

/* 0 .. 100; 0 for no sentences. */
extern double rn_chrf_score(const RnChrf *chrf);

#endif							/* RN_CHRF_H */
