/*
 * batch_call.c
 *		Which calls are ours, and which expressions may be evaluated ahead.
 *
 * src/pg/batch_call.c
 */
#include "batch_call.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

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

bool
res_is_call(const Node *node)
{
	return IsA(node, FuncExpr) && ((const FuncExpr *) node)->funcresulttype == TEXTOID &&
		is_translate(((const FuncExpr *) node)->funcid);
}

bool
res_has_call(Node *node, void *unused)
{
	if (node == NULL)
		return false;
	return res_is_call(node) || expression_tree_walker(node, res_has_call, unused);
}

/* ---------- what may be evaluated elsewhere ---------- */

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
		case T_CurrentOfExpr:
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

bool
res_may_be_moved(Node *node)
{
	return !is_bound(node, NULL) && !contain_volatile_functions(node) && !expression_returns_set(node);
}

bool
res_may_go_ahead(Node *node)
{
	return !res_has_call(node, NULL) && res_may_be_moved(node);
}

static bool
is_leaky(Oid function, void *unused)
{
	return !get_func_leakproof(function);
}

bool
res_may_fail(Node *node, void *unused)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_List:
		case T_Var:
		case T_Const:
		case T_Param:
		case T_SQLValueFunction:
		case T_RelabelType:
		case T_BoolExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_CaseExpr:
		case T_CaseWhen:
		case T_CaseTestExpr:
		case T_CoalesceExpr:
			break;
		case T_FuncExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
			if (check_functions_in_node(node, is_leaky, NULL))
				return true;
			break;
		default:
			return true;
	}
	return expression_tree_walker(node, res_may_fail, unused);
}
