/*
 * transformer.c
 *		The model: a Transformer encoder-decoder as operations on a graph.
 *
 * A stack's run is the only place where sublayers follow one another; it does
 * not know which residual scheme is in use, nor whether whole sequences or
 * one decoding step pass through.
 *
 * src/model/transformer.c
 */
#include "model/transformer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"
#include "model/residual/joint.h"

/* ---- making ---- */

static RnStatus
create_stack(RnContext *ctx, RnModel *model, RnModelStack *stack, RnStack name)
{
	RnSchemeStack *scheme = &stack->scheme;
	int			is_encoder = (name == RN_STACK_ENCODER);
	const char *scheme_name = is_encoder ? model->config.encoder_scheme : model->config.decoder_scheme;
	int			encoder_layers = rn_config_has_encoder(&model->config) ? model->config.encoder_layers : 0;

	scheme->scheme = rn_scheme_find(scheme_name);
	if (scheme->scheme == NULL)
		return rn_fail(ctx, RN_INVALID, "unrecognized residual scheme \"%.60s\"", scheme_name);
	scheme->config = &model->config;
	scheme->params = &model->params;
	scheme->stack = name;
	scheme->layers = is_encoder ? encoder_layers : model->config.decoder_layers;
	scheme->other_layers = is_encoder ? model->config.decoder_layers : encoder_layers;
	scheme->sublayers_per_layer = is_encoder || encoder_layers == 0 ? 2 : 3;
	scheme->joints = calloc(rn_stack_sublayers(scheme) + 1, sizeof(RnJoint));
	scheme->layer_joints = calloc(scheme->layers + 1, sizeof(RnJoint));
	stack->layers = calloc(scheme->layers + 1, sizeof(RnLayer));
	if (scheme->joints == NULL || scheme->layer_joints == NULL || stack->layers == NULL)
		return rn_out_of_memory(ctx, scheme->layers * sizeof(RnLayer));
	return RN_OK;
}

static void
free_stack(RnModelStack *stack)
{
	free(stack->scheme.joints);
	free(stack->scheme.layer_joints);
	free(stack->layers);
}

static RnStatus
check_model_config(RnContext *ctx, const RnConfig *config, const RnSpecialIds *special, int longest)
{
	if (config->d_model < 4 || config->d_model % 2 != 0 || config->heads < 1 ||
		config->d_model % config->heads != 0)
		return rn_fail(ctx, RN_INVALID, "d_model %d does not go with heads %d", config->d_model, config->heads);
	if (config->encoder_layers < 1 || config->decoder_layers < 1 || config->d_ffn < 1 || longest < 1)
		return rn_fail(ctx, RN_INVALID, "a model needs layers, inner features and positions");
	if (config->vocab_size < 1 || special->pad >= config->vocab_size ||
		special->start < 0 || special->start >= config->vocab_size ||
		special->end < 0 || special->end >= config->vocab_size)
		return rn_fail(ctx, RN_INVALID, "vocabulary of %d pieces lacks the special ones", config->vocab_size);
	return RN_OK;
}

static RnStatus
build_model(RnContext *ctx, RnModel *model)
{
	size_t		bytes;

	RN_TRY(create_stack(ctx, model, &model->encoder, RN_STACK_ENCODER));
	RN_TRY(create_stack(ctx, model, &model->decoder, RN_STACK_DECODER));
	RN_TRY(rn_model_declare(ctx, model));
	model->n_positions = rn_model_has_encoder(model) ? model->longest : 2 * model->longest;
	bytes = (size_t) model->n_positions * model->config.d_model * sizeof(rn_real);
	model->positions = malloc(bytes);
	if (model->positions == NULL)
		return rn_out_of_memory(ctx, bytes);
	rn_position_table(&model->config, model->special.pad, model->n_positions, model->positions);
	return RN_OK;
}

RnStatus
rn_model_create(RnContext *ctx, const RnConfig *config, const RnSpecialIds *special, int longest, RnModel **model)
{
	RnModel    *made;

	*model = NULL;
	RN_TRY(check_model_config(ctx, config, special, longest));
	made = calloc(1, sizeof(*made));
	if (made == NULL)
		return rn_out_of_memory(ctx, sizeof(*made));
	made->config = *config;
	made->special = *special;
	made->longest = longest;
	rn_params_init(&made->params);
	if (build_model(ctx, made) != RN_OK)
	{
		rn_model_free(made);
		return ctx->status;
	}
	*model = made;
	return RN_OK;
}

void
rn_model_free(RnModel *model)
{
	if (model == NULL)
		return;
	free_stack(&model->encoder);
	free_stack(&model->decoder);
	rn_params_free(&model->params);
	free(model->positions);
	free(model);
}

