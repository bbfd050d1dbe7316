/*
 * sql_shortlist.c
 *		SQL functions that give a version of a model its shortlist, or take it.
 *
 * A shortlist is kept among the version's tensors, as bytes, and counts in its
 * checksum: so sessions see another one at their next statement, as they see
 * another version, and it goes wherever the version goes.
 *
 * The table is read to its end, into a file where it is long, before the
 * process that counts is asked for, since reading may run any SQL.
 *
 * src/pg/sql_shortlist.c
 */
#include "residual.h"

#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "apart.h"
#include "base/nearest.h"
#include "corpus.h"
#include "engine_client.h"
#include "model_catalog.h"
#include "options.h"
#include "weights.h"

PG_FUNCTION_INFO_V1(residual_make_shortlist);
PG_FUNCTION_INFO_V1(residual_drop_shortlist);

#define ROWS_DEFAULT	1000000
#define FRAME_ROWS		256
#define FRAME_BYTES		(64 * 1024)	/* rows are sent in frames of about this size */
#define MOST_BYTES		(256 * 1024 * 1024) /* of a shortlist */

typedef struct Making
{
	ResModel	model;			/* active is the version meant */
	ResVersion	version;
	char	   *label;			/* model "en_de" version 3 */
	RnConfig	config;			/* of the version, with what is asked for */
	int64		rows;			/* to be read; 0: all */
	bool		is_named;		/* the version, by number; else the one in service */
	int32		wanted;

	Tuplestorestate *pairs;		/* source, target in UTF-8 */
	TupleDesc	columns;
	MemoryContext passing;		/* of a row, or of a frame's */

	StringInfoData bytes;		/* of the shortlist, as it comes */
	int64		counted;		/* pairs */
} Making;

/* ---------- what is asked ---------- */

/* A version of a model that the user owns. */
static void
find_version(const char *function, const char *name, Making *making)
{
	Oid			user = GetUserId();

	PreventCommandDuringRecovery(function);
	PreventCommandIfReadOnly(function);
	res_model_get(name, user, &making->model);
	res_model_check_owner(&making->model, user);
	if (making->is_named)
		making->model.active = making->wanted;
	else if (making->model.active == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no version in service", making->model.name),
				 errhint("Name a version; the view residual_versions lists what there is.")));
	if (!res_version_find(making->model.id, making->model.active, &making->version))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("version %d of model \"%s\" does not exist", making->model.active, making->model.name),
				 errhint("The view residual_versions lists what there is.")));
	making->label = psprintf("model \"%s\" version %d", making->model.name, making->model.active);
}

static int64
parse_number(const char *key, const char *value, int64 most)
{
	char	   *end;
	long long	number;

	errno = 0;
	number = strtoll(value, &end, 10);
	if (end == value || *end != '\0' || errno != 0 || number < 1 || number > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", key, value),
				 errdetail("Valid values are whole numbers from 1 to " INT64_FORMAT ".", most)));
	return number;
}

/* ResOptionSink: what is asked for beside the version's own options, which come later. */
static void
set_option(void *arg, const char *key, const char *value)
{
	static const char *const known[] = {"shortlist_frequent", "shortlist_best", "rows", "version"};
	Making	   *making = arg;
	RnNearest	nearest;
	RnContext	ctx;
	int			i;

	if (strcmp(key, "rows") == 0)
		making->rows = parse_number(key, value, PG_INT32_MAX);
	else if (strcmp(key, "version") == 0)
	{
		making->wanted = (int32) parse_number(key, value, PG_INT32_MAX);
		making->is_named = true;
	}
	else if (strncmp(key, "shortlist_", 10) == 0 && rn_option_find(key) != NULL)
	{
		rn_context_reset(&ctx);
		if (rn_config_set(&ctx, &making->config, key, value) != RN_OK)
			res_report(&ctx);
	}
	else
	{
		rn_nearest_begin(&nearest, key);
		for (i = 0; i < lengthof(known); i++)
			rn_nearest_try(&nearest, known[i]);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized option \"%s\" of residual_make_shortlist()", key),
				 nearest.best != NULL ? errhint("Perhaps you meant \"%s\".", nearest.best) :
				 errhint("There are \"shortlist_frequent\", \"shortlist_best\", \"rows\" and \"version\".")));
	}
}

static void
parse_options(Making *making, const char *name, Jsonb *options)
{
	RnConfig	asked;

	making->rows = ROWS_DEFAULT;
	rn_config_defaults(&making->config);
	res_options_each(options, set_option, making);
	asked = making->config;
	find_version("residual_make_shortlist()", name, making);
	res_options_parse(making->version.configuration, &making->config);
	making->config.shortlist_frequent = asked.shortlist_frequent;
	making->config.shortlist_best = asked.shortlist_best;
}

/* ---------- rows ---------- */

