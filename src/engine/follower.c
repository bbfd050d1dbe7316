/*
 * follower.c
 *		One of several processes that train one model, but not the first.
 *
 * It does what rank 0 does in a step, from the same numbers, and nothing else.
 * It lives no longer than its leader: the kernel ends it with it, and the end
 * of the connection does, looked for whenever it waits for others.
 *
 * src/engine/follower.c
 */
#include "engine/follower.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "engine/frames.h"
#include "engine/peer.h"
#include "kernels/device.h"
#include "train/trainer.h"

#define SILENCE_MS		2000	/* before words on a failure of all: who caused it speaks first */

typedef struct Following
{
	RnPeer		peer;
	RnWriter	out;
	RnConfig	config;
	const RnKernels *kernels;
	RnRanks		ranks;
	RnThreads  *threads;
	RnModel    *model;
	RnTrainer  *trainer;
	RnTensorStatistics *statistics; /* [params]: a probe makes them, rank 0 tells them */
	int			lost;			/* a collective has failed, here or elsewhere */

	/* the batch that came last */
	RnPair	   *pairs;
	size_t		pair_capacity;
	int32_t    *ids;
	size_t		id_capacity;
} Following;

/* ---- what is heard ---- */

/* Has the leader gone, within so many ms? */
static int
leader_is_gone(const Following *following, int ms)
{
	struct pollfd one = {following->peer.fd, POLLRDHUP, 0};

	return poll(&one, 1, ms) > 0 && one.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

/* RnGroupOptions.watch */
static RnStatus
watch(RnContext *ctx, void *arg)
{
	(void) ctx;
	if (leader_is_gone(arg, 0))
		_exit(0);				/* nobody is left to tell anything */
	return RN_OK;
}

/* The next frame, of this type. */
static RnStatus
hear(RnContext *ctx, Following *following, uint32_t type, RnFrame *frame)
{
	int			got = 0;

	while (!got)
	{
		if (rn_peer_receive(ctx, &following->peer, -1, frame, &got) == RN_IO)
			_exit(0);
		RN_TRY(ctx->status);
	}
	if (type != 0 && frame->type != type)
		return rn_fail(ctx, RN_CORRUPT, "received a message of type %u where one of type %u belongs", frame->type, type);
	return RN_OK;
}

static RnStatus
make_room(RnContext *ctx, void *array, size_t *capacity, size_t n, size_t size)
{
	void	   *grown;

	if (n <= *capacity)
		return RN_OK;
	grown = realloc(*(void **) array, (n + n / 4) * size);
	if (grown == NULL)
		return rn_out_of_memory(ctx, (n + n / 4) * size);
	*(void **) array = grown;
	*capacity = n + n / 4;
	return RN_OK;
}

/* Ids of one side, behind those that are there already: room for them was made. */
static const int32_t *
take_ids(Following *following, RnReader *reader, size_t *used, int *n)
{
	size_t		size;
	const char *bytes = rn_read_bytes(reader, &size);
	int32_t    *at = following->ids + *used;

	*n = (int) (size / sizeof(int32_t));
	if (*n > 0)
		memcpy(at, bytes, (size_t) *n * sizeof(int32_t));
	*used += (size_t) *n;
	return at;
}

/* RnRanks.share_batch */
static RnStatus
share_batch(RnContext *ctx, void *arg, RnBatch *batch)
{
	Following  *following = arg;
	size_t		used = 0;
	RnReader	reader;
	RnFrame		frame;
	uint32_t	i;

	RN_TRY(hear(ctx, following, RN_RANK_BATCH, &frame));
	memset(batch, 0, sizeof(*batch));
	rn_reader_init(&reader, &frame);
	batch->n_pairs = (int) rn_read_count(&reader, 2 * sizeof(uint32_t));
	RN_TRY(make_room(ctx, &following->pairs, &following->pair_capacity, (size_t) batch->n_pairs, sizeof(RnPair)));
	RN_TRY(make_room(ctx, &following->ids, &following->id_capacity, frame.length / sizeof(int32_t), sizeof(int32_t)));
	for (i = 0; i < (uint32_t) batch->n_pairs; i++)
	{
		RnPair	   *pair = &following->pairs[i];

		pair->source = take_ids(following, &reader, &used, &pair->n_source);
		pair->target = take_ids(following, &reader, &used, &pair->n_target);
		batch->source_tokens += pair->n_source + 1;
		batch->target_tokens += pair->n_target + 1;
	}
	batch->pairs = following->pairs;
	return rn_reader_end(ctx, &reader, "batch");
}

/* ---- what is done ---- */

static RnStatus
say(RnContext *ctx, Following *following)
{
	RN_TRY(rn_write_end(ctx, &following->out));
	return rn_peer_send(ctx, &following->peer, &following->out);
}

/* The greeting, the device, the group. */
static RnStatus
join(RnContext *ctx, Following *following)
{
	const RnDeviceLibrary *library;
	RnGroupOptions options;
	char		device[32];
	char		precision[32];
	const char *id;
	RnReader	reader;
	RnFrame		frame;
	size_t		size;

	RN_TRY(rn_write_hello(ctx, &following->out, rn_cpu_kernels()->description()));
	RN_TRY(rn_peer_send(ctx, &following->peer, &following->out));
	RN_TRY(hear(ctx, following, RN_RANK, &frame));
	memset(&options, 0, sizeof(options));
	rn_reader_init(&reader, &frame);
	options.rank = (int) rn_read_u32(&reader);
	options.n = (int) rn_read_u32(&reader);
	rn_read_string(&reader, device, sizeof(device));
	rn_read_string(&reader, precision, sizeof(precision));
	id = rn_read_bytes(&reader, &size);
	RN_TRY(rn_reader_end(ctx, &reader, "rank"));
	if (size != sizeof(options.id))
		return rn_fail(ctx, RN_CORRUPT, "received a malformed identity");
	memcpy(options.id, id, sizeof(options.id));
	options.watch = watch;
	options.arg = following;
	RN_TRY(rn_device_choose(ctx, device, precision, &following->kernels, NULL));
	RN_TRY(rn_device_library(ctx, &library));
	following->ranks.rank = options.rank;
	following->ranks.n = options.n;
	following->ranks.collectives = library->collectives;
	following->ranks.share_batch = share_batch;
	following->ranks.arg = following;
	if (library->collectives->join(ctx, &options, &following->ranks.group) != RN_OK)
	{
		following->lost = ctx->status == RN_DEVICE;
		return ctx->status;
	}
	rn_write_begin(&following->out, RN_RANK_READY, 0);
	return say(ctx, following);
}

static RnStatus
make_model(RnContext *ctx, Following *following)
{
	static const RnSpecialIds special = {RN_PAD_ID, RN_START_ID, RN_END_ID};
	RnTrainerOptions options;
	RnReader	reader;
	RnFrame		frame;

	RN_TRY(hear(ctx, following, RN_RANK_MODEL, &frame));
	rn_reader_init(&reader, &frame);
	rn_config_defaults(&following->config);
	RN_TRY(rn_take_pairs(ctx, &reader, rn_take_option, &following->config));
	RN_TRY(rn_reader_end(ctx, &reader, "model"));
	RN_TRY(rn_threads_create(ctx, 1, &following->threads));
	RN_TRY(rn_model_create(ctx, &following->config, &special, following->config.max_length, &following->model));
	memset(&options, 0, sizeof(options));
	options.model = following->model;
	options.config = &following->config;
	options.kernels = following->kernels;
	options.threads = following->threads;
	options.ranks = &following->ranks;
	RN_TRY(rn_trainer_create(ctx, &options, &following->trainer));
	following->statistics = calloc((size_t) rn_model_params(following->model)->count, sizeof(RnTensorStatistics));
	return following->statistics != NULL ? RN_OK : rn_out_of_memory(ctx, 0);
}

static RnStatus
step(RnContext *ctx, Following *following, const RnFrame *frame)
{
	RnStepResult result;
	RnReader	reader;
	RnRankStep	what;

	rn_reader_init(&reader, frame);
	what = (RnRankStep) rn_read_u8(&reader);
	RN_TRY(rn_reader_end(ctx, &reader, "step"));
	return what == RN_RANK_PROBE ?
		rn_trainer_probe(ctx, following->trainer, NULL, &result, following->statistics) :
		rn_trainer_step(ctx, following->trainer, NULL, &result, NULL);
}

static RnStatus
tell_digest(RnContext *ctx, Following *following)
{
	uint64_t	digest[2];

	RN_TRY(rn_ranks_digest(ctx, following->trainer, digest));
	rn_write_begin(&following->out, RN_RANK_DIGEST, 0);
	rn_write_u64(&following->out, digest[0]);
	rn_write_u64(&following->out, digest[1]);
	return say(ctx, following);
}

static RnStatus
follow(RnContext *ctx, Following *following)
{
	RnFrame		frame;

	RN_TRY(join(ctx, following));
	RN_TRY(make_model(ctx, following));
	for (;;)
	{
		RN_TRY(hear(ctx, following, 0, &frame));
		if (frame.type == RN_RANK_STEP)
			RN_TRY(step(ctx, following, &frame));
		else if (frame.type == RN_RANK_DIGEST)
			RN_TRY(tell_digest(ctx, following));
		else
			return rn_fail(ctx, RN_CORRUPT, "received an unexpected message of type %u", frame.type);
	}
}

int
rn_follow(int control_fd)
{
	Following	following;
	RnContext	ctx;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	rn_context_reset(&ctx);
	memset(&following, 0, sizeof(following));
	rn_peer_init(&following.peer, control_fd);
	rn_writer_init(&following.out);
	follow(&ctx, &following);

	/* the leader ends this process when it has heard why */
	if (!following.lost || !leader_is_gone(&following, SILENCE_MS))
		rn_peer_send_error(&following.peer, 0, &ctx);
	rn_peer_await_end(&following.peer);
	return 0;
}
