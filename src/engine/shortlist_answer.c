/*
 * shortlist_answer.c
 *		A shortlist out of sentence pairs, for a model that is there already.
 *
 * Pairs are encoded as they come and kept in memory.  Where there are more
 * than fit, half of those that were kept go, by a digest of their pieces, and
 * of those that still come as many: what remains is a sample that does not
 * depend on the order of the rows.
 *
 * src/engine/shortlist_answer.c
 */
#include "engine/shortlist_answer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/digest.h"
#include "engine/control.h"
#include "engine/frames.h"

#define ROUNDS			5		/* of expectation maximisation */
#define PAIRS_MEMORY	((size_t) 256 * 1024 * 1024)
#define TOKENIZER_MAX	((uint64_t) 256 * 1024 * 1024)

/* A pair as it is kept, in words of 32 bits: two of its digest, two numbers of ids, ids. */
#define HEAD_WORDS		4

typedef struct Question
{
	RnPeer	   *peer;
	volatile sig_atomic_t *stop;
	RnConfig	config;
	size_t		memory;			/* of pairs; as much again for what is made of them */
	char	   *tokenizer_bytes;
	size_t		tokenizer_size;
	size_t		tokenizer_received;
	RnTokenizer *tokenizer;
	uint32_t   *words;			/* pairs, one after another */
	size_t		used;			/* words */
	size_t		room;
	uint64_t	mask;			/* pairs are kept whose digest has none of these bits */
	uint64_t	pairs;			/* that came, of them */
	uint64_t	rows_empty;		/* left out: nothing on a side */
	uint64_t	rows_long;		/* longer than the model takes */
	int			complete;		/* ROWS_END has come */
} Question;

RnStatus
rn_make_shortlist(RnContext *ctx, const RnConfig *config, size_t memory, RnLexiconPass pass, void *arg,
				  RnShortlist **shortlist)
{
	RnLexiconOptions options;
	RnLexicon  *lexicon;

	options.vocabulary = config->vocab_size;
	options.rounds = ROUNDS;
	options.frequent = config->shortlist_frequent;
	options.best = config->shortlist_best;
	options.memory = memory;
	*shortlist = NULL;
	RN_TRY(rn_lexicon_learn(ctx, &options, pass, arg, &lexicon));
	rn_lexicon_shortlist(ctx, lexicon, shortlist);
	rn_lexicon_free(lexicon);
	return ctx->status;
}

/* ---- pairs ---- */

static uint64_t
digest_of(const uint32_t *pair)
{
	return (uint64_t) pair[1] << 32 | pair[0];
}

static size_t
words_of(const uint32_t *pair)
{
	return HEAD_WORDS + (size_t) pair[2] + pair[3];
}

/* Keep half. */
static void
thin_out(Question *question)
{
	size_t		at = 0;
	size_t		to = 0;

	question->mask = question->mask << 1 | 1;
	while (at < question->used)
	{
		const size_t n = words_of(question->words + at);

		if ((digest_of(question->words + at) & question->mask) == 0)
		{
			memmove(question->words + to, question->words + at, n * sizeof(uint32_t));
			to += n;
		}
		at += n;
	}
	question->used = to;
}

static RnStatus
make_room(RnContext *ctx, Question *question, size_t words)
{
	const size_t most = question->memory / sizeof(uint32_t);
	size_t		room = question->room > 0 ? question->room : 4096;
	uint32_t   *grown;

	while (question->used + words > most && question->used > 0)
		thin_out(question);
	if (question->used + words <= question->room)
		return RN_OK;
	while (room < question->used + words)
		room *= 2;
	if (room > most && question->used + words <= most)
		room = most;
	grown = realloc(question->words, room * sizeof(uint32_t));
	if (grown == NULL)
		return rn_out_of_memory(ctx, room * sizeof(uint32_t));
	question->words = grown;
	question->room = room;
	return RN_OK;
}

