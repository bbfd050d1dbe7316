/*
 * test_kernels_loss.c
 *		Smoothed cross-entropy and the best of a row, at every level, against
 *		plain loops in double.
 *
 * test/unit/test_kernels_loss.c
 */
#include "kernel_check.h"

#define COUNT(array)	((int) (sizeof(array) / sizeof((array)[0])))

/* lp[j] = logits[j] - log sum exp(logits) */
static void
plain_log_softmax(int cols, const double *logits, double *lp)
{
	double		highest = logits[0];
	double		sum = 0.0;
	int			j;

	for (j = 0; j < cols; j++)
		highest = fmax(highest, logits[j]);
	for (j = 0; j < cols; j++)
		sum += exp(logits[j] - highest);
	for (j = 0; j < cols; j++)
		lp[j] = logits[j] - highest - log(sum);
}

/* The formulas of RnLossArgs, word by word. */
static double
plain_loss(int cols, const double *logits, int target, double e, int variant, double *nll)
{
	double	   *lp = zeros((size_t) cols);
	double		all = 0.0;
	double		loss;
	int			j;

	plain_log_softmax(cols, logits, lp);
	for (j = 0; j < cols; j++)
		all -= lp[j];
	*nll = -lp[target];
	if (variant == 0)
		loss = e == 0 ? *nll : (1 - e - e / (cols - 1)) * *nll + e / (cols - 1) * all;
	else
		loss = (1 - e) * *nll + e / cols * all;
	free(lp);
	return loss;
}

static void
loss_case(Device *device, int rows, int cols, double e, int variant, Worst *value, Worst *gradient)
{
	const double scale = 1 / 37.0;
	const size_t size = (size_t) rows * cols;
	rn_real    *logits = numbers(size, 1);
	double	   *truth;
	double	   *slopes = zeros(size);
	double	   *row_nll = zeros((size_t) rows);
	int32_t    *targets = calloc((size_t) rows + 1, sizeof(int32_t));
	double		loss = 100.0;
	double		nll = 200.0;
	double		sums[2] = {100, 200};
	RnLossArgs	args = {.rows = rows, .cols = cols, .targets = targets, .smoothing = e, .variant = variant,
	.gradient_scale = 2 * scale};
	const double half = 0.5;
	size_t		l;
	int			i;
	int			j;

	for (l = 0; l < size; l++)
		logits[l] = logits[l] * 6 + (rn_real) (l / (size_t) cols % 2) * 50;	/* the level of a row is free */
	truth = widen(logits, size);
	for (i = 0; i < rows; i++)
	{
		double	   *row = truth + (size_t) i * cols;
		double		ignored;

		targets[i] = i == 0 ? 0 : i == 1 ? cols - 1 : (i * 7919) % cols;
		loss += plain_loss(cols, row, targets[i], e, variant, &row_nll[i]);
		nll += row_nll[i];
		for (j = 0; j < cols; j++)
		{
			const double at = row[j];
			const double step = 1e-5;

			if (cols > 300 && j > 20 && j != targets[i] && j % 101 != 0)
			{
				slopes[(size_t) i * cols + j] = NAN;	/* not looked at */
				continue;
			}
			row[j] = at + step;
			slopes[(size_t) i * cols + j] = plain_loss(cols, row, targets[i], e, variant, &ignored);
			row[j] = at - step;
			slopes[(size_t) i * cols + j] -= plain_loss(cols, row, targets[i], e, variant, &ignored);
			slopes[(size_t) i * cols + j] *= scale / (2 * step);
			row[j] = at;
		}
	}
	args.logits = upload(device, logits, size);
	args.row_nll = upload(device, NULL, (size_t) rows);
	args.sums = upload_doubles(device, sums, 2);
	args.loss_scale = upload_doubles(device, &half, 1);
	device->k->loss(device->lane, &args);
	download_doubles(device, sums, args.sums, 2);
	worst_of(value, fabs(sums[0] - loss) / fmax(1.0, loss), "loss, %d x %d e %g variant %d", rows, cols, e, variant);
	worst_of(value, fabs(sums[1] - nll) / fmax(1.0, nll), "nll, %d x %d e %g variant %d", rows, cols, e, variant);
	worst_of(value, distance(device, args.row_nll, row_nll, (size_t) rows), "row nll, %d x %d", rows, cols);
	worst_of(value, distance(device, args.logits, truth, size), "logits are left alone, %d x %d", rows, cols);
	args.gradient = 1;
	args.row_nll = NULL;
	args.sums = NULL;
	device->k->loss(device->lane, &args);
	download(device, logits, args.logits, size);
	for (l = 0; l < size; l++)
		if (!isnan(slopes[l]))
			worst_of(gradient, isnan(logits[l]) ? 1 : fabs(logits[l] - slopes[l]), "%d x %d e %g variant %d", rows, cols, e,
					 variant);
	release_buffers(device);
	free(logits);
	free(truth);
	free(slopes);
	free(row_nll);
	free(targets);
}

