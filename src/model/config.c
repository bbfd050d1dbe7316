/*
 * config.c
 *		Text to options and back.
 *
 * Whatever text comes in, the struct holds only values in their range; what
 * belongs together is config_check.c's to see.
 *
 * src/model/config.c
 */
#include "model/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "model/scheme_list.h"

/* Fields differ in type only: memcpy in and out of them. */
static void
field_store(RnConfig *config, const RnOption *option, const void *value)
{
	memcpy((char *) config + option->offset, value, option->size);
	if (option->offset_too != 0)
		memcpy((char *) config + option->offset_too, value, option->size);
}

static void
integer_store(RnConfig *config, const RnOption *option, int64_t value)
{
	int			narrow = (int) value;

	if (option->size == sizeof(int64_t))
		field_store(config, option, &value);
	else
		field_store(config, option, &narrow);
}

static int64_t
integer_fetch(const RnConfig *config, const RnOption *option)
{
	int64_t		wide;
	int			narrow;

	if (option->size == sizeof(int64_t))
	{
		memcpy(&wide, (const char *) config + option->offset, sizeof(wide));
		return wide;
	}
	memcpy(&narrow, (const char *) config + option->offset, sizeof(narrow));
	return narrow;
}

void
rn_config_defaults(RnConfig *config)
{
	RnContext	ctx;
	const RnOption *options;
	int			n,
				i;

	options = rn_options(&n);
	rn_context_reset(&ctx);
	memset(config, 0, sizeof(*config));
	for (i = 0; i < n; i++)
		rn_config_set(&ctx, config, options[i].name, options[i].default_text);
	config->max_epochs_given = 0;
}

static RnStatus
invalid_value(RnContext *ctx, const RnOption *option, const char *value)
{
	return rn_fail(ctx, RN_INVALID, "invalid value for option \"%s\": \"%.100s\"", option->name, value);
}

/* strtod and strtoll take more than numbers: blanks, hexadecimal, "inf". */
static int
looks_numeric(const char *value, const char *letters)
{
	return value[0] != '\0' && strspn(value, letters) == strlen(value);
}

static RnStatus
set_integer(RnContext *ctx, RnConfig *config, const RnOption *option, const char *value)
{
	long long	number;
	char	   *end;
	int			is_zero;

	errno = 0;
	number = strtoll(value, &end, 10);
	if (!looks_numeric(value, "+-0123456789") || *end != '\0')
	{
		RnStatus	status = invalid_value(ctx, option, value);

		rn_detail(ctx, "Valid values are whole numbers from %s to %s.", option->minimum, option->maximum);
		return status;
	}
	is_zero = (number == 0 && errno == 0 && strcmp(option->default_text, "0") == 0);
	if (errno != 0 || ((number < atoll(option->minimum) || number > atoll(option->maximum)) && !is_zero))
	{
		RnStatus	status = rn_fail(ctx, RN_INVALID, "value %.100s for option \"%s\" is out of range",
									 value, option->name);

		rn_detail(ctx, "Valid values are from %s to %s%s%s.", option->minimum, option->maximum,
				  option->unit[0] != '\0' ? " " : "", option->unit);
		return status;
	}
	if (option->offset == offsetof(RnConfig, vocab_size))
	{
		config->vocab_size_given = !is_zero;
		if (is_zero)
			number = RN_VOCAB_SIZE_DEFAULT;
	}
	integer_store(config, option, number);
	return RN_OK;
}

static RnStatus
set_number(RnContext *ctx, RnConfig *config, const RnOption *option, const char *value)
{
	double		number;
	char	   *end;

	number = strtod(value, &end);
	if (!looks_numeric(value, "+-.0123456789eE") || *end != '\0')
	{
		RnStatus	status = invalid_value(ctx, option, value);

		rn_detail(ctx, "Valid values are numbers from %s to %s.", option->minimum, option->maximum);
		return status;
	}
	if (!(number >= strtod(option->minimum, NULL) && number <= strtod(option->maximum, NULL)))
	{
		RnStatus	status = rn_fail(ctx, RN_INVALID, "value %.100s for option \"%s\" is out of range",
									 value, option->name);

		rn_detail(ctx, "Valid values are from %s to %s.", option->minimum, option->maximum);
		return status;
	}
	field_store(config, option, &number);
	return RN_OK;
}

static RnStatus
set_boolean(RnContext *ctx, RnConfig *config, const RnOption *option, const char *value)
{
	static const char *const words[] = {"off", "on", "false", "true", "no", "yes", "0", "1"};
	int			i;

	for (i = 0; i < (int) (sizeof(words) / sizeof(words[0])); i++)
	{
		if (strcmp(words[i], value) == 0)
		{
			integer_store(config, option, i % 2);
			return RN_OK;
		}
	}
	invalid_value(ctx, option, value);
	rn_detail(ctx, "Valid values are true and false.");
	return ctx->status;
}

/* Say what would be right: all choices, and the nearest. */
static RnStatus
unknown_choice(RnContext *ctx, const RnOption *option, const char *value)
{
	RnNearest	nearest;
	char		list[256] = "";
	int			i;

	invalid_value(ctx, option, value);
	rn_nearest_begin(&nearest, value);
	for (i = 0; option->choices[i] != NULL; i++)
	{
		size_t		used = strlen(list);

		snprintf(list + used, sizeof(list) - used, "%s\"%s\"", i > 0 ? ", " : "", option->choices[i]);
		rn_nearest_try(&nearest, option->choices[i]);
	}
	rn_detail(ctx, "Valid values are %s.", list);
	if (nearest.best != NULL)
		rn_hint(ctx, "Perhaps you meant \"%s\".", nearest.best);
	return ctx->status;
}

