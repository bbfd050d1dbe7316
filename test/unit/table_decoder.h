/*
 * table_decoder.h
 *		A decoder that is a table of random numbers, for tests of the search.
 *
 * A program with this part has its own rn_decoder_begin, rn_decoder_restrict and rn_decoder_step:
 * what follows a prefix is drawn from a hash of sentence and prefix, so the
 * whole tree of answers is known, and small trees can be searched exhaustively.
 *
 * test/unit/table_decoder.h
 */
#ifndef RN_TABLE_DECODER_H
#define RN_TABLE_DECODER_H

#include "kernels/device.h"
#include "translate/beam.h"

#define TABLE_VOCABULARY	64		/* at most, and so the others */
#define TABLE_ROWS		4096
#define TABLE_TOKENS	64

enum
{
	TABLE_PAD = 0,
	TABLE_START = 1,
	TABLE_END = 2
};

/* How the numbers are drawn. */
typedef enum TableKind
{
	TABLE_RANDOM,						/* any */
	TABLE_UNIFORM,					/* all alike: everything is a tie */
	TABLE_LEVELS,						/* few values, the same after every prefix: many ties */
	TABLE_NEVER_END,					/* end has no probability */
	TABLE_ALWAYS_END,					/* nothing but end has */
	TABLE_NOT_A_NUMBER				/* from the third step on */
} TableKind;

struct RnDecoder
{
	TableKind		kind;
	int			vocabulary;
	uint64_t	seed;
	uint64_t	names[TABLE_ROWS];	/* hash of sentence and prefix of each row */
	int			rows;
	int			steps;
	int			max_rows;
	int			max_steps;
	long		rows_seen;
	int			misused;		/* a rule of the contract was broken */
	int			fail_at;		/* step that fails; 0: none */
	volatile int *stop;			/* is set at step stop_at */
	int			stop_at;
	rn_real	   *logits;
	const int32_t *only;		/* [n_only] tokens that logits are given of; n_only 0: all */
	int			n_only;
	uint8_t		hidden[TABLE_VOCABULARY];	/* tokens whose logits are -infinity */
};

typedef struct TableSources
{
	RnPacked	packed;
	int32_t		offsets[TABLE_ROWS];
	int32_t		ids[TABLE_ROWS];
} TableSources;

extern const RnKernels *table_kernels;
extern RnLane *table_lane;
extern const RnDemand *const *table_demands;	/* of the next searches; NULL: none */
extern const RnRestriction *table_restriction;	/* likewise */

/* Open the device; 0 when that fails. */
extern int	table_open(RnContext *ctx);

extern uint64_t table_mix(uint64_t a, uint64_t b);

/* The hash of a sentence by its first piece, so that it is the same in any batch; then mix in START and tokens. */
extern uint64_t table_sentence_name(const RnDecoder *decoder, int32_t first_piece);

/* log softmax of what follows a prefix, in the numbers of the device; pad is impossible. */
extern void table_log_probabilities(const RnDecoder *decoder, uint64_t name, int step, double *lp);

/* Sentence s is first piece 10 + numbers[s] and lengths[s] rows in all. */
extern void table_sources(TableSources *sources, int n, const int *numbers, const int *lengths);
extern RnModel *table_model(int vocabulary, int longest);
extern void table_options(RnSearchOptions *options, int beam, double exponent, int max_length);
extern RnStatus table_search(RnContext *ctx, RnDecoder *decoder, RnModel *model, const TableSources *sources,
							 const RnSearchOptions *options, RnHypotheses *found, const volatile int *stop);

#endif							/* RN_TABLE_DECODER_H */
