/*
 * plane.c
 *		Weights and moments by name, and copies of the weights in the spill
 *		file.
 *
 * Best weights and those to be averaged are looked at once in a long while,
 * so they need not take memory.
 *
 * src/train/plane.c
 */
#include "train/trainer.h"

#include <stdlib.h>
#include <string.h>

#include "train/trainer_state.h"

#define CHUNK		((size_t) 16384)	/* elements copied at once */

static size_t
plane_bytes(const RnTrainer *trainer)
{
	return trainer->params->size * sizeof(rn_real);
}

/* In memory; NULL for those in the file. */
static rn_real *
plane_memory(const RnTrainer *trainer, int plane)
{
	switch (plane)
	{
		case RN_PLANE_WEIGHTS:
			return trainer->values;
		case RN_PLANE_FIRST:
			return trainer->optimizer.first;
		case RN_PLANE_SECOND:
			return trainer->optimizer.second;
		default:
			return NULL;
	}
}

/* Its offset in the file; a place is one more than the offset, 0 for none yet. */
static RnStatus
plane_place(RnContext *ctx, RnTrainer *trainer, int plane, uint64_t *offset)
{
	uint64_t   *place = &trainer->places[plane - RN_PLANE_BEST];

	if (trainer->options.spill == NULL)
		return rn_fail(ctx, RN_INTERNAL, "trainer has no file to keep weights in");
	if (*place == 0)
	{
		RN_TRY(rn_spill_reserve(ctx, trainer->options.spill, plane_bytes(trainer), offset));
		*place = *offset + 1;
	}
	*offset = *place - 1;
	return RN_OK;
}

RnStatus
rn_plane_read(RnContext *ctx, RnTrainer *trainer, int plane, size_t first, size_t n, rn_real *host)
{
	const RnKernels *kernels = trainer->options.kernels;
	RnLane	   *lane = trainer->workers[0].lane;
	rn_real    *memory = plane_memory(trainer, plane);
	uint64_t	offset;

	if (memory != NULL)
	{
		kernels->copy_out(lane, host, memory + first, n * sizeof(rn_real));
		return kernels->synchronize(ctx, lane);
	}
	RN_TRY(plane_place(ctx, trainer, plane, &offset));
	return rn_spill_read(ctx, trainer->options.spill, offset + first * sizeof(rn_real), host, n * sizeof(rn_real));
}

RnStatus
rn_plane_write(RnContext *ctx, RnTrainer *trainer, int plane, size_t first, size_t n, const rn_real *host)
{
	const RnKernels *kernels = trainer->options.kernels;
	RnLane	   *lane = trainer->workers[0].lane;
	rn_real    *memory = plane_memory(trainer, plane);
	uint64_t	offset;

	if (memory != NULL)
	{
		kernels->copy_in(lane, memory + first, host, n * sizeof(rn_real));
		trainer->rounded_of = NULL;
		return kernels->synchronize(ctx, lane);
	}
	RN_TRY(plane_place(ctx, trainer, plane, &offset));
	return rn_spill_write(ctx, trainer->options.spill, offset + first * sizeof(rn_real), host, n * sizeof(rn_real));
}

/* A chunk of a tensor; advances, and says whether there was one. */
typedef struct Walk
{
	int			param;
	size_t		done;			/* elements of it */
	size_t		first;			/* of the chunk, in a plane */
	size_t		n;
} Walk;

static int
walk_on(const RnParams *params, Walk *walk)
{
	while (walk->param < params->count)
	{
		const RnParam *param = &params->items[walk->param];
		size_t		left = rn_param_size(param) - walk->done;

		if (left > 0)
		{
			walk->first = param->offset + walk->done;
			walk->n = left < CHUNK ? left : CHUNK;
			walk->done += walk->n;
			return 1;
		}
		walk->param++;
		walk->done = 0;
	}
	return 0;
}

