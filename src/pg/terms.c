/*
 * terms.c
 *		What translations must hold, out of jsonb and onto the wire.
 *
 * src/pg/terms.c
 */
#include "terms.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "encoding.h"

#define GLOSSARY_EXAMPLE	"For example: '{\"glossary\": {\"server\": \"Server\"}}'."

static void
glossary_error(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"glossary\""),
			 errdetail("%s", detail),
			 errhint(GLOSSARY_EXAMPLE)));
}

static bool
is_blank(const char *value)
{
	return value[strspn(value, " \t\r\n")] == '\0';
}

static void
add_pair(ResTerms *terms, const JsonbValue *term, const JsonbValue *translation)
{
	char	   *source;
	char	   *target;

	if (term->type != jbvString || translation->type != jbvString)
		glossary_error("Terms and their translations must be strings.");
	source = pnstrdup(term->val.string.val, term->val.string.len);
	target = pnstrdup(translation->val.string.val, translation->val.string.len);
	if (is_blank(source))
		glossary_error("A term is empty.");
	if (is_blank(target))
		glossary_error(psprintf("The translation of \"%s\" is empty.", source));
	terms->glossary = lappend(lappend(terms->glossary, source), target);
}

/* {"term": "translation", ...} */
static void
read_object(ResTerms *terms, JsonbContainer *container)
{
	JsonbIterator *iterator = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue	term;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			term = value;
		else if (token == WJB_VALUE)
			add_pair(terms, &term, &value);
	}
}

/* [["term", "translation"], ...] */
static void
read_array(ResTerms *terms, JsonbContainer *container)
{
	uint32		n = JsonContainerSize(container);
	uint32		i;

	for (i = 0; i < n; i++)
	{
		JsonbValue *pair = getIthJsonbValueFromContainer(container, i);

		if (pair->type != jbvBinary || !JsonContainerIsArray(pair->val.binary.data) ||
			JsonContainerSize(pair->val.binary.data) != 2)
			glossary_error("In an array each element must be an array of a term and its translation.");
		add_pair(terms, getIthJsonbValueFromContainer(pair->val.binary.data, 0),
				 getIthJsonbValueFromContainer(pair->val.binary.data, 1));
	}
}

static Jsonb *
without(Jsonb *options, const char *key)
{
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(options), CStringGetTextDatum(key)));
}

Jsonb *
res_terms_take(Jsonb *options, ResTerms *terms)
{
	JsonbValue	key_value;
	JsonbValue *value;

	terms->prefix = NULL;
	terms->glossary = NIL;
	if (options == NULL || !JB_ROOT_IS_OBJECT(options))
		return options;
	if ((value = getKeyJsonValueFromContainer(&options->root, "prefix", strlen("prefix"), &key_value)) != NULL)
	{
		if (value->type != jbvString)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid value for option \"prefix\""),
					 errdetail("The value must be a string.")));
		terms->prefix = pnstrdup(value->val.string.val, value->val.string.len);
	}
	if ((value = getKeyJsonValueFromContainer(&options->root, "glossary", strlen("glossary"), &key_value)) != NULL)
	{
		if (value->type != jbvBinary)
			glossary_error("The value must be an object, or an array of pairs.");
		if (JsonContainerIsObject(value->val.binary.data))
			read_object(terms, value->val.binary.data);
		else
			read_array(terms, value->val.binary.data);
	}
	return without(without(options, "prefix"), "glossary");
}

static void
write_utf8(RnWriter *writer, const char *value)
{
	text	   *copy = cstring_to_text(value);
	Size		size;
	const char *bytes = res_text_to_utf8(copy, &size);

	rn_write_bytes(writer, bytes, size);
	if (bytes != VARDATA_ANY(copy))
		pfree(unconstify(char *, bytes));
	pfree(copy);
}

void
res_terms_write(RnWriter *writer, const ResTerms *terms)
{
	ListCell   *cell;

	write_utf8(writer, terms->prefix != NULL ? terms->prefix : "");
	rn_write_u32(writer, list_length(terms->glossary) / 2);
	foreach(cell, terms->glossary)
		write_utf8(writer, lfirst(cell));
}
