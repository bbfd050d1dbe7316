/*
 * kernels.c
 *		How fast the CPU's kernels are, and whether the choice of the product
 *		pays.
 *
 * Ways of one product run in turn in one process, and medians are compared:
 * a machine's speed changes more between two processes than the ways differ.
 * Time is the thread's own, so that other work on the machine counts little.
 *
 *		kernels [products | rows | attention | decode]
 *
 * test/bench/kernels.c
 */
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/device.h"

#define TURNS	15				/* of which the median counts */
#define TURN	2e-3			/* seconds, at least */

static const RnKernels *kernels;
static RnLane *lane;

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

static void *
memory(size_t bytes)
{
	RnContext	ctx;
	void	   *m;

	rn_context_reset(&ctx);
	if (kernels->allocate(&ctx, bytes + 64, &m) != RN_OK)
	{
		fprintf(stderr, "%s\n", ctx.message);
		exit(1);
	}
	return m;
}

static rn_real *
numbers(size_t n)
{
	rn_real    *x = memory(n * sizeof(rn_real));
	size_t		i;

	for (i = 0; i < n; i++)
		x[i] = (rn_real) ((double) (i * 2654435761u % 65536u) / 32768.0 - 1.0);
	return x;
}

static int
ascending(const void *a, const void *b)
{
	const double x = *(const double *) a;
	const double y = *(const double *) b;

	return (x > y) - (x < y);
}

/* Median seconds of one call, for each of n ways that run in turn. */
static void
measure(int n, void (*run) (int way, void *arg), void *arg, double *seconds)
{
	double		times[3][TURNS];
	int			repeat = 1;
	int			turn;
	int			way;
	int			i;

	for (;;)
	{
		double		start = now();

		for (i = 0; i < repeat; i++)
			run(0, arg);
		if (now() - start >= TURN)
			break;
		repeat *= 2;
	}
	for (turn = 0; turn < TURNS; turn++)
		for (way = 0; way < n; way++)
		{
			double		start = now();

			for (i = 0; i < repeat; i++)
				run(way, arg);
			times[way][turn] = (now() - start) / repeat;
		}
	for (way = 0; way < n; way++)
	{
		qsort(times[way], TURNS, sizeof(double), ascending);
		seconds[way] = times[way][TURNS / 2];
	}
}

/* ---- products: what the table does, our own blocks, BLAS ---- */

typedef struct Product
{
	const char *name;
	int			transpose_a;
	int			transpose_b;
	int			m;
	int			n;
	int			k;
	rn_real    *a;
	rn_real    *b;
	rn_real    *c;
} Product;

static Product products[] = {
	{.name = "d128 qkv", 0, 1, 1024, 384, 128}, {.name = "d128 out", 0, 1, 1024, 128, 128},
	{.name = "d128 ffn in", 0, 1, 1024, 256, 128}, {.name = "d128 ffn out", 0, 1, 1024, 128, 256},
	{.name = "d128 qkv dX", 0, 0, 1024, 128, 384}, {.name = "d128 out dX", 0, 0, 1024, 128, 128},
	{.name = "d128 ffn dX", 0, 0, 1024, 256, 128}, {.name = "d128 qkv dW", 1, 0, 384, 128, 1024},
	{.name = "d128 out dW", 1, 0, 128, 128, 1024}, {.name = "d128 ffn dW", 1, 0, 128, 256, 1024},
	{.name = "d128 logits", 0, 1, 192, 8000, 128}, {.name = "d128 logits dX", 0, 0, 192, 128, 8000},
	{.name = "d128 logits dW", 1, 0, 8000, 128, 192}, {.name = "d128 qkv, 512 rows", 0, 1, 512, 384, 128},
	{.name = "d128 qkv, 2048 rows", 0, 1, 2048, 384, 128}, {.name = "d256 ffn in", 0, 1, 1024, 1024, 256},
	{.name = "d256 ffn out", 0, 1, 1024, 256, 1024}, {.name = "d256 ffn dX", 0, 0, 1024, 1024, 256},
	{.name = "d256 ffn dW", 1, 0, 1024, 256, 1024}, {.name = "d256 logits", 0, 1, 192, 8000, 256},
	{.name = "d512 qkv", 0, 1, 1024, 1536, 512}, {.name = "d512 qkv dX", 0, 0, 1024, 512, 1536},
	{.name = "d512 qkv dW", 1, 0, 1536, 512, 1024}, {.name = "d512 logits", 0, 1, 256, 8000, 512},
	{.name = "d512 logits dX", 0, 0, 256, 512, 8000}, {.name = "d512 logits dW", 1, 0, 8000, 512, 256},
	{.name = "decode 1, qkv", 0, 1, 1, 384, 128}, {.name = "decode 5, qkv", 0, 1, 5, 384, 128},
	{.name = "decode 12, qkv", 0, 1, 12, 384, 128}, {.name = "decode 16, qkv", 0, 1, 16, 384, 128},
	{.name = "decode 32, qkv", 0, 1, 32, 384, 128}, {.name = "decode 160, qkv", 0, 1, 160, 384, 128},
	{.name = "decode 1, logits", 0, 1, 1, 8000, 128}, {.name = "decode 5, logits", 0, 1, 5, 8000, 128},
	{.name = "decode 32, logits", 0, 1, 32, 8000, 128}, {.name = "decode 160, logits", 0, 1, 160, 8000, 128},
	{.name = "decode 5, d512", 0, 1, 5, 512, 512}, {.name = "decode 5, d512 ffn", 0, 1, 5, 512, 1024},
};

