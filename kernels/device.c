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

RnStatus
rn_device_open(RnContext *ctx, const char *name, const RnKernels **kernels)
{
	const RnKernels *table;

	*kernels = NULL;
	if (strcmp(name, "cpu") != 0 && strcmp(name, "auto") != 0)
	{
		rn_fail(ctx, RN_UNSUPPORTED, "device \"%s\" is not available", name);
		rn_hint(ctx, "Available devices are \"cpu\" and \"auto\".");
		return ctx->status;
	}
	table = rn_cpu_kernels();
	if (table == NULL)
	{
		rn_fail(ctx, RN_UNSUPPORTED, "device \"cpu\" needs a newer processor");
		rn_detail(ctx, "An x86-64 processor must have SSE4.2 (x86-64-v2).");
		return ctx->status;
	}
	RN_TRY(check_table(ctx, table));
	*kernels = table;
	return RN_OK;
}
