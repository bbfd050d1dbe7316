/*
 * test_kernels.c
 *		Every level of the CPU's kernels against plain loops in double.
 *
 * Values are held to the formulas of kernel.h, gradients to central
 * differences of those same plain loops, so no derivative is written here
 * that could share a mistake with a kernel.  Attention, loss and search have
 * programs of their own.
 *
 * test/unit/test_kernels.c
 */
#include "kernel_check.h"

static const int row_counts[] = {0, 1, 5};
static const int col_counts[] = {1, 7, 8, 40, 72, 130};

#define COUNT(array)	((int) (sizeof(array) / sizeof((array)[0])))
#define STEP			1e-5	/* of central differences, in double */

/* gradient[i] = d objective / d x[i] */
static void
differences(double (*objective) (void *state), void *state, double *x, size_t n, double *gradient)
{
	size_t		i;

	for (i = 0; i < n; i++)
	{
		double		at = x[i];
		double		above;

		x[i] = at + STEP;
		above = objective(state);
		x[i] = at - STEP;
		gradient[i] = (above - objective(state)) / (2 * STEP);
		x[i] = at;
	}
}

static uint32_t *
names_of_rows(int rows)
{
	uint32_t   *ids = malloc((size_t) (rows + 1) * sizeof(uint32_t));
	int			i;

	for (i = 0; i < rows; i++)
		ids[i] = 1000003u * (uint32_t) i + 17u;
	return ids;
}

/* ---- products ---- */

typedef struct ProductCase
{
	int			m;
	int			n;
	int			k;
	double		alpha;
	double		beta;
} ProductCase;

static const ProductCase product_cases[] = {
	{0, 5, 3, 1, 0}, {5, 0, 3, 1, 0}, {5, 3, 0, 1, 0}, {5, 3, 0, 1, 2}, {1, 1, 1, 1, 0}, {1, 130, 72, 1, 0},
	{2, 40, 128, 1, 1}, {13, 7, 8, 0.5, 0}, {5, 130, 40, 1, 1}, {72, 40, 33, 1, 0}, {128, 384, 40, 1, 1},
	{8, 8, 8, 0, 0.5}, {31, 257, 300, 2, -1}, {200, 128, 130, 1, 0}, {16, 1000, 64, 1, 0}, {7, 64, 513, 1, 0},
	{240, 96, 7, 1, 0}, {96, 17, 260, 1, 1}, {3, 513, 2, 1, 0}, {48, 2049, 9, 1, 1},
	{12, 33, 40, 1, 1}, {13, 40, 1021, 1, 0}, {121, 70, 800, -1, 1}, {100, 600, 300, 1, 0}, {100, 600, 300, 0.5, 1},
};

static double
product_distance(Device *device, const ProductCase *c, int ta, int tb)
{
	const int	lda = (ta ? c->m : c->k) + 3;
	const int	ldb = (tb ? c->k : c->n) + 5;
	const int	ldc = c->n + 2;
	const size_t size_a = (size_t) (ta ? c->k : c->m) * lda;
	const size_t size_b = (size_t) (tb ? c->n : c->k) * ldb;
	const size_t size_c = (size_t) c->m * ldc;
	rn_real    *a = numbers(size_a, 1);
	rn_real    *b = numbers(size_b, 2);
	rn_real    *start = numbers(size_c, 3);
	double	   *truth = widen(start, size_c);
	rn_real    *result;
	double		d;
	int			i;
	int			j;
	int			p;

	for (i = 0; i < c->m; i++)
		for (j = 0; j < c->n; j++)
		{
			double		sum = 0.0;

			for (p = 0; p < c->k; p++)
				sum += (double) a[ta ? p * lda + i : i * lda + p] * b[tb ? j * ldb + p : p * ldb + j];
			truth[i * ldc + j] = c->alpha * sum + (c->beta == 0 ? 0 : c->beta * truth[i * ldc + j]);
			if (c->beta == 0)
				start[i * ldc + j] = (rn_real) NAN;	/* must not be read */
		}
	result = upload(device, start, size_c);
	device->k->product(device->lane, ta, tb, c->m, c->n, c->k, c->alpha, upload(device, a, size_a), lda,
					   upload(device, b, size_b), ldb, c->beta, result, ldc);
	d = distance(device, result, truth, size_c) / sqrt(c->k + 1.0);	/* random errors grow so */
	release_buffers(device);
	free(a);
	free(b);
	free(start);
	free(truth);
	return d;
}

static void
test_product(Device *device)
{
	Worst		worst = {0};
	int			i;
	int			t;

	for (i = 0; i < COUNT(product_cases); i++)
		for (t = 0; t < 4; t++)
		{
			const ProductCase *c = &product_cases[i];

			worst_of(&worst, product_distance(device, c, t & 1, t >> 1), "m %d n %d k %d, transposed %d %d", c->m, c->n,
					 c->k, t & 1, t >> 1);
		}
	CHECK(worst.distance <= tolerance(1e-6, 2e-15), "product: %.1e at %s", worst.distance, worst.where);
}

/* ---- products with a bias, sums ---- */

/* y = x W^T + bias, of out columns. */
static double
linear_distance(Device *device, int rows, int out, int in, int with_bias)
{
	const size_t size = (size_t) rows * out;
	rn_real    *x = numbers((size_t) rows * in, 1);
	rn_real    *weight = numbers((size_t) out * in, 2);
	rn_real    *bias = numbers((size_t) out, 3);
	rn_real    *not_read = numbers(size, 4);
	double	   *truth = zeros(size);
	rn_real    *y;
	double		d;
	int			i;
	int			j;
	int			p;

	for (i = 0; i < rows; i++)
		for (j = 0; j < out; j++)
		{
			truth[i * out + j] = with_bias ? bias[j] : 0;
			not_read[i * out + j] = (rn_real) NAN;
			for (p = 0; p < in; p++)
				truth[i * out + j] += (double) x[i * in + p] * weight[j * in + p];
		}
	y = upload(device, not_read, size);
	device->k->linear_forward(device->lane, rows, out, in, upload(device, x, (size_t) rows * in),
							  upload(device, weight, (size_t) out * in),
							  with_bias ? upload(device, bias, (size_t) out) : NULL, y);
	d = distance(device, y, truth, size) / sqrt(in + 1.0);
	release_buffers(device);
	free(x);
	free(weight);
	free(bias);
	free(not_read);
	free(truth);
	return d;
}

