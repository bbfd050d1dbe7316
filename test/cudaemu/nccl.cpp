/*
 * nccl.cpp
 *		NCCL between processes that emulate a GPU each.
 *
 * The ranks share a piece of memory, whose place the identity tells.  An
 * operation goes through it in parts: each rank lays its own part down, and
 * when all have, each takes what it needs; sums are made in the order of the
 * ranks, so that all have the same bits.  A rank that lags is one whose part
 * is not there yet: the stream waits, as it would on a GPU.
 *
 * Each rank holds a lock on a byte of the memory's file, which the kernel
 * takes away when the process dies.  Ranks that call different operations,
 * where NCCL would hang or mix things up, are reported.
 *
 * test/cudaemu/nccl.cpp
 */
#include "emulator.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/cuda/nccl.h"

#define EXPORTED		extern "C" __attribute__((visibility("default")))
#define PART			((size_t) 256 << 10)

using namespace cudaemu;

enum Operation
{
	OPERATION_SUM = 1,
	OPERATION_BROADCAST
};

/* What the ranks share; zero at first. */
struct Assembly
{
	std::atomic<int> here[RN_GROUP_MOST];	/* has come */
	std::atomic<int> gone[RN_GROUP_MOST];	/* and left */
	std::atomic<uint64_t> laid[RN_GROUP_MOST];	/* parts, from 1 */
	std::atomic<uint64_t> taken[RN_GROUP_MOST];
	uint64_t	asked[RN_GROUP_MOST];	/* what the part is of: operation, type and bytes */
	char		parts[RN_GROUP_MOST][PART];
};

struct RnNcclComm
{
	Assembly    *assembly;
	int			fd;
	int			n;
	int			rank;
	uint64_t	parts;			/* queued so far */
	bool		aborted;
};

/* ---- who is there ---- */

static bool
lock_byte(int fd, int command, int rank, short type, short *found)
{
	struct flock lock;
	int			error;

	memset(&lock, 0, sizeof(lock));
	lock.l_type = type;
	lock.l_whence = SEEK_SET;
	lock.l_start = rank;
	lock.l_len = 1;
	error = fcntl(fd, command, &lock);
	if (found != NULL)
		*found = lock.l_type;
	return error == 0;
}

/* Has it been there, and is no more, though its parts are wanted still? */
static bool
is_lost(const RnNcclComm *comm, int rank)
{
	short		found = F_WRLCK;

	if (rank == comm->rank || !comm->assembly->here[rank] || comm->assembly->taken[rank] >= comm->parts)
		return false;
	return comm->assembly->gone[rank] || (lock_byte(comm->fd, F_OFD_GETLK, rank, F_WRLCK, &found) && found == F_UNLCK);
}

static bool
all_have(const RnNcclComm *comm, const std::atomic<uint64_t> *counters, uint64_t part)
{
	for (int rank = 0; rank < comm->n; rank++)
		if (counters[rank] < part)
			return false;
	return true;
}

/* ---- parts of an operation ---- */

template <typename Number>
static void
add_up(RnNcclComm *comm, Number *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		Number		sum = 0;

		for (int rank = 0; rank < comm->n; rank++)
			sum += ((const Number *) comm->assembly->parts[rank])[i];
		to[i] = sum;
	}
}

static bool
all_ask_the_same(const RnNcclComm *comm)
{
	for (int rank = 0; rank < comm->n; rank++)
		if (comm->assembly->asked[rank] != comm->assembly->asked[comm->rank])
			return false;
	return true;
}

static void
take(RnNcclComm *comm, Operation operation, void *to, size_t bytes, int type)
{
	if (!all_ask_the_same(comm))
		report(cudaErrorLaunchFailure, 0, "NCCL: ranks call different operations, rank %d among them", comm->rank);
	else if (range_is_good(to, bytes, true, "destination of NCCL"))
	{
		if (operation == OPERATION_BROADCAST)
			memcpy(to, comm->assembly->parts[0], bytes);
		else if (type == RN_NCCL_DOUBLE)
			add_up(comm, (double *) to, bytes / sizeof(double));
		else
			add_up(comm, (float *) to, bytes / sizeof(float));
		mark_written(to, bytes);
		if (operation == OPERATION_SUM && planned(&spoil_sum))
			((char *) to)[bytes - 2] ^= 0x40;
	}
}

static void
queue_part(RnNcclComm *comm, Operation operation, const char *from, char *to, size_t bytes, int type, cudaStream_t stream)
{
	Assembly    *assembly = comm->assembly;
	uint64_t	part = ++comm->parts;
	uint64_t	asked = (uint64_t) operation << 48 | (uint64_t) type << 32 | bytes;

	enqueue_when(stream, [=] {return comm->aborted || all_have(comm, assembly->taken, part - 1);}, [=] {
		if (comm->aborted || !range_is_good(from, bytes, true, "source of NCCL"))
			return;
		if ((operation == OPERATION_SUM || comm->rank == 0) && !was_written(from, bytes))
			report(cudaErrorIllegalAddress, 0, "NCCL: memory that nobody has written");
		memcpy(assembly->parts[comm->rank], from, bytes);
		assembly->asked[comm->rank] = asked;
		assembly->laid[comm->rank] = part;
	});
	enqueue_when(stream, [=] {return comm->aborted || all_have(comm, assembly->laid, part);}, [=] {
		if (comm->aborted)
			return;
		take(comm, operation, to, bytes, type);
		assembly->taken[comm->rank] = part;
	});
}

