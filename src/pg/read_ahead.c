/*
 * read_ahead.c
 *		Rows that are read before they are asked for, so that their texts are
 *		translated in batches, and while more rows are read.
 *
 * Rows stand in portions, each with a batch of texts of its own: the first is
 * being given out, those behind it are under way.
 *
 * src/pg/read_ahead.c
 */
#include "read_ahead.h"

#include "access/htup_details.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "attempt.h"

#define FIRST_ROWS		8		/* of the first portion */
#define GROWTH			4		/* of portions; rows ahead for one that was asked for */
#define PORTIONS		3		/* at a time */
#define FILL_MS			100		/* rows that come slowly are sent without waiting for more */
#define TRANSLATORS		64		/* combinations of model and options that are kept */

typedef struct Portion
{
	dlist_node	node;
	ResBatch   *batch;			/* the portion lives in its context */
	int			n;				/* rows */
	int			given;			/* of them */
	int			room;
	MinimalTuple *rows;			/* [room] */
	int		   *questions;		/* [room * n_calls]; -1: NULL */
	ResTranslator **translators;	/* [room * n_calls] */
	Size		bytes;			/* of rows and texts */
	bool		alone;			/* its only row asks nothing here */
} Portion;

struct ResReadAhead
{
	MemoryContext context;
	int			n_calls;
	ResReadRow	read;
	void	   *arg;
	bool		may_be_alone;	/* rows in error */
	bool		held_back;		/* one row at a time */
	int			next_size;		/* rows of the next portion */
	int64		given;			/* rows since the start */
	int64		ahead;			/* rows that were read and not given */
	bool		ended;			/* there are no more */
	bool		later;			/* there are, but not now */
	dlist_head	portions;
	int			n_portions;
	List	   *translators;	/* prepared */

	/* a row that was read, but may not be prepared yet */
	MemoryContext held;
	bool		is_held;
	bool		is_alone;		/* the row that was read last, or is held */
	ResCall    *calls;			/* [n_calls] of the row that was read last, or is held */
	MinimalTuple row;
	ResReadAheadCounts counts;
};

ResReadAhead *
res_read_ahead_create(MemoryContext home, int n_calls, ResReadRow read, void *arg, bool alone)
{
	MemoryContext context = AllocSetContextCreate(home, "rows read ahead", ALLOCSET_DEFAULT_SIZES);
	ResReadAhead *ahead = MemoryContextAllocZero(context, sizeof(ResReadAhead));

	ahead->context = context;
	ahead->n_calls = n_calls;
	ahead->read = read;
	ahead->arg = arg;
	ahead->may_be_alone = alone;
	ahead->held = AllocSetContextCreate(context, "row that waits", ALLOCSET_SMALL_SIZES);
	ahead->calls = MemoryContextAllocZero(context, n_calls * sizeof(ResCall));
	dlist_init(&ahead->portions);
	res_read_ahead_reset(ahead);
	return ahead;
}

static void
drop_first(ResReadAhead *ahead)
{
	Portion    *portion = dlist_container(Portion, node, dlist_pop_head_node(&ahead->portions));

	ahead->n_portions--;
	ahead->ahead -= portion->n - portion->given;
	res_batch_free(portion->batch);
}

void
res_read_ahead_reset(ResReadAhead *ahead)
{
	while (ahead->n_portions > 0)
		drop_first(ahead);
	MemoryContextReset(ahead->held);
	ahead->is_held = false;
	ahead->is_alone = false;
	ahead->next_size = ahead->held_back ? 1 : Min(FIRST_ROWS, res_batch_rows);
	ahead->given = 0;
	ahead->ended = false;
}

void
res_read_ahead_hold_back(ResReadAhead *ahead)
{
	ahead->held_back = true;
	ahead->next_size = 1;
}

void
res_read_ahead_free(ResReadAhead *ahead)
{
	MemoryContextDelete(ahead->context);
}

ResReadAheadCounts
res_read_ahead_counts(const ResReadAhead *ahead)
{
	return ahead->counts;
}

/* ---------- models and options ---------- */

static bool
is_for(const ResTranslator *translator, const ResCall *call)
{
	const char *name = translator->name;

	if (call->model == NULL)
	{
		if (res_default_model == NULL || strcmp(name, res_default_model) != 0)
			return false;
	}
	else if (strlen(name) != VARSIZE_ANY_EXHDR(call->model) ||
			 memcmp(name, VARDATA_ANY(call->model), VARSIZE_ANY_EXHDR(call->model)) != 0)
		return false;
	if (call->options == NULL || translator->options == NULL)
		return call->options == translator->options;
	return VARSIZE_ANY(call->options) == VARSIZE_ANY(translator->options) &&
		memcmp(call->options, translator->options, VARSIZE_ANY(call->options)) == 0;
}

/* What is prepared for a call, most likely by the row before; NULL: nothing is. */
static ResTranslator *
find_translator(const ResReadAhead *ahead, const ResCall *call)
{
	ListCell   *cell;

	foreach(cell, ahead->translators)
	{
		if (is_for(lfirst(cell), call))
			return lfirst(cell);
	}
	return NULL;
}

