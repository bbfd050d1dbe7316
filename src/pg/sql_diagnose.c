/*
 * sql_diagnose.c
 *		SQL functions that look inside a model, or a fresh one that is not
 *		kept: gradients, streams, attention, cost.
 *
 * Here is what has to do with SQL: options, rights, rows.  Everything else is
 * done by a process of its own (apart.h), which is told what is needed and
 * gives the result's rows.  The table is read to its end before that process
 * is asked for, since reading may run any SQL.
 *
 * src/pg/sql_diagnose.c
 */
#include "residual.h"

#include <math.h>

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "apart.h"
#include "base/nearest.h"
#include "corpus.h"
#include "engine_client.h"
#include "model_catalog.h"
#include "options.h"

#define MOST_BYTES		(256 * 1024 * 1024) /* of text */
#define FRAME_BYTES		(64 * 1024)	/* rows are sent in frames of about this size */
#define LOAD_ID			1

/* ---------- what is asked ---------- */

/* Parameters of a diagnostic, given among the options. */
typedef struct Parameters
{
	char	   *model;			/* look at this one; NULL: a fresh one */
	char	   *tokenizer_of;	/* the fresh one takes the tokenizer of this; NULL: learns its own */
	double		version;		/* of model or tokenizer_of; 0: that in service */
	double		rows;			/* to be read */
	double		random_step;
	double		gradient_step;
	double		repeats;
} Parameters;

typedef struct Parameter
{
	const char *name;
	Size		offset;
	bool		is_number;
	bool		is_whole;
	double		minimum;
	double		maximum;
	bool		needs_rows;		/* only with diagnostics that read rows */
	const char *only;			/* with this diagnostic; NULL: with all */
	bool		is_sent;		/* the engine wants to know */
} Parameter;

static const Parameter parameters_known[] = {
	{"model", offsetof(Parameters, model), false, false, 0, 0, true, NULL, false},
	{"tokenizer_of", offsetof(Parameters, tokenizer_of), false, false, 0, 0, true, NULL, false},
	{"version", offsetof(Parameters, version), true, true, 1, PG_INT32_MAX, true, NULL, false},
	{"rows", offsetof(Parameters, rows), true, true, 1, 1000000, true, NULL, false},
	{"random_step", offsetof(Parameters, random_step), true, false, 1e-12, 1, true, "output_change", true},
	{"gradient_step", offsetof(Parameters, gradient_step), true, false, 1e-12, 1, true, "output_change", true},
	{"repeats", offsetof(Parameters, repeats), true, true, 1, 1000, false, "cost", true}
};

static const Parameters parameters_default = {
	.rows = 1000, .random_step = 1e-4, .gradient_step = 1e-6, .repeats = 5
};

typedef struct Pair
{
	const char *source;			/* NULL: NULL or empty */
	const char *target;
	Size		source_size;
	Size		target_size;
} Pair;

typedef struct Diagnosis
{
	const char *name;
	Parameters	parameters;
	RnConfig	config;
	RnModelUse	use;
	ResModel	model;			/* that is sent; active is the version wanted */
	MemoryContext context;		/* of the pairs */
	Pair	   *pairs;
	int			n_pairs;
	int			room;
	Size		bytes;
	ReturnSetInfo *result;
} Diagnosis;

/* ---------- options ---------- */

static double
parse_number(const Parameter *parameter, const char *value)
{
	char	   *end;
	double		number = strtod(value, &end);

	if (value[0] == '\0' || *end != '\0' || isnan(number) || number < parameter->minimum || number > parameter->maximum ||
		(parameter->is_whole && number != floor(number)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", parameter->name, value),
				 errdetail("Valid values are %s from %g to %.10g.", parameter->is_whole ? "whole numbers" : "numbers",
						   parameter->minimum, parameter->maximum)));
	return number;
}

/* Nobody knows the key: of all that are known here, which is nearest? */
static void
check_known(const Diagnosis *diagnosis, bool has_rows, const char *key)
{
	RnNearest	nearest;
	const RnOption *options;
	int			n;
	int			i;

	if (rn_option_find(key) != NULL)
		return;
	options = rn_options(&n);
	rn_nearest_begin(&nearest, key);
	for (i = 0; i < n; i++)
		rn_nearest_try(&nearest, options[i].name);
	for (i = 0; i < lengthof(parameters_known); i++)
	{
		const Parameter *parameter = &parameters_known[i];

		if ((has_rows || !parameter->needs_rows) &&
			(parameter->only == NULL || strcmp(parameter->only, diagnosis->name) == 0))
			rn_nearest_try(&nearest, parameter->name);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized option \"%s\" of residual_%s()", key, diagnosis->name),
			 nearest.best != NULL ? errhint("Perhaps you meant \"%s\".", nearest.best) : 0));
}

typedef struct Sorting
{
	Diagnosis  *diagnosis;
	bool		has_rows;
	List	   *rest;			/* key, value, key, ...: options of the model and its training */
} Sorting;

