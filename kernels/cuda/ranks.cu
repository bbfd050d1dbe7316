/*
 * ranks.cu
 *		Several GPUs that add up their gradients.
 *
 * kernels/cuda/ranks.cu
 */
#include "kernels/cuda/ranks.h"

static RnStatus
refuse(RnContext *ctx)
{
	return rn_fail(ctx, RN_UNSUPPORTED, "a job on several GPUs is not supported yet");
}

RnStatus
rn_ranks_id(RnContext *ctx, uint8_t *)
{
	return refuse(ctx);
}

RnStatus
rn_ranks_join(RnContext *ctx, const uint8_t *, int, int, double, RnRanks **ranks)
{
	*ranks = NULL;
	return refuse(ctx);
}

RnStatus
rn_ranks_sum(RnContext *ctx, RnRanks *, RnLane *, rn_real *, size_t)
{
	return refuse(ctx);
}

void
rn_ranks_leave(RnRanks *)
{
}
