/*
 * cost.c
 *		What a model costs in training, beside the same model as Post-LN.
 *
 * Counted where counting is exact, measured where it is not.  A machine's
 * speed wanders, so the two take their steps in turn and medians are told;
 * memory is measured while only one of them is there.
 *
 * src/diagnose/cost.c
 */
#include "diagnose/cost.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "diagnose/median.h"
#include "model/model.h"
#include "train/trainer.h"

#define SHORTEST		8		/* pieces of a sentence */
#define LONGEST			40
#define FIRST_ID		4		/* behind those that mean something */
#define SORT_MEMORY		((size_t) 4 * 1024 * 1024)

static const RnSpecialIds special = {0, 1, 2};

/* ---- counting ---- */

/* Rows that go through a matrix. */
static double
rows_through(const RnModel *model, const RnParam *param, const RnModelBatch *batch)
{
	const RnParam *items = model->params.items;
	const RnLayer *layer;

	if (param->stack == RN_STACK_ENCODER)
		return batch->source.rows;
	if (param->stack == RN_STACK_DECODER && param->sublayer == RN_SUBLAYER_CROSS_ATTENTION)
	{
		/* keys and values are of the encoder's output */
		layer = &model->decoder.layers[param->layer];
		if (param == &items[layer->cross_attention.weights + 1] || param == &items[layer->cross_attention.weights + 2])
			return batch->source.rows;
	}
	if (param->stack == RN_STACK_DECODER && !rn_model_has_encoder(model))
		return batch->source.rows + batch->target.rows;
	return batch->target.rows;
}

/* Scores and mixing of one attention. */
static double
attention_flops(const RnPacked *queries, const RnPacked *keys, int width)
{
	double		sum = 0;
	int			s;

	for (s = 0; s < queries->n_sentences; s++)
		sum += 4.0 * width * (queries->offsets[s + 1] - queries->offsets[s]) * (keys->offsets[s + 1] - keys->offsets[s]);
	return sum;
}

/* Of one sequence for each sentence, source and target. */
static double
joined_attention_flops(const RnModelBatch *batch, int width)
{
	double		sum = 0;
	int			s;

	for (s = 0; s < batch->source.n_sentences; s++)
	{
		double		length = batch->source.offsets[s + 1] - batch->source.offsets[s] +
			batch->target.offsets[s + 1] - batch->target.offsets[s];

		sum += 4.0 * width * length * length;
	}
	return sum;
}

double
rn_cost_forward(const RnModel *model, const RnModelBatch *batch)
{
	const RnParams *params = &model->params;
	int			width = model->config.d_model;
	double		sum = 2.0 * rn_param_size(&params->items[model->output]) * batch->target.rows;
	int			p;

	for (p = 0; p < params->count; p++)
	{
		const RnParam *param = &params->items[p];
		double		rows;

		if (param->ndim != 2 || param->stack == RN_STACK_NONE)
			continue;
		rows = rows_through(model, param, batch);
		if (param->flags & RN_PARAM_SCHEME)
			sum += 2.0 * width * rows * param->rows * (param->rows + 1) / 2;	/* weighted sums of layers */
		else
			sum += 2.0 * rn_param_size(param) * rows;
	}
	if (!rn_model_has_encoder(model))
		return sum + model->decoder.scheme.layers * joined_attention_flops(batch, width);
	sum += model->encoder.scheme.layers * attention_flops(&batch->source, &batch->source, width);
	sum += model->decoder.scheme.layers * attention_flops(&batch->target, &batch->target, width);
	return sum + model->decoder.scheme.layers * attention_flops(&batch->target, &batch->source, width);
}

/* ---- a made-up corpus of one batch ---- */

typedef struct Material
{
	int			fd;
	RnSpill		spill;
	RnCorpus   *corpus;
	int			batch_tokens;
} Material;

/* What both are made with; all lent. */
typedef struct Workshop
{
	const RnKernels *kernels;
	RnThreads  *threads;
	Material   *material;
	size_t		memory_limit;	/* of each; 0: none */
	const volatile sig_atomic_t *stop;
} Workshop;

static int
random_between(uint64_t seed, uint32_t stream, uint64_t index, int least, int most)
{
	return least + (int) (rn_random_uniform(seed, RN_RANDOM_SAMPLE, 0, stream, index) * (most - least + 1));
}

