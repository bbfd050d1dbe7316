/*
 * search.c
 *		The memory of a search, and how it begins.
 *
 * src/translate/search.c
 */
#include "translate/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"

/*
 * Hypotheses that differ in what they still lack do not compete for the same
 * places, so a sentence that lacks something has more of them: two for each
 * phrase, up to so many (or the beam, where that is wider).
 */
#define DEMANDED_ROWS	16

/* ---- how much of everything ---- */

static int
groups_of(const RnSearchOptions *options)
{
	return options->sampling || options->alternatives ? options->n_best : 1;
}

static int
width_of(const RnSearchOptions *options, const RnDemand *demand)
{
	int			most = RN_BEAM_MAX / groups_of(options);
	int			width = options->beam;

	if (demand == NULL || demand->phrases == NULL)
		return width;
	if (most > DEMANDED_ROWS)
		most = DEMANDED_ROWS;
	if (most < options->beam)
		most = options->beam;
	width += 2 * rn_phrases_wanted(demand->phrases);
	return width < most ? width : most;
}

int
rn_search_rows(const RnSearchOptions *options, const RnDemand *demand)
{
	return width_of(options, demand) * groups_of(options);
}

/* Candidates asked for of each row by the device. */
static int
candidates_of_row(const RnSearch *search)
{
	const RnSearchOptions *options = search->options;
	int			possible = search->vocabulary - (search->pad >= 0);
	int			k = options->beam > 1 ? 2 * options->beam : 1;

	if (options->sampling)
		k = options->top_k;
	if (options->alternatives && k < options->n_best)
		k = options->n_best;
	/* end may be among them where it is not allowed */
	if (k > 0 && options->min_length > 0)
		k++;
	return k < possible ? k : possible;
}

/* How long an answer to a source of so many rows (pieces and end) may be. */
static int
length_limit(const RnSearchOptions *options, int source_rows, int longest)
{
	double		limit = longest - 1;

	if (options->max_length > 0 && options->max_length < limit)
		limit = options->max_length;
	if (options->max_length_factor > 0)
	{
		double		bound = floor(options->max_length_factor * (source_rows - 1)) + options->max_length_offset;

		if (bound < limit)
			limit = bound;
	}
	return limit > 0 ? (int) limit : 0;
}

RnSearchSize
rn_search_size(const RnSearchOptions *options, int longest, const RnPacked *source)
{
	RnSearchSize size = {0, 1, 0};
	int			rows = rn_search_rows(options, NULL);
	int			s;

	for (s = 0; s < source->n_sentences; s++)
	{
		int			steps = length_limit(options, source->offsets[s + 1] - source->offsets[s], longest) + 1;

		size.rows += rows;
		size.cells += (size_t) rows * steps;
		if (steps > size.steps)
			size.steps = steps;
	}
	return size;
}

/* Tokens that a demand takes. */
static RnStatus
tokens_demanded(RnContext *ctx, const RnDemand *demand, int *tokens)
{
	int32_t    *state;
	int			i;

	*tokens = demand->n_prefix;
	if (demand->phrases == NULL)
		return RN_OK;
	state = malloc(rn_phrases_state_size(demand->phrases) * sizeof(int32_t));
	if (state == NULL)
		return rn_out_of_memory(ctx, rn_phrases_state_size(demand->phrases) * sizeof(int32_t));
	rn_phrases_begin(demand->phrases, state);
	for (i = 0; i < demand->n_prefix; i++)
		rn_phrases_step(demand->phrases, state, demand->prefix[i], state, NULL, NULL);
	rn_phrases_leave(demand->phrases, state);
	*tokens += rn_phrases_tokens(demand->phrases, state);
	free(state);
	return RN_OK;
}

/* What is demanded comes on top of what the source's length allows, but not of an explicit bound. */
static RnStatus
make_room(RnContext *ctx, const RnSearchOptions *options, const RnDemand *demand, int longest, int *limit)
{
	int			tokens;

	RN_TRY(tokens_demanded(ctx, demand, &tokens));
	if (options->max_length == 0)
		*limit = *limit + tokens < longest - 1 ? *limit + tokens : longest - 1;
	if (tokens <= *limit)
		return RN_OK;
	rn_fail(ctx, options->max_length > 0 ? RN_INVALID : RN_LIMIT,
			"an answer of at most %d pieces has no room for what it must contain", *limit);
	rn_detail(ctx, "The prefix, the terms and what is to be preserved take %d pieces.", tokens);
	if (options->max_length > 0)
		rn_hint(ctx, "Raise \"max_length\", or leave it out.");
	return ctx->status;
}

/* ---- memory ---- */