/* ResPairSink */
static void
keep_pair(void *arg, const char *source, Size source_size, const char *target, Size target_size)
{
	Making	   *making = arg;
	MemoryContext before = MemoryContextSwitchTo(making->passing);
	Datum		values[2];
	bool		nulls[2] = {false, false};

	/* text in name only: bytes of UTF-8, whatever the database's encoding is */
	values[0] = PointerGetDatum(cstring_to_text_with_len(source != NULL ? source : "", source != NULL ? source_size : 0));
	values[1] = PointerGetDatum(cstring_to_text_with_len(target != NULL ? target : "", target != NULL ? target_size : 0));
	tuplestore_putvalues(making->pairs, making->columns, values, nulls);
	MemoryContextSwitchTo(before);
	MemoryContextReset(making->passing);
}

static void
read_rows(Making *making, Oid relation, const char *source, const char *target)
{
	char	   *table = res_corpus_check_here(relation, source, target);

	making->columns = CreateTemplateTupleDesc(2);
	TupleDescInitEntry(making->columns, 1, "source", BYTEAOID, -1, 0);
	TupleDescInitEntry(making->columns, 2, "target", BYTEAOID, -1, 0);
	making->pairs = tuplestore_begin_heap(false, false, work_mem);
	making->passing = AllocSetContextCreate(CurrentMemoryContext, "pairs on their way", ALLOCSET_DEFAULT_SIZES);
	if (res_corpus_each(table, source, target, making->rows, keep_pair, making) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("there is no row in %s", table),
				 errhint("Row-level security may hide rows.")));
}

/* ---------- the conversation ---------- */

static void
send_tokenizer(ResChannel *channel, const bytea *tokenizer)
{
	ResChunk	chunk;

	memset(&chunk, 0, sizeof(chunk));
	chunk.name = RES_TOKENIZER_PART;
	chunk.dtype = RN_DTYPE_BYTES;
	chunk.total = VARSIZE_ANY_EXHDR(tokenizer);
	for (; chunk.offset < chunk.total; chunk.offset += chunk.size)
	{
		chunk.bytes = VARDATA_ANY(tokenizer) + chunk.offset;
		chunk.size = Min(RN_CHUNK, chunk.total - chunk.offset);
		res_chunk_write(&channel->out, 0, &chunk);
		res_channel_end(channel);
		res_apart_send(channel);
	}
}

/* Some rows more as a frame; false when there are none. */
static bool
send_rows(ResChannel *channel, Making *making, TupleTableSlot *slot)
{
	MemoryContext before = MemoryContextSwitchTo(making->passing);
	bytea	   *sides[2 * FRAME_ROWS];
	Size		bytes = 0;
	int			n = 0;
	int			i;

	while (n < FRAME_ROWS && bytes < FRAME_BYTES && tuplestore_gettupleslot(making->pairs, true, false, slot))
	{
		slot_getallattrs(slot);
		for (i = 0; i < 2; i++)
		{
			sides[2 * n + i] = DatumGetByteaPCopy(slot->tts_values[i]);
			bytes += VARSIZE_ANY_EXHDR(sides[2 * n + i]);
		}
		n++;
	}
	if (n > 0)
	{
		rn_write_begin(&channel->out, RN_ROWS, 0);
		rn_write_u8(&channel->out, 0);
		rn_write_u32(&channel->out, (uint32) n);
		for (i = 0; i < 2 * n; i++)
			rn_write_bytes(&channel->out, VARDATA_ANY(sides[i]), VARSIZE_ANY_EXHDR(sides[i]));
		res_channel_end(channel);
	}
	ExecClearTuple(slot);		/* a row out of a file lies in that context */
	MemoryContextSwitchTo(before);
	MemoryContextReset(making->passing);
	return n > 0;
}

/* ResApartAsk */
static void
ask(ResChannel *channel, void *arg)
{
	Making	   *making = arg;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(making->columns, &TTSOpsMinimalTuple);

	rn_write_begin(&channel->out, RN_SHORTLIST, 0);
	res_options_write(&channel->out, &making->config);
	rn_write_u64(&channel->out, (uint64) res_training_memory * 1024 * 1024);
	res_channel_end(channel);
	send_tokenizer(channel, making->version.tokenizer);
	while (send_rows(channel, making, slot))
		res_apart_send(channel);
	ExecDropSingleTupleTableSlot(slot);
	res_channel_put(channel, RN_ROWS_END);
}

static void pg_attribute_noreturn()
malformed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("the engine answered with a malformed shortlist")));
}

/* ResApartTake */
static bool
take(const RnFrame *frame, void *arg)
{
	Making	   *making = arg;
	char		name[RES_NAME_SIZE];
	RnReader	reader;
	ResChunk	chunk;

	rn_reader_init(&reader, frame);
	if (frame->type == RN_SHORTLIST)
	{
		making->counted = (int64) rn_read_u64(&reader);
		if (reader.failed || reader.at != reader.end || making->bytes.len == 0)
			malformed();
		return false;
	}
	if (frame->type != RN_PART)
		malformed();
	res_chunk_read(&reader, name, &chunk);
	if (reader.failed || reader.at != reader.end || strcmp(name, RES_SHORTLIST_PART) != 0 || chunk.total > MOST_BYTES ||
		chunk.offset != (uint64) making->bytes.len || chunk.size > chunk.total - chunk.offset)
		malformed();
	appendBinaryStringInfo(&making->bytes, chunk.bytes, chunk.size);
	return true;
}

