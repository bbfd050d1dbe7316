/*
 * kernel.h
 *		What a device can do: one table of operations over plain arrays.
 *
 * The model is written once against this table; each device fills every slot
 * (device.c checks it).  A lane is one stream of work: on the CPU the scratch
 * of one thread, on CUDA a stream.  Kernels of one lane run in order; they
 * return nothing, what went wrong on a device is told by synchronize.
 * Matrices are row-major; "ld" is the distance of two rows in elements.
 * Nothing waits for a device but copies to the host, synchronize and what says
 * so: decisions over a step of training are made there (RnDecision).
 *
 * One rule of accumulation: forward kernels overwrite.  Backward kernels add
 * into parameter gradients always, and into activation gradients when the
 * caller says so (accumulate); else they overwrite, so that nobody has to
 * clear memory first.  A NULL gradient is not wanted.
 *
 * Arrays of rn_real and double and single ones are device memory; arrays of
 * integers, RnPacked and what they point to are host memory, and free on
 * return.
 *
 * Any count may be 0.
 *
 * kernels/kernel.h
 */
#ifndef RN_KERNEL_H
#define RN_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"
#include "base/random.h"
#include "base/real.h"

#define RN_KERNELS_VERSION	3

typedef struct RnLane RnLane;

/* A weight matrix made ready for many products; its inside is the device's own. */
typedef struct RnPrepared RnPrepared;

/*
 * Number formats of prepared weights.  RN_FORMAT_INT8: W[j] = scale[j] q[j],
 * whole numbers q from -127 to 127, one scale a row; the rows of x are made
 * such numbers as well as they come, the sums are exact.
 */
typedef enum RnFormat
{
	RN_FORMAT_REAL = 0,
	RN_FORMAT_INT8
} RnFormat;

typedef enum RnActivation
{
	RN_RELU = 0,
	RN_GELU						/* exact, with erf */
} RnActivation;

/* Packed sequences: sentence s has rows offsets[s] .. offsets[s + 1] - 1. */
typedef struct RnPacked
{
	int			n_sentences;
	int			rows;			/* offsets[n_sentences] */
	const int32_t *offsets;		/* [n_sentences + 1], starts at 0 */
	const int32_t *positions;	/* [rows] position in the sentence, from 0 */
	const uint32_t *row_ids;	/* [rows] name of each row for dropout: the same however
								 * the batch is cut into shards */
} RnPacked;

/*
 * Attention scores and probabilities are ragged: sentence s with n queries
 * and m keys has heads * n rows of rn_attention_stride(m) elements, head by
 * head, row (h * n + i); entries from m on are 0.  Sentences follow one
 * another.  rn_attention_size gives the length of the whole.
 */
static inline int
rn_attention_stride(int n_keys)
{
	return (n_keys + 15) & ~15;
}

static inline size_t
rn_attention_size(const RnPacked *queries, const RnPacked *keys, int heads)
{
	size_t		size = 0;
	int			s;

	for (s = 0; s < queries->n_sentences; s++)
		size += (size_t) heads * (queries->offsets[s + 1] - queries->offsets[s]) *
			rn_attention_stride(keys->offsets[s + 1] - keys->offsets[s]);
	return size;
}

/*
 * Scaled dot-product attention over packed sentences (Vaswani et al. 2017,
 * eq. 1), optionally with running scores (He et al. 2021, RealFormer):
 *
 *		A = Q K^T scale + scores_in		per sentence and head
 *		P = softmax(A / score_divisor + mask)
 *		output = dropout(P) V
 */
