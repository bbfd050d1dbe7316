/*
 * translation.c
 *		What a call translates with, looked up once and used for many texts.
 *
 * src/pg/translation.c
 */
#include "translation.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "batch.h"
#include "encoding.h"
#include "engine_client.h"
#include "job.h"
#include "options.h"

#define BATCH_TEXTS		4096	/* texts of a request, at most */
#define BATCH_BYTES		(4 * 1024 * 1024)	/* of texts as they are stored; a request stays well below RN_FRAME_MAX */

/* ---------- is what was prepared still right? ---------- */

/* Snapshots that see the same. */
static bool
same_snapshot(const SnapshotData *a, const SnapshotData *b)
{
	return a->snapshot_type == b->snapshot_type &&
		a->xmin == b->xmin && a->xmax == b->xmax && a->curcid == b->curcid &&
		a->xcnt == b->xcnt && a->subxcnt == b->subxcnt && a->suboverflowed == b->suboverflowed &&
		memcmp(a->xip, b->xip, a->xcnt * sizeof(TransactionId)) == 0 &&
		(a->subxcnt == 0 || memcmp(a->subxip, b->subxip, a->subxcnt * sizeof(TransactionId)) == 0);
}

static SnapshotData *
copy_snapshot(const SnapshotData *snapshot)
{
	SnapshotData *copy = palloc(sizeof(SnapshotData));

	*copy = *snapshot;
	copy->xip = palloc((copy->xcnt + 1) * sizeof(TransactionId));
	memcpy(copy->xip, snapshot->xip, copy->xcnt * sizeof(TransactionId));
	copy->subxip = palloc((copy->subxcnt + 1) * sizeof(TransactionId));
	if (copy->subxcnt > 0)
		memcpy(copy->subxip, snapshot->subxip, copy->subxcnt * sizeof(TransactionId));
	return copy;
}

static bool
same_options(const Jsonb *a, const Jsonb *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

/* A subtransaction's number tells apart what one saw that was rolled back. */
static bool
still_right(const ResTranslator *translator, RnTask task, const char *name, const Jsonb *options)
{
	return translator->prepared && translator->task == task &&
		translator->precision == res_precision &&
		translator->user == GetUserId() &&
		translator->subtransaction == GetCurrentSubTransactionId() &&
		strcmp(translator->name, name) == 0 &&
		same_options(translator->options, options) &&
		same_snapshot(translator->snapshot, GetActiveSnapshot());
}

/* ---------- options ---------- */

static bool
parse_boolean(const char *key, const char *value)
{
	bool		result;

	if (!parse_bool(value, &result))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", key, value),
				 errhint("It is true or false.")));
	return result;
}

static void
set_option(void *arg, const char *key, const char *value)
{
	ResTranslator *translator = arg;
	RnContext	ctx;

	if (translator->task == RN_TASK_SCORE && strcmp(key, "normalize") == 0)
	{
		translator->normalize = parse_boolean(key, value);
		return;
	}
	if (translator->task == RN_TASK_SCORE && strcmp(key, "precision") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized option \"%s\" of a score", key),
				 errhint("The options are \"normalize\" and \"precision\".")));
	if (strcmp(key, "n_best") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"n_best\" is an argument of residual_nbest()")));
	if (rn_search_is_internal(key))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized option \"%s\"", key)));
	rn_context_reset(&ctx);
	if (rn_search_set(&ctx, &translator->search, key, value) != RN_OK)
		res_report(&ctx);
	translator->pairs = lappend(lappend(translator->pairs, pstrdup(key)), pstrdup(value));
}

static void
check_search(RnSearchOptions *search)
{
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (rn_search_check(&ctx, search) != RN_OK)
		res_report(&ctx);
}

static bool
is_given(const ResTranslator *translator, const char *key)
{
	int			i;

	for (i = 0; i < list_length(translator->pairs); i += 2)
	{
		if (strcmp(list_nth(translator->pairs, i), key) == 0)
			return true;
	}
	return false;
}

static void
parse_options(ResTranslator *translator)
{
	Jsonb	   *options = translator->options;

	rn_search_defaults(&translator->search);
	translator->normalize = false;
	translator->pairs = NIL;
	memset(&translator->terms, 0, sizeof(translator->terms));
	if (translator->task == RN_TASK_TRANSLATE)
		options = res_terms_take(options, &translator->terms);
	if (options != NULL)
		res_options_each(options, set_option, translator);
	if ((translator->task == RN_TASK_TRANSLATE || translator->task == RN_TASK_SCORE) &&
		res_precision != translator->search.precision && !is_given(translator, "precision"))
		set_option(translator, "precision", GetConfigOption("residual.precision", false, false));
	translator->search.has_prefix = translator->terms.prefix != NULL;
	translator->search.has_glossary = translator->terms.glossary != NIL;
	check_search(&translator->search);
}

