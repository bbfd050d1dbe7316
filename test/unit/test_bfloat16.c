/*
 * test_bfloat16.c
 *		Products of numbers rounded to bfloat16, and a trainer that uses them,
 *		on processors that have the instructions.
 *
 * The truth is made in double from factors that are rounded here, bit by bit:
 * a product may differ from it only by what sums in single precision lose.
 *
 * test/unit/test_bfloat16.c
 */
#include "kernel_check.h"

#include "trainer_bench.h"

#define COUNT(array)	((int) (sizeof(array) / sizeof((array)[0])))
#define STEPS			40

typedef struct Shape
{
	int			m;
	int			n;
	int			k;
} Shape;

static const Shape shapes[] = {
	{13, 13, 1}, {13, 16, 2}, {14, 31, 3}, {24, 32, 31}, {25, 33, 32}, {36, 48, 33}, {37, 15, 63}, {95, 64, 65},
	{96, 65, 511}, {97, 30, 512}, {20, 100, 513}, {193, 40, 1025}, {30, 511, 20}, {13, 513, 9}, {200, 1025, 6},
	{300, 96, 70}
};

/* To nearest, ties to even (IEEE 754). */
static double
rounded(float x)
{
	uint32_t	bits;

	memcpy(&bits, &x, sizeof(bits));
	bits += 0x7fff + (bits >> 16 & 1);
	bits &= 0xffff0000u;
	memcpy(&x, &bits, sizeof(bits));
	return x;
}

/* What is lost, against the sum of the products' magnitudes. */
static double
product_distance(Device *device, const Shape *s, int ta, int tb, double alpha, double beta)
{
	const int	lda = (ta ? s->m : s->k) + 3;
	const int	ldb = (tb ? s->k : s->n) + 5;
	const int	ldc = s->n + 2;
	const size_t size_a = (size_t) (ta ? s->k : s->m) * lda;
	const size_t size_b = (size_t) (tb ? s->n : s->k) * ldb;
	const size_t size_c = (size_t) s->m * ldc;
	rn_real    *a = numbers(size_a, 1);
	rn_real    *b = numbers(size_b, 2);
	rn_real    *before = numbers(size_c, 3);
	rn_real    *after = malloc(size_c * sizeof(rn_real));
	rn_real    *c = upload(device, before, size_c);
	double		worst = 0;
	int			i;
	int			j;
	int			p;

	device->k->product(device->lane, ta, tb, s->m, s->n, s->k, alpha, upload(device, a, size_a), lda,
					   upload(device, b, size_b), ldb, beta, c, ldc);
	download(device, after, c, size_c);
	for (i = 0; i < s->m; i++)
		for (j = 0; j < ldc; j++)
		{
			const rn_real was = before[i * ldc + j];
			const rn_real is = after[i * ldc + j];
			double		sum = 0;
			double		size = fabs(was);
			double		error;

			for (p = 0; p < s->k && j < s->n; p++)
			{
				const double product = rounded(a[ta ? p * lda + i : i * lda + p]) *
					rounded(b[tb ? j * ldb + p : p * ldb + j]);

				sum += product;
				size += fabs(product);
			}
			error = j < s->n ? fabs(is - (alpha * sum + beta * was)) / size : is != was;
			worst = !(error <= worst) ? error : worst;
		}
	release_buffers(device);
	free(a);
	free(b);
	free(before);
	free(after);
	return worst;
}

static void
test_products(Device *device)
{
	Worst		worst = {0};
	int			i;
	int			t;

	for (i = 0; i < COUNT(shapes); i++)
		for (t = 0; t < 8; t++)
			worst_of(&worst, product_distance(device, &shapes[i], t & 1, t >> 1 & 1, t & 4 ? -0.5 : 1, t & 4 ? 2 : 0),
					 "m %d n %d k %d, transposed %d %d", shapes[i].m, shapes[i].n, shapes[i].k, t & 1, t >> 1 & 1);
	CHECK(worst.distance < 5e-7, "products: %.1e at %s", worst.distance, worst.where);
}

