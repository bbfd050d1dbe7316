/*
 * terms.h
 *		What translations must hold: the options "prefix" and "glossary", whose
 *		values are texts.
 *
 * src/pg/terms.h
 */
#ifndef RES_TERMS_H
#define RES_TERMS_H

#include "residual.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "wire/message.h"

typedef struct ResTerms
{
	char	   *prefix;			/* in the server's encoding; NULL: none */
	List	   *glossary;		/* term, its translation, term, ... */
} ResTerms;

/* Read them; ERROR 22023.  The options without them, NULL for NULL. */
extern Jsonb *res_terms_take(Jsonb *options, ResTerms *terms);

extern void res_terms_write(RnWriter *writer, const ResTerms *terms);

#endif							/* RES_TERMS_H */
