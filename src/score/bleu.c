/*
 * bleu.c
 *		Corpus BLEU, equal to sacreBLEU's default.
 *
 * Words become numbers first, equal words the same one, so that n-grams are
 * compared without looking at text again.
 *
 * src/score/bleu.c
 */
#include "score/bleu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "score/ngram.h"
#include "score/tokenize_13a.h"

void
rn_bleu_init(RnBleu *bleu)
{
	memset(bleu, 0, sizeof(*bleu));
}

/* FNV-1a, the high half folded in. */
static size_t
hash_word(const RnWord *word)
{
	uint64_t	hash = UINT64_C(0xCBF29CE484222325);
	size_t		i;

	for (i = 0; i < word->size; i++)
		hash = (hash ^ (unsigned char) word->bytes[i]) * UINT64_C(0x100000001B3);
	return (size_t) (hash ^ hash >> 32);
}

static int
equal(const RnWord *a, const RnWord *b)
{
	return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/*
 * Give each word of list its number: the place of the first equal one, counted
 * from first.  slots[] holds 1 + place, 0 for free; all[place] finds the word.
 */
static void
number_words(const RnWords *list, size_t first, const RnWord **all,
			 size_t *slots, size_t mask, uint32_t *numbers)
{
	size_t		i;

	for (i = 0; i < list->n; i++)
	{
		const RnWord *word = &list->words[i];
		size_t		at = hash_word(word) & mask;

		all[first + i] = word;
		while (slots[at] != 0 && !equal(all[slots[at] - 1], word))
			at = (at + 1) & mask;
		if (slots[at] == 0)
			slots[at] = first + i + 1;
		numbers[first + i] = (uint32_t) (slots[at] - 1);
	}
}

static RnStatus
match_words(RnContext *ctx, RnBleu *bleu, const RnWords *hypothesis, const RnWords *reference)
{
	size_t		n = hypothesis->n + reference->n;
	size_t		room = 16;
	size_t	   *slots;
	const RnWord **all;
	uint32_t   *numbers;
	RnStatus	status;

	if (n >= UINT32_MAX)
		return rn_fail(ctx, RN_LIMIT, "text is too long to be scored");
	while (room < 2 * n)
		room *= 2;
	slots = calloc(room, sizeof(*slots));
	all = malloc((n + 1) * sizeof(*all));
	numbers = malloc((n + 1) * sizeof(*numbers));
	if (slots == NULL || all == NULL || numbers == NULL)
		status = rn_out_of_memory(ctx, room * sizeof(*slots) +
								  n * (sizeof(*all) + sizeof(*numbers)));
	else
	{
		number_words(hypothesis, 0, all, slots, room - 1, numbers);
		number_words(reference, hypothesis->n, all, slots, room - 1, numbers);
		status = rn_ngram_match(ctx, numbers, hypothesis->n,
								numbers + hypothesis->n, reference->n,
								RN_BLEU_ORDER, bleu->match);
	}
	free(slots);
	free(all);
	free(numbers);
	return status;
}

RnStatus
rn_bleu_add(RnContext *ctx, RnBleu *bleu,
			const char *hypothesis, size_t hypothesis_bytes,
			const char *reference, size_t reference_bytes)
{
	RnWords		hypothesis_words;
	RnWords		reference_words;
	RnStatus	status;
	int			n;

	RN_TRY(rn_tokenize_13a(ctx, hypothesis, hypothesis_bytes, &hypothesis_words));
	status = rn_tokenize_13a(ctx, reference, reference_bytes, &reference_words);
	if (status == RN_OK)
	{
		status = match_words(ctx, bleu, &hypothesis_words, &reference_words);
		if (status == RN_OK)
		{
			for (n = 1; n <= RN_BLEU_ORDER; n++)
				bleu->total[n - 1] += rn_ngram_count(hypothesis_words.n, n);
			bleu->hypothesis_length += (int64_t) hypothesis_words.n;
			bleu->reference_length += (int64_t) reference_words.n;
			bleu->sentences++;
		}
		rn_words_free(&reference_words);
	}
	rn_words_free(&hypothesis_words);
	return status;
}

void
rn_bleu_combine(RnBleu *into, const RnBleu *other)
{
	int			n;

	for (n = 0; n < RN_BLEU_ORDER; n++)
	{
		into->match[n] += other->match[n];
		into->total[n] += other->total[n];
	}
	into->hypothesis_length += other->hypothesis_length;
	into->reference_length += other->reference_length;
	into->sentences += other->sentences;
}

/*
 * Papineni et al. 2002, section 2.3: BP * exp(mean of log p_n), with
 * BP = exp(1 - r/c) when the hypotheses are shorter.  The k-th order without
 * any match counts as 1 / 2^k of a match (Chen and Cherry 2014, method 3).
 */
double
rn_bleu_score(const RnBleu *bleu)
{
	double		log_sum = 0.0;
	double		smooth = 1.0;
	double		brevity = 1.0;
	int			n;

	/* A corpus without one word right has no score, smoothed or not. */
	for (n = 0; n < RN_BLEU_ORDER && bleu->match[n] == 0; n++)
		;
	if (n == RN_BLEU_ORDER)
		return 0.0;

	for (n = 0; n < RN_BLEU_ORDER; n++)
	{
		double		precision;

		if (bleu->total[n] == 0)
			return 0.0;
		if (bleu->match[n] == 0)
		{
			smooth *= 2.0;
			precision = 100.0 / (smooth * (double) bleu->total[n]);
		}
		else
			precision = 100.0 * (double) bleu->match[n] / (double) bleu->total[n];
		log_sum += log(precision);
	}
	if (bleu->hypothesis_length < bleu->reference_length)
		brevity = exp(1.0 - (double) bleu->reference_length /
					  (double) bleu->hypothesis_length);
	return brevity * exp(log_sum / RN_BLEU_ORDER);
}
