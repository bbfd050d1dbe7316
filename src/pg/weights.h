/*
 * weights.h
 *		Tensors as rows: a versioned, checksummed header and little-endian
 *		numbers in bytea, parts of at most 64 MiB.
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

#define RES_MAX_DIMS	4
#define RES_PART_BYTES	(64 * 1024 * 1024)	/* payload of a row, at most */

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

/*
 * Collect chunks (in order of offset, tensor after tensor) and write rows as
 * parts fill.  Between begin and end a catalog transaction is open.
 */
typedef struct ResWeightWriter ResWeightWriter;

typedef enum ResWeightTable
{
	RES_MODEL_WEIGHTS,			/* key: model, version */
	RES_JOB_CHECKPOINT			/* key: job */
} ResWeightTable;

extern ResWeightWriter *res_weights_begin(ResWeightTable table, int64 key, int32 version);
extern void res_weights_put(ResWeightWriter *writer, const ResChunk *chunk);

/* Flush; gives the bytes written and a checksum over names, shapes and numbers. */
extern void res_weights_end(ResWeightWriter *writer, int64 *bytes, int64 *checksum);

/*
 * Give all tensors, in order of name and part, as chunks of at most 1 MiB;
 * never holds more than one chunk in memory.  Verifies every checksum on the
 * way.  label names the owner of the rows in errors: 'model "en_de" version 3'.
 */
typedef void (*ResChunkSink) (void *arg, const ResChunk *chunk);

extern void res_weights_read(ResWeightTable table, int64 key, int32 version, const char *label,
							 const char *only_tensor, ResChunkSink sink, void *arg);

#endif							/* RES_WEIGHTS_H */
