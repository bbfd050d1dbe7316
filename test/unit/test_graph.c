/*
 * test_graph.c
 *		The tape and the registry of parameters: order, looking, limits, and
 *		that a steady step allocates nothing.
 *
 * What memory planning may not change is the matter of test_plan.c, what
 * operations compute that of test_ops.c.
 *
 * test/unit/test_graph.c
 */
#include "graph/op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "graph/node.h"
#include "kernels/device.h"

#define SEED	UINT64_C(77)
#define WIDTH	8
#define ROWS	6
#define MOST	64			/* rows of the longest batch */

/* ---- counting what is allocated ---- */

static long allocations;		/* calls for host memory */
static long device_allocations;
static int	refuse_device;		/* the device has no memory */
static long refuse_host = -1;	/* so many calls for host memory succeed; -1: all */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(SANITIZED)
#define COUNTS_HOST		1

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

static int
refused(void)
{
	allocations++;
	return refuse_host >= 0 && refuse_host-- == 0 && (refuse_host = 0) == 0;
}

void *
malloc(size_t size)
{
	return refused() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return refused() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *memory, size_t size)
{
	return refused() ? NULL : __libc_realloc(memory, size);
}
#else
#define COUNTS_HOST		0
#endif

static const RnKernels *cpu;
static RnKernels counted;		/* the CPU's, with another allocate */

static RnStatus
counted_allocate(RnContext *ctx, size_t bytes, void **memory)
{
	device_allocations++;
	if (refuse_device)
	{
		*memory = NULL;
		return rn_out_of_memory(ctx, bytes);
	}
	return cpu->allocate(ctx, bytes, memory);
}

/* ---- a small net ---- */

static RnLane *lane;
static RnGraph *graph;
static RnParams params;
static rn_real *values;
static rn_real *gradients;
static rn_real *input;			/* [MOST, WIDTH] */
static int32_t offsets[2];
static int32_t positions[MOST];
static uint32_t row_ids[MOST];
static int32_t ids[MOST];
static RnPacked packed = {1, 0, offsets, positions, row_ids};
static volatile int stop;		/* the pass at work is to end */

static const RnParam *
named(const char *name)
{
	return rn_params_find(&params, name);
}

static void
declare(const char *name, int rows, int cols)
{
	RnParam		p = {.rows = rows, .cols = cols, .layer = -1, .init_zero_row = -1, .init = RN_INIT_NORMAL,
	.init_scale = 0.5};
	RnContext	ctx;

	snprintf(p.name, sizeof(p.name), "%s", name);
	rn_context_reset(&ctx);
	rn_params_add(&ctx, &params, &p);
}

static void
open_net(void)
{
	RnContext	ctx;
	int			i;

	rn_context_reset(&ctx);
	rn_device_open(&ctx, "cpu", &cpu);
	counted = *cpu;
	counted.allocate = counted_allocate;
	cpu->lane_create(&ctx, &lane);
	rn_graph_create(&ctx, &counted, lane, &graph);
	rn_params_init(&params);
	declare("w1", WIDTH, WIDTH);
	declare("w2", WIDTH, WIDTH);
	declare("w3", WIDTH, WIDTH);
	declare("b1", 1, WIDTH);
	declare("gain", 1, WIDTH);
	declare("shift", 1, WIDTH);
	declare("table", 20, WIDTH);
	declare("narrow", 2, 3);
	values = calloc(params.size, sizeof(*values));
	gradients = calloc(params.size, sizeof(*gradients));
	input = calloc(MOST * WIDTH, sizeof(*input));
	rn_params_initialize(&params, SEED, values);
	for (i = 0; i < MOST * WIDTH; i++)
		input[i] = (rn_real) rn_random_normal(SEED, RN_RANDOM_PERTURB, 0, 0, i);
	for (i = 0; i < MOST; i++)
	{
		positions[i] = i;
		row_ids[i] = i;
		ids[i] = i % 20;
	}
}

static void
close_net(void)
{
	free(values);
	free(gradients);
	free(input);
	rn_graph_free(graph);
	cpu->lane_free(lane);
	rn_params_free(&params);
}

