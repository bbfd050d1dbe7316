/*
 * test_reserve.c
 *		What training takes in memory is known before it begins: too little is
 *		refused then, with words that help; what was reserved suffices for
 *		every batch of every epoch; a batch that is more than was thought is
 *		cut finer and computes the same.
 *
 * On the emulated GPU no device memory is to be had once the first kernel was
 * launched (CUDAEMU_LAST_ALLOC), so a step that asked for more would fail.
 *
 * test/unit/test_reserve.c
 */
#include "check.h"
#include "test_device.h"

#include <math.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "graph/node.h"
#include "train/trainer_state.h"
#include "trainer_bench.h"

#define STEPS		12

typedef struct Case
{
	const char *name;
	int			threads;
	const char *options[12];
} Case;

static const Case cases[] = {
	{"Post-LN, small batches", 1, {"batch_tokens", "60"}},
	{"ResiDual with running scores", 1, {"encoder_scheme", "residual", "decoder_scheme", "residual", "score_residual", "sum",
	"batch_tokens", "100"}},
	{"a decoder alone", 1, {"architecture", "decoder", "batch_tokens", "80"}},
	{"large batches", 2, {"stats_every", "1", "batch_tokens", "240"}},
};

static size_t
held(const Bench *bench)
{
	size_t		bytes = 0;
	int			i;

	for (i = 0; i < bench->trainer->n_workers; i++)
		bytes += bench->trainer->workers[i].graph->capacity;
	return bytes;
}

/* What came of a case, from its process. */
typedef struct Outcome
{
	RnContext	ctx;
	int			finite;			/* the losses are numbers */
	size_t		before;			/* bytes that tapes held */
	size_t		after;
} Outcome;

static void
run_case(const Case *c, Outcome *outcome)
{
	const RnKernels *kernels = test_device();
	const int	steps = kernels->host_memory ? 40 * STEPS : 3;
	RnStepResult result = {0};

	/* the corpus is long for an emulated device */
	const int	evaluates = kernels->host_memory || c == cases;
	double		loss = evaluates ? NAN : 0;
	double		nll;
	Bench		bench;
	int			i;

	if (open_bench(&bench, kernels, kernels->lanes == 1 ? 1 : c->threads, c->options))
		outcome->before = held(&bench);
	for (i = 0; i < steps && bench.ctx.status == RN_OK; i++)
	{
		rn_trainer_step(&bench.ctx, bench.trainer, bench.reader, &result, NULL);
		if (evaluates && i % STEPS == 0)
			rn_trainer_evaluate(&bench.ctx, bench.trainer, bench.reader, &loss, &nll);
	}
	outcome->ctx = bench.ctx;
	outcome->finite = isfinite(result.loss) && isfinite(loss);
	outcome->after = held(&bench);
	close_bench(&bench);
}

/* In a process of its own, as memory that is closed stays closed. */
static void
test_enough(const Case *c)
{
	Outcome    *outcome = mmap(NULL, sizeof(Outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int			status = -1;
	pid_t		child;

	if (!CHECK(outcome != MAP_FAILED, "memory to share"))
		return;
	fflush(stdout);
	child = fork();
	if (child == 0)
	{
		setenv("CUDAEMU_LAST_ALLOC", "1", 1);
		run_case(c, outcome);
		_exit(0);
	}
	waitpid(child, &status, 0);
	CHECK(status == 0 && outcome->ctx.status == RN_OK && outcome->finite, "%s: steps and evaluations %s %s", c->name,
		  outcome->ctx.message, outcome->ctx.detail);
	CHECK(outcome->before > 0 && outcome->after == outcome->before, "%zu bytes are enough for all passes, none grew to %zu",
		  outcome->before, outcome->after);
	munmap(outcome, sizeof(Outcome));
}

static RnStatus
open_with(const RnKernels *kernels, int threads, size_t memory, RnContext *ctx)
{
	static const char *const options[] = {"batch_tokens", "60", NULL};
	RnKernels	limited = *kernels;
	Bench		bench;

	limited.memory = kernels->host_memory ? 0 : (int64_t) memory;
	open_limited_bench(&bench, &limited, threads, options, memory);
	*ctx = bench.ctx;
	close_bench(&bench);
	return ctx->status;
}

/* As much as is needed passes, a byte less does not, and says so. */
static void
test_limit(const RnKernels *kernels, int threads)
{
	size_t		least = 1;
	size_t		most = (size_t) 1 << 28;
	RnContext	ctx;
	RnContext	refused;

	rn_context_reset(&refused);
	while (least < most)
	{
		const size_t middle = least + (most - least) / 2;

		if (open_with(kernels, threads, middle, &ctx) == RN_OK)
			most = middle;
		else
		{
			least = middle + 1;
			refused = ctx;
		}
	}
	CHECK(refused.status == RN_LIMIT && strstr(refused.hint, "batch_tokens") != NULL && least > 100000 && least < (size_t) 1 << 28,
		  "%d threads need %zu bytes; with one less: %s %s %s", threads, least, refused.message, refused.detail, refused.hint);
}

static void
test_refused(const RnKernels *kernels)
{
	RnContext	ctx;

	CHECK(open_with(kernels, 1, 2000, &ctx) == RN_LIMIT && strstr(ctx.hint, "d_model") != NULL, "weights alone are too much: %s %s",
		  ctx.detail, ctx.hint);
	CHECK(open_with(kernels, 1, 400000, &ctx) == RN_LIMIT && strstr(ctx.hint, "batch_tokens") != NULL, "passes are: %s %s",
		  ctx.detail, ctx.hint);
}

static void
test_cut(const RnKernels *kernels)
{
	static const char *const options[] = {"batch_tokens", "400", NULL};
	RnStepResult results[2];
	RnLengths	longest = {rn_extent_of(1, 25, 25), 25, 25};
	Bench		whole,
				cut;

	if (!CHECK(open_bench(&whole, kernels, 1, options) && open_bench(&cut, kernels, 1, options), "two trainers"))
		return;
	cut.trainer->rooms[1] = rn_room_of(&longest, 1);
	CHECK(cut.trainer->rooms[1].pairs <= 2, "one with room for a long pair at a time");
	rn_trainer_step(&whole.ctx, whole.trainer, whole.reader, &results[0], NULL);
	rn_trainer_step(&cut.ctx, cut.trainer, cut.reader, &results[1], NULL);
	CHECK(whole.ctx.status == RN_OK && cut.ctx.status == RN_OK && fabs(results[1].loss / results[0].loss - 1) < 1e-6 &&
		  fabs(results[1].gradient_norm / results[0].gradient_norm - 1) < 1e-5,
		  "a batch cut into pairs: loss %.7f and %.7f, norm %.6f and %.6f", results[0].loss, results[1].loss,
		  results[0].gradient_norm, results[1].gradient_norm);
	CHECK(rn_graph_memory_peak(cut.trainer->workers[0].graph) < rn_graph_memory_peak(whole.trainer->workers[0].graph) / 4,
		  "takes less: %zu bytes, not %zu", rn_graph_memory_peak(cut.trainer->workers[0].graph),
		  rn_graph_memory_peak(whole.trainer->workers[0].graph));
	close_bench(&whole);
	close_bench(&cut);
}

int
main(void)
{
	const RnKernels *kernels;
	size_t		i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		test_enough(&cases[i]);
	kernels = test_device();
	printf("# %s\n", kernels->description());
	test_refused(kernels);
	if (kernels->host_memory)
	{
		test_limit(kernels, 1);
		test_limit(kernels, 3);
		test_cut(kernels);
	}
	return check_done();
}
