/*
 * diagnosis.c
 *		A diagnostic question, in a process of its own, from rows to the answer.
 *
 * One thread computes, so that the batch is one pass and numbers are the same
 * on every machine.
 *
 * src/engine/diagnosis.c
 */
#include "engine/diagnosis.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/device.h"

static const RnSpecialIds special = {RN_PAD_ID, RN_START_ID, RN_END_ID};

RnStatus
rn_diagnosis_init(RnContext *ctx, RnDiagnosis *diagnosis, RnPeer *peer, volatile sig_atomic_t *stop)
{
	memset(diagnosis, 0, sizeof(*diagnosis));
	diagnosis->peer = peer;
	diagnosis->stop = stop;
	diagnosis->kernels = rn_cpu_kernels();
	return diagnosis->kernels->lane_create(ctx, &diagnosis->lane);
}

void
rn_diagnosis_free(RnDiagnosis *diagnosis)
{
	size_t		bytes = diagnosis->model == NULL ? 0 : rn_model_params(diagnosis->model)->size * sizeof(rn_real);
	int			i;

	rn_probe_free(diagnosis->probe);
	rn_packer_free(diagnosis->packer);
	for (i = 0; i < diagnosis->n_batch; i++)
	{
		free((int32_t *) diagnosis->pairs[i].source);
		free((int32_t *) diagnosis->pairs[i].target);
	}
	free(diagnosis->pairs);
	for (i = 0; i < 2 * diagnosis->n_pairs; i++)
		free((char *) diagnosis->texts[i].bytes);
	free(diagnosis->texts);
	if (diagnosis->values != NULL)
		diagnosis->kernels->release(diagnosis->values, bytes);
	rn_model_free(diagnosis->model);
	rn_tokenizer_free(diagnosis->learned);
	rn_load_end(&diagnosis->load);
	rn_store_free(&diagnosis->store);
	if (diagnosis->lane != NULL)
		diagnosis->kernels->lane_free(diagnosis->lane);
}

/* ---- the tokenizer ---- */

typedef struct Texts
{
	const RnDiagnosis *diagnosis;
	int			next;
} Texts;

/* RnNextText */
static int
next_text(void *arg, RnText *text)
{
	Texts	   *texts = arg;

	if (texts->next == 2 * texts->diagnosis->n_pairs)
		return 0;
	*text = texts->diagnosis->texts[texts->next++];
	return 1;
}

static RnStatus
learn(RnContext *ctx, RnDiagnosis *diagnosis)
{
	const RnConfig *config = &diagnosis->config;
	RnTokenizerOptions options;
	Texts		texts = {diagnosis, 0};
	char	   *bytes;
	size_t		size;

	memset(&options, 0, sizeof(options));
	options.vocab_size = config->vocab_size;
	options.shrink = !config->vocab_size_given;
	options.bpe = config->tokenizer;
	options.lowercase = config->lowercase;
	options.threads = 1;
	options.seed = (uint64_t) config->seed;
	RN_TRY(rn_tokenizer_learn(ctx, &options, next_text, &texts, &bytes, &size));
	rn_tokenizer_load(ctx, bytes, size, &diagnosis->learned);
	free(bytes);
	return ctx->status;
}

RnStatus
rn_diagnosis_tokenizer(RnContext *ctx, RnDiagnosis *diagnosis, const RnTokenizer **tokenizer)
{
	if (diagnosis->use == RN_USE_NOTHING && diagnosis->learned == NULL)
		RN_TRY(learn(ctx, diagnosis));
	*tokenizer = diagnosis->use == RN_USE_NOTHING ? diagnosis->learned : diagnosis->sent->tokenizer;
	return RN_OK;
}

/* ---- the batch ---- */

static RnStatus
no_pairs(RnContext *ctx, const RnDiagnosis *diagnosis)
{
	rn_fail(ctx, RN_NO_DATA, "there is no sentence pair to look at");
	rn_detail(ctx, "%lld rows have an empty side, %lld have more than %d pieces.", (long long) diagnosis->rows_empty,
			  (long long) diagnosis->rows_long, diagnosis->config.max_length);
	if (diagnosis->rows_long == 0)
		rn_hint(ctx, "Row-level security may hide rows.");
	else
		rn_hint(ctx, "Raise max_length.");
	return ctx->status;
}

