/*
 * test_train.c
 *		A training engine seen from the other side of the wire: it learns, it
 *		stops and goes on bit for bit, it refuses what is wrong, and it never
 *		outlives its peer.
 *
 *		test_train [ENGINE]		default: $RESIDUAL_ENGINE
 *
 * test/unit/test_train.c
 */
#include "check.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/random.h"
#include "train_client.h"

#define ROWS	400
#define OPTIONS "layers=1", "d_model=32", "d_ffn=64", "heads=2", "vocab_size=32", "batch_tokens=256", "max_length=40", \
	"learning_rate=0.005", "warmup_steps=20", "dropout=0.1", "validation=0.05"

static const char *engine;

/* ---- a corpus: words of a small language, and the same words spelled otherwise ---- */

typedef struct Corpus
{
	int			next;
	int			n;
	int			backwards;
	int			as_validation;	/* give every row once more, in set 1 */
	const char *odd_source;		/* one row more, or NULL */
	const char *odd_target;
	char		source[400];
	char		target[400];
} Corpus;

static void
make_row(int number, char *source, char *target)
{
	static const char *const from[] = {"tana", "kosi", "nota", "sika", "koto", "sana", "tiko", "nisa"};
	static const char *const to[] = {"ella", "remi", "mare", "lire", "rami", "elma", "rila", "meri"};
	uint64_t	bits = rn_random_bits(11, RN_RANDOM_SAMPLE, 0, 0, (uint64_t) number);
	int			n = 1 + (int) (bits % 6);
	int			i;

	source[0] = target[0] = '\0';
	for (i = 0; i < n; i++)
	{
		int			word = (int) (bits >> (8 + 3 * i) & 7);

		sprintf(source + strlen(source), "%s%s", i ? " " : "", from[word]);
		sprintf(target + strlen(target), "%s%s", i ? " " : "", to[word]);
	}
}

/* NextRow */
static int
next_row(void *arg, int *set, const char **source, const char **target)
{
	Corpus	   *corpus = arg;
	int			total = corpus->as_validation ? 2 * corpus->n : corpus->n;
	int			number = corpus->next++;

	if (number == total && corpus->odd_source != NULL)
	{
		*set = 0;
		*source = corpus->odd_source;
		*target = corpus->odd_target;
		return 1;
	}
	if (number >= total)
		return 0;
	*set = number >= corpus->n;
	number %= corpus->n;
	make_row(corpus->backwards ? corpus->n - 1 - number : number, corpus->source, corpus->target);
	*source = corpus->source;
	*target = corpus->target;
	return 1;
}

static void
begin(TrainRun *run, Corpus *corpus, const char *const *options)
{
	memset(run, 0, sizeof(*run));
	memset(corpus, 0, sizeof(*corpus));
	corpus->n = ROWS;
	run->engine = engine;
	run->options = options;
	run->next_row = next_row;
	run->row_arg = corpus;
}

static int
same_bytes(const Bytes *a, const Bytes *b)
{
	return a->used > 0 && a->used == b->used && memcmp(a->bytes, b->bytes, a->used) == 0;
}

/* Ended by itself, with status 0. */
static int
ended_well(const TrainRun *run)
{
	return run->malformed == 0 && WIFEXITED(run->exit_status) && WEXITSTATUS(run->exit_status) == 0;
}

/* ---- learning ---- */