void
res_translator_set_n_best(ResTranslator *translator, int n)
{
	RnSearchOptions defaults;

	if (n < 1 || n > RN_BEAM_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of translations %d is out of range", n),
				 errdetail("Valid values are from 1 to %d.", RN_BEAM_MAX)));
	rn_search_defaults(&defaults);
	translator->search.n_best = n;
	/* what is drawn needs no beam, and alternatives have one each */
	if (!is_given(translator, "beam") && !translator->search.sampling)
		translator->search.beam = translator->search.alternatives ? Min(defaults.beam, RN_BEAM_MAX / n) :
			Max(defaults.beam, n);
	check_search(&translator->search);
}

/* ---------- preparing ---------- */

ResTranslator *
res_translator_create(MemoryContext home)
{
	ResTranslator *translator = MemoryContextAllocZero(home, sizeof(ResTranslator));

	translator->context = AllocSetContextCreate(home, "translator", ALLOCSET_SMALL_SIZES);
	return translator;
}

void
res_translator_free(ResTranslator *translator)
{
	MemoryContextDelete(translator->context);
	pfree(translator);
}

ResTranslator *
res_translator_of(FmgrInfo *function)
{
	if (function->fn_extra == NULL)
		function->fn_extra = res_translator_create(function->fn_mcxt);
	return function->fn_extra;
}

/* A model that is not there yet because its first training is not over: say so to those who train it. */
static void
check_still_training(const char *name)
{
	Oid			user = GetUserId();
	int64		id;
	ResJob		job;

	if (IsInParallelMode())
		return;
	id = res_job_of_model(name);
	if (id == 0 || !res_job_find(id, &job) || !has_privs_of_role(user, job.owner))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("model \"%s\" is still being trained by job " INT64_FORMAT, name, id),
			 errhint("Wait for it with residual_wait(" INT64_FORMAT "); residual_progress shows how far it is.", id)));
}

static void
find_model(const char *name, ResModel *model)
{
	Oid			user = GetUserId();

	if (!res_model_find(name, model))
	{
		check_still_training(name);
		res_model_get(name, user, model);	/* says what it is called instead */
	}
	res_model_check_use(model, user);
	if (model->active == 0)
	{
		check_still_training(name);
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no version in service", name),
				 errhint("Its owner puts one in service with residual_activate().")));
	}
}

void
res_translator_prepare(ResTranslator *translator, RnTask task, const char *name, Jsonb *options)
{
	MemoryContext before;

	if (name == NULL)
	{
		name = res_default_model;
		if (name == NULL || name[0] == '\0')
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("no default model is set"),
					 errhint("Name a model in the call, or set residual.default_model.")));
	}
	if (still_right(translator, task, name, options))
		return;
	translator->prepared = false;
	MemoryContextReset(translator->context);
	before = MemoryContextSwitchTo(translator->context);
	translator->task = task;
	translator->name = pstrdup(name);
	translator->options = options == NULL ? NULL :
		(Jsonb *) DatumGetPointer(datumCopy(JsonbPGetDatum(options), false, -1));
	translator->precision = res_precision;
	translator->user = GetUserId();
	translator->subtransaction = GetCurrentSubTransactionId();
	translator->snapshot = copy_snapshot(GetActiveSnapshot());
	translator->cut_reported = false;
	parse_options(translator);
	find_model(translator->name, &translator->model);
	MemoryContextSwitchTo(before);
	translator->prepared = true;
}

/* ---------- asking ---------- */

bool
res_write_text(RnWriter *writer, const text *value)
{
	Size		size;
	const char *bytes = res_text_to_utf8(value, &size);
	bool		whole = size <= RES_SENT_MAX;

	rn_write_bytes(writer, bytes, whole ? size : (Size) pg_encoding_mbcliplen(PG_UTF8, bytes, (int) size, RES_SENT_MAX));
	if (bytes != VARDATA_ANY(value))
		pfree(unconstify(char *, bytes));
	return whole;
}

static void
write_pair(RnWriter *writer, const char *key, const char *value)
{
	rn_write_string(writer, key);
	rn_write_string(writer, value);
}

RnWriter *
res_translator_request(ResTranslator *translator, int n_texts)
{
	RnWriter   *writer = res_request_begin(&translator->model, translator->task);
	int			n = list_length(translator->pairs);
	int			i;

	/* what the function asks for comes last, over what was given */
	rn_write_u32(writer, (uint32) (n / 2 + 3));
	for (i = 0; i < n; i += 2)
		write_pair(writer, list_nth(translator->pairs, i), list_nth(translator->pairs, i + 1));
	write_pair(writer, "beam", psprintf("%d", translator->search.beam));
	write_pair(writer, "n_best", psprintf("%d", translator->search.n_best));
	write_pair(writer, "token_scores", translator->search.token_scores ? "true" : "false");
	res_terms_write(writer, &translator->terms);
	rn_write_u32(writer, (uint32) n_texts);
	return writer;
}

void
res_check_answers(uint32 got, uint32 expected)
{
	if (got != expected)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("the serving engine gave %u answers to %u questions", got, expected)));
}

