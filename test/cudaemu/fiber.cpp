/*
 * fiber.cpp
 *		Stacks to run CUDA threads on, and the switch between them.
 *
 * Threads that never wait use one stack one after another.
 *
 * test/cudaemu/fiber.cpp
 */
#include "emulator.h"

#include <cstdlib>
#include <vector>

#include <sys/mman.h>

#if !defined(__x86_64__)
#error "the switch of stacks is written for x86-64 only"
#endif

asm(".text\n"
	".globl cudaemu_switch\n"
	".hidden cudaemu_switch\n"
	".type cudaemu_switch,@function\n"
	"cudaemu_switch:\n"
	"	push %rbp\n"
	"	push %rbx\n"
	"	push %r12\n"
	"	push %r13\n"
	"	push %r14\n"
	"	push %r15\n"
	"	mov %rsp,(%rdi)\n"
	"	mov %rsi,%rsp\n"
	"	pop %r15\n"
	"	pop %r14\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	pop %rbx\n"
	"	pop %rbp\n"
	"	ret\n"
	".size cudaemu_switch, .-cudaemu_switch\n");

namespace cudaemu
{

static const int SAVED_REGISTERS = 6;

static std::vector<Fiber *> idle;

static Fiber *
fiber_create()
{
	Fiber	   *fiber = new Fiber;
	void	   *stack = mmap(NULL, FIBER_STACK + PAGE, PROT_READ | PROT_WRITE,
							 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (stack == MAP_FAILED)
		abort();
	mprotect(stack, PAGE, PROT_NONE);
	fiber->stack = (char *) stack;
	return fiber;
}

/* Ready to begin with entry, which never returns. */
Fiber *
fiber_take(void (*entry) ())
{
	Fiber	   *fiber;
	void	  **top;

	if (idle.empty())
		fiber = fiber_create();
	else
	{
		fiber = idle.back();
		idle.pop_back();
	}
	top = (void **) (fiber->stack + PAGE + FIBER_STACK - 64);
	*--top = NULL;				/* entry's return address, and its stack's alignment */
	*--top = (void *) entry;
	fiber->top = top - SAVED_REGISTERS;
	return fiber;
}

void
fiber_give(Fiber *fiber)
{
	idle.push_back(fiber);
}

}								/* namespace cudaemu */
