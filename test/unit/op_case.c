/*
 * op_case.c
 *		How a case of the table of test_ops.c is judged.
 *
 * test/unit/op_case.c
 */
#include "op_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "test_device.h"

#define SEED			UINT64_C(0x5eedcafe12345)
#define STEP			7
#define PARAM_START		0.5		/* parameter gradients are added to this */
#define DIFFERENCE		3e-4
#define MOST_ELEMENTS	120		/* of a leaf whose gradient is compared */

#ifdef RN_DOUBLE
#define VALUE_TOLERANCE		1e-12
#define GRADIENT_TOLERANCE	1e-8
#else
#define VALUE_TOLERANCE		2e-6
#define GRADIENT_TOLERANCE	1e-5
#endif

enum
{
	OUTSIDE,					/* operands come from outside, results are kept */
	OWN,						/* operands and results belong to the graph alone */
	SHARED,						/* operands are read by somebody else afterwards */
	SURROUNDINGS
};

static const char *const surrounding_names[] = {"from outside", "its own", "shared"};

void *
fixture_alloc(Fixture *fixture, size_t bytes)
{
	void	   *memory = calloc(1, bytes + 1);

	if (memory == NULL || fixture->n_memory == (int) (sizeof(fixture->memory) / sizeof(fixture->memory[0])))
	{
		printf("Bail out! no memory for a test\n");
		exit(1);
	}
	return fixture->memory[fixture->n_memory++] = memory;
}

/* Random numbers that an rn_real holds exactly. */
static double
number(uint32_t stream, uint64_t index, double center, double spread)
{
	return (double) (rn_real) (center + spread * (2.0 * rn_random_uniform(SEED, RN_RANDOM_PERTURB, 0, stream, index) - 1.0));
}

static rn_real *
device_alloc(const Fixture *fixture, size_t elements)
{
	RnContext	ctx;
	void	   *memory = NULL;

	rn_context_reset(&ctx);
	if (fixture->kernels->allocate(&ctx, elements * sizeof(rn_real), &memory) != RN_OK)
	{
		printf("Bail out! no device memory for a test: %s\n", ctx.message);
		exit(1);
	}
	return memory;
}

static void
to_device(const Fixture *fixture, rn_real *device, const double *from, size_t n)
{
	rn_real    *numbers = malloc((n + 1) * sizeof(*numbers));
	RnContext	ctx;
	size_t		i;

	for (i = 0; i < n; i++)
		numbers[i] = (rn_real) from[i];
	fixture->kernels->copy_in(fixture->lane, device, numbers, n * sizeof(*numbers));
	rn_context_reset(&ctx);
	fixture->kernels->synchronize(&ctx, fixture->lane);
	free(numbers);
}

static void
from_device(const Fixture *fixture, double *to, const rn_real *device, size_t n)
{
	rn_real    *numbers = malloc((n + 1) * sizeof(*numbers));
	RnContext	ctx;
	size_t		i;

	fixture->kernels->copy_out(fixture->lane, numbers, device, n * sizeof(*numbers));
	rn_context_reset(&ctx);
	fixture->kernels->synchronize(&ctx, fixture->lane);
	for (i = 0; i < n; i++)
		to[i] = numbers[i];
	free(numbers);
}

/* ---- leaves ---- */

/* "3 0 1" to packed sentences; rows are not named by their numbers. */
static RnPacked
pack(Fixture *fixture, const char *lengths, uint32_t first_row)
{
	RnPacked	packed = {0};
	int32_t    *offsets = fixture_alloc(fixture, (strlen(lengths) + 2) * sizeof(*offsets));
	int32_t    *positions;
	uint32_t   *row_ids;
	char	   *rest = (char *) lengths;
	int			s;
	int			r;

	while (*rest != '\0')
	{
		offsets[packed.n_sentences + 1] = offsets[packed.n_sentences] + (int32_t) strtol(rest, &rest, 10);
		packed.n_sentences++;
	}
	packed.rows = offsets[packed.n_sentences];
	positions = fixture_alloc(fixture, packed.rows * sizeof(*positions));
	row_ids = fixture_alloc(fixture, packed.rows * sizeof(*row_ids));
	for (s = 0; s < packed.n_sentences; s++)
		for (r = offsets[s]; r < offsets[s + 1]; r++)
			positions[r] = r - offsets[s];
	for (r = 0; r < packed.rows; r++)
		row_ids[r] = first_row + 3 * r;
	packed.offsets = offsets;
	packed.positions = positions;
	packed.row_ids = row_ids;
	return packed;
}

