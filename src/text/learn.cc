/*
 * learn.cc
 *		A vocabulary out of texts, by SentencePiece's trainers.
 *
 * Texts are cut into lines of whole words that the trainers accept, and kept
 * in memory as far as a fixed amount goes: of a larger corpus a random sample.
 * How many characters there are is counted first (by the trainer of character
 * models, so after NFKC), because a vocabulary without room for them cannot be
 * made, and one that they fill is of no use.
 *
 * The trainers end the process where their own checks fail; nothing that
 * could make them fail may reach them: no empty line, none too long, no
 * vocabulary without room for the alphabet.
 *
 * src/text/learn.cc
 */
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

extern "C"
{
#include "base/random.h"
#include "text/envelope.h"
#include "text/normalize.h"
#include "text/tokenizer.h"
}
#include "text/guard.h"

static const int SPECIAL = RN_UNKNOWN_ID + 1;
static const int BYTES = 256;
static const int CODE_POINTS = 0x110000;
static const int VOCAB_SIZE_MAX = 1000000;

/* Bytes of a line; words behind NFKC stay short of the 65,536 that BPE's trainer bears. */
static const size_t LINE = 4096;

/* Memory for the lines learnt from.  Unigram's suffix array needs much more than its text. */
static const size_t SAMPLE_BPE = (size_t) 32 << 20;
static const size_t SAMPLE_UNIGRAM = (size_t) 16 << 20;

/* The share of characters that must be pieces (SentencePiece allows no less). */
static const double COVERAGE_MIN = 0.98;

/* With byte pieces, the rarest are left to them, so that these are learnt too. */
static const double COVERAGE_WITH_BYTES = 0.99999;

struct Line
{
	uint64_t	key;			/* lines with the smallest stay */
	uint64_t	place;			/* in the order of arrival */
	std::string text;

	bool		operator<(const Line &other) const
	{
		return key != other.key ? key < other.key : place < other.place;
	}
};

struct Sample
{
	std::vector<Line> lines;	/* while it is filled: a heap, the largest key first */
	size_t		bytes = 0;
	size_t		bytes_max = 0;
	uint64_t	key_max = UINT64_MAX;	/* the smallest key dropped */
	uint64_t	arrived = 0;
};

struct Alphabet
{
	std::vector<double> shares; /* of each character in the text, the most frequent first */
	int			least = 0;		/* characters that no vocabulary may lack */
};

typedef std::unordered_map<std::string, std::string> Arguments;

class Lines : public sentencepiece::SentenceIterator
{
public:
	explicit Lines(const Sample &sample) : lines(sample.lines) {}
	bool		done() const override { return at >= lines.size(); }
	void		Next() override { at++; }
	const std::string &value() const override { return lines[at].text; }
	sentencepiece::util::Status status() const override { return sentencepiece::util::Status(); }

private:
	const std::vector<Line> &lines;
	size_t		at = 0;
};

/*
 * The length of what SentencePiece has a use of its own for, or 0: names of
 * special and of byte pieces, and U+2585, its mark for rare characters.
 */
static size_t
reserved_at(const char *text, size_t size)
{
	static const char *const names[] = {"\xE2\x96\x85", "<pad>", "<s>", "</s>", "<unk>"};

	for (const char *name : names)
		if (size >= strlen(name) && memcmp(text, name, strlen(name)) == 0)
			return strlen(name);
	if (size >= 6 && memcmp(text, "<0x", 3) == 0 && isxdigit((unsigned char) text[3]) &&
		isxdigit((unsigned char) text[4]) && text[5] == '>')
		return 6;
	return 0;
}

static void
blank_reserved(char *line, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (line[i] == '<' || line[i] == '\xE2')
			memset(line + i, ' ', reserved_at(line + i, size - i));
}

static size_t
footprint(const Line &line)
{
	return line.text.size() + sizeof(Line);
}

static void
sample_add(Sample &sample, uint64_t seed, const char *line, size_t size)
{
	uint64_t	place = sample.arrived++;
	uint64_t	key = rn_random_bits(seed, RN_RANDOM_RESERVOIR, 0, 0, place);

	if (key >= sample.key_max)
		return;
	sample.lines.push_back(Line{key, place, std::string(line, size)});
	sample.bytes += footprint(sample.lines.back());
	std::push_heap(sample.lines.begin(), sample.lines.end());
	while (sample.bytes > sample.bytes_max)
	{
		std::pop_heap(sample.lines.begin(), sample.lines.end());
		sample.key_max = sample.lines.back().key;
		sample.bytes -= footprint(sample.lines.back());
		sample.lines.pop_back();
	}
}

