/*
 * threads.h
 *		A fixed set of threads that do the same job on different shards.
 *
 * The caller is thread 0.  Threads block every signal, so that only the main
 * thread sees them, and flush denormals to zero.
 *
 * src/base/threads.h
 */
#ifndef RN_THREADS_H
#define RN_THREADS_H

#include "base/context.h"

typedef struct RnThreads RnThreads;

typedef void (*RnThreadWork) (void *arg, int thread, int n_threads);

/* n_threads >= 1, the caller included. */
extern RnStatus rn_threads_create(RnContext *ctx, int n_threads, RnThreads **threads);

/* Run work on every thread and return when all have ended. */
extern void rn_threads_run(RnThreads *threads, RnThreadWork work, void *arg);
extern int	rn_threads_count(const RnThreads *threads);
extern void rn_threads_free(RnThreads *threads);

/* Flush denormals to zero on the calling thread. */
extern void rn_threads_flush_denormals(void);

#endif							/* RN_THREADS_H */
