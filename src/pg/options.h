/*
 * options.h
 *		Options between jsonb and RnConfig.
 *
 * src/pg/options.h
 */
#ifndef RES_OPTIONS_H
#define RES_OPTIONS_H

#include "residual.h"

#include "utils/jsonb.h"

#include "model/config.h"
#include "wire/message.h"

/* A key and the text of its value, palloc'd. */
typedef void (*ResOptionSink) (void *arg, const char *key, const char *value);

/*
 * Walk an object of scalars, in jsonb's order (shorter keys first).  ERROR
 * 22023 when it is no object, or names the key whose value is an array, an
 * object or null.
 */
extern void res_options_each(Jsonb *options, ResOptionSink sink, void *arg);

/* Set in config, on top of what it holds, each option; ERROR 22023 with a hint for what is wrong. */
extern void res_options_parse(Jsonb *options, RnConfig *config);

/* What belongs together: rn_config_check as an ERROR. */
extern void res_options_check(const RnConfig *config);

/* Every option, shorthands apart, as numbers, booleans and strings; model_only: of groups model and text. */
extern Jsonb *res_options_jsonb(const RnConfig *config, bool model_only);

/* Is the option one of those that a model keeps? */
extern bool res_option_is_of_model(const RnOption *option);

/* "pairs" of the protocol with every option; rn_write_begin has been called. */
extern void res_options_write(RnWriter *writer, const RnConfig *config);

#endif							/* RES_OPTIONS_H */
