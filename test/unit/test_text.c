/*
 * test_text.c
 *		The tokenizer: round trips, limits, damage, and SentencePiece's own
 *		command line as the judge.
 *
 * test/unit/test_text.c
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"
#include "check.h"
#include "text/envelope.h"
#include "text/normalize.h"
#include "text/tokenizer.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#define LINES	2000

/* A corpus in memory, handed out line by line. */
typedef struct Corpus
{
	char	  **lines;
	int			n;
	int			at;				/* next to hand out */
} Corpus;

static int
next_line(void *arg, RnText *text)
{
	Corpus	   *corpus = arg;

	if (corpus->at >= corpus->n)
		return 0;
	text->bytes = corpus->lines[corpus->at++];
	text->size = strlen(text->bytes);
	return 1;
}

static unsigned
draw(unsigned limit)
{
	static uint64_t state = 1;

	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned) (state >> 33) % limit;
}

/* A word of made-up syllables, so that there are many and they share parts. */
static void
add_word(char *line)
{
	static const char *const syllables[] = {
		"ka", "to", "mi", "re", "schl", "ung", "en", "ste", "ba", "lo", "fra", "gü", "tö",
		"ver", "ge", "ein", "land", "haus", "ing", "er", "wei\xC3\x9F", "qu", "xi", "zy", "jo", "dp"
	};
	unsigned	n = 1 + draw(4);
	unsigned	i;

	for (i = 0; i < n; i++)
	{
		unsigned	a = draw(26);
		unsigned	b = draw(26);

		strcat(line, syllables[a < b ? a : b]);
	}
}

static void
corpus_make(Corpus *corpus, int n)
{
	int			i;

	corpus->lines = malloc((size_t) n * sizeof(char *));
	corpus->n = n;
	corpus->at = 0;
	if (corpus->lines == NULL)
		abort();
	for (i = 0; i < n; i++)
	{
		char		line[512] = "";
		unsigned	words = 3 + draw(8);
		unsigned	w;

		for (w = 0; w < words; w++)
		{
			if (w > 0)
				strcat(line, " ");
			if (draw(12) == 0)
				sprintf(line + strlen(line), "%u", draw(2000));
			else
				add_word(line);
		}
		strcat(line, draw(5) == 0 ? "?" : draw(5) == 0 ? ", ja!" : ".");
		corpus->lines[i] = strdup(line);
	}
}

static void
corpus_free(Corpus *corpus)
{
	int			i;

	for (i = 0; i < corpus->n; i++)
		free(corpus->lines[i]);
	free(corpus->lines);
}

static RnTokenizerOptions
options_of(int vocab_size, int bpe)
{
	RnTokenizerOptions options;

	memset(&options, 0, sizeof(options));
	options.vocab_size = vocab_size;
	options.bpe = bpe;
	options.threads = 1;
	options.seed = 7;
	return options;
}

/* Learn and load; NULL after a failure, which ctx has. */
static RnTokenizer *
make(RnContext *ctx, const RnTokenizerOptions *options, Corpus *corpus)
{
	RnTokenizer *tokenizer = NULL;
	char	   *model;
	size_t		bytes;

	rn_context_reset(ctx);
	corpus->at = 0;
	if (rn_tokenizer_learn(ctx, options, next_line, corpus, &model, &bytes) != RN_OK)
		return NULL;
	rn_tokenizer_load(ctx, model, bytes, &tokenizer);
	free(model);
	return tokenizer;
}

/* Encode all of a text and decode it again; malloc'd. */
static char *
there_and_back(const RnTokenizer *tokenizer, const char *bytes, size_t size)
{
	RnContext	ctx;
	RnText		text = {bytes, size};
	int32_t    *ids;
	int			n;
	int			cut;
	char	   *back;

	rn_context_reset(&ctx);
	if (rn_tokenizer_encode(&ctx, tokenizer, text, 1 << 30, &ids, &n, &cut) != RN_OK || cut)
		return strdup("(encode failed)");
	if (rn_tokenizer_decode(&ctx, tokenizer, ids, n, &back) != RN_OK)
		back = strdup("(decode failed)");
	free(ids);
	return back;
}

