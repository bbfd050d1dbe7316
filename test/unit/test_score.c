/*
 * test_score.c
 *		BLEU and chrF against sacreBLEU's own values.
 *
 * The values stand in data/score.txt (make_score_fixture.py writes it); its
 * path may be given as the argument.
 *
 * test/unit/test_score.c
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/utf8.h"
#include "check.h"
#include "score/bleu.h"
#include "score/chrf.h"
#include "score_fixture.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#define TOLERANCE	1e-9

/* A head line of the fixture. */
typedef struct Group
{
	int			pairs;
	double		bleu;
	double		chrf;
	long long	hypothesis_length;
	long long	reference_length;
	long long	match[RN_BLEU_ORDER];
	long long	total[RN_BLEU_ORDER];
	char		name[64];
} Group;

static int
read_head(const char *line, Group *group)
{
	return sscanf(line, "g %d %lf %lf %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %63[^\n]",
				  &group->pairs, &group->bleu, &group->chrf,
				  &group->hypothesis_length, &group->reference_length,
				  &group->match[0], &group->match[1], &group->match[2], &group->match[3],
				  &group->total[0], &group->total[1], &group->total[2], &group->total[3],
				  group->name) == 14;
}

static void
check_group(const Group *group, const RnBleu *bleu, const RnChrf *chrf)
{
	int			n;
	int			same = bleu->hypothesis_length == group->hypothesis_length &&
		bleu->reference_length == group->reference_length;

	for (n = 0; n < RN_BLEU_ORDER; n++)
		same = same && bleu->match[n] == group->match[n] && bleu->total[n] == group->total[n];
	CHECK(same, "%s: counts are sacreBLEU's", group->name);
	CHECK(fabs(rn_bleu_score(bleu) - group->bleu) < TOLERANCE,
		  "%s: BLEU %.10f, expected %.10f", group->name, rn_bleu_score(bleu), group->bleu);
	CHECK(fabs(rn_chrf_score(chrf) - group->chrf) < TOLERANCE,
		  "%s: chrF %.10f, expected %.10f", group->name, rn_chrf_score(chrf), group->chrf);
}

/*
 * Every group of the fixture.  Pairs go by turns into two halves that are then
 * combined, as parallel workers would do it.
 */
static void
test_fixture(const char *path)
{
	FILE	   *file = fopen(path, "r");
	RnContext	ctx;
	char	   *head = NULL;
	char	   *lines[2] = {NULL, NULL};
	size_t		room[3] = {0, 0, 0};
	int			groups = 0;

	rn_context_reset(&ctx);
	if (!CHECK(file != NULL, "%s can be read", path))
		return;
	while (getline(&head, &room[2], file) > 0)
	{
		Group		group;
		RnBleu		bleu[2];
		RnChrf		chrf[2];
		RnStatus	status = RN_OK;
		int			i;

		if (head[0] == '#')
			continue;
		if (!CHECK(read_head(head, &group), "head line is understood"))
			break;
		for (i = 0; i < 2; i++)
		{
			rn_bleu_init(&bleu[i]);
			rn_chrf_init(&chrf[i]);
		}
		for (i = 0; i < group.pairs && status == RN_OK; i++)
		{
			char	   *text[2];
			size_t		size[2];
			int			side;

			for (side = 0; side < 2; side++)
			{
				if (getline(&lines[side], &room[side], file) < 2)
					break;
				size[side] = unescape(lines[side], &text[side]);
			}
			if (!CHECK(side == 2, "%s: pair %d is complete", group.name, i + 1))
				break;
			status = rn_bleu_add(&ctx, &bleu[i % 2], text[0], size[0], text[1], size[1]);
			if (status == RN_OK)
				status = rn_chrf_add(&ctx, &chrf[i % 2], text[0], size[0], text[1], size[1]);
		}
		CHECK(status == RN_OK, "%s: no failure", group.name);
		rn_bleu_combine(&bleu[0], &bleu[1]);
		rn_chrf_combine(&chrf[0], &chrf[1]);
		CHECK(bleu[0].sentences == group.pairs && chrf[0].sentences == group.pairs,
			  "%s: %d pairs counted", group.name, group.pairs);
		check_group(&group, &bleu[0], &chrf[0]);
		groups++;
	}
	CHECK(groups > 0, "%d groups of %s", groups, path);
	free(head);
	free(lines[0]);
	free(lines[1]);
	fclose(file);
}

