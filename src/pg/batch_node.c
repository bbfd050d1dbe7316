/*
 * batch_node.c
 *		The plan node that translates in batches what its child gives row by
 *		row.
 *
 *		Custom Scan (Residual Batch)
 *		  Translate: residual_translate(title, 'en_de'::text)
 *		  ->  Seq Scan on products
 *
 * Arguments, and the conditions under which a call is made at all, are
 * evaluated when a row is read, everything else of the target list when it is
 * given out, so that what the rest of a row does happens in its turn.  Model,
 * version and rights are those of the query's snapshot.
 *
 * Where something cannot be evaluated ahead (it raises an error, or a subplan
 * of which it is the first user has not run), the row is computed alone, when
 * its turn has come, as if there were no batches: the calls are put back to
 * where they were in the list.
 *
 * src/pg/batch_node.c
 */
#include "batch_plan.h"

#include "commands/explain.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/ruleutils.h"

#include "batch_evaluate.h"
#include "batch_guard.h"
#include "read_ahead.h"

/* Rows that are computed alone. */
typedef struct Alone
{
	ExprState  *condition;
	ProjectionInfo *projection;
} Alone;

typedef struct BatchState
{
	CustomScanState css;
	ResCalls   *calls;
	TupleTableSlot *row;		/* what the child gave, as it was kept */
	ExprState  *condition;		/* that rows must fulfil, or NULL */
	Alone	   *alone;			/* made for the first of them */
	ResReadAhead *ahead;
	ResReadAheadCounts shown;	/* what instrument has of it */
	Datum	   *answers;		/* a call */
	bool	   *nulls;
} BatchState;

static const CustomExecMethods exec_methods;

/* ---------- reading ---------- */

static bool
is_ours(const PlanState *node)
{
	return IsA(node, CustomScanState) && ((const CustomScanState *) node)->methods == &exec_methods;
}

/* Will this node of ours, or one of ours below it, compute the next row alone? */
static bool
comes_alone(PlanState *node)
{
	BatchState *state = (BatchState *) node;

	if (!is_ours(node))
		return false;
	return (res_read_ahead_waiting(state->ahead) == 0 && comes_alone(outerPlanState(node))) ||
		res_read_ahead_is_alone(state->ahead);
}

/* Read a row of the child and what is to be translated of it. */
static ResRowKind
read_row(void *arg, MemoryContext keep, ResCall *calls, MinimalTuple *row)
{
	BatchState *state = arg;
	TupleTableSlot *slot;
	MemoryContext before;
	bool		evaluated;

	if (res_read_ahead_waiting(state->ahead) > 0 && comes_alone(outerPlanState(state)))
		return RES_LATER;
	slot = ExecProcNode(outerPlanState(state));
	if (TupIsNull(slot))
		return RES_NO_ROW;
	evaluated = res_calls_evaluate(state->calls, slot, calls);
	before = MemoryContextSwitchTo(keep);
	*row = ExecCopySlotMinimalTuple(slot);
	MemoryContextSwitchTo(before);
	return evaluated ? RES_ROW : RES_ROW_ALONE;
}

/* ---------- start ---------- */

static void
begin(CustomScanState *node, EState *estate, int eflags)
{
	BatchState *state = (BatchState *) node;
	CustomScan *scan = (CustomScan *) node->ss.ps.plan;
	int			n_calls;

	outerPlanState(node) = ExecInitNode(outerPlan(scan), estate, eflags & ~(EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK));
	state->row = ExecInitExtraTupleSlot(estate, ExecGetResultType(outerPlanState(node)), &TTSOpsMinimalTuple);
	state->calls = res_calls_prepare(&node->ss.ps, scan->custom_scan_tlist);
	state->condition = ExecInitQual(scan->custom_exprs, &node->ss.ps);
	n_calls = res_calls_count(state->calls);
	state->ahead = res_read_ahead_create(estate->es_query_cxt, n_calls, read_row, state, true);
	state->answers = palloc(n_calls * sizeof(Datum));
	state->nulls = palloc(n_calls * sizeof(bool));
}

/* ---------- rows that are computed alone ---------- */

/* Calls back to where they were: a mutator. */
static Node *
put_back(Node *node, void *scan_list)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && ((Var *) node)->varno == INDEX_VAR)
		return copyObject((Node *) list_nth_node(TargetEntry, scan_list, ((Var *) node)->varattno - 1)->expr);
	return expression_tree_mutator(node, put_back, scan_list);
}