/* dbias += column sums of dy */
static double
bias_distance(Device *device, int rows, int cols)
{
	const int	ld = cols + 3;
	rn_real    *dy = numbers((size_t) rows * ld, 1);
	rn_real    *start = numbers((size_t) cols, 2);
	double	   *sums = widen(start, (size_t) cols);
	rn_real    *dbias = upload(device, start, (size_t) cols);
	double		d;
	int			i;
	int			j;

	for (i = 0; i < rows; i++)
		for (j = 0; j < cols; j++)
			sums[j] += dy[i * ld + j];
	device->k->bias_backward(device->lane, rows, cols, upload(device, dy, (size_t) rows * ld), ld, dbias);
	d = distance(device, dbias, sums, (size_t) cols);
	release_buffers(device);
	free(dy);
	free(start);
	free(sums);
	return d;
}

static void
test_linear(Device *device)
{
	static const int inner[] = {0, 1, 33, 128};
	Worst		forward = {0};
	Worst		backward = {0};
	int			r;
	int			c;
	int			k;

	for (r = 0; r < COUNT(row_counts); r++)
		for (c = 0; c < COUNT(col_counts); c++)
		{
			const int	rows = row_counts[r];
			const int	cols = col_counts[c];

			for (k = 0; k < COUNT(inner); k++)
				worst_of(&forward, linear_distance(device, rows, cols, inner[k], (r + c + k) % 3 != 0), "%d x %d x %d", rows, cols,
						 inner[k]);
			worst_of(&backward, bias_distance(device, rows, cols), "%d x %d", rows, cols);
		}
	CHECK(forward.distance <= tolerance(1e-6, 2e-15), "linear: %.1e at %s", forward.distance, forward.where);
	CHECK(backward.distance <= tolerance(2e-6, 1e-14), "bias backward: %.1e at %s", backward.distance, backward.where);
}

static void
test_sums(Device *device)
{
	static const size_t lengths[] = {0, 1, 7, 16, 130, 5000, 100003};
	Worst		add = {0};
	Worst		dot = {0};
	int			c;

	for (c = 0; c < COUNT(lengths); c++)
	{
		const size_t n = lengths[c];
		rn_real    *x = numbers(n, 1);
		rn_real    *y = numbers(n, 2);
		rn_real    *weight = numbers(1, 3);
		double	   *both = zeros(n);
		double	   *alone = zeros(n);
		double	   *weighted = zeros(n);
		double		product = weight[0];
		double		squares = 0.0;
		double		sum = -1.0;
		double	   *sum_device;
		rn_real    *not_read = numbers(n, 2);
		rn_real    *x_device = upload(device, x, n);
		rn_real    *y_device = upload(device, y, n);
		rn_real    *weight_device = upload(device, weight, 1);
		rn_real    *result;
		size_t		i;

		for (i = 0; i < n; i++)
		{
			both[i] = 0.75 * x[i] - 1.5 * y[i];
			alone[i] = 0.75 * x[i];
			weighted[i] = (double) weight[0] * x[i] + y[i];
			product += (double) x[i] * y[i];
			squares += (double) x[i] * x[i];
			not_read[i] = (rn_real) NAN;
		}
		result = upload(device, not_read, n);
		device->k->scaled_add(device->lane, n, 0.75, x_device, 0.0, result);
		worst_of(&add, distance(device, result, alone, n), "scaled, beta 0, %zu", n);
		result = upload(device, not_read, n);
		device->k->weighted_add(device->lane, n, weight_device, x_device, 0.0, result);
		for (i = 0; i < n; i++)
			alone[i] = (double) weight[0] * x[i];
		worst_of(&add, distance(device, result, alone, n), "weighted, beta 0, %zu", n);
		result = upload(device, y, n);
		device->k->scaled_add(device->lane, n, 0.75, x_device, -1.5, result);
		worst_of(&add, distance(device, result, both, n), "scaled, %zu", n);
		device->k->weighted_add(device->lane, n, weight_device, x_device, 1.0, y_device);
		worst_of(&add, distance(device, y_device, weighted, n), "weighted, %zu", n);
		device->k->dot_add(device->lane, n, x_device, upload(device, y, n), weight_device);
		worst_of(&dot, distance(device, weight_device, &product, 1) / sqrt(n + 1.0), "dot, %zu", n);
		sum_device = upload_doubles(device, &sum, 1);
		device->k->sum_squares(device->lane, n, x_device, sum_device);
		download_doubles(device, &sum, sum_device, 1);
		worst_of(&dot, fabs(sum - squares) / fmax(1.0, squares) / sqrt(n + 1.0), "squares, %zu", n);
		release_buffers(device);
		free(x);
		free(y);
		free(weight);
		free(both);
		free(alone);
		free(weighted);
		free(not_read);
	}
	CHECK(add.distance <= tolerance(1e-6, 1e-15), "sums of tensors: %.1e at %s", add.distance, add.where);
	CHECK(dot.distance <= tolerance(2e-7, 1e-15), "dot products: %.1e at %s", dot.distance, dot.where);
}

static void
test_memory(Device *device)
{
	static const size_t lengths[] = {0, 1, 1000, 3000000};
	int			right = 1;
	int			c;

	for (c = 0; c < COUNT(lengths); c++)
	{
		const size_t n = lengths[c];
		const size_t bytes = n * sizeof(rn_real);
		rn_real    *host = numbers(n, 5);
		rn_real    *back = numbers(n, 6);
		rn_real    *a = upload(device, NULL, n);
		rn_real    *b = upload(device, host, n);
		size_t		i;

		right &= ((uintptr_t) a % 64) == 0 && ((uintptr_t) b % 64) == 0;
		download(device, back, a, n);
		for (i = 0; i < n; i++)
			right &= back[i] == 0;
		device->k->copy(device->lane, a, b, bytes);
		download(device, back, a, n);
		right &= memcmp(back, host, bytes) == 0;
		device->k->zero(device->lane, b, bytes);
		download(device, back, b, n);
		for (i = 0; i < n; i++)
			right &= back[i] == 0;
		release_buffers(device);
		free(host);
		free(back);
	}
	CHECK(right, "memory is aligned and cleared, copies arrive");
	CHECK(device->k->allocate(&device->ctx, SIZE_MAX / 4, (void **) &(void *) {NULL}) == RN_NO_MEMORY,
		  "what no machine has is refused");
	rn_context_reset(&device->ctx);
}

/* ---- dropout masks ---- */

