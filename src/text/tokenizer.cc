/*
 * tokenizer.cc
 *		Text to subword ids and back, over SentencePiece.
 *
 * No piece reaches over a space, so a text is encoded portion by portion of
 * whole words, and the ids are those of the whole text (but for ties between
 * segmentations, where rounding decides).  A processor that is only read may
 * be used by many threads.
 *
 * src/text/tokenizer.cc
 */
#include <sentencepiece_processor.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

extern "C"
{
#include "base/utf8.h"
#include "text/envelope.h"
#include "text/normalize.h"
#include "text/tokenizer.h"
}
#include "text/guard.h"

/* Bytes encoded at once; a longer run without a space is taken for words. */
static const size_t PORTION = 16384;

struct RnTokenizer
{
	sentencepiece::SentencePieceProcessor processor;
};

static RnStatus
library_failure(RnContext *ctx, const sentencepiece::util::Status &status)
{
	rn_fail(ctx, RN_INTERNAL, "tokenizer failed");
	rn_detail(ctx, "SentencePiece says: %s.", status.ToString().c_str());
	return ctx->status;
}

static bool
has_our_ids(const sentencepiece::SentencePieceProcessor &processor)
{
	return processor.pad_id() == RN_PAD_ID && processor.bos_id() == RN_START_ID &&
		processor.eos_id() == RN_END_ID && processor.unk_id() == RN_UNKNOWN_ID;
}

extern "C" RnStatus
rn_tokenizer_load(RnContext *ctx, const char *model, size_t model_bytes,
				  RnTokenizer **tokenizer)
{
	const char *content;
	size_t		size;

	*tokenizer = NULL;
	RN_TRY(rn_envelope_open(ctx, model, model_bytes, &content, &size));
	return rn_guard(ctx, [&]() -> RnStatus
	{
		std::unique_ptr<RnTokenizer> loaded(new RnTokenizer);

		if (!loaded->processor.LoadFromSerializedProto({content, size}).ok() ||
			!has_our_ids(loaded->processor))
			return rn_fail(ctx, RN_CORRUPT, "not a vocabulary");
		*tokenizer = loaded.release();
		return RN_OK;
	});
}

extern "C" void
rn_tokenizer_free(RnTokenizer *tokenizer)
{
	delete tokenizer;
}

extern "C" int
rn_tokenizer_vocab_size(const RnTokenizer *tokenizer)
{
	return tokenizer->processor.GetPieceSize();
}

/* Append ids until there are more than max_ids or no text is left. */
static RnStatus
encode(RnContext *ctx, const RnTokenizer *tokenizer, RnText text, size_t max_ids,
	   std::vector<int> &ids)
{
	std::vector<char> portion(PORTION);
	std::vector<int> more;
	size_t		at = 0;
	size_t		size;

	while (ids.size() <= max_ids &&
		   (size = rn_normalize(text.bytes, text.size, &at, portion.data(), PORTION)) > 0)
	{
		sentencepiece::util::Status status =
			tokenizer->processor.Encode({portion.data(), size}, &more);

		if (!status.ok())
			return library_failure(ctx, status);
		ids.insert(ids.end(), more.begin(), more.end());
	}
	return RN_OK;
}

extern "C" RnStatus
rn_tokenizer_encode(RnContext *ctx, const RnTokenizer *tokenizer, RnText text,
					int max_ids, int32_t **ids, int *n, int *cut)
{
	*ids = NULL;
	*n = 0;
	*cut = 0;
	return rn_guard(ctx, [&]() -> RnStatus
	{
		std::vector<int> all;
		size_t		most = max_ids > 0 ? (size_t) max_ids : 0;

		RN_TRY(encode(ctx, tokenizer, text, most, all));
		*cut = all.size() > most;
		if (*cut)
			all.resize(most);
		if (all.empty())
			return RN_OK;
		*ids = (int32_t *) malloc(all.size() * sizeof(int32_t));
		if (*ids == NULL)
			return rn_out_of_memory(ctx, all.size() * sizeof(int32_t));
		std::copy(all.begin(), all.end(), *ids);
		*n = (int) all.size();
		return RN_OK;
	});
}

/* Byte pieces can spell anything, so what they spell is normalised again. */
static RnStatus
clean_copy(RnContext *ctx, const std::string &text, char **copy)
{
	size_t		room = 3 * text.size() + RN_UTF8_MAX;
	size_t		at = 0;
	size_t		size;

	*copy = (char *) malloc(room + 1);
	if (*copy == NULL)
		return rn_out_of_memory(ctx, room + 1);
	size = rn_normalize(text.data(), text.size(), &at, *copy, room);
	(*copy)[size] = '\0';
	return RN_OK;
}

extern "C" RnStatus
rn_tokenizer_decode(RnContext *ctx, const RnTokenizer *tokenizer,
					const int32_t *ids, int n, char **text)
{
	*text = NULL;
	return rn_guard(ctx, [&]() -> RnStatus
	{
		std::vector<int> pieces;
		std::string decoded;
		int			vocab_size = rn_tokenizer_vocab_size(tokenizer);

		for (int i = 0; i < n; i++)
		{
			if (ids[i] < 0 || ids[i] >= vocab_size)
				return rn_fail(ctx, RN_INVALID, "id %d is not in the vocabulary of %d pieces",
							   (int) ids[i], vocab_size);
			if (ids[i] > RN_UNKNOWN_ID)
				pieces.push_back(ids[i]);
		}
		sentencepiece::util::Status status = tokenizer->processor.Decode(pieces, &decoded);

		if (!status.ok())
			return library_failure(ctx, status);
		return clean_copy(ctx, decoded, text);
	});
}

extern "C" const char *
rn_tokenizer_piece(const RnTokenizer *tokenizer, int32_t id)
{
	if (id < 0 || id >= rn_tokenizer_vocab_size(tokenizer))
		return NULL;
	return tokenizer->processor.IdToPiece(id).c_str();
}

extern "C" int32_t
rn_tokenizer_id(const RnTokenizer *tokenizer, const char *piece)
{
	int32_t		id = RN_UNKNOWN_ID;
	RnContext	ignored;

	rn_context_reset(&ignored);
	rn_guard(&ignored, [&]() -> RnStatus
	{
		id = tokenizer->processor.PieceToId(piece);
		return RN_OK;
	});
	return id;
}
