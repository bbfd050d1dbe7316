/*
 * config.h
 *		Options of a model and of its training: one table, checked once, typed
 *		ever after.
 *
 * Linked into both programs: residual.so checks options at once and lists
 * them (residual_options), the engine reads the typed struct.  Names are
 * those of the papers and of fairseq where they exist.  Knows no JSON: keys
 * and values are text.
 *
 * src/model/config.h
 */
#ifndef RN_CONFIG_H
#define RN_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

#define RN_NAME_LENGTH	64

#define RN_DEVICES_MOST		8	/* of one job */

/* What vocab_size 0 stands for: this many pieces, or as many as the corpus allows. */
#define RN_VOCAB_SIZE_DEFAULT	8000

typedef enum RnNormPlace
{
	RN_NORM_AUTO = 0,			/* where the scheme's paper has it */
	RN_NORM_POST,
	RN_NORM_PRE,
	RN_NORM_NONE
} RnNormPlace;

typedef struct RnConfig
{
	/* model: fixed once weights exist */
	char		encoder_scheme[RN_NAME_LENGTH];
	char		decoder_scheme[RN_NAME_LENGTH];
	char		architecture[RN_NAME_LENGTH];	/* encoder_decoder | decoder */
	int			encoder_layers;
	int			decoder_layers;
	int			d_model;
	int			d_ffn;
	int			heads;
	int			activation;		/* RnActivation: relu | gelu */
	int			share_embeddings;	/* 0 none, 1 decoder (target = output), 2 all */
	int			score_residual; /* 0 none, 1 sum, 2 mean (RealFormer) */
	int			ffn_init;		/* 0 xavier, 1 fan_in */
	int			positions;		/* 0 t2t, 1 fairseq, 2 vaswani */
	double		layer_norm_epsilon;
	int			norm;			/* where a scheme lets one choose: RnNormPlace */
	double		dual_scale;		/* ResiDual: s */
	double		dual_epsilon;	/* ResiDual: epsilon of LN_D */
	double		encoder_alpha;	/* ResiDual: factor of the Post-LN stream at the end */
	double		decoder_alpha;
	double		branch_scale;	/* fixed scale: c */
	int			admin_omega;	/* 0 profile, 1 log (admin-torch), 2 constant sqrt(N), 3 one, 4 profile with ones */
	int			fold_omega;		/* Admin: end as a plain Post-LN model */
	int			scale_init;		/* B2T: initial weights times L^-1/2 */

	/* text */
	int			vocab_size;		/* never 0: the default while nothing else is known */
	int			vocab_size_given;	/* explicit: too large is an error; else it shrinks */
	int			tokenizer;		/* 0 unigram, 1 bpe */
	int			max_length;		/* pieces of one side, end included */
	int			lowercase;
	double		length_factor;	/* of an answer over its source, where a translation sets no length; 0: as the corpus has it */

	/* optimisation */
	double		learning_rate;
	int			schedule;		/* 0 inverse_sqrt, 1 linear, 2 constant, 3 cosine */
	int			warmup_steps;
	double		warmup_init;	/* learning rate at step 0 of the warm-up */
	double		beta1;
	double		beta2;
	double		epsilon;
	int			adam_variant;	/* 0 kingma, 1 fairseq */
	double		weight_decay;
	double		clip_norm;		/* 0: none */
	double		label_smoothing;
	int			label_smoothing_variant;	/* 0 fairseq (V-1), 1 uniform (V) */
	double		dropout;
	double		attention_dropout;
	double		activation_dropout;
	int			batch_tokens;	/* target tokens of one batch, padding none */
	int			accumulate;		/* batches an update */
	int64_t		seed;
	char		precision[RN_NAME_LENGTH];	/* float32 | ... */

	/* length; 0: no such bound */
	int64_t		max_steps;
	double		max_epochs;
	int			max_epochs_given;	/* else it is 0 where another bound is set */
	double		max_minutes;
	int			patience;		/* validations without a better one */

	/* validation */
	char		validation[256];	/* table name, or a fraction held out ("0.02"), or "0" */
	int			validate_every; /* steps; 0: once an epoch */
	int			metric;			/* 0 loss, 1 bleu: what best means */
	int			validation_beam;

	/* running */
	char		device[RN_NAME_LENGTH];
	int			threads;
	int			checkpoint_every;	/* steps; 0: only at the end */
	int			keep_checkpoints;	/* how many stay, for residual_resume */
	int			average_checkpoints;	/* 0 or 1: none */
	int			stats_every;	/* steps; 0: only at step 0 */
	char		from[RN_NAME_LENGTH];	/* "", "active" or a version: go on from its weights */
	int			activate;		/* put the new version in service */
	int			shortlist;		/* the new version gets one */
	int			shortlist_frequent;	/* target pieces in every set of it */
	int			shortlist_best;	/* and of each source piece */
} RnConfig;

