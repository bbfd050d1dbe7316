/*
 * cpu.h
 *		What the CPU's kernels share.
 *
 * Files of kernels are compiled once for each level of vector unit, with
 * -DRN_LEVEL=v2, v3, v4 (the levels of the x86-64 ABI) and the -march that
 * goes with it, or once without either for any other machine.  The level
 * becomes part of each public name.  memory.c and cpu.c are compiled once.
 *
 * kernels/cpu/cpu.h
 */
#ifndef RN_CPU_H
#define RN_CPU_H

#include "kernels/device.h"

#ifndef RN_LEVEL
#define RN_LEVEL generic
#endif

#define RN_JOIN_(name, level)	name##_##level
#define RN_JOIN(name, level)	RN_JOIN_(name, level)
#define RN_AT_LEVEL(name)		RN_JOIN(name, RN_LEVEL)

/* Scratch of one stream of work; grows when a kernel asks for more. */
struct RnLane
{
	char	   *scratch;		/* 64-byte aligned */
	size_t		scratch_size;
	size_t		refused;		/* bytes that could not be had; told by synchronize */
};

/*
 * At least bytes of scratch, valid until the next call; NULL when there is no
 * memory: the kernel then does nothing and synchronize tells.
 */
extern void *rn_lane_scratch(RnLane *lane, size_t bytes);

/* cpu.c: the text of the slot description. */
extern void rn_cpu_describe(const char *vectors, char *text, size_t size);

/* memory.c: the slots that are the same at every level. */
extern RnStatus rn_cpu_lane_create(RnContext *ctx, RnLane **lane);
extern void rn_cpu_lane_free(RnLane *lane);
extern size_t rn_cpu_lane_bytes(const RnWork *work);
extern RnStatus rn_cpu_lane_reserve(RnContext *ctx, RnLane *lane, const RnWork *work);
extern RnStatus rn_cpu_reserve(RnContext *ctx, size_t bytes);
extern RnStatus rn_cpu_allocate(RnContext *ctx, size_t bytes, void **memory);
extern void rn_cpu_release(void *memory, size_t bytes);
extern void rn_cpu_copy_in(RnLane *lane, void *device, const void *host, size_t bytes);
extern void rn_cpu_copy_out(RnLane *lane, void *host, const void *device, size_t bytes);
extern void rn_cpu_copy(RnLane *lane, void *to, const void *from, size_t bytes);
extern void rn_cpu_zero(RnLane *lane, void *memory, size_t bytes);
extern void rn_cpu_at_once(RnLane *lane);
extern RnStatus rn_cpu_synchronize(RnContext *ctx, RnLane *lane);
extern void rn_cpu_round(RnLane *lane, size_t n, const rn_real *x, void *rounded);
extern void rn_cpu_rounded_product(RnLane *lane, int transpose_a, int transpose_b, int m, int n, int k,
								   double alpha, const void *a, int lda, const void *b, int ldb,
								   const rn_real *bias, double beta, rn_real *c, int ldc);

/* The rest exists at every level. */
#define rn_cpu_table				RN_AT_LEVEL(rn_cpu_table)
#define rn_cpu_table_vnni			RN_AT_LEVEL(rn_cpu_table_vnni)
#define rn_cpu_table_bfloat16		RN_AT_LEVEL(rn_cpu_table_bfloat16)
#define rn_cpu_product				RN_AT_LEVEL(rn_cpu_product)
#define rn_cpu_prepared_bytes		RN_AT_LEVEL(rn_cpu_prepared_bytes)
#define rn_cpu_prepare				RN_AT_LEVEL(rn_cpu_prepare)
#define rn_cpu_prepare_vnni			RN_AT_LEVEL(rn_cpu_prepare_vnni)
#define rn_cpu_discard				RN_AT_LEVEL(rn_cpu_discard)
#define rn_cpu_prepared_product		RN_AT_LEVEL(rn_cpu_prepared_product)
#define rn_cpu_linear_forward		RN_AT_LEVEL(rn_cpu_linear_forward)
#define rn_cpu_add_bias				RN_AT_LEVEL(rn_cpu_add_bias)
#define rn_cpu_bias_backward		RN_AT_LEVEL(rn_cpu_bias_backward)
#define rn_cpu_activation_forward	RN_AT_LEVEL(rn_cpu_activation_forward)
#define rn_cpu_activation_backward	RN_AT_LEVEL(rn_cpu_activation_backward)
#define rn_cpu_residual_forward		RN_AT_LEVEL(rn_cpu_residual_forward)
#define rn_cpu_residual_backward	RN_AT_LEVEL(rn_cpu_residual_backward)
#define rn_cpu_norm_forward			RN_AT_LEVEL(rn_cpu_norm_forward)
#define rn_cpu_norm_backward		RN_AT_LEVEL(rn_cpu_norm_backward)
#define rn_cpu_embedding_forward	RN_AT_LEVEL(rn_cpu_embedding_forward)
#define rn_cpu_embedding_backward	RN_AT_LEVEL(rn_cpu_embedding_backward)
#define rn_cpu_attention_forward	RN_AT_LEVEL(rn_cpu_attention_forward)
#define rn_cpu_attention_backward	RN_AT_LEVEL(rn_cpu_attention_backward)
#define rn_cpu_attention_step		RN_AT_LEVEL(rn_cpu_attention_step)
#define rn_cpu_loss					RN_AT_LEVEL(rn_cpu_loss)
#define rn_cpu_scaled_add			RN_AT_LEVEL(rn_cpu_scaled_add)
#define rn_cpu_weighted_add			RN_AT_LEVEL(rn_cpu_weighted_add)
#define rn_cpu_dot_add				RN_AT_LEVEL(rn_cpu_dot_add)
#define rn_cpu_sum_squares			RN_AT_LEVEL(rn_cpu_sum_squares)
#define rn_cpu_decide				RN_AT_LEVEL(rn_cpu_decide)
#define rn_cpu_adam					RN_AT_LEVEL(rn_cpu_adam)
#define rn_cpu_gather				RN_AT_LEVEL(rn_cpu_gather)
#define rn_cpu_top_k				RN_AT_LEVEL(rn_cpu_top_k)

