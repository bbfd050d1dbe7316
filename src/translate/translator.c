/*
 * translator.c
 *		Texts in, texts out.
 *
 * Texts are cut into pieces first, then packed into batches, like lengths
 * together: so the hypotheses of a batch end at about the same step, and the
 * products stay large to the end.
 *
 * src/translate/translator.c
 */
#include "translate/translator.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* Keys and values of the answers of a batch, about; an answer may be twice as long as its source. */
#define CACHE_BYTES		((size_t) 256 * 1024 * 1024)
#define ANSWER_PIECES	2

struct RnTranslator
{
	const RnModel *model;
	const rn_real *values;
	const RnTokenizer *tokenizer;
	const RnKernels *kernels;
	RnLane	   *lane;
	RnDecoder  *decoder;
	RnGraph    *graph;			/* for scoring and embedding: whole sequences */
};

/* A text as pieces. */
typedef struct Pieces
{
	int32_t    *ids;			/* malloc'd, without end */
	int			n;
	int			cut;			/* there were more */
	int			text;			/* which of the caller's */
} Pieces;

/* One side of a batch, packed. */
typedef struct Side
{
	RnPacked	packed;
	int32_t    *offsets;		/* [n_sentences + 1] */
	int32_t    *positions;		/* [rows], and so the others */
	uint32_t   *row_ids;
	int32_t    *ids;
	int32_t    *expected;		/* what follows each id; targets only */
} Side;

RnStatus
rn_translator_create(RnContext *ctx, const RnModel *model, const rn_real *values, const RnTokenizer *tokenizer,
					 const RnKernels *kernels, RnTranslator **result)
{
	RnTranslator *translator = calloc(1, sizeof(*translator));
	RnStatus	status;

	*result = NULL;
	if (translator == NULL)
		return rn_out_of_memory(ctx, sizeof(*translator));
	translator->model = model;
	translator->values = values;
	translator->tokenizer = tokenizer;
	translator->kernels = kernels;
	status = kernels->lane_create(ctx, &translator->lane);
	if (status == RN_OK)
		status = rn_decoder_create(ctx, model, kernels, translator->lane, &translator->decoder);
	if (status == RN_OK)
		status = rn_graph_create(ctx, kernels, translator->lane, &translator->graph);
	if (status == RN_OK)
		*result = translator;
	else
		rn_translator_free(translator);
	return status;
}

void
rn_translator_free(RnTranslator *translator)
{
	if (translator == NULL)
		return;
	if (translator->graph != NULL)
		rn_graph_free(translator->graph);
	if (translator->decoder != NULL)
		rn_decoder_free(translator->decoder);
	if (translator->lane != NULL)
		translator->kernels->lane_free(translator->lane);
	free(translator);
}

void
rn_translations_free(RnTranslation *translations, int n)
{
	int			i;

	for (i = 0; i < n; i++)
	{
		free(translations[i].text);
		translations[i].text = NULL;
	}
}

/* ---- pieces ---- */

static int
is_blank(const RnText *text)
{
	size_t		at = 0;

	while (at < text->size)
	{
		if (!rn_utf8_is_space(rn_utf8_next(text->bytes, text->size, &at)))
			return 0;
	}
	return 1;
}

/* Pieces of one side that the model takes, its end (or start) not counted. */
static int
most_pieces(const RnTranslator *translator)
{
	int			longest = rn_model_longest(translator->model);
	int			max_length = rn_model_config(translator->model)->max_length;

	return (max_length < longest ? max_length : longest) - 1;
}

static void
free_pieces(Pieces *pieces, int n)
{
	int			i;

	for (i = 0; pieces != NULL && i < n; i++)
		free(pieces[i].ids);
	free(pieces);
}

static RnStatus
cut_texts(RnContext *ctx, const RnTranslator *translator, int n, const RnText *texts, Pieces **result)
{
	Pieces	   *pieces = calloc(n ? n : 1, sizeof(Pieces));
	RnStatus	status = RN_OK;
	int			i;

	*result = NULL;
	if (pieces == NULL)
		return rn_out_of_memory(ctx, n * sizeof(Pieces));
	for (i = 0; i < n && status == RN_OK; i++)
	{
		pieces[i].text = i;
		status = rn_tokenizer_encode(ctx, translator->tokenizer, texts[i], most_pieces(translator), &pieces[i].ids,
									 &pieces[i].n, &pieces[i].cut);
	}
	if (status == RN_OK)
		*result = pieces;
	else
		free_pieces(pieces, n);
	return status;
}

/* Longest first; equal ones as they came. */
static int
compare_lengths(const void *left, const void *right)
{
	const Pieces *a = left;
	const Pieces *b = right;

	if (a->n != b->n)
		return b->n - a->n;
	return a->text - b->text;
}