static RnStatus
keep_pair(RnContext *ctx, Question *question, const int32_t *const ids[2], const int n[2])
{
	uint64_t	digest[2];
	uint32_t   *pair;
	int			i;

	for (i = 0; i < 2; i++)
		rn_digest(ids[i], n[i] * sizeof(int32_t), i > 0 ? digest[0] : 0, digest);
	if ((digest[0] & question->mask) != 0)
		return RN_OK;
	RN_TRY(make_room(ctx, question, HEAD_WORDS + (size_t) n[0] + (size_t) n[1]));
	if ((digest[0] & question->mask) != 0)
		return RN_OK;
	pair = question->words + question->used;
	pair[0] = (uint32_t) digest[0];
	pair[1] = (uint32_t) (digest[0] >> 32);
	pair[2] = (uint32_t) n[0];
	pair[3] = (uint32_t) n[1];
	memcpy(pair + HEAD_WORDS, ids[0], n[0] * sizeof(int32_t));
	memcpy(pair + HEAD_WORDS + n[0], ids[1], n[1] * sizeof(int32_t));
	question->used += words_of(pair);
	return RN_OK;
}

/* RnRowSink */
static RnStatus
take_row(RnContext *ctx, void *arg, int set, RnText source, RnText target)
{
	Question   *question = arg;
	int32_t    *ids[2] = {NULL, NULL};
	int			n[2] = {0, 0};
	int			cut[2] = {0, 0};

	(void) set;
	if (rn_tokenizer_encode(ctx, question->tokenizer, source, question->config.max_length - 1, &ids[0], &n[0],
							&cut[0]) == RN_OK &&
		rn_tokenizer_encode(ctx, question->tokenizer, target, question->config.max_length - 1, &ids[1], &n[1],
							&cut[1]) == RN_OK)
	{
		if (n[0] == 0 || n[1] == 0)
			question->rows_empty++;
		else if (cut[0] || cut[1])
			question->rows_long++;
		else
		{
			question->pairs++;
			keep_pair(ctx, question, (const int32_t *const *) ids, n);
		}
	}
	free(ids[0]);
	free(ids[1]);
	return ctx->status;
}

/* RnLexiconPass */
static RnStatus
each_pair(RnContext *ctx, void *arg, RnLexiconSink sink, void *sink_arg)
{
	const Question *question = arg;
	size_t		at;

	for (at = 0; at < question->used; at += words_of(question->words + at))
	{
		const uint32_t *pair = question->words + at;
		const int32_t *ids = (const int32_t *) (pair + HEAD_WORDS);

		if (*question->stop)
			return rn_fail(ctx, RN_CANCELLED, "the engine was stopped");
		sink(sink_arg, ids, (int) pair[2], ids + pair[2], (int) pair[3]);
	}
	return RN_OK;
}

/* ---- frames ---- */

static RnStatus
unexpected(RnContext *ctx, const RnFrame *frame)
{
	return rn_fail(ctx, RN_CORRUPT, "received an unexpected message of type %u about a shortlist", frame->type);
}

static RnStatus
take_question(RnContext *ctx, Question *question, const RnFrame *frame)
{
	RnReader	reader;
	uint64_t	limit;

	rn_reader_init(&reader, frame);
	rn_config_defaults(&question->config);
	RN_TRY(rn_take_pairs(ctx, &reader, rn_take_option, &question->config));
	limit = rn_read_u64(&reader);
	RN_TRY(rn_reader_end(ctx, &reader, "question about a shortlist"));
	question->memory = limit == 0 || limit / 2 > PAIRS_MEMORY ? PAIRS_MEMORY : (size_t) limit / 2;
	return RN_OK;
}

static RnStatus
take_tokenizer(RnContext *ctx, Question *question, const RnFrame *frame)
{
	char		name[RN_NAME_LENGTH];
	RnReader	reader;
	const char *bytes;
	size_t		size;
	uint64_t	total;
	uint64_t	offset;

	rn_reader_init(&reader, frame);
	rn_read_string(&reader, name, sizeof(name));
	if (rn_read_u32(&reader) != 0 || rn_read_u32(&reader) != RN_DTYPE_BYTES)
		return unexpected(ctx, frame);
	total = rn_read_u64(&reader);
	offset = rn_read_u64(&reader);
	bytes = rn_read_bytes(&reader, &size);
	RN_TRY(rn_reader_end(ctx, &reader, "part"));
	if (strcmp(name, "tokenizer") != 0 || question->tokenizer != NULL || total == 0 || total > TOKENIZER_MAX ||
		offset != question->tokenizer_received || size > total - offset ||
		(offset > 0 && total != question->tokenizer_size))
		return unexpected(ctx, frame);
	if (offset == 0 && (question->tokenizer_bytes = malloc(total)) == NULL)
		return rn_out_of_memory(ctx, total);
	question->tokenizer_size = total;
	memcpy(question->tokenizer_bytes + offset, bytes, size);
	question->tokenizer_received += size;
	if (question->tokenizer_received < total)
		return RN_OK;
	RN_TRY(rn_tokenizer_load(ctx, question->tokenizer_bytes, total, &question->tokenizer));
	question->config.vocab_size = rn_tokenizer_vocab_size(question->tokenizer);
	return RN_OK;
}

