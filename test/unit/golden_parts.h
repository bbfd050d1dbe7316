/*
 * golden_parts.h
 *		What is compared with reference values.
 *
 * test/unit/golden_parts.h
 */
#ifndef GOLDEN_PARTS_H
#define GOLDEN_PARTS_H

#include "golden_case.h"

extern void golden_check_forward(GoldenCase *this_case);
extern void golden_check_gradients(GoldenCase *this_case);
extern void golden_check_updates(GoldenCase *this_case);
extern void golden_check_search(GoldenCase *this_case);
extern void golden_check_diagnostics(GoldenCase *this_case);
extern void golden_check_profile(GoldenCase *this_case);
extern void golden_check_fold(GoldenCase *this_case);
extern void golden_check_constants(GoldenCase *this_case);

#endif							/* GOLDEN_PARTS_H */
