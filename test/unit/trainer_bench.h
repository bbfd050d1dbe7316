/*
 * trainer_bench.h
 *		A trainer of a tiny model over made-up pairs, with all that it stands
 *		on.
 *
 * test/unit/trainer_bench.h
 */
#ifndef RN_TRAINER_BENCH_H
#define RN_TRAINER_BENCH_H

#include "train/trainer.h"

#define BENCH_VOCABULARY	40
#define BENCH_TOKENS		3000	/* of a batch: more than one shard a thread */

static const RnSpecialIds bench_special = {0, 1, 2};

/* All that a trainer stands on. */
typedef struct Bench
{
	RnContext	ctx;
	RnConfig	config;
	RnSpill		spill;
	RnCorpus   *corpus;
	RnModel    *model;
	RnThreads  *threads;
	RnTrainer  *trainer;
	RnBatchReader *reader;
	volatile sig_atomic_t stop;
} Bench;

/* options: key, value, ..., NULL.  0 when that failed: ctx says why; it is to be closed all the same. */
extern int	open_bench(Bench *bench, const RnKernels *kernels, int threads, const char *const *options);

/* The same with so much memory. */
extern int	open_limited_bench(Bench *bench, const RnKernels *kernels, int threads, const char *const *options,
							   size_t memory_limit);
extern void close_bench(Bench *bench);

#endif							/* RN_TRAINER_BENCH_H */