typedef struct RnAttentionArgs
{
	const RnPacked *queries;
	const RnPacked *keys;		/* as many sentences; the same object for self-attention */
	int			heads;
	int			head_size;		/* width = heads * head_size */
	int			causal;			/* query i sees keys 0 .. i */
	double		scale;			/* 1 / sqrt(head_size) */
	double		score_divisor;	/* 1; the layer's number for RealFormer's mean */
	RnDropout	dropout;		/* of P */

	const rn_real *q;			/* [queries, width] */
	int			ldq;
	const rn_real *k;			/* [keys, width] */
	int			ldk;
	const rn_real *v;			/* [keys, width] */
	int			ldv;
	const rn_real *scores_in;	/* ragged, or NULL */
	rn_real    *scores_out;		/* ragged: A unmasked, or NULL */
	rn_real    *probabilities;	/* ragged: P before dropout, kept for backward; forward
								 * only: NULL allowed */
	rn_real    *output;			/* [queries, width], dense */

	/* backward */
	const rn_real *doutput;		/* [queries, width], dense */
	const rn_real *dscores_out; /* ragged, or NULL */
	rn_real    *dscores_in;		/* ragged, overwritten, may be dscores_out; or NULL */
	rn_real    *dq;				/* leading dimensions as q, k, v; or NULL */
	rn_real    *dk;
	rn_real    *dv;
	int			lddq;
	int			lddk;
	int			lddv;
	int			accumulate_q;	/* add to dq instead of overwriting */
	int			accumulate_kv;	/* add to dk and dv instead of overwriting */
} RnAttentionArgs;

/*
 * One decoding step: each row is one query that sees a list of cached keys.
 * Row r sees entries list[first[r] .. first[r] + count[r] - 1] when list is
 * given, else rows first[r] .. first[r] + count[r] - 1 themselves.
 */
typedef struct RnAttentionStepArgs
{
	int			rows;
	int			heads;
	int			head_size;
	double		scale;
	double		score_divisor;
	const int32_t *first;		/* [rows] */
	const int32_t *count;		/* [rows], at least 1 */
	const int32_t *list;		/* numbers of cache rows, or NULL */
	const rn_real *q;			/* [rows, width] */
	int			ldq;
	const rn_real *k;			/* cache: row number * ldk */
	int			ldk;
	const rn_real *v;
	int			ldv;
	const rn_real *scores_in;	/* [rows, heads, score_stride], or NULL */
	rn_real    *scores_out;		/* likewise: A before the division, or NULL */
	rn_real    *probabilities;	/* likewise (alignments), or NULL */
	int			score_stride;	/* at least the largest count */
	rn_real    *output;			/* [rows, width], dense */
} RnAttentionStepArgs;

/*
 * How a sublayer joins the stream, in one pass:
 *
 *		a = branch_scale * gate * dropout(branch + bias)
 *		s = shortcut_scale * omega * shortcut + a		(* omega: element-wise)
 *		D = D + dual_scale * a							when there is a dual stream
 *		output = gain * (s - mean) / sqrt(var + epsilon) + shift, or s without gain
 */
typedef struct RnResidualArgs
{
	int			rows;
	int			cols;
	const rn_real *shortcut;	/* [rows, cols] */
	const rn_real *branch;		/* [rows, cols] */
	const rn_real *bias;		/* [cols] or NULL */
	const rn_real *omega;		/* [cols] or NULL (1) */
	const rn_real *gate;		/* [1] or NULL (1) */
	const rn_real *gain;		/* [cols] or NULL: no norm */
	const rn_real *shift;		/* [cols]; with gain */
	double		shortcut_scale;
	double		branch_scale;
	double		dual_scale;
	double		epsilon;
	RnDropout	dropout;
	const uint32_t *row_ids;	/* [rows]; used when dropout is on */
	rn_real    *dual;			/* [rows, cols] changed in place, or NULL */
	rn_real    *output;			/* [rows, cols]; not shortcut, may be branch */
	rn_real    *normalized;		/* [rows, cols] (s - mean) * rstd, for backward; may be
								 * branch; NULL: not kept */
	rn_real    *rstd;			/* [rows] 1 / sqrt(var + epsilon); NULL: not kept */

	/* backward */
	const rn_real *doutput;		/* [rows, cols] */
	const rn_real *ddual;		/* [rows, cols] gradient of D, the same before and after; or NULL */
	rn_real    *dshortcut;		/* [rows, cols] or NULL */
	rn_real    *dbranch;		/* [rows, cols] or NULL; may be doutput */
	rn_real    *dbias;			/* parameter gradients: added to, or NULL */
	rn_real    *domega;			/* needs shortcut */
	rn_real    *dgate;			/* needs branch */
	rn_real    *dgain;
	rn_real    *dshift;
	int			accumulate_shortcut;
	int			accumulate_branch;
} RnResidualArgs;

