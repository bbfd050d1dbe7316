/*
 * test_ops.c
 *		Every operation against plain loops, forwards and backwards.
 *
 *		test_ops [pattern]		default: all cases
 *
 * One table of cases; what a case is held to stands in op_case.h.  Any device
 * can be put through it (test_device.h).
 *
 * test/unit/test_ops.c
 */
#include "op_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plain.h"

static int
has(const Fixture *fixture, unsigned flag)
{
	return (fixture->c->flags & flag) != 0;
}

/* ---- linear: inner columns out ---- */

enum
{
	BIAS = 1,
	JOINED = 2,					/* three neighbouring weights of different heights */
	FROZEN = 4
};

static int
linear_out(const Fixture *fixture, int part)
{
	return fixture->c->inner + 2 * part;
}

static int
linear_parts(const Fixture *fixture)
{
	return has(fixture, JOINED) ? 3 : 1;
}

static void
linear_setup(Fixture *fixture)
{
	int			part;

	leaf(fixture, LEAF_INPUT, fixture->packed.rows, fixture->c->cols, 0.0, 1.0);
	for (part = 0; part < linear_parts(fixture); part++)
		fixture->leaves[leaf(fixture, LEAF_PARAM, linear_out(fixture, part), fixture->c->cols, 0.0, 1.0)].frozen =
			has(fixture, FROZEN);
	for (part = 0; part < linear_parts(fixture) && has(fixture, BIAS); part++)
		leaf(fixture, LEAF_PARAM, 1, linear_out(fixture, part), 0.0, 1.0);
}

static void
linear_note(Fixture *fixture, RnGraph *graph)
{
	int			parts = linear_parts(fixture);

	result(fixture, rn_linear(graph, operand(fixture, 0), param(fixture, 1),
							  has(fixture, BIAS) ? param(fixture, 1 + parts) : NULL, parts));
}

static void
linear_plain(Fixture *fixture)
{
	int			parts = linear_parts(fixture);
	double	   *y = fixture->results[0].plain;
	int			ld = 0;
	int			part;

	for (part = 0; part < parts; part++)
		ld += linear_out(fixture, part);
	for (part = 0; part < parts; part++)
	{
		plain_linear(fixture->packed.rows, fixture->c->cols, linear_out(fixture, part), host(fixture, 0),
					 host(fixture, 1 + part), has(fixture, BIAS) ? host(fixture, 1 + parts + part) : NULL, y, ld);
		y += linear_out(fixture, part);
	}
}

static const Operation linear = {linear_setup, linear_note, linear_plain};

/* ---- activation ---- */

enum
{
	GELU = 2					/* else ReLU; BIAS as above */
};

static void
activation_setup(Fixture *fixture)
{
	int			cols = fixture->c->cols;
	int			x = leaf(fixture, LEAF_INPUT, fixture->packed.rows, cols, 0.0, has(fixture, GELU) ? 3.0 : 1.0);
	double	   *bias = NULL;
	int			i;

	if (has(fixture, BIAS))
		bias = host(fixture, leaf(fixture, LEAF_PARAM, 1, cols, 0.0, 0.5));

	/* differences mean nothing across ReLU's kink */
	for (i = 0; i < fixture->packed.rows * cols; i++)
		if (fabs(host(fixture, x)[i] + (bias != NULL ? bias[i % cols] : 0.0)) < 0.01)
			host(fixture, x)[i] += 0.125;
}

static void
activation_note(Fixture *fixture, RnGraph *graph)
{
	result(fixture, rn_activation(graph, operand(fixture, 0), has(fixture, BIAS) ? param(fixture, 1) : NULL,
								  has(fixture, GELU) ? RN_GELU : RN_RELU, fixture->c->dropout, &fixture->packed));
}

static void
activation_plain(Fixture *fixture)
{
	RnDropout	dropout = dropout_at(fixture, fixture->c->dropout, 0);

	plain_activation(has(fixture, GELU) ? RN_GELU : RN_RELU, fixture->packed.rows, fixture->c->cols,
					 host(fixture, 0), has(fixture, BIAS) ? host(fixture, 1) : NULL, &dropout,
					 fixture->packed.row_ids, fixture->results[0].plain);
}

static const Operation activation = {activation_setup, activation_note, activation_plain};

/* ---- add ---- */

enum
{
	UNARY = 1,
	SAME = 2,					/* one tensor twice */
	ONES = 4					/* factors 1 */
};

static void
add_setup(Fixture *fixture)
{
	leaf(fixture, LEAF_INPUT, fixture->packed.rows, fixture->c->cols, 0.0, 1.0);
	if (!has(fixture, UNARY | SAME))
		leaf(fixture, LEAF_INPUT, fixture->packed.rows, fixture->c->cols, 0.0, 1.0);
}

static void
add_note(Fixture *fixture, RnGraph *graph)
{
	double		alpha = has(fixture, ONES) ? 1.0 : 0.75;
	double		beta = has(fixture, ONES) ? 1.0 : -1.5;

	if (has(fixture, UNARY))
		result(fixture, rn_add(graph, operand(fixture, 0), alpha, NULL, 0.0));
	else
		result(fixture, rn_add(graph, operand(fixture, 0), alpha, operand(fixture, has(fixture, SAME) ? 0 : 1), beta));
}

static void
add_plain(Fixture *fixture)
{
	double		alpha = has(fixture, ONES) ? 1.0 : 0.75;
	double		beta = has(fixture, ONES) ? 1.0 : -1.5;
	size_t		i;

	for (i = 0; i < fixture->results[0].size; i++)
		fixture->results[0].plain[i] = alpha * host(fixture, 0)[i] +
			(has(fixture, UNARY) ? 0.0 : beta * host(fixture, has(fixture, SAME) ? 0 : 1)[i]);
}

static const Operation add = {add_setup, add_note, add_plain};

/* ---- weighted sum of inner tensors; SAME: of one ---- */

static void
weighted_setup(Fixture *fixture)
{
	int			k;

	leaf(fixture, LEAF_PARAM, 2, fixture->c->inner, 0.3, 1.0);
	for (k = 0; k < (has(fixture, SAME) ? 1 : fixture->c->inner); k++)
		leaf(fixture, LEAF_INPUT, fixture->packed.rows, fixture->c->cols, 0.0, 1.0);
}

