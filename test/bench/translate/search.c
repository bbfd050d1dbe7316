/*
 * search.c
 *		Sentences a second of the search itself, without text or server.
 *
 * usage: [SHORTLIST=n] search FOLDER tiny|base|deep BEAM BATCH PRECISION SECONDS
 *
 * Weights are random, sentences are random ids with the lengths of peer.py;
 * an answer has as many pieces as its batch's longest source, because a model
 * with random weights hardly ever says that it has ended.  FOLDER gets weights
 * and sentences for the peer, and the answers.  With SHORTLIST answers are
 * made of 100 frequent pieces and n of each piece of the source, half of them
 * among the thousand most frequent, as translations tend to be.  Time is the thread's own, the
 * median over rounds.  One line of JSON.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/device.h"
#include "translate/restriction.h"

#define VOCABULARY	8000
#define N_SENTENCES	512
#define LONGEST		40

static RnContext ctx;
static int32_t ids[N_SENTENCES][LONGEST + 1];
static int	lengths[N_SENTENCES];

static void
must(RnStatus status)
{
	if (status == RN_OK)
		return;
	fprintf(stderr, "search: %s (%s)\n", ctx.message, ctx.detail);
	exit(1);
}

static void
set(RnConfig *config, const char *key, const char *value)
{
	must(rn_config_set(&ctx, config, key, value));
}

static FILE *
in_folder(const char *folder, const char *name, const char *mode)
{
	char		path[4096];
	FILE	   *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, mode);
	if (file == NULL)
	{
		perror(path);
		exit(1);
	}
	return file;
}

static int
compare_ints(const void *a, const void *b)
{
	return *(const int *) a - *(const int *) b;
}

/* Pieces and end; short ones first. */
static void
make_sentences(int32_t end)
{
	int			s,
				i;

	for (s = 0; s < N_SENTENCES; s++)
	{
		double		length = round(exp(0.4 * rn_random_normal(3, RN_RANDOM_SAMPLE, 0, 1, s) + log(17)));

		lengths[s] = length < 8 ? 8 : length > LONGEST ? LONGEST : (int) length;
	}
	qsort(lengths, N_SENTENCES, sizeof(int), compare_ints);
	for (s = 0; s < N_SENTENCES; s++)
	{
		for (i = 0; i < lengths[s]; i++)
			ids[s][i] = 4 + (int32_t) (rn_random_bits(3, RN_RANDOM_SAMPLE, s, 2, i) % (VOCABULARY - 4));
		ids[s][i] = end;
	}
}

