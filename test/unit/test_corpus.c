/*
 * test_corpus.c
 *		The way of pairs from arrival to packed batches: canonical order,
 *		batches that can be read again, bounded memory, damaged files.
 *
 * "test_corpus PAIRS" does nothing but store and read so many pairs and print
 * the peak of memory: run by the test for two sizes, by hand for larger ones.
 *
 * test/unit/test_corpus.c
 */
#include "check.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/random.h"
#include "base/spill.h"
#include "train/batch.h"
#include "train/corpus.h"
#include "train/schedule.h"
#include "train/sorter.h"

#define SEED	7

/* A pair made of its number: lengths 1 .. 40, ids below 30000. */
typedef struct MadePair
{
	int32_t		ids[80];
	RnPair		pair;
	uint64_t	hash[2];
} MadePair;

static void
make_pair(uint64_t number, MadePair *made)
{
	uint64_t	bits = rn_random_bits(SEED, RN_RANDOM_SAMPLE, 0, 0, number);
	int			n_source = 1 + (int) (bits % 40);
	int			n_target = 1 + (int) (bits / 40 % 40);
	int			i;

	for (i = 0; i < n_source + n_target; i++)
		made->ids[i] = 4 + (int32_t) ((bits >> 11 ^ number * 31 ^ (uint64_t) i * 7919) % 30000);
	made->pair.source = made->ids;
	made->pair.target = made->ids + n_source;
	made->pair.n_source = n_source;
	made->pair.n_target = n_target;
	rn_digest(made->ids, sizeof(int32_t) * (size_t) (n_source + n_target), (uint64_t) n_source, made->hash);
}

static int
temporary_file(void)
{
	char		name[] = "/tmp/test_corpus.XXXXXX";
	int			fd = mkstemp(name);

	unlink(name);
	return fd;
}

/* Store pairs 0 .. n - 1, in order or backwards. */
static RnStatus
store(RnContext *ctx, RnSpill *spill, uint64_t n, int backwards, size_t memory, RnCorpus **corpus)
{
	uint64_t	i;

	RN_TRY(rn_corpus_create(ctx, spill, memory, corpus));
	for (i = 0; i < n; i++)
	{
		MadePair	made;

		make_pair(backwards ? n - 1 - i : i, &made);
		RN_TRY(rn_corpus_add(ctx, *corpus, made.hash, &made.pair));
	}
	return rn_corpus_finish(ctx, *corpus);
}

static uint64_t
pair_digest(const RnPair *pair)
{
	uint64_t	source[2],
				target[2];

	rn_digest(pair->source, sizeof(int32_t) * (size_t) pair->n_source, 1, source);
	rn_digest(pair->target, sizeof(int32_t) * (size_t) pair->n_target, 2, target);
	return source[0] ^ target[1];
}

static uint64_t
batch_digest(const RnBatch *batch)
{
	uint64_t	sum = 0;
	int			i;

	for (i = 0; i < batch->n_pairs; i++)
		sum = sum * 31 + pair_digest(&batch->pairs[i]);
	return sum;
}

/* A text of all pairs in canonical order, as one number; and whether keys rise. */
static uint64_t
corpus_order(RnContext *ctx, RnCorpus *corpus)
{
	uint64_t	sum = 0;
	int			b;

	for (b = 0; b < rn_corpus_blocks(corpus); b++)
	{
		const RnCorpusBlock *block = rn_corpus_block(corpus, b);
		RnPair	   *pairs = malloc(block->pairs * sizeof(RnPair));
		int32_t    *ids = malloc((block->source_ids + block->target_ids) * sizeof(int32_t));
		uint32_t	i;

		if (rn_corpus_read_block(ctx, corpus, b, pairs, ids) == RN_OK)
			for (i = 0; i < block->pairs; i++)
				sum = sum * 31 + pair_digest(&pairs[i]);
		free(pairs);
		free(ids);
	}
	return sum;
}

static int
compare_hashes(const void *left, const void *right)
{
	const uint64_t *a = left;
	const uint64_t *b = right;

	if (a[0] != b[0])
		return a[0] < b[0] ? -1 : 1;
	return (a[1] > b[1]) - (a[1] < b[1]);
}

