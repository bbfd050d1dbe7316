/*
 * sql_compare.c
 *		residual_compare: is one model better than another, or is it chance?
 *
 * Both models translate the same rows; each sentence is judged once, and the
 * resamples only add up counts.  The same over texts that are there already.
 *
 * src/pg/sql_compare.c
 */
#include "translation.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "corpus.h"
#include "judged_pairs.h"
#include "options.h"
#include "score/bootstrap.h"

PG_FUNCTION_INFO_V1(residual_compare);
PG_FUNCTION_INFO_V1(residual_compare_texts);

#define SAMPLES			1000	/* sacreBLEU's default, as is the seed */
#define SEED			12345
#define CONFIDENCE		0.95
#define SAMPLES_MAX		1000000

typedef struct Comparison
{
	/* options */
	int64		samples;
	uint64		seed;
	double		confidence;

	/* systems */
	ResTranslator *translators[2];	/* NULL where texts are given */

	/* sentence by sentence */
	MemoryContext context;		/* of the judgements */
	RnJudgement *judgements[2];
	uint32		n;
	uint32		room;
} Comparison;

/* ---------- options ---------- */

static double
take_number(Jsonb **options, const char *key, double otherwise, double least, double most, bool whole,
			const char *hint)
{
	char	   *given = res_take_option(options, key);
	char	   *end;
	double		value;

	if (given == NULL)
		return otherwise;
	value = strtod(given, &end);
	if (end == given || *end != '\0' || !(value >= least && value <= most) || (whole && value != floor(value)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", key, given),
				 errhint("%s", hint)));
	return value;
}

static void
take_options(Comparison *comparison, Jsonb **options)
{
	comparison->samples = (int64) take_number(options, "samples", SAMPLES, 1, SAMPLES_MAX, true,
											  "It is how many resamples to draw, from 1 to 1000000.");
	comparison->seed = (uint64) take_number(options, "seed", SEED, 0, 9007199254740992.0, true,
											"It is a whole number, not negative.");
	comparison->confidence = take_number(options, "confidence", CONFIDENCE, 0.01, 0.9999, false,
										 "It is the share of resamples within the interval, from 0.01 to 0.9999.");
}

/* Where there is nothing to search for, no further option has a meaning. */
static void
refuse_option(void *arg, const char *key, const char *value)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized option \"%s\" of a comparison of texts", key),
			 errhint("The options are \"samples\", \"seed\" and \"confidence\".")));
}

/* ---------- judging ---------- */

static void
add_sentence(Comparison *comparison, text *const hypotheses[2], const text *reference)
{
	int			system;

	if (comparison->n == PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("there are more than %d sentences to compare", PG_INT32_MAX)));
	if (comparison->n == comparison->room)
	{
		comparison->room = Max(2 * comparison->room, 1024);
		for (system = 0; system < 2; system++)
		{
			Size		size = comparison->room * sizeof(RnJudgement);

			comparison->judgements[system] = comparison->n == 0 ?
				MemoryContextAllocHuge(comparison->context, size) :
				repalloc_huge(comparison->judgements[system], size);
		}
	}
	for (system = 0; system < 2; system++)
	{
		RnJudgement *judgement = &comparison->judgements[system][comparison->n];

		memset(judgement, 0, sizeof(*judgement));
		res_judge(judgement, hypotheses[system], reference);
	}
	comparison->n++;
}

static void
compare_page(void *arg, int n, text **sources, text **targets)
{
	Comparison *comparison = arg;
	ResAnswer  *answers[2];
	int			i;

	for (i = 0; i < 2; i++)
		answers[i] = res_translate(comparison->translators[i], n, sources);
	for (i = 0; i < n; i++)
	{
		text	   *hypotheses[2] = {answers[0][i].translation, answers[1][i].translation};

		add_sentence(comparison, hypotheses, targets[i]);
	}
}

/* ---------- the answer ---------- */

