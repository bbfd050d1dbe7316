/*
 * prepared.h
 *		The inside of a prepared weight matrix on the CPU.
 *
 * kernels/cpu/prepared.h
 */
#ifndef RN_PREPARED_H
#define RN_PREPARED_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector.h"

struct RnPrepared
{
	RnFormat	format;
	int			n;
	int			k;
	int			quads;			/* RN_FORMAT_INT8: in the order of VNNI, see int8.c */
	size_t		bytes;			/* of memory */
	char	   *memory;			/* packed matrix */
	rn_real    *scales;			/* RN_FORMAT_INT8: [n], after the matrix */
};

/* ---- quantise.c: real numbers as 8-bit ones ---- */

/*
 * to[j] = round(x[j] / scale), scale = max |x| / 127, up to the next multiple
 * of 4 of k with zeros; to has room for RN_WIDTH more.  Gives the scale: not a number, and
 * zeros, when x is not finite.  *sum, unless NULL, is the sum of what was written.
 */
#define rn_quantise_bytes	RN_AT_LEVEL(rn_quantise_bytes)
#define rn_quantise_shorts	RN_AT_LEVEL(rn_quantise_shorts)

extern rn_real rn_quantise_bytes(int k, const rn_real *x, int8_t *to, int32_t *sum);
extern rn_real rn_quantise_shorts(int k, const rn_real *x, int16_t *to);

/* ---- int8.c ---- */

#define rn_int8_bytes		RN_AT_LEVEL(rn_int8_bytes)
#define rn_int8_pack		RN_AT_LEVEL(rn_int8_pack)
#define rn_int8_product		RN_AT_LEVEL(rn_int8_product)

extern size_t rn_int8_bytes(int n, int k);

/* Fills memory and scales; quads as wanted. */
extern RnStatus rn_int8_pack(RnContext *ctx, RnPrepared *prepared, const rn_real *w);
extern void rn_int8_product(RnLane *lane, const RnPrepared *w, int m, const rn_real *x, long ldx, const rn_real *bias,
							rn_real *y, long ldy);

#endif							/* RN_PREPARED_H */
