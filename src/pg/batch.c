/*
 * batch.c
 *		Texts that are translated together: collected, sent, answered.
 *
 * Questions are put into chunks, each a request to one model with one set of
 * options.  A few chunks are under way at a time; who reads answers in the
 * order of asking waits for the first while the engine works on the next.
 *
 * src/pg/batch.c
 */
#include "batch.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "encoding.h"
#include "engine_client.h"

#define CHUNK_TEXTS		4096	/* texts of a request, at most */
#define CHUNK_BYTES		(4 * 1024 * 1024)	/* of texts as they are stored; a request stays well below RN_FRAME_MAX */
#define CHUNKS_AHEAD	4		/* requests under way */
#define FIRST_QUESTIONS	16		/* room at the start */

typedef struct Chunk
{
	ResTranslator *translator;
	int			number;			/* among the batch's chunks */
	List	   *questions;		/* their numbers */
	Size		bytes;
	ResRequest *request;		/* NULL: not sent */
	bool	   *cut;			/* [questions] by us, before sending */
	ResAnswer  *answers;		/* [questions * n_best], or NULL */
	bool		failed;			/* as a whole: each question is asked alone */
} Chunk;

typedef struct Question
{
	text	   *source;
	ResTranslator *translator;
	Chunk	   *chunk;
	int			position;		/* in it */
} Question;

typedef struct Asked
{
	const Question *question;
	int			number;
	uint32		hash;
	char		status;
} Asked;

static uint32
hash_question(const Question *question)
{
	return hash_bytes((const unsigned char *) VARDATA_ANY(question->source), VARSIZE_ANY_EXHDR(question->source)) ^
		(uint32) (uintptr_t) question->translator;
}

static bool
same_question(const Question *a, const Question *b)
{
	return a->translator == b->translator &&
		VARSIZE_ANY_EXHDR(a->source) == VARSIZE_ANY_EXHDR(b->source) &&
		memcmp(VARDATA_ANY(a->source), VARDATA_ANY(b->source), VARSIZE_ANY_EXHDR(a->source)) == 0;
}

#define SH_PREFIX		asked
#define SH_ELEMENT_TYPE Asked
#define SH_KEY_TYPE		const Question *
#define SH_KEY			question
#define SH_HASH_KEY(table, key) hash_question(key)
#define SH_EQUAL(table, a, b) same_question(a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(table, entry) (entry)->hash
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct ResBatch
{
	MemoryContext context;
	asked_hash *asked;			/* made for the second question */
	Question  **questions;		/* [n_questions] */
	int			n_questions;
	int			room;			/* of questions */
	List	   *chunks;			/* in the order of sending */
	List	   *open;			/* those that take more, one a translator */
	int			n_sent;			/* chunks */
	Size		bytes;
	int64		tokens;
};

ResBatch *
res_batch_create(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "texts to translate", ALLOCSET_DEFAULT_SIZES);
	ResBatch   *batch = MemoryContextAllocZero(context, sizeof(ResBatch));

	batch->context = context;
	batch->room = FIRST_QUESTIONS;
	batch->questions = MemoryContextAlloc(context, batch->room * sizeof(Question *));
	return batch;
}

void
res_batch_free(ResBatch *batch)
{
	MemoryContextDelete(batch->context);
}

MemoryContext
res_batch_context(const ResBatch *batch)
{
	return batch->context;
}

int
res_batch_questions(const ResBatch *batch)
{
	return batch->n_questions;
}

Size
res_batch_bytes(const ResBatch *batch)
{
	return batch->bytes;
}

int
res_batch_requests(const ResBatch *batch)
{
	return list_length(batch->chunks);
}

int64
res_batch_tokens(const ResBatch *batch)
{
	return batch->tokens;
}

/* ---------- collecting ---------- */

/* The number under which it was asked before, or -1; the table remembers it from now on. */
static int
find_question(ResBatch *batch, const Question *question)
{
	Asked	   *entry;
	bool		found;

	if (batch->n_questions == 0)
		return -1;
	if (batch->asked == NULL)
	{
		batch->asked = asked_create(batch->context, FIRST_QUESTIONS, NULL);
		entry = asked_insert(batch->asked, batch->questions[0], &found);
		entry->number = 0;
	}
	entry = asked_insert(batch->asked, question, &found);
	if (found)
		return entry->number;
	entry->number = batch->n_questions;
	return -1;
}

/* The chunk that takes this text, a new one where the translator's last is full. */
static Chunk *
open_chunk(ResBatch *batch, ResTranslator *translator, Size bytes)
{
	ListCell   *cell;
	Chunk	   *chunk;

	foreach(cell, batch->open)
	{
		chunk = lfirst(cell);
		if (chunk->translator != translator)
			continue;
		if (list_length(chunk->questions) < CHUNK_TEXTS && chunk->bytes + bytes <= CHUNK_BYTES)
			return chunk;
		batch->open = foreach_delete_current(batch->open, cell);
		break;
	}
	chunk = palloc0(sizeof(Chunk));
	chunk->translator = translator;
	chunk->number = list_length(batch->chunks);
	batch->chunks = lappend(batch->chunks, chunk);
	batch->open = lappend(batch->open, chunk);
	return chunk;
}

static int
add_question(ResBatch *batch, Question *question)
{
	Size		bytes = VARSIZE_ANY(question->source);
	int			number = batch->n_questions;

	if (number == batch->room)
	{
		batch->room *= 2;
		batch->questions = repalloc_huge(batch->questions, batch->room * sizeof(Question *));
	}
	question->chunk = open_chunk(batch, question->translator, bytes);
	question->position = list_length(question->chunk->questions);
	question->chunk->questions = lappend_int(question->chunk->questions, number);
	question->chunk->bytes += bytes;
	batch->bytes += bytes;
	batch->questions[batch->n_questions++] = question;
	return number;
}