/*
 * Layer norm, and the end of a dual stream:
 *
 *		output = add_scale * add + gain * (x - mean) / sqrt(var + epsilon) + shift
 */
typedef struct RnNormArgs
{
	int			rows;
	int			cols;
	const rn_real *x;			/* [rows, cols] */
	const rn_real *add;			/* [rows, cols] or NULL */
	double		add_scale;
	const rn_real *gain;		/* [cols] or NULL: 1 */
	const rn_real *shift;		/* [cols] or NULL: 0 */
	double		epsilon;
	rn_real    *output;			/* [rows, cols] */
	rn_real    *normalized;		/* [rows, cols], may be x; NULL: not kept */
	rn_real    *rstd;			/* [rows]; NULL: not kept */

	const rn_real *doutput;
	rn_real    *dx;				/* or NULL */
	rn_real    *dadd;			/* or NULL */
	rn_real    *dgain;			/* added to, or NULL */
	rn_real    *dshift;
	int			accumulate_x;
	int			accumulate_add;
} RnNormArgs;

/*
 *		y = dropout(activation(x + bias))
 *
 * With RN_RELU pre is not needed and y may be x; RN_GELU keeps x + bias in
 * pre, which may be x.
 */
typedef struct RnActivationArgs
{
	RnActivation kind;
	int			rows;
	int			cols;
	const rn_real *x;
	const rn_real *bias;		/* [cols] or NULL */
	RnDropout	dropout;
	const uint32_t *row_ids;
	rn_real    *pre;
	rn_real    *y;

	const rn_real *dy;
	rn_real    *dx;				/* may be dy */
	rn_real    *dbias;			/* added to, or NULL */
	int			accumulate;
} RnActivationArgs;

/*
 *		y = dropout(scale * table[id] + position_table[position])
 *
 * A position below 0 adds nothing.  Backward skips pad_id; equal ids add up
 * in row order.
 */
typedef struct RnEmbeddingArgs
{
	int			rows;
	int			cols;
	const int32_t *ids;			/* [rows] */
	const int32_t *positions;	/* [rows] */
	const uint32_t *row_ids;
	const rn_real *table;		/* [vocabulary, cols] */
	const rn_real *position_table;	/* [positions, cols] */
	double		scale;
	int32_t		pad_id;			/* -1: none */
	RnDropout	dropout;
	rn_real    *y;

	const rn_real *dy;
	rn_real    *dtable;			/* added to */
} RnEmbeddingArgs;

/*
 * Label-smoothed cross-entropy of rows of logits (Szegedy et al. 2016), lp =
 * log softmax, V columns:
 *
 *		variant 0:  (1 - e - e/(V-1)) * -lp[target] + e/(V-1) * sum -lp
 *		variant 1:  (1 - e) * -lp[target] + e/V * sum -lp
 */
typedef struct RnLossArgs
{
	int			rows;
	int			cols;			/* V */
	rn_real    *logits;			/* [rows, cols]; becomes its gradient when gradient is set */
	const int32_t *targets;		/* [rows]; -1: the row has no loss, and no gradient */
	double		smoothing;		/* e */
	int			variant;
	int			gradient;
	double		gradient_scale; /* 1 / target tokens of the whole update */
	const double *loss_scale;	/* [1] times this, or NULL (1) */
	rn_real    *row_nll;		/* [rows] -lp[target], or NULL */
	double	   *sums;			/* [2] loss and nll are added, or NULL */
} RnLossArgs;

