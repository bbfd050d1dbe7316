/*
 * pool.cu
 *		Device memory: pieces taken before work begins, and what is carved
 *		from them.
 *
 * A job knows what it needs and takes it at once (reserve); lanes and callers
 * then get parts of that, and the driver, which would stop the GPU, is not
 * asked again.  What fits into no piece comes from the driver.  Everything is
 * held to the limit that the device was opened with.
 *
 * kernels/cuda/pool.cu
 */
#include "kernels/cuda/pool.h"

#include <pthread.h>
#include <string.h>

#define PIECES	4				/* at once */
#define HOLES	64				/* of a piece; smaller ones than these are lost until the piece is empty */

typedef struct Hole
{
	size_t		offset;
	size_t		bytes;
} Hole;

/* A piece: its holes in order, no two of which touch. */
typedef struct Piece
{
	char	   *start;			/* NULL: none */
	size_t		bytes;
	int			parts;			/* carved and not given back */
	int			n_holes;
	Hole		holes[HOLES];
} Piece;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Piece pieces[PIECES];
static size_t limit;
static size_t taken;			/* from the driver */

void
rn_pool_limit(size_t bytes)
{
	limit = bytes;
}

/* From the driver, within the limit. */
static cudaError_t
ask_driver(size_t bytes, void **memory)
{
	const size_t whole = rn_pool_whole(bytes);
	cudaError_t error = cudaErrorMemoryAllocation;

	if (whole <= limit && taken <= limit - whole)
		error = cudaMalloc(memory, bytes > 0 ? bytes : 1);
	if (error == cudaSuccess)
		taken += whole;
	else
		*memory = NULL;
	/* the error of one call, not of the device */
	if (error == cudaErrorMemoryAllocation)
		cudaGetLastError();
	return error;
}

cudaError_t
rn_pool_reserve(size_t bytes)
{
	const size_t whole = rn_pool_whole(bytes);
	cudaError_t error = cudaSuccess;
	Piece	   *piece = NULL;
	void	   *memory;
	int			i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < PIECES && piece == NULL; i++)
		piece = pieces[i].start == NULL ? &pieces[i] : NULL;
	/* without a place for it parts come from the driver one by one */
	if (piece != NULL)
		error = ask_driver(whole, &memory);
	if (piece != NULL && error == cudaSuccess)
	{
		piece->start = (char *) memory;
		piece->bytes = whole;
		piece->parts = 0;
		piece->n_holes = 1;
		piece->holes[0] = Hole{0, whole};
	}
	pthread_mutex_unlock(&lock);
	return error;
}

static void
close_hole(Piece *piece, int number)
{
	piece->n_holes--;
	memmove(&piece->holes[number], &piece->holes[number + 1], (size_t) (piece->n_holes - number) * sizeof(Hole));
}

/* The smallest hole that fits, of all pieces; NULL: there is none. */
static void *
carve(size_t bytes)
{
	Piece	   *piece = NULL;
	int			best = 0;
	char	   *found;
	int			i;
	int			h;

	for (i = 0; i < PIECES; i++)
		for (h = 0; pieces[i].start != NULL && h < pieces[i].n_holes; h++)
			if (pieces[i].holes[h].bytes >= bytes && (piece == NULL || pieces[i].holes[h].bytes < piece->holes[best].bytes))
			{
				piece = &pieces[i];
				best = h;
			}
	if (piece == NULL)
		return NULL;
	found = piece->start + piece->holes[best].offset;
	piece->parts++;
	piece->holes[best].offset += bytes;
	piece->holes[best].bytes -= bytes;
	if (piece->holes[best].bytes == 0)
		close_hole(piece, best);
	return found;
}

static void
open_hole(Piece *piece, size_t offset, size_t bytes)
{
	Hole	   *holes = piece->holes;
	int			i = 0;

	while (i < piece->n_holes && holes[i].offset < offset)
		i++;
	if (i < piece->n_holes && offset + bytes == holes[i].offset)
	{
		holes[i].offset = offset;
		holes[i].bytes += bytes;
	}
	else if (i > 0 && holes[i - 1].offset + holes[i - 1].bytes == offset)
	{
		holes[--i].bytes += bytes;
	}
	else if (piece->n_holes < HOLES)
	{
		memmove(&holes[i + 1], &holes[i], (size_t) (piece->n_holes - i) * sizeof(Hole));
		holes[i] = Hole{offset, bytes};
		piece->n_holes++;
	}
	if (i > 0 && i < piece->n_holes && holes[i - 1].offset + holes[i - 1].bytes == holes[i].offset)
	{
		holes[i - 1].bytes += holes[i].bytes;
		close_hole(piece, i);
	}
}

cudaError_t
rn_pool_take(size_t bytes, void **memory)
{
	cudaError_t error = cudaSuccess;

	pthread_mutex_lock(&lock);
	*memory = carve(rn_pool_whole(bytes));
	if (*memory == NULL)
		error = ask_driver(bytes, memory);
	pthread_mutex_unlock(&lock);
	return error;
}

/* The piece that a part was carved from, or NULL. */
static Piece *
piece_of(const char *memory)
{
	int			i;

	for (i = 0; i < PIECES; i++)
		if (pieces[i].start != NULL && memory >= pieces[i].start && memory < pieces[i].start + pieces[i].bytes)
			return &pieces[i];
	return NULL;
}

void
rn_pool_give(void *memory, size_t bytes)
{
	Piece	   *piece;

	pthread_mutex_lock(&lock);
	piece = piece_of((const char *) memory);
	if (piece == NULL)
	{
		cudaFree(memory);
		taken -= rn_pool_whole(bytes);
	}
	else if (--piece->parts > 0)
		open_hole(piece, (size_t) ((char *) memory - piece->start), rn_pool_whole(bytes));
	else
	{
		cudaFree(piece->start);
		taken -= piece->bytes;
		piece->start = NULL;
	}
	pthread_mutex_unlock(&lock);
}
