/*
 * scheme_list.c
 *		The residual schemes, as data.
 *
 * In formulas x is the stream, f a sublayer with its dropout, LN a layer norm
 * of its own; y is a layer's output, D a dual stream.
 *
 * src/model/scheme_list.c
 */
#include "model/scheme_list.h"

#include <string.h>

#include "base/nearest.h"

static const RnSchemeInfo schemes[] = {
	{
		"residual", "ResiDual",
		"x = LN(x + f(x)), D = D + s f(x); out = a x + LN(D)",
		"2 d a stack", "one multiply-add an element and sublayer, one norm and one buffer a stack",
		"dual_scale dual_epsilon encoder_alpha decoder_alpha", "",
		"ResiDual: Transformer with Dual Residual Connections, arXiv 2304.14802"
	},
	{
		"post", "Post-LN",
		"x = LN(x + f(x)); out = x",
		"none", "none",
		"", "",
		"Attention Is All You Need, arXiv 1706.03762"
	},
	{
		"pre", "Pre-LN",
		"x = x + f(LN(x)); out = LN(x)",
		"2 d a stack", "one norm a stack",
		"", "",
		"On Layer Normalization in the Transformer Architecture, arXiv 2002.04745"
	},
	{
		"alt_post_pre", "alternating by layer, Post-LN first",
		"layers 1, 3, ... Post-LN, layers 2, 4, ... Pre-LN; out = LN(x) after a Pre-LN layer, else x",
		"2 d a stack that ends in Pre-LN", "at most one norm a stack",
		"", "",
		""
	},
	{
		"alt_pre_post", "alternating by layer, Pre-LN first",
		"layers 1, 3, ... Pre-LN, layers 2, 4, ... Post-LN; out = LN(x) after a Pre-LN layer, else x",
		"2 d a stack that ends in Pre-LN", "at most one norm a stack",
		"", "",
		""
	},
	{
		"altsub_post_pre", "alternating by sublayer, Post-LN first",
		"sublayers 1, 3, ... Post-LN, sublayers 2, 4, ... Pre-LN; out = LN(x) after a Pre-LN sublayer, else x",
		"2 d a stack that ends in Pre-LN", "at most one norm a stack",
		"", "",
		""
	},
	{
		"altsub_pre_post", "alternating by sublayer, Pre-LN first",
		"sublayers 1, 3, ... Pre-LN, sublayers 2, 4, ... Post-LN; out = LN(x) after a Pre-LN sublayer, else x",
		"2 d a stack that ends in Pre-LN", "at most one norm a stack",
		"", "",
		""
	},
	{
		"admin", "Admin",
		"x = LN(w * x + f(x)), w a trained vector for each sublayer; out = x",
		"d a sublayer", "one multiply an element and sublayer",
		"admin_omega fold_omega", "",
		"Understanding the Difficulty of Training Transformers, arXiv 2004.08249"
	},
	{
		"fixed", "fixed scale",
		"x = x + c f(x), with norms where option norm says",
		"none, or 2 d a stack with norm pre", "none",
		"branch_scale norm", "post pre none",
		"Which Training Methods for GANs do actually Converge?, arXiv 1801.04406"
	},
	{
		"rezero", "ReZero",
		"x = x + a f(x), a one number a layer, 0 at the start, no norm; with norm post x = LN(x + a f(x))",
		"1 a layer, less 2 d a sublayer without norm", "none",
		"norm", "post none",
		"ReZero is All You Need, arXiv 2003.04887"
	},
	{
		"b2t", "B2T connection",
		"Post-LN; the last sublayer of a layer also adds the layer's input: x = LN(z + x + f(x))",
		"none", "one add an element and layer",
		"scale_init", "",
		"B2T Connection: Serving Stability and Performance in Deep Transformers, arXiv 2206.00330"
	},
	{
		"deepnorm", "DeepNorm",
		"x = LN(alpha x + f(x)), alpha and the initial weights by depth; out = x",
		"none", "none",
		"", "",
		"DeepNet: Scaling Transformers to 1,000 Layers, arXiv 2203.00555"
	},
	{
		"dlcl", "DLCL",
		"a layer reads a learned sum of all earlier layers' normalised outputs y; out = that sum at the end",
		"(L + 1)^2 + 2 d L a stack, and 2 d with norm pre",
		"every layer's output kept, a sum that grows with depth for each layer",
		"norm", "post pre",
		"Learning Deep Transformer Models for Machine Translation, arXiv 1906.01787"
	}
};

#define N_SCHEMES	((int) (sizeof(schemes) / sizeof(schemes[0])))

const RnSchemeInfo *
rn_scheme_infos(int *n)
{
	*n = N_SCHEMES;
	return schemes;
}

const RnSchemeInfo *
rn_scheme_info(const char *name)
{
	int			i;

	for (i = 0; i < N_SCHEMES; i++)
	{
		if (strcmp(schemes[i].name, name) == 0)
			return &schemes[i];
	}
	return NULL;
}

const char *
rn_scheme_nearest(const char *name)
{
	RnNearest	nearest;
	int			i;

	rn_nearest_begin(&nearest, name);
	for (i = 0; i < N_SCHEMES; i++)
		rn_nearest_try(&nearest, schemes[i].name);
	return nearest.best;
}
