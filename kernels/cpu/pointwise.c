/*
 * pointwise.c
 *		Activations, with the bias before and the dropout after in one pass.
 *
 * The derivative of ReLU with dropout needs no mask: y is above 0 exactly
 * where the element was kept and its activation open.
 *
 * kernels/cpu/pointwise.c
 */
#include "kernels/cpu/cpu.h"

#include "kernels/cpu/exp.h"
#include "kernels/cpu/mask.h"
#include "kernels/cpu/vector.h"

#define INVERSE_SQRT_2PI	((rn_real) 0.39894228040143268)

/* x Phi(x) */
RN_INLINE RnVector
gelu(RnVector x)
{
	RnVector	bell;

	return x * vector_normal(x, &bell);
}

/* Phi(x) + x phi(x) */
RN_INLINE RnVector
gelu_slope(RnVector x)
{
	RnVector	bell;
	RnVector	cumulative = vector_normal(x, &bell);

	return cumulative + INVERSE_SQRT_2PI * x * bell;
}

/* mask NULL: no dropout. */
static void
forward_row(const RnActivationArgs *args, const rn_real *mask, const rn_real *x, rn_real *pre, rn_real *y)
{
	const rn_real *bias = args->bias;

	if (args->kind == RN_RELU)
		RN_VECTORS(j, n, args->cols,
		{
			RnVector	v = vector_load(x + j, n);

			if (bias != NULL)
				v += vector_load(bias + j, n);
			v = vector_max((RnVector) {0}, v);
			if (mask != NULL)
				v *= vector_load(mask + j, n);
			vector_store(y + j, v, n);
		});
	else
		RN_VECTORS(j, n, args->cols,
		{
			RnVector	v = vector_load(x + j, n);

			if (bias != NULL)
				v += vector_load(bias + j, n);
			if (pre != NULL)
				vector_store(pre + j, v, n);
			v = gelu(v);
			if (mask != NULL)
				v *= vector_load(mask + j, n);
			vector_store(y + j, v, n);
		});
}

void
rn_cpu_activation_forward(RnLane *lane, const RnActivationArgs *args)
{
	const size_t cols = (size_t) args->cols;
	const size_t mask_cols = mask_length(cols);
	rn_real    *mask = NULL;
	int			i;

	if (args->dropout.rate > 0.0)
	{
		mask = rn_lane_scratch(lane, mask_cols * sizeof(rn_real));
		if (mask == NULL)
			return;
	}
	for (i = 0; i < args->rows; i++)
	{
		if (mask != NULL)
			mask_fill(&args->dropout, 0, args->row_ids[i], 0, (uint32_t) (mask_cols / RN_MASK_BLOCK), mask);
		forward_row(args, mask, args->x + i * cols, args->pre != NULL ? args->pre + i * cols : NULL,
					args->y + i * cols);
	}
}

/*
 * RELU:  dx = dy [y > 0] / (1 - rate)
 * GELU:  dx = dy mask (Phi(pre) + pre phi(pre))
 */
static void
backward_row(const RnActivationArgs *args, const rn_real *mask, size_t offset, rn_real *sums)
{
	const rn_real *dy = args->dy + offset;
	rn_real    *dx = args->dx != NULL ? args->dx + offset : NULL;

	if (args->kind == RN_RELU)
	{
		const rn_real *y = args->y + offset;
		const rn_real scale = (rn_real) (1.0 / (1.0 - args->dropout.rate));

		RN_VECTORS(j, n, args->cols,
		{
			RnVector	v = vector_and(vector_load(y + j, n) > 0, scale * vector_load(dy + j, n));

			if (sums != NULL)
				vector_store(sums + j, vector_load(sums + j, n) + v, n);
			if (dx != NULL)
				vector_put(dx + j, v, n, args->accumulate);
		});
	}
	else
	{
		const rn_real *pre = args->pre + offset;

		RN_VECTORS(j, n, args->cols,
		{
			RnVector	v = vector_load(dy + j, n) * gelu_slope(vector_load(pre + j, n));

			if (mask != NULL)
				v *= vector_load(mask + j, n);
			if (sums != NULL)
				vector_store(sums + j, vector_load(sums + j, n) + v, n);
			if (dx != NULL)
				vector_put(dx + j, v, n, args->accumulate);
		});
	}
}

void
rn_cpu_activation_backward(RnLane *lane, const RnActivationArgs *args)
{
	const size_t cols = (size_t) args->cols;
	const size_t mask_cols = mask_length(cols);
	rn_real    *sums = rn_lane_scratch(lane, 2 * mask_cols * sizeof(rn_real));
	rn_real    *mask = NULL;
	int			i;

	if (sums == NULL)
		return;
	memset(sums, 0, cols * sizeof(rn_real));
	if (args->dropout.rate > 0.0 && args->kind == RN_GELU)
		mask = sums + mask_cols;
	for (i = 0; i < args->rows; i++)
	{
		if (mask != NULL)
			mask_fill(&args->dropout, 0, args->row_ids[i], 0, (uint32_t) (mask_cols / RN_MASK_BLOCK), mask);
		backward_row(args, mask, i * cols, args->dbias != NULL ? sums : NULL);
	}
	if (args->dbias != NULL)
		vector_add_row(args->dbias, sums, args->cols);
}
