/*
 * shortlist_answer.h
 *		A shortlist out of sentence pairs, for a model that is there already.
 *
 * src/engine/shortlist_answer.h
 */
#ifndef RN_SHORTLIST_ANSWER_H
#define RN_SHORTLIST_ANSWER_H

#include <signal.h>

#include "engine/peer.h"
#include "model/config.h"
#include "shortlist/lexicon.h"

/* As the options of a model or of a training job say (vocab_size, shortlist_...). */
extern RnStatus rn_make_shortlist(RnContext *ctx, const RnConfig *config, size_t memory, RnLexiconPass pass, void *arg,
								  RnShortlist **shortlist);

/*
 * Answer the question that the first frame, SHORTLIST, begins, as rn_diagnosis
 * does: this process ends when the peer hangs up, and does not return.
 */
extern RnStatus rn_shortlist_answer(RnContext *ctx, RnPeer *peer, const RnFrame *first, volatile sig_atomic_t *stop);

#endif							/* RN_SHORTLIST_ANSWER_H */
