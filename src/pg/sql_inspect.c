/*
 * sql_inspect.c
 *		SQL functions that look inside: tensors of a model, options, schemes,
 *		the serving engine.
 *
 * src/pg/sql_inspect.c
 */
#include "model_catalog.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "encoding.h"
#include "engine_client.h"
#include "model/scheme_list.h"
#include "translate/search_options.h"
#include "weights.h"
#include "wire/protocol.h"

PG_FUNCTION_INFO_V1(residual_weights);
PG_FUNCTION_INFO_V1(residual_weight);
PG_FUNCTION_INFO_V1(residual_option_list);
PG_FUNCTION_INFO_V1(residual_scheme_list);
PG_FUNCTION_INFO_V1(residual_serving_status);

/* ---------- tensors ---------- */

/* A version of a model that the user may use: of a number, or the one in service. */
static void
find_version(FunctionCallInfo fcinfo, int version_argument, ResModel *model, int32 *version)
{
	Oid			user = GetUserId();
	ResVersion	row;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the model must not be NULL")));
	res_model_get(text_to_cstring(PG_GETARG_TEXT_PP(0)), user, model);
	res_model_check_use(model, user);
	*version = PG_ARGISNULL(version_argument) ? model->active : PG_GETARG_INT32(version_argument);
	if (*version == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no version in service", model->name),
				 errhint("Name a version; the view residual_versions lists what there is.")));
	if (!res_version_find(model->id, *version, &row))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("version %d of model \"%s\" does not exist", *version, model->name),
				 errhint("The view residual_versions lists what there is.")));
}

/* Sums over one tensor's chunks; a row when the last has come. */
typedef struct Norms
{
	ReturnSetInfo *result;
	double		squares;
} Norms;

static Datum
shape_datum(const ResChunk *chunk)
{
	Datum		dims[RES_MAX_DIMS];
	int			i;

	for (i = 0; i < chunk->ndim; i++)
		dims[i] = Int32GetDatum(chunk->shape[i]);
	return PointerGetDatum(construct_array(dims, chunk->ndim, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

static void
add_norm(void *arg, const ResChunk *chunk)
{
	Norms	   *norms = arg;
	Datum		values[4];
	bool		nulls[4] = {false, false, false, false};
	Size		at;

	if (chunk->dtype != RN_DTYPE_FLOAT32)
		return;					/* a shortlist */
	if (chunk->offset == 0)
		norms->squares = 0.0;
	for (at = 0; at + sizeof(float) <= chunk->size; at += sizeof(float))
	{
		float		value;

		memcpy(&value, chunk->bytes + at, sizeof(float));
		norms->squares += (double) value * value;
	}
	if (chunk->offset + chunk->size < chunk->total)
		return;
	values[0] = CStringGetTextDatum(chunk->name);
	values[1] = shape_datum(chunk);
	values[2] = Float8GetDatum(sqrt(norms->squares));
	values[3] = Int64GetDatum((int64) chunk->total);
	tuplestore_putvalues(norms->result->setResult, norms->result->setDesc, values, nulls);
}

Datum
residual_weights(PG_FUNCTION_ARGS)
{
	ResModel	model;
	int32		version;
	Norms		norms;

	InitMaterializedSRF(fcinfo, 0);
	find_version(fcinfo, 1, &model, &version);
	norms.result = (ReturnSetInfo *) fcinfo->resultinfo;
	norms.squares = 0.0;
	(void) res_weights_read(RES_MODEL_WEIGHTS, model.id, version,
							psprintf("model \"%s\" version %d", model.name, version), NULL, add_norm, &norms);
	return (Datum) 0;
}

/* A tensor's numbers as they come. */
typedef struct Numbers
{
	MemoryContext context;
	ArrayType  *array;			/* NULL until the first chunk */
} Numbers;

static void
add_numbers(void *arg, const ResChunk *chunk)
{
	Numbers    *numbers = arg;
	Size		size = ARR_OVERHEAD_NONULLS(1) + chunk->total;

	if (chunk->dtype != RN_DTYPE_FLOAT32)
		return;
	if (numbers->array == NULL)
	{
		if (!AllocSizeIsValid(size))
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("tensor \"%s\" is too large for an array", chunk->name)));
		numbers->array = MemoryContextAllocZero(numbers->context, size);
		SET_VARSIZE(numbers->array, size);
		numbers->array->ndim = 1;
		numbers->array->elemtype = FLOAT4OID;
		ARR_DIMS(numbers->array)[0] = (int) (chunk->total / sizeof(float));
		ARR_LBOUND(numbers->array)[0] = 1;
	}
	memcpy(ARR_DATA_PTR(numbers->array) + chunk->offset, chunk->bytes, chunk->size);
}

Datum
residual_weight(PG_FUNCTION_ARGS)
{
	ResModel	model;
	int32		version;
	char	   *tensor;
	Numbers		numbers;

	find_version(fcinfo, 2, &model, &version);
	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	tensor = text_to_cstring(PG_GETARG_TEXT_PP(1));
	numbers.context = CurrentMemoryContext;
	numbers.array = NULL;
	(void) res_weights_read(RES_MODEL_WEIGHTS, model.id, version,
							psprintf("model \"%s\" version %d", model.name, version), tensor, add_numbers, &numbers);
	if (numbers.array == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model \"%s\" version %d has no tensor \"%s\"", model.name, version, tensor),
				 errhint("residual_weights() lists the tensors of a model.")));
	PG_RETURN_ARRAYTYPE_P(numbers.array);
}