static void
sort_option(void *arg, const char *key, const char *value)
{
	Sorting    *sorting = arg;
	Diagnosis  *diagnosis = sorting->diagnosis;
	int			i;

	for (i = 0; i < lengthof(parameters_known); i++)
	{
		const Parameter *parameter = &parameters_known[i];
		char	   *field = (char *) &diagnosis->parameters + parameter->offset;

		if (strcmp(parameter->name, key) != 0 || (parameter->needs_rows && !sorting->has_rows) ||
			(parameter->only != NULL && strcmp(parameter->only, diagnosis->name) != 0))
			continue;
		if (parameter->is_number)
			*(double *) field = parse_number(parameter, value);
		else
			*(char **) field = pstrdup(value);
		return;
	}
	check_known(diagnosis, sorting->has_rows, key);
	sorting->rest = lappend(lappend(sorting->rest, pstrdup(key)), pstrdup(value));
}

/* The version that is meant, with the user's rights checked. */
static void
find_model(Diagnosis *diagnosis, ResVersion *version)
{
	const Parameters *parameters = &diagnosis->parameters;
	Oid			user = GetUserId();

	res_model_get(parameters->model != NULL ? parameters->model : parameters->tokenizer_of, user, &diagnosis->model);
	res_model_check_use(&diagnosis->model, user);
	if (parameters->version > 0)
		diagnosis->model.active = (int32) parameters->version;
	if (diagnosis->model.active == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no version in service", diagnosis->model.name),
				 errhint("Name one with option \"version\"; the view residual_versions lists what there is.")));
	if (!res_version_find(diagnosis->model.id, diagnosis->model.active, version))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("version %d of model \"%s\" does not exist", diagnosis->model.active, diagnosis->model.name),
				 errhint("The view residual_versions lists what there is.")));
	diagnosis->model.checksum = version->checksum;
}

static void
choose_model(Diagnosis *diagnosis)
{
	const Parameters *parameters = &diagnosis->parameters;
	ResVersion	version;

	diagnosis->use = RN_USE_NOTHING;
	if (parameters->model != NULL && parameters->tokenizer_of != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options \"model\" and \"tokenizer_of\" exclude each other"),
				 errhint("\"model\" looks at a trained model, \"tokenizer_of\" lends its tokenizer to a fresh one.")));
	if (parameters->model == NULL && parameters->tokenizer_of == NULL)
	{
		if (parameters->version > 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"version\" needs a model"),
					 errhint("Name it with option \"model\".")));
		return;
	}
	find_model(diagnosis, &version);
	diagnosis->use = parameters->model != NULL ? RN_USE_MODEL : RN_USE_TOKENIZER;
	if (diagnosis->use == RN_USE_MODEL)
		res_options_parse(version.configuration, &diagnosis->config);
}

/* Shorthands come first, as in jsonb's order of keys. */
static void
set_options(Diagnosis *diagnosis, List *rest)
{
	int			i;

	for (i = 0; i < list_length(rest); i += 2)
	{
		const char *key = list_nth(rest, i);
		RnContext	ctx;

		if (diagnosis->use == RN_USE_MODEL && res_option_is_of_model(rn_option_find(key)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" is that of model \"%s\"", key, diagnosis->model.name),
					 errhint("Leave it out, or leave option \"model\" out to look at a fresh model.")));
		rn_context_reset(&ctx);
		if (rn_config_set(&ctx, &diagnosis->config, key, list_nth(rest, i + 1)) != RN_OK)
			res_report(&ctx);
	}
}

static void
parse_options(Diagnosis *diagnosis, Jsonb *options, bool has_rows)
{
	Sorting		sorting = {diagnosis, has_rows, NIL};

	diagnosis->parameters = parameters_default;
	rn_config_defaults(&diagnosis->config);
	res_options_each(options, sort_option, &sorting);
	choose_model(diagnosis);
	set_options(diagnosis, sorting.rest);
	res_options_check(&diagnosis->config);
}

/* ---------- rows ---------- */

static const char *
keep_text(Diagnosis *diagnosis, const char *bytes, Size size)
{
	char	   *copy;

	if (bytes == NULL || size == 0)
		return NULL;
	diagnosis->bytes += size;
	if (diagnosis->bytes > MOST_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the rows hold more than %d MB of text", MOST_BYTES / 1024 / 1024),
				 errhint("Lower option \"rows\".")));
	copy = MemoryContextAlloc(diagnosis->context, size);
	memcpy(copy, bytes, size);
	return copy;
}

/* ResPairSink */
static void
keep_pair(void *arg, const char *source, Size source_size, const char *target, Size target_size)
{
	Diagnosis  *diagnosis = arg;
	Pair	   *pair;

	if (diagnosis->n_pairs == diagnosis->room)
	{
		diagnosis->room *= 2;
		diagnosis->pairs = repalloc_huge(diagnosis->pairs, diagnosis->room * sizeof(Pair));
	}
	pair = &diagnosis->pairs[diagnosis->n_pairs++];
	pair->source = keep_text(diagnosis, source, source_size);
	pair->target = keep_text(diagnosis, target, target_size);
	pair->source_size = pair->source != NULL ? source_size : 0;
	pair->target_size = pair->target != NULL ? target_size : 0;
}

