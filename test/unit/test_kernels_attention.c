/*
 * test_kernels_attention.c
 *		Attention at every level against plain loops in double.
 *
 * The plain backward pass is itself held to central differences of the plain
 * forward pass, so that long sentences can be judged without them.
 *
 * test/unit/test_kernels_attention.c
 */
#include "kernel_check.h"

#define COUNT(array)	((int) (sizeof(array) / sizeof((array)[0])))

enum
{
	CAUSAL = 1, SCORES = 2, DROPOUT = 4, ACCUMULATE = 8, FORWARD_ONLY = 16
};

typedef struct Case
{
	const char *queries;		/* sentence lengths */
	const char *keys;			/* NULL: the same */
	int			heads;
	int			head_size;
	int			flags;
} Case;

static const Case cases[] = {
	{"", NULL, 2, 8, 0},
	{"0", NULL, 2, 8, 0},
	{"1", NULL, 1, 1, 0},
	{"1 0 3", NULL, 3, 5, CAUSAL | DROPOUT},
	{"4 0 2 3", "0 3 5 1", 2, 8, SCORES | ACCUMULATE},
	{"4 0 2 3", "0 3 5 1", 2, 8, DROPOUT},
	{"13 7 1 0 8", NULL, 4, 32, CAUSAL | DROPOUT | SCORES},
	{"31 33", NULL, 4, 32, CAUSAL | DROPOUT},
	{"31 33", NULL, 1, 40, DROPOUT | ACCUMULATE},
	{"16 17 15", "33 2 48", 3, 7, DROPOUT | SCORES},
	{"16 17 15", "33 2 48", 3, 16, 0},
	{"5 9", "9 5", 2, 64, CAUSAL | SCORES},
	{"200 1", NULL, 2, 24, CAUSAL | DROPOUT},
	{"200", NULL, 1, 130, CAUSAL | SCORES | ACCUMULATE},
	{"129 64", "31 200", 1, 32, DROPOUT},
	{"25 25 24", NULL, 4, 32, FORWARD_ONLY},
	{"7 12", NULL, 3, 12, FORWARD_ONLY | CAUSAL},
};

/* A case in double. */
typedef struct Plain
{
	RnPacked	queries;
	RnPacked	keys;
	int			heads;
	int			size;			/* of a head */
	int			causal;
	double		scale;
	double		divisor;
	RnDropout	dropout;
	size_t		n_scores;
	double	   *q;
	double	   *k;
	double	   *v;
	double	   *scores_in;		/* 0 where not used */
	double	   *scores;
	double	   *probabilities;
	double	   *output;
	double	   *doutput;
	double	   *dscores_out;
	double	   *dq;
	double	   *dk;
	double	   *dv;
	double	   *dscores;
} Plain;

static int
pack(RnPacked *packed, const char *lengths)
{
	int32_t    *offsets = calloc(strlen(lengths) + 2, sizeof(int32_t));
	uint32_t   *row_ids;
	char	   *end;
	int			n = 0;
	int			i;

	for (;;)
	{
		long		length = strtol(lengths, &end, 10);

		if (end == lengths)
			break;
		offsets[n + 1] = offsets[n] + (int32_t) length;
		n++;
		lengths = end;
	}
	row_ids = malloc((size_t) (offsets[n] + 1) * sizeof(uint32_t));
	for (i = 0; i < offsets[n]; i++)
		row_ids[i] = 31u * (uint32_t) i + 5u;
	*packed = (RnPacked) {.n_sentences = n, .rows = offsets[n], .offsets = offsets, .row_ids = row_ids};
	return offsets[n];
}

static double
factor(const Plain *t, int s, int h, int m, int i, int j)
{
	RnDropout	dropout = t->dropout;

	if (dropout.rate <= 0.0)
		return 1.0;
	dropout.site += (uint32_t) h << 16;
	return rn_dropout_keeps(&dropout, t->queries.row_ids[t->queries.offsets[s]], (uint32_t) (i * m + j)) ?
		1.0 / (1.0 - dropout.rate) : 0.0;
}

