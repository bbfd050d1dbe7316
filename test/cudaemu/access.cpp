/*
 * access.cpp
 *		Every load and store of a kernel: may it, and is it ordered?
 *
 * A cell for each two bytes remembers the last write and the reads since, by
 * block, thread, and how many barriers and warp operations its thread had
 * passed.  Two accesses conflict unless both read, or both are atomic, or a
 * barrier of their block, or an operation of their warp, lies between.
 * Single bytes are held to bounds and initialisation only.  A warp operation
 * of some lanes counts for the whole warp.
 *
 * test/cudaemu/access.cpp
 */
#include "cudaemu.h"
#include "emulator.h"

#include <cstdlib>

#include <sys/mman.h>

namespace cudaemu
{

/* What one thread did to a cell. */
struct Trace
{
	uint32_t	block;			/* see below */
	uint16_t	thread;
	uint16_t	barriers;
	uint16_t	meetings;
	uint16_t	flags;
};

struct Cell
{
	Trace		write;			/* the last */
	Trace		read;			/* the last since then */
};

/* Values of Trace.block that no block has. */
enum
{
	NEVER = 0,
	BEFORE = 1					/* by the host, a library or an earlier launch */
};

enum
{
	TRACE_ATOMIC = 1,
	TRACE_MORE_THREADS = 2,		/* of the block, since the last barrier */
	TRACE_MORE_BLOCKS = 4
};

static const size_t CELL_BYTES = 2;
static const uint32_t YIELD_EVERY = 64; /* accesses, on average */

bool		instrumented;

static Cell *global_cells;
static Cell *shared_cells;

extern "C" char __start_cudaemu_constant[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_cudaemu_constant[] __attribute__((weak, visibility("hidden")));

static Cell *
cells_for(size_t bytes)
{
	void	   *cells = mmap(NULL, bytes / CELL_BYTES * sizeof(Cell), PROT_READ | PROT_WRITE,
							 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (cells == MAP_FAILED)
		abort();
	return (Cell *) cells;
}

static void
make_cells()
{
	if (global_cells == NULL)
	{
		global_cells = cells_for(ARENA);
		shared_cells = cells_for(SHARED);
	}
}

void
mark_written(const void *at, size_t bytes)
{
	size_t		offset = (size_t) ((const char *) at - arena);
	size_t		i;

	if (!instrumented || bytes == 0)
		return;
	make_cells();
	for (i = offset / CELL_BYTES; i <= (offset + bytes - 1) / CELL_BYTES; i++)
	{
		global_cells[i].write.block = BEFORE;
		global_cells[i].read.block = NEVER;
	}
}

bool
was_written(const void *at, size_t bytes)
{
	size_t		offset = (size_t) ((const char *) at - arena);
	size_t		i;

	if (!instrumented || bytes == 0)
		return true;
	make_cells();
	for (i = offset / CELL_BYTES; i <= (offset + bytes - 1) / CELL_BYTES; i++)
		if (global_cells[i].write.block == NEVER)
			return false;
	return true;
}

/* Whole pages of device memory. */
void
forget_cells(size_t offset, size_t bytes)
{
	if (global_cells != NULL)
		madvise(&global_cells[offset / CELL_BYTES], bytes / CELL_BYTES * sizeof(Cell), MADV_DONTNEED);
}

void
forget_shared(size_t bytes)
{
	if (shared_cells != NULL)
		memset(shared_cells, 0, (bytes / CELL_BYTES + 64) * sizeof(Cell));
}

static inline bool
ordered(const Trace &earlier)
{
	return earlier.barriers != barrier_epoch ||
		(earlier.thread / 32 == self / 32 && earlier.meetings != warp_epoch(self));
}

static void
report_race(const Trace &earlier, bool other_block, const char *did, const char *does, const char *where, uintptr_t pc)
{
	report(cudaErrorLaunchFailure, pc, "race: %s of %s memory that %s thread %u has %s, with no barrier between", does,
		   where, other_block ? "another block's" : "the same block's", earlier.thread, did);
}

static inline void
check_against_write(const Trace &write, Access kind, const char *where, uintptr_t pc)
{
	if (write.block < first_block || (kind == ACCESS_ATOMIC && (write.flags & TRACE_ATOMIC) != 0) ||
		(write.block == block_id && (write.thread == self || ordered(write))))
		return;
	report_race(write, write.block != block_id, "written", kind == ACCESS_READ ? "read" : "write", where, pc);
}

static inline void
check_against_reads(const Trace &read, Access kind, const char *where, uintptr_t pc)
{
	bool		other_block = read.block != block_id || (read.flags & TRACE_MORE_BLOCKS) != 0;
	bool		other_thread = (read.flags & TRACE_MORE_THREADS) != 0 || read.thread != self;

	if (read.block < first_block || (kind == ACCESS_ATOMIC && (read.flags & TRACE_ATOMIC) != 0))
		return;
	if (other_block || (other_thread && !ordered(read)))
		report_race(read, other_block, "read", "write", where, pc);
}

static inline void
trace(Trace *t, uint16_t flags)
{
	t->block = block_id;
	t->thread = (uint16_t) self;
	t->barriers = barrier_epoch;
	t->meetings = warp_epoch(self);
	t->flags = flags;
}

static inline void
trace_read(Trace *read)
{
	uint16_t	flags = 0;

	if (read->block >= first_block)
	{
		flags = read->flags & TRACE_MORE_BLOCKS;
		if (read->block != block_id)
			flags |= TRACE_MORE_BLOCKS;
		else if (read->barriers == barrier_epoch)
			flags |= (read->flags & TRACE_MORE_THREADS) | (read->thread != self ? TRACE_MORE_THREADS : 0);
	}
	trace(read, flags);
}

static void
check_cells(Cell *cells, size_t offset, size_t bytes, Access kind, const char *where, uintptr_t pc)
{
	size_t		i;

	for (i = offset / CELL_BYTES; i <= (offset + bytes - 1) / CELL_BYTES; i++)
	{
		Cell	   *cell = &cells[i];

		if (kind != ACCESS_WRITE && cell->write.block == NEVER)
			report(cudaErrorLaunchFailure, pc, "read of %s memory that was never written", where);
		if (bytes > 1)
		{
			check_against_write(cell->write, kind, where, pc);
			if (kind != ACCESS_READ)
				check_against_reads(cell->read, kind, where, pc);
		}
		if (kind == ACCESS_READ)
			trace_read(&cell->read);
		else
		{
			trace(&cell->write, kind == ACCESS_ATOMIC ? TRACE_ATOMIC : 0);
			if (kind == ACCESS_WRITE)
				cell->read.block = NEVER;
		}
	}
}

static void
check_global(const char *at, size_t bytes, Access kind, uintptr_t pc)
{
	const Allocation *a = allocation_at(at);
	const char *does = kind == ACCESS_READ ? "read" : "write";

	if (a->start == NULL || at < a->start || at + bytes > a->start + a->bytes)
		report(cudaErrorIllegalAddress, pc, "%s of %zu bytes at %ld of an allocation of %zu bytes", does, bytes,
			   a->start != NULL ? (long) (at - a->start) : -1L, a->bytes);
	if (!a->live)
		report(cudaErrorIllegalAddress, pc, "%s of memory after cudaFree", does);
	if ((uintptr_t) at % bytes != 0 && (bytes & (bytes - 1)) == 0)
		report(cudaErrorIllegalAddress, pc, "misaligned %s of %zu bytes", does, bytes);
	check_cells(global_cells, (size_t) (at - arena), bytes, kind, "global", pc);
}

static void
check_shared(const char *at, size_t bytes, Access kind, uintptr_t pc)
{
	size_t		offset = (size_t) (at - shared_memory);

	if (!in_shared_array(offset, bytes))
		report(cudaErrorIllegalAddress, pc, "%s of %zu bytes outside every shared array of the block",
			   kind == ACCESS_READ ? "read" : "write", bytes);
	if ((uintptr_t) at % bytes != 0 && (bytes & (bytes - 1)) == 0)
		report(cudaErrorIllegalAddress, pc, "misaligned access to shared memory of %zu bytes", bytes);
	check_cells(shared_cells, offset, bytes, kind, "shared", pc);
}

static inline bool
within(const void *at, const void *start, size_t bytes)
{
	return (uintptr_t) at - (uintptr_t) start < bytes;
}

void
access(const void *at, size_t bytes, Access kind, uintptr_t pc)
{
	if (!on_device)
	{
		if (arena != NULL && in_arena(at))
			report(cudaErrorInvalidValue, pc, "device memory touched by the host");
		return;
	}
	if (within(at, fiber_stack(), FIBER_STACK + PAGE) || within(at, &current, sizeof(current)))
		return;
	if (kind == ACCESS_READ && within(at, parameter_bank, PARAMETER_BANK))
		return;
	counts.accesses++;
	make_cells();
	if (within(at, shared_memory, SHARED))
		check_shared((const char *) at, bytes, kind, pc);
	else if (in_arena(at))
		check_global((const char *) at, bytes, kind, pc);
	else if (at >= __start_cudaemu_constant && at < __stop_cudaemu_constant)
	{
		if (kind != ACCESS_READ)
			report(cudaErrorIllegalAddress, pc, "write to constant memory");
	}
	else
		report(cudaErrorIllegalAddress, pc, "%s through host pointer %p on the device",
			   kind == ACCESS_READ ? "read" : "write", at);
	if (random_below(YIELD_EVERY) == 0)
		yield();
}

void
atomic_access(void *at, size_t bytes, const char *file, int line)
{
	place = {file, line};
	if (instrumented)
		access(at, bytes, ACCESS_ATOMIC, 0);
}

}								/* namespace cudaemu */
