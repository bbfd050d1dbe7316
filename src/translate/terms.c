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

static int
stands_here(const RnTerm *term, const char *text, size_t size, size_t at)
{
	size_t		end = at + term->source_size;

	if (end > size || text[at] != term->source[0] || memcmp(text + at, term->source, term->source_size) != 0)
		return 0;
	if (rn_spelling_starts_in_word(term->source, term->source_size) && rn_spelling_ends_in_word(text, at))
		return 0;
	return !(rn_spelling_ends_in_word(term->source, term->source_size) &&
			 rn_spelling_starts_in_word(text + end, size - end));
}

int
rn_terms_next(const RnTerms *terms, const char *text, size_t size, size_t *at, size_t *start)
{
	for (; *at < size; (*at)++)
	{
		int			longest = -1;
		int			i;

		if (((unsigned char) text[*at] & 0xC0) == 0x80)
			continue;
		for (i = 0; i < terms->n; i++)
		{
			if ((longest < 0 || terms->terms[i].source_size > terms->terms[longest].source_size) &&
				stands_here(&terms->terms[i], text, size, *at))
				longest = i;
		}
		if (longest >= 0)
		{
			*start = *at;
			*at += terms->terms[longest].source_size;
			return longest;
		}
	}
	return -1;
}
