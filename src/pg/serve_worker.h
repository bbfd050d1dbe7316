/*
 * serve_worker.h
 *		The supervisor: one background worker a cluster that keeps the serving
 *		engine alive.
 *
 *		(none) --> waiting for the lock --> engine running <--> backing off
 *
 * It makes the listening socket and keeps it, so that while an engine
 * restarts, connections wait in the backlog instead of being refused.  Whoever
 * holds RES_SERVE_LOCK is the supervisor and may touch the socket.
 *
 * Preloaded, it is there from the start (res_serve_register, in residual.h);
 * else the first session that needs it registers one.
 *
 * src/pg/serve_worker.h
 */
#ifndef RES_SERVE_WORKER_H
#define RES_SERVE_WORKER_H

#include "residual.h"

#include "postmaster/bgworker.h"

/* Relative to the data directory, where every process of the server is: short enough for a socket's name. */
#define RES_SERVE_SOCKET	"pg_stat_tmp/residual.sock"
#define RES_SERVE_LOCK		"pg_stat_tmp/residual.lock"
#define RES_SERVE_START		"pg_stat_tmp/residual.start"	/* held by the session that registers one */
#define RES_SERVE_ALONE		"pg_stat_tmp/residual.alone"	/* held by sessions that try again */

/* A descriptor that holds the file's lock until it is closed, or -1: others have it. */
extern int	res_lock_file(const char *path, bool shared);

/* Does the server itself start, and restart, a supervisor? */
extern bool res_serve_is_preloaded(void);

/* From a session; false when no background worker slot is free. */
extern bool res_serve_start_worker(BackgroundWorkerHandle **handle);

extern PGDLLEXPORT void res_serve_main(Datum arg);

#endif							/* RES_SERVE_WORKER_H */
