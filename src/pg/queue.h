/*
 * queue.h
 *		The jobs of this database that wait for a place.
 *
 * They are started in the order of their numbers: by the launcher where there
 * is one, else by a worker whose job has ended.
 *
 * src/pg/queue.h
 */
#ifndef RES_QUEUE_H
#define RES_QUEUE_H

#include "residual.h"

/*
 * Start as many as there are places, at commit; the launcher is told when
 * some are left.  interrupted: those that a crash or shutdown has interrupted
 * become queued first.
 */
extern void res_queue_start(bool interrupted);

#endif							/* RES_QUEUE_H */