static void
test_normalize(void)
{
	static const char text[] = " \tab\x01\x01 cd\xE2\x80\x8B" "efghijkl \xFF ";
	char		out[8];
	char		all[64] = "";
	size_t		at = 0;
	size_t		n;

	while ((n = rn_normalize(text, sizeof(text) - 1, &at, out, sizeof(out))) > 0)
		sprintf(all + strlen(all), "[%.*s]", (int) n, out);
	CHECK(strcmp(all, "[ab cd][efghijkl][\xEF\xBF\xBD]") == 0, "words in portions: %s", all);
	at = 0;
	all[0] = '\0';
	while ((n = rn_normalize(text, sizeof(text) - 1, &at, out, 4)) > 0)
		sprintf(all + strlen(all), "[%.*s]", (int) n, out);
	CHECK(strcmp(all, "[ab][cd][efgh][ijkl][\xEF\xBF\xBD]") == 0,
		  "words that do not fit are broken: %s", all);
}

static void
test_special(const RnTokenizer *tokenizer, const char *kind, int vocab_size)
{
	static const char *const names[] = {"<pad>", "<s>", "</s>", "<unk>"};
	int			i;

	CHECK(rn_tokenizer_vocab_size(tokenizer) == vocab_size, "%s: %d pieces", kind,
		  rn_tokenizer_vocab_size(tokenizer));
	for (i = 0; i < 4; i++)
		CHECK(strcmp(rn_tokenizer_piece(tokenizer, i), names[i]) == 0 &&
			  rn_tokenizer_id(tokenizer, names[i]) == i, "%s: id %d is %s", kind, i, names[i]);
	CHECK(rn_tokenizer_piece(tokenizer, -1) == NULL &&
		  rn_tokenizer_piece(tokenizer, vocab_size) == NULL,
		  "%s: no piece outside of the vocabulary", kind);
	CHECK(rn_tokenizer_id(tokenizer, "no such piece") == RN_UNKNOWN_ID &&
		  rn_tokenizer_id(tokenizer, "") == RN_UNKNOWN_ID, "%s: unknown pieces", kind);
	for (i = 4; i < vocab_size; i++)
		if (rn_tokenizer_id(tokenizer, rn_tokenizer_piece(tokenizer, i)) != i)
			break;
	CHECK(i == vocab_size, "%s: every piece has its id", kind);
}

typedef struct Round
{
	const char *text;
	const char *back;			/* NULL: the same */
} Round;

