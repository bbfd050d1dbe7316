/*
 * gpu_training.c
 *		Training on the device that RN_DEVICE names is training on the CPU: the
 *		same losses step by step, checkpoints that go from one to the other,
 *		less exact products within their bounds, and errors that say what
 *		to do.
 *
 * Dropout is on, so the masks must be the same ones.
 *
 * test/unit/gpu_training.c
 */
#include "check.h"
#include "test_device.h"

#include <dlfcn.h>
#include <math.h>

#include "test/cudaemu/control.h"
#include "train/trainer_state.h"
#include "trainer_bench.h"

#define STEPS		50
#define MOVED_AT	3			/* step after which a checkpoint moves */
#define MOVED_STEPS	5
#define LESS_STEPS	8			/* of each less exact format */
#define AHEAD		4			/* steps that are not waited for, then each is */
#define OVERFLOW_STEPS	14
#define CHUNK		65536

static const char *const options[] = {"batch_tokens", "60", "max_length", "30", "learning_rate", "0.002", "warmup_steps", "5", NULL};

/* The largest difference of losses and of norms, relative, and the last loss of the first. */
typedef struct Apart
{
	double		loss;
	double		norm;
	double		first_loss;
	double		last_loss;
} Apart;

/* A step; each is waited for after the first few, which a device may run ahead with. */
static RnStatus
step(Bench *bench, int number, RnStepResult *result)
{
	RN_TRY(rn_trainer_step(&bench->ctx, bench->trainer, bench->reader, result, NULL));
	return result->told == 0 && number >= AHEAD ? rn_trainer_settle(&bench->ctx, bench->trainer, result) : RN_OK;
}

static int
step_both(Bench *a, Bench *b, int steps, Apart *apart)
{
	RnStepResult results[2][2];	/* of each, one told of and the other */
	int			i,
				k;

	memset(apart, 0, sizeof(*apart));
	memset(results, 0, sizeof(results));
	for (i = 1; i <= steps; i++)
	{
		if (step(a, i, &results[0][0]) != RN_OK || step(b, i, &results[1][0]) != RN_OK)
			return CHECK(0, "step %d: %s%s", i, a->ctx.message, b->ctx.message);
		for (k = 0; k < 2; k++)
		{
			RnStepResult *sum = &results[k][1];
			const RnStepResult *one = &results[k][0];

			if (one->told == 0)
				continue;
			sum->loss = (sum->loss * (double) sum->told_tokens + one->loss * (double) one->told_tokens) /
				(double) (sum->told_tokens + one->told_tokens);
			sum->told_tokens += one->told_tokens;
			sum->told += one->told;
			sum->gradient_norm = one->gradient_norm;
		}
		if (results[0][1].told != results[1][1].told)
			continue;
		apart->loss = fmax(apart->loss, fabs(results[1][1].loss / results[0][1].loss - 1));
		apart->norm = fmax(apart->norm, fabs(results[1][1].gradient_norm / results[0][1].gradient_norm - 1));
		apart->first_loss = apart->first_loss == 0 ? results[0][1].loss : apart->first_loss;
		apart->last_loss = results[0][1].loss;
		results[0][1].told_tokens = results[1][1].told_tokens = 0;
	}
	return CHECK(results[0][1].told == steps && results[1][1].told == steps, "%d steps are told of", steps);
}

static void
test_losses(const RnKernels *kernels)
{
	Bench		cpu,
				gpu;
	Apart		apart;

	if (!CHECK(open_bench(&cpu, rn_cpu_kernels(), 1, options) && open_bench(&gpu, kernels, 1, options), "two trainers"))
		return;
	if (step_both(&cpu, &gpu, STEPS, &apart))
	{
		CHECK(apart.loss < 2e-5 && apart.norm < 2e-4, "%d steps: losses differ by %.1e, norms of gradients by %.1e", STEPS,
			  apart.loss, apart.norm);
		CHECK(apart.last_loss < 0.95 * apart.first_loss, "and something is learned: %.3f, then %.3f", apart.first_loss,
			  apart.last_loss);
	}
	close_bench(&cpu);
	close_bench(&gpu);
}

/* Everything that a checkpoint holds, from one trainer to another. */
static void
move(Bench *from, Bench *to)
{
	static char bytes[CHUNK];
	RnDataPosition position;
	int			i;

	for (i = 0; i < rn_trainer_parts(from->trainer); i++)
	{
		RnPart		part;
		size_t		done;

		rn_trainer_part(from->trainer, i, &part);
		for (done = 0; done < part.size; done += CHUNK)
		{
			size_t		some = part.size - done < CHUNK ? part.size - done : CHUNK;

			rn_trainer_read_part(&from->ctx, from->trainer, &part, done, bytes, some);
			rn_trainer_set_part(&to->ctx, to->trainer, part.name, part.size, done, bytes, some);
		}
	}
	CHECK(from->ctx.status == RN_OK && rn_trainer_restored(&to->ctx, to->trainer) == RN_OK, "a checkpoint moves: %s%s",
		  from->ctx.message, to->ctx.message);
	rn_trainer_position(to->trainer, &position);
	rn_batch_reader_seek(to->reader, &position);
}

