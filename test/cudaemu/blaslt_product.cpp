/*
 * blaslt_product.cpp
 *		A product and what is done to it before it is stored.
 *
 *		D = epilogue(alpha op(A) op(B) + beta C)
 *
 * The product itself is OpenBLAS's, in float, over dense copies.  Epilogues
 * with GELU are refused: they are another GELU than ours.
 *
 * test/cudaemu/blaslt_product.cpp
 */
#include "blaslt.h"

#include <cblas.h>

namespace cudaemu
{

/* ---- epilogues ---- */

static bool
has(const Product &p, unsigned epilogue)
{
	return (p.description.epilogue & epilogue) == epilogue;
}

bool
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

void
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

bool
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

}								/* namespace cudaemu */