static void
read_rows(Diagnosis *diagnosis, Oid relation, const char *source, const char *target)
{
	char	   *table = res_corpus_check_here(relation, source, target);

	diagnosis->context = CurrentMemoryContext;
	diagnosis->room = 256;
	diagnosis->pairs = palloc(diagnosis->room * sizeof(Pair));
	(void) res_corpus_each(table, source, target, (int64) diagnosis->parameters.rows, keep_pair, diagnosis);
	if (diagnosis->n_pairs == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("there is no row in %s", table),
				 errhint("Row-level security may hide rows.")));
}

/* ---------- the conversation ---------- */

static void
write_parameters(RnWriter *writer, const Diagnosis *diagnosis)
{
	uint32		n = 0;
	int			i;

	for (i = 0; i < lengthof(parameters_known); i++)
		n += parameters_known[i].is_sent;
	rn_write_u32(writer, n);
	for (i = 0; i < lengthof(parameters_known); i++)
	{
		const Parameter *parameter = &parameters_known[i];

		if (!parameter->is_sent)
			continue;
		rn_write_string(writer, parameter->name);
		rn_write_string(writer, psprintf("%.17g", *(const double *) ((const char *) &diagnosis->parameters +
																	 parameter->offset)));
	}
}

/* Rows from the first-th on that make a frame; gives where the next frame begins. */
static int
send_rows(ResChannel *channel, const Diagnosis *diagnosis, int first)
{
	Size		bytes = 0;
	int			last = first;
	int			i;

	while (last < diagnosis->n_pairs && bytes < FRAME_BYTES)
	{
		bytes += diagnosis->pairs[last].source_size + diagnosis->pairs[last].target_size;
		last++;
	}
	rn_write_begin(&channel->out, RN_ROWS, 0);
	rn_write_u8(&channel->out, 0);
	rn_write_u32(&channel->out, (uint32) (last - first));
	for (i = first; i < last; i++)
	{
		rn_write_bytes(&channel->out, diagnosis->pairs[i].source, diagnosis->pairs[i].source_size);
		rn_write_bytes(&channel->out, diagnosis->pairs[i].target, diagnosis->pairs[i].target_size);
	}
	res_channel_end(channel);
	res_apart_send(channel);
	return last;
}

/* ResApartAsk */
static void
ask(ResChannel *channel, void *arg)
{
	const Diagnosis *diagnosis = arg;
	int			sent = 0;

	if (diagnosis->use != RN_USE_NOTHING && !res_send_model(channel, &diagnosis->model, LOAD_ID))
		res_apart_lost();
	rn_write_begin(&channel->out, RN_DIAGNOSE, 0);
	rn_write_string(&channel->out, diagnosis->name);
	res_options_write(&channel->out, &diagnosis->config);
	rn_write_u8(&channel->out, (uint8) diagnosis->use);
	write_parameters(&channel->out, diagnosis);
	rn_write_u64(&channel->out, (uint64) res_training_memory * 1024 * 1024);
	res_channel_end(channel);
	while (sent < diagnosis->n_pairs)
		sent = send_rows(channel, diagnosis, sent);
	res_channel_put(channel, RN_ROWS_END);
}

/* ResApartTake */
static bool
take(const RnFrame *frame, void *arg)
{
	const Diagnosis *diagnosis = arg;

	return res_apart_put_rows(frame, diagnosis->result->setResult, diagnosis->result->setDesc);
}

/* ---------- the functions ---------- */

/* All of them: options, and where rows are looked at, a table and two of its columns. */
static Datum
diagnose(FunctionCallInfo fcinfo, const char *name)
{
	static const char *const arguments[] = {"options", "corpus", "source", "target"};
	bool		has_rows = PG_NARGS() > 1;
	Diagnosis	diagnosis;

	res_check_arguments(fcinfo, arguments, PG_NARGS());
	InitMaterializedSRF(fcinfo, 0);
	memset(&diagnosis, 0, sizeof(diagnosis));
	diagnosis.name = name;
	diagnosis.result = (ReturnSetInfo *) fcinfo->resultinfo;
	parse_options(&diagnosis, PG_GETARG_JSONB_P(0), has_rows);
	if (has_rows)
		read_rows(&diagnosis, PG_GETARG_OID(1), NameStr(*PG_GETARG_NAME(2)), NameStr(*PG_GETARG_NAME(3)));
	res_apart(ask, take, &diagnosis);
	return (Datum) 0;
}

#define DIAGNOSTIC(name) \
	PG_FUNCTION_INFO_V1(residual_##name); \
	Datum \
	residual_##name(PG_FUNCTION_ARGS) \
	{ \
		return diagnose(fcinfo, #name); \
	} \
	extern int no_such_variable

DIAGNOSTIC(probe);
DIAGNOSTIC(layer_gradients);
DIAGNOSTIC(layer_dependency);
DIAGNOSTIC(output_change);
DIAGNOSTIC(similarity);
DIAGNOSTIC(attention_stats);
DIAGNOSTIC(adam_condition);
DIAGNOSTIC(adam_curve);
DIAGNOSTIC(cost);