int
leaf(Fixture *fixture, LeafKind kind, int rows, int cols, double center, double spread)
{
	int			k = fixture->n_leaves++;
	Leaf	   *l = &fixture->leaves[k];
	size_t		n = (size_t) rows * cols;
	size_t		i;

	l->kind = kind;
	l->rows = rows;
	l->cols = cols;
	l->host = fixture_alloc(fixture, n * sizeof(*l->host));
	l->extra = fixture_alloc(fixture, n * sizeof(*l->extra));
	for (i = 0; i < n; i++)
		l->host[i] = number(100 + k, i, center, spread);
	if (kind == LEAF_PARAM)
	{
		RnParam		p = {.rows = rows, .cols = cols, .layer = -1, .init_zero_row = -1};
		RnContext	ctx;

		snprintf(p.name, sizeof(p.name), "leaf.%d", k);
		rn_context_reset(&ctx);
		l->param = rn_params_add(&ctx, &fixture->params, &p);
	}
	else
		l->device = device_alloc(fixture, n);
	return k;
}

static void
load_leaves(Fixture *fixture)
{
	int			k;

	fixture->values = device_alloc(fixture, fixture->params.size);
	fixture->gradients = device_alloc(fixture, fixture->params.size);
	for (k = 0; k < fixture->n_leaves; k++)
	{
		Leaf	   *l = &fixture->leaves[k];
		RnParam    *p = &fixture->params.items[l->param];

		if (l->kind == LEAF_PARAM && l->frozen)
			p->flags |= RN_PARAM_FROZEN;
		to_device(fixture, l->kind == LEAF_PARAM ? fixture->values + p->offset : l->device, l->host,
				  (size_t) l->rows * l->cols);
	}
}

static void
reset_gradients(Fixture *fixture)
{
	size_t		n = fixture->params.size;
	double	   *start = malloc((n + 1) * sizeof(*start));
	size_t		i;

	for (i = 0; i < n; i++)
		start[i] = PARAM_START;
	to_device(fixture, fixture->gradients, start, n);
	free(start);
}

/* ---- noting ---- */

RnTensor *
operand(Fixture *fixture, int number)
{
	Leaf	   *l = &fixture->leaves[number];

	if (l->tensor != NULL)
		return l->operand;
	l->tensor = rn_input(fixture->graph, l->rows, l->cols, l->device, (fixture->c->flags & NO_INPUT_GRAD) == 0);
	l->operand = l->tensor;
	if (fixture->surrounding == OWN)
		l->operand = rn_add(fixture->graph, l->tensor, 1.0, NULL, 0.0);
	return l->operand;
}

const RnParam *
param(Fixture *fixture, int number)
{
	return &fixture->params.items[fixture->leaves[number].param];
}

RnDropout
dropout_at(const Fixture *fixture, double rate, uint32_t site)
{
	RnDropout	dropout = {.rate = fixture->only_values ? 0.0 : rate, .seed = SEED, .step = STEP, .site = site};

	return dropout;
}

static Result *
next_result(Fixture *fixture, size_t size)
{
	Result	   *r = &fixture->results[fixture->n_results++];
	size_t		i;

	if (r->plain == NULL)
	{
		r->size = size;
		r->plain = fixture_alloc(fixture, size * sizeof(double));
		r->seed = fixture_alloc(fixture, size * sizeof(double));
		for (i = 0; i < size; i++)
			r->seed[i] = number(200 + fixture->n_results, i, 0.0, 1.0);
	}
	r->tensor = NULL;
	r->array = NULL;
	r->in_objective = 0;
	return r;
}

