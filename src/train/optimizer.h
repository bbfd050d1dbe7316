/*
 * optimizer.h
 *		Adam over flat buffers, shared by threads.
 *
 * Parameters are cut into pieces; each thread has a run of pieces.  An update
 * is two rounds with a barrier between: sum the threads' gradients and their
 * squares, then, with the norm known, clip and step.
 *
 * src/train/optimizer.h
 */
#ifndef RN_OPTIMIZER_H
#define RN_OPTIMIZER_H

#include "graph/param.h"
#include "kernels/kernel.h"
#include "model/config.h"

/* A part of one tensor. */
typedef struct RnPiece
{
	const RnParam *param;
	size_t		offset;			/* in the flat buffers */
	size_t		n;				/* at most piece_most */
	double		squares;		/* of the summed gradient, after reduce */
} RnPiece;

/* What statistics collect of a piece. */
typedef struct RnTally
{
	double		parameter;		/* sums of squares */
	double		gradient;		/* as summed, not yet a mean */
	double		change;			/* of the step made */
	double		fed;			/* of the gradient as Adam gets it */
	double		step;			/* of Adam's step without decay, learning rate 1 */
	double		jacobian;		/* largest |J|, learning rate 1 */
	double		jacobian_squares;
} RnTally;

typedef struct RnOptimizer
{
	const RnConfig *config;		/* lent */
	const RnKernels *kernels;	/* lent */
	size_t		size;			/* of the flat buffers */
	rn_real    *first;			/* m, device */
	rn_real    *second;			/* v */
	int64_t		updates;		/* done */
	size_t		piece_most;		/* elements */
	RnPiece    *pieces;
	int			n_pieces;
	int			n_threads;
	int		   *starts;			/* [n_threads + 1] pieces of each thread */
} RnOptimizer;

extern RnStatus rn_optimizer_init(RnContext *ctx, RnOptimizer *optimizer, const RnParams *params,
								  const RnConfig *config, const RnKernels *kernels, int n_threads);
extern void rn_optimizer_free(RnOptimizer *optimizer);

/*
 * First round, on each thread: gradients[0] becomes the sum, the others, of
 * own elements each, are cleared.  Synchronize the lane before the sums of
 * squares are read.
 */
extern void rn_optimizer_reduce(RnOptimizer *optimizer, RnLane *lane, int thread, rn_real *const *gradients, size_t own);

/* Between: the norm of the sum, pieces in order. */
extern double rn_optimizer_norm(const RnOptimizer *optimizer);

/* One update of everything: gradient_scale makes the mean of the sum, and clips. */
typedef struct RnUpdate
{
	rn_real    *values;
	rn_real    *gradient;		/* summed; cleared */
	double		gradient_scale;
	double		learning_rate;
} RnUpdate;

/*
 * Second round, on each thread.  change: [piece_most], device, where
 * tallies [n_pieces] are wanted; else both NULL.
 */
extern void rn_optimizer_update(RnOptimizer *optimizer, RnLane *lane, int thread, const RnUpdate *update,
								rn_real *change, RnTally *tallies);

/* After the second round. */
extern void rn_optimizer_updated(RnOptimizer *optimizer);

#endif							/* RN_OPTIMIZER_H */
