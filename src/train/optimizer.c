/*
 * optimizer.c
 *		Adam over flat buffers, shared by threads.
 *
 * src/train/optimizer.c
 */
#include "train/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Elements of a piece: what stays in the caches of a core, or what is worth a launch. */
#define CACHED_PIECE	((size_t) 32768)
#define LAUNCHED_PIECE	((size_t) 1 << 21)

static int
count_pieces(const RnParams *params, size_t most)
{
	int			n = 0;
	int			p;

	for (p = 0; p < params->count; p++)
		n += (int) ((rn_param_size(&params->items[p]) + most - 1) / most);
	return n;
}

static void
cut_pieces(RnOptimizer *optimizer, const RnParams *params)
{
	int			p;

	for (p = 0; p < params->count; p++)
	{
		const RnParam *param = &params->items[p];
		size_t		done = 0;

		while (done < rn_param_size(param))
		{
			RnPiece    *piece = &optimizer->pieces[optimizer->n_pieces++];
			size_t		left = rn_param_size(param) - done;

			piece->param = param;
			piece->offset = param->offset + done;
			piece->n = left < optimizer->piece_most ? left : optimizer->piece_most;
			done += piece->n;
		}
	}
}

/* A thread's pieces: about an equal share of the elements. */
static void
share_pieces(RnOptimizer *optimizer)
{
	size_t		total = 0;
	size_t		before = 0;
	int			thread = 0;
	int			i;

	for (i = 0; i < optimizer->n_pieces; i++)
		total += optimizer->pieces[i].n;
	for (i = 0; i < optimizer->n_pieces; i++)
	{
		while (thread < optimizer->n_threads && before * (size_t) optimizer->n_threads >= total * (size_t) thread)
			optimizer->starts[thread++] = i;
		before += optimizer->pieces[i].n;
	}
	while (thread <= optimizer->n_threads)
		optimizer->starts[thread++] = optimizer->n_pieces;
}

RnStatus
rn_optimizer_init(RnContext *ctx, RnOptimizer *optimizer, const RnParams *params, const RnConfig *config,
				  const RnKernels *kernels, int n_threads)
{
	size_t		most = kernels->host_memory ? CACHED_PIECE : LAUNCHED_PIECE;
	int			n_pieces = count_pieces(params, most);

	memset(optimizer, 0, sizeof(*optimizer));
	optimizer->piece_most = most;
	optimizer->config = config;
	optimizer->kernels = kernels;
	optimizer->size = params->size;
	optimizer->n_threads = n_threads;
	optimizer->pieces = calloc((size_t) n_pieces + 1, sizeof(RnPiece));
	optimizer->starts = calloc((size_t) n_threads + 1, sizeof(int));
	if (optimizer->pieces == NULL || optimizer->starts == NULL)
		return rn_out_of_memory(ctx, (size_t) n_pieces * sizeof(RnPiece));
	RN_TRY(kernels->allocate(ctx, params->size * sizeof(rn_real), (void **) &optimizer->first));
	RN_TRY(kernels->allocate(ctx, params->size * sizeof(rn_real), (void **) &optimizer->second));
	cut_pieces(optimizer, params);
	share_pieces(optimizer);
	return RN_OK;
}

void
rn_optimizer_free(RnOptimizer *optimizer)
{
	if (optimizer->first != NULL)
		optimizer->kernels->release(optimizer->first, optimizer->size * sizeof(rn_real));
	if (optimizer->second != NULL)
		optimizer->kernels->release(optimizer->second, optimizer->size * sizeof(rn_real));
	free(optimizer->pieces);
	free(optimizer->starts);
	memset(optimizer, 0, sizeof(*optimizer));
}

void
rn_optimizer_reduce(RnOptimizer *optimizer, RnLane *lane, int thread, rn_real *const *gradients, size_t own)
{
	const RnKernels *kernels = optimizer->kernels;
	int			i,
				t;

	for (i = optimizer->starts[thread]; i < optimizer->starts[thread + 1]; i++)
	{
		RnPiece    *piece = &optimizer->pieces[i];
		rn_real    *sum = gradients[0] + piece->offset;

		for (t = 1; t < optimizer->n_threads && piece->offset < own; t++)
		{
			kernels->scaled_add(lane, piece->n, 1.0, gradients[t] + piece->offset, 1.0, sum);
			kernels->zero(lane, gradients[t] + piece->offset, piece->n * sizeof(rn_real));
		}
		if (piece->param->flags & RN_PARAM_FROZEN)
			kernels->zero(lane, sum, piece->n * sizeof(rn_real));
		kernels->sum_squares(lane, piece->n, sum, &piece->squares);
	}
}

double
rn_optimizer_norm(const RnOptimizer *optimizer)
{
	double		squares = 0;
	int			i;

	for (i = 0; i < optimizer->n_pieces; i++)
		squares += optimizer->pieces[i].squares;
	return sqrt(squares);
}

void
rn_optimizer_update(RnOptimizer *optimizer, RnLane *lane, int thread, const RnUpdate *update,
					rn_real *change, RnTally *tallies)
{
	const RnConfig *config = optimizer->config;
	RnAdamArgs	args;
	int			i;

	memset(&args, 0, sizeof(args));
	args.gradient_scale = update->gradient_scale;
	args.learning_rate = update->learning_rate;
	args.beta1 = config->beta1;
	args.beta2 = config->beta2;
	args.epsilon = config->epsilon;
	args.fairseq = config->adam_variant;
	args.update = optimizer->updates + 1;
	args.change = change;
	for (i = optimizer->starts[thread]; i < optimizer->starts[thread + 1]; i++)
	{
		const RnPiece *piece = &optimizer->pieces[i];

		if (piece->param->flags & RN_PARAM_FROZEN)
			continue;
		args.n = piece->n;
		args.value = update->values + piece->offset;
		args.gradient = update->gradient + piece->offset;
		args.first = optimizer->first + piece->offset;
		args.second = optimizer->second + piece->offset;
		args.weight_decay = piece->param->flags & RN_PARAM_NO_DECAY ? 0.0 : config->weight_decay;
		optimizer->kernels->adam(lane, &args);
		if (tallies != NULL)
			optimizer->kernels->sum_squares(lane, piece->n, change, &tallies[i].change);
	}
}

void
rn_optimizer_updated(RnOptimizer *optimizer)
{
	optimizer->updates++;
}