static void
test_order(void)
{
	enum
	{
		N = 20000
	};
	RnContext	ctx;
	RnSpill		one,
				two;
	RnCorpus   *in_memory = NULL,
			   *merged = NULL;
	uint64_t	(*hashes)[3] = malloc(N * sizeof(*hashes));
	uint64_t	expected = 0;
	uint64_t	a[2],
				b[2];
	uint64_t	tokens = 0;
	int			i;

	rn_context_reset(&ctx);
	rn_spill_init(&one, temporary_file(), 0);
	rn_spill_init(&two, temporary_file(), 0);
	for (i = 0; i < N; i++)
	{
		MadePair	made;

		make_pair((uint64_t) i, &made);
		memcpy(hashes[i], made.hash, sizeof(made.hash));
		hashes[i][2] = pair_digest(&made.pair);
		tokens += (uint64_t) made.pair.n_target + 1;
	}
	qsort(hashes, N, sizeof(*hashes), compare_hashes);
	for (i = 0; i < N; i++)
		expected = expected * 31 + hashes[i][2];

	CHECK(store(&ctx, &one, N, 0, 64 << 20, &in_memory) == RN_OK, "a corpus sorts in memory: %s", ctx.message);
	CHECK(store(&ctx, &two, N, 1, 100 * 1024, &merged) == RN_OK, "a corpus sorts in the file: %s", ctx.message);
	CHECK(corpus_order(&ctx, in_memory) == expected, "pairs lie in the order of their hashes");
	CHECK(corpus_order(&ctx, merged) == expected, "so they do when they came backwards and were merged");
	rn_corpus_fingerprint(in_memory, a);
	rn_corpus_fingerprint(merged, b);
	CHECK(a[0] == b[0] && a[1] == b[1], "the fingerprint does not depend on the order of arrival");
	CHECK(rn_corpus_pairs(merged) == N && rn_corpus_target_tokens(merged) == tokens, "pairs and tokens are counted");
	CHECK(two.n_free > 0 || two.end < 3 * one.end, "what runs took is given back");
	rn_corpus_free(in_memory);
	rn_corpus_free(merged);
	close(one.fd);
	close(two.fd);
	free(hashes);
}

static void
test_batches(void)
{
	enum
	{
		N = 150000,				/* several pools */
		BUDGET = 1000
	};
	RnContext	ctx;
	RnSpill		spill;
	RnCorpus   *corpus = NULL;
	RnBatchReader *reader = NULL;
	RnBatchReader *other = NULL;
	RnBatchOptions options = {BUDGET, 42, 1};
	RnBatch		batch;
	RnDataPosition middle = {0, 0, 0},
				position;
	uint64_t	first_epoch = 0,
				second_epoch = 0,
				pairs = 0,
				sum = 0,
				expected = 0,
				from_middle = 0,
				again = 0;
	int64_t		largest = 0;
	double		epochs = 0;
	int			batches = 0,
				shuffled = 0,
				epoch_end = 0,
				last_length = 0;
	int			i;

	rn_context_reset(&ctx);
	rn_spill_init(&spill, temporary_file(), 0);
	CHECK(store(&ctx, &spill, N, 0, 1 << 20, &corpus) == RN_OK, "store %d pairs: %s", N, ctx.message);
	CHECK(rn_corpus_blocks(corpus) > 64, "the corpus has %d blocks", rn_corpus_blocks(corpus));
	CHECK(rn_batch_reader_create(&ctx, corpus, &options, &reader) == RN_OK, "make a reader");
	while (!epoch_end && rn_batch_read(&ctx, reader, &batch, &epoch_end) == RN_OK)
	{
		for (i = 0; i < batch.n_pairs; i++)
			sum += pair_digest(&batch.pairs[i]);
		pairs += (uint64_t) batch.n_pairs;
		if (batch.target_tokens > largest)
			largest = batch.target_tokens;
		shuffled += batch.pairs[0].n_target < last_length;
		last_length = batch.pairs[0].n_target;
		first_epoch = first_epoch * 31 + batch_digest(&batch);
		if (batches > 1000)
			from_middle = from_middle * 31 + batch_digest(&batch);
		if (batches == 1000)
		{
			rn_batch_reader_position(reader, &middle);
			epochs = rn_batch_reader_epochs(reader);
		}
		batches++;
	}
	for (i = 0; i < N; i++)
	{
		MadePair	made;

		make_pair((uint64_t) i, &made);
		expected += pair_digest(&made.pair);
	}
	CHECK(pairs == N && sum == expected, "an epoch has every pair once: %llu in %d batches",
		  (unsigned long long) pairs, batches);
	CHECK(largest <= BUDGET && (double) batches * BUDGET < 1.03 * (double) rn_corpus_target_tokens(corpus),
		  "batches keep to the budget (largest %lld) and use it (%.1f %%)", (long long) largest,
		  100.0 * (double) rn_corpus_target_tokens(corpus) / ((double) batches * BUDGET));
	CHECK(shuffled > batches / 4, "lengths are mixed");
	CHECK(fabs(rn_batch_reader_epochs(reader) - 1) < 1e-9, "one epoch was read");

	epoch_end = 0;
	while (!epoch_end && rn_batch_read(&ctx, reader, &batch, &epoch_end) == RN_OK)
		second_epoch = second_epoch * 31 + batch_digest(&batch);
	CHECK(second_epoch != first_epoch, "the next epoch has other batches");

	CHECK(middle.pool > 0, "the middle lies behind the first pool");
	CHECK(rn_batch_reader_create(&ctx, corpus, &options, &other) == RN_OK, "make another reader");
	rn_batch_reader_seek(other, &middle);
	CHECK(rn_batch_reader_load(&ctx, other) == RN_OK && fabs(rn_batch_reader_epochs(other) - epochs) < 1e-9,
		  "a reader sent to the middle knows the part of the epoch (%.3f)", epochs);
	epoch_end = 0;
	while (!epoch_end && rn_batch_read(&ctx, other, &batch, &epoch_end) == RN_OK)
		again = again * 31 + batch_digest(&batch);
	CHECK(again == from_middle, "a reader that starts in the middle reads the same");
	position.epoch = 3;
	position.pool = 1000000;
	position.batch = 5;
	rn_batch_reader_seek(other, &position);
	CHECK(rn_batch_read(&ctx, other, &batch, &epoch_end) == RN_OK, "a position of another corpus does no harm");
	rn_batch_reader_position(other, &position);
	CHECK(position.epoch == 4, "it counts as the end of its epoch");
	rn_batch_reader_free(reader);
	rn_batch_reader_free(other);
	rn_corpus_free(corpus);
	close(spill.fd);
}

