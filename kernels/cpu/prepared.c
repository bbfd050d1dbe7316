/*
 * prepared.c
 *		Weights made ready once for many products.
 *
 * kernels/cpu/prepared.c
 */
#include "kernels/cpu/prepared.h"

#include <stdlib.h>

#include "kernels/cpu/tile.h"

size_t
rn_cpu_prepared_bytes(RnFormat format, int n, int k)
{
	return format == RN_FORMAT_INT8 ? rn_int8_bytes(n, k) : rn_blocked_bytes(n, k);
}

static RnStatus
prepare(RnContext *ctx, RnFormat format, int n, int k, int quads, const rn_real *w, RnPrepared **result)
{
	RnPrepared *prepared = calloc(1, sizeof(*prepared));
	RnStatus	status;

	*result = NULL;
	if (prepared == NULL)
		return rn_out_of_memory(ctx, sizeof(*prepared));
	prepared->format = format;
	prepared->n = n;
	prepared->k = k;
	prepared->quads = quads;
	prepared->bytes = rn_cpu_prepared_bytes(format, n, k);
	status = rn_cpu_allocate(ctx, prepared->bytes, (void **) &prepared->memory);
	if (status == RN_OK && format == RN_FORMAT_INT8)
		status = rn_int8_pack(ctx, prepared, w);
	else if (status == RN_OK)
		rn_blocked_pack(n, k, w, (rn_real *) prepared->memory);
	if (status == RN_OK)
		*result = prepared;
	else
		rn_cpu_discard(prepared);
	return status;
}

RnStatus
rn_cpu_prepare(RnContext *ctx, RnLane *lane, RnFormat format, int n, int k, const rn_real *w, RnPrepared **prepared)
{
	(void) lane;
	return prepare(ctx, format, n, k, 0, w, prepared);
}

#ifdef RN_AVX512
RnStatus
rn_cpu_prepare_vnni(RnContext *ctx, RnLane *lane, RnFormat format, int n, int k, const rn_real *w,
					RnPrepared **prepared)
{
	(void) lane;
	return prepare(ctx, format, n, k, 1, w, prepared);
}
#endif

void
rn_cpu_discard(RnPrepared *prepared)
{
	if (prepared == NULL)
		return;
	rn_cpu_release(prepared->memory, prepared->bytes);
	free(prepared);
}

void
rn_cpu_prepared_product(RnLane *lane, const RnPrepared *w, int m, const rn_real *x, int ldx, const rn_real *bias,
						rn_real *y, int ldy)
{
	if (w->format == RN_FORMAT_INT8)
	{
		rn_int8_product(lane, w, m, x, ldx, bias, y, ldy);
		return;
	}
	rn_blocked_packed_product(lane, m, w->n, w->k, x, ldx, (const rn_real *) w->memory, y, ldy);
	if (bias != NULL)
		rn_cpu_add_bias(m, w->n, bias, y, ldy);
}