const RnParams *
rn_model_params(const RnModel *model)
{
	return &model->params;
}

const RnConfig *
rn_model_config(const RnModel *model)
{
	return &model->config;
}

const RnSpecialIds *
rn_model_special(const RnModel *model)
{
	return &model->special;
}

int
rn_model_longest(const RnModel *model)
{
	return model->longest;
}

int
rn_model_is_encoder_decoder(const RnModel *model)
{
	return rn_model_has_encoder(model);
}

/* ---- passes ---- */

RnTensor *
rn_model_embed(const RnModel *model, RnGraph *graph, int embedding, const RnPacked *rows, const int32_t *ids)
{
	RnEmbedding spec;

	memset(&spec, 0, sizeof(spec));
	spec.table = &model->params.items[embedding];
	spec.position_table = rn_graph_constant(graph, model->positions, (size_t) model->n_positions * model->config.d_model);
	spec.n_positions = model->n_positions;
	spec.ids = ids;
	spec.packed = rows;
	spec.scale = sqrt(model->config.d_model);
	spec.pad_id = model->special.pad;
	spec.dropout = model->config.dropout;
	return rn_embedding(graph, &spec);
}

/* Note a tensor for whoever watches; list may be NULL. */
static void
show(RnGraph *graph, RnTensor **list, int number, RnTensor *tensor)
{
	if (list == NULL)
		return;
	list[number] = tensor;
	if (tensor != NULL)
		rn_graph_keep(graph, tensor);
}

static RnBranch
run_sublayer(const RnModelStack *stack, RnLayerPass *pass, const RnPlace *place, RnTensor *x)
{
	const RnLayer *layer = &stack->layers[place->layer];

	switch (place->kind)
	{
		case RN_SUBLAYER_SELF_ATTENTION:
			return rn_self_attention(&stack->scheme, &layer->self_attention, pass, place->layer, x);
		case RN_SUBLAYER_CROSS_ATTENTION:
			return rn_cross_attention(&stack->scheme, &layer->cross_attention, pass, place->layer, x);
		default:
			return rn_feed_forward(&stack->scheme, &layer->feed_forward, pass, x);
	}
}

RnTensor *
rn_stack_run(const RnModelStack *stack, RnLayerPass *pass, RnTensor *x, const RnStackWatch *watch)
{
	static const RnSublayer kinds[2][3] = {
		{RN_SUBLAYER_SELF_ATTENTION, RN_SUBLAYER_FEED_FORWARD},
		{RN_SUBLAYER_SELF_ATTENTION, RN_SUBLAYER_CROSS_ATTENTION, RN_SUBLAYER_FEED_FORWARD}
	};
	const RnSchemeStack *scheme = &stack->scheme;
	RnStream	stream;
	RnPlace		place;
	int			i;

	rn_scheme_begin(scheme, &stream, pass->graph, pass->rows, x);
	show(pass->graph, watch->stream, 0, x);
	place.number = 0;
	for (place.layer = 0; place.layer < scheme->layers; place.layer++)
	{
		rn_scheme_layer_begin(scheme, &stream, place.layer);
		for (i = 0; i < scheme->sublayers_per_layer; i++, place.number++)
		{
			RnBranch	branch;

			place.kind = kinds[scheme->sublayers_per_layer - 2][i];
			show(pass->graph, watch->shortcut, place.number, stream.x);
			branch = run_sublayer(stack, pass, &place, rn_scheme_input(scheme, &stream, &place));
			show(pass->graph, watch->branch, place.number, branch.value);
			if (place.kind == RN_SUBLAYER_SELF_ATTENTION)
				show(pass->graph, watch->self_attention, place.layer, pass->attention);
			else if (place.kind == RN_SUBLAYER_CROSS_ATTENTION)
				show(pass->graph, watch->cross_attention, place.layer, pass->attention);
			if (pass->profile != NULL && scheme->scheme->measured != NULL)
				pass->profile->note(pass->profile, pass->graph, scheme, &place, stream.x, &branch);
			rn_scheme_join(scheme, &stream, &place, &branch);
			show(pass->graph, watch->stream, place.number + 1, stream.x);
		}
		rn_scheme_layer_end(scheme, &stream, place.layer);
	}
	show(pass->graph, watch->dual, 0, stream.dual);
	return rn_scheme_end(scheme, &stream);
}

