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
	bool		conditional;	/* what comes is not evaluated for every row */
	int			n_calls;		/* that were taken out */
} ResCut;

/* Does the expression call residual_translate somewhere?  A walker: the second argument is not used. */
extern bool res_has_call(Node *node, void *unused);

/* The list as our node has it. */
extern List *res_cut_target_list(List *target_list, ResCut *cut);

/* Likewise of a list of expressions of which each is evaluated only if those before it say so. */
extern List *res_cut_after_first(List *list, ResCut *cut);

/* Our node gives the child's columns as they are, before anything else. */
extern void res_cut_keep_child(ResCut *cut, const List *target_list);

/* A list of the node above ours: calls in arguments of aggregates become columns of ours. */
extern List *res_cut_arguments(List *list, ResCut *cut);

#endif							/* RES_BATCH_CUT_H */
