/*
 * real.h
 *		The number that the engine computes with: float in the product, double
 *		in the builds that tests use as their judge (-DRN_DOUBLE).
 *
 * src/base/real.h
 */
#ifndef RN_REAL_H
#define RN_REAL_H

#ifdef RN_DOUBLE
typedef double rn_real;
#else
typedef float rn_real;
#endif

#endif							/* RN_REAL_H */
