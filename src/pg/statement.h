/*
 * statement.h
 *		Parameters of a statement on the extension's tables.
 *
 * src/pg/statement.h
 */
#ifndef RES_STATEMENT_H
#define RES_STATEMENT_H

#include "residual.h"

#define RES_MAX_PARAMETERS	16

typedef struct ResStatement
{
	int			n;
	Oid			types[RES_MAX_PARAMETERS];
	Datum		values[RES_MAX_PARAMETERS];
	char		nulls[RES_MAX_PARAMETERS];	/* 'n' or ' ' */
} ResStatement;

/* Without parameters; then $1, $2, ... in the order of the calls. */
extern void res_statement_begin(ResStatement *statement);
extern void res_statement_integer(ResStatement *statement, int64 value);	/* bigint */
extern void res_statement_null(ResStatement *statement, Oid type);
extern void res_statement_number(ResStatement *statement, double value);	/* NaN: NULL */
extern void res_statement_boolean(ResStatement *statement, bool value);

/* text; NULL or empty: NULL */
extern void res_statement_text(ResStatement *statement, const char *value);
extern void res_statement_utf8(ResStatement *statement, const char *value);

/* Run it as the extension's owner; gives the rows it processed. */
extern uint64 res_statement_execute(const ResStatement *statement, const char *sql);

#endif							/* RES_STATEMENT_H */
