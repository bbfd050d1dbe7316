/*
 * train_memory.c
 *		What a job takes in memory, known and taken before its first step.
 *
 * src/engine/train_memory.c
 */
#include "engine/job.h"

#include <stdlib.h>
#include <string.h>

/* Of one thread, and its sentences. */
static RnStatus
make_translator(RnContext *ctx, RnJob *job, int thread, int n_threads, RnTranslatorNeed *need)
{
	RnSearchOptions options = rn_job_search_options(job);
	RnText	   *texts;
	int			n;

	RN_TRY(rn_translator_create(ctx, job->model, rn_trainer_weights(job->trainer), job->tokenizer, job->kernels,
								&job->translators[thread]));
	texts = rn_job_sentences_of(ctx, job, thread, n_threads, &n);
	RN_TRY(ctx->status);
	if (n > 0)
		rn_translator_measure(ctx, job->translators[thread], &options, n, texts, need);
	free(texts);
	return ctx->status;
}

/* Translators for validations, which are kept as long as the job lasts, and what each of them takes. */
static RnStatus
make_translators(RnContext *ctx, RnJob *job, RnTranslatorNeed *need)
{
	int			n_threads = rn_threads_count(job->threads);
	int			i;

	job->translators = calloc((size_t) n_threads, sizeof(RnTranslator *));
	if (job->translators == NULL)
		return rn_out_of_memory(ctx, (size_t) n_threads * sizeof(RnTranslator *));
	for (i = 0; i < n_threads; i++)
		RN_TRY(make_translator(ctx, job, i, n_threads, need));
	return RN_OK;
}

void
rn_job_free_translators(RnJob *job)
{
	int			i;

	for (i = 0; job->translators != NULL && i < rn_threads_count(job->threads); i++)
		rn_translator_free(job->translators[i]);
	free(job->translators);
	job->translators = NULL;
}

RnStatus
rn_job_reserve(RnContext *ctx, RnJob *job)
{
	int			n_threads = rn_threads_count(job->threads);
	RnTranslatorNeed need;
	RnTrainerLoad load;
	int			i;

	memset(&need, 0, sizeof(need));
	memset(&load, 0, sizeof(load));
	load.training = job->training;
	load.batch_tokens = job->config.batch_tokens;
	if (job->held_out_reader != NULL)
	{
		load.held_out = job->held_out;
		load.held_out_tokens = RN_EVALUATE_TOKENS;
	}
	if (job->n_sentences > 0)
	{
		RN_TRY(make_translators(ctx, job, &need));
		load.beside = (size_t) n_threads * rn_translator_need_bytes(job->translators[0], &need);
	}
	RN_TRY(rn_trainer_reserve(ctx, job->trainer, &load));
	for (i = 0; job->translators != NULL && i < n_threads; i++)
		RN_TRY(rn_translator_reserve(ctx, job->translators[i], &need));
	return RN_OK;
}
