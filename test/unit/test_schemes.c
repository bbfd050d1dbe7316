/*
 * test_schemes.c
 *		Every residual scheme: gradients against differences, decoding step by
 *		step against the whole, and whether a small model learns.
 *
 * test/unit/test_schemes.c
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kernels/device.h"
#include "model/scheme_list.h"
#include "model/transformer.h"
#include "train/optimizer.h"

#define VOCABULARY	13
#define SENTENCES	3
#define LONGEST		8

static const RnSpecialIds special = {0, 1, 2};

/* A model on the CPU with weights, and a batch. */
typedef struct World
{
	RnContext	ctx;
	const RnKernels *kernels;
	RnLane	   *lane;
	RnConfig	config;
	RnModel    *model;
	size_t		size;
	rn_real    *values;
	rn_real    *gradients;
	RnModelBatch batch;
	int32_t		integers[12][64 * LONGEST];
} World;

/* ---- making ---- */

static uint32_t
draw(uint32_t stream, uint32_t index, uint32_t n)
{
	return (uint32_t) (rn_random_bits(7, RN_RANDOM_SAMPLE, 0, stream, index) >> 33) % n;
}

static void
small_config(RnConfig *config, const char *scheme, const char *architecture)
{
	rn_config_defaults(config);
	snprintf(config->architecture, sizeof(config->architecture), "%s", architecture);
	snprintf(config->encoder_scheme, sizeof(config->encoder_scheme), "%s", scheme);
	snprintf(config->decoder_scheme, sizeof(config->decoder_scheme), "%s", scheme);
	config->encoder_layers = 2;
	config->decoder_layers = 3;
	config->d_model = 8;
	config->d_ffn = 12;
	config->heads = 2;
	config->vocab_size = VOCABULARY;
	config->activation = RN_GELU;
	config->share_embeddings = 1;
	config->dropout = 0;
	config->weight_decay = 0;
}

static void
make_packed(RnPacked *packed, int sentences, const int *lengths, int32_t *offsets, int32_t *positions, int32_t *row_ids)
{
	int			rows = 0;
	int			s,
				t;

	for (s = 0; s < sentences; s++)
	{
		offsets[s] = rows;
		for (t = 0; t < lengths[s]; t++)
		{
			positions[rows] = t;
			row_ids[rows] = rows;
			rows++;
		}
	}
	offsets[sentences] = rows;
	packed->n_sentences = sentences;
	packed->rows = rows;
	packed->offsets = offsets;
	packed->positions = positions;
	packed->row_ids = (const uint32_t *) row_ids;
}

/* Random sentences; copies: the target is the source. */
static void
make_batch(World *world, int sentences, int copies, uint32_t stream)
{
	RnModelBatch *batch = &world->batch;
	int			source_lengths[64],
				target_lengths[64];
	int			s,
				t;

	for (s = 0; s < sentences; s++)
	{
		source_lengths[s] = 2 + (int) draw(stream, 2 * s, LONGEST - 3);
		target_lengths[s] = copies ? source_lengths[s] : 1 + (int) draw(stream, 2 * s + 1, LONGEST - 2);
	}
	make_packed(&batch->source, sentences, source_lengths, world->integers[0], world->integers[1], world->integers[2]);
	make_packed(&batch->target, sentences, target_lengths, world->integers[3], world->integers[4], world->integers[5]);
	for (s = 0; s < sentences; s++)
	{
		int32_t    *source = world->integers[6] + batch->source.offsets[s];
		int32_t    *in = world->integers[7] + batch->target.offsets[s];
		int32_t    *out = world->integers[8] + batch->target.offsets[s];

		for (t = 0; t < source_lengths[s]; t++)
			source[t] = t + 1 == source_lengths[s] ? special.end : 3 + (int) draw(stream + 1, s * LONGEST + t, VOCABULARY - 3);
		in[0] = special.start;
		for (t = 0; t < target_lengths[s]; t++)
		{
			out[t] = t + 1 == target_lengths[s] ? special.end :
				copies ? source[t] : 3 + (int) draw(stream + 2, s * LONGEST + t, VOCABULARY - 3);
			if (t + 1 < target_lengths[s])
				in[t + 1] = out[t];
		}
	}
	batch->source_ids = world->integers[6];
	batch->target_in = world->integers[7];
	batch->target_out = world->integers[8];
}