/* Head h of sentence s, query i: everything about one row of scores. */
static void
plain_row(Plain *t, int s, int h, int i, size_t at, int backward)
{
	const int	width = t->heads * t->size;
	const int	m = t->keys.offsets[s + 1] - t->keys.offsets[s];
	const int	seen = t->causal && i + 1 < m ? i + 1 : m;
	const size_t row = (size_t) (t->queries.offsets[s] + i) * width + (size_t) h * t->size;
	const size_t key = (size_t) t->keys.offsets[s] * width + (size_t) h * t->size;
	double		total = 0.0;
	double		mean = 0.0;
	double	   *dp = zeros((size_t) m);
	int			j;
	int			c;

	for (j = 0; j < m; j++)
	{
		double		dot = 0.0;

		for (c = 0; c < t->size; c++)
			dot += t->q[row + c] * t->k[key + (size_t) j * width + c];
		t->scores[at + j] = dot * t->scale + t->scores_in[at + j];
		t->probabilities[at + j] = j < seen ? exp(t->scores[at + j] / t->divisor) : 0.0;
		total += t->probabilities[at + j];
	}
	for (j = 0; j < m; j++)
		t->probabilities[at + j] /= total;
	for (c = 0; c < t->size; c++)
	{
		t->output[row + c] = 0.0;
		for (j = 0; j < m; j++)
			t->output[row + c] += t->probabilities[at + j] * factor(t, s, h, m, i, j) * t->v[key + (size_t) j * width + c];
	}
	for (j = 0; backward && j < m; j++)
	{
		const double f = factor(t, s, h, m, i, j);

		for (c = 0; c < t->size; c++)
		{
			dp[j] += f * t->doutput[row + c] * t->v[key + (size_t) j * width + c];
			t->dv[key + (size_t) j * width + c] += f * t->probabilities[at + j] * t->doutput[row + c];
		}
		mean += dp[j] * t->probabilities[at + j];
	}
	for (j = 0; backward && j < m; j++)
	{
		const double d = t->probabilities[at + j] * (dp[j] - mean) / t->divisor + t->dscores_out[at + j];

		t->dscores[at + j] = d;
		for (c = 0; c < t->size; c++)
		{
			t->dq[row + c] += d * t->scale * t->k[key + (size_t) j * width + c];
			t->dk[key + (size_t) j * width + c] += d * t->scale * t->q[row + c];
		}
	}
	free(dp);
}

static void
plain_attention(Plain *t, int backward)
{
	size_t		at = 0;
	int			s;
	int			h;
	int			i;

	for (s = 0; s < t->queries.n_sentences; s++)
	{
		const int	stride = rn_attention_stride(t->keys.offsets[s + 1] - t->keys.offsets[s]);

		for (h = 0; h < t->heads; h++)
			for (i = 0; i < t->queries.offsets[s + 1] - t->queries.offsets[s]; i++, at += (size_t) stride)
				if (stride > 0)
					plain_row(t, s, h, i, at, backward);
	}
}

/* Random scores where there are keys, zeros beyond. */
static rn_real *
ragged_numbers(const Plain *t, unsigned seed, int wanted)
{
	rn_real    *x = numbers(t->n_scores, seed);
	size_t		at = 0;
	int			s;
	int			i;
	int			j;

	for (s = 0; s < t->queries.n_sentences; s++)
	{
		const int	m = t->keys.offsets[s + 1] - t->keys.offsets[s];
		const int	rows = t->heads * (t->queries.offsets[s + 1] - t->queries.offsets[s]);

		for (i = 0; i < rows; i++, at += (size_t) rn_attention_stride(m))
			for (j = wanted ? m : 0; j < rn_attention_stride(m); j++)
				x[at + j] = 0;
	}
	return x;
}