/* Chosen once, for all rows of the query that follow.  ERROR as of the scalar call. */
static void
add_translator(ResReadAhead *ahead, const ResCall *call)
{
	ResTranslator *translator = res_translator_create(ahead->context);

	res_translator_prepare(translator, RN_TASK_TRANSLATE,
						   call->model == NULL ? NULL : text_to_cstring(call->model), call->options);
	ahead->translators = lappend(ahead->translators, translator);
}

/* No portion uses them. */
static void
drop_translators(ResReadAhead *ahead)
{
	ListCell   *cell;

	foreach(cell, ahead->translators)
		res_translator_free(lfirst(cell));
	list_free(ahead->translators);
	ahead->translators = NIL;
}

static bool
lacks_translator(const ResReadAhead *ahead, const ResCall *call)
{
	return !call->isnull && find_translator(ahead, call) == NULL;
}

static void
add_translators(void *arg)
{
	ResReadAhead *ahead = arg;
	MemoryContext before = MemoryContextSwitchTo(ahead->context);
	int			i;

	for (i = 0; i < ahead->n_calls; i++)
	{
		if (lacks_translator(ahead, &ahead->calls[i]))
			add_translator(ahead, &ahead->calls[i]);
	}
	MemoryContextSwitchTo(before);
}

/* May the row be asked about?  One that is alone, or whose translators are not prepared, may once no row is before it. */
static bool
prepare_row(ResReadAhead *ahead)
{
	int			i = 0;

	if (ahead->is_alone)
		return ahead->ahead == 0;
	while (i < ahead->n_calls && !lacks_translator(ahead, &ahead->calls[i]))
		i++;
	if (i == ahead->n_calls)
		return true;
	if (ahead->ahead > 0)
		return false;
	if (list_length(ahead->translators) >= TRANSLATORS)
		drop_translators(ahead);
	if (!ahead->may_be_alone)
		add_translators(ahead);
	else
		ahead->is_alone = !res_attempt(add_translators, ahead);
	return true;
}

/* ---------- reading ---------- */

/* The row waits; what it points to must live as long. */
static void
hold_row(ResReadAhead *ahead)
{
	MemoryContext before = MemoryContextSwitchTo(ahead->held);
	int			i;

	for (i = 0; i < ahead->n_calls; i++)
	{
		ResCall    *call = &ahead->calls[i];

		if (call->isnull || ahead->is_alone)
			continue;
		call->source = (text *) PG_DETOAST_DATUM_COPY(PointerGetDatum(call->source));
		if (call->model != NULL)
			call->model = (text *) PG_DETOAST_DATUM_COPY(PointerGetDatum(call->model));
		if (call->options != NULL)
			call->options = (Jsonb *) PG_DETOAST_DATUM_COPY(PointerGetDatum(call->options));
	}
	if (ahead->row != NULL)
		ahead->row = heap_copy_minimal_tuple(ahead->row);
	ahead->is_held = true;
	MemoryContextSwitchTo(before);
}

static Portion *
create_portion(ResReadAhead *ahead)
{
	MemoryContext before = MemoryContextSwitchTo(ahead->context);
	ResBatch   *batch = res_batch_create();
	Portion    *portion = MemoryContextAllocZero(res_batch_context(batch), sizeof(Portion));

	MemoryContextSwitchTo(res_batch_context(batch));
	portion->batch = batch;
	portion->room = ahead->next_size;
	portion->rows = palloc(portion->room * sizeof(MinimalTuple));
	portion->questions = palloc(portion->room * ahead->n_calls * sizeof(int));
	portion->translators = palloc(portion->room * ahead->n_calls * sizeof(ResTranslator *));
	MemoryContextSwitchTo(before);
	dlist_push_tail(&ahead->portions, &portion->node);
	ahead->n_portions++;
	return portion;
}

/* Add the row that was read last. */
static void
add_row(ResReadAhead *ahead, Portion *portion, MinimalTuple row)
{
	int			at = portion->n * ahead->n_calls;
	int			i;

	for (i = 0; i < ahead->n_calls; i++)
	{
		ResCall    *call = &ahead->calls[i];

		portion->questions[at + i] = -1;
		portion->translators[at + i] = NULL;
		if (call->isnull || ahead->is_alone)
			continue;
		portion->translators[at + i] = find_translator(ahead, call);
		portion->questions[at + i] = res_batch_ask(portion->batch, portion->translators[at + i], call->source);
	}
	portion->rows[portion->n++] = row;
	portion->alone = ahead->is_alone;
	portion->bytes += row != NULL ? row->t_len : 0;
	ahead->ahead++;
}

static void
add_held_row(ResReadAhead *ahead, Portion *portion)
{
	MemoryContext before = MemoryContextSwitchTo(res_batch_context(portion->batch));

	add_row(ahead, portion, ahead->row != NULL ? heap_copy_minimal_tuple(ahead->row) : NULL);
	MemoryContextSwitchTo(before);
	MemoryContextReset(ahead->held);
	ahead->is_held = false;
}

