/*
 * declare.c
 *		What parameters a model has, in which order they lie, and how they
 *		begin.
 *
 * src/model/declare.c
 */
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/residual/joint.h"

/* RnConfig.share_embeddings; the option's choices in their order. */
enum
{
	SHARE_NONE,
	SHARE_DECODER,
	SHARE_ALL
};

/* RnConfig.positions, likewise. */
enum
{
	POSITIONS_T2T,
	POSITIONS_FAIRSEQ,
	POSITIONS_VASWANI
};

/*
 * An embedding or output matrix, [vocabulary, d_model]: normal with standard
 * deviation d^-1/2, the padding's row 0.
 */
static RnStatus
declare_embedding(RnContext *ctx, RnModel *model, const char *name, int *number)
{
	RnParam		param;

	memset(&param, 0, sizeof(param));
	snprintf(param.name, sizeof(param.name), "%s", name);
	param.rows = model->config.vocab_size;
	param.cols = model->config.d_model;
	param.ndim = 2;
	param.layer = -1;
	param.init = RN_INIT_NORMAL;
	param.init_scale = 1 / sqrt(model->config.d_model);
	param.init_zero_row = model->special.pad;
	*number = rn_params_add(ctx, &model->params, &param);
	return ctx->status;
}

/* One sequence has one table of embeddings. */
static RnStatus
declare_embeddings(RnContext *ctx, RnModel *model)
{
	if (model->config.share_embeddings == SHARE_ALL || !rn_model_has_encoder(model))
	{
		RN_TRY(declare_embedding(ctx, model, "embed", &model->source_embedding));
		model->target_embedding = model->output = model->source_embedding;
		if (model->config.share_embeddings == SHARE_NONE)
			RN_TRY(declare_embedding(ctx, model, "out_proj", &model->output));
		return RN_OK;
	}
	RN_TRY(declare_embedding(ctx, model, "src_embed", &model->source_embedding));
	RN_TRY(declare_embedding(ctx, model, "tgt_embed", &model->target_embedding));
	model->output = model->target_embedding;
	if (model->config.share_embeddings == SHARE_NONE)
		RN_TRY(declare_embedding(ctx, model, "out_proj", &model->output));
	return RN_OK;
}

static RnStatus
declare_layer(RnContext *ctx, RnModelStack *stack, int l)
{
	RnSchemeStack *scheme = &stack->scheme;
	RnLayer    *layer = &stack->layers[l];
	RnPlace		place;

	place.layer = l;
	place.number = l * scheme->sublayers_per_layer;
	place.kind = RN_SUBLAYER_SELF_ATTENTION;
	RN_TRY(rn_declare_attention(ctx, scheme, &place, &layer->self_attention));
	RN_TRY(rn_scheme_declare(ctx, scheme, &place));
	if (scheme->sublayers_per_layer == 3)
	{
		place.number++;
		place.kind = RN_SUBLAYER_CROSS_ATTENTION;
		RN_TRY(rn_declare_attention(ctx, scheme, &place, &layer->cross_attention));
		RN_TRY(rn_scheme_declare(ctx, scheme, &place));
	}
	place.number++;
	place.kind = RN_SUBLAYER_FEED_FORWARD;
	RN_TRY(rn_declare_feed_forward(ctx, scheme, &place, &layer->feed_forward));
	return rn_scheme_declare(ctx, scheme, &place);
}

static RnStatus
declare_stack(RnContext *ctx, RnModelStack *stack)
{
	int			l;

	for (l = 0; l < stack->scheme.layers; l++)
		RN_TRY(declare_layer(ctx, stack, l));
	return rn_scheme_declare_end(ctx, &stack->scheme);
}

RnStatus
rn_model_declare(RnContext *ctx, RnModel *model)
{
	RN_TRY(declare_embeddings(ctx, model));
	model->params.items[model->output].joined = 1;
	if (rn_model_has_encoder(model))
		RN_TRY(declare_stack(ctx, &model->encoder));
	RN_TRY(declare_stack(ctx, &model->decoder));
	rn_params_lay_out(&model->params);
	return RN_OK;
}

/*
 * With h = d / 2 and p the position:
 *
 *		t2t			[ sin(p f_i) | cos(p f_i) ], f_i = 10000^(-i / (h - 1)), p from 0
 *		fairseq		the same, p from the padding's id + 1
 *		vaswani		sin(p f_i), cos(p f_i) by turns, f_i = 10000^(-i / h), p from 0
 */
void
rn_position_table(const RnConfig *config, int pad, int longest, rn_real *table)
{
	int			d = config->d_model;
	int			half = d / 2;
	int			first = config->positions == POSITIONS_FAIRSEQ ? pad + 1 : 0;
	int			interleaved = config->positions == POSITIONS_VASWANI;
	int			position,
				i;

	for (position = 0; position < longest; position++)
	{
		rn_real    *row = table + (size_t) position * d;

		for (i = 0; i < half; i++)
		{
			double		exponent = (double) i / (interleaved ? half : half - 1);
			double		angle = (position + first) * pow(10000, -exponent);

			row[interleaved ? 2 * i : i] = (rn_real) sin(angle);
			row[interleaved ? 2 * i + 1 : half + i] = (rn_real) cos(angle);
		}
	}
}

void
rn_model_initialize(const RnModel *model, uint64_t seed, rn_real *values)
{
	const RnSchemeStack *encoder = &model->encoder.scheme;
	const RnSchemeStack *decoder = &model->decoder.scheme;

	rn_params_initialize(&model->params, seed, values);
	if (rn_model_has_encoder(model) && encoder->scheme->initialize != NULL)
		encoder->scheme->initialize(encoder, values);
	if (decoder->scheme->initialize != NULL)
		decoder->scheme->initialize(decoder, values);
}
