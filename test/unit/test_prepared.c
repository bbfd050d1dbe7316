/*
 * test_prepared.c
 *		Products with weights made ready beforehand, at every level.
 *
 * What 8-bit numbers hold exactly must come out exactly: rows of whole numbers
 * up to 127 times a power of two are quantised without error.  Of other
 * numbers the error must stay within what rounding each of them can make.
 *
 * test/unit/test_prepared.c
 */
#include "kernel_check.h"

#define COUNT(array)	((int) (sizeof(array) / sizeof((array)[0])))

typedef struct Shape
{
	int			m;
	int			n;
	int			k;
} Shape;

static const Shape shapes[] = {
	{1, 1, 1}, {1, 7, 3}, {1, 130, 64}, {1, 300, 33}, {2, 129, 40}, {2, 257, 128}, {3, 32, 5}, {4, 384, 128},
	{5, 33, 31}, {6, 64, 100}, {7, 1, 9}, {8, 90, 129}, {9, 16, 2}, {10, 8, 260}, {11, 65, 64}, {12, 31, 66},
	{13, 40, 1021}, {25, 100, 20}, {0, 8, 8}, {193, 35, 24}, {400, 17, 70}, {1, 1030, 16}, {3, 40, 1024}, {61, 70, 400}
};

/* y from the device, [m, n + 2], for x [m, k + 3] and w [n, k]. */
static rn_real *
product(Device *device, RnFormat format, const Shape *s, const rn_real *x, const rn_real *w, const rn_real *bias)
{
	const size_t size = (size_t) s->m * (s->n + 2);
	rn_real    *y = numbers(size, 9);
	rn_real    *y_device = upload(device, y, size);
	RnPrepared *prepared;

	if (device->k->prepare(&device->ctx, device->lane, format, s->n, s->k, upload(device, w, (size_t) s->n * s->k),
						   &prepared) != RN_OK)
	{
		CHECK(0, "prepare: %s", device->ctx.message);
		return y;
	}
	device->k->prepared_product(device->lane, prepared, s->m, upload(device, x, (size_t) s->m * (s->k + 3)), s->k + 3,
								bias != NULL ? upload(device, bias, (size_t) s->n) : NULL, y_device, s->n + 2);
	download(device, y, y_device, size);
	device->k->discard(prepared);
	release_buffers(device);
	return y;
}

/* Whole numbers from -127 to 127, one of them 127 or -127, times a power of two; of alternating extremes if asked for. */
static void
whole_row(rn_real *row, int k, unsigned seed, int extreme)
{
	rn_real    *random = numbers((size_t) k, seed);
	const double unit = ldexp(1, (int) (seed % 7) - 3);
	int			p;

	for (p = 0; p < k; p++)
		row[p] = (rn_real) (unit * (extreme ? (random[p] < 0 && extreme < 2 ? -127 : 127) : round(127 * random[p])));
	row[seed % k] = (rn_real) (seed % 2 ? 127 * unit : -127 * unit);
	free(random);
}

static double
exact_distance(Device *device, const Shape *s, int extreme, int with_bias)
{
	rn_real    *x = numbers((size_t) s->m * (s->k + 3), 1);
	rn_real    *w = numbers((size_t) s->n * s->k, 2);
	rn_real    *bias = numbers((size_t) s->n, 3);
	rn_real    *y;
	double		worst = 0;
	int			i;
	int			j;
	int			p;

	for (i = 0; i < s->m; i++)
		whole_row(x + i * (s->k + 3), s->k, 100 + i, extreme);
	for (j = 0; j < s->n; j++)
		whole_row(w + (size_t) j * s->k, s->k, 1000 + j, extreme);
	y = product(device, RN_FORMAT_INT8, s, x, w, with_bias ? bias : NULL);
	for (i = 0; i < s->m; i++)
		for (j = 0; j < s->n; j++)
		{
			double		truth = 0;	/* exact until the bias comes in */

			for (p = 0; p < s->k; p++)
				truth += (double) x[i * (s->k + 3) + p] * w[(size_t) j * s->k + p];
			truth += with_bias ? bias[j] : 0;
			worst = fmax(worst, fabs(y[i * (s->n + 2) + j] - truth) / fmax(1, fabs(truth)));
		}
	free(x);
	free(w);
	free(bias);
	free(y);
	return worst;
}

