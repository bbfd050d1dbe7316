/*
 * golden_file.h
 *		Files of reference values, format 1: one record a line, fields separated
 *		by single blanks, "end" in the last.
 *
 *		c KEY VALUE									configuration
 *		p NAME NDIM D1..Dn CENTER SCALE STATE ZROW	parameter to be generated
 *		v NAME NDIM D1..Dn V1 V2 ...				parameter, literally
 *		f NAME NDIM D1..Dn V1 V2 ...				result
 *		i NAME NDIM D1..Dn V1 V2 ...				whole numbers
 *
 * test/unit/golden_file.h
 */
#ifndef GOLDEN_FILE_H
#define GOLDEN_FILE_H

#include <stdint.h>
#include <stdio.h>

#define GOLDEN_NAME	64

typedef struct GoldenRecord
{
	char		kind;			/* p, v, f or i */
	char		name[GOLDEN_NAME];
	int			ndim;
	int			dims[4];
	int			n;				/* product of dims */
	double	   *values;			/* [n]; generated where kind is p */
} GoldenRecord;

typedef struct GoldenSetting
{
	char		key[GOLDEN_NAME];
	char		value[GOLDEN_NAME];
} GoldenSetting;

typedef struct GoldenFile
{
	char		name[GOLDEN_NAME];	/* setting "case" */
	GoldenSetting *settings;
	int			n_settings;
	GoldenRecord *records;
	int			n_records;
	char		error[256];		/* what was wrong, when reading failed */
} GoldenFile;

/* 0, or -1 with file->error set; free either way. */
extern int	golden_read(const char *path, GoldenFile *file);
extern void golden_free(GoldenFile *file);

/* NULL when there is none. */
extern const char *golden_setting(const GoldenFile *file, const char *key);
extern const GoldenRecord *golden_find(const GoldenFile *file, const char *format,...)
			__attribute__((format(printf, 2, 3)));

/* The generator: the k-th of its numbers in [-0.5, 0.5) out of a running state; and a name's first state. */
extern double golden_unit(uint32_t *state);
extern uint32_t golden_state(const char *name, uint32_t seed);

#endif							/* GOLDEN_FILE_H */