static void
test_masks(Device *device)
{
	static const double rates[] = {0.1, 0.3, 0.5, 0.9999};
	long		wrong = 0;
	long		looked_at = 0;
	int			c;
	int			r;

	for (c = 0; c < 40; c++)
		for (r = 0; r < COUNT(rates); r++)
		{
			const int	rows = 3;
			const int	cols = c < COUNT(col_counts) ? col_counts[c] : 97 * c;
			const size_t size = (size_t) rows * cols;
			const uint32_t row_ids[3] = {0, 0xffffffffu, 40507u * (uint32_t) c};
			RnActivationArgs args = {.kind = RN_RELU, .rows = rows, .cols = cols, .row_ids = row_ids};
			rn_real    *ones = malloc((size + 1) * sizeof(rn_real));
			size_t		i;

			args.dropout.rate = rates[r];
			args.dropout.seed = 0x9e3779b97f4a7c15ull * (uint64_t) (c + 1);
			args.dropout.step = 4000000000u - (uint32_t) c;
			args.dropout.site = 65535u - (uint32_t) c;
			for (i = 0; i < size; i++)
				ones[i] = 1;
			args.x = args.y = upload(device, ones, size);
			device->k->activation_forward(device->lane, &args);
			download(device, ones, args.y, size);
			for (i = 0; i < size; i++)
			{
				rn_real		factor = (rn_real) (1.0 / (1.0 - rates[r]));
				int			keeps = rn_dropout_keeps(&args.dropout, row_ids[i / cols], (uint32_t) (i % cols));

				wrong += ones[i] != (keeps ? factor : 0);
				looked_at++;
			}
			release_buffers(device);
			free(ones);
		}
	CHECK(wrong == 0, "dropout masks: %ld of %ld elements differ", wrong, looked_at);
}

/* ---- activations ---- */

typedef struct Activation
{
	RnActivation kind;
	int			rows;
	int			cols;
	double	   *x;
	double	   *bias;			/* or NULL */
	double	   *mask;
	double	   *dy;
	double	   *y;
} Activation;

static double
activation_objective(void *state)
{
	Activation *a = state;
	double		sum = 0.0;
	int			i;

	for (i = 0; i < a->rows * a->cols; i++)
	{
		double		v = a->x[i] + (a->bias != NULL ? a->bias[i % a->cols] : 0.0);

		a->y[i] = a->mask[i] * (a->kind == RN_RELU ? fmax(v, 0.0) : 0.5 * v * (1.0 + erf(v / sqrt(2.0))));
		sum += a->y[i] * a->dy[i];
	}
	return sum;
}

static void
activation_case(Device *device, RnActivation kind, int rows, int cols, int variant, Worst *forward, Worst *backward)
{
	const int	with_bias = variant & 1;
	const int	in_place = variant >> 1 & 1;
	const int	accumulate = variant >> 2 & 1;
	const size_t size = (size_t) rows * cols;
	uint32_t   *row_ids = names_of_rows(rows);
	rn_real    *x = numbers(size, 1);
	rn_real    *bias = numbers((size_t) cols, 2);
	rn_real    *dy = numbers(size, 3);
	Activation	a = {kind, rows, cols, widen(x, size), with_bias ? widen(bias, (size_t) cols) : NULL, NULL, widen(dy, size),
	zeros(size)};
	RnActivationArgs args = {.kind = kind, .rows = rows, .cols = cols, .row_ids = row_ids, .accumulate = accumulate};
	double	   *dx_truth = zeros(size);
	double	   *dbias_truth = widen(bias, (size_t) cols);
	double	   *dbias = zeros((size_t) cols);
	rn_real    *dbias_device = upload(device, bias, (size_t) cols);
	size_t		i;

	args.dropout = (RnDropout) {.rate = variant & 8 ? 0.0 : 0.3, .seed = 5, .step = 6, .site = 7};
	a.mask = plain_mask(&args.dropout, row_ids, rows, cols);
	for (i = 0; i < size; i++)	/* keep clear of the kink */
		if (kind == RN_RELU && fabs(a.x[i] + (with_bias ? a.bias[i % cols] : 0)) < 1e-3)
			a.x[i] = x[i] = 1;
	activation_objective(&a);
	args.x = upload(device, x, size);
	args.bias = with_bias ? upload(device, bias, (size_t) cols) : NULL;
	args.pre = kind == RN_RELU ? NULL : in_place ? (rn_real *) args.x : upload(device, NULL, size);
	args.y = in_place && kind == RN_RELU ? (rn_real *) args.x : upload(device, NULL, size);
	device->k->activation_forward(device->lane, &args);
	worst_of(forward, distance(device, args.y, a.y, size), "kind %d, %d x %d, variant %d", kind, rows, cols, variant);

	args.dy = upload(device, dy, size);
	args.dx = in_place && !accumulate ? (rn_real *) args.dy : upload(device, dy, size);
	args.dbias = with_bias ? dbias_device : NULL;
	differences(activation_objective, &a, a.x, size, dx_truth);
	if (with_bias)
		differences(activation_objective, &a, a.bias, (size_t) cols, dbias);
	for (i = 0; i < (size_t) cols; i++)
		dbias_truth[i] += dbias[i];
	for (i = 0; i < size; i++)
		dx_truth[i] += accumulate ? dy[i] : 0;
	device->k->activation_backward(device->lane, &args);
	worst_of(backward, distance(device, args.dx, dx_truth, size), "dx, kind %d, %d x %d, variant %d", kind, rows, cols,
			 variant);
	if (with_bias)
		worst_of(backward, distance(device, dbias_device, dbias_truth, (size_t) cols), "dbias, kind %d, %d x %d, variant %d",
				 kind, rows, cols, variant);
	release_buffers(device);
	free(row_ids);
	free(x);
	free(bias);
	free(dy);
	free(a.x);
	free(a.bias);
	free(a.mask);
	free(a.dy);
	free(a.y);
	free(dx_truth);
	free(dbias_truth);
	free(dbias);
}

static void
test_activation(Device *device)
{
	Worst		forward = {0};
	Worst		backward = {0};
	int			kind;
	int			r;
	int			c;
	int			variant;

	for (kind = RN_RELU; kind <= RN_GELU; kind++)
		for (r = 0; r < COUNT(row_counts); r++)
			for (c = 0; c < COUNT(col_counts); c++)
				for (variant = 0; variant < 16; variant += row_counts[r] * col_counts[c] > 100 ? 5 : 1)
					activation_case(device, (RnActivation) kind, row_counts[r], col_counts[c], variant, &forward, &backward);
	CHECK(forward.distance <= tolerance(1e-6, 1e-14), "activation: %.1e at %s", forward.distance, forward.where);
	CHECK(backward.distance <= tolerance(2e-6, 1e-8), "activation backward: %.1e at %s", backward.distance, backward.where);
}

