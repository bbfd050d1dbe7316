/*
 * corpus.h
 *		Sentence pairs out of the user's table.
 *
 * src/pg/corpus.h
 */
#ifndef RES_CORPUS_H
#define RES_CORPUS_H

#include "residual.h"

/*
 * Can the current user read pairs from these columns, in a session of its own?
 * Gives the qualified, quoted name, palloc'd; else an ERROR that says what is
 * wrong.  The relation stays locked until the end of the transaction.  Policies
 * of row-level security are for the reading to apply.
 */
extern char *res_corpus_check(Oid relation, const char *source, const char *target);

/* The same for this session, which sees its temporary tables. */
extern char *res_corpus_check_here(Oid relation, const char *source, const char *target);

/* The same as the first for a table whose name a user has written; ERROR 42P01 when there is none. */
extern char *res_corpus_check_name(const char *name, const char *source, const char *target);

/*
 * A pair in UTF-8, not NUL-terminated; NULL for NULL.  Lives for the call.  A
 * side longer than RES_TEXT_MAX is cut.
 */
typedef void (*ResPairSink) (void *arg, const char *source, Size source_size, const char *target, Size target_size);

#define RES_TEXT_MAX	(4 * 1024 * 1024)

/*
 * Read all pairs, or so many (limit 0: all), as the current user with the
 * active snapshot, one row in memory at a time.  table is a name as
 * res_corpus_check gives it.  Gives the number of rows.
 */
extern uint64 res_corpus_each(const char *table, const char *source, const char *target, int64 limit,
							  ResPairSink sink, void *arg);

#endif							/* RES_CORPUS_H */
