/*
 * blaslt.h
 *		What cublasLtMatmul is made of, for the blaslt*.cpp files alone.
 *
 *		blaslt.cpp			what describes a product, and the call
 *		blaslt_product.cpp	the product and its epilogues
 *		blaslt_matrix.cpp	matrices in device memory, their numbers
 *
 * test/cudaemu/blaslt.h
 */
#ifndef CUDAEMU_BLASLT_H
#define CUDAEMU_BLASLT_H

#include "cudaemu.h"
#include "emulator.h"

#include <vector>

#include <cublasLt.h>

namespace cudaemu
{

/* A layout's attributes, kept by number. */
struct Layout
{
	cudaDataType_t type;
	int32_t		order;
	uint64_t	rows;
	uint64_t	cols;
	int64_t		ld;
	int32_t		batch_count;
	int64_t		batch_stride;
};

struct Description
{
	cublasComputeType_t compute;
	cudaDataType_t scale_type;
	int32_t		pointer_mode;
	int32_t		transpose_a;
	int32_t		transpose_b;
	uint32_t	epilogue;
	void	   *bias;
	int32_t		bias_type;		/* -1: D's */
	void	   *aux;
	int64_t		aux_ld;
};

/* One product with everything it needs, copied when it was called. */
struct Product
{
	Description description;
	Layout		a_layout;
	Layout		b_layout;
	Layout		c_layout;
	Layout		d_layout;
	const char *a;
	const char *b;
	const char *c;
	char	   *d;
	float		alpha;
	float		beta;
	char	   *workspace;
	size_t		workspace_bytes;	/* that the chosen way needs */
};

struct Dense
{
	int			rows;
	int			cols;
	std::vector<float> values;	/* column by column */
};

/* ---- blaslt_matrix.cpp ---- */

/* Bytes of a number; 0: a type that is not known. */
extern size_t size_of(int type);
extern float load(const void *at, int type);
extern void store(void *at, int type, float value);

extern size_t index_of(const Layout &layout, uint64_t row, uint64_t col);

/* May the product touch all of it? */
extern bool matrix_is_good(const Layout &layout, const void *at, bool is_read, const char *what);

/* A dense copy of op(matrix), its numbers as exact as the product is asked to be. */
extern Dense gather(const Layout &layout, const char *at, bool transpose, cublasComputeType_t compute);

/* ---- blaslt_product.cpp ---- */

extern bool is_known(unsigned epilogue);

/* Do the shapes fit together, and are the types ones that we know? */
extern bool shapes_fit(const Product &p);
extern void run_product(const Product &p);

}								/* namespace cudaemu */

#endif							/* CUDAEMU_BLASLT_H */
