/*
 * batch_values.h
 *		Calls in the lists of VALUES, moved to where they can be batched.
 *
 * src/pg/batch_values.h
 */
#ifndef RES_BATCH_VALUES_H
#define RES_BATCH_VALUES_H

#include "residual.h"

#include "nodes/plannodes.h"

/*
 * Where each list calls in the same way, the lists keep what differs, the
 * arguments, and the scan's target list gets the calls.  The query's range
 * table tells EXPLAIN what the new columns are called.
 */
extern void res_batch_values(ValuesScan *scan, List *range_table);

#endif							/* RES_BATCH_VALUES_H */
