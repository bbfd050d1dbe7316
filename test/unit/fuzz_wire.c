/*
 * fuzz_wire.c
 *		Whatever bytes come over a socket, every reader of frames answers with
 *		a status: made to run under AddressSanitizer.
 *
 * The input is what a peer sends to a training engine or to one that is asked
 * for a diagnostic, and the same frames go to the readers of the serving
 * engine.  As it stands this mutates valid
 * conversations with fixed random numbers ("fuzz_wire ROUNDS"); with
 * -DRN_LIBFUZZER only the entry point is left, for libFuzzer.
 *
 * test/unit/fuzz_wire.c
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/random.h"
#include "engine/diagnosis.h"
#include "engine/job.h"
#include "engine/load.h"
#include "engine/request.h"

#define INPUT_MOST	(1024 * 1024)

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int	answers[16];		/* how often each status came out of a conversation with a training engine */
static int	diagnosed[16];		/* likewise of a diagnostic question */

/* ---- readers ---- */

/* Frames to the readers of the serving engine; each frame in a block of just its size. */
static void
serve_frames(const uint8_t *data, size_t size)
{
	RnInbox		inbox;
	RnFrame		frame;
	RnContext	ctx;
	int			got = 1;

	rn_inbox_init(&inbox);
	rn_context_reset(&ctx);
	memcpy(rn_inbox_room(&inbox, size), data, size);
	rn_inbox_filled(&inbox, size);
	while (rn_inbox_next(&ctx, &inbox, &frame, &got) == RN_OK && got)
	{
		char	   *payload = malloc(frame.length);
		RnRequest  *request;
		RnLoadHead	head;

		if (frame.length > 0)
			memcpy(payload, frame.payload, frame.length);
		frame.payload = payload;
		rn_context_reset(&ctx);
		if (rn_request_read(&ctx, &frame, &request) == RN_OK)
			rn_request_free(request);
		rn_context_reset(&ctx);
		rn_load_read(&ctx, &frame, &head);
		rn_context_reset(&ctx);
		free(payload);
	}
	rn_inbox_free(&inbox);
}

/* What the peer says, sent by a thread of its own: it may be more than a socket holds. */
typedef struct Speech
{
	int			fd;
	const uint8_t *data;
	size_t		size;
} Speech;

static void *
speak(void *arg)
{
	Speech	   *speech = arg;

	while (speech->size > 0)
	{
		ssize_t		n = send(speech->fd, speech->data, speech->size, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		speech->data += n;
		speech->size -= (size_t) n;
	}
	shutdown(speech->fd, SHUT_WR);
	return NULL;
}

/* Somebody begins to speak; gives the end to listen at. */
static int
begin_speech(Speech *speech, pthread_t *thread)
{
	int			ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		abort();
	speech->fd = ends[0];
	if (pthread_create(thread, NULL, speak, speech) != 0)
		abort();
	return ends[1];
}

static void
end_speech(Speech *speech, pthread_t thread, int listener)
{
	close(listener);
	pthread_join(thread, NULL);
	close(speech->fd);
}

/* The job takes in all it is told; it stays, to be looked at and freed. */
static RnStatus
tell_job(RnContext *ctx, RnJob *job, const uint8_t *data, size_t size)
{
	static volatile sig_atomic_t stop;
	static int	spill = -1;
	Speech		speech = {-1, data, size};
	pthread_t	thread;
	int			listener;

	if (spill < 0)
		spill = memfd_create("spill", MFD_CLOEXEC);
	if (spill < 0)
		abort();
	listener = begin_speech(&speech, &thread);
	stop = 0;
	rn_context_reset(ctx);
	rn_job_init(job, listener, spill, &stop);
	rn_job_receive(ctx, job);
	end_speech(&speech, thread, listener);
	return ctx->status;
}

/* A conversation with a training engine, up to where it would start to train. */
static void
train_frames(const uint8_t *data, size_t size)
{
	RnContext	ctx;
	RnJob		job;

	answers[tell_job(&ctx, &job, data, size) & 15]++;
	rn_job_free(&job);
}

/* A diagnostic question, up to where it would be answered. */
static void
diagnose_frames(const uint8_t *data, size_t size)
{
	static volatile sig_atomic_t stop;
	Speech		speech = {-1, data, size};
	RnDiagnosis diagnosis;
	pthread_t	thread;
	RnContext	ctx;
	RnFrame		frame;
	RnPeer		peer;
	int			got = 0;
	int			listener = begin_speech(&speech, &thread);

	rn_context_reset(&ctx);
	rn_peer_init(&peer, listener);
	if (rn_diagnosis_init(&ctx, &diagnosis, &peer, &stop) == RN_OK)
	{
		while (!got && rn_peer_receive(&ctx, &peer, -1, &frame, &got) == RN_OK)
			;
		if (got)
			rn_diagnosis_receive(&ctx, &diagnosis, &frame);
	}
	diagnosed[ctx.status & 15]++;
	rn_diagnosis_free(&diagnosis);
	rn_peer_free(&peer);
	end_speech(&speech, thread, listener);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > INPUT_MOST)
		size = INPUT_MOST;
	serve_frames(data, size);
	train_frames(data, size);
	diagnose_frames(data, size);
	return 0;
}

