/*
 * op.h
 *		The operations a model is made of.
 *
 * Each notes one node and gives its result; nothing is computed before
 * rn_graph_forward.  Formulas stand at the argument structs of kernel.h.
 * Weights are [out, in]: y = x W^T + b.  Every dropout gets the next site
 * number, so two graphs built by the same calls use the same masks.
 * Spec structs are copied; arrays and RnPacked that they point to must live
 * until the pass is over (rn_graph_scratch).  Arrays of integers are host
 * memory, arrays of rn_real device memory.
 *
 * src/graph/op.h
 */
#ifndef RN_OP_H
#define RN_OP_H

#include "graph/graph.h"

/* A value from outside, [rows, cols] device memory; gradient kept when wants_grad. */
extern RnTensor *rn_input(RnGraph *graph, int rows, int cols, const rn_real *value, int wants_grad);

/* [rows of packed, cols of table]; packed gives the positions. */
typedef struct RnEmbedding
{
	const RnParam *table;
	const rn_real *position_table;	/* [n_positions, cols], device */
	int			n_positions;
	const int32_t *ids;			/* [rows] */
	const RnPacked *packed;
	double		scale;
	int32_t		pad_id;			/* gets no gradient; -1: none */
	double		dropout;
} RnEmbedding;

extern RnTensor *rn_embedding(RnGraph *graph, const RnEmbedding *spec);

/*
 * y = x W^T (+ b).  n_params weights (and biases) that were declared one
 * after another act as one matrix.  bias may be NULL.
 */
extern RnTensor *rn_linear(RnGraph *graph, RnTensor *x, const RnParam *weight, const RnParam *bias, int n_params);

/*
 * The same with some rows of a weight, gathered beforehand: y = x W^T.
 * Forward only.
 */
typedef struct RnWeightRows
{
	int			rows;
	int			cols;
	const RnPrepared *prepared; /* or NULL: */
	const rn_real *values;		/* [rows, cols], device */
} RnWeightRows;

extern RnTensor *rn_linear_rows(RnGraph *graph, RnTensor *x, const RnWeightRows *weight);

/* y = dropout(activation(x + bias)); bias may be NULL. */
extern RnTensor *rn_activation(RnGraph *graph, RnTensor *x, const RnParam *bias, RnActivation kind, double dropout,
							   const RnPacked *packed);

/* How a sublayer joins the stream: RnResidualArgs.  NULL or 1 where not used. */
typedef struct RnResidual
{
	RnTensor   *shortcut;
	RnTensor   *branch;
	const RnParam *bias;		/* the branch's last bias, added here */
	const RnParam *omega;
	const RnParam *gate;
	const RnParam *gain;		/* NULL: no norm */
	const RnParam *shift;
	RnTensor   *dual;			/* D, changed in place: *dual_out takes its place */
	double		shortcut_scale;
	double		branch_scale;
	double		dual_scale;
	double		epsilon;
	double		dropout;
	const RnPacked *packed;
} RnResidual;

/*
 * dual_out may be NULL when there is no dual stream.  D is written over when
 * nothing else reads it; its gradient is one buffer for the whole stream.
 */
extern RnTensor *rn_residual(RnGraph *graph, const RnResidual *spec, RnTensor **dual_out);

/* gain and shift may be NULL (plain normalisation). */
extern RnTensor *rn_layer_norm(RnGraph *graph, RnTensor *x, const RnParam *gain, const RnParam *shift, double epsilon);

/* add_scale * add + LN(x): the end of a dual stream. */
extern RnTensor *rn_norm_add(RnGraph *graph, RnTensor *x, const RnParam *gain, const RnParam *shift, double epsilon,
							 RnTensor *add, double add_scale);

/* alpha a + beta b; b may be NULL with beta 0. */
extern RnTensor *rn_add(RnGraph *graph, RnTensor *a, double alpha, RnTensor *b, double beta);

/* sum over i of weight[first + i] * x[i]; weight a parameter of any shape, counted flat. */
extern RnTensor *rn_weighted_sum(RnGraph *graph, int n, RnTensor *const *x, const RnParam *weight, int first);

/* Rows of x, n ranges one after another: count[i] rows from first[i] on.  Arrays live until the pass is over. */
extern RnTensor *rn_rows(RnGraph *graph, RnTensor *x, int n, const int32_t *first, const int32_t *count);

