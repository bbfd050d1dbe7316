/*
 * ops_linear.c
 *		y = x W^T + b.
 *
 * Neighbouring weights act as one matrix, so that queries, keys and values of
 * one attention are one product.  Where products round their factors, x and
 * the gradient of y are rounded once each for all products that read them;
 * backward then does without x itself.
 *
 * src/graph/ops_linear.c
 */
#include "graph/op.h"

#include <string.h>

#include "graph/node.h"

enum
{
	X,
	DY							/* memories, where factors are rounded */
};

typedef struct Linear
{
	int			out;			/* rows of W */
	const RnPrepared *prepared; /* W and no need for the next, or NULL */
	const rn_real *weight;		/* [out, in] */
	const void *rounded;		/* the same rounded, or NULL: products do that themselves */
	const rn_real *bias;		/* [out] or NULL */
	rn_real    *dweight;
	rn_real    *dbias;
} Linear;

static void
linear_forward(RnGraph *graph, RnNode *node)
{
	const Linear *linear = node->spec;
	const RnTensor *x = node->uses[0].tensor;
	const RnTensor *y = node->outputs[0].tensor;

	if (linear->prepared != NULL)
	{
		graph->kernels->prepared_product(graph->lane, linear->prepared, x->rows, x->value, x->cols, linear->bias,
										 y->value, y->cols);
		return;
	}
	if (linear->rounded != NULL)
	{
		graph->kernels->round(graph->lane, rn_tensor_size(x), x->value, node->memories[X].at);
		graph->kernels->rounded_product(graph->lane, 0, 1, x->rows, linear->out, x->cols, 1.0, node->memories[X].at, x->cols,
										linear->rounded, x->cols, linear->bias, 0.0, y->value, y->cols);
		return;
	}
	graph->kernels->linear_forward(graph->lane, x->rows, linear->out, x->cols, x->value, linear->weight, linear->bias,
								   y->value);
}

static void
rounded_backward(RnGraph *graph, RnNode *node)
{
	const Linear *linear = node->spec;
	const RnUse *use = &node->uses[0];
	const RnTensor *x = use->tensor;
	void	   *dy = node->memories[DY].at;

	graph->kernels->round(graph->lane, rn_tensor_size(node->outputs[0].tensor), node->outputs[0].grad, dy);
	if (use->grad != NULL)
		graph->kernels->rounded_product(graph->lane, 0, 0, x->rows, x->cols, linear->out, 1.0, dy, linear->out,
										linear->rounded, x->cols, NULL, use->accumulate ? 1.0 : 0.0, use->grad, x->cols);
	if (linear->dweight != NULL)
		graph->kernels->rounded_product(graph->lane, 1, 0, linear->out, x->cols, x->rows, 1.0, dy, linear->out,
										node->memories[X].at, x->cols, NULL, 1.0, linear->dweight, x->cols);
}

/* dx = dy W, dW += dy^T x, db += column sums of dy */
static void
linear_backward(RnGraph *graph, RnNode *node)
{
	const Linear *linear = node->spec;
	const RnUse *use = &node->uses[0];
	const RnTensor *x = use->tensor;
	const rn_real *dy = node->outputs[0].grad;

	if (linear->dbias != NULL)
		graph->kernels->bias_backward(graph->lane, x->rows, linear->out, dy, linear->out, linear->dbias);
	if (linear->rounded != NULL)
	{
		rounded_backward(graph, node);
		return;
	}
	if (use->grad != NULL)
		graph->kernels->product(graph->lane, 0, 0, x->rows, x->cols, linear->out,
								1.0, dy, linear->out, linear->weight, x->cols,
								use->accumulate ? 1.0 : 0.0, use->grad, x->cols);
	if (linear->dweight != NULL)
		graph->kernels->product(graph->lane, 1, 0, linear->out, x->cols, x->rows,
								1.0, dy, linear->out, x->value, x->cols, 1.0, linear->dweight, x->cols);
}

static const RnOp linear_op = {"linear", linear_forward, linear_backward};

/* Are n parameters from this one on in the registry at all? */
static int
are_declared(const RnParams *params, const RnParam *param, int n)
{
	return n == 1 || (n > 1 && param >= params->items && n <= params->items + params->count - param);
}

