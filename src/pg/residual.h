/*
 * residual.h
 *		What the files of residual.so share: settings, the catalog, read and
 *		written as the extension's owner, and errors that came as values.
 *
 * src/pg/residual.h
 */
#ifndef RES_RESIDUAL_H
#define RES_RESIDUAL_H

#include "postgres.h"

#include "fmgr.h"

#include "base/context.h"

#define RES_LIBRARY		"$libdir/residual"	/* where background workers find us */

/* settings.c */
extern char *res_engine_path;	/* residual.engine */
extern char *res_default_model; /* residual.default_model */
extern char *res_device;		/* residual.device */
extern int	res_precision;		/* residual.precision, RnPrecision */
extern char *res_cuda_library;	/* residual.cuda_library; "": beside the engine */
extern char *res_nccl_library;	/* residual.nccl_library; "": where the system looks */
extern char *res_cuda_visible_devices;	/* residual.cuda_visible_devices; "": as the server's environment says */
extern int	res_gpu_memory_limit;	/* residual.gpu_memory_limit, MB; 0: what the device finds right */
extern int	res_max_gpu_jobs;	/* residual.max_gpu_jobs, of the whole cluster */
extern int	res_threads;		/* residual.threads; 0: as many as there are processors */
extern int	res_max_jobs;		/* residual.max_jobs, of the whole cluster */
extern int	res_training_memory;	/* residual.training_memory, MB a job; 0: no limit */
extern int	res_training_nice;	/* residual.training_nice */
extern int	res_stop_grace;		/* residual.stop_grace, ms */
extern int	res_serve_memory;	/* residual.serve_memory, MB of models; 0: no limit */
extern int	res_serve_threads;	/* residual.serve_threads; 0: as many as there are processors */
extern int	res_serve_idle;		/* residual.serve_idle, s; 0: stay for ever */
extern bool res_enable_batching;	/* residual.enable_batching */
extern int	res_batch_rows;		/* residual.batch_rows */
extern void res_settings_define(void);

/* Threads that residual.threads and the machine give. */
extern int	res_default_threads(void);

/* The same for residual.serve_threads. */
extern int	res_serving_threads(void);

/* launcher.c, serve_worker.c: what runs from the start when the library is preloaded. */
extern void res_launcher_register(void);
extern void res_serve_register(void);

/* batch_plan.c, batch_node.c: the hook, and the node that it puts into plans. */
extern void res_batch_plan_install(void);
extern void res_batch_node_register(void);

/* report.c: an RnContext to ereport(ERROR) with SQLSTATE, detail and hint. */
extern int	res_sqlstate(RnStatus status);
extern void res_report(const RnContext *ctx) pg_attribute_noreturn();

/* ERROR 22004 for the first of n arguments that is NULL, by its name. */
extern void res_check_arguments(FunctionCallInfo fcinfo, const char *const *names, int n);

/*
 * catalog.c: SPI as the extension's owner with a fixed search_path.
 * ERROR 42704 with a hint when the extension is not installed in this
 * database.  Calls nest; an error restores the caller's identity with the
 * transaction.
 */
typedef struct ResCatalog
{
	Oid			user;			/* who called */
	int			security_context;
	int			guc_level;
	bool		read_only;
} ResCatalog;

extern bool res_extension_installed(void);
extern void res_extension_check(void);	/* ERROR when it is not */

/*
 * DROP EXTENSION takes this lock before those of the tables.  Who writes to
 * several of them takes it first, too, so that the two cannot deadlock.
 */
extern void res_extension_lock(void);
extern void res_catalog_begin(ResCatalog *catalog, bool read_only);
extern void res_catalog_end(ResCatalog *catalog);

/* Run one statement between begin and end; gives the rows it processed.  nulls may be NULL: none. */
extern uint64 res_execute(const ResCatalog *catalog, const char *sql, int nargs,
						  const Oid *types, const Datum *values, const char *nulls);

#endif							/* RES_RESIDUAL_H */
