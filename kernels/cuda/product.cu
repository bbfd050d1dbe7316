/*
 * product.cu
 *		Products of matrices by cuBLASLt, and how exact they are.
 *
 * cuBLASLt counts by columns: a row-major C = A B is its C' = B' A'.  A plan
 * (what to compute and by which algorithm) is made for a shape when it is
 * first met, and kept; a table of limited size is enough, since batches of
 * one job have few shapes.  Which algorithms there are depends on how the
 * matrices are aligned, too: parameters lie one after another, whatever their
 * sizes.  Sums are always kept in float32.
 *
 * kernels/cuda/product.cu
 */
#include "kernels/cuda/product.h"

#include <cublasLt.h>
#include <pthread.h>
#include <string.h>

#define PLANS		1024		/* a power of two */
#define PROBES		8			/* places where a plan may lie */

#define WORKSPACE_SMALL	((size_t) 4 << 20)
#define WORKSPACE_LARGE	((size_t) 32 << 20) /* what NVIDIA recommends from Hopper on */

typedef struct Precision
{
	const char *option;
	const char *name;
	int			major;			/* first architecture that has it */
	int			minor;
	cublasComputeType_t compute;	/* of numbers of 32 bits */
	RnRounding	rounding;
} Precision;

static const Precision precisions[] = {
	{"float32", "float32", 0, 0, CUBLAS_COMPUTE_32F, RN_ROUND_NOTHING},
	{"tf32", "products in TF32", 8, 0, CUBLAS_COMPUTE_32F_FAST_TF32, RN_ROUND_NOTHING},
	{"bfloat16", "products in bfloat16", 8, 0, CUBLAS_COMPUTE_32F_FAST_16BF, RN_ROUND_BFLOAT16},
	{"float16", "products in float16", 7, 0, CUBLAS_COMPUTE_32F_FAST_16F, RN_ROUND_FLOAT16},
};

/* What a plan is for. */
typedef struct Shape
{
	int			transpose_a;
	int			transpose_b;
	int			m;
	int			n;
	int			k;
	int			lda;
	int			ldb;
	int			ldc;
	int			reads_c;
	uint32_t	align_a;		/* bytes */
	uint32_t	align_b;
	uint32_t	align_c;
	uint32_t	align_bias;		/* a number is added to each column of C; 0: none is */
	int			rounded;		/* A and B are of 16 bits */
} Shape;

typedef struct Plan
{
	int			used;
	Shape		shape;
	cublasLtMatmulDesc_t operation;
	cublasLtMatrixLayout_t a;	/* as cuBLASLt sees them: the caller's B, A and C */
	cublasLtMatrixLayout_t b;
	cublasLtMatrixLayout_t c;
	cublasLtMatmulAlgo_t algorithm;
} Plan;

static cublasLtHandle_t handle;
static const Precision *precision;
static size_t workspace_size;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Plan plans[PLANS];

static void
drop_plan(Plan *plan)
{
	if (plan->operation != NULL)
		cublasLtMatmulDescDestroy(plan->operation);
	if (plan->a != NULL)
		cublasLtMatrixLayoutDestroy(plan->a);
	if (plan->b != NULL)
		cublasLtMatrixLayoutDestroy(plan->b);
	if (plan->c != NULL)
		cublasLtMatrixLayoutDestroy(plan->c);
	memset(plan, 0, sizeof(*plan));
}

const char *
rn_product_precision(void)
{
	return precision->name;
}

RnRounding
rn_product_rounding(void)
{
	return precision->rounding;
}

