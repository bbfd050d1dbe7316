/*
 * test_bootstrap.c
 *		Paired bootstrap against sacreBLEU's: exactly, given the sentences that
 *		it has drawn; within the sampling error with our own random numbers.
 *
 * What sacreBLEU says stands in data/bootstrap.txt (make_bootstrap_fixture.py
 * writes it); its path may be given as the argument.
 *
 * test/unit/test_bootstrap.c
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "score/bootstrap.h"
#include "score_fixture.h"

#define SENTENCES	64
#define SAMPLES		128
#define OWN_SAMPLES	2000
#define EXACT		1e-9		/* of scores */
#define SINGLE		1e-4		/* sacreBLEU sums resamples in single precision */

typedef struct Group
{
	int			sentences;
	int			samples;
	char		name[64];
	RnJudgement systems[2][SENTENCES];
	RnPairedScores whole;
	RnPairedScores scores[SAMPLES];
} Group;

static char *line;
static size_t line_room;

/* The next line begins with this letter; its text, unescaped. */
static int
next_text(FILE *file, char letter, char **text, size_t *size)
{
	if (getline(&line, &line_room, file) < 2 || line[0] != letter)
		return 0;
	*size = unescape(line, text);
	return 1;
}

static int
read_sentence(FILE *file, Group *group, int i)
{
	RnContext	ctx;
	char	   *text;
	char	   *reference;
	size_t		size;
	size_t		reference_size;
	int			system;

	rn_context_reset(&ctx);
	if (!next_text(file, 'r', &text, &reference_size))
		return 0;
	reference = malloc(reference_size + 1);
	if (reference == NULL)
		abort();
	memcpy(reference, text, reference_size);
	for (system = 0; system < 2; system++)
	{
		if (!next_text(file, (char) ('1' + system), &text, &size))
			break;
		memset(&group->systems[system][i], 0, sizeof(RnJudgement));
		if (rn_judge(&ctx, &group->systems[system][i], text, size, reference, reference_size) != RN_OK)
			break;
	}
	free(reference);
	return system == 2;
}

static int
read_sample(FILE *file, Group *group, int i)
{
	uint32_t	drawn[SENTENCES];
	char	   *at;
	int			k;

	if (getline(&line, &line_room, file) < 2 || line[0] != 'i')
		return 0;
	for (k = 0, at = line + 1; k < group->sentences; k++)
	{
		drawn[k] = (uint32_t) strtoul(at, &at, 10);
		if (drawn[k] >= (uint32_t) group->sentences)
			return 0;
	}
	rn_bootstrap_score(group->systems[0], group->systems[1], drawn, (size_t) group->sentences, &group->scores[i]);
	return 1;
}

static int
read_group(FILE *file, Group *group)
{
	int			i;

	do
	{
		if (getline(&line, &line_room, file) < 2)
			return 0;
	} while (line[0] == '#');
	if (!CHECK(sscanf(line, "b %d %d %63[^\n]", &group->sentences, &group->samples, group->name) == 3 &&
			   group->sentences <= SENTENCES && group->samples <= SAMPLES, "head line is understood"))
		return 0;
	for (i = 0; i < group->sentences; i++)
	{
		if (!read_sentence(file, group, i))
			return CHECK(0, "%s: sentence %d is complete", group->name, i);
	}
	rn_bootstrap_score(group->systems[0], group->systems[1], NULL, (size_t) group->sentences, &group->whole);
	for (i = 0; i < group->samples; i++)
	{
		if (!read_sample(file, group, i))
			return CHECK(0, "%s: resample %d is complete", group->name, i);
	}
	return 1;
}

/* Our random numbers: p differs from that of many resamples by no more than four standard errors. */
static void
check_own(const Group *group, RnMeasure measure, double many_p)
{
	static RnPairedScores samples[OWN_SAMPLES];
	uint32_t	drawn[SENTENCES];
	RnContext	ctx;
	RnComparison own;
	double		error = sqrt(many_p * (1.0 - many_p) / OWN_SAMPLES);
	uint32_t	i;

	rn_context_reset(&ctx);
	for (i = 0; i < OWN_SAMPLES; i++)
	{
		rn_bootstrap_draw(12345, i, drawn, (uint32_t) group->sentences);
		rn_bootstrap_score(group->systems[0], group->systems[1], drawn, (size_t) group->sentences, &samples[i]);
	}
	if (!CHECK(rn_bootstrap_compare(&ctx, &group->whole, samples, OWN_SAMPLES, measure, 0.95, &own) == RN_OK,
			   "compared"))
		return;
	CHECK(fabs(own.p_value - many_p) < 4.0 * error + 1.0 / OWN_SAMPLES,
		  "%s, %s: p %.4f with our random numbers, %.4f with sacreBLEU's", group->name,
		  rn_measure_name(measure), own.p_value, many_p);
}

