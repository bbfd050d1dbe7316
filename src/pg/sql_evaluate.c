/*
 * sql_evaluate.c
 *		residual_evaluate: translate a table's rows and judge.
 *
 * Rows are read as the caller, a page at a time, so memory does not grow with
 * the table.  A page is translated and scored before the next is read.
 *
 * src/pg/sql_evaluate.c
 */
#include "translation.h"

#include <math.h>

#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "base/utf8.h"
#include "corpus.h"
#include "encoding.h"
#include "score/bleu.h"
#include "score/chrf.h"

PG_FUNCTION_INFO_V1(residual_evaluate);

#define PAGE_ROWS	512

typedef struct Evaluation
{
	ResTranslator *translating;
	ResTranslator *scoring;
	int64		sentences;
	int64		skipped;		/* a side NULL or without a visible character */
	double		log_probability;	/* of all references */
	double		tokens;
	double		seconds;		/* of translating */
	RnBleu		bleu;
	RnChrf		chrf;
} Evaluation;

/* ---------- options and table ---------- */

/* The option "limit", 0 when there is none; *rest is what is left for the search. */
static int64
take_limit(Jsonb *options, Jsonb **rest)
{
	Datum		key = CStringGetTextDatum("limit");
	Datum		value;
	LOCAL_FCINFO(get, 2);
	char	   *given;
	char	   *end;
	long long	limit;

	*rest = options;
	if (!JB_ROOT_IS_OBJECT(options))
		return 0;				/* for the search to complain */
	InitFunctionCallInfoData(*get, NULL, 2, InvalidOid, NULL, NULL);
	get->args[0].value = JsonbPGetDatum(options);
	get->args[0].isnull = false;
	get->args[1].value = key;
	get->args[1].isnull = false;
	value = jsonb_object_field_text(get);
	if (get->isnull)
		return 0;
	given = TextDatumGetCString(value);
	errno = 0;
	limit = strtoll(given, &end, 10);
	if (end == given || *end != '\0' || errno != 0 || limit < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"limit\": \"%s\"", given),
				 errhint("It is how many rows to read at most, from 1.")));
	*rest = DatumGetJsonbP(DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(options), key));
	return limit;
}

static Portal
open_pairs(const char *table, const char *source, const char *target, int64 limit)
{
	char	   *query = psprintf("SELECT %s::pg_catalog.text, %s::pg_catalog.text FROM %s",
								 quote_identifier(source), quote_identifier(target), table);

	if (limit > 0)
		query = psprintf("%s LIMIT " INT64_FORMAT, query, limit);
	return SPI_cursor_open_with_args(NULL, query, 0, NULL, NULL, NULL, true, CURSOR_OPT_NO_SCROLL);
}

/* ---------- a page ---------- */

/* A side of a pair, cut to what may be sent; NULL when there is nothing to see in it. */
static text *
read_side(HeapTuple row, TupleDesc columns, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(row, columns, column, &isnull);
	text	   *side;
	Size		size;
	const char *bytes;
	size_t		at = 0;

	if (isnull)
		return NULL;
	side = DatumGetTextPP(value);
	bytes = res_text_to_utf8(side, &size);
	while (at < size)
	{
		if (!rn_utf8_is_space(rn_utf8_next(bytes, size, &at)))
			return side;
	}
	return NULL;
}

static void
judge(Evaluation *evaluation, const text *hypothesis, const text *reference)
{
	RnContext	ctx;
	Size		hypothesis_size;
	Size		reference_size;
	const char *hypothesis_bytes = res_text_to_utf8(hypothesis, &hypothesis_size);
	const char *reference_bytes = res_text_to_utf8(reference, &reference_size);

	rn_context_reset(&ctx);
	if (rn_bleu_add(&ctx, &evaluation->bleu, hypothesis_bytes, hypothesis_size, reference_bytes, reference_size) != RN_OK ||
		rn_chrf_add(&ctx, &evaluation->chrf, hypothesis_bytes, hypothesis_size, reference_bytes, reference_size) != RN_OK)
		res_report(&ctx);
}

