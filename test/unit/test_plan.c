/*
 * test_plan.c
 *		The planner: random graphs must compute the same, bit for bit, however
 *		their memory is planned.
 *
 * A random graph runs with a place of its own for every buffer and nothing
 * written over, then planned, then planned with not-a-numbers in all memory
 * that is not alive.  In double its gradients are also held to differences of
 * its values, as all three could be wrong together.
 *
 * test/unit/test_plan.c
 */
#include "graph/op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "graph/node.h"
#include "kernels/device.h"

#define WIDTH		6			/* of most tensors; wide ones have three times as many columns */
#define HEADS		2
#define VOCABULARY	9
#define WEIGHTS		3			/* parameters of each kind */
#define MOST		96			/* tensors of a kind in one graph */
#define N_GRAPHS	400
#define SEED		UINT64_C(20240229)

typedef struct Net
{
	const RnKernels *kernels;
	RnLane	   *lane;
	RnGraph    *graph;
	RnParams	params;
	int			square;			/* numbers of the first of each kind */
	int			wide;
	int			bias;
	int			wide_bias;
	int			vectors;
	int			gates;
	int			table;
	rn_real    *values;
	rn_real    *gradients;
	rn_real    *input;			/* also position table and seeds: any numbers do */
	RnPacked	packed;
	int32_t    *ids;

	int			number;			/* of the graph being noted */
	uint64_t	draws;
	int			smooth;			/* no ReLU: differences are to be taken */
	RnTensor   *tensors[MOST];	/* [rows, WIDTH] */
	int			n_tensors;
	RnTensor   *wides[MOST];	/* [rows, 3 WIDTH] */
	int			n_wides;
	RnTensor   *scores[MOST];
	int			n_scores;
	RnTensor   *kept[MOST];
	int			n_kept;
	RnTensor   *seeded[MOST];
	int			n_seeded;
	RnLoss		losses[8];
	int			n_losses;
} Net;

static Net	net;

static const int32_t offsets[] = {0, 3, 3, 8, 9};
static const int32_t positions[] = {0, 1, 2, 0, 1, 2, 3, 4, 0};
static const uint32_t row_ids[] = {4, 5, 6, 20, 21, 22, 23, 24, 40};
static int32_t ids[] = {1, 2, 3, 4, 5, 6, 7, 8, 2};

#define ROWS	9
#define INPUT_SIZE	(ROWS * WIDTH * 3 + 5)

static rn_real *
device_alloc(size_t elements)
{
	RnContext	ctx;
	void	   *memory;

	rn_context_reset(&ctx);
	if (net.kernels->allocate(&ctx, elements * sizeof(rn_real), &memory) != RN_OK)
		exit(1);
	return memory;
}

/* n parameters of a shape; the number of the first. */
static int
declare(const char *kind, int n, int rows, int cols, double scale)
{
	int			first = net.params.count;
	int			i;

	for (i = 0; i < n; i++)
	{
		RnParam		p = {.rows = rows, .cols = cols, .layer = -1, .init_zero_row = -1, .init = RN_INIT_NORMAL};
		RnContext	ctx;

		p.init_scale = scale;
		snprintf(p.name, sizeof(p.name), "%s.%d", kind, i);
		rn_context_reset(&ctx);
		rn_params_add(&ctx, &net.params, &p);
	}
	return first;
}

static void
open_net(void)
{
	RnContext	ctx;
	int			i;

	rn_context_reset(&ctx);
	rn_device_open(&ctx, "cpu", &net.kernels);
	net.kernels->lane_create(&ctx, &net.lane);
	rn_graph_create(&ctx, net.kernels, net.lane, &net.graph);
	rn_params_init(&net.params);
	net.square = declare("square", WEIGHTS, WIDTH, WIDTH, 0.4);
	net.bias = declare("bias", WEIGHTS, 1, WIDTH, 0.3);
	net.wide = declare("wide", WEIGHTS, 3 * WIDTH, WIDTH, 0.4);
	net.wide_bias = declare("wide_bias", WEIGHTS, 1, 3 * WIDTH, 0.3);
	net.vectors = declare("vector", WEIGHTS, 1, WIDTH, 0.8);
	net.gates = declare("gate", WEIGHTS, 1, 1, 0.8);
	net.table = declare("table", 1, VOCABULARY, WIDTH, 0.6);
	net.values = device_alloc(net.params.size);
	net.gradients = device_alloc(net.params.size);
	net.input = device_alloc(INPUT_SIZE);
	rn_params_initialize(&net.params, SEED, net.values);
	for (i = 0; i < INPUT_SIZE; i++)
		net.input[i] = (rn_real) rn_random_normal(SEED, RN_RANDOM_PERTURB, 1, 0, i);
	net.packed.n_sentences = 4;
	net.packed.rows = ROWS;
	net.packed.offsets = offsets;
	net.packed.positions = positions;
	net.packed.row_ids = row_ids;
	net.ids = ids;
}