static void
close_world(World *world)
{
	size_t		bytes = world->size * sizeof(rn_real);

	if (world->values != NULL)
		world->kernels->release(world->values, bytes);
	if (world->gradients != NULL)
		world->kernels->release(world->gradients, bytes);
	if (world->lane != NULL)
		world->kernels->lane_free(world->lane);
	rn_model_free(world->model);
}

/* disturb: add noise to the initial weights, so that nothing is 0 or 1 by rule. */
static int
open_world(World *world, const RnConfig *config, double disturb)
{
	size_t		k;

	memset(world, 0, sizeof(*world));
	rn_context_reset(&world->ctx);
	world->config = *config;
	world->kernels = rn_cpu_kernels();
	if (rn_model_create(&world->ctx, config, &special, 32, &world->model) != RN_OK)
		return -1;
	world->size = rn_model_params(world->model)->size;
	if (world->kernels->lane_create(&world->ctx, &world->lane) != RN_OK ||
		world->kernels->allocate(&world->ctx, world->size * sizeof(rn_real), (void **) &world->values) != RN_OK ||
		world->kernels->allocate(&world->ctx, world->size * sizeof(rn_real), (void **) &world->gradients) != RN_OK)
		return -1;
	rn_model_initialize(world->model, 3, world->values);
	for (k = 0; k < world->size; k++)
		world->values[k] += (rn_real) (disturb * rn_random_normal(5, RN_RANDOM_PERTURB, 0, 0, k));
	make_batch(world, SENTENCES, 0, 100);
	return 0;
}

/* Mean loss of the batch; gradients are added to when wanted. */
static double
batch_loss(World *world, RnGraph *graph, int wants_gradients, uint32_t step)
{
	RnPass		pass;
	RnLoss		loss;

	memset(&pass, 0, sizeof(pass));
	pass.params = rn_model_params(world->model);
	pass.values = world->values;
	pass.gradients = wants_gradients ? world->gradients : NULL;
	pass.training = 1;
	pass.seed = 11;
	pass.step = step;
	rn_graph_begin(graph, &pass);
	rn_model_loss(world->model, graph, &world->batch, 1.0 / world->batch.target.rows, NULL, &loss, NULL);
	if (rn_graph_forward(&world->ctx, graph) != RN_OK)
		return NAN;
	if (wants_gradients && rn_graph_backward(&world->ctx, graph) != RN_OK)
		return NAN;
	return loss.loss_sum / loss.tokens;
}

/* ---- gradients ---- */

/* Loss a step h along some direction: one element, or (element < 0) noise over all. */
static double
loss_along(World *world, RnGraph *graph, const rn_real *at, int64_t element, double h)
{
	double		loss;
	size_t		k;

	memcpy(world->values, at, world->size * sizeof(rn_real));
	if (element >= 0)
		world->values[element] += (rn_real) h;
	for (k = 0; element < 0 && k < world->size; k++)
		world->values[k] += (rn_real) (h * rn_random_normal(9, RN_RANDOM_PERTURB, 0, 0, k));
	loss = batch_loss(world, graph, 0, 1);
	memcpy(world->values, at, world->size * sizeof(rn_real));
	return loss;
}

/* Richardson's second-order extrapolation of central differences. */
static double
difference(World *world, RnGraph *graph, const rn_real *at, int64_t element, double h)
{
	double		wide = (loss_along(world, graph, at, element, h) - loss_along(world, graph, at, element, -h)) / (2 * h);
	double		narrow = (loss_along(world, graph, at, element, h / 2) - loss_along(world, graph, at, element, -h / 2)) / h;

	return (4 * narrow - wide) / 3;
}

/*
 * How far a gradient is from the differences.  A step that is right for most
 * is too wide where the loss bends sharply, as along DLCL's weights below a
 * norm; there the error falls with the fourth power of the step, while that
 * of a wrong gradient stays.
 */
static double
gradient_error(World *world, RnGraph *graph, const rn_real *at, int64_t element)
{
	double		error = INFINITY;
	double		h;

	for (h = 5e-4; error >= 1e-9 && h > 5e-5; h /= 4)
		error = fabs(difference(world, graph, at, element, h) - world->gradients[element]);
	return error;
}