static void
begin(int wants_gradients, int rows)
{
	RnPass		pass = {.params = &params, .values = values, .gradients = wants_gradients ? gradients : NULL,
	.training = 1, .seed = SEED, .step = 1, .stop = &stop};

	packed.rows = offsets[1] = rows;
	memset(gradients, 0, params.size * sizeof(*gradients));
	rn_graph_begin(graph, &pass);
}

/* Forwards and, with gradients, backwards. */
static RnStatus
run(RnContext *ctx)
{
	rn_context_reset(ctx);
	if (rn_graph_forward(ctx, graph) == RN_OK && graph->pass.gradients != NULL)
		rn_graph_backward(ctx, graph);
	return ctx->status;
}

static double
largest_gradient(const char *name)
{
	const RnParam *p = named(name);
	double		largest = 0.0;
	size_t		i;

	for (i = 0; i < rn_param_size(p); i++)
		if (fabs((double) gradients[p->offset + i]) > largest)
			largest = fabs((double) gradients[p->offset + i]);
	return largest;
}

/* ---- parameters ---- */

static void
test_params(void)
{
	static const RnParam odd[] = {
		{.name = "", .rows = 2, .cols = 2, .init_zero_row = -1},
		{.name = "w1", .rows = 2, .cols = 2, .init_zero_row = -1},
		{.name = "flat", .rows = 0, .cols = 2, .init_zero_row = -1},
		{.name = "wrong", .rows = 2, .cols = 2, .ndim = 1, .init_zero_row = -1},
		{.name = "zero", .rows = 2, .cols = 2, .init_zero_row = 2},
	};
	RnParams	other;
	RnParam		p = {.rows = 3, .cols = 4, .layer = 0, .init_zero_row = 1, .init = RN_INIT_UNIFORM, .init_scale = 0.25};
	rn_real		first[64];
	rn_real		second[64];
	RnContext	ctx;
	double		largest = 0.0;
	size_t		i;

	for (i = 1; i < (size_t) params.count; i++)
		if (params.items[i].offset != params.items[i - 1].offset + rn_param_size(&params.items[i - 1]))
			break;
	CHECK(i == (size_t) params.count && params.size == 3 * WIDTH * WIDTH + 3 * WIDTH + 20 * WIDTH + 6,
		  "parameters lie one after another");
	CHECK(named("b1")->ndim == 1 && named("w1")->ndim == 2 && named("none") == NULL, "found by name, with their dimensions");
	for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
	{
		rn_context_reset(&ctx);
		CHECK(rn_params_add(&ctx, &params, &odd[i]) == -1 && ctx.status == RN_INVALID, "refused: %s", ctx.message);
	}

	rn_params_init(&other);
	rn_context_reset(&ctx);
	strcpy(p.name, "a");
	rn_params_add(&ctx, &other, &p);
	strcpy(p.name, "b");
	p.init = RN_INIT_NORMAL;
	rn_params_add(&ctx, &other, &p);
	rn_params_initialize(&other, SEED, first);
	rn_params_free(&other);
	rn_params_add(&ctx, &other, &p);
	rn_params_initialize(&other, SEED, second);
	rn_params_free(&other);
	CHECK(memcmp(first + 12, second, 12 * sizeof(*first)) == 0, "initial values depend on the name, not on the place");
	CHECK(memcmp(first, second, 12 * sizeof(*first)) != 0, "and differ between names");
	for (i = 0; i < 12; i++)
		largest = fabs((double) first[i]) > largest ? fabs((double) first[i]) : largest;
	CHECK(largest > 0.1 && largest <= 0.25, "uniform values stay in their range (%g)", largest);
	for (i = 4; i < 8 && first[i] == 0; i++)
		;
	CHECK(i == 8 && first[3] != 0 && first[8] != 0, "one row begins as 0");
}

/* ---- looking ---- */

