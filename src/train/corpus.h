/*
 * corpus.h
 *		Sentence pairs as ids, in a file, so that memory does not grow with the
 *		corpus.
 *
 * Ids only, never text.  Pairs lie in a spill file that the process inherits
 * (unlinked; its size bounded by whoever made it); memory holds what one block
 * of shuffling needs.  Pairs have a canonical order that does not depend on
 * the order in which they came, so a job that reads the table again sees the
 * same data in the same order.
 *
 * src/train/corpus.h
 */
#ifndef RN_CORPUS_H
#define RN_CORPUS_H

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

/* A pair; source and target are pieces without start and end. */
typedef struct RnPair
{
	const int32_t *source;
	const int32_t *target;
	int			n_source;
	int			n_target;
} RnPair;

typedef struct RnCorpus RnCorpus;

/*
 * fd: file to spill to, read and written from offset on; limit_bytes 0: none
 * (RN_DISK_FULL beyond).  memory_bytes bounds what sorting and shuffling take.
 */
extern RnStatus rn_corpus_create(RnContext *ctx, int fd, uint64_t offset, uint64_t limit_bytes,
								 size_t memory_bytes, RnCorpus **corpus);
extern void rn_corpus_free(RnCorpus *corpus);

/* hash: of the pair's text, 128 bits; gives the canonical order. */
extern RnStatus rn_corpus_add(RnContext *ctx, RnCorpus *corpus, const uint64_t hash[2], const RnPair *pair);

/* No more pairs: sort into canonical order (external merge).  Equal pairs stay, side by side. */
extern RnStatus rn_corpus_finish(RnContext *ctx, RnCorpus *corpus);

extern uint64_t rn_corpus_pairs(const RnCorpus *corpus);
extern uint64_t rn_corpus_target_tokens(const RnCorpus *corpus);	/* ends included */

/* Order-independent digest of all pairs. */
extern void rn_corpus_fingerprint(const RnCorpus *corpus, uint64_t digest[2]);

#endif							/* RN_CORPUS_H */
