/*
 * device.c
 *		Devices by name.
 *
 * A table is looked through once, here: whoever holds one may call every
 * slot of it.
 *
 * kernels/device.c
 */
#include "kernels/device.h"

#include <stdlib.h>
#include <string.h>

/* Every slot is a function pointer, so a table of them can be walked. */
static RnStatus
check_table(RnContext *ctx, const RnKernels *kernels)
{
	size_t		at;

	if (kernels->version != RN_KERNELS_VERSION || kernels->real_size != (int) sizeof(rn_real))
	{
		rn_fail(ctx, RN_MISMATCH, "device \"%s\" was built for another version of the engine", kernels->name);
		rn_detail(ctx, "It has version %d and %d-byte numbers, the engine %d and %d.",
				  kernels->version, kernels->real_size, RN_KERNELS_VERSION, (int) sizeof(rn_real));
		return ctx->status;
	}
	for (at = offsetof(RnKernels, description); at < sizeof(RnKernels); at += sizeof(void (*) (void)))
	{
		void		(*slot) (void);

		memcpy(&slot, (const char *) kernels + at, sizeof(slot));
		if (slot == NULL)
			return rn_fail(ctx, RN_INTERNAL, "device \"%s\" lacks the operation at offset %zu", kernels->name, at);
	}
	return RN_OK;
}

static RnStatus
open_cpu(RnContext *ctx, const char *precision, const RnKernels **kernels)
{
	const int	rounded = strcmp(precision, "bfloat16") == 0;

	if (!rounded && strcmp(precision, "float32") != 0)
	{
		rn_fail(ctx, RN_UNSUPPORTED, "precision \"%s\" is not supported by device \"cpu\"", precision);
		rn_hint(ctx, "Set option \"precision\" to \"float32\" or \"bfloat16\", or train on a GPU.");
		return ctx->status;
	}
	*kernels = rounded ? rn_cpu_kernels_bfloat16() : rn_cpu_kernels();
	if (*kernels == NULL && rounded)
	{
		rn_fail(ctx, RN_UNSUPPORTED, "precision \"bfloat16\" is not supported by this processor");
		rn_detail(ctx, "It has no instructions for products of bfloat16 numbers (AVX512-BF16).");
		rn_hint(ctx, "Set option \"precision\" to \"float32\".");
		return ctx->status;
	}
	if (*kernels == NULL)
	{
		rn_fail(ctx, RN_UNSUPPORTED, "device \"cpu\" needs a newer processor");
		rn_detail(ctx, "An x86-64 processor must have SSE4.2 (x86-64-v2).");
		return ctx->status;
	}
	return check_table(ctx, *kernels);
}

static RnStatus
open_gpu(RnContext *ctx, int number, const char *precision, const RnKernels **kernels)
{
	const RnDeviceLibrary *library;
	RnDeviceOptions options;

	options.number = number;
	options.precision = precision;
	options.memory_limit = rn_device_memory_limit();
	RN_TRY(rn_device_library(ctx, &library));
	RN_TRY(library->open(ctx, &options, kernels));
	return check_table(ctx, *kernels);
}

int
rn_device_numbers(const char *name, int most, int *numbers)
{
	const char *at;
	int			n = 0;

	if (strncmp(name, "cuda", strlen("cuda")) != 0)
		return 0;
	at = name + strlen("cuda");
	if (*at == '\0' && most > 0)
		numbers[0] = 0;
	if (*at == '\0')
		return 1;
	if (*at != ':')
		return 0;
	do
	{
		size_t		digits = strspn(++at, "0123456789");

		if (digits == 0)
			return 0;
		if (n < most)
			numbers[n] = atoi(at);
		n++;
		at += digits;
	} while (*at == ',');
	return *at == '\0' ? n : 0;
}

RnStatus
rn_device_choose(RnContext *ctx, const char *name, const char *precision, const RnKernels **kernels, RnContext *refusal)
{
	RnContext	local;
	int			number;

	*kernels = NULL;
	if (refusal == NULL)
		refusal = &local;
	rn_context_reset(refusal);
	if (strcmp(name, "cpu") == 0)
		return open_cpu(ctx, precision, kernels);
	if (rn_device_numbers(name, 1, &number) > 0)
		return open_gpu(ctx, number, precision, kernels);
	if (strcmp(name, "auto") == 0)
	{
		if (rn_device_library_is_there() && open_gpu(refusal, 0, precision, kernels) == RN_OK)
			return RN_OK;
		return open_cpu(ctx, precision, kernels);
	}
	rn_fail(ctx, RN_UNSUPPORTED, "device \"%s\" is not known", name);
	rn_hint(ctx, "Devices are \"auto\", \"cpu\", \"cuda\" and \"cuda:\" with numbers.");
	return ctx->status;
}

RnStatus
rn_device_open(RnContext *ctx, const char *name, const RnKernels **kernels)
{
	return rn_device_choose(ctx, name, "float32", kernels, NULL);
}
