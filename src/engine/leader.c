/*
 * leader.c
 *		The first of several processes that train one model.
 *
 * src/engine/leader.c
 */
#include "engine/leader.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/child.h"
#include "engine/frames.h"
#include "engine/peer.h"
#include "kernels/device.h"

#define PROGRAM			"/proc/self/exe"
#define LOOK_MS			100		/* how often the stop flag is looked at */
#define LAST_WORDS_MS	1000	/* until a process whose socket is closed has ended */

_Static_assert(RN_DEVICES_MOST <= RN_GROUP_MOST, "options name no more devices than a group has room for");

typedef struct Follower
{
	RnPeer		peer;
	pid_t		pid;			/* 0: none, or reaped */
	int			number;			/* of its device */
	int			rank;
	int			ready;
	int			compared;		/* digest has come */
	uint64_t	digest[2];
} Follower;

struct RnLeader
{
	const volatile sig_atomic_t *stop;
	RnRanks		ranks;
	RnWriter	out;
	int			n;
	Follower	followers[RN_GROUP_MOST];
};

/* ---- what followers say ---- */

/* How a process has ended, that closed its socket without a word. */
static RnStatus
fail_for_lost(RnContext *ctx, Follower *follower)
{
	int			status = 0;
	int			ms;

	for (ms = 0; ms < LAST_WORDS_MS && follower->pid != 0; ms++)
	{
		if (waitpid(follower->pid, &status, WNOHANG) == follower->pid)
			follower->pid = 0;
		else
			usleep(1000);
	}
	rn_context_reset(ctx);
	rn_fail(ctx, RN_DEVICE, "the process of rank %d, device \"cuda:%d\", was lost", follower->rank, follower->number);
	if (follower->pid != 0)
		rn_detail(ctx, "It has closed its connection.");
	else if (WIFSIGNALED(status))
		rn_detail(ctx, "It was terminated by signal %d.", WTERMSIG(status));
	else
		rn_detail(ctx, "It exited with code %d.", WEXITSTATUS(status));
	rn_hint(ctx, "All other ranks were ended; the job can be resumed from its last checkpoint.");
	return ctx->status;
}

/* Its own words, and whose they are. */
static RnStatus
fail_for_error(RnContext *ctx, const Follower *follower, const RnFrame *frame)
{
	RnContext	theirs;
	RnReader	reader;

	rn_context_reset(&theirs);
	rn_reader_init(&reader, frame);
	theirs.status = (RnStatus) rn_read_u32(&reader);
	rn_read_string(&reader, theirs.message, sizeof(theirs.message));
	rn_read_string(&reader, theirs.detail, sizeof(theirs.detail));
	rn_read_string(&reader, theirs.hint, sizeof(theirs.hint));
	RN_TRY(rn_reader_end(ctx, &reader, "error"));
	rn_fail(ctx, theirs.status, "rank %d, device \"cuda:%d\": %.440s", follower->rank, follower->number, theirs.message);
	if (theirs.detail[0] != '\0')
		rn_detail(ctx, "%s", theirs.detail);
	if (theirs.hint[0] != '\0')
		rn_hint(ctx, "%s", theirs.hint);
	return ctx->status;
}

static RnStatus
take_digest(RnContext *ctx, Follower *follower, const RnFrame *frame)
{
	RnReader	reader;

	rn_reader_init(&reader, frame);
	follower->digest[0] = rn_read_u64(&reader);
	follower->digest[1] = rn_read_u64(&reader);
	follower->compared = 1;
	return rn_reader_end(ctx, &reader, "digest");
}

static RnStatus
take_frame(RnContext *ctx, Follower *follower, const RnFrame *frame)
{
	switch (frame->type)
	{
		case RN_HELLO:
			return RN_OK;
		case RN_RANK_READY:
			follower->ready = 1;
			return RN_OK;
		case RN_RANK_DIGEST:
			return take_digest(ctx, follower, frame);
		case RN_ERROR:
			return fail_for_error(ctx, follower, frame);
		default:
			return rn_fail(ctx, RN_CORRUPT, "received an unexpected message of type %u from rank %d", frame->type,
						   follower->rank);
	}
}

/* All that has come from it. */
static RnStatus
listen_to(RnContext *ctx, Follower *follower)
{
	RnFrame		frame;
	int			got;

	for (;;)
	{
		if (rn_peer_receive(ctx, &follower->peer, 0, &frame, &got) == RN_IO)
			return fail_for_lost(ctx, follower);
		if (ctx->status != RN_OK || !got)
			return ctx->status;
		RN_TRY(take_frame(ctx, follower, &frame));
	}
}

/* RnGroupOptions.watch: a follower that is lost is more telling than what others say of it. */
static RnStatus
watch(RnContext *ctx, void *arg)
{
	RnLeader   *leader = arg;
	RnContext	first;
	int			i;

	if (*leader->stop)
		return rn_fail(ctx, RN_CANCELLED, "training was stopped");
	rn_context_reset(&first);
	for (i = 0; i < leader->n; i++)
	{
		RnContext	one;

		rn_context_reset(&one);
		listen_to(&one, &leader->followers[i]);
		if (first.status == RN_OK || leader->followers[i].pid == 0)
			first = one;
	}
	*ctx = first;
	return ctx->status;
}

