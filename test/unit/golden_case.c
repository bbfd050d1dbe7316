/*
 * golden_case.c
 *		A case of reference values, brought to life.
 *
 * test/unit/golden_case.c
 */
#include "golden_case.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "model/residual/scheme.h"

/* ---- the account ---- */

/*
 * Updates in float: Adam magnifies the rounding of gradients near its epsilon,
 * as saturated attention has them.
 */
static const double tolerances[GOLDEN_N_GROUPS] =
#ifdef RN_DOUBLE
{1e-10, 1e-9, 1e-9, 1e-10, 1e-9};
#else
{2e-5, 1e-4, 1e-3, 2e-5, 1e-3};
#endif

void
golden_fail(GoldenCase *this_case, const char *format,...)
{
	va_list		args;

	if (this_case->failures++ > 0)
		return;
	va_start(args, format);
	vsnprintf(this_case->first_failure, sizeof(this_case->first_failure), format, args);
	va_end(args);
}

/* Logits and losses are compared absolutely, the others in proportion where they are large. */
void
golden_compare(GoldenCase *this_case, GoldenGroup group, const char *what, int index, double expected, double got)
{
	double		scale = group == GOLDEN_FORWARD ? 1 : 1 + fabs(expected);
	double		error = fabs(got - expected) / scale;

	this_case->compared++;
	if (error > this_case->worst[group])
		this_case->worst[group] = error;
	if (!(error <= tolerances[group]))
		golden_fail(this_case, "%s[%d]: expected %.17g, got %.17g", what, index, expected, got);
}

void
golden_compare_all(GoldenCase *this_case, GoldenGroup group, const char *name, const double *got, int n)
{
	const GoldenRecord *record = golden_find(this_case->file, "%s", name);
	int			k;

	if (record == NULL || record->n != n)
	{
		golden_fail(this_case, "%s: the file has %d numbers, not %d", name, record == NULL ? 0 : record->n, n);
		return;
	}
	for (k = 0; k < n; k++)
		golden_compare(this_case, group, name, k, record->values[k], got[k]);
}

/* ---- configuration ---- */

/* A setting of the file under the option's name; values are the same but for a few words. */
typedef struct Translation
{
	const char *key;
	const char *option;
} Translation;

static const Translation translations[] = {
	{"layers_enc", "encoder_layers"}, {"layers_dec", "decoder_layers"}, {"d", "d_model"}, {"heads", "heads"},
	{"ffn", "d_ffn"}, {"act", "activation"}, {"pos", "positions"}, {"eps", "layer_norm_epsilon"},
	{"ls", "label_smoothing"}, {"lr", "learning_rate"}, {"beta1", "beta1"}, {"beta2", "beta2"},
	{"adam_eps", "epsilon"}, {"wd", "weight_decay"}, {"clip", "clip_norm"}, {"adam_variant", "adam_variant"}
};

static const char *
setting(GoldenCase *this_case, const char *key)
{
	const char *value = golden_setting(this_case->file, key);

	if (value == NULL)
		golden_fail(this_case, "the file has no setting %s", key);
	return value == NULL ? "" : value;
}

static void
set(GoldenCase *this_case, const char *option, const char *value)
{
	if (rn_config_set(&this_case->ctx, &this_case->config, option, value) != RN_OK)
		golden_fail(this_case, "%s", this_case->ctx.message);
}

/* The scheme of a stack out of the file's "residual" and norm. */
static void
set_scheme(GoldenCase *this_case, const char *option, const char *norm)
{
	const char *residual = setting(this_case, "residual");

	if (strcmp(residual, "plain") == 0)
		set(this_case, option, norm);
	else if (strcmp(residual, "dual") == 0)
		set(this_case, option, "residual");
	else if (strcmp(residual, "omega") == 0)
		set(this_case, option, "admin");
	else
		set(this_case, option, residual);
}

static void
set_scheme_options(GoldenCase *this_case)
{
	const char *residual = setting(this_case, "residual");

	set_scheme(this_case, "encoder_scheme", setting(this_case, "norm_enc"));
	set_scheme(this_case, "decoder_scheme", setting(this_case, "norm_dec"));
	if (strcmp(residual, "fixed") == 0 || strcmp(residual, "rezero") == 0 || strcmp(residual, "dlcl") == 0)
		set(this_case, "norm", setting(this_case, "norm_enc"));
	if (strcmp(residual, "fixed") == 0)
		set(this_case, "branch_scale", setting(this_case, "c"));
	if (strcmp(residual, "dual") == 0)
	{
		set(this_case, "dual_scale", setting(this_case, "dual_scale"));
		set(this_case, "dual_epsilon", setting(this_case, "eps_dual"));
		set(this_case, "encoder_alpha", setting(this_case, "dual_alpha_enc"));
		set(this_case, "decoder_alpha", setting(this_case, "dual_alpha_dec"));
	}
}

