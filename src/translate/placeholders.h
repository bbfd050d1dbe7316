/*
 * placeholders.h
 *		What of a text must not be translated.
 *
 * Addresses (https://..., www..., name@host), placeholders in braces ({name},
 * {0}, ${path}, {{ user }}), those of printf and Python (%s, %1$d, %.2f,
 * %(name)s) and numbers, with the separators within them (1,000.50, 10:30,
 * 2024-01-31, 3/4), a sign and letters attached to them (-5, 3D, x86-64, 5kg).
 * They are found from left to right, the longest first.
 *
 * src/translate/placeholders.h
 */
#ifndef RN_PLACEHOLDERS_H
#define RN_PLACEHOLDERS_H

#include <stddef.h>

typedef enum RnPlaceholder
{
	RN_ADDRESS = 1,
	RN_BRACES,
	RN_FORMAT,
	RN_NUMBER
} RnPlaceholder;

/*
 * The next one from *at on, which moves behind it; *start is where it begins.
 * 0 when there is none.
 */
extern RnPlaceholder rn_placeholder_next(const char *text, size_t size, size_t *at, size_t *start);

#endif							/* RN_PLACEHOLDERS_H */
