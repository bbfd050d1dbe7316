/*
 * kernel_check.h
 *		What the tests of kernels share: levels, device buffers, comparisons.
 *
 * Inputs are made in rn_real and judged in double, so that a reference sees
 * the numbers the kernel saw.  Every device buffer ends in a guard that is
 * looked at when it is released.
 *
 * test/unit/kernel_check.h
 */
#ifndef RN_KERNEL_CHECK_H
#define RN_KERNEL_CHECK_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"
#include "check.h"
#include "test_device.h"

#define GUARD		64			/* elements */
#define MAX_BUFFERS	64

/* One table under test. */
typedef struct Device
{
	const RnKernels *k;
	RnLane	   *lane;
	RnContext	ctx;
	int			n_buffers;
	rn_real    *buffers[MAX_BUFFERS];
	size_t		lengths[MAX_BUFFERS];	/* without the guard */
	int			overwritten;	/* guards found broken */
} Device;

static const rn_real guard_value = (rn_real) -12345.5;

/* The tolerance of a build. */
static inline double
tolerance(double in_float, double in_double)
{
	return sizeof(rn_real) == sizeof(float) ? in_float : in_double;
}

/* The next table to test: of the CPU one for each level, lowest first; NULL after the last. */
static inline const RnKernels *
next_level(int *level)
{
	const RnKernels *below;
	const RnKernels *table;

	if (strcmp(test_device_name(), "cpu") != 0)
		return (*level)++ == 0 ? test_device() : NULL;
	while (++*level <= RN_LEVEL_VNNI)
	{
		below = *level > 2 ? rn_cpu_kernels_up_to(*level - 1) : NULL;
		table = rn_cpu_kernels_up_to(*level);
		if (*level >= 2 && table != NULL && table != below)
			return table;
	}
	return NULL;
}

static inline int
device_begin(Device *device, const RnKernels *k)
{
	memset(device, 0, sizeof(*device));
	device->k = k;
	return k->lane_create(&device->ctx, &device->lane) == RN_OK;
}

/* n elements on the device: a copy of host, or zeros for NULL. */
static inline rn_real *
upload(Device *device, const rn_real *host, size_t n)
{
	void	   *memory = NULL;
	rn_real		guard[GUARD];
	int			i;

	if (device->n_buffers == MAX_BUFFERS ||
		device->k->allocate(&device->ctx, (n + GUARD) * sizeof(rn_real), &memory) != RN_OK)
	{
		fprintf(stderr, "no device memory for the test\n");
		exit(1);
	}
	for (i = 0; i < GUARD; i++)
		guard[i] = guard_value;
	if (host != NULL)
		device->k->copy_in(device->lane, memory, host, n * sizeof(rn_real));
	device->k->copy_in(device->lane, (rn_real *) memory + n, guard, sizeof(guard));
	device->k->synchronize(&device->ctx, device->lane);
	device->buffers[device->n_buffers] = memory;
	device->lengths[device->n_buffers++] = n;
	return memory;
}

static inline void
download(Device *device, rn_real *host, const rn_real *buffer, size_t n)
{
	device->k->copy_out(device->lane, host, buffer, n * sizeof(rn_real));
	device->k->synchronize(&device->ctx, device->lane);
}

/* Doubles on the device, and back. */
static inline double *
upload_doubles(Device *device, const double *host, size_t n)
{
	double	   *buffer = (double *) upload(device, NULL, n * sizeof(double) / sizeof(rn_real));

	device->k->copy_in(device->lane, buffer, host, n * sizeof(double));
	return buffer;
}

static inline void
download_doubles(Device *device, double *host, const double *buffer, size_t n)
{
	device->k->copy_out(device->lane, host, buffer, n * sizeof(double));
	device->k->synchronize(&device->ctx, device->lane);
}

/* Release all buffers; notes broken guards. */
static inline void
release_buffers(Device *device)
{
	while (device->n_buffers > 0)
	{
		size_t		n = device->lengths[--device->n_buffers];
		rn_real    *buffer = device->buffers[device->n_buffers];
		rn_real		guard[GUARD];
		int			i;

		download(device, guard, buffer + n, GUARD);
		for (i = 0; i < GUARD; i++)
			if (guard[i] != guard_value)
			{
				device->overwritten++;
				break;
			}
		device->k->release(buffer, (n + GUARD) * sizeof(rn_real));
	}
}

static inline void
device_end(Device *device)
{
	release_buffers(device);
	device->k->lane_free(device->lane);
	CHECK(device->overwritten == 0, "%s: nothing is written beyond a buffer (%d were)", device->k->description(),
		  device->overwritten);
}

/* Numbers in (-1, 1), rounded to rn_real; another set for each seed. */
static inline rn_real *
numbers(size_t n, unsigned seed)
{
	rn_real    *x = malloc((n + 1) * sizeof(rn_real));
	unsigned long long state = seed * 2654435761ull + 88172645463325252ull;
	size_t		i;

	for (i = 0; i < n; i++)
	{
		state = state * 6364136223846793005ull + 1442695040888963407ull;
		x[i] = (rn_real) ((double) (state >> 33) / 1073741824.0 - 1.0);
	}
	return x;
}

/* The same in double, for the reference. */
static inline double *
widen(const rn_real *x, size_t n)
{
	double	   *y = malloc((n + 1) * sizeof(double));
	size_t		i;

	for (i = 0; i < n; i++)
		y[i] = x[i];
	return y;
}

static inline double *
zeros(size_t n)
{
	return calloc(n + 1, sizeof(double));
}

/*
 * Worst distance of a device buffer from the truth, against the larger of 1
 * and the truth: absolute for small numbers, relative for large ones.
 */
static inline double
distance(Device *device, const rn_real *buffer, const double *truth, size_t n)
{
	rn_real    *host = malloc((n + 1) * sizeof(rn_real));
	double		worst = 0.0;
	size_t		i;

	download(device, host, buffer, n);
	for (i = 0; i < n; i++)
	{
		double		d = fabs(host[i] - truth[i]) / fmax(1.0, fabs(truth[i]));

		if (isnan(d))
			d = INFINITY;
		worst = fmax(worst, d);
	}
	free(host);
	return worst;
}

/* Keep the worst of many, with its name. */
typedef struct Worst
{
	double		distance;
	char		where[160];
} Worst;

static inline void __attribute__((format(printf, 3, 4)))
worst_of(Worst *worst, double distance, const char *format,...)
{
	va_list		args;

	if (distance <= worst->distance)
		return;
	worst->distance = isnan(distance) ? INFINITY : distance;
	va_start(args, format);
	vsnprintf(worst->where, sizeof(worst->where), format, args);
	va_end(args);
}

/* Factors of a dropout mask, element by element from the plain definition. */
static inline double *
plain_mask(const RnDropout *dropout, const uint32_t *row_ids, int rows, int cols)
{
	double	   *mask = zeros((size_t) rows * cols);
	int			i;
	int			j;

	for (i = 0; i < rows; i++)
		for (j = 0; j < cols; j++)
			mask[i * cols + j] = dropout->rate <= 0.0 ? 1.0 :
				rn_dropout_keeps(dropout, row_ids[i], (uint32_t) j) ? 1.0 / (1.0 - dropout->rate) : 0.0;
	return mask;
}

#endif							/* RN_KERNEL_CHECK_H */
