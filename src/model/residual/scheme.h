/*
 * scheme.h
 *		What a residual scheme is: how the stream of a stack begins, how a
 *		sublayer joins it, how the stack ends.
 *
 * One scheme, one file, one const struct.  Schemes are made of operations
 * (graph/op.h), never of kernels; no other code asks which scheme is in use.
 * Most schemes only say how a sublayer is joined (RnJoin) and leave the rest
 * to joint.c; what is not plain about a scheme is a callback that is not
 * NULL.  Training, scoring and decoding step by step all go through here.
 *
 * Sublayers are numbered from 0 through the stack: 2 a layer in an encoder
 * (self-attention, feed-forward), 3 in a decoder.  RealFormer's running
 * scores belong to attention and combine with every scheme.
 *
 * src/model/residual/scheme.h
 */
#ifndef RN_SCHEME_H
#define RN_SCHEME_H

#include "graph/op.h"
#include "model/config.h"

typedef struct RnScheme RnScheme;

/*
 * Numbers of parameters in the registry; 0 stands for none, as number 0 is
 * an embedding.
 */
typedef struct RnJoint
{
	int			gain;			/* of the norm */
	int			shift;
	int			omega;			/* [d] factor of the shortcut */
	int			gate;			/* [1] factor of the branch */
} RnJoint;

/* One stack of a model as its scheme sees it. */
typedef struct RnSchemeStack
{
	const RnScheme *scheme;
	const RnConfig *config;
	RnParams   *params;
	RnStack		stack;
	int			layers;
	int			sublayers_per_layer;	/* 2 or 3; a decoder without an encoder has 2 */
	int			other_layers;	/* depth of the other stack; 0: there is none */
	RnJoint    *joints;			/* [layers * sublayers_per_layer] */
	RnJoint    *layer_joints;	/* [layers + 1]: of layers, where a scheme has such */
	RnJoint		end;			/* of the stack's end */
	int			layer_weights;	/* DLCL's W */
} RnSchemeStack;

/* Which sublayer. */
typedef struct RnPlace
{
	int			layer;			/* from 0 */
	RnSublayer	kind;
	int			number;			/* through the stack, from 0 */
} RnPlace;

/*
 * How a sublayer is joined, with f the sublayer:
 *
 *		norm post:  x' = LN(shortcut_scale * omega * x + branch_scale * gate * f(x))
 *		norm pre:   x' = shortcut_scale * omega * x + branch_scale * gate * f(LN(x))
 *		norm none:  x' = shortcut_scale * omega * x + branch_scale * gate * f(x)
 */
typedef struct RnJoin
{
	RnNormPlace norm;			/* post, pre or none */
	double		shortcut_scale;
	double		branch_scale;
	const RnParam *omega;		/* NULL: 1 */
	const RnParam *gate;		/* NULL: 1 */
} RnJoin;

/* The state of one pass over a stack. */
typedef struct RnStream
{
	RnGraph    *graph;
	const RnPacked *rows;
	RnTensor   *x;				/* what the next sublayer starts from and is added to */
	RnTensor   *dual;			/* ResiDual: D */
	RnTensor   *layer_input;	/* B2T: z */
	RnTensor  **layer_outputs;	/* DLCL: [layers + 1], normalised as they are summed */
} RnStream;

/* A sublayer's result, without its last bias and its dropout: joining adds them. */
typedef struct RnBranch
{
	RnTensor   *value;
	const RnParam *bias;
} RnBranch;

/* Variances over all rows and features, factors included, of a batch before training. */
typedef struct RnMeasured
{
	double		shortcut;		/* of this sublayer */
	double		branch;
	double		input;			/* the shortcut of the stack's first sublayer */
	double		branches;		/* sum over the sublayers up to this one */
} RnMeasured;

/* What a weight matrix does, for schemes that begin with other weights. */
typedef enum RnWeightRole
{
	RN_WEIGHT_QUERY,
	RN_WEIGHT_KEY,
	RN_WEIGHT_VALUE,
	RN_WEIGHT_OUT,
	RN_WEIGHT_FFN_IN,
	RN_WEIGHT_FFN_OUT
} RnWeightRole;

/* Callbacks marked + may be NULL. */
struct RnScheme
{
	const char *name;
	int			sums_more;		/* a sublayer's sum takes in more than the sublayer below and the branch */

	/* + The scheme that is left when every omega has been folded into norms and weights (fold.c). */
	const char *folded;

	/* How a sublayer is joined.  While parameters are being declared only the norm counts. */
	void		(*join) (const RnSchemeStack *stack, const RnPlace *place, RnJoin *join);

	/* + Declare parameters beyond the sublayer's norm, beyond the norm at the end of the stack. */
	RnStatus	(*declare) (RnContext *ctx, RnSchemeStack *stack, const RnPlace *place);
	RnStatus	(*declare_end) (RnContext *ctx, RnSchemeStack *stack);

	/* + Change how a weight matrix of the stack begins; set initial values that RnInit has no word for. */
	void		(*init_weight) (const RnSchemeStack *stack, RnWeightRole role, RnParam *param);
	void		(*initialize) (const RnSchemeStack *stack, rn_real *values);

	/*
	 * + A sublayer has been measured before training.  Gives the value with which every entry of *param begins, a
	 * vector that later sublayers read; *param NULL: none.  *later: set it when all have been measured, not at once.
	 */
	void		(*measured) (const RnSchemeStack *stack, const RnPlace *place, const RnMeasured *measured,
							 const RnParam **param, double *value, int *later);

	/* + The stack begins, stream->x being its input; a layer begins; a layer has ended. */
	void		(*begin) (const RnSchemeStack *stack, RnStream *stream);
	void		(*layer_begin) (const RnSchemeStack *stack, RnStream *stream, int layer);
	void		(*layer_end) (const RnSchemeStack *stack, RnStream *stream, int layer);

	/* + Change what is joined: the shortcut, the dual stream. */
	void		(*joining) (const RnSchemeStack *stack, RnStream *stream, const RnPlace *place, RnResidual *residual);

	/* + The stack's output; else x, normalised when the last sublayer has its norm before. */
	RnTensor   *(*end) (const RnSchemeStack *stack, RnStream *stream);
};

/* By name; NULL when there is none. */
extern const RnScheme *rn_scheme_find(const char *name);

#endif							/* RN_SCHEME_H */
