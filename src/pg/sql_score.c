/*
 * sql_score.c
 *		The aggregates residual_bleu and residual_chrf.
 *
 * Their states are the counts of src/score: plain data of fixed size, so they
 * combine (parallel aggregates) and travel as their bytes.  A pair in which
 * hypothesis or reference is NULL is left out, as aggregates do; no pair at
 * all gives NULL.
 *
 * src/pg/sql_score.c
 */
#include "encoding.h"
#include "residual.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "score/bleu.h"
#include "score/chrf.h"

PG_FUNCTION_INFO_V1(residual_bleu_step);
PG_FUNCTION_INFO_V1(residual_bleu_combine);
PG_FUNCTION_INFO_V1(residual_bleu_serialize);
PG_FUNCTION_INFO_V1(residual_bleu_deserialize);
PG_FUNCTION_INFO_V1(residual_bleu_final);
PG_FUNCTION_INFO_V1(residual_bleu_signature);
PG_FUNCTION_INFO_V1(residual_chrf_step);
PG_FUNCTION_INFO_V1(residual_chrf_combine);
PG_FUNCTION_INFO_V1(residual_chrf_serialize);
PG_FUNCTION_INFO_V1(residual_chrf_deserialize);
PG_FUNCTION_INFO_V1(residual_chrf_final);
PG_FUNCTION_INFO_V1(residual_chrf_signature);

/* ---------- what both share ---------- */

/* The state so far, or a new one of that many zero bytes: no counts. */
static void *
state_get(FunctionCallInfo fcinfo, Size size)
{
	MemoryContext aggregate;

	if (!AggCheckCallContext(fcinfo, &aggregate))
		elog(ERROR, "called outside of an aggregate");
	if (!PG_ARGISNULL(0))
		return PG_GETARG_POINTER(0);
	return MemoryContextAllocZero(aggregate, size);
}

static Datum
state_serialize(FunctionCallInfo fcinfo, Size size)
{
	bytea	   *bytes = palloc(VARHDRSZ + size);

	if (!AggCheckCallContext(fcinfo, NULL))
		elog(ERROR, "called outside of an aggregate");
	SET_VARSIZE(bytes, VARHDRSZ + size);
	memcpy(VARDATA(bytes), PG_GETARG_POINTER(0), size);
	PG_RETURN_BYTEA_P(bytes);
}

static Datum
state_deserialize(FunctionCallInfo fcinfo, Size size)
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);
	void	   *state = palloc(size);

	if (!AggCheckCallContext(fcinfo, NULL))
		elog(ERROR, "called outside of an aggregate");
	if (VARSIZE_ANY_EXHDR(bytes) != size)
		elog(ERROR, "aggregate state has %zu bytes, not %zu", (Size) VARSIZE_ANY_EXHDR(bytes), size);
	memcpy(state, VARDATA_ANY(bytes), size);
	PG_RETURN_POINTER(state);
}

/* ---------- BLEU ---------- */

Datum
residual_bleu_step(PG_FUNCTION_ARGS)
{
	RnBleu	   *state = state_get(fcinfo, sizeof(RnBleu));

	if (!PG_ARGISNULL(1) && !PG_ARGISNULL(2))
	{
		RnContext	ctx;
		Size		hypothesis_size;
		Size		reference_size;
		const char *hypothesis = res_text_to_utf8(PG_GETARG_TEXT_PP(1), &hypothesis_size);
		const char *reference = res_text_to_utf8(PG_GETARG_TEXT_PP(2), &reference_size);

		rn_context_reset(&ctx);
		if (rn_bleu_add(&ctx, state, hypothesis, hypothesis_size, reference, reference_size) != RN_OK)
			res_report(&ctx);
	}
	PG_RETURN_POINTER(state);
}

Datum
residual_bleu_combine(PG_FUNCTION_ARGS)
{
	RnBleu	   *state = state_get(fcinfo, sizeof(RnBleu));

	if (!PG_ARGISNULL(1))
		rn_bleu_combine(state, (const RnBleu *) PG_GETARG_POINTER(1));
	PG_RETURN_POINTER(state);
}

Datum
residual_bleu_serialize(PG_FUNCTION_ARGS)
{
	return state_serialize(fcinfo, sizeof(RnBleu));
}

Datum
residual_bleu_deserialize(PG_FUNCTION_ARGS)
{
	return state_deserialize(fcinfo, sizeof(RnBleu));
}

Datum
residual_bleu_final(PG_FUNCTION_ARGS)
{
	const RnBleu *state = PG_ARGISNULL(0) ? NULL : (const RnBleu *) PG_GETARG_POINTER(0);

	if (state == NULL || state->sentences == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(rn_bleu_score(state));
}

Datum
residual_bleu_signature(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(RN_BLEU_SIGNATURE));
}

/* ---------- chrF ---------- */

Datum
residual_chrf_step(PG_FUNCTION_ARGS)
{
	RnChrf	   *state = state_get(fcinfo, sizeof(RnChrf));

	if (!PG_ARGISNULL(1) && !PG_ARGISNULL(2))
	{
		RnContext	ctx;
		Size		hypothesis_size;
		Size		reference_size;
		const char *hypothesis = res_text_to_utf8(PG_GETARG_TEXT_PP(1), &hypothesis_size);
		const char *reference = res_text_to_utf8(PG_GETARG_TEXT_PP(2), &reference_size);

		rn_context_reset(&ctx);
		if (rn_chrf_add(&ctx, state, hypothesis, hypothesis_size, reference, reference_size) != RN_OK)
			res_report(&ctx);
	}
	PG_RETURN_POINTER(state);
}

Datum
residual_chrf_combine(PG_FUNCTION_ARGS)
{
	RnChrf	   *state = state_get(fcinfo, sizeof(RnChrf));

	if (!PG_ARGISNULL(1))
		rn_chrf_combine(state, (const RnChrf *) PG_GETARG_POINTER(1));
	PG_RETURN_POINTER(state);
}

Datum
residual_chrf_serialize(PG_FUNCTION_ARGS)
{
	return state_serialize(fcinfo, sizeof(RnChrf));
}

Datum
residual_chrf_deserialize(PG_FUNCTION_ARGS)
{
	return state_deserialize(fcinfo, sizeof(RnChrf));
}

Datum
residual_chrf_final(PG_FUNCTION_ARGS)
{
	const RnChrf *state = PG_ARGISNULL(0) ? NULL : (const RnChrf *) PG_GETARG_POINTER(0);

	if (state == NULL || state->sentences == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(rn_chrf_score(state));
}

Datum
residual_chrf_signature(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(RN_CHRF_SIGNATURE));
}
