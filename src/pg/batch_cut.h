/*
 * batch_cut.h
 *		Expressions cut in two: what a plan node gives, and what is made of it
 *		by a node of ours above it.
 *
 * src/pg/batch_cut.h
 */
#ifndef RES_BATCH_CUT_H
#define RES_BATCH_CUT_H

#include "residual.h"

#include "nodes/pg_list.h"
#include "nodes/primnodes.h"

typedef struct ResCut
{
	List	   *columns;		/* what the child is to give: TargetEntry */
	List	   *scan;			/* our node's custom_scan_tlist: child's columns and calls */
	bool		keep_columns;	/* the child stays as it is: Vars name its columns */
	bool		above;			/* the expressions are of the node above ours, which is to see ours as its child */
	List	   *guards;			/* what comes is evaluated only where all of them are true */
	bool		untold;			/* or for rows that nothing tells */
	int			n_calls;		/* that were taken out */
} ResCut;

/* The list as our node has it. */
extern List *res_cut_target_list(List *target_list, ResCut *cut);

/* Likewise of a list of expressions of which each is evaluated only where those before it are each of that kind. */
extern List *res_cut_while(BoolTestType test, List *list, ResCut *cut);

/* Our node gives the child's columns as they are, before anything else. */
extern void res_cut_keep_child(ResCut *cut, const List *target_list);

/* A list of the node above ours: calls in arguments of aggregates become columns of ours. */
extern List *res_cut_arguments(List *list, ResCut *cut);

#endif							/* RES_BATCH_CUT_H */
