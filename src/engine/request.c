/*
 * request.c
 *		Requests out of frames, answers into frames.
 *
 * src/engine/request.c
 */
#include "engine/request.h"

#include <stdlib.h>
#include <string.h>

void
rn_read_model_key(RnReader *reader, RnModelKey *key)
{
	key->database = rn_read_u32(reader);
	key->model = rn_read_i64(reader);
	key->version = rn_read_i32(reader);
	key->checksum = rn_read_u64(reader);
}

/* The first option that is wrong is the request's error; the rest is read over. */
static void
read_options(RnReader *reader, RnRequest *request)
{
	uint32_t	n = rn_read_count(reader, 2 * sizeof(uint32_t));
	uint32_t	i;

	rn_search_defaults(&request->options);
	for (i = 0; i < n; i++)
	{
		char		key[RN_NAME_LENGTH];
		char		value[256];

		rn_read_string(reader, key, sizeof(key));
		rn_read_string(reader, value, sizeof(value));
		if (!reader->failed && request->error.status == RN_OK)
			rn_search_set(&request->error, &request->options, key, value);
	}
}

/* The prefix and the glossary of a translation. */
static RnStatus
read_terms(RnContext *ctx, RnReader *reader, RnRequest *request)
{
	RnText		prefix;
	uint32_t	n;
	uint32_t	i;

	prefix.bytes = rn_read_bytes(reader, &prefix.size);
	n = rn_read_count(reader, 2 * sizeof(uint32_t));
	if (reader->failed)
		return RN_OK;
	RN_TRY(rn_terms_set_prefix(ctx, &request->terms, prefix));
	for (i = 0; i < n; i++)
	{
		RnText		source;
		RnText		target;

		source.bytes = rn_read_bytes(reader, &source.size);
		target.bytes = rn_read_bytes(reader, &target.size);
		if (!reader->failed && request->error.status == RN_OK)
			rn_terms_add(&request->error, &request->terms, source, target);
	}
	request->options.has_prefix = request->terms.prefix != NULL;
	request->options.has_glossary = request->terms.n > 0;
	return RN_OK;
}

static RnStatus
read_texts(RnContext *ctx, RnReader *reader, RnRequest *request)
{
	int			pairs = request->task == RN_TASK_SCORE || request->task == RN_TASK_ALIGN;
	uint32_t	n = rn_read_count(reader, (pairs ? 2 : 1) * sizeof(uint32_t));
	uint32_t	i;

	if (reader->failed)
		return RN_OK;
	request->texts = calloc(n ? n : 1, sizeof(RnText));
	request->targets = pairs ? calloc(n ? n : 1, sizeof(RnText)) : NULL;
	if (request->texts == NULL || (pairs && request->targets == NULL))
		return rn_out_of_memory(ctx, n * sizeof(RnText));
	for (i = 0; i < n; i++)
	{
		request->texts[i].bytes = rn_read_bytes(reader, &request->texts[i].size);
		if (pairs)
			request->targets[i].bytes = rn_read_bytes(reader, &request->targets[i].size);
	}
	request->n = (int) n;
	return RN_OK;
}

static void
check_size(RnRequest *request)
{
	uint64_t	answers = request->n;

	if (request->task == RN_TASK_TRANSLATE)
		answers *= request->options.n_best;
	if (request->n > RN_REQUEST_TEXTS)
	{
		rn_fail(&request->error, RN_LIMIT, "too many texts in one request: %d", request->n);
		rn_detail(&request->error, "A request holds at most %d texts.", RN_REQUEST_TEXTS);
	}
	else if (answers > RN_REQUEST_ANSWERS)
	{
		rn_fail(&request->error, RN_LIMIT, "too many answers to one request: %llu", (unsigned long long) answers);
		rn_detail(&request->error, "A request has at most %d answers.", RN_REQUEST_ANSWERS);
	}
}

static RnStatus
read_request(RnContext *ctx, const RnFrame *frame, RnRequest *request)
{
	RnFrame		copy = *frame;
	RnReader	reader;

	request->id = frame->id;
	request->arrived = rn_now();
	request->bytes = frame->length;
	request->payload = malloc(frame->length ? frame->length : 1);
	if (request->payload == NULL)
		return rn_out_of_memory(ctx, frame->length);
	memcpy(request->payload, frame->payload, frame->length);
	copy.payload = request->payload;
	rn_reader_init(&reader, &copy);
	rn_read_model_key(&reader, &request->key);
	request->task = (RnTask) rn_read_u8(&reader);
	read_options(&reader, request);
	RN_TRY(read_terms(ctx, &reader, request));
	if (request->error.status == RN_OK)
		rn_search_check(&request->error, &request->options);
	RN_TRY(read_texts(ctx, &reader, request));
	RN_TRY(rn_reader_end(ctx, &reader, "request"));
	if (request->task < RN_TASK_TRANSLATE || request->task > RN_TASK_SHORTLIST)
		return rn_fail(ctx, RN_CORRUPT, "received a request for an unknown task %d", (int) request->task);
	check_size(request);
	return RN_OK;
}

