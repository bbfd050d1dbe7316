/*
 * embed.cu
 *		Rows of a table by number, and their gradients.
 *
 * The host knows the numbers, so it sorts them: backward, a warp has one
 * number and some columns, and adds the rows with that number in order.
 *
 * kernels/cuda/embed.cu
 */
#include "kernels/cuda/mask.h"
#include "kernels/cuda/reduce.h"

#include <stdlib.h>
#include <string.h>

/* As RnEmbeddingArgs, with integers on the device. */
typedef struct Embedding
{
	int			rows;
	int			cols;
	const int32_t *ids;
	const int32_t *positions;
	const uint32_t *row_ids;
	const rn_real *table;
	const rn_real *position_table;
	rn_real		scale;
	rn_real    *y;
	const rn_real *dy;
	rn_real    *dtable;
	Mask		mask;
} Embedding;

static int
embedding_of(RnLane *lane, const RnEmbeddingArgs *args, Embedding *e)
{
	const size_t rows = (size_t) args->rows;

	memset(e, 0, sizeof(*e));
	e->rows = args->rows;
	e->cols = args->cols;
	e->table = args->table;
	e->position_table = args->position_table;
	e->scale = (rn_real) args->scale;
	e->y = args->y;
	e->dy = args->dy;
	e->dtable = args->dtable;
	if (args->rows <= 0 || args->cols <= 0)
		return 0;
	e->mask = mask_of(lane, &args->dropout);
	if (e->mask.on)
		e->row_ids = (const uint32_t *) rn_lane_upload(lane, args->row_ids, rows * sizeof(uint32_t));
	return !e->mask.on || (e->row_ids != NULL && e->mask.step != NULL);
}

static __global__ void
__launch_bounds__(RN_ROW_WARPS * RN_WARP) embedding_forward_kernel(Embedding e)
{
	const int	row = blockIdx.x * RN_ROW_WARPS + threadIdx.y;
	const int	lane = threadIdx.x;
	const rn_real *entry;
	const rn_real *position = NULL;
	uint32_t	words[RN_MASK_WORDS];
	int			block;
	int			i;

	if (row >= e.rows)
		return;
	entry = e.table + (size_t) e.ids[row] * e.cols;
	if (e.position_table != NULL && e.positions[row] >= 0)
		position = e.position_table + (size_t) e.positions[row] * e.cols;
	for (block = 0; block * RN_MASK_COLUMNS < e.cols; block++)
	{
		if (e.mask.on)
			mask_lane(e.mask, e.row_ids[row], block, lane, words);
		RN_UNROLL
		for (i = 0; i < RN_MASK_WORDS; i++)
		{
			const int	j = block * RN_MASK_COLUMNS + i * RN_WARP + lane;
			rn_real		v;

			if (j >= e.cols)
				continue;
			v = e.scale * entry[j];
			if (position != NULL)
				v += position[j];
			if (e.mask.on)
				v *= mask_factor(e.mask, words[i], lane);
			e.y[(size_t) row * e.cols + j] = v;
		}
	}
}

void
rn_cuda_embedding_forward(RnLane *lane, const RnEmbeddingArgs *args)
{
	Embedding	e;

	if (!embedding_of(lane, args, &e))
		return;
	e.ids = rn_lane_integers(lane, args->ids, (size_t) args->rows);
	if (args->position_table != NULL)
		e.positions = rn_lane_integers(lane, args->positions, (size_t) args->rows);
	if (e.ids == NULL || (args->position_table != NULL && e.positions == NULL))
		return;
	RN_QUEUE(lane, embedding_forward_kernel, rn_blocks((size_t) e.rows, RN_ROW_WARPS), dim3(RN_WARP, RN_ROW_WARPS), 0, e);
}

/* ---- backward ---- */

/*
 * Rows grouped by id, each group in order: group g has rows order[starts[g]]
 * .. order[starts[g + 1] - 1].  How many groups there are only the device
 * looks up, so that launches depend on the number of rows alone.
 */
typedef struct Groups
{
	int32_t    *n;				/* [1] */
	int32_t    *starts;			/* [rows + 1] */
	int32_t    *order;			/* [rows] */
	size_t		length;			/* of all together, n first */
} Groups;

