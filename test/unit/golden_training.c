/*
 * golden_training.c
 *		Forward pass, loss, gradients and Adam against reference values.
 *
 * test/unit/golden_training.c
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "golden_parts.h"
#include "train/optimizer.h"
#include "train/schedule.h"

/* ---- forward ---- */

/* A packed result against a padded record; where padded is the padding there is nothing to compare. */
static void
compare_rows(GoldenCase *this_case, const char *name, RnTensor *tensor, const GoldenRecord *padded)
{
	const GoldenRecord *record = golden_find(this_case->file, "%s", name);
	size_t		bytes = (size_t) tensor->rows * tensor->cols * sizeof(rn_real);
	rn_real    *rows = malloc(bytes);
	int			row = 0;
	int			k,
				j;

	if (rows == NULL || record == NULL || record->n != padded->n * tensor->cols)
	{
		golden_fail(this_case, "%s: not there or of another shape", name);
		free(rows);
		return;
	}
	this_case->kernels->copy_out(this_case->lane, rows, tensor->value, bytes);
	this_case->kernels->synchronize(&this_case->ctx, this_case->lane);
	for (k = 0; k < padded->n; k++)
	{
		if ((int32_t) padded->values[k] == this_case->special.pad)
			continue;
		for (j = 0; j < tensor->cols; j++)
			golden_compare(this_case, GOLDEN_FORWARD, name, k * tensor->cols + j,
						   record->values[k * tensor->cols + j], rows[(size_t) row * tensor->cols + j]);
		row++;
	}
	free(rows);
}

void
golden_check_forward(GoldenCase *this_case)
{
	RnContext  *ctx = &this_case->ctx;
	RnGraph    *graph;
	RnWatch		watch;
	RnTensor   *logits;
	RnPass		pass;

	memset(&pass, 0, sizeof(pass));
	pass.params = rn_model_params(this_case->model);
	pass.values = this_case->values;
	if (rn_graph_create(ctx, this_case->kernels, this_case->lane, &graph) != RN_OK)
	{
		golden_fail(this_case, "%s", ctx->message);
		return;
	}
	rn_graph_begin(graph, &pass);
	memset(&watch, 0, sizeof(watch));
	logits = rn_model_logits(this_case->model, graph,
							 rn_model_output(this_case->model, graph, &this_case->batch, &watch));
	if (logits != NULL)
		rn_graph_keep(graph, logits);
	if (rn_graph_forward(ctx, graph) != RN_OK)
		golden_fail(this_case, "%s", ctx->message);
	else
	{
		if (rn_model_is_encoder_decoder(this_case->model))
			compare_rows(this_case, "enc.out", watch.encoder_output, this_case->source);
		compare_rows(this_case, "logits", logits, this_case->target);
	}
	rn_graph_free(graph);
}

/* ---- gradients ---- */

void
golden_check_gradients(GoldenCase *this_case)
{
	RnLoss		loss;
	double		mean,
				tokens;
	int			p,
				k;

	if (golden_loss(this_case, this_case->values, &loss, 0) != 0)
		return;
	tokens = (double) loss.tokens;
	mean = loss.loss_sum / tokens;
	golden_compare_all(this_case, GOLDEN_FORWARD, "ntok", &tokens, 1);
	golden_compare_all(this_case, GOLDEN_FORWARD, "loss_sum", &loss.loss_sum, 1);
	golden_compare_all(this_case, GOLDEN_FORWARD, "nll_sum", &loss.nll_sum, 1);
	golden_compare_all(this_case, GOLDEN_FORWARD, "loss", &mean, 1);
	for (p = 0; p < this_case->n_params; p++)
	{
		const RnParam *param = golden_param(this_case, this_case->params[p]);
		const GoldenRecord *record = golden_find(this_case->file, "grad.%s", param->name);

		if (record == NULL || record->n != (int) rn_param_size(param))
		{
			golden_fail(this_case, "grad.%s: not there or of another shape", param->name);
			continue;
		}
		for (k = 0; k < record->n; k++)
			golden_compare(this_case, GOLDEN_GRADIENT, record->name, k, record->values[k],
						   this_case->shadow[param->offset + k]);
	}
}

/* ---- Adam ---- */

#define N_UPDATES	3

/* A run of the optimizer that training uses, as two threads would share it. */
#define N_THREADS	2

typedef struct AdamRun
{
	RnConfig	config;
	RnOptimizer optimizer;
	rn_real    *values;			/* device */
	rn_real    *host;			/* to look at them */
	rn_real    *before;
} AdamRun;

