/*
 * message.h
 *		Frames and the values in them, written once for both sides of the wall.
 *
 * A frame is a head of 16 bytes {type, length, id} and a payload.  Both ends
 * run on one machine, numbers are in native byte order.  Reading never trusts
 * a length: a reader that runs past its end stays at its end, gives zeros and
 * says so once, at rn_reader_end.
 *
 * Nothing here blocks, allocates behind the caller's back in residual.so's
 * sense (buffers are malloc'd and freed by rn_writer_free), or knows of
 * sockets: bytes go in and out.
 *
 * src/wire/message.h
 */
#ifndef RN_MESSAGE_H
#define RN_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

#define RN_FRAME_HEAD	16
#define RN_FRAME_MAX	(64u * 1024 * 1024) /* longer payloads are an error */
#define RN_CHUNK		(1024 * 1024)	/* weights and tokenizers cross in parts of this */

typedef struct RnFrame
{
	uint32_t	type;			/* RnFrameType */
	uint32_t	length;			/* bytes of payload */
	uint64_t	id;				/* request; echoed in answers */
	const char *payload;
} RnFrame;

/* Growing buffer of outgoing bytes: whole frames, one after another. */
typedef struct RnWriter
{
	char	   *bytes;
	size_t		used;
	size_t		capacity;
	size_t		frame;			/* where the frame being written starts */
	int			failed;			/* out of memory, or a frame over RN_FRAME_MAX */
} RnWriter;

extern void rn_writer_init(RnWriter *writer);
extern void rn_writer_free(RnWriter *writer);

/* Drop what has been sent. */
extern void rn_writer_consume(RnWriter *writer, size_t bytes);

extern void rn_write_begin(RnWriter *writer, uint32_t type, uint64_t id);
extern void rn_write_u8(RnWriter *writer, uint8_t value);
extern void rn_write_u32(RnWriter *writer, uint32_t value);
extern void rn_write_i32(RnWriter *writer, int32_t value);
extern void rn_write_u64(RnWriter *writer, uint64_t value);
extern void rn_write_i64(RnWriter *writer, int64_t value);
extern void rn_write_f64(RnWriter *writer, double value);
extern void rn_write_bytes(RnWriter *writer, const void *bytes, size_t size);	/* u32 size, bytes */
extern void rn_write_string(RnWriter *writer, const char *text);	/* as bytes; NULL as "" */

/* Append frames that another writer has closed; failed when there is no memory. */
extern void rn_write_frames(RnWriter *writer, const RnWriter *frames);

/* Close the frame.  RN_LIMIT or RN_NO_MEMORY; the frame is dropped then, those before it stay. */
extern RnStatus rn_write_end(RnContext *ctx, RnWriter *writer);

/* Buffer of incoming bytes, cut into frames. */
typedef struct RnInbox
{
	char	   *bytes;
	size_t		start;
	size_t		end;
	size_t		capacity;
} RnInbox;

extern void rn_inbox_init(RnInbox *inbox);
extern void rn_inbox_free(RnInbox *inbox);

/* Room for at least bytes more at *space; NULL when out of memory.  Then tell how many came. */
extern char *rn_inbox_room(RnInbox *inbox, size_t bytes);
extern void rn_inbox_filled(RnInbox *inbox, size_t bytes);

/*
 * Take the next whole frame; *got 0 when there is none yet.  Its payload lives
 * until the next call of rn_inbox_room or rn_inbox_next.  RN_CORRUPT for a
 * length over RN_FRAME_MAX: close the connection.
 */
extern RnStatus rn_inbox_next(RnContext *ctx, RnInbox *inbox, RnFrame *frame, int *got);

typedef struct RnReader
{
	const char *at;
	const char *end;
	int			failed;
} RnReader;

extern void rn_reader_init(RnReader *reader, const RnFrame *frame);
extern uint8_t rn_read_u8(RnReader *reader);
extern uint32_t rn_read_u32(RnReader *reader);
extern int32_t rn_read_i32(RnReader *reader);
extern uint64_t rn_read_u64(RnReader *reader);
extern int64_t rn_read_i64(RnReader *reader);
extern double rn_read_f64(RnReader *reader);

/* In place, not NUL-terminated; lives with the frame. */
extern const char *rn_read_bytes(RnReader *reader, size_t *size);

/* Copy of a string into a buffer, cut to fit, NUL-terminated; bytes of 0 end it. */
extern void rn_read_string(RnReader *reader, char *buffer, size_t size);

/*
 * How many items of at least item_bytes can follow: a count that the rest of
 * the payload cannot hold fails the reader and gives 0.
 */
extern uint32_t rn_read_count(RnReader *reader, size_t item_bytes);

/* RN_CORRUPT when the frame was too short or bytes are left over. */
extern RnStatus rn_reader_end(RnContext *ctx, const RnReader *reader, const char *what);

#endif							/* RN_MESSAGE_H */