int
res_batch_ask(ResBatch *batch, ResTranslator *translator, text *source)
{
	MemoryContext before = MemoryContextSwitchTo(batch->context);
	Question   *question = palloc(sizeof(Question));
	int			number;

	question->source = (text *) PG_DETOAST_DATUM_COPY(PointerGetDatum(source));
	question->translator = translator;
	number = find_question(batch, question);
	if (number < 0)
		number = add_question(batch, question);
	else
	{
		pfree(question->source);
		pfree(question);
	}
	MemoryContextSwitchTo(before);
	return number;
}

/* ---------- sending ---------- */

/* Write and send one request for these questions; cut notes which texts had to be cut. */
static ResRequest *
send_questions(ResBatch *batch, ResTranslator *translator, const List *questions, bool *cut)
{
	RnWriter   *writer = res_translator_request(translator, list_length(questions));
	ListCell   *cell;

	foreach(cell, questions)
		*cut++ = !res_write_text(writer, batch->questions[lfirst_int(cell)]->source);
	return res_request_send();
}

static void
send_up_to(ResBatch *batch, int last)
{
	MemoryContext before = MemoryContextSwitchTo(batch->context);

	for (; batch->n_sent <= last && batch->n_sent < list_length(batch->chunks); batch->n_sent++)
	{
		Chunk	   *chunk = list_nth(batch->chunks, batch->n_sent);

		chunk->cut = palloc(list_length(chunk->questions) * sizeof(bool));
		chunk->request = send_questions(batch, chunk->translator, chunk->questions, chunk->cut);
	}
	MemoryContextSwitchTo(before);
}

void
res_batch_send(ResBatch *batch)
{
	list_free(batch->open);
	batch->open = NIL;
	send_up_to(batch, CHUNKS_AHEAD - 1);
}

/* ---------- answers ---------- */

static void
read_tokens(RnReader *reader, ResAnswer *answer)
{
	uint32		n = rn_read_count(reader, sizeof(uint32) + sizeof(double));
	uint32		i;

	answer->pieces = answer->token_scores = NULL;
	if (n == 0)
		return;
	res_check_answers(n, answer->tokens);
	answer->pieces = palloc(n * sizeof(Datum));
	answer->token_scores = palloc(n * sizeof(Datum));
	for (i = 0; i < n; i++)
	{
		Size		size;
		const char *bytes = rn_read_bytes(reader, &size);

		answer->pieces[i] = PointerGetDatum(res_text_from_utf8(bytes, size));
		answer->token_scores[i] = Float8GetDatum(rn_read_f64(reader));
	}
}

static void
read_one(RnReader *reader, ResAnswer *answer, bool cut)
{
	bool		present = rn_read_u8(reader) != 0;
	Size		size;
	const char *bytes = rn_read_bytes(reader, &size);

	answer->score = rn_read_f64(reader);
	answer->log_probability = rn_read_f64(reader);
	answer->tokens = rn_read_u32(reader);
	answer->cut = rn_read_u8(reader) != 0 || cut;
	answer->translation = present && !reader->failed ? res_text_from_utf8(bytes, size) : NULL;
	read_tokens(reader, answer);
}

/* The answers to n questions of a request, [n * n_best]; ERROR as the engine says. */
static ResAnswer *
read_answers(ResBatch *batch, ResTranslator *translator, ResRequest *request, int n, const bool *cut)
{
	int			n_best = translator->search.n_best;
	ResAnswer  *answers = palloc_extended((Size) n * n_best * sizeof(ResAnswer), MCXT_ALLOC_HUGE);
	RnReader	reader;
	int			i;

	res_request_read(request, &reader);
	res_check_answers(rn_read_u32(&reader), n);
	res_check_answers(rn_read_u32(&reader), n_best);
	for (i = 0; i < n * n_best; i++)
	{
		read_one(&reader, &answers[i], cut[i / n_best]);
		batch->tokens += answers[i].tokens;
	}
	res_request_end(&reader);
	return answers;
}

/* One of several texts may be the cause of an error: ask for this one alone, now that its turn has come. */
static ResAnswer *
ask_alone(ResBatch *batch, int number)
{
	Question   *question = batch->questions[number];
	bool		cut;
	ResRequest *request = send_questions(batch, question->translator, list_make1_int(number), &cut);

	return read_answers(batch, question->translator, request, 1, &cut);
}

static void
read_chunk(ResBatch *batch, Chunk *chunk)
{
	int			n = list_length(chunk->questions);

	if (n > 1 && !res_request_await(chunk->request))
		chunk->failed = true;
	else
		chunk->answers = read_answers(batch, chunk->translator, chunk->request, n, chunk->cut);
}

const ResAnswer *
res_batch_answer(ResBatch *batch, int number)
{
	Question   *question = batch->questions[number];
	Chunk	   *chunk = question->chunk;
	int			position = question->position * question->translator->search.n_best;
	MemoryContext before = MemoryContextSwitchTo(batch->context);
	const ResAnswer *answer;

	if (chunk->answers == NULL && !chunk->failed)
	{
		send_up_to(batch, chunk->number + CHUNKS_AHEAD - 1);
		read_chunk(batch, chunk);
	}
	answer = chunk->failed ? ask_alone(batch, number) : chunk->answers + position;
	MemoryContextSwitchTo(before);
	return answer;
}