/* Pieces at once: fewer for a deep and wide model, whose keys and values of answers take memory. */
static long
most_at_once(const RnTranslator *translator)
{
	const RnConfig *config = rn_model_config(translator->model);
	size_t		bytes = (size_t) config->decoder_layers * 2 * config->d_model * sizeof(rn_real);
	size_t		fit = CACHE_BYTES / (ANSWER_PIECES * bytes);

	return fit < RN_BATCH_PIECES ? (long) fit : RN_BATCH_PIECES;
}

/* How many from the first on make a batch; at least one. */
static int
batch_size(const RnTranslator *translator, const Pieces *pieces, int n, int beam)
{
	long		most = most_at_once(translator);
	long		rows = 0;
	int			size;

	for (size = 0; size < n && (size + 1) * beam <= RN_BATCH_ROWS; size++)
	{
		rows += pieces[size].n + 1;
		if (rows * beam > most)
			break;
	}
	return size > 0 ? size : 1;
}

/* ---- packing ---- */

static void
free_side(Side *side)
{
	free(side->offsets);
	free(side->positions);
	free(side->row_ids);
	free(side->ids);
	free(side->expected);
	memset(side, 0, sizeof(*side));
}

/* Sources are pieces and end; targets begin with start and expect what a source is. */
static RnStatus
pack_side(RnContext *ctx, const RnTranslator *translator, int n, const Pieces *pieces, int is_target, Side *side)
{
	const RnSpecialIds *special = rn_model_special(translator->model);
	size_t		rows = 0;
	int			row = 0;
	int			s,
				i;

	memset(side, 0, sizeof(*side));
	for (s = 0; s < n; s++)
		rows += pieces[s].n + 1;
	side->offsets = malloc((n + 1) * sizeof(int32_t));
	side->positions = malloc(rows * sizeof(int32_t));
	side->row_ids = malloc(rows * sizeof(uint32_t));
	side->ids = malloc(rows * sizeof(int32_t));
	side->expected = malloc(rows * sizeof(int32_t));
	if (!side->offsets || !side->positions || !side->row_ids || !side->ids || !side->expected)
	{
		free_side(side);
		return rn_out_of_memory(ctx, rows * sizeof(int32_t));
	}
	for (s = 0; s < n; s++)
	{
		side->offsets[s] = row;
		for (i = 0; i <= pieces[s].n; i++, row++)
		{
			int32_t		here = i < pieces[s].n ? pieces[s].ids[i] : special->end;
			int32_t		before = i > 0 ? pieces[s].ids[i - 1] : special->start;

			side->positions[row] = i;
			side->row_ids[row] = row;
			side->expected[row] = here;
			side->ids[row] = is_target ? before : here;
		}
	}
	side->offsets[n] = row;
	side->packed.n_sentences = n;
	side->packed.rows = row;
	side->packed.offsets = side->offsets;
	side->packed.positions = side->positions;
	side->packed.row_ids = side->row_ids;
	return RN_OK;
}

static RnStatus
check_stop(RnContext *ctx, const volatile int *stop)
{
	if (stop != NULL && __atomic_load_n(stop, __ATOMIC_RELAXED))
		return rn_fail(ctx, RN_CANCELLED, "translation was cancelled");
	return RN_OK;
}

/* ---- translating ---- */

static RnStatus
read_answers(RnContext *ctx, const RnTranslator *translator, const Pieces *pieces, const RnHypotheses *found,
			 RnTranslation *results)
{
	int			s,
				i;

	for (s = 0; s < found->n_sentences; s++)
	{
		for (i = 0; i < found->n_best; i++)
		{
			const RnHypothesis *hypothesis = &found->items[(size_t) s * found->n_best + i];
			RnTranslation *result = &results[(size_t) pieces[s].text * found->n_best + i];

			result->source_cut = pieces[s].cut;
			if (hypothesis->ids == NULL)
				continue;
			RN_TRY(rn_tokenizer_decode(ctx, translator->tokenizer, hypothesis->ids, hypothesis->n, &result->text));
			result->score = hypothesis->score;
			result->log_probability = hypothesis->log_probability;
			result->tokens = hypothesis->n;
		}
	}
	return RN_OK;
}

static RnStatus
translate_batch(RnContext *ctx, RnTranslator *translator, const RnSearchOptions *options, int n,
				const Pieces *pieces, RnTranslation *results, const volatile int *stop)
{
	RnHypotheses found;
	RnStatus	status;
	Side		source;

	RN_TRY(pack_side(ctx, translator, n, pieces, 0, &source));
	status = rn_beam_search(ctx, translator->decoder, translator->model, translator->kernels, translator->lane,
							translator->values, &source.packed, source.ids, options, &found, stop);
	free_side(&source);
	RN_TRY(status);
	status = read_answers(ctx, translator, pieces, &found, results);
	rn_hypotheses_free(&found);
	return status;
}

