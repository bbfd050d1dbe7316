/*
 * embed.c
 *		Rows of a table by number.
 *
 * kernels/cpu/embed.c
 */
#include "kernels/cpu/cpu.h"

#include "kernels/cpu/mask.h"
#include "kernels/cpu/vector.h"

/* The row's mask in scratch, or NULL when nothing is dropped. */
static const rn_real *
row_mask(const RnEmbeddingArgs *args, int row, rn_real *scratch)
{
	if (args->dropout.rate <= 0.0)
		return NULL;
	mask_fill(&args->dropout, 0, args->row_ids[row], 0,
			  (uint32_t) (mask_length((size_t) args->cols) / RN_MASK_BLOCK), scratch);
	return scratch;
}

void
rn_cpu_embedding_forward(RnLane *lane, const RnEmbeddingArgs *args)
{
	const size_t cols = (size_t) args->cols;
	const rn_real scale = (rn_real) args->scale;
	rn_real    *scratch = rn_lane_scratch(lane, mask_length(cols) * sizeof(rn_real));
	int			i;

	if (scratch == NULL)
		return;
	for (i = 0; i < args->rows; i++)
	{
		const rn_real *mask = row_mask(args, i, scratch);
		const rn_real *entry = args->table + (size_t) args->ids[i] * cols;
		const rn_real *position = NULL;
		rn_real    *y = args->y + i * cols;

		if (args->position_table != NULL && args->positions[i] >= 0)
			position = args->position_table + (size_t) args->positions[i] * cols;
		RN_VECTORS(j, n, args->cols,
		{
			RnVector	v = scale * vector_load(entry + j, n);

			if (position != NULL)
				v += vector_load(position + j, n);
			if (mask != NULL)
				v *= vector_load(mask + j, n);
			vector_store(y + j, v, n);
		});
	}
}

/* dtable[id] += scale mask dy */
void
rn_cpu_embedding_backward(RnLane *lane, const RnEmbeddingArgs *args)
{
	const size_t cols = (size_t) args->cols;
	const rn_real scale = (rn_real) args->scale;
	rn_real    *scratch = rn_lane_scratch(lane, mask_length(cols) * sizeof(rn_real));
	int			i;

	if (scratch == NULL)
		return;
	for (i = 0; i < args->rows; i++)
	{
		const rn_real *dy = args->dy + i * cols;
		const rn_real *mask;
		rn_real    *entry;

		if (args->ids[i] == args->pad_id)
			continue;
		mask = row_mask(args, i, scratch);
		entry = args->dtable + (size_t) args->ids[i] * cols;
		RN_VECTORS(j, n, args->cols,
		{
			RnVector	v = scale * vector_load(dy + j, n);

			if (mask != NULL)
				v *= vector_load(mask + j, n);
			vector_store(entry + j, vector_load(entry + j, n) + v, n);
		});
	}
}
