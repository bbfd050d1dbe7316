/*
 * job.c
 *		The job row, its states, and the lock that proves that a job lives.
 *
 * src/pg/job.c
 */
#include "job.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#define JOB_COLUMNS \
	"id, model, owner, corpus, source::text, target::text, options, state, COALESCE(pid, 0), fingerprint, " \
	"COALESCE(checkpoint_step, -1)"

/* Fourth field of our advisory locks; SQL's own use 1 and 2. */
enum
{
	LOCK_JOB = 0x5201,
	LOCK_MODEL,
	LOCK_PLACE,
	LOCK_GPU
};

static const char *const state_names[] = {"queued", "running", "done", "failed", "cancelled"};

/* ---- the row ---- */

static ResJobState
state_of(const char *name)
{
	int			i;

	for (i = 0; i < lengthof(state_names); i++)
	{
		if (strcmp(state_names[i], name) == 0)
			return (ResJobState) i;
	}
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("job has an unknown state \"%s\"", name)));
}

Oid
res_job_table(void)
{
	Oid			schema = get_namespace_oid("residual", true);
	Oid			table = OidIsValid(schema) ? get_relname_relid("job", schema) : InvalidOid;

	if (!OidIsValid(table))
		res_extension_check();
	return table;
}

/* The first row that SPI has, copied into the memory context target. */
static void
read_row(ResJob *job, MemoryContext target)
{
	HeapTuple	row = SPI_tuptable->vals[0];
	TupleDesc	columns = SPI_tuptable->tupdesc;
	MemoryContext before = MemoryContextSwitchTo(target);
	bool		is_null;

	/* SPI_getvalue allocates in the current context */
	job->id = DatumGetInt64(SPI_getbinval(row, columns, 1, &is_null));
	job->model = SPI_getvalue(row, columns, 2);
	job->owner = DatumGetObjectId(SPI_getbinval(row, columns, 3, &is_null));
	job->corpus = SPI_getvalue(row, columns, 4);
	job->source = SPI_getvalue(row, columns, 5);
	job->target = SPI_getvalue(row, columns, 6);
	job->options = (Jsonb *) PG_DETOAST_DATUM_COPY(SPI_getbinval(row, columns, 7, &is_null));
	job->state = state_of(SPI_getvalue(row, columns, 8));
	job->pid = DatumGetInt32(SPI_getbinval(row, columns, 9, &is_null));
	job->fingerprint = SPI_getvalue(row, columns, 10);
	job->checkpoint_step = DatumGetInt64(SPI_getbinval(row, columns, 11, &is_null));
	MemoryContextSwitchTo(before);
}

static bool
find(const char *sql, int64 id, ResJob *job, bool lock)
{
	static const Oid types[] = {INT8OID};
	MemoryContext target = CurrentMemoryContext;
	ResCatalog	catalog;
	Datum		values[1];
	bool		found;

	values[0] = Int64GetDatum(id);
	res_catalog_begin(&catalog, !lock);
	found = res_execute(&catalog, sql, 1, types, values, NULL) > 0;
	if (found)
		read_row(job, target);
	res_catalog_end(&catalog);
	return found;
}

bool
res_job_find(int64 id, ResJob *job)
{
	bool		found;

	PushActiveSnapshot(GetLatestSnapshot());
	found = find("SELECT " JOB_COLUMNS " FROM residual.job WHERE id = $1", id, job, false);
	PopActiveSnapshot();
	return found;
}

bool
res_job_find_for_update(int64 id, ResJob *job)
{
	return find("SELECT " JOB_COLUMNS " FROM residual.job WHERE id = $1 FOR UPDATE", id, job, true);
}

bool
res_job_find_unless_locked(int64 id, ResJob *job)
{
	return find("SELECT " JOB_COLUMNS " FROM residual.job WHERE id = $1 FOR UPDATE SKIP LOCKED", id, job, true);
}

