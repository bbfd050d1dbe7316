/*
 * demanded.c
 *		Search where phrases must appear in every answer.
 *
 * The idea is that of dynamic beam allocation (Post & Vilar 2018, "Fast
 * Lexically Constrained Decoding with Dynamic Beam Allocation for Neural
 * Machine Translation"): next to what the model likes, every hypothesis offers
 * the tokens that begin or go on with a phrase, however unlikely, and
 * hypotheses compete only with those that lack as many phrases as they do.
 * Ours differ from the paper's in four ways: what is counted is phrases and
 * not tokens, so that a long one does not spread the beam thin, and those who
 * are within a phrase compete apart; what a phrase dictates is not compared
 * (see RnDictated); only shares that occur get places; and a hypothesis never
 * goes where the room that is left would not hold what it still lacks, so that
 * every answer is complete.
 *
 * src/translate/demanded.c
 */
#include "translate/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Tokens that may begin or go on with a phrase, at most: each is written in two ways at most. */
static int
most_next(const RnSearchSentence *sentence)
{
	return 4 * rn_phrases_state_size(sentence->demand->phrases);
}

/* The likeliest tokens of a row that are looked at. */
static int
most_free(const RnSearch *search, const RnSearchSentence *sentence)
{
	int			free_ones = sentence->width + 1;

	return free_ones > search->options->n_best ? free_ones : search->options->n_best;
}

size_t
rn_demanded_of_row(const RnSearch *search, const RnSearchSentence *sentence)
{
	return 1 + most_free(search, sentence) + most_next(sentence);
}

RnDictated
rn_dictated_after(const RnDictated *before, const RnPhrases *phrases, const int32_t *state, int done,
				  double log_probability)
{
	RnDictated	after = *before;

	if (rn_phrases_depth(phrases, state) > 1)
	{
		after.open_log_probability += log_probability;
		after.n_open++;
	}
	else
	{
		after.open_log_probability = 0;
		after.n_open = 0;
	}
	if (done >= 0)
	{
		after.log_probability += after.open_log_probability;
		after.n += after.n_open;
		after.open_log_probability = 0;
		after.n_open = 0;
	}
	return after;
}

/* after: the state that the token leads to; done: the phrase that it completes, or -1. */
static void
add_candidate(RnSearch *search, const RnPhrases *phrases, int row, int32_t id, double normalizer, const int32_t *after,
			  int done, int *n)
{
	RnCandidate *candidate = &search->candidates[(*n)++];
	RnDictated	dictated;

	candidate->log_probability = search->row[id] - normalizer;
	candidate->score = search->score[row] + candidate->log_probability;
	dictated = rn_dictated_after(&search->dictated[row], phrases, after, done, candidate->log_probability);
	candidate->rank = candidate->score - dictated.log_probability - dictated.open_log_probability;
	candidate->row = row;
	candidate->id = id;
	candidate->share = 2 * rn_phrases_unmet(phrases, after) + rn_phrases_is_within(after);
}

/* Is there room behind this step for what a state lacks? */
static int
has_room(const RnSearch *search, const RnSearchSentence *sentence, const int32_t *state)
{
	return rn_phrases_tokens(sentence->demand->phrases, state) <= sentence->limit - search->step - 1;
}

/* Tokens of phrases, from first on in search->candidates. */
static RnStatus
add_next(RnContext *ctx, RnSearch *search, const RnSearchSentence *sentence, int row, double normalizer, int *n)
{
	const RnPhrases *phrases = sentence->demand->phrases;
	const int32_t *state = rn_state_of_row(search, row);
	int			room = most_next(sentence);
	int32_t    *tokens = malloc((room + rn_phrases_state_size(phrases)) * sizeof(int32_t));
	int32_t    *after = tokens + room;
	int			n_tokens;
	int			i;

	if (tokens == NULL)
		return rn_out_of_memory(ctx, room * sizeof(int32_t));
	n_tokens = rn_phrases_next(phrases, state, rn_ids_of_step(search, search->step)[row], tokens, room);
	for (i = 0; i < n_tokens; i++)
	{
		int			done;

		rn_phrases_step(phrases, state, tokens[i], after, &done, NULL);
		if (has_room(search, sentence, after))
			add_candidate(search, phrases, row, tokens[i], normalizer, after, done, n);
	}
	free(tokens);
	return RN_OK;
}

