/*
 * plain.h
 *		The operations again, in plain loops and doubles, straight from their
 *		formulas: the judge of kernels and tape.
 *
 * Nothing here is shared with what is judged but random numbers.
 *
 * test/unit/plain.h
 */
#ifndef RN_PLAIN_H
#define RN_PLAIN_H

#include "kernels/kernel.h"

/* y [rows, out] at distance ldy = x [rows, in] w^T + b; b may be NULL */
extern void plain_linear(int rows, int in, int out, const double *x, const double *w, const double *b,
						 double *y, int ldy);

extern void plain_activation(RnActivation kind, int rows, int cols, const double *x, const double *bias,
							 const RnDropout *dropout, const uint32_t *row_ids, double *y);

/* NULL where not used; dual is changed in place */
typedef struct PlainResidual
{
	const double *shortcut;
	const double *branch;
	const double *bias;
	const double *omega;
	const double *gate;
	const double *gain;
	const double *shift;
	double		shortcut_scale;
	double		branch_scale;
	double		dual_scale;
	double		epsilon;
	RnDropout	dropout;
	const uint32_t *row_ids;
	double	   *dual;
	double	   *output;
} PlainResidual;

extern void plain_residual(int rows, int cols, const PlainResidual *r);

/* output = add_scale add + LN(x); add, gain, shift may be NULL */
extern void plain_norm(int rows, int cols, const double *x, const double *gain, const double *shift, double epsilon,
					   const double *add, double add_scale, double *output);

typedef struct PlainAttention
{
	const RnPacked *queries;
	const RnPacked *keys;
	int			heads;
	int			head_size;
	int			causal;
	double		score_divisor;
	RnDropout	dropout;
	const double *q;
	const double *k;
	const double *v;
	int			ldq;
	int			ldk;
	int			ldv;
	const double *scores_in;	/* ragged, or NULL */
	double	   *scores_out;		/* ragged, or NULL */
	double	   *probabilities;	/* ragged, or NULL */
	double	   *output;
} PlainAttention;

extern void plain_attention(const PlainAttention *a);

extern void plain_embedding(const RnPacked *packed, int cols, const int32_t *ids, const double *table,
							const double *position_table, double scale, const RnDropout *dropout, double *y);

/* x [rows, cols], w [vocabulary, cols]; gives the sum of losses; row_nll [rows] and nll_sum are filled */
extern double plain_cross_entropy(int rows, int cols, int vocabulary, const double *x, const double *w,
								  const int32_t *targets, double smoothing, int variant, double *row_nll,
								  double *nll_sum);

#endif							/* RN_PLAIN_H */
