/*
 * scheme_list.h
 *		What residual schemes there are: names, formulas, papers.
 *
 * Data without operations, linked into both programs: residual.so validates
 * and lists, the engine computes (model/residual/).
 *
 * src/model/scheme_list.h
 */
#ifndef RN_SCHEME_LIST_H
#define RN_SCHEME_LIST_H

typedef struct RnSchemeInfo
{
	const char *name;			/* "residual", "post", "pre", ... */
	const char *title;			/* "ResiDual" */
	const char *formula;		/* one line */
	const char *parameters;		/* beyond Post-LN's: "2 d a stack" */
	const char *cost;			/* over Post-LN's, in words */
	const char *options;		/* names of options that are its own, separated by blanks */
	const char *norms;			/* values of option norm that it knows, likewise; "" without that option */
	const char *paper;
} RnSchemeInfo;

extern const RnSchemeInfo *rn_scheme_infos(int *n);

/* By name, or NULL. */
extern const RnSchemeInfo *rn_scheme_info(const char *name);

/* The nearest name to a wrong one, or NULL. */
extern const char *rn_scheme_nearest(const char *name);

#endif							/* RN_SCHEME_LIST_H */
