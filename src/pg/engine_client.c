/*
 * engine_client.c
 *		A session's side of serving: ask the engine, wait without ever being
 *		deaf, send it the model when it lacks it, try again when it died.
 *
 *		UNSENT --> SENT --> ANSWERED
 *		   ^         |
 *		   |         +--> NEEDS_MODEL, until it is sent
 *		   +--- the connection has gone
 *
 * A translation changes nothing in the engine, so when the engine dies it is
 * asked again.  A text that kills the engine must not do so for ever, nor cost
 * other sessions their answers: three tries, the last of them while no other
 * session of the cluster is trying again, so that those who were merely
 * present are not killed a third time by the culprits.  What else this session
 * has under way is sent again when somebody waits for it, one by one.
 *
 * src/pg/engine_client.c
 */
#include "engine_client.h"

#include <unistd.h>

#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "serve_connection.h"
#include "serve_worker.h"

#define TRIES			3
#define REFUSALS		20		/* connections that end before the request is out: one try */
#define REFUSAL_NAP		50		/* ms between two of them */
#define LOADS			3		/* times that the engine may ask for the model within a request */
#define STATUS_MS		1000	/* for an engine that runs to greet */

typedef enum RequestState
{
	REQUEST_UNSENT,
	REQUEST_SENT,
	REQUEST_NEEDS_MODEL,
	REQUEST_ANSWERED
} RequestState;

struct ResRequest
{
	dlist_node	node;			/* in requests */
	MemoryContext context;		/* it lives here */
	MemoryContextCallback end;	/* of that context */
	bool		has_model;
	ResModel	model;
	uint64		id;
	RnWriter	bytes;			/* kept until the answer has come */
	RequestState state;
	int			tries;			/* that ended with the engine */
	int			refusals;		/* connections that ended before it was out */
	int			loads;
	RnFrame		answer;			/* payload palloc'd */
};

static dlist_head requests = DLIST_STATIC_INIT(requests);
static uint64 next_id = 1;
static ResRequest *writing;		/* begun, not sent */
static ResRequest *reading;		/* its answer is being read */
static ResRequest *awaited;		/* somebody waits for it */

/* ---------- requests come and go ---------- */

static void
end_request(void *arg)
{
	ResRequest *request = arg;

	if (writing == request)
		writing = NULL;
	if (reading == request)
		reading = NULL;
	if (awaited == request)
		awaited = NULL;
	dlist_delete(&request->node);
	rn_writer_free(&request->bytes);
	if (request->state == REQUEST_SENT || request->state == REQUEST_NEEDS_MODEL)
		res_serve_say(RN_FORGET, request->id);
}

static ResRequest *
create_request(const ResModel *model)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "request", ALLOCSET_SMALL_SIZES);
	ResRequest *request = MemoryContextAllocZero(context, sizeof(ResRequest));

	request->context = context;
	request->id = next_id++;
	rn_writer_init(&request->bytes);
	if (model != NULL)
	{
		request->has_model = true;
		request->model = *model;
		request->model.name = MemoryContextStrdup(context, model->name);
	}
	dlist_push_tail(&requests, &request->node);
	request->end.func = end_request;
	request->end.arg = request;
	MemoryContextRegisterResetCallback(context, &request->end);
	return request;
}

void
res_request_free(ResRequest *request)
{
	MemoryContextDelete(request->context);
}

RnWriter *
res_request_begin(const ResModel *model, RnTask task)
{
	writing = create_request(model);
	rn_write_begin(&writing->bytes, RN_REQUEST, writing->id);
	res_write_model_key(&writing->bytes, model);
	rn_write_u8(&writing->bytes, (uint8) task);
	return &writing->bytes;
}

/* ---------- what the engine says ---------- */