/* From the CPU to the device and the other way. */
static void
test_checkpoints(const RnKernels *kernels)
{
	int			way;

	for (way = 0; way < 2; way++)
	{
		Bench		from,
					to;
		RnStepResult result;
		Apart		apart;
		int			i;

		if (!CHECK(open_bench(&from, way == 0 ? rn_cpu_kernels() : kernels, 1, options) &&
				   open_bench(&to, way == 0 ? kernels : rn_cpu_kernels(), 1, options), "two trainers"))
			return;
		for (i = 0; i < MOVED_AT; i++)
			rn_trainer_step(&from.ctx, from.trainer, from.reader, &result, NULL);
		rn_trainer_settle(&from.ctx, from.trainer, &result);
		move(&from, &to);
		if (step_both(&from, &to, MOVED_STEPS, &apart))
			CHECK(apart.loss < 2e-5, "%s: losses differ by %.1e", way == 0 ? "from the CPU" : "to the CPU", apart.loss);
		close_bench(&from);
		close_bench(&to);
	}
}

/* ---- less exact products ---- */

typedef struct Format
{
	const char *precision;
	double		least;			/* what a loss differs by, if the format is used at all */
	double		most;
} Format;

static void
test_format(const Format *format)
{
	const RnKernels *kernels;
	RnContext	ctx;
	Bench		cpu,
				gpu;
	Apart		apart;

	rn_context_reset(&ctx);
	if (!CHECK(rn_device_choose(&ctx, test_device_name(), format->precision, &kernels, NULL) == RN_OK, "precision %s: %s",
			   format->precision, ctx.message))
		return;
	if (!CHECK(open_bench(&cpu, rn_cpu_kernels(), 1, options) && open_bench(&gpu, kernels, 1, options), "two trainers"))
		return;
	if (step_both(&cpu, &gpu, LESS_STEPS, &apart))
		CHECK(apart.loss > format->least && apart.loss < format->most, "%s: losses of %d steps differ by %.1e",
			  kernels->description(), LESS_STEPS, apart.loss);
	CHECK(kernels->loss_scaling == (strcmp(format->precision, "float16") == 0), "losses are scaled for float16 alone");
	close_bench(&cpu);
	close_bench(&gpu);
}

/* Factors rounded once for several products are those that the products would round: the same bits. */
static void
test_rounded(const char *precision)
{
	const RnKernels *kernels;
	RnKernels	without;
	RnContext	ctx;
	Bench		once,
				each;
	Apart		apart;

	rn_context_reset(&ctx);
	rn_device_choose(&ctx, test_device_name(), precision, &kernels, NULL);
	CHECK(kernels->rounded_size == 2, "%s has numbers of 16 bits", precision);
	without = *kernels;
	without.rounded_size = 0;
	if (!CHECK(open_bench(&once, kernels, 1, options) && open_bench(&each, &without, 1, options), "two trainers"))
		return;
	CHECK(once.trainer->rounded != NULL && each.trainer->rounded == NULL, "one rounds its weights once an update");
	if (step_both(&once, &each, LESS_STEPS / 2, &apart))
		CHECK(apart.loss == 0 && apart.norm == 0, "%s: rounded once or at each product, losses differ by %.1e, norms by %.1e",
			  precision, apart.loss, apart.norm);
	CHECK(rn_graph_memory(once.trainer->workers[0].graph) < rn_graph_memory(each.trainer->workers[0].graph),
		  "and passes take less memory: %zu and %zu bytes", rn_graph_memory(once.trainer->workers[0].graph),
		  rn_graph_memory(each.trainer->workers[0].graph));
	close_bench(&once);
	close_bench(&each);
}

