/*
 * tokenize_13a.h
 *		The words that BLEU counts: mteval-v13a's rules as sacreBLEU applies
 *		them.
 *
 * src/score/tokenize_13a.h
 */
#ifndef RN_TOKENIZE_13A_H
#define RN_TOKENIZE_13A_H

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

typedef struct RnWord
{
	const char *bytes;			/* UTF-8, in the buffer of its list */
	size_t		size;			/* bytes */
} RnWord;

typedef struct RnWords
{
	RnWord	   *words;
	size_t		n;
	char	   *buffer;			/* the text that the words are parts of */
} RnWords;

/* The caller frees with rn_words_free, unless this fails. */
extern RnStatus rn_tokenize_13a(RnContext *ctx, const char *text, size_t bytes,
								RnWords *words);
extern void rn_words_free(RnWords *words);

#endif							/* RN_TOKENIZE_13A_H */
