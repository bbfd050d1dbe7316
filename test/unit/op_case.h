/*
 * op_case.h
 *		How a case of the table of test_ops.c is judged.
 *
 * An operation is noted on the tape (note) and computed by plain loops
 * (plain.h) from the same leaves.  Values must agree; gradients must agree
 * with differences of the plain loops' objective, a random linear functional
 * of the results.  So float builds and other devices are held to the same
 * truth as the double build, and nothing is judged by itself.
 *
 * Each case runs in several surroundings, as the planner treats an operand
 * that is read from outside, one that may be written over and one that
 * somebody else reads too in different ways.  Device memory is reached
 * through RnKernels alone.
 *
 * test/unit/op_case.h
 */
#ifndef RN_OP_CASE_H
#define RN_OP_CASE_H

#include "graph/op.h"

#define MAX_LEAVES		12
#define MAX_RESULTS		4

typedef struct Fixture Fixture;

typedef struct Operation
{
	void		(*setup) (Fixture *fixture);	/* declare leaves */
	void		(*note) (Fixture *fixture, RnGraph *graph);
	void		(*plain) (Fixture *fixture);	/* fill results[].plain and plain_loss */
} Operation;

typedef struct Case
{
	const char *name;
	const Operation *operation;
	const char *lengths;		/* of the sentences, "3 0 1" */
	const char *key_lengths;	/* of those attended to; NULL: the same */
	int			cols;
	int			inner;			/* out columns, inputs, vocabulary, head size, ... */
	int			heads;
	double		dropout;
	unsigned	flags;			/* the operation's own, and those below */
} Case;

enum
{
	FORWARD_ONLY = 1u << 31,	/* has no way back */
	ONLY_FIRST = 1u << 30,		/* the objective knows only this result */
	ONLY_SECOND = 1u << 29,
	NO_INPUT_GRAD = 1u << 28	/* inputs want no gradient */
};

typedef enum LeafKind
{
	LEAF_INPUT,
	LEAF_PARAM,
	LEAF_CONSTANT				/* device memory without a gradient */
} LeafKind;

typedef struct Leaf
{
	LeafKind	kind;
	int			rows;
	int			cols;
	int			frozen;			/* a parameter that is not trained */
	double	   *host;			/* what plain reads; exact in rn_real */
	const double *differs;		/* 0 where nothing depends on it; NULL: nowhere */
	int			param;			/* number in params */
	rn_real    *device;			/* of inputs and constants */
	RnTensor   *tensor;			/* of this pass, from outside */
	RnTensor   *operand;		/* of this pass, as the operation sees it */
	double	   *extra;			/* gradient from another reader, this pass */
	double	   *wanted;			/* gradient by differences */
} Leaf;

typedef struct Result
{
	RnTensor   *tensor;			/* NULL: an array that is there after forward */
	const rn_real *const *array;
	size_t		size;
	double	   *plain;			/* zeros before plain is called */
	double	   *seed;			/* weight in the objective */
	int			in_objective;
} Result;

struct Fixture
{
	const Case *c;
	const RnKernels *kernels;
	RnLane	   *lane;
	RnGraph    *graph;
	RnPacked	packed;
	RnPacked	keys;
	int32_t    *ids;			/* [packed.rows] below inner */
	int			id_limit;
	RnParams	params;
	rn_real    *values;			/* device */
	rn_real    *gradients;		/* device */
	Leaf		leaves[MAX_LEAVES];
	int			n_leaves;
	Result		results[MAX_RESULTS];
	int			n_results;
	int			surrounding;
	int			only_values;	/* this pass has no gradients and no dropout */
	int			has_loss;
	RnLoss		loss;
	RnLoss		other_loss;
	const rn_real *row_nll;		/* device */
	double		loss_scale;		/* weight of plain_loss in the objective */
	double		plain_loss;
	double		plain_nll;
	void	   *memory[64];		/* host, freed at the end */
	int			n_memory;
	rn_real    *device_memory[64];	/* likewise */
	size_t		device_bytes[64];
	int			n_device_memory;
};

/* For setup: a leaf of random values around center; gives its number. */
extern int	leaf(Fixture *fixture, LeafKind kind, int rows, int cols, double center, double spread);
extern void *fixture_alloc(Fixture *fixture, size_t bytes);

/* For note. */
extern RnTensor *operand(Fixture *fixture, int number);
extern const RnParam *param(Fixture *fixture, int number);

/* The next result; gives its weights in the objective, which may be changed. */
extern double *result(Fixture *fixture, RnTensor *tensor);

/* One that is only looked at. */
extern void result_array(Fixture *fixture, const rn_real *const *array, size_t size);

/* For plain. */
static inline double *
host(Fixture *fixture, int number)
{
	return fixture->leaves[number].host;
}

/* What dropout the operation with this site number uses. */
extern RnDropout dropout_at(const Fixture *fixture, double rate, uint32_t site);

/* All cases whose name contains pattern (NULL: all); the exit status of the test. */
extern int	run_cases(const char *pattern, const Case *cases, size_t n);

#endif							/* RN_OP_CASE_H */
