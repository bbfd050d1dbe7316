/*
 * blaslt.cpp
 *		cublasLtMatmul and what describes a product to it.
 *
 *		D = epilogue(alpha op(A) op(B) + beta C)
 *
 * The product itself is OpenBLAS's, in float, over dense copies; inputs of
 * less exact products are rounded as a GPU rounds them.  Every matrix is held to
 * the bounds of its allocation, and what is read must have been written.
 * Epilogues with GELU are refused: they are another GELU than ours.
 *
 * test/cudaemu/blaslt.cpp
 */
#include "cudaemu.h"
#include "emulator.h"

#include <vector>

#include <cblas.h>
#include <cublasLt.h>

using namespace cudaemu;

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

/* The ways that a product can be asked for: one with workspace, one without. */
static const size_t WORKSPACE = 4096;

static size_t
size_of(int type)
{
	return type == CUDA_R_32F ? 4 : type == CUDA_R_16BF || type == CUDA_R_16F ? 2 : 0;
}

static float
load(const void *at, int type)
{
	switch (type)
	{
#ifdef RN_HAVE_HALF
		case CUDA_R_16BF:
			return __bfloat162float(*(const __nv_bfloat16 *) at);
		case CUDA_R_16F:
			return __half2float(*(const __half *) at);
#endif
		default:
			return *(const float *) at;
	}
}

static void
store(void *at, int type, float value)
{
	switch (type)
	{
#ifdef RN_HAVE_HALF
		case CUDA_R_16BF:
			*(__nv_bfloat16 *) at = __float2bfloat16(value);
			break;
		case CUDA_R_16F:
			*(__half *) at = __float2half(value);
			break;
#endif
		default:
			*(float *) at = value;
	}
}

/* Without so many bits at the end of the mantissa: to nearest, ties to even. */
static float
drop_bits(float x, int bits)
{
	uint32_t	word = __float_as_uint(x);

	if ((word & 0x7f800000u) == 0x7f800000u)
		return x;
	word += (1u << (bits - 1)) - 1 + (word >> bits & 1);
	return __uint_as_float(word & ~((1u << bits) - 1));
}

static float
round_half(float x)
{
	const float smallest = 1.0f / (1 << 24);
	float		y = drop_bits(x, 13);

	if (fabsf(x) < 1.0f / (1 << 14))
		return nearbyintf(x / smallest) * smallest;
	return fabsf(y) > 65504.0f ? copysignf(INFINITY, x) : y;
}

/* An input of a product, as exact as the product is asked to be. */
static float
round_input(float x, cublasComputeType_t compute)
{
	switch (compute)
	{
		case CUBLAS_COMPUTE_32F_FAST_TF32:
			return drop_bits(x, 13);
		case CUBLAS_COMPUTE_32F_FAST_16BF:
			return drop_bits(x, 16);
		case CUBLAS_COMPUTE_32F_FAST_16F:
			return round_half(x);
		default:
			return x;
	}
}

/* ---- matrices in device memory ---- */

static size_t
index_of(const Layout &layout, uint64_t row, uint64_t col)
{
	return layout.order == CUBLASLT_ORDER_ROW ? row * (size_t) layout.ld + col : col * (size_t) layout.ld + row;
}

/* May the product touch all of it? */
static bool
matrix_is_good(const Layout &layout, const void *at, bool is_read, const char *what)
{
	size_t		bytes = size_of(layout.type);
	uint64_t	outer = layout.order == CUBLASLT_ORDER_ROW ? layout.rows : layout.cols;
	uint64_t	inner = layout.order == CUBLASLT_ORDER_ROW ? layout.cols : layout.rows;
	uint64_t	i;

	if (!range_is_good(at, (index_of(layout, layout.rows - 1, layout.cols - 1) + 1) * bytes, true, what))
		return false;
	for (i = 0; is_read && i < outer; i++)
		if (!was_written((const char *) at + i * (size_t) layout.ld * bytes, inner * bytes))
		{
			report(cudaErrorLaunchFailure, 0, "%s: read of global memory that was never written", what);
			return false;
		}
	return true;
}

/* A dense copy of op(matrix). */
static Dense
gather(const Layout &layout, const char *at, bool transpose, cublasComputeType_t compute)
{
	size_t		bytes = size_of(layout.type);
	Dense		dense;
	int			i;
	int			j;

	dense.rows = (int) (transpose ? layout.cols : layout.rows);
	dense.cols = (int) (transpose ? layout.rows : layout.cols);
	dense.values.resize((size_t) dense.rows * dense.cols);
	for (j = 0; j < dense.cols; j++)
		for (i = 0; i < dense.rows; i++)
		{
			const char *from = at + index_of(layout, transpose ? j : i, transpose ? i : j) * bytes;

			dense.values[(size_t) j * dense.rows + i] = round_input(load(from, layout.type), compute);
		}
	return dense;
}

