/*
 * packing.c
 *		Texts as pieces, and pieces as batches.
 *
 * src/translate/packing.c
 */
#include "translate/packing.h"

#include <stdlib.h>
#include <string.h>

/* Keys and values of the answers of a batch, about; an answer may be twice as long as its source. */
#define CACHE_BYTES		((size_t) 256 * 1024 * 1024)
#define ANSWER_PIECES	2

int
rn_most_pieces(const RnTranslator *translator)
{
	int			longest = rn_model_longest(translator->model);
	int			max_length = rn_model_config(translator->model)->max_length;

	return (max_length < longest ? max_length : longest) - 1;
}

void
rn_free_cut_texts(RnCutText *pieces, int n)
{
	int			i;

	for (i = 0; pieces != NULL && i < n; i++)
		free(pieces[i].ids);
	free(pieces);
}

RnStatus
rn_cut_texts(RnContext *ctx, const RnTranslator *translator, int n, const RnText *texts, RnCutText **result)
{
	RnCutText  *pieces = calloc(n ? n : 1, sizeof(RnCutText));
	RnStatus	status = RN_OK;
	int			i;

	*result = NULL;
	if (pieces == NULL)
		return rn_out_of_memory(ctx, n * sizeof(RnCutText));
	for (i = 0; i < n && status == RN_OK; i++)
	{
		pieces[i].text = i;
		status = rn_tokenizer_encode(ctx, translator->tokenizer, texts[i], rn_most_pieces(translator), &pieces[i].ids,
									 &pieces[i].n, &pieces[i].cut);
	}
	if (status == RN_OK)
		*result = pieces;
	else
		rn_free_cut_texts(pieces, n);
	return status;
}

/* Pieces at once: fewer for a deep and wide model, whose keys and values of answers take memory. */
static long
most_at_once(const RnTranslator *translator)
{
	const RnConfig *config = rn_model_config(translator->model);
	size_t		bytes = (size_t) config->decoder_layers * 2 * config->d_model * sizeof(rn_real);
	size_t		fit = CACHE_BYTES / (ANSWER_PIECES * bytes);

	return fit < RN_BATCH_PIECES ? (long) fit : RN_BATCH_PIECES;
}

/*
 * Hypotheses at once.  On the CPU keys, values and logits of a batch then lie
 * in the second-level cache, which saves more than larger products would; a
 * GPU has work for as many as it is given.
 */
static int
most_rows(const RnTranslator *translator)
{
	return translator->kernels->host_memory ? RN_CPU_BATCH_ROWS : RN_BATCH_ROWS;
}

int
rn_batch_size(const RnTranslator *translator, const RnCutText *pieces, int n)
{
	long		most = most_at_once(translator);
	long		cost = 0;
	int			rows = 0;
	int			size;

	for (size = 0; size < n; size++)
	{
		int			more = pieces[size].rows > 0 ? pieces[size].rows : 1;

		rows += more;
		cost += (long) (pieces[size].n + 1) * more;
		if (rows > most_rows(translator) || cost > most)
			break;
	}
	return size > 0 ? size : 1;
}

void
rn_free_side(RnSide *side)
{
	free(side->offsets);
	free(side->positions);
	free(side->row_ids);
	free(side->ids);
	free(side->expected);
	memset(side, 0, sizeof(*side));
}

RnStatus
rn_pack_side(RnContext *ctx, const RnTranslator *translator, int n, const RnCutText *pieces, int is_target, RnSide *side)
{
	const RnSpecialIds *special = rn_model_special(translator->model);
	size_t		rows = 0;
	int			row = 0;
	int			s,
				i;

	memset(side, 0, sizeof(*side));
	for (s = 0; s < n; s++)
		rows += pieces[s].n + 1;
	side->offsets = malloc((n + 1) * sizeof(int32_t));
	side->positions = malloc(rows * sizeof(int32_t));
	side->row_ids = malloc(rows * sizeof(uint32_t));
	side->ids = malloc(rows * sizeof(int32_t));
	side->expected = malloc(rows * sizeof(int32_t));
	if (!side->offsets || !side->positions || !side->row_ids || !side->ids || !side->expected)
	{
		rn_free_side(side);
		return rn_out_of_memory(ctx, rows * sizeof(int32_t));
	}
	for (s = 0; s < n; s++)
	{
		side->offsets[s] = row;
		for (i = 0; i <= pieces[s].n; i++, row++)
		{
			int32_t		here = i < pieces[s].n ? pieces[s].ids[i] : special->end;
			int32_t		before = i > 0 ? pieces[s].ids[i - 1] : special->start;

			side->positions[row] = i;
			side->row_ids[row] = row;
			side->expected[row] = here;
			side->ids[row] = is_target ? before : here;
		}
	}
	side->offsets[n] = row;
	side->packed.n_sentences = n;
	side->packed.rows = row;
	side->packed.offsets = side->offsets;
	side->packed.positions = side->positions;
	side->packed.row_ids = side->row_ids;
	return RN_OK;
}

RnStatus
rn_check_stop(RnContext *ctx, const volatile int *stop)
{
	if (stop != NULL && __atomic_load_n(stop, __ATOMIC_RELAXED))
		return rn_fail(ctx, RN_CANCELLED, "translation was cancelled");
	return RN_OK;
}

void
rn_begin_pass(RnTranslator *translator, const volatile int *stop)
{
	RnPass		pass;

	memset(&pass, 0, sizeof(pass));
	pass.stop = stop;
	pass.params = rn_model_params(translator->model);
	pass.values = translator->values;
	pass.prepared = translator->prepared;
	rn_graph_begin(translator->graph, &pass);
}
