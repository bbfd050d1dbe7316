/*
 * ops_attention.c
 *		Attention over packed sentences, and over cached keys and values.
 *
 * Queries, keys and values are columns of tensors, so that one product makes
 * all three and nothing is copied; their gradients go to the same columns of
 * the tensors' gradients.
 *
 * src/graph/ops_attention.c
 */
#include "graph/op.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "graph/node.h"

enum
{
	QUERY,
	KEY,
	VALUE,
	SCORES						/* uses; SCORES only with running scores */
};

static rn_real *
column(rn_real *base, const RnUse *use)
{
	return base != NULL ? base + use->first_column : NULL;
}

static RnAttentionArgs *
attention_args(RnNode *node)
{
	RnAttentionArgs *args = node->spec;
	const RnUse *uses = node->uses;

	args->q = column(uses[QUERY].tensor->value, &uses[QUERY]);
	args->k = column(uses[KEY].tensor->value, &uses[KEY]);
	args->v = column(uses[VALUE].tensor->value, &uses[VALUE]);
	args->ldq = args->lddq = uses[QUERY].tensor->cols;
	args->ldk = args->lddk = uses[KEY].tensor->cols;
	args->ldv = args->lddv = uses[VALUE].tensor->cols;
	args->scores_in = node->n_uses > SCORES ? uses[SCORES].tensor->value : NULL;
	args->scores_out = node->n_outputs > 1 ? node->outputs[1].tensor->value : NULL;
	args->probabilities = node->memories[0].at;
	args->output = node->outputs[0].tensor->value;
	return args;
}

static void
attention_forward(RnGraph *graph, RnNode *node)
{
	graph->kernels->attention_forward(graph->lane, attention_args(node));
}

static void
attention_backward(RnGraph *graph, RnNode *node)
{
	RnAttentionArgs *args = attention_args(node);
	const RnUse *uses = node->uses;

	args->doutput = node->outputs[0].grad;
	args->dscores_out = node->n_outputs > 1 ? node->outputs[1].grad : NULL;
	args->dscores_in = node->n_uses > SCORES ? uses[SCORES].grad : NULL;
	args->dq = column(uses[QUERY].grad, &uses[QUERY]);
	args->dk = column(uses[KEY].grad, &uses[KEY]);
	args->dv = column(uses[VALUE].grad, &uses[VALUE]);
	args->accumulate_q = uses[QUERY].accumulate;
	args->accumulate_kv = uses[KEY].wanted ? uses[KEY].accumulate : uses[VALUE].accumulate;
	graph->kernels->attention_backward(graph->lane, args);
}

static const RnOp attention_op = {"attention", attention_forward, attention_backward};

static int
overlap(const RnColumns *a, const RnColumns *b, int width)
{
	return a->tensor == b->tensor && a->first < b->first + width && b->first < a->first + width;
}

static int
check_columns(RnGraph *graph, const RnOp *op, const RnColumns *columns, int rows, int width)
{
	if (!rn_graph_operand(graph, op, columns->tensor))
		return 0;
	if (columns->tensor->rows == rows && columns->first >= 0 && width <= columns->tensor->cols - columns->first)
		return 1;
	rn_graph_fail(graph, RN_INVALID, "%s: %d rows and columns %d to %d are not those of a tensor of shape [%d, %d]",
				  op->name, rows, columns->first, columns->first + width - 1,
				  columns->tensor->rows, columns->tensor->cols);
	return 0;
}

static int
check_heads(RnGraph *graph, const RnOp *op, int heads, int head_size, double score_divisor)
{
	if (heads >= 1 && head_size >= 1 && heads <= INT_MAX / head_size && score_divisor > 0.0)
		return 1;
	rn_graph_fail(graph, RN_INVALID, "%s: %d heads of size %d, scores divided by %g", op->name, heads, head_size,
				  score_divisor);
	return 0;
}

