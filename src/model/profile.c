/*
 * profile.c
 *		Measuring a batch before training, for schemes that begin with what
 *		they find.
 *
 * One pass: each sublayer is looked at when it has been computed and before
 * it joins the stream, and what the scheme makes of it is set at once, so
 * that the sublayers above already work with it.
 *
 * src/model/profile.c
 */
#include <stdlib.h>
#include <string.h>

#include "model/model.h"
#include "model/residual/joint.h"

/* One sublayer to be measured; lives in the graph's scratch. */
typedef struct Measurement
{
	RnProfile  *profile;
	const RnSchemeStack *stack;
	RnPlace		place;
	const RnParam *bias;		/* the branch's last, or NULL */
} Measurement;

/* factors and bias: [cols], or NULL. */
static double
variance(const rn_real *x, int rows, int cols, double scale, const rn_real *factors, const rn_real *bias)
{
	size_t		n = (size_t) rows * cols;
	double		mean = 0;
	double		squares = 0;
	int			twice;
	size_t		k;

	for (twice = 0; twice < 2; twice++)
	{
		double		sum = 0;

		for (k = 0; k < n; k++)
		{
			double		value = x[k];

			if (bias != NULL)
				value += bias[k % cols];
			if (factors != NULL)
				value *= factors[k % cols];
			value = value * scale - mean;
			sum += twice ? value * value : value;
		}
		if (twice)
			squares = sum / n;
		else
			mean = sum / n;
	}
	return squares;
}

/* Copies of device memory one after another. */
static rn_real *
fetch(const RnProfile *profile, RnLane *lane, rn_real **at, const rn_real *from, size_t n)
{
	rn_real    *copy = *at;

	profile->kernels->copy_out(lane, copy, from, n * sizeof(rn_real));
	*at += n;
	return copy;
}

static rn_real *
fetch_param(const RnProfile *profile, RnLane *lane, rn_real **at, const RnParam *param)
{
	if (param == NULL)
		return NULL;
	return fetch(profile, lane, at, profile->values + param->offset, rn_param_size(param));
}

static void
add_up(RnMeasured *so_far, int number, double shortcut, double branch)
{
	so_far->shortcut = shortcut;
	so_far->branch = branch;
	if (number == 0)
	{
		so_far->input = shortcut;
		so_far->branches = 0;
	}
	so_far->branches += branch;
}

/* Every entry of a vector; memory: room for it. */
static void
set_vector(const RnProfile *profile, RnLane *lane, rn_real *memory, const RnParam *param, double value)
{
	size_t		n = rn_param_size(param);
	size_t		k;

	for (k = 0; k < n; k++)
		memory[k] = (rn_real) value;
	profile->kernels->copy_in(lane, profile->values + param->offset, memory, n * sizeof(rn_real));
	profile->kernels->synchronize(profile->ctx, lane);
}

/* tensors: the shortcut and the branch. */
static void
measure(void *arg, RnLane *lane, int n, RnTensor *const *tensors)
{
	const Measurement *this_one = arg;
	RnProfile  *profile = this_one->profile;
	const RnSchemeStack *stack = this_one->stack;
	int			rows = tensors[0]->rows;
	int			cols = tensors[0]->cols;
	size_t		size = (size_t) rows * cols;
	rn_real    *memory = malloc((2 * size + 3 * (size_t) cols + 1) * sizeof(rn_real));
	rn_real    *at = memory;
	rn_real    *shortcut,
			   *branch,
			   *omega,
			   *bias,
			   *gate;
	const RnParam *param;
	double		value;
	int			later;
	RnJoin		join;

	(void) n;
	if (memory == NULL)
	{
		rn_out_of_memory(profile->ctx, 2 * size * sizeof(rn_real));
		return;
	}
	stack->scheme->join(stack, &this_one->place, &join);
	shortcut = fetch(profile, lane, &at, tensors[0]->value, size);
	branch = fetch(profile, lane, &at, tensors[1]->value, size);
	omega = fetch_param(profile, lane, &at, join.omega);
	bias = fetch_param(profile, lane, &at, this_one->bias);
	gate = fetch_param(profile, lane, &at, join.gate);
	profile->kernels->synchronize(profile->ctx, lane);
	add_up(&profile->so_far, this_one->place.number,
		   variance(shortcut, rows, cols, join.shortcut_scale, omega, NULL),
		   variance(branch, rows, cols, join.branch_scale * (gate == NULL ? 1 : *gate), NULL, bias));
	stack->scheme->measured(stack, &this_one->place, &profile->so_far, &param, &value, &later);
	profile->n_set += param != NULL;
	if (param != NULL && later)
	{
		profile->later[profile->n_later] = param;
		profile->later_values[profile->n_later++] = value;
	}
	else if (param != NULL)
		set_vector(profile, lane, memory, param, value);
	free(memory);
}