static void
test_keeping(void)
{
	RnContext	ctx;
	RnTensor   *x;
	RnTensor   *h;
	RnTensor   *y;
	RnTensor   *unused;
	rn_real		ones[ROWS * WIDTH];
	double		error = 0.0;
	int			i;
	int			j;
	int			k;

	for (i = 0; i < ROWS * WIDTH; i++)
		ones[i] = 1;
	begin(1, ROWS);
	x = rn_input(graph, ROWS, WIDTH, input, 1);
	h = rn_linear(graph, x, named("w1"), named("b1"), 1);
	unused = rn_linear(graph, x, named("w3"), NULL, 1);
	rn_graph_keep(graph, unused);
	rn_graph_keep(graph, h);
	y = rn_linear(graph, h, named("w2"), NULL, 1);
	rn_graph_keep(graph, y);
	rn_graph_seed(graph, y, ones);
	CHECK(run(&ctx) == RN_OK, "a net of linear maps runs");

	/* gradient of sum(y) in h is the column sums of w2 */
	for (i = 0; i < ROWS; i++)
		for (j = 0; j < WIDTH; j++)
		{
			double		wanted = 0.0;

			for (k = 0; k < WIDTH; k++)
				wanted += values[named("w2")->offset + k * WIDTH + j];
			error = fmax(error, fabs(wanted - (double) h->grad[i * WIDTH + j]));
		}
	CHECK(error < 1e-5, "a kept tensor shows its gradient (%.1e)", error);
	CHECK(x->grad != NULL && y->grad != NULL && y->grad[3] == 1, "so do inputs and ends");
	CHECK(unused->value != NULL && unused->grad == NULL, "where no gradient comes, none is shown");
	CHECK(largest_gradient("w3") == 0.0 && largest_gradient("w1") > 0.0, "what does not matter is not run backwards");

	begin(0, ROWS);
	x = rn_input(graph, ROWS, WIDTH, input, 1);
	rn_graph_seed(graph, rn_linear(graph, x, named("w1"), NULL, 1), ones);
	CHECK(run(&ctx) == RN_INVALID, "no gradient starts in a pass without: %s", ctx.message);

	begin(1, ROWS);
	CHECK(run(&ctx) == RN_OK && rn_graph_memory(graph) == 0, "a pass of nothing runs");
	CHECK(rn_graph_forward(&ctx, graph) == RN_INTERNAL, "but not twice: %s", ctx.message);
}

/* One tensor, three readers: the last noted comes first, and the sum is that of its parts. */
static void
test_accumulation(void)
{
	static const char *const names[] = {"w1", "w2", "w3"};
	rn_real		sums[2][ROWS * WIDTH];
	double		parts[ROWS * WIDTH] = {0};
	double		error = 0.0;
	RnContext	ctx;
	RnTensor   *x;
	int			once;
	int			k;
	int			i;

	for (once = 0; once < 2; once++)
	{
		begin(1, ROWS);
		x = rn_input(graph, ROWS, WIDTH, input, 1);
		for (k = 0; k < 3; k++)
			rn_graph_seed(graph, rn_linear(graph, x, named(names[k]), NULL, 1), input + k);
		run(&ctx);
		memcpy(sums[once], x->grad, sizeof(sums[once]));
	}
	CHECK(memcmp(sums[0], sums[1], sizeof(sums[0])) == 0, "gradients add up in the same order each time");
	for (k = 0; k < 3; k++)
	{
		begin(1, ROWS);
		x = rn_input(graph, ROWS, WIDTH, input, 1);
		rn_graph_seed(graph, rn_linear(graph, x, named(names[k]), NULL, 1), input + k);
		run(&ctx);
		for (i = 0; i < ROWS * WIDTH; i++)
			parts[i] += x->grad[i];
	}
	for (i = 0; i < ROWS * WIDTH; i++)
		error = fmax(error, fabs(parts[i] - (double) sums[0][i]));
	CHECK(error < 1e-5, "the gradient of three readers is the sum of theirs (%.1e)", error);
}

