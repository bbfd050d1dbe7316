/*
 * golden_streams.c
 *		Streams and attention against reference values: how large, how much
 *		alike, how they depend on one another.
 *
 * Numbers are worked out here, in double, from what a pass showed.
 *
 * test/unit/golden_streams.c
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "golden_stack.h"

void
golden_compare_list(GoldenCase *this_case, const GoldenStack *stack, const char *what, const double *got, int n)
{
	char		name[GOLDEN_NAME];

	snprintf(name, sizeof(name), "diag.%s.%s", stack->name, what);
	golden_compare_all(this_case, GOLDEN_DIAGNOSTIC, name, got, n);
}

/* ---- streams ---- */

/* Standard deviation over all rows and features. */
static double
deviation(const GoldenStack *stack, const double *x)
{
	int			n = stack->packed->rows * stack->d;
	double		mean = 0;
	double		squares = 0;
	int			k;

	for (k = 0; k < n; k++)
		mean += x[k] / n;
	for (k = 0; k < n; k++)
		squares += (x[k] - mean) * (x[k] - mean) / n;
	return sqrt(squares);
}

static double
cosine(const double *a, const double *b, int d)
{
	double		ab = 0;
	double		aa = 0;
	double		bb = 0;
	int			j;

	for (j = 0; j < d; j++)
	{
		ab += a[j] * b[j];
		aa += a[j] * a[j];
		bb += b[j] * b[j];
	}
	return ab / sqrt(aa * bb);
}

static void
normalise(const double *x, int d, double *out)
{
	double		mean = 0;
	double		squares = 0;
	int			j;

	for (j = 0; j < d; j++)
		mean += x[j] / d;
	for (j = 0; j < d; j++)
		squares += (x[j] - mean) * (x[j] - mean) / d;
	for (j = 0; j < d; j++)
		out[j] = (x[j] - mean) / sqrt(squares + 1e-12);
}

/* Mean over rows of the cosine of two matrices' rows, normalised before if asked for. */
static double
mean_cosine(const GoldenStack *stack, const double *a, const double *b, int normalised)
{
	double		u[GOLDEN_WIDTH],
				v[GOLDEN_WIDTH];
	double		sum = 0;
	int			row;

	for (row = 0; row < stack->packed->rows; row++)
	{
		const double *x = a + row * stack->d;
		const double *y = b + row * stack->d;

		if (normalised)
		{
			normalise(x, stack->d, u);
			normalise(y, stack->d, v);
			x = u;
			y = v;
		}
		sum += cosine(x, y, stack->d);
	}
	return sum / stack->packed->rows;
}

/* Mean over ordered pairs of different tokens of a sentence. */
static double
token_cosine(const GoldenStack *stack, const double *x)
{
	const int32_t *offsets = stack->packed->offsets;
	double		sum = 0;
	int			pairs = 0;
	int			s,
				i,
				j;

	for (s = 0; s < stack->packed->n_sentences; s++)
	{
		for (i = offsets[s]; i < offsets[s + 1]; i++)
		{
			for (j = offsets[s]; j < offsets[s + 1]; j++)
			{
				if (i == j)
					continue;
				sum += cosine(x + i * stack->d, x + j * stack->d, stack->d);
				pairs++;
			}
		}
	}
	return sum / pairs;
}

static void
check_cosines(GoldenCase *this_case, const GoldenStack *stack)
{
	double		next[GOLDEN_SUBLAYERS],
				next_normalised[GOLDEN_SUBLAYERS],
				final[GOLDEN_SUBLAYERS + 1],
				token[GOLDEN_SUBLAYERS + 2];
	int			i;

	for (i = 0; i <= stack->n; i++)
	{
		if (i < stack->n)
		{
			next[i] = mean_cosine(stack, stack->x[i], stack->x[i + 1], 0);
			next_normalised[i] = mean_cosine(stack, stack->x[i], stack->x[i + 1], 1);
		}
		final[i] = mean_cosine(stack, stack->x[i], stack->out, 0);
		token[i] = token_cosine(stack, stack->x[i]);
	}
	token[stack->n + 1] = token_cosine(stack, stack->out);
	golden_compare_list(this_case, stack, "cos_next", next, stack->n);
	golden_compare_list(this_case, stack, "cos_next_norm", next_normalised, stack->n);
	golden_compare_list(this_case, stack, "cos_final", final, stack->n + 1);
	golden_compare_list(this_case, stack, "cos_token", token, stack->n + 2);
}

/* Dependency of each sublayer on those below: beta_ij = beta_{i-1,j} Std[k_i x_{i-1}] / Std[s_i]. */
static void
check_dependency(GoldenCase *this_case, const GoldenStack *stack, const double *shortcuts, const double *branches)
{
	int			width = stack->n + 1;
	int			size = stack->packed->rows * stack->d;
	double		beta[(GOLDEN_SUBLAYERS + 1) * (GOLDEN_SUBLAYERS + 1)] = {0};
	double	   *sum = malloc(size * sizeof(double));
	int			i,
				j;

	if (sum == NULL)
		return;
	beta[0] = 1;
	for (i = 1; i <= stack->n; i++)
	{
		double		all;

		for (j = 0; j < size; j++)
			sum[j] = stack->added_to[i - 1][j] + stack->scaled[i - 1][j];
		all = deviation(stack, sum);
		for (j = 0; j < i; j++)
			beta[i * width + j] = beta[(i - 1) * width + j] * shortcuts[i - 1] / all;
		beta[i * width + i] = branches[i - 1] / all;
	}
	golden_compare_list(this_case, stack, "beta", beta, width * width);
	free(sum);
}

