/*
 * compute.c
 *		The threads of a serving engine that translate.
 *
 * A batch may hold texts of several clients.  When it fails it is halved and
 * tried again, so that the error reaches only those whose text is the cause.
 *
 * src/engine/compute.c
 */
#include "engine/compute.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/threads.h"

typedef struct Thread
{
	RnQueue    *queue;
	int			number;
	pthread_t	handle;
	RnBatch		batch;
	RnText	   *texts;			/* [batch.capacity] */
	RnText	   *targets;
	const RnTerms **terms;
	RnTranslation *translations;	/* [batch.capacity * RN_BEAM_MAX] */
	double	   *log_probabilities;	/* [batch.capacity] */
	int		   *tokens;
} Thread;

struct RnCompute
{
	int			n;				/* threads that were started */
	int			room;			/* of threads */
	Thread	   *threads;
};

static RnStatus
get_translator(RnContext *ctx, Thread *thread, RnTranslator **translator)
{
	RnServedModel *model = thread->batch.model;
	RnTranslator **slot = &model->translators[thread->number];

	if (*slot == NULL)
		RN_TRY(rn_translator_create(ctx, model->model, model->values, model->tokenizer, model->kernels, slot));
	rn_translator_use(*slot, model->weights[thread->batch.options.precision].prepared);
	rn_translator_restrict(*slot, model->shortlist);
	*translator = *slot;
	return RN_OK;
}

static RnStatus
translate(RnContext *ctx, Thread *thread, RnTranslator *translator, int first, int n, uint64_t *tokens)
{
	RnBatch    *batch = &thread->batch;
	int			n_best = batch->options.n_best;
	int			i,
				j;

	RN_TRY(rn_translate(ctx, translator, &batch->options, n, thread->texts + first, thread->terms + first,
						thread->translations, &batch->stop));
	for (i = 0; i < n; i++)
	{
		RnRequest  *request = batch->requests[first + i];

		memcpy(request->translations + (size_t) batch->items[first + i] * n_best,
			   thread->translations + (size_t) i * n_best, n_best * sizeof(RnTranslation));
		for (j = 0; j < n_best; j++)
			*tokens += thread->translations[(size_t) i * n_best + j].tokens;
	}
	return RN_OK;
}

static RnStatus
score(RnContext *ctx, Thread *thread, RnTranslator *translator, int first, int n, uint64_t *tokens)
{
	RnBatch    *batch = &thread->batch;
	int			i;

	RN_TRY(rn_translator_score(ctx, translator, n, thread->texts + first, thread->targets + first,
							   thread->log_probabilities, thread->tokens, &batch->stop));
	for (i = 0; i < n; i++)
	{
		batch->requests[first + i]->log_probabilities[batch->items[first + i]] = thread->log_probabilities[i];
		batch->requests[first + i]->tokens[batch->items[first + i]] = thread->tokens[i];
		*tokens += thread->tokens[i];
	}
	return RN_OK;
}

static RnStatus
align(RnContext *ctx, Thread *thread, RnTranslator *translator, int first, int n)
{
	RnBatch    *batch = &thread->batch;
	int			i;

	for (i = first; i < first + n; i++)
	{
		RnAlignment *alignment = &batch->requests[i]->alignments[batch->items[i]];

		rn_alignment_free(alignment);
		RN_TRY(rn_translator_align(ctx, translator, 1, &thread->texts[i], &thread->targets[i], alignment, &batch->stop));
	}
	return RN_OK;
}

static RnStatus
embed(RnContext *ctx, Thread *thread, RnTranslator *translator, int first, int n)
{
	RnBatch    *batch = &thread->batch;
	size_t		width = batch->model->config.d_model;
	float	   *embeddings = malloc(n * width * sizeof(float));
	RnStatus	status;
	int			i;

	if (embeddings == NULL)
		return rn_out_of_memory(ctx, n * width * sizeof(float));
	status = rn_translator_embed(ctx, translator, n, thread->texts + first, embeddings, &batch->stop);
	for (i = 0; status == RN_OK && i < n; i++)
		memcpy(batch->requests[first + i]->embeddings + batch->items[first + i] * width, embeddings + i * width,
			   width * sizeof(float));
	free(embeddings);
	return status;
}

static RnStatus
tokenize(RnContext *ctx, Thread *thread, int first, int n)
{
	RnBatch    *batch = &thread->batch;
	int			cut;
	int			i;

	for (i = first; i < first + n; i++)
	{
		RnPieces   *pieces = &batch->requests[i]->pieces[batch->items[i]];

		free(pieces->ids);
		pieces->ids = NULL;
		RN_TRY(rn_tokenizer_encode(ctx, batch->model->tokenizer, thread->texts[i], RN_FRAME_MAX, &pieces->ids,
								   &pieces->n, &cut));
	}
	return RN_OK;
}