static Alone *
create_alone(BatchState *state)
{
	PlanState  *node = &state->css.ss.ps;
	CustomScan *scan = (CustomScan *) node->plan;
	MemoryContext before = MemoryContextSwitchTo(node->state->es_query_cxt);
	TupleTableSlot *result = ExecInitExtraTupleSlot(node->state, ExecGetResultType(node), &TTSOpsVirtual);
	List	   *conditions = (List *) put_back((Node *) scan->custom_exprs, scan->custom_scan_tlist);
	List	   *target_list = (List *) put_back((Node *) scan->scan.plan.targetlist, scan->custom_scan_tlist);
	Alone	   *alone = palloc(sizeof(Alone));

	/* it is the kept copy that they read, not what the child gives */
	node->outeropsset = node->outeropsfixed = true;
	node->outerops = &TTSOpsMinimalTuple;
	alone->condition = ExecInitQual(conditions, node);
	alone->projection = ExecBuildProjectionInfo(target_list, node->ps_ExprContext, result, node, NULL);
	node->outeropsset = false;
	MemoryContextSwitchTo(before);
	return alone;
}

/* The row that was read, computed now; NULL: it does not fulfil the conditions. */
static TupleTableSlot *
compute_alone(BatchState *state)
{
	ExprContext *econtext = state->css.ss.ps.ps_ExprContext;

	if (state->alone == NULL)
		state->alone = create_alone(state);
	econtext->ecxt_outertuple = state->row;
	return ExecQual(state->alone->condition, econtext) ? ExecProject(state->alone->projection) : NULL;
}

/* ---------- rows ---------- */

/* The server adds these three up over parallel workers, and shows them nowhere else for such a node. */
static void
note_counts(BatchState *state)
{
	Instrumentation *instrument = state->css.ss.ps.instrument;
	ResReadAheadCounts now;

	if (instrument == NULL)
		return;
	now = res_read_ahead_counts(state->ahead);
	instrument->ntuples2 += now.sentences - state->shown.sentences;
	instrument->nfiltered1 += now.batches - state->shown.batches;
	instrument->nfiltered2 += now.tokens - state->shown.tokens;
	state->shown = now;
}

static void
fill_scan_tuple(BatchState *state)
{
	CustomScan *scan = (CustomScan *) state->css.ss.ps.plan;
	TupleTableSlot *tuple = state->css.ss.ss_ScanTupleSlot;
	ListCell   *cell;
	int			column = 0;
	int			i = 0;

	ExecClearTuple(tuple);
	foreach(cell, scan->custom_scan_tlist)
	{
		Var		   *var = (Var *) lfirst_node(TargetEntry, cell)->expr;

		if (IsA(var, Var))
			tuple->tts_values[column] = slot_getattr(state->row, var->varattno, &tuple->tts_isnull[column]);
		else
		{
			tuple->tts_values[column] = state->answers[i];
			tuple->tts_isnull[column] = state->nulls[i++];
		}
		column++;
	}
	ExecStoreVirtualTuple(tuple);
}

/* The next row of the child, with its translations in the scan tuple unless it is alone. */
static ResRowKind
next_tuple(BatchState *state)
{
	MinimalTuple row;
	ResRowKind	kind;

	ExecClearTuple(state->row);
	ExecClearTuple(state->css.ss.ss_ScanTupleSlot);
	kind = res_read_ahead_next(state->ahead, &row, state->answers, state->nulls);
	note_counts(state);
	if (kind == RES_NO_ROW)
		return kind;
	ExecStoreMinimalTuple(row, state->row, false);
	if (kind == RES_ROW)
		fill_scan_tuple(state);
	return kind;
}

/* The row that was read, out of its translations; NULL: it does not fulfil the conditions. */
static TupleTableSlot *
compute(BatchState *state)
{
	ScanState  *node = &state->css.ss;
	ExprContext *econtext = node->ps.ps_ExprContext;

	econtext->ecxt_scantuple = node->ss_ScanTupleSlot;
	if (!ExecQual(state->condition, econtext))
		return NULL;
	return node->ps.ps_ProjInfo == NULL ? node->ss_ScanTupleSlot : ExecProject(node->ps.ps_ProjInfo);
}

static TupleTableSlot *
next_row(CustomScanState *node)
{
	BatchState *state = (BatchState *) node;
	TupleTableSlot *row = NULL;

	while (row == NULL)
	{
		ResRowKind	kind;

		CHECK_FOR_INTERRUPTS();
		ResetExprContext(node->ss.ps.ps_ExprContext);
		kind = next_tuple(state);
		if (kind == RES_NO_ROW)
			break;
		row = kind == RES_ROW ? compute(state) : compute_alone(state);
	}
	return row;
}

