/*
 * translation.h
 *		What a call translates with, looked up once and used for many texts.
 *
 * A function keeps a ResTranslator in fn_extra (a plan node in its state) and
 * prepares it before each use.  Preparing costs a comparison while model,
 * options, user and snapshot are those of the time before, so ten thousand
 * rows cost one look at the catalog; what a later statement may see, it sees.
 *
 * src/pg/translation.h
 */
#ifndef RES_TRANSLATION_H
#define RES_TRANSLATION_H

#include "model_catalog.h"

#include "fmgr.h"
#include "nodes/pg_list.h"

#include "translate/search_options.h"
#include "wire/protocol.h"

#include "terms.h"

/* Bytes of a text that are sent at most; a model takes in far less. */
#define RES_SENT_MAX	(1024 * 1024)

typedef struct ResTranslator
{
	MemoryContext context;		/* holds what is below; emptied by a new look */
	bool		prepared;
	ResModel	model;
	RnSearchOptions search;		/* of the options given, and of n_best */
	List	   *pairs;			/* options given: key, text of value, key, ... */
	ResTerms	terms;
	bool		normalize;		/* of residual_score */
	bool		cut_reported;	/* one warning a statement is enough */

	/* as long as all of this is the same, so is what is above */
	RnTask		task;
	char	   *name;
	Jsonb	   *options;
	int			precision;		/* residual.precision */
	Oid			user;
	SubTransactionId subtransaction;
	struct SnapshotData *snapshot;	/* a copy of what it was */
} ResTranslator;

/* The one of a function call, made when it is not there yet. */
extern ResTranslator *res_translator_of(FmgrInfo *function);
extern ResTranslator *res_translator_create(MemoryContext home);
extern void res_translator_free(ResTranslator *translator);

/*
 * Find the model (NULL: residual.default_model), check the user's rights and
 * the options (NULL: none) of the task.  Errors: 42704 no such model, 42501,
 * 55000 no version in service or no default model, 22023 options.
 */
extern void res_translator_prepare(ResTranslator *translator, RnTask task, const char *name, Jsonb *options);

/* Ask for the n best answers, with a beam at least as wide unless the options say otherwise; ERROR 22023. */
extern void res_translator_set_n_best(ResTranslator *translator, int n);

typedef struct ResAnswer
{
	text	   *translation;	/* NULL: the search found fewer */
	double		score;			/* log-probability / length ^ length_penalty */
	double		log_probability;
	uint32		tokens;			/* end included */
	bool		cut;			/* the text was too long: its end was left out */

	/* where search.token_scores asks for them, else NULL */
	Datum	   *pieces;			/* [tokens] text */
	Datum	   *token_scores;	/* [tokens] float8 */
} ResAnswer;

/*
 * Translate n texts in as few requests as is reasonable; answers [n * n_best]
 * of search.n_best, palloc'd.  A text that had to be cut gives a WARNING, the
 * first of a statement only.
 */
extern ResAnswer *res_translate(ResTranslator *translator, int n, text *const *sources);

/* n_cut of n texts were cut: the WARNING, if there is none yet. */
extern void res_translator_report_cut(ResTranslator *translator, int n_cut, int n);

/* log p(target | source), end included, and tokens of each pair: 0 where the target is longer than the model takes in. */
extern void res_score(ResTranslator *translator, int n, text *const *sources, text *const *targets,
					  double *log_probabilities, uint32 *tokens);

/* Pieces that the model takes in of a text, as its configuration says (its end counts as one); 0: it does not. */
extern int	res_translator_longest(const ResTranslator *translator);

/* How the tasks with one text begin: the text is written, the answer's counts are still to be read. */
extern void res_ask_about_text(ResTranslator *translator, text *source, RnReader *reader);

/* Write options and the number of texts to come; then each with res_write_text. */
extern RnWriter *res_translator_request(ResTranslator *translator, int n_texts);
extern bool res_write_text(RnWriter *writer, const text *value);	/* false: it was cut */
extern void res_check_answers(uint32 got, uint32 expected);

#endif							/* RES_TRANSLATION_H */
