/*
 * alternating.c
 *		Post-LN and Pre-LN by turns, from layer to layer or from sublayer to
 *		sublayer (counted through the stack).
 *
 * No paper: reviewers of ResiDual asked for it.  The stack ends with a norm
 * exactly if its last sublayer is Pre-LN.
 *
 * src/model/residual/alternating.c
 */
#include "model/residual/joint.h"
#include "model/residual/schemes.h"

static void
by_layer_post_first(const RnSchemeStack *stack, const RnPlace *place, RnJoin *join)
{
	(void) stack;
	rn_join_plain(join, place->layer % 2 == 0 ? RN_NORM_POST : RN_NORM_PRE);
}

static void
by_layer_pre_first(const RnSchemeStack *stack, const RnPlace *place, RnJoin *join)
{
	(void) stack;
	rn_join_plain(join, place->layer % 2 == 0 ? RN_NORM_PRE : RN_NORM_POST);
}

static void
by_sublayer_post_first(const RnSchemeStack *stack, const RnPlace *place, RnJoin *join)
{
	(void) stack;
	rn_join_plain(join, place->number % 2 == 0 ? RN_NORM_POST : RN_NORM_PRE);
}

static void
by_sublayer_pre_first(const RnSchemeStack *stack, const RnPlace *place, RnJoin *join)
{
	(void) stack;
	rn_join_plain(join, place->number % 2 == 0 ? RN_NORM_PRE : RN_NORM_POST);
}

const RnScheme rn_scheme_alt_post_pre = {
	.name = "alt_post_pre",
	.join = by_layer_post_first
};

const RnScheme rn_scheme_alt_pre_post = {
	.name = "alt_pre_post",
	.join = by_layer_pre_first
};

const RnScheme rn_scheme_altsub_post_pre = {
	.name = "altsub_post_pre",
	.join = by_sublayer_post_first
};

const RnScheme rn_scheme_altsub_pre_post = {
	.name = "altsub_pre_post",
	.join = by_sublayer_pre_first
};