static void
test_exact(Device *device)
{
	Worst		worst = {0};
	int			i;
	int			extreme;

	for (i = 0; i < COUNT(shapes); i++)
		for (extreme = 0; extreme < 3; extreme++)
			worst_of(&worst, exact_distance(device, &shapes[i], extreme, i % 2), "m %d n %d k %d, extreme %d",
					 shapes[i].m, shapes[i].n, shapes[i].k, extreme);
	CHECK(worst.distance <= tolerance(1e-6, 1e-14), "int8, whole numbers: %.1e at %s", worst.distance, worst.where);
}

/* Some rows of W made ready by themselves give what they give among all, to the bit. */
static void
test_some_rows(Device *device)
{
	enum {ROWS = 500, SOME = 77};
	static const int ms[] = {1, 2, 5, 12, 32};
	static const int ks[] = {40, 128, 513};
	int			differing = 0;
	int			f;
	int			c;
	int			i;
	int			j;

	for (c = 0; c < COUNT(ms) * COUNT(ks); c++)
		for (f = RN_FORMAT_REAL; f <= RN_FORMAT_INT8; f++)
		{
			const Shape all = {ms[c % COUNT(ms)], ROWS, ks[c / COUNT(ms)]};
			const Shape some = {all.m, SOME, all.k};
			rn_real    *x = numbers((size_t) all.m * (all.k + 3), 11);
			rn_real    *w = numbers((size_t) all.n * all.k, 12);
			rn_real    *part = malloc((size_t) some.n * some.k * sizeof(rn_real));
			rn_real    *y;
			rn_real    *y_part;

			for (j = 0; j < SOME; j++)
				memcpy(part + (size_t) j * all.k, w + (size_t) (j * 6 + j % 5) * all.k, all.k * sizeof(rn_real));
			y = product(device, (RnFormat) f, &all, x, w, NULL);
			y_part = product(device, (RnFormat) f, &some, x, part, NULL);
			for (i = 0; i < all.m; i++)
				for (j = 0; j < SOME; j++)
					differing += y_part[i * (SOME + 2) + j] != y[i * (ROWS + 2) + j * 6 + j % 5];
			free(x);
			free(w);
			free(part);
			free(y);
			free(y_part);
		}
	CHECK(differing == 0, "some rows by themselves: %d products differ", differing);
}

static double
largest_of(const rn_real *x, int k)
{
	double		most = 0;
	int			p;

	for (p = 0; p < k; p++)
		most = fmax(most, fabs(x[p]));
	return most;
}

/*
 * |x w - x' w'| <= |x| dw + |w| dx + dx dw, each number off by at most half a
 * unit.  Gives the error as a part of that.
 */
static double
rounding_distance(Device *device, const Shape *s)
{
	rn_real    *x = numbers((size_t) s->m * (s->k + 3), 4);
	rn_real    *w = numbers((size_t) s->n * s->k, 5);
	rn_real    *y = product(device, RN_FORMAT_INT8, s, x, w, NULL);
	double		worst = 0;
	int			i;
	int			j;
	int			p;

	for (i = 0; i < s->m; i++)
		for (j = 0; j < s->n; j++)
		{
			const rn_real *xi = x + i * (s->k + 3);
			const rn_real *wj = w + (size_t) j * s->k;
			const double dx = largest_of(xi, s->k) / 254;
			const double dw = largest_of(wj, s->k) / 254;
			double		truth = 0;
			double		bound = 1e-6;

			for (p = 0; p < s->k; p++)
			{
				truth += (double) xi[p] * wj[p];
				bound += fabs(xi[p]) * dw + fabs(wj[p]) * dx + dx * dw;
			}
			worst = fmax(worst, fabs(y[i * (s->n + 2) + j] - truth) / bound);
		}
	free(x);
	free(w);
	free(y);
	return worst;
}

static void
test_rounding(Device *device)
{
	Worst		worst = {0};
	int			i;

	for (i = 0; i < COUNT(shapes); i++)
		worst_of(&worst, rounding_distance(device, &shapes[i]), "m %d n %d k %d", shapes[i].m, shapes[i].n, shapes[i].k);
	CHECK(worst.distance <= 1.0001, "int8, any numbers: %.3f of what rounding can do at %s", worst.distance, worst.where);
}

