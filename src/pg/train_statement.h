/*
 * train_statement.h
 *		Statements of a training worker about its job.
 *
 * src/pg/train_statement.h
 */
#ifndef RES_TRAIN_STATEMENT_H
#define RES_TRAIN_STATEMENT_H

#include "training.h"

#define RES_STATEMENT_MOST	16

/* Parameters of a statement, in order; $1 is the job. */
typedef struct ResStatement
{
	int			n;
	Oid			types[RES_STATEMENT_MOST];
	Datum		values[RES_STATEMENT_MOST];
	char		nulls[RES_STATEMENT_MOST];
} ResStatement;

extern void res_statement_begin(ResStatement *statement, const ResTraining *training);
extern void res_statement_value(ResStatement *statement, Oid type, Datum value, bool is_null);
extern void res_statement_integer(ResStatement *statement, int64 value);

/* A NaN is NULL. */
extern void res_statement_number(ResStatement *statement, double value);

/* "" is NULL. */
extern void res_statement_string(ResStatement *statement, const char *utf8);

/* In the open transaction; ERROR 42704 when no row was touched: the job's row goes with a dropped extension. */
extern void res_statement_execute(const char *sql, const ResStatement *statement);

/* In a transaction of its own. */
extern void res_statement_report(const ResTraining *training, const char *sql, const ResStatement *statement);

#endif							/* RES_TRAIN_STATEMENT_H */
