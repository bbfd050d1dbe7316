/*
 * job.h
 *		What a training job holds, and the stations of its journey; for the
 *		train_*.c files only.
 *
 *		train_intake.c		options, weights or checkpoint, rows in
 *		train_corpus.c		rows to a tokenizer, to ids, to a held-out part
 *		train_memory.c		what all that takes, before the first step
 *		train_job.c			steps, validations, checkpoints, the end
 *		train_validate.c	how good the weights are
 *		train_shortlist.c	which pieces translate which
 *		train_report.c		everything that is told
 *
 * src/engine/job.h
 */
#ifndef RN_JOB_H
#define RN_JOB_H

#include <signal.h>

#include "engine/control.h"
#include "engine/leader.h"
#include "engine/peer.h"
#include "engine/rows.h"
#include "model/config.h"
#include "shortlist/shortlist.h"
#include "text/tokenizer.h"
#include "train/trainer.h"
#include "translate/translator.h"
#include "wire/protocol.h"

#define RN_EVALUATE_TOKENS		4096	/* of a batch of held-out pairs */
#define RN_LENGTH_FACTOR_MOST	1000	/* as option length_factor has it */

/* A held-out pair whose source is translated at every validation. */
typedef struct RnSentence
{
	uint64_t	hash;
	RnText		source;			/* malloc'd */
	RnText		target;			/* malloc'd */
} RnSentence;

/* Goes into checkpoints as part "job". */
typedef struct RnJobState
{
	double		seconds;		/* spent in runs before this one */
	int64_t		validated_step; /* last validation; -1: none */
	int64_t		epoch_ended;	/* and was not yet validated */
	int64_t		stale;			/* validations since the best */
	double		best_loss;		/* of the best weights; NaN: none */
	double		best_bleu;
	double		loss_sum;		/* training loss over tokens since the last validation */
	double		loss_tokens;
	double		learning_rate;	/* of the last step */
} RnJobState;

#define RN_JOB_STATE_BYTES	(sizeof(uint64_t) + sizeof(RnJobState))	/* a magic number first */

/* What a validation found; NaN where not computed. */
typedef struct RnScores
{
	double		loss;
	double		nll;
	double		bleu;
} RnScores;

typedef struct RnJob
{
	/* the other side */
	RnPeer		peer;
	RnControl  *control;		/* NULL until all rows have come */
	volatile sig_atomic_t *stop;
	RnWriter	out;

	/* what it gave */
	uint64_t	id;
	RnConfig	config;			/* effective: vocab_size is the tokenizer's once there is one */
	int			follows;		/* RN_TRAIN_* */
	size_t		memory_limit;	/* 0: none */
	RnSpill		spill;
	RnRows	   *rows;			/* NULL once encoded */
	char	   *tokenizer_bytes;
	size_t		tokenizer_size; /* that have come, or were learned */
	size_t		tokenizer_total;
	int			learned;		/* the tokenizer is new: the peer is to be told */
	char		state_bytes[RN_JOB_STATE_BYTES];	/* part "job" */
	size_t		state_size;		/* of it that has come */

	/* what computes */
	char		device[RN_NAME_LENGTH];		/* "cpu", "cuda:0", "cuda:0,1": what the choice came to */
	const RnKernels *kernels;
	RnLeader   *leader;			/* of the processes for further devices; NULL: there is one device */
	RnThreads  *threads;
	RnTokenizer *tokenizer;
	RnModel    *model;
	RnTrainer  *trainer;

	/* data */
	RnCorpus   *training;
	RnCorpus   *held_out;		/* what the validation loss is of */
	RnBatchReader *reader;
	RnBatchReader *held_out_reader; /* NULL: nothing is held out */
	RnSentence *sentences;		/* by hash */
	int			n_sentences;
	RnTranslator **translators; /* [threads] for them; NULL: none */
	uint64_t	rows_empty;		/* with an empty side */
	uint64_t	rows_long;		/* with more than max_length pieces */
	uint64_t	rows_held_out;
	uint64_t	lengths[RN_LENGTH_FACTOR_MOST + 1];	/* pairs to train on, by the length_factor that they need */

	/* what comes of it, beside the trainer's weights */
	RnShortlist *shortlist;		/* NULL: none */

	/* running */
	double		started;		/* monotonic seconds */
	RnJobState	state;
} RnJob;

