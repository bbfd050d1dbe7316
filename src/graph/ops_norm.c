/*
 * ops_norm.c
 *		How a sublayer joins the stream, and layer norms.
 *
 * The dual stream costs no memory traffic of its own: D changes in place, and
 * as every D_i has the same gradient G, that one buffer is handed down from
 * sublayer to sublayer.
 *
 * src/graph/ops_norm.c
 */
#include "graph/op.h"

#include "graph/node.h"

/* ---- residual ---- */

enum
{
	SHORTCUT,
	BRANCH,
	DUAL						/* uses of a residual; DUAL is its second output too */
};

enum
{
	NORMALIZED,
	RSTD						/* memories of whatever has a norm */
};

static RnResidualArgs *
residual_args(RnNode *node)
{
	RnResidualArgs *args = node->spec;

	args->shortcut = node->uses[SHORTCUT].tensor->value;
	args->branch = node->uses[BRANCH].tensor->value;
	args->output = node->outputs[0].tensor->value;
	args->dual = node->n_outputs > 1 ? node->outputs[1].tensor->value : NULL;
	if (node->n_memories > 0)
	{
		args->normalized = node->memories[NORMALIZED].at;
		args->rstd = node->memories[RSTD].at;
	}
	return args;
}

static void
residual_forward(RnGraph *graph, RnNode *node)
{
	RnResidualArgs *args = residual_args(node);

	if (args->dual != NULL && args->dual != node->uses[DUAL].tensor->value)
		graph->kernels->copy(graph->lane, args->dual, node->uses[DUAL].tensor->value,
							 rn_tensor_size(node->uses[DUAL].tensor) * sizeof(rn_real));
	graph->kernels->residual_forward(graph->lane, args);
}

static void
residual_backward(RnGraph *graph, RnNode *node)
{
	RnResidualArgs *args = residual_args(node);
	const RnUse *dual = node->n_outputs > 1 ? &node->uses[DUAL] : NULL;

	args->doutput = node->outputs[0].grad;
	args->ddual = dual != NULL ? node->outputs[1].grad : NULL;
	args->dshortcut = node->uses[SHORTCUT].grad;
	args->dbranch = node->uses[BRANCH].grad;
	args->accumulate_shortcut = node->uses[SHORTCUT].accumulate;
	args->accumulate_branch = node->uses[BRANCH].accumulate;
	graph->kernels->residual_backward(graph->lane, args);
	if (dual == NULL || dual->grad == NULL || dual->grad == args->ddual)
		return;
	/* somebody else reads D too, or looks at its gradient: no handing down */
	if (args->ddual != NULL)
		graph->kernels->scaled_add(graph->lane, rn_tensor_size(dual->tensor), 1.0, args->ddual,
								   dual->accumulate ? 1.0 : 0.0, dual->grad);
	else if (!dual->accumulate)
		graph->kernels->zero(graph->lane, dual->grad, rn_tensor_size(dual->tensor) * sizeof(rn_real));
}

static const RnOp residual_op = {"residual", residual_forward, residual_backward};

static int
check_residual(RnGraph *graph, const RnResidual *spec, RnTensor **dual_out, int dropout)
{
	const RnTensor *shortcut = spec->shortcut;
	const RnTensor *branch = spec->branch;
	const RnTensor *dual = spec->dual;

	if (!rn_graph_operand(graph, &residual_op, shortcut) || !rn_graph_operand(graph, &residual_op, branch))
		return 0;
	if (shortcut->rows != branch->rows || shortcut->cols != branch->cols ||
		(dual != NULL && (dual->rows != branch->rows || dual->cols != branch->cols)))
	{
		rn_graph_fail(graph, RN_INVALID, "residual: a branch of shape [%d, %d] cannot join a stream of shape [%d, %d]",
					  branch->rows, branch->cols, shortcut->rows, shortcut->cols);
		return 0;
	}
	if ((dual != NULL && dual_out == NULL) || (spec->gain == NULL) != (spec->shift == NULL))
	{
		rn_graph_fail(graph, RN_INVALID, "residual: %s", dual != NULL && dual_out == NULL ?
					  "the dual stream has nowhere to go" : "gain and shift come together");
		return 0;
	}
	return rn_graph_check_vector(graph, &residual_op, spec->bias, branch->cols) &&
		rn_graph_check_vector(graph, &residual_op, spec->omega, branch->cols) &&
		rn_graph_check_vector(graph, &residual_op, spec->gate, 1) &&
		rn_graph_check_vector(graph, &residual_op, spec->gain, branch->cols) &&
		rn_graph_check_vector(graph, &residual_op, spec->shift, branch->cols) &&
		(!dropout || rn_graph_check_packed(graph, &residual_op, spec->packed, branch->rows));
}