/* ResiDual: D_i = s (x_0 + a_1 + ... + a_i). */
static void
check_dual(GoldenCase *this_case, const GoldenStack *stack)
{
	int			width = stack->n + 1;
	int			size = stack->packed->rows * stack->d;
	double		scale = this_case->config.dual_scale;
	double		beta[(GOLDEN_SUBLAYERS + 1) * (GOLDEN_SUBLAYERS + 1)] = {0};
	double		parts[GOLDEN_SUBLAYERS + 1];
	double		deviations[GOLDEN_SUBLAYERS + 1];
	double	   *dual = calloc(size, sizeof(double));
	int			i,
				j;

	if (dual == NULL)
		return;
	for (i = 0; i <= stack->n; i++)
	{
		const double *part = i == 0 ? stack->x[0] : stack->a[i - 1];

		for (j = 0; j < size; j++)
			dual[j] += scale * part[j];
		parts[i] = deviation(stack, part);
		deviations[i] = deviation(stack, dual);
		for (j = 0; j <= i; j++)
			beta[i * width + j] = parts[j] / (deviations[i] / scale);
	}
	golden_compare_list(this_case, stack, "beta_dual", beta, width * width);
	golden_compare_list(this_case, stack, "std_dual", deviations, width);
	free(dual);
}

void
golden_check_streams(GoldenCase *this_case, const GoldenStack *stack)
{
	const char *scheme = stack->model->scheme.scheme->name;
	double		shortcuts[GOLDEN_SUBLAYERS],
				branches[GOLDEN_SUBLAYERS];
	int			i;

	for (i = 0; i < stack->n; i++)
	{
		shortcuts[i] = deviation(stack, stack->added_to[i]);
		branches[i] = deviation(stack, stack->scaled[i]);
	}
	golden_compare_list(this_case, stack, "std_short", shortcuts, stack->n);
	golden_compare_list(this_case, stack, "std_branch", branches, stack->n);
	if (strcmp(scheme, "dlcl") != 0 && strcmp(scheme, "b2t") != 0)
		check_dependency(this_case, stack, shortcuts, branches);
	if (strcmp(scheme, "residual") == 0)
		check_dual(this_case, stack);
	check_cosines(this_case, stack);
}

/* ---- attention ---- */

/* One attention's distributions of one head: for every query a row of probabilities. */
static const rn_real *
distribution(const GoldenCase *this_case, const GoldenStack *stack, const RnPacked *keys, const rn_real *probabilities,
			 int head, int query, int *n_keys)
{
	int			s = 0;
	int			n,
				m;

	while (stack->packed->offsets[s + 1] <= query)
	{
		n = stack->packed->offsets[s + 1] - stack->packed->offsets[s];
		m = keys->offsets[s + 1] - keys->offsets[s];
		probabilities += (size_t) this_case->config.heads * n * rn_attention_stride(m);
		s++;
	}
	n = stack->packed->offsets[s + 1] - stack->packed->offsets[s];
	*n_keys = keys->offsets[s + 1] - keys->offsets[s];
	return probabilities + ((size_t) head * n + query - stack->packed->offsets[s]) * rn_attention_stride(*n_keys);
}

static double
entropy_part(double p)
{
	return p > 0 ? -p * log(p) : 0;
}

/* Entropy of each layer's distributions, and their divergence from those one layer up; means over queries. */
void
golden_check_attention(GoldenCase *this_case, const GoldenStack *stack, int cross)
{
	const RnPacked *keys = cross ? &this_case->batch.source : stack->packed;
	int			layers = stack->model->scheme.layers;
	int			heads = this_case->config.heads;
	int			rows = stack->packed->rows;
	double		entropies[GOLDEN_LAYERS * GOLDEN_HEADS] = {0};
	double		divergences[GOLDEN_LAYERS * GOLDEN_HEADS] = {0};
	int			l,
				h,
				q,
				j;

	for (l = 0; l < layers; l++)
	{
		for (h = 0; h < heads; h++)
		{
			for (q = 0; q < rows; q++)
			{
				int			n;
				const rn_real *p = distribution(this_case, stack, keys, *stack->probabilities[cross][l], h, q, &n);
				const rn_real *above = l + 1 == layers ? p :
					distribution(this_case, stack, keys, *stack->probabilities[cross][l + 1], h, q, &n);

				for (j = 0; j < n; j++)
				{
					entropies[l * heads + h] += entropy_part(p[j]) / rows;
					divergences[l * heads + h] += (entropy_part((p[j] + above[j]) / 2.0) -
												   (entropy_part(p[j]) + entropy_part(above[j])) / 2) / rows;
				}
			}
		}
	}
	golden_compare_list(this_case, stack, cross ? "ca.entropy" : "sa.entropy", entropies, layers * heads);
	if (layers > 1)
		golden_compare_list(this_case, stack, cross ? "ca.jsd" : "sa.jsd", divergences, (layers - 1) * heads);
}