static void
test_lengths(void)
{
	RnContext	ctx;
	RnSpill		spill;
	RnCorpus   *corpus = NULL;
	RnBatchReader *reader = NULL;
	RnBatchOptions options = {10, 1, 1};
	int32_t		ids[40];
	RnBatch		batch;
	int			n_batches = 0;
	int			epoch_end = 0;
	int			i;

	rn_context_reset(&ctx);
	rn_spill_init(&spill, temporary_file(), 0);
	for (i = 0; i < 40; i++)
		ids[i] = INT32_MAX - i;
	rn_corpus_create(&ctx, &spill, 1 << 20, &corpus);
	CHECK(rn_corpus_finish(&ctx, corpus) == RN_OK && rn_corpus_blocks(corpus) == 0, "an empty corpus is one");
	rn_batch_reader_create(&ctx, corpus, &options, &reader);
	CHECK(rn_batch_read(&ctx, reader, &batch, &epoch_end) == RN_NO_DATA, "and has no batches");
	rn_batch_reader_free(reader);
	rn_corpus_free(corpus);

	rn_context_reset(&ctx);
	rn_corpus_create(&ctx, &spill, 1 << 20, &corpus);
	for (i = 0; i < 3; i++)
	{
		RnPair		pair = {ids, ids, 40, 40};
		uint64_t	hash[2] = {5, 5};

		rn_corpus_add(&ctx, corpus, hash, &pair);
	}
	rn_corpus_finish(&ctx, corpus);
	rn_batch_reader_create(&ctx, corpus, &options, &reader);
	while (!epoch_end && rn_batch_read(&ctx, reader, &batch, &epoch_end) == RN_OK)
	{
		n_batches++;
		CHECK(batch.n_pairs == 1 && batch.target_tokens == 41 && batch.pairs[0].target[39] == INT32_MAX - 39,
			  "a pair longer than the budget is a batch of its own");
	}
	CHECK(n_batches == 3, "equal pairs stay");
	rn_batch_reader_free(reader);
	rn_corpus_free(corpus);
	close(spill.fd);
}

