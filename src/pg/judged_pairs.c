/*
 * judged_pairs.c
 *		Sentence pairs of a table, for functions that translate and judge them.
 *
 * src/pg/judged_pairs.c
 */
#include "judged_pairs.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "base/utf8.h"
#include "encoding.h"

#define PAGE_ROWS	512

/* ---------- options ---------- */

char *
res_take_option(Jsonb **options, const char *key)
{
	Datum		name = CStringGetTextDatum(key);
	Datum		value;
	LOCAL_FCINFO(get, 2);

	if (!JB_ROOT_IS_OBJECT(*options))
		return NULL;
	InitFunctionCallInfoData(*get, NULL, 2, InvalidOid, NULL, NULL);
	get->args[0].value = JsonbPGetDatum(*options);
	get->args[0].isnull = false;
	get->args[1].value = name;
	get->args[1].isnull = false;
	value = jsonb_object_field_text(get);
	if (get->isnull)
		return NULL;
	*options = DatumGetJsonbP(DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(*options), name));
	return TextDatumGetCString(value);
}

int64
res_take_limit(Jsonb **options)
{
	char	   *given = res_take_option(options, "limit");
	char	   *end;
	long long	limit;

	if (given == NULL)
		return 0;
	errno = 0;
	limit = strtoll(given, &end, 10);
	if (end == given || *end != '\0' || errno != 0 || limit < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"limit\": \"%s\"", given),
				 errhint("It is how many rows to read at most, from 1.")));
	return limit;
}

/* ---------- pages ---------- */

static Portal
open_pairs(const char *table, const char *source, const char *target, int64 limit)
{
	char	   *query = psprintf("SELECT %s::pg_catalog.text, %s::pg_catalog.text FROM %s",
								 quote_identifier(source), quote_identifier(target), table);

	if (limit > 0)
		query = psprintf("%s LIMIT " INT64_FORMAT, query, limit);
	return SPI_cursor_open_with_args(NULL, query, 0, NULL, NULL, NULL, true, CURSOR_OPT_NO_SCROLL);
}

/* A side of a pair; NULL when there is nothing to see in it. */
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

/* Gives the rows left out. */
static int64
read_page(SPITupleTable *rows, uint64 n_rows, ResPairPage page, void *arg)
{
	text	  **sources = palloc(n_rows * sizeof(text *));
	text	  **targets = palloc(n_rows * sizeof(text *));
	int			n = 0;
	uint64		i;

	for (i = 0; i < n_rows; i++)
	{
		sources[n] = read_side(rows->vals[i], rows->tupdesc, 1);
		targets[n] = read_side(rows->vals[i], rows->tupdesc, 2);
		if (sources[n] != NULL && targets[n] != NULL)
			n++;
	}
	if (n > 0)
		page(arg, n, sources, targets);
	return (int64) n_rows - n;
}

int64
res_judged_pairs_each(const char *table, const char *source, const char *target, int64 limit,
					  ResPairPage page, void *arg)
{
	MemoryContext context;
	Portal		portal;
	int64		skipped = 0;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to the server programming interface");
	context = AllocSetContextCreate(CurrentMemoryContext, "page of pairs", ALLOCSET_DEFAULT_SIZES);
	portal = open_pairs(table, source, target, limit);
	for (;;)
	{
		MemoryContext before;
		SPITupleTable *rows;

		SPI_cursor_fetch(portal, true, PAGE_ROWS);
		rows = SPI_tuptable;
		if (SPI_processed == 0)
			break;
		before = MemoryContextSwitchTo(context);
		skipped += read_page(rows, SPI_processed, page, arg);
		MemoryContextSwitchTo(before);
		MemoryContextReset(context);
		SPI_freetuptable(rows);
	}
	SPI_cursor_close(portal);
	SPI_finish();
	return skipped;
}

void
res_no_judged_pairs(const char *table, int64 skipped)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("there is no sentence pair in %s", table),
			 errdetail("Rows that were skipped because a side is NULL or empty: " INT64_FORMAT ".", skipped),
			 errhint("Row-level security may hide rows.")));
}

/* ---------- judging ---------- */

void
res_judge(RnJudgement *judgement, const text *hypothesis, const text *reference)
{
	RnContext	ctx;
	Size		hypothesis_size = 0;
	Size		reference_size;
	const char *hypothesis_bytes = hypothesis != NULL ? res_text_to_utf8(hypothesis, &hypothesis_size) : "";
	const char *reference_bytes = res_text_to_utf8(reference, &reference_size);

	rn_context_reset(&ctx);
	if (rn_judge(&ctx, judgement, hypothesis_bytes, hypothesis_size, reference_bytes, reference_size) != RN_OK)
		res_report(&ctx);
}
