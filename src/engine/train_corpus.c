/*
 * train_corpus.c
 *		Rows of text to a tokenizer, to ids, to a held-out part.
 *
 * Every choice of rows (what is held out, what the tokenizer learns from,
 * what validations look at) goes by the hash of the pair, so it does not
 * depend on the order in which the table was read, and equal pairs share
 * their fate.  What memory holds is bounded, however many rows there are.
 *
 * src/engine/train_corpus.c
 */
#include "engine/job.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "translate/search_options.h"

#define LEARN_BYTES		(8.0 * 1024 * 1024)	/* of text that a tokenizer learns from, about */
#define LOSS_PAIRS		5000.0	/* held-out pairs of which the loss is computed, about */
#define SENTENCES		500		/* of them translated */
#define SORT_MEMORY		((size_t) 16 * 1024 * 1024)
#define HELD_OUT_MEMORY ((size_t) 1024 * 1024)
#define LONGER_PAIRS	1000	/* one of so many may be longer than length_factor allows */

/* Is the number, seen as a fraction of all, below part? */
static int
falls_below(uint64_t hash, double part)
{
	return ldexp((double) hash, -64) < part;
}

/*
 * What part of the rows of set 0 is held out: as the options say, unless rows
 * of set 1 were given.
 */
static double
part_held_out(const RnJob *job)
{
	char	   *end;
	double		part;

	if (rn_rows_count(job->rows, 1) > 0)
		return 0;
	part = strtod(job->config.validation, &end);
	return *end == '\0' && part > 0 && part < 1 ? part : 0;
}

static RnStatus
stopped(RnContext *ctx, const RnJob *job)
{
	if (*job->stop)
		return rn_fail(ctx, RN_CANCELLED, "training was stopped");
	return RN_OK;
}

static RnStatus
no_pairs(RnContext *ctx, const RnJob *job)
{
	rn_fail(ctx, RN_NO_DATA, "corpus has no sentence pair to train on");
	rn_detail(ctx, "%llu rows have an empty side, %llu have more than %d pieces, %llu are held out for validation.",
			  (unsigned long long) job->rows_empty, (unsigned long long) job->rows_long, job->config.max_length,
			  (unsigned long long) job->rows_held_out);
	return ctx->status;
}

/* ---- the tokenizer ---- */

/* Texts of the rows to learn from, one after another. */
typedef struct Sample
{
	RnJob	   *job;
	RnContext	ctx;			/* what reading met */
	double		held_out;
	double		part;			/* of the others that are taken */
	const RnRow *some;
	int			n;
	int			next;			/* row */
	int			target;			/* its source has been given */
} Sample;

/* RnNextText */
static int
next_text(void *arg, RnText *text)
{
	Sample	   *sample = arg;

	for (;;)
	{
		const RnRow *row;

		if (sample->next == sample->n)
		{
			if (rn_rows_read(&sample->ctx, sample->job->rows, &sample->some, &sample->n) != RN_OK || sample->n == 0)
				return 0;
			sample->next = 0;
		}
		row = &sample->some[sample->next];
		if (row->set == 0 && !falls_below(row->hash[0], sample->held_out) && falls_below(row->hash[1], sample->part))
		{
			*text = sample->target ? row->target : row->source;
			sample->next += sample->target;
			sample->target = !sample->target;
			return 1;
		}
		sample->next++;
	}
}

static RnStatus
learn(RnContext *ctx, RnJob *job)
{
	const RnConfig *config = &job->config;
	RnTokenizerOptions options;
	Sample		sample;

	memset(&options, 0, sizeof(options));
	options.vocab_size = config->vocab_size;
	options.shrink = !config->vocab_size_given;
	options.bpe = config->tokenizer;
	options.lowercase = config->lowercase;
	options.threads = config->threads;
	options.seed = (uint64_t) config->seed;
	memset(&sample, 0, sizeof(sample));
	sample.job = job;
	sample.held_out = part_held_out(job);
	sample.part = fmin(1.0, LEARN_BYTES / ((double) rn_rows_bytes(job->rows, 0) + 1.0));
	rn_rows_rewind(job->rows);
	rn_tokenizer_learn(ctx, &options, next_text, &sample, &job->tokenizer_bytes, &job->tokenizer_size);
	if (sample.ctx.status != RN_OK)
		*ctx = sample.ctx;
	else if (ctx->status == RN_NO_DATA)
	{
		/* as where equal pairs, which share their fate, are all there is */
		rn_context_reset(ctx);
		rn_fail(ctx, RN_NO_DATA, "corpus has no sentence pair to train on");
		rn_detail(ctx, "Its %llu rows are blank or held out for validation.",
				  (unsigned long long) rn_rows_count(job->rows, 0));
	}
	job->tokenizer_total = job->tokenizer_size;
	job->learned = 1;
	return ctx->status;
}