static void
test_learns(void)
{
	static const char *const options[] = {OPTIONS, "d_model=64", "threads=2", "max_steps=400",
	"validate_every=100", "dropout=0", "stats_every=200", NULL};
	Corpus		corpus;
	TrainRun	run;

	begin(&run, &corpus, options);
	corpus.as_validation = 1;
	client_train(&run);
	CHECK(strcmp(run.state, "done") == 0 && ended_well(&run), "a job ends as done: %s %s", run.state, run.message);
	CHECK(strcmp(run.reason, "max_steps") == 0 && run.done_step == 400, "because of max_steps: %s", run.reason);
	CHECK(run.last_loss < 0.4 * log(32), "the loss falls to %.3f, well below a guess's %.3f", run.last_loss, log(32));
	CHECK(run.best_bleu > 95, "it learns its corpus by heart: BLEU %.1f", run.best_bleu);
	CHECK(run.n_logs == 4, "every validation is told: %d", run.n_logs);
	CHECK(run.n_statistics == 3, "statistics come before the first step and when asked for: %d", run.n_statistics);
	CHECK(run.pairs == ROWS && run.held_out == ROWS, "rows of the validation set are held out");
	CHECK(run.vocabulary == 32 && run.parameters > 10000, "vocabulary %u, parameters %llu", run.vocabulary,
		  (unsigned long long) run.parameters);
	CHECK(run.configuration.used > 0 && memmem(run.configuration.bytes, run.configuration.used, "\nd_model=64\n", 12),
		  "the model comes with its configuration");
	client_free(&run);
}

/* ---- statistics ---- */

typedef struct Line
{
	int64_t		step;
	char		tensor[80];
	char		stack[20];
	char		sublayer[40];
	int			layer;
	double		values[4];		/* norms of parameter, gradient and update, condition */
} Line;

/* The line of a tensor in the number-th STATISTICS; 0 if it is not there. */
static int
find_line(const TrainRun *run, int number, const char *tensor, Line *line, int *n_lines)
{
	RnFrame		frame = {0, (uint32_t) run->statistics.used, 0, run->statistics.bytes};
	RnReader	reader;
	int			found = 0;

	rn_reader_init(&reader, &frame);
	for (; number >= 0; number--)
	{
		int64_t		step = rn_read_i64(&reader);
		uint32_t	n = rn_read_u32(&reader);

		*n_lines = (int) n;
		while (n-- > 0)
		{
			Line		read = {.step = step};
			int			i;

			rn_read_string(&reader, read.tensor, sizeof(read.tensor));
			rn_read_string(&reader, read.stack, sizeof(read.stack));
			read.layer = rn_read_i32(&reader);
			rn_read_string(&reader, read.sublayer, sizeof(read.sublayer));
			for (i = 0; i < 4; i++)
				read.values[i] = rn_read_f64(&reader);
			if (number == 0 && strcmp(read.tensor, tensor) == 0)
			{
				*line = read;
				found = 1;
			}
		}
	}
	return found && !reader.failed;
}

static double
norm(const float *values, size_t n)
{
	double		sum = 0;

	while (n-- > 0)
		sum += (double) values[n] * values[n];
	return sqrt(sum);
}

static void
test_statistics(void)
{
	static const char *const options[] = {OPTIONS, "threads=2", "max_steps=6", "stats_every=3", "validation=0",
	"checkpoint_every=5", NULL};
	Corpus		corpus;
	TrainRun	run;
	Line		line;
	int			n = 0;
	size_t		count;
	float	   *before;
	float	   *after;
	double		change = 0;
	size_t		i;

	begin(&run, &corpus, options);
	client_train(&run);
	CHECK(find_line(&run, 0, "dec.0.ca.q.w", &line, &n), "the first statistics name every tensor (%d)", n);
	CHECK(line.step == 0 && line.layer == 0 && strcmp(line.stack, "decoder") == 0 &&
		  strcmp(line.sublayer, "cross_attention") == 0, "and its place");
	CHECK(line.values[0] > 0 && line.values[1] > 0 && line.values[2] == 0 && line.values[3] > 0,
		  "norms at step 0, where nothing moves: %g %g %g %g", line.values[0], line.values[1], line.values[2],
		  line.values[3]);
	CHECK(find_line(&run, 2, "enc.0.ff.1.w", &line, &n) && line.step == 6, "the last ones are of the last step");
	before = client_tensor(&run.checkpoint, "w:enc.0.ff.1.w", &count);
	after = client_tensor(&run.model, "enc.0.ff.1.w", &i);
	CHECK(run.checkpoint_step == 5 && count == i && count == 64 * 32, "weights before and after step 6");
	for (i = 0; i < count && before != NULL && after != NULL; i++)
		change += ((double) after[i] - before[i]) * ((double) after[i] - before[i]);
	CHECK(before != NULL && fabs(norm(before, count) / line.values[0] - 1) < 1e-5,
		  "the norm of a parameter is that of the weights: %g", line.values[0]);
	CHECK(fabs(sqrt(change) / line.values[2] - 1) < 1e-3, "the norm of an update is that of the change: %g, %g",
		  sqrt(change), line.values[2]);
	free(before);
	free(after);
	client_free(&run);
}