static int
is_added(const RnSearch *search, int first, int n, int32_t id)
{
	for (; first < n; first++)
	{
		if (search->candidates[first].id == id)
			return 1;
	}
	return 0;
}

/* The likeliest other tokens, by insertion; those of phrases are there already, from first on. */
static void
add_free(RnSearch *search, const RnSearchSentence *sentence, int row, double normalizer, unsigned forbidden,
		 const int32_t *left, int first, int *n)
{
	const RnPhrases *phrases = sentence->demand->phrases;
	int			begin = *n;
	int			most = most_free(search, sentence);
	int			v,
				i;

	for (v = 0; v < search->vocabulary; v++)
	{
		double		worst = *n - begin < most ? -INFINITY : search->candidates[*n - 1].log_probability;

		if (!(search->row[v] - normalizer > worst) || v == search->pad || v == search->end ||
			(rn_phrases_kinds(phrases, v) & forbidden) != 0 || is_added(search, first, begin, v))
			continue;
		if (*n - begin == most)
			(*n)--;
		i = *n;
		add_candidate(search, phrases, row, v, normalizer, left, -1, n);
		for (; i > begin && search->candidates[i].log_probability > search->candidates[i - 1].log_probability; i--)
		{
			RnCandidate moved = search->candidates[i];

			search->candidates[i] = search->candidates[i - 1];
			search->candidates[i - 1] = moved;
		}
	}
}

static int
is_acceptable(const RnSearch *search, const RnSearchSentence *sentence, int row)
{
	int32_t    *ids = search->answer;
	int			step;

	if (sentence->demand->accepts == NULL)
		return 1;
	for (step = search->step; step > 0; step--)
	{
		ids[step - 1] = rn_ids_of_step(search, step)[row];
		row = rn_parents_of_step(search, step)[row];
	}
	return sentence->demand->accepts(sentence->demand->arg, ids, search->step);
}

static RnStatus
rank_row(RnContext *ctx, RnSearch *search, const RnSearchSentence *sentence, int row, const rn_real *logits, int *n)
{
	const RnPhrases *phrases = sentence->demand->phrases;
	const int32_t *state = rn_state_of_row(search, row);
	size_t		bytes = rn_phrases_state_size(phrases) * sizeof(int32_t);
	int			is_complete = rn_phrases_unmet(phrases, state) == 0;
	int32_t    *left;
	unsigned	forbidden;
	double		normalizer;
	int			first = *n;

	/* nothing that follows makes it right: others take its place */
	if (is_complete && !is_acceptable(search, sentence, row))
		return RN_OK;

	RN_TRY(rn_fetch_row(ctx, search, logits, row));
	RN_TRY(rn_row_normalizer(ctx, search, &normalizer));
	RN_TRY(add_next(ctx, search, sentence, row, normalizer, n));
	if (!rn_phrases_are_free(phrases, state, &forbidden))
		return RN_OK;
	if ((left = malloc(bytes)) == NULL)
		return rn_out_of_memory(ctx, bytes);
	memcpy(left, state, bytes);
	rn_phrases_leave(phrases, left);
	if (is_complete && search->step >= sentence->shortest)
		add_candidate(search, phrases, row, search->end, normalizer, left, -1, n);
	if (has_room(search, sentence, left))
		add_free(search, sentence, row, normalizer, forbidden, left, first, n);
	free(left);
	return RN_OK;
}

static int
compare_candidates(const void *left, const void *right)
{
	const RnCandidate *a = left;
	const RnCandidate *b = right;

	if (a->rank != b->rank)
		return a->rank < b->rank ? 1 : -1;
	return a->row != b->row ? a->row - b->row : a->id - b->id;
}

