/*
 * test_runtime.cpp
 *		What is not a kernel: copies, streams, events, graphs, memory, products.
 *
 * test/cudaemu/test_runtime.cpp
 */
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <cublasLt.h>
#include <cuda_runtime.h>

#if __has_include(<nccl.h>)
#include <nccl.h>
#endif

#include "control.h"
#include "kernels/cuda/nccl.h"
#include "test/unit/check.h"

#define N		64
#define SEEDS	20

typedef std::vector<float> Floats;

static float *
on_device(const Floats &host)
{
	void	   *memory;

	cudaMalloc(&memory, host.size() * sizeof(float));
	cudaMemcpy(memory, host.data(), host.size() * sizeof(float), cudaMemcpyHostToDevice);
	return (float *) memory;
}

static Floats
on_host(const float *device, size_t n)
{
	Floats		host(n);

	cudaMemcpy(host.data(), device, n * sizeof(float), cudaMemcpyDeviceToHost);
	return host;
}

static Floats
numbers(size_t n, unsigned seed)
{
	Floats		x(n);

	for (float &value : x)
	{
		seed = seed * 1664525u + 1013904223u;
		value = (float) ((double) (seed >> 8) / (1 << 23) - 1.0);
	}
	return x;
}

/* ---- memory ---- */

static void
test_memory()
{
	size_t		before;
	size_t		after;
	size_t		total;
	void	   *memory;
	void	   *other;

	cudaMemGetInfo(&before, &total);
	CHECK(cudaMalloc(&memory, 1000) == cudaSuccess, "memory is there");
	cudaMemGetInfo(&after, &total);
	CHECK(before - after == 1000, "and is counted");
	CHECK((uintptr_t) memory % 256 == 0, "and aligned");
	CHECK(cudaFree(memory) == cudaSuccess && cudaMalloc(&other, 1000) == cudaSuccess && other != memory,
		  "an address is not used twice");
	cudaMemGetInfo(&after, &total);
	CHECK(before - after == 1000, "what is free is free");
	CHECK(cudaMalloc(&memory, total) == cudaErrorMemoryAllocation && memory == NULL, "there is no more than there is");
	CHECK(cudaGetLastError() == cudaErrorMemoryAllocation && cudaGetLastError() == cudaSuccess,
		  "an allocation that fails is told once, and nothing sticks");
	cudaemu_fail_alloc(2);
	CHECK(cudaMalloc(&memory, 8) == cudaSuccess && cudaMalloc(&memory, 8) == cudaErrorMemoryAllocation &&
		  cudaMalloc(&memory, 8) == cudaSuccess, "the second allocation fails when that is asked for");
	cudaGetLastError();
	cudaFree(other);
	CHECK(cudaFree(other) != cudaSuccess && strstr(cudaemu_report(), "twice") != NULL, "memory is not freed twice");
	cudaemu_reports();
	cudaDeviceReset();
}

/* ---- copies, streams, events ---- */

