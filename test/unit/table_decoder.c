/*
 * table_decoder.c
 *		A decoder that is a table of random numbers, for tests of the search.
 *
 * test/unit/table_decoder.c
 */
#include "table_decoder.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const RnKernels *table_kernels;
RnLane	   *table_lane;
const RnDemand *const *table_demands;
const RnRestriction *table_restriction;

int
table_open(RnContext *ctx)
{
	table_kernels = rn_cpu_kernels();
	return table_kernels != NULL && table_kernels->lane_create(ctx, &table_lane) == RN_OK;
}

uint64_t
table_mix(uint64_t a, uint64_t b)
{
	a ^= b + 0x9E3779B97F4A7C15u + (a << 6) + (a >> 2);
	a = (a ^ (a >> 30)) * 0xBF58476D1CE4E5B9u;
	a = (a ^ (a >> 27)) * 0x94D049BB133111EBu;
	return a ^ (a >> 31);
}

static void
table_draw(const RnDecoder *decoder, uint64_t name, int step, rn_real *logits)
{
	int			v;

	for (v = 0; v < decoder->vocabulary; v++)
	{
		double		u = (double) (table_mix(name, v) >> 11) / 9007199254740992.0;

		switch (decoder->kind)
		{
			case TABLE_RANDOM:
				logits[v] = (rn_real) (6 * u - 3);
				break;
			case TABLE_UNIFORM:
				logits[v] = 0;
				break;
			case TABLE_LEVELS:
				logits[v] = (rn_real) (v % 3);
				break;
			case TABLE_NEVER_END:
				logits[v] = v == TABLE_END ? -INFINITY : (rn_real) u;
				break;
			case TABLE_ALWAYS_END:
				logits[v] = v == TABLE_END ? 0 : -INFINITY;
				break;
			case TABLE_NOT_A_NUMBER:
				logits[v] = step >= 2 ? NAN : (rn_real) u;
				break;
		}
		if (decoder->hidden[v])
			logits[v] = -INFINITY;
	}
}

uint64_t
table_sentence_name(const RnDecoder *decoder, int32_t first_piece)
{
	return table_mix(decoder->seed, 1000 + first_piece);
}

/* A sentence is named by its first piece, so that it is the same in any batch. */
static uint64_t sentence_names[TABLE_ROWS];

RnStatus
rn_decoder_begin(RnContext *ctx, RnDecoder *decoder, const rn_real *values, const RnPacked *source,
				 const int32_t *source_ids, int max_rows, int max_steps)
{
	int			s;

	(void) ctx;
	(void) values;
	for (s = 0; s < source->n_sentences; s++)
		sentence_names[s] = table_sentence_name(decoder, source_ids[source->offsets[s]]);
	decoder->max_rows = max_rows;
	decoder->max_steps = max_steps;
	decoder->steps = decoder->rows = 0;
	decoder->rows_seen = 0;
	decoder->n_only = 0;
	decoder->logits = realloc(decoder->logits, (size_t) max_rows * decoder->vocabulary * sizeof(rn_real));
	return RN_OK;
}

RnStatus
rn_decoder_restrict(RnContext *ctx, RnDecoder *decoder, int n, const int32_t *ids)
{
	(void) ctx;
	decoder->only = ids;
	decoder->n_only = n;
	return RN_OK;
}

/* One row of what is asked for. */
static void
put_row(const RnDecoder *decoder, uint64_t name, rn_real *to)
{
	rn_real		all[TABLE_VOCABULARY];
	int			i;

	table_draw(decoder, name, decoder->steps, all);
	for (i = 0; i < decoder->n_only; i++)
		to[i] = all[decoder->only[i]];
	if (decoder->n_only == 0)
		memcpy(to, all, decoder->vocabulary * sizeof(rn_real));
}

