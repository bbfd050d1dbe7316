/*
 * golden_diagnostics.c
 *		What a model looks like inside, against reference values: gradient
 *		norms, streams, attention, the answer to small changes of weights.
 *
 * The numbers are src/diagnose's; here they only meet the records.
 *
 * test/unit/golden_diagnostics.c
 */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "diagnose/probe.h"
#include "golden_parts.h"

/* Places for what a stack gives: enough for (n + 1)^2 numbers, and for layers * heads. */
typedef struct Room
{
	double	   *a;
	double	   *b;
	double	   *c;
	double	   *beta;
	RnHeadStatistics *heads;
} Room;

static const char *
stack_name(const RnProbeStack *stack)
{
	return stack->model->scheme.stack == RN_STACK_ENCODER ? "enc" : "dec";
}

/* Compare with the record "diag.STACK.WHAT". */
static void
compare_list(GoldenCase *this_case, const RnProbeStack *stack, const char *what, const double *got, int n)
{
	char		name[GOLDEN_NAME];

	snprintf(name, sizeof(name), "diag.%s.%s", stack_name(stack), what);
	golden_compare_all(this_case, GOLDEN_DIAGNOSTIC, name, got, n);
}

/* ---- gradients ---- */

static void
check_all_gradients(GoldenCase *this_case, RnProbe *probe)
{
	const RnParams *params = rn_model_params(this_case->model);
	RnTensorStatistics *statistics = calloc(params->count, sizeof(RnTensorStatistics));
	double	   *norms = malloc((this_case->n_params + 1) * sizeof(double));
	double		total = 0;
	double		largest = 0;
	int			p;

	if (statistics != NULL && norms != NULL &&
		rn_probe_update(&this_case->ctx, probe, 1e-3, statistics) == RN_OK)
	{
		for (p = 0; p < this_case->n_params; p++)
		{
			norms[p] = statistics[golden_param(this_case, this_case->params[p]) - params->items].gradient_norm;
			total += norms[p] * norms[p];
			largest = fmax(largest, norms[p]);
		}
		total = sqrt(total);
		for (p = 0; p < this_case->n_params; p++)
			norms[p] /= largest;
		golden_compare_all(this_case, GOLDEN_DIAGNOSTIC, "diag.grad_total", &total, 1);
		golden_compare_all(this_case, GOLDEN_DIAGNOSTIC, "diag.rel_grad", norms, this_case->n_params);
	}
	free(statistics);
	free(norms);
}

static void
check_gradients(GoldenCase *this_case, const RnProbe *probe, const RnProbeStack *stack, Room *room)
{
	double		largest = 0;
	int			i;

	rn_probe_layer_gradients(probe, stack, room->a, room->b);
	compare_list(this_case, stack, "layer_grad", room->a, stack->layers);
	compare_list(this_case, stack, "ff2_grad", room->b, stack->layers);
	if (rn_probe_stream_gradients(&this_case->ctx, probe, stack, room->a) != RN_OK)
		return;
	compare_list(this_case, stack, "act_grad", room->a, stack->n);
	for (i = 0; i < stack->n; i++)
		largest = fmax(largest, room->a[i]);
	for (i = 0; i < stack->n; i++)
		room->a[i] /= largest;
	if (largest > 0)
		compare_list(this_case, stack, "act_grad_rel", room->a, stack->n);
}

/* Of the reference's gradients; only in double, as float has other tiny ones. */
static void
check_sizes(GoldenCase *this_case, const RnProbe *probe)
{
	int			p,
				b,
				k;

	for (p = 0; p < this_case->n_params && sizeof(rn_real) == sizeof(double); p++)
	{
		const RnParam *param = golden_param(this_case, this_case->params[p]);
		const GoldenRecord *record = golden_find(this_case->file, "grad.%s", param->name);
		RnGradientSizes sizes;

		memset(&sizes, 0, sizeof(sizes));
		if (record == NULL || rn_probe_gradient_sizes(&this_case->ctx, probe, param, &sizes) != RN_OK)
			continue;
		golden_compare(this_case, GOLDEN_DIAGNOSTIC, param->name, 0, record->n, sizes.n);
		for (b = 0; b < RN_PROBE_BOUNDS; b++)
		{
			double		below = 0;

			for (k = 0; k < record->n; k++)
				below += fabs(record->values[k]) < pow(10, -6 - b);
			golden_compare(this_case, GOLDEN_DIAGNOSTIC, param->name, b, below, sizes.below[b]);
		}
	}
}

/* ---- streams ---- */

static void
check_dual(GoldenCase *this_case, const RnProbe *probe, const RnProbeStack *stack, Room *room)
{
	int			width = stack->n + 1;

	if (rn_probe_dual(&this_case->ctx, probe, stack, room->a, room->beta) != RN_OK)
		return;
	compare_list(this_case, stack, "beta_dual", room->beta, width * width);
	compare_list(this_case, stack, "std_dual", room->a, width);
}