/* ---- stopping and going on ---- */

static const char *const long_options[] = {OPTIONS, "threads=2", "max_steps=100", "validate_every=30",
"checkpoint_every=35", "average_checkpoints=2", "stats_every=10", "attention_dropout=0.1", "metric=bleu", NULL};

static void
go_on_from(TrainRun *run, Corpus *corpus, const TrainRun *stopped, const Bytes *tokenizer)
{
	begin(run, corpus, long_options);
	run->tokenizer = tokenizer;
	run->checkpoint_in = &stopped->checkpoint;
}

static void
test_resume(void)
{
	static const int stops[] = {10, 40, 70};
	Corpus		corpus;
	TrainRun	whole,
				part,
				rest;
	int			i;

	begin(&whole, &corpus, long_options);
	client_train(&whole);
	CHECK(strcmp(whole.state, "done") == 0 && whole.n_checkpoints == 2, "an uninterrupted run: %s %s, %d checkpoints",
		  whole.state, whole.reason, whole.n_checkpoints);
	for (i = 0; i < 3; i++)
	{
		begin(&part, &corpus, long_options);
		part.stop_after = stops[i];
		client_train(&part);
		CHECK(strcmp(part.state, "stopped") == 0 && part.checkpoint_step == part.done_step && part.done_step < 100 &&
			  ended_well(&part), "STOP after step %d: %s with a checkpoint of step %lld", stops[i], part.state,
			  (long long) part.checkpoint_step);
		CHECK(part.stop_seconds < 1, "within a second: %.3f s", part.stop_seconds);
		go_on_from(&rest, &corpus, &part, &part.tokenizer_out);
		client_train(&rest);
		CHECK(strcmp(rest.state, "done") == 0 && same_bytes(&rest.model, &whole.model),
			  "going on ends with the very same model: %s %s", rest.reason, rest.message);
		CHECK(rest.fingerprint[0] == whole.fingerprint[0] && rest.fingerprint[1] == whole.fingerprint[1],
			  "from the same rows");
		client_free(&part);
		client_free(&rest);
	}

	/* stopped twice */
	begin(&part, &corpus, long_options);
	part.stop_after = 20;
	client_train(&part);
	go_on_from(&rest, &corpus, &part, &part.tokenizer_out);
	rest.stop_after = 60;
	client_train(&rest);
	CHECK(strcmp(rest.state, "stopped") == 0, "stop a second time");
	bytes_free(&part.checkpoint);
	part.checkpoint = rest.checkpoint;
	memset(&rest.checkpoint, 0, sizeof(rest.checkpoint));
	client_free(&rest);
	go_on_from(&rest, &corpus, &part, &part.tokenizer_out);
	client_train(&rest);
	CHECK(same_bytes(&rest.model, &whole.model), "two stops change nothing");
	client_free(&part);
	client_free(&rest);

	/* the rows in another order */
	begin(&rest, &corpus, long_options);
	corpus.backwards = 1;
	client_train(&rest);
	CHECK(same_bytes(&rest.model, &whole.model), "nor does the order of the rows");
	client_free(&rest);
	client_free(&whole);
}

