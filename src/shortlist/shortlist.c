/*
 * shortlist.c
 *		Which pieces an answer to a source may be made of.
 *
 * src/shortlist/shortlist.c
 */
#include "shortlist/shortlist.h"

#include <stdlib.h>
#include <string.h>

#define FORMAT_VERSION	1
#define HEAD_WORDS		4

static const char magic[4] = {'R', 'N', 'S', 'L'};

/* The parts of what is stored; counts have been checked. */
static void
find_parts(RnShortlist *shortlist)
{
	shortlist->frequent = shortlist->words + HEAD_WORDS;
	shortlist->offsets = shortlist->frequent + shortlist->n_frequent;
	shortlist->ids = shortlist->offsets + shortlist->vocabulary + 1;
}

static RnStatus
allocate(RnContext *ctx, size_t words, RnShortlist **shortlist)
{
	RnShortlist *made = calloc(1, sizeof(*made));

	*shortlist = NULL;
	if (made == NULL || (made->words = malloc(words * sizeof(uint32_t))) == NULL)
	{
		free(made);
		return rn_out_of_memory(ctx, words * sizeof(uint32_t));
	}
	made->size = words * sizeof(uint32_t);
	*shortlist = made;
	return RN_OK;
}

void
rn_shortlist_free(RnShortlist *shortlist)
{
	if (shortlist == NULL)
		return;
	free(shortlist->words);
	free(shortlist);
}

/* ---- making ---- */

static int
compare_ids(const void *left, const void *right)
{
	const uint32_t a = *(const uint32_t *) left;
	const uint32_t b = *(const uint32_t *) right;

	return (a > b) - (a < b);
}

/* One list, rising, without what is in every set; how many there are. */
static uint32_t
copy_list(const uint8_t *in_every, const int32_t *ids, size_t n, uint32_t *to)
{
	uint32_t	count = 0;
	size_t		i;

	for (i = 0; i < n; i++)
	{
		if (!in_every[ids[i]])
			to[count++] = (uint32_t) ids[i];
	}
	qsort(to, count, sizeof(uint32_t), compare_ids);
	return count;
}

RnStatus
rn_shortlist_create(RnContext *ctx, int vocabulary, const int32_t *frequent, int n_frequent, const size_t *offsets,
					const int32_t *ids, RnShortlist **shortlist)
{
	uint8_t    *in_every = calloc((size_t) vocabulary + 1, 1);
	RnShortlist *made;
	uint32_t   *at;
	uint32_t   *list;
	int			e;

	*shortlist = NULL;
	if (in_every == NULL)
		return rn_out_of_memory(ctx, (size_t) vocabulary);
	if (allocate(ctx, HEAD_WORDS + (size_t) n_frequent + (size_t) vocabulary + 1 + offsets[vocabulary], &made) != RN_OK)
	{
		free(in_every);
		return ctx->status;
	}
	memcpy(made->words, magic, sizeof(magic));
	made->words[1] = FORMAT_VERSION;
	made->words[2] = (uint32_t) vocabulary;
	made->words[3] = (uint32_t) n_frequent;
	made->vocabulary = vocabulary;
	made->n_frequent = n_frequent;
	find_parts(made);
	for (e = 0; e < RN_SHORTLIST_SPECIAL && e < vocabulary; e++)
		in_every[e] = 1;
	for (e = 0; e < n_frequent; e++)
	{
		made->words[HEAD_WORDS + e] = (uint32_t) frequent[e];
		in_every[frequent[e]] = 1;
	}
	at = made->words + HEAD_WORDS + n_frequent;
	list = at + vocabulary + 1;
	for (at[0] = 0, e = 0; e < vocabulary; e++, at++)
		at[1] = at[0] + copy_list(in_every, ids + offsets[e], offsets[e + 1] - offsets[e], list + at[0]);
	made->size = (HEAD_WORDS + (size_t) n_frequent + (size_t) vocabulary + 1 + at[0]) * sizeof(uint32_t);
	free(in_every);
	*shortlist = made;
	return RN_OK;
}

/* ---- reading ---- */