void
res_report_frame(const RnFrame *frame)
{
	RnReader	reader;
	RnContext	ctx;

	rn_context_reset(&ctx);
	rn_reader_init(&reader, frame);
	ctx.status = (RnStatus) rn_read_u32(&reader);
	rn_read_string(&reader, ctx.message, sizeof(ctx.message));
	rn_read_string(&reader, ctx.detail, sizeof(ctx.detail));
	rn_read_string(&reader, ctx.hint, sizeof(ctx.hint));
	res_report(&ctx);
}

static bool
same_model(const ResRequest *a, const ResRequest *b)
{
	return a->has_model && b->has_model && a->model.id == b->model.id &&
		a->model.active == b->model.active && a->model.checksum == b->model.checksum;
}

static void
take_answer(ResRequest *request, const RnFrame *frame)
{
	char	   *payload = MemoryContextAllocHuge(request->context, Max(frame->length, 1));

	memcpy(payload, frame->payload, frame->length);
	request->answer = *frame;
	request->answer.payload = payload;
	request->state = REQUEST_ANSWERED;
	rn_writer_free(&request->bytes);
}

/*
 * A model is sent for a request that somebody waits for, under that one's
 * snapshot.  Others are asked for again later, and meanwhile the engine may
 * ask other sessions.
 */
static void
take_need(ResRequest *request)
{
	if (awaited != NULL && same_model(awaited, request))
	{
		request->state = REQUEST_NEEDS_MODEL;
		return;
	}
	request->state = REQUEST_UNSENT;
	res_serve_say(RN_FORGET, request->id);
}

void
res_request_take(const RnFrame *frame)
{
	dlist_iter	iter;

	dlist_foreach(iter, &requests)
	{
		ResRequest *request = dlist_container(ResRequest, node, iter.cur);

		if (request->id != frame->id || request->state != REQUEST_SENT)
			continue;
		if (frame->type == RN_NEED_MODEL)
			take_need(request);
		else
			take_answer(request, frame);
		return;
	}
}

/* The connection has gone: died is whether the engine has, with all that it had in hand. */
static void
connection_lost(bool died)
{
	dlist_iter	iter;

	dlist_foreach(iter, &requests)
	{
		ResRequest *request = dlist_container(ResRequest, node, iter.cur);

		if (request->state != REQUEST_SENT && request->state != REQUEST_NEEDS_MODEL)
			continue;
		request->state = REQUEST_UNSENT;
		request->tries += died;
	}
}

/* ---------- sending, and waiting for the answer ---------- */

/* False when the engine has hung up. */
static bool
put(ResRequest *request)
{
	ResChannel *channel;

	res_serve_on_loss(connection_lost);
	channel = res_serve_connect();
	if (channel == NULL)
	{
		res_serve_disconnect();
		return false;
	}
	rn_write_frames(&channel->out, &request->bytes);
	if (channel->out.failed)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	request->state = REQUEST_SENT;
	if (res_serve_flush())
		return true;
	res_serve_disconnect();
	return false;
}

ResRequest *
res_request_send(void)
{
	ResRequest *request = writing;
	RnContext	ctx;

	writing = NULL;
	rn_context_reset(&ctx);
	if (rn_write_end(&ctx, &request->bytes) != RN_OK)
		res_report(&ctx);
	(void) put(request);		/* if not now, then when somebody waits for it */
	return request;
}

/* Send those again that wait for the model that has just been sent. */
static bool
put_waiting(const ResRequest *sent_for)
{
	dlist_iter	iter;

	dlist_foreach(iter, &requests)
	{
		ResRequest *request = dlist_container(ResRequest, node, iter.cur);

		if (request->state == REQUEST_NEEDS_MODEL && same_model(request, sent_for) && !put(request))
			return false;
	}
	return true;
}

/* Send the model that a request needs; false when the engine has hung up. */
static bool
upload(ResRequest *request)
{
	bool		sent = false;

	if (request->loads++ == LOADS)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("the serving engine cannot keep model \"%s\" for long enough to use it", request->model.name),
				 errhint("Raise residual.serve_memory.")));
	PG_TRY();
	{
		ResChannel *channel = res_serve_connect();

		sent = channel != NULL && res_send_model(channel, &request->model, next_id++);
	}
	PG_CATCH();
	{
		res_serve_disconnect(); /* half a model may be out */
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (!sent)
		res_serve_disconnect();
	return sent && put_waiting(request);
}

