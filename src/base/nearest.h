/*
 * nearest.h
 *		Which of several words somebody may have meant.
 *
 * Small enough to live in its header, so that the two tables of names that
 * use it need no third object in both programs.
 *
 * src/base/nearest.h
 */
#ifndef RN_NEAREST_H
#define RN_NEAREST_H

#include <stddef.h>
#include <string.h>

#define RN_NEAREST_LENGTH	48

typedef struct RnNearest
{
	const char *word;			/* what was written */
	const char *best;			/* the nearest so far, or NULL when none is near */
	int			distance;		/* of best */
} RnNearest;

static inline int
rn_nearest_least(int a, int b)
{
	return a < b ? a : b;
}

/* Edits that make b of a: insert, delete, replace, swap neighbours. */
static inline int
rn_edit_distance(const char *a, const char *b)
{
	int			rows[3][RN_NEAREST_LENGTH + 1];
	int			n = (int) strlen(a);
	int			m = (int) strlen(b);
	int			i,
				j;

	for (j = 0; j <= m; j++)
		rows[0][j] = j;
	for (i = 1; i <= n; i++)
	{
		int		   *row = rows[i % 3];
		const int  *above = rows[(i + 2) % 3];
		const int  *before = rows[(i + 1) % 3];

		row[0] = i;
		for (j = 1; j <= m; j++)
		{
			row[j] = above[j - 1] + (a[i - 1] != b[j - 1]);
			row[j] = rn_nearest_least(row[j], rn_nearest_least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = rn_nearest_least(row[j], before[j - 2] + 1);
		}
	}
	return rows[n % 3][m];
}

static inline void
rn_nearest_begin(RnNearest *nearest, const char *word)
{
	nearest->word = word;
	nearest->best = NULL;
	nearest->distance = 0;
}

/*
 * Near is what the word begins with ("dropout_rate": "dropout"), what half of
 * the letters or more agree with, and, ranked behind, what contains the word
 * ("epochs": "max_epochs").
 */
static inline void
rn_nearest_try(RnNearest *nearest, const char *candidate)
{
	size_t		length = strlen(nearest->word);
	int			distance;

	if (length == 0 || length > RN_NEAREST_LENGTH || strlen(candidate) > RN_NEAREST_LENGTH)
		return;
	distance = rn_edit_distance(nearest->word, candidate);
	if (strlen(candidate) >= 3 && strncmp(nearest->word, candidate, strlen(candidate)) == 0)
		distance = 1;
	if (2 * distance > (int) length)
	{
		if (length < 3 || strstr(candidate, nearest->word) == NULL)
			return;
		distance += RN_NEAREST_LENGTH;
	}
	if (nearest->best == NULL || distance < nearest->distance)
	{
		nearest->best = candidate;
		nearest->distance = distance;
	}
}

#endif							/* RN_NEAREST_H */
