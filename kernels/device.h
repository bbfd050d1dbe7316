/*
 * device.h
 *		Devices by name, and what a library that brings a device exports.
 *
 * The CPU is linked into the engine.  A GPU comes with a library of its own
 * (residual_cuda.so; for tests the same sources in emulation), opened only
 * when somebody asks for it, so that one build works with and without one.
 *
 * kernels/device.h
 */
#ifndef RN_DEVICE_H
#define RN_DEVICE_H

#include "kernels/collective.h"
#include "kernels/kernel.h"

/* One device of a library. */
typedef struct RnDeviceInfo
{
	char		name[96];		/* "NVIDIA H100" */
	char		capability[16]; /* "9.0" */
	int64_t		memory;			/* bytes in all */
	int64_t		memory_free;	/* bytes that nobody has taken */
	int			processors;		/* multiprocessors */
	char		driver[32];		/* versions of driver and run time, "13.0/13.0" */
} RnDeviceInfo;

typedef struct RnDeviceOptions
{
	int			number;			/* which of the library's devices */
	const char *precision;		/* as the option's values: "float32", "tf32", ... */
	int64_t		memory_limit;	/* bytes that may be allocated; 0: 80 % of what is free */
} RnDeviceOptions;

/* What a device library answers when asked for its version. */
typedef struct RnDeviceLibrary
{
	int			version;		/* RN_DEVICE_VERSION */

	/* How many devices there are; RN_UNSUPPORTED, with the driver's words, when none can be used. */
	RnStatus	(*count) (RnContext *ctx, int *n);
	RnStatus	(*describe) (RnContext *ctx, int number, RnDeviceInfo *info);

	/* The one device that this process uses from now on; the table lives as long as the process. */
	RnStatus	(*open) (RnContext *ctx, const RnDeviceOptions *options, const RnKernels **kernels);

	/* Between processes that have opened one each. */
	const RnCollectives *collectives;
} RnDeviceLibrary;

#define RN_DEVICE_VERSION	2

/* The one symbol of a device library: NULL for a version that it does not speak. */
#define RN_DEVICE_SYMBOL	"residual_device"
typedef const RnDeviceLibrary *(*RnDeviceFunction) (int version);

/*
 * Open a device: "cpu", "cuda" (the first), "cuda:N", "auto"; of several,
 * "cuda:N,M", the first named.  The table lives as long as the process.
 * RN_UNSUPPORTED when it is not there.  "auto" takes the first GPU, or the CPU
 * where none can be used.  Products are as exact as float32 is.
 */
extern RnStatus rn_device_open(RnContext *ctx, const char *name, const RnKernels **kernels);

/*
 * The same for a precision.  Where "auto" has taken the CPU although a device
 * library is there, refusal says why (its status is RN_OK otherwise); NULL: who
 * calls does not want to know.
 */
extern RnStatus rn_device_choose(RnContext *ctx, const char *name, const char *precision, const RnKernels **kernels,
								 RnContext *refusal);

/* GPUs that a name names, in its order: how many, and the first most of their numbers.  0 for another name, also for "auto". */
extern int	rn_device_numbers(const char *name, int most, int *numbers);

/*
 * library.c: the device library, opened when it is first asked for and never
 * closed.  It is residual_cuda.so beside the program, or what
 * RESIDUAL_CUDA_LIBRARY in the environment names.  RN_UNSUPPORTED with the
 * reason when it is not there, RN_MISMATCH when it is of another build.
 */
extern RnStatus rn_device_library(RnContext *ctx, const RnDeviceLibrary **library);

/* Is there such a file? */
extern int	rn_device_library_is_there(void);

/* What RESIDUAL_GPU_MEMORY in the environment allows, MB there; 0: no word of it. */
extern int64_t rn_device_memory_limit(void);

/* Beyond the levels of x86-64: the highest of them, and products of whole numbers. */
#define RN_LEVEL_VNNI	5

/* The CPU's table, chosen for the vector unit at hand; RN_CPU_LEVEL=2|3|4|5 in the
 * environment asks for a lower one (tests).  NULL: the processor is too old. */
extern const RnKernels *rn_cpu_kernels(void);

/* The best table up to a level of x86-64 or RN_LEVEL_VNNI, or NULL; any level on other machines. */
extern const RnKernels *rn_cpu_kernels_up_to(int level);

/* The table whose products round their factors to bfloat16, which halves their time; NULL where
 * the processor has no instructions for it, or RN_CPU_LEVEL asks for less than the highest level. */
extern const RnKernels *rn_cpu_kernels_bfloat16(void);

#endif							/* RN_DEVICE_H */
