/*
 * sql_translate.c
 *		SQL functions that put texts through a model: translate, n best, score,
 *		embed, tokenize.
 *
 * NULL in, NULL out; the empty string gives the empty string.
 *
 * src/pg/sql_translate.c
 */
#include "translation.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "encoding.h"
#include "engine_client.h"

PG_FUNCTION_INFO_V1(residual_translate);
PG_FUNCTION_INFO_V1(residual_translate_array);
PG_FUNCTION_INFO_V1(residual_nbest);
PG_FUNCTION_INFO_V1(residual_score);
PG_FUNCTION_INFO_V1(residual_embed);
PG_FUNCTION_INFO_V1(residual_tokenize);
PG_FUNCTION_INFO_V1(residual_shortlist);
PG_FUNCTION_INFO_V1(residual_detokenize);

/* The model and the options of a call stand in these arguments, if it has as many and they are not NULL. */
static ResTranslator *
prepare_call(FunctionCallInfo fcinfo, RnTask task, int model, int options)
{
	ResTranslator *translator = res_translator_of(fcinfo->flinfo);
	char	   *name = NULL;
	Jsonb	   *given = NULL;

	if (model < PG_NARGS() && !PG_ARGISNULL(model))
		name = text_to_cstring(PG_GETARG_TEXT_PP(model));
	if (options >= 0 && options < PG_NARGS() && !PG_ARGISNULL(options))
		given = PG_GETARG_JSONB_P(options);
	res_translator_prepare(translator, task, name, given);
	return translator;
}