/* Two places of dropout differ, the same place in two passes of a step does not, in two steps it does. */
static void
test_dropout(void)
{
	rn_real		found[3][2][ROWS * WIDTH];
	RnContext	ctx;
	int			pass;
	int			k;

	for (pass = 0; pass < 3; pass++)
	{
		RnTensor   *y[2];

		begin(1, ROWS);
		graph->pass.step += pass == 2;
		for (k = 0; k < 2; k++)
		{
			y[k] = rn_activation(graph, rn_input(graph, ROWS, WIDTH, input, 0), NULL, RN_GELU, 0.5, &packed);
			rn_graph_keep(graph, y[k]);
		}
		run(&ctx);
		for (k = 0; k < 2; k++)
			memcpy(found[pass][k], y[k]->value, sizeof(found[pass][k]));
	}
	CHECK(memcmp(found[0][0], found[0][1], sizeof(found[0][0])) != 0, "two places of dropout have two masks");
	CHECK(memcmp(found[0], found[1], sizeof(found[0])) == 0, "the same ones when a step is repeated");
	CHECK(memcmp(found[0][0], found[2][0], sizeof(found[0][0])) != 0, "others in another step");
}

/* ---- observers ---- */

typedef struct Watcher
{
	int			calls;
	double		first;			/* element of the tensor */
} Watcher;

/* Doubles the bias that a later operation reads. */
static void
watch(void *arg, RnLane *on, int n, RnTensor *const *tensors)
{
	Watcher    *watcher = arg;
	int			i;

	(void) on;
	watcher->calls += n;
	watcher->first = tensors[0]->value[0];
	for (i = 0; i < WIDTH; i++)
		values[named("b1")->offset + i] *= 2;
}

static void
test_observing(void)
{
	Watcher		watcher = {0, 0.0};
	rn_real		bias = values[named("b1")->offset];
	RnContext	ctx;
	RnTensor   *x;
	RnTensor   *h[2];
	RnTensor   *y[2];
	int			i;

	begin(0, ROWS);
	x = rn_input(graph, ROWS, WIDTH, input, 0);
	h[0] = h[1] = rn_linear(graph, x, named("w1"), NULL, 1);
	y[0] = rn_linear(graph, x, named("w1"), named("b1"), 1);
	rn_graph_keep(graph, y[0]);
	rn_observe(graph, 2, h, watch, &watcher);
	y[1] = rn_linear(graph, x, named("w1"), named("b1"), 1);
	rn_graph_keep(graph, y[1]);
	run(&ctx);
	CHECK(watcher.calls == 2 && fabs(watcher.first - (double) (y[0]->value[0] - bias)) < 1e-5,
		  "an observer sees values in passing");
	CHECK(fabs((double) (y[1]->value[0] - y[0]->value[0] - bias)) < 1e-5, "what it changes is used from there on");
	for (i = 0; i < WIDTH; i++)
		values[named("b1")->offset + i] /= 2;
}

/* Somebody asks to stop while a pass is at work. */
static void
ask_to_stop(void *arg, RnLane *on, int n, RnTensor *const *tensors)
{
	(void) arg;
	(void) on;
	(void) n;
	(void) tensors;
	stop = 1;
}

static void
test_stopping(void)
{
	Watcher		watcher = {0, 0.0};
	RnContext	ctx;
	RnTensor   *h;

	begin(1, ROWS);
	h = rn_linear(graph, rn_input(graph, ROWS, WIDTH, input, 1), named("w1"), NULL, 1);
	rn_graph_seed(graph, h, input);
	rn_observe(graph, 1, &h, ask_to_stop, NULL);
	rn_observe(graph, 1, &h, watch, &watcher);
	CHECK(run(&ctx) == RN_CANCELLED && watcher.calls == 0, "a pass ends when asked to: %s", ctx.message);
	stop = 0;
	begin(1, ROWS);
	h = rn_linear(graph, rn_input(graph, ROWS, WIDTH, input, 1), named("w1"), NULL, 1);
	rn_graph_seed(graph, h, input);
	rn_context_reset(&ctx);
	rn_graph_forward(&ctx, graph);
	stop = 1;
	CHECK(rn_graph_backward(&ctx, graph) == RN_CANCELLED && largest_gradient("w1") == 0.0, "on its way back too");
	stop = 0;
}

/* ---- mistakes ---- */

typedef RnTensor *(*Mistake) (RnTensor *x);

static RnTensor *
wrong_linear(RnTensor *x)
{
	return rn_linear(graph, rn_input(graph, ROWS, WIDTH + 1, input, 0), named("w1"), NULL, x != NULL);
}

