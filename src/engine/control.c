/*
 * control.c
 *		The thread that listens while a job computes.
 *
 * It lives as long as the process: when the peer hangs up, the process ends
 * here and now, since there is nobody left to do anything for.
 *
 * src/engine/control.c
 */
#include "engine/control.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/frames.h"

#define LOOK_MS		100			/* how often the stop flag is looked at */

struct RnControl
{
	RnPeer	   *peer;
	volatile sig_atomic_t *stop;
	pthread_mutex_t lock;		/* guards all below */
	int			deaf;			/* the job cannot see the stop flag */
	int64_t		step;			/* at which it is deaf */
	RnContext	failure;		/* of the peer */
};

static void
answer_ping(RnControl *control, uint64_t id)
{
	RnWriter	writer;
	RnContext	ctx;

	rn_context_reset(&ctx);
	rn_writer_init(&writer);
	if (rn_write_empty(&ctx, &writer, RN_PONG, id) == RN_OK)
		rn_peer_send(&ctx, control->peer, &writer);
	rn_writer_free(&writer);
}

/* The last frame, after which nobody may send any more: the job's thread is still running. */
static void
end_process(RnControl *control)
{
	RnWriter	writer;
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (control->failure.status != RN_OK)
		rn_peer_send_error(control->peer, 0, &control->failure);
	else
	{
		rn_writer_init(&writer);
		rn_write_begin(&writer, RN_DONE, 0);
		rn_write_string(&writer, "stopped");
		rn_write_string(&writer, "stop");
		rn_write_i64(&writer, control->step);
		rn_write_f64(&writer, 0);
		if (rn_write_end(&ctx, &writer) == RN_OK)
			rn_peer_send(&ctx, control->peer, &writer);
	}
	pthread_mutex_lock(&control->peer->sending);
	rn_peer_await_end(control->peer);
	_exit(0);
}

static void
fail(RnControl *control, const RnContext *failure)
{
	pthread_mutex_lock(&control->lock);
	control->failure = *failure;
	pthread_mutex_unlock(&control->lock);
	*control->stop = 1;
}

static void
take_frame(RnControl *control, const RnFrame *frame)
{
	RnContext	failure;

	if (frame->type == RN_STOP && frame->length == 0)
		*control->stop = 1;
	else if (frame->type == RN_PING && frame->length == 0)
		answer_ping(control, frame->id);
	else
	{
		rn_context_reset(&failure);
		rn_fail(&failure, RN_CORRUPT, "received an unexpected message of type %u while training", frame->type);
		fail(control, &failure);
	}
}

/* Nothing more can be understood: wait for the end only. */
static void
give_up_reading(RnControl *control, const RnContext *failure)
{
	fail(control, failure);
	pthread_mutex_lock(&control->lock);
	if (control->deaf)
		end_process(control);
	pthread_mutex_unlock(&control->lock);
	rn_peer_await_end(control->peer);
	_exit(0);
}

static void *
control_main(void *arg)
{
	RnControl  *control = arg;

	for (;;)
	{
		RnContext	ctx;
		RnFrame		frame;
		int			got;

		rn_context_reset(&ctx);
		if (rn_peer_receive(&ctx, control->peer, LOOK_MS, &frame, &got) == RN_IO)
			_exit(0);
		if (ctx.status != RN_OK)
			give_up_reading(control, &ctx);
		if (got)
			take_frame(control, &frame);
		pthread_mutex_lock(&control->lock);
		if (*control->stop && control->deaf)
			end_process(control);
		pthread_mutex_unlock(&control->lock);
	}
	return NULL;
}

RnStatus
rn_control_start(RnContext *ctx, RnPeer *peer, volatile sig_atomic_t *stop, RnControl **result)
{
	RnControl  *control = calloc(1, sizeof(RnControl));
	pthread_attr_t attributes;
	pthread_t	thread;
	sigset_t	all,
				before;
	int			error;

	if (control == NULL)
		return rn_out_of_memory(ctx, sizeof(RnControl));
	control->peer = peer;
	control->stop = stop;
	pthread_mutex_init(&control->lock, NULL);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, &attributes, control_main, control);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (error != 0)
	{
		free(control);
		return rn_fail(ctx, RN_LIMIT, "could not start a thread: %s", strerror(error));
	}
	*result = control;
	return RN_OK;
}

void
rn_control_job_is_deaf(RnControl *control, int64_t step)
{
	pthread_mutex_lock(&control->lock);
	control->deaf = 1;
	control->step = step;
	pthread_mutex_unlock(&control->lock);
}

void
rn_control_job_listens(RnControl *control)
{
	pthread_mutex_lock(&control->lock);
	control->deaf = 0;
	pthread_mutex_unlock(&control->lock);
}

RnStatus
rn_control_check(RnContext *ctx, RnControl *control)
{
	pthread_mutex_lock(&control->lock);
	if (control->failure.status != RN_OK && ctx->status == RN_OK)
		*ctx = control->failure;
	pthread_mutex_unlock(&control->lock);
	return ctx->status;
}
