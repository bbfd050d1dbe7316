/*
 * ngram.h
 *		How many n-grams two sequences of symbols share.
 *
 * src/score/ngram.h
 */
#ifndef RN_NGRAM_H
#define RN_NGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

/*
 * Add to match[n - 1], for n = 1 .. order, the n-grams of the hypothesis that
 * the reference has, each at most as often as there.  Linear in the lengths.
 */
extern RnStatus rn_ngram_match(RnContext *ctx,
							   const uint32_t *hypothesis, size_t hypothesis_length,
							   const uint32_t *reference, size_t reference_length,
							   int order, int64_t *match);

/* N-grams in a sequence. */
static inline int64_t
rn_ngram_count(size_t length, int n)
{
	return length < (size_t) n ? 0 : (int64_t) (length - (size_t) n + 1);
}

#endif							/* RN_NGRAM_H */