RnStatus
rn_product_open(RnContext *ctx, const RnDeviceInfo *info, const char *option)
{
	const int	n = (int) (sizeof(precisions) / sizeof(precisions[0]));
	const int	major = info->capability[0] - '0';
	const Precision *found = NULL;
	int			capability;
	int			i;

	/* "9.0", "12.0" */
	capability = 10 * major;
	if (info->capability[1] != '.')
		capability = 10 * (10 * major + info->capability[1] - '0');
	capability += info->capability[strlen(info->capability) - 1] - '0';
	for (i = 0; i < n; i++)
		if (strcmp(precisions[i].option, option) == 0)
			found = &precisions[i];
	if (found == NULL)
		return rn_fail(ctx, RN_INVALID, "precision \"%.20s\" is not known", option);
	if (capability < 10 * found->major + found->minor)
	{
		rn_fail(ctx, RN_UNSUPPORTED, "precision \"%s\" is not supported by device \"%s\"", option, info->name);
		rn_detail(ctx, "It has compute capability %s; %d.%d is needed.", info->capability, found->major, found->minor);
		return ctx->status;
	}
	if (handle == NULL && cublasLtCreate(&handle) != CUBLAS_STATUS_SUCCESS)
		return rn_fail(ctx, RN_DEVICE, "cuBLASLt could not be started");
	pthread_mutex_lock(&lock);
	for (i = 0; precision != found && i < PLANS; i++)
		drop_plan(&plans[i]);
	precision = found;
	pthread_mutex_unlock(&lock);
	workspace_size = capability >= 90 ? WORKSPACE_LARGE : WORKSPACE_SMALL;
	return RN_OK;
}

size_t
rn_product_scratch_most(void)
{
	return workspace_size;
}

/* ---- plans ---- */

static uint32_t
shape_hash(const Shape *shape)
{
	const uint32_t *words = (const uint32_t *) shape;
	uint32_t	hash = 2166136261u;
	size_t		i;

	for (i = 0; i < sizeof(*shape) / sizeof(uint32_t); i++)
		hash = (hash ^ words[i]) * 16777619u;
	return hash ^ hash >> 15;
}

/* What cuBLASLt may count upon: the caller's B is its A. */
static cublasStatus_t
state_alignments(cublasLtMatmulPreference_t preference, const Shape *s)
{
	const struct
	{
		cublasLtMatmulPreferenceAttributes_t attribute;
		uint32_t	bytes;
	}			alignments[] = {
		{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, s->align_b},
		{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, s->align_a},
		{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, s->align_c},
		{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, s->align_c},
	};
	cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
	int			i;

	for (i = 0; i < 4 && status == CUBLAS_STATUS_SUCCESS; i++)
		status = cublasLtMatmulPreferenceSetAttribute(preference, alignments[i].attribute, &alignments[i].bytes,
													  sizeof(alignments[i].bytes));
	return status;
}

static cublasStatus_t
choose_algorithm(Plan *plan)
{
	cublasLtMatmulPreference_t preference;
	cublasLtMatmulHeuristicResult_t result;
	cublasStatus_t status = cublasLtMatmulPreferenceCreate(&preference);
	int			n = 0;

	if (status != CUBLAS_STATUS_SUCCESS)
		return status;
	status = cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_size,
												  sizeof(workspace_size));
	if (status == CUBLAS_STATUS_SUCCESS)
		status = state_alignments(preference, &plan->shape);
	if (status == CUBLAS_STATUS_SUCCESS)
		status = cublasLtMatmulAlgoGetHeuristic(handle, plan->operation, plan->a, plan->b, plan->c, plan->c, preference, 1,
												&result, &n);
	cublasLtMatmulPreferenceDestroy(preference);
	if (status == CUBLAS_STATUS_SUCCESS && n == 0)
		status = CUBLAS_STATUS_NOT_SUPPORTED;
	plan->algorithm = result.algo;
	return status;
}