static void
weighted_note(Fixture *fixture, RnGraph *graph)
{
	RnTensor   *x[MAX_LEAVES];
	int			k;

	for (k = 0; k < fixture->c->inner; k++)
		x[k] = operand(fixture, has(fixture, SAME) ? 1 : 1 + k);
	result(fixture, rn_weighted_sum(graph, fixture->c->inner, x, param(fixture, 0), 1));
}

static void
weighted_plain(Fixture *fixture)
{
	size_t		i;
	int			k;

	for (k = 0; k < fixture->c->inner; k++)
		for (i = 0; i < fixture->results[0].size; i++)
			fixture->results[0].plain[i] += host(fixture, 0)[1 + k] * host(fixture, has(fixture, SAME) ? 1 : 1 + k)[i];
}

static const Operation weighted = {weighted_setup, weighted_note, weighted_plain};

/* ---- ranges of rows: some left out, one empty; SAME: added to all rows, so that gradients meet ---- */

static const int32_t range_first[] = {1, 4, 8, 9};
static const int32_t range_count[] = {2, 3, 0, 1};

static void
rows_setup(Fixture *fixture)
{
	leaf(fixture, LEAF_INPUT, 11, fixture->c->cols, 0.0, 1.0);
}

static void
rows_note(Fixture *fixture, RnGraph *graph)
{
	RnTensor   *rows = rn_rows(graph, operand(fixture, 0), 4, range_first, range_count);

	if (has(fixture, SAME))
		rows = rn_add(graph, rows, 1.0, rn_rows(graph, operand(fixture, 0), 4, range_first, range_count), 0.5);
	result(fixture, rows);
}

static void
rows_plain(Fixture *fixture)
{
	int			cols = fixture->c->cols;
	double		factor = has(fixture, SAME) ? 1.5 : 1.0;
	size_t		at = 0;
	int			r,
				i,
				j;

	for (r = 0; r < 4; r++)
		for (i = range_first[r]; i < range_first[r] + range_count[r]; i++)
			for (j = 0; j < cols; j++)
				fixture->results[0].plain[at++] = factor * host(fixture, 0)[i * cols + j];
}

static const Operation rows_taken = {rows_setup, rows_note, rows_plain};

/* ---- residual ---- */

enum
{
	NORM = 2,					/* BIAS as above */
	DUAL = 4,
	OMEGA = 8,
	GATE = 16,
	SCALES = 32,
	TWICE = 64,					/* shortcut and branch are one tensor */
	FROM_SHORTCUT = 128			/* D begins as the shortcut itself */
};

/* Numbers of the leaves; -1: none. */
typedef struct ResidualLeaves
{
	int			shortcut;
	int			branch;
	int			dual;
	int			bias;
	int			omega;
	int			gate;
	int			gain;
	int			shift;
} ResidualLeaves;

static ResidualLeaves
residual_leaves(const Fixture *fixture)
{
	ResidualLeaves l = {0, 0, -1, -1, -1, -1, -1, -1};
	int			n = 1;

	l.branch = has(fixture, TWICE) ? 0 : n++;
	l.dual = !has(fixture, DUAL) ? -1 : has(fixture, FROM_SHORTCUT) ? 0 : n++;
	l.bias = has(fixture, BIAS) ? n++ : -1;
	l.omega = has(fixture, OMEGA) ? n++ : -1;
	l.gate = has(fixture, GATE) ? n++ : -1;
	l.gain = has(fixture, NORM) ? n++ : -1;
	l.shift = has(fixture, NORM) ? n++ : -1;
	return l;
}

static void
residual_setup(Fixture *fixture)
{
	ResidualLeaves l = residual_leaves(fixture);
	int			rows = fixture->packed.rows;
	int			cols = fixture->c->cols;

	leaf(fixture, LEAF_INPUT, rows, cols, 0.0, 1.0);
	if (l.branch > 0)
		leaf(fixture, LEAF_INPUT, rows, cols, 0.0, 1.0);
	if (l.dual > 0)
		leaf(fixture, LEAF_INPUT, rows, cols, 0.0, 1.0);
	if (l.bias > 0)
		leaf(fixture, LEAF_PARAM, 1, cols, 0.0, 1.0);
	if (l.omega > 0)
		leaf(fixture, LEAF_PARAM, 1, cols, 1.0, 0.5);
	if (l.gate > 0)
		leaf(fixture, LEAF_PARAM, 1, 1, 0.7, 0.0);
	if (l.gain > 0)
	{
		leaf(fixture, LEAF_PARAM, 1, cols, 1.0, 0.5);
		leaf(fixture, LEAF_PARAM, 1, cols, 0.0, 0.5);
	}
}

static void
residual_note(Fixture *fixture, RnGraph *graph)
{
	ResidualLeaves l = residual_leaves(fixture);
	RnResidual	spec = {.shortcut_scale = 1.0, .branch_scale = 1.0, .dual_scale = 1.0, .epsilon = 1e-5};
	RnTensor   *dual = NULL;

	spec.shortcut = operand(fixture, l.shortcut);
	spec.branch = operand(fixture, l.branch);
	spec.dual = l.dual >= 0 ? operand(fixture, l.dual) : NULL;
	spec.bias = l.bias >= 0 ? param(fixture, l.bias) : NULL;
	spec.omega = l.omega >= 0 ? param(fixture, l.omega) : NULL;
	spec.gate = l.gate >= 0 ? param(fixture, l.gate) : NULL;
	spec.gain = l.gain >= 0 ? param(fixture, l.gain) : NULL;
	spec.shift = l.shift >= 0 ? param(fixture, l.shift) : NULL;
	if (has(fixture, SCALES))
	{
		spec.shortcut_scale = 1.4;
		spec.branch_scale = 0.6;
		spec.dual_scale = 0.05;
	}
	spec.dropout = fixture->c->dropout;
	spec.packed = &fixture->packed;
	result(fixture, rn_residual(graph, &spec, &dual));
	if (l.dual >= 0)
		result(fixture, dual);
}

