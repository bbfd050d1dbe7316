/*
 * translator.h
 *		Texts in, texts out: a batch of sentences through the whole journey.
 *
 * A translator belongs to one thread; model, weights and tokenizer are lent
 * and may be shared.  How it searches, see beam.h.
 *
 * src/translate/translator.h
 */
#ifndef RN_TRANSLATOR_H
#define RN_TRANSLATOR_H

#include "model/transformer.h"
#include "shortlist/shortlist.h"
#include "text/tokenizer.h"
#include "translate/beam.h"
#include "translate/terms.h"

typedef struct RnTranslator RnTranslator;

/*
 * What is computed at once: hypotheses (sentences times beam), and pieces of
 * their sources times beam.  More texts than that make several batches.
 */
#define RN_BATCH_ROWS	128
#define RN_CPU_BATCH_ROWS 32	/* on the CPU */
#define RN_BATCH_PIECES 4096

extern RnStatus rn_translator_create(RnContext *ctx, const RnModel *model, const rn_real *values,
									 const RnTokenizer *tokenizer, const RnKernels *kernels,
									 RnTranslator **translator);
extern void rn_translator_free(RnTranslator *translator);

/* Memory that it keeps from one batch to the next. */
extern size_t rn_translator_bytes(const RnTranslator *translator);

/* Weights made ready for products, of the same values, for what follows: lent; NULL: none. */
extern void rn_translator_use(RnTranslator *translator, const RnPreparedWeights *prepared);

/* The model's shortlist, for what follows where options do not say otherwise: lent; NULL: none. */
extern void rn_translator_restrict(RnTranslator *translator, const RnShortlist *shortlist);
/* Other values to translate with, of the same model: lent. */
extern void rn_translator_values(RnTranslator *translator, const rn_real *values);

/* What translations take of device memory. */
typedef struct RnTranslatorNeed
{
	RnDecoderNeed decoder;
	RnWork		work;
} RnTranslatorNeed;

/*
 * What rn_translate would take for these texts, however long the answers
 * become: need becomes no less.  Once it is reserved, such translations ask
 * the device for nothing but what their lane sends and receives, which
 * rn_translator_need_bytes counts too.
 */
extern RnStatus rn_translator_measure(RnContext *ctx, RnTranslator *translator, const RnSearchOptions *options, int n,
									  const RnText *texts, RnTranslatorNeed *need);
extern size_t rn_translator_need_bytes(const RnTranslator *translator, const RnTranslatorNeed *need);
extern RnStatus rn_translator_reserve(RnContext *ctx, RnTranslator *translator, const RnTranslatorNeed *need);

/* One answer.  Text is malloc'd; the caller frees with rn_translations_free. */
typedef struct RnTranslation
{
	char	   *text;
	double		score;			/* raw / length ^ length_penalty */
	double		log_probability;	/* raw: sum over tokens, end included */
	int			tokens;			/* end included */
	int			source_cut;		/* the source was cut at max_length pieces */
	int32_t    *ids;			/* [tokens] malloc'd, where options say token_scores; else NULL */
	double	   *token_scores;	/* [tokens] likewise: they add up to log_probability */
} RnTranslation;

/*
 * Translate n texts; results [n * options->n_best], missing ones have text
 * NULL.  The empty string (or only white space) gives the empty string.
 * terms: [n] or NULL, each may be NULL.  Sentences are batched by length
 * inside; results are in order.  *stop, when given and set by another thread,
 * ends with RN_CANCELLED within one step.
 */
extern RnStatus rn_translate(RnContext *ctx, RnTranslator *translator, const RnSearchOptions *options,
							 int n, const RnText *texts, const RnTerms *const *terms, RnTranslation *results,
							 const volatile int *stop);
extern void rn_translations_free(RnTranslation *translations, int n);

/* log p(target | source), end included, and its number of tokens: 0 where a target is longer than the model takes in. */
extern RnStatus rn_translator_score(RnContext *ctx, RnTranslator *translator, int n, const RnText *sources,
									const RnText *targets, double *log_probabilities, int *tokens,
									const volatile int *stop);

/* A pair of texts as the model sees it; arrays are malloc'd. */
typedef struct RnAlignment
{
	int			n_source;
	int			n_target;
	int32_t    *source_ids;		/* [n_source] end included */
	int32_t    *target_ids;		/* [n_target] likewise */
	double	   *token_scores;	/* [n_target] log-probabilities: they add up to that of the target */
	float	   *weights;		/* [n_target, n_source] what each piece looked at; rows sum to 1.  NULL: the
								 * model has no attention between the two */
	int			source_cut;		/* the source was cut at max_length pieces */
} RnAlignment;

/* Align n pairs.  RN_LIMIT for a target that is too long. */
extern RnStatus rn_translator_align(RnContext *ctx, RnTranslator *translator, int n, const RnText *sources,
									const RnText *targets, RnAlignment *alignments, const volatile int *stop);
extern void rn_alignment_free(RnAlignment *alignment);

/* Mean over pieces (end included) of the encoder's output, [n, d_model]. */
extern RnStatus rn_translator_embed(RnContext *ctx, RnTranslator *translator, int n, const RnText *texts,
									float *embeddings, const volatile int *stop);

#endif							/* RN_TRANSLATOR_H */
