/*
 * corpus.h
 *		Sentence pairs as ids, in a file, so that memory does not grow with the
 *		corpus.
 *
 * Ids only, never text.  Pairs lie in a spill file; memory holds what one
 * reader needs.  Pairs have a canonical order that does not depend on the
 * order in which they came, so a job that reads the table again sees the same
 * data in the same order.  They lie in blocks, which are what is read at once.
 *
 * src/train/corpus.h
 */
#ifndef RN_CORPUS_H
#define RN_CORPUS_H

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"
#include "base/spill.h"
#include "train/extent.h"

/* A pair; source and target are pieces without start and end. */
typedef struct RnPair
{
	const int32_t *source;
	const int32_t *target;
	int			n_source;
	int			n_target;
} RnPair;

/* Pairs that lie together. */
typedef struct RnCorpusBlock
{
	uint64_t	offset;			/* in the spill file */
	uint32_t	bytes;
	uint32_t	pairs;
	uint32_t	source_ids;
	uint32_t	target_ids;
	uint64_t	digest;			/* of the bytes, to know damage */
} RnCorpusBlock;

typedef struct RnCorpus RnCorpus;

/*
 * The spill file is lent.  memory_bytes bounds what sorting takes, up to
 * rn_corpus_finish.
 */
extern RnStatus rn_corpus_create(RnContext *ctx, RnSpill *spill, size_t memory_bytes, RnCorpus **corpus);
extern void rn_corpus_free(RnCorpus *corpus);

/* hash: of the pair's text, 128 bits; gives the canonical order. */
extern RnStatus rn_corpus_add(RnContext *ctx, RnCorpus *corpus, const uint64_t hash[2], const RnPair *pair);

/* No more pairs: sort into canonical order (external merge).  Equal pairs stay, side by side. */
extern RnStatus rn_corpus_finish(RnContext *ctx, RnCorpus *corpus);

extern uint64_t rn_corpus_pairs(const RnCorpus *corpus);
extern uint64_t rn_corpus_target_tokens(const RnCorpus *corpus);	/* ends included */

/* Of all pairs. */
extern const RnLengths *rn_corpus_lengths(const RnCorpus *corpus);

/* Order-independent digest of all pairs. */
extern void rn_corpus_fingerprint(const RnCorpus *corpus, uint64_t digest[2]);

/* Blocks in canonical order, once finished. */
extern int	rn_corpus_blocks(const RnCorpus *corpus);
extern const RnCorpusBlock *rn_corpus_block(const RnCorpus *corpus, int number);

/*
 * Read a block: pairs [block->pairs], ids [source_ids + target_ids], to which
 * the pairs point.  RN_IO when the file is short or damaged.
 */
extern RnStatus rn_corpus_read_block(RnContext *ctx, RnCorpus *corpus, int number, RnPair *pairs, int32_t *ids);

#endif							/* RN_CORPUS_H */
