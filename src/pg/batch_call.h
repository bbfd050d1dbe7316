/*
 * batch_call.h
 *		Which calls are ours, and which expressions may be evaluated ahead.
 *
 * src/pg/batch_call.h
 */
#ifndef RES_BATCH_CALL_H
#define RES_BATCH_CALL_H

#include "residual.h"

#include "nodes/primnodes.h"

/* Is it a call of residual_translate? */
extern bool res_is_call(const Node *node);

/* Does the expression hold one somewhere?  A walker: the second argument is not used. */
extern bool res_has_call(Node *node, void *unused);

/*
 * May an expression (or a list) be evaluated at another time, and apart from
 * what is around it?  Not what is volatile or bound to its place.
 */
extern bool res_may_be_moved(Node *node);

/* And that ahead, so that it holds no call. */
extern bool res_may_go_ahead(Node *node);

/* May evaluating it raise an error?  The server's leakproof functions never do.  A walker, too. */
extern bool res_may_fail(Node *node, void *unused);

#endif							/* RES_BATCH_CALL_H */
