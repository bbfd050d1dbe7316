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
#define NO_FIELD		0, 0, 0

/* In the order of RnPrecision. */
static const char *const precisions[] = {"float32", "int8", NULL};

static const RnOption options_table[] = {
	{"beam", RN_GROUP_TRANSLATION, RN_OPTION_INTEGER, "4", "1", "64", NULL, "hypotheses",
		"Hypotheses kept at each step of the search; 1 is greedy search.", FIELD(beam)},
	{"length_penalty", RN_GROUP_TRANSLATION, RN_OPTION_NUMBER, "1", "0", "10", NULL, "",
		"Exponent of the length by which a hypothesis' log-probability is divided; 0 favours short answers.",
		FIELD(length_penalty)},
	{"min_length", RN_GROUP_TRANSLATION, RN_OPTION_INTEGER, "0", "0", "100000", NULL, "pieces",
		"Shortest answer, as far as its longest allows.", FIELD(min_length)},
	{"max_length", RN_GROUP_TRANSLATION, RN_OPTION_INTEGER, "0", "0", "100000", NULL, "pieces",
		"Longest answer; 0 allows length_factor (of the model, 2 or more) times the pieces of its source and 10 more.",
		FIELD(max_length)},
	{"n_best", RN_GROUP_TRANSLATION, RN_OPTION_INTEGER, "1", "1", "64", NULL, "answers",
		"Answers given for each text, best first; at most beam, unless they are drawn or alternatives.", FIELD(n_best)},
	{"sampling", RN_GROUP_TRANSLATION, RN_OPTION_BOOLEAN, "false", NULL, NULL, NULL, "",
		"Draw each piece at random, as likely as the model finds it, instead of searching.", FIELD(sampling)},
	{"temperature", RN_GROUP_TRANSLATION, RN_OPTION_NUMBER, "1", "0.001", "100", NULL, "",
		"Sampling: what log-probabilities are divided by; below 1 likely pieces are drawn even more often.",
		FIELD(temperature)},
	{"top_k", RN_GROUP_TRANSLATION, RN_OPTION_INTEGER, "0", "0", "1000", NULL, "pieces",
		"Sampling: draw from so many likeliest pieces; 0 from all.", FIELD(top_k)},
	{"seed", RN_GROUP_TRANSLATION, RN_OPTION_INTEGER, "1", "0", "9223372036854775807", NULL, "",
		"Sampling: the same seed draws the same answers to a text, whatever is translated with it.", FIELD(seed)},
	{"prefix", RN_GROUP_TRANSLATION, RN_OPTION_TEXT, "", NULL, NULL, NULL, "",
		"Text that answers begin with.", NO_FIELD},
	{"alternatives", RN_GROUP_TRANSLATION, RN_OPTION_BOOLEAN, "false", NULL, NULL, NULL, "",
		"Answers of residual_nbest differ in the first piece behind the prefix; each is the best from there on.",
		FIELD(alternatives)},
	{"glossary", RN_GROUP_TRANSLATION, RN_OPTION_PAIRS, "{}", NULL, NULL, NULL, "",
		"Terms and their translations, which appear in the answer where the term appears in the text.", NO_FIELD},
	{"glossary_ignore_case", RN_GROUP_TRANSLATION, RN_OPTION_BOOLEAN, "false", NULL, NULL, NULL, "",
		"Find the glossary's terms in the text whether their letters are large or small.", FIELD(glossary_ignore_case)},
	{"preserve", RN_GROUP_TRANSLATION, RN_OPTION_BOOLEAN, "false", NULL, NULL, NULL, "",
		"Keep placeholders such as %s and {name}, addresses and numbers as they are, each as often as in the text.",
		FIELD(preserve)},
	{"shortlist", RN_GROUP_TRANSLATION, RN_OPTION_BOOLEAN, "true", NULL, NULL, NULL, "",
		"Look only at pieces that are likely in a translation of the text, where the model has a shortlist that says which.",
		FIELD(shortlist)},
	{"token_scores", RN_GROUP_TRANSLATION, RN_OPTION_BOOLEAN, "false", NULL, NULL, NULL, "",
		"Give the log-probability of each piece, as residual_nbest does.", FIELD(token_scores)},
	{"precision", RN_GROUP_TRANSLATION, RN_OPTION_CHOICE, "float32", NULL, NULL, precisions, "",
		"Number format of products while translating; int8 is faster and loses a little quality.", FIELD(precision)},
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
	{
		if (options_table[i].size > 0)
			rn_search_set(&ctx, options, options_table[i].name, options_table[i].default_text);
	}
	options->has_beam = options->has_drawing = 0;
}

