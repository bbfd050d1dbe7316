/*
 * train_validate.c
 *		How good the weights are: loss of the held-out part, and BLEU of what
 *		they make of its sources.
 *
 * src/engine/train_validate.c
 */
#include "engine/job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "score/bleu.h"

/* Sentences that the threads translate: thread t those of number t, t + threads, ... */
typedef struct Translating
{
	RnJob	   *job;
	RnContext  *failures;		/* [threads] */
	RnTranslation *results;		/* [sentences] in the order of the sentences */
} Translating;

RnSearchOptions
rn_job_search_options(const RnJob *job)
{
	RnSearchOptions options;

	rn_search_defaults(&options);
	options.beam = job->config.validation_beam;
	options.max_length_factor = job->config.length_factor;
	return options;
}

RnText *
rn_job_sentences_of(RnContext *ctx, const RnJob *job, int thread, int n_threads, int *n)
{
	RnText	   *texts;
	int			i;

	*n = (job->n_sentences - thread + n_threads - 1) / n_threads;
	texts = calloc((size_t) *n + 1, sizeof(RnText));
	if (texts == NULL)
	{
		rn_out_of_memory(ctx, (size_t) *n * sizeof(RnText));
		return NULL;
	}
	for (i = 0; i < *n; i++)
		texts[i] = job->sentences[i * n_threads + thread].source;
	return texts;
}

static RnStatus
translate_share(RnContext *ctx, Translating *work, int thread, int n_threads)
{
	RnJob	   *job = work->job;
	RnTranslator *translator = job->translators[thread];
	RnSearchOptions options = rn_job_search_options(job);
	RnTranslation *results;
	int			n;
	RnText	   *texts = rn_job_sentences_of(ctx, job, thread, n_threads, &n);
	int			i;

	if (texts == NULL)
		return ctx->status;
	results = calloc((size_t) n + 1, sizeof(RnTranslation));
	if (results == NULL)
		rn_out_of_memory(ctx, (size_t) n * sizeof(RnTranslation));
	else
	{
		rn_translator_values(translator, rn_trainer_weights(job->trainer));
		rn_translate(ctx, translator, &options, n, texts, NULL, results, job->stop);
		for (i = 0; i < n; i++)
			work->results[i * n_threads + thread] = results[i];
	}
	free(texts);
	free(results);
	return ctx->status;
}

static void
translate_work(void *arg, int thread, int n_threads)
{
	Translating *work = arg;

	if (thread < work->job->n_sentences)
		translate_share(&work->failures[thread], work, thread, n_threads);
}

static RnStatus
score_translations(RnContext *ctx, const Translating *work, double *bleu)
{
	const RnJob *job = work->job;
	RnBleu		counts;
	int			i;

	rn_bleu_init(&counts);
	for (i = 0; i < job->n_sentences; i++)
	{
		const char *text = work->results[i].text ? work->results[i].text : "";

		RN_TRY(rn_bleu_add(ctx, &counts, text, strlen(text), job->sentences[i].target.bytes,
						   job->sentences[i].target.size));
	}
	*bleu = rn_bleu_score(&counts);
	return RN_OK;
}

static RnStatus
translate_sentences(RnContext *ctx, RnJob *job, double *bleu)
{
	int			threads = rn_threads_count(job->threads);
	Translating work;
	int			i;

	memset(&work, 0, sizeof(work));
	work.job = job;
	work.failures = calloc((size_t) threads, sizeof(RnContext));
	work.results = calloc((size_t) job->n_sentences, sizeof(RnTranslation));
	if (work.failures == NULL || work.results == NULL)
		rn_out_of_memory(ctx, (size_t) job->n_sentences * sizeof(RnTranslation));
	else
	{
		rn_threads_run(job->threads, translate_work, &work);
		for (i = 0; i < threads && ctx->status == RN_OK; i++)
			if (work.failures[i].status != RN_OK)
				*ctx = work.failures[i];
		if (ctx->status == RN_OK)
			score_translations(ctx, &work, bleu);
		for (i = 0; i < job->n_sentences; i++)
			rn_translations_free(&work.results[i], 1);
	}
	free(work.failures);
	free(work.results);
	return ctx->status;
}

RnStatus
rn_job_validate(RnContext *ctx, RnJob *job, RnScores *scores)
{
	scores->loss = scores->nll = scores->bleu = NAN;
	if (job->held_out_reader == NULL)
		return RN_OK;
	RN_TRY(rn_trainer_evaluate(ctx, job->trainer, job->held_out_reader, &scores->loss, &scores->nll));
	return job->n_sentences > 0 ? translate_sentences(ctx, job, &scores->bleu) : RN_OK;
}

int
rn_job_better(const RnJob *job, double loss_a, double bleu_a, double loss_b, double bleu_b)
{
	double		a = job->config.metric == 0 ? -loss_a : bleu_a;
	double		b = job->config.metric == 0 ? -loss_b : bleu_b;

	return !isnan(a) && (isnan(b) || a > b);
}
