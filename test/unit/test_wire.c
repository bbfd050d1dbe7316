/*
 * test_wire.c
 *		Frames: what is written is read again, what is short or wrong is told,
 *		and no length is trusted.
 *
 * test/unit/test_wire.c
 */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/peer.h"
#include "wire/protocol.h"

/* One frame of every kind of value. */
static void
write_sample(RnContext *ctx, RnWriter *writer)
{
	rn_write_begin(writer, RN_LOG, 77);
	rn_write_u8(writer, 200);
	rn_write_u32(writer, 4000000000u);
	rn_write_i32(writer, -5);
	rn_write_u64(writer, UINT64_C(0xfedcba9876543210));
	rn_write_i64(writer, INT64_MIN);
	rn_write_f64(writer, -0.1);
	rn_write_bytes(writer, "a\0b", 3);
	rn_write_string(writer, "text");
	rn_write_string(writer, NULL);
	rn_write_end(ctx, writer);
}

static int
sample_is_right(const RnFrame *frame)
{
	RnContext	ctx;
	RnReader	reader;
	const char *bytes;
	char		text[3];
	size_t		size;
	int			right;

	rn_context_reset(&ctx);
	rn_reader_init(&reader, frame);
	right = frame->type == RN_LOG && frame->id == 77;
	right &= rn_read_u8(&reader) == 200;
	right &= rn_read_u32(&reader) == 4000000000u;
	right &= rn_read_i32(&reader) == -5;
	right &= rn_read_u64(&reader) == UINT64_C(0xfedcba9876543210);
	right &= rn_read_i64(&reader) == INT64_MIN;
	right &= rn_read_f64(&reader) == -0.1;
	bytes = rn_read_bytes(&reader, &size);
	right &= size == 3 && memcmp(bytes, "a\0b", 3) == 0;
	rn_read_string(&reader, text, sizeof(text));	/* cut to fit */
	right &= strcmp(text, "te") == 0;
	rn_read_string(&reader, text, sizeof(text));
	right &= text[0] == '\0';
	return right && rn_reader_end(&ctx, &reader, "log") == RN_OK;
}

static void
test_values(void)
{
	RnContext	ctx;
	RnWriter	writer;
	RnInbox		inbox;
	RnFrame		frame;
	size_t		piece;
	int			wrong = 0;
	int			got;

	rn_context_reset(&ctx);
	rn_writer_init(&writer);
	write_sample(&ctx, &writer);
	write_sample(&ctx, &writer);
	CHECK(ctx.status == RN_OK && writer.used % 2 == 0, "write two frames");
	for (piece = 1; piece <= writer.used; piece++)
	{
		size_t		at;
		int			frames = 0;

		rn_inbox_init(&inbox);
		for (at = 0; at < writer.used; at += piece)
		{
			size_t		n = writer.used - at < piece ? writer.used - at : piece;

			memcpy(rn_inbox_room(&inbox, n), writer.bytes + at, n);
			rn_inbox_filled(&inbox, n);
			for (;;)
			{
				if (rn_inbox_next(&ctx, &inbox, &frame, &got) != RN_OK || !got)
					break;
				frames++;
				wrong += !sample_is_right(&frame);
			}
		}
		wrong += frames != 2 || ctx.status != RN_OK;
		rn_inbox_free(&inbox);
	}
	CHECK(wrong == 0, "they are read however the bytes are cut");
	rn_writer_consume(&writer, writer.used / 2);
	memcpy(&frame.type, writer.bytes, 4);
	memcpy(&frame.length, writer.bytes + 4, 4);
	memcpy(&frame.id, writer.bytes + 8, 8);
	frame.payload = writer.bytes + RN_FRAME_HEAD;
	CHECK(sample_is_right(&frame) && writer.used == RN_FRAME_HEAD + frame.length, "what was sent is dropped, the rest stays");
	rn_writer_consume(&writer, 1000000);
	CHECK(writer.used == 0, "no more than there is");
	rn_writer_free(&writer);
}

/* Every frame that is too short, in a block of memory of just that size. */
static void
test_short(void)
{
	RnContext	ctx;
	RnWriter	writer;
	size_t		size;
	int			accepted = 0;

	rn_context_reset(&ctx);
	rn_writer_init(&writer);
	write_sample(&ctx, &writer);
	for (size = 0; size < writer.used - RN_FRAME_HEAD; size++)
	{
		char	   *payload = malloc(size + 1);
		RnFrame		frame = {RN_LOG, (uint32_t) size, 77, payload + 1};

		memcpy(payload + 1, writer.bytes + RN_FRAME_HEAD, size);
		accepted += sample_is_right(&frame);
		free(payload);
	}
	CHECK(accepted == 0, "a frame cut short anywhere is refused");
	rn_writer_free(&writer);
}

