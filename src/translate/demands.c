/*
 * demands.c
 *		What the answers to one text must hold, and the text of such an answer.
 *
 * src/translate/demands.c
 */
#include "translate/demands.h"

#include <stdlib.h>
#include <string.h>

#include "translate/placeholders.h"
#include "translate/spelling.h"

/* A term's translation or a placeholder; its number is its phrase's. */
typedef struct Literal
{
	char	   *text;
	size_t		size;
	int			wanted;			/* times that it is searched for */
	int			is_exact;
	int			expected;		/* times that it stands in an answer; exact ones */
	int			attached;		/* to what stood before it in the source */
} Literal;

struct RnTextDemand
{
	RnDemand	demand;
	const RnTokenizer *tokenizer;
	char	   *prefix;			/* lent by the terms; NULL: none */
	Literal    *literals;
	int			n;
	int			refused;		/* literal that an answer was refused for, or -1 */
};

/* An answer while it is written. */
typedef struct Answer
{
	char	   *text;
	size_t		size;
	size_t		room;
	int			space;			/* before what comes next */
} Answer;

void
rn_demand_free(RnTextDemand *demand)
{
	int			i;

	if (demand == NULL)
		return;
	for (i = 0; i < demand->n; i++)
		free(demand->literals[i].text);
	free(demand->literals);
	free(demand->demand.prefix);
	rn_phrases_free(demand->demand.phrases);
	free(demand);
}

const RnDemand *
rn_demand_of_search(const RnTextDemand *demand)
{
	return demand != NULL ? &demand->demand : NULL;
}

/* ---- what a text demands ---- */

static RnStatus
add_literal(RnContext *ctx, RnTextDemand *demand, const char *text, size_t size, int is_exact, int attached)
{
	Literal    *grown;
	Literal    *literal;
	int			i;

	for (i = 0; i < demand->n; i++)
	{
		literal = &demand->literals[i];
		if (literal->is_exact != is_exact || literal->size != size || memcmp(literal->text, text, size) != 0)
			continue;
		/* once is enough for a term, and what is exact is wanted each time */
		literal->wanted += is_exact;
		literal->expected += is_exact;
		literal->attached |= attached;
		return RN_OK;
	}
	grown = realloc(demand->literals, (demand->n + 1) * sizeof(Literal));
	if (grown == NULL)
		return rn_out_of_memory(ctx, (demand->n + 1) * sizeof(Literal));
	demand->literals = grown;
	literal = &grown[demand->n];
	memset(literal, 0, sizeof(*literal));
	if ((literal->text = strndup(text, size)) == NULL)
		return rn_out_of_memory(ctx, size);
	literal->size = size;
	literal->wanted = 1;
	literal->is_exact = is_exact;
	literal->expected = is_exact;
	literal->attached = attached;
	demand->n++;
	return RN_OK;
}

static unsigned
guard_of(RnPlaceholder kind)
{
	switch (kind)
	{
		case RN_ADDRESS:
			return RN_PIECE_ADDRESS;
		case RN_BRACES:
			return RN_PIECE_BRACE;
		case RN_FORMAT:
			return RN_PIECE_PERCENT;
		case RN_NUMBER:
			return RN_PIECE_DIGIT;
	}
	return 0;
}

/* Terms and placeholders from left to right; of two that begin together the longer one. */
static RnStatus
scan(RnContext *ctx, RnTextDemand *demand, const RnTerms *terms, const RnSearchOptions *options, const char *text,
	 size_t size, unsigned *guard)
{
	size_t		at = 0;

	while (at < size)
	{
		size_t		term_end = at;
		size_t		kept_end = at;
		size_t		term_start = size;
		size_t		kept_start = size;
		int			term = terms == NULL ? -1 :
			rn_terms_next(terms, options->glossary_ignore_case, text, size, &term_end, &term_start);
		RnPlaceholder kind = options->preserve ? rn_placeholder_next(text, size, &kept_end, &kept_start) : 0;

		if (term < 0 && kind == 0)
			break;
		if (term >= 0 && (kind == 0 || term_start < kept_start || (term_start == kept_start && term_end >= kept_end)))
		{
			RN_TRY(add_literal(ctx, demand, terms->terms[term].target, terms->terms[term].target_size, 0, 0));
			at = term_end;
			continue;
		}
		RN_TRY(add_literal(ctx, demand, text + kept_start, kept_end - kept_start, 1,
						   kept_start > 0 && text[kept_start - 1] != ' '));
		*guard |= guard_of(kind);
		at = kept_end;
	}
	return RN_OK;
}

