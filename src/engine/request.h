/*
 * request.h
 *		What a client asked for, and the answer while it is being made.
 *
 * The I/O thread reads a request and owns it; while the queue has it, threads
 * fill in results, each its own items.  Whoever finishes the last item writes
 * the answer, so the I/O thread only has to send it.
 *
 * src/engine/request.h
 */
#ifndef RN_REQUEST_H
#define RN_REQUEST_H

#include "engine/store.h"
#include "wire/protocol.h"

/* More texts, or answers, than this in one request are RN_LIMIT. */
#define RN_REQUEST_TEXTS	65536
#define RN_REQUEST_ANSWERS	(4 * RN_REQUEST_TEXTS)

/* Pieces of a text, or of what its translation may be made of (RN_TASK_TOKENIZE, RN_TASK_SHORTLIST). */
typedef struct RnPieces
{
	int32_t    *ids;			/* malloc'd */
	int			n;
} RnPieces;

typedef struct RnRequest
{
	uint64_t	id;
	RnModelKey	key;
	RnTask		task;
	RnSearchOptions options;
	RnTerms		terms;			/* that translations must hold */
	char	   *payload;		/* copy of the frame's; texts lie in it */
	size_t		bytes;			/* of payload */
	int			n;				/* texts */
	RnText	   *texts;			/* [n] */
	RnText	   *targets;		/* [n] for RN_TASK_SCORE and RN_TASK_ALIGN, else NULL */
	int			n_items;		/* what threads work on: texts, or 1 for RN_TASK_DETOKENIZE */
	int		   *order;			/* [n_items] longest text first */
	double		arrived;		/* rn_now() */

	/* I/O thread */
	struct RnConnection *connection;	/* NULL: hung up */
	RnServedModel *model;		/* held; NULL while waiting for it */
	int			ready;			/* answer may be sent */
	struct RnRequest *next_of_connection;	/* in the order of asking */
	struct RnRequest *next_waiting; /* for a model */

	/* guarded by the queue's lock while the queue has it */
	int			n_taken;		/* items given to threads, in the order of order[] */
	int			n_unfinished;
	int			abandoned;		/* nobody waits for the answer */
	struct RnRequest *next_queued;	/* of another client */
	struct RnRequest *behind;	/* of the same client, whose turn comes after this one */
	struct RnRequest *next_done;
	RnContext	error;			/* the first failure */

	/* results by task, written by threads */
	RnTranslation *translations;	/* [n * n_best] */
	double	   *log_probabilities;	/* [n] */
	int		   *tokens;			/* [n] */
	float	   *embeddings;		/* [n * d_model] */
	RnPieces   *pieces;			/* [n] */
	RnAlignment *alignments;	/* [n] */
	char	   *text;			/* malloc'd */

	RnWriter	answer;			/* one frame */
} RnRequest;

/*
 * Read a REQUEST frame.  A status other than RN_OK means a malformed frame
 * (*request is NULL then); what is well-formed but cannot be done is noted in
 * (*request)->error, to be answered.
 */
extern RnStatus rn_request_read(RnContext *ctx, const RnFrame *frame, RnRequest **request);
extern void rn_request_free(RnRequest *request);

/* Memory for results, once the model is known. */
extern RnStatus rn_request_prepare(RnContext *ctx, RnRequest *request);

/* Write the answer, RESULT or ERROR; cannot fail but by leaving an ERROR. */
extern void rn_request_answer(RnRequest *request);

/* An ERROR frame. */
extern RnStatus rn_write_error(RnContext *ctx, RnWriter *writer, uint64_t id, const RnContext *error);

extern void rn_read_model_key(RnReader *reader, RnModelKey *key);

#endif							/* RN_REQUEST_H */
