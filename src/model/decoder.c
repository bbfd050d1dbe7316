/*
 * decoder.c
 *		Decoding one position at a time.
 *
 * Two graphs: one lives from begin to begin and holds the encoder's output
 * with every layer's keys and values of it, the other is built anew for each
 * step.  Both run the same layers as training does.
 *
 * The cache of a layer is one array of rows (key and value side by side); a
 * step appends its rows, whichever hypotheses they belong to.  A hypothesis
 * is a list of cache rows: its parent's list and its own new row.  So a beam
 * that reorders copies lists of integers, and the cache grows only by what is
 * alive.
 *
 * Without an encoder the first graph is the decoder's own pass over the
 * source.  What its layers project is the beginning of their caches (rows of
 * query, key and value, so that it is one copy a layer), and the source's
 * rows the beginning of every list.
 *
 * src/model/decoder.c
 */
#include "model/transformer.h"

#include <stdlib.h>
#include <string.h>

#include "model/model.h"

/* Positions for which the cache has room at first. */
#define FIRST_POSITIONS		32

struct RnDecoder
{
	const RnModel *model;
	const RnKernels *kernels;
	RnLane	   *lane;
	RnGraph    *encoder_graph;
	RnGraph    *step_graph;
	const rn_real *values;		/* lent by begin */
	const RnPreparedWeights *prepared;	/* lent, or NULL */

	RnWeightRows output;		/* of the tokens that logits are wanted of; rows 0: all */
	RnPrepared *output_prepared;	/* of them */
	rn_real    *output_rows;	/* [output_capacity, d_model] */
	int			output_capacity;

	RnTensor   *memory;			/* the encoder's output */
	RnTensor  **source;			/* [layers] its keys and values; without an encoder the source's q, k, v */
	int32_t    *offsets;		/* [n_sentences + 1] */
	int			n_sentences;
	int			longest_source;

	int			max_rows;
	int			max_steps;
	int			steps;			/* positions done */
	int			rows;			/* of the last one */
	rn_real   **cache;			/* [layers] [cache_capacity, cache_width] */
	int			cache_width;	/* 2 * d_model; without an encoder 3 */
	size_t		cache_capacity; /* rows */
	size_t		cache_rows;		/* in use */
	int32_t    *lists;			/* [2][max_rows, list_length], by turns */
	int			list_length;	/* max_steps, and the longest source where it is in the cache */

	int32_t    *integers;		/* what the following point into */
	int32_t    *write;			/* [max_rows] each */
	int32_t    *first;
	int32_t    *count;
	int32_t    *source_first;
	int32_t    *source_count;
	int32_t    *positions;
	int32_t    *row_ids;
	int32_t    *row_offsets;	/* [max_rows + 1] 0, 1, 2, ... */
};

RnStatus
rn_decoder_create(RnContext *ctx, const RnModel *model, const RnKernels *kernels, RnLane *lane, RnDecoder **decoder)
{
	RnDecoder  *made = calloc(1, sizeof(*made));
	int			layers = model->decoder.scheme.layers;

	*decoder = NULL;
	if (made == NULL)
		return rn_out_of_memory(ctx, sizeof(*made));
	made->model = model;
	made->cache_width = (rn_model_has_encoder(model) ? 2 : 3) * model->config.d_model;
	made->kernels = kernels;
	made->lane = lane;
	made->source = calloc(layers, sizeof(RnTensor *));
	made->cache = calloc(layers, sizeof(rn_real *));
	if (made->source == NULL || made->cache == NULL)
		rn_out_of_memory(ctx, layers * sizeof(void *));
	else if (rn_graph_create(ctx, kernels, lane, &made->encoder_graph) == RN_OK)
		rn_graph_create(ctx, kernels, lane, &made->step_graph);
	if (ctx->status != RN_OK)
	{
		rn_decoder_free(made);
		return ctx->status;
	}
	*decoder = made;
	return RN_OK;
}

static size_t
cache_bytes(const RnDecoder *decoder, size_t rows)
{
	return rows * decoder->cache_width * sizeof(rn_real);
}

