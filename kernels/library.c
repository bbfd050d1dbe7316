/*
 * library.c
 *		The device library, opened on demand.
 *
 * It brings drivers and libraries of hundreds of megabytes with it, so nothing
 * of it is loaded before somebody asks for a GPU; and it may be missing, which
 * is an answer.  Its names stay its own (RTLD_LOCAL): the product's library
 * and the tests' emulation define the same ones.
 *
 * kernels/library.c
 */
#include "kernels/device.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY_NAME	"residual_cuda.so"
#define LIBRARY_SETTING "RESIDUAL_CUDA_LIBRARY"
#define MEMORY_SETTING	"RESIDUAL_GPU_MEMORY"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const RnDeviceLibrary *opened;

/* Beside the program, unless the environment says where. */
static RnStatus
find_library(RnContext *ctx, char *path, size_t size)
{
	const char *setting = getenv(LIBRARY_SETTING);
	char	   *slash;
	ssize_t		length;

	if (setting != NULL && setting[0] != '\0')
	{
		if ((size_t) snprintf(path, size, "%s", setting) >= size)
			return rn_fail(ctx, RN_INVALID, "the name of the device library is too long");
		return RN_OK;
	}
	length = readlink("/proc/self/exe", path, size - sizeof(LIBRARY_NAME) - 1);
	if (length <= 0)
		return rn_fail(ctx, RN_UNSUPPORTED, "could not find the program's own folder: %s", strerror(errno));
	path[length] = '\0';
	slash = strrchr(path, '/');
	strcpy(slash != NULL ? slash + 1 : path, LIBRARY_NAME);
	return RN_OK;
}

static RnStatus
open_library(RnContext *ctx)
{
	char		path[PATH_MAX];
	RnDeviceFunction function;
	void	   *handle;

	RN_TRY(find_library(ctx, path, sizeof(path)));
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL)
	{
		rn_fail(ctx, RN_UNSUPPORTED, "device \"cuda\" is not available");
		rn_detail(ctx, "Its library could not be opened: %s.", dlerror());
		rn_hint(ctx, "Build residual where the CUDA toolkit is and install it, or use device \"cpu\".");
		return ctx->status;
	}
	*(void **) &function = dlsym(handle, RN_DEVICE_SYMBOL);
	opened = function != NULL ? function(RN_DEVICE_VERSION) : NULL;
	if (opened == NULL || opened->version != RN_DEVICE_VERSION)
	{
		opened = NULL;
		dlclose(handle);
		rn_fail(ctx, RN_MISMATCH, "device library \"%s\" was built for another version of the engine", path);
		rn_hint(ctx, "Install the library and the engine of one build.");
		return ctx->status;
	}
	return RN_OK;
}

int
rn_device_library_is_there(void)
{
	char		path[PATH_MAX];
	RnContext	ctx;

	rn_context_reset(&ctx);
	return find_library(&ctx, path, sizeof(path)) == RN_OK && access(path, F_OK) == 0;
}

RnStatus
rn_device_library(RnContext *ctx, const RnDeviceLibrary **library)
{
	RnStatus	status = RN_OK;

	pthread_mutex_lock(&lock);
	if (opened == NULL)
		status = open_library(ctx);
	*library = opened;
	pthread_mutex_unlock(&lock);
	return status;
}

int64_t
rn_device_memory_limit(void)
{
	const char *setting = getenv(MEMORY_SETTING);
	long long	megabytes = setting != NULL ? atoll(setting) : 0;

	return megabytes > 0 ? (int64_t) megabytes << 20 : 0;
}
