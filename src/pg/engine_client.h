/*
 * engine_client.h
 *		A session's side of serving: ask the engine, wait without ever being
 *		deaf, send it the model when it lacks it, try again when it died.
 *
 * A session keeps one connection.  It writes one request at a time; any number
 * may be on their way, and are answered by number, whoever waits:
 *
 *		writer = res_request_begin(&model, RN_TASK_TRANSLATE);
 *		rn_write_...(writer, ...);			what the task needs (protocol.h)
 *		request = res_request_send();		does not wait for the answer
 *		...
 *		res_request_read(request, &reader); does
 *		rn_read_...(&reader);				the answer
 *		res_request_end(&reader);
 *
 * The caller has checked the user's rights; the engine knows no roles.  A
 * request lives in the memory context in which it was begun.  When that goes,
 * by an error or otherwise, the engine is told to forget it: that is all there
 * is to cancelling.
 *
 * src/pg/engine_client.h
 */
#ifndef RES_ENGINE_CLIENT_H
#define RES_ENGINE_CLIENT_H

#include "channel.h"
#include "model_catalog.h"

#include "wire/message.h"
#include "wire/protocol.h"

typedef struct ResRequest ResRequest;

/*
 * Start a request to the model's version in service (model->active); key and
 * task are written.  Whoever adds to it keeps it well below RN_FRAME_MAX.
 */
extern RnWriter *res_request_begin(const ResModel *model, RnTask task);

/* Send the one that was begun.  Waits only while the engine takes nothing in. */
extern ResRequest *res_request_send(void);

/*
 * Wait until it is answered; false: by an error.  Needs a snapshot: the
 * weights may have to be read.  ERROR 08006 when the engine died at each of
 * three tries.
 */
extern bool res_request_await(ResRequest *request);

/* The answer, awaited; its payload lives until res_request_end.  ERROR as the engine says. */
extern void res_request_read(ResRequest *request, RnReader *reader);

/* Send the one that was begun and read its answer. */
extern void res_request_perform(const ResModel *model, RnReader *reader);

/* ERROR unless the answer was read to its end, no less and no more.  Frees the request. */
extern void res_request_end(const RnReader *reader);

extern void res_request_free(ResRequest *request);

/* A frame has come that answers some request, or one that was given up. */
extern void res_request_take(const RnFrame *frame);

/*
 * Stream the model's version model->active over the session's connection and
 * wait until the engine has taken it; false when the engine has hung up.
 * ERROR when rows are damaged or the engine refuses; the connection is of no
 * use then.  (model_upload.c)
 */
extern bool res_send_model(ResChannel *channel, const ResModel *model, uint64 id);
extern void res_write_model_key(RnWriter *writer, const ResModel *model);

/* An ERROR frame becomes an error of this session. */
extern void res_report_frame(const RnFrame *frame) pg_attribute_noreturn();

/* The engine's own account of itself; false when no engine runs.  Starts none. */
extern bool res_serving_status(RnReader *reader);

#endif							/* RES_ENGINE_CLIENT_H */
