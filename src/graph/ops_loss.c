/*
 * ops_loss.c
 *		Output projection and label-smoothed cross-entropy in one.
 *
 * Rows are taken in chunks: logits of a chunk, their gradient in the same
 * place, and from it at once the gradients of x and of the weight.  So the
 * logits of a batch never exist whole, and backward has nothing left to do
 * but to hand on the gradient of x.
 *
 * src/graph/ops_loss.c
 */
#include "graph/op.h"

#include "graph/node.h"

/* Below 64 rows products slow down, above 1024 nothing is won; between, logits that stay near the caches. */
#define CHUNK_BYTES			((size_t) 6 * 1024 * 1024)
#define CHUNK_ROWS_LEAST	64
#define CHUNK_ROWS_MOST		1024
#define CHUNK_ROWS_STEP		16

enum
{
	LOGITS,						/* memories; the last two where factors are rounded: */
	SUMS,
	X,
	DLOGITS,
	UNROUNDED = 2,
	ROUNDED = 4
};

typedef struct CrossEntropy
{
	RnLossArgs	args;
	const rn_real *weight;		/* [vocabulary, cols] */
	const RnPrepared *prepared; /* the same made ready, for forward alone; or NULL */
	const void *rounded;		/* the same rounded, or NULL: products do that themselves */
	int			dx;				/* memory of the gradient of x */
	rn_real    *dweight;
	int			chunk;			/* rows */
	const int32_t *targets;		/* [rows], all of them */
	rn_real    *row_nll;
	RnLoss	   *loss;
} CrossEntropy;

/* Sums of the node's own are brought to the host; those of a pass are not. */
static void
begin_sums(RnGraph *graph, RnNode *node)
{
	CrossEntropy *entropy = node->spec;

	entropy->loss->tokens = node->uses[0].tensor->rows;
	entropy->args.sums = graph->pass.sums;
	if (graph->pass.sums != NULL)
		return;
	entropy->args.sums = (double *) node->memories[SUMS].at;
	graph->kernels->zero(graph->lane, entropy->args.sums, 2 * sizeof(double));
}

static void
end_sums(RnGraph *graph, RnNode *node)
{
	CrossEntropy *entropy = node->spec;

	if (graph->pass.sums != NULL)
		return;
	graph->kernels->copy_out(graph->lane, &entropy->loss->loss_sum, entropy->args.sums, sizeof(double));
	graph->kernels->copy_out(graph->lane, &entropy->loss->nll_sum, entropy->args.sums + 1, sizeof(double));
}

/* logits = x W^T of a chunk that begins at this row */
static void
make_logits(RnGraph *graph, const RnNode *node, int row)
{
	const CrossEntropy *entropy = node->spec;
	const RnLossArgs *args = &entropy->args;
	const int	cols = node->uses[0].tensor->cols;
	const rn_real *x = node->uses[0].tensor->value + (size_t) row * cols;

	if (entropy->prepared != NULL)
		graph->kernels->prepared_product(graph->lane, entropy->prepared, args->rows, x, cols, NULL, args->logits, args->cols);
	else if (entropy->rounded != NULL)
	{
		char	   *rounded = (char *) node->memories[X].at + (size_t) row * cols * graph->kernels->rounded_size;

		graph->kernels->round(graph->lane, (size_t) args->rows * cols, x, rounded);
		graph->kernels->rounded_product(graph->lane, 0, 1, args->rows, args->cols, cols, 1.0, rounded, cols,
										entropy->rounded, cols, NULL, 0.0, args->logits, args->cols);
	}
	else
		graph->kernels->product(graph->lane, 0, 1, args->rows, args->cols, cols, 1.0, x, cols, entropy->weight, cols,
								0.0, args->logits, args->cols);
}

/* dx = dlogits W, dW += dlogits^T x of the chunk */
static void
use_gradient(RnGraph *graph, const RnNode *node, int row, rn_real *dx)
{
	const CrossEntropy *entropy = node->spec;
	const RnLossArgs *args = &entropy->args;
	const int	cols = node->uses[0].tensor->cols;
	const size_t first = (size_t) row * cols;

	if (entropy->rounded != NULL && (dx != NULL || entropy->dweight != NULL))
	{
		void	   *dlogits = node->memories[DLOGITS].at;

		graph->kernels->round(graph->lane, (size_t) args->rows * args->cols, args->logits, dlogits);
		if (dx != NULL)
			graph->kernels->rounded_product(graph->lane, 0, 0, args->rows, cols, args->cols, 1.0, dlogits, args->cols,
											entropy->rounded, cols, NULL, 0.0, dx + first, cols);
		if (entropy->dweight != NULL)
			graph->kernels->rounded_product(graph->lane, 1, 0, args->cols, cols, args->rows, 1.0, dlogits, args->cols,
											(char *) node->memories[X].at + first * graph->kernels->rounded_size, cols, NULL,
											1.0, entropy->dweight, cols);
		return;
	}
	if (dx != NULL)
		graph->kernels->product(graph->lane, 0, 0, args->rows, cols, args->cols, 1.0, args->logits, args->cols,
								entropy->weight, cols, 0.0, dx + first, cols);
	if (entropy->dweight != NULL)
		graph->kernels->product(graph->lane, 1, 0, args->cols, cols, args->rows, 1.0, args->logits, args->cols,
								node->uses[0].tensor->value + first, cols, 1.0, entropy->dweight, cols);
}

