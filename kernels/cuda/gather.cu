/*
 * gather.cu
 *		Some columns of each row, side by side: a block a row.
 *
 * kernels/cuda/gather.cu
 */
#include "kernels/cuda/cuda.h"

#include <math.h>

#define THREADS		256

/* As RnGatherArgs, with integers on the device. */
typedef struct Gather
{
	int			cols;
	const int32_t *first;
	const int32_t *count;
	const int32_t *list;
	const rn_real *x;
	int			ldx;
	rn_real    *y;
} Gather;

static __global__ void
__launch_bounds__(THREADS) gather_kernel(Gather g)
{
	const rn_real *x = g.x + (size_t) blockIdx.x * g.ldx;
	const int32_t *list = g.list + g.first[blockIdx.x];
	const int	count = g.count[blockIdx.x];
	rn_real    *y = g.y + (size_t) blockIdx.x * g.cols;
	int			j;

	for (j = threadIdx.x; j < g.cols; j += blockDim.x)
		y[j] = j < count ? x[list[j]] : (rn_real) -INFINITY;
}

void
rn_cuda_gather(RnLane *lane, const RnGatherArgs *args)
{
	const size_t rows = (size_t) args->rows;
	size_t		listed = 0;
	Gather		g;
	int			r;

	if (args->rows <= 0 || args->cols <= 0)
		return;
	for (r = 0; r < args->rows; r++)
	{
		const size_t end = (size_t) args->first[r] + args->count[r];

		listed = end > listed ? end : listed;
	}
	memset((void *) &g, 0, sizeof(g));
	g.cols = args->cols;
	g.x = args->x;
	g.ldx = args->ldx;
	g.y = args->y;
	g.first = rn_lane_integers(lane, args->first, rows);
	g.count = rn_lane_integers(lane, args->count, rows);
	g.list = rn_lane_integers(lane, args->list, listed);
	if (g.first == NULL || g.count == NULL || g.list == NULL)
		return;
	RN_QUEUE(lane, gather_kernel, (unsigned) rows, rn_row_threads(args->cols, THREADS), 0, g);
}
