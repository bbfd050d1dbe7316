/*
 * train_client.h
 *		The other side of a training engine, without PostgreSQL: starts one,
 *		feeds it, and keeps what it tells.
 *
 * test/unit/train_client.h
 */
#ifndef RN_TRAIN_CLIENT_H
#define RN_TRAIN_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "wire/protocol.h"

/* Bytes that grow. */
typedef struct Bytes
{
	char	   *bytes;
	size_t		used;
	size_t		capacity;
} Bytes;

extern void bytes_add(Bytes *bytes, const void *more, size_t size);
extern void bytes_free(Bytes *bytes);
extern int	bytes_read(Bytes *bytes, const char *path);
extern int	bytes_write(const Bytes *bytes, const char *path);

/* A row; 0 at the end. */
typedef int (*NextRow) (void *arg, int *set, const char **source, const char **target);

typedef struct TrainRun
{
	/* given */
	const char *engine;			/* path of the program */
	const char *const *options; /* "key=value", NULL at the end */
	NextRow		next_row;
	void	   *row_arg;
	const Bytes *tokenizer;		/* of the run before, or NULL */
	const Bytes *checkpoint_in; /* PART frames, as kept in checkpoint; NULL: begin anew */
	const Bytes *model_in;		/* PART frames of a model whose weights to go on from, or NULL */
	uint64_t	spill_limit;
	uint64_t	memory_limit;
	int64_t		stop_after;		/* send STOP when a step of at least this is told; 0: never */
	int			kill_after;		/* kill -9 when so many checkpoints have come; 0: never */
	FILE	   *show;			/* where to print what comes; NULL: nowhere */

	/* found out */
	pid_t		pid;
	int			fd;
	Bytes		tokenizer_out;	/* the blob */
	Bytes		checkpoint;		/* PART frames of the last whole checkpoint */
	Bytes		model;			/* PART frames of the model, tokenizer included */
	Bytes		configuration;	/* "key=value\n" of the model */
	Bytes		statistics;		/* payloads of STATISTICS frames */
	int			n_statistics;
	int			n_logs;
	int			n_progress;
	int			n_checkpoints;
	int64_t		checkpoint_step;
	uint64_t	pairs;
	uint64_t	rows_empty;
	uint64_t	rows_long;
	uint64_t	held_out;
	uint64_t	fingerprint[2];
	uint32_t	vocabulary;
	uint64_t	parameters;
	int64_t		last_step;		/* told by anything */
	double		first_loss;		/* of PROGRESS or LOG */
	double		last_loss;
	double		last_validation_loss;
	double		last_bleu;
	double		best_bleu;
	uint64_t	memory;
	char		device[64];
	double		tokens_per_second;	/* last */
	char		state[16];		/* of DONE; empty: none came */
	char		reason[160];
	int64_t		done_step;
	uint32_t	error;			/* RnStatus of ERROR */
	char		message[512];
	char		detail[512];
	char		hint[512];
	int			malformed;		/* frames that could not be read */
	double		stop_seconds;	/* from STOP to DONE */
	int			exit_status;	/* as waitpid gives it */
	double		seconds;
} TrainRun;

extern double client_clock(void);

/* Start an engine: pid and fd of the run.  0 on success. */
extern int	client_start(TrainRun *run);

/* The whole journey: start, feed, listen, wait for the end.  0 unless something of the client's own failed. */
extern int	client_train(TrainRun *run);
extern void client_free(TrainRun *run);

/* The weight called name in the PART frames: count floats, NULL if there is none.  malloc'd. */
extern float *client_tensor(const Bytes *parts, const char *name, size_t *count);

#endif							/* RN_TRAIN_CLIENT_H */
