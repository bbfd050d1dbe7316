/*
 * graph.c
 *		The tape: operations are noted while the model is built.
 *
 * Nodes, tensors and scratch lie in host blocks that rn_graph_begin takes
 * back without freeing them.  plan.c decides where values and gradients lie,
 * run.c runs.
 *
 * src/graph/graph.c
 */
#include "graph/node.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES		((size_t) 64 * 1024)
#define BLOCK_ALIGNMENT	((size_t) 64)

struct RnBlock
{
	RnBlock    *next;
	size_t		size;
	size_t		used;
	char	   *bytes;			/* aligned, in the same allocation */
};

/* What the host has, on the device. */
struct RnConstant
{
	RnConstant *next;
	const rn_real *host;
	size_t		n;
	rn_real    *device;			/* NULL: nothing has read it yet */
};

RnStatus
rn_graph_create(RnContext *ctx, const RnKernels *kernels, RnLane *lane, RnGraph **graph)
{
	*graph = calloc(1, sizeof(**graph));
	if (*graph == NULL)
		return rn_out_of_memory(ctx, sizeof(**graph));
	(*graph)->kernels = kernels;
	(*graph)->lane = lane;
	return RN_OK;
}

void
rn_graph_free(RnGraph *graph)
{
	if (graph == NULL)
		return;
	while (graph->blocks != NULL)
	{
		RnBlock    *next = graph->blocks->next;

		free(graph->blocks);
		graph->blocks = next;
	}
	while (graph->constants != NULL)
	{
		RnConstant *next = graph->constants->next;

		if (graph->constants->device != NULL)
			graph->kernels->release(graph->constants->device, graph->constants->n * sizeof(rn_real));
		free(graph->constants);
		graph->constants = next;
	}
	if (graph->memory != NULL)
		graph->kernels->release(graph->memory, graph->capacity);
	free(graph);
}

void
rn_graph_limit(RnGraph *graph, size_t bytes)
{
	graph->limit = bytes;
}

size_t
rn_graph_memory(const RnGraph *graph)
{
	return graph->planned;
}

size_t
rn_graph_memory_peak(const RnGraph *graph)
{
	return graph->peak;
}

/* ---- host blocks ---- */

static RnBlock *
add_block(RnGraph *graph, size_t bytes)
{
	size_t		size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
	RnBlock    *block = malloc(sizeof(*block) + size + BLOCK_ALIGNMENT);
	RnBlock   **end = &graph->blocks;

	if (block == NULL)
		return NULL;
	graph->allocations++;
	block->next = NULL;
	block->size = size;
	block->used = 0;
	block->bytes = (char *) (block + 1);
	block->bytes += BLOCK_ALIGNMENT - (uintptr_t) block->bytes % BLOCK_ALIGNMENT;
	while (*end != NULL)
		end = &(*end)->next;
	*end = block;
	return block;
}

void *
rn_graph_scratch(RnGraph *graph, size_t bytes)
{
	RnBlock    *block = graph->block;
	void	   *found;

	if (bytes > SIZE_MAX / 2)
		return rn_graph_fail(graph, RN_NO_MEMORY, "out of memory");
	bytes = (bytes + BLOCK_ALIGNMENT - 1) / BLOCK_ALIGNMENT * BLOCK_ALIGNMENT;
	while (block != NULL && block->size - block->used < bytes)
		block = block->next;
	if (block == NULL)
		block = add_block(graph, bytes);
	if (block == NULL)
	{
		rn_graph_fail(graph, RN_NO_MEMORY, "out of memory");
		rn_detail(&graph->failure, "Failed on a request of %zu bytes.", bytes);
		return NULL;
	}
	graph->block = block;
	found = block->bytes + block->used;
	block->used += bytes;
	return found;
}

/* ---- constants ---- */

static RnConstant *
find_constant(RnGraph *graph, const rn_real *data, size_t n)
{
	RnConstant *constant;

	for (constant = graph->constants; constant != NULL; constant = constant->next)
		if (constant->host == data && constant->n == n)
			return constant;
	constant = malloc(sizeof(*constant));
	if (constant == NULL)
	{
		rn_out_of_memory(&graph->failure, sizeof(*constant));
		return NULL;
	}
	constant->host = data;
	constant->n = n;
	constant->device = NULL;
	constant->next = graph->constants;
	graph->constants = constant;
	return constant;
}

