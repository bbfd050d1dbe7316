/*
 * checkpoint.c
 *		A trainer's state as named parts.
 *
 * src/train/checkpoint.c
 */
#include "train/trainer.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/trainer_state.h"

/* The part "state": 64-bit words. */
enum
{
	STATE_MAGIC,
	STATE_STEPS,
	STATE_EPOCH,
	STATE_POOL,
	STATE_BATCH,
	STATE_HAS_BEST,
	STATE_AVERAGES,
	STATE_REMEMBERED,
	STATE_NEXT_AVERAGE,
	STATE_PARAMS,
	STATE_ELEMENTS,
	STATE_LOSS_EXPONENT,		/* above the least */
	STATE_GOOD_STEPS,
	STATE_SKIPPED,				/* steps that made no update */
	STATE_WORDS
};

#define MAGIC		UINT64_C(0x0001544154534E52)	/* "RNSTAT", version 1 */
#define BUFFER		1024	/* numbers converted at once */

/* ---- bytes of numbers: float32 whatever the build computes with ---- */

static void
to_float(const rn_real *numbers, size_t n, float *out)
{
	size_t		i;

	for (i = 0; i < n; i++)
		out[i] = (float) numbers[i];
}

static void
from_float(const float *numbers, size_t n, rn_real *out)
{
	size_t		i;

	for (i = 0; i < n; i++)
		out[i] = (rn_real) numbers[i];
}

/* The elements that a range of bytes covers, which must be whole ones within the tensor. */
static RnStatus
check_range(RnContext *ctx, const RnParam *param, const char *name, size_t offset, size_t size)
{
	size_t		total = rn_param_size(param) * sizeof(float);

	if (offset % sizeof(float) == 0 && size % sizeof(float) == 0 && offset <= total && size <= total - offset)
		return RN_OK;
	rn_fail(ctx, RN_MISMATCH, "tensor \"%s\" does not fit the model", name);
	rn_detail(ctx, "It has %zu bytes in the model; bytes %zu to %zu are asked for.", total, offset, offset + size);
	return ctx->status;
}

static RnStatus
read_floats(RnContext *ctx, RnTrainer *trainer, int plane, size_t first, size_t n, float *out)
{
	rn_real		buffer[BUFFER];

	while (n > 0)
	{
		size_t		some = n < BUFFER ? n : BUFFER;

		RN_TRY(rn_plane_read(ctx, trainer, plane, first, some, buffer));
		to_float(buffer, some, out);
		first += some;
		out += some;
		n -= some;
	}
	return RN_OK;
}

static RnStatus
write_floats(RnContext *ctx, RnTrainer *trainer, int plane, size_t first, size_t n, const char *bytes)
{
	rn_real		buffer[BUFFER];
	float		floats[BUFFER];

	while (n > 0)
	{
		size_t		some = n < BUFFER ? n : BUFFER;

		memcpy(floats, bytes, some * sizeof(float));
		from_float(floats, some, buffer);
		RN_TRY(rn_plane_write(ctx, trainer, plane, first, some, buffer));
		first += some;
		bytes += some * sizeof(float);
		n -= some;
	}
	return RN_OK;
}

RnStatus
rn_trainer_read_shown(RnContext *ctx, RnTrainer *trainer, const RnParam *param, size_t offset, void *bytes, size_t size)
{
	const RnKernels *kernels = trainer->options.kernels;
	const rn_real *weights = rn_trainer_weights(trainer);
	size_t		first = param->offset + offset / sizeof(float);
	size_t		n = size / sizeof(float);
	float	   *out = bytes;
	rn_real		buffer[BUFFER];

	RN_TRY(check_range(ctx, param, param->name, offset, size));
	while (n > 0)
	{
		size_t		some = n < BUFFER ? n : BUFFER;

		kernels->copy_out(trainer->workers[0].lane, buffer, weights + first, some * sizeof(rn_real));
		RN_TRY(kernels->synchronize(ctx, trainer->workers[0].lane));
		to_float(buffer, some, out);
		first += some;
		out += some;
		n -= some;
	}
	return RN_OK;
}

