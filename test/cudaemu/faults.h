/*
 * faults.h
 *		Kernels with one mistake each, and kernels without any.
 *
 * test/cudaemu/faults.h
 */
#ifndef CUDAEMU_FAULTS_H
#define CUDAEMU_FAULTS_H

#include <cuda_runtime.h>

/* What a kernel is launched on. */
struct Ground
{
	float	   *out;			/* device memory, n floats, all 0 */
	float	   *in;				/* device memory, n floats: 0, 1, 2, ... */
	float	   *raw;			/* device memory, n floats, never written */
	float	   *host;			/* ordinary memory, n floats */
	int			n;				/* 256 */
	cudaStream_t stream;
};

/*
 * The lines of a mistake end in a comment "fault: name" in faults.cu; a race
 * has two, and is found at either.
 */
struct Fault
{
	const char *name;
	void		(*plant) (const Ground &ground);
	const char *words;			/* that the report must have, beside kernel, thread and line */
};

extern const Fault faults[];
extern const int n_faults;

/* Right kernels: true when the result is right, too. */
struct GoodKernel
{
	const char *name;
	bool		(*run) (const Ground &ground);
};

extern const GoodKernel good_kernels[];
extern const int n_good_kernels;

#endif							/* CUDAEMU_FAULTS_H */
