/*
 * tokenizer.h
 *		Text to subword ids and back, over SentencePiece.
 *
 * The only door to C++: no exception passes it.  Whatever bytes come in are
 * normalised and never fatal: malformed UTF-8 becomes U+FFFD, control
 * characters become spaces, runs of white space one space, none at the ends,
 * and the rest NFKC.  Ids: 0 pad, 1 start, 2 end, 3 unknown, then pieces.
 *
 * A vocabulary of 1024 pieces or more has one for each of the 256 bytes, which
 * spell the characters that it lacks: rare ones (one in 100,000) are learnt
 * that way, and an emoji never seen comes back unharmed.  In a smaller one, or
 * where the alphabet needs the places, what is lacking is the unknown id.
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
	int			threads;		/* same result with any number: one does the work */
	uint64_t	seed;			/* which texts are learnt from where they are too many */
} RnTokenizerOptions;

/* Gives the next text to learn from; 0 at the end.  The text lives until the next call. */
typedef int (*RnNextText) (void *arg, RnText *text);

/*
 * Learn from texts and return an opaque, self-contained model as bytes
 * (malloc'd, the caller frees).  RN_NO_DATA when there is no text, RN_INVALID
 * when vocab_size does not fit the text and shrink is off (hint: one that
 * fits) or has no room for the characters of the text (hint: the smallest that
 * has).  Deterministic.  Memory is bounded: of more than 16 MiB of lines
 * (unigram; BPE 32) a random sample is learnt from.
 */
extern RnStatus rn_tokenizer_learn(RnContext *ctx, const RnTokenizerOptions *options,
								   RnNextText next, void *arg, char **model, size_t *model_bytes);

/* RN_CORRUPT for bytes that are no such model or damaged. */
extern RnStatus rn_tokenizer_load(RnContext *ctx, const char *model, size_t model_bytes,
								  RnTokenizer **tokenizer);
extern void rn_tokenizer_free(RnTokenizer *tokenizer);
extern int	rn_tokenizer_vocab_size(const RnTokenizer *tokenizer);

/*
 * Ids of a text without start and end.  *ids is malloc'd (may be NULL when
 * *n is 0), the caller frees.  At most max_ids are returned; *cut says whether
 * there were more; the text behind them is not looked at.  A run of 16 KiB
 * without a space is taken for several words.  Safe to call from several
 * threads at once.
 */
extern RnStatus rn_tokenizer_encode(RnContext *ctx, const RnTokenizer *tokenizer, RnText text,
									int max_ids, int32_t **ids, int *n, int *cut);

/*
 * Text of ids (special ids are skipped), malloc'd, NUL-terminated, valid UTF-8.
 * RN_INVALID for an id outside of the vocabulary.
 */
extern RnStatus rn_tokenizer_decode(RnContext *ctx, const RnTokenizer *tokenizer,
									const int32_t *ids, int n, char **text);

/* The piece as it is written ("\u2581the"); NULL for an id out of range.  Lives with the tokenizer. */
extern const char *rn_tokenizer_piece(const RnTokenizer *tokenizer, int32_t id);

/* Its id, or RN_UNKNOWN_ID. */
extern int32_t rn_tokenizer_id(const RnTokenizer *tokenizer, const char *piece);

#endif							/* RN_TOKENIZER_H */
