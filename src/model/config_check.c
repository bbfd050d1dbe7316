/*
 * config_check.c
 *		What single options cannot tell: whether a configuration holds together.
 *
 * src/model/config_check.c
 */
#include "model/config.h"

#include <stdlib.h>
#include <string.h>

#include "model/scheme_list.h"

/* Is word one of the blank-separated words of list? */
static int
has_word(const char *list, const char *word)
{
	size_t		length = strlen(word);
	const char *at = list;

	while ((at = strstr(at, word)) != NULL)
	{
		if ((at == list || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
			return 1;
		at += length;
	}
	return 0;
}

/* Options that belong to schemes must not be set where no stack has such a scheme. */
static RnStatus
check_scheme_options(RnContext *ctx, const RnConfig *config)
{
	const RnSchemeInfo *encoder = rn_scheme_info(config->encoder_scheme);
	const RnSchemeInfo *decoder = rn_scheme_info(config->decoder_scheme);
	const RnSchemeInfo *infos;
	const RnOption *options;
	int			n_options,
				n_infos,
				i,
				j;

	options = rn_options(&n_options);
	infos = rn_scheme_infos(&n_infos);
	for (i = 0; i < n_options; i++)
	{
		const char *name = options[i].name;

		if (rn_config_is_default(config, &options[i]) ||
			(rn_config_has_encoder(config) && has_word(encoder->options, name)) || has_word(decoder->options, name))
			continue;
		for (j = 0; j < n_infos; j++)
		{
			if (!has_word(infos[j].options, name))
				continue;
			rn_fail(ctx, RN_INVALID, "option \"%s\" does not apply to residual scheme \"%s\"", name,
					rn_config_has_encoder(config) ? config->encoder_scheme : config->decoder_scheme);
			rn_detail(ctx, "It belongs to scheme \"%s\".", infos[j].name);
			rn_hint(ctx, "Leave the option out, or choose a scheme that has it.");
			return ctx->status;
		}
	}
	return RN_OK;
}

/* Which places of the norm a scheme knows stands with the scheme. */
static RnStatus
check_norm(RnContext *ctx, const RnConfig *config, const char *scheme)
{
	static const char *const places[] = {NULL, "post", "pre", "none"};	/* in the order of RnNormPlace */
	const char *norms = rn_scheme_info(scheme)->norms;
	const char *place = places[config->norm];

	if (place == NULL || norms[0] == '\0' || has_word(norms, place))
		return RN_OK;
	rn_fail(ctx, RN_INVALID, "residual scheme \"%s\" has no variant with norm \"%s\"", scheme, place);
	rn_hint(ctx, "Its variants are: %s.", norms);
	return ctx->status;
}

static RnStatus
check_scheme_name(RnContext *ctx, const char *scheme)
{
	const char *nearest = rn_scheme_nearest(scheme);

	if (rn_scheme_info(scheme) != NULL)
		return RN_OK;
	rn_fail(ctx, RN_INVALID, "unrecognized residual scheme \"%.60s\"", scheme);
	if (nearest != NULL)
		rn_hint(ctx, "Perhaps you meant \"%s\".", nearest);
	return ctx->status;
}

int
rn_config_has_encoder(const RnConfig *config)
{
	return strcmp(config->architecture, "decoder") != 0;
}

static RnStatus
check_model(RnContext *ctx, const RnConfig *config)
{
	RN_TRY(check_scheme_name(ctx, config->encoder_scheme));
	RN_TRY(check_scheme_name(ctx, config->decoder_scheme));
	if (config->d_model % config->heads != 0)
	{
		int			step = config->heads % 2 == 0 ? config->heads : 2 * config->heads;

		rn_fail(ctx, RN_INVALID, "d_model %d is not a multiple of heads %d", config->d_model, config->heads);
		rn_detail(ctx, "Every head takes d_model / heads features.");
		rn_hint(ctx, "Change one of the two options, for example d_model to %d.",
				(config->d_model + step - 1) / step * step);
		return ctx->status;
	}
	if (config->d_model % 2 != 0)
	{
		rn_fail(ctx, RN_INVALID, "d_model %d is odd", config->d_model);
		rn_detail(ctx, "Sinusoidal position tables pair a sine with a cosine.");
		return ctx->status;
	}
	RN_TRY(check_scheme_options(ctx, config));
	RN_TRY(check_norm(ctx, config, config->encoder_scheme));
	return check_norm(ctx, config, config->decoder_scheme);
}

static RnStatus
check_training(RnContext *ctx, const RnConfig *config)
{
	if (config->learning_rate <= 0)
		return rn_fail(ctx, RN_INVALID, "option \"learning_rate\" must be greater than 0");
	if (config->warmup_init > config->learning_rate)
	{
		rn_fail(ctx, RN_INVALID, "option \"warmup_init\" must not exceed learning_rate");
		rn_detail(ctx, "The warm-up would fall from %g to %g.", config->warmup_init, config->learning_rate);
		return ctx->status;
	}
	if (config->batch_tokens < config->max_length)
	{
		rn_fail(ctx, RN_INVALID, "batch_tokens %d is less than max_length %d", config->batch_tokens, config->max_length);
		rn_detail(ctx, "A batch must hold the longest pair.");
		return ctx->status;
	}
	if (strcmp(config->device, "cpu") == 0 && strcmp(config->precision, "float32") != 0 &&
		strcmp(config->precision, "bfloat16") != 0)
	{
		rn_fail(ctx, RN_UNSUPPORTED, "precision \"%s\" is not supported by device \"cpu\"", config->precision);
		rn_hint(ctx, "Set option \"precision\" to \"float32\" or \"bfloat16\", or train on a GPU.");
		return ctx->status;
	}
	if (config->max_steps == 0 && config->max_epochs == 0 && config->max_minutes == 0)
	{
		rn_fail(ctx, RN_INVALID, "training has no end");
		rn_hint(ctx, "Set one of max_steps, max_epochs and max_minutes.");
		return ctx->status;
	}
	if (config->max_steps == 0 && (config->schedule == 1 || config->schedule == 3))
	{
		rn_fail(ctx, RN_INVALID, "schedules \"linear\" and \"cosine\" need max_steps");
		rn_detail(ctx, "They reach 0 at the last step.");
		return ctx->status;
	}
	return RN_OK;
}

static RnStatus
check_validation(RnContext *ctx, const RnConfig *config)
{
	char	   *end;
	double		fraction = strtod(config->validation, &end);
	int			is_number = (end != config->validation && *end == '\0');

	if (config->validation[0] == '\0' || (is_number && !(fraction >= 0 && fraction <= 0.5)))
	{
		rn_fail(ctx, RN_INVALID, "invalid value for option \"validation\": \"%s\"", config->validation);
		rn_detail(ctx, "Valid values are fractions from 0 to 0.5 and names of tables.");
		return ctx->status;
	}
	if (is_number && fraction == 0 && config->metric == 1)
	{
		rn_fail(ctx, RN_INVALID, "metric \"bleu\" needs validation");
		rn_hint(ctx, "Set option \"validation\" to a fraction such as 0.02, or to a table.");
		return ctx->status;
	}
	return RN_OK;
}

/* The numbers of cuda:number[,number ...]; false when that is not what it is. */
static int
read_device_numbers(const char *at, int numbers[RN_DEVICES_MOST + 1], int *n)
{
	*n = 0;
	do
	{
		size_t		digits = strspn(++at, "0123456789");

		if (digits == 0 || digits > 4)
			return 0;
		if (*n <= RN_DEVICES_MOST)
			numbers[(*n)++] = atoi(at);
		at += digits;
	} while (*at == ',');
	return *at == '\0';
}

static RnStatus
check_device_numbers(RnContext *ctx, const RnConfig *config, const int *numbers, int n)
{
	int			i,
				j;

	if (n > RN_DEVICES_MOST)
	{
		rn_fail(ctx, RN_INVALID, "invalid value for option \"device\": \"%s\"", config->device);
		rn_detail(ctx, "A job takes %d devices at most.", RN_DEVICES_MOST);
		return ctx->status;
	}
	for (i = 1; i < n; i++)
	{
		for (j = 0; j < i; j++)
		{
			if (numbers[i] != numbers[j])
				continue;
			rn_fail(ctx, RN_INVALID, "invalid value for option \"device\": \"%s\"", config->device);
			rn_detail(ctx, "Device %d is named twice.", numbers[i]);
			return ctx->status;
		}
	}
	return RN_OK;
}

/* auto | cpu | cuda | cuda:number[,number ...] */
static RnStatus
check_device(RnContext *ctx, const RnConfig *config)
{
	const char *device = config->device;
	int			numbers[RN_DEVICES_MOST + 1];
	int			n;

	if (strcmp(device, "auto") == 0 || strcmp(device, "cpu") == 0 || strcmp(device, "cuda") == 0)
		return RN_OK;
	if (strncmp(device, "cuda:", 5) == 0 && read_device_numbers(device + 4, numbers, &n))
		return check_device_numbers(ctx, config, numbers, n);
	rn_fail(ctx, RN_INVALID, "invalid value for option \"device\": \"%s\"", config->device);
	rn_detail(ctx, "Valid values are \"auto\", \"cpu\", \"cuda\", and \"cuda:\" with numbers of devices (\"cuda:0,1\").");
	return ctx->status;
}

static RnStatus
check_running(RnContext *ctx, const RnConfig *config)
{
	size_t		digits = strspn(config->from, "0123456789");

	RN_TRY(check_device(ctx, config));
	if (config->from[0] != '\0' && strcmp(config->from, "active") != 0 &&
		(config->from[digits] != '\0' || digits > 9 || atoi(config->from) < 1))
	{
		rn_fail(ctx, RN_INVALID, "invalid value for option \"from\": \"%s\"", config->from);
		rn_detail(ctx, "Valid values are \"active\" and the number of a version.");
		return ctx->status;
	}
	return RN_OK;
}

RnStatus
rn_config_check(RnContext *ctx, const RnConfig *config)
{
	RN_TRY(check_model(ctx, config));
	RN_TRY(check_training(ctx, config));
	RN_TRY(check_validation(ctx, config));
	return check_running(ctx, config);
}
