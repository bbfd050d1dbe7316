/*
 * blaslt.cpp
 *		cublasLtMatmul and what describes a product to it.
 *
 * test/cudaemu/blaslt.cpp
 */
#include "blaslt.h"

#include <cblas.h>

using namespace cudaemu;

/* The ways that a product can be asked for: one with workspace, one without. */
static const size_t WORKSPACE = 4096;

/* ---- descriptions ---- */

static_assert(sizeof(Layout) <= sizeof(cublasLtMatrixLayoutOpaque_t), "a layout fits where the caller keeps it");
static_assert(sizeof(Description) <= sizeof(cublasLtMatmulDescOpaque_t), "so does a description");

static Layout *
inside(cublasLtMatrixLayout_t layout)
{
	return (Layout *) layout->data;
}

static Description *
inside(cublasLtMatmulDesc_t description)
{
	return (Description *) description->data;
}

static cublasStatus_t
set(void *field, size_t size, const void *value, size_t value_size)
{
	if (value_size != size)
		return CUBLAS_STATUS_INVALID_VALUE;
	memcpy(field, value, size);
	return CUBLAS_STATUS_SUCCESS;
}

#define SET(field)	set(&(field), sizeof(field), value, bytes)

extern "C"
{

cublasStatus_t
cublasLtCreate(cublasLtHandle_t *handle)
{
	static int	one;

	openblas_set_num_threads(1);	/* its threads would wait busily */
	*handle = (cublasLtHandle_t) &one;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtDestroy(cublasLtHandle_t)
{
	return CUBLAS_STATUS_SUCCESS;
}

const char *
cublasLtGetStatusString(cublasStatus_t status)
{
	switch ((int) status)
	{
		case CUBLAS_STATUS_SUCCESS:
			return "success";
		case CUBLAS_STATUS_INVALID_VALUE:
			return "invalid value";
		case CUBLAS_STATUS_NOT_SUPPORTED:
			return "not supported";
		default:
			return "execution failed";
	}
}

cublasStatus_t
cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType_t type, uint64_t rows, uint64_t cols, int64_t ld)
{
	*layout = new cublasLtMatrixLayoutOpaque_t();
	*inside(*layout) = Layout{type, CUBLASLT_ORDER_COL, rows, cols, ld, 1, 0};
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
	delete layout;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute,
								 const void *value, size_t bytes)
{
	Layout	   *l = inside(layout);

	switch (attribute)
	{
		case CUBLASLT_MATRIX_LAYOUT_ORDER:
			return SET(l->order);
		case CUBLASLT_MATRIX_LAYOUT_ROWS:
			return SET(l->rows);
		case CUBLASLT_MATRIX_LAYOUT_COLS:
			return SET(l->cols);
		case CUBLASLT_MATRIX_LAYOUT_LD:
			return SET(l->ld);
		case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
			return SET(l->batch_count);
		case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
			return SET(l->batch_stride);
		default:
			return CUBLAS_STATUS_NOT_SUPPORTED;
	}
}

cublasStatus_t
cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *description, cublasComputeType_t compute, cudaDataType_t scale_type)
{
	*description = new cublasLtMatmulDescOpaque_t();
	*inside(*description) = Description{compute, scale_type, 0, CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT,
		NULL, -1, NULL, 0};
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description)
{
	delete description;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description, cublasLtMatmulDescAttributes_t attribute,
							   const void *value, size_t bytes)
{
	Description *d = inside(description);

	switch (attribute)
	{
		case CUBLASLT_MATMUL_DESC_POINTER_MODE:
			return SET(d->pointer_mode);
		case CUBLASLT_MATMUL_DESC_TRANSA:
			return SET(d->transpose_a);
		case CUBLASLT_MATMUL_DESC_TRANSB:
			return SET(d->transpose_b);
		case CUBLASLT_MATMUL_DESC_EPILOGUE:
			return SET(d->epilogue);
		case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
			return SET(d->bias);
		case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
			return SET(d->bias_type);
		case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
			return SET(d->aux);
		case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
			return SET(d->aux_ld);
		default:
			return CUBLAS_STATUS_NOT_SUPPORTED;
	}
}

