/*
 * sorter.h
 *		Records in the order of their keys, however many they are.
 *
 * Memory holds a bounded part; full parts are sorted and go to the spill file
 * as runs, which are merged at the end in one pass.
 *
 * src/train/sorter.h
 */
#ifndef RN_SORTER_H
#define RN_SORTER_H

#include "base/spill.h"

typedef struct RnSorter RnSorter;

/* Takes the records in order. */
typedef RnStatus (*RnSorterEmit) (RnContext *ctx, void *arg, const char *bytes, size_t size);

extern RnStatus rn_sorter_create(RnContext *ctx, RnSpill *spill, size_t memory_bytes, RnSorter **sorter);
extern void rn_sorter_free(RnSorter *sorter);

/* Records with equal keys come out in any order. */
extern RnStatus rn_sorter_add(RnContext *ctx, RnSorter *sorter, const uint64_t key[2], const char *bytes, size_t size);

/* Once, at the end. */
extern RnStatus rn_sorter_finish(RnContext *ctx, RnSorter *sorter, RnSorterEmit emit, void *arg);

#endif							/* RN_SORTER_H */
