/*
 * columns.cu
 *		Gradients of parameters that belong to columns: the host's part, and
 *		the sum over blocks.
 *
 * kernels/cuda/columns.cu
 */
#include "kernels/cuda/columns.h"

#define THREADS		128

size_t
column_scratch_most(int n, int cols)
{
	const size_t length = (size_t) n * ((size_t) (cols + RN_WARP - 1) / RN_WARP * RN_WARP) * sizeof(rn_real);
	const size_t strips = RN_ROW_WARPS * length;

	return RN_COLUMN_BLOCKS * (length + (strips > RN_SHARED_MOST ? strips : 0));
}

int
column_plan(RnLane *lane, ColumnSums *sums, int rows)
{
	const size_t strips = (size_t) RN_ROW_WARPS * sums->length * sizeof(rn_real);
	const size_t blocks = rn_blocks((size_t) rows, RN_ROW_WARPS * RN_COLUMN_ROWS);
	size_t		partial;
	char	   *scratch;

	if (rows <= 0 || sums->cols <= 0)
		return 0;
	sums->blocks = (int) (blocks < RN_COLUMN_BLOCKS ? blocks : RN_COLUMN_BLOCKS);
	sums->shared = strips <= RN_SHARED_MOST ? strips : 0;
	sums->strips = sums->partial = NULL;
	if (sums->n == 0)
		return 1;
	partial = (size_t) sums->blocks * sums->length * sizeof(rn_real);
	scratch = (char *) rn_lane_scratch(lane, partial + (sums->shared == 0 ? sums->blocks * strips : 0));
	if (scratch == NULL)
		return 0;
	sums->partial = (rn_real *) scratch;
	if (sums->shared == 0)
		sums->strips = (rn_real *) (scratch + partial);
	return 1;
}

/* One sum: blockIdx.y says which. */
static __global__ void
__launch_bounds__(THREADS) column_add_kernel(ColumnSums sums)
{
	const int	which = blockIdx.y;
	const int	i = blockIdx.x * THREADS + threadIdx.x;
	const rn_real *partial = sums.partial + sums.begins[which] + i;
	rn_real		sum = 0;
	int			block;

	if (i >= sums.counts[which])
		return;
	for (block = 0; block < sums.blocks; block++)
		sum += partial[(size_t) block * sums.length];
	sums.targets[which][i] += sum;
}

void
column_add(RnLane *lane, const ColumnSums *sums)
{
	if (sums->n > 0)
		RN_QUEUE(lane, column_add_kernel, dim3(rn_blocks((size_t) sums->cols, THREADS), (unsigned) sums->n), THREADS, 0, *sums);
}
