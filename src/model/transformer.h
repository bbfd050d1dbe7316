/*
 * transformer.h
 *		The model: a Transformer encoder-decoder (Vaswani et al. 2017) whose
 *		residual scheme is a matter of its options, or its decoder alone.
 *
 * Written once against the tape; training, scoring and decoding take the same
 * way through the same layers, so that a scheme cannot be right in one and
 * wrong in another.  A model holds names, shapes and constants; the numbers
 * lie in flat buffers that the caller owns, so several threads use one model.
 *
 * src/model/transformer.h
 */
#ifndef RN_TRANSFORMER_H
#define RN_TRANSFORMER_H

#include "graph/op.h"
#include "model/config.h"

typedef struct RnModel RnModel;

/* Ids that mean something; the tokenizer's in the product, free in tests. */
typedef struct RnSpecialIds
{
	int32_t		pad;
	int32_t		start;
	int32_t		end;
} RnSpecialIds;

/* config->vocab_size is the real one; longest is the longest sequence the position table serves. */
extern RnStatus rn_model_create(RnContext *ctx, const RnConfig *config, const RnSpecialIds *special,
								int longest, RnModel **model);
extern void rn_model_free(RnModel *model);

extern const RnParams *rn_model_params(const RnModel *model);
extern const RnConfig *rn_model_config(const RnModel *model);
extern const RnSpecialIds *rn_model_special(const RnModel *model);
extern int	rn_model_longest(const RnModel *model);

/* Initial weights as the scheme wants them; values [rn_model_params()->size]. */
extern void rn_model_initialize(const RnModel *model, uint64_t seed, rn_real *values);

/*
 * Some schemes measure a batch before training and begin with what they found
 * (Admin); rn_model_profile sets that in values (flat, device) and does
 * nothing for the others.  *n_set: how many parameters it has set.  Dropout is off; the first batch of training will do.
 */
typedef struct RnModelBatch RnModelBatch;

extern int	rn_model_wants_profile(const RnModel *model);
extern RnStatus rn_model_profile(RnContext *ctx, const RnModel *model, const RnKernels *kernels, RnLane *lane,
								 const RnModelBatch *batch, rn_real *values, int *n_set);

/*
 * Some schemes (Admin) have factors that can be folded into the weights when
 * training is over.  values: flat, host; changed in place.  The schemes that
 * remain are set in config; parameters for which rn_folded_away says so have
 * no place in a model of that configuration.  A stack whose factors cannot be
 * folded (the first is not 1, or one is nearly 0) stays as it is.
 */
typedef struct RnFolded
{
	int			stack[2];		/* encoder, decoder: was it folded? */
	int			refused[2];		/* it has factors, but they cannot be folded */
} RnFolded;

extern void rn_model_fold(const RnModel *model, rn_real *values, RnConfig *config, RnFolded *folded);
extern int	rn_folded_away(const RnFolded *folded, const RnParam *param);

/* Else (architecture "decoder") one stack reads source and target as one sequence. */
extern int	rn_model_is_encoder_decoder(const RnModel *model);

/*
 * One side of sentence pairs, packed.  Source rows: pieces and end.  Target
 * rows: start and pieces go in, pieces and end are expected.
 */
struct RnModelBatch
{
	RnPacked	source;
	const int32_t *source_ids;	/* [source.rows] */
	RnPacked	target;
	const int32_t *target_in;	/* [target.rows] */
	const int32_t *target_out;	/* [target.rows] */
};

/*
 * What a pass shows to whoever looks (diagnostics, golden values).  Arrays
 * belong to the caller and may be NULL; N sublayers are 2 a layer in the
 * encoder, 3 in the decoder.  What is shown is kept to the end of the pass.
 */
typedef struct RnWatch
{
	RnTensor   *encoder_output;
	RnTensor   *decoder_output;
	RnTensor   *encoder_dual;	/* the dual stream at the stack's end; NULL: the scheme has none */
	RnTensor   *decoder_dual;
	const RnPacked *decoder_rows;	/* of the decoder's tensors where there is no encoder: source and target, until the
								 * graph begins anew; else NULL */
	RnTensor  **encoder_stream; /* [N + 1] x_0 .. x_N as passed on */
	RnTensor  **decoder_stream;
	RnTensor  **encoder_shortcut;	/* [N] what each sublayer is added to: mostly the stream */
	RnTensor  **decoder_shortcut;
	RnTensor  **encoder_branch; /* [N] a_1 .. a_N before bias, dropout and factors */
	RnTensor  **decoder_branch;
	RnTensor  **encoder_attention;	/* [layers] results of rn_attention */
	RnTensor  **decoder_attention;
	RnTensor  **cross_attention;
} RnWatch;