#ifndef RN_LIBFUZZER

/* ---- valid conversations ---- */

#define SEEDS		6

static RnWriter seeds[SEEDS];
static char *tokenizer;
static size_t tokenizer_size;

static int
next_text(void *arg, RnText *text)
{
	static const char *const words[] = {"eins zwei drei vier", "drei vier eins", "zwei eins vier drei zwei"};
	int		   *n = arg;

	if (*n >= 60)
		return 0;
	text->bytes = words[*n % 3];
	text->size = strlen(words[*n % 3]);
	(*n)++;
	return 1;
}

static void
write_train(RnContext *ctx, RnWriter *out, int follows)
{
	static const char *const options[][2] = {{"encoder_layers", "1"}, {"decoder_layers", "1"}, {"d_model", "8"},
	{"d_ffn", "8"}, {"heads", "2"}, {"threads", "1"}, {"max_steps", "5"}, {"max_length", "20"},
	{"average_checkpoints", "2"}};
	int			n = (int) (sizeof(options) / sizeof(options[0]));
	int			i;

	rn_write_begin(out, RN_TRAIN, 0);
	rn_write_u64(out, 1);
	rn_write_u32(out, (uint32_t) n);
	for (i = 0; i < n; i++)
	{
		rn_write_string(out, options[i][0]);
		rn_write_string(out, options[i][1]);
	}
	rn_write_u64(out, 8 << 20);
	rn_write_u64(out, 8 << 20);
	rn_write_u8(out, (uint8_t) follows);
	rn_write_end(ctx, out);
}

static void
write_part(RnContext *ctx, RnWriter *out, const char *name, const RnParam *param, const void *bytes, size_t size)
{
	rn_write_begin(out, RN_PART, 0);
	rn_write_string(out, name);
	rn_write_u32(out, param ? (uint32_t) param->ndim : 0);
	if (param != NULL && param->ndim == 2)
		rn_write_u32(out, (uint32_t) param->rows);
	if (param != NULL)
		rn_write_u32(out, param->ndim == 2 ? (uint32_t) param->cols : (uint32_t) rn_param_size(param));
	rn_write_u32(out, param ? RN_DTYPE_FLOAT32 : RN_DTYPE_BYTES);
	rn_write_u64(out, size);
	rn_write_u64(out, 0);
	rn_write_bytes(out, bytes, size);
	rn_write_end(ctx, out);
}

static void
write_rows(RnContext *ctx, RnWriter *out)
{
	rn_write_begin(out, RN_ROWS, 0);
	rn_write_u8(out, 0);
	rn_write_u32(out, 2);
	rn_write_string(out, "eins zwei");
	rn_write_string(out, "drei vier");
	rn_write_string(out, "");
	rn_write_string(out, "vier");
	rn_write_end(ctx, out);
	rn_write_begin(out, RN_ROWS_END, 0);
	rn_write_end(ctx, out);
}

