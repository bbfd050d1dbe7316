/*
 * diagnosis_answer.c
 *		What a probe shows of streams and attention, and what a model costs, as
 *		tables; and the list of all answers.
 *
 * Columns are those of the SQL functions, in their order; layers are counted
 * from 0, sublayers from 1 as in the papers' formulas (0 is the stack's
 * input).
 *
 * src/engine/diagnosis_answer.c
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "diagnose/cost.h"
#include "engine/diagnosis.h"

/* Answer for each stack that the model has. */
typedef RnStatus (*StackAnswer) (RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, RnTable *table);

static RnStatus
each_stack(RnContext *ctx, const RnDiagnosis *diagnosis, RnTable *table, StackAnswer answer)
{
	const RnProbe *probe = diagnosis->probe;

	if (probe->encoder.n > 0)
		RN_TRY(answer(ctx, probe, &probe->encoder, table));
	if (probe->decoder.n > 0)
		RN_TRY(answer(ctx, probe, &probe->decoder, table));
	return RN_OK;
}

static const char *
name_of(const RnProbeStack *stack)
{
	return rn_stack_name(stack->model->scheme.stack);
}

static void
put_sublayer(RnTable *table, const RnProbeStack *stack, int i)
{
	RnPlace		place;

	rn_table_text(table, name_of(stack));
	rn_table_integer(table, i);
	if (i == 0)
	{
		rn_table_null(table);
		rn_table_text(table, "input");
		return;
	}
	rn_probe_place(stack, i - 1, &place);
	rn_table_integer(table, place.layer);
	rn_table_text(table, rn_sublayer_name(place.kind));
}

/* ---- layer dependency ---- */

/* DLCL, whose layers read sums of all layers below: W in place of beta. */
static void
put_layer_weights(const RnProbe *probe, const RnProbeStack *stack, RnTable *table)
{
	const RnParam *w = &probe->model->params.items[stack->model->scheme.layer_weights];
	int			l,
				k;

	for (l = 0; l < w->rows; l++)
	{
		for (k = 0; k <= l; k++)
		{
			rn_table_text(table, name_of(stack));
			rn_table_null(table);
			rn_table_integer(table, l);
			rn_table_text(table, "stack");
			rn_table_integer(table, k);
			rn_table_null(table);
			rn_table_null(table);
			rn_table_number(table, probe->host_values[w->offset + (size_t) l * w->cols + k]);
		}
	}
}

static void
put_betas(const RnProbeStack *stack, const double *beta, const double *dual, RnTable *table)
{
	int			width = stack->n + 1;
	int			i,
				j;

	for (i = 0; i < width; i++)
	{
		for (j = 0; j <= i; j++)
		{
			put_sublayer(table, stack, i);
			rn_table_integer(table, j);
			rn_table_number(table, beta[i * width + j]);
			rn_table_number(table, stack->dual != NULL ? dual[i * width + j] : NAN);
			rn_table_null(table);
		}
	}
}

static RnStatus
put_dependency(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, RnTable *table)
{
	const RnSchemeStack *scheme = &stack->model->scheme;
	size_t		width = (size_t) stack->n + 1;
	double	   *shortcuts;
	double	   *beta,
			   *dual;

	if (scheme->layer_weights != 0)
	{
		put_layer_weights(probe, stack, table);
		return RN_OK;
	}
	shortcuts = calloc(4 * width + 2 * width * width, sizeof(double));
	if (shortcuts == NULL)
		return rn_out_of_memory(ctx, 2 * width * width * sizeof(double));
	beta = shortcuts + 4 * width;
	dual = beta + width * width;
	if (rn_probe_deviations(ctx, probe, stack, shortcuts, shortcuts + width, shortcuts + 2 * width) == RN_OK &&
		!rn_probe_dependency(stack, shortcuts, shortcuts + width, shortcuts + 2 * width, beta))
	{
		rn_fail(ctx, RN_UNSUPPORTED, "layer dependency is not defined for residual scheme \"%s\"", scheme->scheme->name);
		rn_detail(ctx, "Its sublayers' sums take in more than the sublayer below and the branch.");
	}
	if (ctx->status == RN_OK &&
		(stack->dual == NULL || rn_probe_dual(ctx, probe, stack, shortcuts + 3 * width, dual) == RN_OK))
		put_betas(stack, beta, dual, table);
	free(shortcuts);
	return ctx->status;
}

