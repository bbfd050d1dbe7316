/*
 * trainer.h
 *		One training step over the shards of a batch, and the state that a
 *		resumed run needs.
 *
 * Threads share a batch, not an operation: each runs forward and backward on
 * its own shards with its own tape, gradients are summed in a fixed order, and
 * the optimizer is split by ranges of parameters.  Same thread count, same
 * bits.
 *
 * src/train/trainer.h
 */
#ifndef RN_TRAINER_H
#define RN_TRAINER_H

#include <signal.h>

#include "base/spill.h"
#include "base/threads.h"
#include "train/batch.h"
#include "train/ranks.h"

typedef struct RnTrainer RnTrainer;

/* All lent for the trainer's life. */
typedef struct RnTrainerOptions
{
	const RnModel *model;
	const RnConfig *config;
	const RnKernels *kernels;
	RnThreads  *threads;
	RnSpill    *spill;			/* keeps best weights and those to average; NULL: none can be kept */
	size_t		memory_limit;	/* of everything here; 0: none */
	const RnRanks *ranks;		/* that share each step; NULL: this process computes alone */
	const volatile sig_atomic_t *stop;	/* set: steps and evaluations end with RN_CANCELLED; may be NULL */
} RnTrainerOptions;

extern RnStatus rn_trainer_create(RnContext *ctx, const RnTrainerOptions *options, RnTrainer **trainer);
extern void rn_trainer_free(RnTrainer *trainer);

/* What a trainer will be given. */
typedef struct RnTrainerLoad
{
	const RnCorpus *training;
	int			batch_tokens;
	const RnCorpus *held_out;	/* what it evaluates, or NULL */
	int			held_out_tokens;	/* of a batch of it */
	size_t		beside;			/* bytes of device memory that others need at the same time */
} RnTrainerLoad;

/*
 * Work out what steps and evaluations over these corpora take, hold it to the
 * limit, and take it: none of them asks the device for memory any more.
 * RN_LIMIT says how much is needed and which options lower it.
 */
extern RnStatus rn_trainer_reserve(RnContext *ctx, RnTrainer *trainer, const RnTrainerLoad *load);

/* Fresh weights and moments. */
extern RnStatus rn_trainer_initialize(RnContext *ctx, RnTrainer *trainer);

/*
 * What one step was like.  A device that works by itself tells of several
 * steps at once: with most of them nothing is told, and then of all since.
 */
typedef struct RnStepResult
{
	int64_t		step;			/* steps taken, this one included */
	double		learning_rate;
	int64_t		target_tokens;
	int64_t		source_tokens;
	int			epoch_end;		/* an epoch ended within the step */

	int			told;			/* of so many steps, this one the last; 0: the rest says nothing */
	int			skipped;		/* of them: no update, as the gradient was too large for its format */
	int64_t		told_tokens;	/* target tokens of these steps */
	double		loss;			/* label-smoothed, mean over these tokens, nats */
	double		nll;			/* mean -log p(target) */
	double		gradient_norm;	/* of the last one, before clipping */
} RnStepResult;

/*
 * Per tensor, filled on request: norms of the parameter, of its gradient, and
 * of the step the optimizer made.
 */
typedef struct RnTensorStatistics
{
	const RnParam *param;
	double		parameter_norm;
	double		gradient_norm;	/* before clipping */
	double		update_norm;	/* 0 where no update was made */
	double		adam_condition; /* max|J| |g| / |u| of the tensor, at the gradients that are there */
} RnTensorStatistics;

/*
 * One update: reads accumulate batches, computes, updates.  reader is NULL on
 * ranks that are told their batches.  statistics, when not NULL, is
 * [rn_model_params()->count]; it is then waited for.
 * RN_CANCELLED when stopped, RN_NO_MEMORY when memory does not suffice: the weights
 * are those before the step then, and so is what a checkpoint says of the data
 * position.  RN_DIVERGED when loss or gradient of a step, this one or one under
 * way, is not finite: likewise, before that step.
 */
extern RnStatus rn_trainer_step(RnContext *ctx, RnTrainer *trainer, RnBatchReader *reader,
								RnStepResult *result, RnTensorStatistics *statistics);

/*
 * Wait for the steps under way: fills what result tells of steps, and leaves
 * the rest.  What is to be kept of a trainer is to be settled first.
 */
