/*
 * diagnosis_intake.c
 *		What a diagnostic question consists of: a model that is sent, options,
 *		rows.
 *
 * A model comes as it comes to the serving engine, and is taken in by the same
 * code.
 *
 * src/engine/diagnosis_intake.c
 */
#include <stdlib.h>
#include <string.h>

#include "engine/diagnosis.h"
#include "engine/frames.h"

#define MOST_PAIRS		(1 << 24)

static RnStatus
unexpected(RnContext *ctx, const RnFrame *frame)
{
	return rn_fail(ctx, RN_CORRUPT, "received an unexpected message of type %u in a diagnostic question", frame->type);
}

/* ---- a model ---- */

static RnStatus
take_load(RnContext *ctx, RnDiagnosis *diagnosis, const RnFrame *frame)
{
	RnLoadHead *head;
	int			room;

	if (diagnosis->sent != NULL)
		return unexpected(ctx, frame);
	head = malloc(sizeof(*head));
	if (head == NULL)
		return rn_out_of_memory(ctx, sizeof(*head));
	if (rn_load_read(ctx, frame, head) == RN_OK && head->error.status != RN_OK)
		*ctx = head->error;
	if (ctx->status == RN_OK &&
		rn_store_want(ctx, &diagnosis->store, &head->key, diagnosis, &diagnosis->sent) == RN_OK &&
		rn_store_load(ctx, &diagnosis->store, diagnosis->sent, &head->config, head->bytes, &room) == RN_OK)
		rn_load_begin(ctx, &diagnosis->load, frame->id, diagnosis->sent);
	free(head);
	return ctx->status;
}

static RnStatus
take_part(RnContext *ctx, RnDiagnosis *diagnosis, const RnFrame *frame)
{
	RnContext	error;

	if (!diagnosis->load.active)
		return unexpected(ctx, frame);
	rn_context_reset(&error);
	RN_TRY(rn_load_part(ctx, &diagnosis->store, &diagnosis->load, frame, &error));
	if (error.status != RN_OK)
		*ctx = error;
	return ctx->status;
}

static RnStatus
take_load_end(RnContext *ctx, RnDiagnosis *diagnosis, const RnFrame *frame)
{
	RnWriter	writer;

	if (!diagnosis->load.active)
		return unexpected(ctx, frame);
	RN_TRY(rn_load_check(ctx, &diagnosis->load));
	rn_store_complete(&diagnosis->store, diagnosis->sent);
	RN_TRY(rn_store_build(ctx, diagnosis->sent));
	rn_writer_init(&writer);
	if (rn_write_empty(ctx, &writer, RN_LOADED, diagnosis->load.id) == RN_OK)
		rn_peer_send(ctx, diagnosis->peer, &writer);
	rn_writer_free(&writer);
	rn_load_end(&diagnosis->load);
	return ctx->status;
}

/* ---- the question ---- */

/* RnPairSink */
static RnStatus
set_parameter(RnContext *ctx, void *arg, const char *key, const char *value)
{
	RnDiagnosisParameters *parameters = arg;
	double		number = strtod(value, NULL);

	if (strcmp(key, "random_step") == 0)
		parameters->random_step = number;
	else if (strcmp(key, "gradient_step") == 0)
		parameters->gradient_step = number;
	else if (strcmp(key, "repeats") == 0)
		parameters->repeats = (int) number;
	else
		return rn_fail(ctx, RN_CORRUPT, "received an unknown parameter \"%s\" of a diagnostic", key);
	return RN_OK;
}

/* What the options ask for and there is no answer in. */
static RnStatus
check_means(RnContext *ctx, const RnConfig *config)
{
	if (strcmp(config->device, "auto") != 0 && strcmp(config->device, "cpu") != 0)
	{
		rn_fail(ctx, RN_UNSUPPORTED, "diagnostics run on the CPU");
		rn_hint(ctx, "Leave option \"device\" out.");
	}
	else if (strcmp(config->precision, "float32") != 0)
	{
		rn_fail(ctx, RN_UNSUPPORTED, "diagnostics run in float32");
		rn_hint(ctx, "Leave option \"precision\" out.");
	}
	return ctx->status;
}