/* Wait a while for words of any of them. */
static RnStatus
await_words(RnContext *ctx, RnLeader *leader)
{
	struct pollfd fds[RN_GROUP_MOST];
	int			i;

	for (i = 0; i < leader->n; i++)
	{
		fds[i].fd = leader->followers[i].peer.fd;
		fds[i].events = POLLIN;
	}
	if (poll(fds, (nfds_t) leader->n, LOOK_MS) < 0 && errno != EINTR)
		return rn_fail(ctx, RN_IO, "could not wait for other ranks: %s", strerror(errno));
	return watch(ctx, leader);
}

static RnStatus
await_ready(RnContext *ctx, RnLeader *leader)
{
	int			i = 0;

	while (i < leader->n)
	{
		if (leader->followers[i].ready)
			i++;
		else
			RN_TRY(await_words(ctx, leader));
	}
	return RN_OK;
}

/* ---- what they are told ---- */

/* The frame that was written, to one of them, or to all for NULL. */
static RnStatus
tell(RnContext *ctx, RnLeader *leader, Follower *one)
{
	RnWriter   *out = &leader->out;
	int			i;

	RN_TRY(rn_write_end(ctx, out));
	for (i = 0; i < leader->n && ctx->status == RN_OK; i++)
	{
		Follower   *follower = &leader->followers[i];
		RnWriter	frames = *out;	/* sending empties a writer, and these bytes go to several */

		if (one != NULL && one != follower)
			continue;
		if (rn_peer_send(ctx, &follower->peer, &frames) != RN_OK)
		{
			/* what it said before it ended is the better reason */
			rn_context_reset(ctx);
			if (watch(ctx, leader) == RN_OK)
				fail_for_lost(ctx, follower);
		}
	}
	rn_writer_consume(out, out->used);
	return ctx->status;
}

/* RnRanks.share_batch */
static RnStatus
share_batch(RnContext *ctx, void *arg, RnBatch *batch)
{
	RnLeader   *leader = arg;
	RnWriter   *out = &leader->out;
	int			i;

	rn_write_begin(out, RN_RANK_BATCH, 0);
	rn_write_u32(out, (uint32_t) batch->n_pairs);
	for (i = 0; i < batch->n_pairs; i++)
	{
		rn_write_bytes(out, batch->pairs[i].source, (size_t) batch->pairs[i].n_source * sizeof(int32_t));
		rn_write_bytes(out, batch->pairs[i].target, (size_t) batch->pairs[i].n_target * sizeof(int32_t));
	}
	return tell(ctx, leader, NULL);
}

RnStatus
rn_leader_make_model(RnContext *ctx, RnLeader *leader, const RnConfig *config)
{
	if (leader == NULL)
		return RN_OK;
	rn_write_begin(&leader->out, RN_RANK_MODEL, 0);
	rn_write_configuration(&leader->out, config);
	return tell(ctx, leader, NULL);
}

RnStatus
rn_leader_step(RnContext *ctx, RnLeader *leader, RnRankStep what)
{
	if (leader == NULL)
		return RN_OK;
	rn_write_begin(&leader->out, RN_RANK_STEP, 0);
	rn_write_u8(&leader->out, (uint8_t) what);
	return tell(ctx, leader, NULL);
}

RnStatus
rn_leader_compare(RnContext *ctx, RnLeader *leader, RnTrainer *trainer)
{
	uint64_t	digest[2];
	int			i;

	if (leader == NULL)
		return RN_OK;
	for (i = 0; i < leader->n; i++)
		leader->followers[i].compared = 0;
	rn_write_begin(&leader->out, RN_RANK_DIGEST, 0);
	RN_TRY(tell(ctx, leader, NULL));
	RN_TRY(rn_ranks_digest(ctx, trainer, digest));
	for (i = 0; i < leader->n; i++)
	{
		const Follower *follower = &leader->followers[i];

		while (!follower->compared)
			RN_TRY(await_words(ctx, leader));
		if (follower->digest[0] == digest[0] && follower->digest[1] == digest[1])
			continue;
		rn_fail(ctx, RN_DEVICE, "rank %d, device \"cuda:%d\", has other weights than rank 0 after step %lld", follower->rank,
				follower->number, (long long) rn_trainer_steps(trainer));
		rn_detail(ctx, "All ranks make the same updates, so one of the devices has computed wrongly.");
		rn_hint(ctx, "Resume the job from its last checkpoint, on devices that are of one kind and sound.");
		return ctx->status;
	}
	return RN_OK;
}

/* ---- beginning and end ---- */