/* Encode one pair and, where it fits, add it to the batch. */
static RnStatus
encode_pair(RnContext *ctx, RnDiagnosis *diagnosis, const RnTokenizer *tokenizer, const RnText *texts, RnBatch *batch)
{
	int			longest = diagnosis->config.max_length - 1;
	int32_t    *ids[2] = {NULL, NULL};
	int			n[2];
	int			cut[2];
	RnPair	   *pair = &diagnosis->pairs[diagnosis->n_batch];
	int			fits;

	if (rn_tokenizer_encode(ctx, tokenizer, texts[0], longest, &ids[0], &n[0], &cut[0]) == RN_OK)
		rn_tokenizer_encode(ctx, tokenizer, texts[1], longest, &ids[1], &n[1], &cut[1]);
	fits = ctx->status == RN_OK && n[0] > 0 && n[1] > 0 && !cut[0] && !cut[1];
	if (!fits)
	{
		if (ctx->status == RN_OK && (n[0] == 0 || n[1] == 0))
			diagnosis->rows_empty++;
		else
			diagnosis->rows_long++;
		free(ids[0]);
		free(ids[1]);
		return ctx->status;
	}
	pair->source = ids[0];
	pair->target = ids[1];
	pair->n_source = n[0];
	pair->n_target = n[1];
	diagnosis->n_batch++;
	batch->source_tokens += n[0] + 1;
	batch->target_tokens += n[1] + 1;
	return RN_OK;
}

/* The first rows that fill a batch, in the order in which they came. */
static RnStatus
make_batch(RnContext *ctx, RnDiagnosis *diagnosis)
{
	const RnTokenizer *tokenizer;
	RnBatch		batch;
	int			i;

	if (diagnosis->n_pairs == 0)
		return no_pairs(ctx, diagnosis);
	RN_TRY(rn_diagnosis_tokenizer(ctx, diagnosis, &tokenizer));
	diagnosis->config.vocab_size = rn_tokenizer_vocab_size(tokenizer);
	memset(&batch, 0, sizeof(batch));
	diagnosis->pairs = calloc((size_t) diagnosis->n_pairs, sizeof(RnPair));
	if (diagnosis->pairs == NULL)
		return rn_out_of_memory(ctx, (size_t) diagnosis->n_pairs * sizeof(RnPair));
	for (i = 0; i < diagnosis->n_pairs && batch.target_tokens < diagnosis->config.batch_tokens; i++)
		RN_TRY(encode_pair(ctx, diagnosis, tokenizer, &diagnosis->texts[2 * i], &batch));
	if (diagnosis->n_batch == 0)
		return no_pairs(ctx, diagnosis);
	batch.pairs = diagnosis->pairs;
	batch.n_pairs = diagnosis->n_batch;
	RN_TRY(rn_packer_create(ctx, &diagnosis->packer));
	return rn_packer_pack(ctx, diagnosis->packer, &batch, &special, 0, 1, &diagnosis->batch);
}

/* ---- the model ---- */

/* Weights and gradients, here and on the device; what the pass may take is the rest. */
static RnStatus
check_memory(RnContext *ctx, const RnDiagnosis *diagnosis, size_t *left)
{
	size_t		fixed = 4 * rn_model_params(diagnosis->model)->size * sizeof(rn_real);

	*left = 0;
	if (diagnosis->memory_limit == 0)
		return RN_OK;
	if (fixed < diagnosis->memory_limit)
	{
		*left = diagnosis->memory_limit - fixed;
		return RN_OK;
	}
	rn_fail(ctx, RN_LIMIT, "the diagnostic needs more memory than is allowed");
	rn_detail(ctx, "Weights and gradients take %zu kB; %zu kB are allowed.", fixed >> 10, diagnosis->memory_limit >> 10);
	rn_hint(ctx, "Raise residual.training_memory, or lower d_model, d_ffn, vocab_size or the layers.");
	return ctx->status;
}