static const Round rounds[] = {
	{"", NULL},
	{"katomi verland.", NULL},
	{"   leading, inner   and trailing   ", "leading, inner and trailing"},
	{"tab\there\nand\r\nthere\v.", "tab here and there ."},
	{"bell\a and \x01\x02 escape\x1B[0m\x7F!", "bell and escape [0m !"},
	{"c1 \xC2\x80\xC2\x9F control", "c1 control"},
	{"Gr\xC3\xBC\xC3\x9F" "e aus K\xC3\xB6ln, \xC5\x81\xC3\xB3" "d\xC5\xBA und \xC4\xB0zmir", NULL},
	{"\xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82, \xD0\xBC\xD0\xB8\xD1\x80!", NULL},
	{"\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E\xE3\x81\xAE\xE6\x96\x87\xE3\x80\x82", NULL},
	{"\xD9\x85\xD8\xB1\xD8\xAD\xD8\xA8\xD8\xA7 \xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D", NULL},
	{"\xE0\xA4\xA8\xE0\xA4\xAE\xE0\xA4\xB8\xE0\xA5\x8D\xE0\xA4\xA4\xE0\xA5\x87", NULL},
	{"Persian \xD9\x85\xDB\x8C\xE2\x80\x8C\xD8\xAE\xD9\x88\xD8\xA7\xD9\x87\xD9\x85", NULL},
	{"emoji \xF0\x9F\x98\x80\xF0\x9F\x98\x80 flag \xF0\x9F\x87\xA9\xF0\x9F\x87\xAA!", NULL},
	{"family \xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7", NULL},
	{"last code points \xEF\xBF\xBF\xF4\x8F\xBF\xBF", NULL},
	{"<s> <pad> </s> <unk> <0x41> a<s>b", NULL},
	{"malformed \xFF\xFE end", "malformed \xEF\xBF\xBD\xEF\xBF\xBD end"},
	{"cut \xF0\x9F\x98", "cut \xEF\xBF\xBD"},
	{"surrogate \xED\xA0\x80", "surrogate \xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
	{"\xEF\xBB\xBF" "byte order mark", "byte order mark"},
	{"\xE2\x96\x81spaces\xE2\x96\x81\xE2\x96\x81of our own\xE2\x96\x81", "spaces of our own"},
	{"block \xE2\x96\x85 element", NULL},
	{"no\xC2\xA0" "break \xE3\x80\x80 ideographic", "no break ideographic"},
	/* NFKC */
	{"\xEF\xBC\xA1\xEF\xBC\xA2\xEF\xBC\xA3 \xEF\xAC\x81ne e\xCC\x81", "ABC fine \xC3\xA9"},
	{" \t\n\xE2\x80\x83 ", ""},
};

static void
test_rounds(const RnTokenizer *tokenizer, const char *kind)
{
	size_t		i;
	char	   *back;

	for (i = 0; i < sizeof(rounds) / sizeof(rounds[0]); i++)
	{
		const char *expected = rounds[i].back != NULL ? rounds[i].back : rounds[i].text;

		back = there_and_back(tokenizer, rounds[i].text, strlen(rounds[i].text));
		CHECK(strcmp(back, expected) == 0, "%s: round trip %d: \"%s\"", kind, (int) i, back);
		free(back);
	}
	back = there_and_back(tokenizer, "nul\0inside", 10);
	CHECK(strcmp(back, "nul inside") == 0, "%s: a NUL is a space", kind);
	free(back);
}

/* Any bytes come back as well-formed text without control characters. */
static void
test_noise(const RnTokenizer *tokenizer, const char *kind)
{
	int			wrong = 0;
	int			turn;

	for (turn = 0; turn < 300; turn++)
	{
		char		noise[200];
		size_t		size = draw(sizeof(noise));
		size_t		at = 0;
		size_t		i;
		char	   *back;
		size_t		length;

		for (i = 0; i < size; i++)
			noise[i] = (char) draw(256);
		back = there_and_back(tokenizer, noise, size);
		length = strlen(back);
		while (at < length)
		{
			size_t		before = at;
			uint32_t	code = rn_utf8_next(back, length, &at);

			if (code < 0x20 || (code == RN_REPLACEMENT && at - before != 3))
				wrong++;
		}
		free(back);
	}
	CHECK(wrong == 0, "%s: 300 random strings come back well-formed", kind);
}

/* Any ids make well-formed text, byte pieces in any order included. */
static void
test_random_ids(const RnTokenizer *tokenizer, const char *kind)
{
	int			vocab_size = rn_tokenizer_vocab_size(tokenizer);
	int			wrong = 0;
	int			turn;
	int32_t		outside = vocab_size;
	RnContext	ctx;
	char	   *text;

	for (turn = 0; turn < 300; turn++)
	{
		int32_t		ids[60];
		size_t		length;
		size_t		at = 0;
		int			i;

		for (i = 0; i < 60; i++)
			ids[i] = (int32_t) draw((unsigned) (turn % 2 == 0 ? vocab_size : 270));
		rn_context_reset(&ctx);
		if (rn_tokenizer_decode(&ctx, tokenizer, ids, 60, &text) != RN_OK)
		{
			wrong++;
			continue;
		}
		length = strlen(text);
		while (at < length)
		{
			size_t		before = at;

			if (rn_utf8_next(text, length, &at) == RN_REPLACEMENT && at - before != 3)
				wrong++;
		}
		free(text);
	}
	CHECK(wrong == 0, "%s: random ids decode to well-formed text", kind);
	rn_context_reset(&ctx);
	CHECK(rn_tokenizer_decode(&ctx, tokenizer, &outside, 1, &text) == RN_INVALID && text == NULL,
		  "%s: id outside: %s", kind, ctx.message);
	rn_context_reset(&ctx);
	outside = -1;
	CHECK(rn_tokenizer_decode(&ctx, tokenizer, &outside, 1, &text) == RN_INVALID,
		  "%s: negative id: %s", kind, ctx.message);
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
}

/* Fewer ids asked for are the first ones, and cut tells. */
static void
test_cut(const RnTokenizer *tokenizer, const char *kind, const Corpus *corpus)
{
	int			wrong = 0;
	int			line;

	for (line = 0; line < 100; line++)
	{
		RnText		text = {corpus->lines[line], strlen(corpus->lines[line])};
		RnContext	ctx;
		int32_t    *all;
		int			n_all;
		int			cut_all;
		int			most;

		rn_context_reset(&ctx);
		rn_tokenizer_encode(&ctx, tokenizer, text, 1 << 30, &all, &n_all, &cut_all);
		wrong += cut_all != 0 || n_all == 0;
		for (most = 0; most <= n_all + 1; most++)
		{
			int32_t    *ids;
			int			n;
			int			cut;

			rn_tokenizer_encode(&ctx, tokenizer, text, most, &ids, &n, &cut);
			wrong += n != (most < n_all ? most : n_all) || cut != (most < n_all) ||
				(n > 0 && memcmp(ids, all, (size_t) n * sizeof(*ids)) != 0);
			free(ids);
		}
		free(all);
		wrong += ctx.status != RN_OK;
	}
	CHECK(wrong == 0, "%s: limits on the number of ids", kind);
}

/* Lines of a megabyte, with and without spaces. */
static void
test_long_line(const RnTokenizer *tokenizer, const char *kind, const Corpus *corpus)
{
	size_t		size = 1 << 20;
	char	   *bytes = malloc(size + 512);
	int			spaces;

	if (bytes == NULL)
		abort();
	for (spaces = 1; spaces >= 0; spaces--)
	{
		RnText		text = {bytes, 0};
		RnContext	ctx;
		int32_t    *few;
		int32_t    *all;
		int			n_few;
		int			n_all;
		int			cut;
		int			line = 0;
		double		start;

		while (text.size < size)
		{
			const char *c = corpus->lines[line++ % corpus->n];

			for (; *c != '\0'; c++)
				if (spaces || *c != ' ')
					bytes[text.size++] = *c;
			if (spaces)
				bytes[text.size++] = ' ';
		}
		rn_context_reset(&ctx);
		start = seconds();
		rn_tokenizer_encode(&ctx, tokenizer, text, 500, &few, &n_few, &cut);
		CHECK(n_few == 500 && cut && seconds() - start < 2.0,
			  "%s: the beginning of 1 MB %s spaces", kind, spaces ? "with" : "without");
		printf("# %.4f s\n", seconds() - start);
		start = seconds();
		rn_tokenizer_encode(&ctx, tokenizer, text, 1 << 30, &all, &n_all, &cut);
		CHECK(n_all > 100000 && !cut && ctx.status == RN_OK && seconds() - start < 60.0,
			  "%s: 1 MB %s spaces, %d ids", kind, spaces ? "with" : "without", n_all);
		printf("# %.2f s\n", seconds() - start);
		CHECK(memcmp(few, all, 500 * sizeof(*few)) == 0, "%s: the same beginning", kind);
		free(few);
		free(all);
	}
	free(bytes);
}

/* What lines of a pipe say, or NULL. */
static char *
output_of(const char *command)
{
	FILE	   *pipe = popen(command, "r");
	char	   *all = NULL;
	size_t		room = 0;

	if (pipe == NULL)
		return NULL;
	if (getdelim(&all, &room, '\0', pipe) < 0)
	{
		free(all);
		all = NULL;
	}
	if (pclose(pipe) != 0)
	{
		free(all);
		return NULL;
	}
	return all;
}

/* Ids of the first lines as spm_encode prints them; malloc'd. */
static char *
ids_in_words(const RnTokenizer *tokenizer, const Corpus *corpus, int lines)
{
	char	   *all = NULL;
	size_t		size = 0;
	FILE	   *stream = open_memstream(&all, &size);
	int			line;

	for (line = 0; line < lines; line++)
	{
		RnText		text = {corpus->lines[line], strlen(corpus->lines[line])};
		RnContext	ctx;
		int32_t    *ids;
		int			n;
		int			cut;
		int			i;

		rn_context_reset(&ctx);
		rn_tokenizer_encode(&ctx, tokenizer, text, 100000, &ids, &n, &cut);
		for (i = 0; i < n; i++)
			fprintf(stream, "%s%d", i > 0 ? " " : "", (int) ids[i]);
		fputc('\n', stream);
		free(ids);
	}
	fclose(stream);
	return all;
}

/* SentencePiece's programs learn from the same lines and encode them alike. */
static void
test_command_line(const RnTokenizer *tokenizer, const char *kind, const Corpus *corpus,
				  int vocab_size, int bytes)
{
	char		folder[] = "/tmp/rn_test_text_XXXXXX";
	char		path[64];
	char		command[1024];
	char	   *theirs;
	char	   *ours;
	FILE	   *file;
	int			i;

	if (system("command -v spm_train spm_encode spm_decode >/dev/null 2>&1") != 0)
	{
		check_skip("%s: spm_train, spm_encode, spm_decode (package sentencepiece) are not installed", kind);
		return;
	}
	if (mkdtemp(folder) == NULL)
		abort();
	snprintf(path, sizeof(path), "%s/text", folder);
	file = fopen(path, "w");
	for (i = 0; i < corpus->n; i++)
		fprintf(file, "%s\n", corpus->lines[i]);
	fclose(file);
	snprintf(command, sizeof(command),
			 "cd %s && spm_train --input=text --model_prefix=m --model_type=%s --vocab_size=%d"
			 " --normalization_rule_name=nfkc --character_coverage=%s --byte_fallback=%s"
			 " --pad_id=0 --bos_id=1 --eos_id=2 --unk_id=3 --num_threads=1 --minloglevel=3"
			 " 2>/dev/null && head -n %d text > few", folder, kind, vocab_size,
			 bytes ? "0.99999" : "1.0", bytes ? "true" : "false", LINES / 2);
	CHECK(system(command) == 0, "%s: spm_train", kind);

	snprintf(command, sizeof(command),
			 "cd %s && spm_encode --model=m.model --output_format=id < few > ids && cat ids", folder);
	theirs = output_of(command);
	ours = ids_in_words(tokenizer, corpus, LINES / 2);
	CHECK(theirs != NULL && strlen(theirs) > 10000 && strcmp(theirs, ours) == 0,
		  "%s: %d lines have the ids that spm_encode gives them", kind, LINES / 2);
	free(theirs);
	free(ours);

	snprintf(command, sizeof(command),
			 "cd %s && spm_decode --model=m.model --input_format=id < ids", folder);
	theirs = output_of(command);
	snprintf(command, sizeof(command), "cat %s/few", folder);
	ours = output_of(command);
	CHECK(theirs != NULL && ours != NULL && strcmp(theirs, ours) == 0,
		  "%s: spm_decode makes the lines of the ids", kind);
	free(theirs);
	free(ours);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	CHECK(system(command) == 0, "%s: temporary folder removed", kind);
}

/* Learnt twice, and with another number of threads: the same bytes. */
static void
test_same_again(const RnTokenizerOptions *options, const char *kind, Corpus *corpus)
{
	RnTokenizerOptions again = *options;
	char	   *model[2];
	size_t		bytes[2];
	RnContext	ctx;
	int			i;

	for (i = 0; i < 2; i++)
	{
		rn_context_reset(&ctx);
		corpus->at = 0;
		again.threads = 1 + 3 * i;
		rn_tokenizer_learn(&ctx, &again, next_line, corpus, &model[i], &bytes[i]);
	}
	CHECK(bytes[0] > 1000 && bytes[0] == bytes[1] && memcmp(model[0], model[1], bytes[0]) == 0,
		  "%s: learnt again, the same %d bytes", kind, (int) bytes[0]);
	free(model[0]);
	free(model[1]);
}

static RnStatus
try_load(const char *model, size_t bytes)
{
	RnTokenizer *tokenizer;
	RnContext	ctx;
	RnStatus	status;

	rn_context_reset(&ctx);
	status = rn_tokenizer_load(&ctx, model, bytes, &tokenizer);
	if (status == RN_OK)
		rn_tokenizer_free(tokenizer);
	else if (tokenizer != NULL || ctx.message[0] == '\0')
		status = RN_INTERNAL;
	return status;
}

static void
test_damage(const RnTokenizerOptions *options, Corpus *corpus)
{
	RnContext	ctx;
	char	   *model;
	char	   *envelope;
	size_t		bytes;
	size_t		at;
	int			wrong = 0;
	int			turn;

	rn_context_reset(&ctx);
	corpus->at = 0;
	rn_tokenizer_learn(&ctx, options, next_line, corpus, &model, &bytes);
	CHECK(try_load(model, bytes) == RN_OK, "undamaged model loads");
	for (at = 0; at < bytes; at += at < 64 ? 1 : bytes / 101)
	{
		char	   *part = malloc(at + 1);

		memcpy(part, model, at);
		wrong += try_load(part, at) != RN_CORRUPT;
		free(part);
	}
	CHECK(wrong == 0, "every truncation is noticed");
	for (turn = 0; turn < 500; turn++)
	{
		char		kept;

		at = turn < 64 ? (size_t) turn : (size_t) draw(1u << 30) % bytes;
		kept = model[at];
		model[at] ^= (char) (1 << draw(8));
		wrong += try_load(model, bytes) != RN_CORRUPT;
		model[at] = kept;
	}
	CHECK(wrong == 0, "changed bits are noticed");
	CHECK(try_load(model, bytes) == RN_OK, "mended model loads");
	CHECK(try_load(NULL, 0) == RN_CORRUPT, "nothing is no model");
	free(model);

	/* Foreign bytes, even in our envelope. */
	for (turn = 0; turn < 3; turn++)
	{
		static const char *const contents[] = {"", "hello", "\x0A\x05\x0A\x03xyz"};

		rn_envelope_close(&ctx, contents[turn], strlen(contents[turn]), &envelope);
		CHECK(try_load(envelope, RN_ENVELOPE_HEAD + strlen(contents[turn])) == RN_CORRUPT,
			  "foreign content %d is no model", turn);
		free(envelope);
	}
}

typedef struct Crowd
{
	const RnTokenizer *tokenizer;
	const Corpus *corpus;
	char	  **expected;		/* ids of each line in words */
	int			wrong;
} Crowd;

static void *
one_of_crowd(void *arg)
{
	Crowd	   *crowd = arg;
	int			turn;

	for (turn = 0; turn < 2; turn++)
	{
		char	   *ours = ids_in_words(crowd->tokenizer, crowd->corpus, 1000);
		int			line;

		crowd->wrong += strcmp(ours, *crowd->expected) != 0;
		free(ours);
		for (line = 0; line < 300; line++)
		{
			char	   *back = there_and_back(crowd->tokenizer, crowd->corpus->lines[line],
											  strlen(crowd->corpus->lines[line]));

			crowd->wrong += strcmp(back, crowd->corpus->lines[line]) != 0;
			free(back);
		}
	}
	return NULL;
}

static void
test_threads(const RnTokenizer *tokenizer, const char *kind, const Corpus *corpus)
{
	pthread_t	threads[4];
	Crowd		crowds[4];
	char	   *expected = ids_in_words(tokenizer, corpus, 1000);
	int			wrong = 0;
	int			i;

	for (i = 0; i < 4; i++)
	{
		crowds[i].tokenizer = tokenizer;
		crowds[i].corpus = corpus;
		crowds[i].expected = &expected;
		crowds[i].wrong = 0;
		if (pthread_create(&threads[i], NULL, one_of_crowd, &crowds[i]) != 0)
			abort();
	}
	for (i = 0; i < 4; i++)
	{
		pthread_join(threads[i], NULL);
		wrong += crowds[i].wrong;
	}
	CHECK(wrong == 0, "%s: four threads at one tokenizer", kind);
	free(expected);
}

/* The hint's number, learnt with, must be what comes out. */
static void
check_hint(const char *what, const RnTokenizerOptions *options, Corpus *corpus, const char *format)
{
	RnTokenizerOptions advised = *options;
	RnTokenizer *tokenizer;
	RnContext	ctx;

	tokenizer = make(&ctx, options, corpus);
	CHECK(tokenizer == NULL && ctx.status == RN_INVALID, "%s: %s", what, ctx.message);
	if (!CHECK(sscanf(ctx.hint, format, &advised.vocab_size) == 1, "%s: %s", what, ctx.hint))
		return;
	tokenizer = make(&ctx, &advised, corpus);
	if (CHECK(tokenizer != NULL, "%s: the hint helps", what))
	{
		CHECK(rn_tokenizer_vocab_size(tokenizer) == advised.vocab_size,
			  "%s: %d pieces then", what, advised.vocab_size);
		rn_tokenizer_free(tokenizer);
	}
}

static void
test_sizes(int bpe)
{
	char	   *lines[] = {
		"the cat sat on the mat", "the dog sat on the log", "a cat and a dog",
		"die Katze sa\xC3\x9F auf der Matte", "der Hund sa\xC3\x9F auf dem Baumstamm"
	};
	Corpus		corpus = {lines, 5, 0};
	const char *kind = bpe ? "bpe" : "unigram";
	RnTokenizerOptions options = options_of(8000, bpe);
	RnTokenizer *tokenizer;
	RnContext	ctx;
	char	   *back;

	check_hint(kind, &options, &corpus, "Use a vocab_size of at most %d.");
	options.vocab_size = 10;
	check_hint(kind, &options, &corpus, "Use a vocab_size of at least %d.");

	options.vocab_size = 8000;
	options.shrink = 1;
	tokenizer = make(&ctx, &options, &corpus);
	CHECK(tokenizer != NULL && rn_tokenizer_vocab_size(tokenizer) > 256 &&
		  rn_tokenizer_vocab_size(tokenizer) < 600, "%s: shrunk to %d pieces, bytes among them",
		  kind, rn_tokenizer_vocab_size(tokenizer));
	rn_tokenizer_free(tokenizer);

	/* Too few places for byte pieces: what is unknown is left out. */
	options.vocab_size = 40;
	tokenizer = make(&ctx, &options, &corpus);
	if (!CHECK(tokenizer != NULL, "%s: 40 pieces", kind))
		return;
	back = there_and_back(tokenizer, "the \xF0\x9F\x98\x80 cat", 12);
	CHECK(strcmp(back, "the cat") == 0, "%s: unknown characters are left out: \"%s\"", kind, back);
	free(back);
	rn_tokenizer_free(tokenizer);

	options.lowercase = 1;
	options.vocab_size = 2000;
	tokenizer = make(&ctx, &options, &corpus);
	if (!CHECK(tokenizer != NULL, "%s: lower case", kind))
		return;
	back = there_and_back(tokenizer, "Die KATZE \xC3\x84\xC3\x96", 14);
	CHECK(strcmp(back, "die katze \xC3\xA4\xC3\xB6") == 0, "%s: case is folded: \"%s\"", kind, back);
	free(back);
	rn_tokenizer_free(tokenizer);
}

static void
test_no_data(void)
{
	char	   *lines[] = {"", "   ", "\t\n\x01", "\xE2\x80\x83\xE2\x96\x81"};
	char	   *reserved[] = {"<s>", "\xE2\x96\x85", " <unk><0x41></s> "};
	Corpus		corpus = {lines, 0, 0};
	RnTokenizerOptions options = options_of(100, 0);
	RnContext	ctx;

	options.shrink = 1;
	CHECK(make(&ctx, &options, &corpus) == NULL && ctx.status == RN_NO_DATA, "%s", ctx.message);
	corpus.n = 4;
	CHECK(make(&ctx, &options, &corpus) == NULL && ctx.status == RN_NO_DATA, "only white space");
	corpus.lines = reserved;
	corpus.n = 3;
	CHECK(make(&ctx, &options, &corpus) == NULL && ctx.status == RN_NO_DATA, "only reserved marks");
	options.vocab_size = 4;
	CHECK(make(&ctx, &options, &corpus) == NULL && ctx.status == RN_INVALID, "%s", ctx.message);
	options.vocab_size = 1000001;
	CHECK(make(&ctx, &options, &corpus) == NULL && ctx.status == RN_INVALID, "%s", ctx.message);
}

/* Very long lines are learnt from, not skipped: no other line has these letters. */
static void
test_learn_long_lines(int bpe)
{
	size_t		size = 30000;
	char	   *words = malloc(size + 1);
	char	   *run = malloc(size + 1);
	char	   *lines[3];
	Corpus		corpus = {lines, 3, 0};
	RnTokenizerOptions options = options_of(200, bpe);
	RnTokenizer *tokenizer;
	RnContext	ctx;
	size_t		i;

	if (words == NULL || run == NULL)
		abort();
	for (i = 0; i < size; i++)
	{
		words[i] = i % 5 == 4 ? ' ' : "kqwx"[draw(4)];
		run[i] = "jvyz"[draw(4)];
	}
	words[size] = run[size] = '\0';
	lines[0] = words;
	lines[1] = run;
	lines[2] = "a short one";
	tokenizer = make(&ctx, &options, &corpus);
	if (CHECK(tokenizer != NULL, "long lines: %s", ctx.message))
	{
		CHECK(rn_tokenizer_id(tokenizer, "k") != RN_UNKNOWN_ID &&
			  rn_tokenizer_id(tokenizer, "x") != RN_UNKNOWN_ID, "long line of words is learnt from");
		CHECK(rn_tokenizer_id(tokenizer, "j") != RN_UNKNOWN_ID &&
			  rn_tokenizer_id(tokenizer, "z") != RN_UNKNOWN_ID, "long run is learnt from");
		rn_tokenizer_free(tokenizer);
	}
	free(words);
	free(run);
}

#ifndef SANITIZED
/* A corpus of which only a sample is kept: its first half a, the second b. */
typedef struct Flood
{
	int			at;
	int			n;
	char		line[16];
} Flood;

static int
next_of_flood(void *arg, RnText *text)
{
	Flood	   *flood = arg;

	if (flood->at >= flood->n)
		return 0;
	text->size = (size_t) sprintf(flood->line, "%c%d", flood->at < flood->n / 2 ? 'a' : 'b',
								  flood->at % 97);
	text->bytes = flood->line;
	flood->at++;
	return 1;
}
#endif

static void
test_sample(void)
{
#ifdef SANITIZED
	check_skip("more lines than are kept: takes minutes with a sanitizer");
#else
	RnTokenizerOptions options = options_of(100, 0);
	char	   *models[3];
	size_t		bytes[3];
	RnTokenizer *tokenizer;
	RnContext	ctx;
	int			i;

	options.shrink = 1;
	for (i = 0; i < 3; i++)
	{
		Flood		flood = {0, 450000, ""};

		options.seed = i < 2 ? 5 : 6;
		rn_context_reset(&ctx);
		rn_tokenizer_learn(&ctx, &options, next_of_flood, &flood, &models[i], &bytes[i]);
		CHECK(ctx.status == RN_OK && flood.at == flood.n, "more lines than are kept, seed %d %s",
			  (int) options.seed, ctx.message);
	}
	CHECK(bytes[0] == bytes[1] && memcmp(models[0], models[1], bytes[0]) == 0,
		  "the same seed draws the same sample");
	CHECK(bytes[0] != bytes[2] || memcmp(models[0], models[2], bytes[0]) != 0,
		  "another seed draws another");
	if (CHECK(rn_tokenizer_load(&ctx, models[0], bytes[0], &tokenizer) == RN_OK, "it loads"))
	{
		CHECK(rn_tokenizer_id(tokenizer, "a") != RN_UNKNOWN_ID &&
			  rn_tokenizer_id(tokenizer, "b") != RN_UNKNOWN_ID, "it is drawn from all of the corpus");
		rn_tokenizer_free(tokenizer);
	}
	for (i = 0; i < 3; i++)
		free(models[i]);
#endif
}

/* Loading, encoding and decoding under ever larger limits on memory. */
static void
test_no_memory(const RnTokenizerOptions *options, Corpus *corpus)
{
#ifdef SANITIZED
	(void) options;
	(void) corpus;
	check_skip("sanitizers cannot run under a limit on memory");
#else
	size_t		size = 600000;
	RnText		text = {malloc(size), size};
	struct rlimit before;
	RnContext	ctx;
	char	   *model;
	size_t		bytes;
	size_t		extra;
	int			fine = 0;
	int			refused = 0;
	int			wrong = 0;

	rn_context_reset(&ctx);
	corpus->at = 0;
	rn_tokenizer_learn(&ctx, options, next_line, corpus, &model, &bytes);
	memset((char *) text.bytes, 'k', size);
	getrlimit(RLIMIT_AS, &before);
	for (extra = 1 << 20; extra < (size_t) 1 << 30 && fine < 2; extra += extra / 3)
	{
		struct rlimit limit = before;
		RnTokenizer *tokenizer = NULL;
		long		pages = 0;
		FILE	   *statm = fopen("/proc/self/statm", "r");
		int32_t    *ids = NULL;
		char	   *back = NULL;
		int			n;
		int			cut;

		if (statm == NULL || fscanf(statm, "%ld", &pages) != 1)
			abort();
		fclose(statm);
		rn_context_reset(&ctx);
		limit.rlim_cur = (rlim_t) pages * 4096 + extra;
		setrlimit(RLIMIT_AS, &limit);
		if (rn_tokenizer_load(&ctx, model, bytes, &tokenizer) == RN_OK &&
			rn_tokenizer_encode(&ctx, tokenizer, text, 1 << 30, &ids, &n, &cut) == RN_OK)
			rn_tokenizer_decode(&ctx, tokenizer, ids, n, &back);
		setrlimit(RLIMIT_AS, &before);
		if (ctx.status == RN_OK)
			fine++;
		else if (ctx.status == RN_NO_MEMORY)
			refused++;
		else
			wrong++;
		rn_tokenizer_free(tokenizer);
		free(ids);
		free(back);
	}
	CHECK(wrong == 0 && fine > 0 && refused > 0, "memory refused %d times, granted %d times",
		  refused, fine);
	free(model);
	free((char *) text.bytes);
#endif
}

static void
test_kind(int bpe, Corpus *corpus)
{
	const char *kind = bpe ? "bpe" : "unigram";
	RnTokenizerOptions options = options_of(1200, bpe);
	RnTokenizerOptions small = options_of(300, bpe);
	RnTokenizer *tokenizer;
	RnContext	ctx;

	tokenizer = make(&ctx, &small, corpus);
	if (CHECK(tokenizer != NULL, "%s: 300 pieces %s", kind, ctx.message))
	{
		test_special(tokenizer, kind, 300);
		test_command_line(tokenizer, kind, corpus, 300, 0);
		rn_tokenizer_free(tokenizer);
	}
	tokenizer = make(&ctx, &options, corpus);
	if (!CHECK(tokenizer != NULL, "%s: 1200 pieces %s", kind, ctx.message))
		return;
	test_special(tokenizer, kind, 1200);
	test_command_line(tokenizer, kind, corpus, 1200, 1);
	test_rounds(tokenizer, kind);
	test_noise(tokenizer, kind);
	test_random_ids(tokenizer, kind);
	test_cut(tokenizer, kind, corpus);
	test_long_line(tokenizer, kind, corpus);
	test_threads(tokenizer, kind, corpus);
	rn_tokenizer_free(tokenizer);
	test_same_again(&options, kind, corpus);
	test_sizes(bpe);
	test_learn_long_lines(bpe);
}

int
main(void)
{
	Corpus		corpus;
	RnTokenizerOptions options = options_of(300, 1);

	corpus_make(&corpus, LINES);
	test_normalize();
	test_kind(0, &corpus);
	test_kind(1, &corpus);
	test_no_data();
	test_sample();
	test_damage(&options, &corpus);
	test_no_memory(&options, &corpus);
	corpus_free(&corpus);
	return check_done();
}