/* The polynomial behind GELU against libm, also where the result is small. */
static void
test_gelu(Device *device)
{
	enum {N = 240001};
	rn_real    *x = malloc(N * sizeof(rn_real));
	rn_real    *y = malloc(N * sizeof(rn_real));
	double	   *truth = zeros(N);
	RnActivationArgs args = {.kind = RN_GELU, .rows = 1, .cols = N};
	rn_real     special[6] = {(rn_real) NAN, (rn_real) INFINITY, 0, (rn_real) -0.0, 1e30f, -1e30f};
	rn_real		answer[6];
	double		relative = 0.0;
	double		d;
	int			i;

	for (i = 0; i < N; i++)
	{
		x[i] = (rn_real) (-12.0 + i * 1e-4);
		truth[i] = 0.5 * x[i] * erfc(-(double) x[i] / sqrt(2.0));
	}
	args.x = upload(device, x, N);
	args.y = upload(device, NULL, N);
	device->k->activation_forward(device->lane, &args);
	d = distance(device, args.y, truth, N);
	CHECK(d <= tolerance(2e-7, 2e-15), "GELU over -12 .. 12: %.1e", d);
	download(device, y, args.y, N);
	for (i = 0; i < N; i++)
		if (truth[i] != 0)
			relative = fmax(relative, fabs(y[i] - truth[i]) / fabs(truth[i]) / fmax(1.0, x[i] * x[i]));
	CHECK(relative <= tolerance(1e-6, 2e-15), "relative to its size and x^2: %.1e", relative);
	args.cols = 6;
	args.x = upload(device, special, 6);
	args.y = upload(device, NULL, 6);
	device->k->activation_forward(device->lane, &args);
	download(device, answer, args.y, 6);
	CHECK(isnan(answer[0]) && answer[1] == (rn_real) INFINITY && answer[2] == 0 && answer[3] == 0 &&
		  answer[4] == 1e30f && fabs(answer[5]) == 0, "GELU of what is no number, infinite, 0 and huge");
	release_buffers(device);
	free(x);
	free(y);
	free(truth);
}

/* ---- how a sublayer joins the stream ---- */

enum
{
	WITH_BIAS = 1, WITH_OMEGA = 2, WITH_GATE = 4, WITH_NORM = 8, WITH_DUAL = 16, WITH_DROPOUT = 32,
	IN_PLACE = 64, ACCUMULATE = 128, ALL_VARIANTS = 256
};

typedef struct Join
{
	int			rows;
	int			cols;
	int			variant;
	double	   *shortcut;
	double	   *branch;
	double	   *bias;
	double	   *omega;
	double	   *gate;
	double	   *gain;
	double	   *shift;
	double	   *mask;
	double	   *doutput;
	double	   *ddual;
	double	   *dual_before;
	double	   *dual;
	double	   *output;
	double	   *normalized;
	double	   *rstd;
} Join;

static const double shortcut_scale = 1.3;
static const double branch_scale = 0.8;
static const double dual_scale = 0.6;
static const double epsilon = 1e-3;

static void
plain_row_norm(int cols, const double *s, const double *gain, const double *shift, double *normalized, double *rstd,
			   double *output)
{
	double		mean = 0.0;
	double		variance = 0.0;
	int			j;

	for (j = 0; j < cols; j++)
		mean += s[j] / cols;
	for (j = 0; j < cols; j++)
		variance += (s[j] - mean) * (s[j] - mean) / cols;
	*rstd = 1.0 / sqrt(variance + epsilon);
	for (j = 0; j < cols; j++)
	{
		normalized[j] = (s[j] - mean) * *rstd;
		output[j] = (gain != NULL ? gain[j] : 1.0) * normalized[j] + (shift != NULL ? shift[j] : 0.0);
	}
}

static double
join_objective(void *state)
{
	Join	   *t = state;
	double		sum = 0.0;
	int			i;
	int			j;

	for (i = 0; i < t->rows; i++)
	{
		double		s[256];

		for (j = 0; j < t->cols; j++)
		{
			const int	at = i * t->cols + j;
			double		a = t->branch[at] + (t->variant & WITH_BIAS ? t->bias[j] : 0.0);

			a *= branch_scale * t->mask[at] * (t->variant & WITH_GATE ? t->gate[0] : 1.0);
			s[j] = shortcut_scale * t->shortcut[at] * (t->variant & WITH_OMEGA ? t->omega[j] : 1.0) + a;
			t->dual[at] = t->dual_before[at] + dual_scale * a;
			t->output[at] = s[j];
		}
		if (t->variant & WITH_NORM)
			plain_row_norm(t->cols, s, t->gain, t->shift, t->normalized + i * t->cols, t->rstd + i,
						   t->output + i * t->cols);
		for (j = 0; j < t->cols; j++)
		{
			const int	at = i * t->cols + j;

			sum += t->output[at] * t->doutput[at] + (t->variant & WITH_DUAL ? t->dual[at] * t->ddual[at] : 0.0);
		}
	}
	return sum;
}

/* A gradient against differences; start is what was in the buffer, or NULL. */
static void
judge_gradient(Device *device, Join *t, double *x, size_t n, const rn_real *gradient, const rn_real *start, Worst *worst,
			   const char *name)
{
	double	   *truth = zeros(n);
	size_t		i;

	differences(join_objective, t, x, n, truth);
	for (i = 0; i < n; i++)
		truth[i] += start != NULL ? start[i] : 0.0;
	worst_of(worst, distance(device, gradient, truth, n), "%s, %d x %d, variant %d", name, t->rows, t->cols, t->variant);
	free(truth);
}