static void
configure(GoldenCase *this_case)
{
	static const char *const ties[] = {"none", "decoder", "all"};
	static const char *const scores[] = {"none", "sum", "mean"};
	int			k;

	rn_config_defaults(&this_case->config);
	if (golden_setting(this_case->file, "arch") != NULL)
		set(this_case, "architecture", setting(this_case, "arch"));
	for (k = 0; k < (int) (sizeof(translations) / sizeof(translations[0])); k++)
		set(this_case, translations[k].option, setting(this_case, translations[k].key));
	set(this_case, "share_embeddings", ties[atoi(setting(this_case, "tie")) % 3]);
	set(this_case, "score_residual", scores[atoi(setting(this_case, "score_residual")) % 3]);
	set(this_case, "label_smoothing_variant",
		strcmp(setting(this_case, "ls_variant"), "v-1") == 0 ? "fairseq" : "uniform");
	set(this_case, "dropout", "0");
	set_scheme_options(this_case);
	if (this_case->failures == 0 && rn_config_check(&this_case->ctx, &this_case->config) != RN_OK)
		golden_fail(this_case, "%s", this_case->ctx.message);
	this_case->config.vocab_size = atoi(setting(this_case, "vocab"));	/* below what the option allows */
	this_case->special.pad = atoi(setting(this_case, "pad"));
	this_case->special.start = atoi(setting(this_case, "start"));
	this_case->special.end = atoi(setting(this_case, "eos"));
}

/* ---- parameters ---- */

const RnParam *
golden_param(const GoldenCase *this_case, const GoldenRecord *record)
{
	return rn_params_find(rn_model_params(this_case->model), record->name);
}

/* In the file's order: what is generated, then what is given literally. */
static int
collect_params(GoldenCase *this_case)
{
	const GoldenFile *file = this_case->file;
	int			literal,
				k;

	this_case->params = calloc(file->n_records + 1, sizeof(GoldenRecord *));
	if (this_case->params == NULL)
		return -1;
	for (literal = 0; literal < 2; literal++)
	{
		for (k = 0; k < file->n_records; k++)
		{
			if (file->records[k].kind == (literal ? 'v' : 'p'))
				this_case->params[this_case->n_params++] = &file->records[k];
		}
	}
	return 0;
}

static void
fill_params(GoldenCase *this_case)
{
	int			p,
				k;

	if (this_case->n_params != rn_model_params(this_case->model)->count)
		golden_fail(this_case, "parameters: the file has %d, the model %d", this_case->n_params,
					rn_model_params(this_case->model)->count);
	for (p = 0; p < this_case->n_params; p++)
	{
		const GoldenRecord *record = this_case->params[p];
		const RnParam *param = golden_param(this_case, record);
		double		sum = 0;

		if (param == NULL || param->ndim != record->ndim || (int) rn_param_size(param) != record->n ||
			param->cols != record->dims[record->ndim - 1])
		{
			golden_fail(this_case, "parameter %s: not the model's, or of another shape", record->name);
			continue;
		}
		for (k = 0; k < record->n; k++)
		{
			this_case->host[param->offset + k] = (rn_real) record->values[k];
			sum += record->values[k];
		}
		golden_compare(this_case, GOLDEN_FORWARD, "check.param_sum", p,
					   golden_find(this_case->file, "check.param_sum")->values[p], sum);
	}
}

/* ---- batch ---- */

/* Rows of a padded record without their padding. */
static void
pack(const GoldenRecord *padded, int32_t pad, int32_t **at, RnPacked *packed)
{
	int			sentences = padded->dims[0];
	int			width = padded->dims[1];
	int32_t    *offsets = *at;
	int32_t    *positions = offsets + sentences + 1;
	int32_t    *row_ids = positions + padded->n;
	int			rows = 0;
	int			s,
				t;

	for (s = 0; s < sentences; s++)
	{
		offsets[s] = rows;
		for (t = 0; t < width && (int32_t) padded->values[s * width + t] != pad; t++)
		{
			positions[rows] = t;
			row_ids[rows] = rows;
			rows++;
		}
	}
	offsets[sentences] = rows;
	packed->n_sentences = sentences;
	packed->rows = rows;
	packed->offsets = offsets;
	packed->positions = positions;
	packed->row_ids = (const uint32_t *) row_ids;
	*at = row_ids + padded->n;
}

static const int32_t *
pack_ids(const GoldenRecord *ids, const GoldenRecord *padded, int32_t pad, int32_t **at)
{
	int32_t    *packed = *at;
	int			k;

	for (k = 0; k < padded->n; k++)
	{
		if ((int32_t) padded->values[k] != pad)
			*(*at)++ = (int32_t) ids->values[k];
	}
	return packed;
}