static void
test_copies()
{
	float	   *device = on_device(numbers(N, 1));
	float	   *pinned;
	Floats		host = numbers(N, 2);
	cudaStream_t stream;

	cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
	cudaMallocHost((void **) &pinned, N * sizeof(float));

	/* ordinary memory is the caller's again at once, pinned memory is not */
	cudaMemcpyAsync(device, host.data(), N * sizeof(float), cudaMemcpyHostToDevice, stream);
	host[0] = 77;
	cudaStreamSynchronize(stream);
	CHECK(on_host(device, N)[0] != 77, "a copy from ordinary memory has been read when the call returns");
	memcpy(pinned, host.data(), N * sizeof(float));
	cudaMemcpyAsync(device, pinned, N * sizeof(float), cudaMemcpyHostToDevice, stream);
	pinned[0] = 78;
	cudaStreamSynchronize(stream);
	CHECK(on_host(device, N)[0] == 78, "a copy from pinned memory has not");
	pinned[0] = 0;
	cudaMemcpyAsync(pinned, device, N * sizeof(float), cudaMemcpyDeviceToHost, stream);
	CHECK(pinned[0] == 0, "a copy to pinned memory needs a wait");
	cudaStreamSynchronize(stream);
	CHECK(pinned[0] == 78, "and is there after it");

	cudaMemcpyAsync(device, pinned, (N + 1) * sizeof(float), cudaMemcpyHostToDevice, stream);
	cudaStreamSynchronize(stream);
	CHECK(strstr(cudaemu_report(), "do not fit") != NULL, "a copy beyond an allocation is found");
	cudaemu_reports();
	cudaDeviceReset();
	cudaMemcpy(pinned, host.data(), 4, cudaMemcpyDeviceToHost);
	CHECK(strstr(cudaemu_report(), "host pointer") != NULL, "a copy in the wrong direction is found");
	cudaemu_reports();
	cudaDeviceReset();
	device = on_device(host);
	cudaemu_fail_copy(1);
	cudaMemcpy(device, pinned, 4, cudaMemcpyHostToDevice);
	CHECK(cudaGetLastError() == cudaErrorLaunchFailure && cudaGetLastError() == cudaErrorLaunchFailure,
		  "a copy that failed as asked for leaves an error that sticks");
	CHECK(cudaMalloc((void **) &device, 4) == cudaErrorLaunchFailure, "and nothing works any more");
	cudaemu_reports();
	cudaDeviceReset();
	cudaFreeHost(pinned);
	cudaStreamDestroy(stream);
}

/* Two streams without an event: some seed must show the old value, some the new. */
static void
test_events()
{
	int			old_seen = 0;
	int			ordered = 0;
	int			with_event;
	int			seed;

	for (seed = 1; seed <= SEEDS; seed++)
		for (with_event = 0; with_event <= 1; with_event++)
		{
			float	   *a = on_device(Floats(N, 1));
			float	   *b = on_device(Floats(N, 2));
			cudaStream_t first;
			cudaStream_t second;
			cudaEvent_t event;

			cudaemu_seed((uint64_t) seed);
			cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking);
			cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking);
			cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
			cudaMemsetAsync(a, 0, N * sizeof(float), first);
			cudaEventRecord(event, first);
			if (with_event)
				cudaStreamWaitEvent(second, event, 0);
			cudaMemcpyAsync(b, a, N * sizeof(float), cudaMemcpyDeviceToDevice, second);
			cudaStreamSynchronize(second);
			if (with_event)
				ordered += on_host(b, N)[0] == 0;
			else
				old_seen += on_host(b, N)[0] == 1;
			cudaEventDestroy(event);
			cudaStreamDestroy(first);
			cudaStreamDestroy(second);
			cudaDeviceReset();
		}
	CHECK(ordered == SEEDS, "an event orders two streams (%d of %d)", ordered, SEEDS);
	CHECK(old_seen > 0 && old_seen < SEEDS, "without one old data is seen in %d of %d seeds", old_seen, SEEDS);
}

/* ---- graphs ---- */

static void
test_graphs()
{
	float	   *device = on_device(Floats(N, 1));
	float	   *pinned;
	cudaStream_t stream;
	cudaGraph_t graph;
	cudaGraphExec_t executable;
	cudaStreamCaptureStatus status;

	cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
	cudaMallocHost((void **) &pinned, N * sizeof(float));
	cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
	pinned[0] = 5;
	cudaMemcpyAsync(device, pinned, sizeof(float), cudaMemcpyHostToDevice, stream);
	cudaStreamIsCapturing(stream, &status);
	CHECK(status == cudaStreamCaptureStatusActive, "a stream says that it records");
	CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess &&
		  cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess, "a graph is recorded");
	cudaStreamSynchronize(stream);
	CHECK(on_host(device, 1)[0] == 1, "recording runs nothing");
	pinned[0] = 6;
	cudaGraphLaunch(executable, stream);
	cudaStreamSynchronize(stream);
	CHECK(on_host(device, 1)[0] == 6, "a replay reads what is there then");
	pinned[0] = 7;
	cudaGraphLaunch(executable, stream);
	cudaStreamSynchronize(stream);
	CHECK(on_host(device, 1)[0] == 7, "and again");
	cudaGraphExecDestroy(executable);
	cudaGraphDestroy(graph);

	cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
	CHECK(cudaStreamSynchronize(stream) == cudaErrorStreamCaptureUnsupported, "a wait is refused while recording");
	CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated && graph == NULL,
		  "and spoils the graph");
	cudaGetLastError();
	cudaFreeHost(pinned);
	cudaStreamDestroy(stream);
	cudaDeviceReset();
}

