/*
 * beam.c
 *		Search over "one decoder step".
 *
 * src/translate/beam.c
 */
#include "translate/search.h"

#include <math.h>
#include <string.h>

/* A row of the next step: it reads the candidate's token. */
static void
add_row(RnSearch *search, const RnSearchSentence *sentence, const RnCandidate *candidate)
{
	const RnDemand *demand = sentence->demand;
	int			row = search->n_next++;

	rn_ids_of_step(search, search->step + 1)[row] = candidate->id;
	rn_parents_of_step(search, search->step + 1)[row] = candidate->row;
	rn_log_probabilities_of_step(search, search->step + 1)[row] = candidate->log_probability;
	search->next_score[row] = candidate->score;
	search->next_sentence_of[row] = (int32_t) (sentence - search->sentences);
	memset(&search->next_dictated[row], 0, sizeof(RnDictated));
	if (rn_has_phrases(sentence))
	{
		int32_t    *state = search->next_states + (size_t) row * search->state_size;
		int			done;

		rn_phrases_step(demand->phrases, rn_state_of_row(search, candidate->row), candidate->id, state, &done, NULL);
		search->next_dictated[row] = rn_dictated_after(&search->dictated[candidate->row], demand->phrases, state, done,
													   candidate->log_probability);
		if (search->step + 1 == demand->n_prefix)
			rn_phrases_leave(demand->phrases, state);
	}
}

/* Finish and continue hypotheses of a group; the new rows are appended to the next step's. */
static void
advance(RnSearch *search, const RnSearchSentence *sentence, RnGroup *group, int n_candidates)
{
	int			is_demanded = rn_has_phrases(sentence);
	int			first = search->n_next;
	int			i;

	for (i = 0; i < n_candidates && i < sentence->width; i++)
	{
		if (search->candidates[i].id == search->end && (is_demanded || group->n_finished < search->answers_of_group))
			rn_finish(search, group, &search->candidates[i]);
	}
	group->n_rows = 0;
	if (search->step == sentence->limit ||
		(is_demanded ? rn_demanded_is_done(search, group, n_candidates) : group->n_finished == search->answers_of_group))
		return;
	for (i = 0; i < n_candidates && search->n_next - first < sentence->width; i++)
	{
		if (search->candidates[i].id != search->end)
			add_row(search, sentence, &search->candidates[i]);
	}
	group->first = first;
	group->n_rows = search->n_next - first;
}

/* What follows a common beginning becomes a group each, best first. */
static void
branch(RnSearch *search, RnSearchSentence *sentence, int n_candidates)
{
	int			g;

	sentence->groups[0].n_rows = 0;
	for (g = 0; g < search->groups_of_sentence && g < n_candidates; g++)
	{
		RnGroup    *group = &sentence->groups[g];

		group->first = search->n_next;
		if (search->candidates[g].id == search->end)
			rn_finish(search, group, &search->candidates[g]);
		else if (search->step < sentence->limit)
		{
			add_row(search, sentence, &search->candidates[g]);
			group->n_rows = 1;
		}
	}
}

static RnStatus
advance_group(RnContext *ctx, RnSearch *search, RnSearchSentence *sentence, RnGroup *group, int branches,
			  const rn_real *logits)
{
	int			is_demanded = rn_has_phrases(sentence);
	int			n = 0;

	if (rn_is_forced(search, sentence))
		RN_TRY(rn_rank_only(ctx, search, group, logits, sentence->demand->prefix[search->step], &n));
	else if (is_demanded)
		RN_TRY(rn_rank_demanded(ctx, search, sentence, group, logits, &n));
	else if (search->step == sentence->limit)
		RN_TRY(rn_rank_only(ctx, search, group, logits, search->end, &n));
	else if (search->options->sampling)
		RN_TRY(rn_rank_drawn(ctx, search, sentence, group, logits, &n));
	else
		RN_TRY(rn_rank_all(ctx, search, sentence, group, &n));
	if (branches)
	{
		branch(search, sentence, n);
		return RN_OK;
	}
	if (is_demanded && !rn_is_forced(search, sentence))
		rn_select_demanded(search, sentence, &n);
	advance(search, sentence, group, n);
	return RN_OK;
}

static RnStatus
advance_sentence(RnContext *ctx, RnSearch *search, RnSearchSentence *sentence, const rn_real *logits)
{
	int			n_prefix = sentence->demand != NULL ? sentence->demand->n_prefix : 0;
	int			branches = search->options->alternatives && search->step == n_prefix;
	int			g;

	/* the groups that a branch makes are of the next step */
	for (g = 0; g < (branches ? 1 : search->groups_of_sentence); g++)
	{
		if (sentence->groups[g].n_rows > 0)
			RN_TRY(advance_group(ctx, search, sentence, &sentence->groups[g], branches, logits));
	}
	return RN_OK;
}