RnStatus
rn_job_learn_tokenizer(RnContext *ctx, RnJob *job)
{
	if (rn_rows_count(job->rows, 0) == 0)
		return no_pairs(ctx, job);
	if (job->tokenizer_size > 0)
		return RN_OK;
	RN_TRY(rn_report_phase(ctx, job, "tokenizer"));
	rn_control_job_is_deaf(job->control, 0);
	learn(ctx, job);
	rn_control_job_listens(job->control);
	return ctx->status;
}

/* ---- ids ---- */

/* A side of a row. */
typedef struct Encoded
{
	int32_t    *ids;			/* malloc'd, or NULL */
	int			n;
	int			cut;
} Encoded;

/* Rows that the threads encode at once. */
typedef struct Encoding
{
	RnJob	   *job;
	const RnRow *rows;
	int			n;
	Encoded    *sides;			/* [2 * n] source, target */
	RnContext  *failures;		/* [threads] */
	double		held_out;		/* part of the rows of set 0 */
	double		looked_at;		/* part of the held-out rows that validations look at */
} Encoding;

static void
encode_work(void *arg, int thread, int n_threads)
{
	Encoding   *encoding = arg;
	int			longest = encoding->job->config.max_length - 1;
	int			first = (int) ((int64_t) encoding->n * thread / n_threads);
	int			stop = (int) ((int64_t) encoding->n * (thread + 1) / n_threads);
	int			i;

	for (i = 2 * first; i < 2 * stop && encoding->failures[thread].status == RN_OK; i++)
	{
		const RnRow *row = &encoding->rows[i / 2];
		Encoded    *side = &encoding->sides[i];

		rn_tokenizer_encode(&encoding->failures[thread], encoding->job->tokenizer,
							i % 2 == 0 ? row->source : row->target, longest, &side->ids, &side->n, &side->cut);
	}
}

static RnStatus
copy_text(RnContext *ctx, RnText text, RnText *copy)
{
	char	   *bytes = malloc(text.size + 1);

	if (bytes == NULL)
		return rn_out_of_memory(ctx, text.size + 1);
	memcpy(bytes, text.bytes, text.size);
	bytes[text.size] = '\0';
	copy->bytes = bytes;
	copy->size = text.size;
	return RN_OK;
}

/* Keep the SENTENCES least hashes; a new one takes the place of the largest. */
static RnStatus
keep_sentence(RnContext *ctx, RnJob *job, const RnRow *row)
{
	RnSentence *place;
	int			i;

	if (job->sentences == NULL)
	{
		job->sentences = calloc(SENTENCES, sizeof(RnSentence));
		if (job->sentences == NULL)
			return rn_out_of_memory(ctx, SENTENCES * sizeof(RnSentence));
	}
	place = &job->sentences[0];
	if (job->n_sentences < SENTENCES)
		place = &job->sentences[job->n_sentences++];
	else
	{
		for (i = 1; i < SENTENCES; i++)
			if (job->sentences[i].hash > place->hash)
				place = &job->sentences[i];
		if (row->hash[1] >= place->hash)
			return RN_OK;
		free((char *) place->source.bytes);
		free((char *) place->target.bytes);
		memset(place, 0, sizeof(*place));
	}
	place->hash = row->hash[1];
	RN_TRY(copy_text(ctx, row->source, &place->source));
	return copy_text(ctx, row->target, &place->target);
}

/* The same part of the held-out rows for loss and translation: those with the least hashes. */
static RnStatus
hold_out(RnContext *ctx, Encoding *encoding, const RnRow *row, const RnPair *pair)
{
	RnJob	   *job = encoding->job;

	job->rows_held_out++;
	if (!falls_below(row->hash[1], encoding->looked_at))
		return RN_OK;
	RN_TRY(rn_corpus_add(ctx, job->held_out, row->hash, pair));
	return keep_sentence(ctx, job, row);
}

static void
note_lengths(RnJob *job, int n_source, int n_target)
{
	int			more = n_target - RN_LENGTH_OFFSET;
	int			factor = more > 0 ? (more + n_source - 1) / n_source : 0;

	job->lengths[factor < RN_LENGTH_FACTOR_MOST ? factor : RN_LENGTH_FACTOR_MOST]++;
}

/* What nearly all pairs keep to: a single pair that is not what it should be does not make all answers long. */
static void
settle_length_factor(RnJob *job)
{
	uint64_t	pairs = 0;
	uint64_t	longer = 0;
	int			factor;

	if (job->config.length_factor > 0)
		return;
	for (factor = 0; factor <= RN_LENGTH_FACTOR_MOST; factor++)
		pairs += job->lengths[factor];
	for (factor = RN_LENGTH_FACTOR_MOST; factor > RN_LENGTH_FACTOR; factor--)
	{
		longer += job->lengths[factor];
		if (longer > pairs / LONGER_PAIRS)
			break;
	}
	job->config.length_factor = factor;
}