static void
residual_plain(Fixture *fixture)
{
	ResidualLeaves l = residual_leaves(fixture);
	PlainResidual r = {.shortcut_scale = 1.0, .branch_scale = 1.0, .dual_scale = 1.0, .epsilon = 1e-5};

	r.shortcut = host(fixture, l.shortcut);
	r.branch = host(fixture, l.branch);
	r.bias = l.bias >= 0 ? host(fixture, l.bias) : NULL;
	r.omega = l.omega >= 0 ? host(fixture, l.omega) : NULL;
	r.gate = l.gate >= 0 ? host(fixture, l.gate) : NULL;
	r.gain = l.gain >= 0 ? host(fixture, l.gain) : NULL;
	r.shift = l.shift >= 0 ? host(fixture, l.shift) : NULL;
	if (has(fixture, SCALES))
	{
		r.shortcut_scale = 1.4;
		r.branch_scale = 0.6;
		r.dual_scale = 0.05;
	}
	r.dropout = dropout_at(fixture, fixture->c->dropout, 0);
	r.row_ids = fixture->packed.row_ids;
	r.output = fixture->results[0].plain;
	if (l.dual >= 0)
	{
		r.dual = fixture->results[1].plain;
		memcpy(r.dual, host(fixture, l.dual), fixture->results[1].size * sizeof(double));
	}
	plain_residual(fixture->packed.rows, fixture->c->cols, &r);
}

static const Operation residual = {residual_setup, residual_note, residual_plain};

/* ---- layer norm ---- */

enum
{
	GAIN = 1,					/* and shift */
	ADD = 2,					/* the end of a dual stream */
	ADD_SAME = 4				/* what is normalised is added too */
};

static void
norm_setup(Fixture *fixture)
{
	int			rows = fixture->packed.rows;
	int			cols = fixture->c->cols;

	leaf(fixture, LEAF_INPUT, rows, cols, 0.5, 1.0);
	if (has(fixture, ADD))
		leaf(fixture, LEAF_INPUT, rows, cols, 0.0, 1.0);
	if (has(fixture, GAIN))
	{
		leaf(fixture, LEAF_PARAM, 1, cols, 1.0, 0.5);
		leaf(fixture, LEAF_PARAM, 1, cols, 0.0, 0.5);
	}
}

static void
norm_note(Fixture *fixture, RnGraph *graph)
{
	int			n = has(fixture, ADD) ? 2 : 1;
	const RnParam *gain = has(fixture, GAIN) ? param(fixture, n) : NULL;
	const RnParam *shift = has(fixture, GAIN) ? param(fixture, n + 1) : NULL;

	if (has(fixture, ADD | ADD_SAME))
		result(fixture, rn_norm_add(graph, operand(fixture, 0), gain, shift, 1e-7,
									operand(fixture, has(fixture, ADD) ? 1 : 0), 0.7));
	else
		result(fixture, rn_layer_norm(graph, operand(fixture, 0), gain, shift, 1e-7));
}

static void
norm_plain(Fixture *fixture)
{
	int			n = has(fixture, ADD) ? 2 : 1;

	plain_norm(fixture->packed.rows, fixture->c->cols, host(fixture, 0),
			   has(fixture, GAIN) ? host(fixture, n) : NULL, has(fixture, GAIN) ? host(fixture, n + 1) : NULL, 1e-7,
			   has(fixture, ADD) ? host(fixture, 1) : has(fixture, ADD_SAME) ? host(fixture, 0) : NULL, 0.7,
			   fixture->results[0].plain);
}

static const Operation norm = {norm_setup, norm_note, norm_plain};

/* ---- attention: inner is the size of a head ---- */

enum
{
	CAUSAL = 1,
	ONE = 2,					/* queries, keys and values in one tensor */
	GAPS = 4,					/* with columns between that nobody reads */
	APART = 8,					/* keys and values in two tensors */
	SCORES_IN = 16,
	SCORES_OUT = 32,
	MEAN = 64
};

#define SCORES_LEAF(fixture)	((fixture)->n_leaves - 1)

typedef struct Place
{
	int			leaf;
	int			first;
} Place;

/* Where queries, keys and values lie, and the columns of their tensors. */
static void
attention_places(const Fixture *fixture, Place place[3], int cols[3])
{
	int			width = fixture->c->heads * fixture->c->inner;
	int			gap = has(fixture, GAPS) ? 3 : 0;
	int			part;

	for (part = 0; part < 3; part++)
	{
		place[part].leaf = has(fixture, ONE) ? 0 : has(fixture, APART) || part < 2 ? part : 1;
		place[part].first = has(fixture, ONE) ? gap + part * (width + gap) : gap;
		if (part == 2 && !has(fixture, ONE | APART))
			place[part].first = 2 * gap + width;
	}
	for (part = 0; part < 3; part++)
		cols[part] = has(fixture, ONE) ? 3 * width + 4 * gap :
			part == 0 || has(fixture, APART) ? width + 2 * gap : 2 * width + 3 * gap;
}

static int
ragged_size(const Fixture *fixture)
{
	return (int) rn_attention_size(&fixture->packed, &fixture->keys, fixture->c->heads);
}

/* 1 where ragged scores belong to a key, 0 beyond. */
static double *
ragged_mask(Fixture *fixture)
{
	double	   *mask = fixture_alloc(fixture, ragged_size(fixture) * sizeof(*mask));
	const int32_t *queries = fixture->packed.offsets;
	const int32_t *keys = fixture->keys.offsets;
	size_t		at = 0;
	int			s;
	int			row;
	int			j;

	for (s = 0; s < fixture->packed.n_sentences; s++)
		for (row = 0; row < fixture->c->heads * (queries[s + 1] - queries[s]); row++)
		{
			for (j = 0; j < keys[s + 1] - keys[s]; j++)
				mask[at + j] = 1.0;
			at += rn_attention_stride(keys[s + 1] - keys[s]);
		}
	return mask;
}

static void
attention_setup(Fixture *fixture)
{
	Place		place[3];
	int			cols[3];
	int			i;

	attention_places(fixture, place, cols);
	leaf(fixture, LEAF_INPUT, fixture->packed.rows, cols[0], 0.0, 1.5);
	if (!has(fixture, ONE))
		leaf(fixture, LEAF_INPUT, fixture->keys.rows, cols[1], 0.0, 1.5);
	if (has(fixture, APART))
		leaf(fixture, LEAF_INPUT, fixture->keys.rows, cols[2], 0.0, 1.5);
	if (has(fixture, SCORES_IN))
	{
		Leaf	   *scores = &fixture->leaves[leaf(fixture, LEAF_INPUT, 1, ragged_size(fixture), 0.0, 1.0)];

		scores->differs = ragged_mask(fixture);
		for (i = 0; i < scores->cols; i++)
			scores->host[i] *= scores->differs[i];
	}
}

