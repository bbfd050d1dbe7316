/*
 * ops_embed.c
 *		Token and position embeddings.
 *
 * src/graph/ops_embed.c
 */
#include "graph/op.h"

#include "graph/node.h"

static void
embedding_forward(RnGraph *graph, RnNode *node)
{
	RnEmbeddingArgs *args = node->spec;

	args->y = node->outputs[0].tensor->value;
	graph->kernels->embedding_forward(graph->lane, args);
}

static void
embedding_backward(RnGraph *graph, RnNode *node)
{
	RnEmbeddingArgs *args = node->spec;

	args->dy = node->outputs[0].grad;
	graph->kernels->embedding_backward(graph->lane, args);
}

static const RnOp embedding_op = {"embedding", embedding_forward, embedding_backward};

/* Numbers that would read outside the tables are mistakes of the caller, not crashes. */
static int
check_numbers(RnGraph *graph, const RnEmbedding *spec)
{
	int			r;

	for (r = 0; r < spec->packed->rows; r++)
	{
		if (spec->ids[r] < 0 || spec->ids[r] >= spec->table->rows)
		{
			rn_graph_fail(graph, RN_INVALID, "embedding: id %d is not in \"%s\" of %d rows",
						  spec->ids[r], spec->table->name, spec->table->rows);
			return 0;
		}
		if (spec->packed->positions[r] >= spec->n_positions)
		{
			rn_graph_fail(graph, RN_LIMIT, "embedding: position %d is beyond a table of %d",
						  spec->packed->positions[r], spec->n_positions);
			return 0;
		}
	}
	return 1;
}

RnTensor *
rn_embedding(RnGraph *graph, const RnEmbedding *spec)
{
	RnEmbeddingArgs args = {0};
	RnNode	   *node;

	args.dropout = rn_graph_dropout(graph, spec->dropout);
	if (spec->packed == NULL || (spec->packed->rows > 0 && spec->ids == NULL))
		return rn_graph_fail(graph, RN_INVALID, "embedding: an operand is missing");
	if (!check_numbers(graph, spec))
		return NULL;
	args.rows = spec->packed->rows;
	args.cols = spec->table->cols;
	args.ids = spec->ids;
	args.positions = spec->packed->positions;
	args.row_ids = spec->packed->row_ids;
	args.table = rn_graph_param(graph, spec->table);
	args.dtable = rn_graph_param_gradient(graph, spec->table);
	args.position_table = spec->position_table;
	args.scale = spec->scale;
	args.pad_id = spec->pad_id;

	node = rn_node_add(graph, &embedding_op, 0, 1, 0, &args, sizeof(args));
	if (node == NULL)
		return NULL;
	node->trains = args.dtable != NULL;
	return rn_node_output(graph, node, 0, args.rows, args.cols);
}