/* The pieces of a set, by rising id. */
static RnStatus
read_set(RnContext *ctx, const uint64_t *set, int vocabulary, RnPieces *pieces)
{
	int			id;

	free(pieces->ids);
	pieces->n = 0;
	pieces->ids = malloc(vocabulary * sizeof(int32_t));
	if (pieces->ids == NULL)
		return rn_out_of_memory(ctx, vocabulary * sizeof(int32_t));
	for (id = 0; id < vocabulary; id++)
	{
		if (set[id / 64] >> id % 64 & 1)
			pieces->ids[pieces->n++] = id;
	}
	return RN_OK;
}

/* What a text's translation may be made of. */
static RnStatus
list_pieces(RnContext *ctx, const RnServedModel *model, RnText text, RnPieces *pieces)
{
	uint64_t   *set = calloc(rn_id_set_words(model->config.vocab_size), sizeof(uint64_t));
	int32_t    *ids = NULL;
	int			n;
	int			cut;

	if (set == NULL)
		return rn_out_of_memory(ctx, model->config.vocab_size / 8);
	if (rn_tokenizer_encode(ctx, model->tokenizer, text, model->config.max_length - 1, &ids, &n, &cut) == RN_OK)
	{
		rn_shortlist_add(model->shortlist, ids, n, set);
		read_set(ctx, set, model->config.vocab_size, pieces);
	}
	free(ids);
	free(set);
	return ctx->status;
}

static RnStatus
shortlist(RnContext *ctx, Thread *thread, int first, int n)
{
	RnBatch    *batch = &thread->batch;
	int			i;

	if (batch->model->shortlist == NULL)
	{
		rn_fail(ctx, RN_NO_DATA, "model has no shortlist");
		rn_hint(ctx, "residual_make_shortlist() makes one.");
		return ctx->status;
	}
	for (i = first; i < first + n; i++)
		RN_TRY(list_pieces(ctx, batch->model, thread->texts[i], &batch->requests[i]->pieces[batch->items[i]]));
	return RN_OK;
}

/* All texts of a request are pieces of one. */
static RnStatus
detokenize(RnContext *ctx, RnRequest *request)
{
	const RnTokenizer *tokenizer = request->model->tokenizer;
	int32_t    *ids = malloc((request->n ? request->n : 1) * sizeof(int32_t));
	RnStatus	status = RN_OK;
	int			i;

	if (ids == NULL)
		return rn_out_of_memory(ctx, request->n * sizeof(int32_t));
	for (i = 0; status == RN_OK && i < request->n; i++)
	{
		char	   *piece = strndup(request->texts[i].bytes, request->texts[i].size);

		if (piece == NULL)
			status = rn_out_of_memory(ctx, request->texts[i].size);
		else
			ids[i] = rn_tokenizer_id(tokenizer, piece);
		free(piece);
	}
	free(request->text);
	request->text = NULL;
	if (status == RN_OK)
		status = rn_tokenizer_decode(ctx, tokenizer, ids, request->n, &request->text);
	free(ids);
	return status;
}

static RnStatus
run_items(RnContext *ctx, Thread *thread, int first, int n, uint64_t *tokens)
{
	RnTranslator *translator;

	switch (thread->batch.task)
	{
		case RN_TASK_TRANSLATE:
			RN_TRY(get_translator(ctx, thread, &translator));
			return translate(ctx, thread, translator, first, n, tokens);
		case RN_TASK_SCORE:
			RN_TRY(get_translator(ctx, thread, &translator));
			return score(ctx, thread, translator, first, n, tokens);
		case RN_TASK_EMBED:
			RN_TRY(get_translator(ctx, thread, &translator));
			return embed(ctx, thread, translator, first, n);
		case RN_TASK_ALIGN:
			RN_TRY(get_translator(ctx, thread, &translator));
			return align(ctx, thread, translator, first, n);
		case RN_TASK_TOKENIZE:
			return tokenize(ctx, thread, first, n);
		case RN_TASK_SHORTLIST:
			return shortlist(ctx, thread, first, n);
		case RN_TASK_DETOKENIZE:
			for (; n > 0; first++, n--)
				RN_TRY(detokenize(ctx, thread->batch.requests[first]));
			return RN_OK;
	}
	return RN_OK;
}

/*
 * A GPU's fault stays with the process that has met it: a fresh one will be
 * started, and the sessions ask it again.
 */
static void
end_process(const RnContext *ctx)
{
	fprintf(stderr, "%s %s\n", ctx->message, ctx->detail);
	_exit(1);
}

static void
run_halving(Thread *thread, int first, int n, uint64_t *tokens)
{
	RnContext	ctx;
	int			half = n / 2;

	rn_context_reset(&ctx);
	if (run_items(&ctx, thread, first, n, tokens) == RN_OK)
		return;
	if (ctx.status == RN_DEVICE)
		end_process(&ctx);
	if (n == 1 || ctx.status == RN_CANCELLED)
	{
		for (; n > 0; first++, n--)
			rn_queue_fail(thread->queue, thread->batch.requests[first], &ctx);
		return;
	}
	run_halving(thread, first, half, tokens);
	run_halving(thread, first + half, n - half, tokens);
}