/* Frames that were written elsewhere go behind those that are there. */
static void
test_frames(void)
{
	RnContext	ctx;
	RnWriter	writer;
	RnWriter	other;
	RnInbox		inbox;
	RnFrame		frame;
	int			got;

	rn_context_reset(&ctx);
	rn_writer_init(&writer);
	rn_writer_init(&other);
	rn_inbox_init(&inbox);
	rn_write_begin(&writer, RN_PING, 1);
	rn_write_end(&ctx, &writer);
	write_sample(&ctx, &other);
	rn_write_frames(&writer, &other);
	rn_write_begin(&writer, RN_PONG, 2);
	rn_write_end(&ctx, &writer);
	memcpy(rn_inbox_room(&inbox, writer.used), writer.bytes, writer.used);
	rn_inbox_filled(&inbox, writer.used);
	CHECK(rn_inbox_next(&ctx, &inbox, &frame, &got) == RN_OK && got && frame.type == RN_PING && frame.length == 0, "what was there");
	CHECK(rn_inbox_next(&ctx, &inbox, &frame, &got) == RN_OK && got && sample_is_right(&frame), "a frame of another writer");
	CHECK(rn_inbox_next(&ctx, &inbox, &frame, &got) == RN_OK && got && frame.type == RN_PONG && frame.id == 2, "and what came after it");
	rn_writer_free(&writer);
	rn_writer_free(&other);
	rn_inbox_free(&inbox);
}

static void
test_reader(void)
{
	static const unsigned char lengths[] = {0xff, 0xff, 0xff, 0xff, 'a', 'b', 'c', 'd'};
	RnFrame		frame = {RN_PHASE, sizeof(lengths), 0, (const char *) lengths};
	RnContext	ctx;
	RnReader	reader;
	char		text[16] = "before";
	size_t		size = 99;

	rn_context_reset(&ctx);
	rn_reader_init(&reader, &frame);
	rn_read_bytes(&reader, &size);
	CHECK(reader.failed && size == 0, "bytes longer than the frame are none");
	CHECK(rn_read_u64(&reader) == 0 && rn_read_f64(&reader) == 0 && reader.at <= reader.end,
		  "a reader that failed stays where it is and gives zeros");
	rn_read_string(&reader, text, sizeof(text));
	CHECK(text[0] == '\0', "and empty strings");
	CHECK(rn_reader_end(&ctx, &reader, "phase") == RN_CORRUPT && strcmp(ctx.message, "received a malformed phase message") == 0,
		  "and says so at the end: %s", ctx.message);

	rn_context_reset(&ctx);
	rn_reader_init(&reader, &frame);
	CHECK(rn_read_count(&reader, 1) == 0 && reader.failed, "a count that the frame cannot hold is 0");
	frame.payload = "\2\0\0\0abcd";
	rn_reader_init(&reader, &frame);
	CHECK(rn_read_count(&reader, 2) == 2 && !reader.failed, "one that it can is good");
	CHECK(rn_reader_end(&ctx, &reader, "phase") == RN_CORRUPT, "bytes that are left over are not");
	frame.payload = "\5\0\0\0a\0bcd";
	frame.length = 9;
	rn_reader_init(&reader, &frame);
	rn_read_string(&reader, text, sizeof(text));
	rn_context_reset(&ctx);
	CHECK(strcmp(text, "a") == 0 && rn_reader_end(&ctx, &reader, "phase") == RN_OK, "a zero ends a string");
	frame.length = 0;
	frame.payload = NULL;
	rn_reader_init(&reader, &frame);
	CHECK(rn_reader_end(&ctx, &reader, "stop") == RN_OK, "nothing is nothing");
}