static void
join_case(Device *device, int rows, int cols, int variant, Worst *forward, Worst *backward)
{
	const size_t size = (size_t) rows * cols;
	const size_t width = (size_t) cols;
	uint32_t   *row_ids = names_of_rows(rows);
	rn_real    *big[6];			/* shortcut, branch, doutput, ddual, dual, a start */
	rn_real    *small[5];		/* bias, omega, gain, shift, gate */
	RnResidualArgs args = {.rows = rows, .cols = cols, .shortcut_scale = shortcut_scale, .branch_scale = branch_scale,
		.dual_scale = dual_scale, .epsilon = epsilon, .row_ids = row_ids};
	Join		t = {.rows = rows, .cols = cols, .variant = variant};
	rn_real    *branch;
	int			i;

	for (i = 0; i < 6; i++)
		big[i] = numbers(size, (unsigned) (10 + i));
	for (i = 0; i < 5; i++)
		small[i] = numbers(width, (unsigned) (20 + i));
	t.shortcut = widen(big[0], size);
	t.branch = widen(big[1], size);
	t.doutput = widen(big[2], size);
	t.ddual = widen(big[3], size);
	t.dual_before = widen(big[4], size);
	t.bias = widen(small[0], width);
	t.omega = widen(small[1], width);
	t.gain = widen(small[2], width);
	t.shift = widen(small[3], width);
	t.gate = widen(small[4], 1);
	t.dual = zeros(size);
	t.output = zeros(size);
	t.normalized = zeros(size);
	t.rstd = zeros((size_t) rows);
	if (variant & WITH_DROPOUT)
		args.dropout = (RnDropout) {.rate = 0.3, .seed = 77, .step = 3, .site = 4};
	t.mask = plain_mask(&args.dropout, row_ids, rows, cols);
	join_objective(&t);

	args.shortcut = upload(device, big[0], size);
	args.branch = branch = upload(device, big[1], size);
	args.bias = variant & WITH_BIAS ? upload(device, small[0], width) : NULL;
	args.omega = variant & WITH_OMEGA ? upload(device, small[1], width) : NULL;
	args.gate = variant & WITH_GATE ? upload(device, small[4], 1) : NULL;
	args.gain = variant & WITH_NORM ? upload(device, small[2], width) : NULL;
	args.shift = variant & WITH_NORM ? upload(device, small[3], width) : NULL;
	args.dual = variant & WITH_DUAL ? upload(device, big[4], size) : NULL;
	/* in place: with a norm xhat goes over the branch, without one the output does */
	args.output = variant & IN_PLACE && !(variant & WITH_NORM) ? branch : upload(device, NULL, size);
	args.normalized = !(variant & WITH_NORM) ? NULL : variant & IN_PLACE ? branch : upload(device, NULL, size);
	args.rstd = variant & WITH_NORM ? upload(device, NULL, (size_t) rows) : NULL;
	device->k->residual_forward(device->lane, &args);
	worst_of(forward, distance(device, args.output, t.output, size), "output, %d x %d, variant %d", rows, cols, variant);
	if (variant & WITH_DUAL)
		worst_of(forward, distance(device, args.dual, t.dual, size), "dual, %d x %d, variant %d", rows, cols, variant);
	if (variant & WITH_NORM)
	{
		worst_of(forward, distance(device, args.normalized, t.normalized, size), "normalized, %d x %d, variant %d", rows,
				 cols, variant);
		worst_of(forward, distance(device, args.rstd, t.rstd, (size_t) rows), "rstd, %d x %d, variant %d", rows, cols,
				 variant);
	}

	if (variant & WITH_GATE && variant & IN_PLACE)
		args.branch = upload(device, big[1], size);	/* its gradient needs the branch as it was */
	args.doutput = upload(device, big[2], size);
	args.ddual = variant & WITH_DUAL ? upload(device, big[3], size) : NULL;
	args.accumulate_shortcut = args.accumulate_branch = variant & ACCUMULATE;
	args.dshortcut = upload(device, big[5], size);
	args.dbranch = variant & IN_PLACE && !(variant & ACCUMULATE) ? (rn_real *) args.doutput : upload(device, big[5], size);
	args.dbias = variant & WITH_BIAS ? upload(device, small[3], width) : NULL;
	args.domega = variant & WITH_OMEGA ? upload(device, small[3], width) : NULL;
	args.dgate = variant & WITH_GATE ? upload(device, small[3], 1) : NULL;
	args.dgain = variant & WITH_NORM ? upload(device, small[3], width) : NULL;
	args.dshift = variant & WITH_NORM ? upload(device, small[3], width) : NULL;
	device->k->residual_backward(device->lane, &args);
	judge_gradient(device, &t, t.shortcut, size, args.dshortcut, variant & ACCUMULATE ? big[5] : NULL, backward, "shortcut");
	judge_gradient(device, &t, t.branch, size, args.dbranch, variant & ACCUMULATE ? big[5] : NULL, backward, "branch");
	if (variant & WITH_BIAS)
		judge_gradient(device, &t, t.bias, width, args.dbias, small[3], backward, "bias");
	if (variant & WITH_OMEGA)
		judge_gradient(device, &t, t.omega, width, args.domega, small[3], backward, "omega");
	if (variant & WITH_GATE)
		judge_gradient(device, &t, t.gate, 1, args.dgate, small[3], backward, "gate");
	if (variant & WITH_NORM)
	{
		judge_gradient(device, &t, t.gain, width, args.dgain, small[3], backward, "gain");
		judge_gradient(device, &t, t.shift, width, args.dshift, small[3], backward, "shift");
	}
	release_buffers(device);
	free(row_ids);
	for (i = 0; i < 6; i++)
		free(big[i]);
	for (i = 0; i < 5; i++)
		free(small[i]);
	free(t.shortcut);
	free(t.branch);
	free(t.doutput);
	free(t.ddual);
	free(t.dual_before);
	free(t.bias);
	free(t.omega);
	free(t.gain);
	free(t.shift);
	free(t.gate);
	free(t.dual);
	free(t.output);
	free(t.normalized);
	free(t.rstd);
	free(t.mask);
}

static void
test_residual(Device *device)
{
	Worst		forward = {0};
	Worst		backward = {0};
	int			r;
	int			c;
	int			variant;

	for (r = 0; r < COUNT(row_counts); r++)
		for (c = 0; c < COUNT(col_counts); c++)
			for (variant = 0; variant < ALL_VARIANTS; variant += row_counts[r] * col_counts[c] > 200 ? 37 : 7)
				join_case(device, row_counts[r], col_counts[c], variant, &forward, &backward);
	CHECK(forward.distance <= tolerance(3e-6, 1e-14), "residual: %.1e at %s", forward.distance, forward.where);
	CHECK(backward.distance <= tolerance(3e-5, 2e-7), "residual backward: %.1e at %s", backward.distance, backward.where);
}