static RnStatus
unknown_scheme(RnContext *ctx, const char *value)
{
	const char *nearest = rn_scheme_nearest(value);

	rn_fail(ctx, RN_INVALID, "unrecognized residual scheme \"%.100s\"", value);
	if (nearest != NULL)
		rn_hint(ctx, "Perhaps you meant \"%s\".", nearest);
	else
		rn_hint(ctx, "The view residual_schemes lists what there is.");
	return ctx->status;
}

static int
is_scheme_option(const RnOption *option)
{
	return option->offset == offsetof(RnConfig, encoder_scheme) || option->offset == offsetof(RnConfig, decoder_scheme);
}

static RnStatus
set_text(RnContext *ctx, RnConfig *config, const RnOption *option, const char *value)
{
	char		field[sizeof(config->validation)];

	if (is_scheme_option(option) && rn_scheme_info(value) == NULL)
		return unknown_scheme(ctx, value);
	if (strlen(value) >= option->size)
	{
		invalid_value(ctx, option, value);
		rn_detail(ctx, "The value is longer than %d bytes.", (int) option->size - 1);
		return ctx->status;
	}
	memset(field, 0, sizeof(field));
	memcpy(field, value, strlen(value));
	field_store(config, option, field);
	return RN_OK;
}

static RnStatus
set_word(RnContext *ctx, RnConfig *config, const RnOption *option, const char *value)
{
	int			i;

	if (option->choices == NULL)
		return set_text(ctx, config, option, value);
	for (i = 0; option->choices[i] != NULL; i++)
	{
		if (strcmp(option->choices[i], value) != 0)
			continue;
		if (option->type == RN_OPTION_TEXT)
			return set_text(ctx, config, option, value);
		integer_store(config, option, i);
		return RN_OK;
	}
	return unknown_choice(ctx, option, value);
}

/* The default number of epochs gives way to a bound that somebody chose. */
static void
settle_epochs(RnConfig *config, const RnOption *option)
{
	if (option->offset == offsetof(RnConfig, max_epochs))
		config->max_epochs_given = 1;
	else if (!config->max_epochs_given)
		config->max_epochs = (config->max_steps > 0 || config->max_minutes > 0) ? 0 :
			strtod(rn_option_find("max_epochs")->default_text, NULL);
}

RnStatus
rn_config_set(RnContext *ctx, RnConfig *config, const char *key, const char *value)
{
	const RnOption *option = rn_option_find(key);
	RnStatus	status = RN_OK;

	if (option == NULL)
	{
		const char *nearest = rn_option_nearest(key);

		rn_fail(ctx, RN_INVALID, "unrecognized option \"%.100s\"", key);
		if (nearest != NULL)
			rn_hint(ctx, "Perhaps you meant \"%s\".", nearest);
		return ctx->status;
	}
	switch (option->type)
	{
		case RN_OPTION_BOOLEAN:
			status = set_boolean(ctx, config, option, value);
			break;
		case RN_OPTION_INTEGER:
			status = set_integer(ctx, config, option, value);
			break;
		case RN_OPTION_NUMBER:
			status = set_number(ctx, config, option, value);
			break;
		case RN_OPTION_CHOICE:
		case RN_OPTION_TEXT:
			status = set_word(ctx, config, option, value);
			break;
		case RN_OPTION_PAIRS:
			break;				/* none of a model's */
	}
	if (status == RN_OK && option->group == RN_GROUP_LENGTH)
		settle_epochs(config, option);
	return status;
}

/* %.17g reads back exactly, but shorter is kinder to the eye. */
static void
print_number(double number, char *buffer, size_t size)
{
	int			digits;

	for (digits = 15; digits <= 17; digits++)
	{
		snprintf(buffer, size, "%.*g", digits, number);
		if (strtod(buffer, NULL) == number)
			return;
	}
}

void
rn_config_get(const RnConfig *config, const RnOption *option, char *buffer, size_t size)
{
	const char *field = (const char *) config + option->offset;
	double		number;

	buffer[0] = '\0';
	if (option->offset_too != 0 && memcmp(field, (const char *) config + option->offset_too, option->size) != 0)
		return;
	switch (option->type)
	{
		case RN_OPTION_BOOLEAN:
			snprintf(buffer, size, "%s", integer_fetch(config, option) ? "on" : "off");
			break;
		case RN_OPTION_INTEGER:
			if (option->offset == offsetof(RnConfig, vocab_size) && !config->vocab_size_given &&
				config->vocab_size == RN_VOCAB_SIZE_DEFAULT)
				snprintf(buffer, size, "0");
			else
				snprintf(buffer, size, "%lld", (long long) integer_fetch(config, option));
			break;
		case RN_OPTION_NUMBER:
			memcpy(&number, field, sizeof(number));
			print_number(number, buffer, size);
			break;
		case RN_OPTION_CHOICE:
			snprintf(buffer, size, "%s", option->choices[integer_fetch(config, option)]);
			break;
		case RN_OPTION_TEXT:
			snprintf(buffer, size, "%s", field);
			break;
		case RN_OPTION_PAIRS:
			break;
	}
}

int
rn_config_is_default(const RnConfig *config, const RnOption *option)
{
	char		buffer[256];

	rn_config_get(config, option, buffer, sizeof(buffer));
	return strcmp(buffer, option->default_text) == 0;
}