static void
test_limits(void)
{
	RnContext	ctx;
	RnWriter	writer;
	RnInbox		inbox;
	RnFrame		frame;
	uint32_t	head[4] = {RN_PART, RN_FRAME_MAX + 1, 0, 0};
	char	   *large = calloc(1, RN_FRAME_MAX + 1u);
	size_t		before;
	int			got;

	rn_context_reset(&ctx);
	rn_inbox_init(&inbox);
	memcpy(rn_inbox_room(&inbox, sizeof(head)), head, sizeof(head));
	rn_inbox_filled(&inbox, sizeof(head));
	CHECK(rn_inbox_next(&ctx, &inbox, &frame, &got) == RN_CORRUPT && !got, "a frame over the limit is refused: %s",
		  ctx.message);
	rn_inbox_free(&inbox);

	rn_context_reset(&ctx);
	rn_writer_init(&writer);
	write_sample(&ctx, &writer);
	before = writer.used;
	rn_write_begin(&writer, RN_PART, 0);
	rn_write_bytes(&writer, large, RN_FRAME_MAX + 1u);
	CHECK(rn_write_end(&ctx, &writer) == RN_LIMIT, "bytes over the limit are not written: %s", ctx.message);
	CHECK(writer.used == before, "frames before it stay");
	rn_context_reset(&ctx);
	rn_write_begin(&writer, RN_PART, 0);
	rn_write_u8(&writer, 1);
	rn_write_bytes(&writer, large, RN_FRAME_MAX - 4);
	CHECK(rn_write_end(&ctx, &writer) == RN_LIMIT && writer.used == before, "nor is a sum of them");
	rn_context_reset(&ctx);
	rn_write_begin(&writer, RN_PART, 0);
	rn_write_bytes(&writer, large, RN_FRAME_MAX - 4);
	CHECK(rn_write_end(&ctx, &writer) == RN_OK && writer.used == before + RN_FRAME_HEAD + RN_FRAME_MAX,
		  "the limit itself is allowed");
	rn_writer_free(&writer);
	free(large);
}

/* A peer over a socket. */
static void
test_peer(void)
{
	RnContext	ctx;
	RnWriter	writer;
	RnPeer		peer,
				other;
	RnFrame		frame;
	RnReader	reader;
	int			ends[2];
	int			got = 1;

	rn_context_reset(&ctx);
	rn_writer_init(&writer);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
		return;
	rn_peer_init(&peer, ends[0]);
	rn_peer_init(&other, ends[1]);
	CHECK(rn_peer_receive(&ctx, &other, 10, &frame, &got) == RN_OK && !got, "waiting ends in time");
	write_sample(&ctx, &writer);
	write_sample(&ctx, &writer);
	CHECK(rn_peer_send(&ctx, &peer, &writer) == RN_OK && writer.used == 0, "send two frames");
	CHECK(rn_peer_receive(&ctx, &other, 1000, &frame, &got) == RN_OK && got && sample_is_right(&frame), "receive one");
	CHECK(rn_peer_receive(&ctx, &other, 0, &frame, &got) == RN_OK && got && sample_is_right(&frame), "and the other");
	rn_fail(&ctx, RN_DIVERGED, "message %d", 1);
	rn_detail(&ctx, "Detail.");
	rn_hint(&ctx, "Hint.");
	rn_peer_send_error(&peer, 5, &ctx);
	rn_context_reset(&ctx);
	rn_peer_receive(&ctx, &other, 1000, &frame, &got);
	rn_reader_init(&reader, &frame);
	CHECK(got && frame.type == RN_ERROR && frame.id == 5 && rn_read_u32(&reader) == RN_DIVERGED, "an error crosses");
	rn_read_string(&reader, ctx.message, sizeof(ctx.message));
	rn_read_string(&reader, ctx.detail, sizeof(ctx.detail));
	rn_read_string(&reader, ctx.hint, sizeof(ctx.hint));
	CHECK(rn_reader_end(&ctx, &reader, "error") == RN_OK && strcmp(ctx.message, "message 1") == 0 &&
		  strcmp(ctx.detail, "Detail.") == 0 && strcmp(ctx.hint, "Hint.") == 0, "with its three texts");
	write_sample(&ctx, &writer);
	rn_writer_consume(&writer, 0);
	writer.used -= 3;			/* the end is missing */
	rn_peer_send(&ctx, &peer, &writer);
	close(ends[0]);
	rn_context_reset(&ctx);
	CHECK(rn_peer_receive(&ctx, &other, 1000, &frame, &got) == RN_IO && !got, "half a frame and the end: %s", ctx.message);
	rn_context_reset(&ctx);
	write_sample(&ctx, &writer);
	CHECK(rn_peer_send(&ctx, &other, &writer) == RN_IO, "sending to nobody is an error, no signal: %s", ctx.message);
	close(ends[1]);
	rn_peer_free(&peer);
	rn_peer_free(&other);
	rn_writer_free(&writer);
}

int
main(void)
{
	test_values();
	test_short();
	test_frames();
	test_reader();
	test_limits();
	test_peer();
	return check_done();
}
