/*
 * scorer.c
 *		How probable a given target is.
 *
 * src/translate/scorer.c
 */
#include "translate/packing.h"

#include <stdlib.h>
#include <string.h>

/* ---- scoring ---- */

/* -log p of each target row given those before it and the source; nll is device memory. */
static RnStatus
run_scoring(RnContext *ctx, RnTranslator *translator, const RnSide *source, const RnSide *target, rn_real *nll,
			rn_real *host_nll, const volatile int *stop)
{
	RnModelBatch batch;
	RnLoss		loss;

	memset(&batch, 0, sizeof(batch));
	batch.source = source->packed;
	batch.source_ids = source->ids;
	batch.target = target->packed;
	batch.target_in = target->ids;
	batch.target_out = target->expected;
	rn_begin_pass(translator, stop);
	rn_model_loss(translator->model, translator->graph, &batch, 1.0, nll, &loss, NULL);
	RN_TRY(rn_graph_forward(ctx, translator->graph));
	translator->kernels->copy_out(translator->lane, host_nll, nll, target->packed.rows * sizeof(rn_real));
	return translator->kernels->synchronize(ctx, translator->lane);
}

static RnStatus
score_packed(RnContext *ctx, RnTranslator *translator, const RnSide *source, const RnSide *target,
			 double *log_probabilities, int *tokens, const volatile int *stop)
{
	size_t		bytes = target->packed.rows * sizeof(rn_real);
	rn_real    *host_nll = malloc(bytes);
	void	   *nll;
	RnStatus	status;
	int			s,
				row;

	if (host_nll == NULL)
		return rn_out_of_memory(ctx, bytes);
	status = translator->kernels->allocate(ctx, bytes, &nll);
	if (status == RN_OK)
	{
		status = run_scoring(ctx, translator, source, target, nll, host_nll, stop);
		translator->kernels->release(nll, bytes);
	}
	for (s = 0; status == RN_OK && s < target->packed.n_sentences; s++)
	{
		log_probabilities[s] = 0;
		for (row = target->offsets[s]; row < target->offsets[s + 1]; row++)
			log_probabilities[s] -= host_nll[row];
		tokens[s] = target->offsets[s + 1] - target->offsets[s];
	}
	free(host_nll);
	return status;
}

static RnStatus
score_batch(RnContext *ctx, RnTranslator *translator, int n, const RnCutText *sources, const RnCutText *targets,
			double *log_probabilities, int *tokens, const volatile int *stop)
{
	RnSide		source;
	RnSide		target;
	RnStatus	status;

	RN_TRY(rn_pack_side(ctx, translator, n, sources, 0, &source));
	status = rn_pack_side(ctx, translator, n, targets, 1, &target);
	if (status == RN_OK)
	{
		status = score_packed(ctx, translator, &source, &target, log_probabilities, tokens, stop);
		rn_free_side(&target);
	}
	rn_free_side(&source);
	return status;
}

/* How many from the first on are not cut; what is left of one that is would have the probability of another text. */
static int
whole_targets(int n, const RnCutText *targets)
{
	int			i;

	for (i = 0; i < n && !targets[i].cut; i++)
		;
	return i;
}

static RnStatus
score_all(RnContext *ctx, RnTranslator *translator, int n, const RnCutText *sources, const RnCutText *targets,
		  double *log_probabilities, int *tokens, const volatile int *stop)
{
	int			first;
	int			size;

	for (first = 0; first < n; first += size)
	{
		int			whole = whole_targets(n - first, targets + first);
		int			of_targets;

		if (whole == 0)
		{
			log_probabilities[first] = 0;
			tokens[first] = 0;
			size = 1;
			continue;
		}
		RN_TRY(rn_check_stop(ctx, stop));
		size = rn_batch_size(translator, sources + first, whole);
		of_targets = rn_batch_size(translator, targets + first, whole);
		if (size > of_targets)
			size = of_targets;
		RN_TRY(score_batch(ctx, translator, size, sources + first, targets + first, log_probabilities + first,
						   tokens + first, stop));
	}
	return RN_OK;
}

RnStatus
rn_translator_score(RnContext *ctx, RnTranslator *translator, int n, const RnText *sources, const RnText *targets,
					double *log_probabilities, int *tokens, const volatile int *stop)
{
	RnCutText  *source_pieces;
	RnCutText  *target_pieces;
	RnStatus	status;

	RN_TRY(rn_cut_texts(ctx, translator, n, sources, &source_pieces));
	status = rn_cut_texts(ctx, translator, n, targets, &target_pieces);
	if (status == RN_OK)
	{
		status = score_all(ctx, translator, n, source_pieces, target_pieces, log_probabilities, tokens, stop);
		rn_free_cut_texts(target_pieces, n);
	}
	rn_free_cut_texts(source_pieces, n);
	return status;
}
