/*
 * search.h
 *		What a search is made of; for the files of the search alone.
 *
 * The hypotheses of a sentence are neighbouring rows, sentences in order.
 * What each row read and where it came from is noted for every step, so that
 * a finished hypothesis is a row's number and its words are found by walking
 * back once, at the end.
 *
 * src/translate/search.h
 */
#ifndef RN_SEARCH_H
#define RN_SEARCH_H

#include "translate/beam.h"

/* A hypothesis that ended: end was read after row at step. */
typedef struct RnFinished
{
	int			step;
	int			row;
	double		log_probability;
	double		score;
} RnFinished;

typedef struct RnSearchSentence
{
	int			first;			/* its rows in this step */
	int			n_rows;			/* 0: has left the batch */
	int			limit;			/* longest answer, end not counted */
	int			n_finished;
	RnFinished *finished;		/* [beam], in the order of ending */
} RnSearchSentence;

/* A continuation that competes for a place in the beam. */
typedef struct RnCandidate
{
	double		score;			/* cumulative log-probability */
	int			row;
	int32_t		id;
} RnCandidate;

typedef struct RnSearch
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
	RnSearchSentence *sentences;		/* [n_sentences] */
	RnFinished *finished;		/* [n_sentences * beam] */

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
	RnCandidate  *candidates;		/* [2 * beam] */
	int		   *heads;			/* [beam] */
} RnSearch;

static inline size_t
rn_rows_at_most(const RnSearch *search)
{
	return (size_t) search->n_sentences * search->options->beam;
}

static inline int32_t *
rn_ids_of_step(const RnSearch *search, int step)
{
	return search->ids + step * rn_rows_at_most(search);
}

static inline int32_t *
rn_parents_of_step(const RnSearch *search, int step)
{
	return search->parents + step * rn_rows_at_most(search);
}

/* ---- search.c: memory; every sentence begins as one hypothesis that has read start ---- */

extern RnStatus rn_search_begin(RnContext *ctx, RnSearch *search, const RnModel *model, const RnPacked *source);
extern void rn_search_free(RnSearch *search);

/* Make room for what rows read in one more step. */
extern RnStatus rn_search_note_steps(RnContext *ctx, RnSearch *search, int steps);

/* ---- candidates.c: what may follow, best first, *n of search->candidates ---- */

/* Where there is no room left only end may follow. */
extern RnStatus rn_rank_ends(RnContext *ctx, RnSearch *search, const RnSearchSentence *sentence,
							 const rn_real *logits, int *n);

/* The best 2 * beam continuations of a sentence. */
extern RnStatus rn_rank_all(RnContext *ctx, RnSearch *search, const RnSearchSentence *sentence, int *n);

/* ---- finished.c ---- */

extern void rn_finish(RnSearch *search, RnSearchSentence *sentence, const RnCandidate *candidate);

/* The n_best finished of each sentence, best first; equal ones in the order of ending. */
extern RnStatus rn_collect_finished(RnContext *ctx, RnSearch *search, RnHypotheses *results);

#endif							/* RN_SEARCH_H */
