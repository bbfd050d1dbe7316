/*
 * gpu_group.c
 *		Processes that compute together, one GPU each: sums, broadcasts, and
 *		what becomes of those that wait for one that does not come.
 *
 * Ranks are children of this process, which touches no device; what they
 * find they lay down in memory that all share.  A child that hangs is ended
 * by its alarm, and fails the test.
 *
 * test/unit/gpu_group.c
 */
#include "check.h"
#include "test_device.h"

#include <math.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/digest.h"

#define RANKS_MOST	3
#define HANGS		60			/* seconds */
#define NO_DEVICE	77			/* exit status */
#define LENGTHS		4

static const size_t lengths[LENGTHS] = {1, 7, 1000, 200003};	/* the last is more than one part in emulation */

static int	n_ranks = RANKS_MOST;

typedef struct Shared
{
	char		id[RN_GROUP_ID];
	volatile int id_is_made;
	double		worst;			/* of rank 0: relative error of sums */
	uint64_t	digests[RANKS_MOST][LENGTHS][2];
	int			status[RANKS_MOST];	/* RnStatus of the operation that cannot end */
	char		messages[RANKS_MOST][200];
} Shared;

typedef struct Rank
{
	Shared	   *shared;
	int			rank;
	const RnKernels *kernels;
	const RnCollectives *collectives;
	RnGroup    *group;
	RnLane	   *lane;
	int			looks;			/* until watch says stop; 0: it does not */
	RnContext	ctx;
} Rank;

static int
is_emulated(void)
{
	const char *library = getenv("RESIDUAL_CUDA_LIBRARY");

	return library != NULL && strstr(library, "cudaemu") != NULL;
}

static RnStatus
watch(RnContext *ctx, void *arg)
{
	Rank	   *rank = arg;

	if (rank->looks > 0 && --rank->looks == 0)
		return rn_fail(ctx, RN_CANCELLED, "enough");
	return RN_OK;
}

static void
fail_unless(Rank *rank, int condition, const char *what)
{
	if (condition)
		return;
	printf("# rank %d: %s: %s %s\n", rank->rank, what, rank->ctx.message, rank->ctx.detail);
	fflush(stdout);
	_exit(1);
}

static void
join(Rank *rank)
{
	const RnDeviceLibrary *library;
	RnGroupOptions options;
	char		device[16];

	snprintf(device, sizeof(device), "cuda:%d", rank->rank);
	if (rn_device_open(&rank->ctx, device, &rank->kernels) == RN_UNSUPPORTED && !is_emulated())
		_exit(NO_DEVICE);
	fail_unless(rank, rank->ctx.status == RN_OK, "no device");
	rn_device_library(&rank->ctx, &library);
	rank->collectives = library->collectives;
	if (rank->rank == 0)
	{
		fail_unless(rank, rank->collectives->make_id(&rank->ctx, rank->shared->id) == RN_OK, "no identity");
		rank->shared->id_is_made = 1;
	}
	while (!rank->shared->id_is_made)
		usleep(1000);
	memset(&options, 0, sizeof(options));
	memcpy(options.id, rank->shared->id, sizeof(options.id));
	options.rank = rank->rank;
	options.n = n_ranks;
	options.watch = watch;
	options.arg = rank;
	fail_unless(rank, rank->collectives->join(&rank->ctx, &options, &rank->group) == RN_OK, "no group");
	fail_unless(rank, rank->kernels->lane_create(&rank->ctx, &rank->lane) == RN_OK, "no lane");
}

/* Runs the body on each rank; gives how many ended well, or -1 without enough devices. */
static int
run_ranks(Shared *shared, void (*body) (Rank *rank))
{
	pid_t		pids[RANKS_MOST];
	int			good = 0;
	int			missing = 0;
	int			r;

	memset(shared, 0, sizeof(*shared));
	fflush(stdout);
	for (r = 0; r < n_ranks; r++)
	{
		pids[r] = fork();
		if (pids[r] == 0)
		{
			Rank		rank;

			memset(&rank, 0, sizeof(rank));
			rank.shared = shared;
			rank.rank = r;
			alarm(HANGS);
			join(&rank);
			body(&rank);
			_exit(0);
		}
	}
	for (r = 0; r < n_ranks; r++)
	{
		int			status = 0;

		waitpid(pids[r], &status, 0);
		good += WIFEXITED(status) && WEXITSTATUS(status) == 0;
		missing += WIFEXITED(status) && WEXITSTATUS(status) == NO_DEVICE;
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
			printf("# rank %d was still waiting\n", r);
	}
	return missing > 0 ? -1 : good;
}