typedef void (*Blocked) (RnLane *lane, int transpose_a, int transpose_b, int m, int n, int k, rn_real alpha, const rn_real *a,
						 long lda, const rn_real *b, long ldb, rn_real beta, rn_real *c, long ldc);

/* Our own product at the level of the table in use, without its choice. */
static Blocked
blocked_product(void)
{
#if defined(__x86_64__)
	extern void rn_blocked_product_v2(RnLane *, int, int, int, int, int, rn_real, const rn_real *, long, const rn_real *, long,
									  rn_real, rn_real *, long);
	extern void rn_blocked_product_v3(RnLane *, int, int, int, int, int, rn_real, const rn_real *, long, const rn_real *, long,
									  rn_real, rn_real *, long);
	extern void rn_blocked_product_v4(RnLane *, int, int, int, int, int, rn_real, const rn_real *, long, const rn_real *, long,
									  rn_real, rn_real *, long);

	if (kernels == rn_cpu_kernels_up_to(2))
		return rn_blocked_product_v2;
	if (kernels == rn_cpu_kernels_up_to(3))
		return rn_blocked_product_v3;
	return rn_blocked_product_v4;
#else
	extern void rn_blocked_product_generic(RnLane *, int, int, int, int, int, rn_real, const rn_real *, long, const rn_real *,
										   long, rn_real, rn_real *, long);

	return rn_blocked_product_generic;
#endif
}

static void
run_product(int way, void *arg)
{
	const Product *p = arg;
	const int	lda = p->transpose_a ? p->m : p->k;
	const int	ldb = p->transpose_b ? p->k : p->n;
	const rn_real beta = (rn_real) p->transpose_a;	/* weight gradients add up */

	if (way == 0)
		kernels->product(lane, p->transpose_a, p->transpose_b, p->m, p->n, p->k, 1, p->a, lda, p->b, ldb, beta, p->c, p->n);
	else if (way == 1)
#ifdef RN_DOUBLE
		cblas_dgemm
#else
		cblas_sgemm
#endif
			(CblasRowMajor, p->transpose_a ? CblasTrans : CblasNoTrans, p->transpose_b ? CblasTrans : CblasNoTrans, p->m,
			 p->n, p->k, 1, p->a, lda, p->b, ldb, beta, p->c, p->n);
	else
		blocked_product() (lane, p->transpose_a, p->transpose_b, p->m, p->n, p->k, 1, p->a, lda, p->b, ldb, beta, p->c, p->n);
}

static void
bench_products(void)
{
	size_t		i;

	printf("\n%-22s %5s %5s %5s %8s %8s %8s %13s\n", "product, GFLOP/s", "m", "n", "k", "chosen", "BLAS", "own",
		   "chosen / BLAS");
	for (i = 0; i < sizeof(products) / sizeof(products[0]); i++)
	{
		Product    *p = &products[i];
		const double work = 2e-9 * p->m * p->n * p->k;
		double		seconds[3];

		p->a = numbers((size_t) p->m * p->k);
		p->b = numbers((size_t) p->n * p->k);
		p->c = numbers((size_t) p->m * p->n);
		measure(3, run_product, p, seconds);
		printf("%-22s %5d %5d %5d %8.1f %8.1f ", p->name, p->m, p->n, p->k, work / seconds[0], work / seconds[1]);
		printf("%8.1f %13.2f\n", work / seconds[2], seconds[1] / seconds[0]);
		kernels->release(p->a, (size_t) p->m * p->k * sizeof(rn_real) + 64);
		kernels->release(p->b, (size_t) p->n * p->k * sizeof(rn_real) + 64);
		kernels->release(p->c, (size_t) p->m * p->n * sizeof(rn_real) + 64);
	}
}

