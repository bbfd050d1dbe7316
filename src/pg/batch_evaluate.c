/*
 * batch_evaluate.c
 *		What a row asks: its calls' guards and arguments, evaluated ahead.
 *
 * src/pg/batch_evaluate.c
 */
#include "batch_evaluate.h"

#include "catalog/objectaccess.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "attempt.h"
#include "batch_call.h"
#include "batch_guard.h"

#define MAX_ARGUMENTS	3		/* text, model, options */

typedef struct Call
{
	ExprState  *guard;			/* is the call made for the row?  NULL: for every row */
	ExprState  *arguments[MAX_ARGUMENTS];	/* NULL: not given */
} Call;

struct ResCalls
{
	PlanState  *node;
	int			n;
	Call	   *calls;			/* [n] */
	bool		may_fail;		/* something of it */
	Bitmapset  *params;			/* that it uses */
	ExprContext *context;
	ResCall    *results;		/* where it goes */
};

/* As for any function that a query calls. */
static void
check_execute(Oid function)
{
	AclResult	result = pg_proc_aclcheck(function, GetUserId(), ACL_EXECUTE);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FUNCTION, get_func_name(function));
	InvokeFunctionExecuteHook(function);
}

/* A walker: the params that others of the plan compute. */
static bool
note_params(Node *node, void *arg)
{
	ResCalls   *calls = arg;

	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC)
		calls->params = bms_add_member(calls->params, ((Param *) node)->paramid);
	return expression_tree_walker(node, note_params, arg);
}

static void
prepare_call(ResCalls *calls, Expr *expression)
{
	Call	   *call = &calls->calls[calls->n++];
	Expr	   *guard;
	FuncExpr   *function = res_guarded_call(expression, &guard);
	ListCell   *argument;
	int			i = 0;

	check_execute(function->funcid);
	call->guard = ExecInitExpr(guard, calls->node);
	foreach(argument, function->args)
		call->arguments[i++] = ExecInitExpr(lfirst(argument), calls->node);
	calls->may_fail |= res_may_fail((Node *) guard, NULL) || res_may_fail((Node *) function->args, NULL);
	(void) note_params((Node *) guard, calls);
	(void) note_params((Node *) function->args, calls);
}

ResCalls *
res_calls_prepare(PlanState *node, const List *scan_list)
{
	ResCalls   *calls = palloc0(sizeof(ResCalls));
	ListCell   *cell;

	calls->node = node;
	calls->calls = palloc0(list_length(scan_list) * sizeof(Call));
	calls->context = CreateExprContext(node->state);
	foreach(cell, scan_list)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (!IsA(entry->expr, Var))
			prepare_call(calls, entry->expr);
	}
	return calls;
}

int
res_calls_count(const ResCalls *calls)
{
	return calls->n;
}

static void
evaluate_call(const Call *call, ExprContext *context, ResCall *result)
{
	Datum		values[MAX_ARGUMENTS] = {0, 0, 0};
	MemoryContext before;
	bool		isnull;
	int			k;

	result->isnull = false;
	if (call->guard != NULL)
		result->isnull = !DatumGetBool(ExecEvalExprSwitchContext(call->guard, context, &isnull)) || isnull;
	if (result->isnull)
		return;
	for (k = 0; k < MAX_ARGUMENTS && call->arguments[k] != NULL; k++)
	{
		values[k] = ExecEvalExprSwitchContext(call->arguments[k], context, &isnull);
		result->isnull |= isnull;	/* the function is strict */
	}
	if (result->isnull)
		return;
	before = MemoryContextSwitchTo(context->ecxt_per_tuple_memory);
	result->source = DatumGetTextPP(values[0]);
	result->model = k > 1 ? DatumGetTextPP(values[1]) : NULL;
	result->options = k > 2 ? DatumGetJsonbP(values[2]) : NULL;
	MemoryContextSwitchTo(before);
}

static void
evaluate_calls(void *arg)
{
	ResCalls   *calls = arg;
	int			i;

	for (i = 0; i < calls->n; i++)
		evaluate_call(&calls->calls[i], calls->context, &calls->results[i]);
}

/* Is anything needed ahead that a subplan computes when it is first needed?  It may not be in vain, nor in an attempt. */
static bool
awaits_subplan(const ResCalls *calls)
{
	const ParamExecData *params = calls->node->state->es_param_exec_vals;
	int			id = -1;

	while ((id = bms_next_member(calls->params, id)) >= 0)
	{
		if (params[id].execPlan != NULL)
			return true;
	}
	return false;
}

bool
res_calls_evaluate(ResCalls *calls, TupleTableSlot *row, ResCall *results)
{
	ResetExprContext(calls->context);
	calls->context->ecxt_outertuple = row;
	calls->results = results;
	if (awaits_subplan(calls))
		return false;
	if (calls->may_fail)
		return res_attempt(evaluate_calls, calls);
	evaluate_calls(calls);
	return true;
}
