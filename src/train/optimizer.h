/*
 * optimizer.h
 *		Adam over flat buffers, shared by threads.
 *
 * Parameters are cut into pieces; each thread has a run of pieces.  An update
 * is two rounds with a decision between: sum the threads' gradients and their
 * squares; see from the norm how to clip, and whether to step at all; step.
 * The decision is made where the sums are (kernels/decide.h), so nobody waits
 * for it who does not want to know it.
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
} RnPiece;

/* Squares of every piece that are summed up, of ... */
enum
{
	RN_SQUARES_GRADIENT = 0,	/* the summed gradient, not yet a mean */
	RN_SQUARES_PARAMETER,		/* and, where statistics are wanted, */
	RN_SQUARES_CHANGE,			/* the step made */
	RN_SQUARES
};

/* What statistics collect of a piece. */
typedef struct RnTally
{
	double		squares[RN_SQUARES];
	double		fed;			/* squares of the gradient as Adam gets it */
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
	double	   *squares;		/* [RN_SQUARES, n_pieces] device */
	double	   *sums;			/* [n_threads, 2] device: loss and nll of each thread's passes */
	RnDecision *decision;		/* device */
	size_t		piece_most;		/* elements */
	RnPiece    *pieces;
	int			n_pieces;
	int			n_threads;
	int		   *starts;			/* [n_threads + 1] pieces of each thread */
} RnOptimizer;

extern RnStatus rn_optimizer_init(RnContext *ctx, RnOptimizer *optimizer, const RnParams *params,
								  const RnConfig *config, const RnKernels *kernels, int n_threads);
extern void rn_optimizer_free(RnOptimizer *optimizer);

/* What is carried from step to step, before the first one of all or of this run. */
extern void rn_optimizer_begin(const RnOptimizer *optimizer, RnLane *lane, int64_t updates, int loss_exponent,
							   int good_steps);

/*
 * First round, on each thread: gradients[0] becomes the sum, the others, of
 * own elements each, are cleared.
 */
extern void rn_optimizer_reduce(RnOptimizer *optimizer, RnLane *lane, int thread, rn_real *const *gradients, size_t own);

/* What the host knows of a step. */
typedef struct RnStepTerms
{
	double		gradient_scale; /* of the losses, whose own scale comes on top */
	double		target_tokens;
	double		learning_rate;
	double		clip_norm;		/* 0: none */
	int			first;			/* what the steps before were like has been read */
} RnStepTerms;

/* Between, once. */
extern void rn_optimizer_decide(const RnOptimizer *optimizer, RnLane *lane, const RnStepTerms *terms);

/* Wait for the decision, and bring it to the host. */
extern RnStatus rn_optimizer_decided(RnContext *ctx, const RnOptimizer *optimizer, RnLane *lane, RnDecision *decision);

/*
 * Second round, on each thread: values step, the gradient is cleared.  change:
 * [piece_most], device, where its squares are wanted; else NULL.
 */
extern void rn_optimizer_update(RnOptimizer *optimizer, RnLane *lane, int thread, rn_real *values, rn_real *gradient,
								rn_real *change);

/* Bring what was summed up of the pieces, but fed and what follows, to tallies [n_pieces]; waits. */
extern RnStatus rn_optimizer_squares(RnContext *ctx, const RnOptimizer *optimizer, RnLane *lane, RnTally *tallies);

#endif							/* RN_OPTIMIZER_H */
