/*
 * schemes.c
 *		Residual schemes by name; model/scheme_list.c describes them.
 *
 * src/model/residual/schemes.c
 */
#include "model/residual/schemes.h"

#include <string.h>

static const RnScheme *const schemes[] = {
	&rn_scheme_residual,
	&rn_scheme_post,
	&rn_scheme_pre,
	&rn_scheme_alt_post_pre,
	&rn_scheme_alt_pre_post,
	&rn_scheme_altsub_post_pre,
	&rn_scheme_altsub_pre_post,
	&rn_scheme_admin,
	&rn_scheme_fixed,
	&rn_scheme_rezero,
	&rn_scheme_b2t,
	&rn_scheme_deepnorm,
	&rn_scheme_dlcl
};

const RnScheme *
rn_scheme_find(const char *name)
{
	int			i;

	for (i = 0; i < (int) (sizeof(schemes) / sizeof(schemes[0])); i++)
	{
		if (strcmp(schemes[i]->name, name) == 0)
			return schemes[i];
	}
	return NULL;
}
