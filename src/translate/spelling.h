/*
 * spelling.h
 *		What the pieces of a vocabulary look like.
 *
 * src/translate/spelling.h
 */
#ifndef RN_SPELLING_H
#define RN_SPELLING_H

#include "text/tokenizer.h"
#include "translate/phrases.h"

/* RN_PIECE_* of every id of a model's vocabulary, malloc'd. */
extern RnStatus rn_spelling_kinds(RnContext *ctx, const RnTokenizer *tokenizer, int vocabulary, uint8_t **kinds);

/* Does a piece begin a word?  Is it nothing but the space before one? */
extern int	rn_spelling_begins_word(const RnTokenizer *tokenizer, int32_t id);
extern int	rn_spelling_is_space(const RnTokenizer *tokenizer, int32_t id);

/* The same piece within a word; RN_UNKNOWN_ID when there is none. */
extern int32_t rn_spelling_attached(const RnTokenizer *tokenizer, int32_t id);

/* Is the last, the first character of a text a letter or digit, so that a word might reach over that end? */
extern int	rn_spelling_ends_in_word(const char *text, size_t size);
extern int	rn_spelling_starts_in_word(const char *text, size_t size);

/*
 * A code point without regard to its case, as Unicode pairs single letters: of
 * "Straße" and "STRASSE" the lengths differ, so they stay different.  RN_INVALID
 * where the C library has no locale C.UTF-8, which knows that.
 */
extern RnStatus rn_spelling_check_fold(RnContext *ctx);
extern uint32_t rn_spelling_fold(uint32_t code);

#endif							/* RN_SPELLING_H */
