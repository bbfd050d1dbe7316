/*
 * model_catalog.c
 *		Models, versions and who may use them.
 *
 * Everything here runs as the extension's owner inside res_catalog_begin and
 * res_catalog_end; results are copied into the caller's memory context.
 *
 * src/pg/model_catalog.c
 */
#include "model_catalog.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

/* A column of the first row. */
static Datum
catalog_value(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull);
}

/* ---------- models ---------- */

bool
res_model_find(const char *name, ResModel *model)
{
	Oid			types[] = {TEXTOID};
	Datum		values[1];
	ResCatalog	catalog;
	bool		found;

	memset(model, 0, sizeof(*model));
	model->name = pstrdup(name);
	values[0] = CStringGetTextDatum(name);
	res_catalog_begin(&catalog, true);
	found = res_execute(&catalog, "SELECT m.id, m.owner::oid, v.version, v.checksum FROM residual.model m "
						"LEFT JOIN residual.model_version v ON v.model = m.id AND v.version = m.active "
						"WHERE m.name = $1", 1, types, values, NULL) > 0;
	if (found)
	{
		bool		isnull;

		model->id = DatumGetInt64(catalog_value(1, &isnull));
		model->owner = DatumGetObjectId(catalog_value(2, &isnull));
		model->active = DatumGetInt32(catalog_value(3, &isnull));
		if (isnull)
			model->active = 0;
		else
			model->checksum = DatumGetInt64(catalog_value(4, &isnull));
	}
	res_catalog_end(&catalog);
	return found;
}

/* The name nearest to a wrong one among models that the role may use, or NULL. */
static char *
nearest_name(const char *name, Oid role)
{
	char	   *best = NULL;
	int			best_distance = 0;
	int			length = (int) strlen(name);
	MemoryContext caller = CurrentMemoryContext;
	ResCatalog	catalog;
	SPITupleTable *rows;
	uint64		n;
	uint64		i;

	res_catalog_begin(&catalog, true);
	n = res_execute(&catalog, "SELECT name, id, owner::oid FROM residual.model "
					"WHERE octet_length(name) < 200 ORDER BY name COLLATE \"C\"", 0, NULL, NULL, NULL);
	rows = SPI_tuptable;
	for (i = 0; i < n && length > 0 && length < 200; i++)
	{
		HeapTuple	row = rows->vals[i];
		char	   *candidate = SPI_getvalue(row, rows->tupdesc, 1);
		bool		isnull;
		int64		id = DatumGetInt64(SPI_getbinval(row, rows->tupdesc, 2, &isnull));
		Oid			owner = DatumGetObjectId(SPI_getbinval(row, rows->tupdesc, 3, &isnull));
		int			distance = varstr_levenshtein(name, length, candidate, (int) strlen(candidate), 1, 1, 1, true);

		/* near is what half of the letters agree with */
		if (2 * distance > length || (best != NULL && distance >= best_distance) ||
			!res_model_may_use(id, owner, role))
			continue;
		best = MemoryContextStrdup(caller, candidate);
		best_distance = distance;
	}
	res_catalog_end(&catalog);
	return best;
}

void
res_model_get(const char *name, Oid role, ResModel *model)
{
	char	   *nearest;

	if (res_model_find(name, model))
		return;
	nearest = nearest_name(name, role);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("model \"%s\" does not exist", name),
			 nearest != NULL ? errhint("Perhaps you meant the model \"%s\".", nearest)
			 : errhint("The view residual_models lists the models that you may use.")));
}