/* ---- products ---- */

/* D [m, n] = op(A) op(B) + beta C, all row-major; then the epilogue. */
typedef struct Case
{
	int			m;
	int			n;
	int			k;
	bool		transpose_a;
	bool		transpose_b;
	float		beta;
	cublasLtEpilogue_t epilogue;
	cublasComputeType_t compute;
} Case;

static cublasLtMatrixLayout_t
layout(int rows, int cols, int ld, cublasLtOrder_t order)
{
	cublasLtMatrixLayout_t l;
	int32_t		value = order;

	cublasLtMatrixLayoutCreate(&l, CUDA_R_32F, (uint64_t) rows, (uint64_t) cols, ld);
	cublasLtMatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_ORDER, &value, sizeof(value));
	return l;
}

static cublasStatus_t
product(const Case &c, const float *a, const float *b, float *d, float *bias, void *mask, int mask_ld)
{
	cublasLtHandle_t handle;
	cublasLtMatmulDesc_t description;
	int			ac = c.transpose_a ? c.m : c.k;
	int			bc = c.transpose_b ? c.k : c.n;
	cublasLtMatrixLayout_t layouts[3] = {layout(c.transpose_a ? c.k : c.m, ac, ac, CUBLASLT_ORDER_ROW),
		layout(c.transpose_b ? c.n : c.k, bc, bc, CUBLASLT_ORDER_ROW), layout(c.m, c.n, c.n, CUBLASLT_ORDER_ROW)};
	int32_t		operations[2] = {c.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, c.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N};
	uint32_t	epilogue = c.epilogue;
	int64_t		ld = mask_ld;
	float		alpha = 1.0f;
	cublasStatus_t status;

	cublasLtCreate(&handle);
	cublasLtMatmulDescCreate(&description, c.compute, CUDA_R_32F);
	cublasLtMatmulDescSetAttribute(description, CUBLASLT_MATMUL_DESC_TRANSA, &operations[0], sizeof(int32_t));
	cublasLtMatmulDescSetAttribute(description, CUBLASLT_MATMUL_DESC_TRANSB, &operations[1], sizeof(int32_t));
	cublasLtMatmulDescSetAttribute(description, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue));
	cublasLtMatmulDescSetAttribute(description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof(bias));
	cublasLtMatmulDescSetAttribute(description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &mask, sizeof(mask));
	cublasLtMatmulDescSetAttribute(description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &ld, sizeof(ld));
	status = cublasLtMatmul(handle, description, &alpha, a, layouts[0], b, layouts[1], &c.beta, d, layouts[2], d,
							layouts[2], NULL, NULL, 0, NULL);
	for (cublasLtMatrixLayout_t l : layouts)
		cublasLtMatrixLayoutDestroy(l);
	cublasLtMatmulDescDestroy(description);
	cublasLtDestroy(handle);
	return status;
}

/* The product in double, from its definition. */
static std::vector<double>
plain_product(const Case &c, const Floats &a, const Floats &b, const Floats &d)
{
	std::vector<double> result((size_t) c.m * c.n);

	for (int i = 0; i < c.m; i++)
		for (int j = 0; j < c.n; j++)
		{
			double		sum = (double) c.beta * d[(size_t) (i * c.n + j)];

			for (int l = 0; l < c.k; l++)
				sum += (double) a[(size_t) (c.transpose_a ? l * c.m + i : i * c.k + l)] *
					b[(size_t) (c.transpose_b ? j * c.k + l : l * c.n + j)];
			result[(size_t) (i * c.n + j)] = sum;
		}
	return result;
}

