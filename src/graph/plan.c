/*
 * plan.c
 *		Which memory every value and gradient of a pass lies in.
 *
 * Three walks over the nodes and one over time.  Forwards: who reads what
 * last.  Backwards: which nodes a gradient reaches, who is the first to write
 * each gradient (it overwrites, the others add), whose gradient may lie where
 * another just died.  Forwards again: which value may be written over one
 * that nobody needs any more.  Then lives are known, and a walk over time
 * hands out places, best fit first.  All of it takes about a microsecond a
 * node, as decoding plans a small graph at every step.
 *
 * src/graph/plan.c
 */
#include "graph/node.h"

#include <string.h>

#define ALIGNMENT	((size_t) 64)

/* An empty buffer has a place too: pointers are never NULL by accident. */
static size_t
whole_lines(size_t bytes)
{
	return bytes > 0 ? (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : ALIGNMENT;
}

static void
start_life(RnBuffer *buffer, size_t bytes, int time)
{
	buffer->bytes = whole_lines(bytes);
	buffer->born = time;
	buffer->dies = time;
}

static void
extend_life(RnBuffer *buffer, int time)
{
	if (buffer->dies < time)
		buffer->dies = time;
}

static size_t
tensor_bytes(const RnTensor *tensor)
{
	return rn_tensor_size(tensor) * sizeof(rn_real);
}

static int
backward_time(const RnGraph *graph, const RnNode *node)
{
	return 2 * graph->n_nodes - node->index;
}

static int
times_read(const RnNode *node, const RnTensor *tensor)
{
	int			count = 0;
	int			k;

	for (k = 0; k < node->n_uses; k++)
		count += node->uses[k].tensor == tensor;
	return count;
}

static void
read_forwards(RnGraph *graph)
{
	RnNode	   *node;
	int			k;

	for (node = graph->first; node != NULL; node = node->next)
		for (k = 0; k < node->n_uses; k++)
			node->uses[k].tensor->state->last_read = node->index;
}

/* ---- gradients ---- */

/* A list of buffers in order of birth. */
typedef struct Births
{
	RnBuffer   *first;
	RnBuffer   *last;
} Births;

static void
append(Births *births, RnBuffer *buffer)
{
	buffer->next = NULL;
	if (births->last != NULL)
		births->last->next = buffer;
	else
		births->first = buffer;
	births->last = buffer;
}

/* May this use's gradient lie where an output's gradient, read at the same time for the last time, lies? */
static RnBuffer *
gradient_to_take(const RnGraph *graph, const RnNode *node, const RnUse *use)
{
	const RnTensorState *output;
	const RnBuffer *grad;
	int			k;

	if (graph->no_reuse || use->takes_output < 0 || use->n_columns > 0)
		return NULL;
	output = node->outputs[use->takes_output].tensor->state;
	grad = output->grad;
	if (grad == NULL || output->kept || tensor_bytes(&output->tensor) != tensor_bytes(use->tensor))
		return NULL;
	for (k = 0; k < node->n_uses; k++)
		if (&node->uses[k] != use && node->uses[k].tensor->state->grad == grad)
			return NULL;
	return output->grad;
}

/* Columns of this use that others have written already. */
static int
columns_written(const RnTensorState *state, const RnUse *use)
{
	const RnUse *span;
	int			written = 0;

	if (state->covered == state->tensor.cols)
		return use->n_columns;
	for (span = state->spans; span != NULL; span = span->next_span)
	{
		int			first = span->first_column > use->first_column ? span->first_column : use->first_column;
		int			span_end = span->first_column + span->n_columns;
		int			use_end = use->first_column + use->n_columns;
		int			end = span_end < use_end ? span_end : use_end;

		if (end > first)
			written += end - first;
	}
	return written;
}

/* Note that a use writes its columns; must it add?  What is half written is cleared at the start. */
static int
cover(RnTensorState *state, RnUse *use)
{
	int			whole = use->n_columns == 0;
	int			written = whole ? state->covered : columns_written(state, use);
	int			all = whole ? state->tensor.cols : use->n_columns;

	if (written == 0)
	{
		state->covered += all;
		if (!whole)
		{
			use->next_span = state->spans;
			state->spans = use;
		}
		return 0;
	}
	if (written < all)
	{
		state->zero_grad = 1;
		state->covered = state->tensor.cols;
	}
	return 1;
}

/* A node running backwards at this time gives a gradient to what it uses. */
static void
contribute(RnGraph *graph, Births *births, RnNode *node, RnUse *use, int time)
{
	RnTensorState *state = use->tensor->state;

	use->wanted = 1;
	if (state->grad == NULL)
	{
		RnBuffer   *taken = gradient_to_take(graph, node, use);

		if (taken == NULL && use->takes_memory >= 0)
			taken = node->memories[use->takes_memory].buffer = &node->memories[use->takes_memory].own;
		state->grad = taken != NULL ? taken : &state->own_grad;
		if (taken == NULL)
		{
			start_life(state->grad, tensor_bytes(use->tensor), time);
			append(births, state->grad);
			use->opens = 1;
		}
	}
	else if (use->n_columns == 0 && (use->overwrites || state->contributor == node))
	{
		use->detour = 1;
		start_life(&use->temporary, tensor_bytes(use->tensor), time);
		append(births, &use->temporary);
		cover(state, use);
		state->contributor = node;
		return;
	}
	use->accumulate = cover(state, use);
	state->contributor = node;
}

/* Two uses whose kernel knows one flag for both. */
static void
reconcile(RnUse *first, RnUse *second)
{
	if (!first->wanted || !second->wanted || first->accumulate == second->accumulate)
		return;
	if (!first->accumulate)
		first->tensor->state->zero_grad = 1;
	else
		second->tensor->state->zero_grad = 1;
	first->accumulate = second->accumulate = 1;
}

/* Nobody writes this gradient any more; it is read at this time. */
static void
close_gradient(const RnGraph *graph, RnTensorState *state, int time)
{
	if (state->covered < state->tensor.cols)
		state->zero_grad = 1;
	extend_life(state->grad, state->kept ? graph->times : time);
}

static void
seed_gradients(RnGraph *graph, Births *births)
{
	RnTensorState *state;

	for (state = graph->tensors; state != NULL; state = state->next)
		if (state->seed != NULL)
		{
			state->grad = &state->own_grad;
			state->covered = state->tensor.cols;
			start_life(state->grad, tensor_bytes(&state->tensor), graph->n_nodes);
			append(births, state->grad);
		}
}

/* Does a gradient reach the node?  Then what it needs backwards lives until then. */
static int
activate(RnGraph *graph, Births *births, RnNode *node, int time)
{
	int			k;

	node->active = node->root;
	for (k = 0; k < node->n_outputs; k++)
		node->active |= node->outputs[k].tensor->state->grad != NULL;
	if (!node->active || node->op->backward == NULL)
		return node->active = 0;
	for (k = 0; k < node->n_outputs; k++)
	{
		RnOutput   *output = &node->outputs[k];
		RnTensorState *state = output->tensor->state;

		if (output->needs_value && state->last_read < time)
			state->last_read = time;
		if (state->grad != NULL)
			close_gradient(graph, state, time);
		else if (output->needs_grad)
		{
			output->missing = 1;
			start_life(&output->zeros, tensor_bytes(output->tensor), time);
			append(births, &output->zeros);
		}
	}
	for (k = 0; k < node->n_memories; k++)
	{
		RnMemory   *memory = &node->memories[k];

		if (memory->life != RN_MEMORY_BACKWARD)
			continue;
		memory->buffer = &memory->own;
		start_life(memory->buffer, memory->own.bytes, time);
		append(births, memory->buffer);
	}
	return 1;
}

static void
flow_backwards(RnGraph *graph, Births *births)
{
	RnNode	   *node;
	RnTensorState *state;
	int			k;

	seed_gradients(graph, births);
	for (node = graph->last; node != NULL; node = node->previous)
	{
		int			time = backward_time(graph, node);

		if (!activate(graph, births, node, time))
			continue;
		for (k = 0; k < node->n_uses; k++)
		{
			RnUse	   *use = &node->uses[k];
			RnTensorState *used = use->tensor->state;

			if (use->needs_value && used->last_read < time)
				used->last_read = time;
			if (used->wants_grad)
				contribute(graph, births, node, use, time);
			if (use->paired)
				reconcile(use - 1, use);
		}
	}
	for (state = graph->tensors; state != NULL; state = state->next)
		if (state->producer == NULL && state->grad != NULL)
			close_gradient(graph, state, graph->times);
}

/* ---- values ---- */

static int
is_taken(const RnNode *node, const RnBuffer *buffer)
{
	int			k;

	for (k = 0; k < node->n_memories; k++)
		if (node->memories[k].buffer == buffer)
			return 1;
	for (k = 0; k < node->n_outputs; k++)
		if (node->outputs[k].tensor->state->value == buffer)
			return 1;
	return 0;
}

/* A used value that dies here and may be written over; NULL: none. */
static RnBuffer *
value_to_take(const RnGraph *graph, const RnNode *node, unsigned may_take, size_t bytes)
{
	int			k;

	if (graph->no_reuse)
		return NULL;
	for (k = 0; k < node->n_uses && may_take >> k != 0; k++)
	{
		const RnTensorState *state = node->uses[k].tensor->state;

		if ((may_take >> k & 1) != 0 && state->value != NULL && !state->kept &&
			state->last_read == node->index && state->value->bytes >= bytes &&
			times_read(node, node->uses[k].tensor) == 1 && !is_taken(node, state->value))
			return state->value;
	}
	return NULL;
}

static void
place_memory(RnGraph *graph, Births *births, RnNode *node, RnMemory *memory)
{
	if ((memory->life == RN_MEMORY_IF_KEPT && !memory->kept) || memory->life == RN_MEMORY_BACKWARD)
		return;
	if (memory->buffer == NULL)
		memory->buffer = value_to_take(graph, node, memory->may_take, memory->own.bytes);
	if (memory->buffer == NULL || memory->buffer == &memory->own)
	{
		/* a gradient that lies here may have lengthened its life already */
		memory->buffer = &memory->own;
		memory->own.bytes = whole_lines(memory->own.bytes);
		append(births, memory->buffer);
	}
	if (memory->life == RN_MEMORY_SAVED && node->active)
		extend_life(memory->buffer, backward_time(graph, node));
	if (memory->kept)
		extend_life(memory->buffer, graph->times);
	extend_life(memory->buffer, node->index);
}

static void
place_output(RnGraph *graph, Births *births, RnNode *node, RnOutput *output)
{
	RnTensorState *state = output->tensor->state;
	size_t		bytes = tensor_bytes(output->tensor);
	int			dies = state->last_read > node->index ? state->last_read : node->index;

	if (state->kept)
		dies = graph->times;
	state->value = value_to_take(graph, node, output->may_take, bytes);
	if (state->value == NULL)
	{
		state->value = &state->own_value;
		start_life(state->value, bytes, node->index);
		append(births, state->value);
	}
	extend_life(state->value, dies);
}

static void
flow_forwards(RnGraph *graph, Births *births)
{
	RnNode	   *node;
	int			k;

	for (node = graph->first; node != NULL; node = node->next)
	{
		for (k = 0; k < node->n_memories; k++)
			place_memory(graph, births, node, &node->memories[k]);
		for (k = 0; k < node->n_outputs; k++)
			place_output(graph, births, node, &node->outputs[k]);
	}
}

/* ---- places ---- */

typedef struct Hole
{
	size_t		offset;
	size_t		bytes;
} Hole;

/* What is free below top, by offset. */
typedef struct Space
{
	Hole	   *holes;
	int			n_holes;
	size_t		top;
} Space;

/* The smallest hole that fits; else the end, beginning in the last hole if that touches it. */
static size_t
take_place(Space *space, size_t bytes)
{
	int			best = -1;
	size_t		offset;
	int			i;

	for (i = 0; i < space->n_holes; i++)
		if (space->holes[i].bytes >= bytes && (best < 0 || space->holes[i].bytes < space->holes[best].bytes))
			best = i;
	if (best < 0)
	{
		i = space->n_holes - 1;
		offset = space->top;
		if (i >= 0 && space->holes[i].offset + space->holes[i].bytes == space->top)
		{
			offset = space->holes[i].offset;
			space->n_holes--;
		}
		space->top = offset + bytes;
		return offset;
	}
	offset = space->holes[best].offset;
	space->holes[best].offset += bytes;
	space->holes[best].bytes -= bytes;
	if (space->holes[best].bytes == 0)
	{
		space->n_holes--;
		memmove(&space->holes[best], &space->holes[best + 1], (space->n_holes - best) * sizeof(Hole));
	}
	return offset;
}

static void
give_place_back(Space *space, size_t offset, size_t bytes)
{
	Hole	   *holes = space->holes;
	int			i = space->n_holes;
	int			joins_left;
	int			joins_right;

	while (i > 0 && holes[i - 1].offset > offset)
		i--;
	joins_left = i > 0 && holes[i - 1].offset + holes[i - 1].bytes == offset;
	joins_right = i < space->n_holes && offset + bytes == holes[i].offset;
	if (joins_left && joins_right)
	{
		holes[i - 1].bytes += bytes + holes[i].bytes;
		space->n_holes--;
		memmove(&holes[i], &holes[i + 1], (space->n_holes - i) * sizeof(Hole));
	}
	else if (joins_left)
		holes[i - 1].bytes += bytes;
	else if (joins_right)
	{
		holes[i].offset = offset;
		holes[i].bytes += bytes;
	}
	else
	{
		memmove(&holes[i + 1], &holes[i], (space->n_holes - i) * sizeof(Hole));
		holes[i].offset = offset;
		holes[i].bytes = bytes;
		space->n_holes++;
	}
}

/* Walk over time: the born get a place, then the dead give theirs back. */
static void
hand_out(RnGraph *graph, Space *space)
{
	RnBuffer   *buffer = graph->births;
	RnBuffer   *dead;
	int			time;

	for (time = 0; time <= graph->times; time++)
	{
		for (; buffer != NULL && buffer->born == time; buffer = buffer->next)
		{
			buffer->offset = take_place(space, buffer->bytes);
			buffer->next_dying = graph->deaths[buffer->dies];
			graph->deaths[buffer->dies] = buffer;
		}
		if (graph->no_reuse || time == graph->times)
			continue;
		for (dead = graph->deaths[time]; dead != NULL; dead = dead->next_dying)
			give_place_back(space, dead->offset, dead->bytes);
	}
}

RnStatus
rn_graph_plan(RnContext *ctx, RnGraph *graph)
{
	Births		forward = {NULL, NULL};
	Births		backward = {NULL, NULL};
	Space		space = {NULL, 0, 0};
	RnBuffer   *buffer;
	size_t		death_bytes;
	size_t		hole_bytes;
	int			n_buffers = 0;

	graph->times = graph->pass.gradients != NULL ? 2 * graph->n_nodes + 1 : graph->n_nodes;
	read_forwards(graph);
	if (graph->pass.gradients != NULL)
		flow_backwards(graph, &backward);
	flow_forwards(graph, &forward);
	if (forward.last != NULL)
		forward.last->next = backward.first;
	graph->births = forward.first != NULL ? forward.first : backward.first;

	for (buffer = graph->births; buffer != NULL; buffer = buffer->next)
		n_buffers++;
	death_bytes = (graph->times + 1) * sizeof(RnBuffer *);
	hole_bytes = (n_buffers + 1) * sizeof(Hole);
	graph->deaths = rn_graph_scratch(graph, death_bytes);
	space.holes = rn_graph_scratch(graph, hole_bytes);
	if (graph->deaths == NULL || space.holes == NULL)
		return rn_out_of_memory(ctx, death_bytes + hole_bytes);
	memset(graph->deaths, 0, death_bytes);
	hand_out(graph, &space);
	graph->planned = space.top;
	if (graph->peak < space.top)
		graph->peak = space.top;
	return RN_OK;
}