static void
test_nothing(void)
{
	RnBleu		bleu;
	RnChrf		chrf;

	rn_bleu_init(&bleu);
	rn_chrf_init(&chrf);
	CHECK(rn_bleu_score(&bleu) == 0.0, "BLEU of no sentence is 0");
	CHECK(rn_chrf_score(&chrf) == 0.0, "chrF of no sentence is 0");
}

/* What Python 3 makes of these with bytes.decode('utf-8', 'replace'), R for U+FFFD. */
static void
test_malformed(void)
{
	static const struct
	{
		const char *bytes;
		const char *decoded;
	}			rows[] = {
		{"\xFF\xFE", "RR"}, {"a\x80z", "aRz"}, {"\xC0\xAF", "RR"}, {"\xC1\xBF", "RR"},
		{"\xE2\x82", "R"}, {"\xE2\x82z", "Rz"}, {"\xE0\x80\xAF", "RRR"},
		{"\xED\xA0\x80", "RRR"}, {"\xED\xBF\xBFz", "RRRz"}, {"\xF0\x9F\x98", "R"},
		{"\xF0\x9F\x98z", "Rz"}, {"\xF0\x80\x80\x80", "RRRR"}, {"\xF4\x90\x80\x80", "RRRR"},
		{"\xF5\x80\x80\x80", "RRRR"}, {"\xC3", "R"}, {"\xC3\xC3\xA4", "R\xC3\xA4"},
		{"\xF0\x9F\xF0\x9F\x98\x80", "R\xF0\x9F\x98\x80"}, {"\xE2\x28\xA1", "R(R"},
		{"\xF8\x88\x80\x80\x80", "RRRRR"}, {"\xEF\xBF\xBD", "R"}
	};
	size_t		i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		char		out[64];
		size_t		size = strlen(rows[i].bytes);
		size_t		written = 0;
		size_t		at = 0;

		while (at < size)
		{
			uint32_t	code = rn_utf8_next(rows[i].bytes, size, &at);

			written += rn_utf8_put(code == RN_REPLACEMENT ? 'R' : code, out + written);
		}
		out[written] = '\0';
		CHECK(strcmp(out, rows[i].decoded) == 0, "malformed bytes, row %d: %s", (int) i, out);
	}
}

/* Malformed bytes score as the text that they are decoded to. */
static void
test_malformed_score(void)
{
	static const char *raw = "the \xFF\xFE cat\xE2\x82 sat on \xF0\x9F\x98\x80.";
	static const char *repaired =
		"the \xEF\xBF\xBD\xEF\xBF\xBD cat\xEF\xBF\xBD sat on \xF0\x9F\x98\x80.";
	RnContext	ctx;
	RnBleu		bleu;
	RnChrf		chrf;

	rn_context_reset(&ctx);
	rn_bleu_init(&bleu);
	rn_chrf_init(&chrf);
	rn_bleu_add(&ctx, &bleu, raw, strlen(raw), repaired, strlen(repaired));
	rn_chrf_add(&ctx, &chrf, raw, strlen(raw), repaired, strlen(repaired));
	CHECK(fabs(rn_bleu_score(&bleu) - 100.0) < TOLERANCE && bleu.total[0] == 7,
		  "malformed text and its repair: BLEU %.10f", rn_bleu_score(&bleu));
	CHECK(fabs(rn_chrf_score(&chrf) - 100.0) < TOLERANCE,
		  "malformed text and its repair: chrF %.10f", rn_chrf_score(&chrf));
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
}

