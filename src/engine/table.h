/*
 * table.h
 *		An answer that is a table: rows out, a value at a time.
 *
 * Values come in the order of columns; a row is complete when its last value
 * has come.  What fails is told by rn_table_end, and by rn_table_status.
 *
 * src/engine/table.h
 */
#ifndef RN_TABLE_WRITER_H
#define RN_TABLE_WRITER_H

#include "engine/peer.h"

typedef struct RnTable
{
	RnPeer	   *peer;			/* lent */
	RnContext  *ctx;			/* lent: the first failure */
	RnWriter	out;
	uint32_t	columns;
	uint32_t	column;			/* that comes next */
	uint32_t	rows;			/* whole ones in the frame at hand */
} RnTable;

extern void rn_table_begin(RnContext *ctx, RnTable *table, RnPeer *peer, int columns);

extern void rn_table_text(RnTable *table, const char *value);	/* NULL or "" is null */
extern void rn_table_integer(RnTable *table, int64_t value);
extern void rn_table_number(RnTable *table, double value);	/* NaN is null */
extern void rn_table_null(RnTable *table);

/* Send what is left, and the end. */
extern RnStatus rn_table_end(RnTable *table);

/* Without an end: after a failure. */
extern void rn_table_free(RnTable *table);

#endif							/* RN_TABLE_WRITER_H */