static void
test_kill(void)
{
	static const char *const options[] = {OPTIONS, "threads=2", "max_steps=80", "checkpoint_every=20", NULL};
	Corpus		corpus;
	TrainRun	killed,
				rest,
				whole;

	begin(&killed, &corpus, options);
	killed.kill_after = 1;
	client_train(&killed);
	CHECK(WIFSIGNALED(killed.exit_status) && killed.n_checkpoints > 0 && killed.state[0] == '\0',
		  "kill -9 leaves the last checkpoint, of step %lld", (long long) killed.checkpoint_step);
	begin(&whole, &corpus, options);
	client_train(&whole);
	begin(&rest, &corpus, options);
	rest.tokenizer = &killed.tokenizer_out;
	rest.checkpoint_in = &killed.checkpoint;
	client_train(&rest);
	CHECK(same_bytes(&rest.model, &whole.model), "from which the job ends as if nothing had happened");
	client_free(&rest);
	client_free(&killed);
	client_free(&whole);
}

/* Sums are made in another order, so the last bits differ and after some steps more. */
static void
test_threads(void)
{
	static const char *const numbers[] = {"threads=1", "threads=2", "threads=3"};
	double		losses[3];
	Corpus		corpus;
	TrainRun	run;
	int			i;

	for (i = 0; i < 3; i++)
	{
		const char *const options[] = {OPTIONS, numbers[i], "max_steps=40", "validate_every=40", NULL};

		begin(&run, &corpus, options);
		client_train(&run);
		losses[i] = run.last_validation_loss;
		client_free(&run);
	}
	CHECK(fabs(losses[1] - losses[0]) < 2e-3 && fabs(losses[2] - losses[0]) < 2e-3,
		  "threads share a batch without changing what is learned: %.5f, %.5f, %.5f", losses[0], losses[1], losses[2]);
}

static void
test_from_weights(void)
{
	static const char *const options[] = {OPTIONS, "threads=2", "max_steps=150", "validate_every=150", NULL};
	static const char *const more[] = {OPTIONS, "threads=2", "max_steps=10", "validate_every=10", "warmup_steps=0",
	"learning_rate=0.0001", NULL};
	Corpus		corpus;
	TrainRun	first,
				second;

	begin(&first, &corpus, options);
	client_train(&first);
	begin(&second, &corpus, more);
	second.tokenizer = &first.tokenizer_out;
	second.model_in = &first.model;
	client_train(&second);
	CHECK(strcmp(second.state, "done") == 0 && second.last_validation_loss < first.last_validation_loss + 0.05,
		  "weights of a model are gone on from: %.3f, then %.3f", first.last_validation_loss,
		  second.last_validation_loss);
	CHECK(same_bytes(&first.tokenizer_out, &second.tokenizer_out), "with its tokenizer");
	client_free(&first);
	client_free(&second);
}

static void
test_bounds(void)
{
	static const char *const epochs[] = {OPTIONS, "threads=1", "max_epochs=2", NULL};
	static const char *const patience[] = {OPTIONS, "threads=1", "max_steps=100000", "patience=2", "validate_every=5",
	"learning_rate=1e-15", "warmup_init=0", "warmup_steps=10", NULL};
	static const char *const minutes[] = {OPTIONS, "threads=1", "max_minutes=0.02", "validate_every=1000000", NULL};
	Corpus		corpus;
	TrainRun	run;

	begin(&run, &corpus, epochs);
	client_train(&run);
	CHECK(strcmp(run.reason, "max_epochs") == 0 && run.n_logs == 2, "two epochs, a validation each: %s, %d logs",
		  run.reason, run.n_logs);
	client_free(&run);
	begin(&run, &corpus, patience);
	client_train(&run);
	CHECK(strcmp(run.reason, "patience") == 0 && run.n_logs == 4 && run.done_step == 20,
		  "patience ends a run that does not get better after the warm-up: %s at step %lld", run.reason, (long long) run.done_step);
	client_free(&run);
	begin(&run, &corpus, minutes);
	client_train(&run);
	CHECK(strcmp(run.reason, "max_minutes") == 0 && run.seconds < 10 && run.done_step > 0,
		  "max_minutes ends a run: %s after %.1f s", run.reason, run.seconds);
	client_free(&run);
}

