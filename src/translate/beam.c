/*
 * beam.c
 *		Beam search over "one decoder step".
 *
 * The hypotheses of a sentence are neighbouring rows, sentences in order.
 * What each row read and where it came from is noted for every step, so that
 * a finished hypothesis is a row's number and its words are found by walking
 * back once, at the end.
 *
 * src/translate/beam.c
 */
#include "translate/beam.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A hypothesis that ended: end was read after row at step. */
typedef struct Finished
{
	int			step;
	int			row;
	double		log_probability;
	double		score;
} Finished;

typedef struct Sentence
{
	int			first;			/* its rows in this step */
	int			n_rows;			/* 0: has left the batch */
	int			limit;			/* longest answer, end not counted */
	int			n_finished;
	Finished   *finished;		/* [beam], in the order of ending */
} Sentence;

/* A continuation that competes for a place in the beam. */
typedef struct Candidate
{
	double		score;			/* cumulative log-probability */
	int			row;
	int32_t		id;
} Candidate;

typedef struct Search
{
	const RnSearchOptions *options;
	const RnKernels *kernels;
	RnLane	   *lane;
	int32_t		end;
	int32_t		banned[2];		/* pad, -1 */
	int			vocabulary;
	int			k;				/* candidates asked for of each row */
	int			step;
	int			longest_limit;	/* of all sentences */

	int			n_sentences;
	Sentence   *sentences;		/* [n_sentences] */
	Finished   *finished;		/* [n_sentences * beam] */

	/* rows of this step and of the next: [n_sentences * beam] */
	int			n_rows;
	int32_t    *sentence_of;
	double	   *score;
	double	   *next_score;
	int32_t    *next_sentence_of;

	/* what rows read and grew out of, step after step */
	int32_t    *ids;			/* [steps_noted * n_sentences * beam] */
	int32_t    *parents;
	int			steps_noted;	/* capacity */

	/* what the device tells of a step */
	int32_t    *best_ids;		/* [n_rows * k] */
	rn_real    *best_scores;
	int32_t		ends[RN_BEAM_MAX];	/* end, for each row of a sentence */
	rn_real    *end_nll;		/* [beam] device memory */
	rn_real    *end_scores;		/* [beam] */
	Candidate  *candidates;		/* [2 * beam] */
	int		   *heads;			/* [beam] */
} Search;

static size_t
rows_at_most(const Search *search)
{
	return (size_t) search->n_sentences * search->options->beam;
}

static int32_t *
ids_of_step(const Search *search, int step)
{
	return search->ids + step * rows_at_most(search);
}