static void
test_loss(Device *device)
{
	static const int row_counts[] = {0, 1, 13};
	static const int col_counts[] = {1, 2, 7, 8, 40, 130, 1001};
	Worst		value = {0};
	Worst		gradient = {0};
	int			r;
	int			c;
	int			variant;

	for (r = 0; r < COUNT(row_counts); r++)
		for (c = 0; c < COUNT(col_counts); c++)
			for (variant = 0; variant < 2; variant++)
			{
				loss_case(device, row_counts[r], col_counts[c], 0.0, variant, &value, &gradient);
				if (col_counts[c] > 1)
					loss_case(device, row_counts[r], col_counts[c], 0.1, variant, &value, &gradient);
			}
	CHECK(value.distance <= tolerance(1e-6, 1e-13), "loss: %.1e at %s", value.distance, value.where);
	CHECK(gradient.distance <= tolerance(1e-7, 1e-9), "gradient of the logits: %.1e at %s", gradient.distance, gradient.where);
}

/* Sums over a vocabulary must not lose what a step needs. */
static void
test_long_rows(Device *device)
{
	enum {ROWS = 4, COLS = 32000};
	rn_real    *logits = numbers((size_t) ROWS * COLS, 3);
	double	   *truth = widen(logits, (size_t) ROWS * COLS);
	int32_t		targets[ROWS] = {0, 31999, 15000, 7};
	double		loss = 0.0;
	double		nll = 0.0;
	double		sums[2] = {0, 0};
	RnLossArgs	args = {.rows = ROWS, .cols = COLS, .targets = targets, .smoothing = 0.1};
	double		d;
	int			i;

	for (i = 0; i < ROWS; i++)
	{
		double		row_nll;

		loss += plain_loss(COLS, truth + (size_t) i * COLS, targets[i], 0.1, 0, &row_nll);
		nll += row_nll;
	}
	args.logits = upload(device, logits, (size_t) ROWS * COLS);
	args.sums = upload_doubles(device, sums, 2);
	device->k->loss(device->lane, &args);
	download_doubles(device, sums, args.sums, 2);
	d = fmax(fabs(sums[0] - loss) / loss, fabs(sums[1] - nll) / nll);
	CHECK(d <= tolerance(5e-8, 1e-14), "loss over 32000 columns: %.1e", d);
	release_buffers(device);
	free(logits);
	free(truth);
}

/*
 * exp by the softmax of two logits 0 and x < 0: the gradient of a target on
 * the first is exp(x) / (1 + exp(x)) at the second, relative to its size.
 */
static void
test_exp(Device *device)
{
	enum {N = 100000};
	rn_real    *logits = malloc(2 * N * sizeof(rn_real));
	int32_t    *targets = calloc(N, sizeof(int32_t));
	RnLossArgs	args = {.rows = N, .cols = 2, .targets = targets, .gradient = 1, .gradient_scale = 1};
	rn_real    *x = malloc(N * sizeof(rn_real));
	double		worst = 0.0;
	int			i;

	for (i = 0; i < N; i++)
	{
		logits[2 * i] = 0;
		logits[2 * i + 1] = x[i] = (rn_real) (-87.0 * i / N);
	}
	args.logits = upload(device, logits, 2 * N);
	device->k->loss(device->lane, &args);
	download(device, logits, args.logits, 2 * N);
	for (i = 0; i < N; i++)
	{
		double		truth = exp((double) x[i]) / (1 + exp((double) x[i]));

		worst = fmax(worst, fabs(logits[2 * i + 1] - truth) / truth);
	}
	CHECK(worst <= tolerance(4e-7, 1e-15), "exp over -87 .. 0: relative error %.1e", worst);
	release_buffers(device);
	free(logits);
	free(targets);
	free(x);
}

