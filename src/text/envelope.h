/*
 * envelope.h
 *		A vocabulary's bytes, with a name and a checksum in front.
 *
 * SentencePiece reads its tables without looking whether they are sound, so
 * damage must be found before it sees them.
 *
 * src/text/envelope.h
 */
#ifndef RN_ENVELOPE_H
#define RN_ENVELOPE_H

#include <stddef.h>

#include "base/context.h"

#define RN_ENVELOPE_HEAD	32	/* bytes in front of the content */

/* Content of size bytes, wrapped; malloc'd, of RN_ENVELOPE_HEAD + size bytes. */
extern RnStatus rn_envelope_close(RnContext *ctx, const char *content, size_t size,
								  char **envelope);

/* The content, within the envelope; RN_CORRUPT when any bit differs. */
extern RnStatus rn_envelope_open(RnContext *ctx, const char *envelope, size_t bytes,
								 const char **content, size_t *size);

#endif							/* RN_ENVELOPE_H */