extern const RnKernels rn_cpu_table;
extern const RnKernels rn_cpu_table_vnni;	/* of a level that has it */
extern const RnKernels rn_cpu_table_bfloat16;	/* likewise, single precision only */

extern void rn_cpu_product(RnLane *lane, int transpose_a, int transpose_b, int m, int n, int k,
						   double alpha, const rn_real *a, int lda, const rn_real *b, int ldb,
						   double beta, rn_real *c, int ldc);
extern size_t rn_cpu_prepared_bytes(RnFormat format, int n, int k);
extern RnStatus rn_cpu_prepare(RnContext *ctx, RnLane *lane, RnFormat format, int n, int k, const rn_real *w,
							   RnPrepared **prepared);
extern RnStatus rn_cpu_prepare_vnni(RnContext *ctx, RnLane *lane, RnFormat format, int n, int k, const rn_real *w,
									RnPrepared **prepared);
extern void rn_cpu_discard(RnPrepared *prepared);
extern void rn_cpu_prepared_product(RnLane *lane, const RnPrepared *w, int m, const rn_real *x, int ldx,
									const rn_real *bias, rn_real *y, int ldy);
extern void rn_cpu_linear_forward(RnLane *lane, int rows, int out, int in, const rn_real *x, const rn_real *weight,
								  const rn_real *bias, rn_real *y);

/* y[rows, cols] += bias, for kernels that make products themselves */
extern void rn_cpu_add_bias(int rows, int cols, const rn_real *bias, rn_real *y, int ldy);
extern void rn_cpu_bias_backward(RnLane *lane, int rows, int cols, const rn_real *dy, int lddy, rn_real *dbias);
extern void rn_cpu_activation_forward(RnLane *lane, const RnActivationArgs *args);
extern void rn_cpu_activation_backward(RnLane *lane, const RnActivationArgs *args);
extern void rn_cpu_residual_forward(RnLane *lane, const RnResidualArgs *args);
extern void rn_cpu_residual_backward(RnLane *lane, const RnResidualArgs *args);
extern void rn_cpu_norm_forward(RnLane *lane, const RnNormArgs *args);
extern void rn_cpu_norm_backward(RnLane *lane, const RnNormArgs *args);
extern void rn_cpu_embedding_forward(RnLane *lane, const RnEmbeddingArgs *args);
extern void rn_cpu_embedding_backward(RnLane *lane, const RnEmbeddingArgs *args);
extern void rn_cpu_attention_forward(RnLane *lane, const RnAttentionArgs *args);
extern void rn_cpu_attention_backward(RnLane *lane, const RnAttentionArgs *args);
extern void rn_cpu_attention_step(RnLane *lane, const RnAttentionStepArgs *args);
extern void rn_cpu_loss(RnLane *lane, const RnLossArgs *args);
extern void rn_cpu_scaled_add(RnLane *lane, size_t n, double alpha, const rn_real *x, double beta, rn_real *y);
extern void rn_cpu_weighted_add(RnLane *lane, size_t n, const rn_real *weight, const rn_real *x, double beta,
								rn_real *y);
extern void rn_cpu_dot_add(RnLane *lane, size_t n, const rn_real *x, const rn_real *y, rn_real *out);
extern void rn_cpu_sum_squares(RnLane *lane, size_t n, const rn_real *x, double *out);
extern void rn_cpu_decide(RnLane *lane, const RnDecideArgs *args);
extern void rn_cpu_adam(RnLane *lane, const RnAdamArgs *args);
extern void rn_cpu_gather(RnLane *lane, const RnGatherArgs *args);
extern void rn_cpu_top_k(RnLane *lane, int rows, int cols, const rn_real *logits, int k, const int32_t *banned,
						 int32_t *ids, rn_real *scores);

#endif							/* RN_CPU_H */
