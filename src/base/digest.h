/*
 * digest.h
 *		A short name for many bytes.
 *
 * Not for secrets: nobody gains by two texts with one digest, which would
 * merely make their order arbitrary.
 *
 * src/base/digest.h
 */
#ifndef RN_DIGEST_H
#define RN_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/* 128 bits, evenly spread; the same on machines of one byte order. */
extern void rn_digest(const void *bytes, size_t size, uint64_t seed, uint64_t digest[2]);

#endif							/* RN_DIGEST_H */
