/*
 * norm.c
 *		Layer norm, and how a sublayer joins the stream.
 *
 * Mean and variance in two passes over a row that lies in the first-level
 * cache: one pass over squares loses bits where the mean is large.
 *
 * kernels/cpu/norm.c
 */
#include "kernels/cpu/cpu.h"

#include "kernels/cpu/mask.h"
#include "kernels/cpu/vector.h"

/* 1 / sqrt(var + epsilon) of a row whose sum is known; gives the mean too. */
static rn_real
row_statistics(const rn_real *x, int cols, rn_real sum, double epsilon, rn_real *mean)
{
	const rn_real mu = sum / (rn_real) cols;
	RnVector	squares = {0};

	/* elements beyond the row would count as -mean, so they are cut off */
	RN_VECTORS(j, n, cols,
	{
		RnVector	d = vector_load(x + j, n) - mu;

		squares += vector_first(d * d, n);
	});
	*mean = mu;
	return (rn_real) (1.0 / sqrt((double) vector_sum(squares) / cols + epsilon));
}

/* output = gain xhat + shift (+ add_scale add); keeps xhat when asked to. */
static void
normalize_row(const rn_real *x, int cols, rn_real mean, rn_real rstd, const rn_real *gain, const rn_real *shift,
			  rn_real add_scale, const rn_real *add, rn_real *normalized, rn_real *output)
{
	RN_VECTORS(j, n, cols,
	{
		RnVector	v = (vector_load(x + j, n) - mean) * rstd;

		if (normalized != NULL)
			vector_store(normalized + j, v, n);
		if (gain != NULL)
			v *= vector_load(gain + j, n);
		if (shift != NULL)
			v += vector_load(shift + j, n);
		if (add != NULL)
			v += add_scale * vector_load(add + j, n);
		vector_store(output + j, v, n);
	});
}

/* s of one row into sum_row, D += dual_scale a; the sum of s. */
static rn_real
join_row(const RnResidualArgs *args, size_t offset, const rn_real *mask, rn_real branch_scale, rn_real *sum_row)
{
	const rn_real *branch = args->branch + offset;
	const rn_real *shortcut = args->shortcut + offset;
	rn_real    *dual = args->dual != NULL ? args->dual + offset : NULL;
	const rn_real shortcut_scale = (rn_real) args->shortcut_scale;
	const rn_real dual_scale = (rn_real) args->dual_scale;
	RnVector	sum = {0};

	RN_VECTORS(j, n, args->cols,
	{
		RnVector	a = vector_load(branch + j, n);
		RnVector	s = shortcut_scale * vector_load(shortcut + j, n);

		if (args->bias != NULL)
			a += vector_load(args->bias + j, n);
		if (mask != NULL)
			a *= vector_load(mask + j, n);
		a *= branch_scale;
		if (dual != NULL)
			vector_store(dual + j, vector_load(dual + j, n) + dual_scale * a, n);
		if (args->omega != NULL)
			s *= vector_load(args->omega + j, n);
		s += a;
		vector_store(sum_row + j, s, n);
		sum += s;
	});
	return vector_sum(sum);
}

void
rn_cpu_residual_forward(RnLane *lane, const RnResidualArgs *args)
{
	const size_t cols = (size_t) args->cols;
	const size_t mask_cols = mask_length(cols);
	const rn_real branch_scale = (rn_real) (args->branch_scale * (args->gate != NULL ? *args->gate : 1.0));
	rn_real    *buffer = rn_lane_scratch(lane, 2 * mask_cols * sizeof(rn_real));
	rn_real    *mask = NULL;
	int			i;

	if (buffer == NULL || cols == 0)
		return;
	if (args->dropout.rate > 0.0)
		mask = buffer + mask_cols;
	for (i = 0; i < args->rows; i++)
	{
		const size_t offset = i * cols;
		rn_real    *output = args->output + offset;
		rn_real		sum;
		rn_real		mean;
		rn_real		rstd;

		if (mask != NULL)
			mask_fill(&args->dropout, 0, args->row_ids[i], 0, (uint32_t) (mask_cols / RN_MASK_BLOCK), mask);
		sum = join_row(args, offset, mask, branch_scale, args->gain != NULL ? buffer : output);
		if (args->gain == NULL)
			continue;
		rstd = row_statistics(buffer, args->cols, sum, args->epsilon, &mean);
		normalize_row(buffer, args->cols, mean, rstd, args->gain, args->shift, 0, NULL,
					  args->normalized != NULL ? args->normalized + offset : NULL, output);
		if (args->rstd != NULL)
			args->rstd[i] = rstd;
	}
}