static void
close_net(void)
{
	net.kernels->release(net.values, net.params.size * sizeof(rn_real));
	net.kernels->release(net.gradients, net.params.size * sizeof(rn_real));
	net.kernels->release(net.input, INPUT_SIZE * sizeof(rn_real));
	rn_graph_free(net.graph);
	net.kernels->lane_free(net.lane);
	rn_params_free(&net.params);
}

/* ---- a random graph ---- */

/* The next random number of this graph, below limit. */
static int
draw(int limit)
{
	return (int) (rn_random_bits(SEED, RN_RANDOM_SAMPLE, 0, net.number, net.draws++) % limit);
}

static const RnParam *
any(int first)
{
	return &net.params.items[first + draw(WEIGHTS)];
}

static const RnParam *
perhaps(int first)
{
	return draw(2) ? any(first) : NULL;
}

/* A recent tensor more often than an old one. */
static RnTensor *
any_tensor(void)
{
	int			near = net.n_tensors < 4 ? net.n_tensors : 4;

	return net.tensors[draw(2) ? net.n_tensors - 1 - draw(near) : draw(net.n_tensors)];
}

static double
any_factor(void)
{
	static const double factors[] = {1.0, 1.0, 0.5, -0.75};

	return factors[draw(4)];
}

/* A new tensor: others may read it, it may be kept, the objective may contain it. */
static void
add_tensor(RnTensor *tensor)
{
	RnTensor  **list = tensor->cols == WIDTH ? net.tensors : net.wides;
	int		   *n = tensor->cols == WIDTH ? &net.n_tensors : &net.n_wides;

	list[(*n)++] = tensor;
	switch (draw(8))
	{
		case 0:
			net.seeded[net.n_seeded++] = tensor;
			rn_graph_keep(net.graph, tensor);
			net.kept[net.n_kept++] = tensor;
			break;
		case 1:
			rn_graph_keep(net.graph, tensor);
			net.kept[net.n_kept++] = tensor;
			break;
		case 2:
			net.seeded[net.n_seeded++] = tensor;
			break;
	}
}

static void
random_residual(void)
{
	RnResidual	spec = {.shortcut_scale = any_factor(), .branch_scale = any_factor(), .dual_scale = any_factor(),
	.epsilon = 1e-3, .dropout = draw(2) ? 0.2 : 0.0, .packed = &net.packed};
	RnTensor   *dual = NULL;
	RnTensor   *output;

	spec.shortcut = any_tensor();
	spec.branch = any_tensor();
	spec.bias = perhaps(net.bias);
	spec.omega = draw(4) == 0 ? any(net.vectors) : NULL;
	spec.gate = draw(4) == 0 ? any(net.gates) : NULL;
	if (draw(2))
	{
		spec.gain = any(net.vectors);
		spec.shift = any(net.bias);
	}
	if (draw(2))
		spec.dual = any_tensor();
	output = rn_residual(net.graph, &spec, &dual);
	if (spec.dual != NULL)
		add_tensor(dual);
	add_tensor(output);
}

static RnColumns
any_columns(void)
{
	RnColumns	columns;

	columns.tensor = draw(3) ? net.wides[draw(net.n_wides)] : any_tensor();
	columns.first = draw(columns.tensor->cols - WIDTH + 1);
	return columns;
}

static int
apart(const RnColumns *a, const RnColumns *b)
{
	return a->tensor != b->tensor || a->first >= b->first + WIDTH || b->first >= a->first + WIDTH;
}