/* All parts of a checkpoint, as a trainer of the same options tells them. */
static int
write_checkpoint(RnContext *ctx, RnWriter *out)
{
	char		state[RN_JOB_STATE_BYTES];
	RnWriter	train;
	RnJob		job;
	int			i;

	/* a job that has been told of its options and tokenizer makes the trainer */
	rn_writer_init(&train);
	write_train(ctx, &train, RN_TRAIN_TOKENIZER | RN_TRAIN_WEIGHTS);
	write_part(ctx, &train, "tokenizer", NULL, tokenizer, tokenizer_size);
	write_part(ctx, &train, "none", NULL, "", 0);
	tell_job(ctx, &job, (const uint8_t *) train.bytes, train.used);
	rn_context_reset(ctx);
	if (job.trainer == NULL || rn_trainer_initialize(ctx, job.trainer) != RN_OK)
		return 0;
	for (i = 0; i < rn_trainer_parts(job.trainer); i++)
	{
		RnPart		part;
		char	   *bytes;

		rn_trainer_part(job.trainer, i, &part);
		bytes = malloc(part.size);
		rn_trainer_read_part(ctx, job.trainer, &part, 0, bytes, part.size);
		write_part(ctx, out, part.name, part.param, bytes, part.size);
		free(bytes);
	}
	rn_job_write_state(&job, state);
	write_part(ctx, out, "job", NULL, state, sizeof(state));
	rn_job_free(&job);
	rn_writer_free(&train);
	return ctx->status == RN_OK;
}

static void
write_serving(RnContext *ctx, RnWriter *out)
{
	static const RnTask tasks[] = {RN_TASK_TRANSLATE, RN_TASK_SCORE, RN_TASK_EMBED, RN_TASK_TOKENIZE, RN_TASK_DETOKENIZE,
	RN_TASK_SHORTLIST};
	int			i;

	for (i = 0; i < 5; i++)
	{
		rn_write_begin(out, RN_REQUEST, (uint64_t) i);
		rn_write_u32(out, 1);
		rn_write_i64(out, 2);
		rn_write_i32(out, 3);
		rn_write_u64(out, 4);
		rn_write_u8(out, (uint8_t) tasks[i]);
		rn_write_u32(out, 1);
		rn_write_string(out, "beam");
		rn_write_string(out, "2");
		rn_write_u32(out, 2);
		rn_write_string(out, "eins");
		rn_write_string(out, "zwei");
		if (tasks[i] == RN_TASK_SCORE)
		{
			rn_write_string(out, "drei");
			rn_write_string(out, "vier");
		}
		rn_write_end(ctx, out);
	}
	rn_write_begin(out, RN_LOAD, 9);
	rn_write_u32(out, 1);
	rn_write_i64(out, 2);
	rn_write_i32(out, 3);
	rn_write_u64(out, 4);
	rn_write_u32(out, 2);
	rn_write_string(out, "d_model");
	rn_write_string(out, "8");
	rn_write_string(out, "vocab_size");
	rn_write_string(out, "300");
	rn_write_u64(out, 100000);
	rn_write_end(ctx, out);
}

static void
write_pairs(RnWriter *out, int n, const char *const (*pairs)[2])
{
	int			i;

	rn_write_u32(out, (uint32_t) n);
	for (i = 0; i < n; i++)
	{
		rn_write_string(out, pairs[i][0]);
		rn_write_string(out, pairs[i][1]);
	}
}

