/*
 * attempt.h
 *		Something that may fail without the statement failing.
 *
 * src/pg/attempt.h
 */
#ifndef RES_ATTEMPT_H
#define RES_ATTEMPT_H

#include "residual.h"

typedef void (*ResWork) (void *arg);

/*
 * Do it in a subtransaction.  False: it raised an ERROR, which is forgotten
 * with all that it did.  Nothing that lives longer (a plan node, a cursor) may
 * be moved on in it.  Parallel workers and their leader have no
 * subtransactions: there the ERROR goes on, as a cancel does everywhere.
 */
extern bool res_attempt(ResWork work, void *arg);

#endif							/* RES_ATTEMPT_H */