RnStatus
rn_decoder_step(RnContext *ctx, RnDecoder *decoder, int rows, const int32_t *sentence, const int32_t *parent,
				const int32_t *ids, const rn_real **logits)
{
	static uint64_t names[TABLE_ROWS];
	int			r;

	if (decoder->fail_at > 0 && decoder->steps == decoder->fail_at)
		return rn_fail(ctx, RN_NO_MEMORY, "as the test wants it");
	if (decoder->stop != NULL && decoder->steps == decoder->stop_at)
		__atomic_store_n(decoder->stop, 1, __ATOMIC_RELAXED);
	decoder->misused |= rows < 1 || rows > decoder->max_rows || decoder->steps >= decoder->max_steps;
	for (r = 0; r < rows; r++)
	{
		decoder->misused |= decoder->steps > 0 && (parent[r] < 0 || parent[r] >= decoder->rows);
		decoder->misused |= r > 0 && sentence[r] < sentence[r - 1];
		decoder->misused |= ids[r] == TABLE_PAD || ids[r] < 0 || ids[r] >= decoder->vocabulary;
		names[r] = decoder->steps == 0 ? sentence_names[sentence[r]] : decoder->names[parent[r]];
		names[r] = table_mix(names[r], ids[r]);
		put_row(decoder, names[r], decoder->logits + (size_t) r * (decoder->n_only > 0 ? decoder->n_only : decoder->vocabulary));
	}
	memcpy(decoder->names, names, rows * sizeof(names[0]));
	decoder->rows = rows;
	decoder->rows_seen += rows;
	decoder->steps++;
	*logits = decoder->logits;
	return RN_OK;
}

/* log softmax of what follows a prefix, in the numbers of the device. */
void
table_log_probabilities(const RnDecoder *decoder, uint64_t name, int step, double *lp)
{
	static const int32_t none[1] = {-1};
	rn_real		logits[TABLE_VOCABULARY];
	rn_real		scores[TABLE_VOCABULARY];
	int32_t		ids[TABLE_VOCABULARY];
	RnContext	ctx;
	int			v;

	table_draw(decoder, name, step, logits);
	table_kernels->top_k(table_lane, 1, decoder->vocabulary, logits, decoder->vocabulary, none, ids, scores);
	rn_context_reset(&ctx);
	table_kernels->synchronize(&ctx, table_lane);
	for (v = 0; v < decoder->vocabulary; v++)
		lp[ids[v]] = scores[v];
	lp[TABLE_PAD] = -INFINITY;
}

/* Sentence s is first piece 10 + numbers[s] and lengths[s] rows in all. */
void
table_sources(TableSources *sources, int n, const int *numbers, const int *lengths)
{
	int			s;

	memset(sources, 0, sizeof(*sources));
	for (s = 0; s < n; s++)
	{
		sources->ids[sources->offsets[s]] = 10 + numbers[s];
		sources->offsets[s + 1] = sources->offsets[s] + lengths[s];
	}
	sources->packed.n_sentences = n;
	sources->packed.rows = sources->offsets[n];
	sources->packed.offsets = sources->offsets;
}

RnModel *
table_model(int vocabulary, int longest)
{
	static const RnSpecialIds special = {TABLE_PAD, TABLE_START, TABLE_END};
	RnConfig	config;
	RnContext	ctx;
	RnModel    *model;

	rn_config_defaults(&config);
	config.encoder_layers = config.decoder_layers = config.heads = config.d_ffn = 1;
	config.d_model = 4;
	config.vocab_size = vocabulary;
	rn_context_reset(&ctx);
	if (rn_model_create(&ctx, &config, &special, longest, &model) != RN_OK)
	{
		printf("Bail out! no model: %s\n", ctx.message);
		exit(1);
	}
	return model;
}

RnStatus
table_search(RnContext *ctx, RnDecoder *decoder, RnModel *model, const TableSources *sources,
			 const RnSearchOptions *options, RnHypotheses *found, const volatile int *stop)
{
	rn_context_reset(ctx);
	return rn_beam_search(ctx, decoder, model, table_kernels, table_lane, NULL, &sources->packed, sources->ids, options,
						  table_demands, table_restriction, found, stop);
}

void
table_options(RnSearchOptions *options, int beam, double exponent, int max_length)
{
	rn_search_defaults(options);
	options->beam = options->n_best = beam;
	options->length_penalty = exponent;
	options->max_length = max_length;
	options->max_length_factor = 0;
}