static void
sample_fill(Sample &sample, const RnTokenizerOptions *options, RnNextText next, void *arg)
{
	std::vector<char> line(LINE);
	RnText		text;

	sample.bytes_max = options->bpe ? SAMPLE_BPE : SAMPLE_UNIGRAM;
	while (next(arg, &text))
	{
		size_t		at = 0;
		size_t		size;

		while ((size = rn_normalize(text.bytes, text.size, &at, line.data(), LINE)) > 0)
		{
			blank_reserved(line.data(), size);
			if (std::any_of(line.data(), line.data() + size, [](char c) { return c != ' '; }))
				sample_add(sample, options->seed, line.data(), size);
		}
	}
	std::sort(sample.lines.begin(), sample.lines.end(),
			  [](const Line &a, const Line &b) { return a.place < b.place; });
}

static Arguments
arguments(const RnTokenizerOptions *options, const char *kind, int vocab_size, double coverage)
{
	char		number[32];

	snprintf(number, sizeof(number), "%.9g", coverage);
	return {
		{"model_type", kind}, {"vocab_size", std::to_string(vocab_size)},
		{"character_coverage", number},
		{"normalization_rule_name", options->lowercase ? "nfkc_cf" : "nfkc"},
		{"hard_vocab_limit", "false"}, {"max_sentence_length", std::to_string(2 * LINE)},
		{"pad_id", std::to_string(RN_PAD_ID)}, {"bos_id", std::to_string(RN_START_ID)},
		{"eos_id", std::to_string(RN_END_ID)}, {"unk_id", std::to_string(RN_UNKNOWN_ID)},
		/* sums in another order would make another vocabulary */
		{"num_threads", "1"},
		{"minloglevel", "3"},
	};
}

static RnStatus
train(RnContext *ctx, const Sample &sample, const Arguments &with, std::string &model,
	  sentencepiece::SentencePieceProcessor &processor)
{
	Lines		lines(sample);
	sentencepiece::util::Status status =
		sentencepiece::SentencePieceTrainer::Train(with, &lines, &model);

	if (status.ok())
		status = processor.LoadFromSerializedProto(model);
	if (status.ok())
		return RN_OK;
	rn_fail(ctx, RN_INTERNAL, "could not learn a vocabulary");
	rn_detail(ctx, "SentencePiece says: %s.", status.ToString().c_str());
	return ctx->status;
}

/*
 * How many of the most frequent characters make up a share of the text.  The
 * shares are logarithms' exponentials, so an equal sum counts as short of it.
 */
static int
characters_for(const std::vector<double> &shares, double coverage)
{
	double		sum = 0.0;
	size_t		n = 0;

	while (n < shares.size() && sum < coverage + 1e-6)
		sum += shares[n++];
	return (int) n;
}

static RnStatus
count_alphabet(RnContext *ctx, const Sample &sample, const RnTokenizerOptions *options,
			   Alphabet &alphabet)
{
	sentencepiece::SentencePieceProcessor processor;
	std::string model;
	double		sum = 0.0;

	RN_TRY(train(ctx, sample, arguments(options, "char", CODE_POINTS + SPECIAL, 1.0),
				 model, processor));
	for (int id = SPECIAL; id < processor.GetPieceSize(); id++)
	{
		alphabet.shares.push_back(std::exp((double) processor.GetScore(id)));
		sum += alphabet.shares.back();
	}
	for (double &share : alphabet.shares)
		share /= sum;
	alphabet.least = characters_for(alphabet.shares, COVERAGE_MIN);
	return RN_OK;
}

/* The coverage that makes SentencePiece take just the first n characters. */
static double
coverage_of(const std::vector<double> &shares, int n)
{
	double		sum = 0.0;

	for (int i = 0; i < n - 1; i++)
		sum += shares[i];
	return std::max(COVERAGE_MIN, sum + shares[n - 1] / 2);
}

