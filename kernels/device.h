/*
 * device.h
 *		Devices by name.
 *
 * kernels/device.h
 */
#ifndef RN_DEVICE_H
#define RN_DEVICE_H

#include "kernels/kernel.h"

/*
 * Open a device: "cpu", "cuda", "auto".  The table lives as long as the
 * process.  RN_UNSUPPORTED when it is not there; "auto" then gives the CPU.
 */
extern RnStatus rn_device_open(RnContext *ctx, const char *name, const RnKernels **kernels);

/* The CPU's table, chosen for the vector unit at hand; RN_CPU_LEVEL=2|3|4 in the
 * environment asks for a lower one (tests).  NULL: the processor is too old. */
extern const RnKernels *rn_cpu_kernels(void);

/* The best table up to a level of x86-64, or NULL; any level on other machines. */
extern const RnKernels *rn_cpu_kernels_up_to(int level);

#endif							/* RN_DEVICE_H */
