/*
 * test_faults.cpp
 *		The emulator finds every kind of fault, under every seed, and reports
 *		nothing of a right kernel.
 *
 * test/cudaemu/test_faults.cpp
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "control.h"
#include "faults.h"
#include "test/unit/check.h"

#define SEEDS	20

static Ground
make_ground(float *host)
{
	Ground		g;
	std::vector<float> numbers(256);

	memset(&g, 0, sizeof(g));
	g.n = 256;
	g.host = host;
	for (int i = 0; i < g.n; i++)
		numbers[(size_t) i] = (float) i;
	cudaStreamCreate(&g.stream);
	cudaMalloc((void **) &g.out, 1024);
	cudaMalloc((void **) &g.in, 1024);
	cudaMalloc((void **) &g.raw, 1024);
	cudaMemset(g.out, 0, 1024);
	cudaMemcpy(g.in, numbers.data(), 1024, cudaMemcpyHostToDevice);
	return g;
}

static void
leave_ground(const Ground &g)
{
	cudaDeviceReset();
	cudaStreamDestroy(g.stream);
}

/* Does the report name one of the lines that are marked as this fault's? */
static bool
names_line(const char *report, const char *name)
{
	std::string mark = std::string("fault: ") + name + " ";
	char		line[512];
	bool		found = false;
	int			number = 0;
	FILE	   *source = fopen("test/cudaemu/faults.cu", "r");

	if (source == NULL)
		return false;
	while (fgets(line, sizeof(line), source) != NULL)
	{
		number++;
		if (strstr(line, mark.c_str()) != NULL)
			found = found || strstr(report, (" at faults.cu:" + std::to_string(number) + " ").c_str()) != NULL;
	}
	fclose(source);
	return found;
}

static void
test_fault(const Fault &fault, float *host)
{
	int			found = 0;
	std::string unlike;			/* a report that is not what it should be */
	int			seed;

	for (seed = 1; seed <= SEEDS; seed++)
	{
		Ground		g = make_ground(host);
		const char *report;
		bool		good;

		cudaemu_seed((uint64_t) seed);
		fault.plant(g);
		cudaStreamSynchronize(g.stream);
		report = cudaemu_report();
		good = strstr(report, fault.words) != NULL && strstr(report, ("seed " + std::to_string(seed) + ")").c_str()) != NULL &&
			names_line(report, fault.name) && strstr(report, "thread (") != NULL &&
			cudaGetLastError() != cudaSuccess;
		if (good)
			found++;
		else
			unlike = *report != '\0' ? report : "(nothing)";
		cudaemu_reports();
		leave_ground(g);
	}
	CHECK(found == SEEDS, "%s: found in %d of %d seeds", fault.name, found, SEEDS);
	if (found < SEEDS)
		printf("# reported: %s\n", unlike.c_str());
}

static void
test_good(const GoodKernel &kernel, float *host)
{
	int			right = 0;
	int			reports = 0;
	std::string report;
	int			seed;

	for (seed = 1; seed <= SEEDS; seed++)
	{
		Ground		g = make_ground(host);

		cudaemu_seed((uint64_t) seed);
		right += kernel.run(g) ? 1 : 0;
		cudaStreamSynchronize(g.stream);
		report = cudaemu_report();
		reports += cudaemu_reports();
		leave_ground(g);
	}
	CHECK(right == SEEDS && reports == 0, "%s: right in %d of %d seeds, %d reports", kernel.name, right, SEEDS, reports);
	if (reports > 0)
		printf("# reported: %s\n", report.c_str());
}

int
main()
{
	float	   *host = (float *) calloc(256, sizeof(float));
	int			i;

	cudaemu_quiet(1);
	for (i = 0; i < n_faults; i++)
		test_fault(faults[i], host);
	for (i = 0; i < n_good_kernels; i++)
		test_good(good_kernels[i], host);
	free(host);
	return check_done();
}