static int
start_run(GoldenCase *this_case, AdamRun *run)
{
	const RnKernels *kernels = this_case->kernels;
	size_t		bytes = this_case->size * sizeof(rn_real);

	run->values = NULL;
	run->host = malloc(bytes);
	run->before = malloc(bytes);
	if (rn_optimizer_init(&this_case->ctx, &run->optimizer, rn_model_params(this_case->model), &run->config, kernels,
						  N_THREADS) != RN_OK ||
		kernels->allocate(&this_case->ctx, bytes, (void **) &run->values) != RN_OK ||
		run->host == NULL || run->before == NULL)
		return -1;
	kernels->copy_in(this_case->lane, run->values, this_case->host, bytes);
	rn_optimizer_begin(&run->optimizer, this_case->lane, 0, 0, 0);
	return 0;
}

static void
end_run(GoldenCase *this_case, AdamRun *run)
{
	if (run->values != NULL)
		this_case->kernels->release(run->values, this_case->size * sizeof(rn_real));
	rn_optimizer_free(&run->optimizer);
	free(run->host);
	free(run->before);
}

/* The reference's schedules: constant, warm-up, and the peak in place of the warm-up. */
static void
schedule_config(const GoldenCase *this_case, const char *kind, RnConfig *config)
{
	const char *warmup = golden_setting(this_case->file, "warmup");
	const char *warmup_init = golden_setting(this_case->file, "warmup_init");

	*config = this_case->config;
	config->schedule = strcmp(kind, "const") == 0 ? 2 : 0;
	config->warmup_steps = strcmp(kind, "const") == 0 || warmup == NULL ? 0 : atoi(warmup);
	config->warmup_init = strcmp(kind, "warm") == 0 && warmup_init != NULL ? atof(warmup_init) : config->learning_rate;
}

static void
to_host(GoldenCase *this_case, const AdamRun *run, rn_real *host)
{
	this_case->kernels->copy_out(this_case->lane, host, run->values, this_case->size * sizeof(rn_real));
	this_case->kernels->synchronize(&this_case->ctx, this_case->lane);
}

/*
 * One update with the gradients that lie there, in the second of the threads'
 * buffers; the first is empty.  Gives their norm before clipping.
 */
static double
make_update(GoldenCase *this_case, AdamRun *run, rn_real *empty, double rate)
{
	rn_real    *gradients[N_THREADS];
	const RnStepTerms terms = {.gradient_scale = 1, .target_tokens = 1, .learning_rate = rate,
		.clip_norm = run->config.clip_norm, .first = 1};
	RnDecision	decision;
	int			thread;

	gradients[0] = empty;
	gradients[1] = this_case->gradients;
	for (thread = 0; thread < N_THREADS; thread++)
		rn_optimizer_reduce(&run->optimizer, this_case->lane, thread, gradients, run->optimizer.size);
	rn_optimizer_decide(&run->optimizer, this_case->lane, &terms);
	for (thread = 0; thread < N_THREADS; thread++)
		rn_optimizer_update(&run->optimizer, this_case->lane, thread, run->values, gradients[0], NULL);
	if (rn_optimizer_decided(&this_case->ctx, &run->optimizer, this_case->lane, &decision) != RN_OK)
		return NAN;
	return decision.norm;
}

/*
 * A key's bias has no gradient in theory, softmax being blind to it.  What is
 * there is rounding near Adam's epsilon: in float it makes visible steps, in
 * double steps of about 1e-9.
 */
static void
compare_updated(GoldenCase *this_case, const GoldenRecord *record, int p, double got)
{
	const char *name = this_case->params[p]->name;
	size_t		length = strlen(name);

	if (length > 4 && strcmp(name + length - 4, ".k.b") == 0)
	{
		if (sizeof(rn_real) == sizeof(double) && !(fabs(got - record->values[p]) <= 1e-7))
			golden_fail(this_case, "%s[%d]: expected %.17g, got %.17g", record->name, p, record->values[p], got);
	}
	else
		golden_compare(this_case, GOLDEN_UPDATE, record->name, p, record->values[p], got);
}

static void
compare_changes(GoldenCase *this_case, AdamRun *run)
{
	const GoldenRecord *expected = golden_find(this_case->file, "adam.const.rel_update");
	double		norms[1024];
	double		largest = 0;
	int			p,
				k;

	if (expected == NULL || expected->n != this_case->n_params || expected->n > 1024)
	{
		golden_fail(this_case, "adam.const.rel_update: not there or of another size");
		return;
	}
	to_host(this_case, run, run->host);
	for (p = 0; p < this_case->n_params; p++)
	{
		const RnParam *param = golden_param(this_case, this_case->params[p]);

		norms[p] = 0;
		for (k = 0; k < (int) rn_param_size(param); k++)
			norms[p] += pow((double) run->host[param->offset + k] - run->before[param->offset + k], 2);
		norms[p] = sqrt(norms[p]);
		largest = fmax(largest, norms[p]);
	}
	for (p = 0; p < this_case->n_params; p++)
		compare_updated(this_case, expected, p, norms[p] / largest);
}