RnTensor *
rn_encoder_run(const RnModel *model, RnGraph *graph, const RnPacked *source, const int32_t *source_ids,
			   RnProfile *profile, RnWatch *watch)
{
	RnStackWatch stack_watch;
	RnLayerPass pass;
	RnTensor   *output;

	memset(&stack_watch, 0, sizeof(stack_watch));
	if (watch != NULL)
	{
		stack_watch.dual = &watch->encoder_dual;
		stack_watch.stream = watch->encoder_stream;
		stack_watch.shortcut = watch->encoder_shortcut;
		stack_watch.branch = watch->encoder_branch;
		stack_watch.self_attention = watch->encoder_attention;
	}
	memset(&pass, 0, sizeof(pass));
	pass.graph = graph;
	pass.rows = source;
	pass.profile = profile;
	output = rn_stack_run(&model->encoder, &pass,
						  rn_model_embed(model, graph, model->source_embedding, source, source_ids), &stack_watch);
	if (watch != NULL)
		show(graph, &watch->encoder_output, 0, output);
	return output;
}

RnTensor *
rn_decoder_run(const RnModel *model, RnGraph *graph, RnTensor *memory, const RnPacked *source,
			   const RnPacked *target, const int32_t *target_in, RnProfile *profile, RnWatch *watch)
{
	RnStackWatch stack_watch;
	RnLayerPass pass;
	RnTensor   *output;

	memset(&stack_watch, 0, sizeof(stack_watch));
	if (watch != NULL)
	{
		stack_watch.dual = &watch->decoder_dual;
		stack_watch.stream = watch->decoder_stream;
		stack_watch.shortcut = watch->decoder_shortcut;
		stack_watch.branch = watch->decoder_branch;
		stack_watch.self_attention = watch->decoder_attention;
		stack_watch.cross_attention = watch->cross_attention;
	}
	memset(&pass, 0, sizeof(pass));
	pass.graph = graph;
	pass.rows = target;
	pass.memory = memory;
	pass.memory_rows = source;
	pass.profile = profile;
	output = rn_stack_run(&model->decoder, &pass,
						  rn_model_embed(model, graph, model->target_embedding, target, target_in), &stack_watch);
	if (watch != NULL)
		show(graph, &watch->decoder_output, 0, output);
	return output;
}

RnTensor *
rn_model_encode(const RnModel *model, RnGraph *graph, const RnPacked *source, const int32_t *source_ids,
				RnWatch *watch)
{
	return rn_encoder_run(model, graph, source, source_ids, NULL, watch);
}

RnTensor *
rn_model_decode(const RnModel *model, RnGraph *graph, RnTensor *memory, const RnPacked *source,
				const RnPacked *target, const int32_t *target_in, RnWatch *watch)
{
	return rn_decoder_run(model, graph, memory, source, target, target_in, NULL, watch);
}

RnTensor *
rn_model_logits(const RnModel *model, RnGraph *graph, RnTensor *decoder_output)
{
	return rn_linear(graph, decoder_output, &model->params.items[model->output], NULL, 1);
}

const RnParam *
rn_model_output_weight(const RnModel *model)
{
	return &model->params.items[model->output];
}

RnTensor *
rn_model_run(const RnModel *model, RnGraph *graph, const RnModelBatch *batch, RnProfile *profile, RnWatch *watch)
{
	RnJoined   *joined;

	if (rn_model_has_encoder(model))
		return rn_decoder_run(model, graph,
							  rn_encoder_run(model, graph, &batch->source, batch->source_ids, profile, watch),
							  &batch->source, &batch->target, batch->target_in, profile, watch);
	joined = rn_join(graph, batch);
	if (joined == NULL)
		return NULL;
	if (watch != NULL)
		watch->decoder_rows = &joined->rows;
	return rn_rows(graph, rn_decoder_run(model, graph, NULL, NULL, &joined->rows, joined->ids, profile, watch),
				   joined->rows.n_sentences, joined->target_first, joined->target_count);
}

RnTensor *
rn_model_output(const RnModel *model, RnGraph *graph, const RnModelBatch *batch, RnWatch *watch)
{
	return rn_model_run(model, graph, batch, NULL, watch);
}

void
rn_model_loss(const RnModel *model, RnGraph *graph, const RnModelBatch *batch, double gradient_scale,
			  rn_real *row_nll, RnLoss *loss, RnWatch *watch)
{
	RnCrossEntropy spec;

	memset(&spec, 0, sizeof(spec));
	spec.x = rn_model_run(model, graph, batch, NULL, watch);
	spec.weight = &model->params.items[model->output];
	spec.targets = batch->target_out;
	spec.smoothing = model->config.label_smoothing;
	spec.variant = model->config.label_smoothing_variant;
	spec.gradient_scale = gradient_scale;
	spec.row_nll = row_nll;
	rn_smoothed_cross_entropy(graph, &spec, loss);
}
