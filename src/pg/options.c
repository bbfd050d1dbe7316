/*
 * options.c
 *		Options between jsonb and RnConfig.
 *
 * The table in model/config.c knows keys, ranges and words; here is only what
 * has to do with jsonb.
 *
 * src/pg/options.c
 */
#include "options.h"

#include "utils/builtins.h"
#include "utils/numeric.h"

#define VALUE_SIZE	512			/* rn_config_get needs 256 */

static char *
scalar_text(const char *key, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			break;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"%s\"", key),
			 errdetail("The value is %s; it must be a string, a number, true or false.",
					   value->type == jbvNull ? "null" : "an array or an object"),
			 value->type == jbvNull ? errhint("Leave the key out to have its default.") : 0));
	return NULL;				/* keep compilers quiet */
}

void
res_options_each(Jsonb *options, ResOptionSink sink, void *arg)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *key = NULL;

	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options must be a JSON object"),
				 errhint("For example: '{\"max_steps\": 1000}'.")));
	iterator = JsonbIteratorInit(&options->root);
	while ((token = JsonbIteratorNext(&iterator, &value, key != NULL)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE && key != NULL)
		{
			sink(arg, key, scalar_text(key, &value));
			key = NULL;
		}
	}
}

static void
set_option(void *arg, const char *key, const char *value)
{
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (rn_config_set(&ctx, (RnConfig *) arg, key, value) != RN_OK)
		res_report(&ctx);
}

void
res_options_parse(Jsonb *options, RnConfig *config)
{
	res_options_each(options, set_option, config);
}

void
res_options_check(const RnConfig *config)
{
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (rn_config_check(&ctx, config) != RN_OK)
		res_report(&ctx);
}

bool
res_option_is_of_model(const RnOption *option)
{
	return option->group == RN_GROUP_MODEL || option->group == RN_GROUP_TEXT;
}

static void
push_string(JsonbParseState **state, JsonbIteratorToken token, const char *text)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = pstrdup(text);
	value.val.string.len = strlen(text);
	pushJsonbValue(state, token, &value);
}

static void
push_value(JsonbParseState **state, const RnOption *option, const char *text)
{
	JsonbValue	value;

	switch (option->type)
	{
		case RN_OPTION_BOOLEAN:
			value.type = jbvBool;
			value.val.boolean = strcmp(text, "on") == 0;
			break;
		case RN_OPTION_INTEGER:
		case RN_OPTION_NUMBER:
			value.type = jbvNumeric;
			value.val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
																	ObjectIdGetDatum(InvalidOid),
																	Int32GetDatum(-1)));
			break;
		default:
			push_string(state, WJB_VALUE, text);
			return;
	}
	pushJsonbValue(state, WJB_VALUE, &value);
}

Jsonb *
res_options_jsonb(const RnConfig *config, bool model_only)
{
	JsonbParseState *state = NULL;
	const RnOption *options;
	char		text[VALUE_SIZE];
	int			n,
				i;

	options = rn_options(&n);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (i = 0; i < n; i++)
	{
		if (options[i].offset_too != 0 || (model_only && !res_option_is_of_model(&options[i])))
			continue;
		rn_config_get(config, &options[i], text, sizeof(text));
		push_string(&state, WJB_KEY, options[i].name);
		push_value(&state, &options[i], text);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

void
res_options_write(RnWriter *writer, const RnConfig *config)
{
	const RnOption *options;
	char		text[VALUE_SIZE];
	int			n,
				n_keys = 0,
				i;

	options = rn_options(&n);
	for (i = 0; i < n; i++)
		n_keys += (options[i].offset_too == 0);
	rn_write_u32(writer, n_keys);
	for (i = 0; i < n; i++)
	{
		if (options[i].offset_too != 0)
			continue;
		rn_config_get(config, &options[i], text, sizeof(text));
		rn_write_string(writer, options[i].name);
		rn_write_string(writer, text);
	}
}