static void
put_row(ReturnSetInfo *result, const Comparison *comparison, const RnPairedScores *whole,
		const RnPairedScores *samples, RnMeasure measure)
{
	RnContext	ctx;
	RnComparison compared;
	Datum		values[9];
	bool		nulls[9] = {false};

	rn_context_reset(&ctx);
	if (rn_bootstrap_compare(&ctx, whole, samples, comparison->samples, measure, comparison->confidence,
							 &compared) != RN_OK)
		res_report(&ctx);
	values[0] = CStringGetTextDatum(rn_measure_name(measure));
	values[1] = Float8GetDatum(whole->score[0][measure]);
	values[2] = Float8GetDatum(compared.margin[0]);
	values[3] = Float8GetDatum(whole->score[1][measure]);
	values[4] = Float8GetDatum(compared.margin[1]);
	values[5] = Float8GetDatum(compared.difference);
	values[6] = Float8GetDatum(compared.lower);
	values[7] = Float8GetDatum(compared.upper);
	values[8] = Float8GetDatum(compared.p_value);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
put_rows(ReturnSetInfo *result, const Comparison *comparison)
{
	RnPairedScores whole;
	RnPairedScores *samples = palloc_extended(comparison->samples * sizeof(*samples), MCXT_ALLOC_HUGE);
	uint32	   *drawn = palloc_extended(comparison->n * sizeof(*drawn), MCXT_ALLOC_HUGE);
	int64		i;
	int			measure;

	rn_bootstrap_score(comparison->judgements[0], comparison->judgements[1], NULL, comparison->n, &whole);
	for (i = 0; i < comparison->samples; i++)
	{
		CHECK_FOR_INTERRUPTS();
		rn_bootstrap_draw(comparison->seed, (uint32) i, drawn, comparison->n);
		rn_bootstrap_score(comparison->judgements[0], comparison->judgements[1], drawn, comparison->n, &samples[i]);
	}
	for (measure = 0; measure < RN_MEASURES; measure++)
		put_row(result, comparison, &whole, samples, measure);
}

/* ---------- the functions ---------- */

Datum
residual_compare(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"model_1", "model_2", "corpus", "source", "target", "options"};
	Comparison	comparison;
	Jsonb	   *search;
	char	   *source;
	char	   *target;
	char	   *table;
	int64		limit;
	int64		skipped;
	int			i;

	res_check_arguments(fcinfo, names, lengthof(names));
	InitMaterializedSRF(fcinfo, 0);
	memset(&comparison, 0, sizeof(comparison));
	comparison.context = CurrentMemoryContext;
	source = NameStr(*PG_GETARG_NAME(3));
	target = NameStr(*PG_GETARG_NAME(4));
	search = PG_GETARG_JSONB_P(5);
	take_options(&comparison, &search);
	limit = res_take_limit(&search);
	for (i = 0; i < 2; i++)
	{
		comparison.translators[i] = res_translator_create(CurrentMemoryContext);
		res_translator_prepare(comparison.translators[i], RN_TASK_TRANSLATE,
							   text_to_cstring(PG_GETARG_TEXT_PP(i)), search);
	}
	table = res_corpus_check(PG_GETARG_OID(2), source, target);
	skipped = res_judged_pairs_each(table, source, target, limit, compare_page, &comparison);
	if (comparison.n == 0)
		res_no_judged_pairs(table, skipped);
	put_rows((ReturnSetInfo *) fcinfo->resultinfo, &comparison);
	return (Datum) 0;
}

/* Sentences in which one of the three is NULL are left out, as the aggregates do. */
Datum
residual_compare_texts(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"hypotheses_1", "hypotheses_2", "reference_texts", "options"};
	Comparison	comparison;
	Jsonb	   *options;
	Datum	   *texts[3];
	bool	   *nulls[3];
	int			n[3];
	int			i;

	res_check_arguments(fcinfo, names, lengthof(names));
	InitMaterializedSRF(fcinfo, 0);
	memset(&comparison, 0, sizeof(comparison));
	comparison.context = CurrentMemoryContext;
	options = PG_GETARG_JSONB_P(3);
	take_options(&comparison, &options);
	res_options_each(options, refuse_option, NULL);
	for (i = 0; i < 3; i++)
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(i), TEXTOID, -1, false, TYPALIGN_INT, &texts[i], &nulls[i], &n[i]);
	if (n[0] != n[2] || n[1] != n[2])
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("hypotheses and references must be of the same number"),
				 errdetail("There are %d and %d hypotheses to %d references.", n[0], n[1], n[2])));
	for (i = 0; i < n[2]; i++)
	{
		text	   *hypotheses[2];

		CHECK_FOR_INTERRUPTS();
		if (nulls[0][i] || nulls[1][i] || nulls[2][i])
			continue;
		hypotheses[0] = DatumGetTextPP(texts[0][i]);
		hypotheses[1] = DatumGetTextPP(texts[1][i]);
		add_sentence(&comparison, hypotheses, DatumGetTextPP(texts[2][i]));
	}
	if (comparison.n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("there is no sentence to compare")));
	put_rows((ReturnSetInfo *) fcinfo->resultinfo, &comparison);
	return (Datum) 0;
}
