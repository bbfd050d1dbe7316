/*
 * report.cpp
 *		What went wrong, in words: kernel, block, thread, source line, seed.
 *
 * Every report makes an error that sticks, as a fault on a GPU does.
 *
 * test/cudaemu/report.cpp
 */
#include "cudaemu.h"
#include "emulator.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include <dlfcn.h>

namespace cudaemu
{

CudaemuCounts counts;
cudaError_t sticky;
long		fail_alloc;
long		fail_copy;
long		fail_kernel;
long		lose_copy;
long		spoil_sum;
long		last_alloc;
Place		place;

static std::recursive_mutex mutex;
static uint64_t random_state = 0x9E3779B97F4A7C15ull;
static uint64_t seed = 1;
static int	quiet;
static int	n_reports;
static char first_report[2048];
static cudaError_t last_error;	/* that the next cudaGetLastError tells */

static void
read_environment()
{
	static const struct
	{
		const char *name;
		long	   *value;
	}			counters[] = {{"CUDAEMU_FAIL_ALLOC", &fail_alloc}, {"CUDAEMU_FAIL_COPY", &fail_copy},
							  {"CUDAEMU_FAIL_KERNEL", &fail_kernel}, {"CUDAEMU_SPOIL_SUM", &spoil_sum},
							  {"CUDAEMU_LAST_ALLOC", &last_alloc}};
	const char *value = getenv("CUDAEMU_SEED");

	cudaemu_seed(value != NULL ? strtoull(value, NULL, 0) : 1);
	for (const auto &counter : counters)
	{
		value = getenv(counter.name);
		if (value != NULL)
			*counter.value = atol(value);
	}
}

Lock::Lock()
{
	static bool ready;

	mutex.lock();
	if (!ready)
	{
		ready = true;
		read_environment();
		memory_init();
	}
}

Lock::~Lock()
{
	mutex.unlock();
}

uint32_t
random_number()
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t) (random_state >> 16);
}

uint32_t
random_below(uint32_t n)
{
	return (uint32_t) (((uint64_t) random_number() * n) >> 32);
}

bool
planned(long *countdown)
{
	return *countdown > 0 && device_may_fail() && --*countdown == 0;
}

/* "norm.cu:97", "" when it is not known: of the inlined calls the innermost that is not the emulator's own. */
static std::string
find_line(uintptr_t pc)
{
	char		command[512];
	char		line[512];
	std::string found;
	Dl_info		info;
	FILE	   *pipe;

	if (dladdr((void *) pc, &info) == 0 || info.dli_fname == NULL)
		return "";
	snprintf(command, sizeof(command), "addr2line -i -e '%s' 0x%lx 2>/dev/null", info.dli_fname,
			 (unsigned long) (pc - 1 - (uintptr_t) info.dli_fbase));
	pipe = popen(command, "r");
	if (pipe == NULL)
		return "";
	while (fgets(line, sizeof(line), pipe) != NULL)
		if (found.empty() && strstr(line, "/cudaemu.h:") == NULL && strchr(line, '/') != NULL)
		{
			line[strcspn(line, " \n")] = '\0';
			found = strrchr(line, '/') + 1;
		}
	pclose(pipe);
	return found;
}

/* " at norm.cu:97" */
static void
describe_line(uintptr_t pc, char *text, size_t size)
{
	static std::map<uintptr_t, std::string> known;

	text[0] = '\0';
	if (pc == 0 && place.file != NULL)
	{
		const char *slash = strrchr(place.file, '/');

		snprintf(text, size, " at %s:%d", slash != NULL ? slash + 1 : place.file, place.line);
	}
	if (pc == 0)
		return;
	if (known.count(pc) == 0)
		known[pc] = find_line(pc);
	if (!known[pc].empty())
		snprintf(text, size, " at %s", known[pc].c_str());
}

static void
describe_thread(char *text, size_t size)
{
	const Current &c = current;

	if (on_device)
		snprintf(text, size, "%s, block (%u,%u,%u), thread (%u,%u,%u): ", kernel_name, c.block.x, c.block.y, c.block.z,
				 c.thread.x, c.thread.y, c.thread.z);
	else
		text[0] = '\0';
}

