/*
 * batch_values.c
 *		Calls in the lists of VALUES, moved to where they can be batched.
 *
 *		VALUES (1, upper(residual_translate('a', 'en_de'))),
 *			   (2, upper(residual_translate('b', 'en_de')))
 *
 * is upper(residual_translate(column3, column4)) over the lists 1, NULL, 'a',
 * 'en_de' and 2, NULL, 'b', 'en_de'.
 *
 * src/pg/batch_values.c
 */
#include "batch_values.h"

#include "access/sysattr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"

#include "batch_call.h"

typedef struct Taking
{
	Index		scan;			/* range table index */
	AttrNumber	next;			/* column for the next argument */
	List	   *arguments;		/* taken out so far */
} Taking;

/* A mutator: arguments that may be evaluated with the other columns become columns. */
static Node *
take_arguments(Node *node, void *arg)
{
	Taking	   *taking = arg;
	FuncExpr   *call;
	ListCell   *cell;

	if (node == NULL)
		return NULL;
	if (!res_is_call(node) || !res_may_go_ahead((Node *) ((FuncExpr *) node)->args) ||
		res_may_fail((Node *) ((FuncExpr *) node)->args, NULL))
		return expression_tree_mutator(node, take_arguments, arg);
	call = copyObject((FuncExpr *) node);
	foreach(cell, call->args)
	{
		Node	   *argument = lfirst(cell);

		taking->arguments = lappend(taking->arguments, argument);
		lfirst(cell) = makeVar(taking->scan, taking->next++, exprType(argument), exprTypmod(argument),
							   exprCollation(argument), 0);
	}
	return (Node *) call;
}

/* What all lists have in a column but for arguments, which are added to them; NULL: nothing calls, or not alike. */
static Node *
take_column(ValuesScan *scan, int column)
{
	AttrNumber	next = list_length(linitial(scan->values_lists)) + 1;
	Node	   *common = NULL;
	List	   *arguments = NIL;
	ListCell   *cell;
	ListCell   *of_list;

	foreach(cell, scan->values_lists)
	{
		Taking		taking = {scan->scan.scanrelid, next, NIL};
		Node	   *taken = take_arguments(list_nth(lfirst(cell), column), &taking);

		if (taking.arguments == NIL || (common != NULL && !equal(taken, common)))
			return NULL;
		common = taken;
		arguments = lappend(arguments, taking.arguments);
	}
	forboth(cell, scan->values_lists, of_list, arguments)
	{
		List	   *list = lfirst(cell);
		ListCell   *old = list_nth_cell(list, column);

		lfirst(old) = makeNullConst(exprType(common), exprTypmod(common), exprCollation(common));
		lfirst(cell) = list_concat(list, lfirst(of_list));
	}
	return common;
}

typedef struct Replacing
{
	Index		scan;
	Node	  **by;				/* for each column, NULL: it stays */
} Replacing;

static Node *
replace_columns(Node *node, void *arg)
{
	Replacing  *replacing = arg;
	Var		   *var = (Var *) node;

	if (node == NULL)
		return NULL;
	if (IsA(var, Var) && var->varno == replacing->scan && var->varattno > 0 && replacing->by[var->varattno - 1] != NULL)
		return copyObject(replacing->by[var->varattno - 1]);
	return expression_tree_mutator(node, replace_columns, arg);
}

/* The scan computes each column of each row, asked for or not: so the call must be made for each row afterwards, too. */
static bool
is_given_out(const ValuesScan *scan, AttrNumber column)
{
	ListCell   *cell;

	foreach(cell, scan->scan.plan.targetlist)
	{
		Var		   *var = (Var *) lfirst_node(TargetEntry, cell)->expr;

		if (IsA(var, Var) && var->varno == scan->scan.scanrelid && var->varattno == column)
			return true;
	}
	return false;
}

void
res_batch_values(ValuesScan *scan, List *range_table)
{
	RangeTblEntry *entry = rt_fetch(scan->scan.scanrelid, range_table);
	Node	   *target_list = (Node *) scan->scan.plan.targetlist;
	int			n = list_length(linitial(scan->values_lists));
	Bitmapset  *used = NULL;
	Replacing	replacing;
	int			i;

	pull_varattnos(target_list, scan->scan.scanrelid, &used);
	if (scan->scan.plan.qual != NIL || bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, used))
		return;
	replacing.scan = scan->scan.scanrelid;
	replacing.by = palloc0(n * sizeof(Node *));
	for (i = 0; i < n; i++)
		replacing.by[i] = is_given_out(scan, i + 1) ? take_column(scan, i) : NULL;
	scan->scan.plan.targetlist = (List *) replace_columns(target_list, &replacing);
	for (i = n; i < list_length(linitial(scan->values_lists)); i++)
		entry->eref->colnames = lappend(entry->eref->colnames, makeString(psprintf("column%d", i + 1)));
}