static void
free_cache(RnDecoder *decoder)
{
	int			layer;

	for (layer = 0; decoder->cache != NULL && layer < decoder->model->decoder.scheme.layers; layer++)
	{
		if (decoder->cache[layer] != NULL)
			decoder->kernels->release(decoder->cache[layer], cache_bytes(decoder, decoder->cache_capacity));
		decoder->cache[layer] = NULL;
	}
	decoder->cache_capacity = 0;
}

/* Rows of the output matrix as they are, and made ready. */
static size_t
output_bytes(const RnDecoder *decoder)
{
	return 2 * (size_t) decoder->output_capacity * decoder->model->config.d_model * sizeof(rn_real);
}

static void
free_output(RnDecoder *decoder)
{
	if (decoder->output_prepared != NULL)
		decoder->kernels->discard(decoder->output_prepared);
	decoder->output_prepared = NULL;
	memset(&decoder->output, 0, sizeof(decoder->output));
}

size_t
rn_decoder_bytes(const RnDecoder *decoder)
{
	return decoder->model->decoder.scheme.layers * cache_bytes(decoder, decoder->cache_capacity) +
		output_bytes(decoder) + rn_graph_memory(decoder->encoder_graph) + rn_graph_memory(decoder->step_graph);
}

void
rn_decoder_free(RnDecoder *decoder)
{
	if (decoder == NULL)
		return;
	free_cache(decoder);
	free_output(decoder);
	if (decoder->output_rows != NULL)
		decoder->kernels->release(decoder->output_rows, output_bytes(decoder) / 2);
	if (decoder->encoder_graph != NULL)
		rn_graph_free(decoder->encoder_graph);
	if (decoder->step_graph != NULL)
		rn_graph_free(decoder->step_graph);
	free(decoder->source);
	free(decoder->cache);
	free(decoder->offsets);
	free(decoder->lists);
	free(decoder->integers);
	free(decoder);
}

void
rn_decoder_use(RnDecoder *decoder, const RnPreparedWeights *prepared)
{
	decoder->prepared = prepared;
}

/* ---- begin ---- */

/* Room for rows of hypotheses. */
static RnStatus
reserve_rows(RnContext *ctx, RnDecoder *decoder, int max_rows, int max_steps)
{
	size_t		n = max_rows;
	int			length = max_steps + (rn_model_has_encoder(decoder->model) ? 0 : decoder->longest_source);
	size_t		list_bytes = 2 * n * length * sizeof(int32_t);
	size_t		integer_bytes = (8 * n + 1) * sizeof(int32_t);
	int			i;

	if (max_rows <= decoder->max_rows && max_steps <= decoder->max_steps && length <= decoder->list_length)
		return RN_OK;
	free(decoder->lists);
	free(decoder->integers);
	decoder->max_rows = decoder->max_steps = 0;
	decoder->lists = malloc(list_bytes);
	decoder->integers = malloc(integer_bytes);
	if (decoder->lists == NULL || decoder->integers == NULL)
		return rn_out_of_memory(ctx, list_bytes + integer_bytes);
	decoder->write = decoder->integers;
	decoder->first = decoder->write + n;
	decoder->count = decoder->first + n;
	decoder->source_first = decoder->count + n;
	decoder->source_count = decoder->source_first + n;
	decoder->positions = decoder->source_count + n;
	decoder->row_ids = decoder->positions + n;
	decoder->row_offsets = decoder->row_ids + n;
	for (i = 0; i < max_rows; i++)
		decoder->row_ids[i] = decoder->row_offsets[i] = i;
	decoder->row_offsets[max_rows] = max_rows;
	decoder->max_rows = max_rows;
	decoder->max_steps = max_steps;
	decoder->list_length = length;
	return RN_OK;
}

