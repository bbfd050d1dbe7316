/*
 * utf8.c
 *		Code points out of bytes that may be anything, and back.
 *
 * The range of the second byte depends on the first (no overlong form, no
 * surrogate, nothing above U+10FFFF); the bytes after it are 80..BF.  What
 * breaks off is replaced as far as it was well-formed.
 *
 * src/base/utf8.c
 */
#include "base/utf8.h"

uint32_t
rn_utf8_next(const char *bytes, size_t size, size_t *at)
{
	const unsigned char *s = (const unsigned char *) bytes;
	unsigned char first = s[(*at)++];
	unsigned char low = 0x80;
	unsigned char high = 0xBF;
	uint32_t	code;
	int			more;

	if (first < 0x80)
		return first;
	if (first >= 0xC2 && first <= 0xDF)
	{
		code = first & 0x1F;
		more = 1;
	}
	else if (first >= 0xE0 && first <= 0xEF)
	{
		code = first & 0x0F;
		more = 2;
		low = first == 0xE0 ? 0xA0 : 0x80;
		high = first == 0xED ? 0x9F : 0xBF;
	}
	else if (first >= 0xF0 && first <= 0xF4)
	{
		code = first & 0x07;
		more = 3;
		low = first == 0xF0 ? 0x90 : 0x80;
		high = first == 0xF4 ? 0x8F : 0xBF;
	}
	else
		return RN_REPLACEMENT;

	for (; more > 0; more--)
	{
		if (*at >= size || s[*at] < low || s[*at] > high)
			return RN_REPLACEMENT;
		code = code << 6 | (s[(*at)++] & 0x3F);
		low = 0x80;
		high = 0xBF;
	}
	return code;
}

size_t
rn_utf8_put(uint32_t code, char *out)
{
	if (code < 0x80)
	{
		out[0] = (char) code;
		return 1;
	}
	if (code < 0x800)
	{
		out[0] = (char) (0xC0 | code >> 6);
		out[1] = (char) (0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000)
	{
		out[0] = (char) (0xE0 | code >> 12);
		out[1] = (char) (0x80 | (code >> 6 & 0x3F));
		out[2] = (char) (0x80 | (code & 0x3F));
		return 3;
	}
	out[0] = (char) (0xF0 | code >> 18);
	out[1] = (char) (0x80 | (code >> 12 & 0x3F));
	out[2] = (char) (0x80 | (code >> 6 & 0x3F));
	out[3] = (char) (0x80 | (code & 0x3F));
	return 4;
}

int
rn_utf8_is_space(uint32_t code)
{
	if (code <= 0x20)
		return code == 0x20 || (code >= 0x09 && code <= 0x0D) || code >= 0x1C;
	if (code < 0x85)
		return 0;
	return code == 0x85 || code == 0xA0 || code == 0x1680 ||
		(code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
		code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}