RnStatus
rn_request_read(RnContext *ctx, const RnFrame *frame, RnRequest **result)
{
	RnRequest  *request = calloc(1, sizeof(*request));
	RnStatus	status;

	*result = NULL;
	if (request == NULL)
		return rn_out_of_memory(ctx, sizeof(*request));
	rn_writer_init(&request->answer);
	status = read_request(ctx, frame, request);
	if (status != RN_OK)
		rn_request_free(request);
	else
		*result = request;
	return status;
}

/* Results are written into the answer once, so they are not kept longer than that. */
static void
free_results(RnRequest *request)
{
	int			i;

	if (request->translations != NULL)
	{
		rn_translations_free(request->translations, request->n * request->options.n_best);
		free(request->translations);
	}
	for (i = 0; request->pieces != NULL && i < request->n; i++)
		free(request->pieces[i].ids);
	for (i = 0; request->alignments != NULL && i < request->n; i++)
		rn_alignment_free(&request->alignments[i]);
	free(request->pieces);
	free(request->alignments);
	free(request->log_probabilities);
	free(request->tokens);
	free(request->embeddings);
	free(request->text);
	request->translations = NULL;
	request->pieces = NULL;
	request->alignments = NULL;
	request->log_probabilities = NULL;
	request->tokens = NULL;
	request->embeddings = NULL;
	request->text = NULL;
}

void
rn_request_free(RnRequest *request)
{
	free_results(request);
	rn_terms_free(&request->terms);
	free(request->order);
	free(request->texts);
	free(request->targets);
	free(request->payload);
	rn_writer_free(&request->answer);
	free(request);
}

typedef struct SizedItem
{
	size_t		size;
	int			item;
} SizedItem;

/* Longest first; equal ones as they came. */
static int
compare_sizes(const void *left, const void *right)
{
	const SizedItem *a = left;
	const SizedItem *b = right;

	if (a->size != b->size)
		return a->size < b->size ? 1 : -1;
	return a->item - b->item;
}

/* Neighbours in length are translated together. */
static RnStatus
order_items(RnContext *ctx, RnRequest *request)
{
	size_t		n = request->n_items;
	SizedItem  *sized = malloc((n ? n : 1) * sizeof(SizedItem));
	size_t		i;

	request->order = malloc((n ? n : 1) * sizeof(int));
	if (sized == NULL || request->order == NULL)
	{
		free(sized);
		return rn_out_of_memory(ctx, n * sizeof(SizedItem));
	}
	for (i = 0; i < n; i++)
	{
		sized[i].item = (int) i;
		sized[i].size = request->task == RN_TASK_DETOKENIZE ? 0 : request->texts[i].size;
	}
	qsort(sized, n, sizeof(SizedItem), compare_sizes);
	for (i = 0; i < n; i++)
		request->order[i] = sized[i].item;
	free(sized);
	return RN_OK;
}

static RnStatus
allocate_results(RnContext *ctx, RnRequest *request)
{
	size_t		n = request->n ? request->n : 1;
	int			complete = 1;

	switch (request->task)
	{
		case RN_TASK_TRANSLATE:
			request->translations = calloc(n * request->options.n_best, sizeof(RnTranslation));
			complete = request->translations != NULL;
			break;
		case RN_TASK_SCORE:
			request->log_probabilities = calloc(n, sizeof(double));
			request->tokens = calloc(n, sizeof(int));
			complete = request->log_probabilities != NULL && request->tokens != NULL;
			break;
		case RN_TASK_EMBED:
			request->embeddings = calloc(n * request->model->config.d_model, sizeof(float));
			complete = request->embeddings != NULL;
			break;
		case RN_TASK_TOKENIZE:
		case RN_TASK_SHORTLIST:
			request->pieces = calloc(n, sizeof(RnPieces));
			complete = request->pieces != NULL;
			break;
		case RN_TASK_ALIGN:
			request->alignments = calloc(n, sizeof(RnAlignment));
			complete = request->alignments != NULL;
			break;
		case RN_TASK_DETOKENIZE:
			break;
	}
	return complete ? RN_OK : rn_out_of_memory(ctx, n * sizeof(RnTranslation));
}

RnStatus
rn_request_prepare(RnContext *ctx, RnRequest *request)
{
	request->n_items = request->task == RN_TASK_DETOKENIZE ? 1 : request->n;
	request->n_taken = 0;
	request->n_unfinished = request->n_items;
	RN_TRY(order_items(ctx, request));
	return allocate_results(ctx, request);
}

