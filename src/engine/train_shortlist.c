/*
 * train_shortlist.c
 *		A shortlist out of the pairs that a model was trained on.
 *
 * src/engine/train_shortlist.c
 */
#include "engine/job.h"

#include <stdlib.h>

#include "engine/shortlist_answer.h"

/* Of a corpus with more target pieces, every second block is looked at, or every third, ... */
#define MOST_TARGET_IDS	((uint64_t) 64 * 1024 * 1024)

typedef struct Reading
{
	RnJob	   *job;
	int			every;
	RnPair	   *pairs;			/* of a block */
	int32_t    *ids;
} Reading;

/* RnLexiconPass */
static RnStatus
each_pair(RnContext *ctx, void *arg, RnLexiconSink sink, void *sink_arg)
{
	Reading    *reading = arg;
	RnCorpus   *corpus = reading->job->training;
	int			number;
	uint32_t	i;

	for (number = 0; number < rn_corpus_blocks(corpus); number += reading->every)
	{
		if (*reading->job->stop)
			return rn_fail(ctx, RN_CANCELLED, "training was stopped");
		RN_TRY(rn_corpus_read_block(ctx, corpus, number, reading->pairs, reading->ids));
		for (i = 0; i < rn_corpus_block(corpus, number)->pairs; i++)
		{
			const RnPair *pair = &reading->pairs[i];

			sink(sink_arg, pair->source, pair->n_source, pair->target, pair->n_target);
		}
	}
	return RN_OK;
}

static RnStatus
begin_reading(RnContext *ctx, RnJob *job, Reading *reading)
{
	size_t		pairs = 1;
	size_t		ids = 1;
	int			number;

	reading->job = job;
	reading->every = 1 + (int) (rn_corpus_target_tokens(job->training) / MOST_TARGET_IDS);
	for (number = 0; number < rn_corpus_blocks(job->training); number++)
	{
		const RnCorpusBlock *block = rn_corpus_block(job->training, number);

		pairs = block->pairs > pairs ? block->pairs : pairs;
		ids = block->source_ids + block->target_ids > ids ? block->source_ids + block->target_ids : ids;
	}
	reading->pairs = malloc(pairs * sizeof(RnPair));
	reading->ids = malloc(ids * sizeof(int32_t));
	if (reading->pairs == NULL || reading->ids == NULL)
		return rn_out_of_memory(ctx, pairs * sizeof(RnPair) + ids * sizeof(int32_t));
	return RN_OK;
}

RnStatus
rn_job_make_shortlist(RnContext *ctx, RnJob *job)
{
	Reading		reading = {NULL, 0, NULL, NULL};

	if (!job->config.shortlist)
		return RN_OK;
	RN_TRY(rn_report_phase(ctx, job, "shortlist"));
	if (begin_reading(ctx, job, &reading) == RN_OK)
		rn_make_shortlist(ctx, &job->config, RN_LEXICON_MEMORY, each_pair, &reading, &job->shortlist);
	free(reading.pairs);
	free(reading.ids);
	return ctx->status;
}
