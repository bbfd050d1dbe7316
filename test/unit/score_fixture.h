/*
 * score_fixture.h
 *		Reading texts that make_score_fixture.py and its like have written.
 *
 * test/unit/score_fixture.h
 */
#ifndef RN_SCORE_FIXTURE_H
#define RN_SCORE_FIXTURE_H

#include <stdio.h>
#include <stddef.h>

/* The text behind a letter and a space, its \xHH undone in place; its size. */
static inline size_t
unescape(char *line, char **text)
{
	char	   *from = line + 2;
	char	   *to = line + 2;

	*text = to;
	while (*from != '\0' && *from != '\n')
	{
		unsigned	code;

		if (from[0] == '\\' && sscanf(from + 2, "%2x", &code) == 1)
		{
			*to++ = (char) code;
			from += 4;
		}
		else
			*to++ = *from++;
	}
	return (size_t) (to - *text);
}

#endif							/* RN_SCORE_FIXTURE_H */