typedef enum RnOptionType
{
	RN_OPTION_BOOLEAN,
	RN_OPTION_INTEGER,
	RN_OPTION_NUMBER,
	RN_OPTION_CHOICE,			/* stored as int, the position in choices */
	RN_OPTION_TEXT,
	RN_OPTION_PAIRS				/* of texts; kept by whoever reads them */
} RnOptionType;

typedef enum RnOptionGroup
{
	RN_GROUP_MODEL,				/* part of the model, recorded with its weights */
	RN_GROUP_TEXT,				/* part of the model as well */
	RN_GROUP_OPTIMISATION,
	RN_GROUP_LENGTH,
	RN_GROUP_VALIDATION,
	RN_GROUP_RUNNING,
	RN_GROUP_TRANSLATION		/* translate/search_options.h: of a call, not of a model */
} RnOptionGroup;

/* A line of the table; residual_options shows these columns. */
typedef struct RnOption
{
	const char *name;
	RnOptionGroup group;
	RnOptionType type;
	const char *default_text;
	const char *minimum;		/* as text, or NULL */
	const char *maximum;
	const char *const *choices; /* NULL-terminated, or NULL */
	const char *unit;			/* "", "steps", "tokens", ... */
	const char *meaning;		/* a sentence */
	size_t		offset;			/* in RnConfig (RnSearchOptions for those of translation) */
	size_t		size;			/* of the field */
	size_t		offset_too;		/* a shorthand sets this field as well; 0: none */
} RnOption;

/* All options in the order of documentation; *n of them. */
extern const RnOption *rn_options(int *n);
extern const char *rn_option_group_name(RnOptionGroup group);
extern const char *rn_option_type_name(RnOptionType type);

/* The option, or NULL; and the name nearest to a wrong one (edit distance), or NULL when none is near. */
extern const RnOption *rn_option_find(const char *name);
extern const char *rn_option_nearest(const char *name);

extern void rn_config_defaults(RnConfig *config);

/*
 * Set one option from text: RN_INVALID with the range and the nearest key or
 * choice as a hint.  "scheme" sets both stacks' scheme, "layers" both depths:
 * whoever sets several options sets these first (jsonb's key order does).
 * A number that is not wholly consumed, NaN or infinite is invalid.
 */
extern RnStatus rn_config_set(RnContext *ctx, RnConfig *config, const char *key, const char *value);

/* Else (architecture "decoder") there is only a decoder. */
extern int	rn_config_has_encoder(const RnConfig *config);

/* What single options cannot tell: d_model % heads, a scheme's own parameters, lengths without any bound, ... */
extern RnStatus rn_config_check(RnContext *ctx, const RnConfig *config);

/*
 * The value as text that rn_config_set reads back exactly; buffer of at least
 * 256.  A shorthand whose two fields differ gives the empty string: skip
 * shorthands when storing a configuration.
 */
extern void rn_config_get(const RnConfig *config, const RnOption *option, char *buffer, size_t size);

/* Does it have its default value? */
extern int	rn_config_is_default(const RnConfig *config, const RnOption *option);

#endif							/* RN_CONFIG_H */
