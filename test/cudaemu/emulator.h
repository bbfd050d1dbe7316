/*
 * emulator.h
 *		What the emulator's own files share.  Compiled without instrumentation.
 *
 * One lock guards everything: a public function takes it, and work that is
 * queued on a stream runs on the thread that waits for it.
 *
 * test/cudaemu/emulator.h
 */
#ifndef CUDAEMU_EMULATOR_H
#define CUDAEMU_EMULATOR_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>

#include <cuda_runtime.h>

#include "control.h"

namespace cudaemu
{

/* ---- report.cpp: the seed, what went wrong, errors that stick ---- */

struct Lock
{
	Lock();						/* also reads the environment, once */
	~Lock();
};

extern uint32_t random_number();
extern uint32_t random_below(uint32_t n);
extern CudaemuCounts counts;

/* Where a call stands that brings its line along; file NULL: nowhere. */
struct Place
{
	const char *file;
	int			line;
};
extern Place place;

/*
 * Note a fault.  From within a kernel this gives the grid up and does not
 * return.  pc: where, for the source line; 0: at place.
 */
extern void report(cudaError_t error, uintptr_t pc, const char *format,...) __attribute__((format(printf, 3, 4)));

/* What a public function returns: this error, or the one that sticks. */
extern cudaError_t fail(cudaError_t error);

/* Nothing runs any more once this is set. */
extern cudaError_t sticky;

/* Is the n-th of these to fail?  Counts down. */
extern bool planned(long *countdown);
extern long fail_alloc;
extern long fail_copy;
extern long fail_kernel;
extern long lose_copy;
extern long spoil_sum;
extern long last_alloc;

/* device.cpp: does this process use the device that is to fail? */
extern bool device_may_fail();

/* memory.cpp: nobody gets device memory any more. */
extern void close_memory();

/* ---- fiber.cpp: stacks to run a CUDA thread on ---- */

struct Fiber
{
	void	   *top;			/* stack pointer while it does not run */
	char	   *stack;			/* guard page, then FIBER_STACK bytes */
};

const size_t FIBER_STACK = 256 << 10;
const size_t PAGE = 4096;

extern Fiber *fiber_take(void (*entry) ());
extern void fiber_give(Fiber *fiber);

/* Save this stack's pointer in *save and go on with another. */
extern "C" void cudaemu_switch(void **save, void *to);

/* ---- block.cpp: the grid that runs ---- */

enum ThreadState : uint8_t
{
	THREAD_NEW,
	THREAD_READY,
	THREAD_AT_BARRIER,
	THREAD_AT_MEETING,
	THREAD_DONE
};

struct Thread
{
	Fiber	   *fiber;			/* NULL before it first runs and when it is done */
	ThreadState state;
	Place		place;			/* where it waits */
};

/* Is this the thread of the system's that runs a kernel now? */
extern __thread bool on_device;
extern const char *kernel_name;
extern uint32_t self;			/* number of the running CUDA thread in its block */
extern uint32_t block_id;		/* of the running block; never used again */
extern uint32_t first_block;	/* block_id of the launch's first */
extern uint16_t barrier_epoch;	/* barriers that the block has passed, from 1 */
extern uint16_t warp_epoch(uint32_t thread);
extern const char *fiber_stack();	/* of the running thread */
extern const char *parameter_bank;
const size_t PARAMETER_BANK = 4096;

extern void run_grid(const char *name, dim3 grid, dim3 block, size_t shared, const void *arguments, size_t size,
					 void (*call) (const void *));

/* Let another thread of the block run. */
extern void yield();

/* Give the running grid up; from within a kernel only. */
extern void abandon() __attribute__((noreturn));

/* The block's shared array that holds these bytes, or false. */
extern bool in_shared_array(size_t offset, size_t bytes);

/* ---- memory.cpp: device memory, shared memory, pinned memory ---- */

const size_t ARENA = (size_t) 8 << 30;	/* addresses of device memory; none is used twice */
const size_t SHARED = 256 << 10;

extern char *arena;
extern char *shared_memory;

struct Allocation
{
	char	   *start;
	size_t		bytes;
	bool		live;
};

static inline bool
in_arena(const void *at)
{
	return (uintptr_t) at - (uintptr_t) arena < ARENA;
}

extern const Allocation *allocation_at(const void *at);
extern void memory_init();
extern void memory_reset();
extern bool is_pinned(const void *at);

/* Can the device's copy engine, or a library, touch these bytes?  Reports when not. */
extern bool range_is_good(const void *at, size_t bytes, bool device, const char *what);

/* ---- access.cpp: every load and store ---- */

enum Access
{
	ACCESS_READ,
	ACCESS_WRITE,
	ACCESS_ATOMIC
};

extern bool instrumented;		/* some object is compiled with checks */
extern void access(const void *at, size_t bytes, Access kind, uintptr_t pc);

/* Device memory that a copy or a library has written, or will read; that is free; shared memory of a new block. */
extern void mark_written(const void *at, size_t bytes);
extern bool was_written(const void *at, size_t bytes);
extern void forget_cells(size_t offset, size_t bytes);
extern void forget_shared(size_t bytes);

/* ---- stream.cpp ---- */

typedef std::function<void()> Work;

/* Queue work on a stream, or note it in the graph that the stream records. */
extern cudaError_t enqueue(cudaStream_t stream, Work work);

/* The same for work that can run once another process has done its part. */
typedef std::function<bool()> Ready;
extern cudaError_t enqueue_when(cudaStream_t stream, Ready ready, Work work);

/* All work of all streams, in some order. */
extern void finish_all();

/* Do nothing but forget what is queued. */
extern void streams_reset();

}								/* namespace cudaemu */

#endif							/* CUDAEMU_EMULATOR_H */
