/*
 * search.h
 *		What a search is made of; for the files of the search alone.
 *
 * A group is hypotheses that compete with one another: the beam of a sentence,
 * or one of its samples or alternatives, which do not compete.  The
 * hypotheses of a group are neighbouring rows, groups and sentences in order.
 * What each row read and where it came from is noted for every step, so that
 * a finished hypothesis is a row's number and its words are found by walking
 * back once, at the end.
 *
 * src/translate/search.h
 */
#ifndef RN_SEARCH_H
#define RN_SEARCH_H

#include "translate/restriction.h"

#define RN_SEARCH_WIDTH	RN_BEAM_MAX	/* rows of a group at most */

/* A hypothesis that ended: end was read after row at step. */
typedef struct RnFinished
{
	int			step;
	int			row;
	double		end_probability;	/* log-probability of end itself */
	double		log_probability;
	double		rank;			/* the same without what is dictated */
	double		score;
} RnFinished;

typedef struct RnGroup
{
	int			number;			/* among those of its sentence */
	int			first;			/* its rows in this step */
	int			n_rows;			/* 0: has left the batch, or has not begun */
	int			n_finished;
	int			full_at;		/* step at which there were as many as are wanted */
	RnFinished *finished;		/* [answers_of_group], in the order of ending; with phrases a better one takes the worst one's place */
} RnGroup;

typedef struct RnSearchSentence
{
	const RnDemand *demand;		/* NULL: none */
	int			width;			/* rows of a group at most */
	int			shortest;		/* answers, end not counted */
	int			limit;
	uint64_t	name;			/* of the source, for drawing */
	RnGroup    *groups;			/* [groups_of_sentence] */
} RnSearchSentence;

/*
 * What phrases dictate in a hypothesis: pieces behind the first of a phrase are
 * no choice, so they are left out where hypotheses are compared.  Otherwise an
 * unlikely phrase is put off for as long as there is room, and a long answer
 * wins because its length makes little of what the phrase has cost.
 */
typedef struct RnDictated
{
	double		log_probability;	/* of phrases that are complete */
	int			n;
	double		open_log_probability;	/* of the one that has been begun */
	int			n_open;
} RnDictated;

/* A continuation that competes for a place in the beam. */
typedef struct RnCandidate
{
	double		score;			/* cumulative log-probability */
	double		rank;			/* the same without what is dictated */
	double		log_probability;	/* of the token */
	int			row;
	int32_t		id;
	int			share;			/* whom it competes with: those that lack as many phrases, in or between them */
} RnCandidate;

typedef struct RnSearch
{
	const RnSearchOptions *options;
	const RnKernels *kernels;
	RnLane	   *lane;
	int32_t		pad;
	int32_t		end;
	int32_t		banned[2];		/* pad, -1 */
	int			vocabulary;
	const RnRestriction *restriction;	/* NULL: answers are made of any tokens */
	int			cols;			/* of logits that are looked at: vocabulary, or the restriction's widest */
	int			k;				/* candidates asked for of each row; 0: none */
	int			step;
	int			longest_limit;	/* of all sentences */

	int			n_sentences;
	RnSearchSentence *sentences;	/* [n_sentences] */
	int			groups_of_sentence;
	int			answers_of_group;
	RnGroup    *groups;			/* [n_sentences * groups_of_sentence] */
	RnFinished *finished;		/* [n_sentences * groups_of_sentence * answers_of_group] */

	/* rows of this step and of the next: [max_rows] */
	size_t		max_rows;
	int			max_width;		/* of all sentences */
	int			n_rows;
	int			n_next;
	int32_t    *sentence_of;
	double	   *score;
	double	   *next_score;
	int32_t    *next_sentence_of;
	int			state_size;		/* integers; 0: no sentence has phrases */
	int32_t    *states;			/* [max_rows * state_size] see phrases.h */
	int32_t    *next_states;
	RnDictated *dictated;		/* [max_rows] */
	RnDictated *next_dictated;

	/* what rows read, how probable that was and what they grew out of, step after step */
	int32_t    *ids;			/* [steps_noted * max_rows] */
	int32_t    *parents;
	double	   *log_probabilities;
	int			steps_noted;	/* capacity */

	/* of a restriction: the rows' own logits, side by side */
	rn_real    *own;			/* [max_rows * cols] device memory */
	rn_real    *host_own;		/* [cols] of one row */
	int32_t    *own_first;		/* [max_rows] in the restriction's list */
	int32_t    *own_count;

	/* what the device tells of a step */
	int32_t    *best_ids;		/* [n_rows * k] */
	rn_real    *best_scores;
	rn_real    *row;			/* [vocabulary] logits of one row */
	int32_t    *answer;			/* [longest_limit + 1] tokens of one hypothesis */
	int32_t    *targets;		/* [max_width] tokens asked for, one a row */
	rn_real    *nll;			/* [max_width] device memory */
	rn_real    *host_nll;		/* [max_width] */
	RnCandidate *candidates;	/* [candidates_room], best first */
	size_t		candidates_room;
	int		   *heads;			/* [max_width] */
} RnSearch;

