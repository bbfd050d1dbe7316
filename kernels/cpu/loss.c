/*
 * loss.c
 *		Rows of logits: smoothed cross-entropy, and the best of each row.
 *
 * kernels/cpu/loss.c
 */
#include "kernels/cpu/cpu.h"

#include <string.h>

#include "kernels/cpu/exp.h"
#include "kernels/cpu/vector.h"

/* Largest element; count > 0. */
static rn_real
row_maximum(const rn_real *x, int count)
{
	RnVector	best = vector_set(x[0]);

	RN_VECTORS(j, n, count,
	{
		RnVector	v = vector_load(x + j, n);

		best = vector_max(best, vector_fill_from(v, n, x[0]));
	});
	return vector_maximum(best);
}

/* Sums of this many vectors are kept in rn_real, sums of sums in double. */
#define PART	(64 * RN_WIDTH)

/*
 * sum exp(x - maximum), and sum (x - maximum).  With exponentials, which may
 * be x, they are kept.
 */
RN_INLINE double
row_sums(const rn_real *x, int count, rn_real maximum, rn_real *exponentials, double *sum_logits)
{
	double		total = 0.0;
	double		logits = 0.0;
	int			at;

	for (at = 0; at < count; at += PART)
	{
		RnVector	sum = {0};
		RnVector	s = {0};

		RN_VECTORS(j, n, RN_MIN(PART, count - at),
		{
			RnVector	v = vector_load(x + at + j, n) - maximum;
			RnVector	e = vector_exp(v);

			sum += vector_first(e, n);
			s += vector_first(v, n);
			if (exponentials != NULL)
				vector_store(exponentials + at + j, e, n);
		});
		total += vector_sum_double(sum);
		logits += vector_sum_double(s);
	}
	*sum_logits = logits;
	return total;
}

/*
 * With w = weight of the target's own term and u that of every column:
 *
 *		loss = w (lse - l[t]) + u (V lse - sum l),  w + V u = 1
 *		dloss / dl[j] = softmax[j] - u - w [j = t]
 */
void
rn_cpu_loss(RnLane *lane, const RnLossArgs *args)
{
	const size_t cols = (size_t) args->cols;
	const double every = args->variant == 0 ? (args->cols > 1 ? args->smoothing / (args->cols - 1.0) : 0.0) :
		args->smoothing / args->cols;
	const double own = 1.0 - every * args->cols;
	const double scale = args->loss_scale != NULL ? args->gradient_scale * *args->loss_scale : args->gradient_scale;
	double		unused[2] = {0, 0};
	double	   *sums = args->sums != NULL ? args->sums : unused;
	int			i;

	(void) lane;
	for (i = 0; i < args->rows; i++)
	{
		rn_real    *logits = args->logits + i * cols;
		rn_real    *target = logits + (args->targets[i] >= 0 ? args->targets[i] : 0);
		const rn_real maximum = row_maximum(logits, args->cols);
		const double target_logit = (double) *target - maximum;
		double		sum_logits;
		const double sum = args->gradient ? row_sums(logits, args->cols, maximum, logits, &sum_logits) :
			row_sums(logits, args->cols, maximum, NULL, &sum_logits);
		const double lse = log(sum);	/* less the maximum, as are the logits */
		const double nll = lse - target_logit;

		if (args->targets[i] < 0)
		{
			if (args->row_nll != NULL)
				args->row_nll[i] = 0;
			if (args->gradient)
				memset(logits, 0, cols * sizeof(rn_real));
			continue;
		}
		sums[0] += own * nll + every * (args->cols * lse - sum_logits);
		sums[1] += nll;
		if (args->row_nll != NULL)
			args->row_nll[i] = (rn_real) nll;
		if (args->gradient)
		{
			const rn_real factor = (rn_real) (scale / sum);
			const rn_real less = (rn_real) (scale * every);

			RN_VECTORS(j, n, args->cols,
			{
				vector_store(logits + j, factor * vector_load(logits + j, n) - less, n);
			});
			*target -= (rn_real) (scale * own);
		}
	}
}

/*
 * Put an entry into a list of count, best first, of at most k, where it has a
 * place; the new count.  Entries come by rising id, so an equal one stays
 * behind those that are there.
 */