void
rn_search_free(RnSearch *search)
{
	free(search->sentences);
	free(search->groups);
	free(search->finished);
	free(search->sentence_of);
	free(search->next_sentence_of);
	free(search->score);
	free(search->next_score);
	free(search->states);
	free(search->next_states);
	free(search->dictated);
	free(search->next_dictated);
	free(search->ids);
	free(search->parents);
	free(search->log_probabilities);
	free(search->best_ids);
	free(search->best_scores);
	free(search->row);
	free(search->answer);
	free(search->targets);
	free(search->host_nll);
	free(search->candidates);
	free(search->heads);
	free(search->host_own);
	free(search->own_first);
	free(search->own_count);
	if (search->own != NULL)
		search->kernels->release(search->own, search->max_rows * search->cols * sizeof(rn_real));
	if (search->nll != NULL)
		search->kernels->release(search->nll, search->max_width * sizeof(rn_real));
}

RnStatus
rn_search_note_steps(RnContext *ctx, RnSearch *search, int steps)
{
	int			room = search->steps_noted ? search->steps_noted : 16;
	size_t		cells;
	void	   *grown;

	if (steps <= search->steps_noted)
		return RN_OK;
	while (room < steps)
		room *= 2;
	cells = room * search->max_rows;
	if ((grown = realloc(search->ids, cells * sizeof(int32_t))) == NULL)
		return rn_out_of_memory(ctx, cells * sizeof(int32_t));
	search->ids = grown;
	if ((grown = realloc(search->parents, cells * sizeof(int32_t))) == NULL)
		return rn_out_of_memory(ctx, cells * sizeof(int32_t));
	search->parents = grown;
	if ((grown = realloc(search->log_probabilities, cells * sizeof(double))) == NULL)
		return rn_out_of_memory(ctx, cells * sizeof(double));
	search->log_probabilities = grown;
	search->steps_noted = room;
	return RN_OK;
}

static RnStatus
allocate_rows(RnContext *ctx, RnSearch *search)
{
	size_t		rows = search->max_rows;
	size_t		width = search->max_width;
	size_t		best = rows * search->k + 1;

	search->sentence_of = malloc(rows * sizeof(int32_t));
	search->next_sentence_of = malloc(rows * sizeof(int32_t));
	search->score = malloc(rows * sizeof(double));
	search->next_score = malloc(rows * sizeof(double));
	search->states = malloc((rows * search->state_size + 1) * sizeof(int32_t));
	search->next_states = malloc((rows * search->state_size + 1) * sizeof(int32_t));
	search->dictated = calloc(rows, sizeof(RnDictated));
	search->next_dictated = calloc(rows, sizeof(RnDictated));
	search->best_ids = malloc(best * sizeof(int32_t));
	search->best_scores = malloc(best * sizeof(rn_real));
	search->row = malloc(search->vocabulary * sizeof(rn_real));
	search->answer = malloc((search->longest_limit + 1) * sizeof(int32_t));
	search->targets = malloc(width * sizeof(int32_t));
	search->host_nll = malloc(width * sizeof(rn_real));
	search->candidates = malloc(search->candidates_room * sizeof(RnCandidate));
	search->heads = malloc(width * sizeof(int));
	if (!search->sentence_of || !search->next_sentence_of || !search->score || !search->next_score ||
		!search->states || !search->next_states || !search->dictated || !search->next_dictated || !search->best_ids || !search->best_scores || !search->row ||
		!search->answer || !search->targets || !search->host_nll || !search->candidates || !search->heads)
		return rn_out_of_memory(ctx, best * (sizeof(int32_t) + sizeof(rn_real)));
	return search->kernels->allocate(ctx, width * sizeof(rn_real), (void **) &search->nll);
}

/* What a restriction needs beside that. */
static RnStatus
allocate_own(RnContext *ctx, RnSearch *search)
{
	size_t		rows = search->max_rows;
	size_t		bytes = rows * search->cols * sizeof(rn_real);

	if (search->restriction == NULL)
		return RN_OK;
	search->host_own = malloc(search->cols * sizeof(rn_real));
	search->own_first = malloc(rows * sizeof(int32_t));
	search->own_count = malloc(rows * sizeof(int32_t));
	if (!search->host_own || !search->own_first || !search->own_count)
		return rn_out_of_memory(ctx, (2 * rows + search->cols) * sizeof(rn_real));
	return search->kernels->allocate(ctx, bytes, (void **) &search->own);
}