int
golden_batch(GoldenCase *this_case, const GoldenRecord *source, const GoldenRecord *in, const GoldenRecord *target,
			 RnModelBatch *batch, int32_t **integers)
{
	int32_t		pad = this_case->special.pad;
	int32_t    *at;

	if (source == NULL || in == NULL || target == NULL || source->ndim != 2 || in->n != target->n)
	{
		golden_fail(this_case, "the file lacks src, prev or tgt");
		return -1;
	}
	*integers = at = calloc(4 * (source->n + target->n) + 2 * (source->dims[0] + 1), sizeof(int32_t));
	if (at == NULL)
		return -1;
	pack(source, pad, &at, &batch->source);
	pack(target, pad, &at, &batch->target);
	batch->source_ids = pack_ids(source, source, pad, &at);
	batch->target_in = pack_ids(in, target, pad, &at);
	batch->target_out = pack_ids(target, target, pad, &at);
	return 0;
}

static int
make_batch(GoldenCase *this_case)
{
	this_case->source = golden_find(this_case->file, "src");
	this_case->target = golden_find(this_case->file, "tgt");
	if (golden_find(this_case->file, "check.param_sum") == NULL)
	{
		golden_fail(this_case, "the file lacks check.param_sum");
		return -1;
	}
	return golden_batch(this_case, this_case->source, golden_find(this_case->file, "prev"), this_case->target,
						&this_case->batch, &this_case->integers);
}

/* ---- all together ---- */

static int
make_model(GoldenCase *this_case)
{
	RnContext  *ctx = &this_case->ctx;
	size_t		bytes;

	if (rn_model_create(ctx, &this_case->config, &this_case->special, 32, &this_case->model) != RN_OK)
		return -1;
	this_case->size = rn_model_params(this_case->model)->size;
	bytes = this_case->size * sizeof(rn_real);
	this_case->host = calloc(1, bytes);
	this_case->shadow = calloc(1, bytes);
	if (this_case->host == NULL || this_case->shadow == NULL ||
		this_case->kernels->lane_create(ctx, &this_case->lane) != RN_OK ||
		this_case->kernels->allocate(ctx, bytes, (void **) &this_case->values) != RN_OK ||
		this_case->kernels->allocate(ctx, bytes, (void **) &this_case->gradients) != RN_OK)
		return -1;
	return 0;
}

int
golden_case_create(GoldenCase *this_case, const GoldenFile *file, const RnKernels *kernels)
{
	memset(this_case, 0, sizeof(*this_case));
	this_case->file = file;
	this_case->kernels = kernels;
	rn_context_reset(&this_case->ctx);
	configure(this_case);
	if (this_case->failures > 0 || collect_params(this_case) != 0 || make_batch(this_case) != 0)
		return -1;
	if (make_model(this_case) != 0)
	{
		golden_fail(this_case, "%s", this_case->ctx.message);
		return -1;
	}
	fill_params(this_case);
	kernels->copy_in(this_case->lane, this_case->values, this_case->host, this_case->size * sizeof(rn_real));
	return this_case->failures > 0 ? -1 : 0;
}

void
golden_case_free(GoldenCase *this_case)
{
	size_t		bytes = this_case->size * sizeof(rn_real);

	if (this_case->values != NULL)
		this_case->kernels->release(this_case->values, bytes);
	if (this_case->gradients != NULL)
		this_case->kernels->release(this_case->gradients, bytes);
	if (this_case->lane != NULL)
		this_case->kernels->lane_free(this_case->lane);
	rn_model_free(this_case->model);
	free(this_case->host);
	free(this_case->shadow);
	free(this_case->params);
	free(this_case->integers);
}

int
golden_loss(GoldenCase *this_case, const rn_real *values, RnLoss *loss, int keep_gradients)
{
	const RnKernels *kernels = this_case->kernels;
	RnContext  *ctx = &this_case->ctx;
	size_t		bytes = this_case->size * sizeof(rn_real);
	RnGraph    *graph;
	RnPass		pass;

	memset(&pass, 0, sizeof(pass));
	pass.params = rn_model_params(this_case->model);
	pass.values = values;
	pass.gradients = this_case->gradients;
	if (rn_graph_create(ctx, kernels, this_case->lane, &graph) != RN_OK)
	{
		golden_fail(this_case, "%s", ctx->message);
		return -1;
	}
	rn_graph_begin(graph, &pass);
	rn_model_loss(this_case->model, graph, &this_case->batch, 1.0 / this_case->batch.target.rows, NULL, loss, NULL);
	if (rn_graph_forward(ctx, graph) == RN_OK && rn_graph_backward(ctx, graph) == RN_OK)
	{
		kernels->copy_out(this_case->lane, this_case->shadow, this_case->gradients, bytes);
		if (!keep_gradients)
			kernels->zero(this_case->lane, this_case->gradients, bytes);
		kernels->synchronize(ctx, this_case->lane);
	}
	rn_graph_free(graph);
	if (ctx->status != RN_OK)
		golden_fail(this_case, "%s", ctx->message);
	return ctx->status == RN_OK ? 0 : -1;
}
