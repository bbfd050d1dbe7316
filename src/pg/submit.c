/*
 * submit.c
 *		What must hold before a job is written down or taken up again.
 *
 * What is checked here is for the user's convenience; the worker reads the
 * table in its own session, as the same role, and meets the server's own
 * checks again.
 *
 * src/pg/submit.c
 */
#include "submit.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "corpus.h"
#include "engine_process.h"
#include "job.h"
#include "launch.h"
#include "model_catalog.h"
#include "options.h"

#define NAP				10		/* ms between looks at a job whose worker is leaving */
#define LEAVE_GRACE		10000	/* ms that it may take */

/* ---- options ---- */

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

/* ---- a new job ---- */

static void
refuse_second_job(const char *model, int64 other)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("model \"%s\" is being trained by job " INT64_FORMAT, model, other),
			 errhint("Wait for it with residual_wait(" INT64_FORMAT "), or end it with residual_cancel(" INT64_FORMAT ").",
					 other, other)));
}

int64
res_submit(const char *name, Oid corpus, const char *source, const char *target, Jsonb *options)
{
	Oid			user = GetUserId();
	ResModel	model;
	bool		exists;
	int64		other;
	RnConfig	config;
	ResJob		job;

	memset(&job, 0, sizeof(job));
	job.owner = user;
	job.model = pstrdup(name);
	job.source = pstrdup(source);
	job.target = pstrdup(target);
	res_model_check_name(job.model);
	res_launch_check_role(user);
	job.corpus = res_corpus_check(corpus, job.source, job.target);
	exists = res_model_find(job.model, &model);
	if (exists)
		res_model_check_owner(&model, user);
	else
		model.name = job.model;
	effective_options(options, &model, exists, &config);
	check_validation(&config, job.source, job.target);
	res_engine_check_program();
	res_job_lock_model(job.model);
	other = res_job_of_model(job.model);
	if (other != 0)
		refuse_second_job(job.model, other);
	job.options = res_options_jsonb(&config, false);
	return res_job_insert(&job);
}

/* ---- an old one ---- */

/* Better to hear now than after hours that the job's owner cannot connect, or that its model is another's. */
static void
check_can_end(const ResJob *job)
{
	ResModel	model;

	res_launch_check_role(job->owner);
	if (res_model_find(job->model, &model))
		res_model_check_owner(&model, job->owner);
}

/*
 * A worker that has committed how its job ended, or that found no place for
 * it, holds the lock that says it lives for a moment longer: whoever resumes
 * the job in between waits for that.
 */
static void
get_settled_job(int64 id, Oid user, ResJob *job)
{
	TimestampTz begin = GetCurrentTimestamp();

	for (;;)
	{
		res_job_get(id, user, job);
		if (job->state == RES_JOB_RUNNING || job->state == RES_JOB_DONE || !res_job_is_live(id) ||
			TimestampDifferenceExceeds(begin, GetCurrentTimestamp(), LEAVE_GRACE))
			return;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, NAP, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

bool
res_resubmit(int64 id, ResJob *job)
{
	int64		other;

	get_settled_job(id, GetUserId(), job);
	if (job->state == RES_JOB_DONE || res_job_is_live(id))
		return false;			/* without a lock on a row that its worker writes to */
	res_job_lock_model(job->model);
	if (!res_job_find_for_update(id, job) || job->state == RES_JOB_DONE || res_job_is_live(id) ||
		res_launch_is_pending(id))
		return false;
	other = res_job_of_model(job->model);
	if (other != 0 && other != id)
		refuse_second_job(job->model, other);
	check_can_end(job);
	res_engine_check_program();
	res_job_requeue(id);
	return true;
}
