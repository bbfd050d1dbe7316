/*
 * layer.h
 *		The sublayers: attention and feed-forward, and their parameters.
 *
 * The same code serves whole sequences (training, scoring, encoding) and one
 * decoding step over caches; RnLayerPass says which.  A sublayer's last bias
 * and dropout are left to the residual scheme, which adds them in the same
 * sweep that joins the branch.
 *
 * src/model/layer.h
 */
#ifndef RN_LAYER_H
#define RN_LAYER_H

#include "model/residual/scheme.h"

/*
 * Numbers of parameters.  q.w, k.w and v.w follow one another, and so do the
 * biases: in self-attention one product serves all three.
 */
typedef struct RnAttentionParams
{
	int			weights;		/* q.w, k.w, v.w */
	int			biases;			/* q.b, k.b, v.b */
	int			out_weight;
	int			out_bias;
} RnAttentionParams;

typedef struct RnFeedForwardParams
{
	int			in_weight;
	int			in_bias;
	int			out_weight;
	int			out_bias;
} RnFeedForwardParams;

typedef struct RnLayer
{
	RnAttentionParams self_attention;
	RnAttentionParams cross_attention;	/* decoders only */
	RnFeedForwardParams feed_forward;
} RnLayer;

extern RnStatus rn_declare_attention(RnContext *ctx, RnSchemeStack *stack, const RnPlace *place,
									 RnAttentionParams *params);
extern RnStatus rn_declare_feed_forward(RnContext *ctx, RnSchemeStack *stack, const RnPlace *place,
										RnFeedForwardParams *params);

/* What one decoding step reads and writes: rows of hypotheses, see decoder.c. */
typedef struct RnStepCaches
{
	rn_real   **own;			/* [layers] rows of keys and values so far */
	int			own_width;		/* of a row */
	int			own_first;		/* column of its key; the value is behind */
	const int32_t *write;		/* [rows] cache row of the new keys and values */
	const int32_t *first;		/* [rows] where a row's list begins */
	const int32_t *count;		/* [rows] its length */
	const int32_t *list;		/* cache rows */
	int			max_count;
	RnTensor  **source;			/* [layers] keys and values of the encoder's output: rows of 2 * d_model */
	const int32_t *source_first;	/* [rows] first of them that belongs to the row's sentence */
	const int32_t *source_count;	/* [rows] */
	int			max_source_count;
} RnStepCaches;

/* RealFormer: the scores of the attention of this kind one layer below. */
typedef struct RnScoreChain
{
	RnTensor   *scores;
} RnScoreChain;

/* A pass over one stack. */
typedef struct RnLayerPass
{
	RnGraph    *graph;
	const RnPacked *rows;		/* of the stream */
	RnTensor   *memory;			/* the encoder's output; NULL in an encoder and in a step */
	const RnPacked *memory_rows;
	const RnStepCaches *caches; /* NULL: whole sequences */
	RnTensor  **projections;	/* [layers] for self-attention's queries, keys and values, [rows, 3 * d_model]; or NULL */
	RnScoreChain self_scores;
	RnScoreChain cross_scores;
	struct RnProfile *profile;	/* measure before training, or NULL */
	RnTensor   *attention;		/* the result of the last rn_attention, for whoever watches */
} RnLayerPass;

extern RnBranch rn_self_attention(const RnSchemeStack *stack, const RnAttentionParams *params, RnLayerPass *pass,
								  int layer, RnTensor *x);
extern RnBranch rn_cross_attention(const RnSchemeStack *stack, const RnAttentionParams *params, RnLayerPass *pass,
								   int layer, RnTensor *x);
extern RnBranch rn_feed_forward(const RnSchemeStack *stack, const RnFeedForwardParams *params, RnLayerPass *pass,
								RnTensor *x);

/* Keys and values of the encoder's output for cross-attention, [memory rows, 2 * d_model]. */
extern RnTensor *rn_cross_keys_values(const RnSchemeStack *stack, const RnAttentionParams *params, RnGraph *graph,
									  RnTensor *memory);

#endif							/* RN_LAYER_H */
