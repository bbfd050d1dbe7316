/*
 * batch_plan.c
 *		Calls of residual_translate in a finished plan, moved into nodes that
 *		batch them.
 *
 * It happens when a plan is about to run, not when it is made: so a setting
 * acts on cached plans as well, and the first statement of a session is
 * batched although nothing was loaded when its planning began (that the
 * planner asks residual_translate_support() loads the library in time).
 *
 * A node whose target list calls the function where it is called for every
 * row, whatever the row holds, gives from then on what the list is made of,
 * and the node above it, ours, the list:
 *
 *		Seq Scan: id, residual_translate(title)		Custom Scan: id, (residual_translate(title))
 *													  ->  Seq Scan: id, title
 *
 * Calls elsewhere (in CASE, after AND and OR, in conditions, in arguments of
 * aggregates) stay what they are.
 *
 * src/pg/batch_plan.c
 */
#include "batch_plan.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

PGDLLEXPORT PG_FUNCTION_INFO_V1(residual_translate_support);

static ExecutorStart_hook_type next_start;

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

static bool
has_call(Node *node, void *unused)
{
	if (node == NULL)
		return false;
	return is_call(node) || expression_tree_walker(node, has_call, unused);
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

	return !has_call(arguments, NULL) && !is_bound(arguments, NULL) && !contain_volatile_functions(arguments);
}

/* ---------- a target list, cut in two ---------- */

typedef struct Cut
{
	List	   *columns;		/* of the child: TargetEntry */
	List	   *scan;			/* the node's custom_scan_tlist: child's columns and calls */
	bool		keep_columns;	/* they are the child's as they are: Vars name them */
	bool		conditional;	/* not evaluated for every row */
	int			n_calls;
} Cut;

/* What a plan node itself computes: columns, and what only this kind of node can. */
static bool
is_leaf(const Node *node)
{
	return IsA(node, Var) || IsA(node, Aggref) || IsA(node, GroupingFunc) || IsA(node, WindowFunc);
}

/* The child's column that gives it; added where there is none. */
static Var *
child_column(Cut *cut, Node *leaf)
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
to_child(Node *node, Cut *cut)
{
	if (node == NULL)
		return NULL;
	if (is_leaf(node))
		return (Node *) child_column(cut, node);
	return expression_tree_mutator(node, to_child, cut);
}

/* The node's own column that gives it: a column of the child or a call. */
static Node *
scan_column(Cut *cut, Expr *expression)
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
	return (Node *) makeVar(INDEX_VAR, number, exprType(node), exprTypmod(node), exprCollation(node), 0);
}

static Node *cut_expression(Node *node, Cut *cut);

/* The rest of a list is evaluated only if what comes first in it says so. */
static List *
cut_after_first(List *list, Cut *cut)
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
cut_conditional(Node *node, Cut *cut)
{
	bool		before = cut->conditional;

	cut->conditional = true;
	node = expression_tree_mutator(node, cut_expression, cut);
	cut->conditional = before;
	return node;
}

static Node *
cut_expression(Node *node, Cut *cut)
{
	if (node == NULL)
		return NULL;
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

		copy->args = cut_after_first(copy->args, cut);
		return (Node *) copy;
	}
	if (IsA(node, BoolExpr))
	{
		BoolExpr   *copy = copyObject((BoolExpr *) node);

		copy->args = cut_after_first(copy->args, cut);
		return (Node *) copy;
	}
	if (IsA(node, CaseExpr) || IsA(node, RowCompareExpr) || IsA(node, ArrayCoerceExpr) || IsA(node, SubPlan) ||
		IsA(node, AlternativeSubPlan))
		return cut_conditional(node, cut);
	return expression_tree_mutator(node, cut_expression, cut);
}

static List *
cut_target_list(List *target_list, Cut *cut)
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

/* ---------- nodes ---------- */

