/*
 * encoding.h
 *		Between the database's encoding and UTF-8, in which the engine and the
 *		scores read and write; no text is an error.
 *
 * src/pg/encoding.h
 */
#ifndef RES_ENCODING_H
#define RES_ENCODING_H

#include "postgres.h"

/*
 * The bytes of a text as UTF-8: in place, or palloc'd.  In a database of
 * encoding SQL_ASCII they are given as they are, so readers must bear
 * malformed bytes.
 */
extern const char *res_text_to_utf8(const text *value, Size *size);

/* A text of UTF-8; what the database's encoding lacks, or is malformed, becomes a question mark. */
extern text *res_text_from_utf8(const char *bytes, Size size);

/* The same for C strings. */
extern char *res_string_from_utf8(const char *string);

#endif							/* RES_ENCODING_H */