static int
check_scores(RnGraph *graph, const RnOp *op, const RnTensor *scores, int rows, int cols)
{
	if (scores == NULL || (scores->rows == rows && scores->cols == cols))
		return 1;
	rn_graph_fail(graph, RN_INVALID, "%s: scores of shape [%d, %d] instead of [%d, %d]", op->name,
				  scores->rows, scores->cols, rows, cols);
	return 0;
}

static int
check_attention(RnGraph *graph, const RnAttention *spec, int *scores)
{
	int			width = spec->heads * spec->head_size;
	size_t		size;

	if (spec->queries->n_sentences != spec->keys->n_sentences)
	{
		rn_graph_fail(graph, RN_INVALID, "attention: %d sentences ask %d sentences", spec->queries->n_sentences,
					  spec->keys->n_sentences);
		return 0;
	}
	if (!check_columns(graph, &attention_op, &spec->q, spec->queries->rows, width) ||
		!check_columns(graph, &attention_op, &spec->k, spec->keys->rows, width) ||
		!check_columns(graph, &attention_op, &spec->v, spec->keys->rows, width))
		return 0;
	if (overlap(&spec->q, &spec->k, width) || overlap(&spec->q, &spec->v, width) || overlap(&spec->k, &spec->v, width))
	{
		rn_graph_fail(graph, RN_INVALID, "attention: queries, keys and values share columns");
		return 0;
	}
	size = rn_attention_size(spec->queries, spec->keys, spec->heads);
	if (size > INT_MAX)
	{
		rn_graph_fail(graph, RN_LIMIT, "attention: %zu scores are too many for one pass", size);
		return 0;
	}
	*scores = (int) size;
	return check_scores(graph, &attention_op, spec->scores_in, 1, *scores);
}

static void
use_columns(RnNode *node, int number, const RnColumns *columns, int width)
{
	RnUse	   *use = &node->uses[number];

	rn_node_use(node, number, columns->tensor);
	use->needs_value = 1;
	use->first_column = columns->first;
	use->n_columns = width;
	use->paired = number == VALUE;
}

static RnAttentionArgs
attention_start(const RnAttention *spec)
{
	RnAttentionArgs args = {0};

	args.queries = spec->queries;
	args.keys = spec->keys;
	args.heads = spec->heads;
	args.head_size = spec->head_size;
	args.causal = spec->causal;
	args.scale = 1.0 / sqrt(spec->head_size);
	args.score_divisor = spec->score_divisor;
	return args;
}

/* Where passes are repeated, memory should be as large for sentences that are nearly as long. */
static size_t
padded_scores(const RnGraph *graph, int scores)
{
	size_t		unit = 1;

	while (graph->pass.under_way && graph->kernels->pad_rows > 0 && unit <= (size_t) scores / 16)
		unit *= 2;
	return ((size_t) scores + unit - 1) / unit * unit;
}

RnTensor *
rn_attention(RnGraph *graph, const RnAttention *spec, RnTensor **scores_out)
{
	RnAttentionArgs args = attention_start(spec);
	RnTensor   *output;
	RnNode	   *node;
	int			width = spec->heads * spec->head_size;
	int			keeps = graph->pass.gradients != NULL;
	int			scores;

	if (scores_out != NULL)
		*scores_out = NULL;
	args.dropout = rn_graph_dropout(graph, spec->dropout);
	if (spec->keep_scores && scores_out == NULL)
		return rn_graph_fail(graph, RN_INVALID, "attention: the scores have nowhere to go");
	if (!check_heads(graph, &attention_op, spec->heads, spec->head_size, spec->score_divisor) ||
		!check_attention(graph, spec, &scores))
		return NULL;

	node = rn_node_add(graph, &attention_op, spec->scores_in != NULL ? 4 : 3, spec->keep_scores ? 2 : 1, 1,
					   &args, sizeof(args));
	if (node == NULL)
		return NULL;
	use_columns(node, QUERY, &spec->q, width);
	use_columns(node, KEY, &spec->k, width);
	use_columns(node, VALUE, &spec->v, width);
	if (spec->scores_in != NULL)
	{
		rn_node_use(node, SCORES, spec->scores_in);
		node->uses[SCORES].overwrites = 1;
		node->uses[SCORES].takes_output = spec->keep_scores ? 1 : -1;
	}
	rn_node_memory(node, 0, keeps ? RN_MEMORY_SAVED : RN_MEMORY_IF_KEPT,
				   padded_scores(graph, scores) * sizeof(rn_real));
	node->outputs[0].needs_grad = 1;
	output = rn_node_output(graph, node, 0, spec->queries->rows, width);
	if (spec->keep_scores && output != NULL)
		*scores_out = rn_node_output(graph, node, 1, 1, scores);
	return output;
}