static void
random_attention(void)
{
	RnAttention spec = {.queries = &net.packed, .keys = &net.packed, .heads = HEADS, .head_size = WIDTH / HEADS,
	.causal = draw(2), .dropout = draw(2) ? 0.2 : 0.0, .keep_scores = draw(2), .score_divisor = draw(2) ? 1.0 : 2.0};
	RnTensor   *scores = NULL;

	if (net.n_wides == 0)
		return;
	do
	{
		spec.q = any_columns();
		spec.k = any_columns();
		spec.v = any_columns();
	} while (!apart(&spec.q, &spec.k) || !apart(&spec.q, &spec.v) || !apart(&spec.k, &spec.v));
	if (net.n_scores > 0 && draw(2))
		spec.scores_in = net.scores[draw(net.n_scores)];
	add_tensor(rn_attention(net.graph, &spec, &scores));
	if (scores != NULL)
		net.scores[net.n_scores++] = scores;
}

static void
random_loss(void)
{
	RnCrossEntropy spec = {.targets = ids, .smoothing = 0.1, .gradient_scale = 0.25};

	if (net.n_losses == 8)
		return;
	spec.x = any_tensor();
	spec.weight = &net.params.items[net.table];
	rn_smoothed_cross_entropy(net.graph, &spec, &net.losses[net.n_losses++]);
}

static void
random_embedding(void)
{
	RnEmbedding spec = {.n_positions = ROWS, .ids = ids, .packed = &net.packed, .scale = 1.5, .pad_id = -1,
	.dropout = 0.1};

	spec.table = &net.params.items[net.table];
	spec.position_table = net.input;
	add_tensor(rn_embedding(net.graph, &spec));
}

static void
random_sum(void)
{
	RnTensor   *x[3];
	int			n = 1 + draw(3);
	int			k;

	for (k = 0; k < n; k++)
		x[k] = any_tensor();
	add_tensor(rn_weighted_sum(net.graph, n, x, any(net.vectors), draw(3)));
}

static void
random_node(void)
{
	RnTensor   *other;

	switch (draw(13))
	{
		case 0:
		case 1:
			add_tensor(rn_linear(net.graph, any_tensor(), any(net.square), perhaps(net.bias), 1));
			break;
		case 2:
		case 3:
			add_tensor(rn_linear(net.graph, any_tensor(), any(net.wide), perhaps(net.wide_bias), 1));
			break;
		case 4:
			add_tensor(rn_activation(net.graph, any_tensor(), perhaps(net.bias),
									 draw(2) || net.smooth ? RN_GELU : RN_RELU, draw(2) ? 0.2 : 0.0, &net.packed));
			break;
		case 5:
			other = draw(3) ? any_tensor() : NULL;
			add_tensor(rn_add(net.graph, any_tensor(), any_factor(), other, other != NULL ? any_factor() : 0.0));
			break;
		case 6:
		case 7:
		case 8:
			random_residual();
			break;
		case 9:
			other = draw(2) ? any_tensor() : NULL;
			if (other != NULL)
				add_tensor(rn_norm_add(net.graph, any_tensor(), any(net.vectors), any(net.bias), 1e-3, other, any_factor()));
			else
				add_tensor(rn_layer_norm(net.graph, any_tensor(), perhaps(net.vectors), NULL, 1e-3));
			break;
		case 10:
			random_attention();
			break;
		case 11:
			random_sum();
			break;
		case 12:
			if (draw(2))
				random_loss();
			else
				random_embedding();
			break;
	}
}

static void
note_random(void)
{
	int			n;
	int			k;

	net.draws = 0;
	net.n_tensors = net.n_wides = net.n_scores = net.n_kept = net.n_seeded = net.n_losses = 0;
	net.kept[net.n_kept++] = net.tensors[net.n_tensors++] = rn_input(net.graph, ROWS, WIDTH, net.input, draw(2));
	n = 4 + draw(30);
	for (k = 0; k < n; k++)
		random_node();
	if (net.n_seeded == 0)
		net.seeded[net.n_seeded++] = net.tensors[net.n_tensors - 1];
	for (k = 0; k < net.n_seeded && net.graph->pass.gradients != NULL; k++)
		rn_graph_seed(net.graph, net.seeded[k], net.input + k % 5);
}

