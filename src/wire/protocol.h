/*
 * protocol.h
 *		What residual.so and residual_engine say to each other.
 *
 * The number before each name goes over the wire.  "pairs" is u32 n, then n
 * times (string key, string value).  A part is a chunk of a tensor or blob:
 *
 *		PART	string name, u32 ndim, u32 dim ..., u32 dtype (RN_DTYPE_*),
 *				u64 total bytes, u64 offset, bytes
 *
 * At most RN_CHUNK bytes each, in order of offset; a blob (tokenizer, state)
 * has ndim 0 and dtype RN_DTYPE_BYTES.
 *
 * src/wire/protocol.h
 */
#ifndef RN_PROTOCOL_H
#define RN_PROTOCOL_H

#include "wire/message.h"

#define RN_PROTOCOL_VERSION 1
#define RN_BUILD_VERSION	"1.0"	/* extension and engine must be of one build */

enum
{
	RN_DTYPE_FLOAT32 = 1,
	RN_DTYPE_BYTES = 2
};

typedef enum RnFrameType
{
	/* ---- both kinds of engine ---- */

	/* engine, at once: u32 protocol, string build, string description of the device, u64 pid */
	RN_HELLO = 1,
	/* engine: u32 RnStatus, string message, string detail, string hint */
	RN_ERROR = 2,
	/* either way: a chunk of a tensor or blob, see above */
	RN_PART = 3,
	/* either way: no payload; answered by RN_PONG with the same id */
	RN_PING = 4,
	RN_PONG = 5,

	/*
	 * ---- training: worker W, engine E; one job a process ----
	 *
	 * W: TRAIN, [PART tokenizer], [PART weights ...], [PART checkpoint ...],
	 *    ROWS ..., ROWS_END, then at any time STOP.
	 * E: PHASE ..., CORPUS, [TOKENIZER as PART], (PROGRESS | LOG | STATISTICS |
	 *    checkpoint | model) ..., DONE or ERROR.
	 */

	/*
	 * W: u64 job, pairs options (effective), u64 spill limit in bytes (0 none),
	 * u64 memory limit in bytes (0 none), u8 what follows: RN_TRAIN_* bits
	 */
	RN_TRAIN = 20,
	/* W: u8 set (0 training, 1 validation), u32 n, n times (bytes source, bytes target) */
	RN_ROWS = 21,
	/* W: no payload: corpus and all parts are complete, go */
	RN_ROWS_END = 22,
	/* W: no payload: write a checkpoint and end (DONE with state stopped) */
	RN_STOP = 23,

	/* E: string: what one should know about the result; kept with the job */
	RN_NOTE = 29,
	/* E: string: "tokenizer", "encoding", "training", "validation", "averaging", "shortlist" */
	RN_PHASE = 30,
	/*
	 * E: u64 pairs used, u64 rows with an empty side, u64 over-long rows, u64 held out,
	 * u64 target tokens, u64 fingerprint[2], u32 vocabulary, u64 parameters
	 */
	RN_CORPUS = 31,
	/*
	 * E, at most about once a second: i64 step, i64 total steps (0 unknown), f64 epoch, f64 target
	 * tokens/s, f64 loss (mean since the last), f64 learning rate, f64 gradient norm, f64 seconds left (-1
	 * unknown), u64 memory bytes, string devices
	 */
	RN_PROGRESS = 32,
	/*
	 * E, at each validation and at the end: i64 step, f64 epoch, f64 training loss, f64 learning rate, f64
	 * validation loss, f64 validation nll, f64 BLEU (NaN where not computed), f64 seconds since the start,
	 * u8 best so far, u32 pairs that the loss is of, u32 sentences that BLEU is of
	 */
	RN_LOG = 33,
	/*
	 * E: i64 step, u32 n, n times (string tensor, string stack, i32 layer, string sublayer, f64 parameter norm,
	 * f64 gradient norm, f64 update norm, f64 Adam's condition number)
	 */
	RN_STATISTICS = 34,
	/* E: i64 step, f64 epoch, then PARTs, then CHECKPOINT_END */
	RN_CHECKPOINT = 35,
	RN_CHECKPOINT_END = 36,
	/*
	 * E, before DONE: the finished model: i64 step, f64 validation loss (NaN none), f64 BLEU (NaN none), u64 parameters, pairs
	 * configuration to record with the model (effective vocab_size included), then PARTs (weights,
	 * "shortlist" where there is one, "tokenizer"), then MODEL_END
	 */
	RN_MODEL = 37,
	RN_MODEL_END = 38,
	/* E: string state ("done", "stopped"), string reason ("max_steps", "patience", "stop"), i64 step, f64 seconds */
	RN_DONE = 39,

	/*
	 * ---- serving: client C, engine S; any number of clients ----
	 *
	 * A model is named by key: u32 database, i64 model, i32 version, u64 checksum.
	 */

	/*
	 * C: key, u8 task (RnTask), pairs options, bytes prefix, pairs glossary (term, translation), u32 n, n times (bytes
	 * text, and for RN_TASK_SCORE and RN_TASK_ALIGN bytes target).  Prefix and glossary are those of a translation, else
	 * empty.  A client may have many under way.  Answered by RESULT or ERROR, in the order of a connection's requests; or at once, out of
	 * turn, by NEED_MODEL (load, then ask again).  While another client is sending the model, a request waits.
	 */
	RN_REQUEST = 40,
	/*
	 * S, by task: TRANSLATE: u32 n, u32 n_best, n * n_best times (u8 present, bytes text, f64 score, f64 log probability,
	 * u32 tokens, u8 source was cut, u32 k, k times (string piece, f64 log probability)), k being 0 or tokens; SCORE:
	 * u32 n, n times (f64 log probability, u32 tokens: 0 where the target is too long for the model); EMBED: u32 n,
	 * u32 width, n times bytes (float32 * width); TOKENIZE and SHORTLIST: u32 n, n times (u32 k, k times string); DETOKENIZE: one
	 * bytes; ALIGN: u32 n, n times (u32 k, k times string source piece, u32 l, l times (string target piece, f64 log
	 * probability, bytes (float32 * k, or none)), u8 source was cut)
	 */
	RN_RESULT = 41,
	RN_NEED_MODEL = 42,
	/*
	 * C: key, pairs configuration, u64 bytes of all parts; then PARTs with the same id, then LOAD_END.  Answered by
	 * LOADED, or by one ERROR, after which the rest of the load is passed over
	 */
	RN_LOAD = 43,
	RN_LOAD_END = 44,
	/* S: no payload */
	RN_LOADED = 45,
	/* C: no payload.  S: pairs (see engine/status.c): queue, models, counters */
	RN_STATUS = 46,
	/* C: no payload: the request of this id is wanted no more.  Its answer may be on its way already */
	RN_FORGET = 51,

	/*
	 * ---- a process of its own: client C, fresh engine F; one question a process ----
	 *
	 * C says APART to a serving engine, with nothing under way.  The next HELLO is that of a fresh engine which has
	 * taken over the connection: C asks it one question, and its end (either way: closing) is the end of both.
	 */

	/* C: no payload.  Answered by the HELLO of F, once a place is free, or by ERROR */
	RN_APART = 47,
	/*
	 * F: a part of an answer that is a table: u32 rows, u32 columns, then rows * columns values: u8 RnValueKind
	 * and, unless it is null, i64, f64 or string.  Then TABLE_END, or ERROR in its place
	 */
	RN_TABLE = 48,
	RN_TABLE_END = 49,
	/*
	 * C, as a question: [LOAD, PART ..., LOAD_END, answered by LOADED], then DIAGNOSE: string diagnostic, pairs
	 * options (effective), u8 RnModelUse, pairs parameters of the diagnostic, u64 memory limit in bytes (0 none);
	 * then ROWS (set 0) ..., ROWS_END.  Answered by TABLE ..., TABLE_END
	 */
	RN_DIAGNOSE = 50,

	/*
	 * C, as a question: SHORTLIST: pairs options of the model and of its shortlist, u64 memory limit in bytes (0 none);
	 * PART tokenizer ..., ROWS (set 0) ..., ROWS_END.  Answered by PART shortlist ..., then SHORTLIST: u64 pairs counted
	 */
	RN_SHORTLIST = 52,

	/* C: no payload.  Answered by a table: device, name, capability, memory, memory free, processors, driver, note */
	RN_DEVICES = 60,

	/*
	 * ---- several devices for a job: leader L, the job's engine; follower F, its child, one for each further device ----
	 *
	 * F: HELLO.  L: RANK, answered by RANK_READY; RANK_MODEL; then RANK_STEP, each with its RANK_BATCHes, and
	 * RANK_DIGEST.  F: ERROR at any time.  Weights and gradients go from device to device, not over this wire.
	 */

	/* L: u32 rank, u32 ranks, string device, string precision, bytes identity of the group */
	RN_RANK = 70,
	/* F: no payload: the group has formed */
	RN_RANK_READY = 71,
	/* L: pairs options (effective, vocab_size included) */
	RN_RANK_MODEL = 72,
	/* L: u8 RnRankStep */
	RN_RANK_STEP = 73,
	/* L: u32 n, n times (bytes source, bytes target): i32 ids */
	RN_RANK_BATCH = 74,
	/* L: no payload.  F: u64 digest[2] of its weights */
	RN_RANK_DIGEST = 75
} RnFrameType;