/* ---------- storing ---------- */

/* ResChunkSink: adds up bytes. */
static void
count_bytes(void *arg, const ResChunk *chunk)
{
	*(int64 *) arg += (int64) chunk->size;
}

static void
delete_rows(const Making *making)
{
	Oid			types[] = {INT8OID, INT4OID, TEXTOID};
	ResCatalog	catalog;
	Datum		values[3];

	values[0] = Int64GetDatum(making->model.id);
	values[1] = Int32GetDatum(making->model.active);
	values[2] = CStringGetTextDatum(RES_SHORTLIST_PART);
	res_catalog_begin(&catalog, false);
	(void) res_execute(&catalog, "DELETE FROM residual.weight WHERE model = $1 AND version = $2 AND tensor = $3",
					   3, types, values, NULL);
	res_catalog_end(&catalog);
}

static void
insert_rows(const Making *making, int64 *bytes, int64 *checksum)
{
	ResWeightWriter *writer;
	ResCatalog	catalog;
	ResChunk	chunk;

	memset(&chunk, 0, sizeof(chunk));
	chunk.name = RES_SHORTLIST_PART;
	chunk.dtype = RN_DTYPE_BYTES;
	chunk.total = making->bytes.len;
	res_catalog_begin(&catalog, false);
	writer = res_weights_begin(RES_MODEL_WEIGHTS, making->model.id, making->model.active);
	for (; chunk.offset < chunk.total; chunk.offset += chunk.size)
	{
		chunk.bytes = making->bytes.data + chunk.offset;
		chunk.size = Min(chunk.total - chunk.offset, RN_CHUNK);
		res_weights_put(writer, &chunk);
	}
	res_weights_end(writer, bytes, checksum);
	res_catalog_end(&catalog);
}

/*
 * Put the shortlist, of which there are no bytes when it is only to go, in the
 * place of the one that is there; gives whether there was one.  The version's
 * checksum is that of its parts, added up.
 */
static bool
replace(Making *making)
{
	ResVersion *version = &making->version;
	int64		old_bytes = 0;
	int64		new_bytes = 0;
	int64		new_checksum = 0;
	int64		old_checksum;
	int64		others;

	res_model_lock(making->model.id);
	/* what others have committed meanwhile counts */
	PushActiveSnapshot(GetLatestSnapshot());
	if (!res_version_find(making->model.id, making->model.active, version))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("%s has been dropped", making->label)));
	old_checksum = res_weights_read(RES_MODEL_WEIGHTS, making->model.id, making->model.active, making->label,
									RES_SHORTLIST_PART, count_bytes, &old_bytes);
	PopActiveSnapshot();
	if (old_bytes == 0 && making->bytes.len == 0)
		return false;
	delete_rows(making);
	if (making->bytes.len > 0)
		insert_rows(making, &new_bytes, &new_checksum);
	others = version->checksum ^ res_version_checksum(version->configuration, version->tokenizer, 0);
	others = (int64) ((uint64) others - (uint64) old_checksum + (uint64) new_checksum);
	version->bytes += new_bytes - old_bytes;
	version->checksum = res_version_checksum(version->configuration, version->tokenizer, others);
	res_version_finish(version);
	return old_bytes > 0;
}

/* ---------- the functions ---------- */

Datum
residual_make_shortlist(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"model", "corpus", "source", "target", "options"};
	Making		making;

	res_check_arguments(fcinfo, arguments, lengthof(arguments));
	memset(&making, 0, sizeof(making));
	initStringInfo(&making.bytes);
	parse_options(&making, text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_JSONB_P(4));
	read_rows(&making, PG_GETARG_OID(1), NameStr(*PG_GETARG_NAME(2)), NameStr(*PG_GETARG_NAME(3)));
	res_apart(ask, take, &making);
	tuplestore_end(making.pairs);
	(void) replace(&making);
	PG_RETURN_INT64(making.counted);
}

Datum
residual_drop_shortlist(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"model"};
	Making		making;

	res_check_arguments(fcinfo, arguments, lengthof(arguments));
	memset(&making, 0, sizeof(making));
	initStringInfo(&making.bytes);
	making.is_named = !PG_ARGISNULL(1);
	if (making.is_named)
		making.wanted = PG_GETARG_INT32(1);
	find_version("residual_drop_shortlist()", text_to_cstring(PG_GETARG_TEXT_PP(0)), &making);
	PG_RETURN_BOOL(replace(&making));
}