/* ---- kernels that go over rows ---- */

#define ROWS		512
#define COLS		256
#define VOCABULARY	8000
#define LOSS_ROWS	64

static uint32_t row_ids[ROWS];
static int32_t ids[ROWS];

static void
run_activation(int way, void *arg)
{
	(void) way;
	kernels->activation_forward(lane, arg);
}

static void
run_activation_backward(int way, void *arg)
{
	(void) way;
	kernels->activation_backward(lane, arg);
}

static void
run_residual(int way, void *arg)
{
	(void) way;
	kernels->residual_forward(lane, arg);
}

static void
run_residual_backward(int way, void *arg)
{
	(void) way;
	kernels->residual_backward(lane, arg);
}

static void
run_norm(int way, void *arg)
{
	(void) way;
	kernels->norm_forward(lane, arg);
}

static void
run_norm_backward(int way, void *arg)
{
	(void) way;
	kernels->norm_backward(lane, arg);
}

static void
run_embedding(int way, void *arg)
{
	(void) way;
	kernels->embedding_forward(lane, arg);
}

static void
run_embedding_backward(int way, void *arg)
{
	(void) way;
	kernels->embedding_backward(lane, arg);
}

static void
run_loss(int way, void *arg)
{
	(void) way;
	kernels->loss(lane, arg);
}

static void
run_adam(int way, void *arg)
{
	(void) way;
	kernels->adam(lane, arg);
}

static void
run_top(int way, void *arg)
{
	static int32_t best[ROWS * 64];
	static rn_real scores[ROWS * 64];

	(void) way;
	kernels->top_k(lane, LOSS_ROWS, VOCABULARY, arg, 10, NULL, best, scores);
}

static void
report(const char *name, void (*run) (int way, void *arg), void *arg, size_t elements)
{
	double		seconds;

	measure(1, run, arg, &seconds);
	printf("%-40s %8.3f\n", name, seconds * 1e9 / (double) elements);
}