void
res_ask_about_text(ResTranslator *translator, text *source, RnReader *reader)
{
	bool		whole = res_write_text(res_translator_request(translator, 1), source);

	res_request_perform(&translator->model, reader);
	if (!whole)
		ereport(WARNING,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("a text is longer than %d kB: its end was left out", RES_SENT_MAX / 1024)));
}

/* How many of the texts from the first one go into one request. */
static int
batch_size(int n, text *const *sources, text *const *targets)
{
	Size		bytes = 0;
	int			i;

	for (i = 0; i < n && i < BATCH_TEXTS; i++)
	{
		bytes += VARSIZE_ANY(sources[i]) + (targets != NULL ? VARSIZE_ANY(targets[i]) : 0);
		if (i > 0 && bytes > BATCH_BYTES)
			break;
	}
	return i;
}

int
res_translator_longest(const ResTranslator *translator)
{
	const ResModel *model = &translator->model;
	Oid			types[] = {INT8OID, INT4OID};
	Datum		values[2];
	ResCatalog	catalog;
	int			length = 0;

	values[0] = Int64GetDatum(model->id);
	values[1] = Int32GetDatum(model->active);
	res_catalog_begin(&catalog, true);
	if (res_execute(&catalog, "SELECT configuration->>'max_length' FROM residual.model_version "
					"WHERE model = $1 AND version = $2", 2, types, values, NULL) > 0)
	{
		char	   *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		length = value != NULL ? atoi(value) : 0;
	}
	res_catalog_end(&catalog);
	return length;
}

void
res_translator_report_cut(ResTranslator *translator, int n_cut, int n)
{
	if (n_cut == 0 || translator->cut_reported)
		return;
	translator->cut_reported = true;
	ereport(WARNING,
			(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
			 n == 1 ? errmsg("a text is too long for model \"%s\": its end was left out", translator->model.name) :
			 errmsg("%d of %d texts are too long for model \"%s\": their ends were left out",
					n_cut, n, translator->model.name),
			 errdetail("The model takes in %d pieces of a text (max_length). Further texts of this statement are not reported.",
					   res_translator_longest(translator)),
			 errhint("Translate longer texts sentence by sentence.")));
}

/* Out of a batch's memory into the caller's. */
static void
copy_answer(ResAnswer *answer)
{
	int			n = answer->pieces != NULL ? (int) answer->tokens : 0;
	Datum	   *pieces = n > 0 ? palloc(n * sizeof(Datum)) : NULL;
	Datum	   *token_scores = n > 0 ? palloc(n * sizeof(Datum)) : NULL;
	int			i;

	if (answer->translation != NULL)
		answer->translation = (text *) DatumGetPointer(datumCopy(PointerGetDatum(answer->translation), false, -1));
	for (i = 0; i < n; i++)
	{
		pieces[i] = datumCopy(answer->pieces[i], false, -1);
		token_scores[i] = datumCopy(answer->token_scores[i], FLOAT8PASSBYVAL, sizeof(float8));
	}
	answer->pieces = pieces;
	answer->token_scores = token_scores;
}

ResAnswer *
res_translate(ResTranslator *translator, int n, text *const *sources)
{
	int			n_best = translator->search.n_best;
	ResAnswer  *answers = palloc_extended(Max(n, 1) * n_best * sizeof(ResAnswer), MCXT_ALLOC_HUGE);
	ResBatch   *batch = res_batch_create();
	int		   *questions = palloc_extended(Max(n, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	int			n_cut = 0;
	int			i;
	int			k;

	for (i = 0; i < n; i++)
		questions[i] = res_batch_ask(batch, translator, sources[i]);
	res_batch_send(batch);
	for (i = 0; i < n; i++)
	{
		const ResAnswer *given = res_batch_answer(batch, questions[i]);
		ResAnswer  *answer = answers + (Size) i * n_best;

		memcpy(answer, given, n_best * sizeof(ResAnswer));
		for (k = 0; k < n_best; k++)
			copy_answer(&answer[k]);
		n_cut += answer->cut;
	}
	res_batch_free(batch);
	pfree(questions);
	res_translator_report_cut(translator, n_cut, n);
	return answers;
}

void
res_score(ResTranslator *translator, int n, text *const *sources, text *const *targets,
		  double *log_probabilities, uint32 *tokens)
{
	int			done;
	int			size;

	for (done = 0; done < n; done += size)
	{
		RnWriter   *writer;
		RnReader	reader;
		int			i;

		size = batch_size(n - done, sources + done, targets + done);
		writer = res_translator_request(translator, size);
		for (i = 0; i < size; i++)
		{
			(void) res_write_text(writer, sources[done + i]);
			(void) res_write_text(writer, targets[done + i]);
		}
		res_request_perform(&translator->model, &reader);
		res_check_answers(rn_read_u32(&reader), size);
		for (i = 0; i < size; i++)
		{
			log_probabilities[done + i] = rn_read_f64(&reader);
			tokens[done + i] = rn_read_u32(&reader);
		}
		res_request_end(&reader);
	}
}
