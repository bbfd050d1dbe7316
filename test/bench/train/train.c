/*
 * train.c
 *		Target tokens a second of the trainer itself, without text or server.
 *
 * usage: train tiny|base|deep|wide [scheme [seconds [threads [device [precision [tokens]]]]]]
 *
 * Pairs are random ids with the lengths of peer.py: log-normal, median 17, cut
 * to 8 .. 40, about 4096 target tokens an update, vocabulary 8000 (wide:
 * 32000), dropout 0.1, label smoothing 0.1.  One line of JSON.
 *
 * test/bench/train/train.c
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/threads.h"
#include "kernels/device.h"
#include "train/trainer.h"

#define N_PAIRS		12000

static RnContext ctx;

static void
must(RnStatus status)
{
	if (status == RN_OK)
		return;
	fprintf(stderr, "train: %s (%s)\n", ctx.message, ctx.detail);
	exit(1);
}

static void
set(RnConfig *config, const char *key, const char *value)
{
	must(rn_config_set(&ctx, config, key, value));
}

static int
length_of(double normal, double median, double spread)
{
	double		length = round(spread > 0 ? exp(normal * spread + log(median)) : median * (1 + 0.12 * normal));

	return length < 8 ? 8 : length > 40 ? 40 : (int) length;
}

static void
add_pairs(RnCorpus *corpus, int vocabulary)
{
	int32_t		ids[2][40];
	uint32_t	p;

	for (p = 0; p < N_PAIRS; p++)
	{
		uint64_t	hash[2] = {rn_random_bits(7, RN_RANDOM_SAMPLE, 0, 1, p), p};
		RnPair		pair = {ids[0], ids[1], 0, 0};
		int			side,
					i;

		pair.n_source = length_of(rn_random_normal(7, RN_RANDOM_SAMPLE, 0, 2, p), 17, 0.4);
		pair.n_target = length_of(rn_random_normal(7, RN_RANDOM_SAMPLE, 0, 3, p), pair.n_source, 0);
		for (side = 0; side < 2; side++)
			for (i = 0; i < 40; i++)
				ids[side][i] = 4 + (int32_t) (rn_random_bits(7, RN_RANDOM_SAMPLE, p, 4 + side, i) % (vocabulary - 4));
		must(rn_corpus_add(&ctx, corpus, hash, &pair));
	}
	must(rn_corpus_finish(&ctx, corpus));
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

static int
compare(const void *a, const void *b)
{
	double		x = *(const double *) a,
				y = *(const double *) b;

	return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
	const char *shape = argc > 1 ? argv[1] : "tiny";
	const char *scheme = argc > 2 ? argv[2] : "residual";
	double		seconds = argc > 3 ? atof(argv[3]) : 10;
	const char *threads = argc > 4 ? argv[4] : "2";
	const char *device = argc > 5 ? argv[5] : "cpu";
	const char *precision = argc > 6 ? argv[6] : "float32";
	const char *batch_tokens = argc > 7 ? argv[7] : "4096";
	int			wide = strcmp(shape, "wide") == 0;
	static double times[100000];
	RnSpecialIds special = {0, 1, 2};
	RnBatchOptions batches = {atoi(batch_tokens), 1, 1};
	RnConfig	config;
	const RnKernels *kernels;
	RnModel    *model;
	RnTrainerOptions options = {0};
	RnThreads  *pool;
	RnTrainer  *trainer;
	RnSpill		spill;
	RnCorpus   *corpus;
	RnBatchReader *reader;
	RnStepResult result;
	struct rusage usage;
	double		start = 0;
	int64_t		tokens = 0;
	int			n = 0,
				warm;

	rn_config_defaults(&config);
	set(&config, "scheme", scheme);
	set(&config, "layers", strcmp(shape, "tiny") == 0 ? "4" : strcmp(shape, "base") == 0 || wide ? "6" : "12");
	set(&config, "d_model", strcmp(shape, "tiny") == 0 ? "128" : strcmp(shape, "base") == 0 || wide ? "512" : "256");
	set(&config, "d_ffn", strcmp(shape, "tiny") == 0 ? "256" : wide ? "2048" : "1024");
	set(&config, "heads", wide ? "8" : "4");
	set(&config, "dropout", "0.1");
	set(&config, "batch_tokens", batch_tokens);
	set(&config, "precision", precision);
	set(&config, "max_length", "64");
	set(&config, "max_steps", "1000000");
	set(&config, "threads", threads);
	config.vocab_size = wide ? 32000 : 8000;

	must(rn_device_choose(&ctx, device, precision, &kernels, NULL));
	rn_spill_init(&spill, fileno(tmpfile()), 0);
	must(rn_corpus_create(&ctx, &spill, (size_t) 64 << 20, &corpus));
	add_pairs(corpus, config.vocab_size);
	must(rn_batch_reader_create(&ctx, corpus, &batches, &reader));
	must(rn_model_create(&ctx, &config, &special, 64, &model));
	must(rn_threads_create(&ctx, config.threads, &pool));
	options.model = model;
	options.config = &config;
	options.kernels = kernels;
	options.threads = pool;
	must(rn_trainer_create(&ctx, &options, &trainer));
	must(rn_trainer_initialize(&ctx, trainer));

	for (warm = 0; warm < 2; warm++)
		must(rn_trainer_step(&ctx, trainer, reader, &result, NULL));
	for (start = now(); (now() - start < seconds || n < 4) && n < 100000;)
	{
		double		before = now();

		must(rn_trainer_step(&ctx, trainer, reader, &result, NULL));
		times[n++] = now() - before;
		tokens += result.target_tokens;
	}
	must(rn_trainer_settle(&ctx, trainer, &result));
	start = now() - start;
	qsort(times, n, sizeof(times[0]), compare);
	getrusage(RUSAGE_SELF, &usage);
	printf("{\"who\": \"residual\", \"shape\": \"%s\", \"scheme\": \"%s\", \"threads\": %s, \"tok_s\": %.0f, "
		   "\"med_s\": %.4f, \"updates\": %d, \"rss_MiB\": %ld, \"loss\": %.4f, \"precision\": \"%s\", \"tokens\": %s, \"device\": \"%s\"}\n",
		   shape, scheme, threads, tokens / start, times[n / 2], n, usage.ru_maxrss / 1024, result.loss,
		   precision, batch_tokens, kernels->description());
	return 0;
}
