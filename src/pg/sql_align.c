/*
 * sql_align.c
 *		SQL functions that look at a given translation piece by piece: what it
 *		looks at in its source, and how probable each piece is.
 *
 * src/pg/sql_align.c
 */
#include "translation.h"

#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "encoding.h"
#include "engine_client.h"

PG_FUNCTION_INFO_V1(residual_alignment);
PG_FUNCTION_INFO_V1(residual_token_scores);

static Datum
read_piece(RnReader *reader)
{
	Size		size;
	const char *bytes = rn_read_bytes(reader, &size);

	return PointerGetDatum(res_text_from_utf8(bytes, size));
}

/* Ask for the alignment of a pair; the pieces of the source are read. */
static Datum *
ask(FunctionCallInfo fcinfo, RnReader *reader, uint32 *n_source)
{
	ResTranslator *translator = res_translator_of(fcinfo->flinfo);
	char	   *name = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	RnWriter   *writer;
	Datum	   *pieces;
	uint32		i;

	res_translator_prepare(translator, RN_TASK_ALIGN, name, NULL);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return NULL;
	writer = res_translator_request(translator, 1);
	(void) res_write_text(writer, PG_GETARG_TEXT_PP(0));
	(void) res_write_text(writer, PG_GETARG_TEXT_PP(1));
	res_request_perform(&translator->model, reader);
	res_check_answers(rn_read_u32(reader), 1);
	*n_source = rn_read_count(reader, sizeof(uint32));
	pieces = palloc(Max(*n_source, 1) * sizeof(Datum));
	for (i = 0; i < *n_source; i++)
		pieces[i] = read_piece(reader);
	return pieces;
}

/* A piece of the translation; the weights lie in the answer.  NULL: there are none. */
static const char *
read_target(RnReader *reader, uint32 n_source, Datum *piece, double *log_probability)
{
	Size		size;
	const char *weights;

	*piece = read_piece(reader);
	*log_probability = rn_read_f64(reader);
	weights = rn_read_bytes(reader, &size);
	if (size == 0)
		return NULL;
	if (!reader->failed && size != n_source * sizeof(float4))
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("the serving engine gave %zu bytes for %u weights", size, n_source)));
	return reader->failed ? NULL : weights;
}

static void
end(ResTranslator *translator, RnReader *reader)
{
	bool		cut = rn_read_u8(reader) != 0;

	res_request_end(reader);
	res_translator_report_cut(translator, cut ? 1 : 0, 1);
}

static void
no_alignment(const ResTranslator *translator)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("model \"%s\" does not align translations with their sources", translator->model.name),
			 errdetail("It has no attention from one to the other: its architecture is \"decoder\".")));
}

Datum
residual_alignment(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	RnReader	reader;
	Datum	   *sources;
	uint32		n_source;
	uint32		n_target;
	uint32		i,
				k;

	InitMaterializedSRF(fcinfo, 0);
	sources = ask(fcinfo, &reader, &n_source);
	if (sources == NULL)
		return (Datum) 0;
	n_target = rn_read_count(&reader, 2 * sizeof(uint32) + sizeof(double));
	for (i = 0; i < n_target; i++)
	{
		Datum		values[5];
		bool		nulls[5] = {false, false, false, false, false};
		double		log_probability;
		const char *weights = read_target(&reader, n_source, &values[3], &log_probability);

		if (weights == NULL && !reader.failed)
			no_alignment(res_translator_of(fcinfo->flinfo));
		values[2] = Int32GetDatum(i + 1);
		for (k = 0; weights != NULL && k < n_source; k++)
		{
			float4		weight;

			memcpy(&weight, weights + k * sizeof(float4), sizeof(float4));
			values[0] = Int32GetDatum(k + 1);
			values[1] = sources[k];
			values[4] = Float4GetDatum(weight);
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
	}
	end(res_translator_of(fcinfo->flinfo), &reader);
	return (Datum) 0;
}

Datum
residual_token_scores(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	RnReader	reader;
	uint32		n_source;
	uint32		n_target;
	uint32		i;

	InitMaterializedSRF(fcinfo, 0);
	if (ask(fcinfo, &reader, &n_source) == NULL)
		return (Datum) 0;
	n_target = rn_read_count(&reader, 2 * sizeof(uint32) + sizeof(double));
	for (i = 0; i < n_target; i++)
	{
		Datum		values[3];
		bool		nulls[3] = {false, false, false};
		double		log_probability;

		(void) read_target(&reader, n_source, &values[1], &log_probability);
		values[0] = Int32GetDatum(i + 1);
		values[2] = Float8GetDatum(log_probability);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	end(res_translator_of(fcinfo->flinfo), &reader);
	return (Datum) 0;
}