/* Start a gradient from a tensor, from device memory that lasts as long as the fixture. */
static void
seed_tensor(Fixture *fixture, RnTensor *tensor, const double *seed)
{
	size_t		n = (size_t) tensor->rows * tensor->cols;
	rn_real    *device = device_alloc(fixture, n);

	to_device(fixture, device, seed, n);
	fixture->device_memory[fixture->n_device_memory] = device;
	fixture->device_bytes[fixture->n_device_memory++] = n * sizeof(rn_real);
	rn_graph_seed(fixture->graph, tensor, device);
}

double *
result(Fixture *fixture, RnTensor *tensor)
{
	int			number = fixture->n_results;
	Result	   *r;

	if (tensor == NULL)
		return NULL;
	r = next_result(fixture, (size_t) tensor->rows * tensor->cols);
	if (fixture->surrounding == OWN)
		tensor = rn_add(fixture->graph, tensor, 1.0, NULL, 0.0);
	rn_graph_keep(fixture->graph, tensor);
	r->tensor = tensor;
	r->in_objective = !((number != 0 && (fixture->c->flags & ONLY_FIRST) != 0) ||
						(number != 1 && (fixture->c->flags & ONLY_SECOND) != 0));
	return r->seed;
}

void
result_array(Fixture *fixture, const rn_real *const *array, size_t size)
{
	next_result(fixture, size)->array = array;
}

/* Somebody else reads the operands too, after the operation: its gradient comes first. */
static void
share_operands(Fixture *fixture)
{
	int			k;
	size_t		i;

	for (k = 0; k < fixture->n_leaves; k++)
	{
		Leaf	   *l = &fixture->leaves[k];
		size_t		n = (size_t) l->rows * l->cols;
		RnTensor   *other;

		if (l->tensor == NULL)
			continue;
		for (i = 0; i < n; i++)
			l->extra[i] = fixture->surrounding == SHARED ? number(300 + k, i, 0.0, 1.0) : 0.0;
		if (fixture->surrounding != SHARED || fixture->only_values)
			continue;
		other = rn_add(fixture->graph, l->operand, 1.0, NULL, 0.0);
		if (other != NULL)
			seed_tensor(fixture, other, l->extra);
	}
}

/* Run one pass; the results stay in the graph. */
static int
run_pass(Fixture *fixture, int surrounding, int only_values)
{
	RnPass		pass = {.params = &fixture->params, .values = fixture->values, .gradients = fixture->gradients,
	.training = 1, .seed = SEED, .step = STEP};
	RnContext	ctx;
	int			k;

	if (only_values)
	{
		pass.gradients = NULL;
		pass.training = 0;
	}
	fixture->surrounding = surrounding;
	fixture->only_values = only_values;
	fixture->n_results = 0;
	for (k = 0; k < fixture->n_leaves; k++)
		fixture->leaves[k].tensor = NULL;
	reset_gradients(fixture);
	rn_graph_begin(fixture->graph, &pass);
	fixture->c->operation->note(fixture, fixture->graph);
	for (k = 0; k < fixture->n_results && !only_values; k++)
		if (fixture->results[k].in_objective)
			seed_tensor(fixture, fixture->results[k].tensor, fixture->results[k].seed);
	share_operands(fixture);

	rn_context_reset(&ctx);
	if (rn_graph_forward(&ctx, fixture->graph) == RN_OK && !only_values)
		rn_graph_backward(&ctx, fixture->graph);
	return CHECK(ctx.status == RN_OK, "%s, %s: runs%s%s", fixture->c->name, surrounding_names[surrounding],
				 ctx.status != RN_OK ? ": " : "", ctx.message);
}

/* ---- judging ---- */

static void
run_plain(Fixture *fixture)
{
	int			k;

	for (k = 0; k < fixture->n_results; k++)
		memset(fixture->results[k].plain, 0, fixture->results[k].size * sizeof(double));
	fixture->c->operation->plain(fixture);
}

static double
objective(Fixture *fixture)
{
	double		sum = 0.0;
	size_t		i;
	int			k;

	run_plain(fixture);
	for (k = 0; k < fixture->n_results; k++)
		for (i = 0; fixture->results[k].in_objective && i < fixture->results[k].size; i++)
			sum += fixture->results[k].seed[i] * fixture->results[k].plain[i];
	return sum + fixture->loss_scale * fixture->plain_loss;
}

