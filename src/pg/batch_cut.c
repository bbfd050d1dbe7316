/*
 * batch_cut.c
 *		Expressions cut in two: what a plan node gives, and what is made of it
 *		by a node of ours above it.
 *
 * Below remain columns and what only that kind of node can compute; calls
 * become columns of our node, guarded by what decides in SQL whether they are
 * made for a row; everything else stays above them and is evaluated when a row
 * is given out.
 *
 * src/pg/batch_cut.c
 */
#include "batch_cut.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"

#include "batch_call.h"
#include "batch_guard.h"

/* ---------- a target list, cut in two ---------- */

/* What a plan node itself computes: columns, and what only this kind of node can. */
static bool
is_leaf(const Node *node)
{
	return IsA(node, Var) || IsA(node, Aggref) || IsA(node, GroupingFunc) || IsA(node, WindowFunc);
}

/* The child's column that gives it; added where there is none. */
static Var *
child_column(ResCut *cut, Node *leaf)
{
	AttrNumber	number;

	if (cut->keep_columns)
		number = castNode(Var, leaf)->varattno;
	else
	{
		ListCell   *cell;

		number = 0;
		foreach(cell, cut->columns)
		{
			if (equal(lfirst_node(TargetEntry, cell)->expr, leaf))
				number = lfirst_node(TargetEntry, cell)->resno;
		}
		if (number == 0)
		{
			number = list_length(cut->columns) + 1;
			cut->columns = lappend(cut->columns, makeTargetEntry(copyObject((Expr *) leaf), number, NULL, false));
		}
	}
	return makeVar(OUTER_VAR, number, exprType(leaf), exprTypmod(leaf), exprCollation(leaf), 0);
}

static Node *
to_child(Node *node, ResCut *cut)
{
	if (node == NULL)
		return NULL;
	if (is_leaf(node))
		return (Node *) child_column(cut, node);
	return expression_tree_mutator(node, to_child, cut);
}

/* The node's own column that gives it: a column of the child or a call. */
static Node *
scan_column(ResCut *cut, Expr *expression)
{
	Node	   *node = (Node *) expression;
	ListCell   *cell;
	AttrNumber	number = 0;

	foreach(cell, cut->scan)
	{
		if (equal(lfirst_node(TargetEntry, cell)->expr, expression))
			number = lfirst_node(TargetEntry, cell)->resno;
	}
	if (number == 0)
	{
		number = list_length(cut->scan) + 1;
		cut->scan = lappend(cut->scan, makeTargetEntry(expression, number, NULL, false));
	}
	return (Node *) makeVar(cut->above ? OUTER_VAR : INDEX_VAR, number, exprType(node), exprTypmod(node), exprCollation(node), 0);
}

static Node *cut_expression(Node *node, ResCut *cut);

/* From here on things are evaluated only where this is true, too. */
static void
add_guard(ResCut *cut, Expr *guard)
{
	cut->guards = lappend(list_copy(cut->guards), guard);
}

/* What is evaluated only where the expressions before it are each of that kind: the arguments of AND, OR and conditions. */
List *
res_cut_while(BoolTestType test, List *list, ResCut *cut)
{
	List	   *before = cut->guards;
	List	   *result = NIL;
	ListCell   *cell;

	foreach(cell, list)
	{
		result = lappend(result, cut_expression(lfirst(cell), cut));
		add_guard(cut, res_guard_truth(test, lfirst(cell)));
	}
	cut->guards = before;
	return result;
}

static Node *
cut_coalesce(const CoalesceExpr *expression, ResCut *cut)
{
	CoalesceExpr *copy = copyObject(unconstify(CoalesceExpr *, expression));
	List	   *before = cut->guards;
	ListCell   *cell;

	copy->args = NIL;
	foreach(cell, expression->args)
	{
		copy->args = lappend(copy->args, cut_expression(lfirst(cell), cut));
		add_guard(cut, res_guard_null(IS_NULL, lfirst(cell)));
	}
	cut->guards = before;
	return (Node *) copy;
}

static Node *
cut_bool(const BoolExpr *expression, ResCut *cut)
{
	BoolExpr   *copy = copyObject(unconstify(BoolExpr *, expression));

	copy->args = res_cut_while(expression->boolop == OR_EXPR ? IS_NOT_TRUE : IS_NOT_FALSE, expression->args, cut);
	return (Node *) copy;
}

static Node *
cut_case(const CaseExpr *expression, ResCut *cut)
{
	CaseExpr   *copy = copyObject(unconstify(CaseExpr *, expression));
	List	   *before = cut->guards;
	ListCell   *cell;

	copy->arg = (Expr *) cut_expression((Node *) expression->arg, cut);
	foreach(cell, copy->args)
	{
		CaseWhen   *when = lfirst_node(CaseWhen, cell);
		Expr	   *condition = res_guard_when(expression, when);
		List	   *so_far = cut->guards;

		when->expr = (Expr *) cut_expression((Node *) when->expr, cut);
		add_guard(cut, condition);
		when->result = (Expr *) cut_expression((Node *) when->result, cut);
		cut->guards = so_far;
		add_guard(cut, res_guard_truth(IS_NOT_TRUE, condition));
	}
	copy->defresult = (Expr *) cut_expression((Node *) expression->defresult, cut);
	cut->guards = before;
	return (Node *) copy;
}