static int
count_in(const Literal *literal, const char *text, size_t size)
{
	size_t		at = 0;
	size_t		start;
	int			count = 0;

	while (rn_placeholder_next(text, size, &at, &start))
		count += at - start == literal->size && memcmp(text + start, literal->text, literal->size) == 0;
	return count;
}

/* A placeholder within the translation of a term counts as well. */
static void
expect_within_terms(RnTextDemand *demand)
{
	int			i,
				k;

	for (i = 0; i < demand->n; i++)
	{
		for (k = 0; k < demand->n && demand->literals[i].is_exact; k++)
		{
			if (!demand->literals[k].is_exact)
				demand->literals[i].expected += count_in(&demand->literals[i], demand->literals[k].text,
														 demand->literals[k].size);
		}
	}
}

static RnStatus
pieces_of(RnContext *ctx, const RnTranslator *translator, const char *text, int32_t **ids, int *n)
{
	RnText		given = {text, strlen(text)};
	int			cut;

	RN_TRY(rn_tokenizer_encode(ctx, translator->tokenizer, given, rn_most_pieces(translator), ids, n, &cut));
	if (!cut && *n > 0)
		return RN_OK;
	free(*ids);
	*ids = NULL;
	rn_fail(ctx, RN_LIMIT, "\"%.60s\" cannot be part of a translation", text);
	rn_detail(ctx, cut ? "It is longer than the %d pieces that the model can write." : "It has no pieces.",
			  rn_most_pieces(translator));
	return ctx->status;
}

/* A term may be part of a compound; what is exact would be read together with what is attached to it. */
static unsigned
not_behind(const Literal *literal)
{
	if (literal->is_exact)
		return RN_PIECE_CONTINUES | RN_PIECE_JOINS;
	return rn_spelling_ends_in_word(literal->text, literal->size) ? RN_PIECE_CONTINUES : 0;
}

static RnStatus
add_phrase(RnContext *ctx, const RnTranslator *translator, RnTextDemand *demand, const Literal *literal)
{
	int32_t    *ids;
	int32_t    *bare = NULL;
	int32_t		first;
	RnStatus	status;
	int			n;
	int			n_bare = 0;

	RN_TRY(pieces_of(ctx, translator, literal->text, &ids, &n));
	first = ids[0];
	if (literal->attached && (bare = malloc(n * sizeof(int32_t))) != NULL)
	{
		int32_t		within = rn_spelling_attached(translator->tokenizer, first);

		n_bare = within != RN_UNKNOWN_ID ? n : n - 1;
		memcpy(bare, ids + n - n_bare, n_bare * sizeof(int32_t));
		if (within != RN_UNKNOWN_ID)
			bare[0] = within;
		else if (!rn_spelling_is_space(translator->tokenizer, first))
			n_bare = 0;
	}
	status = rn_phrases_add(ctx, demand->demand.phrases, ids, n, bare, n_bare, not_behind(literal), literal->wanted);
	free(bare);
	free(ids);
	return status;
}

static RnStatus
make_phrases(RnContext *ctx, RnTranslator *translator, RnTextDemand *demand, unsigned guard)
{
	int			i;

	if (translator->kinds == NULL)
		RN_TRY(rn_spelling_kinds(ctx, translator->tokenizer, rn_model_config(translator->model)->vocab_size,
								 &translator->kinds));
	RN_TRY(rn_phrases_create(ctx, translator->kinds, guard, &demand->demand.phrases));
	for (i = 0; i < demand->n; i++)
		RN_TRY(add_phrase(ctx, translator, demand, &demand->literals[i]));
	return RN_OK;
}

/* Of a text whose end was left out only the beginning counts: about as much as its pieces say, in whole words. */
static RnStatus
size_taken(RnContext *ctx, const RnTranslator *translator, const RnCutText *pieces, const char *text, size_t *size)
{
	char	   *taken;

	*size = strlen(text);
	if (!pieces->cut)
		return RN_OK;
	RN_TRY(rn_tokenizer_decode(ctx, translator->tokenizer, pieces->ids, pieces->n, &taken));
	if (strlen(taken) < *size)
		*size = strlen(taken);
	free(taken);
	while (text[*size] != ' ' && text[*size] != '\0')
		(*size)++;
	return RN_OK;
}

