/*
 * batch_guard.h
 *		When is an expression evaluated at all?  Conditions, as expressions,
 *		that are true exactly for the rows where it is.
 *
 * A list of guards is one condition: each is evaluated only where those before
 * it are true, as SQL would have done.
 *
 * src/pg/batch_guard.h
 */
#ifndef RES_BATCH_GUARD_H
#define RES_BATCH_GUARD_H

#include "residual.h"

#include "nodes/pg_list.h"
#include "nodes/primnodes.h"

/* What comes behind it is evaluated where it is (not) NULL, or where it is (not) true or false. */
extern Expr *res_guard_null(NullTestType test, const Expr *expression);
extern Expr *res_guard_truth(BoolTestType test, const Expr *expression);

/* The condition of a WHEN, without the value of its CASE that may be in it. */
extern Expr *res_guard_when(const CaseExpr *expression, const CaseWhen *when);

/* CASE WHEN all of the guards THEN call END; the call where there are none. */
extern Expr *res_guarded(const List *guards, Expr *call);

/* Such an expression's call, and its guard: NULL where there is none. */
extern FuncExpr *res_guarded_call(Expr *expression, Expr **guard);

#endif							/* RES_BATCH_GUARD_H */
