/*
 * scheme.h
 *		What a residual scheme is: how the stream of a stack begins, how a
 *		sublayer joins it, how the stack ends.
 *
 * One scheme, one file, one const struct.  Schemes are made of operations
 * (graph/op.h), never of kernels; no other code asks which scheme is in use.
 * The stream is the scheme's own, so wide or many-branched streams fit.
 * Stacks have sublayers numbered from 0 through the stack: 2 a layer in an
 * encoder (self-attention, feed-forward), 3 in a decoder.  RealFormer's
 * running scores belong to attention and combine with every scheme.
 *
 * src/model/residual/scheme.h
 */
#ifndef RN_SCHEME_H
#define RN_SCHEME_H

#include "graph/op.h"
#include "model/config.h"

#define RN_SCHEME_STREAMS	4

/* The norms and vectors of one sublayer; what a scheme does not declare stays NULL. */
typedef struct RnJoint
{
	const RnParam *gain;
	const RnParam *shift;
	const RnParam *omega;
} RnJoint;

/* One stack of a model as its scheme sees it. */
typedef struct RnSchemeStack
{
	const RnConfig *config;
	RnStack		stack;
	int			layers;
	int			sublayers_per_layer;	/* 2 or 3; an only decoder has 2 */
	int			other_layers;	/* depth of the other stack, 0 if there is none (DeepNorm) */
	double		epsilon;		/* of plain norms */
	RnParams   *params;			/* while declaring */
	int		   *numbers;		/* the scheme's parameter numbers; its own layout, see n_numbers */
	double	   *constants;		/* the scheme's constants, likewise */
} RnSchemeStack;

/* The state of one pass over a stack; the scheme uses the fields as it likes. */
typedef struct RnStream
{
	RnGraph    *graph;
	const RnPacked *packed;
	double		dropout;
	RnTensor   *x;				/* what the next sublayer's shortcut is */
	RnTensor   *dual;			/* ResiDual's D */
	RnTensor   *layer_input;	/* B2T */
	RnTensor  **layer_outputs;	/* DLCL: [layers + 1] */
	int			n_outputs;
} RnStream;

/* A sublayer's result: not yet its last bias, nor its dropout. */
typedef struct RnBranch
{
	RnTensor   *value;
	const RnParam *bias;		/* or NULL */
} RnBranch;

typedef struct RnScheme
{
	const char *name;

	/* Declare the scheme's parameters for a sublayer, and for the stack.  Names as in test/golden. */
	RnStatus	(*declare) (RnContext *ctx, RnSchemeStack *stack, int layer, RnSublayer kind, int sublayer);
	RnStatus	(*declare_stack) (RnContext *ctx, RnSchemeStack *stack);

	/* Change how the stack's weights begin (DeepNorm, B2T): factor for this weight, or a whole rule; NULL: as is. */
	void		(*init) (const RnSchemeStack *stack, RnParam *param);

	/* The embedding becomes the stream. */
	void		(*begin) (const RnSchemeStack *stack, RnStream *stream, RnTensor *embedding);

	/* NULL where layers do not matter. */
	void		(*layer_begin) (const RnSchemeStack *stack, RnStream *stream, int layer);
	void		(*layer_end) (const RnSchemeStack *stack, RnStream *stream, int layer);

	/* What the sublayer reads ... */
	RnTensor   *(*before) (const RnSchemeStack *stack, RnStream *stream, int layer, RnSublayer kind, int sublayer);

	/* ... and how its result joins. */
	void		(*after) (const RnSchemeStack *stack, RnStream *stream, RnBranch branch, int layer, RnSublayer kind,
						  int sublayer);

	/* Stream to output. */
	RnTensor   *(*end) (const RnSchemeStack *stack, RnStream *stream);

	/* Constants to be measured before training (Admin), and folding into a plain model; NULL in most. */
	RnStatus	(*profile) (RnContext *ctx, RnSchemeStack *stack, rn_real *values,
							int sublayer, double shortcut_variance, double branch_variance);
	RnStatus	(*fold) (RnContext *ctx, const RnSchemeStack *stack, rn_real *values);
} RnScheme;

/* By name; NULL when there is none. */
extern const RnScheme *rn_scheme_find(const char *name);

#endif							/* RN_SCHEME_H */
