/*
 * train_statement.c
 *		Statements of a training worker about its job.
 *
 * src/pg/train_statement.c
 */
#include "train_statement.h"

#include <math.h>

#include "catalog/pg_type.h"

#include "encoding.h"

void
res_statement_begin(ResStatement *statement, const ResTraining *training)
{
	statement->n = 0;
	res_statement_integer(statement, training->job.id);
}

void
res_statement_value(ResStatement *statement, Oid type, Datum value, bool is_null)
{
	Assert(statement->n < RES_STATEMENT_MOST);
	statement->types[statement->n] = type;
	statement->values[statement->n] = value;
	statement->nulls[statement->n] = is_null ? 'n' : ' ';
	statement->n++;
}

void
res_statement_integer(ResStatement *statement, int64 value)
{
	res_statement_value(statement, INT8OID, Int64GetDatum(value), false);
}

void
res_statement_number(ResStatement *statement, double value)
{
	res_statement_value(statement, FLOAT8OID, Float8GetDatum(value), isnan(value));
}

void
res_statement_string(ResStatement *statement, const char *utf8)
{
	res_statement_value(statement, TEXTOID, PointerGetDatum(res_text_from_utf8(utf8, strlen(utf8))), utf8[0] == '\0');
}

void
res_statement_execute(const char *sql, const ResStatement *statement)
{
	ResCatalog	catalog;
	uint64		rows;

	res_catalog_begin(&catalog, false);
	rows = res_execute(&catalog, sql, statement->n, statement->types, statement->values, statement->nulls);
	res_catalog_end(&catalog);
	if (rows == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the job has been removed while it was running")));
}

void
res_statement_report(const ResTraining *training, const char *sql, const ResStatement *statement)
{
	res_training_begin_report(training);
	res_statement_execute(sql, statement);
	res_training_commit();
}
