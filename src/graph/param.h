/*
 * param.h
 *		Named parameters, laid out in one flat buffer.
 *
 * A registry knows names, shapes and places; the numbers themselves lie in
 * flat buffers of rn_params_size() elements (values, gradients, moments), so
 * that shards share values, own gradients, and the optimizer is one loop.
 * Parameters declared one after another lie one after another: q.w, k.w and
 * v.w of one attention are one [3d, d] matrix.  Large matrices that are used
 * once a pass lie apart, at the end: their gradients can be shared (RnPass).
 *
 * src/graph/param.h
 */
#ifndef RN_PARAM_H
#define RN_PARAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"
#include "base/real.h"

typedef enum RnStack
{
	RN_STACK_NONE = 0,			/* embeddings, output projection */
	RN_STACK_ENCODER,
	RN_STACK_DECODER
} RnStack;

typedef enum RnSublayer
{
	RN_SUBLAYER_NONE = 0,
	RN_SUBLAYER_SELF_ATTENTION,
	RN_SUBLAYER_CROSS_ATTENTION,
	RN_SUBLAYER_FEED_FORWARD,
	RN_SUBLAYER_STACK			/* belongs to the whole stack: its end norm, DLCL's weights */
} RnSublayer;

typedef enum RnInit
{
	RN_INIT_ZERO = 0,
	RN_INIT_ONE,
	RN_INIT_CONSTANT,			/* scale */
	RN_INIT_NORMAL,				/* standard deviation scale */
	RN_INIT_UNIFORM				/* in [-scale, scale] */
} RnInit;

enum
{
	RN_PARAM_NO_DECAY = 1,		/* weight decay leaves it alone */
	RN_PARAM_NORM = 2,			/* gain or shift of a norm */
	RN_PARAM_BIAS = 4,
	RN_PARAM_SCHEME = 8,		/* belongs to a residual scheme (omega, gates) */
	RN_PARAM_FROZEN = 16,		/* not trained */
	RN_PARAM_ONCE = 32			/* a matrix that one operation of a pass reads */
};

#define RN_PARAM_NAME_LENGTH	64

typedef struct RnParam
{
	char		name[RN_PARAM_NAME_LENGTH]; /* "enc.0.sa.q.w" */
	int			rows;			/* 1 for vectors */
	int			cols;
	int			ndim;			/* 1 or 2 as the outside sees it */
	size_t		offset;			/* elements from the start of a flat buffer */
	int			flags;
	RnStack		stack;
	int			layer;			/* from 0; -1: none */
	RnSublayer	sublayer;
	RnInit		init;
	double		init_scale;
	int			init_zero_row;	/* row set to 0 at the start; -1: none */
	int			joined;			/* a weight of products: how many from here on act as one matrix; 0: it
								 * is none, or joined to one before */
} RnParam;

typedef struct RnParams
{
	RnParam    *items;
	int			count;
	int			capacity;
	size_t		size;			/* elements of a flat buffer */
	size_t		once_from;		/* parameters of flag RN_PARAM_ONCE lie from here on, the others before */
} RnParams;

static inline size_t
rn_param_size(const RnParam *param)
{
	return (size_t) param->rows * param->cols;
}

extern void rn_params_init(RnParams *params);
extern void rn_params_free(RnParams *params);

/*
 * Declare one more; returns its number, or -1 with ctx set.  Pointers to
 * items are valid once everything is declared.  rows = 1 declares a vector
 * (ndim 1) unless flags say otherwise.
 */
extern int	rn_params_add(RnContext *ctx, RnParams *params, const RnParam *param);

/*
 * All are declared: those of flag RN_PARAM_ONCE move behind the others, each
 * kind in the order of declaration.  Without it everything lies as declared.
 */
extern void rn_params_lay_out(RnParams *params);

/* NULL when there is none. */
extern const RnParam *rn_params_find(const RnParams *params, const char *name);

/* Fill a flat buffer with initial values; element i of parameter p is named by (seed, name of p, i). */
extern void rn_params_initialize(const RnParams *params, uint64_t seed, rn_real *values);

extern const char *rn_stack_name(RnStack stack);	/* "encoder", "decoder", "" */
extern const char *rn_sublayer_name(RnSublayer sublayer);	/* "self_attention", ..., "stack", "" */

#endif							/* RN_PARAM_H */