/* What the kernel is given, and where it puts its answers. */
typedef struct Inputs
{
	rn_real    *q;
	rn_real    *k;
	rn_real    *v;
	rn_real    *scores_in;
	rn_real    *doutput;
	rn_real    *dscores_out;
	rn_real    *start;			/* what accumulated gradients start from */
} Inputs;

static void
begin_case(const Case *c, Plain *t, Inputs *in)
{
	size_t		n;
	size_t		m;
	const size_t width = (size_t) (c->heads * c->head_size);

	memset(t, 0, sizeof(*t));
	n = (size_t) pack(&t->queries, c->queries) * width;
	m = (size_t) pack(&t->keys, c->keys != NULL ? c->keys : c->queries) * width;
	t->heads = c->heads;
	t->size = c->head_size;
	t->causal = c->flags & CAUSAL;
	t->scale = 1.0 / sqrt(c->head_size);
	t->divisor = c->flags & SCORES ? 3 : 1;
	if (c->flags & DROPOUT)
		t->dropout = (RnDropout) {.rate = 0.2, .seed = 99, .step = 8, .site = 12};
	t->n_scores = rn_attention_size(&t->queries, &t->keys, c->heads);
	in->q = numbers(n, 1);
	in->k = numbers(m, 2);
	in->v = numbers(m, 3);
	in->scores_in = ragged_numbers(t, 4, c->flags & SCORES);
	in->doutput = numbers(n, 5);
	in->dscores_out = ragged_numbers(t, 6, c->flags & SCORES);
	in->start = numbers(n > m ? n : m, 7);
	t->q = widen(in->q, n);
	t->k = widen(in->k, m);
	t->v = widen(in->v, m);
	t->scores_in = widen(in->scores_in, t->n_scores);
	t->doutput = widen(in->doutput, n);
	t->dscores_out = widen(in->dscores_out, t->n_scores);
	t->output = zeros(n);
	t->scores = zeros(t->n_scores);
	t->probabilities = zeros(t->n_scores);
	t->dscores = zeros(t->n_scores);
	t->dq = c->flags & ACCUMULATE ? widen(in->start, n) : zeros(n);
	t->dk = c->flags & ACCUMULATE ? widen(in->start, m) : zeros(m);
	t->dv = c->flags & ACCUMULATE ? widen(in->start, m) : zeros(m);
	plain_attention(t, 1);
}

static void
end_case(Plain *t, Inputs *in)
{
	free((void *) t->queries.offsets);
	free((void *) t->queries.row_ids);
	free((void *) t->keys.offsets);
	free((void *) t->keys.row_ids);
	free(t->q);
	free(t->k);
	free(t->v);
	free(t->scores_in);
	free(t->scores);
	free(t->probabilities);
	free(t->output);
	free(t->doutput);
	free(t->dscores_out);
	free(t->dq);
	free(t->dk);
	free(t->dv);
	free(t->dscores);
	free(in->q);
	free(in->k);
	free(in->v);
	free(in->scores_in);
	free(in->doutput);
	free(in->dscores_out);
	free(in->start);
}

/* Three matrices of [rows, width] side by side in one, as a model has them. */
static rn_real *
side_by_side(int rows, int width, int slot, const rn_real *x)
{
	rn_real    *wide = numbers((size_t) rows * width * 3, 8);
	int			i;

	for (i = 0; i < rows; i++)
		memcpy(wide + ((size_t) i * 3 + slot) * width, x + (size_t) i * width, (size_t) width * sizeof(rn_real));
	return wide;
}

