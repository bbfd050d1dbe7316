/*
 * joined.c
 *		A decoder without an encoder: source and target as one sequence.
 *
 * The source's end and the target's start stand next to each other and
 * separate the two.  Dropout knows a row by its name: even for rows of the
 * source, odd for those of the target, so that no two are the same.
 *
 * src/model/joined.c
 */
#include "model/model.h"

typedef struct Filling
{
	int32_t    *offsets;
	int32_t    *positions;
	uint32_t   *row_ids;
	int32_t    *ids;
	int			rows;
} Filling;

/* Append one side of a sentence; odd: 0 or 1. */
static void
append(Filling *filling, const RnPacked *side, const int32_t *ids, int sentence, int odd)
{
	int			begin = filling->offsets[sentence];
	int			k;

	for (k = side->offsets[sentence]; k < side->offsets[sentence + 1]; k++)
	{
		filling->ids[filling->rows] = ids[k];
		filling->positions[filling->rows] = filling->rows - begin;
		filling->row_ids[filling->rows] = 2 * side->row_ids[k] + odd;
		filling->rows++;
	}
}

RnJoined *
rn_join(RnGraph *graph, const RnModelBatch *batch)
{
	int			sentences = batch->source.n_sentences;
	int			rows = batch->source.rows + batch->target.rows;
	RnJoined   *joined = rn_graph_scratch(graph, sizeof(*joined));
	int32_t    *integers = rn_graph_scratch(graph, (3 * (size_t) rows + 3 * (size_t) sentences + 1) * sizeof(int32_t));
	Filling		filling;
	int			s;

	if (joined == NULL || integers == NULL)
		return NULL;
	filling.offsets = integers;
	joined->target_first = integers + sentences + 1;
	joined->target_count = joined->target_first + sentences;
	filling.positions = joined->target_count + sentences;
	filling.row_ids = (uint32_t *) (filling.positions + rows);
	filling.ids = filling.positions + 2 * (size_t) rows;
	filling.rows = 0;
	for (s = 0; s < sentences; s++)
	{
		filling.offsets[s] = filling.rows;
		append(&filling, &batch->source, batch->source_ids, s, 0);
		joined->target_first[s] = filling.rows;
		append(&filling, &batch->target, batch->target_in, s, 1);
		joined->target_count[s] = filling.rows - joined->target_first[s];
	}
	filling.offsets[sentences] = filling.rows;
	joined->rows.n_sentences = sentences;
	joined->rows.rows = filling.rows;
	joined->rows.offsets = filling.offsets;
	joined->rows.positions = filling.positions;
	joined->rows.row_ids = filling.row_ids;
	joined->ids = filling.ids;
	return joined;
}