static void
cross_entropy_forward(RnGraph *graph, RnNode *node)
{
	CrossEntropy *entropy = node->spec;
	RnLossArgs *args = &entropy->args;
	const RnTensor *x = node->uses[0].tensor;
	rn_real    *dx = node->uses[0].wanted ? node->memories[entropy->dx].at : NULL;
	int			row;

	begin_sums(graph, node);
	args->logits = node->memories[LOGITS].at;
	for (row = 0; row < x->rows; row += entropy->chunk)
	{
		args->rows = x->rows - row < entropy->chunk ? x->rows - row : entropy->chunk;
		args->targets = entropy->targets + row;
		args->row_nll = entropy->row_nll != NULL ? entropy->row_nll + row : NULL;
		make_logits(graph, node, row);
		graph->kernels->loss(graph->lane, args);
		use_gradient(graph, node, row, dx);
	}
	end_sums(graph, node);
}

static void
cross_entropy_backward(RnGraph *graph, RnNode *node)
{
	const CrossEntropy *entropy = node->spec;
	const RnUse *use = &node->uses[0];
	rn_real    *dx = node->memories[entropy->dx].at;

	if (use->grad != NULL && use->grad != dx)
		graph->kernels->scaled_add(graph->lane, rn_tensor_size(use->tensor), 1.0, dx,
								   use->accumulate ? 1.0 : 0.0, use->grad);
}

static const RnOp cross_entropy_op = {"cross-entropy", cross_entropy_forward, cross_entropy_backward};

/* Chunks as equal as they can be. */
static int
chunk_rows(int rows, int vocabulary)
{
	size_t		most = CHUNK_BYTES / sizeof(rn_real) / vocabulary / CHUNK_ROWS_STEP * CHUNK_ROWS_STEP;
	int			chunks;
	int			chunk;

	if (most < CHUNK_ROWS_LEAST)
		most = CHUNK_ROWS_LEAST;
	if (most > CHUNK_ROWS_MOST)
		most = CHUNK_ROWS_MOST;
	if (rows <= (int) most)
		return rows > 0 ? rows : 1;
	chunks = (rows + (int) most - 1) / (int) most;
	chunk = (rows + chunks - 1) / chunks;
	return (chunk + CHUNK_ROWS_STEP - 1) / CHUNK_ROWS_STEP * CHUNK_ROWS_STEP;
}

static int
check_cross_entropy(RnGraph *graph, const RnCrossEntropy *spec)
{
	const RnParam *weight = spec->weight;
	int			r;

	if (!rn_graph_operand(graph, &cross_entropy_op, spec->x))
		return 0;
	if (weight->cols != spec->x->cols)
	{
		rn_graph_fail(graph, RN_INVALID, "cross-entropy: weight \"%s\" is for %d columns, the tensor has %d",
					  weight->name, weight->cols, spec->x->cols);
		return 0;
	}
	if (spec->variant == 0 && weight->rows < 2)
	{
		rn_graph_fail(graph, RN_INVALID, "cross-entropy: a vocabulary of one cannot be smoothed");
		return 0;
	}
	for (r = 0; r < spec->x->rows; r++)
		if (spec->targets[r] < RN_NO_TARGET || spec->targets[r] >= weight->rows)
		{
			rn_graph_fail(graph, RN_INVALID, "cross-entropy: target %d is not in a vocabulary of %d",
						  spec->targets[r], weight->rows);
			return 0;
		}
	return 1;
}

void
rn_smoothed_cross_entropy(RnGraph *graph, const RnCrossEntropy *spec, RnLoss *loss)
{
	CrossEntropy entropy = {.loss = loss};
	RnTensor   *x = spec->x;
	RnNode	   *node;
	int			n_memories;
	int			wants_dx;

	loss->loss_sum = loss->nll_sum = 0.0;
	loss->tokens = 0;
	if (!check_cross_entropy(graph, spec))
		return;
	entropy.weight = rn_graph_param(graph, spec->weight);
	entropy.prepared = rn_prepared_find(graph->pass.prepared, spec->weight, 1);
	entropy.rounded = entropy.prepared == NULL ? rn_graph_rounded(graph, spec->weight) : NULL;
	entropy.dx = n_memories = entropy.rounded != NULL ? ROUNDED : UNROUNDED;
	entropy.dweight = rn_graph_param_gradient(graph, spec->weight);
	entropy.chunk = chunk_rows(x->rows, spec->weight->rows);
	entropy.targets = spec->targets;
	entropy.row_nll = spec->row_nll;
	wants_dx = x->state->wants_grad;
	entropy.args.cols = spec->weight->rows;
	entropy.args.smoothing = spec->smoothing;
	entropy.args.variant = spec->variant;
	entropy.args.gradient = wants_dx || entropy.dweight != NULL;
	entropy.args.gradient_scale = spec->gradient_scale;
	entropy.args.loss_scale = graph->pass.loss_scale;

	node = rn_node_add(graph, &cross_entropy_op, 1, 0, wants_dx ? n_memories + 1 : n_memories, &entropy, sizeof(entropy));
	if (node == NULL)
		return;
	rn_node_use(node, 0, x);
	rn_node_memory(node, LOGITS, RN_MEMORY_FORWARD, (size_t) entropy.chunk * spec->weight->rows * sizeof(rn_real));
	rn_node_memory(node, SUMS, RN_MEMORY_FORWARD, 2 * sizeof(double));
	if (entropy.rounded != NULL)
	{
		const size_t size = (size_t) graph->kernels->rounded_size;

		rn_node_memory(node, X, RN_MEMORY_FORWARD, rn_tensor_size(x) * size);
		rn_node_memory(node, DLOGITS, RN_MEMORY_FORWARD, (size_t) entropy.chunk * spec->weight->rows * size);
	}
	if (wants_dx)
	{
		rn_node_memory(node, entropy.dx, RN_MEMORY_SAVED, rn_tensor_size(x) * sizeof(rn_real));
		node->uses[0].takes_memory = entropy.dx;
	}
	node->root = wants_dx;
}
