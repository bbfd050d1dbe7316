/*
 * prepared.h
 *		The weights of products, made ready once for many passes.
 *
 * A pass that is given them (RnPass.prepared) multiplies by them instead of by
 * the flat values; everything else, embeddings and norms, still reads those.
 * Forward only.  Several threads may use them at once.
 *
 * src/graph/prepared.h
 */
#ifndef RN_PREPARED_WEIGHTS_H
#define RN_PREPARED_WEIGHTS_H

#include "graph/param.h"
#include "kernels/kernel.h"

typedef struct RnPreparedWeights RnPreparedWeights;

/* What they take; 0: the device has no such format. */
extern size_t rn_prepared_size(const RnKernels *kernels, const RnParams *params, RnFormat format);

/* values: flat, device; lent while the prepared weights live.  RN_UNSUPPORTED when the device has no such format. */
extern RnStatus rn_prepare_weights(RnContext *ctx, const RnKernels *kernels, RnLane *lane, const RnParams *params,
								   const rn_real *values, RnFormat format, RnPreparedWeights **prepared);
extern void rn_prepared_free(RnPreparedWeights *prepared);

extern RnFormat rn_prepared_format(const RnPreparedWeights *prepared);

/* n weights from this one on, as one matrix; NULL when they were not made ready as such. */
extern const RnPrepared *rn_prepared_find(const RnPreparedWeights *prepared, const RnParam *weight, int n);

#endif							/* RN_PREPARED_WEIGHTS_H */
