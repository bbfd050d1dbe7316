/*
 * demands.h
 *		What the answers to one text must hold, and the text of such an answer.
 *
 * A phrase is searched for as the pieces that the tokenizer makes of it, and
 * written as it was demanded: so characters that the vocabulary lacks, or
 * writes otherwise, come back unharmed.
 *
 * src/translate/demands.h
 */
#ifndef RN_DEMANDS_H
#define RN_DEMANDS_H

#include "translate/packing.h"

typedef struct RnTextDemand RnTextDemand;

/*
 * Of a text with these terms (may be NULL) and options; *demand is NULL when
 * nothing is demanded.  pieces: those of the text.
 */
extern RnStatus rn_demand_create(RnContext *ctx, RnTranslator *translator, const RnSearchOptions *options,
								 RnText text, const RnCutText *pieces, const RnTerms *terms,
								 RnTextDemand **demand);
extern void rn_demand_free(RnTextDemand *demand);

extern const RnDemand *rn_demand_of_search(const RnTextDemand *demand);

/* The text of an answer, malloc'd. */
extern RnStatus rn_demand_text(RnContext *ctx, const RnTextDemand *demand, const int32_t *ids, int n, char **text);

/* Why there was none: an error that names what could not be kept. */
extern RnStatus rn_demand_failed(RnContext *ctx, const RnTextDemand *demand);

#endif							/* RN_DEMANDS_H */