void
res_model_check_name(const char *name)
{
	if (name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a model's name must not be empty")));
	if (strlen(name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("model name \"%s\" is too long", name),
				 errdetail("A name has at most %d bytes.", NAMEDATALEN - 1)));
}

int64
res_model_create(const char *name, Oid owner)
{
	Oid			types[] = {TEXTOID, OIDOID};
	Datum		values[2];
	ResCatalog	catalog;
	int64		id;
	bool		isnull;

	res_model_check_name(name);
	values[0] = CStringGetTextDatum(name);
	values[1] = ObjectIdGetDatum(owner);
	res_catalog_begin(&catalog, false);
	/* waits for a transaction that is creating the same name */
	if (res_execute(&catalog, "INSERT INTO residual.model (name, owner) VALUES ($1, $2::regrole) "
					"ON CONFLICT (name) DO NOTHING RETURNING id", 2, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("model \"%s\" already exists", name)));
	id = DatumGetInt64(catalog_value(1, &isnull));
	res_catalog_end(&catalog);
	return id;
}

/* ERROR 42704 when the model has gone; its row stays locked against others that change it. */
static void
lock_model(const ResCatalog *catalog, int64 model)
{
	Oid			types[] = {INT8OID};
	Datum		values[1];

	values[0] = Int64GetDatum(model);
	if (res_execute(catalog, "SELECT FROM residual.model WHERE id = $1 FOR NO KEY UPDATE",
					1, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the model has been dropped")));
}

void
res_model_lock(int64 model)
{
	ResCatalog	catalog;

	res_catalog_begin(&catalog, false);
	lock_model(&catalog, model);
	res_catalog_end(&catalog);
}

void
res_model_set_active(int64 model, int32 version)
{
	Oid			types[] = {INT8OID, INT4OID};
	Datum		values[2];
	ResCatalog	catalog;

	values[0] = Int64GetDatum(model);
	values[1] = Int32GetDatum(version);
	res_catalog_begin(&catalog, false);
	lock_model(&catalog, model);
	if (res_execute(&catalog, "UPDATE residual.model SET active = $2 WHERE id = $1 AND EXISTS "
					"(SELECT FROM residual.model_version WHERE model = $1 AND version = $2)",
					2, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("version %d of the model does not exist", version),
				 errhint("The view residual_versions lists what there is.")));
	res_catalog_end(&catalog);
}

/* ---------- rights ---------- */

bool
res_model_may_use(int64 model, Oid owner, Oid role)
{
	Oid			types[] = {INT8OID};
	Datum		values[1];
	ResCatalog	catalog;
	bool		granted = false;
	uint64		n;
	uint64		i;

	if (has_privs_of_role(role, owner))
		return true;
	values[0] = Int64GetDatum(model);
	res_catalog_begin(&catalog, true);
	n = res_execute(&catalog, "SELECT grantee::oid FROM residual.model_grant WHERE model = $1", 1, types, values, NULL);
	for (i = 0; i < n && !granted; i++)
	{
		bool		isnull;
		Oid			grantee = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));

		granted = !OidIsValid(grantee) || has_privs_of_role(role, grantee);
	}
	res_catalog_end(&catalog);
	return granted;
}

void
res_model_check_use(const ResModel *model, Oid role)
{
	if (!res_model_may_use(model->id, model->owner, role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for model \"%s\"", model->name),
				 errhint("Its owner lets others use it with residual_grant().")));
}

void
res_model_check_owner(const ResModel *model, Oid role)
{
	if (!has_privs_of_role(role, model->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of model \"%s\"", model->name)));
}

/* ---------- versions ---------- */

int64
res_version_checksum(Jsonb *configuration, bytea *tokenizer, int64 weights_checksum)
{
	/* its text: jsonb's bytes may differ between releases of the server */
	char	   *text = JsonbToCString(NULL, &configuration->root, VARSIZE(configuration));
	pg_crc32c	high;
	pg_crc32c	low;

	INIT_CRC32C(high);
	COMP_CRC32C(high, text, strlen(text));
	FIN_CRC32C(high);
	INIT_CRC32C(low);
	COMP_CRC32C(low, VARDATA_ANY(tokenizer), VARSIZE_ANY_EXHDR(tokenizer));
	FIN_CRC32C(low);
	pfree(text);
	return (int64) (((uint64) high << 32 | low) ^ (uint64) weights_checksum);
}

int32
res_version_next(int64 model)
{
	Oid			types[] = {INT8OID};
	Datum		values[1];
	ResCatalog	catalog;
	bool		isnull;
	int32		next;

	values[0] = Int64GetDatum(model);
	res_catalog_begin(&catalog, false);
	lock_model(&catalog, model);
	(void) res_execute(&catalog, "SELECT COALESCE(max(version), 0) + 1 FROM residual.model_version WHERE model = $1",
					   1, types, values, NULL);
	next = DatumGetInt32(catalog_value(1, &isnull));
	res_catalog_end(&catalog);
	return next;
}

/* Parameters in the order of the queries below: model, version, then what res_version_finish writes again. */
#define VERSION_VALUES	9