static RnStatus
answer_dependency(RnContext *ctx, RnDiagnosis *diagnosis, RnTable *table)
{
	return each_stack(ctx, diagnosis, table, put_dependency);
}

/* ---- output change ---- */

static void
put_change(RnTable *table, const char *stack, const char *what, double step, double change, double squares)
{
	if (squares == 0)
		return;					/* no such stack */
	rn_table_text(table, stack);
	rn_table_text(table, what);
	rn_table_number(table, step);
	rn_table_number(table, change);
	rn_table_number(table, sqrt(change));
	rn_table_number(table, sqrt(change / squares));
}

static RnStatus
answer_output_change(RnContext *ctx, RnDiagnosis *diagnosis, RnTable *table)
{
	const RnDiagnosisParameters *parameters = &diagnosis->parameters;
	size_t		bytes = rn_model_params(diagnosis->model)->size * sizeof(rn_real);
	rn_real    *values = malloc(bytes);
	int			by_gradient;

	if (values == NULL)
		return rn_out_of_memory(ctx, bytes);
	for (by_gradient = 0; by_gradient < 2; by_gradient++)
	{
		const char *what = by_gradient ? "gradient" : "random";
		double		step = by_gradient ? parameters->gradient_step : parameters->random_step;
		RnOutputChange change;

		if (by_gradient)
			rn_probe_step_down(diagnosis->probe, step, values);
		else
			rn_probe_step_random(diagnosis->probe, step, (uint64_t) diagnosis->config.seed, values);
		if (rn_probe_output_change(ctx, diagnosis->probe, values, (const volatile int *) diagnosis->stop,
								   &change) != RN_OK)
			break;
		if (diagnosis->probe->encoder.n > 0)
			put_change(table, "encoder", what, step, change.encoder, change.encoder_squares);
		put_change(table, "decoder", what, step, change.decoder, change.decoder_squares);
	}
	free(values);
	return ctx->status;
}

/* ---- similarity ---- */

static RnStatus
put_similarity(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, RnTable *table)
{
	int			per_layer = stack->n / stack->layers;
	RnSimilarity similarity;
	int			i;

	if (rn_similarity_create(ctx, stack, &similarity) == RN_OK &&
		rn_probe_similarity(ctx, probe, stack, &similarity) == RN_OK)
	{
		for (i = 0; i <= stack->n; i++)
		{
			put_sublayer(table, stack, i);
			rn_table_number(table, i > 0 ? similarity.next[i - 1] : NAN);
			rn_table_number(table, i > 0 ? similarity.next_normalised[i - 1] : NAN);
			rn_table_number(table, i > 0 && i % per_layer == 0 ? similarity.layer[i / per_layer - 1] : NAN);
			rn_table_number(table, similarity.final[i]);
			rn_table_number(table, similarity.token[i]);
		}
		rn_table_text(table, name_of(stack));
		rn_table_null(table);
		rn_table_null(table);
		rn_table_text(table, "output");
		rn_table_null(table);
		rn_table_null(table);
		rn_table_null(table);
		rn_table_number(table, 1);
		rn_table_number(table, similarity.token[stack->n + 1]);
	}
	rn_similarity_free(&similarity);
	return ctx->status;
}

static RnStatus
answer_similarity(RnContext *ctx, RnDiagnosis *diagnosis, RnTable *table)
{
	return each_stack(ctx, diagnosis, table, put_similarity);
}

/* ---- attention ---- */

