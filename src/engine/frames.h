/*
 * frames.h
 *		What several conversations of the engine have in common: the greeting,
 *		pairs, rows of text.
 *
 * src/engine/frames.h
 */
#ifndef RN_FRAMES_H
#define RN_FRAMES_H

#include "model/config.h"
#include "text/tokenizer.h"
#include "wire/protocol.h"

/* HELLO of this process. */
extern RnStatus rn_write_hello(RnContext *ctx, RnWriter *writer, const char *device);

/* A frame without payload. */
extern RnStatus rn_write_empty(RnContext *ctx, RnWriter *writer, uint32_t type, uint64_t id);

/* Every option as it is now, as pairs; shorthands say nothing that their fields do not. */
extern void rn_write_configuration(RnWriter *writer, const RnConfig *config);

/*
 * "pairs" of the protocol, each given to the sink, up to the first that it
 * refuses; a malformed list is told by rn_reader_end.
 */
typedef RnStatus (*RnPairSink) (RnContext *ctx, void *arg, const char *key, const char *value);

extern RnStatus rn_take_pairs(RnContext *ctx, RnReader *reader, RnPairSink sink, void *arg);

/* RnPairSink: an option of the RnConfig arg. */
extern RnStatus rn_take_option(RnContext *ctx, void *arg, const char *key, const char *value);

/* A ROWS frame, each row given to the sink; texts live for the call and may be empty. */
typedef RnStatus (*RnRowSink) (RnContext *ctx, void *arg, int set, RnText source, RnText target);

extern RnStatus rn_take_rows(RnContext *ctx, const RnFrame *frame, RnRowSink sink, void *arg);

#endif							/* RN_FRAMES_H */
