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
	rn_real    *positions;		/* [longest, d_model] */
};

/* Declare everything; model->config, special and stacks' sizes are there. */
extern RnStatus rn_model_declare(RnContext *ctx, RnModel *model);

/* Fill [longest, d_model] with sines and cosines. */
extern void rn_position_table(const RnConfig *config, int pad, int longest, rn_real *table);

/* Embeddings of ids: the input of a stack. */
extern RnTensor *rn_model_embed(const RnModel *model, RnGraph *graph, int embedding, const RnPacked *rows,
								const int32_t *ids);

/* What a stack shows to whoever looks; parts of RnWatch, or all NULL. */
typedef struct RnStackWatch
{
	RnTensor  **stream;
	RnTensor  **shortcut;
	RnTensor  **branch;
	RnTensor  **self_attention;
	RnTensor  **cross_attention;
} RnStackWatch;

/* All layers of a stack, from its input to its output. */
extern RnTensor *rn_stack_run(const RnModelStack *stack, RnLayerPass *pass, RnTensor *x, const RnStackWatch *watch);

#endif							/* RN_MODEL_H */