/* Two elements of every tensor, and one direction through all. */
static void
check_gradients(World *world, const char *what)
{
	const RnParams *params = rn_model_params(world->model);
	rn_real    *at = malloc(world->size * sizeof(rn_real));
	const char *worst_name = "";
	double		worst = 0;
	double		along = 0;
	double		error;
	RnGraph    *graph;
	int			p,
				i;
	size_t		k;

	if (at == NULL || rn_graph_create(&world->ctx, world->kernels, world->lane, &graph) != RN_OK)
		return;
	memcpy(at, world->values, world->size * sizeof(rn_real));
	batch_loss(world, graph, 1, 1);
	for (p = 0; p < params->count; p++)
	{
		const RnParam *param = &params->items[p];

		for (i = 0; i < 2; i++)
		{
			int64_t		element = (int64_t) param->offset + draw(p, i, (uint32_t) rn_param_size(param));

			error = gradient_error(world, graph, at, element);
			if (!(error <= worst))
			{
				worst = error;
				worst_name = param->name;
			}
		}
	}
	for (k = 0; k < world->size; k++)
		along += world->gradients[k] * rn_random_normal(9, RN_RANDOM_PERTURB, 0, 0, k);
	error = fabs(difference(world, graph, at, -1, 1e-4) - along) / (1 + fabs(along));
	CHECK(worst < 1e-9 && error < 1e-8, "%s: gradients agree with differences (worst %.1e in %s, all together %.1e)",
		  what, worst, worst_name, error);
	rn_graph_free(graph);
	free(at);
}

static void
test_gradients(const char *scheme, const char *architecture)
{
	RnConfig	config;
	World		world;
	char		what[128];

	if (sizeof(rn_real) < sizeof(double))
	{
		check_skip("%s: gradients against differences need the double build", scheme);
		return;
	}
	small_config(&config, scheme, architecture);
	config.dropout = 0.2;
	config.attention_dropout = 0.1;
	config.activation_dropout = 0.1;
	config.score_residual = (int) draw(1, (uint32_t) strlen(scheme), 3);
	snprintf(what, sizeof(what), "%s (%s), scores %d, dropout on", scheme, architecture, config.score_residual);
	if (CHECK(open_world(&world, &config, 0.2) == 0, "%s: a model (%s)", scheme, world.ctx.message))
		check_gradients(&world, what);
	close_world(&world);
}

/* ---- step by step ---- */

#define STEPS	6
#define ROWS	7

/* What a hypothesis has read. */
typedef struct Prefix
{
	int			sentence;
	int32_t		ids[STEPS];
} Prefix;

/* Logits of the last position of every prefix, from whole sequences. */
static int
whole_logits(World *world, RnGraph *graph, const Prefix *prefixes, int rows, int length, rn_real *logits)
{
	const RnPacked *source = &world->batch.source;
	RnPacked	sources,
				targets;
	int			source_lengths[ROWS],
				target_lengths[ROWS];
	int32_t    *source_ids = world->integers[9];
	int32_t    *target_ids = world->integers[10];
	int32_t		offsets[2][ROWS + 1];
	int32_t		positions[2][ROWS * 32];
	int32_t		row_ids[2][ROWS * 32];
	RnModelBatch batch;
	RnTensor   *all;
	RnPass		pass;
	int			r,
				n = 0;

	for (r = 0; r < rows; r++)
	{
		int			s = prefixes[r].sentence;

		source_lengths[r] = source->offsets[s + 1] - source->offsets[s];
		target_lengths[r] = length;
		memcpy(source_ids + n, world->batch.source_ids + source->offsets[s], source_lengths[r] * sizeof(int32_t));
		memcpy(target_ids + r * length, prefixes[r].ids, length * sizeof(int32_t));
		n += source_lengths[r];
	}
	make_packed(&sources, rows, source_lengths, offsets[0], positions[0], row_ids[0]);
	make_packed(&targets, rows, target_lengths, offsets[1], positions[1], row_ids[1]);
	memset(&pass, 0, sizeof(pass));
	pass.params = rn_model_params(world->model);
	pass.values = world->values;
	rn_graph_begin(graph, &pass);
	batch.source = sources;
	batch.source_ids = source_ids;
	batch.target = targets;
	batch.target_in = target_ids;
	all = rn_model_logits(world->model, graph, rn_model_output(world->model, graph, &batch, NULL));
	if (all != NULL)
		rn_graph_keep(graph, all);
	if (rn_graph_forward(&world->ctx, graph) != RN_OK)
		return -1;
	for (r = 0; r < rows; r++)
		memcpy(logits + r * VOCABULARY, all->value + (size_t) (r * length + length - 1) * VOCABULARY,
			   VOCABULARY * sizeof(rn_real));
	return 0;
}

