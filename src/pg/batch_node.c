/*
 * batch_node.c
 *		The plan node that translates in batches what its child gives row by
 *		row.
 *
 *		Custom Scan (Residual Batch)
 *		  Translate: residual_translate(title, 'en_de'::text)
 *		  ->  Seq Scan on products
 *
 * Arguments are evaluated when a row is read, everything else of the target
 * list when it is given out, so that what the rest of a row does happens in
 * its turn.  Model, version and rights are those of the query's snapshot.
 *
 * src/pg/batch_node.c
 */
#include "batch_plan.h"

#include "catalog/objectaccess.h"
#include "catalog/pg_proc.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

#include "read_ahead.h"

#define MAX_ARGUMENTS	3		/* text, model, options */

typedef struct Call
{
	FuncExpr   *function;
	ExprState  *arguments[MAX_ARGUMENTS];	/* NULL: not given */
	int			column;			/* of the scan tuple, from 0 */
} Call;

typedef struct BatchState
{
	CustomScanState css;
	int			n_calls;
	Call	   *calls;
	ExprContext *reading;		/* for arguments */
	TupleTableSlot *row;		/* what the child gave, as it was kept */
	ExprState  *condition;		/* that rows must fulfil, or NULL */
	ResReadAhead *ahead;
	ResReadAheadCounts shown;	/* what instrument has of it */
	Datum	   *answers;		/* [n_calls] */
	bool	   *nulls;
} BatchState;

/* ---------- start ---------- */

/* As for any function that a query calls. */
static void
check_execute(Oid function)
{
	AclResult	result = pg_proc_aclcheck(function, GetUserId(), ACL_EXECUTE);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FUNCTION, get_func_name(function));
	InvokeFunctionExecuteHook(function);
}

static void
prepare_calls(BatchState *state)
{
	CustomScan *scan = (CustomScan *) state->css.ss.ps.plan;
	ListCell   *cell;

	state->calls = palloc0(list_length(scan->custom_scan_tlist) * sizeof(Call));
	foreach(cell, scan->custom_scan_tlist)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		FuncExpr   *function = (FuncExpr *) entry->expr;
		Call	   *call = &state->calls[state->n_calls];
		ListCell   *argument;
		int			i = 0;

		if (!IsA(function, FuncExpr))
			continue;
		check_execute(function->funcid);
		call->function = function;
		call->column = entry->resno - 1;
		foreach(argument, function->args)
			call->arguments[i++] = ExecInitExpr(lfirst(argument), &state->css.ss.ps);
		state->n_calls++;
	}
}

/* Read a row of the child and what is to be translated of it. */
static bool
read_row(void *arg, MemoryContext keep, ResCall *calls, MinimalTuple *row)
{
	BatchState *state = arg;
	TupleTableSlot *slot = ExecProcNode(outerPlanState(state));
	MemoryContext before;
	int			i;

	if (TupIsNull(slot))
		return false;
	ResetExprContext(state->reading);
	state->reading->ecxt_outertuple = slot;
	for (i = 0; i < state->n_calls; i++)
	{
		Datum		values[MAX_ARGUMENTS] = {0, 0, 0};
		int			k;

		calls[i].isnull = false;
		for (k = 0; k < MAX_ARGUMENTS && state->calls[i].arguments[k] != NULL; k++)
		{
			bool		isnull;

			values[k] = ExecEvalExprSwitchContext(state->calls[i].arguments[k], state->reading, &isnull);
			calls[i].isnull |= isnull;	/* the function is strict */
		}
		if (calls[i].isnull)
			continue;
		before = MemoryContextSwitchTo(state->reading->ecxt_per_tuple_memory);
		calls[i].source = DatumGetTextPP(values[0]);
		calls[i].model = k > 1 ? DatumGetTextPP(values[1]) : NULL;
		calls[i].options = k > 2 ? DatumGetJsonbP(values[2]) : NULL;
		MemoryContextSwitchTo(before);
	}
	before = MemoryContextSwitchTo(keep);
	*row = ExecCopySlotMinimalTuple(slot);
	MemoryContextSwitchTo(before);
	return true;
}

static void
begin(CustomScanState *node, EState *estate, int eflags)
{
	BatchState *state = (BatchState *) node;
	CustomScan *scan = (CustomScan *) node->ss.ps.plan;

	outerPlanState(node) = ExecInitNode(outerPlan(scan), estate, eflags & ~(EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK));
	state->row = ExecInitExtraTupleSlot(estate, ExecGetResultType(outerPlanState(node)), &TTSOpsMinimalTuple);
	prepare_calls(state);
	state->condition = ExecInitQual(scan->custom_exprs, &node->ss.ps);
	state->reading = CreateExprContext(estate);
	state->ahead = res_read_ahead_create(estate->es_query_cxt, state->n_calls, read_row, state);
	state->answers = palloc(state->n_calls * sizeof(Datum));
	state->nulls = palloc(state->n_calls * sizeof(bool));
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
	int			i;

	ExecClearTuple(tuple);
	foreach(cell, scan->custom_scan_tlist)
	{
		Var		   *var = (Var *) lfirst_node(TargetEntry, cell)->expr;

		if (IsA(var, Var))
			tuple->tts_values[column] = slot_getattr(state->row, var->varattno, &tuple->tts_isnull[column]);
		column++;
	}
	for (i = 0; i < state->n_calls; i++)
	{
		tuple->tts_values[state->calls[i].column] = state->answers[i];
		tuple->tts_isnull[state->calls[i].column] = state->nulls[i];
	}
	ExecStoreVirtualTuple(tuple);
}

/* The next row of the child with its translations in the scan tuple; false at the end. */
static bool
next_tuple(BatchState *state)
{
	MinimalTuple row;
	bool		got;

	ExecClearTuple(state->row);
	ExecClearTuple(state->css.ss.ss_ScanTupleSlot);
	got = res_read_ahead_next(state->ahead, &row, state->answers, state->nulls);
	note_counts(state);
	if (!got)
		return false;
	ExecStoreMinimalTuple(row, state->row, false);
	fill_scan_tuple(state);
	return true;
}

static TupleTableSlot *
next_row(CustomScanState *node)
{
	BatchState *state = (BatchState *) node;
	ExprContext *econtext = node->ss.ps.ps_ExprContext;

	do
	{
		CHECK_FOR_INTERRUPTS();
		ResetExprContext(econtext);
		if (!next_tuple(state))
			return NULL;
		econtext->ecxt_scantuple = node->ss.ss_ScanTupleSlot;
	} while (!ExecQual(state->condition, econtext));
	return node->ss.ps.ps_ProjInfo == NULL ? node->ss.ss_ScanTupleSlot : ExecProject(node->ss.ps.ps_ProjInfo);
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

static void
explain_expressions(BatchState *state, List *ancestors, ExplainState *es)
{
	CustomScan *scan = (CustomScan *) state->css.ss.ps.plan;
	List	   *context = set_deparse_context_plan(es->deparse_cxt, &scan->scan.plan, ancestors);
	bool		prefix = es->verbose || list_length(es->rtable) > 1;
	List	   *calls = NIL;
	int			i;

	for (i = 0; i < state->n_calls; i++)
		calls = lappend(calls, deparse_expression((Node *) state->calls[i].function, context, prefix, false));
	ExplainPropertyList("Translate", calls, es);
	if (scan->custom_exprs != NIL)
		ExplainPropertyText("Filter", deparse_expression((Node *) make_ands_explicit(scan->custom_exprs), context, prefix, false), es);
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