/* ---- layer norm ---- */

typedef struct Norm
{
	int			rows;
	int			cols;
	double		add_scale;
	double	   *x;
	double	   *add;			/* or NULL */
	double	   *gain;			/* or NULL */
	double	   *shift;			/* or NULL */
	double	   *doutput;
	double	   *output;
	double	   *normalized;
	double	   *rstd;
} Norm;

static double
norm_objective(void *state)
{
	Norm	   *t = state;
	double		sum = 0.0;
	int			i;

	for (i = 0; i < t->rows; i++)
		plain_row_norm(t->cols, t->x + i * t->cols, t->gain, t->shift, t->normalized + i * t->cols, t->rstd + i,
					   t->output + i * t->cols);
	for (i = 0; i < t->rows * t->cols; i++)
	{
		t->output[i] += t->add != NULL ? t->add_scale * t->add[i] : 0.0;
		sum += t->output[i] * t->doutput[i];
	}
	return sum;
}

static void
norm_case(Device *device, int rows, int cols, int variant, Worst *forward, Worst *backward)
{
	const int	accumulate = variant & 4;
	const size_t size = (size_t) rows * cols;
	const size_t width = (size_t) cols;
	rn_real    *x = numbers(size, 1);
	rn_real    *add = numbers(size, 2);
	rn_real    *gain = numbers(width, 3);
	rn_real    *shift = numbers(width, 4);
	rn_real    *dy = numbers(size, 5);
	Norm		t = {rows, cols, -0.7, widen(x, size), variant & 1 ? widen(add, size) : NULL,
		variant & 2 ? widen(gain, width) : NULL, variant & 2 ? widen(shift, width) : NULL, widen(dy, size), zeros(size),
	zeros(size), zeros((size_t) rows)};
	RnNormArgs	args = {.rows = rows, .cols = cols, .add_scale = -0.7, .epsilon = epsilon, .accumulate_x = accumulate,
		.accumulate_add = accumulate};
	double	   *dx = zeros(size);
	double	   *dadd = zeros(size);
	double	   *dgain = zeros(width);
	double	   *dshift = zeros(width);
	size_t		i;

	norm_objective(&t);
	args.x = upload(device, x, size);
	args.add = variant & 1 ? upload(device, add, size) : NULL;
	args.gain = variant & 2 ? upload(device, gain, width) : NULL;
	args.shift = variant & 2 ? upload(device, shift, width) : NULL;
	args.output = upload(device, NULL, size);
	args.normalized = variant & 8 ? (rn_real *) args.x : upload(device, NULL, size);
	args.rstd = upload(device, NULL, (size_t) rows);
	device->k->norm_forward(device->lane, &args);
	worst_of(forward, distance(device, args.output, t.output, size), "output, %d x %d, variant %d", rows, cols, variant);
	worst_of(forward, distance(device, args.normalized, t.normalized, size), "xhat, %d x %d, variant %d", rows, cols, variant);
	worst_of(forward, distance(device, args.rstd, t.rstd, (size_t) rows), "rstd, %d x %d, variant %d", rows, cols, variant);

	differences(norm_objective, &t, t.x, size, dx);
	if (variant & 1)
		differences(norm_objective, &t, t.add, size, dadd);
	if (variant & 2)
	{
		differences(norm_objective, &t, t.gain, width, dgain);
		differences(norm_objective, &t, t.shift, width, dshift);
	}
	for (i = 0; i < size; i++)
	{
		dx[i] += accumulate ? add[i] : 0;
		dadd[i] += accumulate ? add[i] : 0;
	}
	for (i = 0; i < width; i++)
	{
		dgain[i] += gain[i];
		dshift[i] += gain[i];
	}
	args.doutput = upload(device, dy, size);
	args.dx = upload(device, add, size);
	args.dadd = variant & 1 ? upload(device, add, size) : NULL;
	args.dgain = variant & 2 ? upload(device, gain, width) : NULL;
	args.dshift = variant & 2 ? upload(device, gain, width) : NULL;
	device->k->norm_backward(device->lane, &args);
	worst_of(backward, distance(device, args.dx, dx, size), "dx, %d x %d, variant %d", rows, cols, variant);
	if (variant & 1)
		worst_of(backward, distance(device, args.dadd, dadd, size), "dadd, %d x %d, variant %d", rows, cols, variant);
	if (variant & 2)
	{
		worst_of(backward, distance(device, args.dgain, dgain, width), "dgain, %d x %d, variant %d", rows, cols, variant);
		worst_of(backward, distance(device, args.dshift, dshift, width), "dshift, %d x %d, variant %d", rows, cols, variant);
	}
	release_buffers(device);
	free(x);
	free(add);
	free(gain);
	free(shift);
	free(dy);
	free(t.x);
	free(t.add);
	free(t.gain);
	free(t.shift);
	free(t.doutput);
	free(t.output);
	free(t.normalized);
	free(t.rstd);
	free(dx);
	free(dadd);
	free(dgain);
	free(dshift);
}

static void
test_norm(Device *device)
{
	Worst		forward = {0};
	Worst		backward = {0};
	int			r;
	int			c;
	int			variant;

	for (r = 0; r < COUNT(row_counts); r++)
		for (c = 0; c < COUNT(col_counts); c++)
			for (variant = 0; variant < 16; variant += row_counts[r] * col_counts[c] > 200 ? 3 : 1)
				norm_case(device, row_counts[r], col_counts[c], variant, &forward, &backward);
	CHECK(forward.distance <= tolerance(3e-6, 1e-14), "layer norm: %.1e at %s", forward.distance, forward.where);
	CHECK(backward.distance <= tolerance(3e-5, 2e-7), "layer norm backward: %.1e at %s", backward.distance, backward.where);
}

/* A large mean must not eat the variance. */
static void
test_norm_far_from_zero(Device *device)
{
	enum {N = 130};
	rn_real    *x = numbers(N, 1);
	double		normalized[N];
	double		output[N];
	double		rstd;
	double	   *wide;
	RnNormArgs	args = {.rows = 1, .cols = N, .epsilon = epsilon};
	double		d;
	int			i;

	for (i = 0; i < N; i++)
		x[i] += 1000;
	wide = widen(x, N);
	plain_row_norm(N, wide, NULL, NULL, normalized, &rstd, output);
	args.x = upload(device, x, N);
	args.output = upload(device, NULL, N);
	device->k->norm_forward(device->lane, &args);
	d = distance(device, args.output, output, N);
	CHECK(d <= tolerance(3e-4, 1e-12), "layer norm far from 0: %.1e", d);
	release_buffers(device);
	free(x);
	free(wide);
}