static RnTensor *
wrong_join(RnTensor *x)
{
	return rn_linear(graph, x, named("table"), NULL, 2);
}

static RnTensor *
wrong_end(RnTensor *x)
{
	return rn_linear(graph, x, named("narrow"), NULL, 2);
}

static RnTensor *
wrong_bias(RnTensor *x)
{
	return rn_linear(graph, x, named("table"), named("b1"), 1);
}

static RnTensor *
wrong_add(RnTensor *x)
{
	return rn_add(graph, x, 1.0, rn_input(graph, ROWS + 1, WIDTH, input, 0), 1.0);
}

static RnTensor *
wrong_dropout(RnTensor *x)
{
	return rn_activation(graph, x, NULL, RN_RELU, 1.0, &packed);
}

static RnTensor *
wrong_packed(RnTensor *x)
{
	return rn_activation(graph, x, NULL, RN_RELU, 0.1, NULL);
}

static RnTensor *
wrong_sum(RnTensor *x)
{
	return rn_weighted_sum(graph, 1, &x, named("gain"), WIDTH);
}

static RnTensor *
wrong_residual(RnTensor *x)
{
	RnResidual	spec = {.shortcut = x, .gain = named("gain"), .shift = named("shift")};

	spec.branch = rn_input(graph, ROWS, WIDTH - 1, input, 0);
	return rn_residual(graph, &spec, NULL);
}

static RnTensor *
wrong_omega(RnTensor *x)
{
	RnResidual	spec = {.shortcut = x, .branch = x, .omega = named("narrow")};

	return rn_residual(graph, &spec, NULL);
}

static RnTensor *
wrong_norm(RnTensor *x)
{
	return rn_norm_add(graph, x, NULL, NULL, 1e-5, rn_input(graph, ROWS, 1, input, 0), 1.0);
}

static RnTensor *
wrong_terms(RnTensor *x)
{
	RnTensor   *terms[2] = {x, rn_input(graph, 1, WIDTH, input, 0)};

	return rn_weighted_sum(graph, 2, terms, named("gain"), 0);
}

static RnTensor *
wrong_sentences(RnTensor *x)
{
	static const int32_t two_offsets[] = {0, 2, ROWS};
	RnPacked	two = {2, ROWS, two_offsets, positions, row_ids};
	RnAttention spec = {.q = {x, 0}, .k = {x, 2}, .v = {x, 4}, .queries = &packed, .keys = &two, .heads = 1,
	.head_size = 2, .score_divisor = 1.0};

	return rn_attention(graph, &spec, NULL);
}

static RnTensor *
wrong_vocabulary(RnTensor *x)
{
	RnCrossEntropy spec = {.x = x, .weight = named("narrow"), .targets = ids, .gradient_scale = 1.0};
	RnLoss		loss;

	rn_smoothed_cross_entropy(graph, &spec, &loss);
	return NULL;
}

static RnTensor *
wrong_dual(RnTensor *x)
{
	RnResidual	spec = {.shortcut = x, .branch = x, .dual = x};

	return rn_residual(graph, &spec, NULL);
}

static RnTensor *
wrong_gain(RnTensor *x)
{
	return rn_layer_norm(graph, x, named("w1"), NULL, 1e-5);
}

static RnTensor *
wrong_columns(RnTensor *x)
{
	RnAttention spec = {.q = {x, 0}, .k = {x, 3}, .v = {x, 6}, .queries = &packed, .keys = &packed, .heads = 1,
	.head_size = 3, .score_divisor = 1.0};

	return rn_attention(graph, &spec, NULL);
}

static RnTensor *
wrong_shared(RnTensor *x)
{
	RnAttention spec = {.q = {x, 0}, .k = {x, 1}, .v = {x, 4}, .queries = &packed, .keys = &packed, .heads = 1,
	.head_size = 2, .score_divisor = 1.0};

	return rn_attention(graph, &spec, NULL);
}

