/*
 * training.h
 *		One training job, as its worker sees it.
 *
 * train_worker.c is the journey from top to bottom; train_feed.c is what goes
 * to the engine, train_store.c what comes back from it, train_transaction.c
 * how it is written without waiting for anybody.
 *
 * src/pg/training.h
 */
#ifndef RES_TRAINING_H
#define RES_TRAINING_H

#include "residual.h"

#include "lib/stringinfo.h"

#include "channel.h"
#include "engine_process.h"
#include "job.h"
#include "model_catalog.h"
#include "options.h"
#include "weights.h"

/* What the parts that come belong to. */
typedef enum ResIncoming
{
	RES_NOTHING,				/* a tokenizer, when a part comes all the same */
	RES_CHECKPOINT,				/* a transaction is open */
	RES_MODEL					/* a transaction is open until the job is done */
} ResIncoming;

typedef struct ResTraining
{
	ResJob		job;
	Oid			table;			/* that its row is in */
	RnConfig	config;			/* of job.options */
	bool		has_gpu;		/* a place on one is taken */
	ResEngine	engine;
	ResChannel	channel;
	int64		oom_kills;		/* of the system when the engine began */

	StringInfoData tokenizer;	/* learned now, or given to the engine */
	bool		tokenizer_stored;
	int64		step;			/* of the last progress */
	int64		total_steps;

	/* while a checkpoint or the model comes in */
	ResIncoming incoming;
	ResCatalog	catalog;
	ResWeightWriter *writer;
	int64		incoming_step;
	ResVersion	version;
	bool		activate;

	bool		stopping;		/* RN_STOP has been sent */
	bool		done;			/* RN_DONE has come */
	char		end_state[32];	/* "done" or "stopped" */
} ResTraining;

/* ---- train_transaction.c ---- */

/*
 * A short transaction of the worker that only reads: ERROR 42704 when the
 * job's owner has been dropped, or the extension that the job is of.
 */
extern void res_training_begin(const ResTraining *training);

/*
 * The same for one that writes: what it writes to, and the job's row, are
 * locked when it begins, without ever waiting inside a lock.  ERROR 57014 when
 * a cancel has come and the locks are not had within residual.stop_grace.
 */
extern void res_training_begin_report(const ResTraining *training);

/* The row of the job's model, if there is one, is locked as well. */
extern void res_training_begin_model(const ResTraining *training);

/* For the last report: nothing need be there any more; false when the job's row cannot be. */
extern bool res_training_begin_end(const ResTraining *training);

extern void res_training_commit(void);

/* What CHECK_FOR_INTERRUPTS would do, but for ending: others must never wait for us. */
extern void res_training_serve_interrupts(void);

/* ---- train_worker.c ---- */

/* The engine has hung up: reap it and raise the ERROR that says how it ended. */
extern void res_training_engine_lost(ResTraining *training) pg_attribute_noreturn();

/* ---- train_feed.c ---- */

/* Start the engine with a spill file, send it options, what to go on from, and all rows. */
extern void res_training_feed(ResTraining *training);

/* How often the kernel has killed for want of memory, anywhere; 0 where it does not tell. */
extern int64 res_training_oom_kills(void);

/* ---- train_weights.c: frames that are, or lie around, parts ---- */

extern void res_training_take_part(ResTraining *training, RnReader *reader);
extern void res_training_checkpoint_begin(ResTraining *training, RnReader *reader);
extern void res_training_checkpoint_end(ResTraining *training);
extern void res_training_model_begin(ResTraining *training, RnReader *reader);
extern void res_training_model_end(ResTraining *training);

/* The job ends in the transaction that brings the model, and needs its checkpoints no more. */
extern void res_training_finish(ResTraining *training, RnReader *reader);

/* ---- train_store.c ---- */

/* Write to the catalog what a frame tells; ERROR when it tells an error. */
extern void res_training_store(ResTraining *training, const RnFrame *frame);

/* ERROR 08P01 when a frame was too short, or longer than what it tells. */
extern void res_training_check_end(const RnReader *reader, const char *what);

/* Who computes for the job. */
extern void res_training_note_engine(const ResTraining *training);

/* An error frame as an ERROR. */
extern void res_training_raise(const RnFrame *frame) pg_attribute_noreturn();

/* A frame that has no place where it came. */
extern void res_training_unexpected(const RnFrame *frame) pg_attribute_noreturn();

/* One line for pg_stat_activity. */
extern void res_training_activity(const ResTraining *training, const char *phase);

#endif							/* RES_TRAINING_H */
