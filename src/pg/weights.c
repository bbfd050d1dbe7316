/*
 * weights.c
 *		Tensors as rows: a versioned, checksummed header and little-endian
 *		numbers in bytea.
 *
 * A row's value is a header of 64 bytes and the numbers:
 *
 *		 0	"RNWT"
 *		 4	u32 version of this format
 *		 8	u32 dtype (RN_DTYPE_*)
 *		12	u32 ndim
 *		16	u32 shape[4], 0 where there are fewer dimensions
 *		32	u64 bytes of the whole tensor
 *		40	u64 offset of this part
 *		48	u64 bytes of this part
 *		56	u32 CRC-32C of this part's numbers
 *		60	u32 CRC-32C of the header before and the tensor's name
 *
 * The name in the last sum makes a value foreign that was moved to another
 * row.  The columns shape and dtype repeat the header for SQL; reading holds
 * the two against each other.
 *
 * src/pg/weights.c
 */
#include "weights.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "wire/protocol.h"

#ifdef WORDS_BIGENDIAN
#error "numbers are stored as they lie in memory, which must be little-endian"
#endif

#define FORMAT_VERSION	1
#define HEADER_BYTES	64
#define HEADER_SUM		60		/* where the header's own checksum stands */

StaticAssertDecl(RES_PART_BYTES % RN_CHUNK == 0, "a part is whole chunks");

typedef struct PartHeader
{
	uint32		dtype;
	int			ndim;
	int32		shape[RES_MAX_DIMS];
	uint64		total;
	uint64		offset;
	uint64		size;
	uint32		crc;			/* of the numbers */
} PartHeader;

/* ---------- on the wire ---------- */

void
res_chunk_write(RnWriter *out, uint64 id, const ResChunk *chunk)
{
	int			i;

	rn_write_begin(out, RN_PART, id);
	rn_write_string(out, chunk->name);
	rn_write_u32(out, (uint32) chunk->ndim);
	for (i = 0; i < chunk->ndim; i++)
		rn_write_u32(out, (uint32) chunk->shape[i]);
	rn_write_u32(out, chunk->dtype);
	rn_write_u64(out, chunk->total);
	rn_write_u64(out, chunk->offset);
	rn_write_bytes(out, chunk->bytes, chunk->size);
}

void
res_chunk_read(RnReader *reader, char *name, ResChunk *chunk)
{
	int			i;

	memset(chunk, 0, sizeof(*chunk));
	rn_read_string(reader, name, RES_NAME_SIZE);
	chunk->name = name;
	chunk->ndim = rn_read_count(reader, sizeof(uint32));
	if (chunk->ndim > RES_MAX_DIMS)
		reader->failed = 1;
	for (i = 0; i < chunk->ndim && !reader->failed; i++)
		chunk->shape[i] = rn_read_u32(reader);
	chunk->dtype = rn_read_u32(reader);
	chunk->total = rn_read_u64(reader);
	chunk->offset = rn_read_u64(reader);
	chunk->bytes = rn_read_bytes(reader, &chunk->size);
}

/* ---------- header ---------- */

static void
put_u32(char *at, uint32 value)
{
	memcpy(at, &value, sizeof(value));
}

static void
put_u64(char *at, uint64 value)
{
	memcpy(at, &value, sizeof(value));
}

static uint32
get_u32(const char *at)
{
	uint32		value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static uint64
get_u64(const char *at)
{
	uint64		value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static uint32
crc_of(const char *bytes, Size size, const char *more)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, bytes, size);
	if (more != NULL)
		COMP_CRC32C(crc, more, strlen(more));
	FIN_CRC32C(crc);
	return crc;
}

