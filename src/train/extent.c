/*
 * extent.c
 *		How much of everything a pass over sentence pairs has to hold.
 *
 * src/train/extent.c
 */
#include "train/extent.h"

#include <stddef.h>

#include "kernels/kernel.h"

RnExtent
rn_extent_of(int64_t pairs, int source_rows, int target_rows)
{
	const int64_t source = pairs * source_rows;
	const int64_t target = pairs * target_rows;
	RnExtent	extent = {source, target, source * rn_attention_stride(source_rows), target * rn_attention_stride(target_rows),
		target * rn_attention_stride(source_rows), (source + target) * rn_attention_stride(source_rows + target_rows)};

	return extent;
}

void
rn_extent_add(RnExtent *extent, const RnExtent *more)
{
	extent->source_rows += more->source_rows;
	extent->target_rows += more->target_rows;
	extent->source_scores += more->source_scores;
	extent->target_scores += more->target_scores;
	extent->cross_scores += more->cross_scores;
	extent->joined_scores += more->joined_scores;
}

int
rn_extent_fits(const RnExtent *extent, const RnExtent *room)
{
	return extent->source_rows <= room->source_rows && extent->target_rows <= room->target_rows &&
		extent->source_scores <= room->source_scores && extent->target_scores <= room->target_scores &&
		extent->cross_scores <= room->cross_scores && extent->joined_scores <= room->joined_scores;
}

/* A quarter more than the share of the whole, and one pair; but not more than there is. */
static int64_t
wanted(int64_t whole, double share, int64_t of_longest)
{
	const int64_t most = (int64_t) (1.25 * share * (double) whole) + of_longest;

	return most < whole ? most : whole > of_longest ? whole : of_longest;
}

static RnExtent
wanted_extent(const RnLengths *lengths, int64_t target_rows)
{
	const RnExtent pair = rn_extent_of(1, lengths->longest_source, lengths->longest_target);
	const RnExtent *sum = &lengths->sum;
	const double share = (double) target_rows / (double) sum->target_rows;
	RnExtent	extent;

	extent.target_rows = target_rows > pair.target_rows ? target_rows : pair.target_rows;
	extent.source_rows = wanted(sum->source_rows, share, pair.source_rows);
	extent.source_scores = wanted(sum->source_scores, share, pair.source_scores);
	extent.target_scores = wanted(sum->target_scores, share, pair.target_scores);
	extent.cross_scores = wanted(sum->cross_scores, share, pair.cross_scores);
	extent.joined_scores = wanted(sum->joined_scores, share, pair.joined_scores);
	return extent;
}

static int
divide_up(int64_t n, int by)
{
	return (int) ((n + by - 1) / by);
}

/* As many as the rows ask for, as long as the scores ask for: at the greatest lengths everything fits. */
RnRoom
rn_room_of(const RnLengths *lengths, int64_t target_rows)
{
	RnExtent	extent;
	RnRoom		room = {0, 1, 1, {0, 0, 0, 0, 0, 0}};

	if (lengths->sum.target_rows == 0)
		return room;
	if (target_rows > lengths->sum.target_rows)
		target_rows = lengths->sum.target_rows;
	extent = wanted_extent(lengths, target_rows);
	for (;;)
	{
		const int	by_source = divide_up(extent.source_rows, room.source);
		const int	by_target = divide_up(extent.target_rows, room.target);

		room.pairs = by_source > by_target ? by_source : by_target;
		room.extent = rn_extent_of(room.pairs, room.source, room.target);
		if (rn_extent_fits(&extent, &room.extent))
			return room;
		/* whichever side is short of it; what has both goes on until one is at its end */
		if (room.source < lengths->longest_source && (room.target == lengths->longest_target ||
													  (int64_t) room.source * lengths->longest_target <=
													  (int64_t) room.target * lengths->longest_source))
			room.source++;
		else if (room.target < lengths->longest_target)
			room.target++;
		else
			return room;
	}
}
