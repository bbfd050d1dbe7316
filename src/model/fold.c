/*
 * fold.c
 *		Factors of the shortcut, folded into the norm before and the weights
 *		behind: what is left is a plainer model that computes the same.
 *
 * Post-LN with omega: LN_p makes x, which goes to the shortcut as omega x and
 * into the sublayer as x.  With gain and shift of LN_p multiplied by omega,
 * and each column of the matrices that read x divided by it, the factor is 1
 * (Liu et al. 2020).  No norm stands before a stack's first sublayer, so its
 * omega must be 1 already.
 *
 * src/model/fold.c
 */
#include "model/model.h"

#include <math.h>
#include <stdio.h>

#include "model/residual/joint.h"

#define SMALLEST	1e-4		/* of an omega that is divided by */

/* The matrices that read the stream in a sublayer, first to last. */
static void
reading_weights(const RnLayer *layer, RnSublayer kind, int *first, int *n)
{
	switch (kind)
	{
		case RN_SUBLAYER_SELF_ATTENTION:
			*first = layer->self_attention.weights;
			*n = 3;
			break;
		case RN_SUBLAYER_CROSS_ATTENTION:
			*first = layer->cross_attention.weights;	/* keys and values read the encoder's output */
			*n = 1;
			break;
		default:
			*first = layer->feed_forward.in_weight;
			*n = 1;
	}
}

static RnSublayer
kind_of(const RnSchemeStack *scheme, int number)
{
	int			in_layer = number % scheme->sublayers_per_layer;

	return in_layer == 0 ? RN_SUBLAYER_SELF_ATTENTION :
		in_layer == scheme->sublayers_per_layer - 1 ? RN_SUBLAYER_FEED_FORWARD : RN_SUBLAYER_CROSS_ATTENTION;
}

static rn_real *
vector_of(const RnSchemeStack *scheme, int number, rn_real *values)
{
	return values + scheme->params->items[number].offset;
}

/* Can all factors of the stack, which has some, be folded? */
static int
folds(const RnModelStack *stack, rn_real *values)
{
	const RnSchemeStack *scheme = &stack->scheme;
	int			i,
				k;

	for (i = 0; i < rn_stack_sublayers(scheme); i++)
	{
		const rn_real *omega = vector_of(scheme, scheme->joints[i].omega, values);

		for (k = 0; k < scheme->config->d_model; k++)
		{
			if (i == 0 ? omega[k] != 1 : !(fabs(omega[k]) >= SMALLEST))
				return 0;
		}
	}
	return 1;
}

static void
fold_sublayer(const RnModelStack *stack, int i, rn_real *values)
{
	const RnSchemeStack *scheme = &stack->scheme;
	int			d = scheme->config->d_model;
	rn_real    *omega = vector_of(scheme, scheme->joints[i].omega, values);
	rn_real    *gain = vector_of(scheme, scheme->joints[i - 1].gain, values);
	rn_real    *shift = vector_of(scheme, scheme->joints[i - 1].shift, values);
	int			first,
				n,
				m,
				k;
	size_t		row;

	reading_weights(&stack->layers[i / scheme->sublayers_per_layer], kind_of(scheme, i), &first, &n);
	for (m = first; m < first + n; m++)
	{
		const RnParam *param = &scheme->params->items[m];
		rn_real    *weight = values + param->offset;

		for (row = 0; row < (size_t) param->rows; row++)
			for (k = 0; k < d; k++)
				weight[row * d + k] /= omega[k];
	}
	for (k = 0; k < d; k++)
	{
		gain[k] *= omega[k];
		shift[k] *= omega[k];
		omega[k] = 1;
	}
}

void
rn_model_fold(const RnModel *model, rn_real *values, RnConfig *config, RnFolded *folded)
{
	const RnModelStack *const stacks[] = {&model->encoder, &model->decoder};
	char	   *const names[] = {config->encoder_scheme, config->decoder_scheme};
	int			s,
				i;

	for (s = 0; s < 2; s++)
	{
		const RnSchemeStack *scheme = &stacks[s]->scheme;

		int			has_factors = scheme->layers > 0 && scheme->scheme->folded != NULL;

		folded->stack[s] = has_factors && folds(stacks[s], values);
		folded->refused[s] = has_factors && !folded->stack[s];
		if (!folded->stack[s])
			continue;
		for (i = 1; i < rn_stack_sublayers(scheme); i++)
			fold_sublayer(stacks[s], i, values);
		snprintf(names[s], RN_NAME_LENGTH, "%s", scheme->scheme->folded);
	}
	if (!rn_config_has_encoder(config))
		snprintf(config->encoder_scheme, RN_NAME_LENGTH, "%s", config->decoder_scheme);
}

int
rn_folded_away(const RnFolded *folded, const RnParam *param)
{
	return (param->flags & RN_PARAM_SCHEME) &&
		((param->stack == RN_STACK_ENCODER && folded->stack[0]) || (param->stack == RN_STACK_DECODER && folded->stack[1]));
}