static void
attention_note(Fixture *fixture, RnGraph *graph)
{
	RnAttention spec = {.queries = &fixture->packed, .keys = &fixture->keys, .heads = fixture->c->heads,
	.head_size = fixture->c->inner, .causal = has(fixture, CAUSAL), .dropout = fixture->c->dropout,
	.score_divisor = has(fixture, MEAN) ? 3.0 : 1.0, .keep_scores = has(fixture, SCORES_OUT)};
	RnTensor   *scores = NULL;
	RnTensor   *output;
	Place		place[3];
	int			cols[3];

	attention_places(fixture, place, cols);
	if (fixture->c->key_lengths == NULL)
		spec.keys = spec.queries;
	spec.q.tensor = operand(fixture, place[0].leaf);
	spec.k.tensor = operand(fixture, place[1].leaf);
	spec.v.tensor = operand(fixture, place[2].leaf);
	spec.q.first = place[0].first;
	spec.k.first = place[1].first;
	spec.v.first = place[2].first;
	if (has(fixture, SCORES_IN))
		spec.scores_in = operand(fixture, SCORES_LEAF(fixture));
	output = rn_attention(graph, &spec, &scores);
	result(fixture, output);
	if (has(fixture, SCORES_OUT))
	{
		double	   *seed = result(fixture, scores);
		double	   *mask = ragged_mask(fixture);
		int			i;

		for (i = 0; seed != NULL && i < ragged_size(fixture); i++)
			seed[i] *= mask[i];
	}
	if (output != NULL)
		result_array(fixture, rn_attention_probabilities(graph, output), ragged_size(fixture));
}

static void
attention_plain(Fixture *fixture)
{
	PlainAttention a = {.queries = &fixture->packed, .keys = &fixture->keys, .heads = fixture->c->heads,
	.head_size = fixture->c->inner, .causal = has(fixture, CAUSAL), .score_divisor = has(fixture, MEAN) ? 3.0 : 1.0};
	Place		place[3];
	int			cols[3];

	attention_places(fixture, place, cols);
	a.dropout = dropout_at(fixture, fixture->c->dropout, 0);
	a.q = host(fixture, place[0].leaf) + place[0].first;
	a.k = host(fixture, place[1].leaf) + place[1].first;
	a.v = host(fixture, place[2].leaf) + place[2].first;
	a.ldq = cols[0];
	a.ldk = cols[1];
	a.ldv = cols[2];
	a.scores_in = has(fixture, SCORES_IN) ? host(fixture, SCORES_LEAF(fixture)) : NULL;
	a.output = fixture->results[0].plain;
	a.scores_out = has(fixture, SCORES_OUT) ? fixture->results[1].plain : NULL;
	a.probabilities = fixture->results[has(fixture, SCORES_OUT) ? 2 : 1].plain;
	plain_attention(&a);
}

static const Operation attention = {attention_setup, attention_note, attention_plain};

/* ---- a decoding step: all positions of all sentences as rows of one step ---- */

enum
{
	LIST = 1,					/* cache rows in no order */
	COMPLETE = 2				/* cross-attention: nothing is written; SCORES_IN and so on as above */
};

enum
{
	STEP_QKV,
	STEP_KEYS,
	STEP_VALUES,
	STEP_SCORES
};

#define CACHE_START		2

static int
cache_rows(const Fixture *fixture)
{
	return has(fixture, COMPLETE) ? fixture->keys.rows : fixture->packed.rows + CACHE_START;
}

/* Where row r of the sentences lies in the cache. */
static int
cache_row(const Fixture *fixture, int r)
{
	if (has(fixture, COMPLETE))
		return r;
	return CACHE_START + (has(fixture, LIST) ? fixture->packed.rows - 1 - r : r);
}

static int
longest(const RnPacked *packed)
{
	int			most = 0;
	int			s;

	for (s = 0; s < packed->n_sentences; s++)
		if (packed->offsets[s + 1] - packed->offsets[s] > most)
			most = packed->offsets[s + 1] - packed->offsets[s];
	return most;
}

static int
step_stride(const Fixture *fixture)
{
	return rn_attention_stride(longest(&fixture->keys));
}

static int
keys_seen(const Fixture *fixture, int s, int i)
{
	return has(fixture, COMPLETE) ? fixture->keys.offsets[s + 1] - fixture->keys.offsets[s] : i + 1;
}

static void
step_setup(Fixture *fixture)
{
	int			width = fixture->c->heads * fixture->c->inner;

	leaf(fixture, LEAF_INPUT, fixture->packed.rows, 3 * width, 0.0, 1.5);
	leaf(fixture, LEAF_CONSTANT, cache_rows(fixture), width + 1, 0.0, 1.5);
	leaf(fixture, LEAF_CONSTANT, cache_rows(fixture), width, 0.0, 1.5);
	if (has(fixture, SCORES_IN))
		leaf(fixture, LEAF_INPUT, fixture->packed.rows, fixture->c->heads * step_stride(fixture), 0.0, 1.0);
}

/* first, count, list and write of a step over all rows */
static void
step_lists(Fixture *fixture, RnCachedAttention *spec)
{
	int			rows = fixture->packed.rows;
	int32_t    *first = fixture_alloc(fixture, rows * sizeof(*first));
	int32_t    *count = fixture_alloc(fixture, rows * sizeof(*count));
	int32_t    *write = fixture_alloc(fixture, rows * sizeof(*write));
	int32_t    *list = fixture_alloc(fixture, rows * (longest(&fixture->keys) + 1) * sizeof(*list));
	int			listed = 0;
	int			s;
	int			r;
	int			j;

	for (s = 0; s < fixture->packed.n_sentences; s++)
		for (r = fixture->packed.offsets[s]; r < fixture->packed.offsets[s + 1]; r++)
		{
			write[r] = cache_row(fixture, r);
			count[r] = keys_seen(fixture, s, fixture->packed.positions[r]);
			first[r] = has(fixture, LIST) ? listed : cache_row(fixture, fixture->keys.offsets[s]);
			for (j = 0; j < count[r]; j++)
				list[listed++] = cache_row(fixture, fixture->keys.offsets[s] + j);
		}
	spec->first = first;
	spec->count = count;
	spec->list = has(fixture, LIST) ? list : NULL;
	spec->write = has(fixture, COMPLETE) ? NULL : write;
}

