/*
 * tokenizer.h
 *		Text to subword ids and back, over SentencePiece.
 *
 * The only door to C++: no exception passes it.  Whatever bytes come in are
 * normalised and never fatal: malformed UTF-8 becomes U+FFFD, control
 * characters become spaces.  Ids: 0 pad, 1 start, 2 end, 3 unknown, then
 * pieces.
 *
 * src/text/tokenizer.h
 */
#ifndef RN_TOKENIZER_H
#define RN_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

enum
{
	RN_PAD_ID = 0,
	RN_START_ID = 1,
	RN_END_ID = 2,
	RN_UNKNOWN_ID = 3
};

typedef struct RnTokenizer RnTokenizer;

/* A text that is not owned; need not end in NUL. */
typedef struct RnText
{
	const char *bytes;
	size_t		size;
} RnText;

typedef struct RnTokenizerOptions
{
	int			vocab_size;		/* pieces wanted, the four special ones included */
	int			shrink;			/* true: fewer when the text allows no more; false: RN_INVALID then */
	int			bpe;			/* true: BPE, false: unigram */
	int			lowercase;		/* fold case (NFKC_CF) */
	int			threads;		/* same result with any number */
	uint64_t	seed;
} RnTokenizerOptions;

/* Gives the next text to learn from; 0 at the end.  The text lives until the next call. */
typedef int (*RnNextText) (void *arg, RnText *text);

/*
 * Learn from texts and return an opaque, self-contained model as bytes
 * (malloc'd, the caller frees).  RN_NO_DATA when there is no text, RN_INVALID
 * when vocab_size does not fit the text and shrink is off (hint: the largest
 * that fits).  Deterministic.
 */
extern RnStatus rn_tokenizer_learn(RnContext *ctx, const RnTokenizerOptions *options,
								   RnNextText next, void *arg, char **model, size_t *model_bytes);

/* RN_CORRUPT for bytes that are no such model. */
extern RnStatus rn_tokenizer_load(RnContext *ctx, const char *model, size_t model_bytes,
								  RnTokenizer **tokenizer);
extern void rn_tokenizer_free(RnTokenizer *tokenizer);
extern int	rn_tokenizer_vocab_size(const RnTokenizer *tokenizer);

/*
 * Ids of a text without start and end.  *ids is malloc'd (may be NULL when
 * *n is 0), the caller frees.  At most max_ids are returned; *cut says whether
 * there were more.  Safe to call from several threads at once.
 */
extern RnStatus rn_tokenizer_encode(RnContext *ctx, const RnTokenizer *tokenizer, RnText text,
									int max_ids, int32_t **ids, int *n, int *cut);

/* Text of ids (special ids are skipped), malloc'd, NUL-terminated, valid UTF-8. */
extern RnStatus rn_tokenizer_decode(RnContext *ctx, const RnTokenizer *tokenizer,
									const int32_t *ids, int n, char **text);

/* The piece as it is written ("\u2581the"); NULL for an id out of range.  Lives with the tokenizer. */
extern const char *rn_tokenizer_piece(const RnTokenizer *tokenizer, int32_t id);

/* Its id, or RN_UNKNOWN_ID. */
extern int32_t rn_tokenizer_id(const RnTokenizer *tokenizer, const char *piece);

#endif							/* RN_TOKENIZER_H */
