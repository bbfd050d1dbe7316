/*
 * ops_pointwise.c
 *		Activation, sums of tensors, and a look at values in passing.
 *
 * src/graph/ops_pointwise.c
 */
#include "graph/op.h"

#include "graph/node.h"

/* ---- activation ---- */

/* y decides the derivative of ReLU; GELU keeps what it is applied to. */
static RnActivationArgs *
activation_args(RnNode *node)
{
	RnActivationArgs *args = node->spec;

	args->x = node->uses[0].tensor->value;
	args->y = node->outputs[0].tensor->value;
	args->pre = node->n_memories > 0 ? node->memories[0].at : NULL;
	return args;
}

static void
activation_forward(RnGraph *graph, RnNode *node)
{
	graph->kernels->activation_forward(graph->lane, activation_args(node));
}

static void
activation_backward(RnGraph *graph, RnNode *node)
{
	RnActivationArgs *args = activation_args(node);

	args->dy = node->outputs[0].grad;
	args->dx = node->uses[0].grad;
	args->accumulate = node->uses[0].accumulate;
	graph->kernels->activation_backward(graph->lane, args);
}

static const RnOp activation_op = {"activation", activation_forward, activation_backward};

RnTensor *
rn_activation(RnGraph *graph, RnTensor *x, const RnParam *bias, RnActivation kind, double dropout,
			  const RnPacked *packed)
{
	RnActivationArgs args = {0};
	RnNode	   *node;
	int			keeps_pre = kind == RN_GELU && graph->pass.gradients != NULL;

	args.dropout = rn_graph_dropout(graph, dropout);
	if (!rn_graph_operand(graph, &activation_op, x) || !rn_graph_check_vector(graph, &activation_op, bias, x->cols))
		return NULL;
	if (args.dropout.rate > 0.0 && !rn_graph_check_packed(graph, &activation_op, packed, x->rows))
		return NULL;
	args.kind = kind;
	args.rows = x->rows;
	args.cols = x->cols;
	args.bias = rn_graph_param(graph, bias);
	args.dbias = rn_graph_param_gradient(graph, bias);
	args.row_ids = packed != NULL ? packed->row_ids : NULL;

	node = rn_node_add(graph, &activation_op, 1, 1, keeps_pre, &args, sizeof(args));
	if (node == NULL)
		return NULL;
	rn_node_use(node, 0, x);
	node->uses[0].takes_output = 0;
	node->trains = args.dbias != NULL;
	if (keeps_pre)
	{
		rn_node_memory(node, 0, RN_MEMORY_SAVED, rn_tensor_size(x) * sizeof(rn_real));
		node->memories[0].may_take = 1;
	}
	else
	{
		node->outputs[0].needs_value = kind == RN_RELU;
		node->outputs[0].may_take = 1;
	}
	return rn_node_output(graph, node, 0, x->rows, x->cols);
}

/* ---- alpha a + beta b ---- */

typedef struct Add
{
	double		factors[2];
} Add;

static void
add_forward(RnGraph *graph, RnNode *node)
{
	const Add  *add = node->spec;
	const RnTensor *a = node->uses[0].tensor;
	const RnTensor *b = node->n_uses > 1 ? node->uses[1].tensor : NULL;
	rn_real    *y = node->outputs[0].tensor->value;
	size_t		n = rn_tensor_size(a);

	if (b == NULL)
		graph->kernels->scaled_add(graph->lane, n, add->factors[0], a->value, 0.0, y);
	else
	{
		if (y != a->value)
			graph->kernels->copy(graph->lane, y, a->value, n * sizeof(rn_real));
		graph->kernels->scaled_add(graph->lane, n, add->factors[1], b->value, add->factors[0], y);
	}
}

/* da = alpha dy, db = beta dy; a factor of 1 may hand the gradient on as it is */
static void
add_backward(RnGraph *graph, RnNode *node)
{
	const Add  *add = node->spec;
	const rn_real *dy = node->outputs[0].grad;
	int			k;

	for (k = 0; k < node->n_uses; k++)
	{
		const RnUse *use = &node->uses[k];

		if (use->grad != NULL && use->grad != dy)
			graph->kernels->scaled_add(graph->lane, rn_tensor_size(use->tensor), add->factors[k], dy,
									   use->accumulate ? 1.0 : 0.0, use->grad);
	}
}