static void
bench_rows(void)
{
	const size_t size = (size_t) ROWS * COLS;
	const RnDropout dropout = {.rate = 0.1, .seed = 1, .step = 1, .site = 1};
	double		sums[2] = {0.0, 0.0};
	RnDecision	decision = {.gradient_scale = 1, .learning_rate = 1e-3, .rate = 1e-3, .root = 1};
	RnActivationArgs activation = {.kind = RN_RELU, .rows = ROWS, .cols = COLS, .row_ids = row_ids};
	RnResidualArgs residual = {.rows = ROWS, .cols = COLS, .shortcut_scale = 1, .branch_scale = 1, .dual_scale = 1,
		.epsilon = 1e-5, .row_ids = row_ids};
	RnNormArgs	norm = {.rows = ROWS, .cols = COLS, .epsilon = 1e-5};
	RnEmbeddingArgs embedding = {.rows = ROWS, .cols = COLS, .ids = ids, .positions = ids, .row_ids = row_ids, .scale = 16,
		.pad_id = -1};
	RnLossArgs	loss = {.rows = LOSS_ROWS, .cols = VOCABULARY, .targets = ids, .smoothing = 0.1, .gradient = 1,
		.gradient_scale = 1e-3, .sums = sums};
	RnAdamArgs	adam = {.n = 1 << 20, .decision = &decision, .beta1 = 0.9, .beta2 = 0.98, .epsilon = 1e-9};
	rn_real    *x = numbers(size);
	rn_real    *y = numbers(size);
	rn_real    *dy = numbers(size);
	rn_real    *dx = numbers(size);
	rn_real    *more = numbers(size);
	rn_real    *row = numbers(4 * COLS);
	rn_real    *logits = numbers((size_t) LOSS_ROWS * VOCABULARY);
	int			i;

	for (i = 0; i < ROWS; i++)
	{
		row_ids[i] = (uint32_t) i;
		ids[i] = i * 7 % 1000;
	}
	printf("\n%-40s %8s\n", "rows of 256 (loss: 8000), one thread", "ns/elem");
	activation.x = x;
	activation.y = y;
	activation.bias = row;
	activation.dy = dy;
	activation.dx = dx;
	activation.dbias = row + COLS;
	report("bias + ReLU", run_activation, &activation, size);
	report("  backward", run_activation_backward, &activation, size);
	activation.dropout = dropout;
	report("bias + ReLU + dropout", run_activation, &activation, size);
	report("  backward", run_activation_backward, &activation, size);
	activation.kind = RN_GELU;
	activation.pre = more;
	activation.dropout.rate = 0.0;
	report("bias + GELU", run_activation, &activation, size);
	report("  backward", run_activation_backward, &activation, size);

	residual.shortcut = x;
	residual.branch = y;
	residual.bias = row;
	residual.gain = row + COLS;
	residual.shift = row + 2 * COLS;
	residual.output = dx;
	residual.normalized = y;
	residual.rstd = numbers(ROWS);
	residual.doutput = dy;
	residual.dshortcut = dx;
	residual.dbranch = dy;
	residual.dbias = row;
	residual.dgain = row + COLS;
	residual.dshift = row + 2 * COLS;
	report("residual + bias + norm", run_residual, &residual, size);
	report("  backward", run_residual_backward, &residual, size);
	residual.dropout = dropout;
	report("residual + bias + dropout + norm", run_residual, &residual, size);
	report("  backward", run_residual_backward, &residual, size);
	residual.dual = more;
	residual.ddual = more;
	report("the same with a dual stream", run_residual, &residual, size);
	report("  backward", run_residual_backward, &residual, size);

	norm.x = x;
	norm.gain = row;
	norm.shift = row + COLS;
	norm.output = y;
	norm.normalized = more;
	norm.rstd = residual.rstd;
	norm.doutput = x;
	norm.dx = dx;
	norm.dgain = row + 2 * COLS;
	norm.dshift = row + 3 * COLS;
	report("layer norm", run_norm, &norm, size);
	report("  backward", run_norm_backward, &norm, size);

	embedding.table = numbers(1000 * COLS);
	embedding.position_table = numbers(1000 * COLS);
	embedding.dtable = numbers(1000 * COLS);
	embedding.y = y;
	embedding.dy = x;
	embedding.dropout = dropout;
	report("embedding + position + dropout", run_embedding, &embedding, size);
	report("  backward", run_embedding_backward, &embedding, size);

	loss.logits = logits;
	report("smoothed loss and its gradient", run_loss, &loss, (size_t) LOSS_ROWS * VOCABULARY);
	loss.gradient = 0;
	report("smoothed loss alone", run_loss, &loss, (size_t) LOSS_ROWS * VOCABULARY);
	report("the 10 best", run_top, logits, (size_t) LOSS_ROWS * VOCABULARY);

	adam.value = numbers(adam.n);
	adam.gradient = numbers(adam.n);
	adam.first = numbers(adam.n);
	adam.second = memory(adam.n * sizeof(rn_real));
	report("Adam, 1 M parameters", run_adam, &adam, adam.n);
}

/* ---- attention ---- */

static void
run_attention(int way, void *arg)
{
	(void) way;
	kernels->attention_forward(lane, arg);
}

static void
run_attention_backward(int way, void *arg)
{
	(void) way;
	kernels->attention_backward(lane, arg);
}

/* Multiplications and additions that a full (not causal) head needs count as work. */
static void
attention_case(int heads, int head_size, int length, int causal, double rate)
{
	const int	sentences = 1024 / length;
	const int	rows = sentences * length;
	const int	width = heads * head_size;
	const double products = 2.0 * sentences * heads * (double) length * length * head_size;
	RnPacked	packed = {.n_sentences = sentences, .rows = rows};
	int32_t    *offsets = memory((size_t) (sentences + 1) * sizeof(int32_t));
	uint32_t   *names = memory((size_t) rows * sizeof(uint32_t));
	rn_real    *qkv = numbers((size_t) rows * width * 3);
	rn_real    *dqkv = numbers((size_t) rows * width * 3);
	RnAttentionArgs args = {.queries = &packed, .keys = &packed, .heads = heads, .head_size = head_size, .causal = causal,
		.scale = 1.0 / sqrt(head_size), .score_divisor = 1, .q = qkv, .k = qkv + width, .v = qkv + 2 * width,
		.dq = dqkv, .dk = dqkv + width, .dv = dqkv + 2 * width};
	double		forward;
	double		backward;
	int			s;

	for (s = 0; s <= sentences; s++)
		offsets[s] = s * length;
	for (s = 0; s < rows; s++)
		names[s] = (uint32_t) s;
	packed.offsets = offsets;
	packed.row_ids = names;
	args.ldq = args.ldk = args.ldv = args.lddq = args.lddk = args.lddv = 3 * width;
	args.dropout = (RnDropout) {.rate = rate, .seed = 1, .step = 1, .site = 1};
	args.probabilities = memory(rn_attention_size(&packed, &packed, heads) * sizeof(rn_real));
	args.output = numbers((size_t) rows * width);
	args.doutput = numbers((size_t) rows * width);
	measure(1, run_attention, &args, &forward);
	measure(1, run_attention_backward, &args, &backward);
	printf("%d x %-4d length %-4d %-8s dropout %-4g %9.1f %6.1f %9.1f %6.1f\n", heads, head_size, length,
		   causal ? "causal" : "", rate, forward * 1e9 / rows, 2 * products / forward * 1e-9, backward * 1e9 / rows,
		   4 * products / backward * 1e-9);
}

