/*
 * cudaemu.h
 *		The CUDA C++ that kernels are written in, on the CPU.
 *
 * A kernel is compiled as C++; each CUDA thread is a fiber, and blocks and
 * threads run in an order that follows from a seed.  Kernel objects are
 * compiled with -fsanitize=thread and linked without its library: the
 * emulator itself is called at every load and store (tsan.cpp) and looks for
 * races, bounds, host memory and memory that was never written.
 *
 * Types and the run time's functions come from the CUDA toolkit's headers,
 * or, where there is no toolkit, from standin/, without the 16-bit types.
 *
 * test/cudaemu/cudaemu.h
 */
#ifndef CUDAEMU_H
#define CUDAEMU_H

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>

#include <math.h>

#include <cuda_runtime.h>
#ifndef CUDAEMU_STANDIN
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define RN_HAVE_HALF	1		/* __half and __nv_bfloat16 are there */
#endif

/*
 * The toolkit defines these for nvcc; a kernel's are the emulator's.
 * __noinline__ stays the compiler's own word, which C++ headers use.
 */
#undef __global__
#undef __device__
#undef __host__
#undef __noinline__
#undef __forceinline__
#undef __launch_bounds__
#undef __constant__
#undef __shared__
#undef __managed__
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __constant__	__attribute__((section("cudaemu_constant")))

namespace cudaemu
{

/* The running CUDA thread; changed at every switch of fibers. */
struct Current
{
	uint3		thread;
	uint3		block;
	dim3		block_size;
	dim3		grid_size;
};
extern Current current;

/*
 * Queue a launch.  The arguments are copied, as a device's parameter bank is;
 * call unpacks them.
 */
extern void launch(const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared, cudaStream_t stream,
				   const void *arguments, size_t size, void (*call) (const void *));

/* The block's array for this key, made when first asked for. */
extern void *shared_array(const void *key, size_t bytes);
extern void *dynamic_shared();

extern void barrier(const char *file, int line);

/* The sum, conjunction or disjunction over the block, as __syncthreads_count and its kin. */
extern int	barrier_vote(int operation, int value, const char *file, int line);

/* Where the lanes in mask meet: the 32 values they brought. */
extern const uint64_t *meet(int operation, unsigned mask, uint64_t value, const char *file, int line);

/* An atomic operation is about to touch these bytes. */
extern void atomic_access(void *at, size_t bytes, const char *file, int line);
extern int	lane();

template <class... P> struct Arguments
{
	void		(*kernel) (P...);
	std::tuple<P...> values;
};

template <class... P> void
call_kernel(const void *arguments)
{
	auto	   *a = static_cast<const Arguments<P...> *>(arguments);

	std::apply(a->kernel, a->values);
}

template <class... P, class... A> void
launch_kernel(const char *name, dim3 grid, dim3 block, size_t shared, cudaStream_t stream, void (*kernel) (P...), A... a)
{
	Arguments<P...> arguments{kernel, std::tuple<P...>(static_cast<P>(a)...)};

	launch(name, reinterpret_cast<const void *>(kernel), grid, block, shared, stream, &arguments, sizeof(arguments),
		   &call_kernel<P...>);
}

enum Meeting
{
	MEET_XOR = 1,
	MEET_DOWN,
	MEET_UP,
	MEET_INDEX,
	MEET_BALLOT,
	MEET_SYNC
};

template <class T> inline __attribute__((no_sanitize("thread"))) T
shuffle(int operation, unsigned mask, T value, int from, const char *file, int line)
{
	uint64_t	bits = 0;
	T			result;

	static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
	__builtin_memcpy(&bits, &value, sizeof(T));
	bits = meet(operation, mask, bits, file, line)[from & 31];
	__builtin_memcpy(&result, &bits, sizeof(T));
	return result;
}

/* Which lane a shuffle reads, for segments of width lanes. */
static inline int
from_xor(int mask, int width = 32)
{
	int			l = lane();
	int			from = l ^ mask;

	return from / width == l / width || from < l ? from : l;
}

static inline int
from_down(int delta, int width = 32)
{
	return lane() % width + delta < width ? lane() + delta : lane();
}

static inline int
from_up(int delta, int width = 32)
{
	return lane() % width - delta >= 0 ? lane() - delta : lane();
}

static inline int
from_index(int index, int width = 32)
{
	return lane() / width * width + index % width;
}

static inline __attribute__((no_sanitize("thread"))) unsigned
ballot(unsigned mask, bool value, const char *file, int line)
{
	const uint64_t *values = meet(MEET_BALLOT, mask, value, file, line);
	unsigned	bits = 0;
	int			i;

	for (i = 0; i < 32; i++)
		if ((mask >> i & 1) != 0 && values[i] != 0)
			bits |= 1u << i;
	return bits;
}

static inline void
sync_warp(const char *file, int line, unsigned mask = 0xffffffffu)
{
	(void) meet(MEET_SYNC, mask, 0, file, line);
}

/* Read, change and write as one; returns what was there. */
template <class T, class Change> inline __attribute__((no_sanitize("thread"))) T
atomic(T *at, const char *file, int line, Change change)
{
	T			old;

	atomic_access(at, sizeof(T), file, line);
	old = *at;
	*at = change(old);
	return old;
}

}								/* namespace cudaemu */

