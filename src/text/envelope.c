/*
 * envelope.c
 *		A vocabulary's bytes, with a name and a checksum in front.
 *
 * Eight bytes of name and version, eight of length, sixteen of digest over the
 * content; numbers are little-endian.
 *
 * src/text/envelope.c
 */
#include "text/envelope.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"

static const char name[8] = "RNVOCAB1";

static void
put_number(char *out, uint64_t number)
{
	int			i;

	for (i = 0; i < 8; i++)
		out[i] = (char) (number >> (8 * i) & 0xFF);
}

static void
make_head(char *head, const char *content, size_t size)
{
	uint64_t	digest[2];

	rn_digest(content, size, 0, digest);
	memcpy(head, name, sizeof(name));
	put_number(head + 8, size);
	put_number(head + 16, digest[0]);
	put_number(head + 24, digest[1]);
}

RnStatus
rn_envelope_close(RnContext *ctx, const char *content, size_t size, char **envelope)
{
	*envelope = malloc(RN_ENVELOPE_HEAD + size);
	if (*envelope == NULL)
		return rn_out_of_memory(ctx, RN_ENVELOPE_HEAD + size);
	make_head(*envelope, content, size);
	memcpy(*envelope + RN_ENVELOPE_HEAD, content, size);
	return RN_OK;
}

RnStatus
rn_envelope_open(RnContext *ctx, const char *envelope, size_t bytes,
				 const char **content, size_t *size)
{
	char		head[RN_ENVELOPE_HEAD];

	if (bytes < RN_ENVELOPE_HEAD || memcmp(envelope, name, sizeof(name)) != 0)
		return rn_fail(ctx, RN_CORRUPT, "not a vocabulary");
	*content = envelope + RN_ENVELOPE_HEAD;
	*size = bytes - RN_ENVELOPE_HEAD;
	make_head(head, *content, *size);
	if (memcmp(envelope, head, sizeof(head)) != 0)
		return rn_fail(ctx, RN_CORRUPT, "vocabulary is damaged");
	return RN_OK;
}
