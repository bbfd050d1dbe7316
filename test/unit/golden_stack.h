/*
 * golden_stack.h
 *		What a pass showed of a stack, and what is worked out of it.
 *
 * test/unit/golden_stack.h
 */
#ifndef GOLDEN_STACK_H
#define GOLDEN_STACK_H

#include "golden_case.h"
#include "model/model.h"

#define GOLDEN_SUBLAYERS	16
#define GOLDEN_LAYERS		8
#define GOLDEN_HEADS		8
#define GOLDEN_WIDTH		64

/* A stack of the case, with copies of what a pass showed; matrices are [rows, d]. */
typedef struct GoldenStack
{
	const char *name;			/* "enc", "dec" */
	const RnModelStack *model;
	const RnPacked *packed;
	int			n;				/* sublayers */
	int			d;
	RnTensor   *output;
	RnTensor   *stream[GOLDEN_SUBLAYERS + 1];
	RnTensor   *shortcut[GOLDEN_SUBLAYERS];
	RnTensor   *branch[GOLDEN_SUBLAYERS];
	RnTensor   *attention[2][GOLDEN_LAYERS];	/* self, cross */
	const rn_real *const *probabilities[2][GOLDEN_LAYERS];
	double	   *out;			/* copies: the output, */
	double	   *x[GOLDEN_SUBLAYERS + 1];	/* the streams, */
	double	   *a[GOLDEN_SUBLAYERS];	/* branches with their bias, */
	double	   *scaled[GOLDEN_SUBLAYERS];	/* the same with their factors, */
	double	   *added_to[GOLDEN_SUBLAYERS];	/* shortcuts with theirs */
} GoldenStack;

/* Compare with the record "diag.STACK.WHAT". */
extern void golden_compare_list(GoldenCase *this_case, const GoldenStack *stack, const char *what,
								const double *got, int n);

/* Standard deviations, layer dependency, cosines; entropy and divergence of attention. */
extern void golden_check_streams(GoldenCase *this_case, const GoldenStack *stack);
extern void golden_check_attention(GoldenCase *this_case, const GoldenStack *stack, int cross);

#endif							/* GOLDEN_STACK_H */