/* Nothing translates to nothing, whatever the model would make of it. */
static RnStatus
answer_empty(RnContext *ctx, RnTranslation *result)
{
	result->text = strdup("");
	return result->text != NULL ? RN_OK : rn_out_of_memory(ctx, 1);
}

static RnStatus
translate_all(RnContext *ctx, RnTranslator *translator, const RnSearchOptions *options, int n, const RnText *texts,
			  Pieces *pieces, RnTranslation *results, const volatile int *stop)
{
	int			n_full = 0;
	int			first;
	int			size;
	int			i;

	for (i = 0; i < n; i++)
	{
		if (pieces[i].n == 0 || is_blank(&texts[i]))
		{
			free(pieces[i].ids);
			pieces[i].ids = NULL;
			pieces[i].n = 0;
			RN_TRY(answer_empty(ctx, &results[(size_t) i * options->n_best]));
		}
		else
			n_full++;
	}
	qsort(pieces, n, sizeof(Pieces), compare_lengths);
	for (first = 0; first < n_full; first += size)
	{
		RN_TRY(check_stop(ctx, stop));
		size = batch_size(translator, pieces + first, n_full - first, options->beam);
		RN_TRY(translate_batch(ctx, translator, options, size, pieces + first, results, stop));
	}
	return RN_OK;
}

RnStatus
rn_translate(RnContext *ctx, RnTranslator *translator, const RnSearchOptions *options, int n, const RnText *texts,
			 RnTranslation *results, const volatile int *stop)
{
	Pieces	   *pieces;
	RnStatus	status;

	memset(results, 0, (size_t) n * options->n_best * sizeof(RnTranslation));
	RN_TRY(check_stop(ctx, stop));
	RN_TRY(cut_texts(ctx, translator, n, texts, &pieces));
	status = translate_all(ctx, translator, options, n, texts, pieces, results, stop);
	if (status != RN_OK)
		rn_translations_free(results, n * options->n_best);
	free_pieces(pieces, n);
	return status;
}

/* ---- scoring ---- */

static void
begin_pass(RnTranslator *translator, const volatile int *stop)
{
	RnPass		pass;

	memset(&pass, 0, sizeof(pass));
	pass.stop = stop;
	pass.params = rn_model_params(translator->model);
	pass.values = translator->values;
	rn_graph_begin(translator->graph, &pass);
}

/* -log p of each target row given those before it and the source; nll is device memory. */
static RnStatus
run_scoring(RnContext *ctx, RnTranslator *translator, const Side *source, const Side *target, rn_real *nll,
			rn_real *host_nll, const volatile int *stop)
{
	RnModelBatch batch;
	RnLoss		loss;

	memset(&batch, 0, sizeof(batch));
	batch.source = source->packed;
	batch.source_ids = source->ids;
	batch.target = target->packed;
	batch.target_in = target->ids;
	batch.target_out = target->expected;
	begin_pass(translator, stop);
	rn_model_loss(translator->model, translator->graph, &batch, 1.0, nll, &loss, NULL);
	RN_TRY(rn_graph_forward(ctx, translator->graph));
	translator->kernels->copy_out(translator->lane, host_nll, nll, target->packed.rows * sizeof(rn_real));
	return translator->kernels->synchronize(ctx, translator->lane);
}

static RnStatus
score_packed(RnContext *ctx, RnTranslator *translator, const Side *source, const Side *target,
			 double *log_probabilities, int *tokens, const volatile int *stop)
{
	size_t		bytes = target->packed.rows * sizeof(rn_real);
	rn_real    *host_nll = malloc(bytes);
	void	   *nll;
	RnStatus	status;
	int			s,
				row;

	if (host_nll == NULL)
		return rn_out_of_memory(ctx, bytes);
	status = translator->kernels->allocate(ctx, bytes, &nll);
	if (status == RN_OK)
	{
		status = run_scoring(ctx, translator, source, target, nll, host_nll, stop);
		translator->kernels->release(nll, bytes);
	}
	for (s = 0; status == RN_OK && s < target->packed.n_sentences; s++)
	{
		log_probabilities[s] = 0;
		for (row = target->offsets[s]; row < target->offsets[s + 1]; row++)
			log_probabilities[s] -= host_nll[row];
		tokens[s] = target->offsets[s + 1] - target->offsets[s];
	}
	free(host_nll);
	return status;
}

static RnStatus
score_batch(RnContext *ctx, RnTranslator *translator, int n, const Pieces *sources, const Pieces *targets,
			double *log_probabilities, int *tokens, const volatile int *stop)
{
	Side		source;
	Side		target;
	RnStatus	status;

	RN_TRY(pack_side(ctx, translator, n, sources, 0, &source));
	status = pack_side(ctx, translator, n, targets, 1, &target);
	if (status == RN_OK)
	{
		status = score_packed(ctx, translator, &source, &target, log_probabilities, tokens, stop);
		free_side(&target);
	}
	free_side(&source);
	return status;
}

