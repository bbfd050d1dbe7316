/*
 * probe.h
 *		A model looked at from inside: one pass over one batch, forwards and
 *		backwards, with everything shown, and what can be worked out of it.
 *
 * Dropout is off.  Formulas follow the papers that are named above each; sums
 * are in double.  i counts sublayers from 1, x_0 is the stack's input, a_i a
 * branch as it is added (factors included), k_i the shortcut's factor, and
 * s_i = k_i x_{i-1} + a_i.  Whatever residual scheme is in use, numbers come
 * from what the pass showed.
 *
 *		rn_probe_create, rn_probe_run, then any of the others, rn_probe_free
 *
 * src/diagnose/probe.h
 */
#ifndef RN_PROBE_H
#define RN_PROBE_H

#include "model/model.h"
#include "train/trainer.h"

/* What the pass showed of a stack; n and layers are 0 where a model has no such stack. */
typedef struct RnProbeStack
{
	const RnModelStack *model;
	const RnPacked *rows;		/* of its stream */
	const RnPacked *memory_rows;	/* of what cross-attention reads; NULL: there is none */
	int			n;				/* sublayers */
	int			layers;
	int			d;
	RnTensor   *output;
	RnTensor   *dual;			/* D_N; NULL: the scheme has no dual stream */
	RnTensor  **stream;			/* [n + 1] */
	RnTensor  **shortcut;		/* [n] x_{i-1} before its factor */
	RnTensor  **branch;			/* [n] before bias and factors */
	RnTensor  **attention[2];	/* [layers] self, cross */
	const rn_real *const **probabilities[2];	/* [layers] */
	RnAttentionScores *scores[2];	/* [layers] */
} RnProbeStack;

/* The first five are lent. */
typedef struct RnProbe
{
	const RnModel *model;
	const RnKernels *kernels;
	RnLane	   *lane;
	const rn_real *values;		/* flat, device */
	const RnModelBatch *batch;
	RnGraph    *graph;
	rn_real    *gradients;		/* flat, device */
	rn_real    *host_gradients; /* flat */
	rn_real    *host_values;	/* flat */
	RnLoss		loss;			/* sums over target rows */
	RnProbeStack encoder;
	RnProbeStack decoder;
} RnProbe;

extern RnStatus rn_probe_create(RnContext *ctx, const RnModel *model, const RnKernels *kernels, RnLane *lane,
								const rn_real *values, const RnModelBatch *batch, RnProbe **probe);
extern void rn_probe_free(RnProbe *probe);

/* The pass; gradients are those of the mean loss over target rows.  stop as in RnPass, or NULL. */
extern RnStatus rn_probe_run(RnContext *ctx, RnProbe *probe, const volatile int *stop);

/* Which sublayer the i-th is, from 0. */
extern void rn_probe_place(const RnProbeStack *stack, int i, RnPlace *place);

/* A tensor's values as doubles, [rows * cols]. */
extern RnStatus rn_probe_fetch(RnContext *ctx, const RnProbe *probe, const RnTensor *tensor, double *values);

/* ---- gradients (gradients.c) ---- */

/* L2 norms: of all of a layer's gradients, of its feed-forward's last matrix (Xiong et al. 2020); [layers] each. */
extern void rn_probe_layer_gradients(const RnProbe *probe, const RnProbeStack *stack, double *all, double *ffn_out);

/* |dL / dx_i| over the whole tensor, i = 1 .. n; [n]. */
extern RnStatus rn_probe_stream_gradients(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, double *norms);

/*
 * The first update of a fresh Adam with these gradients: statistics [params].
 * rate: the learning rate.  Weights stay as they are.
 */
extern RnStatus rn_probe_update(RnContext *ctx, RnProbe *probe, double rate, RnTensorStatistics *statistics);

#define RN_PROBE_BOUNDS		7	/* 1e-6, 1e-7, ... 1e-12 */