static const RnOp add_op = {"add", add_forward, add_backward};

RnTensor *
rn_add(RnGraph *graph, RnTensor *a, double alpha, RnTensor *b, double beta)
{
	Add			add = {{alpha, beta}};
	RnNode	   *node;
	int			k;

	if (!rn_graph_operand(graph, &add_op, a) || (beta != 0.0 && !rn_graph_operand(graph, &add_op, b)))
		return NULL;
	if (b != NULL && (a->rows != b->rows || a->cols != b->cols))
		return rn_graph_fail(graph, RN_INVALID, "add: shapes [%d, %d] and [%d, %d] differ",
							 a->rows, a->cols, b->rows, b->cols);
	node = rn_node_add(graph, &add_op, b != NULL ? 2 : 1, 1, 0, &add, sizeof(add));
	if (node == NULL)
		return NULL;
	rn_node_use(node, 0, a);
	if (b != NULL)
	{
		rn_node_use(node, 1, b);

		/*
		 * Not b as well: the same sum in the other order may be rounded
		 * otherwise, and results must not depend on who else reads b.
		 */
		node->outputs[0].may_take = 1;
	}
	for (k = 0; k < node->n_uses; k++)
		if (add.factors[k] == 1.0)
			node->uses[k].takes_output = 0;
	return rn_node_output(graph, node, 0, a->rows, a->cols);
}

/* ---- weighted sum ---- */

typedef struct WeightedSum
{
	const rn_real *weight;		/* [n] */
	rn_real    *dweight;
} WeightedSum;

static void
weighted_sum_forward(RnGraph *graph, RnNode *node)
{
	const WeightedSum *sum = node->spec;
	const RnTensor *y = node->outputs[0].tensor;
	int			k;

	for (k = 0; k < node->n_uses; k++)
		graph->kernels->weighted_add(graph->lane, rn_tensor_size(y), sum->weight + k,
									 node->uses[k].tensor->value, k > 0 ? 1.0 : 0.0, y->value);
}

/* dw_k = <dy, x_k>, dx_k = w_k dy */
static void
weighted_sum_backward(RnGraph *graph, RnNode *node)
{
	const WeightedSum *sum = node->spec;
	const rn_real *dy = node->outputs[0].grad;
	size_t		n = rn_tensor_size(node->outputs[0].tensor);
	int			k;

	for (k = 0; k < node->n_uses; k++)
	{
		const RnUse *use = &node->uses[k];

		if (sum->dweight != NULL)
			graph->kernels->dot_add(graph->lane, n, dy, use->tensor->value, sum->dweight + k);
		if (use->grad != NULL)
			graph->kernels->weighted_add(graph->lane, n, sum->weight + k, dy, use->accumulate ? 1.0 : 0.0, use->grad);
	}
}

static const RnOp weighted_sum_op = {"weighted sum", weighted_sum_forward, weighted_sum_backward};

RnTensor *
rn_weighted_sum(RnGraph *graph, int n, RnTensor *const *x, const RnParam *weight, int first)
{
	WeightedSum sum;
	RnNode	   *node;
	int			k;

	if (n < 1 || first < 0 || (size_t) first + n > rn_param_size(weight))
		return rn_graph_fail(graph, RN_INVALID, "weighted sum: %d weights from %d on are not in \"%s\" of %zu elements",
							 n, first, weight->name, rn_param_size(weight));
	for (k = 0; k < n; k++)
	{
		if (!rn_graph_operand(graph, &weighted_sum_op, x[k]))
			return NULL;
		if (x[k]->rows != x[0]->rows || x[k]->cols != x[0]->cols)
			return rn_graph_fail(graph, RN_INVALID, "weighted sum: shapes [%d, %d] and [%d, %d] differ",
								 x[0]->rows, x[0]->cols, x[k]->rows, x[k]->cols);
	}
	sum.weight = rn_graph_param(graph, weight) + first;
	sum.dweight = rn_graph_param_gradient(graph, weight);
	if (sum.dweight != NULL)
		sum.dweight += first;

	node = rn_node_add(graph, &weighted_sum_op, n, 1, 0, &sum, sizeof(sum));
	if (node == NULL)
		return NULL;
	for (k = 0; k < n; k++)
	{
		rn_node_use(node, k, x[k]);
		node->uses[k].needs_value = sum.dweight != NULL;
	}
	node->trains = sum.dweight != NULL;
	return rn_node_output(graph, node, 0, x[0]->rows, x[0]->cols);
}