static bool
is_full(const Portion *portion, TimestampTz started)
{
	if (portion->n == 0)
		return false;
	return portion->alone || portion->n == portion->room ||
		portion->bytes + res_batch_bytes(portion->batch) >= (Size) work_mem * 1024 / PORTIONS ||
		TimestampDifferenceExceeds(started, GetCurrentTimestamp(), FILL_MS);
}

static void
fill_portion(ResReadAhead *ahead, Portion *portion)
{
	TimestampTz started = GetCurrentTimestamp();
	ResRowKind	kind;

	if (ahead->is_held)
		add_held_row(ahead, portion);
	while (!is_full(portion, started))
	{
		CHECK_FOR_INTERRUPTS();
		ahead->row = NULL;
		kind = ahead->read(ahead->arg, res_batch_context(portion->batch), ahead->calls, &ahead->row);
		ahead->ended = kind == RES_NO_ROW;
		ahead->later = kind == RES_LATER;
		if (ahead->ended || ahead->later)
			break;
		ahead->is_alone = kind == RES_ROW_ALONE;
		if (!prepare_row(ahead))
		{
			hold_row(ahead);
			break;
		}
		add_row(ahead, portion, ahead->row);
	}
}

/* Read a portion and send it; a row that is held has been prepared. */
static void
read_portion(ResReadAhead *ahead)
{
	Portion    *portion = create_portion(ahead);

	fill_portion(ahead, portion);
	if (portion->n == 0)
	{
		dlist_delete(&portion->node);
		ahead->n_portions--;
		res_batch_free(portion->batch);
		return;
	}
	if (!ahead->held_back)
		ahead->next_size = Min(ahead->next_size * GROWTH, res_batch_rows);
	res_batch_send(portion->batch);
	ahead->counts.sentences += res_batch_questions(portion->batch);
	ahead->counts.batches += res_batch_requests(portion->batch);
}

/* Does it read, now, too far ahead of what was asked for?  Nothing is read before a row that is alone has had its turn. */
static bool
is_far_ahead(ResReadAhead *ahead)
{
	if (ahead->n_portions > 0 && dlist_tail_element(Portion, node, &ahead->portions)->alone)
		return true;
	if (ahead->held_back)
		return ahead->ahead > 0;
	return ahead->ahead > 0 && ahead->ahead + ahead->next_size > FIRST_ROWS + GROWTH * ahead->given;
}

/* Read as far ahead as is reasonable. */
static void
read_more(ResReadAhead *ahead)
{
	ahead->later = false;
	while (ahead->n_portions < PORTIONS && (ahead->is_held || !ahead->ended) && !ahead->later)
	{
		if (ahead->is_held ? !prepare_row(ahead) : is_far_ahead(ahead))
			break;
		read_portion(ahead);
	}
}

/* ---------- giving out ---------- */

static void
give_answer(ResReadAhead *ahead, Portion *portion, int at, Datum *value, bool *isnull)
{
	const ResAnswer *answer;
	int64		tokens = res_batch_tokens(portion->batch);

	*value = (Datum) 0;
	*isnull = true;
	if (portion->questions[at] < 0)
		return;
	answer = res_batch_answer(portion->batch, portion->questions[at]);
	ahead->counts.tokens += res_batch_tokens(portion->batch) - tokens;
	res_translator_report_cut(portion->translators[at], answer->cut, 1);
	*value = PointerGetDatum(answer->translation);
	*isnull = answer->translation == NULL;
}

/* What was given is needed no more: read what comes. */
static void
advance(ResReadAhead *ahead)
{
	if (ahead->n_portions > 0)
	{
		Portion    *portion = dlist_head_element(Portion, node, &ahead->portions);

		if (portion->given == portion->n)
			drop_first(ahead);
	}
	read_more(ahead);
}

ResRowKind
res_read_ahead_next(ResReadAhead *ahead, MinimalTuple *row, Datum *answers, bool *nulls)
{
	Portion    *portion;
	int			i;

	advance(ahead);
	if (ahead->n_portions == 0)
		return RES_NO_ROW;
	portion = dlist_head_element(Portion, node, &ahead->portions);
	for (i = 0; i < ahead->n_calls; i++)
		give_answer(ahead, portion, portion->given * ahead->n_calls + i, &answers[i], &nulls[i]);
	*row = portion->rows[portion->given++];
	ahead->given++;
	ahead->ahead--;
	return portion->alone ? RES_ROW_ALONE : RES_ROW;
}

int64
res_read_ahead_waiting(const ResReadAhead *ahead)
{
	return ahead->ahead;
}

bool
res_read_ahead_is_alone(ResReadAhead *ahead)
{
	advance(ahead);
	return ahead->n_portions > 0 && dlist_head_element(Portion, node, &ahead->portions)->alone;
}