RnStatus
rn_rank_demanded(RnContext *ctx, RnSearch *search, const RnSearchSentence *sentence, const RnGroup *group,
				 const rn_real *logits, int *n)
{
	int			r;

	*n = 0;
	for (r = 0; r < group->n_rows; r++)
		RN_TRY(rank_row(ctx, search, sentence, group->first + r, logits, n));
	qsort(search->candidates, *n, sizeof(RnCandidate), compare_candidates);
	return RN_OK;
}

/* ---- shares ---- */

/* Shares that candidates belong to, in the order of their best candidate, at most most of them. */
static int
find_shares(const RnSearch *search, int n, int *shares, int most)
{
	int			count = 0;
	int			i,
				k;

	for (i = 0; i < n && count < most; i++)
	{
		for (k = 0; k < count && shares[k] != search->candidates[i].share; k++)
			;
		if (k == count)
			shares[count++] = search->candidates[i].share;
	}
	return count;
}

/* Take up to so many candidates of one share; taken ones have row -1 where they stood. */
static void
take(RnSearch *search, int n, int share, int most, RnCandidate *chosen, int *n_chosen)
{
	int			ends = 0;
	int			others = 0;
	int			i;

	for (i = 0; i < n && others < most; i++)
	{
		RnCandidate *candidate = &search->candidates[i];
		int			is_end = candidate->id == search->end;

		if (candidate->row < 0 || (share >= 0 && candidate->share != share))
			continue;
		/* as in the plain search: end counts where it is among the first */
		if (is_end && ends + others >= most)
			continue;
		chosen[(*n_chosen)++] = *candidate;
		candidate->row = -1;
		ends += is_end;
		others += !is_end;
	}
}

/* Ends first, then the others, each best first. */
static void
write_chosen(RnSearch *search, RnCandidate *chosen, int n_chosen)
{
	int			to = 0;
	int			ends;
	int			i;

	qsort(chosen, n_chosen, sizeof(RnCandidate), compare_candidates);
	for (ends = 1; ends >= 0; ends--)
	{
		for (i = 0; i < n_chosen; i++)
		{
			if ((chosen[i].id == search->end) == ends)
				search->candidates[to++] = chosen[i];
		}
	}
}

void
rn_select_demanded(RnSearch *search, const RnSearchSentence *sentence, int *n)
{
	RnCandidate chosen[4 * RN_SEARCH_WIDTH];
	int			shares[RN_SEARCH_WIDTH];
	int			n_shares = find_shares(search, *n, shares, sentence->width);
	int			n_chosen = 0;
	int			others = 0;
	int			i;

	for (i = 0; i < n_shares; i++)
		take(search, *n, shares[i], sentence->width / n_shares + (i < sentence->width % n_shares), chosen, &n_chosen);
	for (i = 0; i < n_chosen; i++)
		others += chosen[i].id != search->end;
	/* places that a share could not fill */
	if (others < sentence->width)
		take(search, *n, -1, sentence->width - others, chosen, &n_chosen);
	write_chosen(search, chosen, n_chosen);
	*n = n_chosen;
}

/*
 * Shares end apart, so the first answers to end may have put a phrase where it
 * does not belong, before those that put it better come to it.  These are
 * waited for while they are likelier so far, but not for long: what has no
 * phrase yet has not paid for it either.
 */
int
rn_demanded_is_done(const RnSearch *search, RnGroup *group, int n_candidates)
{
	double		best = -INFINITY;
	int			i;

	if (group->n_finished < search->answers_of_group)
		return 0;
	if (group->full_at == 0)
		group->full_at = search->step + 1;
	if (search->step >= group->full_at + group->full_at / 2 + 3)
		return 1;
	for (i = 0; i < group->n_finished; i++)
		best = group->finished[i].rank > best ? group->finished[i].rank : best;
	for (i = 0; i < n_candidates && search->candidates[i].id == search->end; i++)
		;
	return i == n_candidates || search->candidates[i].rank <= best;
}