static void
bench_attention(void)
{
	printf("\n%-39s %9s %6s %9s %6s\n", "attention: ns a query row, GFLOP/s", "forward", "", "backward", "");
	attention_case(4, 32, 16, 0, 0.0);
	attention_case(4, 32, 24, 0, 0.0);
	attention_case(4, 32, 24, 0, 0.1);
	attention_case(4, 32, 24, 1, 0.1);
	attention_case(4, 32, 40, 0, 0.1);
	attention_case(8, 64, 24, 0, 0.1);
	attention_case(4, 64, 40, 1, 0.1);
	attention_case(8, 64, 200, 0, 0.1);
}

/* ---- a decoding step ---- */

static void
run_step(int way, void *arg)
{
	(void) way;
	kernels->attention_step(lane, arg);
}

static void
step_case(int rows, int heads, int head_size, int count, int with_list)
{
	const int	width = heads * head_size;
	const int	cache = rows * count;
	RnAttentionStepArgs args = {.rows = rows, .heads = heads, .head_size = head_size, .scale = 0.2, .score_divisor = 1,
		.score_stride = count};
	int32_t    *first = memory((size_t) rows * sizeof(int32_t));
	int32_t    *counts = memory((size_t) rows * sizeof(int32_t));
	int32_t    *list = memory((size_t) cache * sizeof(int32_t));
	double		seconds;
	int			i;

	for (i = 0; i < rows; i++)
	{
		first[i] = i * count;
		counts[i] = count;
	}
	for (i = 0; i < cache; i++)
		list[i] = i % count * rows + i / count;
	args.first = first;
	args.count = counts;
	args.list = with_list ? list : NULL;
	args.q = numbers((size_t) rows * width);
	args.k = numbers((size_t) cache * width);
	args.v = numbers((size_t) cache * width);
	args.ldq = args.ldk = args.ldv = width;
	args.output = numbers((size_t) rows * width);
	measure(1, run_step, &args, &seconds);
	printf("%3d rows, %d x %-3d %3d keys, %-10s %10.2f us %8.1f GFLOP/s\n", rows, heads, head_size, count,
		   with_list ? "listed" : "in a row", seconds * 1e6, 4e-9 * rows * width * count / seconds);
}

static void
bench_decode(void)
{
	printf("\nattention of a decoding step\n");
	step_case(1, 4, 32, 20, 0);
	step_case(5, 4, 32, 20, 1);
	step_case(32, 4, 32, 20, 1);
	step_case(160, 4, 32, 20, 1);
	step_case(160, 4, 32, 20, 0);
	step_case(160, 8, 64, 40, 1);
}

int
main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : "";
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (rn_device_open(&ctx, "cpu", &kernels) != RN_OK || kernels->lane_create(&ctx, &lane) != RN_OK)
	{
		fprintf(stderr, "%s\n", ctx.message);
		return 1;
	}
	printf("%s\n", kernels->description());
	if (*only == '\0' || strcmp(only, "products") == 0)
		bench_products();
	if (*only == '\0' || strcmp(only, "rows") == 0)
		bench_rows();
	if (*only == '\0' || strcmp(only, "attention") == 0)
		bench_attention();
	if (*only == '\0' || strcmp(only, "decode") == 0)
		bench_decode();
	kernels->lane_free(lane);
	return 0;
}