/*
 * Look at values while the pass runs, when it has come this far: tensors [n]
 * are whole and in device memory.  The observer may change parameter values
 * that no operation before it has read (Admin's profiling).  No gradient
 * comes back through it.
 */
typedef void (*RnObserver) (void *arg, RnLane *lane, int n, RnTensor *const *tensors);

extern void rn_observe(RnGraph *graph, int n, RnTensor *const *tensors, RnObserver observer, void *arg);

/* Columns of a tensor that an attention reads: keys and values may lie in one. */
typedef struct RnColumns
{
	RnTensor   *tensor;
	int			first;			/* column */
} RnColumns;

typedef struct RnAttention
{
	RnColumns	q;
	RnColumns	k;
	RnColumns	v;
	const RnPacked *queries;
	const RnPacked *keys;
	int			heads;
	int			head_size;
	int			causal;
	double		dropout;
	RnTensor   *scores_in;		/* RealFormer: the scores of the layer below, or NULL */
	int			keep_scores;	/* give scores to the layer above */
	double		score_divisor;	/* 1; layer number for the running mean */
} RnAttention;

/* [query rows, heads * head_size]; *scores_out as asked for (may be NULL otherwise). */
extern RnTensor *rn_attention(RnGraph *graph, const RnAttention *spec, RnTensor **scores_out);

/*
 * Probabilities of the attention that gave this tensor, kept to the end of the
 * pass: ragged, of a cached attention like scores_in.  The array is there
 * after rn_graph_forward.
 */
extern const rn_real *const *rn_attention_probabilities(RnGraph *graph, RnTensor *attention);

/*
 * What the scores of an attention are made of, kept to the end of the pass:
 * A = scale * q k^T + scores_in per sentence and head (unmasked, as the layer
 * above takes them over), softmax of A / divisor.  Not for a cached attention.
 */
typedef struct RnAttentionScores
{
	RnColumns	q;
	RnColumns	k;
	RnTensor   *scores_in;		/* or NULL */
	int			heads;
	int			head_size;
	int			causal;
	double		scale;
	double		divisor;
} RnAttentionScores;

extern void rn_attention_scores(RnGraph *graph, RnTensor *attention, RnAttentionScores *scores);

/*
 * One decoding step over cached keys and values (forward only).  key_in and
 * value_in, when given, are new rows [rows] written to cache rows write[r]
 * before anything is read.
 */
typedef struct RnCachedAttention
{
	RnColumns	q;
	RnColumns	key_in;			/* tensor NULL: the cache is complete (cross-attention) */
	RnColumns	value_in;
	const int32_t *write;		/* [rows] cache row numbers for key_in and value_in */
	rn_real    *k;				/* cache, device */
	rn_real    *v;
	int			ldk;
	int			ldv;
	const int32_t *first;		/* RnAttentionStepArgs */
	const int32_t *count;
	const int32_t *list;
	int			max_count;
	int			heads;
	int			head_size;
	RnTensor   *scores_in;		/* [rows, heads * rn_attention_stride(max_count)] */
	int			keep_scores;
	double		score_divisor;
} RnCachedAttention;

extern RnTensor *rn_cached_attention(RnGraph *graph, const RnCachedAttention *spec, RnTensor **scores_out);

/* What a loss gives back, filled by rn_graph_forward unless the pass has sums of its own. */
typedef struct RnLoss
{
	double		loss_sum;
	double		nll_sum;
	int64_t		tokens;
} RnLoss;

#define RN_NO_TARGET	(-1)

/*
 * Label-smoothed cross-entropy of x W^T against targets, in chunks of rows so
 * that the logits never exist whole.  The objective is gradient_scale *
 * loss_sum.  row_nll: [rows], or NULL.
 */
typedef struct RnCrossEntropy
{
	RnTensor   *x;
	const RnParam *weight;		/* [vocabulary, cols of x] */
	const int32_t *targets;		/* [rows]; RN_NO_TARGET: the row has no loss */
	double		smoothing;
	int			variant;		/* RnLossArgs */
	double		gradient_scale;
	rn_real    *row_nll;		/* [rows] or NULL */
} RnCrossEntropy;

extern void rn_smoothed_cross_entropy(RnGraph *graph, const RnCrossEntropy *spec, RnLoss *loss);

#endif							/* RN_OP_H */
