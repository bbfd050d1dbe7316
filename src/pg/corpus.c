/*
 * corpus.c
 *		Sentence pairs out of the user's table.
 *
 * Rows go from the executor straight to the caller, one at a time, so memory
 * does not grow with the table, nor with a thousand long rows.
 *
 * src/pg/corpus.c
 */
#include "corpus.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/rel.h"

#include "encoding.h"
#include "base/nearest.h"

/* ---- checks ---- */

static void
check_kind(Relation relation, bool here)
{
	const char *name = RelationGetRelationName(relation);

	switch (relation->rd_rel->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_VIEW:
		case RELKIND_MATVIEW:
		case RELKIND_FOREIGN_TABLE:
		case RELKIND_PARTITIONED_TABLE:
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("\"%s\" has no rows to read sentence pairs from", name),
					 errdetail_relkind_not_supported(relation->rd_rel->relkind)));
	}
	if (!here && relation->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot train on temporary table \"%s\"", name),
				 errdetail("A background worker reads the rows, and it cannot see the temporary tables of a session."),
				 errhint("Use a table that is not temporary; UNLOGGED will do.")));
	if (!RelationIsPopulated(relation))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("materialized view \"%s\" has not been populated", name),
				 errhint("Use the REFRESH MATERIALIZED VIEW command.")));
}

static void
missing_column(Relation relation, const char *column)
{
	TupleDesc	columns = RelationGetDescr(relation);
	RnNearest	nearest;
	int			i;

	rn_nearest_begin(&nearest, column);
	for (i = 0; i < columns->natts; i++)
	{
		if (!TupleDescAttr(columns, i)->attisdropped)
			rn_nearest_try(&nearest, NameStr(TupleDescAttr(columns, i)->attname));
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" of relation \"%s\" does not exist", column, RelationGetRelationName(relation)),
			 nearest.best != NULL ? errhint("Perhaps you meant \"%s\".", nearest.best) : 0));
}

static void
check_column(Relation relation, const char *column)
{
	AttrNumber	number = get_attnum(RelationGetRelid(relation), column);
	Oid			type;
	char		category;
	bool		preferred;

	if (number <= 0)
		missing_column(relation, column);
	type = TupleDescAttr(RelationGetDescr(relation), number - 1)->atttypid;
	get_type_category_preferred(getBaseType(type), &category, &preferred);
	if (category != TYPCATEGORY_STRING)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" is of type %s, not text", column,
						RelationGetRelationName(relation), format_type_be(type)),
				 errhint("Train on a view that casts the column to text.")));
	if (pg_class_aclcheck(RelationGetRelid(relation), GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck(RelationGetRelid(relation), number, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(relation->rd_rel->relkind),
					   RelationGetRelationName(relation));
}

static char *
check_relation(Oid relid, const char *source, const char *target, bool here)
{
	Relation	relation = try_relation_open(relid, AccessShareLock);
	char	   *name;

	if (relation == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	check_kind(relation, here);
	check_column(relation, source);
	check_column(relation, target);
	name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
									  RelationGetRelationName(relation));
	relation_close(relation, NoLock);
	return name;
}

char *
res_corpus_check(Oid relid, const char *source, const char *target)
{
	return check_relation(relid, source, target, false);
}

char *
res_corpus_check_here(Oid relid, const char *source, const char *target)
{
	return check_relation(relid, source, target, true);
}

char *
res_corpus_check_name(const char *name, const char *source, const char *target)
{
	RangeVar   *relation = makeRangeVarFromNameList(stringToQualifiedNameList(name));

	return res_corpus_check(RangeVarGetRelid(relation, AccessShareLock, false), source, target);
}

/* ---- reading ---- */

/* Where the executor sends its rows. */
typedef struct PairReceiver
{
	DestReceiver public;
	ResPairSink sink;
	void	   *arg;
	MemoryContext row;			/* reset for each */
	uint64		rows;
} PairReceiver;

static const char *
side(TupleTableSlot *slot, int column, Size *size)
{
	bool		is_null;
	Datum		value = slot_getattr(slot, column, &is_null);
	Size		raw;

	*size = 0;
	if (is_null)
		return NULL;

	raw = toast_raw_datum_size(value) - VARHDRSZ;
	if (raw > RES_TEXT_MAX)
	{
		text	   *slice = DatumGetTextPSlice(value, 0, RES_TEXT_MAX);

		/* a conversion would choke on half a character */
		SET_VARSIZE(slice, VARHDRSZ + pg_mbcliplen(VARDATA(slice), RES_TEXT_MAX, RES_TEXT_MAX - MAX_MULTIBYTE_CHAR_LEN));
		return res_text_to_utf8(slice, size);
	}
	return res_text_to_utf8(DatumGetTextPP(value), size);
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	PairReceiver *receiver = (PairReceiver *) self;
	MemoryContext before = MemoryContextSwitchTo(receiver->row);
	const char *source,
			   *target;
	Size		source_size,
				target_size;

	CHECK_FOR_INTERRUPTS();
	source = side(slot, 1, &source_size);
	target = side(slot, 2, &target_size);
	receiver->sink(receiver->arg, source, source_size, target, target_size);
	receiver->rows++;
	MemoryContextSwitchTo(before);
	MemoryContextReset(receiver->row);
	return true;
}

static void
receive_start(DestReceiver *self, int operation, TupleDesc columns)
{
}

static void
receive_nothing(DestReceiver *self)
{
}

uint64
res_corpus_each(const char *table, const char *source, const char *target, int64 limit, ResPairSink sink, void *arg)
{
	PairReceiver receiver;
	Portal		portal;
	char	   *sql = psprintf("SELECT %s::pg_catalog.text, %s::pg_catalog.text FROM %s",
							   quote_identifier(source), quote_identifier(target), table);

	if (limit > 0)
		sql = psprintf("%s LIMIT " INT64_FORMAT, sql, limit);
	memset(&receiver, 0, sizeof(receiver));
	receiver.public.receiveSlot = receive_row;
	receiver.public.rStartup = receive_start;
	receiver.public.rShutdown = receive_nothing;
	receiver.public.rDestroy = receive_nothing;
	receiver.public.mydest = DestNone;
	receiver.sink = sink;
	receiver.arg = arg;
	receiver.row = AllocSetContextCreate(CurrentMemoryContext, "corpus row", ALLOCSET_DEFAULT_SIZES);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to the server programming interface");
	portal = SPI_cursor_open_with_args(NULL, sql, 0, NULL, NULL, NULL, true, CURSOR_OPT_NO_SCROLL);
	(void) PortalRunFetch(portal, FETCH_FORWARD, FETCH_ALL, &receiver.public);
	SPI_cursor_close(portal);
	SPI_finish();
	MemoryContextDelete(receiver.row);
	return receiver.rows;
}