/* beta 0 does not read C, and what is no number stays visible. */
static void
test_no_numbers(Device *device)
{
	const int	n = 40;
	rn_real    *a = numbers(n * n, 1);
	rn_real    *c = numbers(n * n, 2);
	rn_real    *on_device;
	int			i;
	int			wrong = 0;

	for (i = 0; i < n * n; i++)
		c[i] = NAN;
	on_device = upload(device, c, n * n);
	a[3 * n + 5] = NAN;
	a[7 * n + 5] = INFINITY;
	device->k->product(device->lane, 0, 1, n, n, n, 1, upload(device, a, n * n), n, upload(device, a, n * n), n, 0,
					   on_device, n);
	download(device, c, on_device, n * n);
	for (i = 0; i < n * n; i++)
	{
		const int	is_nan = i / n == 3 || i % n == 3;
		const int	is_infinite = !is_nan && (i / n == 7 || i % n == 7);

		wrong += is_nan != isnan(c[i]) || is_infinite != !!isinf(c[i]);
	}
	CHECK(wrong == 0, "NaN and infinity go through products (%d wrong)", wrong);
	release_buffers(device);
	free(a);
	free(c);
}

/* ---- training ---- */

static const char *const options[] = {"learning_rate", "0.002", "warmup_steps", "5", NULL};

static void
test_training(const RnKernels *kernels)
{
	Bench		benches[3];
	double		worst = 0;
	double		losses[3];
	double		first = 0;
	int			equal = 1;
	int			i;
	int			j;

	if (!CHECK(open_bench(&benches[0], rn_cpu_kernels(), 2, options) && open_bench(&benches[1], kernels, 2, options) &&
			   open_bench(&benches[2], kernels, 2, options), "three trainers"))
		return;
	for (i = 0; i < STEPS; i++)
	{
		for (j = 0; j < 3; j++)
		{
			RnStepResult result;

			if (rn_trainer_step(&benches[j].ctx, benches[j].trainer, benches[j].reader, &result, NULL) != RN_OK)
			{
				CHECK(0, "step %d: %s", i + 1, benches[j].ctx.message);
				return;
			}
			losses[j] = result.loss;
		}
		first = i == 0 ? losses[0] : first;
		worst = fmax(worst, fabs(losses[1] / losses[0] - 1));
		equal &= losses[1] == losses[2];
	}
	CHECK(worst > 1e-6 && worst < 1e-2, "losses of %d steps differ by up to %.1e from float32's", STEPS, worst);
	CHECK(losses[1] < 0.95 * first, "something is learned: %.3f, then %.3f", first, losses[1]);
	CHECK(equal, "a run repeated gives the same losses");
	for (j = 0; j < 3; j++)
		close_bench(&benches[j]);
}

int
main(void)
{
	const RnKernels *kernels;
	RnContext	ctx;
	Device		device;

	rn_context_reset(&ctx);
	CHECK(rn_device_choose(&ctx, "cpu", "float16", &kernels, NULL) == RN_UNSUPPORTED &&
		  strstr(ctx.message, "\"float16\" is not supported by device \"cpu\"") != NULL, "%s", ctx.message);
	rn_context_reset(&ctx);
	if (rn_device_choose(&ctx, "cpu", "bfloat16", &kernels, NULL) != RN_OK)
	{
		CHECK(ctx.status == RN_UNSUPPORTED && strstr(ctx.detail, "AVX512-BF16") != NULL, "refused: %s. %s", ctx.message,
			  ctx.detail);
		check_skip("this processor has no products of bfloat16 numbers");
		return check_done();
	}
	printf("# %s\n", kernels->description());
	CHECK(kernels != rn_cpu_kernels() && !kernels->loss_scaling, "a table of its own");
	if (!CHECK(device_begin(&device, kernels), "a lane"))
		return check_done();
	test_products(&device);
	test_no_numbers(&device);
	device_end(&device);
	test_training(kernels);
	return check_done();
}