/* An explicit length is meant as it is said. */
static void
settle_length(RnSearchOptions *options)
{
	options->max_length_factor = options->max_length > 0 ? 0 : RN_LENGTH_FACTOR;
	options->max_length_offset = options->max_length > 0 ? 0 : RN_LENGTH_OFFSET;
}

static RnStatus
invalid_value(RnContext *ctx, const RnOption *option, const char *value)
{
	rn_fail(ctx, RN_INVALID, "invalid value for option \"%s\": \"%.100s\"", option->name, value);
	if (option->type == RN_OPTION_BOOLEAN)
		rn_hint(ctx, "It is true or false.");
	else if (option->choices == NULL)
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
	long long	number;
	int64_t		wide;
	int			narrow;
	char	   *end;

	errno = 0;
	number = strtoll(value, &end, 10);
	if (value[0] == '\0' || strspn(value, "+-0123456789") != strlen(value) || *end != '\0')
		return invalid_value(ctx, option, value);
	if (errno != 0 || number < atoll(option->minimum) || number > atoll(option->maximum))
		return out_of_range(ctx, option, value);
	wide = number;
	narrow = (int) number;
	if (option->size == sizeof(wide))
		memcpy((char *) options + option->offset, &wide, sizeof(wide));
	else
		memcpy((char *) options + option->offset, &narrow, sizeof(narrow));
	return RN_OK;
}

