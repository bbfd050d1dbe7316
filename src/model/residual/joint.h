/*
 * joint.h
 *		What all residual schemes share: norms, and joining a sublayer.
 *
 * src/model/residual/joint.h
 */
#ifndef RN_JOINT_H
#define RN_JOINT_H

#include "model/residual/scheme.h"

/* "enc" or "dec"; "sa", "ca" or "ff": as parameters are called. */
extern const char *rn_stack_prefix(RnStack stack);
extern const char *rn_sublayer_prefix(RnSublayer kind);

/* ---- declaring ---- */

/* A vector of the stack; place NULL: it belongs to the whole stack.  *number is set. */
extern RnStatus rn_declare_vector(RnContext *ctx, RnSchemeStack *stack, const RnPlace *place, const char *name,
								  int size, int flags, double value, int *number);

/* Gain and shift of a norm, "name.w" and "name.b". */
extern RnStatus rn_declare_norm(RnContext *ctx, RnSchemeStack *stack, const RnPlace *place, const char *name,
								RnJoint *joint);

/* All of a sublayer, all of the stack's end: norms and what the scheme adds. */
extern RnStatus rn_scheme_declare(RnContext *ctx, RnSchemeStack *stack, const RnPlace *place);
extern RnStatus rn_scheme_declare_end(RnContext *ctx, RnSchemeStack *stack);

/* ---- a pass over a stack, in this order ---- */

extern void rn_scheme_begin(const RnSchemeStack *stack, RnStream *stream, RnGraph *graph, const RnPacked *rows,
							RnTensor *x);
extern void rn_scheme_layer_begin(const RnSchemeStack *stack, RnStream *stream, int layer);

/* What the sublayer reads, and how its result joins the stream. */
extern RnTensor *rn_scheme_input(const RnSchemeStack *stack, RnStream *stream, const RnPlace *place);
extern void rn_scheme_join(const RnSchemeStack *stack, RnStream *stream, const RnPlace *place,
						   const RnBranch *branch);
extern void rn_scheme_layer_end(const RnSchemeStack *stack, RnStream *stream, int layer);
extern RnTensor *rn_scheme_end(const RnSchemeStack *stack, RnStream *stream);

/* ---- for schemes ---- */

/* The parameter of that number; NULL for 0. */
static inline const RnParam *
rn_joint_param(const RnSchemeStack *stack, int number)
{
	return number == 0 ? NULL : &stack->params->items[number];
}

static inline int
rn_stack_sublayers(const RnSchemeStack *stack)
{
	return stack->layers * stack->sublayers_per_layer;
}

/* Plain joining with the norm there. */
static inline void
rn_join_plain(RnJoin *join, RnNormPlace norm)
{
	join->norm = norm;
	join->shortcut_scale = 1;
	join->branch_scale = 1;
	join->omega = NULL;
	join->gate = NULL;
}

/* LN(x) with the norm of a joint. */
extern RnTensor *rn_joint_norm(const RnSchemeStack *stack, RnStream *stream, const RnJoint *joint, RnTensor *x);

#endif							/* RN_JOINT_H */
