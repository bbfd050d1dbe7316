/*
 * trainer_state.h
 *		What a trainer consists of; for the files that fill trainer.h only.
 *
 * src/train/trainer_state.h
 */
#ifndef RN_TRAINER_STATE_H
#define RN_TRAINER_STATE_H

#include "train/optimizer.h"
#include "train/trainer.h"

/* What one thread works with. */
typedef struct RnTrainerWorker
{
	RnContext	ctx;			/* of the round */
	RnLane	   *lane;
	RnGraph    *graph;
	RnPacker   *packer;
	rn_real    *gradients;		/* flat, device; clear between steps, but see shown; the first worker's holds the
								 * shared ones, those of others end before */
	rn_real    *change;			/* [piece_most], device; NULL before statistics were wanted */
} RnTrainerWorker;

/* A step that the device was given and has not told of. */
typedef struct RnPendingStep
{
	int64_t		step;
	double		learning_rate;
	int64_t		target_tokens;
	RnDataPosition position;	/* where it began to read */
} RnPendingStep;

/* What steps were like that were told of, but not yet to the trainer's user. */
typedef struct RnSteps
{
	int			n;
	int			skipped;
	int64_t		target_tokens;
	double		loss;			/* sums over these */
	double		nll;
} RnSteps;

/*
 * A plane is one value for every element of every parameter.  Weights and
 * moments lie in memory, the others in the spill file.
 */
enum
{
	RN_PLANE_WEIGHTS = 0,
	RN_PLANE_FIRST,
	RN_PLANE_SECOND,
	RN_PLANE_BEST,
	RN_PLANE_AVERAGE			/* this and those behind it */
};

struct RnTrainer
{
	RnTrainerOptions options;
	const RnParams *params;
	int			n_workers;
	RnTrainerWorker *workers;
	RnRoom		rooms[2];		/* of a pass without and with gradients; without pairs: whatever comes */
	rn_real   **gradients;		/* [n_workers] those of the workers */
	RnTurns    *turns;			/* of the parameters' shared gradients */
	rn_real    *values;			/* flat, device */
	char	   *rounded;		/* the same as products round them, device; NULL: the device wants no such */
	const rn_real *rounded_of;	/* whose they are; NULL: those have changed since */
	RnOptimizer optimizer;
	int64_t		steps;			/* taken, those under way included */
	RnDataPosition next;		/* where the next step reads */
	int			fresh;			/* weights are initial ones, not yet measured (rn_model_profile) */
	int			has_measured;
	RnMeasuredBatch measured;
	int			dirty;			/* gradients are not clear */
	RnShown		shown;			/* other than present: gradients[0] holds it */

	/* with options.ranks */
	int			ranks_began;	/* this rank has what rank 0 began with */

	/* steps that the device has not told of (settle.c) */
	RnPendingStep pending[RN_STEPS_AHEAD_MOST]; /* kernels' steps_ahead at most */
	int			n_pending;
	RnDecision	decision;		/* as last read */
	RnSteps		told;

	/* planes in the file */
	int			n_averages;		/* config's, 0 when below 2 */
	uint64_t   *places;			/* [1 + n_averages] offset in the file, of best and of the others */
	int			has_best;
	int			n_remembered;	/* of averages */
	int			next_average;	/* the oldest, when all are used */

	/* while a checkpoint is read */
	size_t	   *received;		/* [planes * params + 1] bytes of each part; NULL before the first */
	char	   *state;			/* the part of that name */
};

/* Bytes of the rounded weights. */
static inline size_t
rn_trainer_rounded_bytes(const RnParams *params, const RnKernels *kernels)
{
	return params->size * (size_t) kernels->rounded_size;
}

/* Elements of a worker's gradients; bytes of all that does not depend on the batch. */
extern size_t rn_trainer_gradient_size(const RnParams *params, int worker);
extern size_t rn_trainer_fixed_memory(const RnParams *params, const RnKernels *kernels, int n_workers);

/* Parts of a batch for each of the ranks, where nothing speaks for more. */
extern int	rn_trainer_shards(const RnTrainer *trainer, int ranks, int64_t source_rows, int64_t target_rows);

extern int	rn_trainer_row_unit(const RnTrainer *trainer);

/* What decisions go on from: updates made, the scale of the losses and how long it has held. */
extern void rn_trainer_decide_from(RnTrainer *trainer, int64_t updates, int loss_exponent, int good_steps);

/* settle.c: note a step as under way; wait for those that are; the status for one that halted. */
extern void rn_trainer_under_way(RnTrainer *trainer, const RnStepResult *result);
extern RnStatus rn_trainer_await(RnContext *ctx, RnTrainer *trainer);
extern RnStatus rn_trainer_diverged(RnContext *ctx, int halted, int64_t step, double learning_rate);

/* Elements first .. first + n - 1 of a plane, from and to the host (plane.c). */
extern RnStatus rn_plane_read(RnContext *ctx, RnTrainer *trainer, int plane, size_t first, size_t n, rn_real *host);
extern RnStatus rn_plane_write(RnContext *ctx, RnTrainer *trainer, int plane, size_t first, size_t n,
							   const rn_real *host);

#endif							/* RN_TRAINER_STATE_H */