static void
test_packing(void)
{
	enum
	{
		SHARDS = 5
	};
	static const RnSpecialIds special = {0, 1, 2};
	RnContext	ctx;
	RnPacker   *packer = NULL;
	MadePair	made[60];
	RnPair		pairs[60];
	RnBatch		batch = {60, pairs, 0, 0, 100, 200};
	uint32_t	source_row = 100,
				target_row = 200;
	int			next = 0;
	int			wrong = 0;
	int			least = 1 << 30,
				most = 0;
	int			shard,
				s,
				i;

	rn_context_reset(&ctx);
	for (i = 0; i < 60; i++)
	{
		make_pair((uint64_t) i, &made[i]);
		pairs[i] = made[i].pair;
		batch.source_tokens += pairs[i].n_source + 1;
		batch.target_tokens += pairs[i].n_target + 1;
	}
	rn_packer_create(&ctx, &packer);
	for (shard = 0; shard < SHARDS; shard++)
	{
		RnModelBatch packed;
		int			work;

		CHECK(rn_packer_pack(&ctx, packer, &batch, &special, shard, SHARDS, &packed) == RN_OK, "pack shard %d", shard);
		for (s = 0; s < packed.target.n_sentences; s++, next++)
		{
			int			at = packed.source.offsets[s];

			for (i = 0; i <= pairs[next].n_source; i++, at++)
				wrong += packed.source.positions[at] != i || packed.source.row_ids[at] != source_row++ ||
					packed.source_ids[at] != (i < pairs[next].n_source ? pairs[next].source[i] : 2);
			wrong += at != packed.source.offsets[s + 1];
			at = packed.target.offsets[s];
			for (i = 0; i <= pairs[next].n_target; i++, at++)
				wrong += packed.target.positions[at] != i || packed.target.row_ids[at] != target_row++ ||
					packed.target_in[at] != (i ? pairs[next].target[i - 1] : 1) ||
					packed.target_out[at] != (i < pairs[next].n_target ? pairs[next].target[i] : 2);
			wrong += at != packed.target.offsets[s + 1];
		}
		wrong += packed.source.rows != packed.source.offsets[packed.source.n_sentences];
		wrong += packed.source.n_sentences != packed.target.n_sentences;
		work = 2 * packed.source.rows + 3 * packed.target.rows;
		least = work < least ? work : least;
		most = work > most ? work : most;
	}
	CHECK(next == 60 && wrong == 0, "shards hold every pair once, with rows named as in the whole");
	CHECK(most - least < 2 * 5 * 41, "shards are of about equal work: %d to %d", least, most);
	batch.n_pairs = 1;
	batch.source_tokens = pairs[0].n_source + 1;
	batch.target_tokens = pairs[0].n_target + 1;
	next = 0;
	for (shard = 0; shard < SHARDS; shard++)
	{
		RnModelBatch packed;

		rn_packer_pack(&ctx, packer, &batch, &special, shard, SHARDS, &packed);
		next += packed.target.n_sentences;
		wrong += packed.target.n_sentences == 0 && (packed.target.rows != 0 || packed.source.rows != 0);
	}
	CHECK(next == 1 && wrong == 0, "more shards than pairs leave some empty");
	rn_packer_free(packer);
}

static void
test_damage(void)
{
	RnContext	ctx;
	RnSpill		spill;
	RnCorpus   *corpus = NULL;
	RnPair	   *pairs;
	int32_t    *ids;
	const RnCorpusBlock *block;
	char		byte;
	int			undetected = 0;
	uint32_t	i;

	rn_context_reset(&ctx);
	rn_spill_init(&spill, temporary_file(), 0);
	store(&ctx, &spill, 5000, 0, 1 << 20, &corpus);
	block = rn_corpus_block(corpus, 1);
	pairs = malloc(block->pairs * sizeof(RnPair));
	ids = malloc((block->source_ids + block->target_ids) * sizeof(int32_t));
	for (i = 0; i < 200; i++)
	{
		off_t		at = (off_t) (block->offset + block->bytes * i / 200);

		if (pread(spill.fd, &byte, 1, at) != 1)
			break;
		byte ^= (char) (1 << i % 8);
		(void) !pwrite(spill.fd, &byte, 1, at);
		rn_context_reset(&ctx);
		undetected += rn_corpus_read_block(&ctx, corpus, 1, pairs, ids) != RN_IO;
		byte ^= (char) (1 << i % 8);
		(void) !pwrite(spill.fd, &byte, 1, at);
	}
	CHECK(i == 200 && undetected == 0, "a changed bit in a block is noticed: %s", ctx.detail);
	rn_context_reset(&ctx);
	CHECK(rn_corpus_read_block(&ctx, corpus, 1, pairs, ids) == RN_OK, "the whole block reads again");
	(void) !ftruncate(spill.fd, (off_t) (block->offset + block->bytes / 2));
	CHECK(rn_corpus_read_block(&ctx, corpus, 1, pairs, ids) == RN_IO, "a short file is noticed: %s", ctx.message);
	rn_corpus_free(corpus);
	free(pairs);
	free(ids);

	rn_context_reset(&ctx);
	rn_spill_init(&spill, spill.fd, 100000);
	CHECK(store(&ctx, &spill, 5000, 0, 20000, &corpus) == RN_DISK_FULL, "a limit is kept: %s (%s)", ctx.message,
		  ctx.detail);
	rn_corpus_free(corpus);
	close(spill.fd);
	spill.fd = open("/dev/full", 2);
	if (spill.fd < 0)
		check_skip("no /dev/full");
	else
	{
		rn_context_reset(&ctx);
		rn_spill_init(&spill, spill.fd, 0);
		CHECK(store(&ctx, &spill, 5000, 0, 20000, &corpus) == RN_DISK_FULL, "a full disk is told: %s", ctx.message);
		rn_corpus_free(corpus);
		close(spill.fd);
	}
}

