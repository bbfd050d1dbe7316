/*
 * apart.h
 *		Ask a process of its own: what may take long, or is to be measured
 *		alone.
 *
 * The serving engine hands this session's connection over to a fresh engine,
 * which answers one question; the connection ends with it.  Leaving by an
 * error closes it, which ends the process: that is all there is to cancelling.
 * When all places are taken this waits for one.
 *
 * src/pg/apart.h
 */
#ifndef RES_APART_H
#define RES_APART_H

#include "channel.h"

#include "utils/tuplestore.h"

/* Write the question to channel->out, frame by frame, each closed with res_channel_end; it may be long. */
typedef void (*ResApartAsk) (ResChannel *channel, void *arg);

/* A frame of the answer; false when it was the last. */
typedef bool (*ResApartTake) (const RnFrame *frame, void *arg);

/*
 * ERROR as the engine says, or 08006 when it ended before the answer did.
 * Neither callback may use the session's connection in another way: rows and
 * models of which SQL functions may ask are read before.
 */
extern void res_apart(ResApartAsk ask, ResApartTake take, void *arg);

/* For ask: send what has been written so far, lest it pile up.  ERROR when the engine has ended. */
extern void res_apart_send(ResChannel *channel);

/* For ask and take: the process has hung up. */
extern void res_apart_lost(void) pg_attribute_noreturn();

/*
 * For take: put the rows of a TABLE frame into the result; its columns must be
 * those of the result's row type, text, integer, bigint, double precision.
 * True for TABLE, false for TABLE_END; ERROR 08P01 for anything else.
 */
extern bool res_apart_put_rows(const RnFrame *frame, Tuplestorestate *store, TupleDesc columns);

#endif							/* RES_APART_H */