static void
header_write(char *bytes, const PartHeader *header, const char *tensor)
{
	int			i;

	memcpy(bytes, "RNWT", 4);
	put_u32(bytes + 4, FORMAT_VERSION);
	put_u32(bytes + 8, header->dtype);
	put_u32(bytes + 12, (uint32) header->ndim);
	for (i = 0; i < RES_MAX_DIMS; i++)
		put_u32(bytes + 16 + 4 * i, i < header->ndim ? (uint32) header->shape[i] : 0);
	put_u64(bytes + 32, header->total);
	put_u64(bytes + 40, header->offset);
	put_u64(bytes + 48, header->size);
	put_u32(bytes + 56, header->crc);
	put_u32(bytes + HEADER_SUM, crc_of(bytes, HEADER_SUM, tensor));
}

/* What is wrong with a header, in words, or NULL. */
static const char *
header_read(const char *bytes, const char *tensor, PartHeader *header)
{
	int			i;

	memset(header, 0, sizeof(*header));
	if (memcmp(bytes, "RNWT", 4) != 0)
		return "The value is not a part of a tensor.";
	if (get_u32(bytes + 4) != FORMAT_VERSION)
		return psprintf("The value has format version %u; this release reads version %d.",
						get_u32(bytes + 4), FORMAT_VERSION);
	if (get_u32(bytes + HEADER_SUM) != crc_of(bytes, HEADER_SUM, tensor))
		return "The header does not agree with its checksum and the tensor's name.";
	header->dtype = get_u32(bytes + 8);
	header->ndim = (int) get_u32(bytes + 12);
	if (header->ndim < 0 || header->ndim > RES_MAX_DIMS)
		return "The header has too many dimensions.";
	for (i = 0; i < RES_MAX_DIMS; i++)
		header->shape[i] = (int32) get_u32(bytes + 16 + 4 * i);
	header->total = get_u64(bytes + 32);
	header->offset = get_u64(bytes + 40);
	header->size = get_u64(bytes + 48);
	header->crc = get_u32(bytes + 56);
	return NULL;
}

/* Bytes that dtype and shape ask for; false when there is no such tensor.  A blob has any size. */
static bool
tensor_bytes(uint32 dtype, int ndim, const int32 *shape, uint64 *bytes)
{
	uint64		n = 4;
	int			i;

	if (dtype != RN_DTYPE_FLOAT32 || ndim < 1)
		return false;
	for (i = 0; i < ndim; i++)
	{
		if (shape[i] <= 0 || n > PG_INT64_MAX / (uint64) shape[i])
			return false;
		n *= (uint64) shape[i];
	}
	*bytes = n;
	return true;
}

static bool
shape_fits(uint32 dtype, int ndim, const int32 *shape, uint64 total)
{
	uint64		bytes;

	if (dtype == RN_DTYPE_BYTES)
		return ndim == 0;
	return tensor_bytes(dtype, ndim, shape, &bytes) && bytes == total;
}

static const char *
dtype_name(uint32 dtype)
{
	return dtype == RN_DTYPE_FLOAT32 ? "float32" : "bytes";
}

/*
 * A part's share in the checksum of all: FNV-1a over its header, which holds
 * the sums of name, shape and numbers.  Shares are added, so that the order
 * of tensors does not matter.
 */
static uint64
part_share(const char *header)
{
	uint64		hash = UINT64CONST(14695981039346656037);
	int			i;

	for (i = 0; i < HEADER_BYTES; i++)
		hash = (hash ^ (unsigned char) header[i]) * UINT64CONST(1099511628211);
	return hash;
}

/* ---------- writing ---------- */

struct ResWeightWriter
{
	ResWeightTable table;
	int64		key;
	int64		version;
	SPIPlanPtr	insert;
	bool		open;			/* a tensor is being written */
	char	   *tensor;
	PartHeader	header;			/* of the part being filled */
	int32		part;
	bytea	   *value;			/* VARHDRSZ, header, numbers */
	int64		bytes;			/* of all tensors so far */
	uint64		checksum;
};