static void
swap_rows(RnSearch *search)
{
	int32_t    *states = search->states;
	RnDictated *dictated = search->dictated;

	memcpy(search->score, search->next_score, search->n_next * sizeof(double));
	memcpy(search->sentence_of, search->next_sentence_of, search->n_next * sizeof(int32_t));
	search->states = search->next_states;
	search->next_states = states;
	search->dictated = search->next_dictated;
	search->next_dictated = dictated;
	search->n_rows = search->n_next;
	search->n_next = 0;
	search->step++;
}

/* Each row's own logits out of those that the decoder gave. */
static const rn_real *
own_logits(RnSearch *search, const rn_real *logits)
{
	const RnRestriction *restriction = search->restriction;
	RnGatherArgs args;
	int			r;

	for (r = 0; r < search->n_rows; r++)
	{
		search->own_first[r] = restriction->first[search->sentence_of[r]];
		search->own_count[r] = restriction->count[search->sentence_of[r]];
	}
	args.rows = search->n_rows;
	args.cols = search->cols;
	args.first = search->own_first;
	args.count = search->own_count;
	args.list = restriction->list;
	args.x = logits;
	args.ldx = restriction->n_ids;
	args.y = search->own;
	search->kernels->gather(search->lane, &args);
	return search->own;
}

/* The device numbers what it saw; a sentence with fewer tokens than were asked for has what nothing comes of. */
static void
name_best(RnSearch *search)
{
	size_t		at = 0;
	int			r,
				i;

	for (r = 0; r < search->n_rows; r++)
	{
		for (i = 0; i < search->k; i++, at++)
		{
			if (search->best_ids[at] >= 0 && search->best_ids[at] < search->own_count[r])
				search->best_ids[at] = rn_restriction_token(search->restriction, search->sentence_of[r],
															search->best_ids[at]);
			else if (!isnan(search->best_scores[at]))
			{
				search->best_ids[at] = search->pad;
				search->best_scores[at] = -INFINITY;
			}
		}
	}
}

static RnStatus
search_step(RnContext *ctx, RnSearch *search, RnDecoder *decoder)
{
	const rn_real *logits;
	int			s;

	RN_TRY(rn_decoder_step(ctx, decoder, search->n_rows, search->sentence_of,
						   rn_parents_of_step(search, search->step), rn_ids_of_step(search, search->step), &logits));
	if (search->restriction != NULL)
		logits = own_logits(search, logits);
	if (search->k > 0)
	{
		search->kernels->top_k(search->lane, search->n_rows, search->cols, logits, search->k,
							   search->banned, search->best_ids, search->best_scores);
		RN_TRY(search->kernels->synchronize(ctx, search->lane));
		if (search->restriction != NULL)
			name_best(search);
	}
	RN_TRY(rn_search_note_steps(ctx, search, search->step + 2));
	for (s = 0; s < search->n_sentences; s++)
		RN_TRY(advance_sentence(ctx, search, &search->sentences[s], logits));
	swap_rows(search);
	return RN_OK;
}

static RnStatus
search_run(RnContext *ctx, RnSearch *search, RnDecoder *decoder, const RnModel *model, const rn_real *values,
		   const RnPacked *source, const int32_t *source_ids, const RnDemand *const *demands, const volatile int *stop)
{
	RN_TRY(rn_search_begin(ctx, search, model, source, source_ids, demands));
	RN_TRY(rn_decoder_begin(ctx, decoder, values, source, source_ids, (int) search->max_rows,
							search->longest_limit + 1));
	if (search->restriction != NULL)
		RN_TRY(rn_decoder_restrict(ctx, decoder, search->restriction->n_ids, search->restriction->ids));
	while (search->n_rows > 0)
	{
		if (stop != NULL && __atomic_load_n(stop, __ATOMIC_RELAXED))
			return rn_fail(ctx, RN_CANCELLED, "translation was cancelled");
		RN_TRY(search_step(ctx, search, decoder));
	}
	return RN_OK;
}

RnStatus
rn_beam_search(RnContext *ctx, RnDecoder *decoder, const RnModel *model, const RnKernels *kernels,
			   RnLane *lane, const rn_real *values, const RnPacked *source, const int32_t *source_ids,
			   const RnSearchOptions *options, const RnDemand *const *demands, const RnRestriction *restriction,
			   RnHypotheses *results, const volatile int *stop)
{
	RnSearch	search;
	RnStatus	status;

	memset(results, 0, sizeof(*results));
	if (options->beam < 1 || options->beam > RN_BEAM_MAX || options->n_best < 1 || options->n_best > RN_BEAM_MAX ||
		(!options->sampling && !options->alternatives && options->n_best > options->beam))
		return rn_fail(ctx, RN_INVALID, "cannot search with beam %d for %d answers", options->beam, options->n_best);
	results->n_best = options->n_best;
	if (source->n_sentences == 0)
		return RN_OK;
	memset(&search, 0, sizeof(search));
	search.options = options;
	search.kernels = kernels;
	search.lane = lane;
	search.restriction = restriction;
	status = search_run(ctx, &search, decoder, model, values, source, source_ids, demands, stop);
	if (status == RN_OK)
		status = rn_collect_finished(ctx, &search, results);
	rn_search_free(&search);
	return status;
}