static RnTensor *
wrong_scores(RnTensor *x)
{
	RnAttention spec = {.q = {x, 0}, .k = {x, 2}, .v = {x, 4}, .queries = &packed, .keys = &packed, .heads = 1,
	.head_size = 2, .score_divisor = 1.0, .scores_in = x};

	return rn_attention(graph, &spec, NULL);
}

static RnTensor *
wrong_divisor(RnTensor *x)
{
	RnAttention spec = {.q = {x, 0}, .k = {x, 2}, .v = {x, 4}, .queries = &packed, .keys = &packed, .heads = 1,
	.head_size = 2};

	return rn_attention(graph, &spec, NULL);
}

static RnTensor *
wrong_id(RnTensor *x)
{
	static const int32_t beyond[ROWS] = {0, 1, 20};
	RnEmbedding spec = {.table = named("table"), .position_table = input, .n_positions = MOST, .ids = beyond,
	.packed = &packed};

	(void) x;
	return rn_embedding(graph, &spec);
}

static RnTensor *
wrong_position(RnTensor *x)
{
	RnEmbedding spec = {.table = named("table"), .position_table = input, .n_positions = ROWS - 1, .ids = ids,
	.packed = &packed};

	(void) x;
	return rn_embedding(graph, &spec);
}

static RnTensor *
wrong_target(RnTensor *x)
{
	static const int32_t beyond[ROWS] = {0, -2};
	RnCrossEntropy spec = {.x = x, .weight = named("table"), .targets = beyond, .gradient_scale = 1.0};
	RnLoss		loss;

	rn_smoothed_cross_entropy(graph, &spec, &loss);
	return NULL;
}

static RnTensor *
wrong_look(RnTensor *x)
{
	return rn_attention_probabilities(graph, x) != NULL ? x : NULL;
}

static RnTensor *
wrong_way(RnTensor *x)
{
	static const int32_t first[ROWS] = {0};
	static const int32_t count[ROWS] = {1, 1, 1, 1, 1, 1};
	RnCachedAttention spec = {.q = {x, 0}, .k = values, .v = values, .ldk = 2, .ldv = 2, .first = first,
	.count = count, .max_count = 1, .heads = 1, .head_size = 2, .score_divisor = 1.0};

	return rn_cached_attention(graph, &spec, NULL);
}

static void
test_mistakes(void)
{
	static const Mistake mistakes[] = {
		wrong_linear, wrong_join, wrong_end, wrong_bias, wrong_add, wrong_dropout, wrong_packed, wrong_sum,
		wrong_terms, wrong_residual, wrong_omega, wrong_dual, wrong_gain, wrong_norm, wrong_sentences, wrong_columns,
		wrong_shared, wrong_scores, wrong_divisor, wrong_id, wrong_position, wrong_target, wrong_vocabulary,
		wrong_look, wrong_way
	};
	RnContext	ctx;
	size_t		i;

	for (i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++)
	{
		RnTensor   *y;
		char		first[sizeof(ctx.message)];

		begin(1, ROWS);
		y = mistakes[i] (rn_input(graph, ROWS, WIDTH, input, 0));
		snprintf(first, sizeof(first), "%s", graph->failure.message);
		/* what follows from a mistake is another's fault */
		y = rn_linear(graph, y, named("w1"), NULL, 1);
		rn_graph_keep(graph, y);
		run(&ctx);
		CHECK(y == NULL && (ctx.status == RN_INVALID || ctx.status == RN_LIMIT) && strcmp(ctx.message, first) == 0,
			  "refused: %s", ctx.message);
	}
	begin(1, ROWS);
	rn_add(graph, NULL, 1.0, NULL, 0.0);
	CHECK(run(&ctx) == RN_INVALID, "refused: %s", ctx.message);
}

/* ---- memory ---- */

