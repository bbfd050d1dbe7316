/*
 * model.h
 *		The inside of RnModel, for the files that make it up.
 *
 * src/model/model.h
 */
#ifndef RN_MODEL_H
#define RN_MODEL_H

#include "model/layer.h"
#include "model/transformer.h"

/* A stack with its layers; layers' joints belong to scheme. */
typedef struct RnModelStack
{
	RnSchemeStack scheme;
	RnLayer    *layers;
} RnModelStack;

struct RnModel
{
	RnConfig	config;
	RnSpecialIds special;
	int			longest;
	RnParams	params;
	int			source_embedding;	/* parameter numbers; the same where they are shared */
	int			target_embedding;
	int			output;
	RnModelStack encoder;
	RnModelStack decoder;
	int			n_positions;	/* longest; both sides of it where there is no encoder */
	rn_real    *positions;		/* [n_positions, d_model] */
};

/* Else the decoder reads source and target as one sequence. */
static inline int
rn_model_has_encoder(const RnModel *model)
{
	return model->encoder.scheme.layers > 0;
}

/* Declare everything; model->config, special and stacks' sizes are there. */
extern RnStatus rn_model_declare(RnContext *ctx, RnModel *model);

/* Fill [longest, d_model] with sines and cosines. */
extern void rn_position_table(const RnConfig *config, int pad, int longest, rn_real *table);

/* Embeddings of ids: the input of a stack. */
extern RnTensor *rn_model_embed(const RnModel *model, RnGraph *graph, int embedding, const RnPacked *rows,
								const int32_t *ids);

/* A measuring pass: who looks at a sublayer before it joins the stream. */
typedef struct RnProfile RnProfile;
struct RnProfile
{
	void		(*note) (RnProfile *profile, RnGraph *graph, const RnSchemeStack *stack, const RnPlace *place,
						 RnTensor *shortcut, const RnBranch *branch);
	RnContext  *ctx;
	const RnKernels *kernels;
	rn_real    *values;			/* flat, device: what it may set */
	RnMeasured	so_far;			/* of the stack that is being measured */
	int			n_set;			/* parameters that were set, or will be */
	int			n_later;		/* what is set when the pass is over: */
	const RnParam **later;		/* [sublayers of both stacks] */
	double	   *later_values;
};

/* What a stack shows to whoever looks; parts of RnWatch, or all NULL. */
typedef struct RnStackWatch
{
	RnTensor  **dual;
	RnTensor  **stream;
	RnTensor  **shortcut;
	RnTensor  **branch;
	RnTensor  **self_attention;
	RnTensor  **cross_attention;
} RnStackWatch;

/* The decoder's output [target.rows, d_model] of a batch, measuring where profile is not NULL. */
extern RnTensor *rn_model_run(const RnModel *model, RnGraph *graph, const RnModelBatch *batch, RnProfile *profile,
							  RnWatch *watch);

/* joined.c: without an encoder, each sentence's source and target rows as one sequence. */
typedef struct RnJoined
{
	RnPacked	rows;
	int32_t    *ids;			/* [rows.rows] */
	int32_t    *target_first;	/* [n_sentences] where the target's rows lie */
	int32_t    *target_count;	/* [n_sentences] */
} RnJoined;

/* In the graph's scratch; NULL when out of memory, which the graph has noted. */
extern RnJoined *rn_join(RnGraph *graph, const RnModelBatch *batch);

/* rn_model_encode and rn_model_decode, measuring where profile is not NULL. */
extern RnTensor *rn_encoder_run(const RnModel *model, RnGraph *graph, const RnPacked *source,
								const int32_t *source_ids, RnProfile *profile, RnWatch *watch);
extern RnTensor *rn_decoder_run(const RnModel *model, RnGraph *graph, RnTensor *memory, const RnPacked *source,
								const RnPacked *target, const int32_t *target_in, RnProfile *profile, RnWatch *watch);

/* All layers of a stack, from its input to its output. */
extern RnTensor *rn_stack_run(const RnModelStack *stack, RnLayerPass *pass, RnTensor *x, const RnStackWatch *watch);

#endif							/* RN_MODEL_H */
