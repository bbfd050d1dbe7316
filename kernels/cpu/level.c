/*
 * level.c
 *		The tables of one level.
 *
 * kernels/cpu/level.c
 */
#include "kernels/cpu/cpu.h"

#include "kernels/cpu/bfloat16.h"
#include "kernels/cpu/vector.h"

/* A text of the thread's own: written anew on each call, always the same. */
#define DESCRIPTION(function, vectors) \
	static const char * \
	function(void) \
	{ \
		static __thread char text[128]; \
\
		rn_cpu_describe(vectors, text, sizeof(text)); \
		return text; \
	}

DESCRIPTION(description, RN_VECTOR_NAME)

/* What tables of this level have in common. */
#define COMMON_SLOTS \
	.version = RN_KERNELS_VERSION, \
	.real_size = (int) sizeof(rn_real), \
	.host_memory = 1, \
	.pass_rows = 512, \
	.steps_ahead = 1, \
	.name = "cpu", \
	.lane_create = rn_cpu_lane_create, \
	.lane_free = rn_cpu_lane_free, \
	.lane_bytes = rn_cpu_lane_bytes, \
	.lane_reserve = rn_cpu_lane_reserve, \
	.reserve = rn_cpu_reserve, \
	.allocate = rn_cpu_allocate, \
	.release = rn_cpu_release, \
	.copy_in = rn_cpu_copy_in, \
	.copy_out = rn_cpu_copy_out, \
	.copy = rn_cpu_copy, \
	.zero = rn_cpu_zero, \
	.synchronize = rn_cpu_synchronize, \
	.note_begin = rn_cpu_at_once, \
	.note_end = rn_cpu_at_once, \
	.look = rn_cpu_synchronize, \
	.round = rn_cpu_round, \
	.rounded_product = rn_cpu_rounded_product, \
	.prepared_bytes = rn_cpu_prepared_bytes, \
	.discard = rn_cpu_discard, \
	.prepared_product = rn_cpu_prepared_product, \
	.bias_backward = rn_cpu_bias_backward, \
	.activation_forward = rn_cpu_activation_forward, \
	.activation_backward = rn_cpu_activation_backward, \
	.residual_forward = rn_cpu_residual_forward, \
	.residual_backward = rn_cpu_residual_backward, \
	.norm_forward = rn_cpu_norm_forward, \
	.norm_backward = rn_cpu_norm_backward, \
	.embedding_forward = rn_cpu_embedding_forward, \
	.embedding_backward = rn_cpu_embedding_backward, \
	.attention_forward = rn_cpu_attention_forward, \
	.attention_backward = rn_cpu_attention_backward, \
	.attention_step = rn_cpu_attention_step, \
	.loss = rn_cpu_loss, \
	.scaled_add = rn_cpu_scaled_add, \
	.weighted_add = rn_cpu_weighted_add, \
	.dot_add = rn_cpu_dot_add, \
	.sum_squares = rn_cpu_sum_squares, \
	.decide = rn_cpu_decide, \
	.adam = rn_cpu_adam, \
	.gather = rn_cpu_gather, \
	.top_k = rn_cpu_top_k

const RnKernels rn_cpu_table = {
	COMMON_SLOTS,
	.product = rn_cpu_product,
	.linear_forward = rn_cpu_linear_forward,
	.description = description,
	.prepare = rn_cpu_prepare
};

#ifdef RN_AVX512
DESCRIPTION(description_vnni, RN_VECTOR_NAME " VNNI")

const RnKernels rn_cpu_table_vnni = {
	COMMON_SLOTS,
	.product = rn_cpu_product,
	.linear_forward = rn_cpu_linear_forward,
	.description = description_vnni,
	.prepare = rn_cpu_prepare_vnni
};

#ifndef RN_DOUBLE
DESCRIPTION(description_bfloat16, RN_VECTOR_NAME " bfloat16")

const RnKernels rn_cpu_table_bfloat16 = {
	COMMON_SLOTS,
	.product = rn_cpu_product_bfloat16,
	.linear_forward = rn_cpu_linear_forward_bfloat16,
	.description = description_bfloat16,
	.prepare = rn_cpu_prepare_vnni
};
#endif
#endif
