/*
 * test_initial.c
 *		Initial weights: how widely they are spread, and what begins as a
 *		constant; the same seed gives the same, another seed others.
 *
 * test/unit/test_initial.c
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "model/transformer.h"

#define LAYERS	4

static const RnSpecialIds special = {0, 1, 2};

/* A model as it begins, on the host. */
typedef struct Fresh
{
	RnContext	ctx;
	RnModel    *model;
	rn_real    *values;
} Fresh;

static int
make_fresh(Fresh *fresh, const char *scheme, int d_model, int ffn_init)
{
	RnConfig	config;

	memset(fresh, 0, sizeof(*fresh));
	rn_context_reset(&fresh->ctx);
	rn_config_defaults(&config);
	rn_config_set(&fresh->ctx, &config, "scheme", scheme);
	config.d_model = d_model;
	config.d_ffn = 256;
	config.heads = 2;
	config.vocab_size = 200;
	config.share_embeddings = 1;
	config.encoder_layers = config.decoder_layers = LAYERS;
	config.ffn_init = ffn_init;
	if (rn_model_create(&fresh->ctx, &config, &special, 8, &fresh->model) != RN_OK)
		return -1;
	fresh->values = malloc(rn_model_params(fresh->model)->size * sizeof(rn_real));
	if (fresh->values == NULL)
		return -1;
	rn_model_initialize(fresh->model, 3, fresh->values);
	return 0;
}

static void
free_fresh(Fresh *fresh)
{
	rn_model_free(fresh->model);
	free(fresh->values);
}

/* A parameter of a fresh model with d 64, inner 256, 4 layers a stack, and how it must be spread. */
typedef struct Spread
{
	const char *scheme;
	int			ffn_init;
	const char *param;
	double		deviation;		/* of the values; */
	double		bound;			/* none is larger; 0: normal, no bound */
} Spread;

static const Spread spreads[] = {
	{"post", 0, "src_embed", 0.125, 0},
	{"post", 0, "enc.0.sa.q.w", 0.0883883, 0.1530932},	/* sqrt(6 / (4 * 64)) */
	{"post", 0, "dec.3.ca.v.w", 0.0883883, 0.1530932},
	{"post", 0, "enc.1.sa.o.w", 0.125, 0.2165064},	/* sqrt(6 / (2 * 64)) */
	{"post", 0, "enc.1.sa.o.b", 0, 0},
	{"post", 0, "dec.1.ff.1.w", 0.0790569, 0.1369307},	/* sqrt(6 / (64 + 256)) */
	{"post", 0, "dec.1.ff.2.w", 0.0790569, 0.1369307},
	{"post", 0, "dec.1.ff.1.b", 0, 0},
	{"post", 1, "dec.1.ff.1.w", 0.0721688, 0.125},	/* 1 / sqrt(64) */
	{"post", 1, "dec.1.ff.2.w", 0.0360844, 0.0625}, /* 1 / sqrt(256) */
	{"post", 1, "dec.1.ff.1.b", 0.0721688, 0.125},
	{"b2t", 0, "enc.1.sa.o.w", 0.0625, 0.1082532},	/* half: 4 layers */
	{"deepnorm", 0, "enc.1.sa.q.w", 0.125, 0},	/* sqrt(2 / 128) */
	{"deepnorm", 0, "enc.1.sa.v.w", 0.125 * 0.5641252, 0},	/* 0.87 (4^4 4)^(-1/16) */
	{"deepnorm", 0, "dec.1.ff.2.w", 0.0790569 * 0.3799178, 0},	/* 48^(-1/4) */
	{"rezero", 0, "dec.1.alpha", 0, 0}
};

static void
test_initial_weights(void)
{
	int			k;
	size_t		i;

	for (k = 0; k < (int) (sizeof(spreads) / sizeof(spreads[0])); k++)
	{
		const Spread *spread = &spreads[k];
		double		squares = 0;
		double		largest = 0;
		double		tolerance;
		const RnParam *param;
		Fresh		fresh;

		if (make_fresh(&fresh, spread->scheme, 64, spread->ffn_init) == 0 &&
			(param = rn_params_find(rn_model_params(fresh.model), spread->param)) != NULL)
		{
			size_t		n = rn_param_size(param);

			for (i = param->offset; i < param->offset + n; i++)
			{
				squares += fresh.values[i] * fresh.values[i] / n;
				largest = fmax(largest, fabs(fresh.values[i]));
			}
			/* four standard errors of a deviation */
			tolerance = 4 * spread->deviation / sqrt(2.0 * n) + (param->init_zero_row >= 0 ? spread->deviation / 200 : 0);
			CHECK(fabs(sqrt(squares) - spread->deviation) <= tolerance && (spread->bound == 0 || largest <= spread->bound),
				  "%s, ffn_init %d: %s begins with deviation %.5f, at most %.5f", spread->scheme, spread->ffn_init,
				  spread->param, sqrt(squares), largest);
		}
		else
			CHECK(0, "%s: no %s %s", spread->scheme, spread->param, fresh.ctx.message);
		free_fresh(&fresh);
	}
}

/* Norms begin as identities, DLCL's sums as means, the padding's row as nothing. */
static void
test_initial_constants(void)
{
	const RnParam *gain,
			   *w,
			   *embedding;
	double		wrong = 0;
	Fresh		fresh;
	int			l,
				k;

	if (CHECK(make_fresh(&fresh, "dlcl", 8, 0) == 0, "a model of dlcl %s", fresh.ctx.message))
	{
		gain = rn_params_find(rn_model_params(fresh.model), "dec.dlcl.ln.2.w");
		w = rn_params_find(rn_model_params(fresh.model), "dec.dlcl.w");
		embedding = rn_params_find(rn_model_params(fresh.model), "src_embed");
		for (k = 0; k < 8; k++)
			wrong += fabs(fresh.values[gain->offset + k] - 1) +
				fabs(fresh.values[embedding->offset + special.pad * 8 + k]);
		for (l = 0; l <= LAYERS; l++)
		{
			for (k = 0; k <= LAYERS; k++)
				wrong += fabs(fresh.values[w->offset + l * (LAYERS + 1) + k] - (rn_real) (k <= l ? 1.0 / (l + 1) : 0));
		}
		CHECK(wrong == 0, "norms, sums and the padding begin as they should");
	}
	free_fresh(&fresh);
}

/* Numbers are named, not drawn one after another. */
static void
test_seeds(void)
{
	Fresh		fresh;

	if (CHECK(make_fresh(&fresh, "residual", 8, 0) == 0, "a model of residual %s", fresh.ctx.message))
	{
		size_t		bytes = rn_model_params(fresh.model)->size * sizeof(rn_real);
		rn_real    *again = malloc(bytes);

		if (again != NULL)
		{
			rn_model_initialize(fresh.model, 3, again);
			CHECK(memcmp(again, fresh.values, bytes) == 0, "the same seed gives the same weights");
			rn_model_initialize(fresh.model, 4, again);
			CHECK(memcmp(again, fresh.values, bytes) != 0, "another seed gives others");
		}
		free(again);
	}
	free_fresh(&fresh);
}

int
main(void)
{
	test_initial_weights();
	test_initial_constants();
	test_seeds();
	return check_done();
}