/* ---- embedding ---- */

static void
embedding_case(Device *device, int rows, int cols, double rate, Worst *forward, Worst *backward)
{
	enum {VOCABULARY = 11, POSITIONS = 4};
	const size_t size = (size_t) rows * cols;
	uint32_t   *row_ids = names_of_rows(rows);
	rn_real    *table = numbers(VOCABULARY * (size_t) cols, 1);
	rn_real    *position_table = numbers(POSITIONS * (size_t) cols, 2);
	rn_real    *dy = numbers(size, 3);
	double	   *y = zeros(size);
	double	   *dtable = widen(table, VOCABULARY * (size_t) cols);
	int32_t		ids[16];
	int32_t		positions[16];
	RnEmbeddingArgs args = {.rows = rows, .cols = cols, .ids = ids, .positions = positions, .row_ids = row_ids, .scale = 1.7,
	.pad_id = 3};
	double	   *mask;
	int			i;
	int			j;

	args.dropout = (RnDropout) {.rate = rate, .seed = 1, .step = 2, .site = 3};
	mask = plain_mask(&args.dropout, row_ids, rows, cols);
	for (i = 0; i < rows; i++)
	{
		ids[i] = (i * 5) % 4 + (i == 2 ? 7 : 0);	/* some twice, 3 is the pad */
		positions[i] = i % (POSITIONS + 1) - 1;
		for (j = 0; j < cols; j++)
		{
			double		v = 1.7 * table[ids[i] * cols + j];

			if (positions[i] >= 0)
				v += position_table[positions[i] * cols + j];
			y[i * cols + j] = v * mask[i * cols + j];
			if (ids[i] != 3)
				dtable[ids[i] * cols + j] += 1.7 * mask[i * cols + j] * dy[i * cols + j];
		}
	}
	args.table = upload(device, table, VOCABULARY * (size_t) cols);
	args.position_table = upload(device, position_table, POSITIONS * (size_t) cols);
	args.y = upload(device, NULL, size);
	device->k->embedding_forward(device->lane, &args);
	worst_of(forward, distance(device, args.y, y, size), "%d x %d", rows, cols);
	args.dy = upload(device, dy, size);
	args.dtable = upload(device, table, VOCABULARY * (size_t) cols);
	device->k->embedding_backward(device->lane, &args);
	worst_of(backward, distance(device, args.dtable, dtable, VOCABULARY * (size_t) cols), "%d x %d", rows, cols);
	release_buffers(device);
	free(row_ids);
	free(table);
	free(position_table);
	free(dy);
	free(y);
	free(dtable);
	free(mask);
}

static void
test_embedding(Device *device)
{
	Worst		forward = {0};
	Worst		backward = {0};
	int			c;

	for (c = 0; c < COUNT(col_counts); c++)
	{
		embedding_case(device, 0, col_counts[c], 0.3, &forward, &backward);
		embedding_case(device, 13, col_counts[c], 0.0, &forward, &backward);
		embedding_case(device, 13, col_counts[c], 0.3, &forward, &backward);
	}
	CHECK(forward.distance <= tolerance(1e-6, 1e-14), "embedding: %.1e at %s", forward.distance, forward.where);
	CHECK(backward.distance <= tolerance(2e-6, 1e-14), "embedding backward: %.1e at %s", backward.distance, backward.where);
}

/* ---- Adam ---- */

/* NULL: zeros. */
static RnDecision *
upload_decision(Device *device, const RnDecision *decision)
{
	RnDecision *buffer = (RnDecision *) upload(device, NULL, sizeof(RnDecision) / sizeof(rn_real));

	if (decision != NULL)
		device->k->copy_in(device->lane, buffer, decision, sizeof(*decision));
	return buffer;
}

static double
adam_distance(Device *device, size_t n, int fairseq)
{
	rn_real    *value = numbers(n, 1);
	rn_real    *gradient = numbers(n, 2);
	double	   *w = widen(value, n);
	double	   *m = zeros(n);
	double	   *v = zeros(n);
	double	   *change = zeros(n);
	double	   *nothing = zeros(n);
	RnDecision	decision;
	RnDecision *decision_device;
	RnAdamArgs	args = {.n = n, .beta1 = 0.9, .beta2 = 0.98, .epsilon = 1e-3, .weight_decay = 0.1};
	double		worst = 0.0;
	int			update;
	size_t		i;

	args.value = upload(device, value, n);
	args.first = upload(device, NULL, n);
	args.second = upload(device, NULL, n);
	args.gradient = upload(device, NULL, n);
	args.change = upload(device, NULL, n);
	args.decision = decision_device = upload_decision(device, NULL);
	for (update = 1; update <= 4; update++)
	{
		const double bias1 = 1.0 - pow(0.9, update);
		const double bias2 = 1.0 - pow(0.98, update);

		/* the last one is not made */
		memset(&decision, 0, sizeof(decision));
		decision.gradient_scale = 0.5;
		decision.learning_rate = 0.01;
		decision.rate = 0.01 / bias1 * (fairseq ? sqrt(bias2) : 1);
		decision.root = fairseq ? 1 : 1 / sqrt(bias2);
		decision.skip = update == 4;
		device->k->copy_in(device->lane, decision_device, &decision, sizeof(decision));
		device->k->copy_in(device->lane, args.gradient, gradient, n * sizeof(rn_real));
		device->k->adam(device->lane, &args);
		for (i = 0; i < n; i++)
		{
			if (decision.skip)
			{
				change[i] = 0;
				continue;
			}

			const double g = 0.5 * gradient[i];

			m[i] = 0.9 * m[i] + 0.1 * g;
			v[i] = 0.98 * v[i] + 0.02 * g * g;
			change[i] = fairseq ? 0.01 * sqrt(bias2) / bias1 * m[i] / (sqrt(v[i]) + 1e-3) :
				0.01 * (m[i] / bias1) / (sqrt(v[i] / bias2) + 1e-3);
			change[i] = -change[i] - 0.01 * 0.1 * w[i];
			w[i] += change[i];
		}
		worst = fmax(worst, distance(device, args.value, w, n));
		worst = fmax(worst, 100 * distance(device, args.change, change, n));	/* it is a small number */
		worst = fmax(worst, distance(device, args.gradient, nothing, n));
	}
	worst = fmax(worst, distance(device, args.first, m, n));
	worst = fmax(worst, distance(device, args.second, v, n));
	release_buffers(device);
	free(value);
	free(gradient);
	free(w);
	free(m);
	free(v);
	free(change);
	free(nothing);
	return worst;
}