static int
queue(RnNcclComm *comm, Operation operation, const void *from, void *to, size_t count, int type, cudaStream_t stream)
{
	const size_t bytes = count * (type == RN_NCCL_DOUBLE ? sizeof(double) : type == RN_NCCL_FLOAT ? sizeof(float) : 1);
	Lock		lock;

	if (type != RN_NCCL_DOUBLE && type != RN_NCCL_FLOAT && (type != RN_NCCL_BYTE || operation == OPERATION_SUM))
		return RN_NCCL_INVALID;
	if (comm->aborted)
		return RN_NCCL_MISUSED;
	for (size_t done = 0; done < bytes; done += PART)
		queue_part(comm, operation, (const char *) from + done, (char *) to + done, bytes - done < PART ? bytes - done : PART,
				   type, stream);
	return RN_NCCL_SUCCESS;
}

/* ---- NCCL's functions ---- */

EXPORTED int
ncclGetUniqueId(RnNcclId *id)
{
	int			fd = memfd_create("cudaemu-nccl", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, sizeof(Assembly)) != 0)
		return RN_NCCL_UNHANDLED;
	memset(id, 0, sizeof(*id));
	snprintf(id->bytes, sizeof(id->bytes), "/proc/%d/fd/%d", (int) getpid(), fd);
	return RN_NCCL_SUCCESS;
}

EXPORTED int
ncclCommInitRankConfig(RnNcclComm **result, int n, RnNcclId id, int rank, RnNcclConfig *config)
{
	RnNcclComm *comm;
	int			fd;
	void	   *memory;

	*result = NULL;
	if (n < 1 || n > RN_GROUP_MOST || rank < 0 || rank >= n || config->size < sizeof(*config) || config->magic != RN_NCCL_MAGIC ||
		config->blocking != 0)
		return RN_NCCL_INVALID;
	fd = open(id.bytes, O_RDWR | O_CLOEXEC);
	memory = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(Assembly), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return RN_NCCL_UNHANDLED;
	comm = new RnNcclComm();
	comm->assembly = (Assembly *) memory;
	comm->fd = fd;
	comm->n = n;
	comm->rank = rank;
	if (!lock_byte(fd, F_OFD_SETLK, rank, F_WRLCK, NULL))
		return RN_NCCL_INVALID;	/* two processes of one rank */
	comm->assembly->here[rank] = 1;
	*result = comm;
	return RN_NCCL_IN_PROGRESS;
}

EXPORTED int
ncclCommGetAsyncError(RnNcclComm *comm, int *result)
{
	*result = RN_NCCL_SUCCESS;
	for (int rank = 0; rank < comm->n; rank++)
	{
		if (is_lost(comm, rank))
			*result = RN_NCCL_REMOTE;
		else if (!comm->assembly->here[rank] && *result == RN_NCCL_SUCCESS)
			*result = RN_NCCL_IN_PROGRESS;
	}
	return RN_NCCL_SUCCESS;
}

/* What is queued does nothing then; the memory stays, since it is looked at. */
EXPORTED int
ncclCommAbort(RnNcclComm *comm)
{
	Lock		lock;

	comm->aborted = true;
	comm->assembly->gone[comm->rank] = 1;
	return RN_NCCL_SUCCESS;
}

EXPORTED int
ncclAllReduce(const void *from, void *to, size_t count, int type, int op, RnNcclComm *comm, cudaStream_t stream)
{
	return op == RN_NCCL_SUM ? queue(comm, OPERATION_SUM, from, to, count, type, stream) : RN_NCCL_INVALID;
}

EXPORTED int
ncclBroadcast(const void *from, void *to, size_t count, int type, int root, RnNcclComm *comm, cudaStream_t stream)
{
	return root == 0 ? queue(comm, OPERATION_BROADCAST, from, to, count, type, stream) : RN_NCCL_INVALID;
}

EXPORTED const char *
ncclGetErrorString(int result)
{
	switch (result)
	{
		case RN_NCCL_SUCCESS:
			return "no error";
		case RN_NCCL_UNHANDLED:
			return "unhandled cuda error";
		case RN_NCCL_INVALID:
			return "invalid argument";
		case RN_NCCL_MISUSED:
			return "invalid usage";
		case RN_NCCL_REMOTE:
			return "remote process exited or there was a network error";
		case RN_NCCL_IN_PROGRESS:
			return "NCCL operation in progress";
		default:
			return "unknown result code";
	}
}