/* ---- epilogues ---- */

static bool
has(const Product &p, unsigned epilogue)
{
	return (p.description.epilogue & epilogue) == epilogue;
}

static bool
is_known(unsigned epilogue)
{
	switch (epilogue)
	{
		case CUBLASLT_EPILOGUE_DEFAULT:
		case CUBLASLT_EPILOGUE_RELU:
		case CUBLASLT_EPILOGUE_RELU_AUX:
		case CUBLASLT_EPILOGUE_BIAS:
		case CUBLASLT_EPILOGUE_RELU_BIAS:
		case CUBLASLT_EPILOGUE_RELU_AUX_BIAS:
		case CUBLASLT_EPILOGUE_DRELU:
		case CUBLASLT_EPILOGUE_DRELU_BGRAD:
		case CUBLASLT_EPILOGUE_BGRADA:
		case CUBLASLT_EPILOGUE_BGRADB:
			return true;
		default:
			return false;
	}
}

static int
bias_type(const Product &p)
{
	return p.description.bias_type >= 0 ? p.description.bias_type : p.d_layout.type;
}

/* A gradient of the bias, one number a row of sums. */
static void
store_bias_gradient(const Product &p, const std::vector<float> &sums)
{
	size_t		bytes = size_of(bias_type(p));
	size_t		i;

	if (!range_is_good(p.description.bias, sums.size() * bytes, true, "gradient of the bias"))
		return;
	for (i = 0; i < sums.size(); i++)
		store((char *) p.description.bias + i * bytes, bias_type(p), sums[i]);
	mark_written(p.description.bias, sums.size() * bytes);
}

static std::vector<float>
row_sums(const Dense &dense)
{
	std::vector<float> sums((size_t) dense.rows, 0.0f);
	size_t		i;

	for (i = 0; i < dense.values.size(); i++)
		sums[i % (size_t) dense.rows] += dense.values[i];
	return sums;
}

static std::vector<float>
col_sums(const Dense &dense)
{
	std::vector<float> sums((size_t) dense.cols, 0.0f);
	size_t		i;

	for (i = 0; i < dense.values.size(); i++)
		sums[i / (size_t) dense.rows] += dense.values[i];
	return sums;
}

static bool
add_bias(const Product &p, Dense *dense)
{
	size_t		bytes = size_of(bias_type(p));
	size_t		i;

	if (!range_is_good(p.description.bias, (size_t) dense->rows * bytes, true, "bias"))
		return false;
	for (i = 0; i < dense->values.size(); i++)
		dense->values[i] += load((const char *) p.description.bias + i % (size_t) dense->rows * bytes, bias_type(p));
	return true;
}

/* A bit for each element: was it above 0?  Written by ReLU, read by its backward. */
static bool
mask_is_good(const Product &p, const Dense &dense)
{
	if (p.description.aux_ld % 128 != 0 || p.description.aux_ld < dense.rows)
	{
		report(cudaErrorInvalidValue, 0, "distance %lld of the mask's columns for %d rows",
			   (long long) p.description.aux_ld, dense.rows);
		return false;
	}
	return range_is_good(p.description.aux, (size_t) p.description.aux_ld / 8 * dense.cols, true, "mask of ReLU");
}

static void
apply_relu(const Product &p, Dense *dense, bool keep_mask)
{
	size_t		column = (size_t) p.description.aux_ld / 8;
	uint8_t    *mask = (uint8_t *) p.description.aux;
	size_t		i;

	if (keep_mask)
	{
		memset(mask, 0, column * (size_t) dense->cols);
		mark_written(mask, column * (size_t) dense->cols);
	}
	for (i = 0; i < dense->values.size(); i++)
	{
		size_t		row = i % (size_t) dense->rows;

		if (!(dense->values[i] > 0.0f))
			dense->values[i] = 0.0f;
		else if (keep_mask)
			mask[i / (size_t) dense->rows * column + row / 8] |= (uint8_t) (1u << row % 8);
	}
}

static void
apply_relu_backward(const Product &p, Dense *dense)
{
	size_t		column = (size_t) p.description.aux_ld / 8;
	const uint8_t *mask = (const uint8_t *) p.description.aux;
	size_t		i;

	for (i = 0; i < dense->values.size(); i++)
	{
		size_t		row = i % (size_t) dense->rows;

		if ((mask[i / (size_t) dense->rows * column + row / 8] >> row % 8 & 1) == 0)
			dense->values[i] = 0.0f;
	}
}

/* ---- the product ---- */