/* An empty job (train_job.c); both ends of its life.  The control thread, if one runs, goes on. */
extern void rn_job_init(RnJob *job, int control_fd, int spill_fd, volatile sig_atomic_t *stop);
extern void rn_job_free(RnJob *job);

/* Monotonic seconds. */
extern double rn_job_clock(void);

/* Seconds of all runs so far. */
extern double rn_job_seconds(const RnJob *job);

/* train_intake.c: from HELLO to ROWS_END. */
extern RnStatus rn_job_receive(RnContext *ctx, RnJob *job);

/* Load the tokenizer; make model and trainer.  Once. */
extern RnStatus rn_job_make_model(RnContext *ctx, RnJob *job);

extern RnStatus rn_job_read_state(RnContext *ctx, RnJob *job);
extern void rn_job_write_state(const RnJob *job, char bytes[RN_JOB_STATE_BYTES]);

/* train_corpus.c: learn a tokenizer if there is none; rows to corpora and readers. */
extern RnStatus rn_job_learn_tokenizer(RnContext *ctx, RnJob *job);
extern RnStatus rn_job_encode_rows(RnContext *ctx, RnJob *job);
extern RnStatus rn_job_open_corpora(RnContext *ctx, RnJob *job);

/* train_memory.c: what steps and validations take of memory, before the first; RN_LIMIT when that is too much. */
extern RnStatus rn_job_reserve(RnContext *ctx, RnJob *job);
extern void rn_job_free_translators(RnJob *job);

/* train_validate.c: how the sentences are translated. */
extern RnSearchOptions rn_job_search_options(const RnJob *job);

/* Those of one thread: numbers thread, thread + n_threads, ...  NULL after an error; the caller frees the array alone. */
extern RnText *rn_job_sentences_of(RnContext *ctx, const RnJob *job, int thread, int n_threads, int *n);

/* Of the weights that the trainer shows. */
extern RnStatus rn_job_validate(RnContext *ctx, RnJob *job, RnScores *scores);

/* Is a better than b, by the job's metric?  What is not a number is worse than everything. */
extern int	rn_job_better(const RnJob *job, double loss_a, double bleu_a, double loss_b, double bleu_b);

/* train_shortlist.c: make job->shortlist, where options ask for one. */
extern RnStatus rn_job_make_shortlist(RnContext *ctx, RnJob *job);

/* train_report.c: frames out.  Statuses are those of sending. */
extern RnStatus rn_report_hello(RnContext *ctx, RnJob *job);
extern RnStatus rn_report_phase(RnContext *ctx, RnJob *job, const char *phase);
extern RnStatus rn_report_corpus(RnContext *ctx, RnJob *job);
extern RnStatus rn_report_tokenizer(RnContext *ctx, RnJob *job);
extern RnStatus rn_report_statistics(RnContext *ctx, RnJob *job, int64_t step, const RnTensorStatistics *statistics);
extern RnStatus rn_report_measured(RnContext *ctx, RnJob *job);	/* if a scheme has measured */
extern RnStatus rn_report_log(RnContext *ctx, RnJob *job, const RnScores *scores, int best);
extern RnStatus rn_report_checkpoint(RnContext *ctx, RnJob *job);
extern RnStatus rn_report_model(RnContext *ctx, RnJob *job, const RnScores *scores);
extern RnStatus rn_report_done(RnContext *ctx, RnJob *job, const char *state, const char *reason);

/* What PROGRESS tells of the time since the one before. */
typedef struct RnProgress
{
	double		last;			/* clock */
	int64_t		tokens;			/* target tokens since then */
	double		loss_sum;
	double		gradient_norm;	/* of the last step */
	double		first;			/* clock of the first step of this run */
	int64_t		first_step;
	double		first_epochs;
} RnProgress;

/* Once a second, where there is something to tell. */
extern int	rn_progress_is_due(const RnProgress *progress);
extern RnStatus rn_report_progress(RnContext *ctx, RnJob *job, RnProgress *progress);

#endif							/* RN_JOB_H */