void
res_job_get(int64 id, Oid role, ResJob *job)
{
	if (!res_job_find(id, job))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("job " INT64_FORMAT " does not exist", id),
				 errhint("The view residual_jobs lists what there is.")));
	if (!has_privs_of_role(role, job->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must have the rights of the owner of job " INT64_FORMAT, id)));
}

bool
res_job_has_ended(const ResJob *job)
{
	return job->state == RES_JOB_DONE || job->state == RES_JOB_FAILED || job->state == RES_JOB_CANCELLED;
}

const char *
res_job_state_name(const ResJob *job)
{
	if (job->state == RES_JOB_RUNNING && !RecoveryInProgress() && !res_job_is_live(job->id))
		return "interrupted";
	return state_names[job->state];
}

int64
res_job_insert(const ResJob *job)
{
	static const Oid types[] = {TEXTOID, REGROLEOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID};
	ResCatalog	catalog;
	Datum		values[6];
	int64		id;
	bool		is_null;

	values[0] = CStringGetTextDatum(job->model);
	values[1] = ObjectIdGetDatum(job->owner);
	values[2] = CStringGetTextDatum(job->corpus);
	values[3] = CStringGetTextDatum(job->source);
	values[4] = CStringGetTextDatum(job->target);
	values[5] = JsonbPGetDatum(job->options);
	res_catalog_begin(&catalog, false);
	res_execute(&catalog,
				"INSERT INTO residual.job (model, owner, corpus, source, target, options)"
				" VALUES ($1, $2, $3, $4::name, $5::name, $6) RETURNING id",
				6, types, values, NULL);
	id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
	res_catalog_end(&catalog);
	return id;
}

void
res_job_set_state(int64 id, ResJobState state)
{
	static const Oid types[] = {INT8OID, TEXTOID};
	ResCatalog	catalog;
	Datum		values[2];

	values[0] = Int64GetDatum(id);
	values[1] = CStringGetTextDatum(state_names[state]);
	res_catalog_begin(&catalog, false);
	res_execute(&catalog,
				"UPDATE residual.job SET state = $2, phase = NULL,"
				" finished = CASE WHEN $2 IN ('done', 'failed', 'cancelled') THEN now() END,"
				" reason = CASE WHEN $2 = 'cancelled' THEN 'stop' END WHERE id = $1",
				2, types, values, NULL);
	res_catalog_end(&catalog);
}

void
res_job_requeue(int64 id)
{
	static const Oid types[] = {INT8OID};
	ResCatalog	catalog;
	Datum		values[1];

	values[0] = Int64GetDatum(id);
	res_catalog_begin(&catalog, false);
	res_execute(&catalog,
				"UPDATE residual.job SET state = 'queued', phase = NULL, finished = NULL, reason = NULL, sqlstate = NULL,"
				" error = NULL, error_detail = NULL, error_hint = NULL WHERE id = $1",
				1, types, values, NULL);
	res_catalog_end(&catalog);
}

int64
res_job_of_model(const char *model)
{
	static const Oid types[] = {TEXTOID};
	ResCatalog	catalog;
	Datum		values[1];
	int64		job = 0;
	uint64		n,
				i;

	values[0] = CStringGetTextDatum(model);
	PushActiveSnapshot(GetLatestSnapshot());
	res_catalog_begin(&catalog, true);
	n = res_execute(&catalog,
					"SELECT id, state FROM residual.job WHERE model = $1 AND state IN ('queued', 'running') ORDER BY id",
					1, types, values, NULL);
	for (i = 0; i < n && job == 0; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	columns = SPI_tuptable->tupdesc;
		bool		is_null;
		int64		id = DatumGetInt64(SPI_getbinval(row, columns, 1, &is_null));

		if (strcmp(SPI_getvalue(row, columns, 2), "queued") == 0 || res_job_is_live(id))
			job = id;
	}
	res_catalog_end(&catalog);
	PopActiveSnapshot();
	return job;
}

/* ---- locks ---- */

/*
 * Jobs are told apart by the table they are in as well, so that a job of an
 * extension that was dropped and created anew is another one.
 */
static void
job_tag(LOCKTAG *tag, int kind, uint32 key)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, res_job_table(), key, kind);
}

void
res_job_lock_model(const char *model)
{
	LOCKTAG		tag;

	job_tag(&tag, LOCK_MODEL, hash_bytes((const unsigned char *) model, strlen(model)));
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/*
 * Two modes of one lock.  The first keeps other workers out and never meets a
 * probe; the second is what probes meet, and waits for those that look just now.
 */
bool
res_job_claim(int64 id)
{
	LOCKTAG		tag;

	job_tag(&tag, LOCK_JOB, (uint32) id);
	if (LockAcquire(&tag, ShareUpdateExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	(void) LockAcquire(&tag, AccessExclusiveLock, true, false);
	return true;
}

bool
res_job_is_live(int64 id)
{
	LOCKTAG		tag;

	job_tag(&tag, LOCK_JOB, (uint32) id);
	if (LockHeldByMe(&tag, AccessExclusiveLock))
		return true;
	if (LockAcquire(&tag, AccessShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(&tag, AccessShareLock, false);
	return false;
}

/* Places belong to the cluster, so to no database. */
static void
place_tag(LOCKTAG *tag, int kind, int place)
{
	SET_LOCKTAG_ADVISORY(*tag, InvalidOid, 0, place, kind);
}

/* One of n places, or the one that this process has. */
static bool
take_one_of(int kind, int n)
{
	LOCKTAG		tag;
	int			i;

	for (i = 0; i < n; i++)
	{
		place_tag(&tag, kind, i);
		if (LockHeldByMe(&tag, ExclusiveLock))
			return true;
	}
	for (i = 0; i < n; i++)
	{
		place_tag(&tag, kind, i);
		if (LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL)
			return true;
	}
	return false;
}

bool
res_job_take_place(void)
{
	return take_one_of(LOCK_PLACE, res_max_jobs);
}

bool
res_job_take_gpu(void)
{
	return take_one_of(LOCK_GPU, res_max_gpu_jobs);
}

/* A worker has no other locks of this kind. */
void
res_job_leave(void)
{
	LockReleaseSession(USER_LOCKMETHOD);
}

int
res_job_free_places(void)
{
	LOCKTAG		tag;
	int			n = 0;
	int			i;

	for (i = 0; i < res_max_jobs; i++)
	{
		place_tag(&tag, LOCK_PLACE, i);
		if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
			continue;
		LockRelease(&tag, ExclusiveLock, true);
		n++;
	}
	return n;
}