Datum
residual_translate(PG_FUNCTION_ARGS)
{
	ResTranslator *translator = prepare_call(fcinfo, RN_TASK_TRANSLATE, 1, 2);
	text	   *source = PG_GETARG_TEXT_PP(0);
	ResAnswer  *answer = res_translate(translator, 1, &source);

	if (answer->translation == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(answer->translation);
}

/* ---------- arrays ---------- */

Datum
residual_translate_array(PG_FUNCTION_ARGS)
{
	ResTranslator *translator = prepare_call(fcinfo, RN_TASK_TRANSLATE, 1, 2);
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	Datum	   *values;
	bool	   *nulls;
	int			n;
	text	  **sources;
	ResAnswer  *answers;
	int			n_sources = 0;
	int			i;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	sources = palloc((n + 1) * sizeof(text *));
	for (i = 0; i < n; i++)
	{
		if (!nulls[i])
			sources[n_sources++] = DatumGetTextPP(values[i]);
	}
	answers = res_translate(translator, n_sources, sources);
	n_sources = 0;
	for (i = 0; i < n; i++)
	{
		text	   *translation = nulls[i] ? NULL : answers[n_sources++].translation;

		values[i] = PointerGetDatum(translation);
		nulls[i] = translation == NULL;
	}
	PG_RETURN_ARRAYTYPE_P(construct_md_array(values, nulls, ARR_NDIM(array), ARR_DIMS(array), ARR_LBOUND(array),
											 TEXTOID, -1, false, TYPALIGN_INT));
}

/* ---------- n best ---------- */

Datum
residual_nbest(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ResTranslator *translator;
	text	   *source;
	ResAnswer  *answers;
	int			i;

	InitMaterializedSRF(fcinfo, 0);
	translator = prepare_call(fcinfo, RN_TASK_TRANSLATE, 2, 3);
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the number of translations must not be NULL")));
	res_translator_set_n_best(translator, PG_GETARG_INT32(1));
	translator->search.token_scores = true;
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	source = PG_GETARG_TEXT_PP(0);
	answers = res_translate(translator, 1, &source);
	for (i = 0; i < translator->search.n_best && answers[i].translation != NULL; i++)
	{
		int			n = answers[i].pieces != NULL ? (int) answers[i].tokens : 0;
		Datum		values[5];
		bool		nulls[5] = {false, false, false, false, false};

		values[0] = Int32GetDatum(i + 1);
		values[1] = PointerGetDatum(answers[i].translation);
		values[2] = Float8GetDatum(answers[i].score);
		values[3] = PointerGetDatum(construct_array(answers[i].pieces, n, TEXTOID, -1, false, TYPALIGN_INT));
		values[4] = PointerGetDatum(construct_array(answers[i].token_scores, n, FLOAT8OID, sizeof(float8),
													FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* ---------- score, embed ---------- */

Datum
residual_score(PG_FUNCTION_ARGS)
{
	ResTranslator *translator = prepare_call(fcinfo, RN_TASK_SCORE, 2, 3);
	text	   *source;
	text	   *target;
	double		log_probability;
	uint32		tokens;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	source = PG_GETARG_TEXT_PP(0);
	target = PG_GETARG_TEXT_PP(1);
	res_score(translator, 1, &source, &target, &log_probability, &tokens);
	if (tokens == 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("target is too long to be scored"),
				 errdetail("The model takes at most %d pieces.", res_translator_longest(translator) - 1)));
	if (translator->normalize)
		log_probability /= tokens;
	PG_RETURN_FLOAT8(log_probability);
}

Datum
residual_embed(PG_FUNCTION_ARGS)
{
	ResTranslator *translator = prepare_call(fcinfo, RN_TASK_EMBED, 1, -1);
	RnReader	reader;
	uint32		width;
	Size		size;
	const char *bytes;
	Datum	   *values;
	ArrayType  *embedding;
	uint32		i;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	res_ask_about_text(translator, PG_GETARG_TEXT_PP(0), &reader);
	res_check_answers(rn_read_u32(&reader), 1);
	width = rn_read_u32(&reader);
	bytes = rn_read_bytes(&reader, &size);
	res_request_end(&reader);
	if (size != width * sizeof(float))
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("the serving engine gave %zu bytes for %u numbers", size, width)));
	values = palloc(Max(width, 1) * sizeof(Datum));
	for (i = 0; i < width; i++)
	{
		float		value;

		memcpy(&value, bytes + i * sizeof(float), sizeof(float));
		values[i] = Float4GetDatum(value);
	}
	embedding = construct_array(values, (int) width, FLOAT4OID, sizeof(float4), true, TYPALIGN_INT);
	PG_RETURN_ARRAYTYPE_P(embedding);
}

/* ---------- pieces ---------- */

/* What the engine answers to a text in pieces. */
static Datum
ask_for_pieces(FunctionCallInfo fcinfo, RnTask task)
{
	ResTranslator *translator = prepare_call(fcinfo, task, 1, -1);
	RnReader	reader;
	uint32		n;
	Datum	   *pieces;
	uint32		i;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	res_ask_about_text(translator, PG_GETARG_TEXT_PP(0), &reader);
	res_check_answers(rn_read_u32(&reader), 1);
	n = rn_read_count(&reader, sizeof(uint32));
	pieces = palloc(Max(n, 1) * sizeof(Datum));
	for (i = 0; i < n; i++)
	{
		Size		size;
		const char *bytes = rn_read_bytes(&reader, &size);

		pieces[i] = PointerGetDatum(res_text_from_utf8(bytes, size));
	}
	res_request_end(&reader);
	PG_RETURN_ARRAYTYPE_P(construct_array(pieces, (int) n, TEXTOID, -1, false, TYPALIGN_INT));
}

Datum
residual_tokenize(PG_FUNCTION_ARGS)
{
	return ask_for_pieces(fcinfo, RN_TASK_TOKENIZE);
}

Datum
residual_shortlist(PG_FUNCTION_ARGS)
{
	return ask_for_pieces(fcinfo, RN_TASK_SHORTLIST);
}

Datum
residual_detokenize(PG_FUNCTION_ARGS)
{
	ResTranslator *translator = prepare_call(fcinfo, RN_TASK_DETOKENIZE, 1, -1);
	ArrayType  *array;
	Datum	   *pieces;
	int			n;
	RnWriter   *writer;
	RnReader	reader;
	Size		size;
	const char *bytes;
	int			i;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	array = PG_GETARG_ARRAYTYPE_P(0);
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("pieces must not be NULL")));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &pieces, NULL, &n);
	writer = res_translator_request(translator, n);
	for (i = 0; i < n; i++)
		(void) res_write_text(writer, DatumGetTextPP(pieces[i]));
	res_request_perform(&translator->model, &reader);
	bytes = rn_read_bytes(&reader, &size);
	res_request_end(&reader);
	PG_RETURN_TEXT_P(res_text_from_utf8(bytes, size));
}