static void
test_spill(void)
{
	RnContext	ctx;
	RnSpill		spill;
	uint64_t	at[6];
	uint64_t	again;
	int			i;

	rn_context_reset(&ctx);
	rn_spill_init(&spill, -1, 700);
	for (i = 0; i < 6; i++)
		rn_spill_reserve(&ctx, &spill, 100, &at[i]);
	rn_spill_release(&spill, at[1], 100);
	rn_spill_release(&spill, at[3], 100);
	rn_spill_release(&spill, at[2], 100);
	CHECK(rn_spill_reserve(&ctx, &spill, 300, &again) == RN_OK && again == at[1], "neighbours are joined and used again");
	CHECK(rn_spill_reserve(&ctx, &spill, 100, &again) == RN_OK && again == 600, "else the file grows");
	CHECK(rn_spill_reserve(&ctx, &spill, 1, &again) == RN_DISK_FULL, "up to its limit");
	rn_spill_release(&spill, 600, 100);
	rn_spill_release(&spill, at[5], 100);
	CHECK(spill.end == 500 && spill.n_free == 0, "what is free at the end shortens it");
}

static void
test_schedule(void)
{
	/* test/golden/constants.txt, schedule.*: lr 5e-4, warm-up 4000 */
	static const int64_t updates[9] = {1, 2, 10, 1000, 3999, 4000, 4001, 8000, 100000};
	static const double warm[9] = {2.2497500000000001e-07, 3.4995000000000003e-07, 1.3497500000000001e-06,
		0.00012507500000000002, 0.000499875025, 0.00050000000000000001, 0.00049993751171630919,
	0.00035355339059327381, 0.0001};
	static const double flat[9] = {5e-4, 5e-4, 5e-4, 5e-4, 5e-4, 5e-4, 0.00049993751171630919,
	0.00035355339059327381, 0.0001};
	RnConfig	config;
	double		worst = 0;
	double		before;
	int			falls = 1;
	int			i;

	memset(&config, 0, sizeof(config));
	config.learning_rate = 5e-4;
	config.warmup_steps = 4000;
	config.warmup_init = 1e-7;
	for (i = 0; i < 9; i++)
		worst = fmax(worst, fabs(rn_learning_rate(&config, updates[i], 0) / warm[i] - 1));
	CHECK(worst < 1e-14, "inverse_sqrt agrees with the reference (%.1e)", worst);
	config.warmup_steps = 0;
	for (i = 0, worst = 0; i < 9; i++)
		worst = fmax(worst, fabs(rn_learning_rate(&config, updates[i], 0) / flat[i] - 1));
	CHECK(worst < 1e-14, "without warm-up it is the reference's flat schedule (%.1e)", worst);
	config.schedule = 2;
	CHECK(rn_learning_rate(&config, 1, 0) == 5e-4 && rn_learning_rate(&config, 1000000, 0) == 5e-4, "constant");
	for (config.schedule = 1; config.schedule <= 3; config.schedule += 2)
	{
		config.warmup_steps = 10;
		before = rn_learning_rate(&config, 10, 100);
		CHECK(before == 5e-4 && rn_learning_rate(&config, 5, 100) == 1e-7 + (5e-4 - 1e-7) / 2, "schedule %d warms up",
			  config.schedule);
		for (i = 11; i <= 100; i++)
		{
			falls &= rn_learning_rate(&config, i, 100) < before;
			before = rn_learning_rate(&config, i, 100);
		}
		CHECK(falls && before > 0 && rn_learning_rate(&config, 101, 100) == 0, "schedule %d falls to its end",
			  config.schedule);
		CHECK(rn_learning_rate(&config, 500, 0) == 5e-4, "and stays where no end is known");
		config.warmup_steps = 0;
		CHECK(rn_learning_rate(&config, 1, 100) == 5e-4, "schedule %d starts at its peak without warm-up",
			  config.schedule);
	}
}

