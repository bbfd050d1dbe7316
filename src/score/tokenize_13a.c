/*
 * tokenize_13a.c
 *		The words that BLEU counts: mteval-v13a's rules as sacreBLEU applies
 *		them.
 *
 * The rules are substitutions, one after another over the whole line, each
 * from left to right and without overlap; what one leaves is what the next
 * sees, so they are not merged here.  All characters that a rule names are
 * ASCII and what surrounds them is only copied, so bytes do for code points
 * once the text is well-formed.
 *
 * src/score/tokenize_13a.c
 */
#include "score/tokenize_13a.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* A rule reads in[0 .. size) and returns how much it wrote to out. */
typedef size_t (*Rule) (const char *in, size_t size, char *out);

/* Python's bytes.decode(errors='replace').rstrip(), a space before and behind. */
static size_t
well_formed(const char *in, size_t size, char *out)
{
	size_t		at = 0;
	size_t		written = 1;
	size_t		end = 1;

	out[0] = ' ';
	while (at < size)
	{
		uint32_t	code = rn_utf8_next(in, size, &at);

		written += rn_utf8_put(code, out + written);
		if (!rn_utf8_is_space(code))
			end = written;
	}
	out[end] = ' ';
	return end + 1;
}

/* In place; the replacement is no longer than what it replaces. */
static size_t
replace(char *text, size_t size, const char *what, const char *with)
{
	size_t		what_size = strlen(what);
	size_t		with_size = strlen(with);
	size_t		from = 0;
	size_t		to = 0;

	while (from < size)
	{
		if (size - from >= what_size && memcmp(text + from, what, what_size) == 0)
		{
			memcpy(text + to, with, with_size);
			from += what_size;
			to += with_size;
		}
		else
			text[to++] = text[from++];
	}
	return to;
}

/* The part of the rules that does not depend on the language. */
static size_t
unescape(char *text, size_t size)
{
	size = replace(text, size, "<skipped>", "");
	size = replace(text, size, "-\n", "");
	size = replace(text, size, "\n", " ");
	if (memchr(text, '&', size) == NULL)
		return size;
	size = replace(text, size, "&quot;", "\"");
	size = replace(text, size, "&amp;", "&");
	size = replace(text, size, "&lt;", "<");
	return replace(text, size, "&gt;", ">");
}

/* {-~ [-` space-& (-+ :-@ / : all of ASCII's punctuation but ' , - . */
static int
is_symbol(char c)
{
	return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') ||
		(c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
}

static int
is_stop(char c)
{
	return c == '.' || c == ',';
}

static int
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* At most three times as long. */
static size_t
set_symbols_apart(const char *in, size_t size, char *out)
{
	size_t		n = 0;
	size_t		i;

	for (i = 0; i < size; i++)
	{
		if (is_symbol(in[i]))
		{
			out[n++] = ' ';
			out[n++] = in[i];
			out[n++] = ' ';
		}
		else
			out[n++] = in[i];
	}
	return n;
}

/* This and the following: at most twice as long. */
static size_t
set_stop_apart_unless_after_digit(const char *in, size_t size, char *out)
{
	size_t		n = 0;
	size_t		i = 0;

	while (i < size)
	{
		if (i + 1 < size && !is_digit(in[i]) && is_stop(in[i + 1]))
		{
			out[n++] = in[i];
			out[n++] = ' ';
			out[n++] = in[i + 1];
			out[n++] = ' ';
			i += 2;
		}
		else
			out[n++] = in[i++];
	}
	return n;
}

static size_t
set_stop_apart_unless_before_digit(const char *in, size_t size, char *out)
{
	size_t		n = 0;
	size_t		i = 0;

	while (i < size)
	{
		if (i + 1 < size && is_stop(in[i]) && !is_digit(in[i + 1]))
		{
			out[n++] = ' ';
			out[n++] = in[i];
			out[n++] = ' ';
			out[n++] = in[i + 1];
			i += 2;
		}
		else
			out[n++] = in[i++];
	}
	return n;
}

static size_t
set_dash_apart_after_digit(const char *in, size_t size, char *out)
{
	size_t		n = 0;
	size_t		i = 0;

	while (i < size)
	{
		if (i + 1 < size && is_digit(in[i]) && in[i + 1] == '-')
		{
			out[n++] = in[i];
			out[n++] = ' ';
			out[n++] = '-';
			out[n++] = ' ';
			i += 2;
		}
		else
			out[n++] = in[i++];
	}
	return n;
}

/* Run a rule from *text into a new buffer that replaces it. */
static RnStatus
apply(RnContext *ctx, Rule rule, int growth, char **text, size_t *size)
{
	size_t		room = (size_t) growth * *size;
	char	   *out = malloc(room);

	if (out == NULL)
		return rn_out_of_memory(ctx, room);
	*size = rule(*text, *size, out);
	free(*text);
	*text = out;
	return RN_OK;
}

static RnStatus
apply_rules(RnContext *ctx, char **text, size_t *size)
{
	*size = unescape(*text, *size);
	RN_TRY(apply(ctx, set_symbols_apart, 3, text, size));
	RN_TRY(apply(ctx, set_stop_apart_unless_after_digit, 2, text, size));
	RN_TRY(apply(ctx, set_stop_apart_unless_before_digit, 2, text, size));
	return apply(ctx, set_dash_apart_after_digit, 2, text, size);
}

/* Words between white space; counts them, and notes them where words is not NULL. */
static size_t
split(const char *text, size_t size, RnWord *words)
{
	size_t		n = 0;
	size_t		at = 0;
	size_t		start = 0;

	while (at <= size)
	{
		size_t		end = at;

		if (at == size || rn_utf8_is_space(rn_utf8_next(text, size, &at)))
		{
			if (end > start)
			{
				if (words != NULL)
				{
					words[n].bytes = text + start;
					words[n].size = end - start;
				}
				n++;
			}
			if (end == size)
				break;
			start = at;
		}
	}
	return n;
}

RnStatus
rn_tokenize_13a(RnContext *ctx, const char *text, size_t bytes, RnWords *words)
{
	size_t		room = 3 * bytes + 2;	/* a bad byte becomes three */
	size_t		size;

	words->words = NULL;
	words->n = 0;
	words->buffer = malloc(room);
	if (words->buffer == NULL)
		return rn_out_of_memory(ctx, room);
	size = well_formed(text, bytes, words->buffer);
	if (apply_rules(ctx, &words->buffer, &size) != RN_OK)
	{
		rn_words_free(words);
		return ctx->status;
	}

	words->n = split(words->buffer, size, NULL);
	if (words->n == 0)
		return RN_OK;
	words->words = malloc(words->n * sizeof(RnWord));
	if (words->words == NULL)
	{
		rn_words_free(words);
		return rn_out_of_memory(ctx, words->n * sizeof(RnWord));
	}
	split(words->buffer, size, words->words);
	return RN_OK;
}

void
rn_words_free(RnWords *words)
{
	free(words->words);
	free(words->buffer);
	words->words = NULL;
	words->buffer = NULL;
	words->n = 0;
}