static void
write_model(const char *folder, const RnModel *model, const rn_real *values)
{
	const RnParams *params = rn_model_params(model);
	FILE	   *names = in_folder(folder, "weights.txt", "w");
	FILE	   *numbers = in_folder(folder, "weights.bin", "wb");
	FILE	   *sentences = in_folder(folder, "sentences.txt", "w");
	int			i,
				s;

	for (i = 0; i < params->count; i++)
	{
		const RnParam *param = &params->items[i];

		fprintf(names, "%s %d %d\n", param->name, param->rows, param->cols);
		fwrite(values + param->offset, sizeof(rn_real), rn_param_size(param), numbers);
	}
	for (s = 0; s < N_SENTENCES; s++)
		for (i = 0; i < lengths[s]; i++)
			fprintf(sentences, "%d%c", ids[s][i], i + 1 < lengths[s] ? ' ' : '\n');
	fclose(names);
	fclose(numbers);
	fclose(sentences);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* A batch of n sentences from first on. */
static void
pack(int first, int n, RnPacked *packed, int32_t *offsets, int32_t *positions, uint32_t *row_ids, int32_t *packed_ids)
{
	int			row = 0;
	int			s,
				i;

	for (s = 0; s < n; s++)
	{
		offsets[s] = row;
		for (i = 0; i <= lengths[first + s]; i++, row++)
		{
			positions[row] = i;
			row_ids[row] = row;
			packed_ids[row] = ids[first + s][i];
		}
	}
	offsets[n] = row;
	packed->n_sentences = n;
	packed->rows = row;
	packed->offsets = offsets;
	packed->positions = positions;
	packed->row_ids = row_ids;
}

typedef struct Engine
{
	const RnKernels *kernels;
	RnLane	   *lane;
	RnModel    *model;
	rn_real    *values;
	RnDecoder  *decoder;
	RnShortlist *shortlist;		/* NULL: none */
	RnSearchOptions options;
} Engine;

static RnShortlist *
make_shortlist(int each)
{
	enum {FREQUENT = 100, COMMON = 1000};
	int32_t    *frequent = malloc(FREQUENT * sizeof(int32_t));
	size_t	   *offsets = malloc((VOCABULARY + 1) * sizeof(size_t));
	int32_t    *list = malloc((size_t) VOCABULARY * each * sizeof(int32_t));
	RnShortlist *shortlist;
	size_t		i;

	for (i = 0; i < FREQUENT; i++)
		frequent[i] = 4 + (int32_t) i;
	for (i = 0; i <= VOCABULARY; i++)
		offsets[i] = i * each;
	for (i = 0; i < offsets[VOCABULARY]; i++)
		list[i] = (int32_t) (rn_random_bits(4, RN_RANDOM_SAMPLE, 0, 0, i) % (i % 2 ? COMMON : VOCABULARY));
	must(rn_shortlist_create(&ctx, VOCABULARY, frequent, FREQUENT, offsets, list, &shortlist));
	free(frequent);
	free(offsets);
	free(list);
	return shortlist;
}

static void
write_answers(FILE *answers, const RnHypotheses *found)
{
	int			s,
				i;

	for (s = 0; s < found->n_sentences; s++)
	{
		const RnHypothesis *best = &found->items[(size_t) s * found->n_best];

		for (i = 0; i + 1 < best->n; i++)
			fprintf(answers, "%d%c", best->ids[i], i + 2 < best->n ? ' ' : '\n');
	}
}

/* All sentences once, or as many batches as fit into the time; seconds a sentence. */
static double
run_round(Engine *engine, int batch, double limit, FILE *answers)
{
	static int32_t offsets[N_SENTENCES + 1];
	static int32_t positions[N_SENTENCES * (LONGEST + 1)];
	static uint32_t row_ids[N_SENTENCES * (LONGEST + 1)];
	static int32_t packed_ids[N_SENTENCES * (LONGEST + 1)];
	const int	n_batches = N_SENTENCES / batch;
	double		start = now();
	int			done = 0;
	int			i;

	for (i = 0; i < n_batches && (i == 0 || answers != NULL || now() - start < limit); i++)
	{
		/* a stride that meets all lengths early */
		const int	first = (answers != NULL ? i : (i * 7 + 3) % n_batches) * batch;
		const RnDemand *demands[N_SENTENCES] = {NULL};
		RnRestriction *restriction = NULL;
		RnPacked	packed;
		RnHypotheses found;

		pack(first, batch, &packed, offsets, positions, row_ids, packed_ids);
		engine->options.max_length = lengths[first + batch - 1];
		if (engine->shortlist != NULL)
			must(rn_restriction_create(&ctx, engine->shortlist, &packed, packed_ids, demands, &restriction));
		must(rn_beam_search(&ctx, engine->decoder, engine->model, engine->kernels, engine->lane, engine->values,
							&packed, packed_ids, &engine->options, NULL, restriction, &found, NULL));
		rn_restriction_free(restriction);
		if (answers != NULL)
			write_answers(answers, &found);
		rn_hypotheses_free(&found);
		done += batch;
	}
	return (now() - start) / done;
}

static int
compare_doubles(const void *a, const void *b)
{
	const double x = *(const double *) a;
	const double y = *(const double *) b;

	return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
	static const RnSpecialIds special = {0, 1, 2};
	const char *folder = argc > 1 ? argv[1] : ".";
	const char *shape = argc > 2 ? argv[2] : "tiny";
	const int	batch = argc > 4 ? atoi(argv[4]) : 32;
	const double seconds = argc > 6 ? atof(argv[6]) : 5;
	double		times[1000];
	double		start;
	RnConfig	config;
	Engine		engine;
	FILE	   *answers;
	int			n = 0;

	rn_config_defaults(&config);
	set(&config, "scheme", "post");
	set(&config, "layers", strcmp(shape, "tiny") == 0 ? "4" : strcmp(shape, "base") == 0 ? "6" : "12");
	set(&config, "d_model", strcmp(shape, "tiny") == 0 ? "128" : strcmp(shape, "base") == 0 ? "512" : "256");
	set(&config, "d_ffn", strcmp(shape, "tiny") == 0 ? "256" : "1024");
	set(&config, "heads", "4");
	config.vocab_size = VOCABULARY;
	must(rn_device_open(&ctx, "cpu", &engine.kernels));
	must(engine.kernels->lane_create(&ctx, &engine.lane));
	must(rn_model_create(&ctx, &config, &special, 128, &engine.model));
	must(engine.kernels->allocate(&ctx, rn_model_params(engine.model)->size * sizeof(rn_real), (void **) &engine.values));
	rn_model_initialize(engine.model, 1, engine.values);
	must(rn_decoder_create(&ctx, engine.model, engine.kernels, engine.lane, &engine.decoder));
	rn_search_defaults(&engine.options);
	must(rn_search_set(&ctx, &engine.options, "beam", argc > 3 ? argv[3] : "1"));
	must(rn_search_set(&ctx, &engine.options, "precision", argc > 5 ? argv[5] : "float32"));
	engine.options.max_length_factor = 0;
	if (engine.options.precision != RN_FLOAT32 || argc > 7)
	{
		RnPreparedWeights *prepared;

		must(rn_prepare_weights(&ctx, engine.kernels, engine.lane, rn_model_params(engine.model), engine.values,
								engine.options.precision == RN_INT8 ? RN_FORMAT_INT8 : RN_FORMAT_REAL, &prepared));
		rn_decoder_use(engine.decoder, prepared);
	}
	engine.shortlist = getenv("SHORTLIST") != NULL ? make_shortlist(atoi(getenv("SHORTLIST"))) : NULL;
	make_sentences(special.end);
	write_model(folder, engine.model, engine.values);

	answers = in_folder(folder, "answers.txt", "w");
	if (batch <= 32 && batch > 1)
		run_round(&engine, batch, 0, answers);
	fclose(answers);
	for (start = now(); n < 1000 && (n < 3 || now() - start < seconds); n++)
		times[n] = run_round(&engine, batch, seconds / 3, NULL);
	qsort(times, n, sizeof(double), compare_doubles);
	printf("{\"who\": \"residual\", \"shape\": \"%s\", \"beam\": %d, \"batch\": %d, \"precision\": \"%s\", "
		   "\"ms\": %.4f, \"sent_s\": %.1f, \"device\": \"%s\"}\n", shape, engine.options.beam, batch,
		   argc > 5 ? argv[5] : "float32", times[n / 2] * 1e3, 1 / times[n / 2], engine.kernels->description());
	return 0;
}