/* The caller's B is the first matrix, A the second. */
static cublasStatus_t
make_plan(Plan *plan, const Shape *s, const rn_real *bias)
{
	const cublasOperation_t first = s->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
	const cublasOperation_t second = s->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
	const cublasComputeType_t compute = s->rounded ? CUBLAS_COMPUTE_32F : precision->compute;
	const cudaDataType_t type = !s->rounded ? CUDA_R_32F : precision->rounding == RN_ROUND_FLOAT16 ? CUDA_R_16F : CUDA_R_16BF;
	const cublasLtEpilogue_t epilogue = bias != NULL ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
	cublasStatus_t status;

	memset(plan, 0, sizeof(*plan));
	plan->shape = *s;
	status = cublasLtMatmulDescCreate(&plan->operation, compute, CUDA_R_32F);
	if (status == CUBLAS_STATUS_SUCCESS)
		status = cublasLtMatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof(first));
	if (status == CUBLAS_STATUS_SUCCESS)
		status = cublasLtMatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof(second));
	if (status == CUBLAS_STATUS_SUCCESS)
		status = cublasLtMatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue));
	/* the choice of an algorithm looks at its alignment */
	if (status == CUBLAS_STATUS_SUCCESS && bias != NULL)
		status = cublasLtMatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof(bias));
	if (status == CUBLAS_STATUS_SUCCESS)
		status = cublasLtMatrixLayoutCreate(&plan->a, type, (uint64_t) (s->transpose_b ? s->k : s->n),
											(uint64_t) (s->transpose_b ? s->n : s->k), s->ldb);
	if (status == CUBLAS_STATUS_SUCCESS)
		status = cublasLtMatrixLayoutCreate(&plan->b, type, (uint64_t) (s->transpose_a ? s->m : s->k),
											(uint64_t) (s->transpose_a ? s->k : s->m), s->lda);
	if (status == CUBLAS_STATUS_SUCCESS)
		status = cublasLtMatrixLayoutCreate(&plan->c, CUDA_R_32F, (uint64_t) s->n, (uint64_t) s->m, s->ldc);
	if (status == CUBLAS_STATUS_SUCCESS)
		status = choose_algorithm(plan);
	if (status == CUBLAS_STATUS_SUCCESS)
		plan->used = 1;
	else
		drop_plan(plan);
	return status;
}

/* The plan of a shape, made now if need be: in a free place, or in place of another. */
static cublasStatus_t
find_plan(const Shape *shape, const rn_real *bias, Plan **result)
{
	const uint32_t hash = shape_hash(shape);
	Plan	   *place = NULL;
	uint32_t	i;

	for (i = 0; i < PROBES; i++)
	{
		Plan	   *plan = &plans[(hash + i) % PLANS];

		if (plan->used && memcmp(&plan->shape, shape, sizeof(*shape)) == 0)
		{
			*result = plan;
			return CUBLAS_STATUS_SUCCESS;
		}
		if (place == NULL && !plan->used)
			place = plan;
	}
	if (place == NULL)
	{
		place = &plans[(hash + (hash >> 20) % PROBES) % PLANS];
		drop_plan(place);
	}
	*result = place;
	return make_plan(place, shape, bias);
}

/* ---- products ---- */

/* C = beta C + bias, for products of nothing. */
static __global__ void
nothing_kernel(int m, int n, const rn_real *bias, rn_real beta, rn_real *c, int ldc)
{
	const int	column = blockIdx.x * 32 + threadIdx.x;
	int			row;

	if (column >= n)
		return;
	for (row = blockIdx.y * 8 + threadIdx.y; row < m; row += gridDim.y * 8)
		c[(size_t) row * ldc + column] = (beta == 0 ? 0 : beta * c[(size_t) row * ldc + column]) +
			(bias != NULL ? bias[column] : 0);
}

static cublasStatus_t
multiply(RnLane *lane, const Shape *shape, double alpha, const void *a, const void *b, const rn_real *bias,
		 double beta, rn_real *c, void *workspace)
{
	const float scales[2] = {(float) alpha, (float) beta};
	Plan	   *plan;
	cublasStatus_t status = find_plan(shape, bias, &plan);

	if (status == CUBLAS_STATUS_SUCCESS && bias != NULL)
		status = cublasLtMatmulDescSetAttribute(plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof(bias));
	if (status != CUBLAS_STATUS_SUCCESS)
		return status;
	return cublasLtMatmul(handle, plan->operation, &scales[0], b, plan->a, a, plan->b, &scales[1], c, plan->c, c, plan->c,
						  &plan->algorithm, workspace, workspace_size, rn_lane_stream(lane));
}

