/*
 * node.h
 *		The inside of the tape, for the operations, the planner and tests.
 *
 * Times.  A pass of n nodes runs node i forwards at time i; gradients given
 * from outside are copied in at time n; node i runs backwards at time 2n - i.
 * A piece of memory lives from the first time that touches it to the last, so
 * that pieces whose lives do not meet may lie in the same place.
 *
 * An operation says what it reads and writes, and which memory it may write
 * over; the planner (plan.c) decides, and the operation finds pointers.  An
 * operation's code so never asks whether somebody else needs a value.
 *
 * src/graph/node.h
 */
#ifndef RN_NODE_H
#define RN_NODE_H

#include "graph/graph.h"

typedef struct RnNode RnNode;
typedef struct RnTensorState RnTensorState;

typedef struct RnOp
{
	const char *name;			/* for messages */
	void		(*forward) (RnGraph *graph, RnNode *node);
	void		(*backward) (RnGraph *graph, RnNode *node); /* NULL: gradients end here */
} RnOp;

/* A piece of the plan's memory. */
typedef struct RnBuffer RnBuffer;
struct RnBuffer
{
	size_t		bytes;			/* as asked for, rounded up */
	size_t		offset;			/* from the start of the plan's memory */
	int			born;			/* first time that touches it */
	int			dies;			/* last one */
	RnBuffer   *next;			/* in order of birth */
	RnBuffer   *next_dying;		/* of those that die at the same time */
};

/* What a node reads. */
typedef struct RnUse
{
	RnTensor   *tensor;
	int			needs_value;	/* backward reads the value again */
	int			first_column;	/* the gradient goes to these columns only ... */
	int			n_columns;		/* ... 0: to all */
	int			overwrites;		/* backward cannot add to a gradient */
	int			paired;			/* must accumulate exactly when the use before does */
	int			takes_output;	/* gradient may lie where this output's gradient is; -1: no */
	int			takes_memory;	/* gradient is this memory of the node; -1: no */

	/* planned */
	int			wanted;			/* a gradient is to be computed */
	int			accumulate;		/* added to what is there */
	int			opens;			/* the first to write this gradient */
	int			detour;			/* written to temporary, then added */
	RnBuffer	temporary;
	struct RnUse *next_span;	/* of those that wrote columns of one gradient */

	/* running backwards */
	rn_real    *grad;			/* where to; NULL: not wanted */
} RnUse;

/* What a node gives. */
typedef struct RnOutput
{
	RnTensor   *tensor;
	int			needs_value;	/* backward reads the value */
	int			needs_grad;		/* backward cannot do without this gradient */
	unsigned	may_take;		/* uses (bits) whose value it may overwrite */

	/* planned */
	int			missing;		/* needs_grad, but nobody gave one: zeros */
	RnBuffer	zeros;

	/* running backwards */
	rn_real    *grad;			/* NULL: none reached it */
} RnOutput;

typedef enum RnMemoryLife
{
	RN_MEMORY_FORWARD,			/* scratch of forward */
	RN_MEMORY_SAVED,			/* from forward to backward */
	RN_MEMORY_BACKWARD,			/* scratch of backward */
	RN_MEMORY_IF_KEPT			/* there when somebody wants to look, else not */
} RnMemoryLife;

/* Memory of a node's own. */
typedef struct RnMemory
{
	RnMemoryLife life;
	unsigned	may_take;		/* uses (bits) whose value it may overwrite */
	int			kept;			/* to the end of the pass */
	RnBuffer	own;
	RnBuffer   *buffer;			/* own, or a value's; NULL: none */
	rn_real    *at;				/* while running; NULL: none */
} RnMemory;

struct RnNode
{
	const RnOp *op;
	int			index;
	int			n_uses;
	int			n_outputs;
	int			n_memories;
	RnUse	   *uses;
	RnOutput   *outputs;
	RnMemory   *memories;
	int			trains;			/* has parameters that want a gradient */
	const RnParam *in_turn;		/* whose gradient it shares with other passes; NULL: none */
	int			root;			/* gradients begin here (a loss) */
	int			active;			/* runs backwards */
	void	   *spec;			/* the operation's own */
	RnNode	   *next;
	RnNode	   *previous;
};

/* A tensor as the graph sees it. */
struct RnTensorState
{
	RnTensor	tensor;
	RnNode	   *producer;		/* NULL: from outside */
	int			wants_grad;
	int			kept;
	const rn_real *seed;		/* gradient from outside */