/* ---- parts out ---- */

static int
planes_kept(const RnTrainer *trainer)
{
	return RN_PLANE_BEST + trainer->has_best + trainer->n_remembered;
}

int
rn_trainer_parts(const RnTrainer *trainer)
{
	return planes_kept(trainer) * trainer->params->count + 1;
}

/* The plane at a place in the list of parts: best may be missing. */
static int
listed_plane(const RnTrainer *trainer, int place)
{
	return place >= RN_PLANE_BEST && !trainer->has_best ? place + 1 : place;
}

void
rn_trainer_part(const RnTrainer *trainer, int number, RnPart *part)
{
	static const char *const prefixes[] = {"w", "m", "v", "b"};
	int			plane = listed_plane(trainer, number / trainer->params->count);

	memset(part, 0, sizeof(*part));
	part->number = number;
	if (number == rn_trainer_parts(trainer) - 1)
	{
		strcpy(part->name, "state");
		part->size = STATE_WORDS * sizeof(uint64_t);
		return;
	}
	part->param = &trainer->params->items[number % trainer->params->count];
	part->size = rn_param_size(part->param) * sizeof(float);
	if (plane < RN_PLANE_AVERAGE)
		snprintf(part->name, sizeof(part->name), "%s:%s", prefixes[plane], part->param->name);
	else
		snprintf(part->name, sizeof(part->name), "a%d:%s", (plane - RN_PLANE_AVERAGE) % 1000, part->param->name);
}

static void
make_state(const RnTrainer *trainer, uint64_t words[STATE_WORDS])
{
	words[STATE_MAGIC] = MAGIC;
	words[STATE_STEPS] = (uint64_t) trainer->steps;
	words[STATE_EPOCH] = trainer->next.epoch;
	words[STATE_POOL] = trainer->next.pool;
	words[STATE_BATCH] = trainer->next.batch;
	words[STATE_HAS_BEST] = (uint64_t) trainer->has_best;
	words[STATE_AVERAGES] = (uint64_t) trainer->n_averages;
	words[STATE_REMEMBERED] = (uint64_t) trainer->n_remembered;
	words[STATE_NEXT_AVERAGE] = (uint64_t) trainer->next_average;
	words[STATE_PARAMS] = (uint64_t) trainer->params->count;
	words[STATE_ELEMENTS] = (uint64_t) trainer->params->size;
	words[STATE_LOSS_EXPONENT] = (uint64_t) (trainer->decision.loss_exponent - RN_LOSS_EXPONENT_LEAST);
	words[STATE_GOOD_STEPS] = (uint64_t) trainer->decision.good_steps;
	words[STATE_SKIPPED] = (uint64_t) (trainer->steps - trainer->decision.updates);
}

RnStatus
rn_trainer_read_part(RnContext *ctx, RnTrainer *trainer, const RnPart *part, size_t offset, void *bytes, size_t size)
{
	uint64_t	words[STATE_WORDS];

	if (part->param == NULL)
	{
		if (offset > sizeof(words) || size > sizeof(words) - offset)
			return rn_fail(ctx, RN_INTERNAL, "state of the trainer has no byte %zu", offset + size);
		RN_TRY(rn_trainer_await(ctx, trainer));
		make_state(trainer, words);
		memcpy(bytes, (const char *) words + offset, size);
		return RN_OK;
	}
	RN_TRY(check_range(ctx, part->param, part->name, offset, size));
	return read_floats(ctx, trainer, listed_plane(trainer, part->number / trainer->params->count),
					   part->param->offset + offset / sizeof(float), size / sizeof(float), bytes);
}

/* ---- parts in ---- */

static int
planes_possible(const RnTrainer *trainer)
{
	return RN_PLANE_AVERAGE + trainer->n_averages;
}