static int accepts(void *arg, const int32_t *ids, int n);

static RnStatus
fill_demand(RnContext *ctx, RnTranslator *translator, const RnSearchOptions *options, const char *text,
			const RnCutText *pieces, const RnTerms *terms, RnTextDemand *demand)
{
	unsigned	guard = 0;
	size_t		size;

	if (terms != NULL && terms->prefix != NULL)
	{
		demand->prefix = terms->prefix;
		RN_TRY(pieces_of(ctx, translator, terms->prefix, &demand->demand.prefix, &demand->demand.n_prefix));
	}
	if ((terms == NULL || terms->n == 0) && !options->preserve)
		return RN_OK;
	if (options->glossary_ignore_case)
		RN_TRY(rn_spelling_check_fold(ctx));
	RN_TRY(size_taken(ctx, translator, pieces, text, &size));
	RN_TRY(scan(ctx, demand, terms, options, text, size, &guard));
	if (demand->n == 0)
		return RN_OK;
	expect_within_terms(demand);
	RN_TRY(make_phrases(ctx, translator, demand, guard));
	demand->demand.accepts = accepts;
	demand->demand.arg = demand;
	return RN_OK;
}

RnStatus
rn_demand_create(RnContext *ctx, RnTranslator *translator, const RnSearchOptions *options, RnText text,
				 const RnCutText *pieces, const RnTerms *terms, RnTextDemand **result)
{
	RnTextDemand *demand;
	RnStatus	status;
	char	   *normal;

	*result = NULL;
	if ((terms == NULL || (terms->prefix == NULL && terms->n == 0)) && !options->preserve)
		return RN_OK;
	RN_TRY(rn_normal_text(ctx, text, &normal));
	demand = calloc(1, sizeof(*demand));
	if (demand == NULL)
	{
		free(normal);
		return rn_out_of_memory(ctx, sizeof(*demand));
	}
	demand->tokenizer = translator->tokenizer;
	demand->refused = -1;
	status = fill_demand(ctx, translator, options, normal, pieces, terms, demand);
	free(normal);
	if (status == RN_OK && (demand->demand.n_prefix > 0 || demand->demand.phrases != NULL))
		*result = demand;
	else
		rn_demand_free(demand);
	return status;
}

/* ---- the text of an answer ---- */

static RnStatus
append(RnContext *ctx, Answer *answer, const char *text, size_t size)
{
	size_t		needed = answer->size + size + 2;

	if (size == 0)
		return RN_OK;
	if (needed > answer->room)
	{
		char	   *grown = realloc(answer->text, 2 * needed);

		if (grown == NULL)
			return rn_out_of_memory(ctx, 2 * needed);
		answer->text = grown;
		answer->room = 2 * needed;
	}
	if (answer->space && answer->size > 0)
		answer->text[answer->size++] = ' ';
	answer->space = 0;
	memcpy(answer->text + answer->size, text, size);
	answer->size += size;
	answer->text[answer->size] = '\0';
	return RN_OK;
}

/* What the model has written by itself. */
static RnStatus
append_pieces(RnContext *ctx, const RnTextDemand *demand, Answer *answer, const int32_t *ids, int n)
{
	RnStatus	status;
	char	   *text;

	if (n == 0)
		return RN_OK;
	RN_TRY(rn_tokenizer_decode(ctx, demand->tokenizer, ids, n, &text));
	answer->space |= rn_spelling_begins_word(demand->tokenizer, ids[0]);
	status = append(ctx, answer, text, strlen(text));
	free(text);
	answer->space |= rn_spelling_is_space(demand->tokenizer, ids[n - 1]);
	return status;
}

/* What was demanded, as it was. */
static RnStatus
append_literal(RnContext *ctx, const RnTextDemand *demand, Answer *answer, int32_t first, const char *text)
{
	answer->space |= rn_spelling_begins_word(demand->tokenizer, first);
	return append(ctx, answer, text, strlen(text));
}