#define RN_LAUNCH(kernel, grid, block, shared, stream, ...) \
	cudaemu::launch_kernel(#kernel, (grid), (block), (shared), (stream), kernel, __VA_ARGS__)
#define RN_LAUNCH_NAMED(name, kernel, grid, block, shared, stream, ...) \
	cudaemu::launch_kernel(name, (grid), (block), (shared), (stream), kernel, __VA_ARGS__)

#define RN_SHARED(type, name, n) \
	static const char name##_key = 0; \
	type		(&name)[n] = *reinterpret_cast<type (*)[n]>(cudaemu::shared_array(&name##_key, sizeof(type) * (n)))

#define RN_DYN_SHARED(type, name) \
	type	   *name = reinterpret_cast<type *>(cudaemu::dynamic_shared())

#define threadIdx	(cudaemu::current.thread)
#define blockIdx	(cudaemu::current.block)
#define blockDim	(cudaemu::current.block_size)
#define gridDim		(cudaemu::current.grid_size)
#define warpSize	32

#define __syncthreads()				cudaemu::barrier(__FILE__, __LINE__)
#define __syncthreads_count(value)	cudaemu::barrier_vote(0, (value), __FILE__, __LINE__)
#define __syncthreads_and(value)	cudaemu::barrier_vote(1, (value), __FILE__, __LINE__)
#define __syncthreads_or(value)		cudaemu::barrier_vote(2, (value), __FILE__, __LINE__)
#define __syncwarp(...)				cudaemu::sync_warp(__FILE__, __LINE__, ##__VA_ARGS__)

#define __shfl_xor_sync(mask, value, ...) \
	cudaemu::shuffle(cudaemu::MEET_XOR, mask, value, cudaemu::from_xor(__VA_ARGS__), __FILE__, __LINE__)
#define __shfl_down_sync(mask, value, ...) \
	cudaemu::shuffle(cudaemu::MEET_DOWN, mask, value, cudaemu::from_down(__VA_ARGS__), __FILE__, __LINE__)
#define __shfl_up_sync(mask, value, ...) \
	cudaemu::shuffle(cudaemu::MEET_UP, mask, value, cudaemu::from_up(__VA_ARGS__), __FILE__, __LINE__)
#define __shfl_sync(mask, value, ...) \
	cudaemu::shuffle(cudaemu::MEET_INDEX, mask, value, cudaemu::from_index(__VA_ARGS__), __FILE__, __LINE__)
#define __ballot_sync(mask, value)	cudaemu::ballot(mask, (value), __FILE__, __LINE__)
#define __any_sync(mask, value)		(cudaemu::ballot(mask, (value), __FILE__, __LINE__) != 0)
#define __all_sync(mask, value)		(cudaemu::ballot(mask, (value), __FILE__, __LINE__) == (mask))

#define __threadfence()			((void) 0)
#define __threadfence_block()	((void) 0)
#define __ldg(pointer)			(*(pointer))
#define __popc(x)				__builtin_popcount(x)
#define __ffs(x)				__builtin_ffs(x)

static inline int
__clz(int x)
{
	return x == 0 ? 32 : __builtin_clz((unsigned) x);
}

static inline unsigned
__umulhi(unsigned a, unsigned b)
{
	return (unsigned) ((uint64_t) a * b >> 32);
}

static inline float
__int_as_float(int bits)
{
	float		x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

static inline int
__float_as_int(float x)
{
	int			bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

static inline float
__uint_as_float(unsigned bits)
{
	return __int_as_float((int) bits);
}

static inline unsigned
__float_as_uint(float x)
{
	return (unsigned) __float_as_int(x);
}

/* The fast functions of a GPU are exact here: tests on a GPU need tolerances. */
#define __expf(x)			expf(x)
#define __logf(x)			logf(x)
#define __fdividef(a, b)	((a) / (b))
#define __frcp_rn(x)		(1.0f / (x))
#define __fsqrt_rn(x)		sqrtf(x)
#define rsqrtf(x)			(1.0f / sqrtf(x))
#define rsqrt(x)			(1.0 / sqrt(x))

/* The call's own line. */
#define CUDAEMU_PLACE	const char *file = __builtin_FILE(), int line = __builtin_LINE()

template <class T, class V> static inline T
atomicAdd(T *at, V value, CUDAEMU_PLACE)
{
	return cudaemu::atomic(at, file, line, [=] (T old) {return (T) (old + (T) value);});
}

template <class T, class V> static inline T
atomicMax(T *at, V value, CUDAEMU_PLACE)
{
	return cudaemu::atomic(at, file, line, [=] (T old) {return (T) value > old ? (T) value : old;});
}

template <class T, class V> static inline T
atomicMin(T *at, V value, CUDAEMU_PLACE)
{
	return cudaemu::atomic(at, file, line, [=] (T old) {return (T) value < old ? (T) value : old;});
}

template <class T, class V> static inline T
atomicExch(T *at, V value, CUDAEMU_PLACE)
{
	return cudaemu::atomic(at, file, line, [=] (T) {return (T) value;});
}

template <class T, class V> static inline T
atomicOr(T *at, V value, CUDAEMU_PLACE)
{
	return cudaemu::atomic(at, file, line, [=] (T old) {return (T) (old | (T) value);});
}

template <class T, class V> static inline T
atomicCAS(T *at, V expected, V value, CUDAEMU_PLACE)
{
	return cudaemu::atomic(at, file, line, [=] (T old) {return old == (T) expected ? (T) value : old;});
}

#endif							/* CUDAEMU_H */
