/*
 * bootstrap.c
 *		Is the difference between two systems more than chance?
 *
 * src/score/bootstrap.c
 */
#include "score/bootstrap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

/* 32 bits times n: the high half, so that no sentence is likelier than another by more than n / 2^64. */
void
rn_bootstrap_draw(uint64_t seed, uint32_t sample, uint32_t *drawn, uint32_t n)
{
	uint32_t	i;

	for (i = 0; i < n; i++)
	{
		uint64_t	bits = rn_random_bits(seed, RN_RANDOM_BOOTSTRAP, sample, 0, i);
		uint64_t	low = (bits & 0xFFFFFFFFu) * n >> 32;

		drawn[i] = (uint32_t) (((bits >> 32) * n + low) >> 32);
	}
}

void
rn_bootstrap_score(const RnJudgement *first, const RnJudgement *second, const uint32_t *drawn,
				   size_t n, RnPairedScores *scores)
{
	RnJudgement sums[2];
	size_t		i;
	int			system;
	int			measure;

	memset(sums, 0, sizeof(sums));
	for (i = 0; i < n; i++)
	{
		size_t		sentence = drawn != NULL ? drawn[i] : i;

		rn_judgement_combine(&sums[0], &first[sentence]);
		rn_judgement_combine(&sums[1], &second[sentence]);
	}
	for (system = 0; system < 2; system++)
	{
		for (measure = 0; measure < RN_MEASURES; measure++)
			scores->score[system][measure] = rn_judgement_score(&sums[system], (RnMeasure) measure);
	}
}

static int
ascending(const void *a, const void *b)
{
	double		left = *(const double *) a;
	double		right = *(const double *) b;

	return (left > right) - (left < right);
}

/* The values between which the given share lies, as many left out below as above; sorts them. */
static void
interval(double *values, size_t n, double confidence, double *lower, double *upper)
{
	size_t		out = (size_t) floor((double) n * (1.0 - confidence) / 2.0 + 1e-9);

	qsort(values, n, sizeof(*values), ascending);
	*lower = values[out];
	*upper = values[n - out - 1];
}

/* (1 + resamples beyond) / (1 + resamples), see the head of bootstrap.h */
static double
p_value(const double *differences, size_t n, double observed)
{
	double		mean = 0.0;
	size_t		beyond = 0;
	size_t		i;

	for (i = 0; i < n; i++)
		mean += fabs(differences[i]);
	if (mean == 0.0)
		return 1.0;
	mean /= (double) n;
	for (i = 0; i < n; i++)
		beyond += fabs(differences[i]) - mean > fabs(observed);
	return (double) (beyond + 1) / (double) (n + 1);
}

RnStatus
rn_bootstrap_compare(RnContext *ctx, const RnPairedScores *whole, const RnPairedScores *samples, size_t n_samples,
					 RnMeasure measure, double confidence, RnComparison *comparison)
{
	double	   *values = malloc(n_samples * sizeof(*values));
	double		lower;
	double		upper;
	size_t		i;
	int			system;

	if (values == NULL)
		return rn_out_of_memory(ctx, n_samples * sizeof(*values));
	comparison->difference = whole->score[1][measure] - whole->score[0][measure];
	for (i = 0; i < n_samples; i++)
		values[i] = samples[i].score[1][measure] - samples[i].score[0][measure];
	comparison->p_value = p_value(values, n_samples, comparison->difference);
	interval(values, n_samples, confidence, &comparison->lower, &comparison->upper);
	for (system = 0; system < 2; system++)
	{
		for (i = 0; i < n_samples; i++)
			values[i] = samples[i].score[system][measure];
		interval(values, n_samples, confidence, &lower, &upper);
		comparison->margin[system] = (upper - lower) / 2.0;
	}
	free(values);
	return RN_OK;
}