/* ---- one decoding step ---- */

typedef struct CachedAttention
{
	RnAttentionStepArgs args;
	const int32_t *write;		/* [rows] or NULL */
	rn_real    *k;				/* the caches, to be written */
	rn_real    *v;
	int			q_column;
	int			key_column;
	int			value_column;
	int			scores_use;		/* -1: none */
} CachedAttention;

static void
write_rows(RnGraph *graph, const CachedAttention *cached, const RnTensor *from, int first_column,
		   rn_real *cache, int ld)
{
	size_t		width = (size_t) cached->args.heads * cached->args.head_size;
	int			r;

	for (r = 0; r < cached->args.rows; r++)
		graph->kernels->copy(graph->lane, cache + (size_t) cached->write[r] * ld,
							 from->value + (size_t) r * from->cols + first_column, width * sizeof(rn_real));
}

static void
cached_attention_forward(RnGraph *graph, RnNode *node)
{
	CachedAttention *cached = node->spec;
	RnAttentionStepArgs *args = &cached->args;

	if (cached->write != NULL)
	{
		write_rows(graph, cached, node->uses[KEY].tensor, cached->key_column, cached->k, args->ldk);
		write_rows(graph, cached, node->uses[VALUE].tensor, cached->value_column, cached->v, args->ldv);
	}
	args->q = node->uses[QUERY].tensor->value + cached->q_column;
	args->scores_in = cached->scores_use >= 0 ? node->uses[cached->scores_use].tensor->value : NULL;
	args->scores_out = node->n_outputs > 1 ? node->outputs[1].tensor->value : NULL;
	args->probabilities = node->memories[0].at;
	args->output = node->outputs[0].tensor->value;
	graph->kernels->attention_step(graph->lane, args);
}

static const RnOp cached_attention_op = {"cached attention", cached_attention_forward, NULL};

static int
check_cached(RnGraph *graph, const RnCachedAttention *spec, RnTensor **scores_out)
{
	const RnOp *op = &cached_attention_op;
	int			width = spec->heads * spec->head_size;
	int			rows;

	if (!check_heads(graph, op, spec->heads, spec->head_size, spec->score_divisor) ||
		!rn_graph_operand(graph, op, spec->q.tensor))
		return 0;
	rows = spec->q.tensor->rows;
	if (graph->pass.gradients != NULL || (spec->keep_scores && scores_out == NULL))
	{
		rn_graph_fail(graph, RN_INVALID, "cached attention: %s", graph->pass.gradients != NULL ?
					  "there is no way back through a cache" : "the scores have nowhere to go");
		return 0;
	}
	if (!check_columns(graph, op, &spec->q, rows, width) ||
		!check_scores(graph, op, spec->scores_in, rows, spec->heads * rn_attention_stride(spec->max_count)))
		return 0;
	return spec->write == NULL || (check_columns(graph, op, &spec->key_in, rows, width) &&
								   check_columns(graph, op, &spec->value_in, rows, width));
}

