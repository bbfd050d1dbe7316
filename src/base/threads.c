/*
 * threads.c
 *		A fixed set of threads that do the same job on different shards.
 *
 * A round is a number that goes up: a thread works when it sees a round it
 * has not done.  Waiting threads sleep, they do not spin; a step is long
 * against a wake-up, and the machine may be shared.
 *
 * src/base/threads.c
 */
#include "base/threads.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

typedef struct Worker
{
	RnThreads  *threads;		/* the set it belongs to */
	int			number;			/* 1 .. n_threads - 1 */
	pthread_t	handle;
} Worker;

struct RnThreads
{
	int			n_threads;		/* the caller included */
	int			n_started;		/* workers that run */
	Worker	   *workers;		/* [n_threads - 1] */
	pthread_mutex_t mutex;		/* guards all below */
	pthread_cond_t begin;		/* round went up, or stop */
	pthread_cond_t end;			/* busy went down to 0 */
	unsigned long round;
	int			busy;			/* workers that have not ended this round */
	int			stop;
	RnThreadWork work;
	void	   *arg;
};

static void *
worker_main(void *pointer)
{
	Worker	   *self = pointer;
	RnThreads  *threads = self->threads;
	unsigned long done = 0;

	rn_threads_flush_denormals();
	pthread_mutex_lock(&threads->mutex);
	for (;;)
	{
		while (threads->round == done && !threads->stop)
			pthread_cond_wait(&threads->begin, &threads->mutex);
		if (threads->stop)
			break;
		done = threads->round;
		pthread_mutex_unlock(&threads->mutex);

		threads->work(threads->arg, self->number, threads->n_threads);

		pthread_mutex_lock(&threads->mutex);
		if (--threads->busy == 0)
			pthread_cond_signal(&threads->end);
	}
	pthread_mutex_unlock(&threads->mutex);
	return NULL;
}

/* Signals are blocked around the start, and so in the thread. */
static int
start_worker(Worker *worker)
{
	sigset_t	all;
	sigset_t	before;
	int			error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&worker->handle, NULL, worker_main, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

RnStatus
rn_threads_create(RnContext *ctx, int n_threads, RnThreads **result)
{
	RnThreads  *threads = calloc(1, sizeof(RnThreads));
	int			i;

	*result = NULL;
	if (threads != NULL)
		threads->workers = calloc((size_t) n_threads, sizeof(Worker));
	if (threads == NULL || threads->workers == NULL)
	{
		free(threads);
		return rn_out_of_memory(ctx, (unsigned long long) n_threads * sizeof(Worker));
	}
	threads->n_threads = n_threads;
	pthread_mutex_init(&threads->mutex, NULL);
	pthread_cond_init(&threads->begin, NULL);
	pthread_cond_init(&threads->end, NULL);
	rn_threads_flush_denormals();
	for (i = 0; i < n_threads - 1; i++)
	{
		Worker	   *worker = &threads->workers[i];
		int			error;

		worker->threads = threads;
		worker->number = i + 1;
		error = start_worker(worker);
		if (error != 0)
		{
			rn_fail(ctx, RN_LIMIT, "could not start thread %d of %d: %s", i + 1, n_threads, strerror(error));
			rn_threads_free(threads);
			return ctx->status;
		}
		threads->n_started++;
	}
	*result = threads;
	return RN_OK;
}

void
rn_threads_run(RnThreads *threads, RnThreadWork work, void *arg)
{
	if (threads->n_started > 0)
	{
		pthread_mutex_lock(&threads->mutex);
		threads->work = work;
		threads->arg = arg;
		threads->busy = threads->n_started;
		threads->round++;
		pthread_cond_broadcast(&threads->begin);
		pthread_mutex_unlock(&threads->mutex);
	}
	work(arg, 0, threads->n_threads);
	if (threads->n_started > 0)
	{
		pthread_mutex_lock(&threads->mutex);
		while (threads->busy > 0)
			pthread_cond_wait(&threads->end, &threads->mutex);
		pthread_mutex_unlock(&threads->mutex);
	}
}

int
rn_threads_count(const RnThreads *threads)
{
	return threads->n_threads;
}

void
rn_threads_free(RnThreads *threads)
{
	int			i;

	if (threads == NULL)
		return;
	pthread_mutex_lock(&threads->mutex);
	threads->stop = 1;
	pthread_cond_broadcast(&threads->begin);
	pthread_mutex_unlock(&threads->mutex);
	for (i = 0; i < threads->n_started; i++)
		pthread_join(threads->workers[i].handle, NULL);
	pthread_cond_destroy(&threads->end);
	pthread_cond_destroy(&threads->begin);
	pthread_mutex_destroy(&threads->mutex);
	free(threads->workers);
	free(threads);
}

void
rn_threads_flush_denormals(void)
{
#if defined(__SSE__)
	_mm_setcsr(_mm_getcsr() | 0x8040);	/* FTZ and DAZ */
#elif defined(__aarch64__)
	unsigned long long control;

	__asm__ volatile("mrs %0, fpcr":"=r"(control));
	__asm__ volatile("msr fpcr, %0"::"r"(control | 1ull << 24));
#endif
}