static double
distance(const Floats &x, const std::vector<double> &y)
{
	double		worst = x.size() == y.size() ? 0.0 : INFINITY;

	for (size_t i = 0; i < x.size() && i < y.size(); i++)
		worst = std::fmax(worst, std::fabs(x[i] - y[i]));
	return worst;
}

static void
test_products()
{
	static const Case cases[] = {
		{5, 7, 9, false, false, 0.0f, CUBLASLT_EPILOGUE_DEFAULT, CUBLAS_COMPUTE_32F},
		{5, 7, 9, true, false, 1.0f, CUBLASLT_EPILOGUE_DEFAULT, CUBLAS_COMPUTE_32F},
		{13, 1, 40, false, true, 0.0f, CUBLASLT_EPILOGUE_DEFAULT, CUBLAS_COMPUTE_32F},
		{1, 33, 3, true, true, 1.0f, CUBLASLT_EPILOGUE_DEFAULT, CUBLAS_COMPUTE_32F},
		{5, 7, 9, false, false, 0.0f, CUBLASLT_EPILOGUE_DEFAULT, CUBLAS_COMPUTE_32F_FAST_TF32},
		{5, 7, 9, false, false, 0.0f, CUBLASLT_EPILOGUE_DEFAULT, CUBLAS_COMPUTE_32F_FAST_16F},
		{5, 7, 9, false, false, 0.0f, CUBLASLT_EPILOGUE_DEFAULT, CUBLAS_COMPUTE_32F_FAST_16BF},
	};

	for (const Case &c : cases)
	{
		Floats		a = numbers((size_t) c.m * c.k, 3);
		Floats		b = numbers((size_t) c.k * c.n, 4);
		Floats		d = numbers((size_t) c.m * c.n, 5);
		float	   *device = on_device(d);
		bool		rounded = c.compute != CUBLAS_COMPUTE_32F;
		cublasStatus_t status = product(c, on_device(a), on_device(b), device, NULL, NULL, 0);
		double		far = distance(on_host(device, d.size()), plain_product(c, a, b, d));

		CHECK(status == CUBLAS_STATUS_SUCCESS && far < (rounded ? 3e-2 : 1e-5) && (!rounded || far > 1e-5),
			  "a product of %d by %d by %d, compute type %d (distance %.1e)", c.m, c.k, c.n, c.compute, far);
		cudaDeviceReset();
	}
}

/* Rows of D are what a bias belongs to; so a row-major [tokens, features] product is asked for transposed. */
static void
test_epilogues()
{
	Case		c = {6, 5, 4, false, false, 0.0f, CUBLASLT_EPILOGUE_RELU_AUX_BIAS, CUBLAS_COMPUTE_32F};
	Floats		a = numbers(24, 6);
	Floats		b = numbers(20, 7);
	Floats		bias = numbers(6, 8);
	std::vector<double> plain = plain_product(c, a, b, Floats(30, 0));
	std::vector<double> relu(30);
	std::vector<double> back(30);
	std::vector<double> sums(6);
	float	   *da = on_device(a);
	float	   *db = on_device(b);
	float	   *dd = on_device(Floats(30, 0));
	float	   *dbias = on_device(bias);
	void	   *mask;

	cudaMalloc(&mask, 16 * 5);
	for (size_t i = 0; i < 30; i++)
	{
		relu[i] = std::fmax(plain[i] + bias[i / 5], 0.0);
		back[i] = relu[i] > 0 ? plain[i] : 0.0;
		sums[i / 5] += back[i];
	}
	product(c, da, db, dd, dbias, mask, 128);
	CHECK(distance(on_host(dd, 30), relu) < 1e-5, "a product with bias and ReLU");
	c.epilogue = CUBLASLT_EPILOGUE_DRELU_BGRAD;
	product(c, da, db, dd, dbias, mask, 128);
	CHECK(distance(on_host(dd, 30), back) < 1e-5, "its backward, by the mask it kept");
	CHECK(distance(on_host(dbias, 6), sums) < 1e-5, "with the gradient of the bias");
	c.epilogue = CUBLASLT_EPILOGUE_BGRADA;
	product(c, da, db, dd, dbias, NULL, 0);
	for (size_t i = 0; i < 6; i++)
		sums[i] = (double) a[i * 4] + a[i * 4 + 1] + a[i * 4 + 2] + a[i * 4 + 3];
	CHECK(distance(on_host(dbias, 6), sums) < 1e-5, "sums of the rows of A");
	c.epilogue = (cublasLtEpilogue_t) 32;
	CHECK(product(c, da, db, dd, NULL, NULL, 0) == CUBLAS_STATUS_NOT_SUPPORTED, "GELU is refused");
	cudaDeviceReset();
}