ResWeightWriter *
res_weights_begin(ResWeightTable table, int64 key, int64 version)
{
	ResWeightWriter *writer = palloc0(sizeof(ResWeightWriter));
	Oid			types[] = {INT8OID, TEXTOID, INT4OID, INT4ARRAYOID, TEXTOID, BYTEAOID, INT8OID};
	SPIPlanPtr	plan;

	writer->table = table;
	writer->key = key;
	writer->version = version;
	if (table == RES_MODEL_WEIGHTS)
		plan = SPI_prepare("INSERT INTO residual.weight (model, version, tensor, part, shape, dtype, bytes) "
						   "VALUES ($1, $7, $2, $3, $4, $5, $6)", 7, types);
	else
		plan = SPI_prepare("INSERT INTO residual.checkpoint (job, step, name, part, shape, dtype, bytes) "
						   "VALUES ($1, $7, $2, $3, $4, $5, $6)", 7, types);
	if (plan == NULL)
		elog(ERROR, "could not prepare the writing of weights: %s", SPI_result_code_string(SPI_result));
	writer->insert = plan;
	writer->value = palloc(VARHDRSZ + HEADER_BYTES + RES_PART_BYTES);
	return writer;
}

static void
part_flush(ResWeightWriter *writer)
{
	PartHeader *header = &writer->header;
	char	   *bytes = VARDATA(writer->value);
	Datum		dims[RES_MAX_DIMS];
	Datum		values[7];
	int			i;

	header->crc = crc_of(bytes + HEADER_BYTES, header->size, NULL);
	header_write(bytes, header, writer->tensor);
	SET_VARSIZE(writer->value, VARHDRSZ + HEADER_BYTES + header->size);
	for (i = 0; i < header->ndim; i++)
		dims[i] = Int32GetDatum(header->shape[i]);
	values[0] = Int64GetDatum(writer->key);
	values[1] = CStringGetTextDatum(writer->tensor);
	values[2] = Int32GetDatum(writer->part);
	values[3] = PointerGetDatum(construct_array(dims, header->ndim, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	values[4] = CStringGetTextDatum(dtype_name(header->dtype));
	values[5] = PointerGetDatum(writer->value);
	values[6] = Int64GetDatum(writer->version);
	if (SPI_execute_plan(writer->insert, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write a part of tensor \"%s\"", writer->tensor);
	pfree(DatumGetPointer(values[1]));
	pfree(DatumGetPointer(values[3]));
	pfree(DatumGetPointer(values[4]));

	writer->checksum += part_share(bytes);
	writer->bytes += (int64) header->size;
	writer->part++;
	header->offset += header->size;
	header->size = 0;
}

static void
tensor_open(ResWeightWriter *writer, const ResChunk *chunk)
{
	if (writer->open)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("tensor \"%s\" came incomplete", writer->tensor)));
	if (chunk->offset != 0 || chunk->ndim < 0 || chunk->ndim > RES_MAX_DIMS ||
		!shape_fits(chunk->dtype, chunk->ndim, chunk->shape, chunk->total))
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("tensor \"%s\" came with a shape and a size that do not agree", chunk->name)));
	if (writer->tensor != NULL)
		pfree(writer->tensor);
	writer->tensor = MemoryContextStrdup(GetMemoryChunkContext(writer), chunk->name);
	writer->part = 0;
	memset(&writer->header, 0, sizeof(writer->header));
	writer->header.dtype = chunk->dtype;
	writer->header.ndim = chunk->ndim;
	memcpy(writer->header.shape, chunk->shape, chunk->ndim * sizeof(int32));
	writer->header.total = chunk->total;
	writer->open = true;
}

void
res_weights_put(ResWeightWriter *writer, const ResChunk *chunk)
{
	PartHeader *header = &writer->header;
	const char *bytes = chunk->bytes;
	Size		left = chunk->size;

	if (!writer->open || strcmp(writer->tensor, chunk->name) != 0)
		tensor_open(writer, chunk);
	if (chunk->offset != header->offset + header->size || chunk->total != header->total ||
		chunk->size > header->total - chunk->offset)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("tensor \"%s\" came in parts that do not follow one another", chunk->name)));
	while (left > 0)
	{
		Size		n = Min(left, RES_PART_BYTES - header->size);

		memcpy(VARDATA(writer->value) + HEADER_BYTES + header->size, bytes, n);
		header->size += n;
		bytes += n;
		left -= n;
		if (header->size == RES_PART_BYTES)
			part_flush(writer);
	}
	if (header->offset + header->size == header->total)
	{
		/* an empty blob is a row as well */
		if (header->size > 0 || header->total == 0)
			part_flush(writer);
		writer->open = false;
	}
}