/* One long line; a search of each n-gram through all others would take hours. */
static void
test_long_line(const char *name, int same)
{
	size_t		words = 300000;
	char	   *text = malloc(words * 8 + 1);
	size_t		size = 0;
	size_t		i;
	RnContext	ctx;
	RnBleu		bleu;
	RnChrf		chrf;
	double		start = seconds();

	if (text == NULL)
		abort();
	for (i = 0; i < words; i++)
		size += (size_t) sprintf(text + size, "%06u ", same ? 7u : (unsigned) i);
	rn_context_reset(&ctx);
	rn_bleu_init(&bleu);
	rn_chrf_init(&chrf);
	rn_bleu_add(&ctx, &bleu, text, size, text, size - 7);
	rn_chrf_add(&ctx, &chrf, text, size, text, size - 7);
	CHECK(bleu.match[0] == (int64_t) words - 1 && bleu.match[3] == (int64_t) words - 4,
		  "%s: %lld unigrams, %lld 4-grams match", name,
		  (long long) bleu.match[0], (long long) bleu.match[3]);
	CHECK(chrf.match[0] == 6 * (int64_t) (words - 1) && chrf.match[5] == 6 * (int64_t) (words - 1) - 5,
		  "%s: %lld characters match", name, (long long) chrf.match[0]);
	CHECK(seconds() - start < 60.0, "%s: %.1f MB in reasonable time", name, (double) size / 1e6);
	printf("# %.2f s\n", seconds() - start);
	free(text);
}

/*
 * Whatever allocation fails, the status says so and the counts stay as they
 * were.  The limit on the address space makes large ones fail, one by one.
 */
static void
test_no_memory(void)
{
#ifdef SANITIZED
	check_skip("sanitizers cannot run under a limit on memory");
#else
	size_t		size = 1 << 20;
	char	   *text = malloc(size);
	struct rlimit before;
	int			fine = 0;
	int			refused = 0;
	int			wrong = 0;
	size_t		extra;
	size_t		i;

	if (text == NULL || getrlimit(RLIMIT_AS, &before) != 0)
		abort();
	for (i = 0; i < size; i++)
		text[i] = i % 3 == 2 ? ' ' : (char) ('a' + i % 23);
	for (extra = 1 << 20; extra < (size_t) 1 << 30 && fine < 2; extra += extra / 8)
	{
		struct rlimit limit = before;
		long		pages = 0;
		FILE	   *statm = fopen("/proc/self/statm", "r");
		RnContext	ctx;
		RnBleu		bleu;
		RnChrf		chrf;

		if (statm == NULL || fscanf(statm, "%ld", &pages) != 1)
			abort();
		fclose(statm);
		rn_context_reset(&ctx);
		rn_bleu_init(&bleu);
		rn_chrf_init(&chrf);
		limit.rlim_cur = (rlim_t) pages * 4096 + extra;
		setrlimit(RLIMIT_AS, &limit);
		rn_bleu_add(&ctx, &bleu, text, size, text, size);
		if (ctx.status == RN_OK)
			rn_chrf_add(&ctx, &chrf, text, size, text, size);
		setrlimit(RLIMIT_AS, &before);
		if (ctx.status == RN_OK)
			fine++;
		else if (ctx.status == RN_NO_MEMORY)
			refused++;
		else
			wrong++;
		if (bleu.sentences == 0 && (bleu.match[0] != 0 || bleu.total[0] != 0))
			wrong++;
		if (chrf.sentences == 0 && (chrf.match[0] != 0 || chrf.hypothesis[0] != 0))
			wrong++;
	}
	CHECK(wrong == 0 && fine > 0 && refused > 3,
		  "memory refused %d times, granted %d times", refused, fine);
	free(text);
#endif
}

int
main(int argc, char **argv)
{
	test_fixture(argc > 1 ? argv[1] : "test/unit/data/score.txt");
	test_nothing();
	test_malformed();
	test_malformed_score();
	test_long_line("one word", 1);
	test_long_line("words all different", 0);
	test_no_memory();
	return check_done();
}
