/*
 * schedule.c
 *		The learning rate at update n.
 *
 * src/train/schedule.c
 */
#include "train/schedule.h"

#include <math.h>

/* as in config.h */
enum
{
	INVERSE_SQRT,
	LINEAR,
	CONSTANT,
	COSINE
};

/*
 * How far from the peak to the end: 1 at the peak, 0 one update after the
 * last, so that the last update still moves.
 */
static double
part_left(int64_t update, int64_t peak, int64_t total)
{
	if (total <= peak)
		return 1.0;
	if (update > total)
		return 0.0;
	return (double) (total + 1 - update) / (double) (total + 1 - peak);
}

double
rn_learning_rate(const RnConfig *config, int64_t update, int64_t total)
{
	int64_t		warmup = config->warmup_steps;
	int64_t		peak = warmup > 0 ? warmup : 1;
	double		rate = config->learning_rate;

	if (update < warmup)
		return config->warmup_init + (rate - config->warmup_init) * (double) update / (double) warmup;
	switch (config->schedule)
	{
		case INVERSE_SQRT:
			/* Vaswani et al. 2017, eq. 3, scaled to its peak */
			if (warmup == 0)
				peak = RN_FLAT_UPDATES;
			return update < peak ? rate : rate * sqrt((double) peak / (double) update);
		case LINEAR:
			return total > 0 ? rate * part_left(update, peak, total) : rate;
		case COSINE:
			/* Loshchilov & Hutter 2017, eq. 5, without restarts */
			return total > 0 ? rate * 0.5 * (1.0 - cos(M_PI * part_left(update, peak, total))) : rate;
		default:
			return rate;
	}
}
