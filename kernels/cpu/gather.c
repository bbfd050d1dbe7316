/*
 * gather.c
 *		Some columns of each row, side by side.
 *
 * kernels/cpu/gather.c
 */
#include "kernels/cpu/cpu.h"

#include <math.h>

void
rn_cpu_gather(RnLane *lane, const RnGatherArgs *args)
{
	int			r;
	int			j;

	(void) lane;
	for (r = 0; r < args->rows; r++)
	{
		const rn_real *x = args->x + (size_t) r * args->ldx;
		const int32_t *list = args->list + args->first[r];
		rn_real    *y = args->y + (size_t) r * args->cols;

		for (j = 0; j < args->count[r]; j++)
			y[j] = x[list[j]];
		for (; j < args->cols; j++)
			y[j] = -INFINITY;
	}
}