static void
test_product_faults()
{
	Case		c = {4, 4, 4, false, false, 0.0f, CUBLASLT_EPILOGUE_DEFAULT, CUBLAS_COMPUTE_32F};
	float	   *good = on_device(Floats(16, 1));
	float	   *small = on_device(Floats(15, 1));

	product(c, good, good, small, NULL, NULL, 0);
	cudaDeviceSynchronize();
	CHECK(strstr(cudaemu_report(), "matrix D of a product: 64 bytes") != NULL, "a product beyond its memory is found");
	cudaemu_reports();
	cudaDeviceReset();
	good = on_device(Floats(16, 1));
	cudaMalloc((void **) &small, 64);
	product(c, good, small, good, NULL, NULL, 0);
	cudaDeviceSynchronize();
	CHECK(strstr(cudaemu_report(), "never written") != NULL, "a product of what was never written is found");
	cudaemu_reports();
	cudaDeviceReset();
}

/* ---- what is written down of NCCL ---- */

static void
test_nccl_header()
{
#ifdef NCCL_MAJOR
	const ncclConfig_t config = NCCL_CONFIG_INITIALIZER;

	CHECK(sizeof(ncclUniqueId) == sizeof(RnNcclId), "NCCL's identity has its size");
	CHECK((int) ncclSuccess == RN_NCCL_SUCCESS && (int) ncclUnhandledCudaError == RN_NCCL_UNHANDLED && (int) ncclInvalidArgument == RN_NCCL_INVALID &&
		  (int) ncclInvalidUsage == RN_NCCL_MISUSED && (int) ncclRemoteError == RN_NCCL_REMOTE && (int) ncclInProgress == RN_NCCL_IN_PROGRESS,
		  "its results have their numbers");
	CHECK((int) ncclInt8 == RN_NCCL_BYTE && (int) ncclFloat32 == RN_NCCL_FLOAT && (int) ncclFloat64 == RN_NCCL_DOUBLE && (int) ncclSum == RN_NCCL_SUM,
		  "its types have theirs");
	CHECK(offsetof(ncclConfig_t, size) == offsetof(RnNcclConfig, size) &&
		  offsetof(ncclConfig_t, magic) == offsetof(RnNcclConfig, magic) &&
		  offsetof(ncclConfig_t, version) == offsetof(RnNcclConfig, version) &&
		  offsetof(ncclConfig_t, blocking) == offsetof(RnNcclConfig, blocking), "its options begin as they did");
	CHECK(config.magic == RN_NCCL_MAGIC && NCCL_VERSION(2, 14, 0) == RN_NCCL_VERSION, "and are told apart as they were");
#else
	check_skip("no header of NCCL is here");
#endif
}

int
main()
{
	cudaemu_quiet(1);
	test_nccl_header();
	test_memory();
	test_copies();
	test_events();
	test_graphs();
	test_products();
	test_epilogues();
	test_product_faults();
	return check_done();
}