/* Initial weights, and what some schemes make of the first batch. */
static RnStatus
initialize(RnContext *ctx, RnDiagnosis *diagnosis)
{
	int			n_set;
	const RnKernels *kernels = diagnosis->kernels;
	size_t		bytes = rn_model_params(diagnosis->model)->size * sizeof(rn_real);
	rn_real    *host = calloc(1, bytes);

	if (host == NULL)
		return rn_out_of_memory(ctx, bytes);
	rn_model_initialize(diagnosis->model, (uint64_t) diagnosis->config.seed, host);
	if (kernels->allocate(ctx, bytes, (void **) &diagnosis->values) == RN_OK)
	{
		kernels->copy_in(diagnosis->lane, diagnosis->values, host, bytes);
		kernels->synchronize(ctx, diagnosis->lane);
	}
	free(host);
	RN_TRY(ctx->status);
	return rn_model_profile(ctx, diagnosis->model, kernels, diagnosis->lane, &diagnosis->batch, diagnosis->values, &n_set);
}

static RnStatus
make_probe(RnContext *ctx, RnDiagnosis *diagnosis)
{
	const rn_real *values;
	size_t		left;

	RN_TRY(make_batch(ctx, diagnosis));
	RN_TRY(rn_model_create(ctx, &diagnosis->config, &special, diagnosis->config.max_length, &diagnosis->model));
	RN_TRY(check_memory(ctx, diagnosis, &left));
	if (diagnosis->use != RN_USE_MODEL)
		RN_TRY(initialize(ctx, diagnosis));
	else if (rn_model_params(diagnosis->model)->size != rn_model_params(diagnosis->sent->model)->size)
		return rn_fail(ctx, RN_MISMATCH, "options of the diagnostic are not those of the model that was sent");
	values = diagnosis->use == RN_USE_MODEL ? diagnosis->sent->values : diagnosis->values;
	RN_TRY(rn_probe_create(ctx, diagnosis->model, diagnosis->kernels, diagnosis->lane, values, &diagnosis->batch,
						   &diagnosis->probe));
	rn_graph_limit(diagnosis->probe->graph, left);
	return rn_probe_run(ctx, diagnosis->probe, (const volatile int *) diagnosis->stop);
}

/* A pass that was refused its memory has a reason that the user can do something about. */
static void
explain_limit(RnContext *ctx, const RnDiagnosis *diagnosis)
{
	size_t		needed;

	if (ctx->status != RN_NO_MEMORY || diagnosis->memory_limit == 0 || diagnosis->probe == NULL)
		return;
	needed = rn_graph_memory(diagnosis->probe->graph) + 4 * rn_model_params(diagnosis->model)->size * sizeof(rn_real);
	if (needed <= diagnosis->memory_limit)
		return;
	rn_context_reset(ctx);
	rn_fail(ctx, RN_LIMIT, "the diagnostic needs more memory than is allowed");
	rn_detail(ctx, "Weights, gradients and the pass take %zu kB; %zu kB are allowed.", needed >> 10, diagnosis->memory_limit >> 10);
	rn_hint(ctx, "Raise residual.training_memory, or lower batch_tokens, d_model or the layers.");
}

/* ---- the whole ---- */

static RnStatus
answer(RnContext *ctx, RnDiagnosis *diagnosis)
{
	RnTable		table;

	if (diagnosis->question->needs_rows && make_probe(ctx, diagnosis) != RN_OK)
	{
		explain_limit(ctx, diagnosis);
		return ctx->status;
	}
	rn_table_begin(ctx, &table, diagnosis->peer, diagnosis->question->columns);
	if (diagnosis->question->answer(ctx, diagnosis, &table) == RN_OK)
		return rn_table_end(&table);
	rn_table_free(&table);
	return ctx->status;
}

RnStatus
rn_diagnosis(RnContext *ctx, RnPeer *peer, const RnFrame *first, volatile sig_atomic_t *stop)
{
	RnDiagnosis diagnosis;

	if (rn_diagnosis_init(ctx, &diagnosis, peer, stop) == RN_OK &&
		rn_diagnosis_receive(ctx, &diagnosis, first) == RN_OK &&
		rn_control_start(ctx, peer, stop, &diagnosis.control) == RN_OK &&
		answer(ctx, &diagnosis) != RN_OK)
		rn_peer_send_error(peer, 0, ctx);
	rn_diagnosis_free(&diagnosis);
	while (diagnosis.control != NULL)
		pause();				/* the control thread ends the process when the peer hangs up */
	return ctx->status;
}
