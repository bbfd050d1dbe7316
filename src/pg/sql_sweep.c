/*
 * sql_sweep.c
 *		Sweeps: a training job for each combination of a grid's values.
 *
 * The jobs are jobs like any other.  As many start as there are places; the
 * others wait in the queue, in which nothing knows of sweeps.  So a run that
 * fails costs the others nothing, and after a restart, without a launcher,
 * residual_sweep_resume puts the queue into motion again.
 *
 * src/pg/sql_sweep.c
 */
#include "residual.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/regproc.h"

#include "corpus.h"
#include "launch.h"
#include "model_catalog.h"
#include "submit.h"
#include "sweep_grid.h"

PG_FUNCTION_INFO_V1(residual_sweep);
PG_FUNCTION_INFO_V1(residual_sweep_cancel);
PG_FUNCTION_INFO_V1(residual_sweep_resume);
PG_FUNCTION_INFO_V1(residual_sweep_drop);
extern Datum residual_drop_model(PG_FUNCTION_ARGS);

/* ---- the catalog ---- */

/* Runs of a sweep, in their order; job 0: its row is not there (it was not dumped). */
typedef struct Run
{
	int32		number;			/* from 1 */
	int64		job;
	bool		diverged;		/* its job failed, and would again */
	Jsonb	   *options;
} Run;

typedef struct Sweep
{
	char	   *name;
	char	   *corpus;			/* qualified and quoted */
	char	   *source;
	char	   *target;
	int			n_runs;
	Run		   *runs;
} Sweep;

static Jsonb *
jsonb_column(int row, int column)
{
	bool		is_null;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);

	return (Jsonb *) PG_DETOAST_DATUM_COPY(value);
}

static int64
integer_column(int row, int column)
{
	bool		is_null;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);

	return is_null ? 0 : DatumGetInt64(value);
}

static void
check_owner(const char *name, Oid owner)
{
	if (!has_privs_of_role(GetUserId(), owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must have the rights of the owner of sweep \"%s\"", name)));
}

/* The sweep of an argument, its row locked against others that change it; ERROR 42704, 42501. */
static void
get_sweep(const char *name, Sweep *sweep)
{
	static const Oid types[] = {TEXTOID};
	MemoryContext target = CurrentMemoryContext;
	MemoryContext before;
	ResCatalog	catalog;
	Datum		values[1];
	Oid			owner = InvalidOid;
	bool		found;
	int			i;

	values[0] = CStringGetTextDatum(name);
	res_catalog_begin(&catalog, false);
	found = res_execute(&catalog, "SELECT corpus, source::text, target::text, owner::oid::bigint FROM residual.sweep"
						" WHERE name = $1 FOR UPDATE", 1, types, values, NULL) > 0;
	before = MemoryContextSwitchTo(target);
	if (found)
	{
		sweep->name = pstrdup(name);
		sweep->corpus = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		sweep->source = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
		sweep->target = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3);
		owner = (Oid) integer_column(0, 4);
		sweep->n_runs = (int) res_execute(&catalog,
										  "SELECT r.run::bigint, j.id, (j.state = 'failed' AND j.sqlstate = '22P01')::int::bigint, r.options"
										  " FROM residual.sweep_run r LEFT JOIN residual.job j ON j.id = r.job"
										  " WHERE r.sweep = $1 ORDER BY r.run", 1, types, values, NULL);
		sweep->runs = palloc0((sweep->n_runs + 1) * sizeof(Run));
		for (i = 0; i < sweep->n_runs; i++)
		{
			sweep->runs[i].number = (int32) integer_column(i, 1);
			sweep->runs[i].job = integer_column(i, 2);
			sweep->runs[i].diverged = integer_column(i, 3) != 0;
			sweep->runs[i].options = jsonb_column(i, 4);
		}
	}
	MemoryContextSwitchTo(before);
	res_catalog_end(&catalog);
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("sweep \"%s\" does not exist", name),
				 errhint("The view residual_sweeps lists what there is.")));
	check_owner(name, owner);
}

static void
insert_sweep(const char *name, const char *corpus, const char *source, const char *target, Jsonb *grid)
{
	static const Oid types[] = {TEXTOID, REGROLEOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID};
	ResCatalog	catalog;
	Datum		values[6];
	bool		is_new;

	values[0] = CStringGetTextDatum(name);
	values[1] = ObjectIdGetDatum(GetUserId());
	values[2] = CStringGetTextDatum(corpus);
	values[3] = CStringGetTextDatum(source);
	values[4] = CStringGetTextDatum(target);
	values[5] = JsonbPGetDatum(grid);
	res_catalog_begin(&catalog, false);
	is_new = res_execute(&catalog, "INSERT INTO residual.sweep (name, owner, corpus, source, target, grid)"
						 " VALUES ($1, $2, $3, $4::name, $5::name, $6) ON CONFLICT (name) DO NOTHING",
						 6, types, values, NULL) > 0;
	res_catalog_end(&catalog);
	if (!is_new)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("sweep \"%s\" already exists", name),
				 errhint("Go on with it by residual_sweep_resume(), or remove it with residual_sweep_drop().")));
}

