/*
 * sql_train.c
 *		residual_train(): check all that can be checked at once, write the job,
 *		have a worker started at commit.
 *
 * What is checked here is for the user's convenience; the worker reads the
 * table in its own session, as the same role, and meets the server's own
 * checks again.
 *
 * src/pg/sql_train.c
 */
#include "residual.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "corpus.h"
#include "engine_process.h"
#include "job.h"
#include "launch.h"
#include "model_catalog.h"
#include "options.h"

PG_FUNCTION_INFO_V1(residual_train);

static void
check_not_null(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {"model", "corpus", "source", "target", "options"};
	int			i;

	for (i = 0; i < lengthof(names); i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" of residual_train must not be null", names[i])));
	}
}

/* Options that the model's weights fix must be those of the version that training goes on from. */
typedef struct FixedOptions
{
	const RnConfig *version;
	const char *model;
	int32		number;
} FixedOptions;

static void
check_fixed(void *arg, const char *key, const char *value)
{
	FixedOptions *fixed = arg;
	const RnOption *option = rn_option_find(key);
	RnConfig	config = *fixed->version;
	RnContext	ctx;

	if (option == NULL || !res_option_is_of_model(option))
		return;
	rn_context_reset(&ctx);
	if (rn_config_set(&ctx, &config, key, value) != RN_OK || memcmp(&config, fixed->version, sizeof(config)) == 0)
		return;					/* wrong values are reported with the others */
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" differs from that of version %d of model \"%s\"", key, fixed->number, fixed->model),
			 errdetail("Training goes on from the weights of that version."),
			 errhint("Leave the option out, or leave \"from\" out to train a version of its own.")));
}

/* Alone: what the others must be is known only when the version is. */
static void
check_from(const char *from)
{
	RnConfig	config;

	rn_config_defaults(&config);
	strlcpy(config.from, from, sizeof(config.from));
	res_options_check(&config);
}

/* "from": the version's own options become the defaults, and the version a number. */
static void
take_from_version(Jsonb *options, const ResModel *model, bool exists, RnConfig *config)
{
	ResVersion	version;
	FixedOptions fixed;
	RnConfig	of_version = *config;
	int32		number;

	if (config->from[0] == '\0')
		return;
	check_from(config->from);
	number = strcmp(config->from, "active") == 0 ? (exists ? model->active : 0) : pg_strtoint32(config->from);
	if (!exists || number == 0 || !res_version_find(model->id, number, &version))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 exists ? errmsg("model \"%s\" has no version \"%s\" to go on from", model->name, config->from) :
				 errmsg("model \"%s\" does not exist, so training cannot go on from it", model->name),
				 errhint("Leave option \"from\" out to begin with fresh weights.")));
	res_options_parse(version.configuration, &of_version);
	fixed.version = &of_version;
	fixed.model = model->name;
	fixed.number = number;
	res_options_each(options, check_fixed, &fixed);
	*config = of_version;
	snprintf(config->from, sizeof(config->from), "%d", number);
}

/* A table for validation must be as good as the corpus; its name is kept qualified. */
static void
check_validation(RnConfig *config, const char *source, const char *target)
{
	char	   *end;
	char	   *name;

	(void) strtod(config->validation, &end);
	if (end != config->validation && *end == '\0')
		return;					/* a fraction */
	name = res_corpus_check_name(config->validation, source, target);
	if (strlen(name) >= sizeof(config->validation))
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("name of validation table %s is too long", name)));
	strlcpy(config->validation, name, sizeof(config->validation));
}

static void
effective_options(Jsonb *options, const ResModel *model, bool exists, RnConfig *config)
{
	RnContext	ctx;

	rn_context_reset(&ctx);
	rn_config_defaults(config);
	if (rn_config_set(&ctx, config, "device", res_device) != RN_OK)
		res_report(&ctx);
	res_options_parse(options, config);
	take_from_version(options, model, exists, config);
	if (config->threads == 0)
		config->threads = res_default_threads();	/* a resumed run must have as many */
	res_options_check(config);
}

static void
check_not_training(const char *model)
{
	int64		other;

	res_job_lock_model(model);
	other = res_job_of_model(model);
	if (other != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("model \"%s\" is being trained by job " INT64_FORMAT, model, other),
				 errhint("Wait for it with residual_wait(" INT64_FORMAT "), or end it with residual_cancel(" INT64_FORMAT ").",
						 other, other)));
}

/* Nobody may be surprised by a job that does not start. */
static void
warn_if_full(int64 job)
{
	if (res_job_place_is_free())
		return;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("%d training jobs run already: job " INT64_FORMAT " stays queued", res_max_jobs, job),
			 errdetail("The limit is residual.max_jobs."),
			 res_launcher_runs() ?
			 errhint("It starts when another job has ended.") :
			 errhint("Start it later with residual_resume(" INT64_FORMAT ").", job)));
}

Datum
residual_train(PG_FUNCTION_ARGS)
{
	Oid			user = GetUserId();
	Jsonb	   *options;
	ResModel	model;
	bool		exists;
	RnConfig	config;
	ResJob		job;

	PreventCommandDuringRecovery("residual_train()");
	PreventCommandIfReadOnly("residual_train()");
	check_not_null(fcinfo);
	options = PG_GETARG_JSONB_P(4);
	memset(&job, 0, sizeof(job));
	job.owner = user;
	job.model = text_to_cstring(PG_GETARG_TEXT_PP(0));
	job.source = NameStr(*PG_GETARG_NAME(2));
	job.target = NameStr(*PG_GETARG_NAME(3));

	res_model_check_name(job.model);
	res_launch_check_role(user);
	job.corpus = res_corpus_check(PG_GETARG_OID(1), job.source, job.target);
	exists = res_model_find(job.model, &model);
	if (exists)
		res_model_check_owner(&model, user);
	else
		model.name = job.model;
	effective_options(options, &model, exists, &config);
	check_validation(&config, job.source, job.target);
	res_engine_check_program();
	check_not_training(job.model);

	job.options = res_options_jsonb(&config, false);
	job.id = res_job_insert(&job);
	warn_if_full(job.id);
	res_launch_at_commit(job.id, user);
	PG_RETURN_INT64(job.id);
}
