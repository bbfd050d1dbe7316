/*
 * collective.cu
 *		Several GPUs, a process each, by NCCL.
 *
 * NCCL is used without blocking: a call may answer that it is under way, and
 * is asked again until it is not; a stream is asked whether it is done.
 * Between two questions whoever formed the group looks about.  A rank that
 * died need not be noticed by NCCL, but then by them.
 *
 * kernels/cuda/collective.cu
 */
#include "kernels/cuda/nccl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POLL_US			50
#define WATCH_POLLS		20		/* questions between two looks */
#define EXPLAIN_MS		1000	/* for others to tell why NCCL failed */

struct RnGroup
{
	RnGroupOptions options;
	const RnNccl *nccl;
	RnNcclHandle comm;			/* NULL: aborted */
	unsigned	polls;
	RnContext	failure;		/* the first one */
};

/* ---- failures ---- */

/* What is queued ends, done or not, so that the lane can be used again. */
static void
give_up(RnGroup *group, const RnContext *why)
{
	if (group->failure.status == RN_OK)
		group->failure = *why;
	if (group->comm != NULL)
		group->nccl->abort(group->comm);
	group->comm = NULL;
}

static bool
look_about(RnGroup *group)
{
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (group->options.watch(&ctx, group->options.arg) == RN_OK)
		return true;
	give_up(group, &ctx);
	return false;
}

/* NCCL has failed: who watches is asked for the cause, since NCCL tells the consequence. */
static void
nccl_failed(RnGroup *group, int result)
{
	RnContext	ctx;
	int			ms;

	for (ms = 0; ms < EXPLAIN_MS; ms++)
	{
		if (!look_about(group))
			return;
		usleep(1000);
	}
	rn_context_reset(&ctx);
	rn_fail(&ctx, RN_DEVICE, "NCCL failed: %s", group->nccl->error_string(result));
	rn_detail(&ctx, "This was noticed by rank %d of %d.", group->options.rank, group->options.n);
	give_up(group, &ctx);
}

/* A moment between two questions; false when it is better not to ask again. */
static bool
pause_once(RnGroup *group)
{
	usleep(POLL_US);
	return ++group->polls % WATCH_POLLS != 0 || look_about(group);
}

/* Until the call that gave this result is done; false after a failure. */
static bool
settled(RnGroup *group, int result)
{
	while (result == RN_NCCL_IN_PROGRESS)
	{
		int			asked;

		if (!pause_once(group))
			return false;
		asked = group->nccl->async_error(group->comm, &result);
		if (asked != RN_NCCL_SUCCESS)
			result = asked;
	}
	if (result != RN_NCCL_SUCCESS)
		nccl_failed(group, result);
	return result == RN_NCCL_SUCCESS;
}

/* ---- the group ---- */

static RnStatus
make_id(RnContext *ctx, char id[RN_GROUP_ID])
{
	const RnNccl *nccl;
	RnNcclId	unique;
	int			result;

	RN_TRY(rn_nccl_open(ctx, &nccl));
	result = nccl->get_unique_id(&unique);
	if (result != RN_NCCL_SUCCESS)
		return rn_fail(ctx, RN_DEVICE, "NCCL failed: %s", nccl->error_string(result));
	memcpy(id, unique.bytes, sizeof(unique.bytes));
	return RN_OK;
}

static void
leave(RnGroup *group)
{
	if (group == NULL)
		return;
	if (group->comm != NULL)
		group->nccl->abort(group->comm);
	free(group);
}

static RnStatus
meet(RnContext *ctx, RnGroup *group)
{
	RnNcclConfig config = {sizeof(RnNcclConfig), RN_NCCL_MAGIC, RN_NCCL_VERSION, 0};
	RnNcclId	unique;

	RN_TRY(rn_nccl_open(ctx, &group->nccl));
	memcpy(unique.bytes, group->options.id, sizeof(unique.bytes));
	if (!settled(group, group->nccl->init(&group->comm, group->options.n, unique, group->options.rank, &config)))
		*ctx = group->failure;
	return ctx->status;
}

static RnStatus
join(RnContext *ctx, const RnGroupOptions *options, RnGroup **result)
{
	RnGroup    *group = (RnGroup *) calloc(1, sizeof(RnGroup));

	*result = NULL;
	if (group == NULL)
		return rn_out_of_memory(ctx, sizeof(RnGroup));
	group->options = *options;
	if (meet(ctx, group) != RN_OK)
	{
		leave(group);
		return ctx->status;
	}
	*result = group;
	return RN_OK;
}

/* ---- operations ---- */

static void
add_up(RnGroup *group, RnLane *lane, size_t n, void *x, int type)
{
	if (group->comm != NULL && n > 0)
		settled(group, group->nccl->all_reduce(x, x, n, type, RN_NCCL_SUM, group->comm, rn_lane_stream(lane)));
}

static void
sum(RnGroup *group, RnLane *lane, size_t n, rn_real *x)
{
	add_up(group, lane, n, x, RN_NCCL_FLOAT);
}

static void
sum_doubles(RnGroup *group, RnLane *lane, size_t n, double *x)
{
	add_up(group, lane, n, x, RN_NCCL_DOUBLE);
}

static void
broadcast(RnGroup *group, RnLane *lane, size_t bytes, void *memory)
{
	if (group->comm != NULL && bytes > 0)
		settled(group, group->nccl->broadcast(memory, memory, bytes, RN_NCCL_BYTE, 0, group->comm, rn_lane_stream(lane)));
}

static RnStatus
wait_for(RnContext *ctx, RnGroup *group, RnLane *lane)
{
	cudaError_t error = lane->failed;
	int			result = RN_NCCL_SUCCESS;

	while (group->comm != NULL && error == cudaSuccess)
	{
		error = cudaStreamQuery(rn_lane_stream(lane));
		if (error != cudaErrorNotReady)
			break;
		error = cudaSuccess;
		if (pause_once(group) && group->polls % WATCH_POLLS == 0)
		{
			group->nccl->async_error(group->comm, &result);
			if (result != RN_NCCL_SUCCESS && result != RN_NCCL_IN_PROGRESS)
				nccl_failed(group, result);
		}
	}
	if (error != cudaSuccess)
	{
		/* the others' wait ends when this process does */
		rn_cuda_ok(lane, error, "waiting for the GPU");
		if (group->comm != NULL)
			group->nccl->abort(group->comm);
		group->comm = NULL;
		return rn_cuda_synchronize(ctx, lane);
	}
	if (group->failure.status != RN_OK)
	{
		*ctx = group->failure;
		return ctx->status;
	}
	return rn_cuda_synchronize(ctx, lane);
}

const RnCollectives rn_cuda_collectives = {
	make_id,
	join,
	leave,
	sum,
	sum_doubles,
	broadcast,
	wait_for,
};