/* The plane that a name's prefix means, -1 for none of ours; *tensor is what follows. */
static int
parse_plane(const RnTrainer *trainer, const char *name, const char **tensor)
{
	static const char prefixes[] = "wmvb";
	const char *found;
	char	   *end;
	long		average;

	if (name[0] == '\0')
		return -1;
	found = strchr(prefixes, name[0]);
	if (found != NULL && name[1] == ':')
	{
		*tensor = name + 2;
		return (int) (found - prefixes);
	}
	if (name[0] != 'a' || name[1] < '0' || name[1] > '9')
		return -1;
	average = strtol(name + 1, &end, 10);
	if (*end != ':' || average >= trainer->n_averages)
		return -1;
	*tensor = end + 1;
	return RN_PLANE_AVERAGE + (int) average;
}

/* Chunks come in order; *received counts. */
static RnStatus
check_order(RnContext *ctx, const char *name, size_t *received, size_t offset, size_t size)
{
	if (offset != *received)
	{
		rn_fail(ctx, RN_CORRUPT, "part \"%s\" of the checkpoint is incomplete", name);
		rn_detail(ctx, "After %zu bytes those from %zu on came.", *received, offset);
		return ctx->status;
	}
	*received += size;
	return RN_OK;
}

static RnStatus
set_state(RnContext *ctx, RnTrainer *trainer, size_t total, size_t offset, const void *bytes, size_t size)
{
	size_t	   *received = &trainer->received[planes_possible(trainer) * trainer->params->count];

	if (total != STATE_WORDS * sizeof(uint64_t) || offset > total || size > total - offset)
		return rn_fail(ctx, RN_MISMATCH, "part \"state\" of the checkpoint has %zu bytes instead of %zu", total,
					   STATE_WORDS * sizeof(uint64_t));
	RN_TRY(check_order(ctx, "state", received, offset, size));
	memcpy(trainer->state + offset, bytes, size);
	return RN_OK;
}

RnStatus
rn_trainer_set_part(RnContext *ctx, RnTrainer *trainer, const char *name, size_t total, size_t offset,
					const void *bytes, size_t size)
{
	size_t		n_parts = (size_t) planes_possible(trainer) * (size_t) trainer->params->count + 1;
	const char *tensor;
	const RnParam *param;
	int			plane;

	if (trainer->received == NULL)
	{
		trainer->received = calloc(n_parts, sizeof(size_t));
		trainer->state = calloc(STATE_WORDS, sizeof(uint64_t));
		if (trainer->received == NULL || trainer->state == NULL)
			return rn_out_of_memory(ctx, n_parts * sizeof(size_t));
	}
	if (strcmp(name, "state") == 0)
		return set_state(ctx, trainer, total, offset, bytes, size);
	plane = parse_plane(trainer, name, &tensor);
	param = plane >= 0 ? rn_params_find(trainer->params, tensor) : NULL;
	if (param == NULL)
	{
		rn_fail(ctx, RN_MISMATCH, "part \"%.80s\" of the checkpoint does not belong to this model", name);
		rn_hint(ctx, "The options of the model must be those with which it was trained.");
		return ctx->status;
	}
	if (total != rn_param_size(param) * sizeof(float))
	{
		rn_fail(ctx, RN_MISMATCH, "part \"%s\" has %zu bytes instead of %zu", name, total,
				rn_param_size(param) * sizeof(float));
		rn_hint(ctx, "The options of the model must be those with which it was trained.");
		return ctx->status;
	}
	RN_TRY(check_range(ctx, param, name, offset, size));
	RN_TRY(check_order(ctx, name, &trainer->received[plane * trainer->params->count + (param - trainer->params->items)],
					   offset, size));
	return write_floats(ctx, trainer, plane, param->offset + offset / sizeof(float), size / sizeof(float), bytes);
}

