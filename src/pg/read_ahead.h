/*
 * read_ahead.h
 *		Rows that are read before they are asked for, so that their texts are
 *		translated in batches, and while more rows are read.
 *
 * The plan node and the window function say how a row is read; here it is
 * decided how many, and the rows come out in the order in which they went in,
 * with their translations.
 *
 * It must not show.  An error belongs to its row and is raised when that row
 * is asked for: so a row that needs a model or options that are new waits
 * until those before it have gone, and so does one whose calls cannot be known
 * before.  And what nobody asks for must not cost much: the first batch is
 * small, and no more rows are ahead than a few times those that were asked for.
 *
 * src/pg/read_ahead.h
 */
#ifndef RES_READ_AHEAD_H
#define RES_READ_AHEAD_H

#include "batch.h"

#include "access/htup.h"

/* One call of residual_translate in a row.  What points somewhere lives until the next row is read. */
typedef struct ResCall
{
	bool		isnull;			/* its answer is NULL, whatever the rest */
	text	   *source;
	text	   *model;			/* NULL: residual.default_model */
	Jsonb	   *options;		/* NULL: none */
} ResCall;

typedef enum ResRowKind
{
	RES_NO_ROW,					/* the end */
	RES_LATER,					/* read: not while rows wait to be given */
	RES_ROW,
	RES_ROW_ALONE				/* its calls are made by whoever asked for it, when its turn has come */
} ResRowKind;

/*
 * Read the next row: its calls, unless they cannot be known ahead, and what is
 * to be given back with it, palloc'd in keep (*row may stay NULL).
 */
typedef ResRowKind (*ResReadRow) (void *arg, MemoryContext keep, ResCall *calls, MinimalTuple *row);

typedef struct ResReadAhead ResReadAhead;

/*
 * Lives in a memory context of its own below home.  alone: a row whose model
 * or options are in error is given out alone, so that its other columns come
 * first; else the error is raised here.
 */
extern ResReadAhead *res_read_ahead_create(MemoryContext home, int n_calls, ResReadRow read, void *arg, bool alone);

/* Forget all rows and begin anew; models stay those that were chosen. */
extern void res_read_ahead_reset(ResReadAhead *ahead);

/* From now on each row is given before the next is read. */
extern void res_read_ahead_hold_back(ResReadAhead *ahead);
extern void res_read_ahead_free(ResReadAhead *ahead);

/* The next row and the answers to its calls, unless it comes alone; all of it lives until the next call. */
extern ResRowKind res_read_ahead_next(ResReadAhead *ahead, MinimalTuple *row, Datum *answers, bool *nulls);

/* Rows that were read and wait to be given. */
extern int64 res_read_ahead_waiting(const ResReadAhead *ahead);

/* Will the next row be alone?  The one that was given last goes. */
extern bool res_read_ahead_is_alone(ResReadAhead *ahead);

/* Since the start: different texts of batches, requests that they made, tokens of answers. */
typedef struct ResReadAheadCounts
{
	int64		sentences;
	int64		batches;
	int64		tokens;
} ResReadAheadCounts;

extern ResReadAheadCounts res_read_ahead_counts(const ResReadAhead *ahead);

#endif							/* RES_READ_AHEAD_H */