static int
run_random(int number, int no_reuse, int poison, int gradients)
{
	RnPass		pass = {.params = &net.params, .values = net.values, .gradients = gradients ? net.gradients : NULL,
	.training = 1, .seed = SEED, .step = 3};
	RnContext	ctx;
	size_t		i;

	net.number = number;
	net.graph->no_reuse = no_reuse;
	net.graph->poison = poison;
	for (i = 0; i < net.params.size; i++)
		net.gradients[i] = (rn_real) 0.125;
	rn_graph_begin(net.graph, &pass);
	note_random();
	rn_context_reset(&ctx);
	if (rn_graph_forward(&ctx, net.graph) != RN_OK ||
		(gradients && rn_graph_backward(&ctx, net.graph) != RN_OK))
		printf("# graph %d: %s\n", number, ctx.message);
	return ctx.status == RN_OK;
}

/* ---- the same, bit for bit ---- */

/* All that can be seen of a pass, one after another. */
typedef struct Sight
{
	char	   *bytes;
	size_t		size;
} Sight;

static void
look(Sight *sight, const void *from, size_t size)
{
	sight->bytes = realloc(sight->bytes, sight->size + size + 1);
	memcpy(sight->bytes + sight->size, from, size);
	sight->size += size;
}

static Sight
look_at_all(void)
{
	Sight		sight = {NULL, 0};
	int			k;

	for (k = 0; k < net.n_kept; k++)
	{
		size_t		size = (size_t) net.kept[k]->rows * net.kept[k]->cols * sizeof(rn_real);

		look(&sight, net.kept[k]->value, size);
		if (net.kept[k]->grad != NULL)
			look(&sight, net.kept[k]->grad, size);
	}
	look(&sight, net.gradients, net.params.size * sizeof(rn_real));
	for (k = 0; k < net.n_losses; k++)
		look(&sight, &net.losses[k].loss_sum, sizeof(double));
	return sight;
}

