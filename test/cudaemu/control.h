/*
 * control.h
 *		What tests may ask of the emulator.
 *
 * The environment sets the same for a process that cannot call:
 *
 *		CUDAEMU_SEED=n			the order of blocks, threads and streams
 *		CUDAEMU_FAIL_ALLOC=n	the n-th allocation fails, counted from 1
 *		CUDAEMU_FAIL_COPY=n		the n-th copy
 *		CUDAEMU_FAIL_KERNEL=n	the n-th kernel, as if it had left its memory
 *		CUDAEMU_SPOIL_SUM=n		the n-th part of a sum over ranks comes out wrong here
 *		CUDAEMU_LAST_ALLOC=n	device memory is to be had until n kernels were launched, not after
 *		CUDAEMU_FAIL_DEVICE=n	all that only in processes that use this device
 *		CUDAEMU_MEMORY=MB		memory of a device
 *		CUDAEMU_DEVICES=n		devices that there are
 *
 * test/cudaemu/control.h
 */
#ifndef CUDAEMU_CONTROL_H
#define CUDAEMU_CONTROL_H

#include <stdint.h>

/* What a program that has opened the emulated device's library may look up there. */
#define CUDAEMU_EXPORTED	__attribute__((visibility("default")))

#ifdef __cplusplus
extern "C"
{
#endif

/* From now on schedules follow from this seed. */
extern void cudaemu_seed(uint64_t seed);

/* Reports are kept, and not also written to standard error. */
extern void cudaemu_quiet(int quiet);

/* Number of reports since the last call. */
extern int	cudaemu_reports(void);

/* The first report since the last call of cudaemu_reports; "" without one. */
extern const char *cudaemu_report(void);

/* Fail the n-th from now, counted from 1; 0: none. */
extern void cudaemu_fail_alloc(long n);
extern void cudaemu_fail_copy(long n);
extern void cudaemu_fail_kernel(long n);

/* The n-th copy from now of pinned host memory to the device does not take place, and nobody is told. */
extern CUDAEMU_EXPORTED void cudaemu_lose_copy(long n);

/* What was run since the process began. */
typedef struct CudaemuCounts
{
	uint64_t	launches;
	uint64_t	threads;
	uint64_t	switches;		/* of fibers */
	uint64_t	accesses;		/* that were looked at */
	uint64_t	graphs;			/* launched */
} CudaemuCounts;

extern CUDAEMU_EXPORTED void cudaemu_counts(CudaemuCounts *counts);

#ifdef __cplusplus
}
#endif

#endif							/* CUDAEMU_CONTROL_H */