/* So much for every layer's keys and values; what is there stays. */
static RnStatus
resize_cache(RnContext *ctx, RnDecoder *decoder, size_t capacity)
{
	int			layers = decoder->model->decoder.scheme.layers;
	int			layer;

	for (layer = 0; layer < layers; layer++)
	{
		void	   *memory;

		if (decoder->kernels->allocate(ctx, cache_bytes(decoder, capacity), &memory) != RN_OK)
		{
			/* layers of unequal size would be lost track of: start from nothing next time */
			while (--layer >= 0)
			{
				decoder->kernels->release(decoder->cache[layer], cache_bytes(decoder, capacity));
				decoder->cache[layer] = NULL;
			}
			free_cache(decoder);
			return ctx->status;
		}
		if (decoder->cache[layer] != NULL)
		{
			decoder->kernels->copy(decoder->lane, memory, decoder->cache[layer],
								   cache_bytes(decoder, decoder->cache_rows));
			RN_TRY(decoder->kernels->synchronize(ctx, decoder->lane));
			decoder->kernels->release(decoder->cache[layer], cache_bytes(decoder, decoder->cache_capacity));
		}
		decoder->cache[layer] = memory;
	}
	decoder->cache_capacity = capacity;
	return RN_OK;
}

/* Room for rows of keys and values. */
static RnStatus
reserve_cache(RnContext *ctx, RnDecoder *decoder, size_t rows)
{
	size_t		capacity = decoder->cache_capacity;

	if (rows <= capacity)
		return RN_OK;
	if (capacity == 0)
		capacity = (size_t) decoder->max_rows * FIRST_POSITIONS;
	while (capacity < rows)
		capacity *= 2;
	return resize_cache(ctx, decoder, capacity);
}

static RnStatus
note_sentences(RnContext *ctx, RnDecoder *decoder, const RnPacked *source)
{
	int			n = source->n_sentences;
	int32_t    *offsets = realloc(decoder->offsets, (n + 1) * sizeof(int32_t));
	int			s;

	if (offsets == NULL)
		return rn_out_of_memory(ctx, (n + 1) * sizeof(int32_t));
	memcpy(offsets, source->offsets, (n + 1) * sizeof(int32_t));
	decoder->offsets = offsets;
	decoder->n_sentences = n;
	decoder->longest_source = 0;
	for (s = 0; s < n; s++)
	{
		int			length = offsets[s + 1] - offsets[s];

		if (length < 1 || length > decoder->model->longest)
			return rn_fail(ctx, RN_INVALID, "source sentence of %d pieces, between 1 and %d are possible", length,
						   decoder->model->longest);
		if (length > decoder->longest_source)
			decoder->longest_source = length;
	}
	return RN_OK;
}

static void
pass_of(const RnDecoder *decoder, RnPass *pass)
{
	memset(pass, 0, sizeof(*pass));
	pass->params = &decoder->model->params;
	pass->values = decoder->values;
	pass->prepared = decoder->prepared;
}

static void
note_encoder(RnDecoder *decoder, const RnPacked *source, const int32_t *source_ids)
{
	const RnModelStack *stack = &decoder->model->decoder;
	int			layer;

	decoder->memory = rn_model_encode(decoder->model, decoder->encoder_graph, source, source_ids, NULL);
	for (layer = 0; layer < stack->scheme.layers; layer++)
		decoder->source[layer] = rn_cross_keys_values(&stack->scheme, &stack->layers[layer].cross_attention,
													  decoder->encoder_graph, decoder->memory);
}

static void
note_source(RnDecoder *decoder, const RnPacked *source, const int32_t *source_ids)
{
	const RnModel *model = decoder->model;
	RnStackWatch watch;
	RnLayerPass pass;

	memset(decoder->source, 0, model->decoder.scheme.layers * sizeof(RnTensor *));
	memset(&watch, 0, sizeof(watch));
	memset(&pass, 0, sizeof(pass));
	pass.graph = decoder->encoder_graph;
	pass.rows = source;
	pass.projections = decoder->source;
	decoder->memory = rn_stack_run(&model->decoder, &pass,
								   rn_model_embed(model, pass.graph, model->source_embedding, source, source_ids),
								   &watch);
}

