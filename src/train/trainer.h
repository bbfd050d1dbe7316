/*
 * trainer.h
 *		One training step over the shards of a batch, and the state that a
 *		resumed run needs.
 *
 * Threads share a batch, not an operation: each runs forward and backward on
 * its own shard with its own tape, gradients are summed in a fixed order, and
 * the optimizer is split by ranges of parameters.  Same thread count, same
 * bits.
 *
 * src/train/trainer.h
 */
#ifndef RN_TRAINER_H
#define RN_TRAINER_H

#include "train/batch.h"

typedef struct RnTrainer RnTrainer;

extern RnStatus rn_trainer_create(RnContext *ctx, const RnModel *model, const RnConfig *config,
								  const RnKernels *kernels, RnTrainer **trainer);
extern void rn_trainer_free(RnTrainer *trainer);

/* Fresh weights and moments. */
extern RnStatus rn_trainer_initialize(RnContext *ctx, RnTrainer *trainer);

/* What one update was like. */
typedef struct RnStepResult
{
	int64_t		step;			/* updates done, this one included */
	double		loss;			/* label-smoothed, mean over target tokens, nats */
	double		nll;			/* mean -log p(target) */
	double		gradient_norm;	/* before clipping */
	double		learning_rate;
	int64_t		target_tokens;
	int64_t		source_tokens;
	int			epoch_end;		/* the batch was an epoch's last */
} RnStepResult;

/*
 * Per tensor, filled on request: norms of the parameter, of its gradient, and
 * of the step the optimizer made.
 */
typedef struct RnTensorStatistics
{
	const RnParam *param;
	double		parameter_norm;
	double		gradient_norm;
	double		update_norm;	/* 0 at step 0 */
	double		adam_condition; /* schemes.md 9.7: max|J| |g| / |u| of this tensor at the gradients that are there */
} RnTensorStatistics;

/*
 * One update: reads accumulate batches, computes, updates.  statistics, when
 * not NULL, is [rn_model_params()->count].  RN_DIVERGED when loss or gradient
 * is not finite; the weights are those before the step then.
 */
extern RnStatus rn_trainer_step(RnContext *ctx, RnTrainer *trainer, RnBatchReader *reader,
								RnStepResult *result, RnTensorStatistics *statistics);

/* Gradient statistics of the next batch without an update; the reader stands where it stood. */
extern RnStatus rn_trainer_probe(RnContext *ctx, RnTrainer *trainer, RnBatchReader *reader,
								 RnStepResult *result, RnTensorStatistics *statistics);

/* Loss without dropout over a whole corpus (one epoch of the reader): means over target tokens. */
extern RnStatus rn_trainer_evaluate(RnContext *ctx, RnTrainer *trainer, RnBatchReader *reader,
									double *loss, double *nll);

/*
 * State as named parts: weights ("w:" name), moments ("m:", "v:"), averages
 * ("a:..."), and the counters ("state").  A part is written and read in any
 * chunks; set parts are checked for name and size.
 */
typedef struct RnPart
{
	char		name[RN_PARAM_NAME_LENGTH + 8];
	const RnParam *param;		/* NULL for "state" */
	const void *bytes;			/* read only; valid until the next step */
	size_t		size;
} RnPart;

extern int	rn_trainer_parts(RnTrainer *trainer);
extern RnStatus rn_trainer_part(RnContext *ctx, RnTrainer *trainer, int number, RnPart *part);
extern RnStatus rn_trainer_set_part(RnContext *ctx, RnTrainer *trainer, const char *name,
									size_t offset, const void *bytes, size_t size);

/* All parts set: check that none is missing, stand where the checkpoint stood. */
extern RnStatus rn_trainer_restored(RnContext *ctx, RnTrainer *trainer, RnBatchReader *reader);

/* The weights, flat; for translating between steps. */
extern rn_real *rn_trainer_values(RnTrainer *trainer);
extern int64_t rn_trainer_steps(const RnTrainer *trainer);

/* Best-so-far and averaging.  remember: keep a copy of the weights as the best / as one of the last n. */
extern RnStatus rn_trainer_remember_best(RnContext *ctx, RnTrainer *trainer);
extern RnStatus rn_trainer_remember_for_average(RnContext *ctx, RnTrainer *trainer, int n);

/* Put the average (uniform, of those remembered), or the best, into out [params size]. */
extern RnStatus rn_trainer_average(RnContext *ctx, RnTrainer *trainer, rn_real *out);
extern const rn_real *rn_trainer_best(const RnTrainer *trainer);	/* NULL when none */

extern size_t rn_trainer_memory(const RnTrainer *trainer);

#endif							/* RN_TRAINER_H */