static void
check_streams(GoldenCase *this_case, const RnProbe *probe, const RnProbeStack *stack, Room *room)
{
	int			width = stack->n + 1;
	RnSimilarity similarity;

	if (rn_probe_deviations(&this_case->ctx, probe, stack, room->a, room->b, room->c) != RN_OK)
		return;
	compare_list(this_case, stack, "std_short", room->a, stack->n);
	compare_list(this_case, stack, "std_branch", room->b, stack->n);
	if (rn_probe_dependency(stack, room->a, room->b, room->c, room->beta))
		compare_list(this_case, stack, "beta", room->beta, width * width);
	if (stack->dual != NULL)
		check_dual(this_case, probe, stack, room);
	if (rn_similarity_create(&this_case->ctx, stack, &similarity) == RN_OK &&
		rn_probe_similarity(&this_case->ctx, probe, stack, &similarity) == RN_OK)
	{
		compare_list(this_case, stack, "cos_next", similarity.next, stack->n);
		compare_list(this_case, stack, "cos_next_norm", similarity.next_normalised, stack->n);
		compare_list(this_case, stack, "cos_final", similarity.final, stack->n + 1);
		compare_list(this_case, stack, "cos_token", similarity.token, stack->n + 2);
		if (golden_find(this_case->file, "diag.%s.cos_layer", stack_name(stack)) != NULL)
			compare_list(this_case, stack, "cos_layer", similarity.layer, stack->layers);
	}
	rn_similarity_free(&similarity);
}

/* ---- attention ---- */

/* Softmax of the scores of a row that sees so many keys is what the row's probabilities are. */
static void
check_softmax(GoldenCase *this_case, const double *scores, const rn_real *p, double divisor, int seen)
{
	double		largest = -INFINITY;
	double		sum = 0;
	int			j;

	for (j = 0; j < seen; j++)
		largest = fmax(largest, scores[j] / divisor);
	for (j = 0; j < seen; j++)
		sum += exp(scores[j] / divisor - largest);
	for (j = 0; j < seen; j++)
		golden_compare(this_case, GOLDEN_DIAGNOSTIC, "softmax of the scores", j, p[j],
					   exp(scores[j] / divisor - largest) / sum);
}

static void
check_scores(GoldenCase *this_case, const RnProbe *probe, const RnProbeStack *stack, int cross, int layer)
{
	const RnAttentionScores *of = &stack->scores[cross][layer];
	const RnPacked *keys = cross ? stack->memory_rows : stack->rows;
	const rn_real *p = *stack->probabilities[cross][layer];
	double	   *scores;
	size_t		at = 0;
	int			s,
				h,
				i;

	if (rn_probe_scores(&this_case->ctx, probe, stack, cross, layer, &scores) != RN_OK)
		return;
	for (s = 0; s < keys->n_sentences; s++)
	{
		int			n = stack->rows->offsets[s + 1] - stack->rows->offsets[s];
		int			m = keys->offsets[s + 1] - keys->offsets[s];

		for (h = 0; h < of->heads; h++)
		{
			for (i = 0; i < n; i++, at += rn_attention_stride(m))
				check_softmax(this_case, scores + at, p + at, of->divisor, of->causal ? i + 1 : m);
		}
	}
	free(scores);
}

/* A column of the heads' statistics, where the case has a record of it. */
static void
compare_heads(GoldenCase *this_case, const RnProbeStack *stack, int cross, const char *what, const RnHeadStatistics *heads,
			  size_t offset, double *list)
{
	int			n = stack->layers * this_case->config.heads;
	char		name[GOLDEN_NAME / 2];
	int			k;

	snprintf(name, sizeof(name), "%s.%s", cross ? "ca" : "sa", what);
	if (golden_find(this_case->file, "diag.%s.%s", stack_name(stack), name) == NULL)
		return;
	for (k = 0; k < n; k++)
		memcpy(&list[k], (const char *) &heads[k] + offset, sizeof(double));
	compare_list(this_case, stack, name, list, n);
}

static void
check_attention(GoldenCase *this_case, const RnProbe *probe, const RnProbeStack *stack, int cross, Room *room)
{
	int			n = stack->layers * this_case->config.heads;
	int			k;

	if (rn_probe_attention(&this_case->ctx, probe, stack, cross, room->heads) != RN_OK)
		return;
	for (k = 0; k < n; k++)
	{
		room->a[k] = room->heads[k].entropy;
		room->b[k] = room->heads[k].divergence;
	}
	compare_list(this_case, stack, cross ? "ca.entropy" : "sa.entropy", room->a, n);
	if (stack->layers > 1)
		compare_list(this_case, stack, cross ? "ca.jsd" : "sa.jsd", room->b, n - this_case->config.heads);
	compare_heads(this_case, stack, cross, "max_score", room->heads, offsetof(RnHeadStatistics, largest), room->a);
	compare_heads(this_case, stack, cross, "median_entropy", room->heads, offsetof(RnHeadStatistics, entropy_median), room->a);
	compare_heads(this_case, stack, cross, "one_hot", room->heads, offsetof(RnHeadStatistics, one_hot), room->a);
	for (k = 0; k < stack->layers; k++)
		check_scores(this_case, probe, stack, cross, k);
}

