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
 * A node whose target list calls the function gives from then on what the
 * list is made of, and the node above it, ours, the list:
 *
 *		Seq Scan: id, residual_translate(title)		Custom Scan: id, (residual_translate(title))
 *													  ->  Seq Scan: id, title
 *
 * Conditions of a scan, arguments of aggregates and RETURNING are cut likewise.
 * Calls elsewhere (in conditions of joins, in window functions, in RETURNING of
 * a WITH, of which the query may read a part, and in MERGE, which decides row
 * by row what it writes) stay what they are.
 *
 * src/pg/batch_plan.c
 */
#include "batch_plan.h"

#include "fmgr.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"

#include "batch_call.h"
#include "batch_cut.h"
#include "batch_values.h"

PGDLLEXPORT PG_FUNCTION_INFO_V1(residual_translate_support);

static ExecutorStart_hook_type next_start;
static ExecutorRun_hook_type next_run;

/* ---------- nodes ---------- */

/* Does it read something and check each row, without regard to others? */
static bool
is_scan(const Plan *plan)
{
	switch (nodeTag(plan))
	{
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
			return true;
		default:
			return false;
	}
}

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
		case T_NestLoop:
		case T_MergeJoin:
		case T_HashJoin:
		case T_Agg:
		case T_Group:
		case T_Gather:
		case T_GatherMerge:
			return true;
		default:
			return is_scan(plan);
	}
}

