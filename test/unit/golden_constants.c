/*
 * golden_constants.c
 *		Constants of schemes and schedules, and Adam's condition, against
 *		reference values.
 *
 * test/unit/golden_constants.c
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "golden_parts.h"
#include "model/model.h"
#include "model/residual/joint.h"
#include "train/schedule.h"
#include "train/statistics.h"

/* A small model of that scheme and depth. */
static RnModel *
deep_model(GoldenCase *this_case, const char *scheme, int encoder_layers, int decoder_layers, int omega)
{
	static const RnSpecialIds special = {0, 1, 2};
	RnConfig	config;
	RnModel    *model;

	rn_config_defaults(&config);
	strcpy(config.encoder_scheme, scheme);
	strcpy(config.decoder_scheme, scheme);
	config.encoder_layers = encoder_layers;
	config.decoder_layers = decoder_layers;
	config.d_model = 4;
	config.d_ffn = 6;
	config.heads = 1;
	config.vocab_size = 5;
	config.admin_omega = omega;
	if (rn_model_create(&this_case->ctx, &config, &special, 4, &model) != RN_OK)
		golden_fail(this_case, "%s", this_case->ctx.message);
	return model;
}

static double
first_scale(const RnModel *model, const char *name)
{
	return rn_params_find(rn_model_params(model), name)->init_scale;
}

static double
shortcut_scale(const RnModelStack *stack)
{
	RnPlace		place = {0, RN_SUBLAYER_SELF_ATTENTION, 0};
	RnJoin		join;

	stack->scheme.scheme->join(&stack->scheme, &place, &join);
	return join.shortcut_scale;
}

/* alpha as sublayers are joined with it, beta as weights begin with it. */
static void
check_deepnorm(GoldenCase *this_case, const GoldenRecord *record)
{
	int			encoder_layers,
				decoder_layers;
	double		got[4];
	RnModel    *model;

	if (sscanf(record->name, "deepnorm.%d.%d", &encoder_layers, &decoder_layers) != 2)
		return;
	model = deep_model(this_case, "deepnorm", encoder_layers, decoder_layers, 0);
	if (model == NULL)
		return;
	got[0] = shortcut_scale(&model->encoder);
	got[1] = first_scale(model, "enc.0.ff.1.w") / sqrt(2.0 / (4 + 6));
	got[2] = shortcut_scale(&model->decoder);
	got[3] = first_scale(model, "dec.0.ca.v.w") / sqrt(2.0 / (4 + 4));
	golden_compare_all(this_case, GOLDEN_FORWARD, record->name, got, 4);
	golden_compare(this_case, GOLDEN_FORWARD, "deepnorm gain of queries", 0, 1,
				   first_scale(model, "dec.0.ca.q.w") / sqrt(2.0 / (4 + 4)));
	rn_model_free(model);
}

/* omega of a stack of N sublayers, for a logarithmic and for a constant output change. */
static void
check_admin(GoldenCase *this_case, const GoldenRecord *record)
{
	int			sublayers = atoi(record->name + strlen("admin_torch."));
	double		got[2];
	int			k;

	for (k = 0; k < 2; k++)
	{
		RnModel    *model = deep_model(this_case, "admin", sublayers / 2, 1, k + 1);

		if (model == NULL)
			return;
		got[k] = first_scale(model, "enc.0.ff.omega");
		rn_model_free(model);
	}
	golden_compare_all(this_case, GOLDEN_FORWARD, record->name, got, 2);
}

static void
check_b2t(GoldenCase *this_case, const GoldenRecord *record)
{
	RnModel    *post = deep_model(this_case, "post", 1, 1, 0);
	RnModel    *b2t = deep_model(this_case, "b2t", atoi(record->name + strlen("b2t_init_scale.")), 1, 0);

	if (post != NULL && b2t != NULL)
	{
		double		got = first_scale(b2t, "enc.0.sa.o.w") / first_scale(post, "enc.0.sa.o.w");

		golden_compare_all(this_case, GOLDEN_FORWARD, record->name, &got, 1);
	}
	rn_model_free(post);
	rn_model_free(b2t);
}

