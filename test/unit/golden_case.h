/*
 * golden_case.h
 *		A case of reference values, brought to life: its model, weights and
 *		batch on a device, and the account of what agreed.
 *
 * test/unit/golden_case.h
 */
#ifndef GOLDEN_CASE_H
#define GOLDEN_CASE_H

#include "golden_file.h"
#include "kernels/device.h"
#include "model/transformer.h"

/* Kinds of results; tolerances are test/golden/README.md's. */
typedef enum GoldenGroup
{
	GOLDEN_FORWARD,				/* logits, losses */
	GOLDEN_GRADIENT,
	GOLDEN_UPDATE,				/* what Adam made of it */
	GOLDEN_SEARCH,
	GOLDEN_DIAGNOSTIC,
	GOLDEN_N_GROUPS
} GoldenGroup;

typedef struct GoldenCase
{
	const GoldenFile *file;
	const RnKernels *kernels;
	RnLane	   *lane;
	RnContext	ctx;

	RnConfig	config;
	RnSpecialIds special;
	RnModel    *model;
	size_t		size;			/* of flat buffers */
	rn_real    *host;			/* [size] the case's parameters */
	rn_real    *values;			/* [size] the same, device */
	rn_real    *gradients;		/* [size] device */
	rn_real    *shadow;			/* [size] gradients, host */
	const GoldenRecord **params;	/* [n_params] in the file's order */
	int			n_params;

	RnModelBatch batch;
	int32_t    *integers;		/* what batch points into */
	const GoldenRecord *source;	/* [sentences, width], padded */
	const GoldenRecord *target;

	int			compared;		/* numbers */
	int			failures;
	int			skipped;		/* searches that a near tie makes undecidable in float */
	double		worst[GOLDEN_N_GROUPS];
	char		first_failure[256];
} GoldenCase;

/* 0, or -1 when the case cannot be set up: first_failure says why.  Free either way. */
extern int	golden_case_create(GoldenCase *this_case, const GoldenFile *file, const RnKernels *kernels);
extern void golden_case_free(GoldenCase *this_case);

/* One number; what, and where in it. */
extern void golden_compare(GoldenCase *this_case, GoldenGroup group, const char *what, int index,
						   double expected, double got);
extern void golden_fail(GoldenCase *this_case, const char *format,...)
			__attribute__((format(printf, 2, 3)));

/* Compare n numbers with the record of that name, which must be there and of that size. */
extern void golden_compare_all(GoldenCase *this_case, GoldenGroup group, const char *name, const double *got, int n);

/* Pack records [sentences, width], padded as source and target are; *integers is to be freed. */
extern int	golden_batch(GoldenCase *this_case, const GoldenRecord *source, const GoldenRecord *in,
						 const GoldenRecord *target, RnModelBatch *batch, int32_t **integers);

/* The model's parameter behind a record. */
extern const RnParam *golden_param(const GoldenCase *this_case, const GoldenRecord *record);

/*
 * Loss of the batch with these weights (device) and its gradient: fills
 * shadow, and gradients where keep_gradients (else they are 0 again).
 */
extern int	golden_loss(GoldenCase *this_case, const rn_real *values, RnLoss *loss, int keep_gradients);

#endif							/* GOLDEN_CASE_H */