static RnStatus
check_plane(RnContext *ctx, const RnTrainer *trainer, int plane)
{
	const RnParams *params = trainer->params;
	int			p;

	for (p = 0; p < params->count; p++)
	{
		size_t		total = rn_param_size(&params->items[p]) * sizeof(float);
		size_t		received = trainer->received ? trainer->received[plane * params->count + p] : 0;

		if (received == total)
			continue;
		rn_fail(ctx, RN_CORRUPT, "tensor \"%s\" is incomplete", params->items[p].name);
		rn_detail(ctx, "%zu of %zu bytes came.", received, total);
		return ctx->status;
	}
	return RN_OK;
}

static void
end_receiving(RnTrainer *trainer)
{
	free(trainer->received);
	free(trainer->state);
	trainer->received = NULL;
	trainer->state = NULL;
}

RnStatus
rn_trainer_weights_set(RnContext *ctx, RnTrainer *trainer)
{
	RN_TRY(check_plane(ctx, trainer, RN_PLANE_WEIGHTS));
	end_receiving(trainer);
	return RN_OK;
}

/* Is the state one that this trainer could have written? */
static RnStatus
check_state(RnContext *ctx, const RnTrainer *trainer, const uint64_t *words)
{
	if (words[STATE_MAGIC] == MAGIC && words[STATE_STEPS] <= (uint64_t) INT64_MAX && words[STATE_HAS_BEST] <= 1 &&
		words[STATE_AVERAGES] == (uint64_t) trainer->n_averages &&
		words[STATE_REMEMBERED] <= words[STATE_AVERAGES] &&
		(words[STATE_NEXT_AVERAGE] == 0 || words[STATE_NEXT_AVERAGE] < words[STATE_AVERAGES]) &&
		words[STATE_PARAMS] == (uint64_t) trainer->params->count &&
		words[STATE_ELEMENTS] == (uint64_t) trainer->params->size &&
		words[STATE_LOSS_EXPONENT] <= (uint64_t) (RN_LOSS_EXPONENT_MOST - RN_LOSS_EXPONENT_LEAST) &&
		words[STATE_GOOD_STEPS] <= (uint64_t) INT_MAX && words[STATE_SKIPPED] <= words[STATE_STEPS])
		return RN_OK;
	rn_fail(ctx, RN_MISMATCH, "part \"state\" of the checkpoint does not belong to this model");
	rn_hint(ctx, "The options of the job must be those with which it was started.");
	return ctx->status;
}

RnStatus
rn_trainer_restored(RnContext *ctx, RnTrainer *trainer)
{
	size_t		n_tensors = (size_t) planes_possible(trainer) * (size_t) trainer->params->count;
	uint64_t	words[STATE_WORDS];
	int			i;

	if (trainer->received == NULL || trainer->received[n_tensors] != sizeof(words))
		return rn_fail(ctx, RN_CORRUPT, "part \"state\" of the checkpoint is missing");
	memcpy(words, trainer->state, sizeof(words));
	RN_TRY(check_state(ctx, trainer, words));
	for (i = 0; i < RN_PLANE_BEST; i++)
		RN_TRY(check_plane(ctx, trainer, i));
	if (words[STATE_HAS_BEST])
		RN_TRY(check_plane(ctx, trainer, RN_PLANE_BEST));
	for (i = 0; i < (int) words[STATE_REMEMBERED]; i++)
		RN_TRY(check_plane(ctx, trainer, RN_PLANE_AVERAGE + i));
	trainer->steps = (int64_t) words[STATE_STEPS];
	trainer->next.epoch = words[STATE_EPOCH];
	trainer->next.pool = words[STATE_POOL];
	trainer->next.batch = words[STATE_BATCH];
	trainer->has_best = (int) words[STATE_HAS_BEST];
	trainer->n_remembered = (int) words[STATE_REMEMBERED];
	trainer->next_average = (int) words[STATE_NEXT_AVERAGE];
	rn_trainer_decide_from(trainer, (int64_t) (words[STATE_STEPS] - words[STATE_SKIPPED]),
						   (int) words[STATE_LOSS_EXPONENT] + RN_LOSS_EXPONENT_LEAST, (int) words[STATE_GOOD_STEPS]);
	end_receiving(trainer);
	return RN_OK;
}