/* ---------- options and schemes ---------- */

/* A column of text that may be absent. */
static void
put_text(Datum *values, bool *nulls, int column, const char *value)
{
	nulls[column] = value == NULL;
	if (value != NULL)
		values[column] = CStringGetTextDatum(value);
}

static Datum
text_array(const char *const *words, int n)
{
	Datum	   *values = palloc(Max(n, 1) * sizeof(Datum));
	int			i;

	for (i = 0; i < n; i++)
		values[i] = CStringGetTextDatum(words[i]);
	return PointerGetDatum(construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
put_option(ReturnSetInfo *result, const RnOption *option)
{
	Datum		values[9];
	bool		nulls[9];
	int			n_choices = 0;

	put_text(values, nulls, 0, option->name);
	put_text(values, nulls, 1, rn_option_group_name(option->group));
	put_text(values, nulls, 2, rn_option_type_name(option->type));
	put_text(values, nulls, 3, option->default_text);
	put_text(values, nulls, 4, option->minimum);
	put_text(values, nulls, 5, option->maximum);
	while (option->choices != NULL && option->choices[n_choices] != NULL)
		n_choices++;
	nulls[6] = option->choices == NULL;
	if (option->choices != NULL)
		values[6] = text_array(option->choices, n_choices);
	put_text(values, nulls, 7, option->unit);
	put_text(values, nulls, 8, option->meaning);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
residual_option_list(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const RnOption *options;
	int			n;
	int			i;

	InitMaterializedSRF(fcinfo, 0);
	options = rn_options(&n);
	for (i = 0; i < n; i++)
		put_option(result, &options[i]);
	options = rn_search_option_list(&n);
	for (i = 0; i < n; i++)
	{
		/* what the function decides is no option */
		if (!rn_search_is_internal(options[i].name))
			put_option(result, &options[i]);
	}
	return (Datum) 0;
}

/* Words separated by blanks. */
static Datum
split_words(const char *list)
{
	char	   *copy = pstrdup(list);
	const char **words = palloc((strlen(list) / 2 + 1) * sizeof(char *));
	char	   *rest;
	char	   *word;
	int			n = 0;

	for (word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
		words[n++] = word;
	return text_array(words, n);
}

Datum
residual_scheme_list(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const RnSchemeInfo *schemes;
	int			n;
	int			i;

	InitMaterializedSRF(fcinfo, 0);
	schemes = rn_scheme_infos(&n);
	for (i = 0; i < n; i++)
	{
		Datum		values[7];
		bool		nulls[7];

		put_text(values, nulls, 0, schemes[i].name);
		put_text(values, nulls, 1, schemes[i].title);
		put_text(values, nulls, 2, schemes[i].formula);
		put_text(values, nulls, 3, schemes[i].parameters);
		put_text(values, nulls, 4, schemes[i].cost);
		values[5] = split_words(schemes[i].options != NULL ? schemes[i].options : "");
		nulls[5] = false;
		put_text(values, nulls, 6, schemes[i].paper);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* ---------- the serving engine ---------- */

Datum
residual_serving_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	RnReader	reader;
	uint32		n;
	uint32		i;

	InitMaterializedSRF(fcinfo, 0);
	if (!res_serving_status(&reader))
		return (Datum) 0;
	n = rn_read_count(&reader, 2 * sizeof(uint32));
	for (i = 0; i < n; i++)
	{
		Datum		values[2];
		bool		nulls[2] = {false, false};
		int			k;

		for (k = 0; k < 2; k++)
		{
			Size		size;
			const char *bytes = rn_read_bytes(&reader, &size);

			values[k] = PointerGetDatum(res_text_from_utf8(bytes, size));
		}
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	res_request_end(&reader);
	return (Datum) 0;
}