/* A step as training has it: embedding, sublayers with a dual stream, loss. */
static void
note_step(int rows, RnLoss *loss)
{
	RnEmbedding embed = {.table = named("table"), .position_table = input, .n_positions = MOST, .ids = ids,
	.packed = &packed, .scale = 1.0, .pad_id = -1, .dropout = 0.1};
	RnCrossEntropy entropy = {.weight = named("table"), .targets = ids, .smoothing = 0.1, .gradient_scale = 1.0 / rows};
	RnTensor   *x = rn_embedding(graph, &embed);
	RnTensor   *dual = rn_add(graph, x, 1.0, NULL, 0.0);
	int			k;

	for (k = 0; k < 24; k++)
	{
		RnResidual	spec = {.shortcut = x, .dual = dual, .gain = named("gain"), .shift = named("shift"),
		.shortcut_scale = 1.0, .branch_scale = 1.0, .dual_scale = 1.0, .epsilon = 1e-5, .dropout = 0.1, .packed = &packed};
		RnAttention attention = {.queries = &packed, .keys = &packed, .heads = 2, .head_size = 4, .causal = 1,
		.dropout = 0.1, .score_divisor = 1.0};
		RnTensor   *qkv = rn_linear(graph, x, named("w1"), NULL, 3);

		attention.q.tensor = attention.k.tensor = attention.v.tensor = qkv;
		attention.k.first = WIDTH;
		attention.v.first = 2 * WIDTH;
		spec.branch = rn_linear(graph, rn_attention(graph, &attention, NULL), named("w2"), NULL, 1);
		x = rn_residual(graph, &spec, &dual);
	}
	entropy.x = rn_norm_add(graph, dual, named("gain"), named("shift"), 1e-7, x, 1.0);
	rn_smoothed_cross_entropy(graph, &entropy, loss);
}

static RnStatus
step(RnContext *ctx, int rows, int wants_gradients, RnLoss *loss)
{
	begin(wants_gradients, rows);
	note_step(rows, loss);
	return run(ctx);
}

static void
test_steady_state(void)
{
	RnContext	ctx;
	RnLoss		loss;
	long		host_before;
	long		device_before;
	double		first;
	int			i;

	step(&ctx, MOST, 1, &loss);
	first = loss.loss_sum;
	host_before = allocations;
	device_before = device_allocations;
	for (i = 0; i < 20; i++)
	{
		step(&ctx, i % 2 ? MOST : 1 + 3 * i, 1, &loss);
		step(&ctx, 2 + 3 * i, 0, &loss);
	}
	CHECK(ctx.status == RN_OK && device_allocations == device_before, "a steady step asks for no device memory");
	if (COUNTS_HOST)
		CHECK(allocations == host_before, "nor for host memory (%ld times)", allocations - host_before);
	else
		check_skip("host allocations are not counted in this build");
	step(&ctx, MOST, 1, &loss);
	CHECK(loss.loss_sum == first && loss.tokens == MOST, "and gives the same loss as at first");
	CHECK(rn_graph_memory(graph) == rn_graph_memory_peak(graph) && graph->capacity >= rn_graph_memory(graph),
		  "the largest pass took %zu bytes", rn_graph_memory_peak(graph));
}

static void
test_limits(void)
{
	RnContext	ctx;
	RnLoss		loss;
	RnGraph    *kept_graph = graph;
	size_t		needed;
	double		wanted;

	step(&ctx, MOST, 1, &loss);
	wanted = loss.loss_sum;
	needed = rn_graph_memory(graph);
	rn_context_reset(&ctx);
	rn_graph_create(&ctx, &counted, lane, &graph);

	rn_graph_limit(graph, needed - 1);
	CHECK(step(&ctx, MOST, 1, &loss) == RN_NO_MEMORY && ctx.detail[0] != '\0', "a limit: %s; %s", ctx.message, ctx.detail);
	CHECK(step(&ctx, MOST, 0, &loss) == RN_OK, "forward only fits");
	CHECK(step(&ctx, MOST / 4, 1, &loss) == RN_OK && graph->capacity < needed, "so does a smaller batch");
	refuse_device = 1;
	rn_graph_limit(graph, 0);
	CHECK(step(&ctx, MOST, 1, &loss) == RN_NO_MEMORY, "a device without memory: %s; %s", ctx.message, ctx.detail);
	refuse_device = 0;
	CHECK(step(&ctx, MOST, 1, &loss) == RN_OK && loss.loss_sum == wanted, "and it goes on when there is memory again");

	rn_graph_free(graph);
	graph = kept_graph;
}

