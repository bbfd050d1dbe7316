/*
 * tsan.cpp
 *		The calls that -fsanitize=thread puts before every load and store.
 *
 * They belong to a library that is not linked; the emulator answers them.
 *
 * test/cudaemu/tsan.cpp
 */
#include "emulator.h"

#include <cstring>

using namespace cudaemu;

#define PC	((uintptr_t) __builtin_return_address(0))

#define LOAD(name, bytes) \
	void name(void *at) {access(at, bytes, ACCESS_READ, PC);}
#define STORE(name, bytes) \
	void name(void *at) {access(at, bytes, ACCESS_WRITE, PC);}
#define LOAD_AND_STORE(bytes) \
	LOAD(__tsan_read##bytes, bytes) \
	STORE(__tsan_write##bytes, bytes) \
	LOAD(__tsan_volatile_read##bytes, bytes) \
	STORE(__tsan_volatile_write##bytes, bytes) \
	LOAD(__tsan_unaligned_read##bytes, bytes) \
	STORE(__tsan_unaligned_write##bytes, bytes)

/* Ranges are looked at in words, as a GPU moves them. */
static void
access_range(void *at, size_t bytes, Access kind, uintptr_t pc)
{
	size_t		done;

	for (done = 0; done < bytes; done += 4)
		access((char *) at + done, bytes - done < 4 ? bytes - done : 4, kind, pc);
}

extern "C"
{

LOAD_AND_STORE(1)
LOAD_AND_STORE(2)
LOAD_AND_STORE(4)
LOAD_AND_STORE(8)
LOAD_AND_STORE(16)

void
__tsan_read_range(void *at, size_t bytes)
{
	access_range(at, bytes, ACCESS_READ, PC);
}

void
__tsan_write_range(void *at, size_t bytes)
{
	access_range(at, bytes, ACCESS_WRITE, PC);
}

void *
__tsan_memcpy(void *to, const void *from, size_t bytes)
{
	access_range((void *) from, bytes, ACCESS_READ, PC);
	access_range(to, bytes, ACCESS_WRITE, PC);
	return memcpy(to, from, bytes);
}

void *
__tsan_memmove(void *to, const void *from, size_t bytes)
{
	access_range((void *) from, bytes, ACCESS_READ, PC);
	access_range(to, bytes, ACCESS_WRITE, PC);
	return memmove(to, from, bytes);
}

void *
__tsan_memset(void *to, int value, size_t bytes)
{
	access_range(to, bytes, ACCESS_WRITE, PC);
	return memset(to, value, bytes);
}

void
__tsan_init(void)
{
	instrumented = true;
}

void
__tsan_func_entry(void *)
{
}

void
__tsan_func_exit(void)
{
}

void
__tsan_vptr_update(void *, void *)
{
}

void
__tsan_vptr_read(void *)
{
}

/* Atomics of the host's part: guards of static variables, counts of shared objects. */
#define HOST_ATOMICS(bits, type) \
	type \
	__tsan_atomic##bits##_load(const volatile type *at, int) \
	{ \
		return __atomic_load_n(at, __ATOMIC_SEQ_CST); \
	} \
	void \
	__tsan_atomic##bits##_store(volatile type *at, type value, int) \
	{ \
		__atomic_store_n(at, value, __ATOMIC_SEQ_CST); \
	} \
	type \
	__tsan_atomic##bits##_fetch_add(volatile type *at, type value, int) \
	{ \
		return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST); \
	} \
	type \
	__tsan_atomic##bits##_exchange(volatile type *at, type value, int) \
	{ \
		return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST); \
	} \
	int \
	__tsan_atomic##bits##_compare_exchange_strong(volatile type *at, type *expected, type value, int, int) \
	{ \
		return __atomic_compare_exchange_n(at, expected, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
	}

HOST_ATOMICS(8, uint8_t)
HOST_ATOMICS(32, uint32_t)
HOST_ATOMICS(64, uint64_t)

}
