/*
 * trainer_bench.c
 *		A trainer of a tiny model over made-up pairs.
 *
 * test/unit/trainer_bench.c
 */
#include "trainer_bench.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAIRS		400

static void
add_pairs(Bench *bench)
{
	int			i,
				k;

	rn_corpus_create(&bench->ctx, &bench->spill, 1 << 20, &bench->corpus);
	for (i = 0; i < PAIRS; i++)
	{
		uint64_t	hash[2] = {(uint64_t) i * UINT64_C(0x9E3779B97F4A7C15), (uint64_t) i};
		int32_t		ids[2][24];
		RnPair		pair = {ids[0], ids[1], 1 + i % 24, 1 + i * 7 % 24};

		for (k = 0; k < 24; k++)
		{
			ids[0][k] = 3 + (i * 5 + k * k) % (BENCH_VOCABULARY - 3);
			ids[1][k] = 3 + (i * 5 + k * k + 1) % (BENCH_VOCABULARY - 3);
		}
		rn_corpus_add(&bench->ctx, bench->corpus, hash, &pair);
	}
	rn_corpus_finish(&bench->ctx, bench->corpus);
}

int
open_bench(Bench *bench, const RnKernels *kernels, int threads, const char *const *options)
{
	return open_limited_bench(bench, kernels, threads, options, 0);
}

int
open_limited_bench(Bench *bench, const RnKernels *kernels, int threads, const char *const *options, size_t memory_limit)
{
	static const char *const common[] = {"encoder_layers", "2", "decoder_layers", "2", "d_model", "16", "d_ffn", "24",
	"heads", "2", "dropout", "0.2", "attention_dropout", "0.1", "activation_dropout", "0.1", "max_steps", "100", NULL};
	RnBatchOptions batches = {BENCH_TOKENS, 5, 1};
	RnTrainerOptions given;
	RnTrainerLoad load;
	FILE	   *file = tmpfile();
	char		tokens[20];
	int			i;

	memset(bench, 0, sizeof(*bench));
	rn_config_defaults(&bench->config);
	for (i = 0; common[i] != NULL; i += 2)
		rn_config_set(&bench->ctx, &bench->config, common[i], common[i + 1]);
	snprintf(tokens, sizeof(tokens), "%d", BENCH_TOKENS);
	rn_config_set(&bench->ctx, &bench->config, "batch_tokens", tokens);
	for (i = 0; options[i] != NULL; i += 2)
		rn_config_set(&bench->ctx, &bench->config, options[i], options[i + 1]);
	bench->config.vocab_size = BENCH_VOCABULARY;
	bench->config.threads = threads;
	batches.batch_tokens = bench->config.batch_tokens;
	rn_spill_init(&bench->spill, dup(fileno(file)), 0);
	fclose(file);
	add_pairs(bench);
	rn_model_create(&bench->ctx, &bench->config, &bench_special, 64, &bench->model);
	rn_threads_create(&bench->ctx, threads, &bench->threads);
	memset(&given, 0, sizeof(given));
	given.model = bench->model;
	given.config = &bench->config;
	given.kernels = kernels;
	given.threads = bench->threads;
	given.spill = &bench->spill;
	given.stop = &bench->stop;
	given.memory_limit = memory_limit;
	memset(&load, 0, sizeof(load));
	load.training = load.held_out = bench->corpus;
	load.batch_tokens = load.held_out_tokens = bench->config.batch_tokens;
	return bench->ctx.status == RN_OK &&
		rn_trainer_create(&bench->ctx, &given, &bench->trainer) == RN_OK &&
		rn_trainer_reserve(&bench->ctx, bench->trainer, &load) == RN_OK &&
		rn_trainer_initialize(&bench->ctx, bench->trainer) == RN_OK &&
		rn_batch_reader_create(&bench->ctx, bench->corpus, &batches, &bench->reader) == RN_OK;
}

void
close_bench(Bench *bench)
{
	rn_trainer_free(bench->trainer);
	rn_batch_reader_free(bench->reader);
	rn_threads_free(bench->threads);
	rn_model_free(bench->model);
	rn_corpus_free(bench->corpus);
	close(bench->spill.fd);
}