static void
insert_run(const char *name, int number, int64 job, Jsonb *settings, Jsonb *options)
{
	static const Oid types[] = {TEXTOID, INT4OID, INT8OID, JSONBOID, JSONBOID};
	ResCatalog	catalog;
	Datum		values[5];

	values[0] = CStringGetTextDatum(name);
	values[1] = Int32GetDatum(number);
	values[2] = Int64GetDatum(job);
	values[3] = JsonbPGetDatum(settings);
	values[4] = JsonbPGetDatum(options);
	res_catalog_begin(&catalog, false);
	res_execute(&catalog, "INSERT INTO residual.sweep_run (sweep, run, job, settings, options)"
				" VALUES ($1, $2, $3, $4, $5)", 5, types, values, NULL);
	res_catalog_end(&catalog);
}

static void
set_job(const Sweep *sweep, const Run *run, int64 job)
{
	static const Oid types[] = {TEXTOID, INT4OID, INT8OID};
	ResCatalog	catalog;
	Datum		values[3];

	values[0] = CStringGetTextDatum(sweep->name);
	values[1] = Int32GetDatum(run->number);
	values[2] = Int64GetDatum(job);
	res_catalog_begin(&catalog, false);
	res_execute(&catalog, "UPDATE residual.sweep_run SET job = $3 WHERE sweep = $1 AND run = $2",
				3, types, values, NULL);
	res_catalog_end(&catalog);
}

/* ---- making ---- */

typedef struct RunContext
{
	int			number;
	Jsonb	   *settings;
} RunContext;

/* Which run it is that an error is about. */
static void
name_run(void *arg)
{
	RunContext *run = arg;

	errcontext("run %d of the sweep, %s", run->number,
			   JsonbToCString(NULL, &run->settings->root, VARSIZE(run->settings)));
}

static int64
submit_run(const char *sweep, int number, Jsonb *settings, Jsonb *options, Oid corpus, const char *source,
		   const char *target)
{
	RunContext	run = {number, settings};
	ErrorContextCallback callback;
	int64		job;

	callback.callback = name_run;
	callback.arg = &run;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	job = res_submit(psprintf("%s.%d", sweep, number), corpus, source, target, options);
	error_context_stack = callback.previous;
	return job;
}

static void
check_arguments(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {"name", "corpus", "source", "target", "grid"};
	int			i;

	for (i = 0; i < lengthof(names); i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" of residual_sweep must not be null", names[i])));
	}
}

/* Nobody may be surprised by runs that do not start. */
static void
tell_queue(int n_runs, int places)
{
	if (n_runs <= places)
		return;
	ereport(NOTICE,
			(errmsg("%d of %d runs stay queued", n_runs - places, n_runs),
			 errdetail("residual.max_jobs is %d; each starts when a job before it has ended.", res_max_jobs)));
}

Datum
residual_sweep(PG_FUNCTION_ARGS)
{
	char	   *name;
	char	   *source;
	char	   *target;
	ResSweepGrid grid;
	int			places;
	int			i;

	PreventCommandDuringRecovery("residual_sweep()");
	PreventCommandIfReadOnly("residual_sweep()");
	check_arguments(fcinfo);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	source = NameStr(*PG_GETARG_NAME(2));
	target = NameStr(*PG_GETARG_NAME(3));
	res_model_check_name(name);
	res_sweep_grid(PG_GETARG_JSONB_P(4), &grid);
	insert_sweep(name, res_corpus_check(PG_GETARG_OID(1), source, target), source, target, grid.grid);
	places = res_job_free_places();
	for (i = 0; i < grid.n_runs; i++)
	{
		Jsonb	   *settings = res_sweep_settings(&grid, i);
		Jsonb	   *options = res_sweep_options(&grid, i);
		int64		job;

		CHECK_FOR_INTERRUPTS();
		job = submit_run(name, i + 1, settings, options, PG_GETARG_OID(1), source, target);
		insert_run(name, i + 1, job, settings, options);
		if (i < places)
			res_launch_at_commit(job, GetUserId());
	}
	tell_queue(grid.n_runs, places);
	if (grid.n_runs > places)
		res_launch_queue_at_commit();
	PG_RETURN_INT32(grid.n_runs);
}

