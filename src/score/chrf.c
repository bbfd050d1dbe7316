/*
 * chrf.c
 *		Corpus chrF, equal to sacreBLEU's default.
 *
 * src/score/chrf.c
 */
#include "score/chrf.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "score/ngram.h"

#define BETA	2.0				/* recall counts this much more than precision */

void
rn_chrf_init(RnChrf *chrf)
{
	memset(chrf, 0, sizeof(*chrf));
}

/* Code points without white space; how many. */
static size_t
characters(const char *text, size_t bytes, uint32_t *codes)
{
	size_t		n = 0;
	size_t		at = 0;

	while (at < bytes)
	{
		uint32_t	code = rn_utf8_next(text, bytes, &at);

		if (!rn_utf8_is_space(code))
			codes[n++] = code;
	}
	return n;
}

RnStatus
rn_chrf_add(RnContext *ctx, RnChrf *chrf,
			const char *hypothesis, size_t hypothesis_bytes,
			const char *reference, size_t reference_bytes)
{
	size_t		room = (hypothesis_bytes + reference_bytes + 1) * sizeof(uint32_t);
	uint32_t   *codes = malloc(room);
	uint32_t   *reference_codes;
	size_t		hypothesis_length;
	size_t		reference_length;
	RnStatus	status;
	int			n;

	if (codes == NULL)
		return rn_out_of_memory(ctx, room);
	hypothesis_length = characters(hypothesis, hypothesis_bytes, codes);
	reference_codes = codes + hypothesis_length;
	reference_length = characters(reference, reference_bytes, reference_codes);
	status = rn_ngram_match(ctx, codes, hypothesis_length, reference_codes, reference_length,
							RN_CHRF_ORDER, chrf->match);
	free(codes);
	if (status != RN_OK)
		return status;

	for (n = 1; n <= RN_CHRF_ORDER; n++)
	{
		int64_t		possible = rn_ngram_count(reference_length, n);

		/* Where the reference is too short to have any, none is held against it. */
		if (possible > 0)
			chrf->hypothesis[n - 1] += rn_ngram_count(hypothesis_length, n);
		chrf->reference[n - 1] += possible;
	}
	chrf->sentences++;
	return RN_OK;
}

void
rn_chrf_combine(RnChrf *into, const RnChrf *other)
{
	int			n;

	for (n = 0; n < RN_CHRF_ORDER; n++)
	{
		into->hypothesis[n] += other->hypothesis[n];
		into->reference[n] += other->reference[n];
		into->match[n] += other->match[n];
	}
	into->sentences += other->sentences;
}

/*
 * Popović 2015, equation 1: (1 + beta^2) P R / (beta^2 P + R), with P and R
 * the means over the orders that both sides have.
 */
double
rn_chrf_score(const RnChrf *chrf)
{
	double		precision = 0.0;
	double		recall = 0.0;
	int			orders = 0;
	int			n;

	for (n = 0; n < RN_CHRF_ORDER; n++)
	{
		if (chrf->hypothesis[n] == 0 || chrf->reference[n] == 0)
			continue;
		precision += (double) chrf->match[n] / (double) chrf->hypothesis[n];
		recall += (double) chrf->match[n] / (double) chrf->reference[n];
		orders++;
	}
	if (orders == 0 || precision + recall == 0.0)
		return 0.0;
	precision /= orders;
	recall /= orders;
	return 100.0 * ((1.0 + BETA * BETA) * precision * recall) /
		(BETA * BETA * precision + recall);
}
