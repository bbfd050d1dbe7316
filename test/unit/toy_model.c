/*
 * toy_model.c
 *		A small model with random weights and a tokenizer.
 *
 * test/unit/toy_model.c
 */
#include "toy_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

#define TOY_VOCABULARY	200
#define TOY_SENTENCES	1500

/* Words are two to four syllables, so that pieces have something to find. */
static void
append_word(uint64_t number, char *buffer, size_t size)
{
	static const char *const syllables[] = {
		"ka", "lo", "mi", "ser", "tan", "u", "wei", "dro", "ni", "pf", "\xc3\xa4", "gul", "ze", "bor", "ith", "ra"
	};
	int			n = 2 + (int) (number % 3);
	size_t		used = strlen(buffer);

	if (used > 0 && used + 1 < size)
		buffer[used++] = ' ';
	for (; n > 0; n--, number /= 16)
		used += snprintf(buffer + used, used < size ? size - used : 0, "%s", syllables[number % 16]);
}

void
toy_sentence(uint64_t i, int n_words, char *buffer, size_t size)
{
	int			w;

	buffer[0] = '\0';
	for (w = 0; w < n_words && strlen(buffer) + 32 < size; w++)
		append_word(rn_random_bits(i, RN_RANDOM_SAMPLE, 0, 0, w) % 700, buffer, size);
}

typedef struct Feed
{
	int			next;
	char		text[512];
} Feed;

static int
next_text(void *arg, RnText *text)
{
	Feed	   *feed = arg;

	if (feed->next == TOY_SENTENCES)
		return 0;
	toy_sentence(feed->next, 4 + feed->next % 9, feed->text, sizeof(feed->text));
	feed->next++;
	text->bytes = feed->text;
	text->size = strlen(feed->text);
	return 1;
}

static RnStatus
create(RnContext *ctx, ToyModel *toy, int layers, int d_model, int max_length, uint64_t seed)
{
	static const RnSpecialIds special = {RN_PAD_ID, RN_START_ID, RN_END_ID};
	RnTokenizerOptions options;
	Feed		feed;
	size_t		i;

	memset(&feed, 0, sizeof(feed));
	memset(&options, 0, sizeof(options));
	options.vocab_size = TOY_VOCABULARY;
	options.shrink = 1;
	options.threads = 1;
	options.seed = 1;
	RN_TRY(rn_tokenizer_learn(ctx, &options, next_text, &feed, &toy->tokenizer_bytes, &toy->tokenizer_size));
	RN_TRY(rn_tokenizer_load(ctx, toy->tokenizer_bytes, toy->tokenizer_size, &toy->tokenizer));
	rn_config_defaults(&toy->config);
	toy->config.encoder_layers = toy->config.decoder_layers = layers;
	toy->config.d_model = d_model;
	toy->config.d_ffn = 2 * d_model;
	toy->config.max_length = max_length;
	toy->config.vocab_size = rn_tokenizer_vocab_size(toy->tokenizer);
	RN_TRY(rn_model_create(ctx, &toy->config, &special, max_length, &toy->model));
	toy->values = malloc(rn_model_params(toy->model)->size * sizeof(rn_real));
	if (toy->values == NULL)
		return rn_out_of_memory(ctx, rn_model_params(toy->model)->size * sizeof(rn_real));
	rn_model_initialize(toy->model, seed, toy->values);
	/* weights cross the wire as float, also between programs that compute in double */
	for (i = 0; i < rn_model_params(toy->model)->size; i++)
		toy->values[i] = (float) toy->values[i];
	return RN_OK;
}

int
toy_model_create(ToyModel *toy, int layers, int d_model, int max_length, uint64_t seed)
{
	RnContext	ctx;

	memset(toy, 0, sizeof(*toy));
	rn_context_reset(&ctx);
	if (create(&ctx, toy, layers, d_model, max_length, seed) == RN_OK)
		return 1;
	printf("not ok - a small model: %s %s\n", ctx.message, ctx.detail);
	toy_model_free(toy);
	return 0;
}

void
toy_model_free(ToyModel *toy)
{
	free(toy->values);
	if (toy->model != NULL)
		rn_model_free(toy->model);
	if (toy->tokenizer != NULL)
		rn_tokenizer_free(toy->tokenizer);
	free(toy->tokenizer_bytes);
	memset(toy, 0, sizeof(*toy));
}