static inline int32_t *
rn_ids_of_step(const RnSearch *search, int step)
{
	return search->ids + step * search->max_rows;
}

static inline int32_t *
rn_parents_of_step(const RnSearch *search, int step)
{
	return search->parents + step * search->max_rows;
}

static inline double *
rn_log_probabilities_of_step(const RnSearch *search, int step)
{
	return search->log_probabilities + step * search->max_rows;
}

static inline int32_t *
rn_state_of_row(const RnSearch *search, int row)
{
	return search->states + (size_t) row * search->state_size;
}

/* Is this sentence's next token given? */
static inline int
rn_is_forced(const RnSearch *search, const RnSearchSentence *sentence)
{
	return sentence->demand != NULL && search->step < sentence->demand->n_prefix;
}

/* Must phrases appear in its answers? */
static inline int
rn_has_phrases(const RnSearchSentence *sentence)
{
	return sentence->demand != NULL && sentence->demand->phrases != NULL;
}

/* ---- search.c: memory; every group begins as one hypothesis that has read start ---- */

extern RnStatus rn_search_begin(RnContext *ctx, RnSearch *search, const RnModel *model, const RnPacked *source,
								const int32_t *source_ids, const RnDemand *const *demands);
extern void rn_search_free(RnSearch *search);

/* Make room for what rows read in one more step. */
extern RnStatus rn_search_note_steps(RnContext *ctx, RnSearch *search, int steps);

/* ---- what may follow the rows of a group, best first: *n of search->candidates ---- */

/* candidates.c: only one token may follow: end where there is no room left, or what the prefix has. */
extern RnStatus rn_rank_only(RnContext *ctx, RnSearch *search, const RnGroup *group, const rn_real *logits,
							 int32_t token, int *n);

/* candidates.c: the best 2 * width continuations. */
extern RnStatus rn_rank_all(RnContext *ctx, RnSearch *search, const RnSearchSentence *sentence, const RnGroup *group,
							int *n);

/* sample.c: one continuation of a group's only row, drawn. */
extern RnStatus rn_rank_drawn(RnContext *ctx, RnSearch *search, const RnSearchSentence *sentence,
							  const RnGroup *group, const rn_real *logits, int *n);

/*
 * demanded.c: where phrases must appear.  rank gives every candidate, select
 * leaves those that end and then those that go on, a share for each number of
 * phrases still unmet, within a phrase and between phrases (RnCandidate.share).
 */
extern RnStatus rn_rank_demanded(RnContext *ctx, RnSearch *search, const RnSearchSentence *sentence,
								 const RnGroup *group, const rn_real *logits, int *n);
extern void rn_select_demanded(RnSearch *search, const RnSearchSentence *sentence, int *n);

/* What is dictated when a token of that log-probability has led to a state, and completed a phrase or not (done < 0). */
extern RnDictated rn_dictated_after(const RnDictated *before, const RnPhrases *phrases, const int32_t *state, int done,
									double log_probability);

/* Are there answers enough, and will what goes on hardly give better ones? */
extern int	rn_demanded_is_done(const RnSearch *search, RnGroup *group, int n_candidates);

/* Candidates that one row has at most. */
extern size_t rn_demanded_of_row(const RnSearch *search, const RnSearchSentence *sentence);

/* candidates.c: logits of one row in search->row, -infinity for tokens that are not to be; log of the sum of its exponentials, or RN_DIVERGED. */
extern RnStatus rn_fetch_row(RnContext *ctx, RnSearch *search, const rn_real *logits, int row);
extern RnStatus rn_row_normalizer(RnContext *ctx, const RnSearch *search, double *normalizer);
extern RnStatus rn_not_a_number(RnContext *ctx);

/* ---- finished.c ---- */

extern void rn_finish(RnSearch *search, RnGroup *group, const RnCandidate *candidate);

/* The n_best finished of each sentence, best first; equal ones as they lie in finished. */
extern RnStatus rn_collect_finished(RnContext *ctx, RnSearch *search, RnHypotheses *results);

#endif							/* RN_SEARCH_H */
