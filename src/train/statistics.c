/*
 * statistics.c
 *		What gradients and steps are like, tensor by tensor.
 *
 * src/train/statistics.c
 */
#include "train/statistics.h"

#include <math.h>
#include <stdlib.h>

/*
 * With mhat = m / (1 - b1^t), r = sqrt(v / (1 - b2^t)) and u = mhat / (r + e),
 * m and v taking in g, the Jacobian of u in g is diagonal:
 *
 *		J = (1 - b1) / (1 - b1^t) / (r + e)
 *			- mhat (1 - b2) g / ((1 - b2^t) r (r + e)^2)
 *
 * (Xie et al. 2023, ResiDual, figure 3).  fairseq's form adds epsilon before
 * the correction of v, which is e = epsilon / sqrt(1 - b2^t) here.
 */
void
rn_statistics_adam(const RnConfig *config, int64_t update, size_t n, const rn_real *gradient, double scale,
				   const rn_real *first, const rn_real *second, RnTally *tally)
{
	double		b1 = config->beta1;
	double		b2 = config->beta2;
	double		rest1 = 1.0 - pow(b1, (double) update);
	double		rest2 = 1.0 - pow(b2, (double) update);
	double		e = config->adam_variant ? config->epsilon / sqrt(rest2) : config->epsilon;
	size_t		i;

	for (i = 0; i < n; i++)
	{
		double		g = scale * (double) gradient[i];
		double		mhat = (b1 * (double) first[i] + (1.0 - b1) * g) / rest1;
		double		r = sqrt((b2 * (double) second[i] + (1.0 - b2) * g * g) / rest2);
		double		u = mhat / (r + e);
		double		jacobian = (1.0 - b1) / rest1 / (r + e);

		/* where r is 0, so are g and m: the second term goes to 0 with g */
		if (r > 0)
			jacobian -= u * (1.0 - b2) * g / (rest2 * r * (r + e));
		tally->fed += g * g;
		tally->step += u * u;
		tally->jacobian = fmax(tally->jacobian, fabs(jacobian));
		tally->jacobian_squares += jacobian * jacobian;
	}
}

static RnStatus
collect_piece(RnContext *ctx, const RnOptimizer *optimizer, RnLane *lane, int number, const rn_real *values,
			  const rn_real *gradient, const RnDecision *decision, rn_real *copies, RnTally *tally)
{
	const RnKernels *kernels = optimizer->kernels;
	const RnPiece *piece = &optimizer->pieces[number];
	size_t		bytes = piece->n * sizeof(rn_real);
	rn_real    *first = copies + optimizer->piece_most;
	rn_real    *second = first + optimizer->piece_most;

	kernels->sum_squares(lane, piece->n, values + piece->offset,
						 optimizer->squares + (size_t) RN_SQUARES_PARAMETER * optimizer->n_pieces + number);
	if (decision->skip)
		return RN_OK;
	kernels->copy_out(lane, copies, gradient + piece->offset, bytes);
	kernels->copy_out(lane, first, optimizer->first + piece->offset, bytes);
	kernels->copy_out(lane, second, optimizer->second + piece->offset, bytes);
	RN_TRY(kernels->synchronize(ctx, lane));
	rn_statistics_adam(optimizer->config, decision->updates, piece->n, copies, decision->gradient_scale, first, second,
					   tally);
	return RN_OK;
}

RnStatus
rn_statistics_collect(RnContext *ctx, const RnOptimizer *optimizer, RnLane *lane, int thread, const rn_real *values,
					  const rn_real *gradient, const RnDecision *decision, RnTally *tallies)
{
	size_t		bytes = 3 * optimizer->piece_most * sizeof(rn_real);
	rn_real    *copies = malloc(bytes);
	RnStatus	status = RN_OK;
	int			i;

	if (copies == NULL)
		return rn_out_of_memory(ctx, bytes);
	for (i = optimizer->starts[thread]; i < optimizer->starts[thread + 1] && status == RN_OK; i++)
		status = collect_piece(ctx, optimizer, lane, i, values, gradient, decision, copies, &tallies[i]);
	free(copies);
	return status;
}

/* max|J| |g| / |u|; learning rates cancel. */
static double
condition(const RnTally *sum)
{
	return sum->step > 0 ? sum->jacobian * sqrt(sum->fed / sum->step) : 0;
}

void
rn_statistics_finish(const RnOptimizer *optimizer, const RnParams *params, const RnTally *tallies,
					 const RnDecision *decision, RnTensorStatistics *statistics)
{
	const double unknown = decision->skip ? NAN : 0;
	int			i = 0;
	int			k,
				p;

	for (p = 0; p < params->count; p++)
	{
		RnTally		sum = {{0, 0, 0}, 0, 0, 0, 0};

		for (; i < optimizer->n_pieces && optimizer->pieces[i].param == &params->items[p]; i++)
		{
			for (k = 0; k < RN_SQUARES; k++)
				sum.squares[k] += tallies[i].squares[k];
			sum.fed += tallies[i].fed;
			sum.step += tallies[i].step;
			sum.jacobian = fmax(sum.jacobian, tallies[i].jacobian);
		}
		statistics[p].param = &params->items[p];
		statistics[p].parameter_norm = sqrt(sum.squares[RN_SQUARES_PARAMETER]);
		statistics[p].gradient_norm = decision->mean_scale * sqrt(sum.squares[RN_SQUARES_GRADIENT]) + unknown;
		statistics[p].update_norm = sqrt(sum.squares[RN_SQUARES_CHANGE]);
		statistics[p].adam_condition = condition(&sum) + unknown;
	}
}