static void
fill_residual_args(RnGraph *graph, const RnResidual *spec, RnResidualArgs *args)
{
	args->rows = spec->branch->rows;
	args->cols = spec->branch->cols;
	args->bias = rn_graph_param(graph, spec->bias);
	args->omega = rn_graph_param(graph, spec->omega);
	args->gate = rn_graph_param(graph, spec->gate);
	args->gain = rn_graph_param(graph, spec->gain);
	args->shift = rn_graph_param(graph, spec->shift);
	args->dbias = rn_graph_param_gradient(graph, spec->bias);
	args->domega = rn_graph_param_gradient(graph, spec->omega);
	args->dgate = rn_graph_param_gradient(graph, spec->gate);
	args->dgain = rn_graph_param_gradient(graph, spec->gain);
	args->dshift = rn_graph_param_gradient(graph, spec->shift);
	args->shortcut_scale = spec->shortcut_scale;
	args->branch_scale = spec->branch_scale;
	args->dual_scale = spec->dual_scale;
	args->epsilon = spec->epsilon;
	args->row_ids = spec->packed != NULL ? spec->packed->row_ids : NULL;
}

/* What backward needs of a norm of x; it may lie where a use lay that nobody needs any more. */
static void
keep_normalized(RnNode *node, const RnTensor *x, int use)
{
	rn_node_memory(node, NORMALIZED, RN_MEMORY_SAVED, rn_tensor_size(x) * sizeof(rn_real));
	rn_node_memory(node, RSTD, RN_MEMORY_SAVED, x->rows * sizeof(rn_real));
	node->memories[NORMALIZED].may_take = 1u << use;
}

RnTensor *
rn_residual(RnGraph *graph, const RnResidual *spec, RnTensor **dual_out)
{
	RnResidualArgs args = {0};
	RnTensor   *output;
	RnNode	   *node;
	int			keeps_norm;

	if (dual_out != NULL)
		*dual_out = NULL;
	args.dropout = rn_graph_dropout(graph, spec->dropout);
	if (!check_residual(graph, spec, dual_out, args.dropout.rate > 0.0))
		return NULL;
	fill_residual_args(graph, spec, &args);
	keeps_norm = spec->gain != NULL && graph->pass.gradients != NULL;

	node = rn_node_add(graph, &residual_op, spec->dual != NULL ? 3 : 2, spec->dual != NULL ? 2 : 1,
					   keeps_norm ? 2 : 0, &args, sizeof(args));
	if (node == NULL)
		return NULL;
	rn_node_use(node, SHORTCUT, spec->shortcut);
	rn_node_use(node, BRANCH, spec->branch);
	node->uses[SHORTCUT].needs_value = args.domega != NULL;
	node->uses[BRANCH].needs_value = args.dgate != NULL;
	node->uses[BRANCH].takes_output = 0;
	node->outputs[0].needs_grad = 1;
	node->trains = args.dbias != NULL || args.domega != NULL || args.dgate != NULL || args.dgain != NULL ||
		args.dshift != NULL;
	if (keeps_norm)
		keep_normalized(node, spec->branch, BRANCH);
	node->outputs[0].may_take = 1u << BRANCH;
	if (spec->dual != NULL)
	{
		rn_node_use(node, DUAL, spec->dual);
		node->uses[DUAL].takes_output = 1;
		node->outputs[1].may_take = 1u << DUAL;
	}
	output = rn_node_output(graph, node, 0, args.rows, args.cols);
	if (spec->dual != NULL && output != NULL)
		*dual_out = rn_node_output(graph, node, 1, args.rows, args.cols);
	return output;
}

