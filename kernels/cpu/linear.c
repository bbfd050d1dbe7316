/*
 * linear.c
 *		Products with a bias, and sums over whole tensors.
 *
 * kernels/cpu/linear.c
 */
#include "kernels/cpu/cpu.h"

#include "kernels/cpu/vector.h"

void
rn_cpu_add_bias(int rows, int cols, const rn_real *bias, rn_real *y, int ldy)
{
	int			i;

	for (i = 0; i < rows; i++, y += ldy)
		vector_add_row(y, bias, cols);
}

void
rn_cpu_linear_forward(RnLane *lane, int rows, int out, int in, const rn_real *x, const rn_real *weight,
					  const rn_real *bias, rn_real *y)
{
	rn_cpu_product(lane, 0, 1, rows, out, in, 1.0, x, in, weight, in, 0.0, y, out);
	if (bias != NULL)
		rn_cpu_add_bias(rows, out, bias, y, out);
}

/* dbias += sum over rows of dy */
void
rn_cpu_bias_backward(RnLane *lane, int rows, int cols, const rn_real *dy, int lddy, rn_real *dbias)
{
	rn_real    *sums = rn_lane_scratch(lane, (size_t) cols * sizeof(rn_real));
	int			i;

	if (sums == NULL || rows <= 0)
		return;
	memset(sums, 0, (size_t) cols * sizeof(rn_real));
	for (i = 0; i < rows; i++, dy += lddy)
		vector_add_row(sums, dy, cols);
	vector_add_row(dbias, sums, cols);
}

/* Longest run of elements that RN_VECTORS counts with an int. */
#define RUN		((size_t) 1 << 30)

static void
add_run(int count, rn_real alpha, const rn_real *x, rn_real beta, rn_real *y)
{
	if (beta == 0)
		RN_VECTORS(j, n, count,
		{
			vector_store(y + j, alpha * vector_load(x + j, n), n);
		});
	else
		RN_VECTORS(j, n, count,
		{
			vector_store(y + j, alpha * vector_load(x + j, n) + beta * vector_load(y + j, n), n);
		});
}

void
rn_cpu_scaled_add(RnLane *lane, size_t n, double alpha, const rn_real *x, double beta, rn_real *y)
{
	size_t		at;

	(void) lane;
	for (at = 0; at < n; at += RUN)
		add_run((int) RN_MIN(n - at, RUN), (rn_real) alpha, x + at, (rn_real) beta, y + at);
}

void
rn_cpu_weighted_add(RnLane *lane, size_t n, const rn_real *weight, const rn_real *x, double beta, rn_real *y)
{
	rn_cpu_scaled_add(lane, n, *weight, x, beta, y);
}

/* Sums of this many products are kept in rn_real, sums of sums in double. */
#define PART	4096

static double
dot_double(size_t n, const rn_real *x, const rn_real *y)
{
	double		total = 0.0;
	size_t		at;

	for (at = 0; at < n; at += PART)
	{
		int			count = (int) RN_MIN(n - at, PART);
		RnVector	sum = {0};

		RN_VECTORS(j, w, count,
		{
			sum += vector_load(x + at + j, w) * vector_load(y + at + j, w);
		});
		total += vector_sum_double(sum);
	}
	return total;
}

void
rn_cpu_dot_add(RnLane *lane, size_t n, const rn_real *x, const rn_real *y, rn_real *out)
{
	(void) lane;
	*out += (rn_real) dot_double(n, x, y);
}

void
rn_cpu_sum_squares(RnLane *lane, size_t n, const rn_real *x, double *out)
{
	(void) lane;
	*out = dot_double(n, x, x);
}
