/*
 * store.h
 *		The models that a serving engine holds, within a budget.
 *
 *		(absent) --> WANTED --> LOADING --> BUILDING --> READY --> LEAVING --> (absent)
 *
 * A client that asks for an absent model is asked to send it (WANTED); others
 * wait for it meanwhile, so a model is sent once.  What fails on the way is
 * absent again.  A ready model leaves when room is needed, the least recently
 * used first; one that is in use takes no new work (LEAVING) until its last
 * user is done.  A new one stays until its sender has asked for what it sent
 * it for: else clients whose models do not fit together push out each other's
 * before anybody is answered.
 *
 * What translators keep from batch to batch counts as well, and goes first.
 *
 * Only the I/O thread changes the store.  The other threads read a model that
 * is READY or LEAVING and has users; each has its own slot of translators.
 *
 * src/engine/store.h
 */
#ifndef RN_STORE_H
#define RN_STORE_H

#include "kernels/device.h"
#include "translate/translator.h"

typedef struct RnModelKey
{
	uint32_t	database;
	int64_t		model;
	int32_t		version;
	uint64_t	checksum;
} RnModelKey;

typedef enum RnServedState
{
	RN_SERVED_WANTED,
	RN_SERVED_LOADING,
	RN_SERVED_BUILDING,
	RN_SERVED_READY,
	RN_SERVED_LEAVING
} RnServedState;

/* A model's weights made ready for products of one precision. */
typedef enum RnWeightsState
{
	RN_WEIGHTS_ABSENT,
	RN_WEIGHTS_BUILDING,
	RN_WEIGHTS_READY
} RnWeightsState;

typedef struct RnWeights
{
	RnWeightsState state;
	size_t		bytes;			/* counted in the model's from BUILDING on */
	RnPreparedWeights *prepared;	/* READY */
} RnWeights;

typedef struct RnServedModel
{
	RnModelKey	key;
	RnServedState state;
	const void *sender;			/* who was asked to send it; NULL from BUILDING on */
	const void *kept_for;		/* READY: who sent it and has said nothing since, or NULL */
	double		deadline;		/* WANTED and LOADING: when to give up; kept: until when; 0: never */
	int			users;			/* requests that hold it */
	size_t		bytes;			/* of weights */
	size_t		cache_bytes;	/* of what translators keep; like those counted against the budget */
	double		last_use;		/* rn_now() */
	uint64_t	n_requests;
	uint64_t	n_sentences;
	uint64_t	n_errors;		/* requests that ended with one */

	/* from LOADING on */
	const RnKernels *kernels;
	RnConfig	config;
	RnModel    *model;
	rn_real    *values;			/* flat, device */
	char	   *tokenizer_bytes;	/* until BUILDING is over */
	size_t		tokenizer_size;
	RnTokenizer *tokenizer;
	char	   *shortlist_bytes;	/* likewise; NULL: the model has none */
	size_t		shortlist_size;
	RnShortlist *shortlist;
	RnWeights	weights[RN_N_PRECISIONS];
	RnTranslator **translators; /* [threads], made by each thread when first needed */
	size_t	   *translator_bytes;	/* [threads], written by each thread atomically */
	int			n_translators;
	struct RnServedModel *next;
} RnServedModel;

typedef struct RnStore
{
	const RnKernels *kernels;
	RnLane	   *lane;			/* of the I/O thread */
	int			threads;
	size_t		budget;			/* bytes; 0: no bound */
	size_t		used;			/* bytes of LOADING .. LEAVING */
	int			count;			/* models that are BUILDING or later */
	int			changed;		/* something became ready, absent or unused: who waits should look again */
	uint64_t	n_loaded;
	uint64_t	n_evicted;
	RnServedModel *models;
} RnStore;

extern RnStatus rn_store_init(RnContext *ctx, RnStore *store, const RnKernels *kernels, int threads, size_t budget);
extern void rn_store_free(RnStore *store);

/* NULL when it is absent. */
extern RnServedModel *rn_store_find(RnStore *store, const RnModelKey *key);

/* An absent model becomes WANTED from sender. */
extern RnStatus rn_store_want(RnContext *ctx, RnStore *store, const RnModelKey *key, const void *sender,
							  RnServedModel **model);

/*
 * WANTED becomes LOADING: makes the model and memory for its weights.  bytes:
 * what the sender announced.  *room is 0, and nothing has changed, when other
 * models must leave first: try again when the store has changed.  RN_LIMIT
 * when it can never fit.
 */
extern RnStatus rn_store_load(RnContext *ctx, RnStore *store, RnServedModel *model, const RnConfig *config,
							  size_t bytes, int *room);

/* LOADING becomes BUILDING: everything has come. */
extern void rn_store_complete(RnStore *store, RnServedModel *model);

/* What takes time in making a model ready; by any thread while it is BUILDING. */
extern RnStatus rn_store_build(RnContext *ctx, RnServedModel *model);

/*
 * Weights of a READY model that are ABSENT become BUILDING, and the model is
 * held.  float32 only is faster with them, so they take room that is free and
 * else stay ABSENT.  For others room is made: without it in *room, call again
 * when the store has changed; RN_LIMIT when they can never fit, RN_UNSUPPORTED
 * when the device has none.
 */
extern RnStatus rn_store_want_weights(RnContext *ctx, RnStore *store, RnServedModel *model, RnPrecision precision,
									  int *room);

/* What takes time in it; by any thread while they are BUILDING. */
extern RnStatus rn_store_build_weights(RnContext *ctx, const RnServedModel *model, RnPrecision precision,
									   RnPreparedWeights **prepared);

/* BUILDING becomes READY; with NULL, for they could not be made, ABSENT.  The caller releases the model. */
extern void rn_store_end_weights(RnStore *store, RnServedModel *model, RnPrecision precision,
								 RnPreparedWeights *prepared);

/* BUILDING becomes READY. */
extern void rn_store_ready(RnStore *store, RnServedModel *model);

/* Keep a READY model for its sender until then; whatever is kept for a sender need not be any more. */
extern void rn_store_keep(RnServedModel *model, const void *sender, double until);
extern void rn_store_unkeep(RnStore *store, const void *sender);

/* Give up a model that is not ready, or free one without users. */
extern void rn_store_drop(RnStore *store, RnServedModel *model);

/* A request takes hold of a READY model, and lets go. */
extern void rn_store_hold(RnServedModel *model, int n_sentences);
extern void rn_store_release(RnStore *store, RnServedModel *model);

/*
 * Count again what its translators keep.  Where that is too much, what models
 * without users keep is freed, the least recently used first: it comes back
 * with the next batch.
 */
extern void rn_store_recount(RnStore *store, RnServedModel *model);

/* Seconds of a clock that never goes back. */
extern double rn_now(void);

#endif							/* RN_STORE_H */