/* ---- layer norm, with or without a stream added ---- */

static RnNormArgs *
norm_args(RnNode *node)
{
	RnNormArgs *args = node->spec;

	args->x = node->uses[0].tensor->value;
	args->add = node->n_uses > 1 ? node->uses[1].tensor->value : NULL;
	args->output = node->outputs[0].tensor->value;
	if (node->n_memories > 0)
	{
		args->normalized = node->memories[NORMALIZED].at;
		args->rstd = node->memories[RSTD].at;
	}
	return args;
}

static void
norm_forward(RnGraph *graph, RnNode *node)
{
	graph->kernels->norm_forward(graph->lane, norm_args(node));
}

static void
norm_backward(RnGraph *graph, RnNode *node)
{
	RnNormArgs *args = norm_args(node);

	args->doutput = node->outputs[0].grad;
	args->dx = node->uses[0].grad;
	args->accumulate_x = node->uses[0].accumulate;
	if (node->n_uses > 1)
	{
		args->dadd = node->uses[1].grad;
		args->accumulate_add = node->uses[1].accumulate;
	}
	graph->kernels->norm_backward(graph->lane, args);
}

static const RnOp norm_op = {"layer norm", norm_forward, norm_backward};

/* add may be NULL */
static RnTensor *
note_norm(RnGraph *graph, RnTensor *x, const RnParam *gain, const RnParam *shift, double epsilon,
		  RnTensor *add, double add_scale)
{
	RnNormArgs	args = {0};
	RnNode	   *node;
	int			keeps = graph->pass.gradients != NULL;

	if (!rn_graph_operand(graph, &norm_op, x) || !rn_graph_check_vector(graph, &norm_op, gain, x->cols) ||
		!rn_graph_check_vector(graph, &norm_op, shift, x->cols))
		return NULL;
	if (add != NULL && (add->rows != x->rows || add->cols != x->cols))
		return rn_graph_fail(graph, RN_INVALID, "layer norm: shapes [%d, %d] and [%d, %d] differ",
							 x->rows, x->cols, add->rows, add->cols);
	args.rows = x->rows;
	args.cols = x->cols;
	args.add_scale = add_scale;
	args.gain = rn_graph_param(graph, gain);
	args.shift = rn_graph_param(graph, shift);
	args.dgain = rn_graph_param_gradient(graph, gain);
	args.dshift = rn_graph_param_gradient(graph, shift);
	args.epsilon = epsilon;

	node = rn_node_add(graph, &norm_op, add != NULL ? 2 : 1, 1, keeps ? 2 : 0, &args, sizeof(args));
	if (node == NULL)
		return NULL;
	rn_node_use(node, 0, x);
	if (add != NULL)
		rn_node_use(node, 1, add);
	if (keeps)
		keep_normalized(node, x, 0);
	node->trains = args.dgain != NULL || args.dshift != NULL;
	return rn_node_output(graph, node, 0, x->rows, x->cols);
}

RnTensor *
rn_layer_norm(RnGraph *graph, RnTensor *x, const RnParam *gain, const RnParam *shift, double epsilon)
{
	return note_norm(graph, x, gain, shift, epsilon, NULL, 0.0);
}

RnTensor *
rn_norm_add(RnGraph *graph, RnTensor *x, const RnParam *gain, const RnParam *shift, double epsilon,
			RnTensor *add, double add_scale)
{
	if (!rn_graph_operand(graph, &norm_op, add))
		return NULL;
	return note_norm(graph, x, gain, shift, epsilon, add, add_scale);
}