static void
step_note(Fixture *fixture, RnGraph *graph)
{
	int			width = fixture->c->heads * fixture->c->inner;
	RnCachedAttention spec = {.heads = fixture->c->heads, .head_size = fixture->c->inner,
	.score_divisor = has(fixture, MEAN) ? 3.0 : 1.0, .keep_scores = has(fixture, SCORES_OUT),
	.max_count = longest(&fixture->keys)};
	RnTensor   *scores = NULL;
	RnTensor   *output;

	step_lists(fixture, &spec);
	spec.q.tensor = operand(fixture, STEP_QKV);
	if (!has(fixture, COMPLETE))
	{
		spec.key_in.tensor = spec.value_in.tensor = spec.q.tensor;
		spec.key_in.first = width;
		spec.value_in.first = 2 * width;
	}
	spec.k = fixture->leaves[STEP_KEYS].device;
	spec.v = fixture->leaves[STEP_VALUES].device;
	spec.ldk = width + 1;
	spec.ldv = width;
	if (has(fixture, SCORES_IN))
		spec.scores_in = operand(fixture, STEP_SCORES);
	output = rn_cached_attention(graph, &spec, &scores);
	result(fixture, output);
	if (has(fixture, SCORES_OUT))
		result(fixture, scores);
	if (output != NULL)
		result_array(fixture, rn_attention_probabilities(graph, output),
					 (size_t) output->rows * fixture->c->heads * step_stride(fixture));
}

/* Copy what a step's rows see between their layout and the ragged one. */
static void
step_scores(Fixture *fixture, double *step, double *ragged, int to_ragged)
{
	int			stride = step_stride(fixture);
	int			s;
	int			h;
	int			i;
	int			j;

	for (s = 0; s < fixture->packed.n_sentences; s++)
		for (h = 0; h < fixture->c->heads; h++)
			for (i = 0; i < fixture->packed.offsets[s + 1] - fixture->packed.offsets[s]; i++)
			{
				double	   *row = step + ((size_t) (fixture->packed.offsets[s] + i) * fixture->c->heads + h) * stride;

				for (j = 0; j < keys_seen(fixture, s, i); j++)
					if (to_ragged)
						ragged[j] = row[j];
					else
						row[j] = ragged[j];
				ragged += rn_attention_stride(fixture->keys.offsets[s + 1] - fixture->keys.offsets[s]);
			}
}

/* The whole of causal attention, or attention to all keys, must come out row by row. */
static void
step_plain(Fixture *fixture)
{
	int			width = fixture->c->heads * fixture->c->inner;
	int			last = fixture->n_results - 1;
	double	   *ragged[3];
	PlainAttention a = {.queries = &fixture->packed, .keys = &fixture->keys, .heads = fixture->c->heads,
	.head_size = fixture->c->inner, .causal = !has(fixture, COMPLETE), .score_divisor = has(fixture, MEAN) ? 3.0 : 1.0};
	int			i;

	for (i = 0; i < 3; i++)
		ragged[i] = fixture_alloc(fixture, ragged_size(fixture) * sizeof(double));
	a.dropout = dropout_at(fixture, 0.0, 0);
	a.q = host(fixture, STEP_QKV);
	a.k = has(fixture, COMPLETE) ? host(fixture, STEP_KEYS) : a.q + width;
	a.v = has(fixture, COMPLETE) ? host(fixture, STEP_VALUES) : a.q + 2 * width;
	a.ldq = 3 * width;
	a.ldk = has(fixture, COMPLETE) ? width + 1 : 3 * width;
	a.ldv = has(fixture, COMPLETE) ? width : 3 * width;
	if (has(fixture, SCORES_IN))
	{
		step_scores(fixture, host(fixture, STEP_SCORES), ragged[0], 1);
		a.scores_in = ragged[0];
	}
	a.scores_out = ragged[1];
	a.probabilities = ragged[2];
	a.output = fixture->results[0].plain;
	plain_attention(&a);
	if (has(fixture, SCORES_OUT))
		step_scores(fixture, fixture->results[1].plain, ragged[1], 0);
	step_scores(fixture, fixture->results[last].plain, ragged[2], 0);
}

static const Operation step = {step_setup, step_note, step_plain};

/* ---- embedding: inner is the vocabulary; id 1 is the pad ---- */

#define PAD			1
#define POSITIONS	64
#define EMBED_SCALE	2.5

static void
embedding_setup(Fixture *fixture)
{
	int32_t    *positions = (int32_t *) fixture->packed.positions;
	Leaf	   *table;
	double	   *differs;
	int			i;

	table = &fixture->leaves[leaf(fixture, LEAF_PARAM, fixture->c->inner, fixture->c->cols, 0.0, 1.0)];
	leaf(fixture, LEAF_CONSTANT, POSITIONS, fixture->c->cols, 0.0, 1.0);

	/* a pad gives its row to the value, but no gradient comes back */
	differs = fixture_alloc(fixture, (size_t) table->rows * table->cols * sizeof(*differs));
	for (i = 0; i < table->rows * table->cols; i++)
		differs[i] = i / table->cols != PAD;
	table->differs = differs;
	for (i = 0; i < fixture->packed.rows; i += 4)
		positions[i] = -1;
}

static void
embedding_note(Fixture *fixture, RnGraph *graph)
{
	RnEmbedding spec = {.n_positions = POSITIONS, .ids = fixture->ids, .packed = &fixture->packed,
	.scale = EMBED_SCALE, .pad_id = PAD, .dropout = fixture->c->dropout};

	spec.table = param(fixture, 0);
	spec.position_table = fixture->leaves[1].device;
	result(fixture, rn_embedding(graph, &spec));
}