/* A diverged row must show. */
static void
test_not_a_number(Device *device)
{
	int			at;
	int			shown = 1;

	for (at = 0; at < 40; at++)
	{
		rn_real    *logits = numbers(40, 1);
		int32_t		target = 5;
		double		sums[2] = {0, 0};
		RnLossArgs	args = {.rows = 1, .cols = 40, .targets = &target, .smoothing = 0.1};

		logits[at] = (rn_real) NAN;
		args.logits = upload(device, logits, 40);
		args.sums = upload_doubles(device, sums, 2);
		device->k->loss(device->lane, &args);
		download_doubles(device, sums, args.sums, 2);
		shown &= isnan(sums[0]) && isnan(sums[1]);
		release_buffers(device);
		free(logits);
	}
	CHECK(shown, "a logit that is not a number makes the loss one too, wherever it stands");
}

/* ---- the best of each row ---- */

typedef struct Scored
{
	double		score;
	int32_t		id;
} Scored;

static int
better_first(const void *a, const void *b)
{
	const Scored *x = a;
	const Scored *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static void
top_case(Device *device, int rows, int cols, int k, const int32_t *banned, int ties, int *wrong, Worst *worst)
{
	rn_real    *logits = numbers((size_t) rows * cols, (unsigned) (cols + k));
	int32_t    *ids = calloc((size_t) rows * k + 1, sizeof(int32_t));
	rn_real    *scores = calloc((size_t) rows * k + 1, sizeof(rn_real));
	double	   *wide;
	double	   *lp = zeros((size_t) cols);
	Scored	   *sorted = malloc((size_t) (cols + 1) * sizeof(Scored));
	int			i;
	int			j;

	for (i = 0; i < rows * cols; i++)
		logits[i] = ties ? (rn_real) floor(logits[i] * 4) : logits[i] * 8;
	wide = widen(logits, (size_t) rows * cols);
	device->k->top_k(device->lane, rows, cols, upload(device, logits, (size_t) rows * cols), k, banned, ids, scores);
	device->k->synchronize(&device->ctx, device->lane);
	for (i = 0; i < rows; i++)
	{
		int			n = 0;

		plain_log_softmax(cols, wide + (size_t) i * cols, lp);
		for (j = 0; j < cols; j++)
		{
			const int32_t *b = banned;

			while (b != NULL && *b >= 0 && *b != j)
				b++;
			if (b != NULL && *b == j)
				continue;
			sorted[n].score = lp[j];
			sorted[n++].id = j;
		}
		qsort(sorted, (size_t) n, sizeof(Scored), better_first);
		for (j = 0; j < k; j++)
		{
			*wrong += ids[i * k + j] != (j < n ? sorted[j].id : -1);
			if (j < n)
				worst_of(worst, fabs(scores[i * k + j] - sorted[j].score), "%d x %d, k %d", rows, cols, k);
			else
				*wrong += scores[i * k + j] != (rn_real) -INFINITY;
		}
	}
	release_buffers(device);
	free(logits);
	free(ids);
	free(scores);
	free(wide);
	free(lp);
	free(sorted);
}

static void
test_top_k(Device *device)
{
	static const int32_t banned[] = {3, 0, 17, -1};
	static const int32_t nothing[] = {-1};
	static const int shapes[][3] = {{0, 10, 2}, {1, 1, 1}, {3, 7, 4}, {3, 7, 9}, {13, 40, 5}, {5, 130, 64}, {4, 1001, 10},
	{2, 8000, 64}, {3, 32003, 8}};
	Worst		worst = {0};
	int			wrong = 0;
	int			s;

	for (s = 0; s < COUNT(shapes); s++)
	{
		top_case(device, shapes[s][0], shapes[s][1], shapes[s][2], NULL, 0, &wrong, &worst);
		top_case(device, shapes[s][0], shapes[s][1], shapes[s][2], nothing, 1, &wrong, &worst);
		top_case(device, shapes[s][0], shapes[s][1], shapes[s][2], banned, 0, &wrong, &worst);
		top_case(device, shapes[s][0], shapes[s][1], shapes[s][2], banned, 1, &wrong, &worst);
	}
	CHECK(wrong == 0, "the best of each row, equal ones by number, without banned ones: %d wrong", wrong);
	CHECK(worst.distance <= tolerance(5e-6, 1e-13), "their log-probabilities: %.1e at %s", worst.distance, worst.where);
}

/* ---- some columns ---- */

static void
test_gather(Device *device)
{
	enum {ROWS = 7, X = 1003, COLS = 130};
	static const int32_t first[ROWS] = {0, 3, 3, 100, 40, 5, 0};
	static const int32_t count[ROWS] = {130, 1, 0, 64, 17, 129, 3};
	int32_t		list[200];
	rn_real    *x = numbers((size_t) ROWS * X, 5);
	rn_real    *y = numbers((size_t) ROWS * COLS, 6);
	rn_real    *y_device = upload(device, y, (size_t) ROWS * COLS);
	RnGatherArgs args = {.rows = ROWS, .cols = COLS, .first = first, .count = count, .list = list, .ldx = X};
	int			wrong = 0;
	int			r;
	int			j;

	for (j = 0; j < COUNT(list); j++)
		list[j] = (j * 379 + 2) % X;
	args.x = upload(device, x, (size_t) ROWS * X);
	args.y = y_device;
	device->k->gather(device->lane, &args);
	download(device, y, y_device, (size_t) ROWS * COLS);
	for (r = 0; r < ROWS; r++)
		for (j = 0; j < COLS; j++)
			wrong += y[r * COLS + j] != (j < count[r] ? x[r * X + (list[first[r] + j])] : (rn_real) -INFINITY);
	CHECK(wrong == 0, "columns of a list, and nothing behind them: %d wrong", wrong);
	release_buffers(device);
	free(x);
	free(y);
}

/* What stands behind a row's own columns must not show, to the bit. */
static void
test_nothing_behind(Device *device)
{
	static const int counts[] = {5, 64, 100, 257, 1030};
	enum {COLS = 3000, K = 8};
	int			differing = 0;
	int			i;
	int			j;

	for (i = 0; i < COUNT(counts); i++)
	{
		rn_real    *logits = numbers(COLS, 70 + i);
		rn_real    *device_logits;
		int32_t		ids[2][K];
		rn_real		scores[2][K];
		rn_real		nll[2];
		rn_real    *device_nll = upload(device, nll, 2);
		int32_t		target = counts[i] / 2;
		RnLossArgs	args = {.rows = 1, .targets = &target};

		for (j = counts[i]; j < COLS; j++)
			logits[j] = (rn_real) -INFINITY;
		device_logits = upload(device, logits, COLS);
		device->k->top_k(device->lane, 1, counts[i], device_logits, K, NULL, ids[0], scores[0]);
		device->k->top_k(device->lane, 1, COLS, device_logits, K, NULL, ids[1], scores[1]);
		args.logits = device_logits;
		for (j = 0; j < 2; j++)
		{
			args.cols = j == 0 ? counts[i] : COLS;
			args.row_nll = device_nll + j;
			device->k->loss(device->lane, &args);
		}
		download(device, nll, device_nll, 2);
		for (j = 0; j < K && j < counts[i]; j++)
			differing += ids[0][j] != ids[1][j] || scores[0][j] != scores[1][j];
		differing += nll[0] != nll[1];
		release_buffers(device);
		free(logits);
	}
	CHECK(differing == 0, "columns of -infinity change nothing: %d differ", differing);
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
		test_loss(&device);
		test_long_rows(&device);
		test_exp(&device);
		test_not_a_number(&device);
		test_top_k(&device);
		test_gather(&device);
		test_nothing_behind(&device);
		device_end(&device);
	}
	return check_done();
}