static void
evaluate_page(Evaluation *evaluation, SPITupleTable *rows, uint64 n_rows)
{
	text	  **sources = palloc(n_rows * sizeof(text *));
	text	  **targets = palloc(n_rows * sizeof(text *));
	double	   *log_probabilities = palloc(n_rows * sizeof(double));
	uint32	   *tokens = palloc(n_rows * sizeof(uint32));
	ResAnswer  *answers;
	instr_time	begin;
	instr_time	end;
	int			n = 0;
	uint64		i;

	for (i = 0; i < n_rows; i++)
	{
		sources[n] = read_side(rows->vals[i], rows->tupdesc, 1);
		targets[n] = read_side(rows->vals[i], rows->tupdesc, 2);
		if (sources[n] != NULL && targets[n] != NULL)
			n++;
		else
			evaluation->skipped++;
	}
	INSTR_TIME_SET_CURRENT(begin);
	answers = res_translate(evaluation->translating, n, sources);
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, begin);
	evaluation->seconds += INSTR_TIME_GET_DOUBLE(end);
	res_score(evaluation->scoring, n, sources, targets, log_probabilities, tokens);
	for (i = 0; i < n; i++)
	{
		judge(evaluation, answers[i].translation != NULL ? answers[i].translation : cstring_to_text(""), targets[i]);
		evaluation->log_probability += log_probabilities[i];
		evaluation->tokens += tokens[i];
	}
	evaluation->sentences += n;
}

static void
evaluate_rows(Evaluation *evaluation, Portal portal)
{
	MemoryContext page = AllocSetContextCreate(CurrentMemoryContext, "evaluated page", ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		MemoryContext before;
		SPITupleTable *rows;

		SPI_cursor_fetch(portal, true, PAGE_ROWS);
		rows = SPI_tuptable;
		if (SPI_processed == 0)
			break;
		before = MemoryContextSwitchTo(page);
		evaluate_page(evaluation, rows, SPI_processed);
		MemoryContextSwitchTo(before);
		MemoryContextReset(page);
		SPI_freetuptable(rows);
	}
	MemoryContextDelete(page);
}

/* ---------- the function ---------- */

static void
put_metric(ReturnSetInfo *result, const char *metric, double value)
{
	Datum		values[2];
	bool		nulls[2] = {false, false};

	values[0] = CStringGetTextDatum(metric);
	values[1] = Float8GetDatum(value);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
check_arguments(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {"model", "corpus", "source", "target", "options"};
	int			i;

	for (i = 0; i < lengthof(names); i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not be NULL", names[i])));
	}
}

Datum
residual_evaluate(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Evaluation	evaluation;
	char	   *name;
	char	   *source;
	char	   *target;
	char	   *table;
	Jsonb	   *search;
	int64		limit;
	Portal		portal;
	double		loss;

	check_arguments(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	source = NameStr(*PG_GETARG_NAME(2));
	target = NameStr(*PG_GETARG_NAME(3));
	memset(&evaluation, 0, sizeof(evaluation));
	limit = take_limit(PG_GETARG_JSONB_P(4), &search);
	evaluation.translating = res_translator_create(CurrentMemoryContext);
	evaluation.scoring = res_translator_create(CurrentMemoryContext);
	res_translator_prepare(evaluation.translating, RN_TASK_TRANSLATE, name, search);
	res_translator_prepare(evaluation.scoring, RN_TASK_SCORE, name, NULL);
	table = res_corpus_check(PG_GETARG_OID(1), source, target);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to the server programming interface");
	portal = open_pairs(table, source, target, limit);
	evaluate_rows(&evaluation, portal);
	SPI_cursor_close(portal);
	SPI_finish();
	if (evaluation.sentences == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("there is no sentence pair in %s", table),
				 errdetail("Rows that were skipped because a side is NULL or empty: " INT64_FORMAT ".",
						   evaluation.skipped),
				 errhint("Row-level security may hide rows.")));

	loss = -evaluation.log_probability / evaluation.tokens;
	put_metric(result, "sentences", (double) evaluation.sentences);
	put_metric(result, "skipped", (double) evaluation.skipped);
	put_metric(result, "loss", loss);
	put_metric(result, "perplexity", exp(loss));
	put_metric(result, "bleu", rn_bleu_score(&evaluation.bleu));
	put_metric(result, "chrf", rn_chrf_score(&evaluation.chrf));
	put_metric(result, "sentences_per_second", evaluation.sentences / evaluation.seconds);
	return (Datum) 0;
}