static void
embedding_plain(Fixture *fixture)
{
	RnDropout	dropout = dropout_at(fixture, fixture->c->dropout, 0);

	plain_embedding(&fixture->packed, fixture->c->cols, fixture->ids, host(fixture, 0), host(fixture, 1), EMBED_SCALE,
					&dropout, fixture->results[0].plain);
}

static const Operation embedding = {embedding_setup, embedding_note, embedding_plain};

/* ---- cross-entropy: inner is the vocabulary ---- */

enum
{
	OVER_ALL = 1,				/* smoothing spread over all classes, the target too */
	SMOOTH = 2,
	TIED = 4,					/* x is an embedding of the same matrix */
	TWO = 8						/* two losses of one tensor */
};

#define OBJECTIVE_SCALE	0.375
#define SMOOTHING		0.1

static void
entropy_setup(Fixture *fixture)
{
	leaf(fixture, LEAF_PARAM, fixture->c->inner, fixture->c->cols, 0.0, 1.0);
	leaf(fixture, LEAF_CONSTANT, POSITIONS, fixture->c->cols, 0.0, 1.0);
	leaf(fixture, LEAF_CONSTANT, fixture->packed.rows, 1, 0.0, 1.0);
	if (!has(fixture, TIED))
		leaf(fixture, LEAF_INPUT, fixture->packed.rows, fixture->c->cols, 0.0, 1.0);
	fixture->has_loss = 1;
	fixture->loss_scale = OBJECTIVE_SCALE * (has(fixture, TWO) ? 2 : 1);
}

static void
entropy_note(Fixture *fixture, RnGraph *graph)
{
	RnCrossEntropy spec = {.targets = fixture->ids, .smoothing = has(fixture, SMOOTH) ? SMOOTHING : 0.0,
	.variant = has(fixture, OVER_ALL), .gradient_scale = OBJECTIVE_SCALE};
	RnEmbedding embed = {.n_positions = POSITIONS, .ids = fixture->ids, .packed = &fixture->packed,
	.scale = EMBED_SCALE, .pad_id = -1};

	spec.weight = embed.table = param(fixture, 0);
	embed.position_table = fixture->leaves[1].device;
	spec.x = has(fixture, TIED) ? rn_embedding(graph, &embed) : operand(fixture, 3);
	spec.row_nll = fixture->leaves[2].device;
	fixture->row_nll = spec.row_nll;
	if (has(fixture, TWO))
		rn_smoothed_cross_entropy(graph, &spec, &fixture->other_loss);
	rn_smoothed_cross_entropy(graph, &spec, &fixture->loss);
	result_array(fixture, &fixture->row_nll, fixture->packed.rows);
}

static void
entropy_plain(Fixture *fixture)
{
	int			rows = fixture->packed.rows;
	int			cols = fixture->c->cols;
	RnDropout	none = dropout_at(fixture, 0.0, 0);
	double	   *x = has(fixture, TIED) ? calloc((size_t) rows * cols + 1, sizeof(*x)) : host(fixture, 3);

	if (has(fixture, TIED))
		plain_embedding(&fixture->packed, cols, fixture->ids, host(fixture, 0), host(fixture, 1), EMBED_SCALE, &none, x);
	fixture->plain_loss = plain_cross_entropy(rows, cols, fixture->c->inner, x, host(fixture, 0), fixture->ids,
											  has(fixture, SMOOTH) ? SMOOTHING : 0.0, has(fixture, OVER_ALL),
											  fixture->results[0].plain, &fixture->plain_nll);
	if (has(fixture, TIED))
		free(x);
}

static const Operation entropy = {entropy_setup, entropy_note, entropy_plain};

/* ---- the table ---- */