/* ---- what works ---- */

static rn_real
number(int rank, size_t i)
{
	return (rn_real) sin(1.0 + (double) i * 0.37 + 11.0 * rank);
}

static rn_real *
on_device(Rank *rank, size_t n, rn_real *host)
{
	rn_real    *device;
	size_t		i;

	for (i = 0; i < n; i++)
		host[i] = number(rank->rank, i);
	fail_unless(rank, rank->kernels->allocate(&rank->ctx, n * sizeof(rn_real), (void **) &device) == RN_OK, "no memory");
	rank->kernels->copy_in(rank->lane, device, host, n * sizeof(rn_real));
	return device;
}

static void
fetch(Rank *rank, void *host, const void *device, size_t bytes)
{
	rank->kernels->copy_out(rank->lane, host, device, bytes);
	fail_unless(rank, rank->kernels->synchronize(&rank->ctx, rank->lane) == RN_OK, "not fetched");
}

static void
sum_reals(Rank *rank)
{
	int			l;

	for (l = 0; l < LENGTHS; l++)
	{
		size_t		n = lengths[l];
		rn_real    *host = malloc(n * sizeof(rn_real));
		rn_real    *device = on_device(rank, n, host);
		size_t		i;

		usleep((useconds_t) (rank->rank * 1700 + l * 900) % 3000);
		rank->collectives->sum(rank->group, rank->lane, n, device);
		fail_unless(rank, rank->collectives->wait(&rank->ctx, rank->group, rank->lane) == RN_OK, "no sum");
		fetch(rank, host, device, n * sizeof(rn_real));
		rn_digest(host, n * sizeof(rn_real), 0, rank->shared->digests[rank->rank][l]);
		for (i = 0; i < n && rank->rank == 0; i++)
		{
			double		sum = 0;
			int			r;

			for (r = 0; r < n_ranks; r++)
				sum += (double) number(r, i);
			if (!(fabs(sum - (double) host[i]) <= rank->shared->worst))
				rank->shared->worst = fabs(sum - (double) host[i]);
		}
		rank->kernels->release(device, n * sizeof(rn_real));
		free(host);
	}
}

static void
sum_and_broadcast(Rank *rank)
{
	double		doubles[3];
	double		expected[3];
	char		text[1001];
	double	   *numbers;
	char	   *bytes;
	int			i;

	sum_reals(rank);
	fail_unless(rank, rank->kernels->allocate(&rank->ctx, sizeof(doubles), (void **) &numbers) == RN_OK, "no memory");
	fail_unless(rank, rank->kernels->allocate(&rank->ctx, sizeof(text), (void **) &bytes) == RN_OK, "no memory");
	for (i = 0; i < 3; i++)
	{
		doubles[i] = 1e-9 * i + rank->rank;
		expected[i] = 1e-9 * i * n_ranks + n_ranks * (n_ranks - 1) / 2;
	}
	memset(text, 'a' + rank->rank, sizeof(text));
	rank->kernels->copy_in(rank->lane, numbers, doubles, sizeof(doubles));
	rank->kernels->copy_in(rank->lane, bytes, text, sizeof(text));
	rank->collectives->sum_doubles(rank->group, rank->lane, 3, numbers);
	rank->collectives->broadcast(rank->group, rank->lane, sizeof(text), bytes);
	fail_unless(rank, rank->collectives->wait(&rank->ctx, rank->group, rank->lane) == RN_OK, "no sum of doubles");
	fetch(rank, doubles, numbers, sizeof(doubles));
	fetch(rank, text, bytes, sizeof(text));
	for (i = 0; i < 3; i++)
		fail_unless(rank, fabs(doubles[i] - expected[i]) < 1e-14, "a sum of doubles is wrong");
	fail_unless(rank, text[0] == 'a' && memcmp(text, text + 1, sizeof(text) - 1) == 0, "not what rank 0 had");
	rank->collectives->leave(rank->group);
}

static void
test_operations(Shared *shared)
{
	int			good = run_ranks(shared, sum_and_broadcast);
	int			l,
				r;

	if (good < 0)
	{
		check_skip("fewer than %d GPUs", n_ranks);
		return;
	}
	CHECK(good == n_ranks, "%d ranks add up and tell one another", n_ranks);
	CHECK(shared->worst < 1e-6, "sums are right, to %g", shared->worst);
	for (l = 0; l < LENGTHS; l++)
		for (r = 1; r < n_ranks; r++)
			CHECK(memcmp(shared->digests[0][l], shared->digests[r][l], sizeof(shared->digests[0][l])) == 0,
				  "%zu sums are the same bits on rank %d", lengths[l], r);
}

