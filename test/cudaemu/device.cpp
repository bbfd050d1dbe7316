/*
 * device.cpp
 *		The devices that there seem to be.
 *
 * test/cudaemu/device.cpp
 */
#include "emulator.h"

#include <cstdlib>
#include <cstring>

using namespace cudaemu;

static int	device_now;

static int
n_devices()
{
	const char *value = getenv("CUDAEMU_DEVICES");

	return value != NULL ? atoi(value) : 1;
}

bool
cudaemu::device_may_fail()
{
	const char *value = getenv("CUDAEMU_FAIL_DEVICE");

	return value == NULL || atoi(value) == device_now;
}

extern "C"
{

cudaError_t
cudaGetDeviceCount(int *n)
{
	Lock		lock;

	*n = n_devices();
	return *n > 0 ? cudaSuccess : fail(cudaErrorNoDevice);
}

cudaError_t
cudaSetDevice(int number)
{
	Lock		lock;

	if (number < 0 || number >= n_devices())
		return fail(cudaErrorInvalidDevice);
	device_now = number;
	return fail(cudaSuccess);
}

cudaError_t
cudaGetDevice(int *number)
{
	Lock		lock;

	*number = device_now;
	return fail(cudaSuccess);
}

cudaError_t
cudaSetDeviceFlags(unsigned int)
{
	Lock		lock;

	return fail(cudaSuccess);
}

cudaError_t
cudaDriverGetVersion(int *version)
{
	*version = 13000;
	return cudaSuccess;
}

cudaError_t
cudaRuntimeGetVersion(int *version)
{
	*version = 13000;
	return cudaSuccess;
}

cudaError_t
cudaGetDeviceProperties(struct cudaDeviceProp *properties, int number)
{
	Lock		lock;
	size_t		bytes_free;

	if (number < 0 || number >= n_devices())
		return fail(cudaErrorInvalidDevice);
	memset(properties, 0, sizeof(*properties));
	strcpy(properties->name, "emulated GPU");
	cudaMemGetInfo(&bytes_free, &properties->totalGlobalMem);
	properties->major = 9;
	properties->minor = 0;
	properties->multiProcessorCount = 4;
	properties->warpSize = 32;
	properties->maxThreadsPerBlock = 1024;
	properties->sharedMemPerBlock = 48 << 10;
	properties->sharedMemPerBlockOptin = 227 << 10;
	return fail(cudaSuccess);
}

cudaError_t
cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int number)
{
	struct cudaDeviceProp properties;
	cudaError_t error = cudaGetDeviceProperties(&properties, number);

	if (error != cudaSuccess)
		return error;
	switch (attribute)
	{
		case cudaDevAttrMultiProcessorCount:
			*value = properties.multiProcessorCount;
			return cudaSuccess;
		case cudaDevAttrMaxSharedMemoryPerBlockOptin:
			*value = (int) properties.sharedMemPerBlockOptin;
			return cudaSuccess;
		case cudaDevAttrComputeCapabilityMajor:
			*value = properties.major;
			return cudaSuccess;
		case cudaDevAttrComputeCapabilityMinor:
			*value = properties.minor;
			return cudaSuccess;
		default:
			return fail(cudaErrorInvalidValue);
	}
}

}
