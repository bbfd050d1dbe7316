/*
 * catalog.c
 *		The extension's tables, read and written as the extension's owner.
 *
 * The tables are granted to nobody: whoever calls checks the user's rights
 * first.  Users' code never runs in here, and the search_path is fixed, so the
 * owner's rights reach no further than the statements in this library.
 *
 * src/pg/catalog.c
 */
#include "residual.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"

bool
res_extension_installed(void)
{
	return OidIsValid(get_extension_oid("residual", true));
}

/* Its owner as well; ERROR when it is not installed. */
static Oid
find_extension(Oid *extension_owner)
{
	Oid			extension = get_extension_oid("residual", true);
	Oid			owner = InvalidOid;
	Relation	relation;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (OidIsValid(extension))
	{
		relation = table_open(ExtensionRelationId, AccessShareLock);
		ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(extension));
		scan = systable_beginscan(relation, ExtensionOidIndexId, true, NULL, 1, &key);
		tuple = systable_getnext(scan);
		if (HeapTupleIsValid(tuple))
			owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
		systable_endscan(scan);
		table_close(relation, AccessShareLock);
	}
	if (!OidIsValid(owner))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"residual\" is not installed in database \"%s\"",
						get_database_name(MyDatabaseId)),
				 errhint("Run CREATE EXTENSION residual in this database.")));
	*extension_owner = owner;
	return extension;
}

void
res_extension_check(void)
{
	Oid			owner;

	(void) find_extension(&owner);
}

/* Gone by the time the lock is had: then the next look says so. */
void
res_extension_lock(void)
{
	Oid			extension = get_extension_oid("residual", true);

	if (OidIsValid(extension))
		LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
}

/*
 * Statements name the schema, and run with the owner's rights: in a schema of
 * that name that somebody else has made they would run his triggers.
 */
static void
check_schema(Oid extension)
{
	Oid			schema = get_namespace_oid("residual", true);

	if (OidIsValid(schema) && getExtensionOfObject(NamespaceRelationId, schema) == extension)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_SCHEMA_NAME),
			 OidIsValid(schema) ? errmsg("schema \"residual\" does not belong to the extension \"residual\"")
			 : errmsg("schema \"residual\" does not exist"),
			 errdetail("The extension keeps its tables in the schema that CREATE EXTENSION made."),
			 errhint("ALTER SCHEMA ... RENAME TO residual gives that schema its name back.")));
}

void
res_catalog_begin(ResCatalog *catalog, bool read_only)
{
	Oid			owner;

	if (!read_only)
		res_extension_lock();
	check_schema(find_extension(&owner));
	catalog->read_only = read_only;
	GetUserIdAndSecContext(&catalog->user, &catalog->security_context);
	SetUserIdAndSecContext(owner, catalog->security_context | SECURITY_LOCAL_USERID_CHANGE);
	catalog->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to the server programming interface");
}

void
res_catalog_end(ResCatalog *catalog)
{
	SPI_finish();
	AtEOXact_GUC(false, catalog->guc_level);
	SetUserIdAndSecContext(catalog->user, catalog->security_context);
}

uint64
res_execute(const ResCatalog *catalog, const char *sql, int nargs,
			const Oid *types, const Datum *values, const char *nulls)
{
	int			result = SPI_execute_with_args(sql, nargs, unconstify(Oid *, types), unconstify(Datum *, values),
											   nulls, catalog->read_only, 0);

	if (result < 0)
		elog(ERROR, "statement on the extension's tables failed: %s", SPI_result_code_string(result));
	return SPI_processed;
}
