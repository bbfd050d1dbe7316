/*
 * terms.c
 *		What a client wants translations to begin with, and how terms are to be
 *		translated.
 *
 * src/translate/terms.c
 */
#include "translate/terms.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/normalize.h"
#include "translate/spelling.h"

RnStatus
rn_normal_text(RnContext *ctx, RnText text, char **normal)
{
	size_t		room = 3 * text.size + RN_UTF8_MAX;
	size_t		at = 0;
	size_t		size;

	*normal = malloc(room + 1);
	if (*normal == NULL)
		return rn_out_of_memory(ctx, room + 1);
	size = rn_normalize(text.bytes, text.size, &at, *normal, room);
	(*normal)[size] = '\0';
	return RN_OK;
}

RnStatus
rn_terms_set_prefix(RnContext *ctx, RnTerms *terms, RnText prefix)
{
	free(terms->prefix);
	terms->prefix = NULL;
	RN_TRY(rn_normal_text(ctx, prefix, &terms->prefix));
	if (terms->prefix[0] == '\0')
	{
		free(terms->prefix);
		terms->prefix = NULL;
	}
	return RN_OK;
}

RnStatus
rn_terms_add(RnContext *ctx, RnTerms *terms, RnText source, RnText target)
{
	RnTerm	   *term;

	/* grown by doubling: at a power of two there is no room left */
	if ((terms->n & (terms->n - 1)) == 0)
	{
		size_t		bytes = (terms->n ? 2 * (size_t) terms->n : 1) * sizeof(RnTerm);
		RnTerm	   *grown = realloc(terms->terms, bytes);

		if (grown == NULL)
			return rn_out_of_memory(ctx, bytes);
		terms->terms = grown;
	}
	term = &terms->terms[terms->n];
	memset(term, 0, sizeof(*term));
	terms->n++;
	RN_TRY(rn_normal_text(ctx, source, &term->source));
	RN_TRY(rn_normal_text(ctx, target, &term->target));
	term->source_size = strlen(term->source);
	term->target_size = strlen(term->target);
	if (term->source_size == 0)
		return rn_fail(ctx, RN_INVALID, "a term of the glossary is empty");
	if (term->target_size == 0)
		return rn_fail(ctx, RN_INVALID, "the glossary's translation of \"%.100s\" is empty", term->source);
	return RN_OK;
}

void
rn_terms_free(RnTerms *terms)
{
	int			i;

	for (i = 0; i < terms->n; i++)
	{
		free(terms->terms[i].source);
		free(terms->terms[i].target);
	}
	free(terms->terms);
	free(terms->prefix);
	memset(terms, 0, sizeof(*terms));
}

/* Bytes of the text that are the term, or 0. */
static size_t
matches(const RnTerm *term, const char *text, size_t size)
{
	return size >= term->source_size && memcmp(text, term->source, term->source_size) == 0 ? term->source_size : 0;
}

static size_t
matches_folded(const RnTerm *term, const char *text, size_t size)
{
	size_t		in_term = 0;
	size_t		at = 0;

	while (in_term < term->source_size)
	{
		if (at == size || rn_spelling_fold(rn_utf8_next(text, size, &at)) !=
			rn_spelling_fold(rn_utf8_next(term->source, term->source_size, &in_term)))
			return 0;
	}
	return at;
}

static size_t
stands_here(const RnTerm *term, int ignore_case, const char *text, size_t size, size_t at)
{
	size_t		n = (ignore_case ? matches_folded : matches) (term, text + at, size - at);
	size_t		end = at + n;

	if (n == 0)
		return 0;
	if (rn_spelling_starts_in_word(term->source, term->source_size) && rn_spelling_ends_in_word(text, at))
		return 0;
	if (rn_spelling_ends_in_word(term->source, term->source_size) && rn_spelling_starts_in_word(text + end, size - end))
		return 0;
	return n;
}

int
rn_terms_next(const RnTerms *terms, int ignore_case, const char *text, size_t size, size_t *at, size_t *start)
{
	for (; *at < size; (*at)++)
	{
		size_t		longest = 0;
		int			found = -1;
		int			i;

		if (((unsigned char) text[*at] & 0xC0) == 0x80)
			continue;
		for (i = 0; i < terms->n; i++)
		{
			size_t		n = stands_here(&terms->terms[i], ignore_case, text, size, *at);

			if (n > longest)
			{
				longest = n;
				found = i;
			}
		}
		if (found >= 0)
		{
			*start = *at;
			*at += longest;
			return found;
		}
	}
	return -1;
}