/* The peak is 5e-4, the warm-up 4000 updates long. */
static void
check_schedule(GoldenCase *this_case, const GoldenRecord *record)
{
	const char *kind = record->name + strlen("schedule.");
	const GoldenRecord *updates = golden_find(this_case->file, "schedule.k");
	RnConfig	config;
	int			k;

	if (strcmp(kind, "k") == 0 || updates == NULL || updates->n != record->n)
		return;
	rn_config_defaults(&config);
	config.learning_rate = 5e-4;
	config.warmup_steps = strcmp(kind, "const") == 0 ? 0 : 4000;
	config.warmup_init = strcmp(kind, "warm") == 0 ? 1e-7 : 5e-4;
	config.schedule = strcmp(kind, "const") == 0 ? 2 : 0;
	for (k = 0; k < record->n; k++)
		golden_compare(this_case, GOLDEN_FORWARD, record->name, k, record->values[k] * 1e4,
					   rn_learning_rate(&config, (int64_t) updates->values[k], 0) * 1e4);
}

/*
 * Adam's answer to a change of the gradient after T steps of gradients
 * 10^-E * 4 u: the largest |J| and the relative condition number.
 */
static void
check_condition(GoldenCase *this_case, const GoldenRecord *record)
{
	enum
	{
		N = 16
	};
	rn_real		first[N] = {0},
				second[N] = {0},
				gradient[N] = {0};
	RnTally		tally;
	RnConfig	config;
	int			steps,
				exponent,
				t,
				k;

	if (sscanf(record->name, "adamcond.t%d.e%d.spectral", &steps, &exponent) != 2 || strstr(record->name, ".jac") != NULL)
		return;
	rn_config_defaults(&config);
	memset(&tally, 0, sizeof(tally));
	for (t = 0; t < steps; t++)
	{
		char		name[GOLDEN_NAME];
		uint32_t	state;

		snprintf(name, sizeof(name), "adamcond.%d", t);
		state = golden_state(name, 1);
		for (k = 0; k < N; k++)
		{
			if (t > 0)
			{
				first[k] = (rn_real) (0.9 * first[k] + 0.1 * gradient[k]);
				second[k] = (rn_real) (0.98 * second[k] + 0.02 * gradient[k] * gradient[k]);
			}
			gradient[k] = (rn_real) (pow(10, -exponent) * 4 * golden_unit(&state));
		}
	}
	rn_statistics_adam(&config, steps, N, gradient, 1, first, second, &tally);
	golden_compare(this_case, GOLDEN_DIAGNOSTIC, record->name, 0, 1, tally.jacobian * 1e-4 / record->values[0]);
	golden_compare(this_case, GOLDEN_DIAGNOSTIC, record->name, 1, 1, sqrt(tally.jacobian_squares) * 1e-4 / record->values[1]);
	golden_compare(this_case, GOLDEN_DIAGNOSTIC, record->name, 2, record->values[2],
				   tally.jacobian * sqrt(tally.fed / tally.step));
}

static void
check_generator(GoldenCase *this_case, const GoldenRecord *record)
{
	uint32_t	state = golden_state("demo", 1);
	int			k;

	for (k = 0; k < record->n; k++)
		golden_compare(this_case, GOLDEN_FORWARD, record->name, k, record->values[k], golden_unit(&state));
}

void
golden_check_constants(GoldenCase *this_case)
{
	static const struct
	{
		const char *prefix;
		void		(*check) (GoldenCase *this_case, const GoldenRecord *record);
	}			checks[] = {
		{"lcg.units.demo", check_generator},
		{"deepnorm.", check_deepnorm},
		{"admin_torch.", check_admin},
		{"b2t_init_scale.", check_b2t},
		{"schedule.", check_schedule},
		{"adamcond.", check_condition}
	};
	int			r,
				k;

	for (r = 0; r < this_case->file->n_records; r++)
	{
		const GoldenRecord *record = &this_case->file->records[r];

		for (k = 0; k < (int) (sizeof(checks) / sizeof(checks[0])); k++)
		{
			if (strncmp(record->name, checks[k].prefix, strlen(checks[k].prefix)) == 0)
				checks[k].check(this_case, record);
		}
	}
}
