/*
 * extent.h
 *		How much of everything a pass over sentence pairs has to hold.
 *
 * The memory of a pass grows with its rows, and with the scores of attention:
 * the product of lengths, sentence by sentence.
 *
 * src/train/extent.h
 */
#ifndef RN_EXTENT_H
#define RN_EXTENT_H

#include <stdint.h>

typedef struct RnExtent
{
	int64_t		source_rows;	/* ends included */
	int64_t		target_rows;
	int64_t		source_scores;	/* of one head */
	int64_t		target_scores;
	int64_t		cross_scores;
	int64_t		joined_scores;	/* where source and target are one sequence */
} RnExtent;

/* That of as many pairs, all of these lengths. */
extern RnExtent rn_extent_of(int64_t pairs, int source_rows, int target_rows);

extern void rn_extent_add(RnExtent *extent, const RnExtent *more);

/* Nothing of it is more than there is room for. */
extern int	rn_extent_fits(const RnExtent *extent, const RnExtent *room);

/* What the pairs of a corpus are like. */
typedef struct RnLengths
{
	RnExtent	sum;
	int			longest_source; /* ends included */
	int			longest_target;
} RnLengths;

/* Pairs of equal lengths that stand for the most that a pass is given. */
typedef struct RnRoom
{
	int			pairs;			/* 0: not known */
	int			source;			/* rows of each, ends included */
	int			target;
	RnExtent	extent;
} RnRoom;

/*
 * Room for so many target rows of such pairs, as they come mixed: a quarter
 * more than on average of all that has no bound of its own, and one pair.
 * At least the longest pair fits.
 */
extern RnRoom rn_room_of(const RnLengths *lengths, int64_t target_rows);

#endif							/* RN_EXTENT_H */