/* Rows of n neighbouring parameters taken as one matrix; -1 when they are none. */
static int
joined_rows(const RnParams *params, const RnParam *param, int n)
{
	int			rows = 0;
	int			i;

	if (!are_declared(params, param, n))
		return -1;
	for (i = 0; i < n; i++)
	{
		if (param[i].cols != param[0].cols || param[i].offset != param[0].offset + (size_t) rows * param[0].cols)
			return -1;
		rows += param[i].rows;
	}
	return rows;
}

/* Elements of n neighbouring vectors taken as one; -1 when they are none. */
static int
joined_elements(const RnParams *params, const RnParam *param, int n)
{
	int			elements = 0;
	int			i;

	if (!are_declared(params, param, n))
		return -1;
	for (i = 0; i < n; i++)
	{
		if (param[i].rows != 1 || param[i].offset != param[0].offset + (size_t) elements)
			return -1;
		elements += param[i].cols;
	}
	return elements;
}

RnTensor *
rn_linear(RnGraph *graph, RnTensor *x, const RnParam *weight, const RnParam *bias, int n_params)
{
	Linear		linear;
	RnNode	   *node;

	if (!rn_graph_operand(graph, &linear_op, x))
		return NULL;
	linear.out = joined_rows(graph->pass.params, weight, n_params);
	if (linear.out < 1)
		return rn_graph_fail(graph, RN_INVALID, "linear: %d weights from \"%s\" on are not one matrix",
							 n_params, weight->name);
	if (weight->cols != x->cols)
		return rn_graph_fail(graph, RN_INVALID, "linear: weight \"%s\" is for %d columns, the tensor has %d",
							 weight->name, weight->cols, x->cols);
	if (bias != NULL && joined_elements(graph->pass.params, bias, n_params) != linear.out)
		return rn_graph_fail(graph, RN_INVALID, "linear: %d biases from \"%s\" on are not one vector of %d",
							 n_params, bias->name, linear.out);
	linear.prepared = rn_prepared_find(graph->pass.prepared, weight, n_params);
	linear.weight = rn_graph_param(graph, weight);
	linear.rounded = linear.prepared == NULL ? rn_graph_rounded(graph, weight) : NULL;
	linear.bias = rn_graph_param(graph, bias);
	linear.dweight = rn_graph_param_gradient(graph, weight);
	linear.dbias = rn_graph_param_gradient(graph, bias);

	node = rn_node_add(graph, &linear_op, 1, 1, linear.rounded != NULL ? 2 : 0, &linear, sizeof(linear));
	if (node == NULL)
		return NULL;
	rn_node_use(node, 0, x);
	node->uses[0].needs_value = linear.dweight != NULL && linear.rounded == NULL;
	if (linear.rounded != NULL)
	{
		const size_t size = (size_t) graph->kernels->rounded_size;

		rn_node_memory(node, X, linear.dweight != NULL ? RN_MEMORY_SAVED : RN_MEMORY_FORWARD, rn_tensor_size(x) * size);
		rn_node_memory(node, DY, RN_MEMORY_BACKWARD, (size_t) x->rows * linear.out * size);
	}
	node->trains = linear.dweight != NULL || linear.dbias != NULL;
	if (linear.dweight != NULL)
		rn_node_shares(graph, node, weight);
	return rn_node_output(graph, node, 0, x->rows, linear.out);
}

RnTensor *
rn_linear_rows(RnGraph *graph, RnTensor *x, const RnWeightRows *weight)
{
	Linear		linear;
	RnNode	   *node;

	if (!rn_graph_operand(graph, &linear_op, x))
		return NULL;
	if (weight->cols != x->cols)
		return rn_graph_fail(graph, RN_INVALID, "linear: rows of a weight are for %d columns, the tensor has %d",
							 weight->cols, x->cols);
	memset(&linear, 0, sizeof(linear));
	linear.out = weight->rows;
	linear.prepared = weight->prepared;
	linear.weight = weight->values;
	node = rn_node_add(graph, &linear_op, 1, 1, 0, &linear, sizeof(linear));
	if (node == NULL)
		return NULL;
	rn_node_use(node, 0, x);
	return rn_node_output(graph, node, 0, x->rows, linear.out);
}