/* Distance of a slot of such a buffer; the other slots must be as they were. */
static double
slot_distance(Device *device, const rn_real *buffer, int rows, int width, int slot, const double *truth)
{
	const size_t size = (size_t) rows * width * 3;
	rn_real    *before = numbers(size, 8);
	double	   *whole = widen(before, size);
	double		d;
	int			i;

	for (i = 0; i < rows; i++)
		memcpy(whole + ((size_t) i * 3 + slot) * width, truth + (size_t) i * width, (size_t) width * sizeof(double));
	d = distance(device, buffer, whole, size);
	free(before);
	free(whole);
	return d;
}

static rn_real *
upload_slot(Device *device, int rows, int width, int slot, const rn_real *x)
{
	rn_real    *wide = side_by_side(rows, width, slot, x);
	rn_real    *buffer = upload(device, wide, (size_t) rows * width * 3);

	free(wide);
	return buffer;
}

static void
run_case(Device *device, const Case *c, int number, Worst *forward, Worst *backward)
{
	const int	width = c->heads * c->head_size;
	Plain		t;
	Inputs		in;
	RnAttentionArgs args = {0};
	int			n;
	int			m;
	rn_real    *nan_filled;
	size_t		i;

	begin_case(c, &t, &in);
	n = t.queries.rows;
	m = t.keys.rows;
	nan_filled = numbers(t.n_scores, 1);
	for (i = 0; i < t.n_scores; i++)
		nan_filled[i] = (rn_real) NAN;
	args.queries = &t.queries;
	args.keys = c->keys != NULL ? &t.keys : &t.queries;
	args.heads = c->heads;
	args.head_size = c->head_size;
	args.causal = t.causal;
	args.scale = t.scale;
	args.score_divisor = t.divisor;
	args.dropout = t.dropout;
	args.ldq = args.ldk = args.ldv = args.lddq = args.lddk = args.lddv = 3 * width;
	args.q = upload_slot(device, n, width, 0, in.q);
	args.k = upload_slot(device, m, width, 1, in.k) + width;
	args.v = upload_slot(device, m, width, 2, in.v) + 2 * width;
	if (c->flags & SCORES)
	{
		args.scores_in = upload(device, in.scores_in, t.n_scores);
		args.scores_out = upload(device, nan_filled, t.n_scores);
	}
	args.probabilities = c->flags & FORWARD_ONLY ? NULL : upload(device, nan_filled, t.n_scores);
	args.output = upload(device, NULL, (size_t) n * width);
	device->k->attention_forward(device->lane, &args);
	worst_of(forward, distance(device, args.output, t.output, (size_t) n * width), "case %d, output", number);
	if (args.probabilities != NULL)
		worst_of(forward, distance(device, args.probabilities, t.probabilities, t.n_scores), "case %d, probabilities",
				 number);
	if (args.scores_out != NULL)
		worst_of(forward, distance(device, args.scores_out, t.scores, t.n_scores), "case %d, scores", number);

	if (!(c->flags & FORWARD_ONLY))
	{
		rn_real    *dq = upload_slot(device, n, width, 0, in.start);
		rn_real    *dk = upload_slot(device, m, width, 1, in.start);
		rn_real    *dv = upload_slot(device, m, width, 2, in.start);

		args.doutput = upload(device, in.doutput, (size_t) n * width);
		if (c->flags & SCORES)
		{
			args.dscores_out = upload(device, in.dscores_out, t.n_scores);
			args.dscores_in = c->flags & ACCUMULATE ? (rn_real *) args.dscores_out : upload(device, nan_filled, t.n_scores);
		}
		args.accumulate_q = args.accumulate_kv = c->flags & ACCUMULATE;
		args.dq = dq;
		args.dk = dk + width;
		args.dv = dv + 2 * width;
		device->k->attention_backward(device->lane, &args);
		worst_of(backward, slot_distance(device, dq, n, width, 0, t.dq), "case %d, dq", number);
		worst_of(backward, slot_distance(device, dk, m, width, 1, t.dk), "case %d, dk", number);
		worst_of(backward, slot_distance(device, dv, m, width, 2, t.dv), "case %d, dv", number);
		if (args.dscores_in != NULL)
			worst_of(backward, distance(device, args.dscores_in, t.dscores, t.n_scores), "case %d, dscores", number);
	}
	free(nan_filled);
	release_buffers(device);
	end_case(&t, &in);
}

