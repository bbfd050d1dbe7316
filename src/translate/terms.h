/*
 * terms.h
 *		What a client wants translations to begin with, and how terms are to be
 *		translated.
 *
 * src/translate/terms.h
 */
#ifndef RN_TERMS_H
#define RN_TERMS_H

#include "text/tokenizer.h"

/* A term and its translation, as normalize.h leaves texts; malloc'd. */
typedef struct RnTerm
{
	char	   *source;
	char	   *target;
	size_t		source_size;
	size_t		target_size;
} RnTerm;

typedef struct RnTerms
{
	char	   *prefix;			/* likewise; NULL: none */
	int			n;
	RnTerm	   *terms;
} RnTerms;

/* All zero is no terms. */
extern RnStatus rn_terms_set_prefix(RnContext *ctx, RnTerms *terms, RnText prefix);

/* RN_INVALID when one side is empty. */
extern RnStatus rn_terms_add(RnContext *ctx, RnTerms *terms, RnText source, RnText target);
extern void rn_terms_free(RnTerms *terms);

/*
 * The next term in a normalised text from *at on, which moves behind it; the
 * longest where several begin, the first of equals.  Letters count as they are
 * written, unless case is to be ignored (rn_spelling_check_fold() comes
 * first), and a term is not found within a word.  -1: there is none.
 */
extern int	rn_terms_next(const RnTerms *terms, int ignore_case, const char *text, size_t size, size_t *at,
						  size_t *start);

/* A text as normalize.h leaves it, malloc'd and NUL-terminated. */
extern RnStatus rn_normal_text(RnContext *ctx, RnText text, char **normal);

#endif							/* RN_TERMS_H */
