/*
 * batch_plan.h
 *		Calls of residual_translate in a finished plan, moved into nodes that
 *		batch them.
 *
 * src/pg/batch_plan.h
 */
#ifndef RES_BATCH_PLAN_H
#define RES_BATCH_PLAN_H

#include "residual.h"

#include "nodes/execnodes.h"
#include "nodes/extensible.h"
#include "nodes/plannodes.h"

/*
 * A copy of the statement in which nodes whose rows are translated stand below
 * nodes of ours; the statement itself where there is nothing to batch.
 * backward: rows may be asked for in reverse order.
 */
extern PlannedStmt *res_batch_plan(PlannedStmt *statement, bool backward);

/*
 * The node: its custom_scan_tlist has the child's columns, as Vars of
 * OUTER_VAR, and calls whose arguments are made of such; its custom_exprs, over
 * that list, are conditions that rows must fulfil.  (batch_node.c)
 */
extern CustomScan *res_batch_node_make(void);

/* If it is a node of ours, it gives each row before it reads the next, and so do those of ours below. */
extern void res_batch_node_hold_back(PlanState *node);

#endif							/* RES_BATCH_PLAN_H */