/* The source's rows come first in every layer's cache. */
static RnStatus
begin_cache(RnContext *ctx, RnDecoder *decoder, int rows)
{
	int			layer;

	RN_TRY(reserve_cache(ctx, decoder, rows));
	for (layer = 0; layer < decoder->model->decoder.scheme.layers; layer++)
		decoder->kernels->copy(decoder->lane, decoder->cache[layer], decoder->source[layer]->value,
							   cache_bytes(decoder, rows));
	decoder->cache_rows = rows;
	return RN_OK;
}

/* The pass over the sources, up to its running. */
static RnStatus
prepare_begin(RnContext *ctx, RnDecoder *decoder, const rn_real *values, const RnPacked *source,
			  const int32_t *source_ids, int max_rows, int max_steps, int measuring)
{
	RnPass		pass;
	int			layer;

	decoder->memory = NULL;
	free_output(decoder);
	if (max_rows < 1 || max_steps < 1 || max_steps > decoder->model->longest)
		return rn_fail(ctx, RN_INVALID, "%d positions, between 1 and %d are possible", max_steps,
					   decoder->model->longest);
	RN_TRY(note_sentences(ctx, decoder, source));
	RN_TRY(reserve_rows(ctx, decoder, max_rows, max_steps));
	decoder->values = values;
	decoder->steps = decoder->rows = 0;
	decoder->cache_rows = 0;

	pass_of(decoder, &pass);
	pass.measuring = measuring;
	rn_graph_begin(decoder->encoder_graph, &pass);
	if (rn_model_has_encoder(decoder->model))
		note_encoder(decoder, source, source_ids);
	else
		note_source(decoder, source, source_ids);
	if (decoder->memory != NULL)
		rn_graph_keep(decoder->encoder_graph, decoder->memory);
	for (layer = 0; layer < decoder->model->decoder.scheme.layers; layer++)
	{
		if (decoder->source[layer] != NULL)
			rn_graph_keep(decoder->encoder_graph, decoder->source[layer]);
	}
	return RN_OK;
}

RnStatus
rn_decoder_begin(RnContext *ctx, RnDecoder *decoder, const rn_real *values, const RnPacked *source,
				 const int32_t *source_ids, int max_rows, int max_steps)
{
	RN_TRY(prepare_begin(ctx, decoder, values, source, source_ids, max_rows, max_steps, 0));
	if (rn_graph_forward(ctx, decoder->encoder_graph) != RN_OK ||
		(!rn_model_has_encoder(decoder->model) && begin_cache(ctx, decoder, source->rows) != RN_OK))
		decoder->memory = NULL;
	return ctx->status;
}

static RnStatus
reserve_output(RnContext *ctx, RnDecoder *decoder, int n)
{
	const size_t row = (size_t) decoder->model->config.d_model * sizeof(rn_real);

	if (n <= decoder->output_capacity)
		return RN_OK;
	if (decoder->output_rows != NULL)
		decoder->kernels->release(decoder->output_rows, decoder->output_capacity * row);
	decoder->output_rows = NULL;
	decoder->output_capacity = 0;
	n += n / 4;
	RN_TRY(decoder->kernels->allocate(ctx, n * row, (void **) &decoder->output_rows));
	decoder->output_capacity = n;
	return RN_OK;
}

RnStatus
rn_decoder_restrict(RnContext *ctx, RnDecoder *decoder, int n, const int32_t *ids)
{
	const RnKernels *kernels = decoder->kernels;
	const RnParam *weight = rn_model_output_weight(decoder->model);
	const RnFormat format = decoder->prepared != NULL ? rn_prepared_format(decoder->prepared) : RN_FORMAT_REAL;
	RnEmbeddingArgs rows;

	RN_TRY(reserve_output(ctx, decoder, n));
	memset(&rows, 0, sizeof(rows));
	rows.rows = n;
	rows.cols = weight->cols;
	rows.ids = ids;
	rows.table = decoder->values + weight->offset;
	rows.scale = 1;
	rows.pad_id = -1;
	rows.y = decoder->output_rows;
	kernels->embedding_forward(decoder->lane, &rows);

	/* each row is made ready by itself, so it is what it is in the whole matrix */
	if (kernels->prepared_bytes(format, n, weight->cols) > 0)
		RN_TRY(kernels->prepare(ctx, decoder->lane, format, n, weight->cols, decoder->output_rows,
								&decoder->output_prepared));
	decoder->output.rows = n;
	decoder->output.cols = weight->cols;
	decoder->output.prepared = decoder->output_prepared;
	decoder->output.values = decoder->output_rows;
	return RN_OK;
}