const rn_real *
rn_graph_constant(RnGraph *graph, const rn_real *data, size_t n)
{
	RnConstant *constant;

	if (graph->kernels->host_memory)
		return data;
	constant = find_constant(graph, data, n);
	if (constant == NULL)
		return NULL;
	if (graph->pass.measuring)
		return data;
	if (constant->device == NULL)
	{
		void	   *memory;

		if (graph->kernels->allocate(&graph->failure, n * sizeof(rn_real), &memory) != RN_OK)
			return NULL;
		graph->kernels->copy_in(graph->lane, memory, data, n * sizeof(rn_real));
		constant->device = memory;
	}
	return constant->device;
}

size_t
rn_graph_constants(const RnGraph *graph)
{
	const RnConstant *constant;
	size_t		bytes = 0;

	for (constant = graph->constants; constant != NULL; constant = constant->next)
		bytes += constant->n * sizeof(rn_real);
	return bytes;
}

/* ---- noting ---- */

void
rn_graph_begin(RnGraph *graph, const RnPass *pass)
{
	RnBlock    *block;

	for (block = graph->blocks; block != NULL; block = block->next)
		block->used = 0;
	graph->block = graph->blocks;
	graph->pass = *pass;
	graph->stage = RN_GRAPH_NOTING;
	rn_context_reset(&graph->failure);
	graph->next_site = 0;
	graph->first = graph->last = NULL;
	graph->n_nodes = 0;
	graph->tensors = graph->last_tensor = NULL;
	graph->births = NULL;
	graph->deaths = NULL;
	graph->planned = 0;
}

void *
rn_graph_fail(RnGraph *graph, RnStatus status, const char *format,...)
{
	char		message[sizeof(graph->failure.message)];
	va_list		args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	rn_fail(&graph->failure, status, "%s", message);
	return NULL;
}

int
rn_graph_operand(RnGraph *graph, const RnOp *op, const RnTensor *tensor)
{
	if (tensor == NULL)
		rn_graph_fail(graph, RN_INVALID, "%s: an operand is missing", op->name);
	return tensor != NULL;
}

int
rn_graph_check_packed(RnGraph *graph, const RnOp *op, const RnPacked *packed, int rows)
{
	if (packed != NULL && packed->rows == rows)
		return 1;
	rn_graph_fail(graph, RN_INVALID, "%s: %d rows of packed sentences do not match a tensor of %d rows",
				  op->name, packed != NULL ? packed->rows : 0, rows);
	return 0;
}

int
rn_graph_check_vector(RnGraph *graph, const RnOp *op, const RnParam *param, int cols)
{
	if (param == NULL || (param->rows == 1 && param->cols == cols))
		return 1;
	rn_graph_fail(graph, RN_INVALID, "%s: parameter \"%s\" has the shape [%d, %d] instead of [%d]",
				  op->name, param->name, param->rows, param->cols, cols);
	return 0;
}

const rn_real *
rn_graph_param(const RnGraph *graph, const RnParam *param)
{
	return param != NULL ? graph->pass.values + param->offset : NULL;
}

const void *
rn_graph_rounded(const RnGraph *graph, const RnParam *param)
{
	return graph->pass.rounded != NULL ? graph->pass.rounded + param->offset * (size_t) graph->kernels->rounded_size : NULL;
}

rn_real *
rn_graph_param_gradient(const RnGraph *graph, const RnParam *param)
{
	if (param == NULL || graph->pass.gradients == NULL || (param->flags & RN_PARAM_FROZEN) != 0)
		return NULL;
	if (graph->pass.shared != NULL && (param->flags & RN_PARAM_ONCE) != 0)
		return graph->pass.shared + param->offset;
	return graph->pass.gradients + param->offset;
}

void
rn_node_shares(RnGraph *graph, RnNode *node, const RnParam *param)
{
	if (graph->pass.shared != NULL && (param->flags & RN_PARAM_ONCE) != 0)
		node->in_turn = param;
}

RnDropout
rn_graph_dropout(RnGraph *graph, double rate)
{
	RnDropout	dropout;

	dropout.rate = graph->pass.training ? rate : 0.0;
	dropout.seed = graph->pass.seed;
	dropout.step = graph->pass.step;
	dropout.site = graph->next_site++;
	if (!(rate >= 0.0 && rate < 1.0))
		rn_graph_fail(graph, RN_INVALID, "dropout of %g is not in [0, 1)", rate);
	if (dropout.site > UINT16_MAX)
		rn_graph_fail(graph, RN_LIMIT, "more than %d places of dropout", UINT16_MAX + 1);
	return dropout;
}

