/*
 * b2t.c
 *		B2T connection (Takase et al. 2023, "B2T Connection: Serving Stability
 *		and Performance in Deep Transformers").
 *
 * Post-LN, but the last sublayer of a layer also adds the layer's input z:
 *
 *		x_i = LN_i(z + x_{i-1} + f_i(x_{i-1}))
 *
 * The released code multiplies the layers' weight matrices by L^-1/2 at the
 * start; option scale_init says whether.
 *
 * src/model/residual/b2t.c
 */
#include "model/residual/joint.h"
#include "model/residual/schemes.h"

#include <math.h>

static void
b2t_join(const RnSchemeStack *stack, const RnPlace *place, RnJoin *join)
{
	(void) stack;
	(void) place;
	rn_join_plain(join, RN_NORM_POST);
}

static void
b2t_init_weight(const RnSchemeStack *stack, RnWeightRole role, RnParam *param)
{
	(void) role;
	if (stack->config->scale_init)
		param->init_scale /= sqrt(stack->layers);
}

static void
b2t_layer_begin(const RnSchemeStack *stack, RnStream *stream, int layer)
{
	(void) stack;
	(void) layer;
	stream->layer_input = stream->x;
}

static void
b2t_joining(const RnSchemeStack *stack, RnStream *stream, const RnPlace *place, RnResidual *residual)
{
	(void) stack;
	if (place->kind == RN_SUBLAYER_FEED_FORWARD)
		residual->shortcut = rn_add(stream->graph, stream->layer_input, 1, stream->x, 1);
}

const RnScheme rn_scheme_b2t = {
	.name = "b2t",
	.sums_more = 1,
	.join = b2t_join,
	.init_weight = b2t_init_weight,
	.layer_begin = b2t_layer_begin,
	.joining = b2t_joining
};
