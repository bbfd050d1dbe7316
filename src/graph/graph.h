/*
 * graph.h
 *		The tape: operations are noted while the model is built, then run
 *		forwards and backwards.
 *
 * Building computes nothing.  rn_graph_forward plans memory from the life of
 * every value and gradient, makes room once, and runs; in a steady state
 * nothing is allocated.  A graph belongs to one lane (one thread).  Knows
 * nothing of language.
 *
 *		rn_graph_begin(graph, &pass);
 *		... operations of op.h ...
 *		rn_graph_forward(ctx, graph);
 *		rn_graph_backward(ctx, graph);		when gradients are wanted
 *
 * A mistake while building makes the operation give NULL; operations on NULL
 * give NULL; rn_graph_forward tells the first one.
 *
 * src/graph/graph.h
 */
#ifndef RN_GRAPH_H
#define RN_GRAPH_H

#include "base/turns.h"
#include "graph/prepared.h"
#include "kernels/kernel.h"

typedef struct RnGraph RnGraph;

/* [rows, cols], dense.  Read the fields; only the graph writes them. */
typedef struct RnTensor
{
	int			rows;
	int			cols;
	rn_real    *value;			/* device memory, after rn_graph_forward; valid to the end of
								 * the pass only when kept, an input, or needed backwards */
	rn_real    *grad;			/* after rn_graph_backward, when kept */
	struct RnTensorState *state;	/* the graph's own */
} RnTensor;

/* What one pass over a graph works with. */
typedef struct RnPass
{
	const RnParams *params;
	const rn_real *values;		/* flat, device */
	const RnPreparedWeights *prepared;	/* of these values; or NULL */
	const char *rounded;		/* these values as products round them (RnKernels.round); or NULL */
	rn_real    *gradients;		/* flat, device, added to; NULL: forward only */
	int			training;		/* dropout on */
	int			measuring;		/* ends with rn_graph_measure: nothing is computed, values are only pointed at */
	uint64_t	seed;
	uint32_t	step;			/* update, keys the dropout */
	rn_real    *shared;			/* flat, device: where gradients of parameters of flag RN_PARAM_ONCE go, those of
								 * several passes in turn; NULL: to gradients, which then need not reach so far */
	RnTurns    *turns;			/* whose things are parameters; with shared */
	int			turn;			/* of this pass */
	const volatile int *stop;	/* set: the pass ends with RN_CANCELLED after the operation at hand; or NULL */

	/* a pass of many, none of which is waited for: results are there when the lane was synchronized */
	int			under_way;
	double	   *sums;			/* [2] device: loss and nll are added here, and what an RnLoss says is not; or NULL */
	const double *loss_scale;	/* [1] device: gradients are times this; or NULL */
} RnPass;

extern RnStatus rn_graph_create(RnContext *ctx, const RnKernels *kernels, RnLane *lane, RnGraph **graph);
extern void rn_graph_free(RnGraph *graph);

/* Forget everything noted and start anew; keeps the memory. */
extern void rn_graph_begin(RnGraph *graph, const RnPass *pass);

extern RnStatus rn_graph_forward(RnContext *ctx, RnGraph *graph);

/*
 * Run backwards from the losses noted (rn_smoothed_cross_entropy) and from
 * every tensor given a gradient with rn_graph_seed.  Adds to pass.gradients;
 * so does rn_graph_forward for the weight of a loss.  Each runs once a pass.
 */
extern RnStatus rn_graph_backward(RnContext *ctx, RnGraph *graph);

/*
 * In place of running: bytes of the plan, constants not counted.  Then, with
 * memory reserved, passes that need no more allocate nothing.
 */
extern RnStatus rn_graph_measure(RnContext *ctx, RnGraph *graph, size_t *bytes);
extern RnStatus rn_graph_reserve(RnContext *ctx, RnGraph *graph, size_t bytes);

/* The value (and gradient, NULL if none reaches it) stays to the next rn_graph_begin, for whoever wants to look. */
extern void rn_graph_keep(RnGraph *graph, RnTensor *tensor);

/* Gradient of the objective in this tensor, [rows, cols], device memory; call before rn_graph_forward. */
extern void rn_graph_seed(RnGraph *graph, RnTensor *tensor, const rn_real *gradient);

/* Scratch that lives to the next rn_graph_begin (for op arguments, ids, ...); NULL when out of memory. */
extern void *rn_graph_scratch(RnGraph *graph, size_t bytes);

/*
 * Device memory with what the host has at data, n elements that must not change
 * while the graph lives; copied when first asked for.  NULL after a failure.
 */
extern const rn_real *rn_graph_constant(RnGraph *graph, const rn_real *data, size_t n);

/* What those asked for take, measuring included. */
extern size_t rn_graph_constants(const RnGraph *graph);

/* A pass that needs more device memory fails with RN_NO_MEMORY; 0: no limit. */
extern void rn_graph_limit(RnGraph *graph, size_t bytes);

/* Bytes of the plan of the last pass, and the most so far. */
extern size_t rn_graph_memory(const RnGraph *graph);
extern size_t rn_graph_memory_peak(const RnGraph *graph);

#endif							/* RN_GRAPH_H */
