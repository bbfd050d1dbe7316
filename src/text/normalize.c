/*
 * normalize.c
 *		Words out of text that may be anything.
 *
 * Text is taken in portions of whole words, so that a text of any length
 * needs bounded memory and only as much of it is looked at as is used.
 *
 * src/text/normalize.c
 */
#include "text/normalize.h"

#include <string.h>

#include "base/utf8.h"

static int
separates(uint32_t code)
{
	if (code < 0x20 || (code >= 0x7F && code <= 0x9F))
		return 1;
	return rn_utf8_is_space(code) || code == 0x200B || code == 0x2581 || code == 0xFEFF;
}

size_t
rn_normalize(const char *text, size_t size, size_t *at, char *out, size_t room)
{
	size_t		written = 0;
	size_t		words_end = 0;	/* where the words before the current one end */
	size_t		word_at = *at;	/* where the current word begins in text */
	int			in_word = 0;

	while (*at < size)
	{
		size_t		before = *at;
		uint32_t	code = rn_utf8_next(text, size, at);
		char		bytes[RN_UTF8_MAX];
		size_t		n;
		size_t		gap;

		if (separates(code))
		{
			in_word = 0;
			continue;
		}
		n = rn_utf8_put(code, bytes);
		gap = !in_word && written > 0;
		if (written + gap + n > room)
		{
			if (in_word && words_end > 0)
			{
				*at = word_at;
				return words_end;
			}
			*at = before;
			return written;
		}
		if (!in_word)
		{
			words_end = written;
			word_at = before;
			in_word = 1;
			if (gap)
				out[written++] = ' ';
		}
		memcpy(out + written, bytes, n);
		written += n;
	}
	return written;
}
