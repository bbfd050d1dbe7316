/*
 * apart.c
 *		One question, answered by a process of its own.
 *
 * The serving engine has handed its connection over (handover.c): the peer is
 * a session of the server, which has checked its user's rights.  The first
 * frame says what is asked; each kind of question is a file of its own.
 *
 * src/engine/apart.c
 */
#include "engine/apart.h"

#include <sys/resource.h>

#include "engine/devices.h"
#include "engine/diagnosis.h"
#include "engine/frames.h"
#include "engine/peer.h"
#include "engine/shortlist_answer.h"
#include "kernels/device.h"

#define NICE	5				/* translations go first */

static RnStatus
greet(RnContext *ctx, RnPeer *peer, RnWriter *out)
{
	RN_TRY(rn_write_hello(ctx, out, rn_cpu_kernels()->description()));
	return rn_peer_send(ctx, peer, out);
}

static RnStatus
answer_ping(RnContext *ctx, RnPeer *peer, RnWriter *out, uint64_t id)
{
	RN_TRY(rn_write_empty(ctx, out, RN_PONG, id));
	return rn_peer_send(ctx, peer, out);
}

/* The first frame that is a question; *got 0 when the peer asks none. */
static RnStatus
await_question(RnContext *ctx, RnPeer *peer, RnWriter *out, const volatile sig_atomic_t *stop, RnFrame *frame, int *got)
{
	*got = 0;
	while (!*stop)
	{
		RN_TRY(rn_peer_receive(ctx, peer, -1, frame, got));
		if (*got && frame->type != RN_PING)
			return RN_OK;
		if (*got)
			RN_TRY(answer_ping(ctx, peer, out, frame->id));
		*got = 0;
	}
	return RN_OK;
}

static RnStatus
answer(RnContext *ctx, RnPeer *peer, const RnFrame *frame, volatile sig_atomic_t *stop)
{
	switch (frame->type)
	{
		case RN_LOAD:
		case RN_DIAGNOSE:
			return rn_diagnosis(ctx, peer, frame, stop);
		case RN_SHORTLIST:
			return rn_shortlist_answer(ctx, peer, frame, stop);
		case RN_DEVICES:
			return rn_devices(ctx, peer);
		default:
			return rn_fail(ctx, RN_CORRUPT, "received a question of unknown type %u", frame->type);
	}
}

int
rn_apart(int control_fd, volatile sig_atomic_t *stop)
{
	RnContext	ctx;
	RnPeer		peer;
	RnWriter	out;
	RnFrame		frame;
	int			got = 0;

	setpriority(PRIO_PROCESS, 0, NICE);
	rn_context_reset(&ctx);
	rn_peer_init(&peer, control_fd);
	rn_writer_init(&out);
	if (greet(&ctx, &peer, &out) == RN_OK && await_question(&ctx, &peer, &out, stop, &frame, &got) == RN_OK && got &&
		answer(&ctx, &peer, &frame, stop) != RN_OK)
		rn_peer_send_error(&peer, 0, &ctx);
	if (got)
		rn_peer_await_end(&peer);
	rn_writer_free(&out);
	rn_peer_free(&peer);
	return 0;
}