/* ---- rows ---- */

typedef struct Rows
{
	int			n;
	const int32_t *first;		/* [n] */
	const int32_t *count;		/* [n] */
} Rows;

static void
rows_forward(RnGraph *graph, RnNode *node)
{
	const Rows *rows = node->spec;
	const RnTensor *x = node->uses[0].tensor;
	rn_real    *y = node->outputs[0].tensor->value;
	int			i;

	for (i = 0; i < rows->n; i++)
	{
		size_t		size = (size_t) rows->count[i] * x->cols;

		graph->kernels->copy(graph->lane, y, x->value + (size_t) rows->first[i] * x->cols, size * sizeof(rn_real));
		y += size;
	}
}

/* dx = dy in the rows that were taken, 0 elsewhere */
static void
rows_backward(RnGraph *graph, RnNode *node)
{
	const Rows *rows = node->spec;
	const RnUse *use = &node->uses[0];
	const rn_real *dy = node->outputs[0].grad;
	int			i;

	if (use->grad == NULL)
		return;
	if (!use->accumulate)
		graph->kernels->zero(graph->lane, use->grad, rn_tensor_size(use->tensor) * sizeof(rn_real));
	for (i = 0; i < rows->n; i++)
	{
		size_t		size = (size_t) rows->count[i] * use->tensor->cols;

		graph->kernels->scaled_add(graph->lane, size, 1.0, dy, 1.0,
								   use->grad + (size_t) rows->first[i] * use->tensor->cols);
		dy += size;
	}
}

static const RnOp rows_op = {"rows", rows_forward, rows_backward};

RnTensor *
rn_rows(RnGraph *graph, RnTensor *x, int n, const int32_t *first, const int32_t *count)
{
	Rows		rows = {n, first, count};
	RnNode	   *node;
	int			total = 0;
	int			i;

	if (!rn_graph_operand(graph, &rows_op, x))
		return NULL;
	for (i = 0; i < n; i++)
	{
		if (first[i] < 0 || count[i] < 0 || first[i] > x->rows - count[i])
			return rn_graph_fail(graph, RN_INVALID, "rows: %d from %d on are not in a tensor of %d rows",
								 count[i], first[i], x->rows);
		total += count[i];
	}
	node = rn_node_add(graph, &rows_op, 1, 1, 0, &rows, sizeof(rows));
	if (node == NULL)
		return NULL;
	rn_node_use(node, 0, x);
	return rn_node_output(graph, node, 0, total, x->cols);
}

/* ---- observe ---- */

typedef struct Observe
{
	RnObserver	observer;
	void	   *arg;
	RnTensor  **tensors;		/* [n_uses] */
} Observe;

static void
observe_forward(RnGraph *graph, RnNode *node)
{
	const Observe *observe = node->spec;

	observe->observer(observe->arg, graph->lane, node->n_uses, observe->tensors);
}

static const RnOp observe_op = {"observe", observe_forward, NULL};

void
rn_observe(RnGraph *graph, int n, RnTensor *const *tensors, RnObserver observer, void *arg)
{
	Observe		observe;
	RnNode	   *node;
	int			k;

	for (k = 0; k < n; k++)
		if (!rn_graph_operand(graph, &observe_op, tensors[k]))
			return;
	observe.observer = observer;
	observe.arg = arg;
	observe.tensors = rn_graph_scratch(graph, n * sizeof(*tensors));
	if (observe.tensors == NULL)
		return;
	node = rn_node_add(graph, &observe_op, n, 0, 0, &observe, sizeof(observe));
	if (node == NULL)
		return;
	for (k = 0; k < n; k++)
	{
		observe.tensors[k] = tensors[k];
		rn_node_use(node, k, tensors[k]);
	}
}