/* A model with its tokenizer, weights all 0. */
static int
write_model(RnContext *ctx, RnWriter *out, int n, const char *const (*options)[2])
{
	static const RnSpecialIds special = {RN_PAD_ID, RN_START_ID, RN_END_ID};
	static const float zeros[8192];
	const RnParams *params;
	RnConfig	config;
	RnModel    *model;
	int			i;

	rn_config_defaults(&config);
	for (i = 0; i < n; i++)
		rn_config_set(ctx, &config, options[i][0], options[i][1]);
	if (rn_model_create(ctx, &config, &special, config.max_length, &model) != RN_OK)
		return 0;
	params = rn_model_params(model);
	rn_write_begin(out, RN_LOAD, 9);
	rn_write_u32(out, 1);
	rn_write_i64(out, 2);
	rn_write_i32(out, 3);
	rn_write_u64(out, 4);
	write_pairs(out, n, options);
	rn_write_u64(out, params->size * sizeof(float) + tokenizer_size);
	rn_write_end(ctx, out);
	write_part(ctx, out, "tokenizer", NULL, tokenizer, tokenizer_size);
	for (i = 0; i < params->count; i++)
		write_part(ctx, out, params->items[i].name, &params->items[i], zeros, rn_param_size(&params->items[i]) * sizeof(float));
	rn_write_begin(out, RN_LOAD_END, 9);
	rn_write_end(ctx, out);
	rn_model_free(model);
	return 1;
}

static int
write_diagnosis(RnContext *ctx, RnWriter *out, RnModelUse use)
{
	static const char *const parameters[][2] = {{"random_step", "0.1"}, {"gradient_step", "1e-3"}, {"repeats", "2"}};
	char		vocabulary[16];
	const char *options[][2] = {{"encoder_layers", "1"}, {"decoder_layers", "1"}, {"d_model", "8"}, {"d_ffn", "8"},
	{"heads", "2"}, {"max_length", "20"}, {"batch_tokens", "40"}, {"vocab_size", vocabulary}};
	RnTokenizer *learned;

	if (rn_tokenizer_load(ctx, tokenizer, tokenizer_size, &learned) != RN_OK)
		return 0;
	snprintf(vocabulary, sizeof(vocabulary), "%d", rn_tokenizer_vocab_size(learned));
	rn_tokenizer_free(learned);
	if (use != RN_USE_NOTHING && !write_model(ctx, out, 8, (const char *const (*)[2]) options))
		return 0;
	rn_write_begin(out, RN_DIAGNOSE, 0);
	rn_write_string(out, "output_change");
	write_pairs(out, 8, (const char *const (*)[2]) options);
	rn_write_u8(out, (uint8_t) use);
	write_pairs(out, 3, parameters);
	rn_write_u64(out, 8 << 20);
	rn_write_end(ctx, out);
	write_rows(ctx, out);
	return ctx->status == RN_OK;
}

static int
make_seeds(void)
{
	RnTokenizerOptions options = {400, 1, 0, 0, 1, 1};
	RnContext	ctx;
	int			n = 0;
	int			i;

	rn_context_reset(&ctx);
	for (i = 0; i < SEEDS; i++)
		rn_writer_init(&seeds[i]);
	if (rn_tokenizer_learn(&ctx, &options, next_text, &n, &tokenizer, &tokenizer_size) != RN_OK)
		return 0;
	write_train(&ctx, &seeds[0], 0);
	write_rows(&ctx, &seeds[0]);
	write_train(&ctx, &seeds[1], RN_TRAIN_TOKENIZER);
	write_part(&ctx, &seeds[1], "tokenizer", NULL, tokenizer, tokenizer_size);
	write_rows(&ctx, &seeds[1]);
	write_train(&ctx, &seeds[2], RN_TRAIN_TOKENIZER | RN_TRAIN_CHECKPOINT);
	write_part(&ctx, &seeds[2], "tokenizer", NULL, tokenizer, tokenizer_size);
	if (!write_checkpoint(&ctx, &seeds[2]))
		return 0;
	write_rows(&ctx, &seeds[2]);
	write_serving(&ctx, &seeds[3]);
	return write_diagnosis(&ctx, &seeds[4], RN_USE_NOTHING) && write_diagnosis(&ctx, &seeds[5], RN_USE_MODEL);
}

/* ---- mutations ---- */

static uint64_t draws;

static uint32_t
draw(uint32_t below)
{
	return (uint32_t) (rn_random_bits(1, RN_RANDOM_SAMPLE, 0, 0, draws++) % below);
}