static RnStatus
allocate_sentences(RnContext *ctx, RnSearch *search, const RnPacked *source)
{
	size_t		sentences = source->n_sentences;
	size_t		groups = sentences * groups_of(search->options);
	size_t		each;
	size_t		i;

	search->n_sentences = source->n_sentences;
	search->groups_of_sentence = groups_of(search->options);
	search->answers_of_group = search->options->sampling ? 1 : search->options->beam;
	each = search->answers_of_group;
	search->sentences = calloc(sentences, sizeof(RnSearchSentence));
	search->groups = calloc(groups, sizeof(RnGroup));
	search->finished = calloc(groups * each, sizeof(RnFinished));
	if (!search->sentences || !search->groups || !search->finished)
		return rn_out_of_memory(ctx, groups * (sizeof(RnGroup) + each * sizeof(RnFinished)));
	for (i = 0; i < groups; i++)
	{
		search->groups[i].number = (int) (i % search->groups_of_sentence);
		search->groups[i].finished = search->finished + i * each;
	}
	return RN_OK;
}

/* ---- the beginning ---- */

/* Room for the rows of one more sentence, and for what competes in it. */
static void
count_rows(RnSearch *search, const RnSearchSentence *sentence)
{
	size_t		width = sentence->width;
	size_t		room = 2 * width;

	search->max_rows += width * search->groups_of_sentence;
	if (sentence->width > search->max_width)
		search->max_width = sentence->width;
	if (rn_has_phrases(sentence))
	{
		int			size = rn_phrases_state_size(sentence->demand->phrases);

		if (size > search->state_size)
			search->state_size = size;
		room = width * rn_demanded_of_row(search, sentence);
	}
	if (room < (size_t) search->k)
		room = search->k;
	if (room < (size_t) search->options->n_best)
		room = search->options->n_best;
	if (room > search->candidates_room)
		search->candidates_room = room;
}

static RnStatus
begin_sentence(RnContext *ctx, RnSearch *search, int s, int longest, int source_rows, const int32_t *source_ids,
			   const RnDemand *demand)
{
	RnSearchSentence *sentence = &search->sentences[s];
	uint64_t	digest[2];

	sentence->groups = search->groups + (size_t) s * search->groups_of_sentence;
	sentence->demand = demand;
	sentence->width = width_of(search->options, demand);
	sentence->limit = length_limit(search->options, source_rows, longest);
	if (demand != NULL)
		RN_TRY(make_room(ctx, search->options, demand, longest, &sentence->limit));
	sentence->shortest = search->options->min_length < sentence->limit ? search->options->min_length : sentence->limit;
	if (sentence->limit > search->longest_limit)
		search->longest_limit = sentence->limit;
	rn_digest(source_ids, source_rows * sizeof(int32_t), 0, digest);
	sentence->name = digest[0];
	count_rows(search, sentence);
	return RN_OK;
}

static void
begin_group(RnSearch *search, int s, RnGroup *group, int32_t start)
{
	const RnDemand *demand = search->sentences[s].demand;
	int			row = search->n_rows++;

	group->first = row;
	group->n_rows = 1;
	search->sentence_of[row] = s;
	search->score[row] = 0;
	search->ids[row] = start;
	search->parents[row] = 0;
	search->log_probabilities[row] = 0;
	if (demand != NULL && demand->phrases != NULL)
		rn_phrases_begin(demand->phrases, rn_state_of_row(search, row));
}

RnStatus
rn_search_begin(RnContext *ctx, RnSearch *search, const RnModel *model, const RnPacked *source,
				const int32_t *source_ids, const RnDemand *const *demands)
{
	const RnSpecialIds *special = rn_model_special(model);
	int			s,
				g;

	search->pad = special->pad;
	search->end = special->end;
	/* pad is the first token of every sentence's own */
	search->banned[0] = search->restriction != NULL ? 0 : special->pad;
	search->banned[1] = -1;
	search->vocabulary = rn_model_config(model)->vocab_size;
	search->cols = search->restriction != NULL ? search->restriction->widest : search->vocabulary;
	search->k = candidates_of_row(search);
	RN_TRY(allocate_sentences(ctx, search, source));
	for (s = 0; s < search->n_sentences; s++)
		RN_TRY(begin_sentence(ctx, search, s, rn_model_longest(model), source->offsets[s + 1] - source->offsets[s],
							  source_ids + source->offsets[s], demands != NULL ? demands[s] : NULL));
	RN_TRY(allocate_rows(ctx, search));
	RN_TRY(allocate_own(ctx, search));
	RN_TRY(rn_search_note_steps(ctx, search, 1));
	for (s = 0; s < search->n_sentences; s++)
	{
		/* alternatives have their beginning in common */
		for (g = 0; g < (search->options->sampling ? search->groups_of_sentence : 1); g++)
			begin_group(search, s, &search->sentences[s].groups[g], special->start);
	}
	return RN_OK;
}