/* The tokens of an answer, where they were asked for. */
static void
write_tokens(RnWriter *writer, const RnRequest *request, const RnTranslation *translation)
{
	int			n = translation->ids != NULL ? translation->tokens : 0;
	int			i;

	rn_write_u32(writer, n);
	for (i = 0; i < n; i++)
	{
		rn_write_string(writer, rn_tokenizer_piece(request->model->tokenizer, translation->ids[i]));
		rn_write_f64(writer, translation->token_scores[i]);
	}
}

static void
write_translations(RnWriter *writer, const RnRequest *request)
{
	int			n = request->n * request->options.n_best;
	int			i;

	rn_write_u32(writer, request->n);
	rn_write_u32(writer, request->options.n_best);
	for (i = 0; i < n; i++)
	{
		const RnTranslation *translation = &request->translations[i];

		rn_write_u8(writer, translation->text != NULL);
		rn_write_string(writer, translation->text);
		rn_write_f64(writer, translation->score);
		rn_write_f64(writer, translation->log_probability);
		rn_write_u32(writer, translation->tokens);
		rn_write_u8(writer, translation->source_cut != 0);
		write_tokens(writer, request, translation);
	}
}

static void
write_pieces(RnWriter *writer, const RnRequest *request)
{
	int			i,
				j;

	rn_write_u32(writer, request->n);
	for (i = 0; i < request->n; i++)
	{
		rn_write_u32(writer, request->pieces[i].n);
		for (j = 0; j < request->pieces[i].n; j++)
			rn_write_string(writer, rn_tokenizer_piece(request->model->tokenizer, request->pieces[i].ids[j]));
	}
}

static void
write_alignments(RnWriter *writer, const RnRequest *request)
{
	const RnTokenizer *tokenizer = request->model->tokenizer;
	int			i,
				j;

	rn_write_u32(writer, request->n);
	for (i = 0; i < request->n; i++)
	{
		const RnAlignment *alignment = &request->alignments[i];
		size_t		width = alignment->n_source;

		rn_write_u32(writer, alignment->n_source);
		for (j = 0; j < alignment->n_source; j++)
			rn_write_string(writer, rn_tokenizer_piece(tokenizer, alignment->source_ids[j]));
		rn_write_u32(writer, alignment->n_target);
		for (j = 0; j < alignment->n_target; j++)
		{
			rn_write_string(writer, rn_tokenizer_piece(tokenizer, alignment->target_ids[j]));
			rn_write_f64(writer, alignment->token_scores[j]);
			rn_write_bytes(writer, alignment->weights != NULL ? alignment->weights + j * width : NULL,
						   alignment->weights != NULL ? width * sizeof(float) : 0);
		}
		rn_write_u8(writer, alignment->source_cut != 0);
	}
}

static void
write_embeddings(RnWriter *writer, const RnRequest *request)
{
	size_t		width = request->model->config.d_model;
	int			i;

	rn_write_u32(writer, request->n);
	rn_write_u32(writer, (uint32_t) width);
	for (i = 0; i < request->n; i++)
		rn_write_bytes(writer, request->embeddings + i * width, width * sizeof(float));
}

static RnStatus
write_result(RnContext *ctx, RnRequest *request)
{
	RnWriter   *writer = &request->answer;
	int			i;

	rn_write_begin(writer, RN_RESULT, request->id);
	switch (request->task)
	{
		case RN_TASK_TRANSLATE:
			write_translations(writer, request);
			break;
		case RN_TASK_SCORE:
			rn_write_u32(writer, request->n);
			for (i = 0; i < request->n; i++)
			{
				rn_write_f64(writer, request->log_probabilities[i]);
				rn_write_u32(writer, request->tokens[i]);
			}
			break;
		case RN_TASK_EMBED:
			write_embeddings(writer, request);
			break;
		case RN_TASK_TOKENIZE:
		case RN_TASK_SHORTLIST:
			write_pieces(writer, request);
			break;
		case RN_TASK_ALIGN:
			write_alignments(writer, request);
			break;
		case RN_TASK_DETOKENIZE:
			rn_write_string(writer, request->text);
			break;
	}
	return rn_write_end(ctx, writer);
}

RnStatus
rn_write_error(RnContext *ctx, RnWriter *writer, uint64_t id, const RnContext *error)
{
	rn_write_begin(writer, RN_ERROR, id);
	rn_write_u32(writer, error->status);
	rn_write_string(writer, error->message);
	rn_write_string(writer, error->detail);
	rn_write_string(writer, error->hint);
	return rn_write_end(ctx, writer);
}

void
rn_request_answer(RnRequest *request)
{
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (request->error.status == RN_OK)
		write_result(&request->error, request);
	free_results(request);
	if (request->error.status != RN_OK)
		rn_write_error(&ctx, &request->answer, request->id, &request->error);
}