static void
test_rows(void)
{
	static const char *const options[] = {OPTIONS, "threads=1", "max_steps=2", "validation=0.1", NULL};
	char		large[20000];
	Corpus		corpus;
	TrainRun	run;
	uint64_t	held_out;

	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	begin(&run, &corpus, options);
	corpus.odd_source = large;
	corpus.odd_target = "rami";
	client_train(&run);
	CHECK(run.rows_long == 1 && run.pairs + run.held_out == ROWS, "an over-long row is passed over and counted");
	CHECK(run.held_out > ROWS / 20 && run.held_out < ROWS / 5, "a tenth is held out: %llu of %d",
		  (unsigned long long) run.held_out, ROWS);
	held_out = run.held_out;
	client_free(&run);
	begin(&run, &corpus, options);
	corpus.backwards = 1;
	corpus.odd_source = "";
	corpus.odd_target = "rami";
	client_train(&run);
	CHECK(run.rows_empty == 1, "so is an empty one");
	CHECK(run.held_out == held_out, "what is held out does not depend on the order");
	client_free(&run);
	begin(&run, &corpus, options);
	corpus.odd_source = " \t\xc2\xa0 ";
	corpus.odd_target = "rami";
	client_train(&run);
	CHECK(run.rows_empty == 1, "and one of white space");
	client_free(&run);
}

/* ---- what is refused ---- */

/* One run that must fail with this status. */
static void
check_refused(const char *what, const char *const *options, uint32_t status, uint64_t spill_limit, uint64_t memory_limit,
			  int rows)
{
	Corpus		corpus;
	TrainRun	run;

	begin(&run, &corpus, options);
	corpus.n = rows;
	run.spill_limit = spill_limit;
	run.memory_limit = memory_limit;
	client_train(&run);
	CHECK(run.error == status && run.state[0] == '\0' && ended_well(&run), "%s: %s (%s) %s", what, run.message,
		  run.detail, run.hint);
	client_free(&run);
}

static void
test_refusals(void)
{
	static const char *const plain[] = {OPTIONS, "threads=1", "max_steps=5", NULL};
	static const char *const large_vocabulary[] = {OPTIONS, "threads=1", "max_steps=5", "vocab_size=5000", NULL};
	static const char *const unknown[] = {OPTIONS, "max_stepps=5", NULL};
	static const char *const range[] = {OPTIONS, "dropout=2", NULL};
	static const char *const heads[] = {OPTIONS, "heads=3", NULL};
	static const char *const device[] = {OPTIONS, "device=abacus", NULL};
	static const char *const diverging[] = {OPTIONS, "threads=2", "max_steps=1000", "learning_rate=10",
	"warmup_steps=0", "clip_norm=0", "scheme=pre", "weight_decay=10", NULL};

	check_refused("an empty corpus", plain, RN_NO_DATA, 0, 0, 0);
	check_refused("a vocabulary larger than the text allows", large_vocabulary, RN_INVALID, 0, 0, ROWS);
	check_refused("an unknown option", unknown, RN_INVALID, 0, 0, ROWS);
	check_refused("an option out of range", range, RN_INVALID, 0, 0, ROWS);
	check_refused("options that do not fit each other", heads, RN_INVALID, 0, 0, ROWS);
	check_refused("an unknown device", device, RN_INVALID, 0, 0, ROWS);
	check_refused("too little memory for the weights", plain, RN_LIMIT, 0, 200000, ROWS);
	check_refused("too little memory for activations", plain, RN_LIMIT, 0, 800000, ROWS);
	check_refused("a spill file that is too small", plain, RN_DISK_FULL, 1000, 0, ROWS);
	check_refused("weights that go to infinity", diverging, RN_DIVERGED, 0, 0, ROWS);
}