static RnStatus
set_boolean(RnContext *ctx, RnSearchOptions *options, const RnOption *option, const char *value)
{
	int			truth = strcmp(value, "true") == 0 || strcmp(value, "on") == 0;

	if (!truth && strcmp(value, "false") != 0 && strcmp(value, "off") != 0)
		return invalid_value(ctx, option, value);
	memcpy((char *) options + option->offset, &truth, sizeof(truth));
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

int
rn_search_is_internal(const char *key)
{
	return strcmp(key, "n_best") == 0 || strcmp(key, "token_scores") == 0;
}

static RnStatus
unknown_key(RnContext *ctx, const char *key)
{
	RnNearest	nearest;
	int			i;

	rn_fail(ctx, RN_INVALID, "unrecognized option \"%.100s\"", key);
	rn_nearest_begin(&nearest, key);
	for (i = 0; i < N_OPTIONS; i++)
	{
		if (!rn_search_is_internal(options_table[i].name))
			rn_nearest_try(&nearest, options_table[i].name);
	}
	if (nearest.best != NULL)
		rn_hint(ctx, "Perhaps you meant \"%s\".", nearest.best);
	return ctx->status;
}

static const RnOption *
find_option(const char *key)
{
	int			i;

	for (i = 0; i < N_OPTIONS; i++)
	{
		if (strcmp(options_table[i].name, key) == 0)
			return &options_table[i];
	}
	return NULL;
}

static void
note_given(RnSearchOptions *options, const char *key)
{
	options->has_beam |= strcmp(key, "beam") == 0;
	options->has_drawing |= strcmp(key, "temperature") == 0 || strcmp(key, "top_k") == 0 || strcmp(key, "seed") == 0;
}

RnStatus
rn_search_set(RnContext *ctx, RnSearchOptions *options, const char *key, const char *value)
{
	const RnOption *option = find_option(key);

	if (option == NULL || option->size == 0)
		return unknown_key(ctx, key);
	note_given(options, key);
	switch (option->type)
	{
		case RN_OPTION_CHOICE:
			return set_choice(ctx, options, option, value);
		case RN_OPTION_BOOLEAN:
			return set_boolean(ctx, options, option, value);
		case RN_OPTION_NUMBER:
			return set_number(ctx, options, option, value);
		default:
			RN_TRY(set_integer(ctx, options, option, value));
			settle_length(options);
			return RN_OK;
	}
}

static RnStatus
contradiction(RnContext *ctx, const char *one, const char *other, const char *reason, const char *hint)
{
	rn_fail(ctx, RN_INVALID, "options \"%s\" and \"%s\" contradict each other", one, other);
	rn_detail(ctx, "%s", reason);
	rn_hint(ctx, "%s", hint);
	return ctx->status;
}

static RnStatus
check_sampling(RnContext *ctx, const RnSearchOptions *options)
{
	static const char *const searched = "What must appear is searched for; what is drawn is left to chance.";

	if (options->beam > 1)
		return contradiction(ctx, "sampling", "beam", "Sampling draws each answer by itself; a beam compares several.",
							 "Leave out \"beam\"; residual_nbest() draws several answers.");
	if (options->alternatives)
		return contradiction(ctx, "sampling", "alternatives",
							 "Alternatives are the likeliest continuations; what is drawn is left to chance.",
							 "Leave out one of them.");
	if (options->has_glossary)
		return contradiction(ctx, "sampling", "glossary", searched, "Leave out one of them.");
	if (options->preserve)
		return contradiction(ctx, "sampling", "preserve", searched, "Leave out one of them.");
	return RN_OK;
}

static RnStatus
check_alternatives(RnContext *ctx, const RnSearchOptions *options)
{
	if (options->n_best * options->beam <= RN_BEAM_MAX)
		return RN_OK;
	rn_fail(ctx, RN_INVALID, "%d alternatives with beam %d are too many", options->n_best, options->beam);
	rn_detail(ctx, "Each alternative has a beam of its own, and a text at most %d hypotheses.", RN_BEAM_MAX);
	rn_hint(ctx, "Lower \"beam\" to %d.", RN_BEAM_MAX / options->n_best);
	return ctx->status;
}

static RnStatus
check_n_best(RnContext *ctx, const RnSearchOptions *options)
{
	if (options->n_best <= options->beam)
		return RN_OK;
	rn_fail(ctx, RN_INVALID, "n_best %d exceeds beam %d", options->n_best, options->beam);
	rn_hint(ctx, "Raise beam to at least %d.", options->n_best);
	return ctx->status;
}

static RnStatus
check_lengths(RnContext *ctx, const RnSearchOptions *options)
{
	if (options->max_length == 0 || options->min_length <= options->max_length)
		return RN_OK;
	rn_fail(ctx, RN_INVALID, "min_length %d exceeds max_length %d", options->min_length, options->max_length);
	rn_hint(ctx, "Lower \"min_length\" or raise \"max_length\".");
	return ctx->status;
}

RnStatus
rn_search_check(RnContext *ctx, RnSearchOptions *options)
{
	if (options->sampling && !options->has_beam)
		options->beam = 1;
	if (options->sampling)
		RN_TRY(check_sampling(ctx, options));
	else if (options->alternatives)
		RN_TRY(check_alternatives(ctx, options));
	else
		RN_TRY(check_n_best(ctx, options));
	if (options->has_drawing && !options->sampling)
	{
		rn_fail(ctx, RN_INVALID, "options \"temperature\", \"top_k\" and \"seed\" have no meaning without sampling");
		rn_hint(ctx, "Add \"sampling\": true.");
		return ctx->status;
	}
	return check_lengths(ctx, options);
}