static RnStatus
put_attention(RnContext *ctx, const RnProbe *probe, const RnProbeStack *stack, RnTable *table)
{
	int			heads = probe->model->config.heads;
	RnHeadStatistics *statistics = calloc((size_t) stack->layers * heads, sizeof(RnHeadStatistics));
	int			cross,
				k;

	if (statistics == NULL)
		return rn_out_of_memory(ctx, (size_t) stack->layers * heads * sizeof(RnHeadStatistics));
	for (cross = 0; cross < (stack->memory_rows != NULL ? 2 : 1); cross++)
	{
		if (rn_probe_attention(ctx, probe, stack, cross, statistics) != RN_OK)
			break;
		for (k = 0; k < stack->layers * heads; k++)
		{
			const RnHeadStatistics *one = &statistics[k];

			rn_table_text(table, name_of(stack));
			rn_table_text(table, cross ? "cross" : "self");
			rn_table_integer(table, k / heads);
			rn_table_integer(table, k % heads);
			rn_table_number(table, one->entropy);
			rn_table_number(table, one->entropy_median);
			rn_table_number(table, one->one_hot);
			rn_table_number(table, one->divergence);
			rn_table_number(table, one->largest);
		}
	}
	free(statistics);
	return ctx->status;
}

static RnStatus
answer_attention(RnContext *ctx, RnDiagnosis *diagnosis, RnTable *table)
{
	return each_stack(ctx, diagnosis, table, put_attention);
}

/* ---- cost ---- */

static void
put_cost(RnTable *table, const char *quantity, const char *unit, double of_model, double of_post)
{
	rn_table_text(table, quantity);
	rn_table_text(table, unit);
	rn_table_number(table, of_model);
	rn_table_number(table, of_post);
	rn_table_number(table, of_post > 0 ? of_model / of_post : NAN);
}

static RnStatus
answer_cost(RnContext *ctx, RnDiagnosis *diagnosis, RnTable *table)
{
	RnCost		costs[2];
	const RnCost *model = &costs[0];
	const RnCost *post = &costs[1];

	RN_TRY(rn_cost_measure(ctx, &diagnosis->config, diagnosis->kernels, diagnosis->parameters.repeats,
						   diagnosis->memory_limit, diagnosis->stop, costs));
	put_cost(table, "parameters", "numbers", model->parameters, post->parameters);
	put_cost(table, "flops_per_token", "operations", model->flops, post->flops);
	put_cost(table, "weights", "bytes", model->weight_bytes, post->weight_bytes);
	put_cost(table, "gradients", "bytes", model->gradient_bytes, post->gradient_bytes);
	put_cost(table, "optimizer", "bytes", model->optimizer_bytes, post->optimizer_bytes);
	put_cost(table, "activations", "bytes", model->activation_bytes, post->activation_bytes);
	put_cost(table, "peak_memory", "bytes", model->peak_bytes, post->peak_bytes);
	put_cost(table, "step_time", "seconds", model->step_seconds, post->step_seconds);
	put_cost(table, "step_processor_time", "seconds", model->processor_seconds, post->processor_seconds);
	return RN_OK;
}

/* ---- by name ---- */

static const RnQuestion questions[] = {
	{"probe", 11, 1, rn_answer_probe},
	{"layer_gradients", 9, 1, rn_answer_layers},
	{"layer_dependency", 8, 1, answer_dependency},
	{"output_change", 6, 1, answer_output_change},
	{"similarity", 9, 1, answer_similarity},
	{"attention_stats", 9, 1, answer_attention},
	{"adam_condition", 15, 1, rn_answer_adam_condition},
	{"adam_curve", 4, 0, rn_answer_adam_curve},
	{"cost", 5, 0, answer_cost}
};

const RnQuestion *
rn_question_find(const char *name)
{
	size_t		i;

	for (i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
	{
		if (strcmp(questions[i].name, name) == 0)
			return &questions[i];
	}
	return NULL;
}
