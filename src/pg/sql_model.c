/*
 * sql_model.c
 *		SQL functions that change models: which version is in service, what
 *		they are called, who may use them, and their end.
 *
 * All of them need the owner's rights and take effect when the transaction
 * commits, like any change of a table.
 *
 * src/pg/sql_model.c
 */
#include "job.h"
#include "model_catalog.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(residual_activate);
PG_FUNCTION_INFO_V1(residual_drop_model);
PG_FUNCTION_INFO_V1(residual_drop_version);
PG_FUNCTION_INFO_V1(residual_rename_model);
PG_FUNCTION_INFO_V1(residual_grant);
PG_FUNCTION_INFO_V1(residual_revoke);
PG_FUNCTION_INFO_V1(residual_may_use);

/* The model of an argument, which the user must own, for a function that changes it. */
static void
own_model(const char *function, Datum argument, ResModel *model)
{
	Oid			user = GetUserId();

	PreventCommandDuringRecovery(function);
	PreventCommandIfReadOnly(function);
	res_model_get(TextDatumGetCString(argument), user, model);
	res_model_check_owner(model, user);
}

/* One statement as the extension's owner; gives the rows it touched. */
static uint64
catalog_change(const char *query, int n, Oid *types, Datum *values)
{
	ResCatalog	catalog;
	uint64		rows;

	res_catalog_begin(&catalog, false);
	rows = res_execute(&catalog, query, n, types, values, NULL);
	res_catalog_end(&catalog);
	return rows;
}

/* A job finds its model by name when it ends; so none may be on its way, nor start before we commit. */
static void
check_not_training(const char *model)
{
	int64		job;

	res_job_lock_model(model);
	job = res_job_of_model(model);
	if (job != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("model \"%s\" is being trained by job " INT64_FORMAT, model, job),
				 errhint("Wait for it with residual_wait(" INT64_FORMAT "), or end it with residual_cancel(" INT64_FORMAT ").",
						 job, job)));
}

Datum
residual_activate(PG_FUNCTION_ARGS)
{
	ResModel	model;

	own_model("residual_activate()", PG_GETARG_DATUM(0), &model);
	res_model_set_active(model.id, PG_GETARG_INT32(1));
	PG_RETURN_VOID();
}

Datum
residual_drop_model(PG_FUNCTION_ARGS)
{
	Oid			types[] = {INT8OID};
	Datum		values[1];
	ResModel	model;

	own_model("residual_drop_model()", PG_GETARG_DATUM(0), &model);
	check_not_training(model.name);
	values[0] = Int64GetDatum(model.id);
	(void) catalog_change("DELETE FROM residual.model WHERE id = $1", 1, types, values);
	(void) catalog_change("DELETE FROM residual.model_grant WHERE model = $1", 1, types, values);
	(void) catalog_change("DELETE FROM residual.model_version WHERE model = $1", 1, types, values);
	(void) catalog_change("DELETE FROM residual.weight WHERE model = $1", 1, types, values);
	PG_RETURN_VOID();
}

Datum
residual_drop_version(PG_FUNCTION_ARGS)
{
	int32		version = PG_GETARG_INT32(1);
	Oid			types[] = {INT8OID, INT4OID};
	Datum		values[2];
	ResModel	model;

	own_model("residual_drop_version()", PG_GETARG_DATUM(0), &model);
	values[0] = Int64GetDatum(model.id);
	values[1] = Int32GetDatum(version);
	/* keeps others from activating the version meanwhile */
	(void) catalog_change("SELECT FROM residual.model WHERE id = $1 FOR NO KEY UPDATE", 1, types, values);
	if (catalog_change("SELECT FROM residual.model WHERE id = $1 AND active = $2", 2, types, values) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("version %d of model \"%s\" is in service", version, model.name),
				 errhint("Put another version in service with residual_activate(), or drop the model.")));
	if (catalog_change("DELETE FROM residual.model_version WHERE model = $1 AND version = $2", 2, types, values) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("version %d of model \"%s\" does not exist", version, model.name),
				 errhint("The view residual_versions lists what there is.")));
	(void) catalog_change("DELETE FROM residual.weight WHERE model = $1 AND version = $2", 2, types, values);
	PG_RETURN_VOID();
}

Datum
residual_rename_model(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[2];
	ResModel	model;
	ResModel	other;

	own_model("residual_rename_model()", PG_GETARG_DATUM(0), &model);
	res_model_check_name(name);
	check_not_training(name);	/* a job that ends must find its name free */
	if (res_model_find(name, &other))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("model \"%s\" already exists", name)));
	check_not_training(model.name);
	values[0] = CStringGetTextDatum(model.name);
	values[1] = CStringGetTextDatum(name);
	(void) catalog_change("UPDATE residual.model SET name = $2 WHERE name = $1", 2, types, values);
	/* jobs find their model by name when they are resumed */
	(void) catalog_change("UPDATE residual.job SET model = $2 WHERE model = $1", 2, types, values);
	PG_RETURN_VOID();
}

/* public is everybody, as in GRANT */
static Oid
grantee_oid(Name role)
{
	if (strcmp(NameStr(*role), "public") == 0)
		return InvalidOid;
	return get_role_oid(NameStr(*role), false);
}

Datum
residual_grant(PG_FUNCTION_ARGS)
{
	Oid			types[] = {INT8OID, OIDOID, OIDOID};
	Datum		values[3];
	ResModel	model;

	own_model("residual_grant()", PG_GETARG_DATUM(0), &model);
	values[0] = Int64GetDatum(model.id);
	values[1] = ObjectIdGetDatum(grantee_oid(PG_GETARG_NAME(1)));
	values[2] = ObjectIdGetDatum(GetUserId());
	/* the model's row is locked, so that the grant does not outlive it */
	(void) catalog_change("INSERT INTO residual.model_grant (model, grantee, grantor) "
						  "SELECT id, $2::regrole, $3::regrole FROM residual.model WHERE id = $1 FOR KEY SHARE "
						  "ON CONFLICT DO NOTHING", 3, types, values);
	PG_RETURN_VOID();
}

Datum
residual_revoke(PG_FUNCTION_ARGS)
{
	Name		role = PG_GETARG_NAME(1);
	Oid			types[] = {INT8OID, OIDOID};
	Datum		values[2];
	ResModel	model;

	own_model("residual_revoke()", PG_GETARG_DATUM(0), &model);
	values[0] = Int64GetDatum(model.id);
	values[1] = ObjectIdGetDatum(grantee_oid(role));
	if (catalog_change("DELETE FROM residual.model_grant WHERE model = $1 AND grantee = $2", 2, types, values) == 0)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING_PRIVILEGE_NOT_REVOKED),
				 errmsg("the use of model \"%s\" was not granted to \"%s\"", model.name, NameStr(*role))));
	PG_RETURN_VOID();
}

Datum
residual_may_use(PG_FUNCTION_ARGS)
{
	int64		id = PG_GETARG_INT64(0);
	Oid			user = GetUserId();
	Oid			types[] = {INT8OID};
	Datum		values[1];
	ResCatalog	catalog;
	Oid			owner = InvalidOid;
	bool		found;

	values[0] = Int64GetDatum(id);
	res_catalog_begin(&catalog, true);
	found = res_execute(&catalog, "SELECT owner::oid FROM residual.model WHERE id = $1", 1, types, values, NULL) > 0;
	if (found)
	{
		bool		isnull;

		owner = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	res_catalog_end(&catalog);
	PG_RETURN_BOOL(found && res_model_may_use(id, owner, user));
}
