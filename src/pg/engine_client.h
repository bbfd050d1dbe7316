/*
 * engine_client.h
 *		A session's side of serving: ask the engine, wait without ever being
 *		deaf, send it the model when it lacks it, try again when it died.
 *
 * A session keeps one connection and has one request at a time:
 *
 *		writer = res_request_begin(&model, RN_TASK_TRANSLATE);
 *		rn_write_...(writer, ...);			what the task needs (protocol.h)
 *		res_request_perform(&model, &reader);
 *		rn_read_...(&reader);				the answer
 *		res_request_end(&reader);
 *
 * The caller has checked the user's rights; the engine knows no roles.  Any
 * error on the way closes the connection, by which the engine drops the work:
 * that is all there is to cancelling.
 *
 * src/pg/engine_client.h
 */
#ifndef RES_ENGINE_CLIENT_H
#define RES_ENGINE_CLIENT_H

#include "channel.h"
#include "model_catalog.h"

#include "wire/message.h"
#include "wire/protocol.h"

/*
 * Start a request to the model's version in service (model->active); key and
 * task are written.  Whoever adds to it keeps it well below RN_FRAME_MAX.
 */
extern RnWriter *res_request_begin(const ResModel *model, RnTask task);

/*
 * Send it and wait for its answer, whose payload lives until the next
 * request.  Needs a snapshot: the weights may have to be read.  ERROR as the
 * engine says, or 08006 when the engine died at each of three tries.
 */
extern void res_request_perform(const ResModel *model, RnReader *reader);

/* ERROR unless the answer was read to its end, no less and no more. */
extern void res_request_end(const RnReader *reader);

/*
 * Stream the model's version model->active over the session's connection and
 * wait until the engine has taken it; false when the engine has hung up.
 * ERROR when rows are damaged or the engine refuses.
 */
extern bool res_send_model(ResChannel *channel, const ResModel *model, uint64 id);

/* An ERROR frame becomes an error of this session. */
extern void res_report_frame(const RnFrame *frame) pg_attribute_noreturn();

/* The engine's own account of itself; false when no engine runs.  Starts none. */
extern bool res_serving_status(RnReader *reader);

#endif							/* RES_ENGINE_CLIENT_H */