static void
run_batch(Thread *thread)
{
	RnBatch    *batch = &thread->batch;
	uint64_t	tokens = 0;
	int			i;

	for (i = 0; batch->task != RN_TASK_DETOKENIZE && i < batch->n; i++)
	{
		thread->texts[i] = batch->requests[i]->texts[batch->items[i]];
		thread->terms[i] = &batch->requests[i]->terms;
		if (batch->requests[i]->targets != NULL)
			thread->targets[i] = batch->requests[i]->targets[batch->items[i]];
	}
	run_halving(thread, 0, batch->n, &tokens);
	if (batch->model->translators[thread->number] != NULL)
		__atomic_store_n(&batch->model->translator_bytes[thread->number],
						 rn_translator_bytes(batch->model->translators[thread->number]), __ATOMIC_RELAXED);
	rn_queue_finish(thread->queue, thread->number, batch, tokens);
}

static void *
thread_main(void *arg)
{
	Thread	   *thread = arg;

	rn_threads_flush_denormals();
	while (rn_queue_take(thread->queue, thread->number, &thread->batch))
	{
		RnBuild    *build = thread->batch.build;

		if (build == NULL)
			run_batch(thread);
		else
		{
			if (build->precision < 0)
				rn_store_build(&build->error, build->model);
			else
				rn_store_build_weights(&build->error, build->model, (RnPrecision) build->precision, &build->prepared);
			rn_queue_finish_build(thread->queue, build);
		}
	}
	return NULL;
}

static RnStatus
allocate_thread(RnContext *ctx, Thread *thread)
{
	RnBatch    *batch = &thread->batch;
	size_t		n = RN_BATCH_ROWS;

	batch->capacity = RN_BATCH_ROWS;
	batch->requests = malloc(n * sizeof(RnRequest *));
	batch->items = malloc(n * sizeof(int));
	thread->texts = malloc(n * sizeof(RnText));
	thread->targets = malloc(n * sizeof(RnText));
	thread->terms = malloc(n * sizeof(RnTerms *));
	/* as many answers as hypotheses at most, or those of a single text */
	thread->translations = malloc((n > RN_BEAM_MAX ? n : RN_BEAM_MAX) * sizeof(RnTranslation));
	thread->log_probabilities = malloc(n * sizeof(double));
	thread->tokens = malloc(n * sizeof(int));
	if (!batch->requests || !batch->items || !thread->texts || !thread->targets || !thread->terms ||
		!thread->translations || !thread->log_probabilities || !thread->tokens)
		return rn_out_of_memory(ctx, n * sizeof(RnTranslation));
	return RN_OK;
}

static void
free_threads(RnCompute *compute)
{
	int			i;

	for (i = 0; i < compute->room; i++)
	{
		Thread	   *thread = &compute->threads[i];

		free(thread->batch.requests);
		free(thread->batch.items);
		free(thread->texts);
		free(thread->targets);
		free(thread->terms);
		free(thread->translations);
		free(thread->log_probabilities);
		free(thread->tokens);
	}
	free(compute->threads);
	free(compute);
}

static RnStatus
start_threads(RnContext *ctx, RnCompute *compute, RnQueue *queue)
{
	sigset_t	all;
	sigset_t	before;
	int			error = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (compute->n < compute->room && error == 0)
	{
		Thread	   *thread = &compute->threads[compute->n];

		thread->queue = queue;
		thread->number = compute->n;
		error = pthread_create(&thread->handle, NULL, thread_main, thread);
		compute->n += error == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		return rn_fail(ctx, RN_NO_MEMORY, "could not start thread %d of the serving engine: %s", compute->n,
					   strerror(error));
	return RN_OK;
}

RnStatus
rn_compute_start(RnContext *ctx, RnQueue *queue, RnCompute **result)
{
	RnCompute  *compute = calloc(1, sizeof(*compute));
	RnStatus	status = RN_OK;
	int			i;

	*result = NULL;
	if (compute == NULL || (compute->threads = calloc(queue->threads, sizeof(Thread))) == NULL)
	{
		free(compute);
		return rn_out_of_memory(ctx, queue->threads * sizeof(Thread));
	}
	compute->room = queue->threads;
	for (i = 0; i < compute->room && status == RN_OK; i++)
		status = allocate_thread(ctx, &compute->threads[i]);
	if (status == RN_OK)
		status = start_threads(ctx, compute, queue);
	if (status != RN_OK)
	{
		rn_queue_stop(queue);
		rn_compute_end(compute, 10);
		return status;
	}
	*result = compute;
	return RN_OK;
}

int
rn_compute_end(RnCompute *compute, double seconds)
{
	struct timespec until;
	int			i;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += (time_t) seconds;
	until.tv_nsec += (long) ((seconds - (time_t) seconds) * 1e9);
	if (until.tv_nsec >= 1000000000L)
	{
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	for (i = 0; i < compute->n; i++)
	{
		if (pthread_timedjoin_np(compute->threads[i].handle, NULL, &until) != 0)
			return 0;
	}
	free_threads(compute);
	return 1;
}