static int
insert_best(int k, int count, int32_t *ids, rn_real *scores, int32_t id, rn_real score)
{
	int			at = count < k ? count : k - 1;

	for (; at > 0 && scores[at - 1] < score; at--)
	{
		scores[at] = scores[at - 1];
		ids[at] = ids[at - 1];
	}
	scores[at] = score;
	ids[at] = id;
	return count < k ? count + 1 : k;
}

static int
is_banned(const int32_t *banned, int32_t id)
{
	for (; banned != NULL && *banned >= 0; banned++)
		if (*banned == id)
			return 1;
	return 0;
}

#define SCAN	(4 * RN_WIDTH)	/* logits looked at together */

/* Largest of each SCANth logit from 0, 1, ... on; the largest of all is returned. */
static rn_real
lane_maxima(const rn_real *x, int count, rn_real maxima[SCAN])
{
	RnVector	best[4];
	int			whole = count / SCAN * SCAN;
	int			j;
	int			v;

	for (v = 0; v < 4; v++)
		best[v] = vector_set(-INFINITY);
	for (j = 0; j < whole; j += SCAN)
		RN_UNROLL
		for (v = 0; v < 4; v++)
			best[v] = vector_max(best[v], vector_load(x + j + v * RN_WIDTH, RN_WIDTH));
	RN_VECTORS(i, n, count - whole,
	{
		best[i / RN_WIDTH] = vector_max(best[i / RN_WIDTH], vector_fill_from(vector_load(x + whole + i, n), n, -INFINITY));
	});
	memcpy(maxima, best, sizeof(best));
	return vector_maximum(vector_max(vector_max(best[0], best[1]), vector_max(best[2], best[3])));
}

/* A number that at least k of those do not lie below: the kth largest, or -infinity where there are not so many. */
static rn_real
floor_of(int k, const rn_real maxima[SCAN])
{
	rn_real		best[SCAN];
	int			count = 0;
	int			l;
	int			at;

	if (k > SCAN)
		return -INFINITY;
	for (l = 0; l < SCAN; l++)
	{
		if (count == k && !(maxima[l] > best[k - 1]))
			continue;
		count = RN_MIN(count + 1, k);
		for (at = count - 1; at > 0 && best[at - 1] < maxima[l]; at--)
			best[at] = best[at - 1];
		best[at] = maxima[l];
	}
	return best[k - 1];
}

/* How many logits from x on may be passed over, all being below the floor. */
static int
pass_over(const rn_real *x, int count, rn_real floor)
{
	int			j;

	for (j = 0; j + SCAN <= count; j += SCAN)
	{
		RnVector	a = vector_max(vector_load(x + j, RN_WIDTH), vector_load(x + j + RN_WIDTH, RN_WIDTH));
		RnVector	b = vector_max(vector_load(x + j + 2 * RN_WIDTH, RN_WIDTH), vector_load(x + j + 3 * RN_WIDTH, RN_WIDTH));

		if (vector_any(vector_max(a, b) >= floor))
			break;
	}
	return j;
}

static int
count_banned(const int32_t *banned)
{
	int			n = 0;

	while (banned != NULL && banned[n] >= 0)
		n++;
	return n;
}

void
rn_cpu_top_k(RnLane *lane, int rows, int cols, const rn_real *logits, int k, const int32_t *banned, int32_t *ids,
			 rn_real *scores)
{
	const int	n_banned = count_banned(banned);
	int			i;

	(void) lane;
	for (i = 0; i < rows && cols > 0 && k > 0; i++, logits += cols, ids += k, scores += k)
	{
		rn_real		maxima[SCAN];
		const rn_real maximum = lane_maxima(logits, cols, maxima);
		const rn_real floor = floor_of(k + n_banned, maxima);
		double		sum_logits;
		const double lse = maximum + log(row_sums(logits, cols, maximum, NULL, &sum_logits));
		int			count = 0;
		int			j = 0;

		while (j < cols)
		{
			int			end;

			j += pass_over(logits + j, cols - j, floor);
			for (end = RN_MIN(j + SCAN, cols); j < end; j++)
				if (logits[j] >= floor && (count < k || logits[j] > scores[k - 1]) && !is_banned(banned, j))
					count = insert_best(k, count, ids, scores, j, logits[j]);
		}
		for (j = 0; j < k; j++)
		{
			ids[j] = j < count ? ids[j] : -1;
			scores[j] = j < count ? (rn_real) (scores[j] - lse) : (rn_real) -INFINITY;
		}
	}
}