/*
 * Byte pieces spell what is not in the vocabulary.  They are worth their 256
 * places unless these are more than a quarter of all, or characters need them.
 */
static bool
with_bytes(const Alphabet &alphabet, int vocab_size)
{
	return vocab_size >= 4 * BYTES && vocab_size >= SPECIAL + BYTES + alphabet.least;
}

/* A model of at most vocab_size pieces; how many there are is in processor. */
static RnStatus
learn_pieces(RnContext *ctx, const Sample &sample, const RnTokenizerOptions *options,
			 const Alphabet &alphabet, int vocab_size, std::string &model,
			 sentencepiece::SentencePieceProcessor &processor)
{
	bool		bytes = with_bytes(alphabet, vocab_size);
	int			room = vocab_size - SPECIAL - (bytes ? BYTES : 0);
	double		coverage = bytes ? COVERAGE_WITH_BYTES : 1.0;
	Arguments	with;

	/* At least half of the vocabulary is for pieces of several characters. */
	if (characters_for(alphabet.shares, coverage) > std::max(room / 2, alphabet.least))
		coverage = coverage_of(alphabet.shares, std::max(room / 2, alphabet.least));
	with = arguments(options, options->bpe ? "bpe" : "unigram", vocab_size, coverage);
	with["byte_fallback"] = bytes ? "true" : "false";
	return train(ctx, sample, with, model, processor);
}

/*
 * Fewer pieces came out than were asked for.  That many need not come out when
 * they are asked for, as the unigram trainer prunes in steps; so ask.
 */
static RnStatus
fail_too_large(RnContext *ctx, const Sample &sample, const RnTokenizerOptions *options,
			   const Alphabet &alphabet, int fitting)
{
	int			tried = 0;

	for (int turn = 0; turn < 16 && fitting != tried; turn++)
	{
		sentencepiece::SentencePieceProcessor processor;
		std::string model;

		tried = fitting;
		RN_TRY(learn_pieces(ctx, sample, options, alphabet, tried, model, processor));
		fitting = processor.GetPieceSize();
	}
	rn_fail(ctx, RN_INVALID, "the text does not allow a vocabulary of %d pieces",
			options->vocab_size);
	rn_hint(ctx, "Use a vocab_size of at most %d.", fitting);
	return ctx->status;
}

static RnStatus
learn(RnContext *ctx, const RnTokenizerOptions *options, RnNextText next, void *arg,
	  std::string &model)
{
	sentencepiece::SentencePieceProcessor processor;
	Alphabet	alphabet;
	Sample		sample;

	sample_fill(sample, options, next, arg);
	if (sample.lines.empty())
		return rn_fail(ctx, RN_NO_DATA, "there is no text to learn a vocabulary from");
	RN_TRY(count_alphabet(ctx, sample, options, alphabet));
	if (options->vocab_size < SPECIAL + alphabet.least)
	{
		rn_fail(ctx, RN_INVALID, "a vocabulary of %d pieces has no room for the characters of the text",
				options->vocab_size);
		rn_hint(ctx, "Use a vocab_size of at least %d.", SPECIAL + alphabet.least);
		return ctx->status;
	}
	RN_TRY(learn_pieces(ctx, sample, options, alphabet, options->vocab_size, model, processor));
	if (processor.GetPieceSize() < options->vocab_size && !options->shrink)
		return fail_too_large(ctx, sample, options, alphabet, processor.GetPieceSize());
	return RN_OK;
}

extern "C" RnStatus
rn_tokenizer_learn(RnContext *ctx, const RnTokenizerOptions *options,
				   RnNextText next, void *arg, char **model, size_t *model_bytes)
{
	*model = NULL;
	*model_bytes = 0;
	if (options->vocab_size <= SPECIAL || options->vocab_size > VOCAB_SIZE_MAX)
		return rn_fail(ctx, RN_INVALID, "vocab_size must be between %d and %d",
					   SPECIAL + 1, VOCAB_SIZE_MAX);
	return rn_guard(ctx, [&]() -> RnStatus
	{
		std::string content;

		RN_TRY(learn(ctx, options, next, arg, content));
		RN_TRY(rn_envelope_close(ctx, content.data(), content.size(), model));
		*model_bytes = RN_ENVELOPE_HEAD + content.size();
		return RN_OK;
	});
}
