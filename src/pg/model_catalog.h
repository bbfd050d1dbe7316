/*
 * model_catalog.h
 *		Models, versions and who may use them.
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
	int32		active;			/* 0: none in service yet */
} ResModel;

/* By name with the active snapshot; false when there is none. */
extern bool res_model_find(const char *name, ResModel *model);

/* The same, or ERROR 42704 with the nearest name that the user may use as a hint. */
extern void res_model_get(const char *name, ResModel *model);

/* ERROR 42501 unless the user may use it (owner, granted, superuser) ... */
extern void res_model_check_use(const ResModel *model);

/* ... or owns it (member of the owner, superuser). */
extern void res_model_check_owner(const ResModel *model);

/* A new model without versions; ERROR 42710 when the name is taken. */
extern int64 res_model_create(const char *name, Oid owner);

/* What a version is made of; weights are written by weights.h. */
typedef struct ResVersion
{
	int64		model;
	int32		version;
	int64		job;
	Jsonb	   *configuration;
	bytea	   *tokenizer;
	int64		parameters;
	int64		bytes;
	int64		step;
	double		validation_loss;	/* NaN: none */
	double		validation_bleu;
	int64		checksum;
} ResVersion;

/* Number of the next version; locks the model row. */
extern int32 res_version_next(int64 model);
extern void res_version_insert(const ResVersion *version);

/* Fill in what is known only when the weights are stored. */
extern void res_version_finish(const ResVersion *version);
extern bool res_version_find(int64 model, int32 version, ResVersion *result);
extern void res_model_set_active(int64 model, int32 version);

#endif							/* RES_MODEL_CATALOG_H */