/* Derivative of the plain objective by an element of a leaf, to fourth order. */
static double
difference(Fixture *fixture, double *x)
{
	const double value = *x;
	double		near;
	double		far;

	*x = value + DIFFERENCE;
	near = objective(fixture);
	*x = value - DIFFERENCE;
	near -= objective(fixture);
	*x = value + 2 * DIFFERENCE;
	far = objective(fixture);
	*x = value - 2 * DIFFERENCE;
	far -= objective(fixture);
	*x = value;
	return (8 * near - far) / (12 * DIFFERENCE);
}

/* Largest difference of two arrays against the largest element; not a number is worst. */
static double
worst_error(const double *found, const double *wanted, size_t n)
{
	double		largest = 1e-3;
	double		worst = 0.0;
	size_t		i;

	for (i = 0; i < n; i++)
		if (fabs(wanted[i]) > largest)
			largest = fabs(wanted[i]);
	for (i = 0; i < n; i++)
		if (!(fabs(found[i] - wanted[i]) <= worst * largest))
			worst = isfinite(found[i]) ? fabs(found[i] - wanted[i]) / largest : INFINITY;
	return worst;
}

static void
check_values(Fixture *fixture)
{
	double		worst = 0.0;
	int			k;

	run_plain(fixture);
	for (k = 0; k < fixture->n_results; k++)
	{
		Result	   *r = &fixture->results[k];
		double	   *found = malloc((r->size + 1) * sizeof(*found));
		double		error;

		from_device(fixture, found, r->tensor != NULL ? r->tensor->value : *r->array, r->size);
		error = worst_error(found, r->plain, r->size);
		worst = error > worst ? error : worst;
		free(found);
	}
	if (fixture->has_loss)
	{
		double		found[2] = {fixture->loss.loss_sum, fixture->loss.nll_sum};
		double		wanted[2] = {fixture->plain_loss, fixture->plain_nll};
		double		error = worst_error(found, wanted, 2);

		worst = error > worst ? error : worst;
	}
	CHECK(worst <= VALUE_TOLERANCE, "%s, %s%s: values differ by %.1e", fixture->c->name,
		  surrounding_names[fixture->surrounding], fixture->only_values ? ", forward only" : "", worst);
}

/* Elements that are compared: all of small leaves, every so many of others. */
static size_t
stride_of(const Leaf *l)
{
	size_t		n = (size_t) l->rows * l->cols;

	return n <= MOST_ELEMENTS ? 1 : n / MOST_ELEMENTS | 1;
}

static int
has_gradient(const Fixture *fixture, const Leaf *l)
{
	return l->kind == LEAF_PARAM || (l->kind == LEAF_INPUT && (fixture->c->flags & NO_INPUT_GRAD) == 0);
}

static void
find_differences(Fixture *fixture)
{
	int			k;
	size_t		i;

	for (k = 0; k < fixture->n_leaves; k++)
	{
		Leaf	   *l = &fixture->leaves[k];
		size_t		n = (size_t) l->rows * l->cols;

		if (!has_gradient(fixture, l))
			continue;
		l->wanted = fixture_alloc(fixture, n * sizeof(double));
		for (i = 0; i < n; i += stride_of(l))
			if (!l->frozen && (l->differs == NULL || l->differs[i] != 0.0))
				l->wanted[i] = difference(fixture, &l->host[i]);
	}
}

static double
leaf_error(Fixture *fixture, const Leaf *l)
{
	size_t		n = (size_t) l->rows * l->cols;
	double	   *found = calloc(n + 1, sizeof(*found));
	double	   *wanted = calloc(n + 1, sizeof(*wanted));
	double		error;
	size_t		i;
	size_t		compared = 0;

	if (l->kind == LEAF_PARAM)
		from_device(fixture, found, fixture->gradients + fixture->params.items[l->param].offset, n);
	else if (l->tensor->grad != NULL)
		from_device(fixture, found, l->tensor->grad, n);
	for (i = 0; i < n; i += stride_of(l))
	{
		found[compared] = found[i] - (l->kind == LEAF_PARAM ? PARAM_START : l->extra[i]);
		wanted[compared++] = l->wanted[i];
	}
	error = worst_error(found, wanted, compared);
	free(found);
	free(wanted);
	return error;
}