static void
rescan(CustomScanState *node)
{
	BatchState *state = (BatchState *) node;

	res_read_ahead_reset(state->ahead);
	if (outerPlanState(node)->chgParam == NULL)
		ExecReScan(outerPlanState(node));
}

static void
end(CustomScanState *node)
{
	res_read_ahead_free(((BatchState *) node)->ahead);
	ExecEndNode(outerPlanState(node));
}

/* ---------- EXPLAIN ---------- */

static char *
explain_call(Expr *expression, List *context, bool prefix)
{
	Expr	   *guard;
	char	   *function = deparse_expression((Node *) res_guarded_call(expression, &guard), context, prefix, false);

	if (guard == NULL)
		return function;
	return psprintf("CASE WHEN %s THEN %s END", deparse_expression((Node *) guard, context, prefix, false), function);
}

/* For the filter, which shows by itself when a call is made. */
static List *
without_guards(List *scan_list)
{
	List	   *result = NIL;
	ListCell   *cell;

	foreach(cell, scan_list)
	{
		TargetEntry *entry = flatCopyTargetEntry(lfirst_node(TargetEntry, cell));
		Expr	   *guard;

		if (!IsA(entry->expr, Var))
			entry->expr = (Expr *) res_guarded_call(entry->expr, &guard);
		result = lappend(result, entry);
	}
	return result;
}

static void
explain_expressions(BatchState *state, List *ancestors, ExplainState *es)
{
	CustomScan *scan = (CustomScan *) state->css.ss.ps.plan;
	List	   *context = set_deparse_context_plan(es->deparse_cxt, &scan->scan.plan, ancestors);
	bool		prefix = es->verbose || list_length(es->rtable) > 1;
	List	   *calls = NIL;
	ListCell   *cell;
	Node	   *filter;

	foreach(cell, scan->custom_scan_tlist)
	{
		Expr	   *expression = lfirst_node(TargetEntry, cell)->expr;

		if (!IsA(expression, Var))
			calls = lappend(calls, explain_call(expression, context, prefix));
	}
	ExplainPropertyList("Translate", calls, es);
	if (scan->custom_exprs == NIL)
		return;
	filter = put_back((Node *) make_ands_explicit(scan->custom_exprs), without_guards(scan->custom_scan_tlist));
	ExplainPropertyText("Filter", deparse_expression(filter, context, prefix, false), es);
}

static void
explain(CustomScanState *node, List *ancestors, ExplainState *es)
{
	Instrumentation *instrument = node->ss.ps.instrument;

	explain_expressions((BatchState *) node, ancestors, es);
	if (!es->analyze || instrument == NULL || instrument->nloops == 0)
		return;
	ExplainPropertyFloat("Sentences", NULL, instrument->ntuples2, 0, es);
	ExplainPropertyFloat("Batches", NULL, instrument->nfiltered1, 0, es);
	ExplainPropertyFloat("Tokens", NULL, instrument->nfiltered2, 0, es);
	if (es->timing && instrument->total > 0)
		ExplainPropertyFloat("Tokens per Second", NULL, instrument->nfiltered2 / instrument->total, 0, es);
}

/* ---------- */

static const CustomExecMethods exec_methods = {
	.CustomName = "Residual Batch",
	.BeginCustomScan = begin,
	.ExecCustomScan = next_row,
	.EndCustomScan = end,
	.ReScanCustomScan = rescan,
	.ExplainCustomScan = explain
};

static Node *
create_state(CustomScan *scan)
{
	BatchState *state = (BatchState *) newNode(sizeof(BatchState), T_CustomScanState);

	state->css.methods = &exec_methods;
	return (Node *) state;
}

static const CustomScanMethods scan_methods = {
	.CustomName = "Residual Batch",
	.CreateCustomScanState = create_state
};

void
res_batch_node_hold_back(PlanState *node)
{
	while (is_ours(node))
	{
		res_read_ahead_hold_back(((BatchState *) node)->ahead);
		node = outerPlanState(node);
	}
}

CustomScan *
res_batch_node_make(void)
{
	CustomScan *scan = makeNode(CustomScan);

	scan->methods = &scan_methods;
	return scan;
}

void
res_batch_node_register(void)
{
	RegisterCustomScanMethods(&scan_methods);
}
