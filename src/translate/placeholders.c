/*
 * placeholders.c
 *		What of a text must not be translated.
 *
 * Every matcher gives the length of what begins at a place, or 0.
 *
 * src/translate/placeholders.c
 */
#include "translate/placeholders.h"

#include <string.h>

#define BRACES_MAX	100			/* bytes: more is text in braces */

static int
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int
is_blank(char c)
{
	return (unsigned char) c <= ' ' || c == 0x7f;
}

/* Characters of a set from the place on. */
static size_t
span(const char *text, size_t size, const char *set)
{
	size_t		n = 0;

	while (n < size && text[n] != '\0' && strchr(set, text[n]) != NULL)
		n++;
	return n;
}

static size_t
span_digits(const char *text, size_t size)
{
	return span(text, size, "0123456789");
}

/* To the next blank, without the punctuation of the sentence at its end. */
static size_t
span_address(const char *text, size_t size)
{
	size_t		n = 0;

	while (n < size && !is_blank(text[n]) && strchr("<>\"", text[n]) == NULL && (unsigned char) text[n] < 0x80)
		n++;
	while (n > 0 && strchr(".,;:!?'\")]}", text[n - 1]) != NULL)
		n--;
	return n;
}

/* scheme://..., www.... */
static size_t
match_url(const char *text, size_t size)
{
	size_t		n = 0;
	size_t		whole = span_address(text, size);

	if (whole > 4 && strncmp(text, "www.", 4) == 0)
		return whole;
	while (n < whole && (is_letter(text[n]) || (n > 0 && (is_digit(text[n]) || strchr("+.-", text[n]) != NULL))))
		n++;
	return n > 0 && whole > n + 3 && strncmp(text + n, "://", 3) == 0 ? whole : 0;
}

/* name@host */
static size_t
match_mail(const char *text, size_t size)
{
	size_t		n = 0;
	size_t		host;

	while (n < size && (is_letter(text[n]) || is_digit(text[n]) || (n > 0 && strchr("._%+-", text[n]) != NULL)))
		n++;
	if (n == 0 || n == size || text[n] != '@')
		return 0;
	host = ++n;
	while (n < size && (is_letter(text[n]) || is_digit(text[n]) || (n > host && strchr(".-", text[n]) != NULL)))
		n++;
	while (n > host && strchr(".-", text[n - 1]) != NULL)
		n--;
	return n > host ? n : 0;
}

/* {name}, ${name}, {{ name }} */
static size_t
match_braces(const char *text, size_t size)
{
	size_t		n = size > 0 && text[0] == '$';
	size_t		depth = span(text + n, size - n, "{");
	size_t		closing;

	if (depth == 0 || depth > 3)
		return 0;
	n += depth;
	if (depth > 1)
		n += span(text + n, size - n, " ");
	while (n < size && n < BRACES_MAX && !is_blank(text[n]) && text[n] != '{' && text[n] != '}')
		n++;
	if (depth > 1)
		n += span(text + n, size - n, " ");
	closing = span(text + n, size - n, "}");
	return closing < depth ? 0 : n + depth;
}

/* %s, %1$d, %-8.2f, %ld, %%, %(name)s */
static size_t
match_format(const char *text, size_t size)
{
	size_t		n = 1;

	if (size < 2 || text[0] != '%')
		return 0;
	if (text[1] == '%')
		return 2;
	if (text[n] == '(')
	{
		while (n < size && n < BRACES_MAX && !is_blank(text[n]) && text[n] != ')')
			n++;
		if (n == size || text[n++] != ')')
			return 0;
	}
	else
	{
		size_t		digits = span_digits(text + n, size - n);

		if (digits > 0 && n + digits < size && text[n + digits] == '$')
			n += digits + 1;
	}
	n += span(text + n, size - n, "-+#0");
	n += span_digits(text + n, size - n);
	if (n < size && text[n] == '.')
		n += 1 + span_digits(text + n + 1, size - n - 1);
	n += span(text + n, size - n, "hljztLq");
	if (n == size || strchr("diouxXeEfFgGcsSpaAn@", text[n]) == NULL)
		return 0;
	/* "100%such" is no placeholder */
	return n + 1 < size && (is_letter(text[n + 1]) || is_digit(text[n + 1])) ? 0 : n + 1;
}

/* Letters and digits, and separators between digits; before is blank: a sign as well. */
static size_t
match_number(const char *text, size_t size, char before)
{
	size_t		n = is_blank(before) && size > 1 && (text[0] == '+' || text[0] == '-') && is_digit(text[1]);
	int			has_digit = 0;

	/* part of a word that does not begin here */
	if ((unsigned char) before >= 0x80 && !is_digit(text[0]))
		return 0;
	while (n < size && (is_letter(text[n]) || is_digit(text[n]) ||
						(n > 0 && n + 1 < size && strchr(".,:/-", text[n]) != NULL && text[n] != '\0' &&
						 is_digit(text[n - 1]) && is_digit(text[n + 1]))))
		has_digit |= is_digit(text[n++]);
	return has_digit ? n : 0;
}

/* What begins here; before is the character before, a blank at the beginning. */
static RnPlaceholder
match(const char *text, size_t size, char before, size_t *length)
{
	int			attached = is_letter(before) || is_digit(before) || before == '_';

	if (!attached && (*length = match_url(text, size)) > 0)
		return RN_ADDRESS;
	if (!attached && (*length = match_mail(text, size)) > 0)
		return RN_ADDRESS;
	if ((*length = match_braces(text, size)) > 0)
		return RN_BRACES;
	if ((*length = match_format(text, size)) > 0)
		return RN_FORMAT;
	if (!attached && (*length = match_number(text, size, before)) > 0)
		return RN_NUMBER;
	return 0;
}

RnPlaceholder
rn_placeholder_next(const char *text, size_t size, size_t *at, size_t *start)
{
	char		before = *at > 0 ? text[*at - 1] : ' ';

	while (*at < size)
	{
		size_t		length = 0;
		RnPlaceholder found = match(text + *at, size - *at, before, &length);

		if (found != 0)
		{
			*start = *at;
			*at += length;
			return found;
		}
		before = text[(*at)++];
	}
	return 0;
}
