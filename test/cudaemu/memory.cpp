/*
 * memory.cpp
 *		Device memory: addresses of its own, each used once, ends guarded.
 *
 * An allocation lies as near to the guard page behind it as its alignment
 * allows, and is filled with 0xCB.  What is freed can never be touched again.
 *
 * test/cudaemu/memory.cpp
 */
#include "emulator.h"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

namespace cudaemu
{

static const size_t ALIGNMENT = 256;

char	   *arena;
char	   *shared_memory;

static std::vector<Allocation> allocations(1);	/* 0: none */
static uint32_t *owner_of_page; /* [ARENA / PAGE] into allocations */
static size_t arena_top = PAGE;
static size_t bytes_live;
static bool closed;
static size_t bytes_allowed = (size_t) 1 << 30;
static std::map<uintptr_t, size_t> pinned;

static void *
reserve(size_t bytes)
{
	void	   *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
	{
		static const char words[] = "cudaemu: no address space for device memory\n";

		if (write(2, words, sizeof(words) - 1) < 0)
			abort();
		abort();
	}
	return memory;
}

/* An access that nobody watched has hit a guard page. */
static void
on_fault(int number, siginfo_t *info, void *context)
{
	uintptr_t	pc = 0;

	if (!on_device)
	{
		signal(number, SIG_DFL);
		return;
	}
#if defined(__x86_64__)
	pc = (uintptr_t) ((ucontext_t *) context)->uc_mcontext.gregs[REG_RIP] + 1;
#endif
	report(cudaErrorIllegalAddress, pc, "fault at address %p, %s", info->si_addr,
		   in_arena(info->si_addr) ? "past a device allocation" : "which is not device memory");
}

void
memory_init()
{
	struct sigaction action;
	const char *value = getenv("CUDAEMU_MEMORY");

	if (value != NULL)
		bytes_allowed = (size_t) atol(value) << 20;
	arena = (char *) reserve(ARENA);
	shared_memory = (char *) reserve(SHARED);
	owner_of_page = (uint32_t *) reserve(ARENA / PAGE * sizeof(uint32_t));
	memset(&action, 0, sizeof(action));
	action.sa_sigaction = on_fault;
	action.sa_flags = SA_SIGINFO | SA_NODEFER;
	sigaction(SIGSEGV, &action, NULL);
}

const Allocation *
allocation_at(const void *at)
{
	return &allocations[owner_of_page[((const char *) at - arena) / PAGE]];
}

static size_t
pages_of(size_t bytes)
{
	return (bytes + PAGE - 1) / PAGE * PAGE;
}

static void *
allocate(size_t bytes)
{
	size_t		size = pages_of(bytes);
	char	   *base = arena + arena_top;
	char	   *start = base + (size - bytes) / ALIGNMENT * ALIGNMENT;
	size_t		page;

	for (page = 0; page <= size / PAGE; page++)
		owner_of_page[arena_top / PAGE + page] = (uint32_t) allocations.size();
	arena_top += size + PAGE;
	mprotect(base + size, PAGE, PROT_NONE);
	memset(base, 0xCB, size);
	allocations.push_back({start, bytes, true});
	bytes_live += bytes;
	return start;
}

static void
forget(Allocation *allocation)
{
	char	   *base = arena + (allocation->start - arena) / PAGE * PAGE;
	size_t		size = pages_of(allocation->bytes);

	allocation->live = false;
	bytes_live -= allocation->bytes;
	if (size == 0)
		return;
	madvise(base, size, MADV_DONTNEED);
	mprotect(base, size, PROT_NONE);
	forget_cells((size_t) (base - arena), size);
}

void
close_memory()
{
	closed = true;
}

void
memory_reset()
{
	for (Allocation &allocation : allocations)
		if (allocation.live)
			forget(&allocation);
}

bool
is_pinned(const void *at)
{
	auto		after = pinned.upper_bound((uintptr_t) at);

	if (after == pinned.begin())
		return false;
	--after;
	return (uintptr_t) at < after->first + after->second;
}

bool
range_is_good(const void *at, size_t bytes, bool device, const char *what)
{
	const Allocation *a;

	if (bytes == 0)
		return true;
	if (in_arena(at) != device)
	{
		report(cudaErrorInvalidValue, 0, "%s: a %s pointer where %s memory is expected", what,
			   device ? "host" : "device", device ? "device" : "host");
		return false;
	}
	if (!device)
		return true;
	a = allocation_at(at);
	if (a->start == NULL || (const char *) at < a->start || (const char *) at + bytes > a->start + a->bytes || !a->live)
	{
		report(cudaErrorIllegalAddress, 0, "%s: %zu bytes at %ld do not fit into the allocation of %zu bytes%s", what, bytes,
			   a->start != NULL ? (long) ((const char *) at - a->start) : -1L, a->bytes, a->live ? "" : ", which is free");
		return false;
	}
	return true;
}

}								/* namespace cudaemu */

using namespace cudaemu;

extern "C"
{

cudaError_t
cudaMalloc(void **memory, size_t bytes)
{
	Lock		lock;

	*memory = NULL;
	if (sticky != cudaSuccess)
		return fail(sticky);
	if (closed || planned(&fail_alloc) || bytes_live + bytes > bytes_allowed || arena_top + pages_of(bytes) + PAGE > ARENA)
		return fail(cudaErrorMemoryAllocation);
	if (bytes > 0)
		*memory = allocate(bytes);
	return cudaSuccess;
}

cudaError_t
cudaFree(void *memory)
{
	Lock		lock;
	Allocation *allocation;

	if (memory == NULL)
		return fail(cudaSuccess);
	finish_all();
	if (!in_arena(memory))
		return fail(cudaErrorInvalidValue);
	allocation = const_cast<Allocation *>(allocation_at(memory));
	if (allocation->start != memory || !allocation->live)
	{
		report(cudaErrorInvalidValue, 0, "cudaFree of memory that was not allocated, or twice");
		return fail(cudaErrorInvalidValue);
	}
	forget(allocation);
	return fail(cudaSuccess);
}

cudaError_t
cudaMemGetInfo(size_t *bytes_free, size_t *total)
{
	Lock		lock;

	*bytes_free = bytes_allowed - bytes_live;
	*total = bytes_allowed;
	return fail(cudaSuccess);
}

cudaError_t
cudaHostAlloc(void **memory, size_t bytes, unsigned int)
{
	Lock		lock;

	*memory = NULL;
	if (sticky != cudaSuccess)
		return fail(sticky);
	if (planned(&fail_alloc) || posix_memalign(memory, PAGE, bytes > 0 ? bytes : 1) != 0)
		return fail(cudaErrorMemoryAllocation);
	pinned[(uintptr_t) *memory] = bytes;
	return cudaSuccess;
}

cudaError_t
cudaMallocHost(void **memory, size_t bytes)
{
	return cudaHostAlloc(memory, bytes, 0);
}

cudaError_t
cudaFreeHost(void *memory)
{
	Lock		lock;

	if (memory == NULL)
		return fail(cudaSuccess);
	finish_all();
	if (pinned.erase((uintptr_t) memory) == 0)
		return fail(cudaErrorInvalidValue);
	free(memory);
	return fail(cudaSuccess);
}

}