const rn_real *
rn_decoder_memory(const RnDecoder *decoder)
{
	return decoder->memory == NULL ? NULL : decoder->memory->value;
}

/* ---- step ---- */

/* Lists of this step out of those of the step before. */
static RnStatus
grow_lists(RnContext *ctx, RnDecoder *decoder, int rows, const int32_t *parent, const int32_t *sentence)
{
	size_t		half = (size_t) decoder->max_rows * decoder->list_length;
	int			t = decoder->steps;
	const int32_t *before = decoder->lists + (t % 2 == 0 ? half : 0);
	int32_t    *now = decoder->lists + (t % 2 == 0 ? 0 : half);
	int			r;

	for (r = 0; r < rows; r++)
	{
		int32_t    *list = now + (size_t) r * decoder->list_length;
		int			length;
		int			k;

		if (sentence[r] < 0 || sentence[r] >= decoder->n_sentences || (t > 0 && (parent[r] < 0 || parent[r] >= decoder->rows)))
			return rn_fail(ctx, RN_INTERNAL, "decoder: row %d has no such sentence or parent", r);
		decoder->source_first[r] = decoder->offsets[sentence[r]];
		decoder->source_count[r] = decoder->offsets[sentence[r] + 1] - decoder->offsets[sentence[r]];
		length = t + (rn_model_has_encoder(decoder->model) ? 0 : decoder->source_count[r]);
		if (t > 0)
			memcpy(list, before + (size_t) parent[r] * decoder->list_length, length * sizeof(int32_t));
		else
		{
			for (k = 0; k < length; k++)
				list[k] = decoder->source_first[r] + k;
		}
		list[length] = (int32_t) (decoder->cache_rows + r);
		decoder->write[r] = list[length];
		decoder->first[r] = r * decoder->list_length;
		decoder->count[r] = length + 1;
		decoder->positions[r] = length;
	}
	return RN_OK;
}

/* The pass of a step; gives the logits. */
static RnTensor *
note_step(RnDecoder *decoder, int rows, const int32_t *ids, rn_real **cache, RnPacked *packed_rows, int measuring)
{
	const RnModel *model = decoder->model;
	RnStepCaches caches;
	RnStackWatch watch;
	RnLayerPass pass;
	RnPass		graph_pass;
	RnTensor   *output;

	packed_rows->n_sentences = packed_rows->rows = rows;
	packed_rows->offsets = decoder->row_offsets;
	packed_rows->positions = decoder->positions;
	packed_rows->row_ids = (const uint32_t *) decoder->row_ids;
	caches.own = cache;
	caches.own_width = decoder->cache_width;
	caches.own_first = decoder->cache_width - 2 * model->config.d_model;
	caches.write = decoder->write;
	caches.first = decoder->first;
	caches.count = decoder->count;
	caches.list = decoder->lists + (decoder->steps % 2 == 0 ? 0 : (size_t) decoder->max_rows * decoder->list_length);
	caches.max_count = decoder->steps + 1 + (rn_model_has_encoder(model) ? 0 : decoder->longest_source);
	caches.source = decoder->source;
	caches.source_first = decoder->source_first;
	caches.source_count = decoder->source_count;
	caches.max_source_count = decoder->longest_source;
	memset(&watch, 0, sizeof(watch));
	memset(&pass, 0, sizeof(pass));
	pass.graph = decoder->step_graph;
	pass.rows = packed_rows;
	pass.caches = &caches;

	pass_of(decoder, &graph_pass);
	graph_pass.measuring = measuring;
	rn_graph_begin(decoder->step_graph, &graph_pass);
	output = rn_stack_run(&model->decoder, &pass,
						  rn_model_embed(model, decoder->step_graph, model->target_embedding, packed_rows, ids), &watch);
	output = decoder->output.rows > 0 ? rn_linear_rows(decoder->step_graph, output, &decoder->output) :
		rn_model_logits(model, decoder->step_graph, output);
	if (output != NULL)
		rn_graph_keep(decoder->step_graph, output);
	return output;
}

