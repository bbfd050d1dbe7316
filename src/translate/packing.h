/*
 * packing.h
 *		Texts as pieces and pieces as batches; for the files of the translator alone.
 *
 * src/translate/packing.h
 */
#ifndef RN_PACKING_H
#define RN_PACKING_H

#include "translate/translator.h"

struct RnTranslator
{
	const RnModel *model;
	const rn_real *values;
	const RnPreparedWeights *prepared;	/* or NULL */
	const RnTokenizer *tokenizer;
	const RnShortlist *shortlist;	/* or NULL */
	const RnKernels *kernels;
	RnLane	   *lane;
	RnDecoder  *decoder;
	RnGraph    *graph;			/* for scoring, aligning and embedding: whole sequences */
	uint8_t    *kinds;			/* of the vocabulary's pieces (spelling.h), when they were first needed */
};

/* A text as pieces. */
typedef struct RnCutText
{
	int32_t    *ids;			/* malloc'd, without end */
	int			n;
	int			cut;			/* there were more */
	int			text;			/* which of the caller's */
	int			rows;			/* hypotheses that its search takes at most; 0 counts as 1 */
} RnCutText;

/* One side of a batch, packed. */
typedef struct RnSide
{
	RnPacked	packed;
	int32_t    *offsets;		/* [n_sentences + 1] */
	int32_t    *positions;		/* [rows], and so the others */
	uint32_t   *row_ids;
	int32_t    *ids;
	int32_t    *expected;		/* what follows each id; targets only */
} RnSide;

/* Texts as pieces, in the order of the texts; RN_OK: the caller frees. */
extern RnStatus rn_cut_texts(RnContext *ctx, const RnTranslator *translator, int n, const RnText *texts,
							 RnCutText **result);
extern void rn_free_cut_texts(RnCutText *pieces, int n);

/* Pieces of one side that the model takes, its end (or start) not counted. */
extern int	rn_most_pieces(const RnTranslator *translator);

/* How many from the first on make a batch; at least one. */
extern int	rn_batch_size(const RnTranslator *translator, const RnCutText *pieces, int n);

/* Sources are pieces and end; targets begin with start and expect what a source is. */
extern RnStatus rn_pack_side(RnContext *ctx, const RnTranslator *translator, int n, const RnCutText *pieces,
							 int is_target, RnSide *side);
extern void rn_free_side(RnSide *side);

/* A pass over whole sequences on the translator's graph. */
extern void rn_begin_pass(RnTranslator *translator, const volatile int *stop);

extern RnStatus rn_check_stop(RnContext *ctx, const volatile int *stop);

#endif							/* RN_PACKING_H */