/* Does it compute its target list for each row, and can the list be another? */
static bool
is_projecting(const Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_Result:			/* without a child: a single row, or PL/pgSQL's expression */
			return plan->lefttree != NULL;
		case T_ForeignScan:
			return ((const ForeignScan *) plan)->operation == CMD_SELECT && !plan->async_capable;
		case T_WindowAgg:		/* its conditions refer to the list */
			return plan->qual == NIL && ((const WindowAgg *) plan)->runCondition == NIL;
		case T_SeqScan:
		case T_SampleScan:
		case T_IndexScan:
		case T_IndexOnlyScan:
		case T_BitmapHeapScan:
		case T_TidScan:
		case T_TidRangeScan:
		case T_SubqueryScan:
		case T_FunctionScan:
		case T_TableFuncScan:
		case T_ValuesScan:
		case T_CteScan:
		case T_NamedTuplestoreScan:
		case T_WorkTableScan:
		case T_NestLoop:
		case T_MergeJoin:
		case T_HashJoin:
		case T_Agg:
		case T_Group:
		case T_Gather:
		case T_GatherMerge:
			return true;
		default:
			return false;
	}
}

typedef struct Rewriting
{
	int			last_id;		/* of plan nodes */
} Rewriting;

static void
copy_plan_data(Rewriting *rewriting, Plan *to, const Plan *from)
{
	to->startup_cost = from->startup_cost;
	to->total_cost = from->total_cost;
	to->plan_rows = from->plan_rows;
	to->plan_width = from->plan_width;
	to->parallel_safe = from->parallel_safe;
	to->plan_node_id = ++rewriting->last_id;
	to->extParam = bms_copy(from->extParam);
	to->allParam = bms_copy(from->allParam);
}

/* Rows that went by are asked for again: after a mark, or in reverse order. */
static Plan *
keep_rows(Rewriting *rewriting, Plan *plan)
{
	Material   *material = makeNode(Material);
	ListCell   *cell;

	copy_plan_data(rewriting, &material->plan, plan);
	material->plan.lefttree = plan;
	foreach(cell, plan->targetlist)
	{
		TargetEntry *entry = flatCopyTargetEntry(lfirst_node(TargetEntry, cell));
		Node	   *expression = (Node *) entry->expr;

		entry->expr = (Expr *) makeVar(OUTER_VAR, entry->resno, exprType(expression), exprTypmod(expression),
									   exprCollation(expression), 0);
		material->plan.targetlist = lappend(material->plan.targetlist, entry);
	}
	return (Plan *) material;
}

/* Put a node of ours above this one, if there is anything to do for it; calls of calls take one more each. */
static Plan *
batch_node(Rewriting *rewriting, Plan *plan)
{
	CustomScan *scan;
	Plan	   *child = plan;
	List	   *target_list;
	Cut			cut = {0};

	/* a Result that only computes has nothing left to do */
	if (IsA(plan, Result) && ((Result *) plan)->resconstantqual == NULL && plan->qual == NIL)
	{
		child = plan->lefttree;
		cut.keep_columns = true;
	}
	target_list = cut_target_list(plan->targetlist, &cut);
	if (cut.n_calls == 0)
		return plan;
	scan = res_batch_node_make();
	copy_plan_data(rewriting, &scan->scan.plan, plan);
	scan->scan.plan.targetlist = target_list;
	scan->scan.plan.lefttree = child;
	scan->custom_scan_tlist = cut.scan;
	if (child != plan)
		scan->scan.plan.initPlan = plan->initPlan;
	else
		plan->targetlist = cut.columns;
	return batch_node(rewriting, &scan->scan.plan);
}

static Plan *rewrite(Rewriting *rewriting, Plan *plan, bool marked);

static void
rewrite_list(Rewriting *rewriting, List *plans)
{
	ListCell   *cell;

	foreach(cell, plans)
		lfirst(cell) = rewrite(rewriting, lfirst(cell), false);
}