/* The largest power of two that a place is a multiple of, as far as anybody asks. */
static uint32_t
alignment(const void *at)
{
	const uintptr_t place = (uintptr_t) at | 256;

	return (uint32_t) (place & -place);
}

/* A product as a command. */
typedef struct Product
{
	const Precision *precision;	/* a list with another one is another list */
	Shape		shape;
	double		alpha;
	double		beta;
	const void *a;
	const void *b;
	const rn_real *bias;
	rn_real    *c;
	void	   *workspace;
} Product;

static void
multiply_now(RnLane *lane, const Product *p)
{
	cublasStatus_t status;

	pthread_mutex_lock(&lock);
	status = multiply(lane, &p->shape, p->alpha, p->a, p->b, p->bias, p->beta, p->c, p->workspace);
	pthread_mutex_unlock(&lock);
	if (status != CUBLAS_STATUS_SUCCESS)
		rn_cuda_ok(lane, cudaErrorLaunchFailure, "a product of cuBLASLt");
	rn_queue_launched(lane, "product");
}

static void
run(RnLane *lane, const Shape *shape, double alpha, const void *a, const void *b, const rn_real *bias,
	double beta, rn_real *c)
{
	Product		p;

	memset((void *) &p, 0, sizeof(p));
	p.precision = precision;
	p.shape = *shape;
	p.alpha = alpha;
	p.beta = beta;
	p.a = a;
	p.b = b;
	p.bias = bias;
	p.c = c;
	p.workspace = rn_lane_scratch(lane, workspace_size);
	if (p.workspace != NULL)
		rn_queue_do(lane, multiply_now, p);
}

static void
nothing(RnLane *lane, int m, int n, const rn_real *bias, double beta, rn_real *c, int ldc)
{
	const unsigned rows = rn_blocks((size_t) m, 32);

	RN_QUEUE(lane, nothing_kernel, dim3(rn_blocks((size_t) n, 32), rows < 65535 ? rows : 65535), dim3(32, 8), 0, m, n, bias, (rn_real) beta, c, ldc);
}

void
rn_cuda_product(RnLane *lane, int transpose_a, int transpose_b, int m, int n, int k,
				double alpha, const rn_real *a, int lda, const rn_real *b, int ldb,
				double beta, rn_real *c, int ldc)
{
	const Shape shape = {transpose_a, transpose_b, m, n, k, lda, ldb, ldc, beta != 0, alignment(a), alignment(b),
		alignment(c), 0, 0};

	if (m <= 0 || n <= 0)
		return;
	if (k > 0 && alpha != 0)
		run(lane, &shape, alpha, a, b, NULL, beta, c);
	else
		nothing(lane, m, n, NULL, beta, c, ldc);
}

void
rn_cuda_linear_forward(RnLane *lane, int rows, int out, int in, const rn_real *x, const rn_real *weight,
					   const rn_real *bias, rn_real *y)
{
	const Shape shape = {0, 1, rows, out, in, in, in, out, 0, alignment(x), alignment(weight), alignment(y),
		bias != NULL ? alignment(bias) : 0, 0};

	if (rows <= 0 || out <= 0)
		return;
	if (in > 0)
		run(lane, &shape, 1.0, x, weight, bias, 0.0, y);
	else
		nothing(lane, rows, out, bias, 0.0, y, out);
}

void
rn_cuda_rounded_product(RnLane *lane, int transpose_a, int transpose_b, int m, int n, int k,
						double alpha, const void *a, int lda, const void *b, int ldb,
						const rn_real *bias, double beta, rn_real *c, int ldc)
{
	const Shape shape = {transpose_a, transpose_b, m, n, k, lda, ldb, ldc, beta != 0, alignment(a), alignment(b),
		alignment(c), bias != NULL ? alignment(bias) : 0, 1};

	if (m <= 0 || n <= 0)
		return;
	if (k > 0 && alpha != 0)
		run(lane, &shape, alpha, a, b, bias, beta, c);
	else
		nothing(lane, m, n, bias, beta, c, ldc);
}