static bool
apply_epilogue(const Product &p, const Dense &a, const Dense &b, Dense *dense)
{
	unsigned	epilogue = p.description.epilogue;
	bool		aux = epilogue == CUBLASLT_EPILOGUE_RELU_AUX || epilogue == CUBLASLT_EPILOGUE_RELU_AUX_BIAS ||
		has(p, CUBLASLT_EPILOGUE_DRELU);

	if (has(p, CUBLASLT_EPILOGUE_BIAS) && !add_bias(p, dense))
		return false;
	if (aux && !mask_is_good(p, *dense))
		return false;
	if (has(p, CUBLASLT_EPILOGUE_RELU))
		apply_relu(p, dense, aux);
	if (has(p, CUBLASLT_EPILOGUE_DRELU))
		apply_relu_backward(p, dense);
	if (epilogue == CUBLASLT_EPILOGUE_DRELU_BGRAD)
		store_bias_gradient(p, row_sums(*dense));
	else if (epilogue == CUBLASLT_EPILOGUE_BGRADA)
		store_bias_gradient(p, row_sums(a));
	else if (epilogue == CUBLASLT_EPILOGUE_BGRADB)
		store_bias_gradient(p, col_sums(b));
	return true;
}

static void
multiply(const Product &p)
{
	cublasComputeType_t compute = p.description.compute;
	size_t		c_bytes = size_of(p.c_layout.type);
	size_t		d_bytes = size_of(p.d_layout.type);
	Dense		a;
	Dense		b;
	Dense		d;
	int			i;
	int			j;

	if (!matrix_is_good(p.a_layout, p.a, true, "matrix A of a product") ||
		!matrix_is_good(p.b_layout, p.b, true, "matrix B of a product") ||
		(p.beta != 0.0f && !matrix_is_good(p.c_layout, p.c, true, "matrix C of a product")) ||
		!matrix_is_good(p.d_layout, p.d, false, "matrix D of a product"))
		return;
	a = gather(p.a_layout, p.a, p.description.transpose_a != CUBLAS_OP_N, compute);
	b = gather(p.b_layout, p.b, p.description.transpose_b != CUBLAS_OP_N, compute);
	d.rows = a.rows;
	d.cols = b.cols;
	d.values.assign((size_t) d.rows * d.cols, 0.0f);
	for (j = 0; p.beta != 0.0f && j < d.cols; j++)
		for (i = 0; i < d.rows; i++)
			d.values[(size_t) j * d.rows + i] = load(p.c + index_of(p.c_layout, i, j) * c_bytes, p.c_layout.type);
	cblas_sgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, d.rows, d.cols, a.cols, p.alpha, a.values.data(), a.rows,
				b.values.data(), b.rows, p.beta, d.values.data(), d.rows);
	if (!apply_epilogue(p, a, b, &d))
		return;
	for (j = 0; j < d.cols; j++)
		for (i = 0; i < d.rows; i++)
		{
			char	   *at = p.d + index_of(p.d_layout, i, j) * d_bytes;

			store(at, p.d_layout.type, d.values[(size_t) j * d.rows + i]);
			mark_written(at, d_bytes);
		}
}

static void
run_product(const Product &first)
{
	Product		p = first;
	int			batch;

	if (p.workspace_bytes > 0)
	{
		if (!range_is_good(p.workspace, p.workspace_bytes, true, "workspace of a product"))
			return;
		memset(p.workspace, 0xCB, p.workspace_bytes);
		mark_written(p.workspace, p.workspace_bytes);
	}
	for (batch = 0; batch < first.d_layout.batch_count && sticky == cudaSuccess; batch++)
	{
		multiply(p);
		p.a += p.a_layout.batch_stride * (int64_t) size_of(p.a_layout.type);
		p.b += p.b_layout.batch_stride * (int64_t) size_of(p.b_layout.type);
		p.c += p.c_layout.batch_stride * (int64_t) size_of(p.c_layout.type);
		p.d += p.d_layout.batch_stride * (int64_t) size_of(p.d_layout.type);
	}
}

/* Do the shapes fit together, and are the types ones that we know? */
static bool
shapes_fit(const Product &p)
{
	bool		ta = p.description.transpose_a != CUBLAS_OP_N;
	bool		tb = p.description.transpose_b != CUBLAS_OP_N;
	uint64_t	m = ta ? p.a_layout.cols : p.a_layout.rows;
	uint64_t	k = ta ? p.a_layout.rows : p.a_layout.cols;
	uint64_t	n = tb ? p.b_layout.rows : p.b_layout.cols;

	for (const Layout *layout : {&p.a_layout, &p.b_layout, &p.c_layout, &p.d_layout})
		if (size_of(layout->type) == 0 || layout->rows == 0 || layout->cols == 0 ||
			(uint64_t) layout->ld < (layout->order == CUBLASLT_ORDER_ROW ? layout->cols : layout->rows) ||
			layout->batch_count != p.d_layout.batch_count)
			return false;
	return k == (tb ? p.b_layout.cols : p.b_layout.rows) && m == p.d_layout.rows && n == p.d_layout.cols &&
		m == p.c_layout.rows && n == p.c_layout.cols;
}

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