static RnStatus
take_question(RnContext *ctx, RnDiagnosis *diagnosis, const RnFrame *frame)
{
	char		name[RN_NAME_LENGTH];
	RnReader	reader;

	if (diagnosis->question != NULL || diagnosis->load.active)
		return unexpected(ctx, frame);
	rn_reader_init(&reader, frame);
	rn_read_string(&reader, name, sizeof(name));
	rn_config_defaults(&diagnosis->config);
	RN_TRY(rn_take_pairs(ctx, &reader, rn_take_option, &diagnosis->config));
	diagnosis->use = (RnModelUse) rn_read_u8(&reader);
	RN_TRY(rn_take_pairs(ctx, &reader, set_parameter, &diagnosis->parameters));
	diagnosis->memory_limit = (size_t) rn_read_u64(&reader);
	RN_TRY(rn_reader_end(ctx, &reader, "diagnostic question"));
	RN_TRY(rn_config_check(ctx, &diagnosis->config));
	RN_TRY(check_means(ctx, &diagnosis->config));
	diagnosis->question = rn_question_find(name);
	if (diagnosis->question == NULL)
		return rn_fail(ctx, RN_CORRUPT, "received an unknown diagnostic \"%s\"", name);
	if ((diagnosis->use != RN_USE_NOTHING) != (diagnosis->sent != NULL))
		return rn_fail(ctx, RN_CORRUPT, "received a diagnostic question without its model");
	return RN_OK;
}

/* ---- rows ---- */

static RnStatus
copy_text(RnContext *ctx, RnText text, RnText *copy)
{
	char	   *bytes = malloc(text.size > 0 ? text.size : 1);

	if (bytes == NULL)
		return rn_out_of_memory(ctx, text.size);
	memcpy(bytes, text.bytes, text.size);
	copy->bytes = bytes;
	copy->size = text.size;
	return RN_OK;
}

/* RnRowSink */
static RnStatus
take_row(RnContext *ctx, void *arg, int set, RnText source, RnText target)
{
	RnDiagnosis *diagnosis = arg;

	(void) set;
	if (source.size == 0 || target.size == 0)
	{
		diagnosis->rows_empty++;
		return RN_OK;
	}
	if (diagnosis->n_pairs == diagnosis->room)
	{
		int			room = diagnosis->room > 0 ? 2 * diagnosis->room : 256;
		RnText	   *texts = room > MOST_PAIRS ? NULL : realloc(diagnosis->texts, 2 * (size_t) room * sizeof(RnText));

		if (texts == NULL)
			return rn_out_of_memory(ctx, 2 * (size_t) room * sizeof(RnText));
		memset(texts + 2 * diagnosis->room, 0, 2 * (size_t) (room - diagnosis->room) * sizeof(RnText));
		diagnosis->texts = texts;
		diagnosis->room = room;
	}
	RN_TRY(copy_text(ctx, source, &diagnosis->texts[2 * diagnosis->n_pairs]));
	diagnosis->n_pairs++;
	return copy_text(ctx, target, &diagnosis->texts[2 * diagnosis->n_pairs - 1]);
}

/* ---- frames ---- */

static RnStatus
take_frame(RnContext *ctx, RnDiagnosis *diagnosis, const RnFrame *frame)
{
	switch (frame->type)
	{
		case RN_LOAD:
			return take_load(ctx, diagnosis, frame);
		case RN_PART:
			return take_part(ctx, diagnosis, frame);
		case RN_LOAD_END:
			return take_load_end(ctx, diagnosis, frame);
		case RN_DIAGNOSE:
			return take_question(ctx, diagnosis, frame);
		case RN_ROWS:
			return diagnosis->question == NULL ? unexpected(ctx, frame) : rn_take_rows(ctx, frame, take_row, diagnosis);
		case RN_ROWS_END:
			diagnosis->complete = diagnosis->question != NULL;
			return diagnosis->complete ? RN_OK : unexpected(ctx, frame);
		default:
			return unexpected(ctx, frame);
	}
}

RnStatus
rn_diagnosis_receive(RnContext *ctx, RnDiagnosis *diagnosis, const RnFrame *first)
{
	RN_TRY(rn_store_init(ctx, &diagnosis->store, diagnosis->kernels, 1, 0));
	RN_TRY(take_frame(ctx, diagnosis, first));
	while (!diagnosis->complete)
	{
		RnFrame		frame;
		int			got;

		RN_TRY(rn_peer_receive(ctx, diagnosis->peer, -1, &frame, &got));
		if (got)
			RN_TRY(take_frame(ctx, diagnosis, &frame));
		if (*diagnosis->stop)
			return rn_fail(ctx, RN_CANCELLED, "the engine was stopped");
	}
	return RN_OK;
}
