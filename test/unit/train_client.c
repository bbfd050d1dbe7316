/*
 * train_client.c
 *		The other side of a training engine, without PostgreSQL.
 *
 * test/unit/train_client.c
 */
#include "train_client.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROWS_FRAME	(64 * 1024)

/* Where the run stands. */
typedef struct Client
{
	TrainRun   *run;
	RnContext	ctx;
	RnWriter	out;
	RnInbox		in;
	Bytes		parts;			/* of the checkpoint or model that is coming */
	int			incoming;		/* RN_CHECKPOINT, RN_MODEL, or 0 */
	int64_t		incoming_step;
	int			ended;			/* DONE or ERROR came, or the connection is lost */
	int			stop_sent;
	double		stop_time;
} Client;

double
client_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
}

/* ---- bytes ---- */

void
bytes_add(Bytes *bytes, const void *more, size_t size)
{
	if (bytes->used + size > bytes->capacity)
	{
		bytes->capacity = 2 * (bytes->used + size);
		bytes->bytes = realloc(bytes->bytes, bytes->capacity);
		if (bytes->bytes == NULL)
			abort();
	}
	if (size > 0)
		memcpy(bytes->bytes + bytes->used, more, size);
	bytes->used += size;
}

void
bytes_free(Bytes *bytes)
{
	free(bytes->bytes);
	memset(bytes, 0, sizeof(*bytes));
}

int
bytes_read(Bytes *bytes, const char *path)
{
	FILE	   *file = fopen(path, "rb");
	char		buffer[65536];
	size_t		n;

	if (file == NULL)
		return -1;
	while ((n = fread(buffer, 1, sizeof(buffer), file)) > 0)
		bytes_add(bytes, buffer, n);
	fclose(file);
	return 0;
}

int
bytes_write(const Bytes *bytes, const char *path)
{
	FILE	   *file = fopen(path, "wb");
	int			failed;

	if (file == NULL)
		return -1;
	failed = fwrite(bytes->bytes, 1, bytes->used, file) != bytes->used;
	return fclose(file) != 0 || failed ? -1 : 0;
}

/* ---- the process ---- */

/* Descriptors as the extension sets them: 3 control, 6 spill file. */
static void
become_engine(const TrainRun *run, int control, int spill, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	control = fcntl(control, F_DUPFD, 10);
	spill = fcntl(spill, F_DUPFD, 10);
	dup2(control, 3);
	dup2(spill, 6);
	close(control);
	close(spill);
	execl(run->engine, run->engine, "train", (char *) NULL);
	_exit(127);
}