/* marked: whoever reads it may go back to a row. */
static Plan *
rewrite(Rewriting *rewriting, Plan *plan, bool marked)
{
	Plan	   *result;

	if (plan == NULL)
		return NULL;
	check_stack_depth();
	plan->lefttree = rewrite(rewriting, plan->lefttree, marked && IsA(plan, Result));
	plan->righttree = rewrite(rewriting, plan->righttree, IsA(plan, MergeJoin));
	if (IsA(plan, Append))
		rewrite_list(rewriting, ((Append *) plan)->appendplans);
	else if (IsA(plan, MergeAppend))
		rewrite_list(rewriting, ((MergeAppend *) plan)->mergeplans);
	else if (IsA(plan, SubqueryScan))
		((SubqueryScan *) plan)->subplan = rewrite(rewriting, ((SubqueryScan *) plan)->subplan, false);
	else if (IsA(plan, CustomScan))
		rewrite_list(rewriting, ((CustomScan *) plan)->custom_plans);
	if (!is_projecting(plan) || !has_call((Node *) plan->targetlist, NULL))
		return plan;
	result = batch_node(rewriting, plan);
	return result != plan && marked ? keep_rows(rewriting, result) : result;
}

/* ---------- statements ---------- */

typedef bool (*PlanTest) (Plan *plan, void *arg);

static bool any_plan(Plan *plan, PlanTest test, void *arg);

static bool
any_plan_of(List *plans, PlanTest test, void *arg)
{
	ListCell   *cell;

	foreach(cell, plans)
	{
		if (any_plan(lfirst(cell), test, arg))
			return true;
	}
	return false;
}

/* Is the test true of any node of the tree? */
static bool
any_plan(Plan *plan, PlanTest test, void *arg)
{
	if (plan == NULL)
		return false;
	check_stack_depth();
	if (test(plan, arg) || any_plan(plan->lefttree, test, arg) || any_plan(plan->righttree, test, arg))
		return true;
	switch (nodeTag(plan))
	{
		case T_Append:
			return any_plan_of(((Append *) plan)->appendplans, test, arg);
		case T_MergeAppend:
			return any_plan_of(((MergeAppend *) plan)->mergeplans, test, arg);
		case T_BitmapAnd:
			return any_plan_of(((BitmapAnd *) plan)->bitmapplans, test, arg);
		case T_BitmapOr:
			return any_plan_of(((BitmapOr *) plan)->bitmapplans, test, arg);
		case T_SubqueryScan:
			return any_plan(((SubqueryScan *) plan)->subplan, test, arg);
		case T_CustomScan:
			return any_plan_of(((CustomScan *) plan)->custom_plans, test, arg);
		default:
			return false;
	}
}

static bool
any_plan_in(PlannedStmt *statement, PlanTest test, void *arg)
{
	return any_plan(statement->planTree, test, arg) || any_plan_of(statement->subplans, test, arg);
}

static bool
translates(Plan *plan, void *unused)
{
	return is_projecting(plan) && has_call((Node *) plan->targetlist, NULL);
}

static bool
note_id(Plan *plan, void *arg)
{
	Rewriting  *rewriting = arg;

	rewriting->last_id = Max(rewriting->last_id, plan->plan_node_id);
	return false;
}

PlannedStmt *
res_batch_plan(PlannedStmt *statement, bool backward)
{
	Rewriting	rewriting = {0};
	ListCell   *cell;

	/* functions that are not the server's own are noted there */
	if (statement->invalItems == NIL || !any_plan_in(statement, translates, NULL))
		return statement;
	statement = copyObject(statement);
	(void) any_plan_in(statement, note_id, &rewriting);
	statement->planTree = rewrite(&rewriting, statement->planTree, false);
	foreach(cell, statement->subplans)
		lfirst(cell) = rewrite(&rewriting, lfirst(cell), false);
	if (backward && !ExecSupportsBackwardScan(statement->planTree))
		statement->planTree = keep_rows(&rewriting, statement->planTree);
	return statement;
}

static void
start_batched(QueryDesc *query, int eflags)
{
	if (res_enable_batching)
		query->plannedstmt = res_batch_plan(query->plannedstmt, (eflags & EXEC_FLAG_BACKWARD) != 0);
	if (next_start != NULL)
		next_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
}

void
res_batch_plan_install(void)
{
	res_batch_node_register();
	next_start = ExecutorStart_hook;
	ExecutorStart_hook = start_batched;
}

/* Asked by the planner, it has nothing to say; by then the library is loaded. */
Datum
residual_translate_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(NULL);
}