/* Checkpoints that do not fit. */
static void
test_foreign_checkpoints(void)
{
	static const char *const options[] = {OPTIONS, "threads=1", "max_steps=20", "checkpoint_every=10", NULL};
	static const char *const wider[] = {OPTIONS, "threads=1", "max_steps=20", "d_model=64", NULL};
	static const char *const averaging[] = {OPTIONS, "threads=1", "max_steps=20", "average_checkpoints=5", NULL};
	Corpus		corpus;
	TrainRun	given,
				run;
	Bytes		damaged = {NULL, 0, 0};
	uint32_t	first;

	begin(&given, &corpus, options);
	client_train(&given);
	if (!CHECK(given.n_checkpoints == 1, "a checkpoint to spoil"))
		return;

	begin(&run, &corpus, wider);
	run.tokenizer = &given.tokenizer_out;
	run.checkpoint_in = &given.checkpoint;
	client_train(&run);
	CHECK(run.error == RN_MISMATCH && ended_well(&run), "a checkpoint of another shape: %s", run.message);
	client_free(&run);

	begin(&run, &corpus, averaging);
	run.tokenizer = &given.tokenizer_out;
	run.checkpoint_in = &given.checkpoint;
	client_train(&run);
	CHECK(run.error == RN_MISMATCH && ended_well(&run), "a checkpoint of other options: %s", run.message);
	client_free(&run);

	/* without its first part */
	memcpy(&first, given.checkpoint.bytes + 4, 4);
	bytes_add(&damaged, given.checkpoint.bytes + RN_FRAME_HEAD + first,
			  given.checkpoint.used - RN_FRAME_HEAD - first);
	begin(&run, &corpus, options);
	run.tokenizer = &given.tokenizer_out;
	run.checkpoint_in = &damaged;
	client_train(&run);
	CHECK(run.error == RN_CORRUPT && ended_well(&run), "a checkpoint that is not whole: %s (%s)", run.message, run.detail);
	client_free(&run);

	begin(&run, &corpus, options);
	run.checkpoint_in = &given.checkpoint;
	client_train(&run);
	CHECK(run.error == RN_MISMATCH && ended_well(&run), "a checkpoint without its tokenizer: %s", run.message);
	client_free(&run);

	damaged.used = 0;
	bytes_add(&damaged, "this is no tokenizer", 20);
	begin(&run, &corpus, options);
	run.tokenizer = &damaged;
	client_train(&run);
	CHECK(run.error == RN_CORRUPT && ended_well(&run), "a tokenizer that is none: %s", run.message);
	client_free(&run);
	bytes_free(&damaged);
	client_free(&given);
}

/* ---- a peer that misbehaves ---- */

