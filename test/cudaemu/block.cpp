/*
 * block.cpp
 *		A grid: its blocks one after another, the threads of a block in turns.
 *
 * Blocks, and threads that can run, are picked at random.  A thread runs until
 * it waits, ends, or is made to yield by an access (access.cpp), so that code
 * that relies on an order, or on lockstep, meets another one.
 *
 * test/cudaemu/block.cpp
 */
#include "cudaemu.h"
#include "emulator.h"

#include <cstdlib>
#include <vector>

#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim

namespace cudaemu
{

/* Lanes of a warp that meet: one of these for each mask in use. */
struct MeetingPlace
{
	unsigned	mask;
	unsigned	arrived;		/* 0: free */
	int			operation;
	uint64_t	values[32];
};

struct Warp
{
	MeetingPlace places[32];
	uint16_t	epoch;			/* meetings so far, from 1 */
};

struct SharedArray
{
	const void *key;
	size_t		offset;
	size_t		bytes;
};

struct Vote
{
	int			count;
	bool		all;
	bool		any;
};

Current		current;
__thread bool on_device;
const char *kernel_name = "";
uint32_t	self;
uint32_t	block_id;
uint32_t	first_block = 16;	/* 0 and 1 have a meaning in access.cpp */
uint16_t	barrier_epoch;

static uint32_t next_block = 16;
alignas(16) static char bank[PARAMETER_BANK];
const char *parameter_bank = bank;
static void (*call_kernel_body) (const void *);

static std::vector<Thread> threads;
static std::vector<Warp> warps;
static std::vector<uint32_t> runnable;
static std::vector<uint64_t> brought;	/* [threads, 32]: what a meeting gave each thread */
static void *scheduler;			/* its stack pointer while a fiber runs */
static uint32_t n_threads;
static uint32_t n_at_barrier;
static uint32_t n_done;
static int	barrier_line;
static Vote votes[2];			/* by the parity of barrier_epoch */
static bool given_up;

static std::vector<SharedArray> shared_arrays;
static size_t shared_top;
static size_t dynamic_bytes;
static const char dynamic_key = 0;

uint16_t
warp_epoch(uint32_t thread)
{
	return warps[thread / 32].epoch;
}

const char *
fiber_stack()
{
	return threads[self].fiber->stack;
}

int
lane()
{
	return (int) (self & 31);
}

static void
to_scheduler()
{
	counts.switches++;
	cudaemu_switch(&threads[self].fiber->top, scheduler);
}

void
yield()
{
	runnable.push_back(self);
	to_scheduler();
}

void
abandon()
{
	given_up = true;
	to_scheduler();
	abort();
}

static void
thread_entry()
{
	call_kernel_body(bank);
	threads[self].state = THREAD_DONE;
	n_done++;
	to_scheduler();
	abort();
}

/* ---- barriers ---- */

static void
open_barrier()
{
	uint32_t	i;

	for (i = 0; i < n_threads; i++)
		if (threads[i].state == THREAD_AT_BARRIER)
		{
			threads[i].state = THREAD_READY;
			runnable.push_back(i);
		}
	n_at_barrier = 0;
	barrier_epoch++;
	votes[barrier_epoch & 1] = Vote{0, true, false};
}

void
barrier(const char *file, int line)
{
	place = {file, line};
	if (n_at_barrier == 0)
		barrier_line = line;
	else if (barrier_line != line)
		report(cudaErrorLaunchFailure, 0, "divergent __syncthreads: other threads wait at line %d", barrier_line);
	if (n_done > 0)
		report(cudaErrorLaunchFailure, 0, "__syncthreads after %u threads of the block have returned", n_done);
	threads[self].state = THREAD_AT_BARRIER;
	threads[self].place = place;
	if (++n_at_barrier == n_threads)
		open_barrier();
	to_scheduler();
}

int
barrier_vote(int operation, int value, const char *file, int line)
{
	Vote	   *vote = &votes[barrier_epoch & 1];

	vote->count += value != 0;
	vote->all = vote->all && value != 0;
	vote->any = vote->any || value != 0;
	barrier(file, line);
	return operation == 0 ? vote->count : operation == 1 ? vote->all : vote->any;
}

/* ---- warps ---- */

static MeetingPlace *
meeting_place(Warp *warp, unsigned mask)
{
	MeetingPlace *unused = NULL;

	for (MeetingPlace &place : warp->places)
	{
		if (place.arrived != 0 && place.mask == mask)
			return &place;
		if (place.arrived == 0 && unused == NULL)
			unused = &place;
	}
	return unused;
}

static void
check_mask(unsigned mask, int operation)
{
	uint32_t	in_warp = n_threads - (self & ~31u);
	unsigned	real = in_warp >= 32 ? 0xffffffffu : (1u << in_warp) - 1;

	if ((mask >> lane() & 1) == 0)
		report(cudaErrorLaunchFailure, 0, "lane %d calls a warp operation with mask %08x, which lacks it", lane(), mask);
	if ((mask & ~real) != 0 && operation != MEET_SYNC)
		report(cudaErrorLaunchFailure, 0, "warp mask %08x names lanes that do not exist", mask);
}

/* All lanes are there: each gets the values, and can go on. */
static void
end_meeting(Warp *warp, MeetingPlace *meeting)
{
	uint32_t	first = self & ~31u;
	uint32_t	i;

	for (i = 0; i < 32; i++)
		if ((meeting->mask >> i & 1) != 0)
		{
			threads[first + i].state = THREAD_READY;
			memcpy(&brought[(first + i) * 32], meeting->values, sizeof(meeting->values));
			if (first + i != self)
				runnable.push_back(first + i);
		}
	meeting->arrived = 0;
	warp->epoch++;
}

const uint64_t *
meet(int operation, unsigned mask, uint64_t value, const char *file, int line)
{
	Warp	   *warp = &warps[self / 32];
	uint32_t	in_warp = n_threads - (self & ~31u);
	MeetingPlace *meeting;

	place = {file, line};
	check_mask(mask, operation);
	if (in_warp < 32)
		mask &= (1u << in_warp) - 1;
	meeting = meeting_place(warp, mask);
	if (meeting->arrived == 0)
	{
		meeting->mask = mask;
		meeting->operation = operation;
	}
	else if (meeting->operation != operation)
		report(cudaErrorLaunchFailure, 0, "lanes of one warp meet in different warp operations");
	meeting->values[lane()] = value;
	meeting->arrived |= 1u << lane();
	threads[self].state = THREAD_AT_MEETING;
	threads[self].place = place;
	if (meeting->arrived == mask)
		end_meeting(warp, meeting);
	else
		to_scheduler();
	return &brought[self * 32];
}

/* ---- shared arrays ---- */

void *
shared_array(const void *key, size_t bytes)
{
	size_t		offset;

	for (const SharedArray &array : shared_arrays)
		if (array.key == key)
			return shared_memory + array.offset;
	offset = (shared_top + 15) / 16 * 16;
	shared_top = offset + bytes + 64;	/* a red zone behind each */
	if (shared_top > SHARED)
		report(cudaErrorInvalidConfiguration, 0, "%zu bytes of shared memory are more than there are", shared_top);
	shared_arrays.push_back({key, offset, bytes});
	memset(shared_memory + offset, 0xCB, bytes);
	return shared_memory + offset;
}

void *
dynamic_shared()
{
	return shared_array(&dynamic_key, dynamic_bytes);
}

bool
in_shared_array(size_t offset, size_t bytes)
{
	for (const SharedArray &array : shared_arrays)
		if (offset >= array.offset && offset + bytes <= array.offset + array.bytes)
			return true;
	return false;
}

/* ---- blocks ---- */

static void
begin_block(size_t shared)
{
	uint32_t	i;

	forget_shared(shared_top);
	shared_arrays.clear();
	shared_top = 64;
	dynamic_bytes = shared;
	for (Warp &warp : warps)
	{
		for (MeetingPlace &place : warp.places)
			place.arrived = 0;
		warp.epoch = 1;
	}
	runnable.resize(n_threads);
	for (i = 0; i < n_threads; i++)
	{
		threads[i] = Thread{NULL, THREAD_NEW, {NULL, 0}};
		runnable[i] = i;
	}
	n_at_barrier = n_done = 0;
	barrier_epoch = 1;
	votes[1] = Vote{0, true, false};
	given_up = false;
	counts.threads += n_threads;
}

static void
become(uint32_t thread)
{
	const dim3 &size = current.block_size;

	self = thread;
	current.thread.x = thread % size.x;
	current.thread.y = thread / size.x % size.y;
	current.thread.z = thread / (size.x * size.y);
}

static void
run_thread(uint32_t thread)
{
	Thread	   *t = &threads[thread];

	if (t->state == THREAD_NEW)
		t->fiber = fiber_take(thread_entry);
	t->state = THREAD_READY;
	become(thread);
	on_device = true;
	cudaemu_switch(&scheduler, t->fiber->top);
	on_device = false;
	if (t->state == THREAD_DONE)
	{
		fiber_give(t->fiber);
		t->fiber = NULL;
	}
}

static void
report_deadlock()
{
	uint32_t	waiting = 0;

	while (threads[waiting].state == THREAD_DONE)
		waiting++;
	place = threads[waiting].place;
	report(cudaErrorLaunchTimeout, 0,
		   "%s, block (%u,%u,%u), thread (%u): deadlock: %u of %u threads have returned, this one waits in %s",
		   kernel_name, current.block.x, current.block.y, current.block.z, waiting, n_done, n_threads,
		   threads[waiting].state == THREAD_AT_BARRIER ? "__syncthreads" : "a warp operation");
}

static bool
run_block(size_t shared)
{
	begin_block(shared);
	while (!runnable.empty() && !given_up)
	{
		uint32_t	at = random_below((uint32_t) runnable.size());
		uint32_t	thread = runnable[at];

		runnable[at] = runnable.back();
		runnable.pop_back();
		run_thread(thread);
	}
	if (!given_up && n_done != n_threads)
	{
		given_up = true;
		report_deadlock();
	}
	for (Thread &thread : threads)
		if (thread.fiber != NULL)
		{
			fiber_give(thread.fiber);
			thread.fiber = NULL;
		}
	return !given_up;
}

void
run_grid(const char *name, dim3 grid, dim3 block, size_t shared, const void *arguments, size_t size,
		 void (*call) (const void *))
{
	uint32_t	n_blocks = grid.x * grid.y * grid.z;
	std::vector<uint32_t> order(n_blocks);
	uint32_t	i;

	counts.launches++;
	kernel_name = name;
	call_kernel_body = call;
	memcpy(bank, arguments, size);
	n_threads = block.x * block.y * block.z;
	current.block_size = block;
	current.grid_size = grid;
	threads.assign(n_threads, Thread{NULL, THREAD_NEW, {NULL, 0}});
	warps.resize((n_threads + 31) / 32);
	brought.resize((size_t) (n_threads + 31) / 32 * 32 * 32);
	first_block = next_block;
	next_block += n_blocks;
	for (i = 0; i < n_blocks; i++)
		order[i] = i;
	for (i = n_blocks; i > 1; i--)
		std::swap(order[i - 1], order[random_below(i)]);
	for (uint32_t number : order)
	{
		block_id = first_block + number;
		current.block = {number % grid.x, number / grid.x % grid.y, number / (grid.x * grid.y)};
		if (!run_block(shared))
			break;
	}
}

}								/* namespace cudaemu */