RnNode *
rn_node_add(RnGraph *graph, const RnOp *op, int n_uses, int n_outputs, int n_memories,
			const void *spec, size_t spec_bytes)
{
	size_t		bytes = sizeof(RnNode) + n_uses * sizeof(RnUse) + n_outputs * sizeof(RnOutput) +
		n_memories * sizeof(RnMemory) + spec_bytes;
	RnNode	   *node;
	int			k;

	if (graph->stage != RN_GRAPH_NOTING)
		return rn_graph_fail(graph, RN_INTERNAL, "%s: noted outside a pass", op->name);
	if (graph->failure.status != RN_OK)
		return NULL;
	node = rn_graph_scratch(graph, bytes);
	if (node == NULL)
		return NULL;
	memset(node, 0, bytes);
	node->op = op;
	node->n_uses = n_uses;
	node->n_outputs = n_outputs;
	node->n_memories = n_memories;
	node->uses = (RnUse *) (node + 1);
	node->outputs = (RnOutput *) (node->uses + n_uses);
	node->memories = (RnMemory *) (node->outputs + n_outputs);
	node->spec = node->memories + n_memories;
	memcpy(node->spec, spec, spec_bytes);
	for (k = 0; k < n_uses; k++)
		node->uses[k].takes_output = node->uses[k].takes_memory = -1;

	node->index = graph->n_nodes++;
	node->previous = graph->last;
	if (graph->last != NULL)
		graph->last->next = node;
	else
		graph->first = node;
	graph->last = node;
	return node;
}

void
rn_node_use(RnNode *node, int number, RnTensor *tensor)
{
	node->uses[number].tensor = tensor;
}

void
rn_node_memory(RnNode *node, int number, RnMemoryLife life, size_t bytes)
{
	RnMemory   *memory = &node->memories[number];

	memory->life = life;
	memory->own.bytes = bytes;
	memory->own.born = memory->own.dies = node->index;
}

static RnTensorState *
add_tensor(RnGraph *graph, int rows, int cols)
{
	RnTensorState *state = rn_graph_scratch(graph, sizeof(*state));

	if (state == NULL)
		return NULL;
	memset(state, 0, sizeof(*state));
	state->tensor.rows = rows;
	state->tensor.cols = cols;
	state->tensor.state = state;
	state->last_read = -1;
	if (graph->last_tensor != NULL)
		graph->last_tensor->next = state;
	else
		graph->tensors = state;
	graph->last_tensor = state;
	return state;
}

RnTensor *
rn_node_output(RnGraph *graph, RnNode *node, int number, int rows, int cols)
{
	RnTensorState *state = add_tensor(graph, rows, cols);
	int			k;

	if (state == NULL)
		return NULL;
	state->producer = node;
	state->wants_grad = node->trains;
	for (k = 0; k < node->n_uses; k++)
		state->wants_grad |= node->uses[k].tensor->state->wants_grad;
	state->wants_grad &= graph->pass.gradients != NULL;
	node->outputs[number].tensor = &state->tensor;
	return &state->tensor;
}

RnTensor *
rn_input(RnGraph *graph, int rows, int cols, const rn_real *value, int wants_grad)
{
	RnTensorState *state;

	if (rows < 0 || cols < 0 || (value == NULL && rows > 0 && cols > 0))
		return rn_graph_fail(graph, RN_INVALID, "input: no value of shape [%d, %d]", rows, cols);
	if (graph->failure.status != RN_OK)
		return NULL;
	state = add_tensor(graph, rows, cols);
	if (state == NULL)
		return NULL;
	/* never written to: the planner lets nobody take what is not its own */
	state->tensor.value = (rn_real *) value;
	state->wants_grad = wants_grad && graph->pass.gradients != NULL;
	state->kept = 1;
	return &state->tensor;
}

void
rn_graph_keep(RnGraph *graph, RnTensor *tensor)
{
	(void) graph;
	if (tensor != NULL)
		tensor->state->kept = 1;
}

void
rn_graph_seed(RnGraph *graph, RnTensor *tensor, const rn_real *gradient)
{
	if (tensor == NULL)
		return;
	if (graph->pass.gradients == NULL)
		rn_graph_fail(graph, RN_INVALID, "a pass without gradients cannot start from one");
	tensor->state->seed = gradient;
}