static void
compare_params(GoldenCase *this_case, AdamRun *run, const char *kind)
{
	const GoldenRecord *norms = golden_find(this_case->file, "adam.%s.param_norm", kind);
	const GoldenRecord *sums = golden_find(this_case->file, "adam.%s.param_sum", kind);
	int			p,
				k;

	if (norms == NULL || sums == NULL || norms->n != this_case->n_params || sums->n != this_case->n_params)
	{
		golden_fail(this_case, "adam.%s: parameters not there", kind);
		return;
	}
	to_host(this_case, run, run->host);
	for (p = 0; p < this_case->n_params; p++)
	{
		const RnParam *param = golden_param(this_case, this_case->params[p]);
		double		squares = 0;
		double		sum = 0;

		for (k = 0; k < (int) rn_param_size(param); k++)
		{
			double		value = run->host[param->offset + k];

			squares += value * value;
			sum += value;
		}
		compare_updated(this_case, norms, p, sqrt(squares));
		compare_updated(this_case, sums, p, sum);
	}
}

/*
 * The first loss is that of the forward pass.  The later ones, in float,
 * suffer from what compare_updated tells of: where attention is saturated,
 * noise of 3e-7 in double's gradients moves them by 2e-5 and more.
 */
static void
compare_losses(GoldenCase *this_case, const char *name, const double *losses)
{
	const GoldenRecord *record = golden_find(this_case->file, "%s", name);
	GoldenGroup later = sizeof(rn_real) < sizeof(double) ? GOLDEN_UPDATE : GOLDEN_FORWARD;
	int			k;

	if (record == NULL || record->n != N_UPDATES + 1)
	{
		golden_fail(this_case, "%s: not there or of another size", name);
		return;
	}
	for (k = 0; k <= N_UPDATES; k++)
		golden_compare(this_case, k == 0 ? GOLDEN_FORWARD : later, name, k, record->values[k], losses[k]);
}

static void
check_run(GoldenCase *this_case, const char *kind)
{
	double		rates[N_UPDATES],
				norms[N_UPDATES],
				losses[N_UPDATES + 1];
	size_t		bytes = this_case->size * sizeof(rn_real);
	rn_real    *empty = NULL;
	char		name[GOLDEN_NAME];
	AdamRun		run;
	RnLoss		loss;
	int			k;

	schedule_config(this_case, kind, &run.config);
	if (start_run(this_case, &run) != 0 ||
		this_case->kernels->allocate(&this_case->ctx, bytes, (void **) &empty) != RN_OK)
		golden_fail(this_case, "%s", this_case->ctx.message);
	for (k = 0; k <= N_UPDATES && this_case->ctx.status == RN_OK; k++)
	{
		if (golden_loss(this_case, run.values, &loss, k < N_UPDATES) != 0)
			break;
		losses[k] = loss.loss_sum / loss.tokens;
		if (k == N_UPDATES)
			break;
		to_host(this_case, &run, run.before);
		rates[k] = rn_learning_rate(&run.config, k + 1, 0);
		norms[k] = make_update(this_case, &run, empty, rates[k]);
		if (k == 0 && strcmp(kind, "const") == 0)
			compare_changes(this_case, &run);
	}
	if (this_case->ctx.status == RN_OK)
	{
		snprintf(name, sizeof(name), "adam.%s.lr", kind);
		golden_compare_all(this_case, GOLDEN_UPDATE, name, rates, N_UPDATES);
		snprintf(name, sizeof(name), "adam.%s.grad_norm", kind);
		golden_compare_all(this_case, GOLDEN_UPDATE, name, norms, N_UPDATES);
		snprintf(name, sizeof(name), "adam.%s.loss", kind);
		compare_losses(this_case, name, losses);
		compare_params(this_case, &run, kind);
	}
	if (empty != NULL)
		this_case->kernels->release(empty, bytes);
	end_run(this_case, &run);
}

void
golden_check_updates(GoldenCase *this_case)
{
	if (this_case->ctx.status != RN_OK)
		return;
	check_run(this_case, "const");
	check_run(this_case, "warm");
	check_run(this_case, "flat");
}