static int
compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *) a;
	const uint64_t y = *(const uint64_t *) b;

	return x < y ? -1 : x > y;
}

static int
group_rows(const RnEmbeddingArgs *args, Groups *groups)
{
	uint64_t   *keys = (uint64_t *) malloc((size_t) args->rows * sizeof(uint64_t));
	int			n = 0;
	int			i;

	groups->length = 2 * (size_t) args->rows + 2;
	groups->n = (int32_t *) calloc(groups->length, sizeof(int32_t));
	if (keys == NULL || groups->n == NULL)
	{
		free(keys);
		free(groups->n);
		return 0;
	}
	groups->starts = groups->n + 1;
	groups->order = groups->starts + args->rows + 1;
	for (i = 0; i < args->rows; i++)
		if (args->ids[i] != args->pad_id)
			keys[n++] = (uint64_t) args->ids[i] << 32 | (uint32_t) i;
	qsort(keys, (size_t) n, sizeof(uint64_t), compare);
	for (i = 0; i < n; i++)
	{
		groups->order[i] = (int32_t) (uint32_t) keys[i];
		if (i == 0 || keys[i] >> 32 != keys[i - 1] >> 32)
			groups->starts[(*groups->n)++] = i;
	}
	groups->starts[*groups->n] = n;
	free(keys);
	return 1;
}

/* dtable[id] += scale mask dy: a warp has a group, and 128 columns. */
static __global__ void
__launch_bounds__(RN_ROW_WARPS * RN_WARP) embedding_backward_kernel(Embedding e, const int32_t *n_groups)
{
	const int32_t *starts = n_groups + 1;
	const int32_t *order = starts + e.rows + 1;
	const int	group = blockIdx.x * RN_ROW_WARPS + threadIdx.y;
	const int	block = blockIdx.y;
	const int	lane = threadIdx.x;
	rn_real		sums[RN_MASK_WORDS] = {0};
	uint32_t	words[RN_MASK_WORDS];
	rn_real    *entry;
	int			k;
	int			i;

	if (group >= *n_groups)
		return;
	for (k = starts[group]; k < starts[group + 1]; k++)
	{
		const rn_real *dy = e.dy + (size_t) order[k] * e.cols;

		if (e.mask.on)
			mask_lane(e.mask, e.row_ids[order[k]], block, lane, words);
		RN_UNROLL
		for (i = 0; i < RN_MASK_WORDS; i++)
		{
			const int	j = block * RN_MASK_COLUMNS + i * RN_WARP + lane;

			if (j < e.cols)
				sums[i] += e.scale * dy[j] * (e.mask.on ? mask_factor(e.mask, words[i], lane) : 1);
		}
	}
	entry = e.dtable + (size_t) e.ids[order[starts[group]]] * e.cols;
	RN_UNROLL
	for (i = 0; i < RN_MASK_WORDS; i++)
	{
		const int	j = block * RN_MASK_COLUMNS + i * RN_WARP + lane;

		if (j < e.cols)
			entry[j] += sums[i];
	}
}

void
rn_cuda_embedding_backward(RnLane *lane, const RnEmbeddingArgs *args)
{
	const int32_t *device;
	Groups		groups;
	Embedding	e;

	if (!embedding_of(lane, args, &e))
		return;
	if (!group_rows(args, &groups))
	{
		lane->refused = (size_t) args->rows * (sizeof(uint64_t) + 2 * sizeof(int32_t));
		return;
	}
	e.ids = rn_lane_integers(lane, args->ids, (size_t) args->rows);
	device = rn_lane_integers(lane, groups.n, groups.length);
	if (e.ids != NULL && device != NULL)
	{
		RN_QUEUE(lane, embedding_backward_kernel,
				  dim3(rn_blocks((size_t) e.rows, RN_ROW_WARPS), rn_blocks((size_t) e.cols, RN_MASK_COLUMNS)),
				  dim3(RN_WARP, RN_ROW_WARPS), 0, e, device);
	}
	free(groups.n);
}