static int
same(const Sight *a, const Sight *b)
{
	return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

static int
finite_gradients(void)
{
	size_t		i;

	for (i = 0; i < net.params.size; i++)
		if (!isfinite((double) net.gradients[i]))
			return 0;
	return 1;
}

/* Two buffers that live at the same time must not share a byte, and all lie within the plan. */
static int
places_are_apart(void)
{
	const RnBuffer *a;
	const RnBuffer *b;

	for (a = net.graph->births; a != NULL; a = a->next)
	{
		if (a->offset + a->bytes > net.graph->planned || a->offset % 64 != 0 || a->dies < a->born ||
			(a->next != NULL && a->next->born < a->born))
			return 0;
		for (b = a->next; b != NULL; b = b->next)
			if (a->born <= b->dies && b->born <= a->dies &&
				a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes)
				return 0;
	}
	return 1;
}

/* What no plan can do without: the most bytes alive at one time. */
static size_t
alive_at_once(void)
{
	const RnBuffer *buffer;
	size_t		most = 0;
	int			time;

	for (time = 0; time <= net.graph->times; time++)
	{
		size_t		alive = 0;

		for (buffer = net.graph->births; buffer != NULL; buffer = buffer->next)
			if (buffer->born <= time && time <= buffer->dies)
				alive += buffer->bytes;
		most = alive > most ? alive : most;
	}
	return most;
}

static void
test_random_graphs(void)
{
	int			ran = 0;
	int			equal_planned = 0;
	int			equal_poisoned = 0;
	int			equal_forward = 0;
	int			apart_places = 0;
	int			finite = 0;
	double		planned = 0.0;
	double		apart_bytes = 0.0;
	double		least = 0.0;
	int			i;
	int			k;

	for (i = 0; i < N_GRAPHS; i++)
	{
		Sight		wanted;
		Sight		found;
		double		loss[8];

		ran += run_random(i, 1, 0, 1);
		apart_bytes += (double) rn_graph_memory(net.graph);
		wanted = look_at_all();
		finite += finite_gradients();
		for (k = 0; k < net.n_losses; k++)
			loss[k] = net.losses[k].loss_sum;

		ran += run_random(i, 0, 0, 1);
		planned += (double) rn_graph_memory(net.graph);
		least += (double) alive_at_once();
		apart_places += places_are_apart();
		found = look_at_all();
		equal_planned += same(&wanted, &found);
		free(found.bytes);

		ran += run_random(i, 0, 1, 1);
		found = look_at_all();
		equal_poisoned += same(&wanted, &found);
		free(found.bytes);
		free(wanted.bytes);

		ran += run_random(i, 0, 1, 0);
		apart_places += places_are_apart();
		for (k = 0; k < net.n_losses && net.losses[k].loss_sum == loss[k]; k++)
			;
		equal_forward += k == net.n_losses;
	}
	CHECK(ran == 4 * N_GRAPHS, "%d random graphs run", N_GRAPHS);
	CHECK(finite == N_GRAPHS, "their gradients are numbers (%d)", finite);
	CHECK(apart_places == 2 * N_GRAPHS, "no two living buffers share a byte (%d of %d)", apart_places, 2 * N_GRAPHS);
	CHECK(equal_planned == N_GRAPHS, "planned memory changes nothing (%d of %d)", equal_planned, N_GRAPHS);
	CHECK(equal_poisoned == N_GRAPHS, "nothing dead is read (%d of %d)", equal_poisoned, N_GRAPHS);
	CHECK(equal_forward == N_GRAPHS, "forward only gives the same losses (%d of %d)", equal_forward, N_GRAPHS);
	CHECK(planned <= 1.1 * least, "planned memory is %.3f times the least possible", planned / least);
	CHECK(planned < 0.75 * apart_bytes, "and %.2f of what places of their own take", planned / apart_bytes);
}

/* ---- differences ---- */

#ifdef RN_DOUBLE

#define N_DIFFERENCES	150
#define SAMPLES			12

static double
objective(int number)
{
	double		sum = 0.0;
	int			k;
	int			i;

	if (!run_random(number, 1, 0, 0))
		return NAN;
	for (k = 0; k < net.n_seeded; k++)
		for (i = 0; i < net.seeded[k]->rows * net.seeded[k]->cols; i++)
			sum += net.seeded[k]->value[i] * net.input[k % 5 + i];
	for (k = 0; k < net.n_losses; k++)
		sum += 0.25 * net.losses[k].loss_sum;
	return sum;
}

static double
difference(int number, rn_real *x)
{
	const double h = 1e-4;
	const double value = *x;
	double		near;
	double		far;

	*x = value + h;
	near = objective(number);
	*x = value - h;
	near -= objective(number);
	*x = value + 2 * h;
	far = objective(number);
	*x = value - 2 * h;
	far -= objective(number);
	*x = value;
	return (8 * near - far) / (12 * h);
}

static void
test_differences(void)
{
	double		worst = 0.0;
	int			worst_graph = -1;
	int			number;
	int			s;
	size_t		i;
	double	   *found = malloc(net.params.size * sizeof(*found));

	net.smooth = 1;
	for (number = 0; number < N_DIFFERENCES; number++)
	{
		double		largest = 1e-3;

		run_random(number, 0, 0, 1);
		for (i = 0; i < net.params.size; i++)
		{
			found[i] = net.gradients[i] - 0.125;
			largest = fabs(found[i]) > largest ? fabs(found[i]) : largest;
		}
		for (s = 0; s < SAMPLES; s++)
		{
			size_t		at = rn_random_bits(SEED, RN_RANDOM_SHUFFLE, 0, number, s) % net.params.size;
			double		error = fabs(difference(number, &net.values[at]) - found[at]) / largest;

			if (!(error <= worst))
			{
				worst = error;
				worst_graph = number;
			}
		}
	}
	net.smooth = 0;
	free(found);
	CHECK(worst < 1e-7, "gradients of %d random graphs differ from differences by %.1e (graph %d)", N_DIFFERENCES,
		  worst, worst_graph);
}

#endif

/* ---- what a stack of layers costs ---- */

#define TALL	64				/* rows of the stacks */

static const int32_t tall_offsets[] = {0, TALL};
static int32_t tall_positions[TALL];
static uint32_t tall_row_ids[TALL];

/* Feed-forward sublayers, each in the order dual stream, norm; gives the last x. */
static RnTensor *
note_stack(RnPacked *packed, int layers, int dual_stream, RnTensor **duals)
{
	RnTensor   *x = rn_linear(net.graph, rn_input(net.graph, TALL, WIDTH, net.input, 0),
							  &net.params.items[net.square], NULL, 1);
	RnTensor   *dual = dual_stream ? rn_add(net.graph, x, 1.0, NULL, 0.0) : NULL;
	int			k;

	for (k = 0; k < layers; k++)
	{
		RnResidual	spec = {.shortcut = x, .dual = dual, .shortcut_scale = 1.0, .branch_scale = 1.0,
		.dual_scale = 1.0, .epsilon = 1e-5, .dropout = 0.1, .packed = packed};
		RnTensor   *h = rn_linear(net.graph, x, &net.params.items[net.square + k % WEIGHTS], NULL, 1);

		spec.branch = h;
		spec.gain = &net.params.items[net.vectors];
		spec.shift = &net.params.items[net.bias];
		if (dual_stream)
			duals[k] = dual;
		x = rn_residual(net.graph, &spec, &dual);
	}
	if (!dual_stream)
		return x;
	duals[layers] = dual;
	return rn_norm_add(net.graph, dual, &net.params.items[net.vectors + 1], &net.params.items[net.bias + 1], 1e-7, x, 1.0);
}

static size_t
stack_memory(int layers, int dual_stream, int gradients, RnTensor **duals)
{
	RnPass		pass = {.params = &net.params, .values = net.values, .gradients = gradients ? net.gradients : NULL,
	.training = 1, .seed = SEED, .step = 3};
	RnPacked	packed = {1, TALL, tall_offsets, tall_positions, tall_row_ids};
	RnContext	ctx;
	RnTensor   *end;

	rn_graph_begin(net.graph, &pass);
	end = note_stack(&packed, layers, dual_stream, duals);
	if (gradients)
		rn_graph_seed(net.graph, end, net.input);
	rn_context_reset(&ctx);
	if (rn_graph_forward(&ctx, net.graph) != RN_OK || (gradients && rn_graph_backward(&ctx, net.graph) != RN_OK))
		printf("# %s\n", ctx.message);
	return rn_graph_memory(net.graph);
}

static void
test_stacks(void)
{
	const size_t stream = (size_t) TALL * WIDTH * sizeof(rn_real);
	RnTensor   *duals[64];
	rn_real    *outside = net.input;
	size_t		post;
	size_t		dual;
	int			k;

	net.graph->no_reuse = net.graph->poison = 0;
	net.input = device_alloc(TALL * WIDTH);
	memcpy(net.input, outside, INPUT_SIZE * sizeof(rn_real));
	CHECK(stack_memory(40, 1, 0, duals) == stack_memory(4, 1, 0, duals), "forward only, memory does not grow with depth");
	CHECK(stack_memory(40, 0, 0, duals) <= 3 * stream + 64, "forward only, a stack takes %.1f streams",
		  (double) rn_graph_memory(net.graph) / (double) stream);

	post = stack_memory(40, 0, 1, duals);
	CHECK(post <= 40 * (2 * stream + TALL * sizeof(rn_real)) + 4 * stream, "backwards, a sublayer takes what it saves (%.2f streams)",
		  (double) post / 40.0 / (double) stream);
	dual = stack_memory(40, 1, 1, duals);
	CHECK(dual <= post + 4 * stream, "a dual stream costs %.2f streams whatever the depth",
		  ((double) dual - (double) post) / (double) stream);
	for (k = 1; k <= 40 && duals[k]->value == duals[0]->value && duals[k]->state->grad == duals[0]->state->grad; k++)
		;
	CHECK(k == 40 + 1, "D is changed in place and has one gradient buffer");
	net.kernels->release(net.input, TALL * WIDTH * sizeof(rn_real));
	net.input = outside;
}

int
main(void)
{
	open_net();
	test_random_graphs();
#ifdef RN_DOUBLE
	test_differences();
#endif
	test_stacks();
	close_net();
	return check_done();
}