typedef struct Rewriting
{
	int			last_id;		/* of plan nodes */
	List	   *range_table;
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
	ResCut		cut = {0};

	/* a Result that only computes has nothing left to do */
	if (IsA(plan, Result) && ((Result *) plan)->resconstantqual == NULL && plan->qual == NIL)
	{
		child = plan->lefttree;
		cut.keep_columns = true;
	}
	target_list = res_cut_target_list(plan->targetlist, &cut);
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

/* The first condition from there on that calls, or their number. */
static int
calling_condition(const List *conditions, int from)
{
	while (from < list_length(conditions) && !res_has_call(list_nth(conditions, from), NULL))
		from++;
	return from;
}

/*
 * The conditions from the first on that calls are checked by a node of ours,
 * for the rows that the others have left; from the second on by one above it.
 */
static Plan *
batch_conditions(Rewriting *rewriting, Plan *plan)
{
	ResCut		cut = {0};
	int			first = calling_condition(plan->qual, 0);
	int			second = calling_condition(plan->qual, first + 1);
	List	   *here = list_copy_tail(list_truncate(list_copy(plan->qual), second), first);
	List	   *conditions = res_cut_while(IS_TRUE, here, &cut);
	CustomScan *scan;
	Plan	   *result;

	if (cut.n_calls == 0)
		return plan;
	scan = res_batch_node_make();
	cut.untold = true;			/* what comes is of rows that they let through: the next node of ours has its calls */
	copy_plan_data(rewriting, &scan->scan.plan, plan);
	scan->scan.plan.qual = res_cut_while(IS_TRUE, list_copy_tail(plan->qual, second), &cut);
	scan->scan.plan.targetlist = res_cut_target_list(plan->targetlist, &cut);
	scan->scan.plan.lefttree = plan;
	scan->custom_scan_tlist = cut.scan;
	scan->custom_exprs = conditions;
	plan->qual = list_truncate(plan->qual, first);
	plan->targetlist = cut.columns;
	result = batch_conditions(rewriting, &scan->scan.plan);
	if (result == &scan->scan.plan)
	{
		scan->custom_exprs = list_concat(scan->custom_exprs, scan->scan.plan.qual);
		scan->scan.plan.qual = NIL;
	}
	return result;
}

/* Does it take each row of its child, one by one? */
static bool
takes_rows(const Plan *plan)
{
	const Agg  *agg = (const Agg *) plan;

	if (plan->lefttree == NULL)
		return false;
	return IsA(plan, ProjectSet) || (IsA(agg, Agg) && agg->chain == NIL && !DO_AGGSPLIT_COMBINE(agg->aggsplit));
}

/* Let a node of ours below this one compute what it takes: arguments of aggregates; all of a list with sets, once a row. */
static void
batch_below(Rewriting *rewriting, Plan *plan)
{
	ResCut		cut = {0};
	List	   *target_list;
	List	   *qual;
	CustomScan *scan;
	ListCell   *cell;

	cut.above = true;
	res_cut_keep_child(&cut, plan->lefttree->targetlist);
	target_list = IsA(plan, Agg) ? res_cut_arguments(plan->targetlist, &cut) : res_cut_target_list(plan->targetlist, &cut);
	qual = res_cut_arguments(plan->qual, &cut);
	if (cut.n_calls == 0)
		return;
	scan = res_batch_node_make();
	copy_plan_data(rewriting, &scan->scan.plan, plan->lefttree);
	scan->scan.plan.lefttree = plan->lefttree;
	scan->custom_scan_tlist = cut.scan;
	foreach(cell, cut.scan)
	{
		TargetEntry *entry = flatCopyTargetEntry(lfirst_node(TargetEntry, cell));
		Node	   *expression = (Node *) entry->expr;

		entry->expr = (Expr *) makeVar(INDEX_VAR, entry->resno, exprType(expression), exprTypmod(expression),
									   exprCollation(expression), 0);
		scan->scan.plan.targetlist = lappend(scan->scan.plan.targetlist, entry);
	}
	plan->lefttree = &scan->scan.plan;
	plan->targetlist = target_list;
	plan->qual = qual;
	if (res_has_call((Node *) target_list, NULL))
		batch_below(rewriting, plan);
}

/*
 * RETURNING: a list for each table that is written, alike but for the columns'
 * numbers.  The rows that it is made of are written before it is computed, so
 * nothing in it may see that.
 */
static Plan *
batch_returning(Rewriting *rewriting, ModifyTable *modify)
{
	Plan	   *plan = &modify->plan;
	List	   *columns = NIL;
	CustomScan *scan = NULL;
	ListCell   *cell;

	foreach(cell, modify->returningLists)
	{
		List	   *list = lfirst(cell);
		ResCut		cut = {0};
		List	   *target_list = res_cut_target_list(list, &cut);

		if (cut.n_calls == 0 || !res_may_be_moved((Node *) list))
			return plan;
		if (scan == NULL)
		{
			scan = res_batch_node_make();
			scan->scan.plan.targetlist = target_list;
			scan->custom_scan_tlist = cut.scan;
		}
		else if (!equal(target_list, scan->scan.plan.targetlist) || !equal(cut.scan, scan->custom_scan_tlist))
			return plan;
		columns = lappend(columns, cut.columns);
	}
	if (scan == NULL)
		return plan;
	copy_plan_data(rewriting, &scan->scan.plan, plan);
	scan->scan.plan.lefttree = plan;
	modify->returningLists = columns;
	plan->targetlist = linitial(columns);
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
	if (IsA(plan, ValuesScan))
		res_batch_values((ValuesScan *) plan, rewriting->range_table);
	if (takes_rows(plan))
		batch_below(rewriting, plan);
	result = is_scan(plan) && plan->qual != NIL ? batch_conditions(rewriting, plan) : plan;
	if (is_projecting(plan) && res_has_call((Node *) result->targetlist, NULL))
		result = batch_node(rewriting, result);
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
	if (IsA(plan, ValuesScan) && res_has_call((Node *) ((ValuesScan *) plan)->values_lists, NULL))
		return true;
	return (is_projecting(plan) || takes_rows(plan)) &&
		(res_has_call((Node *) plan->targetlist, NULL) || res_has_call((Node *) plan->qual, NULL));
}

/* Does it write, all of it, and translate what it has written?  A foreign server may write by itself. */
static bool
returns_calls(const Plan *plan)
{
	const ModifyTable *modify = (const ModifyTable *) plan;

	return IsA(modify, ModifyTable) && bms_is_empty(modify->fdwDirectModifyPlans) &&
		res_has_call((Node *) modify->returningLists, NULL);
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
	if (statement->invalItems == NIL || !(any_plan_in(statement, translates, NULL) || returns_calls(statement->planTree)))
		return statement;
	statement = copyObject(statement);
	(void) any_plan_in(statement, note_id, &rewriting);
	rewriting.range_table = statement->rtable;
	statement->planTree = rewrite(&rewriting, statement->planTree, false);
	foreach(cell, statement->subplans)
		lfirst(cell) = rewrite(&rewriting, lfirst(cell), false);
	if (returns_calls(statement->planTree))
		statement->planTree = batch_returning(&rewriting, (ModifyTable *) statement->planTree);
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

/* Who asks for some rows of RETURNING has no more than those written: nothing is read ahead then. */
static void
run_batched(QueryDesc *query, ScanDirection direction, uint64 count, bool once)
{
	if (count != 0 && query->operation != CMD_SELECT)
		res_batch_node_hold_back(query->planstate);
	if (next_run != NULL)
		next_run(query, direction, count, once);
	else
		standard_ExecutorRun(query, direction, count, once);
}

void
res_batch_plan_install(void)
{
	res_batch_node_register();
	next_run = ExecutorRun_hook;
	ExecutorRun_hook = run_batched;
	next_start = ExecutorStart_hook;
	ExecutorStart_hook = start_batched;
}

/* Asked by the planner, it has nothing to say; by then the library is loaded. */
Datum
residual_translate_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(NULL);
}