/*
 * ds = rstd (g - mean(g) - xhat mean(g xhat)), g = dy gain; dgain += dy xhat;
 * dshift += dy.
 */
static void
norm_gradient_row(int cols, const rn_real *dy, const rn_real *xhat, rn_real rstd, const rn_real *gain,
				  rn_real *dgain, rn_real *dshift, rn_real *ds)
{
	RnVector	sum = {0};
	RnVector	sum_xhat = {0};
	rn_real		mean;
	rn_real		mean_xhat;

	RN_VECTORS(j, n, cols,
	{
		RnVector	g = vector_load(dy + j, n);
		RnVector	h = vector_load(xhat + j, n);

		if (dgain != NULL)
			vector_store(dgain + j, vector_load(dgain + j, n) + g * h, n);
		if (dshift != NULL)
			vector_store(dshift + j, vector_load(dshift + j, n) + g, n);
		if (gain != NULL)
			g *= vector_load(gain + j, n);
		sum += g;
		sum_xhat += g * h;
		vector_store(ds + j, g, n);
	});
	mean = vector_sum(sum) / (rn_real) cols;
	mean_xhat = vector_sum(sum_xhat) / (rn_real) cols;
	RN_VECTORS(j, n, cols,
	{
		RnVector	g = vector_load(ds + j, n);

		vector_store(ds + j, rstd * (g - mean - mean_xhat * vector_load(xhat + j, n)), n);
	});
}

/* Sums over the rows of one call, added to the parameters at its end. */
typedef struct Sums
{
	rn_real    *gain;			/* [cols] each, or NULL when not wanted */
	rn_real    *shift;
	rn_real    *bias;
	rn_real    *omega;
	double		gate;
} Sums;

/* Everything below the norm for one row, from ds. */
static void
split_row(const RnResidualArgs *args, size_t offset, const rn_real *mask, const rn_real *ds, Sums *sums)
{
	const rn_real *ddual = args->ddual != NULL ? args->ddual + offset : NULL;
	const rn_real *shortcut = args->shortcut != NULL ? args->shortcut + offset : NULL;
	const rn_real *branch = args->branch != NULL ? args->branch + offset : NULL;
	rn_real    *dshortcut = args->dshortcut != NULL ? args->dshortcut + offset : NULL;
	rn_real    *dbranch = args->dbranch != NULL ? args->dbranch + offset : NULL;
	const rn_real shortcut_scale = (rn_real) args->shortcut_scale;
	const rn_real dual_scale = (rn_real) args->dual_scale;
	const rn_real gate = args->gate != NULL ? *args->gate : 1;
	const rn_real scale = (rn_real) args->branch_scale;
	RnVector	gate_sum = {0};

	RN_VECTORS(j, n, args->cols,
	{
		RnVector	d = vector_load(ds + j, n);
		RnVector	a = d;

		if (ddual != NULL)
			a += dual_scale * vector_load(ddual + j, n);
		a *= scale;
		if (mask != NULL)
			a *= vector_load(mask + j, n);
		if (args->dgate != NULL)
		{
			RnVector	b = vector_load(branch + j, n);

			if (args->bias != NULL)
				b += vector_load(args->bias + j, n);
			gate_sum += a * b;
		}
		a *= gate;
		d *= shortcut_scale;
		if (sums->omega != NULL)
			vector_store(sums->omega + j, vector_load(sums->omega + j, n) + d * vector_load(shortcut + j, n), n);
		if (args->omega != NULL)
			d *= vector_load(args->omega + j, n);
		if (sums->bias != NULL)
			vector_store(sums->bias + j, vector_load(sums->bias + j, n) + a, n);
		if (dshortcut != NULL)
			vector_put(dshortcut + j, d, n, args->accumulate_shortcut);
		if (dbranch != NULL)
			vector_put(dbranch + j, a, n, args->accumulate_branch);
	});
	sums->gate += vector_sum(gate_sum);
}