static const Case cases[] = {
	/* name, operation, lengths, key lengths, cols, inner, heads, dropout, flags */
	{"linear 1x1x1", &linear, "1", NULL, 1, 1, 0, 0, 0},
	{"linear 3x5x7 bias", &linear, "3", NULL, 5, 7, 0, 0, BIAS},
	{"linear 33x17x19", &linear, "33", NULL, 17, 19, 0, 0, BIAS},
	{"linear 40x64x48", &linear, "40", NULL, 64, 48, 0, 0, 0},
	{"linear no rows", &linear, "", NULL, 4, 3, 0, 0, BIAS},
	{"linear joined", &linear, "9", NULL, 13, 5, 0, 0, JOINED},
	{"linear joined bias", &linear, "6", NULL, 8, 16, 0, 0, BIAS | JOINED},
	{"linear frozen weight", &linear, "5", NULL, 6, 7, 0, 0, BIAS | FROZEN},
	{"linear frozen weight of a constant", &linear, "5", NULL, 6, 7, 0, 0, BIAS | FROZEN | NO_INPUT_GRAD},
	{"linear of a constant", &linear, "5", NULL, 6, 7, 0, 0, BIAS | NO_INPUT_GRAD},

	{"relu 1x1", &activation, "1", NULL, 1, 0, 0, 0, 0},
	{"relu 5x17 bias", &activation, "5", NULL, 17, 0, 0, 0, BIAS},
	{"relu 7x129 bias dropout", &activation, "7", NULL, 129, 0, 0, 0.3, BIAS},
	{"relu 3x300 dropout", &activation, "3", NULL, 300, 0, 0, 0.5, 0},
	{"relu no rows", &activation, "", NULL, 8, 0, 0, 0.1, BIAS},
	{"relu of a constant", &activation, "3", NULL, 9, 0, 0, 0.1, BIAS | NO_INPUT_GRAD},
	{"gelu 1x1", &activation, "1", NULL, 1, 0, 0, 0, GELU},
	{"gelu 5x17 bias", &activation, "5", NULL, 17, 0, 0, 0, GELU | BIAS},
	{"gelu 7x129 bias dropout", &activation, "7", NULL, 129, 0, 0, 0.3, GELU | BIAS},
	{"gelu 4x64 dropout", &activation, "4", NULL, 64, 0, 0, 0.1, GELU},
	{"gelu no rows", &activation, "", NULL, 8, 0, 0, 0.1, GELU | BIAS},
	{"gelu of a constant", &activation, "3", NULL, 9, 0, 0, 0.1, GELU | BIAS | NO_INPUT_GRAD},

	{"add 5x7", &add, "5", NULL, 7, 0, 0, 0, 0},
	{"add 33x65 ones", &add, "33", NULL, 65, 0, 0, 0, ONES},
	{"add one tensor twice", &add, "3", NULL, 11, 0, 0, 0, SAME},
	{"add one tensor twice, ones", &add, "3", NULL, 11, 0, 0, 0, SAME | ONES},
	{"scale", &add, "2", NULL, 9, 0, 0, 0, UNARY},
	{"copy", &add, "2", NULL, 9, 0, 0, 0, UNARY | ONES},
	{"add no rows", &add, "", NULL, 9, 0, 0, 0, 0},

	{"weighted sum of 1", &weighted, "3", NULL, 5, 1, 0, 0, 0},
	{"weighted sum of 5", &weighted, "7", NULL, 33, 5, 0, 0, 0},
	{"weighted sum of one tensor", &weighted, "4", NULL, 6, 3, 0, 0, SAME},
	{"ranges of rows", &rows_taken, "3", NULL, 5, 1, 0, 0, 0},
	{"ranges of rows, twice", &rows_taken, "3", NULL, 3, 1, 0, 0, SAME},
	{"weighted sum, no rows", &weighted, "", NULL, 6, 3, 0, 0, 0},

	{"residual plain", &residual, "5", NULL, 7, 0, 0, 0, 0},
	{"residual 1x1", &residual, "1", NULL, 1, 0, 0, 0, BIAS},
	{"residual no rows", &residual, "", NULL, 5, 0, 0, 0.1, BIAS | NORM | DUAL | OMEGA | GATE},
	{"residual norm", &residual, "6", NULL, 16, 0, 0, 0, NORM},
	{"residual norm bias dropout", &residual, "7", NULL, 33, 0, 0, 0.2, NORM | BIAS},
	{"residual norm, one column", &residual, "4", NULL, 1, 0, 0, 0, NORM | BIAS},
	{"residual pre", &residual, "9", NULL, 65, 0, 0, 0.1, BIAS},
	{"residual fixed scale", &residual, "4", NULL, 12, 0, 0, 0, BIAS | SCALES},
	{"residual rezero", &residual, "5", NULL, 24, 0, 0, 0.2, BIAS | GATE},
	{"residual rezero, norm", &residual, "5", NULL, 24, 0, 0, 0.1, BIAS | GATE | NORM},
	{"residual admin", &residual, "6", NULL, 19, 0, 0, 0.1, BIAS | OMEGA | NORM},
	{"residual omega without norm", &residual, "3", NULL, 8, 0, 0, 0, OMEGA},
	{"residual deepnorm", &residual, "5", NULL, 32, 0, 0, 0, BIAS | NORM | SCALES},
	{"residual dual", &residual, "7", NULL, 21, 0, 0, 0, NORM | DUAL},
	{"residual dual bias dropout", &residual, "6", NULL, 130, 0, 0, 0.3, NORM | DUAL | BIAS},
	{"residual dual scaled", &residual, "4", NULL, 10, 0, 0, 0.1, NORM | DUAL | BIAS | SCALES},
	{"residual dual without norm", &residual, "4", NULL, 10, 0, 0, 0.1, DUAL | BIAS},
	{"residual dual begins as shortcut", &residual, "4", NULL, 10, 0, 0, 0.1, NORM | DUAL | FROM_SHORTCUT},
	{"residual everything", &residual, "5", NULL, 37, 0, 0, 0.2, NORM | DUAL | BIAS | OMEGA | GATE | SCALES},
	{"residual everything, no norm", &residual, "5", NULL, 37, 0, 0, 0.2, DUAL | BIAS | OMEGA | GATE | SCALES},
	{"residual, stream alone used", &residual, "4", NULL, 14, 0, 0, 0.1, NORM | DUAL | BIAS | ONLY_FIRST},
	{"residual, dual alone used", &residual, "4", NULL, 14, 0, 0, 0.1, NORM | DUAL | BIAS | GATE | ONLY_SECOND},
	{"residual of one tensor", &residual, "4", NULL, 14, 0, 0, 0.1, NORM | BIAS | TWICE},
	{"residual of one tensor, no norm", &residual, "4", NULL, 14, 0, 0, 0, BIAS | TWICE},
	{"residual, all one tensor", &residual, "4", NULL, 14, 0, 0, 0.1, NORM | DUAL | TWICE | FROM_SHORTCUT},
	{"residual of constants", &residual, "4", NULL, 14, 0, 0, 0.1, NORM | DUAL | BIAS | OMEGA | GATE | NO_INPUT_GRAD},

	{"norm 5x16", &norm, "5", NULL, 16, 0, 0, 0, GAIN},
	{"norm 9x33", &norm, "9", NULL, 33, 0, 0, 0, GAIN},
	{"norm 1x3", &norm, "1", NULL, 3, 0, 0, 0, GAIN},
	{"norm, one column", &norm, "3", NULL, 1, 0, 0, 0, GAIN},
	{"norm without gain", &norm, "4", NULL, 130, 0, 0, 0, 0},
	{"norm, no rows", &norm, "", NULL, 8, 0, 0, 0, GAIN},
	{"norm of a constant", &norm, "4", NULL, 8, 0, 0, 0, GAIN | NO_INPUT_GRAD},
	{"norm and add", &norm, "6", NULL, 21, 0, 0, 0, GAIN | ADD},
	{"norm and add without gain", &norm, "6", NULL, 64, 0, 0, 0, ADD},
	{"norm added to itself", &norm, "6", NULL, 15, 0, 0, 0, GAIN | ADD_SAME},
	{"norm and add, no rows", &norm, "", NULL, 15, 0, 0, 0, GAIN | ADD},

	{"self-attention", &attention, "3 5 1", NULL, 0, 4, 2, 0, ONE},
	{"self-attention, one token", &attention, "1", NULL, 0, 1, 1, 0, ONE},
	{"self-attention, empty sentences", &attention, "0 4 0 2 0", NULL, 0, 3, 2, 0, ONE},
	{"self-attention, no sentence", &attention, "", NULL, 0, 4, 2, 0, ONE},
	{"self-attention, 17 keys", &attention, "17 2", NULL, 0, 5, 1, 0, ONE},
	{"self-attention, 70 keys", &attention, "70", NULL, 0, 8, 1, 0, ONE},
	{"self-attention, head of 33", &attention, "6 3", NULL, 0, 33, 1, 0, ONE},
	{"self-attention, gaps", &attention, "3 4", NULL, 0, 4, 2, 0, ONE | GAPS},
	{"self-attention, dropout", &attention, "7 4 19", NULL, 0, 4, 2, 0.3, ONE},
	{"causal", &attention, "3 5 1", NULL, 0, 4, 2, 0, ONE | CAUSAL},
	{"causal, 35 keys", &attention, "35 16", NULL, 0, 8, 1, 0, ONE | CAUSAL},
	{"causal, empty sentences, dropout", &attention, "0 9 0", NULL, 0, 4, 3, 0.2, ONE | CAUSAL},
	{"causal, longer queries than keys", &attention, "6 2", "3 4", 0, 4, 1, 0, CAUSAL},
	{"cross", &attention, "4 2 7", "3 6 1", 0, 4, 2, 0, 0},
	{"cross, gaps", &attention, "4 2", "3 6", 0, 4, 2, 0, GAPS},
	{"cross, keys and values apart", &attention, "4 2", "5 6", 0, 4, 2, 0, APART},
	{"cross, apart, gaps", &attention, "4 2", "5 6", 0, 4, 2, 0, APART | GAPS},
	{"cross, empty sentences", &attention, "0 3 2", "4 0 5", 0, 4, 2, 0, 0},
	{"cross, dropout", &attention, "5 13", "18 3", 0, 8, 2, 0.2, 0},
	{"cross of constants", &attention, "4 2", "3 6", 0, 4, 2, 0, SCORES_OUT | NO_INPUT_GRAD},
	{"scores out", &attention, "3 5", NULL, 0, 4, 2, 0, ONE | SCORES_OUT},
	{"scores in", &attention, "3 5", NULL, 0, 4, 2, 0, ONE | SCORES_IN},
	{"scores in and out", &attention, "3 17 1", NULL, 0, 4, 2, 0, ONE | SCORES_IN | SCORES_OUT},
	{"scores, causal, dropout", &attention, "6 0 18", NULL, 0, 4, 2, 0.2, ONE | CAUSAL | SCORES_IN | SCORES_OUT},
	{"scores, mean", &attention, "6 4", NULL, 0, 4, 2, 0, ONE | SCORES_IN | SCORES_OUT | MEAN},
	{"scores, mean, causal", &attention, "6 4", NULL, 0, 4, 2, 0.1, ONE | CAUSAL | SCORES_IN | SCORES_OUT | MEAN},
	{"scores, cross", &attention, "6 0 4", "3 2 9", 0, 4, 2, 0, SCORES_IN | SCORES_OUT},
	{"scores out alone used", &attention, "3 5", NULL, 0, 4, 2, 0, ONE | SCORES_IN | SCORES_OUT | ONLY_SECOND},
	{"scores out not used", &attention, "3 5", NULL, 0, 4, 2, 0, ONE | SCORES_IN | SCORES_OUT | ONLY_FIRST},

	{"step", &step, "3 5 1", NULL, 0, 4, 2, 0, FORWARD_ONLY},
	{"step, list", &step, "3 5 1", NULL, 0, 4, 2, 0, LIST | FORWARD_ONLY},
	{"step, 40 keys", &step, "40 17", NULL, 0, 8, 2, 0, LIST | FORWARD_ONLY},
	{"step, one token", &step, "1", NULL, 0, 33, 1, 0, FORWARD_ONLY},
	{"step, no row", &step, "", NULL, 0, 4, 2, 0, LIST | FORWARD_ONLY},
	{"step, scores", &step, "3 18", NULL, 0, 4, 2, 0, LIST | SCORES_IN | SCORES_OUT | FORWARD_ONLY},
	{"step, scores, mean", &step, "3 5", NULL, 0, 4, 2, 0, SCORES_IN | SCORES_OUT | MEAN | FORWARD_ONLY},
	{"step, cross", &step, "3 2", "4 19", 0, 4, 2, 0, COMPLETE | FORWARD_ONLY},
	{"step, cross, list, scores", &step, "3 2", "4 19", 0, 4, 2, 0, COMPLETE | LIST | SCORES_IN | SCORES_OUT | FORWARD_ONLY},

	{"embedding", &embedding, "3 5 1", NULL, 7, 6, 0, 0, 0},
	{"embedding, dropout", &embedding, "9 0 4", NULL, 130, 11, 0, 0.3, 0},
	{"embedding, many of one", &embedding, "40", NULL, 16, 3, 0, 0.1, 0},
	{"embedding, no row", &embedding, "", NULL, 16, 3, 0, 0.1, 0},

	{"loss", &entropy, "5", NULL, 4, 7, 0, 0, 0},
	{"loss, smoothing", &entropy, "5 3", NULL, 6, 9, 0, 0, SMOOTH},
	{"loss, smoothing over all", &entropy, "5 3", NULL, 6, 9, 0, 0, SMOOTH | OVER_ALL},
	{"loss, vocabulary 2", &entropy, "6", NULL, 3, 2, 0, 0, SMOOTH},
	{"loss, vocabulary 517", &entropy, "4", NULL, 5, 517, 0, 0, SMOOTH},
	{"loss, chunks", &entropy, "1500 37", NULL, 3, 5, 0, 0, SMOOTH},
	{"loss, no row", &entropy, "", NULL, 3, 5, 0, 0, SMOOTH},
	{"loss, tied", &entropy, "7 2", NULL, 6, 11, 0, 0, SMOOTH | TIED},
	{"loss, tied, over all", &entropy, "7 2", NULL, 6, 11, 0, 0, SMOOTH | OVER_ALL | TIED},
	{"loss, two of one tensor", &entropy, "7", NULL, 6, 11, 0, 0, SMOOTH | TWO},
	{"loss of a constant", &entropy, "7", NULL, 6, 11, 0, 0, SMOOTH | NO_INPUT_GRAD},
};

int
main(int argc, char **argv)
{
	return run_cases(argc > 1 ? argv[1] : NULL, cases, sizeof(cases) / sizeof(cases[0]));
}
