/*
 * batch_guard.c
 *		When is an expression evaluated at all?  Conditions, as expressions,
 *		that are true exactly for the rows where it is.
 *
 * src/pg/batch_guard.c
 */
#include "batch_guard.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"

Expr *
res_guard_null(NullTestType test, const Expr *expression)
{
	NullTest   *result = makeNode(NullTest);

	result->arg = copyObject(unconstify(Expr *, expression));
	result->nulltesttype = test;
	result->argisrow = false;	/* of a row, too, it is the whole that is NULL or not */
	result->location = -1;
	return (Expr *) result;
}

/* It is true or false, never NULL. */
static bool
is_decided(const Expr *expression)
{
	return IsA(expression, NullTest) || IsA(expression, BooleanTest);
}

Expr *
res_guard_truth(BoolTestType test, const Expr *expression)
{
	const NullTest *inner = (const NullTest *) expression;
	BooleanTest *result;

	if (is_decided(expression) && (test == IS_TRUE || test == IS_NOT_FALSE))
		return copyObject(unconstify(Expr *, expression));
	if (IsA(inner, NullTest) && !inner->argisrow && (test == IS_FALSE || test == IS_NOT_TRUE))
		return res_guard_null(inner->nulltesttype == IS_NULL ? IS_NOT_NULL : IS_NULL, inner->arg);
	result = makeNode(BooleanTest);
	result->arg = copyObject(unconstify(Expr *, expression));
	result->booltesttype = test;
	result->location = -1;
	return (Expr *) result;
}

/* The value of the CASE (or of the coercion) around it: a mutator that leaves those of inner ones. */
static Node *
put_value(Node *node, void *value)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, CaseTestExpr))
		return copyObject(value);
	if (IsA(node, CaseExpr) && ((CaseExpr *) node)->arg != NULL)
	{
		CaseExpr   *copy = copyObject((CaseExpr *) node);

		copy->arg = (Expr *) put_value((Node *) copy->arg, value);
		return (Node *) copy;
	}
	if (IsA(node, ArrayCoerceExpr))
	{
		ArrayCoerceExpr *copy = copyObject((ArrayCoerceExpr *) node);

		copy->arg = (Expr *) put_value((Node *) copy->arg, value);
		return (Node *) copy;
	}
	return expression_tree_mutator(node, put_value, value);
}

Expr *
res_guard_when(const CaseExpr *expression, const CaseWhen *when)
{
	if (expression->arg == NULL)
		return copyObject(when->expr);
	return (Expr *) put_value((Node *) when->expr, expression->arg);
}

/* AND goes on behind a NULL: all but the last must be true or false. */
static Expr *
all_of(const List *guards)
{
	List	   *conditions = NIL;
	ListCell   *cell;

	foreach(cell, guards)
	{
		Expr	   *guard = lfirst(cell);

		conditions = lappend(conditions, lnext(guards, cell) == NULL ? copyObject(guard) : res_guard_truth(IS_TRUE, guard));
	}
	return make_ands_explicit(conditions);
}

Expr *
res_guarded(const List *guards, Expr *call)
{
	CaseExpr   *result;
	CaseWhen   *when;

	if (guards == NIL)
		return call;
	result = makeNode(CaseExpr);
	when = makeNode(CaseWhen);
	when->expr = all_of(guards);
	when->result = call;
	when->location = -1;
	result->casetype = exprType((Node *) call);
	result->casecollid = exprCollation((Node *) call);
	result->args = list_make1(when);
	result->defresult = (Expr *) makeNullConst(result->casetype, exprTypmod((Node *) call), result->casecollid);
	result->location = -1;
	return (Expr *) result;
}

FuncExpr *
res_guarded_call(Expr *expression, Expr **guard)
{
	CaseWhen   *when;

	*guard = NULL;
	if (!IsA(expression, CaseExpr))
		return castNode(FuncExpr, expression);
	when = linitial_node(CaseWhen, castNode(CaseExpr, expression)->args);
	*guard = when->expr;
	return castNode(FuncExpr, when->result);
}
