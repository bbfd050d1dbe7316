/*
 * normalize.h
 *		Words out of text that may be anything.
 *
 * Malformed UTF-8 becomes U+FFFD.  White space, control characters and what
 * only looks like them (U+200B, U+FEFF, and U+2581, which means a space to
 * SentencePiece) separate words.  All else stays; SentencePiece applies NFKC.
 *
 * src/text/normalize.h
 */
#ifndef RN_NORMALIZE_H
#define RN_NORMALIZE_H

#include <stddef.h>

/*
 * Write as many whole words from *at on as fit into room (at least
 * RN_UTF8_MAX), one space between them and none at either end, and move *at
 * behind them.  A word that is longer than room is broken.  Returns the bytes
 * written; 0 when no word is left.
 */
extern size_t rn_normalize(const char *text, size_t size, size_t *at, char *out, size_t room);

#endif							/* RN_NORMALIZE_H */
