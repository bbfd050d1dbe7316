/*
 * message.c
 *		Frames and the values in them.
 *
 * src/wire/message.c
 */
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

void
rn_writer_init(RnWriter *writer)
{
	memset(writer, 0, sizeof(*writer));
}

void
rn_writer_free(RnWriter *writer)
{
	free(writer->bytes);
	rn_writer_init(writer);
}

void
rn_writer_consume(RnWriter *writer, size_t bytes)
{
	if (bytes > writer->used)
		bytes = writer->used;
	memmove(writer->bytes, writer->bytes + bytes, writer->used - bytes);
	writer->used -= bytes;
}

static void
put(RnWriter *writer, const void *bytes, size_t size)
{
	if (writer->failed || size == 0)
		return;
	if (size > writer->capacity - writer->used)
	{
		size_t		capacity = writer->capacity ? writer->capacity : 1024;
		char	   *grown;

		while (capacity - writer->used < size)
			capacity *= 2;
		grown = realloc(writer->bytes, capacity);
		if (grown == NULL)
		{
			writer->failed = 1;
			return;
		}
		writer->bytes = grown;
		writer->capacity = capacity;
	}
	memcpy(writer->bytes + writer->used, bytes, size);
	writer->used += size;
}

void
rn_write_begin(RnWriter *writer, uint32_t type, uint64_t id)
{
	uint32_t	length = 0;

	writer->failed = 0;
	writer->frame = writer->used;
	put(writer, &type, sizeof(type));
	put(writer, &length, sizeof(length));
	put(writer, &id, sizeof(id));
}

void
rn_write_frames(RnWriter *writer, const RnWriter *frames)
{
	writer->failed = 0;
	put(writer, frames->bytes, frames->used);
}

void
rn_write_u8(RnWriter *writer, uint8_t value)
{
	put(writer, &value, sizeof(value));
}

void
rn_write_u32(RnWriter *writer, uint32_t value)
{
	put(writer, &value, sizeof(value));
}

void
rn_write_i32(RnWriter *writer, int32_t value)
{
	put(writer, &value, sizeof(value));
}

void
rn_write_u64(RnWriter *writer, uint64_t value)
{
	put(writer, &value, sizeof(value));
}

void
rn_write_i64(RnWriter *writer, int64_t value)
{
	put(writer, &value, sizeof(value));
}

void
rn_write_f64(RnWriter *writer, double value)
{
	put(writer, &value, sizeof(value));
}

void
rn_write_bytes(RnWriter *writer, const void *bytes, size_t size)
{
	if (size > RN_FRAME_MAX)
	{
		/* let rn_write_end see a frame that is too long */
		writer->failed = 2;
		return;
	}
	rn_write_u32(writer, (uint32_t) size);
	put(writer, bytes, size);
}

void
rn_write_string(RnWriter *writer, const char *text)
{
	rn_write_bytes(writer, text, text ? strlen(text) : 0);
}

RnStatus
rn_write_end(RnContext *ctx, RnWriter *writer)
{
	size_t		length = writer->used - writer->frame;
	uint32_t	payload;

	if (writer->failed != 1 && (writer->failed == 2 || length > RN_FRAME_HEAD + RN_FRAME_MAX))
	{
		writer->used = writer->frame;
		writer->failed = 0;
		rn_fail(ctx, RN_LIMIT, "message to or from the engine is too long");
		rn_detail(ctx, "A message holds at most %u bytes.", RN_FRAME_MAX);
		return ctx->status;
	}
	if (writer->failed)
	{
		writer->used = writer->frame;
		writer->failed = 0;
		return rn_out_of_memory(ctx, length);
	}
	payload = (uint32_t) (length - RN_FRAME_HEAD);
	memcpy(writer->bytes + writer->frame + sizeof(uint32_t), &payload, sizeof(payload));
	return RN_OK;
}

void
rn_inbox_init(RnInbox *inbox)
{
	memset(inbox, 0, sizeof(*inbox));
}

void
rn_inbox_free(RnInbox *inbox)
{
	free(inbox->bytes);
	rn_inbox_init(inbox);
}

