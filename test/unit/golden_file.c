/*
 * golden_file.c
 *		Files of reference values.
 *
 * test/unit/golden_file.c
 */
#include "golden_file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static int	read_failed(GoldenFile *file, const char *format,...)
			__attribute__((format(printf, 2, 3)));

static int
read_failed(GoldenFile *file, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(file->error, sizeof(file->error), format, args);
	va_end(args);
	return -1;
}

double
golden_unit(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return (*state >> 16) / 65536.0 - 0.5;
}

uint32_t
golden_state(const char *name, uint32_t seed)
{
	uint32_t	hash = 2166136261u;

	for (; *name != '\0'; name++)
		hash = (hash ^ (unsigned char) *name) * 16777619u;
	return hash ^ (seed * 2654435761u);
}

/* The next field as a number; *at moves behind it. */
static int
next_number(char **at, double *number)
{
	char	   *end;

	*number = strtod(*at, &end);
	if (end == *at)
		return -1;
	*at = end;
	return 0;
}

/* CENTER SCALE STATE ZROW, then the values themselves. */
static int
generate(GoldenRecord *record, char *at)
{
	double		center,
				scale,
				first,
				zero_row;
	uint32_t	state;
	int			k;

	if (next_number(&at, &center) || next_number(&at, &scale) || next_number(&at, &first) ||
		next_number(&at, &zero_row))
		return -1;
	state = (uint32_t) first;
	for (k = 0; k < record->n; k++)
		record->values[k] = center + scale * golden_unit(&state);
	if (zero_row >= 0)
	{
		if (record->ndim != 2 || zero_row >= record->dims[0])
			return -1;
		memset(record->values + (int) zero_row * record->dims[1], 0, record->dims[1] * sizeof(double));
	}
	return 0;
}

static int
read_values(GoldenRecord *record, char *at)
{
	int			k;

	for (k = 0; k < record->n; k++)
	{
		if (next_number(&at, &record->values[k]))
			return -1;
	}
	return at[strspn(at, " \n")] == '\0' ? 0 : -1;
}

static int
read_record(GoldenFile *file, char *line)
{
	GoldenRecord *record;
	char	   *at = line + 2;
	size_t		length = strcspn(at, " ");
	double		number;
	int			k;

	record = realloc(file->records, (file->n_records + 1) * sizeof(GoldenRecord));
	if (record == NULL)
		return read_failed(file, "out of memory");
	file->records = record;
	record += file->n_records;
	memset(record, 0, sizeof(*record));
	if (length == 0 || length >= sizeof(record->name))
		return read_failed(file, "record without a name");
	record->kind = line[0];
	memcpy(record->name, at, length);
	at += length;
	if (next_number(&at, &number) || number < 0 || number > 4)
		return read_failed(file, "record %s: bad number of dimensions", record->name);
	record->ndim = (int) number;
	record->n = 1;
	for (k = 0; k < record->ndim; k++)
	{
		if (next_number(&at, &number) || number < 0 || number > 1e6 || record->n * number > 1e7)
			return read_failed(file, "record %s: bad dimension", record->name);
		record->dims[k] = (int) number;
		record->n *= record->dims[k];
	}
	record->values = calloc(record->n + 1, sizeof(double));
	if (record->values == NULL)
		return read_failed(file, "out of memory");
	file->n_records++;
	if (record->kind == 'p' ? generate(record, at) : read_values(record, at))
		return read_failed(file, "record %s: bad values", record->name);
	return 0;
}

static int
read_setting(GoldenFile *file, const char *line)
{
	GoldenSetting *setting;

	setting = realloc(file->settings, (file->n_settings + 1) * sizeof(GoldenSetting));
	if (setting == NULL)
		return read_failed(file, "out of memory");
	file->settings = setting;
	setting += file->n_settings;
	if (sscanf(line, "c %63s %63s", setting->key, setting->value) != 2)
		return read_failed(file, "bad setting");
	if (strcmp(setting->key, "case") == 0)
		strcpy(file->name, setting->value);
	file->n_settings++;
	return 0;
}

int
golden_read(const char *path, GoldenFile *file)
{
	FILE	   *stream = fopen(path, "r");
	char	   *line = NULL;
	size_t		size = 0;
	int			status = 0;
	int			ended = 0;

	memset(file, 0, sizeof(*file));
	if (stream == NULL)
		return read_failed(file, "%s", strerror(errno));
	while (status == 0 && getline(&line, &size, stream) > 0)
	{
		if (strcmp(line, "end\n") == 0)
			ended = 1;
		else if (line[0] == 'c' && line[1] == ' ')
			status = read_setting(file, line);
		else if (strchr("pvfi", line[0]) != NULL && line[1] == ' ')
			status = read_record(file, line);
		else if (line[0] != '#' && line[0] != '\n')
			status = read_failed(file, "unknown line \"%.20s\"", line);
	}
	if (status == 0 && !ended)
		status = read_failed(file, "truncated: no end line");
	free(line);
	fclose(stream);
	return status;
}

void
golden_free(GoldenFile *file)
{
	int			k;

	for (k = 0; k < file->n_records; k++)
		free(file->records[k].values);
	free(file->records);
	free(file->settings);
}

const char *
golden_setting(const GoldenFile *file, const char *key)
{
	int			k;

	for (k = 0; k < file->n_settings; k++)
	{
		if (strcmp(file->settings[k].key, key) == 0)
			return file->settings[k].value;
	}
	return NULL;
}

const GoldenRecord *
golden_find(const GoldenFile *file, const char *format,...)
{
	char		name[GOLDEN_NAME];
	va_list		args;
	int			k;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	for (k = 0; k < file->n_records; k++)
	{
		if (strcmp(file->records[k].name, name) == 0)
			return &file->records[k];
	}
	return NULL;
}
