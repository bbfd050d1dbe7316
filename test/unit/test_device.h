/*
 * test_device.h
 *		Which device a test runs on: the one that RN_DEVICE in the environment
 *		names, else the CPU.
 *
 * "cuda" means the emulation where RESIDUAL_CUDA_LIBRARY names its library;
 * test/device.sh does that.  What was asked for and is not there ends the
 * test: nothing is skipped by mistake.
 *
 * test/unit/test_device.h
 */
#ifndef RN_TEST_DEVICE_H
#define RN_TEST_DEVICE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"

static inline const char *
test_device_name(void)
{
	const char *name = getenv("RN_DEVICE");

	return name != NULL && name[0] != '\0' ? name : "cpu";
}

static inline const RnKernels *
test_device(void)
{
	const RnKernels *kernels;
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (rn_device_open(&ctx, test_device_name(), &kernels) == RN_OK)
		return kernels;
	printf("Bail out! device \"%s\" does not open: %s %s\n", test_device_name(), ctx.message, ctx.detail);
	exit(1);
}

#endif							/* RN_TEST_DEVICE_H */
