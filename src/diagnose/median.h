/*
 * median.h
 *		The middle of some numbers.
 *
 * src/diagnose/median.h
 */
#ifndef RN_MEDIAN_H
#define RN_MEDIAN_H

#include <stdlib.h>

static inline int
rn_compare_numbers(const void *left, const void *right)
{
	double		a = *(const double *) left;
	double		b = *(const double *) right;

	return (a > b) - (a < b);
}

/* Sorts values [n], n at least 1. */
static inline double
rn_median(double *values, int n)
{
	qsort(values, (size_t) n, sizeof(double), rn_compare_numbers);
	return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

#endif							/* RN_MEDIAN_H */