static void
test_adam(Device *device)
{
	static const size_t lengths[] = {0, 1, 13, 130, 1027};
	Worst		worst = {0};
	int			c;
	int			fairseq;

	for (c = 0; c < COUNT(lengths); c++)
		for (fairseq = 0; fairseq < 2; fairseq++)
			worst_of(&worst, adam_distance(device, lengths[c], fairseq), "n %zu, fairseq %d", lengths[c], fairseq);
	CHECK(worst.distance <= tolerance(1e-6, 1e-14), "Adam: %.1e at %s", worst.distance, worst.where);
}

/* ---- what becomes of a step ---- */

#define DECIDE_SQUARES	70
#define DECIDE_SUMS		3

/* One decision after another: what the device gives for these sums, and the norm that belongs to them. */
static double
decide(Device *device, RnDecision *decision, const RnDecideArgs *terms, double square, double loss)
{
	double		squares[DECIDE_SQUARES];
	double		sums[2 * DECIDE_SUMS];
	RnDecideArgs args = *terms;
	double		total = 0;
	double		left = 0;
	int			i;

	for (i = 0; i < DECIDE_SQUARES; i++)
		total += squares[i] = square * (i + 1);
	for (i = 0; i < DECIDE_SUMS; i++)
	{
		sums[2 * i] = loss;
		sums[2 * i + 1] = loss / 2;
	}
	args.n_squares = DECIDE_SQUARES;
	args.squares = upload_doubles(device, squares, DECIDE_SQUARES);
	args.n_sums = DECIDE_SUMS;
	args.sums = upload_doubles(device, sums, 2 * DECIDE_SUMS);
	args.decision = upload_decision(device, decision);
	device->k->decide(device->lane, &args);
	device->k->copy_out(device->lane, decision, args.decision, sizeof(*decision));
	download_doubles(device, sums, args.sums, 2 * DECIDE_SUMS);
	for (i = 0; i < 2 * DECIDE_SUMS; i++)
		left += fabs(sums[i]);
	release_buffers(device);
	return left == 0 ? sqrt(total) / (args.gradient_scale * args.target_tokens) : NAN;
}

static void
test_decide(Device *device)
{
	RnDecideArgs terms = {.gradient_scale = 0.25, .target_tokens = 10, .clip_norm = 2, .learning_rate = 0.1, .beta1 = 0.9,
	.beta2 = 0.5, .first = 1};
	RnDecision	d = {.loss_scale = 1, .updates = 1};
	double		norm = decide(device, &d, &terms, 1, 7);

	CHECK(fabs(d.norm / norm - 1) < 1e-14 && d.skip == 0 && d.updates == 2 && d.steps == 1 && d.loss == 21 && d.nll == 10.5 &&
		  fabs(d.mean_scale - 0.4) < 1e-14 && fabs(d.gradient_scale / (0.4 * 2 / (norm + 1e-6)) - 1) < 1e-14 &&
		  fabs(d.rate - 0.1 / 0.19) < 1e-14 && fabs(d.root - 1 / sqrt(0.75)) < 1e-14, "a step is clipped to its norm %g", d.norm);
	terms.first = 0;
	terms.fairseq = 1;
	terms.clip_norm = 0;
	norm = decide(device, &d, &terms, 4, 1);
	CHECK(fabs(d.norm / norm - 1) < 1e-14 && d.gradient_scale == d.mean_scale && d.steps == 2 && d.loss == 24 && d.updates == 3 &&
		  d.root == 1 && fabs(d.rate - 0.1 / 0.271 * sqrt(0.875)) < 1e-14, "a second one is not, and adds to the losses");
	decide(device, &d, &terms, INFINITY, 1);
	CHECK(d.skip && d.halted == RN_HALT_GRADIENT && d.steps == 3 && d.updates == 3, "a gradient that is no number halts");
	decide(device, &d, &terms, 1, 1);
	CHECK(d.skip && d.halted == RN_HALT_GRADIENT && d.steps == 3 && d.updates == 3 && d.loss == 27, "all that follow");
	d.halted = RN_HALT_NONE;
	decide(device, &d, &terms, 1, NAN);
	CHECK(d.skip && d.halted == RN_HALT_LOSS, "so does a loss");

	memset(&d, 0, sizeof(d));
	d.loss_exponent = RN_LOSS_EXPONENT_LEAST + 1;
	d.loss_scale = ldexp(1, d.loss_exponent);
	d.good_steps = 5;
	terms.scaling = 1;
	decide(device, &d, &terms, NAN, 1);
	CHECK(d.skip && !d.halted && d.skipped == 1 && d.good_steps == 0 && d.loss_scale == ldexp(1, RN_LOSS_EXPONENT_LEAST),
		  "where losses are scaled, half the scale is tried");
	d.good_steps = 1998;
	norm = decide(device, &d, &terms, 1, 1) / d.loss_scale;
	CHECK(!d.skip && fabs(d.norm / norm - 1) < 1e-14 && d.good_steps == 1999, "which the norm knows of");
	decide(device, &d, &terms, 1, 1);
	CHECK(d.loss_exponent == RN_LOSS_EXPONENT_LEAST + 1 && d.loss_scale == ldexp(1, d.loss_exponent) && d.good_steps == 0,
		  "after many good steps twice the scale");
	d.loss_exponent = RN_LOSS_EXPONENT_LEAST;
	decide(device, &d, &terms, INFINITY, 1);
	CHECK(d.halted == RN_HALT_GRADIENT, "until there is no half any more");
}

int
main(void)
{
	const RnKernels *k;
	int			level = 0;

	while ((k = next_level(&level)) != NULL)
	{
		Device		device;

		if (!CHECK(device_begin(&device, k), "%s", k->description()))
			break;
		test_memory(&device);
		test_product(&device);
		test_linear(&device);
		test_sums(&device);
		test_masks(&device);
		test_activation(&device);
		test_gelu(&device);
		test_residual(&device);
		test_norm(&device);
		test_norm_far_from_zero(&device);
		test_embedding(&device);
		test_adam(&device);
		test_decide(&device);
		device_end(&device);
	}
	return check_done();
}