/* The plain backward pass against differences of the plain forward pass. */
static void
test_plain(const Case *c, int number)
{
	Plain		t;
	Inputs		in;
	double		worst = 0.0;
	int			a;

	begin_case(c, &t, &in);
	for (a = 0; a < 4; a++)
	{
		double	   *x = a == 0 ? t.q : a == 1 ? t.k : a == 2 ? t.v : t.scores_in;
		const double *gradient = a == 0 ? t.dq : a == 1 ? t.dk : a == 2 ? t.dv : t.dscores;
		const size_t width = (size_t) (c->heads * c->head_size);
		const size_t n = a == 3 ? t.n_scores : width * (size_t) (a == 0 ? t.queries.rows : t.keys.rows);
		size_t		i;

		for (i = 0; i < n; i++)
		{
			const double at = x[i];
			double		objective[2] = {0.0, 0.0};
			int			side;

			if (a == 3 && t.probabilities[i] == 0.0)
				continue;
			for (side = 0; side < 2; side++)
			{
				size_t		j;

				x[i] = at + (side ? 1e-5 : -1e-5);
				plain_attention(&t, 0);
				for (j = 0; j < width * (size_t) t.queries.rows; j++)
					objective[side] += t.output[j] * t.doutput[j];
				for (j = 0; j < t.n_scores; j++)
					objective[side] += t.scores[j] * t.dscores_out[j];
			}
			x[i] = at;
			worst = fmax(worst, fabs((objective[1] - objective[0]) / 2e-5 - gradient[i] +
									 (c->flags & ACCUMULATE && a < 3 ? in.start[i] : 0.0)));
		}
	}
	CHECK(worst < 1e-7, "the reference's own gradients, case %d: %.1e", number, worst);
	end_case(&t, &in);
}

/* ---- decoding steps ---- */

