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

static size_t
squares_bytes(const RnOptimizer *optimizer)
{
	return ((size_t) RN_SQUARES * optimizer->n_pieces + 1) * sizeof(double);
}

static size_t
sums_bytes(const RnOptimizer *optimizer)
{
	return 2 * (size_t) optimizer->n_threads * sizeof(double);
}

/* A sum for each piece. */
static double *
squares_of(const RnOptimizer *optimizer, int what)
{
	return optimizer->squares + (size_t) what * optimizer->n_pieces;
}

static void
release(const RnOptimizer *optimizer, void *memory, size_t bytes)
{
	if (memory != NULL)
		optimizer->kernels->release(memory, bytes);
}

static RnStatus
allocate_memory(RnContext *ctx, RnOptimizer *optimizer)
{
	const RnKernels *kernels = optimizer->kernels;
	const size_t bytes = optimizer->size * sizeof(rn_real);

	RN_TRY(kernels->allocate(ctx, bytes, (void **) &optimizer->first));
	RN_TRY(kernels->allocate(ctx, bytes, (void **) &optimizer->second));
	RN_TRY(kernels->allocate(ctx, squares_bytes(optimizer), (void **) &optimizer->squares));
	RN_TRY(kernels->allocate(ctx, sums_bytes(optimizer), (void **) &optimizer->sums));
	return kernels->allocate(ctx, sizeof(RnDecision), (void **) &optimizer->decision);
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
	cut_pieces(optimizer, params);
	share_pieces(optimizer);
	return allocate_memory(ctx, optimizer);
}

void
rn_optimizer_free(RnOptimizer *optimizer)
{
	const size_t bytes = optimizer->size * sizeof(rn_real);

	release(optimizer, optimizer->first, bytes);
	release(optimizer, optimizer->second, bytes);
	release(optimizer, optimizer->squares, squares_bytes(optimizer));
	release(optimizer, optimizer->sums, sums_bytes(optimizer));
	release(optimizer, optimizer->decision, sizeof(RnDecision));
	free(optimizer->pieces);
	free(optimizer->starts);
	memset(optimizer, 0, sizeof(*optimizer));
}

void
rn_optimizer_begin(const RnOptimizer *optimizer, RnLane *lane, int64_t updates, int loss_exponent, int good_steps)
{
	RnDecision	decision;

	memset(&decision, 0, sizeof(decision));
	decision.updates = updates;
	decision.loss_exponent = loss_exponent;
	decision.good_steps = good_steps;
	decision.loss_scale = optimizer->kernels->loss_scaling ? ldexp(1.0, loss_exponent) : 1.0;
	optimizer->kernels->copy_in(lane, optimizer->decision, &decision, sizeof(decision));
}

void
rn_optimizer_reduce(RnOptimizer *optimizer, RnLane *lane, int thread, rn_real *const *gradients, size_t own)
{
	const RnKernels *kernels = optimizer->kernels;
	int			i,
				t;

	for (i = optimizer->starts[thread]; i < optimizer->starts[thread + 1]; i++)
	{
		const RnPiece *piece = &optimizer->pieces[i];
		rn_real    *sum = gradients[0] + piece->offset;

		for (t = 1; t < optimizer->n_threads && piece->offset < own; t++)
		{
			kernels->scaled_add(lane, piece->n, 1.0, gradients[t] + piece->offset, 1.0, sum);
			kernels->zero(lane, gradients[t] + piece->offset, piece->n * sizeof(rn_real));
		}
		if (piece->param->flags & RN_PARAM_FROZEN)
			kernels->zero(lane, sum, piece->n * sizeof(rn_real));
		kernels->sum_squares(lane, piece->n, sum, squares_of(optimizer, RN_SQUARES_GRADIENT) + i);
	}
}

void
rn_optimizer_decide(const RnOptimizer *optimizer, RnLane *lane, const RnStepTerms *terms)
{
	const RnConfig *config = optimizer->config;
	RnDecideArgs args;

	memset(&args, 0, sizeof(args));
	args.n_squares = optimizer->n_pieces;
	args.squares = squares_of(optimizer, RN_SQUARES_GRADIENT);
	args.n_sums = optimizer->n_threads;
	args.sums = optimizer->sums;
	args.gradient_scale = terms->gradient_scale;
	args.target_tokens = terms->target_tokens;
	args.clip_norm = terms->clip_norm;
	args.learning_rate = terms->learning_rate;
	args.beta1 = config->beta1;
	args.beta2 = config->beta2;
	args.fairseq = config->adam_variant;
	args.scaling = optimizer->kernels->loss_scaling;
	args.first = terms->first;
	args.decision = optimizer->decision;
	optimizer->kernels->decide(lane, &args);
}

RnStatus
rn_optimizer_decided(RnContext *ctx, const RnOptimizer *optimizer, RnLane *lane, RnDecision *decision)
{
	optimizer->kernels->copy_out(lane, decision, optimizer->decision, sizeof(*decision));
	return optimizer->kernels->synchronize(ctx, lane);
}

void
rn_optimizer_update(RnOptimizer *optimizer, RnLane *lane, int thread, rn_real *values, rn_real *gradient,
					rn_real *change)
{
	const RnConfig *config = optimizer->config;
	const RnKernels *kernels = optimizer->kernels;
	RnAdamArgs	args;
	int			i;

	memset(&args, 0, sizeof(args));
	args.decision = optimizer->decision;
	args.beta1 = config->beta1;
	args.beta2 = config->beta2;
	args.epsilon = config->epsilon;
	args.change = change;
	for (i = optimizer->starts[thread]; i < optimizer->starts[thread + 1]; i++)
	{
		const RnPiece *piece = &optimizer->pieces[i];

		if (piece->param->flags & RN_PARAM_FROZEN)
			continue;
		args.n = piece->n;
		args.value = values + piece->offset;
		args.gradient = gradient + piece->offset;
		args.first = optimizer->first + piece->offset;
		args.second = optimizer->second + piece->offset;
		args.weight_decay = piece->param->flags & RN_PARAM_NO_DECAY ? 0.0 : config->weight_decay;
		kernels->adam(lane, &args);
		if (change != NULL)
			kernels->sum_squares(lane, piece->n, change, squares_of(optimizer, RN_SQUARES_CHANGE) + i);
	}
}

RnStatus
rn_optimizer_squares(RnContext *ctx, const RnOptimizer *optimizer, RnLane *lane, RnTally *tallies)
{
	double	   *host = malloc(squares_bytes(optimizer));
	int			i,
				k;

	if (host == NULL)
		return rn_out_of_memory(ctx, squares_bytes(optimizer));
	optimizer->kernels->copy_out(lane, host, optimizer->squares, squares_bytes(optimizer));
	optimizer->kernels->synchronize(ctx, lane);
	for (k = 0; k < RN_SQUARES; k++)
		for (i = 0; i < optimizer->n_pieces; i++)
			tallies[i].squares[k] = host[k * optimizer->n_pieces + i];
	free(host);
	return ctx->status;
}