/* Scales that are too large are found out and halved; steps with them are passed over, and count. */
static void
test_overflow(void)
{
	const RnKernels *kernels;
	RnStepResult results[2];
	RnContext	ctx;
	Bench		cpu,
				gpu;
	int			skipped = 0;
	int			i;

	rn_context_reset(&ctx);
	rn_device_choose(&ctx, test_device_name(), "float16", &kernels, NULL);
	if (!CHECK(ctx.status == RN_OK && open_bench(&cpu, rn_cpu_kernels(), 1, options) &&
			   open_bench(&gpu, kernels, 1, options), "two trainers"))
		return;
	rn_trainer_decide_from(gpu.trainer, 0, RN_LOSS_EXPONENT_MOST, 0);
	for (i = 0; i < OVERFLOW_STEPS; i++)
		rn_trainer_step(&gpu.ctx, gpu.trainer, gpu.reader, &results[1], NULL);
	rn_trainer_settle(&gpu.ctx, gpu.trainer, &results[1]);
	skipped = results[1].skipped;
	CHECK(gpu.ctx.status == RN_OK && results[1].told == OVERFLOW_STEPS && skipped > 1 && skipped < OVERFLOW_STEPS &&
		  isfinite(results[1].loss) && isfinite(results[1].gradient_norm), "%d of %d steps were passed over %s",
		  skipped, OVERFLOW_STEPS, gpu.ctx.message);
	CHECK(gpu.trainer->decision.loss_exponent == RN_LOSS_EXPONENT_MOST - skipped && rn_trainer_steps(gpu.trainer) == OVERFLOW_STEPS &&
		  gpu.trainer->decision.updates == OVERFLOW_STEPS - skipped, "the scale of the losses came down to 2^%d",
		  gpu.trainer->decision.loss_exponent);

	/* what it has come to goes with a checkpoint, and serves: the CPU goes on from the same updates */
	move(&gpu, &cpu);
	CHECK(rn_trainer_steps(cpu.trainer) == OVERFLOW_STEPS && cpu.trainer->decision.updates == OVERFLOW_STEPS - skipped,
		  "a checkpoint knows of both");
	for (i = 0; i < 2; i++)
	{
		rn_trainer_step(&cpu.ctx, cpu.trainer, cpu.reader, &results[0], NULL);
		rn_trainer_step(&gpu.ctx, gpu.trainer, gpu.reader, &results[1], NULL);
		rn_trainer_settle(&gpu.ctx, gpu.trainer, &results[1]);
	}
	CHECK(fabs(results[1].loss / results[0].loss - 1) < 1e-3 && fabs(results[1].gradient_norm / results[0].gradient_norm - 1) < 0.01,
		  "and both go on alike: losses %.5f, %.5f", results[0].loss, results[1].loss);
	close_bench(&cpu);
	close_bench(&gpu);
}

/* ---- passes that are repeated ---- */

#define REPEATED_STEPS	32
#define REPEATED_EVERY	4		/* steps, then the same batches come again */

static void
at_once(RnLane *lane)
{
	(void) lane;
}

/* A function of the emulator, where there is one. */
static void *
of_emulator(const char *name)
{
	const char *path = getenv("RESIDUAL_CUDA_LIBRARY");
	void	   *library = path != NULL ? dlopen(path, RTLD_NOW | RTLD_NOLOAD) : NULL;

	return library != NULL ? dlsym(library, name) : NULL;
}

static uint64_t
graphs_launched(void)
{
	void		(*count) (CudaemuCounts *) = (void (*) (CudaemuCounts *)) of_emulator("cudaemu_counts");
	CudaemuCounts counts = {0, 0, 0, 0, 0};

	if (count != NULL)
		count(&counts);
	return counts.graphs;
}

/* The same steps on both; how many of them had other losses or norms. */
static int
repeat(Bench *a, Bench *b, int steps, int every)
{
	static const RnDataPosition start = {0, 0, 0};
	RnStepResult results[2];
	int			apart = 0;
	int			i;

	memset(results, 0, sizeof(results));
	for (i = 1; i <= steps; i++)
	{
		if ((i - 1) % every == 0)
		{
			rn_batch_reader_seek(a->reader, &start);
			rn_batch_reader_seek(b->reader, &start);
		}
		/* one that is waited for, then some that are not */
		step(a, i % every == 0 ? AHEAD : 0, &results[0]);
		step(b, i % every == 0 ? AHEAD : 0, &results[1]);
		if (results[0].told + results[1].told > 0)
			apart += results[0].told != results[1].told ||
				results[0].loss != results[1].loss || results[0].gradient_norm != results[1].gradient_norm;
	}
	return apart;
}

/*
 * With graphs and without them, on batches that come again and on new ones:
 * the same numbers.  Rows are added to both alike.
 */
