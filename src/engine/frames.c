/*
 * frames.c
 *		What several conversations of the engine have in common.
 *
 * src/engine/frames.c
 */
#include "engine/frames.h"

#include <unistd.h>

#define PAIR_KEY		64
#define PAIR_VALUE		512
#define MOST_SET		1		/* sets of rows are 0 and 1 */

RnStatus
rn_write_hello(RnContext *ctx, RnWriter *writer, const char *device)
{
	rn_write_begin(writer, RN_HELLO, 0);
	rn_write_u32(writer, RN_PROTOCOL_VERSION);
	rn_write_string(writer, RN_BUILD_VERSION);
	rn_write_string(writer, device);
	rn_write_u64(writer, (uint64_t) getpid());
	return rn_write_end(ctx, writer);
}

RnStatus
rn_write_empty(RnContext *ctx, RnWriter *writer, uint32_t type, uint64_t id)
{
	rn_write_begin(writer, type, id);
	return rn_write_end(ctx, writer);
}

void
rn_write_configuration(RnWriter *writer, const RnConfig *effective)
{
	RnConfig	config = *effective;
	const RnOption *options;
	char		value[PAIR_VALUE];
	uint32_t	n = 0;
	int			n_options,
				i;

	config.vocab_size_given = 1;
	options = rn_options(&n_options);
	for (i = 0; i < n_options; i++)
		n += options[i].offset_too == 0;
	rn_write_u32(writer, n);
	for (i = 0; i < n_options; i++)
	{
		if (options[i].offset_too != 0)
			continue;
		rn_config_get(&config, &options[i], value, sizeof(value));
		rn_write_string(writer, options[i].name);
		rn_write_string(writer, value);
	}
}

RnStatus
rn_take_pairs(RnContext *ctx, RnReader *reader, RnPairSink sink, void *arg)
{
	uint32_t	n = rn_read_count(reader, 2 * sizeof(uint32_t));

	while (n-- > 0)
	{
		char		key[PAIR_KEY];
		char		value[PAIR_VALUE];

		rn_read_string(reader, key, sizeof(key));
		rn_read_string(reader, value, sizeof(value));
		if (reader->failed)
			break;
		RN_TRY(sink(ctx, arg, key, value));
	}
	return RN_OK;
}

RnStatus
rn_take_option(RnContext *ctx, void *arg, const char *key, const char *value)
{
	return rn_config_set(ctx, (RnConfig *) arg, key, value);
}

RnStatus
rn_take_rows(RnContext *ctx, const RnFrame *frame, RnRowSink sink, void *arg)
{
	RnReader	reader;
	uint32_t	n;
	int			set;

	rn_reader_init(&reader, frame);
	set = rn_read_u8(&reader);
	n = rn_read_count(&reader, 2 * sizeof(uint32_t));
	while (n-- > 0)
	{
		RnText		source,
					target;

		source.bytes = rn_read_bytes(&reader, &source.size);
		target.bytes = rn_read_bytes(&reader, &target.size);
		if (reader.failed || set > MOST_SET)
			break;
		RN_TRY(sink(ctx, arg, set, source, target));
	}
	if (set > MOST_SET)
		reader.failed = 1;
	return rn_reader_end(ctx, &reader, "rows");
}
