/*
 * sql_device.c
 *		residual_devices: what engines can compute on.
 *
 * No process of the server ever touches a GPU: a fresh engine looks, and ends.
 *
 * src/pg/sql_device.c
 */
#include "residual.h"

#include "fmgr.h"
#include "funcapi.h"
#include "nodes/execnodes.h"

#include "apart.h"
#include "wire/protocol.h"

PG_FUNCTION_INFO_V1(residual_device_list);

/* ResApartAsk */
static void
ask(ResChannel *channel, void *arg)
{
	res_channel_put(channel, RN_DEVICES);
}

/* ResApartTake */
static bool
take(const RnFrame *frame, void *arg)
{
	const ReturnSetInfo *result = arg;

	return res_apart_put_rows(frame, result->setResult, result->setDesc);
}

Datum
residual_device_list(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	res_apart(ask, take, fcinfo->resultinfo);
	return (Datum) 0;
}
