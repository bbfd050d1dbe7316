/*
 * run.c
 *		The tape runs: forwards in the order of noting, backwards in reverse.
 *
 * Values and gradients lie in one piece of device memory that grows when a
 * plan (plan.c) needs more.  After the largest pass has been seen, nothing is
 * allocated any more.
 *
 * src/graph/run.c
 */
#include "graph/node.h"

#include <string.h>

static RnStatus
drop_memory(RnContext *ctx, RnGraph *graph)
{
	RN_TRY(graph->kernels->synchronize(ctx, graph->lane));
	if (graph->memory != NULL)
		graph->kernels->release(graph->memory, graph->capacity);
	graph->memory = NULL;
	graph->capacity = 0;
	graph->allocations++;
	return RN_OK;
}

static RnStatus
take_memory(RnContext *ctx, RnGraph *graph, size_t bytes)
{
	void	   *memory;

	RN_TRY(graph->kernels->allocate(ctx, bytes, &memory));
	graph->memory = memory;
	graph->capacity = bytes;
	return RN_OK;
}

/* Make the device memory large enough for the plan; growing by a quarter at least saves repeated growth. */
static RnStatus
make_room(RnContext *ctx, RnGraph *graph)
{
	size_t		needed = graph->planned;
	size_t		wished = graph->capacity + graph->capacity / 4;
	RnContext	attempt;

	if (graph->limit > 0 && needed > graph->limit)
	{
		rn_fail(ctx, RN_NO_MEMORY, "a pass does not fit into the memory allowed");
		rn_detail(ctx, "It needs %zu bytes; %zu are allowed.", needed, graph->limit);
		return RN_NO_MEMORY;
	}
	if (needed <= graph->capacity)
		return RN_OK;
	RN_TRY(drop_memory(ctx, graph));
	rn_context_reset(&attempt);
	if (wished > needed && (graph->limit == 0 || wished <= graph->limit) && take_memory(&attempt, graph, wished) == RN_OK)
		return RN_OK;
	return take_memory(ctx, graph, needed);
}

RnStatus
rn_graph_reserve(RnContext *ctx, RnGraph *graph, size_t bytes)
{
	if (bytes <= graph->capacity)
		return RN_OK;
	RN_TRY(drop_memory(ctx, graph));
	return take_memory(ctx, graph, bytes);
}

static rn_real *
place_of(const RnGraph *graph, const RnBuffer *buffer)
{
	return (rn_real *) (graph->memory + buffer->offset);
}

static void
find_pointers(RnGraph *graph)
{
	RnTensorState *state;
	RnNode	   *node;
	int			k;

	for (state = graph->tensors; state != NULL; state = state->next)
	{
		if (state->value != NULL)
			state->tensor.value = place_of(graph, state->value);
		if (state->grad != NULL && state->kept)
			state->tensor.grad = place_of(graph, state->grad);
	}
	for (node = graph->first; node != NULL; node = node->next)
		for (k = 0; k < node->n_memories; k++)
			node->memories[k].at = node->memories[k].buffer != NULL ? place_of(graph, node->memories[k].buffer) : NULL;
}

/* For tests: what is not alive is not a number. */
static void
spoil(RnGraph *graph, const RnBuffer *buffer)
{
	unsigned char nonsense[4096];
	size_t		done;

	memset(nonsense, 0xff, sizeof(nonsense));
	for (done = 0; done < buffer->bytes; done += sizeof(nonsense))
	{
		size_t		left = buffer->bytes - done;

		graph->kernels->copy_in(graph->lane, graph->memory + buffer->offset + done, nonsense,
								left < sizeof(nonsense) ? left : sizeof(nonsense));
	}
}

static void
spoil_born(RnGraph *graph, int time)
{
	const RnBuffer *buffer;

	for (buffer = graph->births; graph->poison && buffer != NULL; buffer = buffer->next)
		if (buffer->born == time)
			spoil(graph, buffer);
}

static void
spoil_dead(RnGraph *graph, int time)
{
	const RnBuffer *buffer;

	for (buffer = graph->deaths[time]; graph->poison && buffer != NULL; buffer = buffer->next_dying)
		spoil(graph, buffer);
}

/* Has somebody asked to stop?  Then nothing of the pass is at work any more when it ends. */
static RnStatus
check_stop(RnContext *ctx, const RnGraph *graph)
{
	if (graph->pass.stop == NULL || !__atomic_load_n(graph->pass.stop, __ATOMIC_RELAXED))
		return RN_OK;
	RN_TRY(graph->kernels->synchronize(ctx, graph->lane));
	return rn_fail(ctx, RN_CANCELLED, "computation was stopped");
}

static RnStatus
end_run(RnContext *ctx, const RnGraph *graph)
{
	const RnKernels *kernels = graph->kernels;

	return graph->pass.under_way ? kernels->look(ctx, graph->lane) : kernels->synchronize(ctx, graph->lane);
}

/* What was noted gets its places, or the first mistake is told. */
static RnStatus
end_noting(RnContext *ctx, RnGraph *graph)
{
	RnStatus	status;

	if (graph->failure.status == RN_OK && graph->stage != RN_GRAPH_NOTING)
		rn_graph_fail(graph, RN_INTERNAL, "a pass runs forwards once, after it was noted");
	graph->stage = RN_GRAPH_IDLE;
	if (graph->failure.status == RN_OK)
		return rn_graph_plan(ctx, graph);
	status = rn_fail(ctx, graph->failure.status, "%s", graph->failure.message);
	if (graph->failure.detail[0] != '\0')
		rn_detail(ctx, "%s", graph->failure.detail);
	return status;
}

