/*
 * cpu.c
 *		Which level's kernels this processor runs.
 *
 * The choice is made once, by what the processor says it has and never by
 * timing, so that a run repeated on a machine gives the same bits.
 *
 * kernels/cpu/cpu.c
 */
#include "kernels/cpu/cpu.h"

#include <cblas.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const RnKernels *chosen;

#if defined(__x86_64__) && !defined(RN_ONE_LEVEL)

extern const RnKernels rn_cpu_table_v2;
extern const RnKernels rn_cpu_table_v3;
extern const RnKernels rn_cpu_table_v4;
extern const RnKernels rn_cpu_table_vnni_v4;
extern const RnKernels rn_cpu_table_bfloat16_v4;

const RnKernels *
rn_cpu_kernels_up_to(int level)
{
	__builtin_cpu_init();
	if (level >= 4 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
		__builtin_cpu_supports("avx512cd"))
		return level >= RN_LEVEL_VNNI && __builtin_cpu_supports("avx512vnni") ? &rn_cpu_table_vnni_v4 : &rn_cpu_table_v4;
	if (level >= 3 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
		__builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2"))
		return &rn_cpu_table_v3;
	if (__builtin_cpu_supports("sse4.2"))
		return &rn_cpu_table_v2;
	return NULL;
}

/* Processors with these instructions have VNNI. */
const RnKernels *
rn_cpu_kernels_bfloat16(void)
{
#ifndef RN_DOUBLE
	if (rn_cpu_kernels() == &rn_cpu_table_vnni_v4 && __builtin_cpu_supports("avx512bf16"))
		return &rn_cpu_table_bfloat16_v4;
#endif
	return NULL;
}

#else

extern const RnKernels rn_cpu_table_generic;

const RnKernels *
rn_cpu_kernels_up_to(int level)
{
	(void) level;
	return &rn_cpu_table_generic;
}

const RnKernels *
rn_cpu_kernels_bfloat16(void)
{
	return NULL;
}

#endif

static void
choose(void)
{
	const char *wanted = getenv("RN_CPU_LEVEL");

	/* A shard of the batch is a thread; products start none of their own. */
	openblas_set_num_threads(1);
	chosen = rn_cpu_kernels_up_to(wanted != NULL ? atoi(wanted) : RN_LEVEL_VNNI);
}

const RnKernels *
rn_cpu_kernels(void)
{
	pthread_once(&once, choose);
	return chosen;
}

/* "AVX-512, OpenBLAS 0.3.21 (Zen)" */
void
rn_cpu_describe(const char *vectors, char *text, size_t size)
{
	const char *config = openblas_get_config();
	const char *space = strchr(config, ' ');
	const size_t length = space != NULL ? (size_t) (space - config) + 1 + strcspn(space + 1, " ") : strlen(config);

	snprintf(text, size, "%s, %.*s (%s)", vectors, (int) length, config, openblas_get_corename());
}
