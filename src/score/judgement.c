/*
 * judgement.c
 *		What a hypothesis is worth beside its reference, by every measure at once.
 *
 * src/score/judgement.c
 */
#include "score/judgement.h"

#include <string.h>

#include "base/utf8.h"

const char *
rn_measure_name(RnMeasure measure)
{
	static const char *const names[RN_MEASURES] = {"bleu", "chrf", "exact_match"};

	return names[measure];
}

/* The next run of bytes without white space: its size, 0 at the end. */
static size_t
next_word(const char *text, size_t bytes, size_t *at, const char **word)
{
	size_t		begin = *at;
	size_t		end;

	while (*at < bytes)
	{
		begin = *at;
		if (!rn_utf8_is_space(rn_utf8_next(text, bytes, at)))
			break;
		begin = *at;
	}
	for (end = *at; *at < bytes; end = *at)
	{
		if (rn_utf8_is_space(rn_utf8_next(text, bytes, at)))
			break;
	}
	*word = text + begin;
	return end - begin;
}

static int
is_exact(const char *hypothesis, size_t hypothesis_bytes, const char *reference, size_t reference_bytes)
{
	size_t		at[2] = {0, 0};

	for (;;)
	{
		const char *words[2];
		size_t		size = next_word(hypothesis, hypothesis_bytes, &at[0], &words[0]);

		if (size != next_word(reference, reference_bytes, &at[1], &words[1]) ||
			memcmp(words[0], words[1], size) != 0)
			return 0;
		if (size == 0)
			return 1;
	}
}

RnStatus
rn_judge(RnContext *ctx, RnJudgement *judgement,
		 const char *hypothesis, size_t hypothesis_bytes,
		 const char *reference, size_t reference_bytes)
{
	RN_TRY(rn_bleu_add(ctx, &judgement->bleu, hypothesis, hypothesis_bytes, reference, reference_bytes));
	RN_TRY(rn_chrf_add(ctx, &judgement->chrf, hypothesis, hypothesis_bytes, reference, reference_bytes));
	judgement->exact += is_exact(hypothesis, hypothesis_bytes, reference, reference_bytes);
	return RN_OK;
}

void
rn_judgement_combine(RnJudgement *into, const RnJudgement *other)
{
	rn_bleu_combine(&into->bleu, &other->bleu);
	rn_chrf_combine(&into->chrf, &other->chrf);
	into->exact += other->exact;
}

double
rn_judgement_score(const RnJudgement *judgement, RnMeasure measure)
{
	switch (measure)
	{
		case RN_MEASURE_BLEU:
			return rn_bleu_score(&judgement->bleu);
		case RN_MEASURE_CHRF:
			return rn_chrf_score(&judgement->chrf);
		case RN_MEASURE_EXACT:
			if (judgement->bleu.sentences > 0)
				return 100.0 * (double) judgement->exact / (double) judgement->bleu.sentences;
			break;
		case RN_MEASURES:
			break;
	}
	return 0.0;
}