/* How large a tensor's or layer's gradients are, and how Adam's first step answers to them. */
typedef struct RnGradientSizes
{
	double		n;
	double		squares;
	double		zeros;
	double		below[RN_PROBE_BOUNDS]; /* counts of |g| below each bound, zeros included */
	double		step;			/* squares of Adam's step, learning rate 1 */
	double		jacobian;		/* largest |J| of the step in the gradient */
	double		jacobian_squares;
} RnGradientSizes;

/* Add those of one tensor. */
extern RnStatus rn_probe_gradient_sizes(RnContext *ctx, const RnProbe *probe, const RnParam *param, RnGradientSizes *sizes);

/* ---- streams (streams.c) ---- */

/* Standard deviations over all rows and features of k_i x_{i-1}, a_i and s_i; [n] each. */
extern RnStatus rn_probe_deviations(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack,
									double *shortcut, double *branch, double *sum);

/*
 * Layer dependency (Liu et al. 2020): beta [(n + 1) * (n + 1)], row i column
 * j, 0 above the diagonal.  Made of rn_probe_deviations.  False where the
 * scheme's sums take in more (RnScheme sums_more): there is no such thing.
 */
extern int	rn_probe_dependency(const RnProbeStack *stack, const double *shortcut, const double *branch,
								const double *sum, double *beta);

/* The same of a dual stream D_i = s (x_0 + a_1 + ... + a_i): Std[D_i] [n + 1] and Std[a_j] / Std[D_i / s]. */
extern RnStatus rn_probe_dual(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack,
							  double *deviations, double *beta);

/* Cosines over features, means over rows. */
typedef struct RnSimilarity
{
	double	   *next;			/* [n] of x_{i-1} and x_i, i = 1 .. n */
	double	   *next_normalised;	/* [n] after a layer norm without parameters */
	double	   *layer;			/* [layers] of a layer's input and output */
	double	   *final;			/* [n + 1] of x_i and the stack's output */
	double	   *token;			/* [n + 2] of different tokens of a sentence: x_0 .. x_n, the output */
} RnSimilarity;

extern RnStatus rn_similarity_create(RnContext *ctx, const RnProbeStack *stack, RnSimilarity *similarity);
extern void rn_similarity_free(RnSimilarity *similarity);
extern RnStatus rn_probe_similarity(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack,
									RnSimilarity *similarity);

/* ---- attention (attention.c) ---- */

/* Of one head of one layer; means over queries. */
typedef struct RnHeadStatistics
{
	double		entropy;		/* nats */
	double		entropy_median;
	double		one_hot;		/* share of queries with a probability above RN_PROBE_ONE_HOT, of those that see several keys */
	double		divergence;		/* Jensen-Shannon, from the same head one layer up; NaN in the last layer */
	double		largest;		/* max |A| of what is seen, A before softmax and before its divisor */
} RnHeadStatistics;

#define RN_PROBE_ONE_HOT	0.9

/* heads [layers * heads], layer by layer; cross: 0 self-attention, 1 cross-attention. */
extern RnStatus rn_probe_attention(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, int cross,
								   RnHeadStatistics *heads);

/* The scores A of a layer, ragged as rn_attention_size says; *scores malloc'd. */
extern RnStatus rn_probe_scores(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, int cross, int layer,
								double **scores);

/* ---- changes of the weights (change.c) ---- */

/* Does a change move it?  Matrices and embeddings, not biases, norms or what belongs to a scheme. */
extern int	rn_probe_moves(const RnParam *param);

/* values [flat, host]: the probe's, a step aside for every weight that moves: by step * sign(gradient) down, ... */
extern void rn_probe_step_down(const RnProbe *probe, double step, rn_real *values);

/* ... or by step in a random direction. */
extern void rn_probe_step_random(const RnProbe *probe, double step, uint64_t seed, rn_real *values);

/* |F(W) - F(W*)|^2 of each stack's output, W* the values given (flat, host); and |F(W)|^2. */
typedef struct RnOutputChange
{
	double		encoder;
	double		decoder;
	double		encoder_squares;
	double		decoder_squares;
} RnOutputChange;

extern RnStatus rn_probe_output_change(RnContext *ctx, const RnProbe *probe, const rn_real *values,
									   const volatile int *stop, RnOutputChange *change);

#endif							/* RN_PROBE_H */
