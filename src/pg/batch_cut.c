/*
 * batch_cut.c
 *		Expressions cut in two: what a plan node gives, and what is made of it
 *		by a node of ours above it.
 *
 * Below remain columns and what only that kind of node can compute; calls that
 * are made for every row become columns of our node; everything else stays
 * above them and is evaluated when a row is given out.
 *
 * src/pg/batch_cut.c
 */
#include "batch_cut.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

/* ---------- which calls ---------- */

static bool
is_attribute(HeapTuple tuple, AttrNumber attribute, const char *value)
{
	bool		isnull;
	Datum		datum = SysCacheGetAttr(PROCOID, tuple, attribute, &isnull);

	return !isnull && strcmp(TextDatumGetCString(datum), value) == 0;
}

/* Is it a function of SQL that calls our residual_translate(), plainly? */
static bool
is_translate(Oid function)
{
	HeapTuple	tuple;
	Form_pg_proc form;
	bool		result;

	if (function < FirstNormalObjectId)
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	result = form->prolang == ClanguageId && form->proisstrict && !form->prosecdef &&
		form->prorettype == TEXTOID && form->pronargs >= 1 && form->proargtypes.values[0] == TEXTOID &&
		heap_attisnull(tuple, Anum_pg_proc_proconfig, NULL) &&
		is_attribute(tuple, Anum_pg_proc_prosrc, "residual_translate") &&
		is_attribute(tuple, Anum_pg_proc_probin, RES_LIBRARY);
	ReleaseSysCache(tuple);
	return result;
}

static bool
is_call(const Node *node)
{
	return IsA(node, FuncExpr) && ((const FuncExpr *) node)->funcresulttype == TEXTOID &&
		is_translate(((const FuncExpr *) node)->funcid);
}

bool
res_has_call(Node *node, void *unused)
{
	if (node == NULL)
		return false;
	return is_call(node) || expression_tree_walker(node, res_has_call, unused);
}

/*
 * Is anything in it bound to the place where it stands: a subplan, or the value
 * of a CASE around it?  covered: that CASE is part of it.
 */
static bool
is_bound(Node *node, void *covered)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_SubPlan:
		case T_AlternativeSubPlan:
		case T_CoerceToDomainValue:
			return true;
		case T_CaseTestExpr:
			return covered == NULL;
		case T_CaseExpr:
			{
				CaseExpr   *expression = (CaseExpr *) node;
				ListCell   *cell;

				foreach(cell, expression->args)
				{
					CaseWhen   *when = lfirst_node(CaseWhen, cell);

					if (is_bound((Node *) when->expr, node) || is_bound((Node *) when->result, covered))
						return true;
				}
				return is_bound((Node *) expression->arg, covered) || is_bound((Node *) expression->defresult, covered);
			}
		case T_ArrayCoerceExpr:
			return is_bound((Node *) ((ArrayCoerceExpr *) node)->arg, covered) ||
				is_bound((Node *) ((ArrayCoerceExpr *) node)->elemexpr, node);
		default:
			return expression_tree_walker(node, is_bound, covered);
	}
}

/* May its arguments be evaluated some rows ahead, and apart? */
static bool
may_lift(const FuncExpr *call)
{
	Node	   *arguments = (Node *) call->args;

	return !res_has_call(arguments, NULL) && !is_bound(arguments, NULL) && !contain_volatile_functions(arguments);
}

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

List *
res_cut_after_first(List *list, ResCut *cut)
{
	bool		before = cut->conditional;
	List	   *result = NIL;
	ListCell   *cell;

	foreach(cell, list)
	{
		result = lappend(result, cut_expression(lfirst(cell), cut));
		cut->conditional = true;
	}
	cut->conditional = before;
	return result;
}

static Node *
cut_conditional(Node *node, ResCut *cut)
{
	bool		before = cut->conditional;

	cut->conditional = true;
	node = expression_tree_mutator(node, cut_expression, cut);
	cut->conditional = before;
	return node;
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
	if (!cut->conditional && is_call(node) && may_lift((FuncExpr *) node))
	{
		cut->n_calls++;
		return scan_column(cut, (Expr *) expression_tree_mutator(node, to_child, cut));
	}
	if (IsA(node, CoalesceExpr))
	{
		CoalesceExpr *copy = copyObject((CoalesceExpr *) node);

		copy->args = res_cut_after_first(copy->args, cut);
		return (Node *) copy;
	}
	if (IsA(node, BoolExpr))
	{
		BoolExpr   *copy = copyObject((BoolExpr *) node);

		copy->args = res_cut_after_first(copy->args, cut);
		return (Node *) copy;
	}
	if (IsA(node, CaseExpr) || IsA(node, RowCompareExpr) || IsA(node, ArrayCoerceExpr) || IsA(node, SubPlan) ||
		IsA(node, AlternativeSubPlan))
		return cut_conditional(node, cut);
	return expression_tree_mutator(node, cut_expression, cut);
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

	if (node == NULL)
		return NULL;
	if (!IsA(node, Aggref))
		return expression_tree_mutator(node, cut_aggregates, cut);
	aggregate = copyObject((Aggref *) node);
	/* behind a FILTER arguments are not those of every row */
	if (aggregate->aggfilter == NULL)
		aggregate->args = (List *) expression_tree_mutator((Node *) aggregate->args, cut_expression, cut);
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