/* A target that is cut would have the probability of another. */
static RnStatus
check_targets(RnContext *ctx, const RnTranslator *translator, int n, const Pieces *targets)
{
	int			i;

	for (i = 0; i < n; i++)
	{
		if (!targets[i].cut)
			continue;
		rn_fail(ctx, RN_LIMIT, "target is too long to be scored");
		rn_detail(ctx, "The model takes at most %d pieces.", most_pieces(translator));
		return ctx->status;
	}
	return RN_OK;
}

static RnStatus
score_all(RnContext *ctx, RnTranslator *translator, int n, const Pieces *sources, const Pieces *targets,
		  double *log_probabilities, int *tokens, const volatile int *stop)
{
	int			first;
	int			size;

	RN_TRY(check_targets(ctx, translator, n, targets));
	for (first = 0; first < n; first += size)
	{
		int			of_targets = batch_size(translator, targets + first, n - first, 1);

		RN_TRY(check_stop(ctx, stop));
		size = batch_size(translator, sources + first, n - first, 1);
		if (size > of_targets)
			size = of_targets;
		RN_TRY(score_batch(ctx, translator, size, sources + first, targets + first, log_probabilities + first,
						   tokens + first, stop));
	}
	return RN_OK;
}

RnStatus
rn_translator_score(RnContext *ctx, RnTranslator *translator, int n, const RnText *sources, const RnText *targets,
					double *log_probabilities, int *tokens, const volatile int *stop)
{
	Pieces	   *source_pieces;
	Pieces	   *target_pieces;
	RnStatus	status;

	RN_TRY(cut_texts(ctx, translator, n, sources, &source_pieces));
	status = cut_texts(ctx, translator, n, targets, &target_pieces);
	if (status == RN_OK)
	{
		status = score_all(ctx, translator, n, source_pieces, target_pieces, log_probabilities, tokens, stop);
		free_pieces(target_pieces, n);
	}
	free_pieces(source_pieces, n);
	return status;
}

/* ---- embedding ---- */

static void
mean_rows(const rn_real *rows, int n, int width, float *mean)
{
	int			i,
				r;

	for (i = 0; i < width; i++)
	{
		double		sum = 0;

		for (r = 0; r < n; r++)
			sum += rows[(size_t) r * width + i];
		mean[i] = (float) (sum / n);
	}
}

static RnStatus
embed_packed(RnContext *ctx, RnTranslator *translator, const Side *source, float *embeddings,
			 const volatile int *stop)
{
	int			width = rn_model_config(translator->model)->d_model;
	size_t		bytes = (size_t) source->packed.rows * width * sizeof(rn_real);
	rn_real    *host = malloc(bytes);
	RnTensor   *output;
	RnStatus	status;
	int			s;

	if (host == NULL)
		return rn_out_of_memory(ctx, bytes);
	begin_pass(translator, stop);
	output = rn_model_encode(translator->model, translator->graph, &source->packed, source->ids, NULL);
	if (output != NULL)
		rn_graph_keep(translator->graph, output);
	status = rn_graph_forward(ctx, translator->graph);
	if (status == RN_OK)
	{
		translator->kernels->copy_out(translator->lane, host, output->value, bytes);
		status = translator->kernels->synchronize(ctx, translator->lane);
	}
	for (s = 0; status == RN_OK && s < source->packed.n_sentences; s++)
		mean_rows(host + (size_t) source->offsets[s] * width, source->offsets[s + 1] - source->offsets[s], width,
				  embeddings + (size_t) s * width);
	free(host);
	return status;
}

static RnStatus
embed_all(RnContext *ctx, RnTranslator *translator, int n, const Pieces *pieces, float *embeddings,
		  const volatile int *stop)
{
	size_t		width = rn_model_config(translator->model)->d_model;
	int			first;
	int			size;

	for (first = 0; first < n; first += size)
	{
		RnStatus	status;
		Side		source;

		RN_TRY(check_stop(ctx, stop));
		size = batch_size(translator, pieces + first, n - first, 1);
		RN_TRY(pack_side(ctx, translator, size, pieces + first, 0, &source));
		status = embed_packed(ctx, translator, &source, embeddings + first * width, stop);
		free_side(&source);
		RN_TRY(status);
	}
	return RN_OK;
}

RnStatus
rn_translator_embed(RnContext *ctx, RnTranslator *translator, int n, const RnText *texts, float *embeddings,
					const volatile int *stop)
{
	Pieces	   *pieces;
	RnStatus	status;

	RN_TRY(cut_texts(ctx, translator, n, texts, &pieces));
	status = embed_all(ctx, translator, n, pieces, embeddings, stop);
	free_pieces(pieces, n);
	return status;
}
