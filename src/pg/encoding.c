/*
 * encoding.c
 *		Between the database's encoding and UTF-8.
 *
 * The server's own conversions raise errors for what they cannot convert.  A
 * translation must not be lost for one character, so they are run without
 * errors here, from one stumbling block to the next.
 *
 * src/pg/encoding.c
 */
#include "encoding.h"

#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

const char *
res_text_to_utf8(const text *value, Size *size)
{
	const char *bytes = VARDATA_ANY(value);
	char	   *converted;

	*size = VARSIZE_ANY_EXHDR(value);
	if (*size == 0 || GetDatabaseEncoding() == PG_SQL_ASCII)
		return bytes;
	converted = pg_server_to_any(bytes, (int) *size, PG_UTF8);
	if (converted != bytes)
		*size = strlen(converted);
	return converted;
}

/* UTF-8 without what is malformed; NUL bytes, which no text may hold, count as such. */
static void
append_valid(StringInfo out, const char *bytes, Size size)
{
	while (size > 0)
	{
		int			n = pg_encoding_verifymbstr(PG_UTF8, bytes, (int) size);

		appendBinaryStringInfo(out, bytes, n);
		bytes += n;
		size -= n;
		if (size > 0)
		{
			appendStringInfoChar(out, '?');
			bytes++;
			size--;
		}
	}
}

/* Well-formed UTF-8 in the database's encoding. */
static void
append_converted(StringInfo out, const char *bytes, Size size, Oid conversion)
{
	while (size > 0)
	{
		/* a stretch that surely fits the buffer whatever it becomes */
		Size		stretch = Min(size, 4096);
		char		buffer[4096 * MAX_CONVERSION_GROWTH + 1];
		int			n;

		if (stretch < size)
			stretch = pg_encoding_mbcliplen(PG_UTF8, bytes, (int) size, (int) stretch);
		n = pg_do_encoding_conversion_buf(conversion, PG_UTF8, GetDatabaseEncoding(),
										  (unsigned char *) unconstify(char *, bytes), (int) stretch,
										  (unsigned char *) buffer, sizeof(buffer), true);
		appendBinaryStringInfo(out, buffer, (int) strlen(buffer));
		bytes += n;
		size -= n;
		if ((Size) n < stretch)
		{
			int			skip = pg_encoding_mblen(PG_UTF8, bytes);

			appendStringInfoChar(out, '?');
			bytes += skip;
			size -= skip;
		}
	}
}

text *
res_text_from_utf8(const char *bytes, Size size)
{
	StringInfoData valid;
	StringInfoData out;
	Oid			conversion;

	initStringInfo(&valid);
	append_valid(&valid, bytes, size);
	if (GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII)
		return cstring_to_text_with_len(valid.data, valid.len);
	conversion = FindDefaultConversionProc(PG_UTF8, GetDatabaseEncoding());
	if (!OidIsValid(conversion))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("there is no conversion from UTF8 to the database's encoding \"%s\"",
						GetDatabaseEncodingName())));
	initStringInfo(&out);
	append_converted(&out, valid.data, valid.len, conversion);
	return cstring_to_text_with_len(out.data, out.len);
}

char *
res_string_from_utf8(const char *string)
{
	return text_to_cstring(res_text_from_utf8(string, strlen(string)));
}
