/*
 * nccl.cu
 *		NCCL, opened on demand.
 *
 * kernels/cuda/nccl.cu
 */
#include "kernels/cuda/nccl.h"

#include <dlfcn.h>
#include <stdlib.h>

#define LIBRARY_NAME	"libnccl.so.2"
#define LIBRARY_SETTING "RESIDUAL_NCCL_LIBRARY"

static RnNccl nccl;
static bool opened;

static RnStatus
missing(RnContext *ctx, const char *path)
{
	rn_fail(ctx, RN_UNSUPPORTED, "several GPUs for one job need NCCL, which could not be opened");
	rn_detail(ctx, "%s: %s.", path, dlerror());
	rn_hint(ctx, "Install NVIDIA's libnccl2, set residual.nccl_library, or train on one GPU.");
	return ctx->status;
}

/* Each of its functions that is used. */
static bool
find_functions(void *handle)
{
	const struct
	{
		const char *name;
		void	   *slot;
	}			functions[] = {
		{"ncclGetUniqueId", &nccl.get_unique_id},
		{"ncclCommInitRankConfig", &nccl.init},
		{"ncclCommGetAsyncError", &nccl.async_error},
		{"ncclCommAbort", &nccl.abort},
		{"ncclAllReduce", &nccl.all_reduce},
		{"ncclBroadcast", &nccl.broadcast},
		{"ncclGetErrorString", &nccl.error_string},
	};

	for (const auto &function : functions)
	{
		void	   *address = dlsym(handle, function.name);

		if (address == NULL)
			return false;
		*(void **) function.slot = address;
	}
	return true;
}

RnStatus
rn_nccl_open(RnContext *ctx, const RnNccl **result)
{
	const char *setting = getenv(LIBRARY_SETTING);
	const char *path = setting != NULL && setting[0] != '\0' ? setting : LIBRARY_NAME;
	void	   *handle;

	*result = &nccl;
	if (opened)
		return RN_OK;
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL || !find_functions(handle))
		return missing(ctx, path);
	opened = true;
	return RN_OK;
}
