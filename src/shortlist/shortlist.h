/*
 * shortlist.h
 *		Which pieces an answer to a source may be made of.
 *
 * The most frequent target pieces, and for each source piece the target
 * pieces that are its likeliest translations (Jean et al. 2015, section 3.3;
 * lexicon.h makes them).  The pieces of the source themselves belong to its
 * set as well, since one vocabulary serves both sides: a name or a number may
 * be copied.  So do the special ids, those below RN_SHORTLIST_SPECIAL.
 *
 * A shortlist is stored as it lies in memory, little-endian numbers of 32 bits:
 *
 *		"RNSL", format version, vocabulary V, F frequent ids,
 *		F ids, most frequent first,
 *		V + 1 offsets into what follows, the first 0,
 *		ids: of each source piece, rising
 *
 * src/shortlist/shortlist.h
 */
#ifndef RN_SHORTLIST_H
#define RN_SHORTLIST_H

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

#define RN_SHORTLIST_SPECIAL	4	/* pad, start, end, unknown */

typedef struct RnShortlist
{
	int			vocabulary;
	int			n_frequent;
	const uint32_t *frequent;	/* [n_frequent] */
	const uint32_t *offsets;	/* [vocabulary + 1] */
	const uint32_t *ids;		/* [offsets[vocabulary]] */
	uint32_t   *words;			/* all of it, as stored */
	size_t		size;			/* bytes of that */
} RnShortlist;

/*
 * From lists: ids of source piece e are ids[offsets[e] .. offsets[e + 1]), in
 * any order; what is frequent or special need not be among them and is left out.
 */
extern RnStatus rn_shortlist_create(RnContext *ctx, int vocabulary, const int32_t *frequent, int n_frequent,
									const size_t *offsets, const int32_t *ids, RnShortlist **shortlist);

/* From stored bytes, which are copied; RN_CORRUPT or RN_MISMATCH when they are no shortlist of such a vocabulary. */
extern RnStatus rn_shortlist_read(RnContext *ctx, const char *bytes, size_t size, int vocabulary,
								  RnShortlist **shortlist);
extern void rn_shortlist_free(RnShortlist *shortlist);

/* A set of ids: bit id % 64 of word id / 64. */
static inline size_t
rn_id_set_words(int vocabulary)
{
	return ((size_t) vocabulary + 63) / 64;
}

static inline void
rn_id_set_add(uint64_t *set, uint32_t id)
{
	set[id / 64] |= UINT64_C(1) << (id % 64);
}

/* Add what an answer to this source may be made of. */
extern void rn_shortlist_add(const RnShortlist *shortlist, const int32_t *source, int n, uint64_t *set);

#endif							/* RN_SHORTLIST_H */
