/*
 * statement.c
 *		Parameters of a statement on the extension's tables.
 *
 * src/pg/statement.c
 */
#include "statement.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "encoding.h"

static void
add(ResStatement *statement, Oid type, Datum value, bool is_null)
{
	Assert(statement->n < RES_MAX_PARAMETERS);
	statement->types[statement->n] = type;
	statement->values[statement->n] = value;
	statement->nulls[statement->n] = is_null ? 'n' : ' ';
	statement->n++;
}

void
res_statement_begin(ResStatement *statement)
{
	statement->n = 0;
}

void
res_statement_integer(ResStatement *statement, int64 value)
{
	add(statement, INT8OID, Int64GetDatum(value), false);
}

void
res_statement_null(ResStatement *statement, Oid type)
{
	add(statement, type, (Datum) 0, true);
}

void
res_statement_number(ResStatement *statement, double value)
{
	add(statement, FLOAT8OID, Float8GetDatum(value), isnan(value));
}

void
res_statement_boolean(ResStatement *statement, bool value)
{
	add(statement, BOOLOID, BoolGetDatum(value), false);
}

void
res_statement_text(ResStatement *statement, const char *value)
{
	if (value == NULL || value[0] == '\0')
		res_statement_null(statement, TEXTOID);
	else
		add(statement, TEXTOID, CStringGetTextDatum(value), false);
}

void
res_statement_utf8(ResStatement *statement, const char *value)
{
	if (value[0] == '\0')
		res_statement_null(statement, TEXTOID);
	else
		add(statement, TEXTOID, PointerGetDatum(res_text_from_utf8(value, strlen(value))), false);
}

uint64
res_statement_execute(const ResStatement *statement, const char *sql)
{
	ResCatalog	catalog;
	uint64		rows;

	res_catalog_begin(&catalog, false);
	rows = res_execute(&catalog, sql, statement->n, statement->types, statement->values, statement->nulls);
	res_catalog_end(&catalog);
	return rows;
}
