/*
 * service_parts.h
 *		What the files of the service share: requests and models that are sent.
 *
 * src/engine/service_parts.h
 */
#ifndef RN_SERVICE_PARTS_H
#define RN_SERVICE_PARTS_H

#include "engine/service.h"

/* service.c: say why, then close; nothing more is read. */
extern void rn_service_close_with_error(RnService *service, RnConnection *connection, uint64_t id, const RnContext *error);

/* ---- service_request.c ---- */

extern void rn_service_take_request(RnService *service, RnConnection *connection, const RnFrame *frame);
extern void rn_service_take_forget(RnService *service, RnConnection *connection, uint64_t id);
extern void rn_service_drop_requests(RnService *service, RnConnection *connection);

/* Look again at all requests that wait for a model. */
extern void rn_service_place_waiting(RnService *service);

/* A list of requests that the threads are done with, linked by next_done; and a model's weights of a precision. */
extern void rn_service_finish_requests(RnService *service, RnRequest *request);
extern void rn_service_finish_weights(RnService *service, RnBuild *build);

/* ---- service_load.c ---- */

extern void rn_service_take_load(RnService *service, RnConnection *connection, const RnFrame *frame);
extern void rn_service_take_part(RnService *service, RnConnection *connection, const RnFrame *frame);
extern void rn_service_take_load_end(RnService *service, RnConnection *connection, const RnFrame *frame);

/* Begin to receive, or let it wait until other models have left; then this is called again. */
extern void rn_service_begin_load(RnService *service, RnConnection *connection, RnLoadHead *head, uint64_t id);

/* A model is built, or could not be; its sender has been silent for too long; or has gone. */
extern void rn_service_finish_model(RnService *service, RnBuild *build);
extern void rn_service_give_up_load(RnService *service, RnServedModel *model);
extern void rn_service_drop_loads(RnService *service, RnConnection *connection);

#endif							/* RN_SERVICE_PARTS_H */
