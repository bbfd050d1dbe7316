/*
 * sql_evaluate.c
 *		residual_evaluate: translate a table's rows and judge.
 *
 * A page of rows is translated and scored before the next is read, so memory
 * does not grow with the table.
 *
 * src/pg/sql_evaluate.c
 */
#include "translation.h"

#include <math.h>

#include "fmgr.h"
#include "funcapi.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "corpus.h"
#include "judged_pairs.h"

PG_FUNCTION_INFO_V1(residual_evaluate);

typedef struct Evaluation
{
	ResTranslator *translating;
	ResTranslator *scoring;
	int64		sentences;
	int64		unscored;		/* of them, with a reference that the model cannot take in */
	double		log_probability;	/* of all other references */
	double		tokens;
	double		seconds;		/* of translating */
	RnJudgement judgement;
} Evaluation;

/* ---------- a page ---------- */

static void
evaluate_page(void *arg, int n, text **sources, text **targets)
{
	Evaluation *evaluation = arg;
	double	   *log_probabilities = palloc(n * sizeof(double));
	uint32	   *tokens = palloc(n * sizeof(uint32));
	ResAnswer  *answers;
	instr_time	begin;
	instr_time	end;
	int			i;

	INSTR_TIME_SET_CURRENT(begin);
	answers = res_translate(evaluation->translating, n, sources);
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, begin);
	evaluation->seconds += INSTR_TIME_GET_DOUBLE(end);
	res_score(evaluation->scoring, n, sources, targets, log_probabilities, tokens);
	for (i = 0; i < n; i++)
	{
		res_judge(&evaluation->judgement, answers[i].translation, targets[i]);
		evaluation->log_probability += log_probabilities[i];
		evaluation->tokens += tokens[i];
		evaluation->unscored += tokens[i] == 0;
	}
	evaluation->sentences += n;
}

/* ---------- the function ---------- */

/* NaN: there is none, NULL. */
static void
put_metric(ReturnSetInfo *result, const char *metric, double value)
{
	Datum		values[2];
	bool		nulls[2] = {false, isnan(value)};

	values[0] = CStringGetTextDatum(metric);
	values[1] = Float8GetDatum(value);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
residual_evaluate(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"model", "corpus", "source", "target", "options"};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Evaluation	evaluation;
	char	   *name;
	char	   *source;
	char	   *target;
	char	   *table;
	Jsonb	   *search;
	int64		limit;
	int64		skipped;
	double		loss;
	int			measure;

	res_check_arguments(fcinfo, arguments, lengthof(arguments));
	InitMaterializedSRF(fcinfo, 0);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	source = NameStr(*PG_GETARG_NAME(2));
	target = NameStr(*PG_GETARG_NAME(3));
	memset(&evaluation, 0, sizeof(evaluation));
	search = PG_GETARG_JSONB_P(4);
	limit = res_take_limit(&search);
	evaluation.translating = res_translator_create(CurrentMemoryContext);
	evaluation.scoring = res_translator_create(CurrentMemoryContext);
	res_translator_prepare(evaluation.translating, RN_TASK_TRANSLATE, name, search);
	res_translator_prepare(evaluation.scoring, RN_TASK_SCORE, name, NULL);
	table = res_corpus_check(PG_GETARG_OID(1), source, target);

	skipped = res_judged_pairs_each(table, source, target, limit, evaluate_page, &evaluation);
	if (evaluation.sentences == 0)
		res_no_judged_pairs(table, skipped);

	if (evaluation.unscored > 0)
		ereport(WARNING,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg(INT64_FORMAT " of " INT64_FORMAT " references are too long for model \"%s\"", evaluation.unscored,
						evaluation.sentences, name),
				 errdetail("The model takes at most %d pieces of a target: loss and perplexity are those of the other pairs.",
						   res_translator_longest(evaluation.scoring) - 1)));
	loss = evaluation.tokens > 0 ? -evaluation.log_probability / evaluation.tokens : NAN;
	put_metric(result, "sentences", (double) evaluation.sentences);
	put_metric(result, "skipped", (double) skipped);
	put_metric(result, "unscored", (double) evaluation.unscored);
	put_metric(result, "loss", loss);
	put_metric(result, "perplexity", exp(loss));
	for (measure = 0; measure < RN_MEASURES; measure++)
		put_metric(result, rn_measure_name(measure), rn_judgement_score(&evaluation.judgement, measure));
	put_metric(result, "sentences_per_second", evaluation.sentences / evaluation.seconds);
	return (Datum) 0;
}