static int32_t *
parents_of_step(const Search *search, int step)
{
	return search->parents + step * rows_at_most(search);
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

static void
search_free(Search *search)
{
	int			beam = search->options->beam;

	free(search->sentences);
	free(search->finished);
	free(search->sentence_of);
	free(search->next_sentence_of);
	free(search->score);
	free(search->next_score);
	free(search->ids);
	free(search->parents);
	free(search->best_ids);
	free(search->best_scores);
	free(search->end_scores);
	free(search->candidates);
	free(search->heads);
	if (search->end_nll != NULL)
		search->kernels->release(search->end_nll, beam * sizeof(rn_real));
}

/* Make room for what rows read in one more step. */
static RnStatus
note_steps(RnContext *ctx, Search *search, int steps)
{
	int			room = search->steps_noted ? search->steps_noted : 16;
	size_t		bytes;
	int32_t    *grown;

	if (steps <= search->steps_noted)
		return RN_OK;
	while (room < steps)
		room *= 2;
	bytes = room * rows_at_most(search) * sizeof(int32_t);
	if ((grown = realloc(search->ids, bytes)) == NULL)
		return rn_out_of_memory(ctx, bytes);
	search->ids = grown;
	if ((grown = realloc(search->parents, bytes)) == NULL)
		return rn_out_of_memory(ctx, bytes);
	search->parents = grown;
	search->steps_noted = room;
	return RN_OK;
}

static RnStatus
search_allocate(RnContext *ctx, Search *search)
{
	int			beam = search->options->beam;
	size_t		rows = rows_at_most(search);
	size_t		best = rows * search->k;

	search->sentences = calloc(search->n_sentences, sizeof(Sentence));
	search->finished = calloc(rows, sizeof(Finished));
	search->sentence_of = malloc(rows * sizeof(int32_t));
	search->next_sentence_of = malloc(rows * sizeof(int32_t));
	search->score = malloc(rows * sizeof(double));
	search->next_score = malloc(rows * sizeof(double));
	search->best_ids = malloc(best * sizeof(int32_t));
	search->best_scores = malloc(best * sizeof(rn_real));
	search->end_scores = malloc(beam * sizeof(rn_real));
	search->candidates = malloc(2 * beam * sizeof(Candidate));
	search->heads = malloc(beam * sizeof(int));
	if (!search->sentences || !search->finished || !search->sentence_of || !search->next_sentence_of ||
		!search->score || !search->next_score || !search->best_ids || !search->best_scores ||
		!search->end_scores || !search->candidates || !search->heads)
		return rn_out_of_memory(ctx, best * (sizeof(int32_t) + sizeof(rn_real)));
	return search->kernels->allocate(ctx, beam * sizeof(rn_real), (void **) &search->end_nll);
}

/* Every sentence begins as one hypothesis that has read start. */
static RnStatus
search_begin(RnContext *ctx, Search *search, const RnModel *model, const RnPacked *source)
{
	const RnSpecialIds *special = rn_model_special(model);
	int			i,
				s;

	search->end = special->end;
	for (i = 0; i < search->options->beam; i++)
		search->ends[i] = special->end;
	search->banned[0] = special->pad;
	search->banned[1] = -1;
	search->vocabulary = rn_model_config(model)->vocab_size;
	search->n_sentences = source->n_sentences;
	search->k = search->options->beam > 1 ? 2 * search->options->beam : 1;
	if (search->k > search->vocabulary - (special->pad >= 0))
		search->k = search->vocabulary - (special->pad >= 0);
	RN_TRY(search_allocate(ctx, search));
	RN_TRY(note_steps(ctx, search, 1));
	search->n_rows = search->n_sentences;
	for (s = 0; s < search->n_sentences; s++)
	{
		Sentence   *sentence = &search->sentences[s];

		sentence->first = s;
		sentence->n_rows = 1;
		sentence->limit = length_limit(search->options, source->offsets[s + 1] - source->offsets[s],
									   rn_model_longest(model));
		sentence->finished = search->finished + (size_t) s * search->options->beam;
		if (sentence->limit > search->longest_limit)
			search->longest_limit = sentence->limit;
		search->sentence_of[s] = s;
		search->score[s] = 0;
		search->ids[s] = special->start;
		search->parents[s] = 0;
	}
	return RN_OK;
}

static RnStatus
not_a_number(RnContext *ctx)
{
	rn_fail(ctx, RN_DIVERGED, "model gives no probabilities");
	rn_detail(ctx, "Its output is not a number.");
	return ctx->status;
}

/* Where there is no room left only end may follow: its log-probability after each row. */
static RnStatus
rank_ends(RnContext *ctx, Search *search, const Sentence *sentence, const rn_real *logits, int *n)
{
	RnLossArgs	args;
	double		unused[2] = {0, 0};
	int			count = 0;
	int			r,
				i;

	memset(&args, 0, sizeof(args));
	args.rows = sentence->n_rows;
	args.cols = search->vocabulary;
	args.logits = (rn_real *) logits + (size_t) sentence->first * search->vocabulary;
	args.targets = search->ends;
	args.row_nll = search->end_nll;
	args.loss_sum = &unused[0];
	args.nll_sum = &unused[1];
	search->kernels->loss(search->lane, &args);
	search->kernels->copy_out(search->lane, search->end_scores, search->end_nll, sentence->n_rows * sizeof(rn_real));
	RN_TRY(search->kernels->synchronize(ctx, search->lane));
	for (r = 0; r < sentence->n_rows; r++)
	{
		double		score = search->score[sentence->first + r] - search->end_scores[r];

		if (isnan(score))
			return not_a_number(ctx);
		if (score == -INFINITY)
			continue;
		for (i = count++; i > 0 && search->candidates[i - 1].score < score; i--)
			search->candidates[i] = search->candidates[i - 1];
		search->candidates[i].score = score;
		search->candidates[i].row = sentence->first + r;
		search->candidates[i].id = search->end;
	}
	*n = count;
	return RN_OK;
}

/*
 * The best 2 * beam continuations of a sentence, best first: a merge of its
 * rows' own lists, of which none can hold more than that.
 */
static RnStatus
rank_all(RnContext *ctx, Search *search, const Sentence *sentence, int *n)
{
	int			k = search->k;
	int			count;
	int			r;

	for (r = 0; r < sentence->n_rows; r++)
		search->heads[r] = 0;
	for (count = 0; count < 2 * search->options->beam; count++)
	{
		Candidate  *best = &search->candidates[count];

		best->score = -INFINITY;
		best->row = -1;
		for (r = 0; r < sentence->n_rows; r++)
		{
			size_t		at = (size_t) (sentence->first + r) * k + search->heads[r];
			double		score;

			if (search->heads[r] == k)
				continue;
			score = search->score[sentence->first + r] + search->best_scores[at];
			if (isnan(score) || search->best_ids[at] < 0 || search->best_ids[at] >= search->vocabulary)
				return not_a_number(ctx);
			if (score > best->score)
			{
				best->score = score;
				best->row = sentence->first + r;
				best->id = search->best_ids[at];
			}
		}
		if (best->row < 0)
			break;
		search->heads[best->row - sentence->first]++;
	}
	*n = count;
	return RN_OK;
}

static void
finish(Search *search, Sentence *sentence, const Candidate *candidate)
{
	Finished   *finished = &sentence->finished[sentence->n_finished++];

	finished->step = search->step;
	finished->row = candidate->row;
	finished->log_probability = candidate->score;
	finished->score = candidate->score / pow(search->step + 1, search->options->length_penalty);
}

/* Finish and continue hypotheses of a sentence; the new rows are appended to the next step's. */
static void
advance(Search *search, Sentence *sentence, int n_candidates, int *n_next)
{
	int			beam = search->options->beam;
	int			first = *n_next;
	int32_t    *next_ids;
	int32_t    *next_parents;
	int			i;

	for (i = 0; i < n_candidates && i < beam; i++)
	{
		if (search->candidates[i].id == search->end && sentence->n_finished < beam)
			finish(search, sentence, &search->candidates[i]);
	}
	sentence->n_rows = 0;
	if (sentence->n_finished == beam || search->step == sentence->limit)
		return;
	next_ids = ids_of_step(search, search->step + 1);
	next_parents = parents_of_step(search, search->step + 1);
	for (i = 0; i < n_candidates && *n_next - first < beam; i++)
	{
		const Candidate *candidate = &search->candidates[i];

		if (candidate->id == search->end)
			continue;
		next_ids[*n_next] = candidate->id;
		next_parents[*n_next] = candidate->row;
		search->next_score[*n_next] = candidate->score;
		search->next_sentence_of[*n_next] = (int32_t) (sentence - search->sentences);
		(*n_next)++;
	}
	sentence->first = first;
	sentence->n_rows = *n_next - first;
}

static RnStatus
search_step(RnContext *ctx, Search *search, RnDecoder *decoder)
{
	const rn_real *logits;
	int			n_next = 0;
	int			s;

	RN_TRY(rn_decoder_step(ctx, decoder, search->n_rows, search->sentence_of,
						   parents_of_step(search, search->step), ids_of_step(search, search->step), &logits));
	search->kernels->top_k(search->lane, search->n_rows, search->vocabulary, logits, search->k,
						   search->banned, search->best_ids, search->best_scores);
	RN_TRY(search->kernels->synchronize(ctx, search->lane));
	RN_TRY(note_steps(ctx, search, search->step + 2));
	for (s = 0; s < search->n_sentences; s++)
	{
		Sentence   *sentence = &search->sentences[s];
		int			n = 0;

		if (sentence->n_rows == 0)
			continue;
		if (search->step == sentence->limit)
			RN_TRY(rank_ends(ctx, search, sentence, logits, &n));
		else
			RN_TRY(rank_all(ctx, search, sentence, &n));
		advance(search, sentence, n, &n_next);
	}
	memcpy(search->score, search->next_score, n_next * sizeof(double));
	memcpy(search->sentence_of, search->next_sentence_of, n_next * sizeof(int32_t));
	search->n_rows = n_next;
	search->step++;
	return RN_OK;
}

/* Best first; equal ones in the order of ending. */
static void
sort_finished(Sentence *sentence)
{
	int			i,
				j;

	for (i = 1; i < sentence->n_finished; i++)
	{
		Finished	moved = sentence->finished[i];

		for (j = i; j > 0 && sentence->finished[j - 1].score < moved.score; j--)
			sentence->finished[j] = sentence->finished[j - 1];
		sentence->finished[j] = moved;
	}
}

/* Walk back from where a hypothesis ended. */
static void
read_back(const Search *search, const Finished *finished, RnHypothesis *hypothesis)
{
	int			row = finished->row;
	int			step;

	hypothesis->n = finished->step + 1;
	hypothesis->score = finished->score;
	hypothesis->log_probability = finished->log_probability;
	hypothesis->ids[finished->step] = search->end;
	for (step = finished->step; step > 0; step--)
	{
		hypothesis->ids[step - 1] = ids_of_step(search, step)[row];
		row = parents_of_step(search, step)[row];
	}
}

static RnStatus
collect(RnContext *ctx, Search *search, RnHypotheses *results)
{
	int			n_best = search->options->n_best;
	size_t		items = (size_t) search->n_sentences * n_best;
	size_t		total = 0;
	int			s,
				i;

	for (s = 0; s < search->n_sentences; s++)
	{
		Sentence   *sentence = &search->sentences[s];

		sort_finished(sentence);
		if (sentence->n_finished > n_best)
			sentence->n_finished = n_best;
		for (i = 0; i < sentence->n_finished; i++)
			total += sentence->finished[i].step + 1;
	}
	results->items = calloc(items, sizeof(RnHypothesis));
	results->ids = malloc((total ? total : 1) * sizeof(int32_t));
	if (results->items == NULL || results->ids == NULL)
	{
		rn_hypotheses_free(results);
		return rn_out_of_memory(ctx, items * sizeof(RnHypothesis) + total * sizeof(int32_t));
	}
	results->n_sentences = search->n_sentences;
	total = 0;
	for (s = 0; s < search->n_sentences; s++)
	{
		for (i = 0; i < search->sentences[s].n_finished; i++)
		{
			RnHypothesis *hypothesis = &results->items[(size_t) s * n_best + i];

			hypothesis->ids = results->ids + total;
			read_back(search, &search->sentences[s].finished[i], hypothesis);
			total += hypothesis->n;
		}
	}
	return RN_OK;
}

static RnStatus
search_run(RnContext *ctx, Search *search, RnDecoder *decoder, const RnModel *model, const rn_real *values,
		   const RnPacked *source, const int32_t *source_ids, const volatile int *stop)
{
	RN_TRY(search_begin(ctx, search, model, source));
	RN_TRY(rn_decoder_begin(ctx, decoder, values, source, source_ids, (int) rows_at_most(search),
							search->longest_limit + 1));
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
			   const RnSearchOptions *options, RnHypotheses *results, const volatile int *stop)
{
	Search		search;
	RnStatus	status;

	memset(results, 0, sizeof(*results));
	if (options->beam < 1 || options->beam > RN_BEAM_MAX || options->n_best < 1 || options->n_best > options->beam)
		return rn_fail(ctx, RN_INVALID, "cannot search with beam %d for %d answers", options->beam, options->n_best);
	results->n_best = options->n_best;
	if (source->n_sentences == 0)
		return RN_OK;
	memset(&search, 0, sizeof(search));
	search.options = options;
	search.kernels = kernels;
	search.lane = lane;
	status = search_run(ctx, &search, decoder, model, values, source, source_ids, stop);
	if (status == RN_OK)
		status = collect(ctx, &search, results);
	search_free(&search);
	return status;
}

void
rn_hypotheses_free(RnHypotheses *results)
{
	free(results->items);
	free(results->ids);
	memset(results, 0, sizeof(*results));
}