static RnStatus
damaged(RnContext *ctx, const char *detail)
{
	rn_fail(ctx, RN_CORRUPT, "shortlist of the model is damaged");
	rn_detail(ctx, "%s", detail);
	return ctx->status;
}

static RnStatus
check_head(RnContext *ctx, RnShortlist *shortlist, int vocabulary)
{
	const uint32_t *words = shortlist->words;
	size_t		n = shortlist->size / sizeof(uint32_t);

	if (n < HEAD_WORDS || memcmp(words, magic, sizeof(magic)) != 0)
		return damaged(ctx, "It does not begin as a shortlist does.");
	if (words[1] != FORMAT_VERSION)
		return damaged(ctx, "It has another format version.");
	if (words[2] != (uint32_t) vocabulary)
	{
		rn_fail(ctx, RN_MISMATCH, "shortlist does not belong to the model's vocabulary");
		rn_detail(ctx, "It is for %u pieces, the vocabulary has %d.", words[2], vocabulary);
		return ctx->status;
	}
	if (words[3] > words[2] || n < HEAD_WORDS + (size_t) words[3] + words[2] + 1)
		return damaged(ctx, "It is shorter than its head says.");
	shortlist->vocabulary = vocabulary;
	shortlist->n_frequent = (int) words[3];
	return RN_OK;
}

static RnStatus
check_lists(RnContext *ctx, const RnShortlist *shortlist)
{
	const uint32_t vocabulary = (uint32_t) shortlist->vocabulary;
	const size_t n = shortlist->size / sizeof(uint32_t) - (size_t) (shortlist->ids - shortlist->words);
	uint32_t	e;
	uint32_t	i;

	for (i = 0; i < (uint32_t) shortlist->n_frequent; i++)
	{
		if (shortlist->frequent[i] >= vocabulary)
			return damaged(ctx, "A frequent piece is none of the vocabulary.");
	}
	if (shortlist->offsets[0] != 0 || shortlist->offsets[vocabulary] != n)
		return damaged(ctx, "Its lists have another length than it says.");
	for (e = 0; e < vocabulary; e++)
	{
		if (shortlist->offsets[e + 1] < shortlist->offsets[e] || shortlist->offsets[e + 1] > n)
			return damaged(ctx, "A list has an impossible length.");
		for (i = shortlist->offsets[e]; i < shortlist->offsets[e + 1]; i++)
		{
			if (shortlist->ids[i] >= vocabulary)
				return damaged(ctx, "A piece in a list is none of the vocabulary.");
		}
	}
	return RN_OK;
}

RnStatus
rn_shortlist_read(RnContext *ctx, const char *bytes, size_t size, int vocabulary, RnShortlist **result)
{
	RnShortlist *shortlist;

	*result = NULL;
	if (size % sizeof(uint32_t) != 0 || size == 0)
		return damaged(ctx, "Its size is not a whole number of entries.");
	RN_TRY(allocate(ctx, size / sizeof(uint32_t), &shortlist));
	memcpy(shortlist->words, bytes, size);
	if (check_head(ctx, shortlist, vocabulary) == RN_OK)
	{
		find_parts(shortlist);
		check_lists(ctx, shortlist);
	}
	if (ctx->status == RN_OK)
		*result = shortlist;
	else
		rn_shortlist_free(shortlist);
	return ctx->status;
}

/* ---- use ---- */

void
rn_shortlist_add(const RnShortlist *shortlist, const int32_t *source, int n, uint64_t *set)
{
	uint32_t	i;
	int			k;

	for (i = 0; i < RN_SHORTLIST_SPECIAL && i < (uint32_t) shortlist->vocabulary; i++)
		rn_id_set_add(set, i);
	for (k = 0; k < shortlist->n_frequent; k++)
		rn_id_set_add(set, shortlist->frequent[k]);
	for (k = 0; k < n; k++)
	{
		rn_id_set_add(set, (uint32_t) source[k]);
		for (i = shortlist->offsets[source[k]]; i < shortlist->offsets[source[k] + 1]; i++)
			rn_id_set_add(set, shortlist->ids[i]);
	}
}