static void
step_case(Device *device, int rows, int heads, int size, int with_list, int with_scores, Worst *worst)
{
	enum {CACHE = 300, LONGEST = 70};
	const int	width = heads * size;
	const int	ld = width + 5;
	const size_t n_scores = (size_t) rows * heads * LONGEST;
	rn_real    *q = numbers((size_t) rows * ld, 1);
	rn_real    *k = numbers(CACHE * (size_t) ld, 2);
	rn_real    *v = numbers(CACHE * (size_t) ld, 3);
	rn_real    *scores_in = numbers(n_scores, 4);
	double	   *output = zeros((size_t) rows * width);
	double	   *scores = widen(scores_in, n_scores);
	double	   *probabilities = widen(scores_in, n_scores);
	int32_t    *first = calloc((size_t) rows + 1, sizeof(int32_t));
	int32_t    *count = calloc((size_t) rows + 1, sizeof(int32_t));
	int32_t    *list = calloc((size_t) rows * LONGEST + 1, sizeof(int32_t));
	RnAttentionStepArgs args = {.rows = rows, .heads = heads, .head_size = size, .scale = 0.3, .score_divisor = 2, .first = first,
	.count = count, .list = with_list ? list : NULL, .ldq = ld, .ldk = ld, .ldv = ld, .score_stride = LONGEST};
	int			r;
	int			h;
	int			i;
	int			c;

	for (i = 0; i < rows * LONGEST; i++)
		list[i] = (i * 37) % CACHE;
	for (r = 0; r < rows; r++)
	{
		count[r] = r % 3 == 0 ? 1 + r % LONGEST : r % 3 == 1 ? LONGEST : 17;
		first[r] = with_list ? r * LONGEST : (r * 29) % (CACHE - LONGEST);
		for (h = 0; h < heads; h++)
		{
			const size_t at = ((size_t) r * heads + h) * LONGEST;
			double		total = 0.0;

			for (i = 0; i < count[r]; i++)
			{
				const int	row = with_list ? list[first[r] + i] : first[r] + i;
				double		dot = 0.0;

				for (c = 0; c < size; c++)
					dot += (double) q[r * ld + h * size + c] * k[row * ld + h * size + c];
				scores[at + i] = 0.3 * dot + (with_scores ? scores_in[at + i] : 0.0);
				total += exp(scores[at + i] / 2);
			}
			for (i = 0; i < count[r]; i++)
			{
				const int	row = with_list ? list[first[r] + i] : first[r] + i;

				probabilities[at + i] = exp(scores[at + i] / 2) / total;
				for (c = 0; c < size; c++)
					output[r * width + h * size + c] += probabilities[at + i] * v[row * ld + h * size + c];
			}
		}
	}
	args.q = upload(device, q, (size_t) rows * ld);
	args.k = upload(device, k, CACHE * (size_t) ld);
	args.v = upload(device, v, CACHE * (size_t) ld);
	args.scores_in = with_scores ? upload(device, scores_in, n_scores) : NULL;
	/* what lies beyond the counts must stay as it is */
	args.scores_out = with_scores ? upload(device, scores_in, n_scores) : NULL;
	args.probabilities = with_scores ? upload(device, scores_in, n_scores) : NULL;
	args.output = upload(device, NULL, (size_t) rows * width);
	device->k->attention_step(device->lane, &args);
	worst_of(worst, distance(device, args.output, output, (size_t) rows * width), "output, rows %d heads %d size %d", rows,
			 heads, size);
	if (with_scores)
	{
		worst_of(worst, distance(device, args.scores_out, scores, n_scores), "scores, rows %d heads %d size %d", rows, heads,
				 size);
		worst_of(worst, distance(device, args.probabilities, probabilities, n_scores),
				 "probabilities, rows %d heads %d size %d", rows, heads, size);
	}
	release_buffers(device);
	free(q);
	free(k);
	free(v);
	free(scores_in);
	free(output);
	free(scores);
	free(probabilities);
	free(first);
	free(count);
	free(list);
}

static void
test_step(Device *device)
{
	static const int row_counts[] = {0, 1, 4, 31, 200};
	static const int shapes[][2] = {{1, 1}, {3, 7}, {4, 32}, {8, 16}, {2, 64}, {1, 130}};
	Worst		worst = {0};
	int			r;
	int			s;

	for (r = 0; r < COUNT(row_counts); r++)
		for (s = 0; s < COUNT(shapes); s++)
		{
			step_case(device, row_counts[r], shapes[s][0], shapes[s][1], 0, 1, &worst);
			step_case(device, row_counts[r], shapes[s][0], shapes[s][1], 1, 0, &worst);
		}
	CHECK(worst.distance <= tolerance(1e-6, 1e-14), "attention of a decoding step: %.1e at %s", worst.distance, worst.where);
}

int
main(void)
{
	const RnKernels *k;
	int			level = 0;
	int			i;

	test_plain(&cases[3], 3);
	test_plain(&cases[4], 4);
	test_plain(&cases[11], 11);
	while ((k = next_level(&level)) != NULL)
	{
		Device		device;
		Worst		forward = {0};
		Worst		backward = {0};

		if (!CHECK(device_begin(&device, k), "%s", k->description()))
			break;
		for (i = 0; i < COUNT(cases); i++)
			run_case(&device, &cases[i], i, &forward, &backward);
		CHECK(forward.distance <= tolerance(2e-6, 1e-14), "attention: %.1e at %s", forward.distance, forward.where);
		CHECK(backward.distance <= tolerance(5e-6, 1e-13), "attention backward: %.1e at %s", backward.distance,
			  backward.where);
		test_step(&device);
		device_end(&device);
	}
	return check_done();
}
