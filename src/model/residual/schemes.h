/*
 * schemes.h
 *		All residual schemes.
 *
 * src/model/residual/schemes.h
 */
#ifndef RN_SCHEMES_H
#define RN_SCHEMES_H

#include "model/residual/scheme.h"

extern const RnScheme rn_scheme_residual;
extern const RnScheme rn_scheme_post;
extern const RnScheme rn_scheme_pre;
extern const RnScheme rn_scheme_alt_post_pre;
extern const RnScheme rn_scheme_alt_pre_post;
extern const RnScheme rn_scheme_altsub_post_pre;
extern const RnScheme rn_scheme_altsub_pre_post;
extern const RnScheme rn_scheme_admin;
extern const RnScheme rn_scheme_fixed;
extern const RnScheme rn_scheme_rezero;
extern const RnScheme rn_scheme_b2t;
extern const RnScheme rn_scheme_deepnorm;
extern const RnScheme rn_scheme_dlcl;

#endif							/* RN_SCHEMES_H */