/* Bits of the digest when one bit of the text changes: about half of them do. */
static void
test_digest(void)
{
	char		text[64];
	uint64_t	base[2],
				other[2];
	double		changed = 0;
	int			least = 128;
	int			i;

	memset(text, 'x', sizeof(text));
	rn_digest(text, sizeof(text), 1, base);
	for (i = 0; i < 512; i++)
	{
		int			bits;

		text[i / 8] ^= (char) (1 << i % 8);
		rn_digest(text, sizeof(text), 1, other);
		bits = __builtin_popcountll(base[0] ^ other[0]) + __builtin_popcountll(base[1] ^ other[1]);
		changed += bits;
		least = bits < least ? bits : least;
		text[i / 8] ^= (char) (1 << i % 8);
	}
	CHECK(fabs(changed / 512 - 64) < 2 && least > 35, "a bit changes half of the digest (mean %.1f, least %d)",
		  changed / 512, least);
	rn_digest("a\0", 2, 1, base);
	rn_digest("a", 1, 1, other);
	CHECK(base[0] != other[0], "zeros at the end count");
}

/* Peak memory, in KiB, of storing and reading n pairs in a process of its own. */
static long
peak_memory(const char *program, const char *pairs)
{
	char		command[512];
	long		peak = -1;
	FILE	   *pipe;

	snprintf(command, sizeof(command), "'%s' %s", program, pairs);
	pipe = popen(command, "r");
	if (pipe == NULL || fscanf(pipe, "peak %ld", &peak) != 1)
		peak = -1;
	if (pipe != NULL)
		pclose(pipe);
	return peak;
}

static void
test_memory(const char *program)
{
#ifdef __SANITIZE_ADDRESS__
	(void) program;
	(void) peak_memory;
	check_skip("memory is not measured under AddressSanitizer");
#else
	long		small = peak_memory(program, "100000");
	long		large = peak_memory(program, "1000000");

	/* a pool has 17 to 32 blocks, which is worth up to 3 MiB here */
	CHECK(small > 0 && large > 0 && large < small + 3 * 1024,
		  "a million pairs take the memory of 100 thousand: %ld KiB, %ld KiB", large, small);
#endif
}

static int
measure(uint64_t pairs)
{
	RnContext	ctx;
	RnSpill		spill;
	RnCorpus   *corpus = NULL;
	RnBatchReader *reader = NULL;
	RnBatchOptions options = {4096, 42, 1};
	struct rusage usage;
	struct timespec start,
				stored,
				end;
	RnBatch		batch;
	uint64_t	batches = 0;
	int			epoch_end = 0;

	rn_context_reset(&ctx);
	rn_spill_init(&spill, temporary_file(), 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	if (store(&ctx, &spill, pairs, 0, 4 << 20, &corpus) == RN_OK &&
		rn_batch_reader_create(&ctx, corpus, &options, &reader) == RN_OK)
	{
		clock_gettime(CLOCK_MONOTONIC, &stored);
		while (!epoch_end && rn_batch_read(&ctx, reader, &batch, &epoch_end) == RN_OK)
			batches++;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	getrusage(RUSAGE_SELF, &usage);
	if (ctx.status != RN_OK)
	{
		printf("error %s\n", ctx.message);
		return 1;
	}
	printf("peak %ld KiB, stored in %.2f s, %llu batches read in %.2f s, file %.1f MB\n", usage.ru_maxrss,
		   (double) (stored.tv_sec - start.tv_sec) + 1e-9 * (double) (stored.tv_nsec - start.tv_nsec),
		   (unsigned long long) batches,
		   (double) (end.tv_sec - stored.tv_sec) + 1e-9 * (double) (end.tv_nsec - stored.tv_nsec),
		   1e-6 * (double) spill.end);
	rn_batch_reader_free(reader);
	rn_corpus_free(corpus);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc > 1)
		return measure(strtoull(argv[1], NULL, 10));
	test_digest();
	test_spill();
	test_order();
	test_lengths();
	test_batches();
	test_packing();
	test_damage();
	test_schedule();
	test_memory(argv[0]);
	return check_done();
}
