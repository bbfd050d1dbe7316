/*
 * batch_evaluate.h
 *		What a row asks: its calls' guards and arguments, evaluated ahead.
 *
 * src/pg/batch_evaluate.h
 */
#ifndef RES_BATCH_EVALUATE_H
#define RES_BATCH_EVALUATE_H

#include "read_ahead.h"

#include "nodes/execnodes.h"

typedef struct ResCalls ResCalls;

/* Of a node's custom_scan_tlist, all that is no column of the child.  ERROR 42501 where the user may not call the function. */
extern ResCalls *res_calls_prepare(PlanState *node, const List *scan_list);
extern int	res_calls_count(const ResCalls *calls);

/*
 * Evaluate them for a row of the child; results live until the next row's.
 * False: it cannot be done ahead, because an error comes of it or because a
 * subplan of which this would be the first user has not run.
 */
extern bool res_calls_evaluate(ResCalls *calls, TupleTableSlot *row, ResCall *results);

#endif							/* RES_BATCH_EVALUATE_H */