static void
test_graphs(const RnKernels *kernels)
{
	static const char *const repeated[] = {"batch_tokens", "96", "max_length", "30", "learning_rate", "0.002", "warmup_steps", "5", NULL};
	void		(*lose_copy) (long) = (void (*) (long)) of_emulator("cudaemu_lose_copy");
	RnKernels	plain = *kernels;
	rn_real    *weights[2];
	size_t		bytes;
	uint64_t	before;
	uint64_t	graphs;
	Bench		bench[2];
	int			apart;
	int			i;

	plain.note_begin = plain.note_end = at_once;
	if (!CHECK(open_bench(&bench[0], &plain, 1, repeated) && open_bench(&bench[1], kernels, 1, repeated), "two trainers"))
		return;
	before = graphs_launched();
	apart = repeat(&bench[0], &bench[1], REPEATED_STEPS, REPEATED_EVERY);
	graphs = graphs_launched() - before;
	CHECK(apart == 0, "with graphs %d steps are what they are without: %d differ %s%s", REPEATED_STEPS, apart,
		  bench[0].ctx.message, bench[1].ctx.message);
	/* sum and update all but a few times; passes, whose memory grows at first, half of the time at least */
	if (lose_copy != NULL)
		CHECK(graphs >= 2 * (REPEATED_STEPS - 4) + REPEATED_STEPS / 2, "%d graphs were launched", (int) graphs);
	apart = repeat(&bench[0], &bench[1], 2 * REPEATED_EVERY, 2 * REPEATED_EVERY);
	CHECK(apart == 0, "so are new ones: %d differ", apart);
	bytes = rn_model_params(bench[0].model)->size * sizeof(rn_real);
	for (i = 0; i < 2; i++)
	{
		weights[i] = malloc(bytes);
		kernels->copy_out(bench[i].trainer->workers[0].lane, weights[i], bench[i].trainer->values, bytes);
		kernels->synchronize(&bench[i].ctx, bench[i].trainer->workers[0].lane);
	}
	CHECK(memcmp(weights[0], weights[1], bytes) == 0, "the weights are the same");
	if (lose_copy != NULL)
	{
		/* a graph that found what was sent for an earlier pass, though all else is the same, would show */
		repeat(&bench[0], &bench[1], 6, 1);
		lose_copy(1);
		CHECK(repeat(&bench[1], &bench[0], 1, 1) == 1, "had something not been sent anew, it would show");
		lose_copy(0);
	}
	for (i = 0; i < 2; i++)
	{
		free(weights[i]);
		close_bench(&bench[i]);
	}
}

/* ---- a step that must not be made ---- */

/*
 * With a weight that is infinite the device makes no update any more, whatever
 * it is given; the trainer then stands where the first of these steps began.
 */
static void
test_divergence(const RnKernels *kernels)
{
	const rn_real infinite = (rn_real) INFINITY;
	RnStepResult result;
	RnDataPosition position;
	rn_real    *weights[2];
	size_t		bytes;
	Bench		bench;
	int			i;

	if (!CHECK(open_bench(&bench, kernels, 1, options), "a trainer"))
		return;
	bytes = rn_model_params(bench.model)->size * sizeof(rn_real);
	for (i = 0; i < 2; i++)
		weights[i] = malloc(bytes);
	rn_trainer_step(&bench.ctx, bench.trainer, bench.reader, &result, NULL);
	rn_trainer_settle(&bench.ctx, bench.trainer, &result);
	rn_trainer_position(bench.trainer, &position);
	kernels->copy_in(bench.trainer->workers[0].lane, bench.trainer->values +
					 rn_params_find(rn_model_params(bench.model), "dec.0.ff.1.w")->offset, &infinite, sizeof(infinite));
	kernels->copy_out(bench.trainer->workers[0].lane, weights[0], bench.trainer->values, bytes);
	for (i = 0; i < AHEAD; i++)
		rn_trainer_step(&bench.ctx, bench.trainer, bench.reader, &result, NULL);
	CHECK(bench.ctx.status == RN_OK && rn_trainer_steps(bench.trainer) == 1 + AHEAD, "%d steps are under way", AHEAD);
	CHECK(rn_trainer_settle(&bench.ctx, bench.trainer, &result) == RN_DIVERGED && strstr(bench.ctx.message, "step 2 ") != NULL,
		  "the first is told of: %s", bench.ctx.message);
	kernels->copy_out(bench.trainer->workers[0].lane, weights[1], bench.trainer->values, bytes);
	rn_context_reset(&bench.ctx);
	kernels->synchronize(&bench.ctx, bench.trainer->workers[0].lane);
	CHECK(memcmp(weights[0], weights[1], bytes) == 0 && rn_trainer_steps(bench.trainer) == 1 &&
		  memcmp(&bench.trainer->next, &position, sizeof(position)) == 0, "the weights are those before it");
	for (i = 0; i < 2; i++)
		free(weights[i]);
	close_bench(&bench);
}

int
main(void)
{
	static const Format formats[] = {{"tf32", 1e-6, 1e-3}, {"bfloat16", 1e-5, 1e-2}, {"float16", 1e-6, 1e-3}};
	const RnKernels *kernels = test_device();
	size_t		i;

	printf("# %s\n", kernels->description());
	test_losses(kernels);
	test_checkpoints(kernels);
	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		test_format(&formats[i]);
	test_rounded("bfloat16");
	test_rounded("float16");
	test_graphs(kernels);
	test_overflow();
	test_divergence(kernels);
	return check_done();
}