extern RnStatus rn_trainer_settle(RnContext *ctx, RnTrainer *trainer, RnStepResult *result);

/*
 * Statistics of what the next step will meet, without an update; the reader
 * stands where it stood.
 */
extern RnStatus rn_trainer_probe(RnContext *ctx, RnTrainer *trainer, RnBatchReader *reader,
								 RnStepResult *result, RnTensorStatistics *statistics);

/*
 * Loss without dropout over a whole corpus (one epoch of the reader, from its
 * start): means over target tokens.  Of the weights shown.
 */
extern RnStatus rn_trainer_evaluate(RnContext *ctx, RnTrainer *trainer, RnBatchReader *reader,
									double *loss, double *nll);

/*
 * Which weights rn_trainer_evaluate, rn_trainer_weights and
 * rn_trainer_read_shown mean.  The next step shows the present ones again.
 */
typedef enum RnShown
{
	RN_SHOW_PRESENT = 0,
	RN_SHOW_BEST,				/* RN_INTERNAL when none was remembered */
	RN_SHOW_AVERAGE				/* uniform, of those remembered; likewise */
} RnShown;

extern RnStatus rn_trainer_show(RnContext *ctx, RnTrainer *trainer, RnShown shown);

/* What a scheme measured before the first step. */
typedef struct RnMeasuredBatch
{
	uint64_t	digest[2];		/* of the ids, source and target */
	int			source_tokens;	/* ends included */
	int			target_tokens;
} RnMeasuredBatch;

/* NULL: this trainer has measured nothing. */
extern const RnMeasuredBatch *rn_trainer_measured(const RnTrainer *trainer);

/* Flat, device; the pointer is good until the next rn_trainer_show or step. */
extern const rn_real *rn_trainer_weights(const RnTrainer *trainer);

/* Keep a copy of the present weights: as the best, as one of the last (config: average_checkpoints) to average. */
extern RnStatus rn_trainer_remember_best(RnContext *ctx, RnTrainer *trainer);
extern RnStatus rn_trainer_remember_for_average(RnContext *ctx, RnTrainer *trainer);
extern int	rn_trainer_has_best(const RnTrainer *trainer);
extern int	rn_trainer_averaged(const RnTrainer *trainer);	/* how many are remembered */

/*
 * State as named parts: weights ("w:" name), moments ("m:", "v:"), best and
 * remembered weights ("b:", "a0:" ...), and the counters ("state").  Numbers
 * are float32.  A part is read and written in chunks; set parts are checked
 * for name and size, and chunks must come in order.
 */
typedef struct RnPart
{
	char		name[RN_PARAM_NAME_LENGTH + 8];
	const RnParam *param;		/* NULL for "state" */
	size_t		size;			/* bytes */
	int			number;
} RnPart;

extern int	rn_trainer_parts(const RnTrainer *trainer);
extern void rn_trainer_part(const RnTrainer *trainer, int number, RnPart *part);
extern RnStatus rn_trainer_read_part(RnContext *ctx, RnTrainer *trainer, const RnPart *part, size_t offset,
									 void *bytes, size_t size);
extern RnStatus rn_trainer_set_part(RnContext *ctx, RnTrainer *trainer, const char *name, size_t total,
									size_t offset, const void *bytes, size_t size);

/* All parts set: check that none is missing, and stand where the checkpoint stood. */
extern RnStatus rn_trainer_restored(RnContext *ctx, RnTrainer *trainer);

/* All weights set ("w:" parts only), to start from with fresh moments: check that none is missing. */
extern RnStatus rn_trainer_weights_set(RnContext *ctx, RnTrainer *trainer);

/* A part of a tensor of the weights shown, as float32. */
extern RnStatus rn_trainer_read_shown(RnContext *ctx, RnTrainer *trainer, const RnParam *param, size_t offset,
									  void *bytes, size_t size);

/* Where the next step reads; a new reader is sent there. */
extern void rn_trainer_position(const RnTrainer *trainer, RnDataPosition *position);

extern int64_t rn_trainer_steps(const RnTrainer *trainer);

/* Bytes held now. */
extern size_t rn_trainer_memory(const RnTrainer *trainer);

#endif							/* RN_TRAINER_H */