cublasStatus_t
cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
	int			i;

	/* data: bytes of workspace, then alignments of A, B, C and D */
	*preference = new cublasLtMatmulPreferenceOpaque_t();
	for (i = 1; i <= 4; i++)
		(*preference)->data[i] = 256;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
	delete preference;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
									 cublasLtMatmulPreferenceAttributes_t attribute, const void *value, size_t bytes)
{
	uint32_t	alignment;

	if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
		return SET(preference->data[0]);
	if (attribute < CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES || attribute > CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES)
		return CUBLAS_STATUS_SUCCESS;
	if (bytes != sizeof(alignment))
		return CUBLAS_STATUS_INVALID_VALUE;
	memcpy(&alignment, value, sizeof(alignment));
	preference->data[1 + attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES] = alignment;
	return CUBLAS_STATUS_SUCCESS;
}

/* Two ways, so that who chooses between several can be tested. */
cublasStatus_t
cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t description, cublasLtMatrixLayout_t,
							   cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
							   cublasLtMatmulPreference_t preference, int n_wanted,
							   cublasLtMatmulHeuristicResult_t results[], int *n_found)
{
	int			i;

	*n_found = 0;
	if (!is_known(inside(description)->epilogue))
		return CUBLAS_STATUS_NOT_SUPPORTED;
	for (i = 0; i < n_wanted && i < 2; i++)
	{
		size_t		workspace = i == 0 ? WORKSPACE : 0;

		if (workspace > preference->data[0])
			continue;
		memset(&results[*n_found], 0, sizeof(results[0]));
		memcpy(&results[*n_found].algo, preference, 5 * sizeof(uint64_t));
		results[*n_found].algo.data[0] = workspace;
		results[*n_found].workspaceSize = workspace;
		results[*n_found].state = CUBLAS_STATUS_SUCCESS;
		(*n_found)++;
	}
	return *n_found > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

/* An algorithm works for matrices that lie as was said when it was chosen. */
static bool
is_aligned(const cublasLtMatmulAlgo_t *algorithm, int which, const void *matrix)
{
	return algorithm == NULL || algorithm->data[1 + which] == 0 || (uintptr_t) matrix % algorithm->data[1 + which] == 0;
}

cublasStatus_t
cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t description, const void *alpha, const void *a,
			   cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout, const void *beta,
			   const void *c, cublasLtMatrixLayout_t c_layout, void *d, cublasLtMatrixLayout_t d_layout,
			   const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t workspace_bytes, cudaStream_t stream)
{
	Lock		lock;
	Product		p = {*inside(description), *inside(a_layout), *inside(b_layout), *inside(c_layout), *inside(d_layout),
		(const char *) a, (const char *) b, (const char *) c, (char *) d, *(const float *) alpha, *(const float *) beta,
		(char *) workspace, algorithm != NULL ? (size_t) algorithm->data[0] : 0};

	if (p.description.pointer_mode != 0 || !is_known(p.description.epilogue) ||
		p.description.scale_type != CUDA_R_32F)
		return CUBLAS_STATUS_NOT_SUPPORTED;
	if (!shapes_fit(p) || p.workspace_bytes > workspace_bytes || !is_aligned(algorithm, 0, a) ||
		!is_aligned(algorithm, 1, b) || !is_aligned(algorithm, 2, c) || !is_aligned(algorithm, 3, d))
		return CUBLAS_STATUS_INVALID_VALUE;
	return enqueue(stream, [=] {run_product(p);}) == cudaSuccess ? CUBLAS_STATUS_SUCCESS :
		CUBLAS_STATUS_EXECUTION_FAILED;
}

}
