/*
 * product.h
 *		Products of matrices by cuBLASLt, and how exact they are.
 *
 * kernels/cuda/product.h
 */
#ifndef RN_CUDA_PRODUCT_H
#define RN_CUDA_PRODUCT_H

#include "kernels/cuda/cuda.h"

/* Once, before the first product: "float32", "tf32", "bfloat16", "float16". */
extern RnStatus rn_product_open(RnContext *ctx, const RnDeviceInfo *info, const char *precision);

/* What products make of their factors where those are 16 bits wide. */
typedef enum RnRounding
{
	RN_ROUND_NOTHING = 0,
	RN_ROUND_BFLOAT16,
	RN_ROUND_FLOAT16
} RnRounding;

extern RnRounding rn_product_rounding(void);

/* What was decided, "float32" for example. */
extern const char *rn_product_precision(void);

/* What products take of rn_lane_scratch. */
extern size_t rn_product_scratch_most(void);

#endif							/* RN_CUDA_PRODUCT_H */
