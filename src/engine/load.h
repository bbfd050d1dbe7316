/*
 * load.h
 *		A model on its way from a client into the store.
 *
 * LOAD, then PARTs in any order of tensors, each tensor in order of offset,
 * then LOAD_END.  A load that fails has failed once: what still comes of it is
 * passed over, so the connection stays usable.
 *
 * src/engine/load.h
 */
#ifndef RN_LOAD_H
#define RN_LOAD_H

#include "engine/store.h"
#include "wire/protocol.h"

typedef struct RnLoad
{
	int			active;			/* between LOAD and LOAD_END */
	uint64_t	id;
	RnServedModel *model;		/* NULL: pass over what comes */
	int			failed;			/* an ERROR has been sent */
	size_t	   *received;		/* [params] bytes of each */
	size_t		tokenizer_received;
	size_t		shortlist_received;
} RnLoad;

/* What a LOAD frame says. */
typedef struct RnLoadHead
{
	RnModelKey	key;
	RnConfig	config;
	size_t		bytes;
	RnContext	error;			/* well-formed, but the configuration is wrong */
} RnLoadHead;

/* RN_CORRUPT for a malformed frame. */
extern RnStatus rn_load_read(RnContext *ctx, const RnFrame *frame, RnLoadHead *head);

/* The model is LOADING; or NULL. */
extern RnStatus rn_load_begin(RnContext *ctx, RnLoad *load, uint64_t id, RnServedModel *model);

/* RN_CORRUPT for a malformed frame, and *error for a part that does not belong to the model. */
extern RnStatus rn_load_part(RnContext *ctx, RnStore *store, RnLoad *load, const RnFrame *frame, RnContext *error);

/* Is everything there? */
extern RnStatus rn_load_check(RnContext *ctx, const RnLoad *load);

/* Forget it; the model is the caller's to drop. */
extern void rn_load_end(RnLoad *load);

#endif							/* RN_LOAD_H */