void
res_weights_end(ResWeightWriter *writer, int64 *bytes, int64 *checksum)
{
	if (writer->open)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("tensor \"%s\" came incomplete", writer->tensor)));
	*bytes = writer->bytes;
	*checksum = (int64) writer->checksum;
	SPI_freeplan(writer->insert);
	if (writer->tensor != NULL)
		pfree(writer->tensor);
	pfree(writer->value);
	pfree(writer);
}

/* ---------- reading ---------- */

typedef struct WeightReader
{
	const char *label;
	ResChunkSink sink;
	void	   *arg;
	char	   *tensor;			/* of the row before, or NULL */
	PartHeader	header;			/* of the row before */
	int32		part;			/* of the row before */
	uint64		checksum;
} WeightReader;

static void pg_attribute_noreturn()
damaged(const WeightReader *reader, const char *tensor, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("%s: tensor \"%s\" is damaged", reader->label, tensor),
			 errdetail_internal("%s", detail),
			 errhint("Restore the row from a backup, or train again.")));
}

/* Do the columns say what the header says? */
static bool
columns_agree(const PartHeader *header, ArrayType *shape, const char *dtype)
{
	int			n = ArrayGetNItems(ARR_NDIM(shape), ARR_DIMS(shape));

	return !ARR_HASNULL(shape) && n == header->ndim &&
		memcmp(ARR_DATA_PTR(shape), header->shape, n * sizeof(int32)) == 0 &&
		strcmp(dtype, dtype_name(header->dtype)) == 0;
}

/* Does this part go on where the one before ended? */
static void
check_sequence(WeightReader *reader, const char *tensor, int32 part, const PartHeader *header)
{
	const PartHeader *before = &reader->header;
	bool		first = reader->tensor == NULL || strcmp(reader->tensor, tensor) != 0;

	if (first && reader->tensor != NULL && before->offset + before->size != before->total)
		damaged(reader, reader->tensor, "Its last part is missing.");
	if (part != (first ? 0 : reader->part + 1))
		damaged(reader, tensor, psprintf("Part %d is missing.", first ? 0 : reader->part + 1));
	if (header->offset != (first ? 0 : before->offset + before->size) ||
		(!first && (header->total != before->total || header->dtype != before->dtype ||
					header->ndim != before->ndim ||
					memcmp(header->shape, before->shape, sizeof(header->shape)) != 0)))
		damaged(reader, tensor, psprintf("Part %d does not follow from the part before.", part));
}

static void
read_part(WeightReader *reader, const char *tensor, int32 part, ArrayType *shape, const char *dtype, Datum bytes)
{
	Size		size = toast_raw_datum_size(bytes) - VARHDRSZ;
	struct varlena *slice;
	const char *wrong;
	PartHeader	header;
	ResChunk	chunk;
	pg_crc32c	crc;

	if (size < HEADER_BYTES)
		damaged(reader, tensor, psprintf("Part %d is %zu bytes long, shorter than a header.", part, size));
	slice = PG_DETOAST_DATUM_SLICE(bytes, 0, HEADER_BYTES);
	wrong = header_read(VARDATA_ANY(slice), tensor, &header);
	if (wrong != NULL)
		damaged(reader, tensor, wrong);
	if (header.size != size - HEADER_BYTES)
		damaged(reader, tensor, psprintf("Part %d is %zu bytes long, its header says " UINT64_FORMAT ".",
										 part, size, header.size + HEADER_BYTES));
	if (!shape_fits(header.dtype, header.ndim, header.shape, header.total) ||
		header.size > header.total || header.offset > header.total - header.size)
		damaged(reader, tensor, psprintf("The sizes in the header of part %d make no sense.", part));
	if (!columns_agree(&header, shape, dtype))
		damaged(reader, tensor, psprintf("The columns shape and dtype of part %d do not agree with its header.", part));
	check_sequence(reader, tensor, part, &header);
	reader->checksum += part_share(VARDATA_ANY(slice));
	pfree(slice);

	chunk.name = tensor;
	chunk.ndim = header.ndim;
	memcpy(chunk.shape, header.shape, sizeof(chunk.shape));
	chunk.dtype = header.dtype;
	chunk.total = header.total;
	INIT_CRC32C(crc);
	for (chunk.offset = header.offset;; chunk.offset += chunk.size)
	{
		Size		at = chunk.offset - header.offset;

		CHECK_FOR_INTERRUPTS();
		chunk.size = Min(RN_CHUNK, header.size - at);
		slice = PG_DETOAST_DATUM_SLICE(bytes, (int32) (HEADER_BYTES + at), (int32) chunk.size);
		chunk.bytes = VARDATA_ANY(slice);
		COMP_CRC32C(crc, chunk.bytes, chunk.size);
		reader->sink(reader->arg, &chunk);
		pfree(slice);
		if (at + chunk.size == header.size)
			break;
	}
	FIN_CRC32C(crc);
	if (crc != header.crc)
		damaged(reader, tensor, psprintf("The numbers of part %d do not agree with their checksum.", part));
	reader->header = header;
	reader->part = part;
}

