/*
 * rows.h
 *		Rows of text in the spill file, as they came.
 *
 * Written once, then read from the start as often as needed, a bounded part
 * at a time.
 *
 * src/engine/rows.h
 */
#ifndef RN_ROWS_H
#define RN_ROWS_H

#include "base/spill.h"
#include "text/tokenizer.h"

typedef struct RnRow
{
	int			set;			/* 0 training, 1 validation */
	uint64_t	hash[2];		/* of the pair: gives it its place in every order */
	RnText		source;
	RnText		target;
} RnRow;

typedef struct RnRows RnRows;

/* The spill file is lent. */
extern RnStatus rn_rows_create(RnContext *ctx, RnSpill *spill, RnRows **rows);

/* Gives its part of the file back. */
extern void rn_rows_free(RnRows *rows);

extern RnStatus rn_rows_add(RnContext *ctx, RnRows *rows, int set, RnText source, RnText target);
extern RnStatus rn_rows_finish(RnContext *ctx, RnRows *rows);

extern uint64_t rn_rows_count(const RnRows *rows, int set);
extern uint64_t rn_rows_bytes(const RnRows *rows, int set);	/* of text */

/* Start from the first row again. */
extern void rn_rows_rewind(RnRows *rows);

/*
 * Some rows more, at least one unless none is left (*n 0).  They live until
 * the next call.
 */
extern RnStatus rn_rows_read(RnContext *ctx, RnRows *rows, const RnRow **some, int *n);

#endif							/* RN_ROWS_H */