RnStatus
rn_decoder_step(RnContext *ctx, RnDecoder *decoder, int rows, const int32_t *sentence, const int32_t *parent,
				const int32_t *ids, const rn_real **logits)
{
	RnPacked	packed;
	RnTensor   *output;

	*logits = NULL;
	if (decoder->memory == NULL || decoder->steps >= decoder->max_steps || rows < 1 || rows > decoder->max_rows)
		return rn_fail(ctx, RN_INTERNAL, "decoder: no room for %d rows at position %d", rows, decoder->steps);
	RN_TRY(grow_lists(ctx, decoder, rows, parent, sentence));
	RN_TRY(reserve_cache(ctx, decoder, decoder->cache_rows + rows));
	output = note_step(decoder, rows, ids, decoder->cache, &packed, 0);
	RN_TRY(rn_graph_forward(ctx, decoder->step_graph));
	*logits = output->value;
	decoder->cache_rows += rows;
	decoder->rows = rows;
	decoder->steps++;
	return RN_OK;
}

/* ---- what it takes ---- */

static void
raise(size_t *most, size_t bytes)
{
	if (bytes > *most)
		*most = bytes;
}

RnStatus
rn_decoder_measure(RnContext *ctx, RnDecoder *decoder, const rn_real *values, const RnPacked *source,
				   const int32_t *source_ids, int max_rows, int max_steps, size_t cells, RnDecoderNeed *need)
{
	int			layers = decoder->model->decoder.scheme.layers;
	rn_real   **cache = calloc(layers, sizeof(rn_real *));
	int32_t    *ids = calloc(max_rows, sizeof(int32_t));
	RnPacked	packed;
	size_t		bytes = 0;
	int			layer;

	if (cache == NULL || ids == NULL)
		rn_out_of_memory(ctx, max_rows * sizeof(int32_t) + layers * sizeof(rn_real *));
	else if (prepare_begin(ctx, decoder, values, source, source_ids, max_rows, max_steps, 1) == RN_OK &&
			 rn_graph_measure(ctx, decoder->encoder_graph, &bytes) == RN_OK)
	{
		raise(&need->encoder, bytes);
		/* what nobody reads may lie anywhere, and say anything */
		memset(decoder->integers, 0, (size_t) (decoder->row_ids - decoder->integers) * sizeof(int32_t));
		for (layer = 0; layer < layers; layer++)
			cache[layer] = (rn_real *) values;
		decoder->steps = max_steps - 1;
		note_step(decoder, max_rows, ids, cache, &packed, 1);
		if (rn_graph_measure(ctx, decoder->step_graph, &bytes) == RN_OK)
			raise(&need->step, bytes);
		raise(&need->cache_rows, cells + (rn_model_has_encoder(decoder->model) ? 0 : source->rows));
		raise(&need->constants, rn_graph_constants(decoder->encoder_graph) + rn_graph_constants(decoder->step_graph));
	}
	decoder->memory = NULL;
	free(cache);
	free(ids);
	return ctx->status;
}

size_t
rn_decoder_need_bytes(const RnDecoder *decoder, const RnDecoderNeed *need)
{
	const size_t layers = decoder->model->decoder.scheme.layers;

	/* each piece counts as a multiple of 256 */
	return need->encoder + need->step + need->constants + layers * cache_bytes(decoder, need->cache_rows) +
		(layers + 4) * 256;
}

RnStatus
rn_decoder_reserve(RnContext *ctx, RnDecoder *decoder, const RnDecoderNeed *need)
{
	RN_TRY(rn_graph_reserve(ctx, decoder->encoder_graph, need->encoder));
	RN_TRY(rn_graph_reserve(ctx, decoder->step_graph, need->step));
	return need->cache_rows > decoder->cache_capacity ? resize_cache(ctx, decoder, need->cache_rows) : RN_OK;
}