static RnStatus
add_pairs(RnContext *ctx, const RnConfig *config, Material *material)
{
	int			longest = config->max_length - 1 < LONGEST ? config->max_length - 1 : LONGEST;
	int			shortest = longest < SHORTEST ? longest : SHORTEST;
	int			tokens = 0;
	uint64_t	number;

	for (number = 0; tokens < config->batch_tokens; number++)
	{
		int32_t		ids[2 * LONGEST];
		uint64_t	hash[2] = {number, 0};
		RnPair		pair = {ids, ids + LONGEST, 0, 0};
		int			k;

		pair.n_source = random_between((uint64_t) config->seed, 0, number, shortest, longest);
		pair.n_target = random_between((uint64_t) config->seed, 1, number, shortest, longest);
		if (tokens > 0 && tokens + pair.n_target + 1 > config->batch_tokens)
			break;
		for (k = 0; k < 2 * LONGEST; k++)
			ids[k] = random_between((uint64_t) config->seed, 2, number * 2 * LONGEST + (uint64_t) k, FIRST_ID,
									config->vocab_size - 1);
		RN_TRY(rn_corpus_add(ctx, material->corpus, hash, &pair));
		tokens += pair.n_target + 1;
	}
	return rn_corpus_finish(ctx, material->corpus);
}

static RnStatus
make_material(RnContext *ctx, const RnConfig *config, Material *material)
{
	memset(material, 0, sizeof(*material));
	material->fd = memfd_create("residual", MFD_CLOEXEC);
	if (material->fd < 0)
		return rn_out_of_memory(ctx, 0);
	rn_spill_init(&material->spill, material->fd, 0);
	material->batch_tokens = config->batch_tokens;
	RN_TRY(rn_corpus_create(ctx, &material->spill, SORT_MEMORY, &material->corpus));
	return add_pairs(ctx, config, material);
}

static void
free_material(Material *material)
{
	rn_corpus_free(material->corpus);
	if (material->fd >= 0)
		close(material->fd);
}

/* ---- one of the two ---- */

typedef struct Candidate
{
	RnConfig	config;
	RnModel    *model;
	RnTrainer  *trainer;
	RnBatchReader *reader;
	double	   *seconds;		/* [repeats] */
	double	   *processor;
} Candidate;

static void
free_candidate(Candidate *candidate)
{
	rn_batch_reader_free(candidate->reader);
	rn_trainer_free(candidate->trainer);
	rn_model_free(candidate->model);
	candidate->reader = NULL;
	candidate->trainer = NULL;
	candidate->model = NULL;
}

static RnStatus
make_candidate(RnContext *ctx, const Workshop *shop, Candidate *candidate)
{
	RnBatchOptions batches = {shop->material->batch_tokens, 0, 0};
	RnTrainerOptions options;
	RnTrainerLoad load;

	RN_TRY(rn_model_create(ctx, &candidate->config, &special, candidate->config.max_length, &candidate->model));
	memset(&options, 0, sizeof(options));
	options.model = candidate->model;
	options.config = &candidate->config;
	options.kernels = shop->kernels;
	options.threads = shop->threads;
	options.memory_limit = shop->memory_limit;
	options.stop = shop->stop;
	RN_TRY(rn_trainer_create(ctx, &options, &candidate->trainer));
	RN_TRY(rn_batch_reader_create(ctx, shop->material->corpus, &batches, &candidate->reader));
	memset(&load, 0, sizeof(load));
	load.training = shop->material->corpus;
	load.batch_tokens = shop->material->batch_tokens;
	RN_TRY(rn_trainer_reserve(ctx, candidate->trainer, &load));
	return rn_trainer_initialize(ctx, candidate->trainer);
}

static double
clock_of(clockid_t which)
{
	struct timespec now;

	clock_gettime(which, &now);
	return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
}

/* number: -1 for one that only warms up. */
static RnStatus
step(RnContext *ctx, Candidate *candidate, int number)
{
	double		seconds = clock_of(CLOCK_MONOTONIC);
	double		processor = clock_of(CLOCK_PROCESS_CPUTIME_ID);
	RnStepResult result;

	RN_TRY(rn_trainer_step(ctx, candidate->trainer, candidate->reader, &result, NULL));
	RN_TRY(rn_trainer_settle(ctx, candidate->trainer, &result));
	if (number >= 0)
	{
		candidate->seconds[number] = clock_of(CLOCK_MONOTONIC) - seconds;
		candidate->processor[number] = clock_of(CLOCK_PROCESS_CPUTIME_ID) - processor;
	}
	return RN_OK;
}

/* ---- memory ---- */

/* A line of /proc/self/status in bytes; NaN when it is not there. */
static double
process_memory(const char *name)
{
	FILE	   *file = fopen("/proc/self/status", "r");
	char		line[256];
	double		bytes = NAN;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
	{
		if (strncmp(line, name, strlen(name)) == 0)
			bytes = 1024 * strtod(line + strlen(name), NULL);
	}
	if (file != NULL)
		fclose(file);
	return bytes;
}

/* From here on the peak counts anew; false where the system does not offer that. */
static int
forget_peak(void)
{
	int			fd;
	int			done;

#ifdef __GLIBC__
	malloc_trim(0);
#endif
	fd = open("/proc/self/clear_refs", O_WRONLY);
	if (fd < 0)
		return 0;
	done = write(fd, "5", 1) == 1;
	close(fd);
	return done;
}