static RnStatus
start_follower(RnContext *ctx, Follower *follower)
{
	int			sockets[2];
	int			error;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
		return rn_fail(ctx, RN_LIMIT, "could not open a socket: %s", strerror(errno));
	error = rn_child_start(PROGRAM, "follow", sockets[1], &follower->pid);
	close(sockets[1]);
	rn_peer_init(&follower->peer, sockets[0]);
	if (error == 0)
		return RN_OK;
	follower->pid = 0;
	return rn_fail(ctx, RN_LIMIT, "could not start an engine for device \"cuda:%d\": %s", follower->number, strerror(error));
}

static RnStatus
tell_ranks(RnContext *ctx, RnLeader *leader, const RnConfig *config, const char id[RN_GROUP_ID])
{
	RnWriter   *out = &leader->out;
	char		device[32];
	int			i;

	for (i = 0; i < leader->n; i++)
	{
		snprintf(device, sizeof(device), "cuda:%d", leader->followers[i].number);
		rn_write_begin(out, RN_RANK, 0);
		rn_write_u32(out, (uint32_t) leader->followers[i].rank);
		rn_write_u32(out, (uint32_t) leader->n + 1);
		rn_write_string(out, device);
		rn_write_string(out, config->precision);
		rn_write_bytes(out, id, RN_GROUP_ID);
		RN_TRY(tell(ctx, leader, &leader->followers[i]));
	}
	return RN_OK;
}

static RnStatus
form_group(RnContext *ctx, RnLeader *leader, const RnConfig *config, const RnDeviceLibrary *library)
{
	RnGroupOptions options;

	memset(&options, 0, sizeof(options));
	options.n = leader->n + 1;
	options.watch = watch;
	options.arg = leader;
	leader->ranks.n = options.n;
	leader->ranks.collectives = library->collectives;
	leader->ranks.share_batch = share_batch;
	leader->ranks.arg = leader;
	RN_TRY(library->collectives->make_id(ctx, options.id));
	RN_TRY(tell_ranks(ctx, leader, config, options.id));
	RN_TRY(library->collectives->join(ctx, &options, &leader->ranks.group));
	return await_ready(ctx, leader);
}

/* Before any of them is started, and without a look at them: that would make a context on each. */
static RnStatus
check_numbers(RnContext *ctx, const RnDeviceLibrary *library, const int *numbers, int n)
{
	int			devices;
	int			i;

	RN_TRY(library->count(ctx, &devices));
	for (i = 1; i < n; i++)
	{
		if (numbers[i] < devices)
			continue;
		rn_fail(ctx, RN_UNSUPPORTED, "device \"cuda:%d\" is not there", numbers[i]);
		rn_detail(ctx, "GPUs are numbered from 0 to %d.", devices - 1);
		return ctx->status;
	}
	return RN_OK;
}

static RnStatus
lead(RnContext *ctx, RnLeader *leader, const RnConfig *config, const int *numbers, int n)
{
	const RnDeviceLibrary *library;
	int			i;

	RN_TRY(rn_device_library(ctx, &library));
	RN_TRY(check_numbers(ctx, library, numbers, n));
	for (i = 1; i < n; i++)
	{
		Follower   *follower = &leader->followers[leader->n];

		follower->number = numbers[i];
		follower->rank = i;
		leader->n++;
		RN_TRY(start_follower(ctx, follower));
	}
	return form_group(ctx, leader, config, library);
}

RnStatus
rn_leader_start(RnContext *ctx, const RnConfig *config, const volatile sig_atomic_t *stop, RnLeader **result)
{
	int			numbers[RN_GROUP_MOST];
	int			n = rn_device_numbers(config->device, RN_GROUP_MOST, numbers);
	RnLeader   *leader;
	int			i;

	*result = NULL;
	if (n < 2)
		return RN_OK;
	leader = calloc(1, sizeof(*leader));
	if (leader == NULL)
		return rn_out_of_memory(ctx, sizeof(*leader));
	leader->stop = stop;
	for (i = 0; i < RN_GROUP_MOST; i++)
		leader->followers[i].peer.fd = -1;
	rn_writer_init(&leader->out);
	if (lead(ctx, leader, config, numbers, n) != RN_OK)
	{
		rn_leader_free(leader);
		return ctx->status;
	}
	*result = leader;
	return RN_OK;
}

void
rn_leader_free(RnLeader *leader)
{
	int			i;

	if (leader == NULL)
		return;
	for (i = 0; i < leader->n; i++)
	{
		Follower   *follower = &leader->followers[i];

		if (follower->pid != 0)
			kill(follower->pid, SIGKILL);
		while (follower->pid != 0 && waitpid(follower->pid, NULL, 0) < 0 && errno == EINTR)
			;
		if (follower->peer.fd >= 0)
		{
			close(follower->peer.fd);
			rn_peer_free(&follower->peer);
		}
	}
	if (leader->ranks.group != NULL)
		leader->ranks.collectives->leave(leader->ranks.group);
	rn_writer_free(&leader->out);
	free(leader);
}

const RnRanks *
rn_leader_ranks(const RnLeader *leader)
{
	return leader != NULL ? &leader->ranks : NULL;
}