static RnStatus
copy_weights(RnContext *ctx, RnTrainer *trainer, int plane)
{
	rn_real    *buffer = malloc(CHUNK * sizeof(rn_real));
	Walk		walk = {0, 0, 0, 0};

	if (buffer == NULL)
		return rn_out_of_memory(ctx, CHUNK * sizeof(rn_real));
	while (walk_on(trainer->params, &walk))
	{
		if (rn_plane_read(ctx, trainer, RN_PLANE_WEIGHTS, walk.first, walk.n, buffer) != RN_OK ||
			rn_plane_write(ctx, trainer, plane, walk.first, walk.n, buffer) != RN_OK)
			break;
	}
	free(buffer);
	return ctx->status;
}

RnStatus
rn_trainer_remember_best(RnContext *ctx, RnTrainer *trainer)
{
	RN_TRY(copy_weights(ctx, trainer, RN_PLANE_BEST));
	trainer->has_best = 1;
	return RN_OK;
}

RnStatus
rn_trainer_remember_for_average(RnContext *ctx, RnTrainer *trainer)
{
	if (trainer->n_averages == 0)
		return RN_OK;
	RN_TRY(copy_weights(ctx, trainer, RN_PLANE_AVERAGE + trainer->next_average));
	trainer->next_average = (trainer->next_average + 1) % trainer->n_averages;
	if (trainer->n_remembered < trainer->n_averages)
		trainer->n_remembered++;
	return RN_OK;
}

int
rn_trainer_has_best(const RnTrainer *trainer)
{
	return trainer->has_best;
}

int
rn_trainer_averaged(const RnTrainer *trainer)
{
	return trainer->n_remembered;
}

/* ---- showing other weights than the present ones ---- */

/* The mean of n planes, summed in double. */
static RnStatus
mean_chunk(RnContext *ctx, RnTrainer *trainer, int plane, int n_planes, const Walk *walk, rn_real *buffer, double *sums)
{
	size_t		i;
	int			p;

	memset(sums, 0, walk->n * sizeof(double));
	for (p = 0; p < n_planes; p++)
	{
		RN_TRY(rn_plane_read(ctx, trainer, plane + p, walk->first, walk->n, buffer));
		for (i = 0; i < walk->n; i++)
			sums[i] += (double) buffer[i];
	}
	for (i = 0; i < walk->n; i++)
		buffer[i] = (rn_real) (sums[i] / n_planes);
	return RN_OK;
}

static RnStatus
show_mean(RnContext *ctx, RnTrainer *trainer, int plane, int n_planes)
{
	const RnKernels *kernels = trainer->options.kernels;
	RnLane	   *lane = trainer->workers[0].lane;
	rn_real    *buffer = malloc(CHUNK * sizeof(rn_real));
	double	   *sums = malloc(CHUNK * sizeof(double));
	Walk		walk = {0, 0, 0, 0};

	if (buffer == NULL || sums == NULL)
		rn_out_of_memory(ctx, CHUNK * sizeof(double));
	while (ctx->status == RN_OK && walk_on(trainer->params, &walk))
	{
		if (mean_chunk(ctx, trainer, plane, n_planes, &walk, buffer, sums) != RN_OK)
			break;
		kernels->copy_in(lane, trainer->gradients[0] + walk.first, buffer, walk.n * sizeof(rn_real));
		kernels->synchronize(ctx, lane);
	}
	free(buffer);
	free(sums);
	return ctx->status;
}

RnStatus
rn_trainer_show(RnContext *ctx, RnTrainer *trainer, RnShown shown)
{
	int			n = shown == RN_SHOW_BEST ? trainer->has_best : trainer->n_remembered;

	trainer->shown = RN_SHOW_PRESENT;
	if (shown == RN_SHOW_PRESENT)
		return RN_OK;
	if (n == 0)
		return rn_fail(ctx, RN_INTERNAL, "no such weights were kept");
	trainer->dirty = 1;
	trainer->rounded_of = NULL;
	RN_TRY(show_mean(ctx, trainer, shown == RN_SHOW_BEST ? RN_PLANE_BEST : RN_PLANE_AVERAGE, n));
	trainer->shown = shown;
	return RN_OK;
}