static double
real_distance(Device *device, const Shape *s, int with_bias)
{
	rn_real    *x = numbers((size_t) s->m * (s->k + 3), 6);
	rn_real    *w = numbers((size_t) s->n * s->k, 7);
	rn_real    *bias = numbers((size_t) s->n, 8);
	rn_real    *y = product(device, RN_FORMAT_REAL, s, x, w, with_bias ? bias : NULL);
	double		worst = 0;
	int			i;
	int			j;
	int			p;

	for (i = 0; i < s->m; i++)
		for (j = 0; j < s->n; j++)
		{
			double		truth = with_bias ? bias[j] : 0;

			for (p = 0; p < s->k; p++)
				truth += (double) x[i * (s->k + 3) + p] * w[(size_t) j * s->k + p];
			worst = fmax(worst, fabs(y[i * (s->n + 2) + j] - truth) / fmax(1, fabs(truth)) / sqrt(s->k + 1));
		}
	free(x);
	free(w);
	free(bias);
	free(y);
	return worst;
}

static void
test_real(Device *device)
{
	Worst		worst = {0};
	int			i;

	for (i = 0; i < COUNT(shapes); i++)
		worst_of(&worst, real_distance(device, &shapes[i], i % 2), "m %d n %d k %d", shapes[i].m, shapes[i].n,
				 shapes[i].k);
	CHECK(worst.distance <= tolerance(1e-6, 2e-15), "real numbers: %.1e at %s", worst.distance, worst.where);
}

/* What is not a number stays so, in its row or column alone; nothing gives the bias. */
static void
test_special(Device *device)
{
	const Shape s = {5, 40, 37};
	rn_real    *x = numbers((size_t) s.m * (s.k + 3), 1);
	rn_real    *w = numbers((size_t) s.n * s.k, 2);
	rn_real    *bias = numbers((size_t) s.n, 3);
	rn_real    *y;
	int			wrong = 0;
	int			j;

	x[1 * (s.k + 3) + 36] = (rn_real) NAN;
	x[2 * (s.k + 3) + 3] = (rn_real) INFINITY;
	for (j = 0; j < s.k; j++)
		x[3 * (s.k + 3) + j] = 0;
	w[7 * s.k + 20] = (rn_real) -INFINITY;
	for (j = 0; j < s.k; j++)
		w[9 * s.k + j] = 0;
	y = product(device, RN_FORMAT_INT8, &s, x, w, bias);
	for (j = 0; j < s.n; j++)
	{
		wrong += (isnan(y[0 * (s.n + 2) + j]) != 0) != (j == 7);
		wrong += !isnan(y[1 * (s.n + 2) + j]);
		wrong += !isnan(y[2 * (s.n + 2) + j]);
		wrong += j != 7 && y[3 * (s.n + 2) + j] != bias[j];
	}
	wrong += y[4 * (s.n + 2) + 9] != bias[9];
	CHECK(wrong == 0, "int8: infinity and not-a-number go through, and only where they belong (%d wrong)", wrong);
	free(x);
	free(w);
	free(bias);
	free(y);
}

/* Levels differ in how they compute, not in what. */
static void
test_levels_agree(const RnKernels *k, rn_real **first)
{
	const Shape s = {14, 200, 75};
	rn_real    *x = numbers((size_t) s.m * (s.k + 3), 11);
	rn_real    *w = numbers((size_t) s.n * s.k, 12);
	const size_t size = (size_t) s.m * (s.n + 2);
	Device		device;
	rn_real    *y;
	double		worst = 0;
	size_t		i;

	device_begin(&device, k);
	y = product(&device, RN_FORMAT_INT8, &s, x, w, NULL);
	for (i = 0; *first != NULL && i < size; i++)
		worst = fmax(worst, fabs(y[i] - (*first)[i]));
	CHECK(worst <= tolerance(1e-5, 1e-14), "%s: gives what the lowest level does (%.1e)", k->description(), worst);
	device_end(&device);
	free(x);
	free(w);
	if (*first == NULL)
		*first = y;
	else
		free(y);
}

int
main(void)
{
	const RnKernels *k;
	rn_real    *first = NULL;
	int			level = 0;

	while ((k = next_level(&level)) != NULL)
	{
		Device		device;

		printf("# %s\n", k->description());
		if (!CHECK(device_begin(&device, k), "lane"))
			continue;
		CHECK(k->prepared_bytes(RN_FORMAT_INT8, 100, 64) >= 6400 && k->prepared_bytes(RN_FORMAT_INT8, 100, 64) < 12800,
			  "bytes of int8");
		test_exact(&device);
		test_some_rows(&device);
		test_rounding(&device);
		test_real(&device);
		test_special(&device);
		device_end(&device);
		test_levels_agree(k, &first);
	}
	free(first);
	return check_done();
}