RnStatus
rn_graph_measure(RnContext *ctx, RnGraph *graph, size_t *bytes)
{
	const size_t peak = graph->peak;

	RN_TRY(end_noting(ctx, graph));
	*bytes = graph->planned;
	graph->planned = 0;
	graph->peak = peak;
	return RN_OK;
}

RnStatus
rn_graph_forward(RnContext *ctx, RnGraph *graph)
{
	RnNode	   *node;

	RN_TRY(end_noting(ctx, graph));
	RN_TRY(make_room(ctx, graph));
	find_pointers(graph);
	for (node = graph->first; node != NULL; node = node->next)
	{
		RN_TRY(check_stop(ctx, graph));
		spoil_born(graph, node->index);
		node->op->forward(graph, node);
		spoil_dead(graph, node->index);
	}
	RN_TRY(end_run(ctx, graph));
	graph->stage = RN_GRAPH_FORWARD_DONE;
	return RN_OK;
}

static void
plant_seeds(RnGraph *graph)
{
	RnTensorState *state;

	spoil_born(graph, graph->n_nodes);
	for (state = graph->tensors; state != NULL; state = state->next)
		if (state->seed != NULL)
			graph->kernels->copy(graph->lane, place_of(graph, state->grad), state->seed,
								 rn_tensor_size(&state->tensor) * sizeof(rn_real));
}

/* Gradients of outputs and uses: where they are, and clear what must be clear. */
static void
prepare_backward(RnGraph *graph, RnNode *node)
{
	int			k;

	for (k = 0; k < node->n_outputs; k++)
	{
		RnOutput   *output = &node->outputs[k];
		const RnTensorState *state = output->tensor->state;

		output->grad = NULL;
		if (state->grad != NULL)
			output->grad = place_of(graph, state->grad);
		else if (output->missing)
		{
			output->grad = place_of(graph, &output->zeros);
			graph->kernels->zero(graph->lane, output->grad, output->zeros.bytes);
		}
	}
	for (k = 0; k < node->n_uses; k++)
	{
		RnUse	   *use = &node->uses[k];
		const RnTensorState *state = use->tensor->state;

		use->grad = NULL;
		if (!use->wanted)
			continue;
		use->grad = place_of(graph, use->detour ? &use->temporary : state->grad);
		if (use->opens && state->zero_grad)
			graph->kernels->zero(graph->lane, use->grad, state->grad->bytes);
	}
}

/* An operation that adds to a gradient of several passes does so when it is this pass's turn. */
static RnStatus
backward_in_turn(RnContext *ctx, RnGraph *graph, RnNode *node)
{
	int			thing = (int) (node->in_turn - graph->pass.params->items);

	switch (rn_turns_wait(graph->pass.turns, thing, graph->pass.turn))
	{
		case RN_TURN_MINE:
			break;
		case RN_TURN_PASSED:
			return rn_fail(ctx, RN_INTERNAL, "%s: parameter \"%s\" is used twice in a pass", node->op->name,
						   node->in_turn->name);
		case RN_TURN_GIVEN_UP:
			return rn_fail(ctx, RN_CANCELLED, "computation was stopped");
	}
	node->op->backward(graph, node);
	RN_TRY(graph->kernels->synchronize(ctx, graph->lane));
	rn_turns_done(graph->pass.turns, thing);
	return RN_OK;
}

static RnStatus
run_backward(RnContext *ctx, RnGraph *graph, RnNode *node)
{
	int			time = 2 * graph->n_nodes - node->index;
	int			k;

	spoil_born(graph, time);
	prepare_backward(graph, node);
	if (node->in_turn != NULL)
		RN_TRY(backward_in_turn(ctx, graph, node));
	else
		node->op->backward(graph, node);
	for (k = 0; k < node->n_uses; k++)
	{
		RnUse	   *use = &node->uses[k];

		if (use->detour)
			graph->kernels->scaled_add(graph->lane, rn_tensor_size(use->tensor), 1.0, use->grad, 1.0,
									   place_of(graph, use->tensor->state->grad));
	}
	spoil_dead(graph, time);
	return RN_OK;
}

RnStatus
rn_graph_backward(RnContext *ctx, RnGraph *graph)
{
	RnNode	   *node;

	if (graph->stage != RN_GRAPH_FORWARD_DONE)
		return rn_fail(ctx, RN_INTERNAL, "a pass runs backwards once, after it ran forwards");
	graph->stage = RN_GRAPH_IDLE;
	if (graph->pass.gradients == NULL)
		return rn_fail(ctx, RN_INTERNAL, "a pass without gradients cannot run backwards");
	plant_seeds(graph);
	for (node = graph->last; node != NULL; node = node->previous)
	{
		RN_TRY(check_stop(ctx, graph));
		if (node->active)
			RN_TRY(run_backward(ctx, graph, node));
	}
	RN_TRY(end_run(ctx, graph));
	graph->stage = RN_GRAPH_BACKWARD_DONE;
	return RN_OK;
}