static void
select_parts(ResWeightTable table, int64 key, int64 version, const char *only_tensor)
{
	Oid			types[] = {INT8OID, TEXTOID, INT8OID};
	Datum		values[3];
	char		nulls[3] = {' ', ' ', ' '};
	const char *query;

	values[0] = Int64GetDatum(key);
	values[1] = only_tensor != NULL ? CStringGetTextDatum(only_tensor) : (Datum) 0;
	nulls[1] = only_tensor != NULL ? ' ' : 'n';
	values[2] = Int64GetDatum(version);
	if (table == RES_MODEL_WEIGHTS)
		query = "SELECT tensor, part, shape, dtype, bytes FROM residual.weight "
			"WHERE model = $1 AND version = $3 AND ($2 IS NULL OR tensor = $2) "
			"ORDER BY tensor COLLATE \"C\", part";
	else
		query = "SELECT name, part, shape, dtype, bytes FROM residual.checkpoint "
			"WHERE job = $1 AND step = $3 AND ($2 IS NULL OR name = $2) "
			"ORDER BY name COLLATE \"C\", part";
	/* values are toast pointers: no number is read yet */
	if (SPI_execute_with_args(query, 3, types, values, nulls, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read weights");
}

int64
res_weights_read(ResWeightTable table, int64 key, int64 version, const char *label, const char *only_tensor,
				 ResChunkSink sink, void *arg)
{
	WeightReader reader;
	ResCatalog	catalog;
	SPITupleTable *rows;
	uint64		n;
	uint64		i;

	memset(&reader, 0, sizeof(reader));
	reader.label = label;
	reader.sink = sink;
	reader.arg = arg;
	res_catalog_begin(&catalog, true);
	select_parts(table, key, version, only_tensor);
	rows = SPI_tuptable;
	n = SPI_processed;
	for (i = 0; i < n; i++)
	{
		HeapTuple	row = rows->vals[i];
		TupleDesc	desc = rows->tupdesc;
		bool		isnull;
		char	   *tensor = SPI_getvalue(row, desc, 1);
		int32		part = DatumGetInt32(SPI_getbinval(row, desc, 2, &isnull));
		ArrayType  *shape = DatumGetArrayTypeP(SPI_getbinval(row, desc, 3, &isnull));
		char	   *dtype = SPI_getvalue(row, desc, 4);

		read_part(&reader, tensor, part, shape, dtype, SPI_getbinval(row, desc, 5, &isnull));
		reader.tensor = tensor;
	}
	if (reader.tensor != NULL && reader.header.offset + reader.header.size != reader.header.total)
		damaged(&reader, reader.tensor, "Its last part is missing.");
	res_catalog_end(&catalog);
	return (int64) reader.checksum;
}
