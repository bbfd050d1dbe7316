/*
 * diagnosis.h
 *		A diagnostic question, in a process of its own: what it is about, and
 *		the stations of the answer; for the diagnosis*.c files and apart.c.
 *
 *		diagnosis_intake.c	a model that is sent, options, rows
 *		diagnosis.c			rows to a batch, a model to a probe; the whole
 *		diagnosis_answer.c	what a probe shows, as tables; the list of answers
 *		diagnosis_gradients.c	likewise of gradients and Adam
 *
 * src/engine/diagnosis.h
 */
#ifndef RN_DIAGNOSIS_H
#define RN_DIAGNOSIS_H

#include <signal.h>

#include "diagnose/probe.h"
#include "engine/control.h"
#include "engine/load.h"
#include "engine/table.h"
#include "text/tokenizer.h"
#include "train/batch.h"

/* Numbers that a diagnostic goes by, beside the options of its model. */
typedef struct RnDiagnosisParameters
{
	double		random_step;	/* of output_change */
	double		gradient_step;
	int			repeats;		/* of cost: steps that are timed */
} RnDiagnosisParameters;

typedef struct RnDiagnosis RnDiagnosis;

/* A question by name; answer writes rows of so many columns, with the probe run where rows are needed. */
typedef struct RnQuestion
{
	const char *name;
	int			columns;
	int			needs_rows;
	RnStatus	(*answer) (RnContext *ctx, RnDiagnosis *diagnosis, RnTable *table);
} RnQuestion;

struct RnDiagnosis
{
	/* the other side */
	RnPeer	   *peer;			/* lent */
	RnControl  *control;		/* NULL until everything has come */
	volatile sig_atomic_t *stop;

	/* what it gave */
	const RnQuestion *question; /* NULL: not asked yet */
	RnConfig	config;			/* vocab_size is the tokenizer's once there is one */
	RnDiagnosisParameters parameters;
	RnModelUse	use;
	size_t		memory_limit;	/* of a pass; 0: none */
	RnStore		store;			/* holds the model that was sent, if one was */
	RnLoad		load;
	RnServedModel *sent;		/* NULL: none */
	RnText	   *texts;			/* [2 * n_pairs], malloc'd: source, target, source, ... */
	int			n_pairs;
	int			room;
	int			complete;		/* ROWS_END has come */
	int64_t		rows_empty;		/* rows that are not among them */
	int64_t		rows_long;		/* with more pieces than max_length */

	/* what computes */
	const RnKernels *kernels;
	RnLane	   *lane;
	RnTokenizer *learned;		/* NULL: that of the model sent */
	RnModel    *model;
	rn_real    *values;			/* flat, device; NULL: those of the model sent */
	RnPair	   *pairs;			/* [n_batch], their ids malloc'd */
	int			n_batch;
	RnPacker   *packer;
	RnModelBatch batch;
	RnProbe    *probe;
};

/*
 * Answer the question that the first frame, LOAD or DIAGNOSE, begins.  Once
 * everything has come a thread listens (control.h): this process then ends
 * when the peer hangs up, whatever it is doing, and does not return.
 */
extern RnStatus rn_diagnosis(RnContext *ctx, RnPeer *peer, const RnFrame *first, volatile sig_atomic_t *stop);

/* Both ends of the life of a question; peer and stop are lent. */
extern RnStatus rn_diagnosis_init(RnContext *ctx, RnDiagnosis *diagnosis, RnPeer *peer, volatile sig_atomic_t *stop);
extern void rn_diagnosis_free(RnDiagnosis *diagnosis);

/* diagnosis_intake.c: frames from the first to ROWS_END. */
extern RnStatus rn_diagnosis_receive(RnContext *ctx, RnDiagnosis *diagnosis, const RnFrame *first);

/* diagnosis.c: the tokenizer, learned where none was sent. */
extern RnStatus rn_diagnosis_tokenizer(RnContext *ctx, RnDiagnosis *diagnosis, const RnTokenizer **tokenizer);

/* diagnosis_gradients.c */
extern RnStatus rn_answer_probe(RnContext *ctx, RnDiagnosis *diagnosis, RnTable *table);
extern RnStatus rn_answer_layers(RnContext *ctx, RnDiagnosis *diagnosis, RnTable *table);
extern RnStatus rn_answer_adam_condition(RnContext *ctx, RnDiagnosis *diagnosis, RnTable *table);
extern RnStatus rn_answer_adam_curve(RnContext *ctx, RnDiagnosis *diagnosis, RnTable *table);

/* diagnosis_answer.c: by name; NULL when there is none. */
extern const RnQuestion *rn_question_find(const char *name);

#endif							/* RN_DIAGNOSIS_H */
