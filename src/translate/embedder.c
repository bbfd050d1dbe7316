/*
 * embedder.c
 *		A text as a vector.
 *
 * src/translate/embedder.c
 */
#include "translate/packing.h"

#include <stdlib.h>

static void
mean_rows(const rn_real *rows, int n, int width, float *mean)
{
	int			i,
				r;

	for (i = 0; i < width; i++)
	{
		double		sum = 0;

		for (r = 0; r < n; r++)
			sum += rows[(size_t) r * width + i];
		mean[i] = (float) (sum / n);
	}
}

static RnStatus
embed_packed(RnContext *ctx, RnTranslator *translator, const RnSide *source, float *embeddings,
			 const volatile int *stop)
{
	int			width = rn_model_config(translator->model)->d_model;
	size_t		bytes = (size_t) source->packed.rows * width * sizeof(rn_real);
	rn_real    *host = malloc(bytes);
	RnTensor   *output;
	RnStatus	status;
	int			s;

	if (host == NULL)
		return rn_out_of_memory(ctx, bytes);
	rn_begin_pass(translator, stop);
	output = rn_model_encode(translator->model, translator->graph, &source->packed, source->ids, NULL);
	if (output != NULL)
		rn_graph_keep(translator->graph, output);
	status = rn_graph_forward(ctx, translator->graph);
	if (status == RN_OK)
	{
		translator->kernels->copy_out(translator->lane, host, output->value, bytes);
		status = translator->kernels->synchronize(ctx, translator->lane);
	}
	for (s = 0; status == RN_OK && s < source->packed.n_sentences; s++)
		mean_rows(host + (size_t) source->offsets[s] * width, source->offsets[s + 1] - source->offsets[s], width,
				  embeddings + (size_t) s * width);
	free(host);
	return status;
}

static RnStatus
embed_all(RnContext *ctx, RnTranslator *translator, int n, const RnCutText *pieces, float *embeddings,
		  const volatile int *stop)
{
	size_t		width = rn_model_config(translator->model)->d_model;
	int			first;
	int			size;

	for (first = 0; first < n; first += size)
	{
		RnStatus	status;
		RnSide		source;

		RN_TRY(rn_check_stop(ctx, stop));
		size = rn_batch_size(translator, pieces + first, n - first);
		RN_TRY(rn_pack_side(ctx, translator, size, pieces + first, 0, &source));
		status = embed_packed(ctx, translator, &source, embeddings + first * width, stop);
		rn_free_side(&source);
		RN_TRY(status);
	}
	return RN_OK;
}

RnStatus
rn_translator_embed(RnContext *ctx, RnTranslator *translator, int n, const RnText *texts, float *embeddings,
					const volatile int *stop)
{
	RnCutText  *pieces;
	RnStatus	status;

	RN_TRY(rn_cut_texts(ctx, translator, n, texts, &pieces));
	status = embed_all(ctx, translator, n, pieces, embeddings, stop);
	rn_free_cut_texts(pieces, n);
	return status;
}