static void
check_gradients(Fixture *fixture)
{
	double		worst = 0.0;
	int			worst_leaf = -1;
	int			k;

	for (k = 0; k < fixture->n_leaves; k++)
		if (has_gradient(fixture, &fixture->leaves[k]))
		{
			double		error = leaf_error(fixture, &fixture->leaves[k]);

			if (error > worst)
			{
				worst = error;
				worst_leaf = k;
			}
		}
	CHECK(worst <= GRADIENT_TOLERANCE, "%s, %s: gradients differ by %.1e (leaf %d)", fixture->c->name,
		  surrounding_names[fixture->surrounding], worst, worst_leaf);
}

/* ---- a case ---- */

static void
open_fixture(Fixture *fixture, const RnKernels *kernels, RnLane *lane, const Case *c)
{
	RnContext	ctx;
	int			r;

	memset(fixture, 0, sizeof(*fixture));
	fixture->c = c;
	fixture->kernels = kernels;
	fixture->lane = lane;
	rn_params_init(&fixture->params);
	fixture->packed = pack(fixture, c->lengths, 11);
	fixture->keys = c->key_lengths != NULL ? pack(fixture, c->key_lengths, 1000) : fixture->packed;
	fixture->id_limit = c->inner > 0 ? c->inner : 1;
	fixture->ids = fixture_alloc(fixture, fixture->packed.rows * sizeof(int32_t));
	for (r = 0; r < fixture->packed.rows; r++)
		fixture->ids[r] = (int32_t) (rn_random_bits(SEED, RN_RANDOM_PERTURB, 1, 0, r) % fixture->id_limit);
	c->operation->setup(fixture);
	load_leaves(fixture);
	rn_context_reset(&ctx);
	rn_graph_create(&ctx, kernels, lane, &fixture->graph);
}

static void
close_fixture(Fixture *fixture)
{
	const RnKernels *kernels = fixture->kernels;
	int			k;

	rn_graph_free(fixture->graph);
	kernels->release(fixture->values, fixture->params.size * sizeof(rn_real));
	kernels->release(fixture->gradients, fixture->params.size * sizeof(rn_real));
	for (k = 0; k < fixture->n_leaves; k++)
		if (fixture->leaves[k].kind != LEAF_PARAM)
			kernels->release(fixture->leaves[k].device,
							 (size_t) fixture->leaves[k].rows * fixture->leaves[k].cols * sizeof(rn_real));
	for (k = 0; k < fixture->n_device_memory; k++)
		kernels->release(fixture->device_memory[k], fixture->device_bytes[k]);
	for (k = 0; k < fixture->n_memory; k++)
		free(fixture->memory[k]);
	rn_params_free(&fixture->params);
}

static void
run_case(const RnKernels *kernels, RnLane *lane, const Case *c)
{
	Fixture		fixture;
	int			surrounding;

	open_fixture(&fixture, kernels, lane, c);
	for (surrounding = 0; surrounding < SURROUNDINGS && (c->flags & FORWARD_ONLY) == 0; surrounding++)
	{
		if (!run_pass(&fixture, surrounding, 0))
			break;
		check_values(&fixture);
		if (surrounding == 0)
			find_differences(&fixture);
		check_gradients(&fixture);
	}
	if (run_pass(&fixture, OUTSIDE, 1))
		check_values(&fixture);
	if (run_pass(&fixture, OWN, 1))
		check_values(&fixture);
	close_fixture(&fixture);
}

int
run_cases(const char *pattern, const Case *cases, size_t n)
{
	const RnKernels *kernels = test_device();
	RnLane	   *lane;
	RnContext	ctx;
	size_t		i;

	rn_context_reset(&ctx);
	if (!CHECK(kernels->lane_create(&ctx, &lane) == RN_OK, "%s: %s", kernels->name, kernels->description()))
		return check_done();
	for (i = 0; i < n; i++)
		if (pattern == NULL || strstr(cases[i].name, pattern) != NULL)
			run_case(kernels, lane, &cases[i]);
	kernels->lane_free(lane);
	return check_done();
}