/* A row goes where it belongs. */
static RnStatus
sort_row(RnContext *ctx, Encoding *encoding, int number)
{
	RnJob	   *job = encoding->job;
	const RnRow *row = &encoding->rows[number];
	const Encoded *source = &encoding->sides[2 * number];
	const Encoded *target = &encoding->sides[2 * number + 1];
	RnPair		pair = {source->ids, target->ids, source->n, target->n};

	if (source->n == 0 || target->n == 0)
		job->rows_empty++;
	else if (source->cut || target->cut)
		job->rows_long++;
	else if (row->set == 1 || falls_below(row->hash[0], encoding->held_out))
		return hold_out(ctx, encoding, row, &pair);
	else
	{
		note_lengths(job, source->n, target->n);
		return rn_corpus_add(ctx, job->training, row->hash, &pair);
	}
	return RN_OK;
}

static RnStatus
encode_some(RnContext *ctx, Encoding *encoding)
{
	int			threads = rn_threads_count(encoding->job->threads);
	int			i;

	encoding->sides = calloc(2 * (size_t) encoding->n, sizeof(Encoded));
	if (encoding->sides == NULL)
		return rn_out_of_memory(ctx, 2 * (size_t) encoding->n * sizeof(Encoded));
	for (i = 0; i < threads; i++)
		rn_context_reset(&encoding->failures[i]);
	rn_threads_run(encoding->job->threads, encode_work, encoding);
	for (i = 0; i < threads && ctx->status == RN_OK; i++)
		if (encoding->failures[i].status != RN_OK)
			*ctx = encoding->failures[i];
	for (i = 0; i < encoding->n && ctx->status == RN_OK; i++)
		sort_row(ctx, encoding, i);
	for (i = 0; i < 2 * encoding->n; i++)
		free(encoding->sides[i].ids);
	free(encoding->sides);
	return ctx->status;
}

static RnStatus
encode_all(RnContext *ctx, Encoding *encoding)
{
	rn_rows_rewind(encoding->job->rows);
	for (;;)
	{
		RN_TRY(rn_rows_read(ctx, encoding->job->rows, &encoding->rows, &encoding->n));
		if (encoding->n == 0)
			return RN_OK;
		RN_TRY(encode_some(ctx, encoding));
		RN_TRY(stopped(ctx, encoding->job));
	}
}

RnStatus
rn_job_encode_rows(RnContext *ctx, RnJob *job)
{
	Encoding	encoding;
	double		candidates;

	memset(&encoding, 0, sizeof(encoding));
	encoding.job = job;
	encoding.held_out = part_held_out(job);
	candidates = (double) rn_rows_count(job->rows, 1) + encoding.held_out * (double) rn_rows_count(job->rows, 0);
	encoding.looked_at = candidates > LOSS_PAIRS ? LOSS_PAIRS / candidates : 1.0;
	encoding.failures = calloc((size_t) rn_threads_count(job->threads), sizeof(RnContext));
	if (encoding.failures == NULL)
		return rn_out_of_memory(ctx, sizeof(RnContext));
	if (rn_report_phase(ctx, job, "encoding") == RN_OK &&
		rn_corpus_create(ctx, &job->spill, SORT_MEMORY, &job->training) == RN_OK &&
		rn_corpus_create(ctx, &job->spill, HELD_OUT_MEMORY, &job->held_out) == RN_OK)
		encode_all(ctx, &encoding);
	settle_length_factor(job);
	free(encoding.failures);
	return ctx->status;
}

static int
compare_sentences(const void *left, const void *right)
{
	const RnSentence *a = left;
	const RnSentence *b = right;

	return (a->hash > b->hash) - (a->hash < b->hash);
}

RnStatus
rn_job_open_corpora(RnContext *ctx, RnJob *job)
{
	RnBatchOptions options = {job->config.batch_tokens, (uint64_t) job->config.seed, 1};
	RnBatchOptions in_order = {RN_EVALUATE_TOKENS, 0, 0};

	/* the text is not needed any more: its place can take the sorted pairs */
	rn_rows_free(job->rows);
	job->rows = NULL;
	RN_TRY(rn_corpus_finish(ctx, job->training));
	RN_TRY(stopped(ctx, job));
	RN_TRY(rn_corpus_finish(ctx, job->held_out));
	if (rn_corpus_pairs(job->training) == 0)
		return no_pairs(ctx, job);
	if (job->n_sentences > 0)
		qsort(job->sentences, (size_t) job->n_sentences, sizeof(RnSentence), compare_sentences);
	RN_TRY(rn_batch_reader_create(ctx, job->training, &options, &job->reader));
	if (rn_corpus_pairs(job->held_out) > 0)
		RN_TRY(rn_batch_reader_create(ctx, job->held_out, &in_order, &job->held_out_reader));
	return RN_OK;
}