static void
note(RnProfile *profile, RnGraph *graph, const RnSchemeStack *stack, const RnPlace *place, RnTensor *shortcut,
	 const RnBranch *branch)
{
	RnTensor   *tensors[2];
	Measurement *measurement = rn_graph_scratch(graph, sizeof(*measurement));

	if (measurement == NULL)
		return;
	measurement->profile = profile;
	measurement->stack = stack;
	measurement->place = *place;
	measurement->bias = branch->bias;
	tensors[0] = shortcut;
	tensors[1] = branch->value;
	rn_observe(graph, 2, tensors, measure, measurement);
}

int
rn_model_wants_profile(const RnModel *model)
{
	return (rn_model_has_encoder(model) && model->encoder.scheme.scheme->measured != NULL) || model->decoder.scheme.scheme->measured != NULL;
}

/* Room for what is set when the pass is over, a vector of d_model among it. */
static RnStatus
make_room(RnContext *ctx, const RnModel *model, RnProfile *profile, rn_real **vector)
{
	size_t		n = rn_stack_sublayers(&model->encoder.scheme) + rn_stack_sublayers(&model->decoder.scheme);

	profile->later = malloc(n * sizeof(*profile->later));
	profile->later_values = malloc(n * sizeof(double));
	*vector = malloc(model->config.d_model * sizeof(rn_real));
	if (profile->later == NULL || profile->later_values == NULL || *vector == NULL)
		return rn_out_of_memory(ctx, n * (sizeof(*profile->later) + sizeof(double)));
	return RN_OK;
}

static void
run_pass(RnContext *ctx, const RnModel *model, RnGraph *graph, RnLane *lane, const RnModelBatch *batch,
		 RnProfile *profile, rn_real *vector)
{
	RnPass		pass;
	int			k;

	memset(&pass, 0, sizeof(pass));
	pass.params = &model->params;
	pass.values = profile->values;
	rn_graph_begin(graph, &pass);
	rn_model_run(model, graph, batch, profile, NULL);
	if (rn_graph_forward(ctx, graph) != RN_OK)
		return;
	for (k = 0; k < profile->n_later; k++)
		set_vector(profile, lane, vector, profile->later[k], profile->later_values[k]);
}

RnStatus
rn_model_profile(RnContext *ctx, const RnModel *model, const RnKernels *kernels, RnLane *lane,
				 const RnModelBatch *batch, rn_real *values, int *n_set)
{
	RnProfile	profile;
	RnGraph    *graph = NULL;
	rn_real    *vector = NULL;

	*n_set = 0;
	if (!rn_model_wants_profile(model))
		return RN_OK;
	memset(&profile, 0, sizeof(profile));
	profile.note = note;
	profile.ctx = ctx;
	profile.kernels = kernels;
	profile.values = values;
	if (make_room(ctx, model, &profile, &vector) == RN_OK && rn_graph_create(ctx, kernels, lane, &graph) == RN_OK)
		run_pass(ctx, model, graph, lane, batch, &profile, vector);
	*n_set = profile.n_set;
	rn_graph_free(graph);
	free(profile.later);
	free(profile.later_values);
	free(vector);
	return ctx->status;
}
