/*
 * batch.h
 *		Texts that are translated together: collected, sent, answered.
 *
 *		batch = res_batch_create();
 *		question = res_batch_ask(batch, translator, text);		as often as you like
 *		res_batch_send(batch);									does not wait for answers
 *		answer = res_batch_answer(batch, question);				does
 *
 * The same text to the same translator is one question.  Several batches may
 * be under way.  Everything that translates goes through here: the scalar
 * function, arrays, the window function, the plan node.
 *
 * src/pg/batch.h
 */
#ifndef RES_BATCH_H
#define RES_BATCH_H

#include "translation.h"

typedef struct ResBatch ResBatch;

/* In a memory context of its own below the current one; when that goes, what is under way is given up. */
extern ResBatch *res_batch_create(void);
extern void res_batch_free(ResBatch *batch);
extern MemoryContext res_batch_context(const ResBatch *batch);

/* Gives the question's number.  The text is copied; the translator stays prepared as it is until the answer is read. */
extern int	res_batch_ask(ResBatch *batch, ResTranslator *translator, text *source);
extern void res_batch_send(ResBatch *batch);

/*
 * The n best answers, which live with the batch.  An error of the engine is
 * raised at the question that causes it, and at no other.
 */
extern const ResAnswer *res_batch_answer(ResBatch *batch, int question);

/* Different texts, bytes of them as they are stored, and requests that they made; tokens of the answers read so far. */
extern int	res_batch_questions(const ResBatch *batch);
extern Size res_batch_bytes(const ResBatch *batch);
extern int	res_batch_requests(const ResBatch *batch);
extern int64 res_batch_tokens(const ResBatch *batch);

#endif							/* RES_BATCH_H */