/*
 * Some columns of each row, side by side:
 *
 *		y[r, j] = x[r, list[first[r] + j]]	j < count[r]; then -infinity
 */
typedef struct RnGatherArgs
{
	int			rows;
	int			cols;			/* of y; at least the largest count */
	const int32_t *first;		/* [rows] */
	const int32_t *count;		/* [rows] */
	const int32_t *list;
	const rn_real *x;			/* [rows, ldx] */
	int			ldx;
	rn_real    *y;				/* [rows, cols] */
} RnGatherArgs;

/* Losses are scaled by powers of 2 between these (Micikevicius et al. 2018, section 3.2). */
#define RN_LOSS_EXPONENT_START	7
#define RN_LOSS_EXPONENT_LEAST	(-16)
#define RN_LOSS_EXPONENT_MOST	24

typedef enum RnHalt
{
	RN_HALT_NONE = 0,
	RN_HALT_LOSS,				/* is not a finite number */
	RN_HALT_GRADIENT
} RnHalt;

/*
 * What was decided over a step, and what it was like.  It lies in device
 * memory: decide writes it, loss and adam read it, and nobody need wait for a
 * norm to go on.  Who holds the gradients in the end decides alike: the values
 * follow from them, from the sums of losses and from the decision before.
 */
typedef struct RnDecision
{
	/* for adam */
	double		mean_scale;		/* makes the mean of the summed gradient */
	double		gradient_scale; /* and clips */
	double		learning_rate;
	double		rate;			/* learning_rate, corrected for the number of updates */
	double		root;			/* likewise, of sqrt(v) */
	int32_t		skip;			/* the update is not made */

	/* from step to step */
	int32_t		halted;			/* RnHalt: no more updates, until the host has cleared it */
	int32_t		loss_exponent;
	int32_t		good_steps;		/* since it changed */
	double		loss_scale;		/* 2^loss_exponent where losses are scaled, else 1 */
	int64_t		updates;		/* made */

	/* what the host reads now and then */
	double		loss;			/* sums of the steps since the first one told of */
	double		nll;
	double		norm;			/* of the last update's mean gradient, before clipping */
	int32_t		steps;			/* told of; the last one is that which halted, if any has */
	int32_t		skipped;		/* of them, as the scaled gradient was too large */
} RnDecision;

/* A step, between the sum of its gradients and the update. */
typedef struct RnDecideArgs
{
	int			n_squares;
	const double *squares;		/* [n_squares] of the parts of the summed gradient; added in order */
	int			n_sums;
	double	   *sums;			/* [n_sums, 2] of losses and nll; added in order, then cleared */
	double		gradient_scale; /* that of the losses, but for decision->loss_scale */
	double		target_tokens;
	double		clip_norm;		/* 0: none */
	double		learning_rate;
	double		beta1;
	double		beta2;
	int			fairseq;		/* epsilon added before the bias correction of v */
	int			scaling;		/* losses are scaled */
	int			first;			/* the host has read what the steps before were like */
	RnDecision *decision;
} RnDecideArgs;

/* Kingma & Ba 2015, decoupled decay (Loshchilov & Hutter 2019). */
typedef struct RnAdamArgs
{
	size_t		n;
	rn_real    *value;
	rn_real    *gradient;		/* set to 0 afterwards */
	rn_real    *first;			/* m */
	rn_real    *second;			/* v */
	const RnDecision *decision;
	double		beta1;
	double		beta2;
	double		epsilon;
	double		weight_decay;
	rn_real    *change;			/* [n] the step just made, or NULL */
} RnAdamArgs;