void
report(cudaError_t error, uintptr_t pc, const char *format,...)
{
	char		text[sizeof(first_report)];
	char		who[256];
	char		what[1024];
	char		where[256];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	describe_thread(who, sizeof(who));
	describe_line(pc, where, sizeof(where));
	snprintf(text, sizeof(text), "%s%s%s (seed %llu)", who, what, where, (unsigned long long) seed);
	if (n_reports++ == 0)
		strcpy(first_report, text);
	place.file = NULL;
	if (!quiet)
		fprintf(stderr, "cudaemu: %s\n", text);
	if (sticky == cudaSuccess)
		sticky = error;
	if (on_device)
		abandon();
}

cudaError_t
fail(cudaError_t error)
{
	if (sticky != cudaSuccess)
		error = sticky;
	if (error != cudaSuccess && error != cudaErrorNotReady)
		last_error = error;
	return error;
}

static const char *
plain_words(cudaError_t error)
{
	switch ((int) error)
	{
		case cudaSuccess:
			return "no error";
		case cudaErrorInvalidValue:
			return "invalid argument";
		case cudaErrorMemoryAllocation:
			return "out of memory";
		case cudaErrorInvalidConfiguration:
			return "invalid configuration argument";
		case cudaErrorInvalidDevice:
			return "invalid device ordinal";
		case cudaErrorIllegalAddress:
			return "an illegal memory access was encountered";
		case cudaErrorLaunchTimeout:
			return "the launch timed out and was terminated";
		case cudaErrorLaunchFailure:
			return "unspecified launch failure";
		case cudaErrorNotReady:
			return "device not ready";
		case cudaErrorStreamCaptureUnsupported:
			return "operation not permitted when stream is capturing";
		default:
			return "error of the emulated device";
	}
}

}								/* namespace cudaemu */

using namespace cudaemu;

extern "C"
{

cudaError_t
cudaGetLastError(void)
{
	Lock		lock;
	cudaError_t error = sticky != cudaSuccess ? sticky : last_error;

	last_error = cudaSuccess;
	return error;
}

cudaError_t
cudaPeekAtLastError(void)
{
	Lock		lock;

	return sticky != cudaSuccess ? sticky : last_error;
}

/* A fault that was reported is told with the report: the job's message then says what it was. */
const char *
cudaGetErrorString(cudaError_t error)
{
	static char text[sizeof(first_report) + 128];
	Lock		lock;

	if (error == cudaSuccess || error != sticky || first_report[0] == '\0')
		return plain_words(error);
	snprintf(text, sizeof(text), "%s: %s", plain_words(error), first_report);
	return text;
}

const char *
cudaGetErrorName(cudaError_t error)
{
	return plain_words(error);
}

cudaError_t
cudaDeviceReset(void)
{
	Lock		lock;

	streams_reset();
	memory_reset();
	sticky = last_error = cudaSuccess;
	return cudaSuccess;
}

void
cudaemu_seed(uint64_t new_seed)
{
	int			i;

	seed = new_seed;
	random_state = (new_seed + 1) * 0x9E3779B97F4A7C15ull;
	for (i = 0; i < 8; i++)
		random_number();
}

void
cudaemu_quiet(int new_quiet)
{
	quiet = new_quiet;
}

int
cudaemu_reports(void)
{
	int			n = n_reports;

	n_reports = 0;
	return n;
}

const char *
cudaemu_report(void)
{
	return n_reports > 0 ? first_report : "";
}

void
cudaemu_fail_alloc(long n)
{
	fail_alloc = n;
}

void
cudaemu_fail_copy(long n)
{
	fail_copy = n;
}

void
cudaemu_fail_kernel(long n)
{
	fail_kernel = n;
}

void
cudaemu_lose_copy(long n)
{
	lose_copy = n;
}

void
cudaemu_counts(CudaemuCounts *copy)
{
	*copy = counts;
}

}