static void
version_values(const ResVersion *version, Oid *types, Datum *values, char *nulls)
{
	memset(nulls, ' ', VERSION_VALUES);
	types[0] = INT8OID;
	values[0] = Int64GetDatum(version->model);
	types[1] = INT4OID;
	values[1] = Int32GetDatum(version->version);
	types[2] = INT8OID;
	values[2] = Int64GetDatum(version->job);
	nulls[2] = version->job != 0 ? ' ' : 'n';
	types[3] = INT8OID;
	values[3] = Int64GetDatum(version->parameters);
	types[4] = INT8OID;
	values[4] = Int64GetDatum(version->bytes);
	types[5] = INT8OID;
	values[5] = Int64GetDatum(version->step);
	types[6] = FLOAT8OID;
	values[6] = Float8GetDatum(version->validation_loss);
	nulls[6] = isnan(version->validation_loss) ? 'n' : ' ';
	types[7] = FLOAT8OID;
	values[7] = Float8GetDatum(version->validation_bleu);
	nulls[7] = isnan(version->validation_bleu) ? 'n' : ' ';
	types[8] = INT8OID;
	values[8] = Int64GetDatum(version->checksum);
}

void
res_version_insert(const ResVersion *version)
{
	Oid			types[VERSION_VALUES + 2];
	Datum		values[VERSION_VALUES + 2];
	char		nulls[VERSION_VALUES + 2];
	ResCatalog	catalog;

	version_values(version, types, values, nulls);
	types[VERSION_VALUES] = JSONBOID;
	values[VERSION_VALUES] = JsonbPGetDatum(version->configuration);
	nulls[VERSION_VALUES] = ' ';
	types[VERSION_VALUES + 1] = BYTEAOID;
	values[VERSION_VALUES + 1] = PointerGetDatum(version->tokenizer);
	nulls[VERSION_VALUES + 1] = ' ';
	res_catalog_begin(&catalog, false);
	(void) res_execute(&catalog, "INSERT INTO residual.model_version (model, version, job, parameters, bytes, step, "
					   "validation_loss, validation_bleu, checksum, configuration, tokenizer) "
					   "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
					   VERSION_VALUES + 2, types, values, nulls);
	res_catalog_end(&catalog);
}

void
res_version_finish(const ResVersion *version)
{
	Oid			types[VERSION_VALUES];
	Datum		values[VERSION_VALUES];
	char		nulls[VERSION_VALUES];
	ResCatalog	catalog;

	version_values(version, types, values, nulls);
	res_catalog_begin(&catalog, false);
	if (res_execute(&catalog, "UPDATE residual.model_version SET job = $3, parameters = $4, bytes = $5, step = $6, "
					"validation_loss = $7, validation_bleu = $8, checksum = $9 WHERE model = $1 AND version = $2",
					VERSION_VALUES, types, values, nulls) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("version %d of the model does not exist", version->version)));
	res_catalog_end(&catalog);
}

bool
res_version_find(int64 model, int32 version, ResVersion *result)
{
	Oid			types[] = {INT8OID, INT4OID};
	Datum		values[2];
	MemoryContext caller = CurrentMemoryContext;
	ResCatalog	catalog;
	bool		found;

	memset(result, 0, sizeof(*result));
	values[0] = Int64GetDatum(model);
	values[1] = Int32GetDatum(version);
	res_catalog_begin(&catalog, true);
	found = res_execute(&catalog, "SELECT job, parameters, bytes, step, validation_loss, validation_bleu, checksum, "
						"configuration, tokenizer FROM residual.model_version WHERE model = $1 AND version = $2",
						2, types, values, NULL) > 0;
	if (found)
	{
		bool		isnull;
		MemoryContext spi;

		result->model = model;
		result->version = version;
		result->job = DatumGetInt64(catalog_value(1, &isnull));
		result->parameters = DatumGetInt64(catalog_value(2, &isnull));
		result->bytes = DatumGetInt64(catalog_value(3, &isnull));
		result->step = DatumGetInt64(catalog_value(4, &isnull));
		result->validation_loss = DatumGetFloat8(catalog_value(5, &isnull));
		if (isnull)
			result->validation_loss = NAN;
		result->validation_bleu = DatumGetFloat8(catalog_value(6, &isnull));
		if (isnull)
			result->validation_bleu = NAN;
		result->checksum = DatumGetInt64(catalog_value(7, &isnull));
		spi = MemoryContextSwitchTo(caller);
		result->configuration = DatumGetJsonbPCopy(catalog_value(8, &isnull));
		result->tokenizer = DatumGetByteaPCopy(catalog_value(9, &isnull));
		MemoryContextSwitchTo(spi);
	}
	res_catalog_end(&catalog);
	return found;
}