/* The largest of what a lane will be given: what it needs beside its caller's memory follows. */
typedef struct RnWork
{
	int			rows;			/* of all sentences of a pass */
	int			longest;		/* of a sentence */
	int			width;			/* columns of the stream, heads * head_size */
	int			widest;			/* columns of any activation but logits */
	size_t		scores;			/* rn_attention_size of an attention */
} RnWork;

#define RN_STEPS_AHEAD_MOST 64

typedef struct RnKernels
{
	int			version;		/* RN_KERNELS_VERSION */
	int			real_size;		/* sizeof(rn_real) of the build */

	/* what it is like, for those who cut work for it */
	int			host_memory;	/* device memory is the host's: nothing need be copied to be read */
	int			lanes;			/* that may work at once; 0: any number */
	int			pass_rows;		/* of a pass in training: enough to keep a lane busy */
	int			pad_rows;		/* passes in training had better have a multiple of so many rows; 0: any number */
	int			steps_ahead;	/* of training that may be under way before one is waited for, at most
								 * RN_STEPS_AHEAD_MOST; 1: each is */
	int			rounded_size;	/* bytes of the numbers that products work with, where those are smaller than rn_real; 0 */
	int			loss_scaling;	/* products have few small numbers: small gradients need a scale */
	int64_t		memory;			/* bytes that may be allocated; 0: whatever the host has */

	const char *name;			/* "cpu", "cuda", ... */
	const char *(*description) (void);	/* "AVX-512, OpenBLAS 0.3.21" */

	/* lanes and memory */
	RnStatus	(*lane_create) (RnContext *ctx, RnLane **lane);
	void		(*lane_free) (RnLane *lane);

	/*
	 * What lanes keep for themselves grows as it is needed.  lane_bytes is the
	 * most that a lane comes to by such work, lane_reserve takes it now.
	 */
	size_t		(*lane_bytes) (const RnWork *work);
	RnStatus	(*lane_reserve) (RnContext *ctx, RnLane *lane, const RnWork *work);

	/*
	 * Take so much at once: what is allocated from now on, by lanes too, comes
	 * from it while it lasts; each part counts as a multiple of 256 bytes.
	 * Where the host's memory is used nothing is taken.
	 */
	RnStatus	(*reserve) (RnContext *ctx, size_t bytes);
	RnStatus	(*allocate) (RnContext *ctx, size_t bytes, void **memory);	/* 64-byte aligned, zeroed */
	void		(*release) (void *memory, size_t bytes);
	void		(*copy_in) (RnLane *lane, void *device, const void *host, size_t bytes);	/* host is free on return */
	void		(*copy_out) (RnLane *lane, void *host, const void *device, size_t bytes);
	void		(*copy) (RnLane *lane, void *to, const void *from, size_t bytes);
	void		(*zero) (RnLane *lane, void *memory, size_t bytes);
	RnStatus	(*synchronize) (RnContext *ctx, RnLane *lane);

	/*
	 * Between these a device may note what it is asked, and do it in the end or
	 * when somebody waits: of use where the same follows again and again.
	 */
	void		(*note_begin) (RnLane *lane);
	void		(*note_end) (RnLane *lane);

	/* What is known to have gone wrong, without waiting: memory that was refused, above all. */
	RnStatus	(*look) (RnContext *ctx, RnLane *lane);

	/* C = alpha op(A) op(B) + beta C, op(A) [m, k], op(B) [k, n]; beta 0 does not read C */
	void		(*product) (RnLane *lane, int transpose_a, int transpose_b, int m, int n, int k,
							double alpha, const rn_real *a, int lda, const rn_real *b, int ldb,
							double beta, rn_real *c, int ldc);

	/*
	 * Where rounded_size is not 0: numbers as products round them, to be made
	 * once and multiplied often; C = alpha op(A) op(B) + bias + beta C of such.
	 * bias [n] or NULL, with beta 0.
	 */
	void		(*round) (RnLane *lane, size_t n, const rn_real *x, void *rounded);
	void		(*rounded_product) (RnLane *lane, int transpose_a, int transpose_b, int m, int n, int k,
									double alpha, const void *a, int lda, const void *b, int ldb,
									const rn_real *bias, double beta, rn_real *c, int ldc);

	/*
	 * W [n, k], dense, made ready once; any lanes may use it at the same time.
	 * prepared_bytes is what it takes, 0 when the device has no such format:
	 * prepare then gives RN_UNSUPPORTED.
	 */
	size_t		(*prepared_bytes) (RnFormat format, int n, int k);
	RnStatus	(*prepare) (RnContext *ctx, RnLane *lane, RnFormat format, int n, int k, const rn_real *w,
							RnPrepared **prepared);
	void		(*discard) (RnPrepared *prepared);

	/* y[m, n] = x[m, k] W^T + bias; bias may be NULL */
	void		(*prepared_product) (RnLane *lane, const RnPrepared *w, int m, const rn_real *x, int ldx,
									 const rn_real *bias, rn_real *y, int ldy);

	/* y = x W^T + bias, x [rows, in], W [out, in], y [rows, out]; bias [out] or NULL */
	void		(*linear_forward) (RnLane *lane, int rows, int out, int in, const rn_real *x, const rn_real *weight,
								   const rn_real *bias, rn_real *y);

	/* adds the column sums of dy to dbias */
	void		(*bias_backward) (RnLane *lane, int rows, int cols, const rn_real *dy, int lddy, rn_real *dbias);

	void		(*activation_forward) (RnLane *lane, const RnActivationArgs *args);
	void		(*activation_backward) (RnLane *lane, const RnActivationArgs *args);
	void		(*residual_forward) (RnLane *lane, const RnResidualArgs *args);
	void		(*residual_backward) (RnLane *lane, const RnResidualArgs *args);
	void		(*norm_forward) (RnLane *lane, const RnNormArgs *args);
	void		(*norm_backward) (RnLane *lane, const RnNormArgs *args);
	void		(*embedding_forward) (RnLane *lane, const RnEmbeddingArgs *args);
	void		(*embedding_backward) (RnLane *lane, const RnEmbeddingArgs *args);
	void		(*attention_forward) (RnLane *lane, const RnAttentionArgs *args);
	void		(*attention_backward) (RnLane *lane, const RnAttentionArgs *args);
	void		(*attention_step) (RnLane *lane, const RnAttentionStepArgs *args);
	void		(*loss) (RnLane *lane, const RnLossArgs *args);

	/* y = alpha x + beta y; beta 0 does not read y */
	void		(*scaled_add) (RnLane *lane, size_t n, double alpha, const rn_real *x, double beta, rn_real *y);

	/* y = *weight x + beta y, the weight being a parameter (DLCL) */
	void		(*weighted_add) (RnLane *lane, size_t n, const rn_real *weight, const rn_real *x, double beta, rn_real *y);

	/* *out += sum x y */
	void		(*dot_add) (RnLane *lane, size_t n, const rn_real *x, const rn_real *y, rn_real *out);

	/* *out = sum of squares, in double */
	void		(*sum_squares) (RnLane *lane, size_t n, const rn_real *x, double *out);

	void		(*decide) (RnLane *lane, const RnDecideArgs *args);
	void		(*adam) (RnLane *lane, const RnAdamArgs *args);

	void		(*gather) (RnLane *lane, const RnGatherArgs *args);

	/*
	 * The k best of each row as log-probabilities, best first, equal ones by
	 * lower id; banned ids (-1 ends the list) are left out but count in the
	 * normalisation.  ids and scores [rows, k] on the host, valid after
	 * synchronize.
	 */
	void		(*top_k) (RnLane *lane, int rows, int cols, const rn_real *logits, int k,
						  const int32_t *banned, int32_t *ids, rn_real *scores);
} RnKernels;

#endif							/* RN_KERNEL_H */