char *
rn_inbox_room(RnInbox *inbox, size_t bytes)
{
	if (inbox->start > 0)
	{
		memmove(inbox->bytes, inbox->bytes + inbox->start, inbox->end - inbox->start);
		inbox->end -= inbox->start;
		inbox->start = 0;
	}
	if (inbox->capacity - inbox->end < bytes)
	{
		size_t		capacity = inbox->capacity ? inbox->capacity : 4096;
		char	   *grown;

		while (capacity - inbox->end < bytes)
			capacity *= 2;
		grown = realloc(inbox->bytes, capacity);
		if (grown == NULL)
			return NULL;
		inbox->bytes = grown;
		inbox->capacity = capacity;
	}
	return inbox->bytes + inbox->end;
}

void
rn_inbox_filled(RnInbox *inbox, size_t bytes)
{
	inbox->end += bytes;
}

RnStatus
rn_inbox_next(RnContext *ctx, RnInbox *inbox, RnFrame *frame, int *got)
{
	const char *head = inbox->bytes + inbox->start;
	size_t		have = inbox->end - inbox->start;

	*got = 0;
	if (have < RN_FRAME_HEAD)
		return RN_OK;
	memcpy(&frame->type, head, 4);
	memcpy(&frame->length, head + 4, 4);
	memcpy(&frame->id, head + 8, 8);
	if (frame->length > RN_FRAME_MAX)
		return rn_fail(ctx, RN_CORRUPT, "received a malformed message of type %u", frame->type);
	if (have < RN_FRAME_HEAD + (size_t) frame->length)
		return RN_OK;
	frame->payload = head + RN_FRAME_HEAD;
	inbox->start += RN_FRAME_HEAD + (size_t) frame->length;
	*got = 1;
	return RN_OK;
}

void
rn_reader_init(RnReader *reader, const RnFrame *frame)
{
	reader->at = frame->payload;
	reader->end = frame->payload + frame->length;
	reader->failed = 0;
}

static void
get(RnReader *reader, void *value, size_t size)
{
	if (reader->failed || (size_t) (reader->end - reader->at) < size)
	{
		reader->failed = 1;
		memset(value, 0, size);
		return;
	}
	memcpy(value, reader->at, size);
	reader->at += size;
}

#define DEFINE_READ(name, type) \
type \
name(RnReader *reader) \
{ \
	type		value; \
	get(reader, &value, sizeof(value)); \
	return value; \
}

DEFINE_READ(rn_read_u8, uint8_t)
DEFINE_READ(rn_read_u32, uint32_t)
DEFINE_READ(rn_read_i32, int32_t)
DEFINE_READ(rn_read_u64, uint64_t)
DEFINE_READ(rn_read_i64, int64_t)
DEFINE_READ(rn_read_f64, double)

const char *
rn_read_bytes(RnReader *reader, size_t *size)
{
	uint32_t	length = rn_read_u32(reader);
	const char *bytes = reader->at;

	if (reader->failed || (size_t) (reader->end - reader->at) < length)
	{
		reader->failed = 1;
		*size = 0;
		return "";
	}
	reader->at += length;
	*size = length;
	return bytes;
}

void
rn_read_string(RnReader *reader, char *buffer, size_t size)
{
	size_t		length;
	const char *bytes = rn_read_bytes(reader, &length);

	if (length > size - 1)
		length = size - 1;
	memcpy(buffer, bytes, length);
	buffer[length] = '\0';
}

uint32_t
rn_read_count(RnReader *reader, size_t item_bytes)
{
	uint32_t	count = rn_read_u32(reader);

	if (reader->failed || (uint64_t) count * item_bytes > (uint64_t) (reader->end - reader->at))
	{
		reader->failed = 1;
		return 0;
	}
	return count;
}

RnStatus
rn_reader_end(RnContext *ctx, const RnReader *reader, const char *what)
{
	if (reader->failed || reader->at != reader->end)
		return rn_fail(ctx, RN_CORRUPT, "received a malformed %s message", what);
	return RN_OK;
}