/* Memory with only this candidate there, and what can be counted. */
static RnStatus
measure_memory(RnContext *ctx, const Workshop *shop, Candidate *candidate, RnCost *cost)
{
	int			forgotten = forget_peak();
	double		before = process_memory("VmRSS:");
	double		size;
	int			n_threads = rn_threads_count(shop->threads);

	RN_TRY(make_candidate(ctx, shop, candidate));
	RN_TRY(step(ctx, candidate, -1));
	cost->peak_bytes = forgotten ? process_memory("VmHWM:") - before : NAN;
	size = (double) rn_model_params(candidate->model)->size * sizeof(rn_real);
	cost->weight_bytes = cost->gradient_bytes = size;
	cost->optimizer_bytes = 2 * size;
	cost->activation_bytes = ((double) rn_trainer_memory(candidate->trainer) - size * (3 + n_threads)) / n_threads;
	return RN_OK;
}

static RnStatus
count(RnContext *ctx, const Candidate *candidate, RnCost *cost)
{
	const RnParams *params = rn_model_params(candidate->model);
	RnPacker   *packer;
	RnModelBatch packed;
	RnBatch		batch;
	int			epoch_end;
	int			p;

	cost->parameters = 0;
	for (p = 0; p < params->count; p++)
		cost->parameters += (double) rn_param_size(&params->items[p]);
	RN_TRY(rn_batch_read(ctx, candidate->reader, &batch, &epoch_end));
	RN_TRY(rn_packer_create(ctx, &packer));
	if (rn_packer_pack(ctx, packer, &batch, &special, 0, 1, &packed) == RN_OK)
		cost->flops = 3 * rn_cost_forward(candidate->model, &packed) / (double) batch.target_tokens;
	rn_packer_free(packer);
	return ctx->status;
}

/* ---- both ---- */

/* Options that a scheme has of its own are Post-LN's to ignore. */
static void
make_plain(RnConfig *config)
{
	snprintf(config->encoder_scheme, sizeof(config->encoder_scheme), "post");
	snprintf(config->decoder_scheme, sizeof(config->decoder_scheme), "post");
	config->norm = RN_NORM_AUTO;
	config->score_residual = 0;
}

static RnStatus
run(RnContext *ctx, const Workshop *shop, int repeats, Candidate candidates[2], RnCost *costs)
{
	int			i,
				k;

	for (i = -1; i < 2; i++)
	{
		int			which = i < 0 ? 1 : i;	/* the first time for nothing: what the process keeps is there then */

		RN_TRY(measure_memory(ctx, shop, &candidates[which], &costs[which]));
		free_candidate(&candidates[which]);
	}
	for (i = 0; i < 2; i++)
	{
		RN_TRY(make_candidate(ctx, shop, &candidates[i]));
		RN_TRY(count(ctx, &candidates[i], &costs[i]));
		RN_TRY(step(ctx, &candidates[i], -1));
	}
	for (k = 0; k < repeats; k++)
	{
		/* whoever is first changes places, too */
		RN_TRY(step(ctx, &candidates[k % 2], k));
		RN_TRY(step(ctx, &candidates[1 - k % 2], k));
	}
	for (i = 0; i < 2; i++)
	{
		costs[i].step_seconds = rn_median(candidates[i].seconds, repeats);
		costs[i].processor_seconds = rn_median(candidates[i].processor, repeats);
	}
	return RN_OK;
}

RnStatus
rn_cost_measure(RnContext *ctx, const RnConfig *config, const RnKernels *kernels, int repeats, size_t memory_limit,
				const volatile sig_atomic_t *stop, RnCost *costs)
{
	double	   *times = calloc(4 * (size_t) repeats, sizeof(double));
	Candidate	candidates[2];
	Material	material;
	Workshop	shop = {kernels, NULL, &material, memory_limit, stop};
	int			i;

	memset(candidates, 0, sizeof(candidates));
	memset(costs, 0, 2 * sizeof(RnCost));
	for (i = 0; i < 2; i++)
	{
		candidates[i].config = *config;
		candidates[i].seconds = times + 2 * i * repeats;
		candidates[i].processor = times + (2 * i + 1) * repeats;
	}
	make_plain(&candidates[1].config);
	if (make_material(ctx, config, &material) == RN_OK && times == NULL)
		rn_out_of_memory(ctx, 4 * (size_t) repeats * sizeof(double));
	if (ctx->status == RN_OK && rn_threads_create(ctx, config->threads > 0 ? config->threads : 1, &shop.threads) == RN_OK)
		run(ctx, &shop, repeats, candidates, costs);
	for (i = 0; i < 2; i++)
		free_candidate(&candidates[i]);
	free_material(&material);
	rn_threads_free(shop.threads);
	free(times);
	return ctx->status;
}
