/*
 * plain.c
 *		The operations again, in plain loops and doubles.
 *
 * test/unit/plain.c
 */
#include "plain.h"

#include <math.h>
#include <stdlib.h>

/* The factor that dropout gives an element. */
static double
kept(const RnDropout *dropout, uint32_t row, uint32_t col)
{
	if (dropout->rate == 0.0)
		return 1.0;
	return rn_dropout_keeps(dropout, row, col) ? 1.0 / (1.0 - dropout->rate) : 0.0;
}

void
plain_linear(int rows, int in, int out, const double *x, const double *w, const double *b, double *y, int ldy)
{
	int			i;
	int			j;
	int			k;

	for (i = 0; i < rows; i++)
		for (j = 0; j < out; j++)
		{
			double		sum = b != NULL ? b[j] : 0.0;

			for (k = 0; k < in; k++)
				sum += x[i * in + k] * w[j * in + k];
			y[i * ldy + j] = sum;
		}
}

void
plain_activation(RnActivation kind, int rows, int cols, const double *x, const double *bias,
				 const RnDropout *dropout, const uint32_t *row_ids, double *y)
{
	int			i;
	int			j;

	for (i = 0; i < rows; i++)
		for (j = 0; j < cols; j++)
		{
			double		z = x[i * cols + j] + (bias != NULL ? bias[j] : 0.0);

			if (kind == RN_RELU)
				z = z > 0.0 ? z : 0.0;
			else
				z = z * 0.5 * erfc(-z / sqrt(2.0));
			y[i * cols + j] = z * kept(dropout, row_ids[i], j);
		}
}

static void
normalize(int cols, const double *s, const double *gain, const double *shift, double epsilon, double *y)
{
	double		mean = 0.0;
	double		variance = 0.0;
	int			j;

	for (j = 0; j < cols; j++)
		mean += s[j] / cols;
	for (j = 0; j < cols; j++)
		variance += (s[j] - mean) * (s[j] - mean) / cols;
	for (j = 0; j < cols; j++)
		y[j] = (gain != NULL ? gain[j] : 1.0) * (s[j] - mean) / sqrt(variance + epsilon) +
			(shift != NULL ? shift[j] : 0.0);
}

void
plain_residual(int rows, int cols, const PlainResidual *r)
{
	double	   *s = malloc(cols * sizeof(*s));
	int			i;
	int			j;

	for (i = 0; i < rows; i++)
	{
		for (j = 0; j < cols; j++)
		{
			int			at = i * cols + j;
			double		a = r->branch[at] + (r->bias != NULL ? r->bias[j] : 0.0);

			a *= kept(&r->dropout, r->row_ids[i], j) * r->branch_scale * (r->gate != NULL ? r->gate[0] : 1.0);
			s[j] = r->shortcut_scale * (r->omega != NULL ? r->omega[j] : 1.0) * r->shortcut[at] + a;
			if (r->dual != NULL)
				r->dual[at] += r->dual_scale * a;
			r->output[at] = s[j];
		}
		if (r->gain != NULL)
			normalize(cols, s, r->gain, r->shift, r->epsilon, r->output + i * cols);
	}
	free(s);
}

void
plain_norm(int rows, int cols, const double *x, const double *gain, const double *shift, double epsilon,
		   const double *add, double add_scale, double *output)
{
	int			i;
	int			j;

	for (i = 0; i < rows; i++)
	{
		normalize(cols, x + i * cols, gain, shift, epsilon, output + i * cols);
		for (j = 0; add != NULL && j < cols; j++)
			output[i * cols + j] += add_scale * add[i * cols + j];
	}
}

