/*
 * spelling.c
 *		What the pieces of a vocabulary look like.
 *
 * src/translate/spelling.c
 */
#include "translate/spelling.h"

#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

#include "base/utf8.h"

#define SPACE			"\xe2\x96\x81"	/* U+2581, a space in a piece */
#define SPACE_BYTES		3

static int
starts_with_space(const char *piece)
{
	return strncmp(piece, SPACE, SPACE_BYTES) == 0;
}

/* A letter, a digit or what may be one: punctuation is told by its place in Unicode. */
static int
is_of_word(uint32_t code)
{
	if (code < 0x80)
		return (code >= '0' && code <= '9') || (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
	return code >= 0xC0 && code != 0xD7 && code != 0xF7 && !(code >= 0x2000 && code < 0x2C00) &&
		!(code >= 0x3000 && code < 0x3040) && !(code >= 0xFF00 && code < 0xFF10);
}

/* Something may be attached behind it without becoming part of another word or number. */
static int
is_opening(uint32_t code)
{
	if (code < 0x80)
		return code != 0 && strchr("([{<\"'$#=~*|-/", (int) code) != NULL;
	return code == 0xA3 || code == 0xA5 || code == 0xA1 || code == 0xAB || code == 0xBF ||
		(code >= 0x2018 && code <= 0x201F) || code == 0x2039 || (code >= 0x20A0 && code <= 0x20CF);
}

/* Attached to a word or an address it may be read as part of it: all but what ends a sentence or a bracket. */
static int
is_joining(uint32_t code)
{
	return code < 0x80 && code != 0 && !is_of_word(code) && strchr(".,;:!?)]}\"'>", (int) code) == NULL;
}

/* The byte of a piece such as <0x41>, or -1. */
static int
byte_of(const char *piece)
{
	char	   *end;
	long		byte;

	if (strncmp(piece, "<0x", 3) != 0)
		return -1;
	byte = strtol(piece + 3, &end, 16);
	return strcmp(end, ">") == 0 && end == piece + 5 ? (int) byte : -1;
}

static unsigned
kinds_of_text(const char *text, size_t size)
{
	unsigned	kinds = 0;
	uint32_t	code = 0;
	size_t		at = 0;
	size_t		i;

	while (at < size)
	{
		int			is_first = at == 0;

		code = rn_utf8_next(text, size, &at);
		if (is_first && is_of_word(code))
			kinds |= RN_PIECE_CONTINUES;
		if (is_first && is_joining(code))
			kinds |= RN_PIECE_JOINS;
	}
	if (is_opening(code))
		kinds |= RN_PIECE_OPENS;
	for (i = 0; i < size; i++)
	{
		kinds |= text[i] >= '0' && text[i] <= '9' ? RN_PIECE_DIGIT : 0;
		kinds |= text[i] == '{' || text[i] == '}' ? RN_PIECE_BRACE : 0;
		kinds |= text[i] == '%' ? RN_PIECE_PERCENT : 0;
		kinds |= text[i] == '@' ? RN_PIECE_ADDRESS : 0;
	}
	if (memmem(text, size, "//", 2) != NULL || memmem(text, size, "www", 3) != NULL)
		kinds |= RN_PIECE_ADDRESS;
	return kinds;
}

static unsigned
kinds_of_piece(const char *piece)
{
	int			byte = byte_of(piece);
	char		one;

	if (byte >= 0x80)
		return RN_PIECE_CONTINUES;
	if (byte >= 0)
	{
		one = (char) byte;
		return kinds_of_text(&one, 1);
	}
	/* a space opens: what is attached to it is a word of its own */
	if (strcmp(piece, SPACE) == 0)
		return RN_PIECE_OPENS | RN_PIECE_BEGINS;
	if (starts_with_space(piece))
		return (kinds_of_text(piece + SPACE_BYTES, strlen(piece) - SPACE_BYTES) &
				~(unsigned) (RN_PIECE_CONTINUES | RN_PIECE_JOINS)) | RN_PIECE_BEGINS;
	return kinds_of_text(piece, strlen(piece));
}

RnStatus
rn_spelling_kinds(RnContext *ctx, const RnTokenizer *tokenizer, int vocabulary, uint8_t **kinds)
{
	int			n = rn_tokenizer_vocab_size(tokenizer);
	int			i;

	if (n > vocabulary)
		n = vocabulary;
	*kinds = calloc(vocabulary, 1);
	if (*kinds == NULL)
		return rn_out_of_memory(ctx, vocabulary);
	/* whatever it stands for, it is attached to what stands before it */
	(*kinds)[RN_UNKNOWN_ID] = RN_PIECE_CONTINUES | RN_PIECE_JOINS;
	for (i = RN_UNKNOWN_ID + 1; i < n; i++)
		(*kinds)[i] = (uint8_t) kinds_of_piece(rn_tokenizer_piece(tokenizer, i));
	return RN_OK;
}

int
rn_spelling_begins_word(const RnTokenizer *tokenizer, int32_t id)
{
	const char *piece = rn_tokenizer_piece(tokenizer, id);

	return piece != NULL && starts_with_space(piece);
}

int
rn_spelling_is_space(const RnTokenizer *tokenizer, int32_t id)
{
	const char *piece = rn_tokenizer_piece(tokenizer, id);

	return piece != NULL && strcmp(piece, SPACE) == 0;
}

int32_t
rn_spelling_attached(const RnTokenizer *tokenizer, int32_t id)
{
	const char *piece = rn_tokenizer_piece(tokenizer, id);

	if (piece == NULL || !starts_with_space(piece) || piece[SPACE_BYTES] == '\0')
		return RN_UNKNOWN_ID;
	return rn_tokenizer_id(tokenizer, piece + SPACE_BYTES);
}

int
rn_spelling_ends_in_word(const char *text, size_t size)
{
	size_t		at = size;

	while (at > 0 && ((unsigned char) text[--at] & 0xC0) == 0x80)
		;
	return size > 0 && is_of_word(rn_utf8_next(text, size, &at));
}

int
rn_spelling_starts_in_word(const char *text, size_t size)
{
	size_t		at = 0;

	return size > 0 && is_of_word(rn_utf8_next(text, size, &at));
}

/* ---- letters without regard to case ---- */

static pthread_once_t locale_once = PTHREAD_ONCE_INIT;
static locale_t unicode;

static void
find_locale(void)
{
	unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t) 0);
}

RnStatus
rn_spelling_check_fold(RnContext *ctx)
{
	pthread_once(&locale_once, find_locale);
	if (unicode != (locale_t) 0)
		return RN_OK;
	rn_fail(ctx, RN_INVALID, "upper and lower case cannot be told");
	rn_detail(ctx, "The C library of the serving engine has no locale C.UTF-8.");
	rn_hint(ctx, "Set option \"glossary_ignore_case\" to false.");
	return ctx->status;
}

uint32_t
rn_spelling_fold(uint32_t code)
{
	if (code < 0x80)
		return code >= 'A' && code <= 'Z' ? code + ('a' - 'A') : code;
	/* through the capital letter, since a small one may have several forms */
	return (uint32_t) towlower_l(towupper_l((wint_t) code, unicode), unicode);
}