int
client_start(TrainRun *run)
{
	FILE	   *spill = tmpfile();
	pid_t		parent = getpid();
	int			ends[2];

	if (spill == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return -1;
	run->pid = fork();
	if (run->pid == 0)
		become_engine(run, ends[1], fileno(spill), parent);
	close(ends[1]);
	fclose(spill);
	run->fd = ends[0];
	return run->pid < 0 ? -1 : 0;
}

/* ---- what comes ---- */

static void
told_step(Client *client, int64_t step)
{
	client->run->last_step = step;
	if (client->run->stop_after > 0 && step >= client->run->stop_after && !client->stop_sent)
	{
		client->stop_sent = 1;
		client->stop_time = client_clock();
		rn_write_begin(&client->out, RN_STOP, 0);
		rn_write_end(&client->ctx, &client->out);
	}
}

static void
told_loss(TrainRun *run, double loss)
{
	if (isnan(run->first_loss))
		run->first_loss = loss;
	run->last_loss = loss;
}

static void
take_corpus(TrainRun *run, RnReader *reader)
{
	run->pairs = rn_read_u64(reader);
	run->rows_empty = rn_read_u64(reader);
	run->rows_long = rn_read_u64(reader);
	run->held_out = rn_read_u64(reader);
	rn_read_u64(reader);
	run->fingerprint[0] = rn_read_u64(reader);
	run->fingerprint[1] = rn_read_u64(reader);
	run->vocabulary = rn_read_u32(reader);
	run->parameters = rn_read_u64(reader);
	if (run->show != NULL)
		fprintf(run->show, "corpus: %llu pairs, %llu held out, %llu empty, %llu over-long; vocabulary %u, %llu parameters\n",
				(unsigned long long) run->pairs, (unsigned long long) run->held_out,
				(unsigned long long) run->rows_empty, (unsigned long long) run->rows_long, run->vocabulary,
				(unsigned long long) run->parameters);
}

static void
take_progress(Client *client, RnReader *reader)
{
	TrainRun   *run = client->run;
	int64_t		step = rn_read_i64(reader);
	int64_t		total = rn_read_i64(reader);
	double		epoch = rn_read_f64(reader);
	double		rate,
				norm,
				left,
				loss;

	run->tokens_per_second = rn_read_f64(reader);
	loss = rn_read_f64(reader);
	rate = rn_read_f64(reader);
	norm = rn_read_f64(reader);
	left = rn_read_f64(reader);
	run->memory = rn_read_u64(reader);
	rn_read_string(reader, run->device, sizeof(run->device));
	run->n_progress++;
	told_loss(run, loss);
	if (run->show != NULL)
		fprintf(run->show, "step %lld/%lld epoch %.2f loss %.4f rate %.2e norm %.3f  %.0f tokens/s, %.0f s left, %llu MB\n",
				(long long) step, (long long) total, epoch, loss, rate, norm, run->tokens_per_second, left,
				(unsigned long long) run->memory >> 20);
	told_step(client, step);
}

static void
take_log(Client *client, RnReader *reader)
{
	TrainRun   *run = client->run;
	int64_t		step = rn_read_i64(reader);
	double		epoch = rn_read_f64(reader);
	double		loss = rn_read_f64(reader);
	double		nll,
				seconds;
	uint32_t	pairs,
				sentences;
	int			best;

	rn_read_f64(reader);
	run->last_validation_loss = rn_read_f64(reader);
	nll = rn_read_f64(reader);
	run->last_bleu = rn_read_f64(reader);
	seconds = rn_read_f64(reader);
	best = rn_read_u8(reader);
	pairs = rn_read_u32(reader);
	sentences = rn_read_u32(reader);
	run->n_logs++;
	run->best_bleu = fmax(run->best_bleu, run->last_bleu);
	told_loss(run, loss);
	if (run->show != NULL)
		fprintf(run->show, "validation: step %lld epoch %.2f training loss %.4f, loss %.4f nll %.4f (of %u) BLEU %.2f (of %u) %.0f s%s\n",
				(long long) step, epoch, loss, run->last_validation_loss, nll, pairs, run->last_bleu, sentences,
				seconds, best ? " best" : "");
	told_step(client, step);
}

static void
take_statistics(Client *client, const RnFrame *frame, RnReader *reader)
{
	int64_t		step = rn_read_i64(reader);
	uint32_t	n = rn_read_count(reader, 3 * sizeof(uint32_t));

	while (n-- > 0 && !reader->failed)
	{
		size_t		size;
		int			i;

		rn_read_bytes(reader, &size);
		rn_read_bytes(reader, &size);
		rn_read_i32(reader);
		rn_read_bytes(reader, &size);
		for (i = 0; i < 4; i++)
			rn_read_f64(reader);
	}
	bytes_add(&client->run->statistics, frame->payload, frame->length);
	client->run->n_statistics++;
	told_step(client, step);
}

static void
take_part(Client *client, const RnFrame *frame, RnReader *reader)
{
	char		name[80];
	uint32_t	n_dims;
	const char *bytes;
	size_t		size;

	rn_read_string(reader, name, sizeof(name));
	n_dims = rn_read_count(reader, sizeof(uint32_t));
	while (n_dims-- > 0)
		rn_read_u32(reader);
	rn_read_u32(reader);
	rn_read_u64(reader);
	if (rn_read_u64(reader) == 0 && strcmp(name, "tokenizer") == 0)
		client->run->tokenizer_out.used = 0;
	bytes = rn_read_bytes(reader, &size);
	if (strcmp(name, "tokenizer") == 0)
		bytes_add(&client->run->tokenizer_out, bytes, size);
	if (client->incoming != 0)
		bytes_add(&client->parts, frame->payload - RN_FRAME_HEAD, RN_FRAME_HEAD + (size_t) frame->length);
}

static void
take_model(TrainRun *run, RnReader *reader)
{
	uint32_t	n;

	rn_read_i64(reader);
	rn_read_f64(reader);
	rn_read_f64(reader);
	rn_read_u64(reader);
	n = rn_read_count(reader, 2 * sizeof(uint32_t));
	run->configuration.used = 0;
	while (n-- > 0 && !reader->failed)
	{
		size_t		size;
		const char *bytes = rn_read_bytes(reader, &size);

		bytes_add(&run->configuration, bytes, size);
		bytes_add(&run->configuration, "=", 1);
		bytes = rn_read_bytes(reader, &size);
		bytes_add(&run->configuration, bytes, size);
		bytes_add(&run->configuration, "\n", 1);
	}
}

/* What came between begin and end is whole now. */
static void
keep_parts(Client *client, Bytes *kept)
{
	Bytes		swap = *kept;

	*kept = client->parts;
	client->parts = swap;
	client->parts.used = 0;
	client->incoming = 0;
}

static void
take_end(Client *client, const RnFrame *frame, RnReader *reader)
{
	TrainRun   *run = client->run;

	if (frame->type == RN_DONE)
	{
		rn_read_string(reader, run->state, sizeof(run->state));
		rn_read_string(reader, run->reason, sizeof(run->reason));
		run->done_step = rn_read_i64(reader);
		run->seconds = rn_read_f64(reader);
		if (run->show != NULL)
			fprintf(run->show, "%s (%s) at step %lld\n", run->state, run->reason, (long long) run->done_step);
	}
	else
	{
		run->error = rn_read_u32(reader);
		rn_read_string(reader, run->message, sizeof(run->message));
		rn_read_string(reader, run->detail, sizeof(run->detail));
		rn_read_string(reader, run->hint, sizeof(run->hint));
		if (run->show != NULL)
			fprintf(run->show, "error %u: %s\n  %s\n  %s\n", run->error, run->message, run->detail, run->hint);
	}
	if (client->stop_sent)
		run->stop_seconds = client_clock() - client->stop_time;
	client->ended = 1;
}

static void
take_frame(Client *client, const RnFrame *frame)
{
	TrainRun   *run = client->run;
	RnReader	reader;
	RnContext	ctx;
	char		text[80];

	rn_reader_init(&reader, frame);
	switch (frame->type)
	{
		case RN_HELLO:
			rn_read_u32(&reader);
			rn_read_string(&reader, text, sizeof(text));
			rn_read_string(&reader, text, sizeof(text));
			rn_read_u64(&reader);
			break;
		case RN_PHASE:
			rn_read_string(&reader, text, sizeof(text));
			if (run->show != NULL)
				fprintf(run->show, "phase: %s\n", text);
			break;
		case RN_NOTE:
			rn_read_string(&reader, text, sizeof(text));
			if (run->show != NULL)
				fprintf(run->show, "note: %s\n", text);
			break;
		case RN_CORPUS:
			take_corpus(run, &reader);
			break;
		case RN_PROGRESS:
			take_progress(client, &reader);
			break;
		case RN_LOG:
			take_log(client, &reader);
			break;
		case RN_STATISTICS:
			take_statistics(client, frame, &reader);
			break;
		case RN_PART:
			take_part(client, frame, &reader);
			break;
		case RN_CHECKPOINT:
			client->incoming = RN_CHECKPOINT;
			client->incoming_step = rn_read_i64(&reader);
			rn_read_f64(&reader);
			break;
		case RN_CHECKPOINT_END:
			keep_parts(client, &run->checkpoint);
			run->checkpoint_step = client->incoming_step;
			run->n_checkpoints++;
			break;
		case RN_MODEL:
			client->incoming = RN_MODEL;
			take_model(run, &reader);
			break;
		case RN_MODEL_END:
			keep_parts(client, &run->model);
			break;
		case RN_DONE:
		case RN_ERROR:
			take_end(client, frame, &reader);
			break;
		case RN_PONG:
			break;
		default:
			reader.failed = 1;
	}
	rn_context_reset(&ctx);
	if (rn_reader_end(&ctx, &reader, "some") != RN_OK)
		run->malformed++;
}

static void
take_frames(Client *client)
{
	RnFrame		frame;
	int			got = 1;

	while (got && !client->ended)
	{
		if (rn_inbox_next(&client->ctx, &client->in, &frame, &got) != RN_OK)
		{
			client->run->malformed++;
			client->ended = 1;
		}
		else if (got)
			take_frame(client, &frame);
	}
}

/* ---- the conversation ---- */

/* Send and receive what is possible, waiting up to timeout ms. */
static void
pump(Client *client, int timeout)
{
	struct pollfd one = {client->run->fd, (short) (POLLIN | (client->out.used > 0 ? POLLOUT : 0)), 0};
	char	   *space;
	ssize_t		n;

	poll(&one, 1, timeout);
	if (one.revents & POLLOUT)
	{
		n = send(client->run->fd, client->out.bytes, client->out.used, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			rn_writer_consume(&client->out, (size_t) n);
	}
	if (!(one.revents & (POLLIN | POLLHUP | POLLERR)))
		return;
	space = rn_inbox_room(&client->in, 1 << 20);
	n = recv(client->run->fd, space, 1 << 20, MSG_DONTWAIT);
	if (n > 0)
		rn_inbox_filled(&client->in, (size_t) n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		client->ended = 1;
	take_frames(client);
}

static void
send_until(Client *client, size_t left)
{
	while (client->out.used > left && !client->ended)
		pump(client, 1000);
}

static void
send_options(Client *client)
{
	TrainRun   *run = client->run;
	RnWriter   *out = &client->out;
	uint32_t	n = 0;
	uint32_t	i;

	while (run->options[n] != NULL)
		n++;
	rn_write_begin(out, RN_TRAIN, 0);
	rn_write_u64(out, 1);
	rn_write_u32(out, n);
	for (i = 0; i < n; i++)
	{
		const char *equals = strchr(run->options[i], '=');

		rn_write_bytes(out, run->options[i], (size_t) (equals - run->options[i]));
		rn_write_string(out, equals + 1);
	}
	rn_write_u64(out, run->spill_limit);
	rn_write_u64(out, run->memory_limit);
	rn_write_u8(out, (uint8_t) ((run->tokenizer ? RN_TRAIN_TOKENIZER : 0) |
								(run->model_in ? RN_TRAIN_WEIGHTS : 0) |
								(run->checkpoint_in ? RN_TRAIN_CHECKPOINT : 0)));
	rn_write_end(&client->ctx, out);
}

static void
send_tokenizer(Client *client, const Bytes *tokenizer)
{
	RnWriter   *out = &client->out;

	rn_write_begin(out, RN_PART, 0);
	rn_write_string(out, "tokenizer");
	rn_write_u32(out, 0);
	rn_write_u32(out, RN_DTYPE_BYTES);
	rn_write_u64(out, tokenizer->used);
	rn_write_u64(out, 0);
	rn_write_bytes(out, tokenizer->bytes, tokenizer->used);
	rn_write_end(&client->ctx, out);
}

/* Frames as they came; a model's own tokenizer is left out, it goes before. */
static void
send_parts(Client *client, const Bytes *parts)
{
	size_t		at = 0;

	while (at + RN_FRAME_HEAD <= parts->used && !client->ended)
	{
		RnFrame		frame = {0, 0, 0, NULL};
		RnReader	reader;
		char		name[80];

		memcpy(&frame.type, parts->bytes + at, 4);
		memcpy(&frame.length, parts->bytes + at + 4, 4);
		frame.payload = parts->bytes + at + RN_FRAME_HEAD;
		rn_reader_init(&reader, &frame);
		rn_read_string(&reader, name, sizeof(name));
		if (strcmp(name, "tokenizer") != 0)
		{
			const char *end = frame.payload + frame.length;
			const char *byte;

			rn_write_begin(&client->out, RN_PART, 0);
			for (byte = frame.payload; byte < end; byte++)
				rn_write_u8(&client->out, (uint8_t) *byte);
			rn_write_end(&client->ctx, &client->out);
		}
		at += RN_FRAME_HEAD + (size_t) frame.length;
		send_until(client, 4 << 20);
	}
}

static void
close_rows(Client *client, uint32_t n)
{
	/* the count stands before the rows, behind the set */
	memcpy(client->out.bytes + client->out.frame + RN_FRAME_HEAD + 1, &n, sizeof(n));
	rn_write_end(&client->ctx, &client->out);
	send_until(client, 1 << 20);
}

static void
send_rows(Client *client)
{
	RnWriter   *out = &client->out;
	const char *source;
	const char *target;
	uint32_t	n = 0;
	int			open_set = -1;
	int			set;

	while (!client->ended && client->run->next_row(client->run->row_arg, &set, &source, &target))
	{
		if (open_set >= 0 && (set != open_set || out->used - out->frame > ROWS_FRAME))
		{
			close_rows(client, n);
			open_set = -1;
		}
		if (open_set < 0)
		{
			rn_write_begin(out, RN_ROWS, 0);
			rn_write_u8(out, (uint8_t) set);
			rn_write_u32(out, 0);
			open_set = set;
			n = 0;
		}
		rn_write_string(out, source);
		rn_write_string(out, target);
		n++;
	}
	if (open_set >= 0 && !client->ended)
		close_rows(client, n);
}

static void
converse(Client *client)
{
	TrainRun   *run = client->run;

	send_options(client);
	if (run->tokenizer != NULL)
		send_tokenizer(client, run->tokenizer);
	if (run->checkpoint_in != NULL)
		send_parts(client, run->checkpoint_in);
	if (run->model_in != NULL)
		send_parts(client, run->model_in);
	send_rows(client);
	rn_write_begin(&client->out, RN_ROWS_END, 0);
	rn_write_end(&client->ctx, &client->out);
	while (!client->ended)
	{
		pump(client, 20);
		if (run->kill_after > 0 && run->n_checkpoints >= run->kill_after)
			kill(run->pid, SIGKILL);
	}
}

int
client_train(TrainRun *run)
{
	Client		client;

	memset(&client, 0, sizeof(client));
	client.run = run;
	rn_context_reset(&client.ctx);
	run->first_loss = run->last_loss = run->last_validation_loss = run->last_bleu = run->best_bleu = NAN;
	if (client_start(run) != 0)
		return -1;
	converse(&client);
	close(run->fd);
	waitpid(run->pid, &run->exit_status, 0);
	rn_writer_free(&client.out);
	rn_inbox_free(&client.in);
	bytes_free(&client.parts);
	return 0;
}

void
client_free(TrainRun *run)
{
	bytes_free(&run->tokenizer_out);
	bytes_free(&run->checkpoint);
	bytes_free(&run->model);
	bytes_free(&run->configuration);
	bytes_free(&run->statistics);
}

float *
client_tensor(const Bytes *parts, const char *wanted, size_t *count)
{
	Bytes		found = {NULL, 0, 0};
	size_t		at = 0;

	while (at + RN_FRAME_HEAD <= parts->used)
	{
		RnFrame		frame = {0, 0, 0, NULL};
		RnReader	reader;
		char		name[80];
		uint32_t	n_dims;
		const char *bytes;
		size_t		size;

		memcpy(&frame.length, parts->bytes + at + 4, 4);
		frame.payload = parts->bytes + at + RN_FRAME_HEAD;
		at += RN_FRAME_HEAD + (size_t) frame.length;
		rn_reader_init(&reader, &frame);
		rn_read_string(&reader, name, sizeof(name));
		if (strcmp(name, wanted) != 0)
			continue;
		n_dims = rn_read_count(&reader, sizeof(uint32_t));
		while (n_dims-- > 0)
			rn_read_u32(&reader);
		rn_read_u32(&reader);
		rn_read_u64(&reader);
		rn_read_u64(&reader);
		bytes = rn_read_bytes(&reader, &size);
		bytes_add(&found, bytes, size);
	}
	*count = found.used / sizeof(float);
	return (float *) found.bytes;
}
