/*
 * judged_pairs.h
 *		Sentence pairs of a table, for functions that translate and judge them.
 *
 * Rows are read as the caller, a page at a time.
 *
 * src/pg/judged_pairs.h
 */
#ifndef RES_JUDGED_PAIRS_H
#define RES_JUDGED_PAIRS_H

#include "residual.h"

#include "utils/jsonb.h"

#include "score/judgement.h"

/* A page of pairs, no side NULL or without a visible character; what is palloc'd in the call goes with it. */
typedef void (*ResPairPage) (void *arg, int n, text **sources, text **targets);

/*
 * Every page of a table (a name as res_corpus_check gives it), of limit rows
 * at most (0: all).  Gives the number of rows left out: a side NULL or empty.
 */
extern int64 res_judged_pairs_each(const char *table, const char *source, const char *target, int64 limit,
								   ResPairPage page, void *arg);

/* ERROR 02000: there was no pair. */
extern void res_no_judged_pairs(const char *table, int64 skipped) pg_attribute_noreturn();

/* Add a pair; a hypothesis that is NULL counts as empty. */
extern void res_judge(RnJudgement *judgement, const text *hypothesis, const text *reference);

/* ---- options that are ours among those of the search: taken out of *options ---- */

/* The text of its value; NULL when it is not there (or *options is no object, for others to complain). */
extern char *res_take_option(Jsonb **options, const char *key);

/* "limit": rows to read at most; 0: no limit. */
extern int64 res_take_limit(Jsonb **options);

#endif							/* RES_JUDGED_PAIRS_H */