/*
 * Hypotheses that branch, die and change places: every step each row takes
 * some parent of the step before.  Gives the largest difference of logits.
 */
static double
step_difference(World *world, RnDecoder *decoder, RnGraph *graph)
{
	static const int rows_of_step[STEPS] = {3, 5, 7, 4, 6, 2};
	Prefix		prefixes[2][ROWS];
	rn_real		expected[ROWS * VOCABULARY];
	double		worst = 0;
	int			t,
				r,
				k;

	if (rn_decoder_begin(&world->ctx, decoder, world->values, &world->batch.source, world->batch.source_ids, ROWS,
						 STEPS) != RN_OK)
		return NAN;
	for (t = 0; t < STEPS; t++)
	{
		int			rows = rows_of_step[t];
		Prefix	   *now = prefixes[t % 2];
		const Prefix *before = prefixes[(t + 1) % 2];
		int32_t		sentence[ROWS],
					parent[ROWS],
					ids[ROWS];
		const rn_real *logits;

		for (r = 0; r < rows; r++)
		{
			parent[r] = t == 0 ? 0 : (int32_t) draw(200 + t, r, rows_of_step[t - 1]);
			ids[r] = t == 0 ? special.start : 3 + (int32_t) draw(300 + t, r, VOCABULARY - 3);
			if (t == 0)
				now[r].sentence = r % SENTENCES;
			else
				now[r] = before[parent[r]];
			now[r].ids[t] = ids[r];
			sentence[r] = now[r].sentence;
		}
		if (rn_decoder_step(&world->ctx, decoder, rows, sentence, parent, ids, &logits) != RN_OK ||
			whole_logits(world, graph, now, rows, t + 1, expected) != 0)
			return NAN;
		for (k = 0; k < rows * VOCABULARY; k++)
			worst = fmax(worst, fabs((double) logits[k] - expected[k]));
	}
	return worst;
}

static void
test_steps(const char *scheme, const char *architecture)
{
	double		limit = sizeof(rn_real) < sizeof(double) ? 1e-4 : 1e-12;
	int			scores;

	for (scores = 0; scores < 3; scores++)
	{
		double		difference = NAN;
		double		again = NAN;
		RnDecoder  *decoder = NULL;
		RnGraph    *graph = NULL;
		RnConfig	config;
		World		world;

		small_config(&config, scheme, architecture);
		config.score_residual = scores;
		config.positions = scores;	/* the three tables on the way */
		if (open_world(&world, &config, 0.2) == 0 &&
			rn_decoder_create(&world.ctx, world.model, world.kernels, world.lane, &decoder) == RN_OK &&
			rn_graph_create(&world.ctx, world.kernels, world.lane, &graph) == RN_OK)
		{
			difference = step_difference(&world, decoder, graph);
			again = step_difference(&world, decoder, graph);
		}
		CHECK(difference <= limit && again == difference, "%s (%s), scores %d: step by step as the whole (%.1e) %s",
			  scheme, architecture, scores, difference, world.ctx.message);
		rn_graph_free(graph);
		rn_decoder_free(decoder);
		close_world(&world);
	}
}

/* ---- learning ---- */

/*
 * Updates on fresh sentences that are to be copied, until ten in a row lose
 * less than enough on average; gives that of the last ten.
 */
static double
learn(World *world, RnGraph *graph, RnOptimizer *optimizer, double enough, int *updates)
{
	double		sum = 0;
	int			k;

	for (k = 1; k <= *updates; k++)
	{
		RnStepTerms terms = {.gradient_scale = 1, .target_tokens = 1, .clip_norm = 1, .first = 1};
		double		loss;

		make_batch(world, 48, 1, 1000 + 3 * k);
		loss = batch_loss(world, graph, 1, k);
		sum = (k % 10 == 1 ? 0 : sum) + loss;
		if (k == 1)
			rn_optimizer_begin(optimizer, world->lane, 0, 0, 0);
		if (k % 10 == 0 && sum / 10 < enough)
		{
			*updates = k;
			break;
		}
		rn_optimizer_reduce(optimizer, world->lane, 0, &world->gradients, 0);
		terms.learning_rate = world->config.learning_rate * fmin(1, k / 40.0);
		rn_optimizer_decide(optimizer, world->lane, &terms);
		rn_optimizer_update(optimizer, world->lane, 0, world->values, world->gradients, NULL);
	}
	return sum / 10;
}