void
rn_cpu_residual_backward(RnLane *lane, const RnResidualArgs *args)
{
	const size_t cols = (size_t) args->cols;
	const size_t mask_cols = mask_length(cols);
	rn_real    *buffer = rn_lane_scratch(lane, 6 * mask_cols * sizeof(rn_real));
	rn_real    *ds = buffer + mask_cols;
	rn_real    *mask = NULL;
	Sums		sums = {NULL, NULL, NULL, NULL, 0.0};
	int			i;

	if (buffer == NULL || cols == 0)
		return;
	memset(buffer, 0, 6 * mask_cols * sizeof(rn_real));
	if (args->dropout.rate > 0.0)
		mask = buffer;
	sums.gain = args->dgain != NULL ? buffer + 2 * mask_cols : NULL;
	sums.shift = args->dshift != NULL ? buffer + 3 * mask_cols : NULL;
	sums.bias = args->dbias != NULL ? buffer + 4 * mask_cols : NULL;
	sums.omega = args->domega != NULL ? buffer + 5 * mask_cols : NULL;
	for (i = 0; i < args->rows; i++)
	{
		const size_t offset = i * cols;
		const rn_real *row = args->doutput + offset;

		if (mask != NULL)
			mask_fill(&args->dropout, 0, args->row_ids[i], 0, (uint32_t) (mask_cols / RN_MASK_BLOCK), mask);
		if (args->gain != NULL)
		{
			norm_gradient_row(args->cols, row, args->normalized + offset, args->rstd[i], args->gain, sums.gain,
							  sums.shift, ds);
			row = ds;
		}
		split_row(args, offset, mask, row, &sums);
	}
	if (sums.gain != NULL && args->gain != NULL)
		vector_add_row(args->dgain, sums.gain, args->cols);
	if (sums.shift != NULL && args->gain != NULL)
		vector_add_row(args->dshift, sums.shift, args->cols);
	if (sums.bias != NULL)
		vector_add_row(args->dbias, sums.bias, args->cols);
	if (sums.omega != NULL)
		vector_add_row(args->domega, sums.omega, args->cols);
	if (args->dgate != NULL)
		*args->dgate += (rn_real) sums.gate;
}

void
rn_cpu_norm_forward(RnLane *lane, const RnNormArgs *args)
{
	const size_t cols = (size_t) args->cols;
	int			i;

	(void) lane;
	for (i = 0; i < args->rows && cols > 0; i++)
	{
		const size_t offset = i * cols;
		const rn_real *x = args->x + offset;
		RnVector	sum = {0};
		rn_real		mean;
		rn_real		rstd;

		RN_VECTORS(j, n, args->cols,
		{
			sum += vector_load(x + j, n);
		});
		rstd = row_statistics(x, args->cols, vector_sum(sum), args->epsilon, &mean);
		normalize_row(x, args->cols, mean, rstd, args->gain, args->shift, (rn_real) args->add_scale,
					  args->add != NULL ? args->add + offset : NULL,
					  args->normalized != NULL ? args->normalized + offset : NULL, args->output + offset);
		if (args->rstd != NULL)
			args->rstd[i] = rstd;
	}
}

/* dadd = add_scale dy; dx as in norm_gradient_row. */
void
rn_cpu_norm_backward(RnLane *lane, const RnNormArgs *args)
{
	const size_t cols = (size_t) args->cols;
	rn_real    *buffer = rn_lane_scratch(lane, 3 * cols * sizeof(rn_real));
	rn_real    *dgain = args->dgain != NULL ? buffer + cols : NULL;
	rn_real    *dshift = args->dshift != NULL ? buffer + 2 * cols : NULL;
	const rn_real add_scale = (rn_real) args->add_scale;
	int			i;

	if (buffer == NULL || cols == 0)
		return;
	memset(buffer, 0, 3 * cols * sizeof(rn_real));
	for (i = 0; i < args->rows; i++)
	{
		const size_t offset = i * cols;
		const rn_real *dy = args->doutput + offset;

		norm_gradient_row(args->cols, dy, args->normalized + offset, args->rstd[i], args->gain, dgain, dshift,
						  buffer);
		if (args->dadd != NULL)
			RN_VECTORS(j, n, args->cols,
			{
				vector_put(args->dadd + offset + j, add_scale * vector_load(dy + j, n), n, args->accumulate_add);
			});
		if (args->dx != NULL)
			RN_VECTORS(j, n, args->cols,
			{
				vector_put(args->dx + offset + j, vector_load(buffer + j, n), n, args->accumulate_x);
			});
	}
	if (dgain != NULL)
		vector_add_row(args->dgain, dgain, args->cols);
	if (dshift != NULL)
		vector_add_row(args->dshift, dshift, args->cols);
}
