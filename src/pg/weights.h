/*
 * weights.h
 *		Tensors as rows: a versioned, checksummed header and little-endian
 *		numbers in bytea, parts of a few MiB.
 *
 * The same format serves residual.weight and residual.checkpoint.  Whatever
 * the bytes are, reading gives the tensor or ERROR XX001 that names model (or
 * job) and tensor.
 *
 * src/pg/weights.h
 */
#ifndef RES_WEIGHTS_H
#define RES_WEIGHTS_H

#include "residual.h"

#include "wire/message.h"

#define RES_MAX_DIMS	4
#define RES_NAME_SIZE	128		/* of names in frames */

/* Numbers in a row, at most; a multiple of RN_CHUNK.  A writer holds one part in memory. */
#define RES_PART_BYTES	(8 * 1024 * 1024)

/* One chunk of a tensor or blob, as in RN_PART. */
typedef struct ResChunk
{
	const char *name;
	int			ndim;
	int32		shape[RES_MAX_DIMS];
	uint32		dtype;			/* RN_DTYPE_* */
	uint64		total;			/* bytes of the whole tensor */
	uint64		offset;
	const char *bytes;
	Size		size;
} ResChunk;

typedef enum ResWeightTable
{
	RES_MODEL_WEIGHTS,			/* key: model, version */
	RES_JOB_CHECKPOINT			/* key: job, step */
} ResWeightTable;

/* The step under which stands what all checkpoints of a job share: its tokenizer. */
#define RES_STEP_SHARED		0
#define RES_TOKENIZER_PART	"tokenizer"

/* Among a model's tensors, bytes and none of them. */
#define RES_SHORTLIST_PART	"shortlist"

/* A PART frame, written but for its end. */
extern void res_chunk_write(RnWriter *out, uint64 id, const ResChunk *chunk);

/* The same read; name [RES_NAME_SIZE] takes the chunk's name.  What is malformed is told by the reader. */
extern void res_chunk_read(RnReader *reader, char *name, ResChunk *chunk);

/*
 * Collect chunks (in order of offset, tensor after tensor) and write rows as
 * parts fill.  Between begin and end a catalog transaction is open.  The
 * writer lives in the memory context that is current at begin.
 */
typedef struct ResWeightWriter ResWeightWriter;

extern ResWeightWriter *res_weights_begin(ResWeightTable table, int64 key, int64 version);

/* ERROR 08P01 when the chunk does not follow from the one before. */
extern void res_weights_put(ResWeightWriter *writer, const ResChunk *chunk);

/*
 * Gives the bytes of all tensors and a checksum over names, shapes and
 * numbers that does not depend on the order of tensors; ERROR 08P01 when the
 * last tensor is incomplete.  Frees the writer.
 */
extern void res_weights_end(ResWeightWriter *writer, int64 *bytes, int64 *checksum);

/*
 * Give all tensors (or one), in order of name and part, as chunks of at most
 * 1 MiB; never holds more than one chunk in memory.  The checksum of a part
 * is known good only after its last chunk: an ERROR then ends the reading, and
 * whoever has used the chunks before must throw them away.  label names the
 * owner of the rows in errors: model "en_de" version 3.  Gives the checksum
 * as res_weights_end does; whether tensors are missing is told by it.
 */
typedef void (*ResChunkSink) (void *arg, const ResChunk *chunk);

extern int64 res_weights_read(ResWeightTable table, int64 key, int64 version, const char *label,
							  const char *only_tensor, ResChunkSink sink, void *arg);

#endif							/* RES_WEIGHTS_H */
