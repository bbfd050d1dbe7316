/*
 * residual.c
 *		What happens when the server loads the library.
 *
 * Works preloaded by the server, preloaded by sessions, and loaded by the
 * first call of a function; only the first can have the launcher and a serving
 * engine from the start.
 *
 * src/pg/residual.c
 */
#include "residual.h"

#include "fmgr.h"
#include "miscadmin.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	res_settings_define();
	res_batch_plan_install();
	/* pg_upgrade's servers are no place to train or translate */
	if (process_shared_preload_libraries_in_progress && !IsBinaryUpgrade)
	{
		res_launcher_register();
		res_serve_register();
	}
}