/* Subscripts of NULL are not evaluated. */
static Node *
cut_subscripts(const SubscriptingRef *expression, ResCut *cut)
{
	SubscriptingRef *copy = copyObject(unconstify(SubscriptingRef *, expression));
	List	   *before = cut->guards;

	copy->refexpr = (Expr *) cut_expression((Node *) expression->refexpr, cut);
	add_guard(cut, res_guard_null(IS_NOT_NULL, expression->refexpr));
	copy->refupperindexpr = (List *) expression_tree_mutator((Node *) expression->refupperindexpr, cut_expression, cut);
	copy->reflowerindexpr = (List *) expression_tree_mutator((Node *) expression->reflowerindexpr, cut_expression, cut);
	cut->guards = before;
	return (Node *) copy;
}

/* Nothing says here for which rows its parts are evaluated. */
static Node *
cut_untold(Node *node, ResCut *cut)
{
	bool		before = cut->untold;

	cut->untold = true;
	node = expression_tree_mutator(node, cut_expression, cut);
	cut->untold = before;
	return node;
}

static bool
may_lift(const Node *node, const ResCut *cut)
{
	return !cut->untold && res_is_call(node) && res_may_go_ahead((Node *) ((const FuncExpr *) node)->args) &&
		res_may_go_ahead((Node *) cut->guards);
}

static Node *
cut_call(FuncExpr *call, ResCut *cut)
{
	List	   *guards = (List *) to_child((Node *) cut->guards, cut);

	cut->n_calls++;
	return scan_column(cut, res_guarded(guards, (Expr *) expression_tree_mutator((Node *) call, to_child, cut)));
}

static Node *
cut_expression(Node *node, ResCut *cut)
{
	if (node == NULL)
		return NULL;
	if (is_leaf(node) && cut->above)
		return copyObject(node);
	if (is_leaf(node))
		return scan_column(cut, (Expr *) child_column(cut, node));
	if (may_lift(node, cut))
		return cut_call((FuncExpr *) node, cut);
	switch (nodeTag(node))
	{
		case T_CoalesceExpr:
			return cut_coalesce((CoalesceExpr *) node, cut);
		case T_BoolExpr:
			return cut_bool((BoolExpr *) node, cut);
		case T_CaseExpr:
			return cut_case((CaseExpr *) node, cut);
		case T_SubscriptingRef:
			return ((SubscriptingRef *) node)->refassgnexpr == NULL ? cut_subscripts((SubscriptingRef *) node, cut) :
				cut_untold(node, cut);
		case T_RowCompareExpr:
		case T_ArrayCoerceExpr:
		case T_SubPlan:
		case T_AlternativeSubPlan:
			return cut_untold(node, cut);
		default:
			return expression_tree_mutator(node, cut_expression, cut);
	}
}

List *
res_cut_target_list(List *target_list, ResCut *cut)
{
	List	   *result = NIL;
	ListCell   *cell;

	foreach(cell, target_list)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		TargetEntry *copy = flatCopyTargetEntry(entry);

		copy->expr = (Expr *) cut_expression((Node *) entry->expr, cut);
		result = lappend(result, copy);
	}
	return result;
}

static Node *
cut_aggregates(Node *node, ResCut *cut)
{
	Aggref	   *aggregate;
	List	   *before = cut->guards;

	if (node == NULL)
		return NULL;
	if (!IsA(node, Aggref))
		return expression_tree_mutator(node, cut_aggregates, cut);
	aggregate = copyObject((Aggref *) node);
	if (aggregate->aggfilter != NULL)
	{
		add_guard(cut, aggregate->aggfilter);
		aggregate->aggfilter = (Expr *) cut_expression((Node *) aggregate->aggfilter, cut);
	}
	aggregate->args = (List *) expression_tree_mutator((Node *) aggregate->args, cut_expression, cut);
	cut->guards = before;
	return (Node *) aggregate;
}

List *
res_cut_arguments(List *list, ResCut *cut)
{
	return (List *) cut_aggregates((Node *) list, cut);
}

void
res_cut_keep_child(ResCut *cut, const List *target_list)
{
	ListCell   *cell;

	cut->keep_columns = true;
	foreach(cell, target_list)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		Node	   *expression = (Node *) entry->expr;
		Var		   *column = makeVar(OUTER_VAR, entry->resno, exprType(expression), exprTypmod(expression),
									 exprCollation(expression), 0);

		cut->scan = lappend(cut->scan, makeTargetEntry((Expr *) column, entry->resno, NULL, false));
	}
}
