/*
 * test_base.c
 *		Threads, turns and random numbers.
 *
 * Philox is held to the known-answer values published with Random123; what is
 * derived from it to what a distribution must show.
 *
 * test/unit/test_base.c
 */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

#include "base/random.h"
#include "base/threads.h"
#include "base/turns.h"
#include "check.h"

#define N_DRAWS	200000

static void
test_philox(void)
{
	static const struct
	{
		uint32_t	counter[4];
		uint32_t	key[2];
		uint32_t	answer[4];
	}			known[] = {
		{{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff},
		{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
		{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	};
	size_t		i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
	{
		uint32_t	out[4];

		rn_philox(known[i].counter, known[i].key, out);
		CHECK(memcmp(out, known[i].answer, sizeof(out)) == 0, "known answer %zu of Philox4x32-10: %08x %08x %08x %08x",
			  i + 1, (unsigned) out[0], (unsigned) out[1], (unsigned) out[2], (unsigned) out[3]);
	}
}

static void
test_distributions(void)
{
	double		sum = 0.0;
	double		squares = 0.0;
	double		lowest = 1.0;
	double		highest = 0.0;
	double		normal_sum = 0.0;
	double		normal_squares = 0.0;
	double		normal_fourth = 0.0;
	double		lag = 0.0;
	double		before = 0.0;
	uint64_t	i;

	for (i = 0; i < N_DRAWS; i++)
	{
		double		u = rn_random_uniform(7, RN_RANDOM_INIT, 3, 4, i);
		double		z = rn_random_normal(7, RN_RANDOM_INIT, 3, 5, i);

		sum += u;
		squares += u * u;
		lowest = u < lowest ? u : lowest;
		highest = u > highest ? u : highest;
		normal_sum += z;
		normal_squares += z * z;
		normal_fourth += z * z * z * z;
		lag += z * before;
		before = z;
	}
	/* five standard deviations of each mean */
	CHECK(lowest > 0.0 && highest < 1.0, "uniform numbers lie between 0 and 1: %g to 1 - %g", lowest, 1.0 - highest);
	CHECK(lowest < 1e-4 && highest > 1.0 - 1e-4, "and come near both ends");
	CHECK(fabs(sum / N_DRAWS - 0.5) < 5 * sqrt(1 / 12.0 / N_DRAWS), "mean of uniform numbers %g", sum / N_DRAWS);
	CHECK(fabs(squares / N_DRAWS - 1 / 3.0) < 5 * sqrt(4 / 45.0 / N_DRAWS), "second moment %g", squares / N_DRAWS);
	CHECK(fabs(normal_sum / N_DRAWS) < 5 * sqrt(1.0 / N_DRAWS), "mean of normal numbers %g", normal_sum / N_DRAWS);
	CHECK(fabs(normal_squares / N_DRAWS - 1) < 5 * sqrt(2.0 / N_DRAWS), "their variance %g", normal_squares / N_DRAWS);
	CHECK(fabs(normal_fourth / N_DRAWS - 3) < 5 * sqrt(96.0 / N_DRAWS), "their fourth moment %g",
		  normal_fourth / N_DRAWS);
	CHECK(fabs(lag / N_DRAWS) < 5 * sqrt(1.0 / N_DRAWS), "neighbours are not correlated: %g", lag / N_DRAWS);
}

static void
test_names(void)
{
	uint64_t	base = rn_random_bits(1, RN_RANDOM_INIT, 2, 3, 4);

	CHECK(base == rn_random_bits(1, RN_RANDOM_INIT, 2, 3, 4), "the same name gives the same number");
	CHECK(base != rn_random_bits(2, RN_RANDOM_INIT, 2, 3, 4) && base != rn_random_bits(1ull << 32 | 1, RN_RANDOM_INIT, 2, 3, 4) &&
		  base != rn_random_bits(1, RN_RANDOM_SHUFFLE, 2, 3, 4) && base != rn_random_bits(1, RN_RANDOM_INIT, 3, 3, 4) &&
		  base != rn_random_bits(1, RN_RANDOM_INIT, 2, 4, 4) && base != rn_random_bits(1, RN_RANDOM_INIT, 2, 3, 5) &&
		  base != rn_random_bits(1, RN_RANDOM_INIT, 2, 3, 1ull << 32 | 4), "every part of a name counts");
}

static void
test_shuffle(void)
{
	enum {N = 1000, SHUFFLES = 24000};
	uint32_t	items[N];
	unsigned char seen[N] = {0};
	int			orders[27] = {0};
	int			all = 1;
	int			fixed = 0;
	double		chi2 = 0.0;
	uint32_t	i;

	for (i = 0; i < N; i++)
		items[i] = i;
	rn_random_shuffle(11, RN_RANDOM_SHUFFLE, 0, 0, items, N);
	for (i = 0; i < N; i++)
	{
		all &= items[i] < N && !seen[items[i] % N];
		seen[items[i] % N] = 1;
		fixed += items[i] == i;
	}
	CHECK(all, "a shuffle is a permutation");
	CHECK(fixed < 10, "that leaves few items in place: %d of %d", fixed, N);
	for (i = 0; i < SHUFFLES; i++)
	{
		uint32_t	three[3] = {0, 1, 2};

		rn_random_shuffle(11, RN_RANDOM_SHUFFLE, i, 1, three, 3);
		orders[three[0] * 9 + three[1] * 3 + three[2]]++;
	}
	for (i = 0; i < 27; i++)
		if (orders[i] > 0)
			chi2 += (orders[i] - SHUFFLES / 6.0) * (orders[i] - SHUFFLES / 6.0) / (SHUFFLES / 6.0);
	CHECK(orders[5] > 0 && orders[7] > 0 && orders[11] > 0 && orders[15] > 0 && orders[19] > 0 && orders[21] > 0 &&
		  chi2 < 25.0, "the six orders of three items are equally likely: chi-square %.1f, 5 degrees", chi2);
	rn_random_shuffle(11, RN_RANDOM_SHUFFLE, 0, 0, items, 0);
	items[0] = 5;
	rn_random_shuffle(11, RN_RANDOM_SHUFFLE, 0, 0, items, 1);
	CHECK(items[0] == 5, "nothing and one item may be shuffled");
}

static void
test_dropout(void)
{
	static const double rates[] = {0.0, 0.1, 0.3, 0.5};
	size_t		r;

	for (r = 0; r < sizeof(rates) / sizeof(rates[0]); r++)
	{
		RnDropout	dropout = {.rate = rates[r], .seed = 0xabcdef0123456789ull, .step = 9, .site = 3};
		int			kept = 0;
		int			pairs = 0;
		uint32_t	row;
		uint32_t	col;

		for (row = 0; row < 200; row++)
			for (col = 0; col < 500; col++)
			{
				int			keep = rn_dropout_keeps(&dropout, row, col);

				kept += keep;
				pairs += keep && rn_dropout_keeps(&dropout, row, col + 16);
			}
		CHECK(fabs(kept / 1e5 - (1 - rates[r])) <= 5 * sqrt(rates[r] * (1 - rates[r]) / 1e5) + 1e-5,
			  "rate %g keeps %.4f", rates[r], kept / 1e5);
		CHECK(fabs(pairs / 1e5 - (1 - rates[r]) * (1 - rates[r])) <= 0.01, "halves of one word are independent: %.4f",
			  pairs / 1e5);
	}
}

typedef struct Tally
{
	int			counts[8];
	int			n_threads;
	int			unblocked;		/* workers that a signal could reach */
	double		denormal[8];
	pthread_t	caller;
	int			caller_is_zero;
} Tally;

static void
tally(void *arg, int thread, int n_threads)
{
	Tally	   *t = arg;
	volatile double tiny = 2.3e-308;
	sigset_t	mask;

	t->counts[thread]++;
	t->denormal[thread] = tiny / 4;
	if (thread == 0)
	{
		t->n_threads = n_threads;
		t->caller_is_zero = pthread_equal(pthread_self(), t->caller);
	}
	else
	{
		pthread_sigmask(SIG_BLOCK, NULL, &mask);
		if (!sigismember(&mask, SIGTERM) || !sigismember(&mask, SIGINT))
			__atomic_add_fetch(&t->unblocked, 1, __ATOMIC_RELAXED);
	}
}

static void
test_threads(void)
{
	int			n;

	for (n = 1; n <= 4; n++)
	{
		RnContext	ctx;
		RnThreads  *threads;
		Tally		t;
		sigset_t	mask;
		int			round;
		int			i;
		int			right = 1;

		memset(&t, 0, sizeof(t));
		t.caller = pthread_self();
		rn_context_reset(&ctx);
		if (!CHECK(rn_threads_create(&ctx, n, &threads) == RN_OK, "%d threads start", n))
			return;
		for (round = 0; round < 500; round++)
			rn_threads_run(threads, tally, &t);
		for (i = 0; i < 8; i++)
			right &= t.counts[i] == (i < n ? 500 : 0);
		CHECK(right && t.n_threads == n && rn_threads_count(threads) == n, "each of %d works once a round", n);
		CHECK(t.caller_is_zero, "the caller is thread 0");
		CHECK(t.unblocked == 0, "workers block signals");
		pthread_sigmask(SIG_BLOCK, NULL, &mask);
		CHECK(!sigismember(&mask, SIGTERM), "the caller does not");
#if defined(__SSE__) || defined(__aarch64__)
		for (i = 0; i < n; i++)
			right &= t.denormal[i] == 0.0;
		CHECK(right, "denormals are flushed on all");
#endif
		rn_threads_free(threads);
	}
	rn_threads_free(NULL);
}

/* What threads do in turn: which turn did each thing when, and what must not be. */
#define THINGS	3
#define TURNS	60

typedef struct Doings
{
	RnTurns    *turns;
	int			order[THINGS][TURNS];
	int			done[THINGS];
	int			twice;			/* a second time in one turn was let through */
	int			woken;			/* threads that were told of the giving up */
} Doings;

/* Every fifth turn leaves the second thing out; things are done in an order of the turn's own. */
static void
do_in_turn(void *arg, int thread, int n_threads)
{
	Doings	   *doings = arg;
	int			turn,
				k;

	for (turn = thread; turn < TURNS; turn += n_threads)
	{
		for (k = 0; k < THINGS; k++)
		{
			int			thing = (k + turn) % THINGS;

			if (thing == 1 && turn % 5 == 0)
				continue;
			if (rn_turns_wait(doings->turns, thing, turn) != RN_TURN_MINE)
				return;
			doings->order[thing][doings->done[thing]++] = turn;
			rn_turns_done(doings->turns, thing);
			if (rn_turns_wait(doings->turns, thing, turn) != RN_TURN_PASSED)
				doings->twice++;
		}
		rn_turns_over(doings->turns, turn);
	}
}

/* The first thread never does its turn. */
static void
give_up_first(void *arg, int thread, int n_threads)
{
	Doings	   *doings = arg;

	(void) n_threads;
	if (thread == 0)
		rn_turns_give_up(doings->turns);
	else if (rn_turns_wait(doings->turns, 0, thread) == RN_TURN_GIVEN_UP)
		__atomic_add_fetch(&doings->woken, 1, __ATOMIC_RELAXED);
}

static void
test_turns(void)
{
	RnContext	ctx;
	RnThreads  *threads;
	Doings		doings;
	int			thing,
				i,
				right = 1;

	memset(&doings, 0, sizeof(doings));
	rn_context_reset(&ctx);
	if (!CHECK(rn_threads_create(&ctx, 4, &threads) == RN_OK && rn_turns_create(&ctx, THINGS, &doings.turns) == RN_OK,
			   "threads that take turns"))
		return;
	rn_turns_begin(doings.turns);
	rn_threads_run(threads, do_in_turn, &doings);
	CHECK(doings.done[0] == TURNS && doings.done[1] == TURNS - TURNS / 5 && doings.done[2] == TURNS,
		  "all turns do what they do not leave out");
	for (thing = 0; thing < THINGS; thing++)
		for (i = 1; i < doings.done[thing]; i++)
			right &= doings.order[thing][i] > doings.order[thing][i - 1];
	CHECK(right, "in the order of turns");
	CHECK(doings.twice == 0, "and none twice");
	rn_turns_begin(doings.turns);
	rn_threads_run(threads, give_up_first, &doings);
	CHECK(doings.woken == 3, "who waits hears of a failure");
	rn_turns_free(doings.turns);
	rn_threads_free(threads);
}

int
main(void)
{
	test_philox();
	test_distributions();
	test_names();
	test_shuffle();
	test_dropout();
	test_threads();
	test_turns();
	return check_done();
}
