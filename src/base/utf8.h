/*
 * utf8.h
 *		Code points out of bytes that may be anything, and back.
 *
 * src/base/utf8.h
 */
#ifndef RN_UTF8_H
#define RN_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define RN_REPLACEMENT	0xFFFDu	/* stands for what cannot be decoded */
#define RN_UTF8_MAX		4		/* bytes of the longest code point */

/*
 * The code point at *at, which moves behind it; *at must be less than size.
 * RN_REPLACEMENT for malformed bytes, once for each maximal part of a sequence
 * (Unicode 15, section 3.9, "U+FFFD Substitution of Maximal Subparts").
 */
extern uint32_t rn_utf8_next(const char *bytes, size_t size, size_t *at);

/* Write a code point (no surrogate, at most 0x10FFFF); the bytes written. */
extern size_t rn_utf8_put(uint32_t code, char *out);

/* White space as Python's str.split() sees it: Unicode's, and U+001C..U+001F. */
extern int	rn_utf8_is_space(uint32_t code);

#endif							/* RN_UTF8_H */
