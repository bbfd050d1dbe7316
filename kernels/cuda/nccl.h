/*
 * nccl.h
 *		What is used of NCCL, NVIDIA's library for several GPUs.
 *
 * Few systems package it and few jobs need it, so it is neither linked nor
 * needed for the build: it is opened when a job asks for several GPUs, and
 * declared here, as NCCL 2.14 and all that are compatible with it have it.
 * test/cudaemu/test_runtime.cpp compares with the real header where there is one.
 *
 * kernels/cuda/nccl.h
 */
#ifndef RN_NCCL_H
#define RN_NCCL_H

#include "kernels/cuda/cuda.h"

typedef struct RnNcclComm *RnNcclHandle;

/* ncclUniqueId */
typedef struct RnNcclId
{
	char		bytes[128];
} RnNcclId;

/* ncclResult_t */
enum
{
	RN_NCCL_SUCCESS = 0,
	RN_NCCL_UNHANDLED = 1,
	RN_NCCL_INVALID = 4,
	RN_NCCL_MISUSED = 5,
	RN_NCCL_REMOTE = 6,
	RN_NCCL_IN_PROGRESS = 7
};

/* ncclDataType_t, ncclRedOp_t */
#define RN_NCCL_BYTE	0
#define RN_NCCL_FLOAT	7
#define RN_NCCL_DOUBLE	8
#define RN_NCCL_SUM		0

/* ncclConfig_t of 2.14; later versions take it as one that asks for nothing new. */
typedef struct RnNcclConfig
{
	size_t		size;
	unsigned int magic;
	unsigned int version;
	int			blocking;
} RnNcclConfig;

#define RN_NCCL_MAGIC	0xcafebeefu
#define RN_NCCL_VERSION 21400

typedef struct RnNccl
{
	int			(*get_unique_id) (RnNcclId *id);
	int			(*init) (RnNcclHandle *comm, int ranks, RnNcclId id, int rank, RnNcclConfig *config);
	int			(*async_error) (RnNcclHandle comm, int *error);
	int			(*abort) (RnNcclHandle comm);
	int			(*all_reduce) (const void *from, void *to, size_t count, int type, int op, RnNcclHandle comm,
							   cudaStream_t stream);
	int			(*broadcast) (const void *from, void *to, size_t count, int type, int root, RnNcclHandle comm,
							  cudaStream_t stream);
	const char *(*error_string) (int result);
} RnNccl;

/* nccl.cu: opened when first asked for; RN_UNSUPPORTED with the reason when it is not there. */
extern RnStatus rn_nccl_open(RnContext *ctx, const RnNccl **nccl);

#endif							/* RN_NCCL_H */