static void
check_measure(FILE *file, const Group *group, RnMeasure measure)
{
	RnContext	ctx;
	RnComparison got;
	char		name[16];
	double		score[2];
	double		margin[2];
	double		p;
	double		lower;
	double		upper;
	double		many_p;
	int			same = strcmp(group->name, "the same") == 0;

	rn_context_reset(&ctx);
	if (!CHECK(getline(&line, &line_room, file) > 1 &&
			   sscanf(line, "m %15s %lf %lf %lf %lf %lf %lf %lf %lf", name, &score[0], &score[1], &margin[0],
					  &margin[1], &p, &lower, &upper, &many_p) == 9 &&
			   strcmp(name, rn_measure_name(measure)) == 0, "measure line is understood") ||
		!CHECK(rn_bootstrap_compare(&ctx, &group->whole, group->scores, (size_t) group->samples, measure, 0.95,
									&got) == RN_OK, "compared"))
		return;
	CHECK(fabs(group->whole.score[0][measure] - score[0]) < EXACT &&
		  fabs(group->whole.score[1][measure] - score[1]) < EXACT &&
		  fabs(got.difference - (score[1] - score[0])) < EXACT,
		  "%s, %s: scores %.6f and %.6f", group->name, name, group->whole.score[0][measure],
		  group->whole.score[1][measure]);
	CHECK(fabs(got.margin[0] - margin[0]) < SINGLE && fabs(got.margin[1] - margin[1]) < SINGLE,
		  "%s, %s: margins %.6f and %.6f", group->name, name, got.margin[0], got.margin[1]);
	CHECK(fabs(got.lower - lower) < SINGLE && fabs(got.upper - upper) < SINGLE,
		  "%s, %s: difference from %.6f to %.6f", group->name, name, got.lower, got.upper);
	if (same)
	{
		CHECK(got.p_value == 1.0, "%s, %s: p is 1, not %.6f", group->name, name, p);
		return;
	}
	CHECK(fabs(got.p_value - p) < EXACT, "%s, %s: p %.6f", group->name, name, got.p_value);
	check_own(group, measure, many_p);
}

static void
test_fixture(const char *path)
{
	FILE	   *file = fopen(path, "r");
	static Group group;
	int			groups = 0;

	if (!CHECK(file != NULL, "%s can be read", path))
		return;
	for (; read_group(file, &group); groups++)
	{
		check_measure(file, &group, RN_MEASURE_BLEU);
		check_measure(file, &group, RN_MEASURE_CHRF);
	}
	CHECK(groups == 4, "%d groups", groups);
	fclose(file);
	free(line);
}

/* Each sentence is as likely as another, and none is out of range. */
static void
test_draw(void)
{
	uint32_t	drawn[37];
	int			count[37] = {0};
	double		chi_square = 0.0;
	int			inside = 1;
	uint32_t	sample;
	int			i;

	for (sample = 0; sample < 1000; sample++)
	{
		rn_bootstrap_draw(1, sample, drawn, 37);
		for (i = 0; i < 37; i++)
		{
			inside = inside && drawn[i] < 37;
			if (drawn[i] < 37)
				count[drawn[i]]++;
		}
	}
	for (i = 0; i < 37; i++)
		chi_square += (count[i] - 1000.0) * (count[i] - 1000.0) / 1000.0;
	CHECK(inside && chi_square < 72.0, "37000 draws of 37 sentences: chi square %.1f (above 72 once in 3000)", chi_square);
	rn_bootstrap_draw(1, 0, drawn, 1);
	CHECK(drawn[0] == 0, "one sentence");
}

static void
test_exact_match(void)
{
	static const struct
	{
		const char *hypothesis;
		const char *reference;
		int			exact;
	}			pairs[] = {
		{"I_JUMP I_RUN", "I_JUMP I_RUN", 1},
		{" I_JUMP \t I_RUN\n", "I_JUMP I_RUN", 1},
		{"I_JUMP\xE3\x80\x80I_RUN", "I_JUMP I_RUN", 1},	/* an ideographic space */
		{"I_JUMP I_RUN I_RUN", "I_JUMP I_RUN", 0},
		{"I_JUMP", "I_JUMP I_RUN", 0},
		{"I_JUMPI_RUN", "I_JUMP I_RUN", 0},
		{"i_jump i_run", "I_JUMP I_RUN", 0},
		{"", "I_JUMP", 0},
		{"", "  ", 1},
	};
	RnJudgement sum;
	int			expected = 0;
	size_t		i;

	memset(&sum, 0, sizeof(sum));
	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
	{
		RnContext	ctx;
		RnJudgement one;

		rn_context_reset(&ctx);
		memset(&one, 0, sizeof(one));
		CHECK(rn_judge(&ctx, &one, pairs[i].hypothesis, strlen(pairs[i].hypothesis),
					   pairs[i].reference, strlen(pairs[i].reference)) == RN_OK && one.exact == pairs[i].exact,
			  "exact match %d: \"%s\"", pairs[i].exact, pairs[i].hypothesis);
		rn_judgement_combine(&sum, &one);
		expected += pairs[i].exact;
	}
	CHECK(fabs(rn_judgement_score(&sum, RN_MEASURE_EXACT) - 100.0 * expected / 9.0) < EXACT,
		  "%.3f %% are", rn_judgement_score(&sum, RN_MEASURE_EXACT));
}

int
main(int argc, char **argv)
{
	test_draw();
	test_exact_match();
	test_fixture(argc > 1 ? argv[1] : "test/unit/data/bootstrap.txt");
	return check_done();
}
