/*
 * sweep_grid.h
 *		The runs of a sweep: every combination of a grid's values.
 *
 *		{"layers": [6, 12],						an axis: an option and its values
 *		 "scheme": ["residual",
 *					{"scheme": "fixed", "branch_scale": 0.1}],	a value may be several options at once
 *		 "seed": [1, 2, 3],
 *		 "max_steps": 1000}						the same in every run
 *
 * Seeds vary fastest, so that runs that belong together are neighbours.
 *
 * src/pg/sweep_grid.h
 */
#ifndef RES_SWEEP_GRID_H
#define RES_SWEEP_GRID_H

#include "residual.h"

#include "utils/jsonb.h"

#define RES_SWEEP_MAX	1000	/* runs */

typedef struct ResSweepGrid
{
	Jsonb	   *grid;
	int			n_axes;
	JsonbValue *keys;			/* [n_axes] */
	JsonbValue *axes;			/* [n_axes] arrays, as containers */
	int		   *sizes;			/* [n_axes] */
	int			n_runs;			/* their product */
} ResSweepGrid;

/* ERROR 22023 when it is no object, or has an axis without values or of more than single options; 54000 too many runs. */
extern void res_sweep_grid(Jsonb *json, ResSweepGrid *grid);

/* A run's options, from 0: all of them, and those of the axes only. */
extern Jsonb *res_sweep_options(const ResSweepGrid *grid, int run);
extern Jsonb *res_sweep_settings(const ResSweepGrid *grid, int run);

#endif							/* RES_SWEEP_GRID_H */