static void
test_learning(const char *scheme, const char *architecture)
{
	double		guess = log(VOCABULARY - 3);	/* what a model loses that knows no more than the alphabet */
	double		loss = NAN;
	/* to find the place to copy from in its own sequence takes a stack longer */
	int			updates = strcmp(architecture, "decoder") == 0 ? 2500 : 250;
	RnGraph    *graph = NULL;
	RnOptimizer optimizer;
	RnConfig	config;
	World		world;

	small_config(&config, scheme, architecture);
	config.decoder_layers = 2;
	config.d_model = 32;
	config.d_ffn = 64;
	config.activation = RN_RELU;
	config.share_embeddings = 2;
	config.label_smoothing = 0;
	config.learning_rate = 0.005;
	memset(&optimizer, 0, sizeof(optimizer));
	if (open_world(&world, &config, 0) == 0 &&
		rn_optimizer_init(&world.ctx, &optimizer, rn_model_params(world.model), &config, world.kernels, 1) == RN_OK &&
		rn_graph_create(&world.ctx, world.kernels, world.lane, &graph) == RN_OK)
		loss = learn(&world, graph, &optimizer, guess / 10, &updates);
	CHECK(loss < guess / 10, "%s (%s): a small model learns to copy (loss %.4f after %d updates, guessing %.2f) %s", scheme,
		  architecture, loss, updates, guess, world.ctx.message);
	rn_graph_free(graph);
	rn_optimizer_free(&optimizer);
	close_world(&world);
}

/* ---- variants ---- */

/* Schemes whose norm can be chosen, stacks of different schemes, one layer only. */
static void
test_variants(void)
{
	static const struct
	{
		const char *encoder;
		const char *decoder;
		int			norm;
		int			layers;
	}			variants[] = {
		{"fixed", "fixed", RN_NORM_POST, 2},
		{"fixed", "fixed", RN_NORM_PRE, 2},
		{"rezero", "rezero", RN_NORM_POST, 2},
		{"dlcl", "dlcl", RN_NORM_POST, 3},
		{"residual", "pre", RN_NORM_AUTO, 1},
		{"dlcl", "residual", RN_NORM_AUTO, 1},
		{"altsub_pre_post", "b2t", RN_NORM_AUTO, 1}
	};
	int			v;

	for (v = 0; v < (int) (sizeof(variants) / sizeof(variants[0])); v++)
	{
		RnConfig	config;
		World		world;
		char		what[128];

		if (sizeof(rn_real) < sizeof(double))
		{
			check_skip("variants against differences need the double build");
			return;
		}
		small_config(&config, variants[v].encoder, "encoder_decoder");
		snprintf(config.decoder_scheme, sizeof(config.decoder_scheme), "%s", variants[v].decoder);
		config.norm = variants[v].norm;
		config.encoder_layers = config.decoder_layers = variants[v].layers;
		config.share_embeddings = v % 3;
		config.ffn_init = v % 2;
		config.label_smoothing_variant = v % 2;
		snprintf(what, sizeof(what), "%s and %s, norm %d, %d layers", variants[v].encoder, variants[v].decoder,
				 variants[v].norm, variants[v].layers);
		if (CHECK(open_world(&world, &config, 0.2) == 0, "%s: a model (%s)", what, world.ctx.message))
			check_gradients(&world, what);
		close_world(&world);
	}
}

int
main(void)
{
	static const char *const architectures[] = {"encoder_decoder", "decoder"};
	const RnSchemeInfo *infos;
	int			n,
				i,
				a;

	infos = rn_scheme_infos(&n);
	for (i = 0; i < n; i++)
	{
		for (a = 0; a < 2; a++)
		{
			test_gradients(infos[i].name, architectures[a]);
			test_steps(infos[i].name, architectures[a]);
			test_learning(infos[i].name, architectures[a]);
		}
	}
	test_variants();
	return check_done();
}
