/*
 * model_catalog.h
 *		Models, versions and who may use them.
 *
 * Rights are asked for a role that the caller names: GetUserId() as it was
 * before res_catalog_begin, which becomes the extension's owner.
 *
 * src/pg/model_catalog.h
 */
#ifndef RES_MODEL_CATALOG_H
#define RES_MODEL_CATALOG_H

#include "residual.h"

#include "utils/jsonb.h"

typedef struct ResModel
{
	int64		id;
	char	   *name;
	Oid			owner;
	int32		active;			/* version in service; 0: none yet */
	int64		checksum;		/* of that version */
} ResModel;

/* By name with the active snapshot; false when there is none. */
extern bool res_model_find(const char *name, ResModel *model);

/* The same, or ERROR 42704 with the nearest name that the role may use as a hint. */
extern void res_model_get(const char *name, Oid role, ResModel *model);

/* May the role use it: has the owner's rights, was granted its use, or everybody was? */
extern bool res_model_may_use(int64 model, Oid owner, Oid role);

/* ERROR 42501 unless the role may use it ... */
extern void res_model_check_use(const ResModel *model, Oid role);

/* ... or has the owner's rights (member of the owner, superuser). */
extern void res_model_check_owner(const ResModel *model, Oid role);

/* ERROR 22023 or 42622 for a name that no model may have. */
extern void res_model_check_name(const char *name);

/* A new model without versions; ERROR 42710 when the name is taken. */
extern int64 res_model_create(const char *name, Oid owner);

/*
 * What a version is made of; its weights are written by weights.h, between
 * res_version_insert and res_version_finish.
 */
typedef struct ResVersion
{
	int64		model;
	int32		version;
	int64		job;			/* 0: none */
	Jsonb	   *configuration;	/* key: text of the value */
	bytea	   *tokenizer;
	int64		parameters;
	int64		bytes;			/* of all weights */
	int64		step;
	double		validation_loss;	/* NaN: none */
	double		validation_bleu;	/* NaN: none */
	int64		checksum;		/* of res_version_checksum */
} ResVersion;

/* Waits for others that change the model, and keeps them waiting; ERROR 42704 when it has gone. */
extern void res_model_lock(int64 model);

/* Of everything that decides what a version answers. */
extern int64 res_version_checksum(Jsonb *configuration, bytea *tokenizer, int64 weights_checksum);

/* Number of the next version; locks the model row.  ERROR 42704 when the model has gone. */
extern int32 res_version_next(int64 model);
extern void res_version_insert(const ResVersion *version);

/* Write again what is known only when the weights are stored: all but configuration and tokenizer. */
extern void res_version_finish(const ResVersion *version);

/* By number with the active snapshot, palloc'd; false when there is none. */
extern bool res_version_find(int64 model, int32 version, ResVersion *result);

/* ERROR 42704 when there is no such model or version. */
extern void res_model_set_active(int64 model, int32 version);

#endif							/* RES_MODEL_CATALOG_H */
