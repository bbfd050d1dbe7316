/*
 * search_options.c
 *		The options of a translation, as data, and text to them.
 *
 * src/translate/search_options.c
 */
#include "translate/search_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"

#define FIELD(field)	offsetof(RnSearchOptions, field), sizeof(((RnSearchOptions *) 0)->field), 0

/*
 * Where no max_length is given an answer may be twice as long as its source
 * and a little more, which bounds what a model that fails to end can cost.
 */
#define DEFAULT_FACTOR	2.0
#define DEFAULT_OFFSET	10

/* In the order of RnPrecision. */
static const char *const precisions[] = {"float32", "int8", NULL};

static const RnOption options_table[] = {
	{"beam", RN_GROUP_TRANSLATION, RN_OPTION_INTEGER, "4", "1", "64", NULL, "hypotheses",
		"Hypotheses kept at each step of the search; 1 is greedy search.", FIELD(beam)},
	{"length_penalty", RN_GROUP_TRANSLATION, RN_OPTION_NUMBER, "1", "0", "10", NULL, "",
		"Exponent of the length by which a hypothesis' log-probability is divided; 0 favours short answers.",
		FIELD(length_penalty)},
	{"max_length", RN_GROUP_TRANSLATION, RN_OPTION_INTEGER, "0", "0", "100000", NULL, "pieces",
		"Longest answer; 0 allows twice the pieces of its source and 10 more, within what the model can.",
		FIELD(max_length)},
	{"n_best", RN_GROUP_TRANSLATION, RN_OPTION_INTEGER, "1", "1", "64", NULL, "answers",
		"Answers given for each text, best first; at most beam.", FIELD(n_best)},
	{"precision", RN_GROUP_TRANSLATION, RN_OPTION_CHOICE, "float32", NULL, NULL, precisions, "",
		"Number format of the weights while translating.", FIELD(precision)},
};

#define N_OPTIONS	((int) (sizeof(options_table) / sizeof(options_table[0])))

const RnOption *
rn_search_option_list(int *n)
{
	*n = N_OPTIONS;
	return options_table;
}

void
rn_search_defaults(RnSearchOptions *options)
{
	RnContext	ctx;
	int			i;

	memset(options, 0, sizeof(*options));
	rn_context_reset(&ctx);
	for (i = 0; i < N_OPTIONS; i++)
		rn_search_set(&ctx, options, options_table[i].name, options_table[i].default_text);
}

/* An explicit length is meant as it is said. */
static void
settle_length(RnSearchOptions *options)
{
	options->max_length_factor = options->max_length > 0 ? 0 : DEFAULT_FACTOR;
	options->max_length_offset = options->max_length > 0 ? 0 : DEFAULT_OFFSET;
}

static RnStatus
invalid_value(RnContext *ctx, const RnOption *option, const char *value)
{
	rn_fail(ctx, RN_INVALID, "invalid value for option \"%s\": \"%.100s\"", option->name, value);
	if (option->choices == NULL)
		rn_detail(ctx, "Valid values are %s from %s to %s.",
				  option->type == RN_OPTION_INTEGER ? "whole numbers" : "numbers", option->minimum, option->maximum);
	return ctx->status;
}

static RnStatus
out_of_range(RnContext *ctx, const RnOption *option, const char *value)
{
	rn_fail(ctx, RN_INVALID, "value %.100s for option \"%s\" is out of range", value, option->name);
	rn_detail(ctx, "Valid values are from %s to %s.", option->minimum, option->maximum);
	return ctx->status;
}

static RnStatus
set_integer(RnContext *ctx, RnSearchOptions *options, const RnOption *option, const char *value)
{
	long		number;
	int			narrow;
	char	   *end;

	errno = 0;
	number = strtol(value, &end, 10);
	if (value[0] == '\0' || strspn(value, "+-0123456789") != strlen(value) || *end != '\0')
		return invalid_value(ctx, option, value);
	if (errno != 0 || number < atol(option->minimum) || number > atol(option->maximum))
		return out_of_range(ctx, option, value);
	narrow = (int) number;
	memcpy((char *) options + option->offset, &narrow, sizeof(narrow));
	return RN_OK;
}

static RnStatus
set_number(RnContext *ctx, RnSearchOptions *options, const RnOption *option, const char *value)
{
	double		number;
	char	   *end;

	number = strtod(value, &end);
	if (value[0] == '\0' || strspn(value, "+-.0123456789eE") != strlen(value) || *end != '\0')
		return invalid_value(ctx, option, value);
	if (!(number >= strtod(option->minimum, NULL) && number <= strtod(option->maximum, NULL)))
		return out_of_range(ctx, option, value);
	memcpy((char *) options + option->offset, &number, sizeof(number));
	return RN_OK;
}

static RnStatus
set_choice(RnContext *ctx, RnSearchOptions *options, const RnOption *option, const char *value)
{
	RnNearest	nearest;
	int			i;

	rn_nearest_begin(&nearest, value);
	for (i = 0; option->choices[i] != NULL; i++)
	{
		if (strcmp(option->choices[i], value) == 0)
		{
			memcpy((char *) options + option->offset, &i, sizeof(i));
			return RN_OK;
		}
		rn_nearest_try(&nearest, option->choices[i]);
	}
	invalid_value(ctx, option, value);
	if (nearest.best != NULL)
		rn_hint(ctx, "Perhaps you meant \"%s\".", nearest.best);
	return ctx->status;
}

static RnStatus
unknown_key(RnContext *ctx, const char *key)
{
	RnNearest	nearest;
	int			i;

	rn_fail(ctx, RN_INVALID, "unrecognized option \"%.100s\"", key);
	rn_nearest_begin(&nearest, key);
	for (i = 0; i < N_OPTIONS; i++)
		rn_nearest_try(&nearest, options_table[i].name);
	if (nearest.best != NULL)
		rn_hint(ctx, "Perhaps you meant \"%s\".", nearest.best);
	return ctx->status;
}

RnStatus
rn_search_set(RnContext *ctx, RnSearchOptions *options, const char *key, const char *value)
{
	int			i;

	for (i = 0; i < N_OPTIONS; i++)
	{
		const RnOption *option = &options_table[i];

		if (strcmp(option->name, key) != 0)
			continue;
		if (option->type == RN_OPTION_CHOICE)
			return set_choice(ctx, options, option, value);
		if (option->type == RN_OPTION_NUMBER)
			return set_number(ctx, options, option, value);
		RN_TRY(set_integer(ctx, options, option, value));
		settle_length(options);
		return RN_OK;
	}
	return unknown_key(ctx, key);
}

RnStatus
rn_search_check(RnContext *ctx, const RnSearchOptions *options)
{
	if (options->n_best > options->beam)
	{
		rn_fail(ctx, RN_INVALID, "n_best %d exceeds beam %d", options->n_best, options->beam);
		rn_hint(ctx, "Raise beam to at least %d.", options->n_best);
		return ctx->status;
	}
	if (options->precision != RN_FLOAT32)
	{
		rn_fail(ctx, RN_UNSUPPORTED, "precision \"%s\" is not supported yet", precisions[options->precision]);
		rn_hint(ctx, "Use precision \"float32\".");
		return ctx->status;
	}
	return RN_OK;
}