/* ---- ending, and going on ---- */

/* Queued runs first: a running one that ends would start the next. */
Datum
residual_sweep_cancel(PG_FUNCTION_ARGS)
{
	Sweep		sweep;
	int			cancelled = 0;
	int			turn;
	int			i;

	PreventCommandDuringRecovery("residual_sweep_cancel()");
	PreventCommandIfReadOnly("residual_sweep_cancel()");
	get_sweep(text_to_cstring(PG_GETARG_TEXT_PP(0)), &sweep);
	for (turn = 0; turn < 2; turn++)
	{
		for (i = 0; i < sweep.n_runs; i++)
		{
			int64		job = sweep.runs[i].job;

			if (job != 0 && res_job_is_live(job) == (turn == 1))
				cancelled += res_job_cancel(job);
		}
	}
	PG_RETURN_INT32(cancelled);
}

/* A job as good as new for a run whose job is not there any more. */
static int64
replace_job(const Sweep *sweep, const Run *run, Oid corpus)
{
	int64		job = submit_run(sweep->name, run->number, run->options, run->options, corpus, sweep->source,
								 sweep->target);

	set_job(sweep, run, job);
	return job;
}

/* Runs that diverged are left alone: the same would come of them again. */
Datum
residual_sweep_resume(PG_FUNCTION_ARGS)
{
	Sweep		sweep;
	Oid			corpus = InvalidOid;
	int			places = res_job_free_places();
	int			queued = 0;
	int			i;
	ResJob		job;

	PreventCommandDuringRecovery("residual_sweep_resume()");
	PreventCommandIfReadOnly("residual_sweep_resume()");
	get_sweep(text_to_cstring(PG_GETARG_TEXT_PP(0)), &sweep);
	for (i = 0; i < sweep.n_runs; i++)
	{
		Run		   *run = &sweep.runs[i];

		CHECK_FOR_INTERRUPTS();
		if (run->diverged)
			continue;
		if (run->job == 0)
		{
			if (!OidIsValid(corpus))
				corpus = DatumGetObjectId(DirectFunctionCall1(regclassin, CStringGetDatum(sweep.corpus)));
			job.id = replace_job(&sweep, run, corpus);
			job.owner = GetUserId();
		}
		else if (!res_resubmit(run->job, &job))
			continue;
		if (queued < places)
			res_launch_at_commit(job.id, job.owner);
		queued++;
	}
	tell_queue(queued, places);
	if (queued > places)
		res_launch_queue_at_commit();
	PG_RETURN_INT32(queued);
}

/* ---- forgetting ---- */

static void
check_no_live_runs(const Sweep *sweep)
{
	int			i;
	ResJob		job;

	for (i = 0; i < sweep->n_runs; i++)
	{
		int64		id = sweep->runs[i].job;

		if (id != 0 && res_job_find(id, &job) && !res_job_has_ended(&job) &&
			strcmp(res_job_state_name(&job), "interrupted") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("job " INT64_FORMAT " of sweep \"%s\" has not ended", id, sweep->name),
					 errhint("End it with residual_sweep_cancel(), and wait for it with residual_wait().")));
	}
}

/* Its models stay unless they are to go, too; its jobs stay as any job does. */
Datum
residual_sweep_drop(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID};
	bool		models = PG_GETARG_BOOL(1);
	Sweep		sweep;
	ResCatalog	catalog;
	Datum		values[1];
	int			dropped = 0;
	int			i;

	PreventCommandDuringRecovery("residual_sweep_drop()");
	PreventCommandIfReadOnly("residual_sweep_drop()");
	get_sweep(text_to_cstring(PG_GETARG_TEXT_PP(0)), &sweep);
	check_no_live_runs(&sweep);
	for (i = 0; models && i < sweep.n_runs; i++)
	{
		ResModel	model;

		if (!res_model_find(psprintf("%s.%d", sweep.name, sweep.runs[i].number), &model))
			continue;
		DirectFunctionCall1(residual_drop_model, CStringGetTextDatum(model.name));
		dropped++;
	}
	values[0] = CStringGetTextDatum(sweep.name);
	res_catalog_begin(&catalog, false);
	res_execute(&catalog, "DELETE FROM residual.sweep_run WHERE sweep = $1", 1, types, values, NULL);
	res_execute(&catalog, "DELETE FROM residual.sweep WHERE name = $1", 1, types, values, NULL);
	res_catalog_end(&catalog);
	PG_RETURN_INT32(dropped);
}