/* One query of one head: scores, their softmax, the weighted sum of values. */
static void
attend(const PlainAttention *a, int s, int h, int i, size_t ragged)
{
	const int32_t *query_offsets = a->queries->offsets;
	const int32_t *key_offsets = a->keys->offsets;
	int			m = key_offsets[s + 1] - key_offsets[s];
	int			visible = a->causal && i + 1 < m ? i + 1 : m;
	const double *q = a->q + (size_t) (query_offsets[s] + i) * a->ldq + h * a->head_size;
	double	   *output = a->output + (size_t) (query_offsets[s] + i) * a->heads * a->head_size + h * a->head_size;
	double	   *p = malloc((m + 1) * sizeof(*p));
	RnDropout	dropout = a->dropout;
	double		highest = -INFINITY;
	double		sum = 0.0;
	int			j;
	int			c;

	dropout.site += (uint32_t) h << 16;
	for (c = 0; c < a->head_size; c++)
		output[c] = 0.0;
	for (j = 0; j < m; j++)
	{
		const double *k = a->k + (size_t) (key_offsets[s] + j) * a->ldk + h * a->head_size;
		double		score = 0.0;

		for (c = 0; c < a->head_size; c++)
			score += q[c] * k[c] / sqrt(a->head_size);
		if (a->scores_in != NULL)
			score += a->scores_in[ragged + j];
		if (a->scores_out != NULL)
			a->scores_out[ragged + j] = score;
		p[j] = score / a->score_divisor;
		if (j < visible && p[j] > highest)
			highest = p[j];
	}
	for (j = 0; j < m; j++)
	{
		p[j] = j < visible ? exp(p[j] - highest) : 0.0;
		sum += p[j];
	}
	for (j = 0; j < m; j++)
	{
		const double *v = a->v + (size_t) (key_offsets[s] + j) * a->ldv + h * a->head_size;

		p[j] /= sum;
		if (a->probabilities != NULL)
			a->probabilities[ragged + j] = p[j];
		p[j] *= kept(&dropout, a->queries->row_ids[query_offsets[s]], i * m + j);
		for (c = 0; c < a->head_size; c++)
			output[c] += p[j] * v[c];
	}
	free(p);
}

void
plain_attention(const PlainAttention *a)
{
	size_t		ragged = 0;
	int			s;
	int			h;
	int			i;

	for (s = 0; s < a->queries->n_sentences; s++)
		for (h = 0; h < a->heads; h++)
			for (i = 0; i < a->queries->offsets[s + 1] - a->queries->offsets[s]; i++)
			{
				attend(a, s, h, i, ragged);
				ragged += rn_attention_stride(a->keys->offsets[s + 1] - a->keys->offsets[s]);
			}
}

void
plain_embedding(const RnPacked *packed, int cols, const int32_t *ids, const double *table,
				const double *position_table, double scale, const RnDropout *dropout, double *y)
{
	int			r;
	int			j;

	for (r = 0; r < packed->rows; r++)
		for (j = 0; j < cols; j++)
		{
			double		sum = scale * table[ids[r] * cols + j];

			if (packed->positions[r] >= 0)
				sum += position_table[packed->positions[r] * cols + j];
			y[r * cols + j] = sum * kept(dropout, packed->row_ids[r], j);
		}
}

double
plain_cross_entropy(int rows, int cols, int vocabulary, const double *x, const double *w, const int32_t *targets,
					double smoothing, int variant, double *row_nll, double *nll_sum)
{
	double	   *logits = malloc(vocabulary * sizeof(*logits));
	double		spread = variant == 0 ? smoothing / (vocabulary - 1) : smoothing / vocabulary;
	double		target_share = variant == 0 ? 1.0 - smoothing - spread : 1.0 - smoothing;
	double		loss = 0.0;
	int			i;
	int			j;

	*nll_sum = 0.0;
	for (i = 0; i < rows; i++)
	{
		double		highest = -INFINITY;
		double		sum = 0.0;
		double		all = 0.0;

		plain_linear(1, cols, vocabulary, x + i * cols, w, NULL, logits, vocabulary);
		for (j = 0; j < vocabulary; j++)
			highest = logits[j] > highest ? logits[j] : highest;
		for (j = 0; j < vocabulary; j++)
			sum += exp(logits[j] - highest);
		for (j = 0; j < vocabulary; j++)
			all += highest + log(sum) - logits[j];
		row_nll[i] = highest + log(sum) - logits[targets[i]];
		*nll_sum += row_nll[i];
		loss += target_share * row_nll[i] + spread * all;
	}
	free(logits);
	return loss;
}