/* ---- what does not come ---- */

static void
note_end(Rank *rank, size_t n, rn_real *device)
{
	rank->collectives->sum(rank->group, rank->lane, n, device);
	rank->shared->status[rank->rank] = rank->collectives->wait(&rank->ctx, rank->group, rank->lane);
	snprintf(rank->shared->messages[rank->rank], sizeof(rank->shared->messages[0]), "%.199s", rank->ctx.message);
}

/* A sum that cannot end; the lane and what is on the device are good still. */
static void
sum_in_vain(Rank *rank)
{
	rn_real    *host = malloc(lengths[3] * sizeof(rn_real));
	rn_real    *device = on_device(rank, lengths[3], host);
	rn_real    *other = on_device(rank, 5, host);

	note_end(rank, lengths[3], device);
	rn_context_reset(&rank->ctx);
	fail_unless(rank, rank->collectives->wait(&rank->ctx, rank->group, rank->lane) != RN_OK, "a broken group waits well");
	rn_context_reset(&rank->ctx);
	fetch(rank, host, other, 5 * sizeof(rn_real));
	fail_unless(rank, host[4] == number(rank->rank, 4), "memory has changed");
}

static void
lose_the_last(Rank *rank)
{
	rn_real		one;
	rn_real    *device = on_device(rank, 1, &one);

	rank->collectives->sum(rank->group, rank->lane, 1, device);
	fail_unless(rank, rank->collectives->wait(&rank->ctx, rank->group, rank->lane) == RN_OK, "no sum");
	if (rank->rank == n_ranks - 1)
	{
		rank->collectives->sum(rank->group, rank->lane, lengths[3], on_device(rank, lengths[3], malloc(lengths[3] * sizeof(rn_real))));
		raise(SIGKILL);			/* in the middle: the others wait for it */
	}
	sum_in_vain(rank);
}

/* The first one stops waiting for the last, which comes when nobody waits any more. */
static void
lose_patience(Rank *rank)
{
	if (rank->rank == n_ranks - 1)
		usleep(700000);
	rank->looks = rank->rank == 0 ? 20 : 0;
	sum_in_vain(rank);
}

static void
test_ends(Shared *shared)
{
	int			good = run_ranks(shared, lose_the_last);
	int			r;

	if (good < 0)
		return;
	CHECK(good == n_ranks - 1, "a rank that dies in the middle of a sum hangs no other");
	for (r = 0; r < n_ranks - 1; r++)
		CHECK(shared->status[r] == RN_DEVICE && strstr(shared->messages[r], "NCCL failed") != NULL, "rank %d is told: %s", r,
			  shared->messages[r]);
	good = run_ranks(shared, lose_patience);
	CHECK(good == n_ranks, "nor does one that stops waiting");
	CHECK(shared->status[0] == RN_CANCELLED, "which it is free to do");
	for (r = 1; r < n_ranks; r++)
		CHECK(shared->status[r] == RN_DEVICE, "rank %d is told: %s", r, shared->messages[r]);
}

/* Real NCCL would mix up what is not the same; the emulation says so. */
static void
differ(Rank *rank)
{
	rn_real		host[9];
	rn_real    *device = on_device(rank, 9, host);

	if (freopen("/dev/null", "w", stderr) == NULL)
		_exit(1);
	note_end(rank, rank->rank == 1 ? 8 : 9, device);
}

static void
test_differences(Shared *shared)
{
	int			r;

	if (!is_emulated())
		return;
	run_ranks(shared, differ);
	for (r = 0; r < n_ranks; r++)
		CHECK(shared->status[r] == RN_DEVICE, "ranks that ask for different sums: rank %d is told: %s", r, shared->messages[r]);
}

int
main(void)
{
	Shared	   *shared = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	setenv("CUDAEMU_DEVICES", "3", 1);
	n_ranks = is_emulated() ? RANKS_MOST : 2;
	if (strcmp(test_device_name(), "cuda") != 0)
		check_skip("device \"%s\" forms no groups", test_device_name());
	else
	{
		test_operations(shared);
		test_ends(shared);
		test_differences(shared);
	}
	return check_done();
}