/* ---- small changes of the weights ---- */

/* At random as the reference does it. */
static void
step_random(const GoldenCase *this_case, const RnProbe *probe, rn_real *values)
{
	const RnParams *params = rn_model_params(this_case->model);
	uint32_t	seed = (uint32_t) atoi(golden_setting(this_case->file, "seed"));
	int			p;
	size_t		k;

	memcpy(values, probe->host_values, this_case->size * sizeof(rn_real));
	for (p = 0; p < params->count; p++)
	{
		const RnParam *param = &params->items[p];
		char		name[GOLDEN_NAME * 2];
		uint32_t	state;

		if (!rn_probe_moves(param))
			continue;
		snprintf(name, sizeof(name), "perturb.%s", param->name);
		state = golden_state(name, seed);
		for (k = param->offset; k < param->offset + rn_param_size(param); k++)
			values[k] -= 1e-4 * (golden_unit(&state) >= 0 ? 1 : -1);
	}
}

/*
 * In proportion to their size, as they are tiny: in double the difference of
 * outputs has lost ten digits, in float it is made of the last ones.
 */
static void
compare_change(GoldenCase *this_case, const char *stack, const char *what, double got)
{
	const GoldenRecord *record = golden_find(this_case->file, "diag.%s.%s", stack, what);
	double		tolerance = sizeof(rn_real) == sizeof(double) ? 1e-4 : 0.05;

	if (record == NULL)
		golden_fail(this_case, "diag.%s.%s: not there", stack, what);
	else if (!(fabs(got - record->values[0]) <= tolerance * record->values[0]))
		golden_fail(this_case, "diag.%s.%s: expected %.17g, got %.17g", stack, what, record->values[0], got);
	this_case->compared++;
}

static void
check_output_change(GoldenCase *this_case, const RnProbe *probe, int by_gradient)
{
	const char *what = by_gradient ? "output_change_gradient" : "output_change_random";
	rn_real    *values = malloc(this_case->size * sizeof(rn_real));
	RnOutputChange change;

	if (values == NULL)
		return;
	if (by_gradient)
		rn_probe_step_down(probe, 1e-6, values);
	else
		step_random(this_case, probe, values);
	if (rn_probe_output_change(&this_case->ctx, probe, values, NULL, &change) == RN_OK)
	{
		compare_change(this_case, "enc", what, change.encoder);
		compare_change(this_case, "dec", what, change.decoder);
	}
	free(values);
}

/* ---- all together ---- */

static int
make_room(const RnProbe *probe, Room *room)
{
	size_t		n = (size_t) (probe->encoder.n > probe->decoder.n ? probe->encoder.n : probe->decoder.n) + 2;
	size_t		size = n * n + n * probe->model->config.heads;

	room->a = calloc(size, sizeof(double));
	room->b = calloc(size, sizeof(double));
	room->c = calloc(size, sizeof(double));
	room->beta = calloc(size, sizeof(double));
	room->heads = calloc(size, sizeof(RnHeadStatistics));
	return room->a != NULL && room->b != NULL && room->c != NULL && room->beta != NULL && room->heads != NULL;
}

static void
free_room(Room *room)
{
	free(room->a);
	free(room->b);
	free(room->c);
	free(room->beta);
	free(room->heads);
}

static void
check_stack(GoldenCase *this_case, const RnProbe *probe, const RnProbeStack *stack, Room *room)
{
	if (stack->n == 0)
		return;
	check_gradients(this_case, probe, stack, room);
	check_streams(this_case, probe, stack, room);
	check_attention(this_case, probe, stack, 0, room);
	if (stack->memory_rows != NULL)
		check_attention(this_case, probe, stack, 1, room);
}

void
golden_check_diagnostics(GoldenCase *this_case)
{
	RnProbe    *probe = NULL;
	Room		room;

	if (this_case->ctx.status != RN_OK)
		return;
	memset(&room, 0, sizeof(room));
	if (rn_probe_create(&this_case->ctx, this_case->model, this_case->kernels, this_case->lane, this_case->values,
						&this_case->batch, &probe) == RN_OK &&
		rn_probe_run(&this_case->ctx, probe, NULL) == RN_OK && make_room(probe, &room))
	{
		check_all_gradients(this_case, probe);
		check_sizes(this_case, probe);
		check_stack(this_case, probe, &probe->encoder, &room);
		check_stack(this_case, probe, &probe->decoder, &room);
		check_output_change(this_case, probe, 0);
		check_output_change(this_case, probe, 1);
	}
	if (this_case->ctx.status != RN_OK)
		golden_fail(this_case, "diagnostics: %s", this_case->ctx.message);
	free_room(&room);
	rn_probe_free(probe);
}
