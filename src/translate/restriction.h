/*
 * restriction.h
 *		The tokens that the answers to the sentences of a batch are made of,
 *		where a model has a shortlist.
 *
 * Logits are computed of what any sentence of the batch may need, once; of
 * these each sentence sees its own alone.  So probabilities are those among
 * its own tokens, and an answer does not depend on who else is in the batch.
 *
 * src/translate/restriction.h
 */
#ifndef RN_RESTRICTION_H
#define RN_RESTRICTION_H

#include "shortlist/shortlist.h"
#include "translate/beam.h"

struct RnRestriction
{
	int			n_ids;
	int32_t    *ids;			/* [n_ids] of any sentence, rising */
	int			widest;			/* tokens of a sentence at most */
	int32_t    *first;			/* [n_sentences] where its own begin in the list */
	int32_t    *count;			/* [n_sentences] how many they are */
	int32_t    *list;			/* numbers of ids, rising for each sentence; the first is that of pad */
};

/*
 * What the shortlist says of each source of a batch, and what the answer to it
 * must hold (demands: [n_sentences], each may be NULL).
 */
extern RnStatus rn_restriction_create(RnContext *ctx, const RnShortlist *shortlist, const RnPacked *source,
									  const int32_t *source_ids, const RnDemand *const *demands,
									  RnRestriction **restriction);
extern void rn_restriction_free(RnRestriction *restriction);

/* Token number column of a sentence. */
static inline int32_t
rn_restriction_token(const RnRestriction *restriction, int sentence, int column)
{
	return restriction->ids[restriction->list[restriction->first[sentence] + column]];
}

/* The other way; -1: the token is none of the sentence's. */
extern int	rn_restriction_column(const RnRestriction *restriction, int sentence, int32_t token);

#endif							/* RN_RESTRICTION_H */