/* One try, until it is answered or the engine has gone. */
static void
attempt(ResRequest *request)
{
	int			tries = request->tries;
	RnFrame		frame;

	while (request->state != REQUEST_ANSWERED && request->tries == tries)
	{
		if (request->state == REQUEST_NEEDS_MODEL)
			(void) upload(request);
		else if (request->state == REQUEST_UNSENT)
		{
			/* who hangs up before it is asked is on its way out: that is no try, but must not go on for ever */
			if (put(request) || request->tries != tries)
				continue;
			if (++request->refusals % REFUSALS == 0)
				request->tries++;
			else
				res_serve_wait(0, REFUSAL_NAP);
		}
		else if (res_serve_receive(&frame, 0))
			res_request_take(&frame);
		else
			res_serve_disconnect();
	}
}

/* The lock by which a last try happens while nobody else tries again; waits for it. */
static int
lock_again(bool last)
{
	int			fd;

	while ((fd = res_lock_file(RES_SERVE_ALONE, !last)) < 0)
		res_serve_wait(0, 10);
	return fd;
}

static void
unlock(volatile int *lock)
{
	if (*lock >= 0)
		close(*lock);
	*lock = -1;
}

static void
attempt_repeatedly(ResRequest *request)
{
	volatile int lock = -1;

	PG_TRY();
	{
		while (request->state != REQUEST_ANSWERED && request->tries < TRIES)
		{
			if (request->tries > 0)
				lock = lock_again(request->tries == TRIES - 1);
			attempt(request);
			unlock(&lock);
		}
	}
	PG_CATCH();
	{
		unlock(&lock);
		awaited = NULL;
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* Nobody is going to send models now, perhaps for long. */
static void
give_up_needs(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &requests)
	{
		ResRequest *request = dlist_container(ResRequest, node, iter.cur);

		if (request->state == REQUEST_NEEDS_MODEL)
			take_need(request);
	}
}

bool
res_request_await(ResRequest *request)
{
	if (request->state != REQUEST_ANSWERED)
	{
		awaited = request;
		attempt_repeatedly(request);
		awaited = NULL;
		give_up_needs();
	}
	if (request->state != REQUEST_ANSWERED)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("the serving engine ended %d times while it worked on this request", TRIES),
				 errhint("The server log says how it ended.  A text that always ends it is a bug worth reporting.")));
	return request->answer.type != RN_ERROR;
}

/* ---------- answers ---------- */

static void
read_answer(ResRequest *request, uint32 expected, RnReader *reader)
{
	if (!res_request_await(request))
		res_report_frame(&request->answer);
	if (request->answer.type != expected)
	{
		res_serve_disconnect();
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("the serving engine answered with a frame of type %u", request->answer.type)));
	}
	reading = request;
	rn_reader_init(reader, &request->answer);
}

void
res_request_read(ResRequest *request, RnReader *reader)
{
	read_answer(request, RN_RESULT, reader);
}

void
res_request_perform(const ResModel *model, RnReader *reader)
{
	res_request_read(res_request_send(), reader);
}

void
res_request_end(const RnReader *reader)
{
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (rn_reader_end(&ctx, reader, "the serving engine's answer") != RN_OK)
	{
		res_serve_disconnect();
		res_report(&ctx);
	}
	if (reading != NULL)
		res_request_free(reading);
}

bool
res_serving_status(RnReader *reader)
{
	if (res_serve_connect_if_running(STATUS_MS) == NULL)
		return false;
	writing = create_request(NULL);
	rn_write_begin(&writing->bytes, RN_STATUS, writing->id);
	read_answer(res_request_send(), RN_STATUS, reader);
	return true;
}