/* The system refuses memory at the first, the second, ... call; a graph says so and nothing breaks. */
static void
test_no_host_memory(void)
{
	RnContext	ctx;
	RnLoss		loss;
	RnGraph    *kept_graph = graph;
	int			honest = 0;
	int			n;

	if (!COUNTS_HOST)
	{
		check_skip("host memory is not refused in this build");
		return;
	}
	for (n = 0; n < 100; n++)
	{
		RnStatus	status;

		rn_context_reset(&ctx);
		refuse_host = n;
		status = rn_graph_create(&ctx, &counted, lane, &graph);
		if (status == RN_OK)
			status = step(&ctx, MOST, 1, &loss);
		refuse_host = -1;
		if (graph != NULL && status != RN_OK && step(&ctx, MOST, 1, &loss) != RN_OK)
			break;
		rn_graph_free(graph);
		if (status == RN_OK)
			break;
		honest += status == RN_NO_MEMORY;
	}
	graph = kept_graph;
	CHECK(n > 1 && n < 100 && honest == n, "%d times the system refused memory, %d times the graph said so", n, honest);
}

/* Logits never exist whole. */
static void
test_chunks(void)
{
	enum
	{
		ALL_ROWS = 4096,
		CLASSES = 2000
	};
	RnParams	large;
	RnParam		p = {.name = "large", .rows = CLASSES, .cols = 2, .layer = -1, .init_zero_row = -1, .init = RN_INIT_NORMAL,
	.init_scale = 1.0};
	RnPass		pass = {.params = &large, .training = 1, .seed = SEED, .step = 1};
	RnCrossEntropy spec = {.gradient_scale = 1.0};
	int32_t    *targets = calloc(ALL_ROWS, sizeof(*targets));
	rn_real    *x = calloc(ALL_ROWS * 2, sizeof(*x));
	rn_real    *all = calloc(4 * CLASSES, sizeof(*all));
	RnContext	ctx;
	RnLoss		loss;

	rn_params_init(&large);
	rn_context_reset(&ctx);
	rn_params_add(&ctx, &large, &p);
	rn_params_initialize(&large, SEED, all);
	pass.values = all;
	pass.gradients = all + 2 * CLASSES;
	rn_graph_begin(graph, &pass);
	spec.x = rn_input(graph, ALL_ROWS, 2, x, 1);
	spec.weight = &large.items[0];
	spec.targets = targets;
	rn_smoothed_cross_entropy(graph, &spec, &loss);
	CHECK(run(&ctx) == RN_OK && fabs(loss.loss_sum / ALL_ROWS - log(CLASSES)) < 1e-4,
		  "equal logits of %d rows lose log(%d) each", ALL_ROWS, CLASSES);
	CHECK(rn_graph_memory(graph) < (size_t) ALL_ROWS * CLASSES * sizeof(rn_real) / 4 &&
		  rn_graph_memory(graph) <= ((size_t) 8 << 20), "in %zu bytes", rn_graph_memory(graph));
	CHECK(spec.x->state->grad == graph->last->memories[2].buffer, "and the gradient is handed on as it is");
	rn_params_free(&large);
	free(targets);
	free(x);
	free(all);
}

static void
test_scratch(void)
{
	size_t		sizes[] = {1, 64, 100000, 0, 3};
	char	   *memory[5];
	int			apart = 1;
	int			i;
	size_t		j;

	begin(0, 0);
	for (i = 0; i < 5; i++)
	{
		memory[i] = rn_graph_scratch(graph, sizes[i]);
		apart &= memory[i] != NULL && (uintptr_t) memory[i] % 64 == 0;
		memset(memory[i], i + 1, sizes[i]);
	}
	for (i = 0; i < 5; i++)
		for (j = 0; j < sizes[i]; j++)
			apart &= memory[i][j] == i + 1;
	CHECK(apart, "scratch is aligned and apart, of any size");
}

int
main(void)
{
	open_net();
	test_params();
	test_keeping();
	test_accumulation();
	test_dropout();
	test_observing();
	test_stopping();
	test_mistakes();
	test_steady_state();
	test_limits();
	test_no_host_memory();
	test_chunks();
	test_scratch();
	close_net();
	return check_done();
}