/* Note the loss of a batch; dropout and gradients as the graph's pass says.  watch may be NULL. */
extern void rn_model_loss(const RnModel *model, RnGraph *graph, const RnModelBatch *batch,
						  double gradient_scale, rn_real *row_nll, RnLoss *loss, RnWatch *watch);

/* Decoder output [target.rows, d_model] of a batch: what the logits are made of. */
extern RnTensor *rn_model_output(const RnModel *model, RnGraph *graph, const RnModelBatch *batch, RnWatch *watch);

/* Encoder output [source.rows, d_model]; without an encoder what the decoder makes of the source. */
extern RnTensor *rn_model_encode(const RnModel *model, RnGraph *graph, const RnPacked *source,
								 const int32_t *source_ids, RnWatch *watch);

/* Decoder output [target.rows, d_model] over a given memory (input or encoder output); logits of rows. */
extern RnTensor *rn_model_decode(const RnModel *model, RnGraph *graph, RnTensor *memory, const RnPacked *source,
								 const RnPacked *target, const int32_t *target_in, RnWatch *watch);
extern RnTensor *rn_model_logits(const RnModel *model, RnGraph *graph, RnTensor *decoder_output);

/* The matrix that logits are made with, [vocabulary, d_model]. */
extern const RnParam *rn_model_output_weight(const RnModel *model);

/*
 * Incremental decoding.  A decoder holds the keys and values of the source
 * (cross-attention) and a cache that grows by one position a step.  Rows are
 * hypotheses; which cache row holds position t of a hypothesis is a list, so
 * reordering a beam copies integers, not caches, and finished hypotheses
 * simply stay out.
 */
typedef struct RnDecoder RnDecoder;

extern RnStatus rn_decoder_create(RnContext *ctx, const RnModel *model, const RnKernels *kernels, RnLane *lane,
								  RnDecoder **decoder);
extern void rn_decoder_free(RnDecoder *decoder);

/* Memory that it keeps from one sentence to the next: caches and graphs. */
extern size_t rn_decoder_bytes(const RnDecoder *decoder);

/* Weights made ready for products, of the values that begin is given: lent from the next begin on; NULL: none. */
extern void rn_decoder_use(RnDecoder *decoder, const RnPreparedWeights *prepared);

/*
 * Encode sources and start over.  values: flat weights, device.  At most
 * max_rows hypotheses are alive at once, max_steps positions.
 */
extern RnStatus rn_decoder_begin(RnContext *ctx, RnDecoder *decoder, const rn_real *values,
								 const RnPacked *source, const int32_t *source_ids, int max_rows, int max_steps);

/*
 * After begin, for its steps: logits of n tokens only, [rows, n] in the order
 * of ids, each the same as among all.
 */
extern RnStatus rn_decoder_restrict(RnContext *ctx, RnDecoder *decoder, int n, const int32_t *ids);

/*
 * One position for rows hypotheses: row r belongs to sentence[r], grows out of
 * row parent[r] of the step before (ignored at the first step) and reads token
 * ids[r].  Gives *logits [rows, vocabulary] (or fewer, see
 * above), device memory that is valid until
 * the next call.
 */
extern RnStatus rn_decoder_step(RnContext *ctx, RnDecoder *decoder, int rows, const int32_t *sentence,
								const int32_t *parent, const int32_t *ids, const rn_real **logits);

/* What decoding takes of device memory, in bytes but for the last. */
typedef struct RnDecoderNeed
{
	size_t		encoder;		/* the pass over the sources */
	size_t		step;
	size_t		constants;
	size_t		cache_rows;
} RnDecoderNeed;

/*
 * As begin and every step up to the last, with so many positions of all
 * hypotheses, but only to learn what they would take: need becomes no less.
 * Begin is next.  Reserve takes it: decoding that
 * needs no more asks the device for nothing.
 */
extern RnStatus rn_decoder_measure(RnContext *ctx, RnDecoder *decoder, const rn_real *values, const RnPacked *source,
								   const int32_t *source_ids, int max_rows, int max_steps, size_t cells,
								   RnDecoderNeed *need);
extern size_t rn_decoder_need_bytes(const RnDecoder *decoder, const RnDecoderNeed *need);
extern RnStatus rn_decoder_reserve(RnContext *ctx, RnDecoder *decoder, const RnDecoderNeed *need);

/* Encoder output of the last begin, [source.rows, d_model], device; for rn_embed and the like. */
extern const rn_real *rn_decoder_memory(const RnDecoder *decoder);

#endif							/* RN_TRANSFORMER_H */