	/* planned */
	int			last_read;		/* time; -1: never */
	RnBuffer	own_value;
	RnBuffer	own_grad;
	RnBuffer   *value;			/* NULL: memory from outside */
	RnBuffer   *grad;			/* NULL: none */
	int			zero_grad;		/* cleared before the first who writes it */
	int			covered;		/* columns of the gradient written so far */
	RnUse	   *spans;			/* by whom, while not all are */
	RnNode	   *contributor;	/* the last node that wrote it */
	RnTensorState *next;
};

typedef struct RnBlock RnBlock;
typedef struct RnConstant RnConstant;

typedef enum RnGraphStage
{
	RN_GRAPH_IDLE,				/* rn_graph_begin is next */
	RN_GRAPH_NOTING,
	RN_GRAPH_FORWARD_DONE,
	RN_GRAPH_BACKWARD_DONE
} RnGraphStage;

struct RnGraph
{
	const RnKernels *kernels;
	RnLane	   *lane;
	RnPass		pass;
	RnGraphStage stage;
	RnContext	failure;		/* first mistake while noting */
	uint32_t	next_site;		/* of dropout */

	RnConstant *constants;		/* the host's, copied to the device */

	RnBlock    *blocks;			/* host memory of nodes and scratch, reused */
	RnBlock    *block;			/* the one in use */

	RnNode	   *first;
	RnNode	   *last;
	int			n_nodes;
	RnTensorState *tensors;
	RnTensorState *last_tensor;

	RnBuffer   *births;			/* all buffers of the plan */
	RnBuffer  **deaths;			/* [times + 1] by last time */
	int			times;			/* one more than the last time at which something runs */
	char	   *memory;			/* device */
	size_t		capacity;
	size_t		limit;			/* 0: none */
	size_t		planned;		/* bytes of the last plan */
	size_t		peak;
	int			allocations;	/* host blocks and device memory asked for so far */

	int			no_reuse;		/* for tests: every buffer a place of its own, */
	int			poison;			/* and not-a-numbers in what is not alive */
};

/* ---- noting (graph.c) ---- */

/* Note a mistake, the first one counts; gives NULL. */
extern void *rn_graph_fail(RnGraph *graph, RnStatus status, const char *format,...)
			__attribute__((format(printf, 3, 4)));

/* Is this operand there?  If not, and nothing failed before, that is the mistake. */
extern int	rn_graph_operand(RnGraph *graph, const RnOp *op, const RnTensor *tensor);

/* A new node; spec_bytes are copied from spec.  NULL when out of memory. */
extern RnNode *rn_node_add(RnGraph *graph, const RnOp *op, int n_uses, int n_outputs, int n_memories,
						   const void *spec, size_t spec_bytes);
extern void rn_node_use(RnNode *node, int number, RnTensor *tensor);
extern void rn_node_memory(RnNode *node, int number, RnMemoryLife life, size_t bytes);

/* A result; call after the uses and parameters are known. */
extern RnTensor *rn_node_output(RnGraph *graph, RnNode *node, int number, int rows, int cols);

/* A parameter as products round it; NULL: the pass does not know it so. */
extern const void *rn_graph_rounded(const RnGraph *graph, const RnParam *param);

extern const rn_real *rn_graph_param(const RnGraph *graph, const RnParam *param);

/* Where the gradient of a parameter goes; NULL: not wanted, or no parameter. */
extern rn_real *rn_graph_param_gradient(const RnGraph *graph, const RnParam *param);

/* A node that adds to the gradient of this parameter does so in turn, where the pass has turns. */
extern void rn_node_shares(RnGraph *graph, RnNode *node, const RnParam *param);

/* The next site number and, in training, the rate. */
extern RnDropout rn_graph_dropout(RnGraph *graph, double rate);

/* Are the rows of packed those of a tensor?  Notes a mistake when not. */
extern int	rn_graph_check_packed(RnGraph *graph, const RnOp *op, const RnPacked *packed, int rows);
extern int	rn_graph_check_vector(RnGraph *graph, const RnOp *op, const RnParam *param, int cols);

static inline size_t
rn_tensor_size(const RnTensor *tensor)
{
	return (size_t) tensor->rows * tensor->cols;
}

/* ---- planning (plan.c) ---- */

/* Decide places of everything; sets births, deaths, times, planned. */
extern RnStatus rn_graph_plan(RnContext *ctx, RnGraph *graph);

#endif							/* RN_NODE_H */
