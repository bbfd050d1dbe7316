/*
 * golden_search.c
 *		Greedy and beam search against reference values.
 *
 * All sentences of the case are searched for in one batch, so that they must
 * not disturb one another.
 *
 * test/unit/golden_search.c
 */
#include <stdlib.h>
#include <string.h>

#include "golden_parts.h"
#include "translate/beam.h"

/* Below this a float engine may take the other of two candidates. */
#define UNDECIDABLE		1e-4

/* One hypothesis against the record; it may be missing in both. */
static void
compare_hypothesis(GoldenCase *this_case, const char *tag, int rank, const RnHypothesis *got)
{
	const GoldenRecord *ids = golden_find(this_case->file, "%s.%d.ids", tag, rank);
	const GoldenRecord *score = golden_find(this_case->file, "%s.%d.score", tag, rank);
	int			found = got != NULL && got->ids != NULL;
	int			k;

	if ((ids != NULL) != found)
	{
		golden_fail(this_case, "%s.%d: %s", tag, rank, found ? "one too many" : "not found");
		return;
	}
	if (!found)
		return;
	if (ids->n != got->n || score == NULL || score->n != 2)
	{
		golden_fail(this_case, "%s.%d.ids: expected %d, got %d", tag, rank, ids->n, got->n);
		return;
	}
	for (k = 0; k < ids->n; k++)
		golden_compare(this_case, GOLDEN_SEARCH, ids->name, k, ids->values[k], got->ids[k]);
	golden_compare(this_case, GOLDEN_SEARCH, score->name, 0, score->values[0], got->score);
	golden_compare(this_case, GOLDEN_SEARCH, score->name, 1, score->values[1], got->log_probability);
}

/* Every sentence's hypotheses of one kind of search. */
static void
compare_search(GoldenCase *this_case, const RnHypotheses *results, int beam, const char *exponent)
{
	int			s,
				rank;

	for (s = 0; s < results->n_sentences; s++)
	{
		char		tag[GOLDEN_NAME];
		const GoldenRecord *margin;

		snprintf(tag, sizeof(tag), "search.%d.b%d.a%.20s", s, beam, exponent);
		margin = golden_find(this_case->file, "%s.margin", tag);
		if (margin == NULL)
		{
			golden_fail(this_case, "%s.margin: not there", tag);
			continue;
		}
		if (sizeof(rn_real) < sizeof(double) && margin->values[0] < UNDECIDABLE)
		{
			this_case->skipped++;
			continue;
		}
		for (rank = 0; rank < beam; rank++)
			compare_hypothesis(this_case, tag, rank, &results->items[s * results->n_best + rank]);
		compare_hypothesis(this_case, tag, beam, NULL);
	}
}

static void
check_search(GoldenCase *this_case, RnDecoder *decoder, int beam, const char *exponent)
{
	const char *max_length = golden_setting(this_case->file, "max_len");
	RnSearchOptions options;
	RnHypotheses results;

	rn_search_defaults(&options);
	options.beam = options.n_best = beam;
	options.length_penalty = atof(exponent);
	options.max_length = max_length == NULL ? 0 : atoi(max_length);
	options.max_length_factor = 0;
	if (rn_beam_search(&this_case->ctx, decoder, this_case->model, this_case->kernels, this_case->lane,
					   this_case->values, &this_case->batch.source, this_case->batch.source_ids, &options,
					   NULL, NULL, &results, NULL) != RN_OK)
	{
		golden_fail(this_case, "search: %s", this_case->ctx.message);
		return;
	}
	compare_search(this_case, &results, beam, exponent);
	rn_hypotheses_free(&results);
}

void
golden_check_search(GoldenCase *this_case)
{
	int			searches = 0;
	RnDecoder  *decoder;
	int			k;

	if (this_case->ctx.status != RN_OK)
		return;
	if (rn_decoder_create(&this_case->ctx, this_case->model, this_case->kernels, this_case->lane, &decoder) != RN_OK)
	{
		golden_fail(this_case, "search: %s", this_case->ctx.message);
		return;
	}
	/* kinds of searches, by the first sentence's records */
	for (k = 0; k < this_case->file->n_records; k++)
	{
		char		exponent[24];
		int			beam;
		char	   *end;

		if (sscanf(this_case->file->records[k].name, "search.0.b%d.a%23s", &beam, exponent) != 2)
			continue;
		end = strstr(exponent, ".margin");
		if (end == NULL)
			continue;
		*end = '\0';
		check_search(this_case, decoder, beam, exponent);
		searches++;
	}
	if (searches == 0)
		golden_fail(this_case, "search: the file has none");
	rn_decoder_free(decoder);
}