/* The start of some frame, so that heads are hit as often as payloads. */
static size_t
some_frame(const uint8_t *bytes, size_t size)
{
	size_t		starts[64];
	size_t		at = 0;
	uint32_t	n = 0;

	while (at + RN_FRAME_HEAD <= size && n < 64)
	{
		uint32_t	length;

		starts[n++] = at;
		memcpy(&length, bytes + at + 4, 4);
		if (length > size)
			break;
		at += RN_FRAME_HEAD + (size_t) length;
	}
	return n > 0 ? starts[draw(n)] : 0;
}

static void
mutate(uint8_t *bytes, size_t *size)
{
	static const uint32_t interesting[] = {0, 1, 2, 7, 255, 65536, 0x7fffffff, 0x80000000u, 0xffffffffu, RN_FRAME_MAX,
	RN_CHUNK};
	size_t		near = some_frame(bytes, *size) + draw(64);
	size_t		at = draw(2) || near >= *size ? draw((uint32_t) *size) : near;
	uint32_t	word;
	size_t		n;

	switch (draw(7))
	{
		case 0:
			bytes[at] ^= (uint8_t) (1 << draw(8));
			break;
		case 1:
			bytes[at] = (uint8_t) draw(256);
			break;
		case 2:
			word = interesting[draw(sizeof(interesting) / sizeof(interesting[0]))];
			if (at + 4 <= *size)
				memcpy(bytes + at, &word, 4);
			break;
		case 3:
			*size = at + 1;
			break;
		case 4:					/* leave some out */
			n = draw(40) < *size - at ? draw(40) : 0;
			if (at + n < *size)
			{
				memmove(bytes + at, bytes + at + n, *size - at - n);
				*size -= n;
			}
			break;
		case 5:					/* say some twice */
			n = 1 + draw(40);
			if (at + n <= *size && *size + n <= INPUT_MOST)
			{
				memmove(bytes + at + n, bytes + at, *size - at);
				*size += n;
			}
			break;
		default:				/* change a length a little */
			near = some_frame(bytes, *size);
			if (near + 8 <= *size)
				bytes[near + 4] = (uint8_t) (bytes[near + 4] + draw(9) - 4);
	}
}

int
main(int argc, char **argv)
{
	static uint8_t bytes[INPUT_MOST];
	long		rounds = argc > 1 ? atol(argv[1]) : 3000;
	int			whole,
				questions;
	long		i;

	signal(SIGPIPE, SIG_IGN);
	if (!make_seeds())
	{
		printf("not ok 1 - valid conversations could not be made\n1..1\n");
		return 1;
	}
	for (i = 0; i < SEEDS; i++)
		LLVMFuzzerTestOneInput((const uint8_t *) seeds[i].bytes, seeds[i].used);
	whole = answers[RN_OK];
	questions = diagnosed[RN_OK];
	printf("%s 1 - the three valid conversations are understood\n", whole == 3 ? "ok" : "not ok");
	printf("%s 2 - and the two valid questions\n", questions == 2 ? "ok" : "not ok");
	for (i = 0; i < rounds; i++)
	{
		const RnWriter *seed = &seeds[draw(SEEDS)];
		size_t		size = seed->used < INPUT_MOST ? seed->used : INPUT_MOST;
		uint32_t	n = 1 + draw(4);

		memcpy(bytes, seed->bytes, size);
		while (n-- > 0 && size > 0)
			mutate(bytes, &size);
		LLVMFuzzerTestOneInput(bytes, size);
	}
	printf("%s 3 - %ld damaged ones do no harm\n", answers[RN_OK] > whole && answers[RN_CORRUPT] > 0 &&
		   diagnosed[RN_OK] > questions && diagnosed[RN_CORRUPT] > 0 ? "ok" : "not ok", rounds);
	printf("# accepted %d, connection ended %d, corrupt %d, mismatch %d, invalid %d, memory or limit %d\n1..3\n",
		   answers[RN_OK], answers[RN_IO], answers[RN_CORRUPT], answers[RN_MISMATCH], answers[RN_INVALID],
		   answers[RN_NO_MEMORY] + answers[RN_LIMIT]);
	return whole == 3 && questions == 2 ? 0 : 1;
}

#endif							/* RN_LIBFUZZER */