static RnStatus
take_frame(RnContext *ctx, Question *question, const RnFrame *frame)
{
	switch (frame->type)
	{
		case RN_PART:
			return take_tokenizer(ctx, question, frame);
		case RN_ROWS:
			return question->tokenizer == NULL ? unexpected(ctx, frame) : rn_take_rows(ctx, frame, take_row, question);
		case RN_ROWS_END:
			question->complete = question->tokenizer != NULL;
			return question->complete ? RN_OK : unexpected(ctx, frame);
		default:
			return unexpected(ctx, frame);
	}
}

static RnStatus
receive(RnContext *ctx, Question *question, const RnFrame *first)
{
	RN_TRY(take_question(ctx, question, first));
	while (!question->complete)
	{
		RnFrame		frame;
		int			got;

		RN_TRY(rn_peer_receive(ctx, question->peer, -1, &frame, &got));
		if (got)
			RN_TRY(take_frame(ctx, question, &frame));
		if (*question->stop)
			return rn_fail(ctx, RN_CANCELLED, "the engine was stopped");
	}
	return RN_OK;
}

static RnStatus
send(RnContext *ctx, RnPeer *peer, RnWriter *out)
{
	RN_TRY(rn_write_end(ctx, out));
	return rn_peer_send(ctx, peer, out);
}

/* Its bytes, then what was counted. */
static RnStatus
send_answer(RnContext *ctx, const Question *question, const RnShortlist *shortlist, RnWriter *out)
{
	const char *bytes = (const char *) shortlist->words;
	size_t		offset;
	size_t		n;

	for (offset = 0; offset < shortlist->size; offset += n)
	{
		n = shortlist->size - offset < RN_CHUNK ? shortlist->size - offset : RN_CHUNK;
		rn_write_begin(out, RN_PART, 0);
		rn_write_string(out, "shortlist");
		rn_write_u32(out, 0);
		rn_write_u32(out, RN_DTYPE_BYTES);
		rn_write_u64(out, shortlist->size);
		rn_write_u64(out, offset);
		rn_write_bytes(out, bytes + offset, n);
		RN_TRY(send(ctx, question->peer, out));
	}
	rn_write_begin(out, RN_SHORTLIST, 0);
	rn_write_u64(out, question->pairs);
	return send(ctx, question->peer, out);
}

static RnStatus
no_pairs(RnContext *ctx, const Question *question)
{
	rn_fail(ctx, RN_NO_DATA, "there is no sentence pair to count");
	rn_detail(ctx, "%llu rows have an empty side, %llu have more than %d pieces.",
			  (unsigned long long) question->rows_empty, (unsigned long long) question->rows_long,
			  question->config.max_length);
	rn_hint(ctx, "Row-level security may hide rows.");
	return ctx->status;
}

static RnStatus
answer(RnContext *ctx, Question *question)
{
	RnShortlist *shortlist = NULL;
	RnWriter	out;

	if (question->pairs == 0)
		return no_pairs(ctx, question);
	RN_TRY(rn_make_shortlist(ctx, &question->config, question->memory, each_pair, question, &shortlist));
	rn_writer_init(&out);
	send_answer(ctx, question, shortlist, &out);
	rn_writer_free(&out);
	rn_shortlist_free(shortlist);
	return ctx->status;
}

RnStatus
rn_shortlist_answer(RnContext *ctx, RnPeer *peer, const RnFrame *first, volatile sig_atomic_t *stop)
{
	RnControl  *control = NULL;
	Question	question;

	memset(&question, 0, sizeof(question));
	question.peer = peer;
	question.stop = stop;
	if (receive(ctx, &question, first) == RN_OK && rn_control_start(ctx, peer, stop, &control) == RN_OK &&
		answer(ctx, &question) != RN_OK)
		rn_peer_send_error(peer, 0, ctx);
	rn_tokenizer_free(question.tokenizer);
	free(question.tokenizer_bytes);
	free(question.words);
	while (control != NULL)
		pause();				/* the control thread ends the process when the peer hangs up */
	return ctx->status;
}
