/*
 * residual.h
 *		What the files of residual.so share: the catalog, read and written as
 *		the extension's owner, and the rights of the caller.
 *
 * src/pg/residual.h
 */
#ifndef RES_RESIDUAL_H
#define RES_RESIDUAL_H

#include "postgres.h"

#include "base/context.h"

/* settings.c */
extern char *res_engine_path;	/* residual.engine */
extern char *res_default_model; /* residual.default_model */
extern void res_settings_define(void);

/* report.c: an RnContext to ereport(ERROR) with SQLSTATE, detail and hint. */
extern int	res_sqlstate(RnStatus status);
extern void res_report(const RnContext *ctx) pg_attribute_noreturn();

/*
 * catalog.c: SPI as the extension's owner with a fixed search_path.
 * ERROR 42704-like with a hint when the extension is not installed in this
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

extern Oid	res_extension_owner(void);
extern void res_catalog_begin(ResCatalog *catalog, bool read_only);
extern void res_catalog_end(ResCatalog *catalog);

#endif							/* RES_RESIDUAL_H */