/* The engine's status, waited for up to seconds; -1 when it is still alive, which ends it. */
static int
await_exit(pid_t pid, double seconds)
{
	double		end = client_clock() + seconds;
	int			status;

	while (client_clock() < end)
	{
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		usleep(2000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

/* Read until the first ERROR; its status, or -1. */
static int
await_error(int fd)
{
	RnInbox		in;
	RnContext	ctx;
	int			found = -1;

	rn_inbox_init(&in);
	rn_context_reset(&ctx);
	while (found < 0)
	{
		struct pollfd one = {fd, POLLIN, 0};
		RnFrame		frame;
		ssize_t		n;
		int			got = 1;

		if (poll(&one, 1, 5000) <= 0)
			break;
		n = recv(fd, rn_inbox_room(&in, 65536), 65536, 0);
		if (n <= 0)
			break;
		rn_inbox_filled(&in, (size_t) n);
		while (got && rn_inbox_next(&ctx, &in, &frame, &got) == RN_OK)
		{
			if (got && frame.type == RN_ERROR && frame.length >= 4)
				memcpy(&found, frame.payload, 4);
		}
	}
	rn_inbox_free(&in);
	return found;
}

static void
send_garbage(const char *what, const char *bytes, size_t size)
{
	TrainRun	run;
	int			error,
				status;

	memset(&run, 0, sizeof(run));
	run.engine = engine;
	client_start(&run);
	(void) !send(run.fd, bytes, size, MSG_NOSIGNAL);
	error = await_error(run.fd);
	close(run.fd);
	status = await_exit(run.pid, 5);
	CHECK(error == RN_CORRUPT && status == 0, "%s is answered with an error (%d), and the engine ends (%d)", what, error,
		  status);
}

static void
test_garbage(void)
{
	char		bytes[4096];
	uint32_t	type = RN_TRAIN;
	uint32_t	length = 0xffffffff;
	uint32_t	i;

	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, &type, 4);
	memcpy(bytes + 4, &length, 4);
	send_garbage("a frame of 4 GB", bytes, 16);
	length = 8;
	memcpy(bytes + 4, &length, 4);
	send_garbage("a frame that is too short", bytes, 24);
	length = 1000;
	memcpy(bytes + 4, &length, 4);
	memset(bytes + 24, 0xff, 992);
	send_garbage("a count of 4 billion", bytes, 1016);
	type = RN_ROWS;
	length = 0;
	memcpy(bytes, &type, 4);
	memcpy(bytes + 4, &length, 4);
	send_garbage("rows before options", bytes, 16);
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char) rn_random_bits(3, RN_RANDOM_SAMPLE, 0, 0, i);
	bytes[6] = bytes[7] = 0;
	bytes[5] = 1;
	send_garbage("noise", bytes, sizeof(bytes));
}

/* A frame that has no place while training runs. */
static void
write_train(RnWriter *out, const char *const *options)
{
	RnContext	ctx;
	uint32_t	n = 0;
	uint32_t	i;

	rn_context_reset(&ctx);
	while (options[n] != NULL)
		n++;
	rn_write_begin(out, RN_TRAIN, 0);
	rn_write_u64(out, 1);
	rn_write_u32(out, n);
	for (i = 0; i < n; i++)
	{
		const char *equals = strchr(options[i], '=');

		rn_write_bytes(out, options[i], (size_t) (equals - options[i]));
		rn_write_string(out, equals + 1);
	}
	rn_write_u64(out, 0);
	rn_write_u64(out, 0);
	rn_write_u8(out, 0);
	rn_write_end(&ctx, out);
}

static void
write_rows(RnWriter *out, int n)
{
	RnContext	ctx;
	int			i;

	rn_context_reset(&ctx);
	rn_write_begin(out, RN_ROWS, 0);
	rn_write_u8(out, 0);
	rn_write_u32(out, (uint32_t) n);
	for (i = 0; i < n; i++)
	{
		char		source[400],
					target[400];

		make_row(i, source, target);
		rn_write_string(out, source);
		rn_write_string(out, target);
	}
	rn_write_end(&ctx, out);
	rn_write_begin(out, RN_ROWS_END, 0);
	rn_write_end(&ctx, out);
}

/* Read frames until one of this type; 0 when none comes. */
static int
await_frame(int fd, RnInbox *in, uint32_t type)
{
	RnContext	ctx;

	rn_context_reset(&ctx);
	for (;;)
	{
		struct pollfd one = {fd, POLLIN, 0};
		RnFrame		frame;
		ssize_t		n;
		int			got = 1;

		while (got)
		{
			if (rn_inbox_next(&ctx, in, &frame, &got) != RN_OK)
				return 0;
			if (got && frame.type == type)
				return 1;
		}
		if (poll(&one, 1, 20000) <= 0)
			return 0;
		n = recv(fd, rn_inbox_room(in, 65536), 65536, 0);
		if (n <= 0)
			return 0;
		rn_inbox_filled(in, (size_t) n);
	}
}

/* Long steps: what must be at once is not a matter of small ones. */
static const char *const slow_options[] = {"layers=2", "d_model=256", "d_ffn=1024", "heads=4", "vocab_size=32",
"batch_tokens=20000", "max_length=40", "threads=2", "max_steps=100000", "validation=0", NULL};

typedef enum Ending
{
	CLOSE,
	CLOSE_EARLY,
	STOP,
	TERMINATE,
	IGNORED_THEN_QUIT,
	PING,
	WRONG_FRAME
} Ending;

static void
test_ending(Ending ending, const char *what)
{
	RnWriter	out;
	RnInbox		in;
	RnContext	ctx;
	TrainRun	run;
	double		start;
	int			status = -1;
	int			good = 0;

	memset(&run, 0, sizeof(run));
	rn_context_reset(&ctx);
	rn_writer_init(&out);
	rn_inbox_init(&in);
	run.engine = engine;
	client_start(&run);
	write_train(&out, slow_options);
	if (ending != CLOSE_EARLY)
		write_rows(&out, ROWS);
	(void) !send(run.fd, out.bytes, out.used, MSG_NOSIGNAL);
	if (ending != CLOSE_EARLY)
		await_frame(run.fd, &in, RN_STATISTICS);
	rn_writer_consume(&out, out.used);
	usleep(100000);				/* into the middle of a step */
	start = client_clock();
	switch (ending)
	{
		case CLOSE:
		case CLOSE_EARLY:
			close(run.fd);
			status = await_exit(run.pid, 5);
			good = status == 0;
			break;
		case STOP:
			rn_write_begin(&out, RN_STOP, 0);
			rn_write_end(&ctx, &out);
			(void) !send(run.fd, out.bytes, out.used, MSG_NOSIGNAL);
			good = await_frame(run.fd, &in, RN_DONE);
			break;
		case TERMINATE:
			kill(run.pid, SIGTERM);
			good = await_frame(run.fd, &in, RN_DONE);
			break;
		case IGNORED_THEN_QUIT:
			kill(run.pid, SIGINT);
			kill(run.pid, SIGHUP);
			kill(run.pid, SIGPIPE);
			usleep(50000);
			good = waitpid(run.pid, &status, WNOHANG) == 0;
			start = client_clock();
			kill(run.pid, SIGQUIT);
			status = await_exit(run.pid, 5);
			good &= WIFEXITED(status) && WEXITSTATUS(status) == 2;
			break;
		case PING:
			rn_write_begin(&out, RN_PING, 77);
			rn_write_end(&ctx, &out);
			(void) !send(run.fd, out.bytes, out.used, MSG_NOSIGNAL);
			good = await_frame(run.fd, &in, RN_PONG);
			break;
		case WRONG_FRAME:
			rn_write_begin(&out, RN_LOAD, 0);
			rn_write_end(&ctx, &out);
			(void) !send(run.fd, out.bytes, out.used, MSG_NOSIGNAL);
			good = await_frame(run.fd, &in, RN_ERROR);
			break;
	}
	CHECK(good && client_clock() - start < 1.0, "%s: %.3f s", what, client_clock() - start);
	if (status == -1)
	{
		close(run.fd);
		status = await_exit(run.pid, 5);
		CHECK(status == 0, "and the engine ends with its peer");
	}
	rn_writer_free(&out);
	rn_inbox_free(&in);
}

int
main(int argc, char **argv)
{
	engine = argc > 1 ? argv[1] : getenv("RESIDUAL_ENGINE");
	if (engine == NULL)
	{
		fprintf(stderr, "usage: test_train ENGINE\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	test_learns();
	test_statistics();
	test_resume();
	test_kill();
	test_threads();
	test_from_weights();
	test_bounds();
	test_rows();
	test_refusals();
	test_foreign_checkpoints();
	test_garbage();
	test_ending(CLOSE, "a peer that hangs up in the middle of a step ends the engine");
	test_ending(CLOSE_EARLY, "so it does before any row has come");
	test_ending(STOP, "STOP in the middle of a long step acts");
	test_ending(TERMINATE, "so does SIGTERM");
	test_ending(IGNORED_THEN_QUIT, "SIGINT, SIGHUP and SIGPIPE do nothing, SIGQUIT ends");
	test_ending(PING, "a ping in the middle of a step is answered");
	test_ending(WRONG_FRAME, "a message that does not belong is an error");
	return check_done();
}