/* Which phrase ends behind each token, as numbers from 1 on; of those that lie behind the prefix. */
static RnStatus
find_phrases(RnContext *ctx, const RnTextDemand *demand, const int32_t *ids, int n, int *ends, int *lengths)
{
	const RnPhrases *phrases = demand->demand.phrases;
	size_t		bytes = rn_phrases_state_size(phrases) * sizeof(int32_t);
	int32_t    *state = malloc(bytes);
	int			last = -1;
	int			i;

	if (state == NULL)
		return rn_out_of_memory(ctx, bytes);
	rn_phrases_begin(phrases, state);
	for (i = 0; i < n; i++)
	{
		int			done;
		int			taken_back;

		rn_phrases_step(phrases, state, ids[i], state, &done, &taken_back);
		if (taken_back && last >= 0)
			ends[last] = 0;
		if (i + 1 == demand->demand.n_prefix)
			rn_phrases_leave(phrases, state);
		if (done < 0 || i < demand->demand.n_prefix)
			continue;
		ends[i] = done + 1;
		lengths[i] = rn_phrases_depth(phrases, state);
		last = i;
	}
	free(state);
	return RN_OK;
}

static RnStatus
write_answer(RnContext *ctx, const RnTextDemand *demand, const int32_t *ids, int n, const int *ends,
			 const int *lengths, Answer *answer)
{
	int			written = 0;
	int			i;

	if (demand->prefix != NULL)
	{
		RN_TRY(append_literal(ctx, demand, answer, ids[0], demand->prefix));
		written = demand->demand.n_prefix;
	}
	for (i = written; i < n; i++)
	{
		int			start = i + 1 - lengths[i];

		if (ends[i] == 0 || start < written)
			continue;
		RN_TRY(append_pieces(ctx, demand, answer, ids + written, start - written));
		RN_TRY(append_literal(ctx, demand, answer, ids[start], demand->literals[ends[i] - 1].text));
		written = i + 1;
	}
	return append_pieces(ctx, demand, answer, ids + written, n - written);
}

RnStatus
rn_demand_text(RnContext *ctx, const RnTextDemand *demand, const int32_t *ids, int n, char **text)
{
	Answer		answer;
	RnStatus	status = RN_OK;
	int		   *ends = calloc(2 * (size_t) n + 1, sizeof(int));

	*text = NULL;
	if (ends == NULL)
		return rn_out_of_memory(ctx, (2 * (size_t) n + 1) * sizeof(int));
	memset(&answer, 0, sizeof(answer));
	if (n > 0 && ids[n - 1] == RN_END_ID)
		n--;
	if (demand->demand.phrases != NULL)
		status = find_phrases(ctx, demand, ids, n, ends, ends + n);
	if (status == RN_OK)
		status = write_answer(ctx, demand, ids, n, ends, ends + n, &answer);
	free(ends);
	if (status == RN_OK && answer.text == NULL && (answer.text = strdup("")) == NULL)
		status = rn_out_of_memory(ctx, 1);
	if (status == RN_OK)
		*text = answer.text;
	else
		free(answer.text);
	return status;
}

/* Does every placeholder stand in the answer as often as it should? */
static int
accepts(void *arg, const int32_t *ids, int n)
{
	RnTextDemand *demand = arg;
	RnContext	ctx;
	char	   *text;
	int			wrong = -1;
	int			i;

	rn_context_reset(&ctx);
	if (rn_demand_text(&ctx, demand, ids, n, &text) != RN_OK)
		return 0;
	for (i = 0; i < demand->n && wrong < 0; i++)
	{
		const Literal *literal = &demand->literals[i];

		if (literal->is_exact && count_in(literal, text, strlen(text)) != literal->expected)
			wrong = i;
	}
	free(text);
	if (wrong >= 0)
		demand->refused = wrong;
	return wrong < 0;
}

RnStatus
rn_demand_failed(RnContext *ctx, const RnTextDemand *demand)
{
	rn_fail(ctx, RN_LIMIT, "no translation holds what it must contain");
	if (demand->refused >= 0)
		rn_detail(ctx, "\"%.60s\" would not stand in it as often as in the text.", demand->literals[demand->refused].text);
	rn_hint(ctx, "Translate this text without \"preserve\", or with a wider beam.");
	return ctx->status;
}