static CachedAttention
cached_start(const RnCachedAttention *spec)
{
	CachedAttention cached = {.scores_use = -1};

	cached.args.rows = spec->q.tensor->rows;
	cached.args.heads = spec->heads;
	cached.args.head_size = spec->head_size;
	cached.args.scale = 1.0 / sqrt(spec->head_size);
	cached.args.score_divisor = spec->score_divisor;
	cached.args.first = spec->first;
	cached.args.count = spec->count;
	cached.args.list = spec->list;
	cached.args.k = cached.k = spec->k;
	cached.args.v = cached.v = spec->v;
	cached.args.ldq = spec->q.tensor->cols;
	cached.args.ldk = spec->ldk;
	cached.args.ldv = spec->ldv;
	cached.args.score_stride = rn_attention_stride(spec->max_count);
	cached.write = spec->key_in.tensor != NULL ? spec->write : NULL;
	cached.q_column = spec->q.first;
	cached.key_column = spec->key_in.first;
	cached.value_column = spec->value_in.first;
	return cached;
}

RnTensor *
rn_cached_attention(RnGraph *graph, const RnCachedAttention *spec, RnTensor **scores_out)
{
	CachedAttention cached;
	RnTensor   *output;
	RnNode	   *node;
	int			n_uses;
	int			score_cols = spec->heads * rn_attention_stride(spec->max_count);

	if (scores_out != NULL)
		*scores_out = NULL;
	if (!check_cached(graph, spec, scores_out))
		return NULL;
	cached = cached_start(spec);
	n_uses = cached.write != NULL ? 3 : 1;
	cached.scores_use = spec->scores_in != NULL ? n_uses++ : -1;

	node = rn_node_add(graph, &cached_attention_op, n_uses, spec->keep_scores ? 2 : 1, 1, &cached, sizeof(cached));
	if (node == NULL)
		return NULL;
	rn_node_use(node, QUERY, spec->q.tensor);
	if (cached.write != NULL)
	{
		rn_node_use(node, KEY, spec->key_in.tensor);
		rn_node_use(node, VALUE, spec->value_in.tensor);
	}
	if (cached.scores_use >= 0)
		rn_node_use(node, cached.scores_use, spec->scores_in);
	rn_node_memory(node, 0, RN_MEMORY_IF_KEPT, (size_t) cached.args.rows * score_cols * sizeof(rn_real));
	output = rn_node_output(graph, node, 0, cached.args.rows, spec->heads * spec->head_size);
	if (spec->keep_scores && output != NULL)
		*scores_out = rn_node_output(graph, node, 1, cached.args.rows, score_cols);
	return output;
}

const rn_real *const *
rn_attention_probabilities(RnGraph *graph, RnTensor *attention)
{
	RnNode	   *node;

	if (attention == NULL)
		return NULL;
	node = attention->state->producer;
	if (node == NULL || (node->op != &attention_op && node->op != &cached_attention_op))
		return rn_graph_fail(graph, RN_INVALID, "probabilities are asked of what is no attention");
	node->memories[0].kept = 1;
	return (const rn_real *const *) &node->memories[0].at;
}

void
rn_attention_scores(RnGraph *graph, RnTensor *attention, RnAttentionScores *scores)
{
	const RnAttentionArgs *args;
	RnNode	   *node;
	int			i;

	memset(scores, 0, sizeof(*scores));
	if (attention == NULL)
		return;
	node = attention->state->producer;
	if (node == NULL || node->op != &attention_op)
	{
		rn_graph_fail(graph, RN_INVALID, "scores are asked of what is no attention");
		return;
	}
	args = node->spec;
	scores->q.tensor = node->uses[QUERY].tensor;
	scores->q.first = node->uses[QUERY].first_column;
	scores->k.tensor = node->uses[KEY].tensor;
	scores->k.first = node->uses[KEY].first_column;
	scores->scores_in = node->n_uses > SCORES ? node->uses[SCORES].tensor : NULL;
	scores->heads = args->heads;
	scores->head_size = args->head_size;
	scores->causal = args->causal;
	scores->scale = args->scale;
	scores->divisor = args->score_divisor;
	for (i = 0; i < node->n_uses; i++)
	{
		if (i != VALUE)
			rn_graph_keep(graph, node->uses[i].tensor);
	}
}