typedef enum RnRankStep
{
	RN_RANK_UPDATE = 0,
	RN_RANK_PROBE				/* a gradient without an update */
} RnRankStep;

/* What a diagnostic is to do with a model that was sent. */
typedef enum RnModelUse
{
	RN_USE_NOTHING = 0,			/* none was sent: a fresh model, a tokenizer learned from the rows */
	RN_USE_TOKENIZER,			/* a fresh model */
	RN_USE_MODEL
} RnModelUse;

typedef enum RnValueKind
{
	RN_VALUE_NULL = 0,
	RN_VALUE_INTEGER,
	RN_VALUE_NUMBER,
	RN_VALUE_TEXT
} RnValueKind;

enum
{
	RN_TRAIN_TOKENIZER = 1,		/* a tokenizer follows: do not learn one */
	RN_TRAIN_WEIGHTS = 2,		/* weights follow: go on from them */
	RN_TRAIN_CHECKPOINT = 4		/* a checkpoint follows: go on exactly from it */
};

typedef enum RnTask
{
	RN_TASK_TRANSLATE = 1,
	RN_TASK_SCORE,
	RN_TASK_EMBED,
	RN_TASK_TOKENIZE,
	RN_TASK_DETOKENIZE,
	RN_TASK_ALIGN,
	RN_TASK_SHORTLIST
} RnTask;

#endif							/* RN_PROTOCOL_H */
