/*
 * test_server.c
 *		The serving engine as a process of its own, met by clients of every
 *		kind: polite, many at once, impatient, slow, broken and gone.
 *
 * What it answers is held to a translator in this process.
 *
 * test/unit/test_server.c
 */
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "engine/apart.h"
#include "engine/handover.h"
#include "serve_driver.h"

#define N_TEXTS		200
#define MAX_LENGTH	32

#ifdef RN_DOUBLE
#define TOLERANCE	1e-9
#define LITTLE_MEMORY	"8"	/* MiB: room for two models of test_memory */
#else
#define TOLERANCE	2e-3
#define LITTLE_MEMORY	"5"
#endif

static volatile sig_atomic_t apart_stop;
static ToyModel toy;
static RnTranslator *translator;
static char sentences[N_TEXTS][300];
static RnText texts[N_TEXTS];
static RnTranslation expected[N_TEXTS];	/* by beam 2 */
static RnTranslation expected_greedy[N_TEXTS];
static RnTranslation expected_int8[N_TEXTS];	/* by beam 2 */

static const RnModelKey model_key = {5, 17, 1, 0xFEEDFACEu};
static const char *const beam_2[] = {"beam", "2", NULL};
static const char *const greedy[] = {"beam", "1", NULL};
static const char *const two_threads[] = {"--threads=2", NULL};

/* ---- reading answers ---- */

/* An ERROR's status and texts, or RN_OK when it is none. */
static RnStatus
error_of(const RnFrame *frame, RnContext *error)
{
	RnReader	reader;

	rn_context_reset(error);
	if (frame->type != RN_ERROR)
		return RN_OK;
	rn_reader_init(&reader, frame);
	error->status = rn_read_u32(&reader);
	rn_read_string(&reader, error->message, sizeof(error->message));
	rn_read_string(&reader, error->detail, sizeof(error->detail));
	rn_read_string(&reader, error->hint, sizeof(error->hint));
	return error->status;
}

/* How many of the first answers of a translation, n_best 1, are not those expected; -1 for another frame. */
static int
wrong_answers(const RnFrame *frame, int n, const RnTranslation *right, int first)
{
	RnReader	reader;
	int			wrong = 0;
	int			i;

	if (frame->type != RN_RESULT)
		return -1;
	rn_reader_init(&reader, frame);
	if (rn_read_u32(&reader) != (uint32_t) n || rn_read_u32(&reader) != 1)
		return -1;
	for (i = 0; i < n; i++)
	{
		const RnTranslation *one = &right[(first + i) % N_TEXTS];
		size_t		size;
		const char *text;

		wrong += rn_read_u8(&reader) != 1;
		text = rn_read_bytes(&reader, &size);
		wrong += size != strlen(one->text) || memcmp(text, one->text, size) != 0;
		wrong += !(fabs(rn_read_f64(&reader) - one->score) <= TOLERANCE * (1 + fabs(one->score)));
		rn_read_f64(&reader);
		wrong += rn_read_u32(&reader) != (uint32_t) one->tokens;
		wrong += rn_read_u8(&reader) != (one->source_cut != 0);
		wrong += rn_read_u32(&reader) != 0;
	}
	return reader.failed || reader.at != reader.end ? -1 : wrong;
}

/* Send what is written, await a frame of this type and id. */
static int
exchange(Client *client, RnFrame *frame, uint32_t type, uint64_t id)
{
	return client_send(client) && client_receive(client, frame, DRIVER_SECONDS) == 1 && frame->type == type &&
		frame->id == id;
}

static int
translates(Client *client, uint64_t id)
{
	RnFrame		frame;

	write_request(client, id, &model_key, RN_TASK_TRANSLATE, beam_2, 3, texts, NULL);
	return exchange(client, &frame, RN_RESULT, id) && wrong_answers(&frame, 3, expected, 0) == 0;
}

/* An engine with the model in it, and a client of it. */
static int
start_loaded(Engine *engine, Client *client, const char *const *arguments)
{
	RnFrame		frame;

	if (!CHECK(engine_start(engine, arguments) && client_connect(client, engine), "the engine greets"))
		return 0;
	write_request(client, 1, &model_key, RN_TASK_TRANSLATE, beam_2, 1, texts, NULL);
	return CHECK(exchange(client, &frame, RN_NEED_MODEL, 1) && client_load(client, 2, &model_key, &toy) &&
				 translates(client, 3), "it asks for the model, takes it and translates");
}

static void
stop_clean(Engine *engine)
{
	int			status = engine_stop(engine);

	CHECK(status == 0, "the engine ends with its control socket (status %d)", status);
}

/* ---- the tests ---- */

static void
test_greeting(void)
{
	Engine		engine;
	Client		client;
	Client		control;
	RnReader	reader;
	RnFrame		frame;
	char		text[256];

	if (!CHECK(engine_start(&engine, two_threads), "an engine starts"))
		return;
	client_attach(&control, engine.control);
	CHECK(client_receive(&control, &frame, DRIVER_SECONDS) == 1 && frame.type == RN_HELLO, "the supervisor is greeted");
	rn_reader_init(&reader, &frame);
	CHECK(rn_read_u32(&reader) == RN_PROTOCOL_VERSION, "with the protocol's version");
	rn_read_string(&reader, text, sizeof(text));
	CHECK(strcmp(text, RN_BUILD_VERSION) == 0, "the build's version %s", text);
	rn_read_string(&reader, text, sizeof(text));
	CHECK(text[0] != '\0', "the device: %s", text);
	CHECK(rn_read_u64(&reader) == (uint64_t) engine.pid, "and the process's number");
	write_empty(&control, RN_PING, 99);
	CHECK(exchange(&control, &frame, RN_PONG, 99), "the supervisor may ping");
	CHECK(client_connect(&client, &engine), "a client is greeted");
	write_empty(&client, RN_PING, 98);
	CHECK(exchange(&client, &frame, RN_PONG, 98), "a client may ping");
	CHECK(client_status(&client, "threads") == 2 && client_status(&client, "connections") == 2 &&
		  client_status(&client, "models") == 0, "the status counts threads, connections and models");
	client_close(&client);
	rn_inbox_free(&control.inbox);
	rn_writer_free(&control.out);
	stop_clean(&engine);
}

static void
check_pieces(Client *client)
{
	static const char *const round[] = {"\xe2\x96\x81", "ka", "lo", NULL};
	RnText		pieces[3];
	RnContext	ctx;
	RnReader	reader;
	RnFrame		frame;
	int32_t    *ids;
	int			n,
				cut,
				i;
	int			wrong = 0;
	char		piece[256];
	char	   *text;
	int32_t		round_ids[3];

	rn_context_reset(&ctx);
	write_request(client, 30, &model_key, RN_TASK_TOKENIZE, NULL, 5, texts, NULL);
	if (CHECK(exchange(client, &frame, RN_RESULT, 30), "pieces of texts"))
	{
		rn_reader_init(&reader, &frame);
		wrong += rn_read_u32(&reader) != 5;
		for (i = 0; i < 5; i++)
		{
			int			k;

			rn_tokenizer_encode(&ctx, toy.tokenizer, texts[i], 1000, &ids, &n, &cut);
			wrong += rn_read_u32(&reader) != (uint32_t) n;
			for (k = 0; k < n; k++)
			{
				rn_read_string(&reader, piece, sizeof(piece));
				wrong += strcmp(piece, rn_tokenizer_piece(toy.tokenizer, ids[k])) != 0;
			}
			free(ids);
		}
		CHECK(wrong == 0 && rn_reader_end(&ctx, &reader, "pieces") == RN_OK, "are the tokenizer's");
	}
	for (i = 0; i < 3; i++)
	{
		pieces[i].bytes = round[i];
		pieces[i].size = strlen(round[i]);
		round_ids[i] = rn_tokenizer_id(toy.tokenizer, round[i]);
	}
	rn_tokenizer_decode(&ctx, toy.tokenizer, round_ids, 3, &text);
	write_request(client, 31, &model_key, RN_TASK_DETOKENIZE, NULL, 3, pieces, NULL);
	if (CHECK(exchange(client, &frame, RN_RESULT, 31), "a text of pieces"))
	{
		rn_reader_init(&reader, &frame);
		rn_read_string(&reader, piece, sizeof(piece));
		CHECK(strcmp(piece, text) == 0, "is the tokenizer's: \"%s\"", piece);
	}
	free(text);
}

static void
check_numbers(Client *client)
{
	double		log_probabilities[50];
	int			tokens[50];
	float		embeddings[50 * 64];
	RnContext	ctx;
	RnReader	reader;
	RnFrame		frame;
	int			width = toy.config.d_model;
	int			wrong = 0;
	int			i,
				c;

	rn_context_reset(&ctx);
	rn_translator_score(&ctx, translator, 50, texts, texts + 60, log_probabilities, tokens, NULL);
	write_request(client, 32, &model_key, RN_TASK_SCORE, NULL, 50, texts, texts + 60);
	if (CHECK(exchange(client, &frame, RN_RESULT, 32), "scores of pairs"))
	{
		rn_reader_init(&reader, &frame);
		wrong += rn_read_u32(&reader) != 50;
		for (i = 0; i < 50; i++)
		{
			wrong += !(fabs(rn_read_f64(&reader) - log_probabilities[i]) <= 1e-4 * (1 + fabs(log_probabilities[i])));
			wrong += rn_read_u32(&reader) != (uint32_t) tokens[i];
		}
		CHECK(wrong == 0 && rn_reader_end(&ctx, &reader, "scores") == RN_OK, "are the translator's");
	}
	rn_translator_embed(&ctx, translator, 50, texts, embeddings, NULL);
	write_request(client, 33, &model_key, RN_TASK_EMBED, NULL, 50, texts, NULL);
	if (CHECK(exchange(client, &frame, RN_RESULT, 33), "embeddings"))
	{
		rn_reader_init(&reader, &frame);
		wrong += rn_read_u32(&reader) != 50;
		wrong += rn_read_u32(&reader) != (uint32_t) width;
		for (i = 0; i < 50; i++)
		{
			size_t		size;
			const char *bytes = rn_read_bytes(&reader, &size);

			wrong += size != width * sizeof(float);
			for (c = 0; c < width && size == width * sizeof(float); c++)
			{
				float		value;

				memcpy(&value, bytes + c * sizeof(float), sizeof(float));
				wrong += !(fabs(value - embeddings[i * width + c]) < 1e-4);
			}
		}
		CHECK(wrong == 0 && rn_reader_end(&ctx, &reader, "embeddings") == RN_OK, "are the translator's");
	}
}

static void
check_refusals(Client *client)
{
	static const struct
	{
		const char *options[3];
		RnStatus	status;
	}			cases[] =
	{
		{{"beams", "2", NULL}, RN_INVALID},
		{{"beam", "0", NULL}, RN_INVALID},
		{{"n_best", "5", NULL}, RN_INVALID},
		{{"precision", "int9", NULL}, RN_INVALID}
	};
	RnText	   *many = malloc((RN_REQUEST_TEXTS + 1) * sizeof(RnText));
	RnText		pair[2];
	RnContext	error;
	RnFrame		frame;
	char		long_text[2000];
	RnReader	reader;
	int			wrong = 0;
	int			i;

	for (i = 0; i < (int) (sizeof(cases) / sizeof(cases[0])); i++)
	{
		write_request(client, 40 + i, &model_key, RN_TASK_TRANSLATE, cases[i].options, 1, texts, NULL);
		CHECK(exchange(client, &frame, RN_ERROR, 40 + i) && error_of(&frame, &error) == cases[i].status,
			  "option %s = %s: %s", cases[i].options[0], cases[i].options[1], error.message);
	}
	for (i = 0; i <= RN_REQUEST_TEXTS; i++)
	{
		many[i].bytes = "";
		many[i].size = 0;
	}
	write_request(client, 50, &model_key, RN_TASK_TRANSLATE, NULL, RN_REQUEST_TEXTS + 1, many, NULL);
	CHECK(exchange(client, &frame, RN_ERROR, 50) && error_of(&frame, &error) == RN_LIMIT, "%s: %s", error.message,
		  error.detail);
	write_request(client, 51, &model_key, RN_TASK_TRANSLATE, NULL, RN_REQUEST_TEXTS, many, NULL);
	CHECK(exchange(client, &frame, RN_RESULT, 51), "as many as allowed, all empty, are answered");
	write_request(client, 52, &model_key, RN_TASK_TRANSLATE, NULL, 0, many, NULL);
	CHECK(exchange(client, &frame, RN_RESULT, 52) && wrong_answers(&frame, 0, expected, 0) == 0, "no text, no answer");

	/* a target too long to be aligned costs its own request only, though others are in the batch */
	toy_sentence(1, 60, long_text, sizeof(long_text));
	pair[0] = texts[0];
	pair[1].bytes = long_text;
	pair[1].size = strlen(long_text);
	write_request(client, 53, &model_key, RN_TASK_ALIGN, NULL, 20, texts, texts + 20);
	write_request(client, 54, &model_key, RN_TASK_ALIGN, NULL, 2, texts, pair);
	write_request(client, 55, &model_key, RN_TASK_ALIGN, NULL, 20, texts, texts + 40);
	CHECK(exchange(client, &frame, RN_RESULT, 53), "the one before a bad text is answered");
	CHECK(client_receive(client, &frame, DRIVER_SECONDS) == 1 && error_of(&frame, &error) == RN_LIMIT && frame.id == 54,
		  "a bad text is an error of its request: %s", error.message);
	CHECK(client_receive(client, &frame, DRIVER_SECONDS) == 1 && frame.type == RN_RESULT && frame.id == 55,
		  "the one behind it is answered");
	CHECK(translates(client, 56), "and the connection goes on");

	/* one too long to be scored is answered with none of its tokens */
	write_request(client, 57, &model_key, RN_TASK_SCORE, NULL, 2, texts, pair);
	if (CHECK(exchange(client, &frame, RN_RESULT, 57), "scores, one target too long"))
	{
		rn_reader_init(&reader, &frame);
		wrong += rn_read_u32(&reader) != 2;
		wrong += !(rn_read_f64(&reader) < 0);
		wrong += rn_read_u32(&reader) == 0;
		(void) rn_read_f64(&reader);
		wrong += rn_read_u32(&reader) != 0;
		CHECK(wrong == 0, "only it is not scored");
	}
	free(many);
}

static void
test_tasks(void)
{
	Engine		engine;
	Client		client;

	if (start_loaded(&engine, &client, two_threads))
	{
		check_pieces(&client);
		check_numbers(&client);
		check_refusals(&client);
		CHECK(client_status(&client, "models") == 1 && client_status(&client, "model_bytes") >=
			  rn_model_params(toy.model)->size * 4.0, "the status counts models and bytes");
	}
	client_close(&client);
	stop_clean(&engine);
}

/* ---- loading ---- */

static void
test_load_faults(void)
{
	Engine		engine;
	Client		client;
	RnContext	error;
	RnFrame		frame;
	int			fault;

	if (!CHECK(engine_start(&engine, two_threads) && client_connect(&client, &engine), "the engine greets"))
		return;
	for (fault = LOAD_RIGHT + 1; fault < LOAD_FAULTS; fault++)
	{
		write_request(&client, 10 * fault, &model_key, RN_TASK_TRANSLATE, beam_2, 1, texts, NULL);
		CHECK(exchange(&client, &frame, RN_NEED_MODEL, 10 * fault), "fault %d: the model is asked for", fault);
		CHECK(client_send_model(&client, 10 * fault + 1, &model_key, &toy, fault, fault % 2 ? 1000 : 0) &&
			  client_receive(&client, &frame, DRIVER_SECONDS) == 1 && frame.id == (uint64_t) 10 * fault + 1 &&
			  error_of(&frame, &error) != RN_OK, "fault %d: %s; %s", fault, error.message, error.detail);
	}
	CHECK(client_status(&client, "models") == 0 && client_status(&client, "model_bytes") == 0, "nothing is left of them");
	CHECK(client_send_model(&client, 500, &model_key, &toy, LOAD_RIGHT, 777 * 4) &&
		  client_receive(&client, &frame, DRIVER_SECONDS) == 1 && frame.type == RN_LOADED && frame.id == 500,
		  "then a right one, in odd parts, unasked");
	CHECK(translates(&client, 501), "and it translates");
	CHECK(client_load(&client, 502, &model_key, &toy) && client_status(&client, "models_loaded") == 1,
		  "what is there already is passed over");
	client_close(&client);
	stop_clean(&engine);
}

/* Clients that all want a model that is not there: one is asked, the others get their answers when it has sent it. */
static void
test_load_race(void)
{
	enum
	{
		N = 20
	};
	static const char *const arguments[] = {"--threads=2", "--load=1", NULL};
	Engine		engine;
	Client		clients[N];
	RnFrame		frame;
	double		began;
	int			asked = 0;
	int			answered = 0;
	int			i;

	if (!CHECK(engine_start(&engine, engine_is_own_program() ? arguments : two_threads), "an engine starts"))
		return;
	for (i = 0; i < N; i++)
		client_connect(&clients[i], &engine);
	for (i = 0; i < N; i++)
	{
		write_request(&clients[i], 7, &model_key, RN_TASK_TRANSLATE, beam_2, 3, texts, NULL);
		client_send(&clients[i]);
	}
	CHECK(client_receive(&clients[0], &frame, DRIVER_SECONDS) == 1 && frame.type == RN_NEED_MODEL,
		  "the first is asked for the model");
	for (i = 1; i < N; i++)
		asked += client_receive(&clients[i], &frame, 0.02) != -1;
	CHECK(asked == 0 && client_status(&clients[0], "waiting_for_model") == N - 1, "the others wait");

	/* hangs up in the middle of sending: the next one is asked */
	CHECK(client_send_model(&clients[0], 8, &model_key, &toy, LOAD_NO_TENSOR, 0), "the first sends");
	client_receive(&clients[0], &frame, DRIVER_SECONDS);
	for (i = 1, asked = -1; i < N && asked < 0; i++)
		asked = client_receive(&clients[i], &frame, 0.05) == 1 && frame.type == RN_NEED_MODEL ? i : -1;
	CHECK(asked > 0, "when that fails another is asked (%d)", asked);
	client_close(&clients[asked > 0 ? asked : 1]);
	clients[asked > 0 ? asked : 1].fd = -1;
	began = driver_now();
	for (i = 1, asked = -1; i < N && asked < 0; i++)
		asked = clients[i].fd >= 0 && client_receive(&clients[i], &frame, 0.05) == 1 &&
			frame.type == RN_NEED_MODEL ? i : -1;
	CHECK(asked > 0, "when that one hangs up a third is asked (%d) after %.3f s", asked, driver_now() - began);

	/* the third is silent: after a second a fourth is asked, if the engine takes the option */
	if (engine_is_own_program())
	{
		int			silent = asked;

		for (i = 1, asked = -1; asked < 0 && driver_now() < began + DRIVER_SECONDS; i = i % (N - 1) + 1)
			asked = i != silent && clients[i].fd >= 0 && client_receive(&clients[i], &frame, 0.02) == 1 &&
				frame.type == RN_NEED_MODEL ? i : -1;
		CHECK(asked > 0 && driver_now() - began >= 0.9, "when it is silent a fourth is asked (%d) after %.3f s", asked,
			  driver_now() - began);
		write_request(&clients[silent], 7, &model_key, RN_TASK_TRANSLATE, beam_2, 3, texts, NULL);
		client_send(&clients[silent]);
	}
	else
		check_skip("a sender that is silent: this program has no option for it");
	if (asked > 0 && CHECK(client_load(&clients[asked], 9, &model_key, &toy), "who is asked sends it"))
	{
		write_request(&clients[asked], 7, &model_key, RN_TASK_TRANSLATE, beam_2, 3, texts, NULL);
		client_send(&clients[asked]);
		for (i = 1; i < N; i++)
		{
			if (clients[i].fd >= 0)
				answered += client_receive(&clients[i], &frame, DRIVER_SECONDS) == 1 &&
					wrong_answers(&frame, 3, expected, 0) == 0;
		}
		CHECK(answered == N - 2 && client_status(&clients[asked], "models_loaded") == 1,
			  "and all %d are answered from one model", answered);
	}
	for (i = 0; i < N; i++)
	{
		if (clients[i].fd >= 0)
			client_close(&clients[i]);
	}
	stop_clean(&engine);
}

/* Models within a budget: the least recently used leaves. */
static void
test_memory(void)
{
	static const char *const arguments[] = {"--threads=2", "--memory=" LITTLE_MEMORY, NULL};
	static const RnModelKey keys[4] = {{1, 1, 1, 1}, {1, 2, 1, 1}, {1, 3, 1, 1}, {1, 4, 1, 1}};
	static const char *const slow[] = {"beam", "4", NULL};
	ToyModel	big;
	ToyModel	huge;
	Engine		engine;
	Client		clients[3];
	RnContext	error;
	RnFrame		frame;
	RnText		many[300];
	double		before;
	int			i;

	/* about 2 and 8 MiB: two of the first fit, none of the second */
	if (!CHECK(toy_model_create(&big, 2, 96, MAX_LENGTH, 5) && toy_model_create(&huge, 2, 224, MAX_LENGTH, 5),
			   "larger models") || !CHECK(engine_start(&engine, arguments), "an engine of little memory"))
		return;
	for (i = 0; i < 3; i++)
		client_connect(&clients[i], &engine);
	for (i = 0; i < 300; i++)
		many[i] = texts[i % N_TEXTS];
	CHECK(client_load(&clients[0], 1, &keys[0], &big) && client_load(&clients[0], 2, &keys[1], &big), "two models fit");
	before = client_status(&clients[0], "model_bytes");
	write_request(&clients[0], 3, &keys[0], RN_TASK_TRANSLATE, greedy, 2, texts, NULL);
	CHECK(exchange(&clients[0], &frame, RN_RESULT, 3), "the first is used");
	CHECK(client_status(&clients[0], "model_bytes") > before && client_status(&clients[0], "models") == 2,
		  "what its translators keep is counted");
	CHECK(client_load(&clients[0], 4, &keys[2], &big) && client_status(&clients[0], "models") == 2 &&
		  client_status(&clients[0], "models_evicted") == 1 && client_status(&clients[0], "model_bytes") <= atoi(LITTLE_MEMORY) << 20,
		  "a third takes the place of one");
	write_request(&clients[0], 5, &keys[0], RN_TASK_TRANSLATE, greedy, 2, texts, NULL);
	CHECK(exchange(&clients[0], &frame, RN_RESULT, 5), "the first is still there");
	write_request(&clients[0], 6, &keys[1], RN_TASK_TRANSLATE, greedy, 2, texts, NULL);
	CHECK(exchange(&clients[0], &frame, RN_NEED_MODEL, 6), "the second, not used since, is not");
	CHECK(client_send_model(&clients[0], 7, &keys[3], &huge, LOAD_RIGHT, 0) &&
		  client_receive(&clients[0], &frame, DRIVER_SECONDS) == 1 && error_of(&frame, &error) == RN_LIMIT,
		  "%s: %s %s", error.message, error.detail, error.hint);

	/* both in use: the one sent last comes in when a request has ended, and nothing goes wrong meanwhile */
	write_request(&clients[1], 8, &keys[0], RN_TASK_TRANSLATE, slow, 300, many, NULL);
	write_request(&clients[2], 9, &keys[2], RN_TASK_TRANSLATE, slow, 300, many, NULL);
	client_send(&clients[1]);
	client_send(&clients[2]);
	driver_sleep(0.05);
	CHECK(client_send_model(&clients[0], 10, &keys[1], &big, LOAD_RIGHT, 0) &&
		  client_receive(&clients[0], &frame, DRIVER_SECONDS) == 1 && frame.type == RN_LOADED, "a model waits for room");
	CHECK(client_status(&clients[0], "model_bytes") <= atoi(LITTLE_MEMORY) << 20, "and keeps to the budget");
	CHECK(client_receive(&clients[1], &frame, DRIVER_SECONDS) == 1 && frame.type == RN_RESULT &&
		  client_receive(&clients[2], &frame, DRIVER_SECONDS) == 1 && frame.type == RN_RESULT,
		  "those that were in use answer");
	for (i = 0; i < 3; i++)
		client_close(&clients[i]);
	toy_model_free(&big);
	toy_model_free(&huge);
	stop_clean(&engine);
}

/* A model sent while the test goes on: the engine takes no more than the head before there is room. */
typedef struct Sending
{
	Client	   *client;
	const RnModelKey *key;
	const ToyModel *toy;
	int			loaded;			/* atomically */
} Sending;

static void *
send_aside(void *arg)
{
	Sending    *sending = arg;

	__atomic_store_n(&sending->loaded, client_load(sending->client, 3, sending->key, sending->toy), __ATOMIC_RELEASE);
	return NULL;
}

/* Clients whose models do not fit together take turns: what was sent is used before it leaves. */
static void
test_memory_turns(void)
{
	static const char *const arguments[] = {"--threads=2", "--memory=" LITTLE_MEMORY, NULL};
	static const RnModelKey keys[3] = {{1, 1, 1, 1}, {1, 2, 1, 1}, {1, 3, 1, 1}};
	ToyModel	big;
	Engine		engine;
	Client		clients[3];
	Sending		third = {&clients[2], &keys[2], &big, 0};
	pthread_t	thread;
	RnFrame		frame;
	int			answered = 0;
	int			i;

	if (!CHECK(toy_model_create(&big, 2, 96, MAX_LENGTH, 5) && engine_start(&engine, arguments),
			   "an engine with room for two models"))
		return;
	for (i = 0; i < 3; i++)
		client_connect(&clients[i], &engine);
	CHECK(client_load(&clients[0], 1, &keys[0], &big) && client_load(&clients[1], 2, &keys[1], &big), "two fill it");
	pthread_create(&thread, NULL, send_aside, &third);
	driver_sleep(0.3);
	CHECK(!__atomic_load_n(&third.loaded, __ATOMIC_ACQUIRE), "a third waits until they have been used");
	for (i = 0; i < 3; i++)
	{
		if (i == 2)
			pthread_join(thread, NULL);
		write_request(&clients[i], 4, &keys[i], RN_TASK_TRANSLATE, greedy, 2, texts, NULL);
		answered += exchange(&clients[i], &frame, RN_RESULT, 4);
	}
	CHECK(answered == 3, "then it comes in, and nobody has to send again (%d of 3)", answered);
	CHECK(client_load(&clients[0], 5, &keys[0], &big) && client_load(&clients[1], 6, &keys[1], &big) &&
		  client_load(&clients[2], 7, &keys[2], &big), "who sends and then says nothing is not waited for");
	for (i = 0; i < 3; i++)
		client_close(&clients[i]);
	toy_model_free(&big);
	stop_clean(&engine);
}

/* Weights of a precision are made once, whoever asks first, and counted. */
static void
test_precision(void)
{
	static const char *const arguments[] = {"--threads=2", NULL};
	static const char *const int8[] = {"beam", "2", "precision", "int8", NULL};
	Engine		engine;
	Client		clients[6];
	RnFrame		frame;
	double		bytes[3];
	int			right = 0;
	int			i;

	if (!CHECK(engine_start(&engine, arguments), "an engine for two precisions"))
		return;
	for (i = 0; i < 6; i++)
		client_connect(&clients[i], &engine);
	CHECK(client_load(&clients[0], 1, &model_key, &toy), "it gets a model");
	bytes[0] = client_weights(&clients[0]);
	for (i = 0; i < 6; i++)
	{
		write_request(&clients[i], 2, &model_key, RN_TASK_TRANSLATE, i < 3 ? int8 : beam_2, N_TEXTS, texts, NULL);
		client_send(&clients[i]);
	}
	for (i = 0; i < 6; i++)
		right += client_receive(&clients[i], &frame, DRIVER_SECONDS) == 1 &&
			wrong_answers(&frame, N_TEXTS, i < 3 ? expected_int8 : expected, 0) == 0;
	CHECK(right == 6, "six clients that ask at once get the answers of their precision (%d)", right);
	bytes[1] = client_weights(&clients[0]);
	write_request(&clients[4], 3, &model_key, RN_TASK_TRANSLATE, int8, N_TEXTS, texts, NULL);
	CHECK(exchange(&clients[4], &frame, RN_RESULT, 3) && wrong_answers(&frame, N_TEXTS, expected_int8, 0) == 0,
		  "and later ones too");
	bytes[2] = client_weights(&clients[0]);
	CHECK(bytes[0] > 0 && bytes[1] > bytes[0] && bytes[2] == bytes[1], "what was made counts, once (%.0f, %.0f, %.0f bytes)",
		  bytes[0], bytes[1], bytes[2]);
	for (i = 0; i < 6; i++)
		client_close(&clients[i]);
	stop_clean(&engine);
}

/* Where memory is short float32 does without, and int8 is refused or takes the place of others. */
static void
test_precision_memory(void)
{
	static const char *const arguments[] = {"--threads=2", "--memory=" LITTLE_MEMORY, NULL};
	static const RnModelKey keys[3] = {{1, 1, 1, 1}, {1, 2, 1, 1}, {1, 3, 1, 1}};
	static const char *const int8[] = {"precision", "int8", NULL};
	ToyModel	big;
	ToyModel	full;
	Engine		engine;
	Client		client;
	RnContext	error;
	RnFrame		frame;

	/* two of the first fit as they are; the second leaves no room for anything */
	if (!CHECK(toy_model_create(&big, 2, 96, MAX_LENGTH, 5) && toy_model_create(&full, 2, 160, MAX_LENGTH, 5),
			   "larger models") || !CHECK(engine_start(&engine, arguments), "an engine of little memory"))
		return;
	client_connect(&client, &engine);
	CHECK(client_load(&client, 1, &keys[0], &big) && client_load(&client, 2, &keys[1], &big), "two models fit");
	write_request(&client, 3, &keys[0], RN_TASK_TRANSLATE, greedy, 2, texts, NULL);
	CHECK(exchange(&client, &frame, RN_RESULT, 3) && client_status(&client, "models") == 2, "float32 pushes nobody out");
	write_request(&client, 4, &keys[0], RN_TASK_TRANSLATE, int8, 2, texts, NULL);
	CHECK(exchange(&client, &frame, RN_RESULT, 4), "int8 is made");
	CHECK(client_status(&client, "model_bytes") <= atoi(LITTLE_MEMORY) << 20, "within the budget");
	CHECK(client_load(&client, 5, &keys[2], &full), "a model that fills it");
	write_request(&client, 6, &keys[2], RN_TASK_TRANSLATE, greedy, 2, texts, NULL);
	CHECK(exchange(&client, &frame, RN_RESULT, 6), "translates in float32");
	write_request(&client, 7, &keys[2], RN_TASK_TRANSLATE, int8, 2, texts, NULL);
	CHECK(exchange(&client, &frame, RN_ERROR, 7) && error_of(&frame, &error) == RN_LIMIT, "and not in int8: %s %s %s",
		  error.message, error.detail, error.hint);
	write_request(&client, 8, &keys[2], RN_TASK_TRANSLATE, greedy, 2, texts, NULL);
	CHECK(exchange(&client, &frame, RN_RESULT, 8), "which harms nobody");
	client_close(&client);
	toy_model_free(&big);
	toy_model_free(&full);
	stop_clean(&engine);
}

/* ---- broken clients ---- */

static void
write_malformed(Client *client, int kind)
{
	RnWriter   *out = &client->out;
	size_t		at;
	uint32_t	length;

	switch (kind)
	{
		case 0:					/* a request of nothing */
			write_empty(client, RN_REQUEST, 1);
			break;
		case 1:					/* a count that the frame cannot hold */
			write_request(client, 1, &model_key, RN_TASK_TRANSLATE, NULL, 1, texts, NULL);
			length = 0x7FFFFFFF;
			memcpy(out->bytes + RN_FRAME_HEAD + 25 + 8, &length, 4);
			break;
		case 2:					/* bytes left over */
			write_request(client, 1, &model_key, RN_TASK_TRANSLATE, NULL, 1, texts, NULL);
			length = 0;
			at = RN_FRAME_HEAD + 25 + 12;
			memcpy(out->bytes + at, &length, 4);
			break;
		case 3:					/* no such task */
			write_request(client, 1, &model_key, (RnTask) 77, NULL, 1, texts, NULL);
			break;
		case 4:					/* no such frame */
			write_empty(client, 12345, 1);
			break;
		case 5:
			write_empty(client, RN_PART, 1);
			break;
		case 6:
			write_empty(client, RN_LOAD_END, 1);
			break;
		case 7:
			write_empty(client, RN_LOAD, 1);
			break;
		case 8:					/* longer than any frame */
			write_empty(client, RN_PING, 1);
			length = RN_FRAME_MAX + 1;
			memcpy(out->bytes + 4, &length, 4);
			break;
		default:				/* what an engine says, not a client */
			write_empty(client, RN_RESULT, 1);
			break;
	}
}

static void
test_malformed(void)
{
	Engine		engine;
	Client		polite;
	Client		client;
	RnContext	error;
	RnFrame		frame;
	uint64_t	round;
	int			kind;
	int			i;

	if (!start_loaded(&engine, &polite, two_threads))
		return;
	for (kind = 0; kind < 10; kind++)
	{
		client_connect(&client, &engine);
		write_malformed(&client, kind);
		CHECK(client_send(&client) && client_receive(&client, &frame, DRIVER_SECONDS) == 1 &&
			  error_of(&frame, &error) == RN_CORRUPT && client_receive(&client, &frame, DRIVER_SECONDS) == 0,
			  "malformed %d: %s, and the end", kind, error.message);
		client_close(&client);
	}
	CHECK(translates(&polite, 60), "others do not notice");

	/* damaged at random: never a crash, never a hang */
	for (round = 0; round < 300; round++)
	{
		client_connect(&client, &engine);
		write_request(&client, 1, &model_key, RN_TASK_TRANSLATE + round % 5, beam_2, 3, texts, texts + 3);
		for (i = 0; i < 1 + (int) (round % 4); i++)
		{
			uint64_t	bits = rn_random_bits(round, RN_RANDOM_PERTURB, 0, 0, i);

			client.out.bytes[(bits >> 8) % client.out.used] ^= (char) (bits | 1);
		}
		client_send(&client);
		if (round % 3 == 0)
			client_receive(&client, &frame, 0.001);
		client_close(&client);
	}
	CHECK(translates(&polite, 61) && client_status(&polite, "malformed") >= 10, "300 damaged requests do no harm");
	for (round = 0; round < 60; round++)
	{
		static const RnModelKey other_key = {5, 18, 1, 1};

		client_connect(&client, &engine);
		client.damage = 1 + 1000 * round;
		client_send_model(&client, 1, &other_key, &toy, LOAD_RIGHT, 0);
		client_receive(&client, &frame, 0.002);
		client_close(&client);
	}
	CHECK(translates(&polite, 62), "nor do 60 damaged models");
	client_close(&polite);
	stop_clean(&engine);
}

static int
open_files(pid_t pid)
{
	char		path[64];
	DIR		   *folder;
	int			n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int) pid);
	folder = opendir(path);
	while (folder != NULL && readdir(folder) != NULL)
		n++;
	if (folder != NULL)
		closedir(folder);
	return n;
}

/* Clients that hang up with work undone: it is dropped, and nothing is left of them. */
static void
test_hang_up(void)
{
	static RnText many[20000];
	static const char *const wide[] = {"beam", "16", NULL};
	Engine		engine;
	Client		polite;
	Client		client;
	RnFrame		frame;
	double		began;
	int			files;
	int			i;

	if (!start_loaded(&engine, &polite, two_threads))
		return;
	for (i = 0; i < 20000; i++)
		many[i] = texts[i % N_TEXTS];
	files = open_files(engine.pid);
	client_connect(&client, &engine);
	write_request(&client, 1, &model_key, RN_TASK_TRANSLATE, wide, 20000, many, NULL);
	client_send(&client);
	CHECK(client_receive(&client, &frame, 0.2) == -1 && client_status(&polite, "queue_sentences") > 0,
		  "20000 texts take their time");
	began = driver_now();
	client_close(&client);
	while (client_status(&polite, "queue_bytes") > 0 && driver_now() < began + DRIVER_SECONDS)
		driver_sleep(0.001);
	CHECK(client_status(&polite, "queue_sentences") == 0 && client_status(&polite, "running_sentences") == 0,
		  "after a hang-up they are dropped, in %.3f s", driver_now() - began);
	CHECK(translates(&polite, 70), "others are served");
	for (i = 0; i < 200; i++)
	{
		client_connect(&client, &engine);
		write_request(&client, 1, &model_key, RN_TASK_TRANSLATE, wide, 1 + i % 50, many + i, NULL);
		client_send(&client);
		if (i % 4 == 1)
			driver_sleep(0.002);
		client_close(&client);
	}
	began = driver_now();
	while ((client_status(&polite, "connections") > 2 || client_status(&polite, "queue_bytes") > 0) &&
		   driver_now() < began + DRIVER_SECONDS)
		driver_sleep(0.001);
	CHECK(open_files(engine.pid) == files && client_status(&polite, "queue_bytes") == 0,
		  "of 200 clients that left nothing stays open (%d files)", open_files(engine.pid));
	client_close(&polite);
	stop_clean(&engine);
}

/* A request that is wanted no more is dropped; the connection and what else was asked stay. */
static void
test_forget(void)
{
	static RnText many[3000];
	static const char *const wide[] = {"beam", "16", NULL};
	static const RnModelKey absent = {5, 18, 1, 1};
	Engine		engine;
	Client		client;
	Client		other;
	RnFrame		frame;
	int			i;

	if (!start_loaded(&engine, &client, two_threads))
		return;
	for (i = 0; i < 3000; i++)
		many[i] = texts[i % N_TEXTS];
	client_connect(&other, &engine);
	write_request(&client, 10, &model_key, RN_TASK_TRANSLATE, wide, 3000, many, NULL);
	write_request(&client, 11, &model_key, RN_TASK_TRANSLATE, wide, 3000, many, NULL);
	write_request(&client, 12, &model_key, RN_TASK_TRANSLATE, beam_2, 3, texts, NULL);
	client_send(&client);
	CHECK(client_receive(&client, &frame, 0.2) == -1 && client_status(&other, "queue_sentences") > 3000,
		  "6000 texts take their time");
	write_empty(&client, RN_FORGET, 11);
	write_empty(&client, RN_FORGET, 10);
	CHECK(exchange(&client, &frame, RN_RESULT, 12) && wrong_answers(&frame, 3, expected, 0) == 0,
		  "forgotten, they are not answered, but what came after them");
	while (client_status(&other, "running_sentences") > 0)
		driver_sleep(0.001);
	CHECK(client_status(&other, "queue_bytes") == 0 && client_status(&other, "abandoned") == 2, "nothing is left of them");
	write_empty(&client, RN_FORGET, 99);
	CHECK(translates(&client, 13), "what is not there cannot be forgotten");

	/* who is asked for a model and wants it no more lets others be asked */
	write_request(&client, 30, &absent, RN_TASK_TRANSLATE, beam_2, 3, texts, NULL);
	CHECK(exchange(&client, &frame, RN_NEED_MODEL, 30), "asked for a model");
	write_request(&other, 31, &absent, RN_TASK_TRANSLATE, beam_2, 3, texts, NULL);
	client_send(&other);
	CHECK(client_receive(&other, &frame, 0.2) == -1, "another waits for it");
	write_empty(&client, RN_FORGET, 30);
	client_send(&client);
	CHECK(client_receive(&other, &frame, DRIVER_SECONDS) == 1 && frame.type == RN_NEED_MODEL && frame.id == 31,
		  "until the first has forgotten what for");
	client_close(&other);
	client_close(&client);
	stop_clean(&engine);
}

/* More work than the engine takes in: who comes later waits, but is told that the engine lives. */
static void
test_full_queue(void)
{
	enum
	{
		N = 6
	};
	static RnText many[RN_REQUEST_TEXTS];
	static const char *const wide[] = {"beam", "16", NULL};
	Engine		engine;
	Client		polite;
	Client		late;
	Client		clients[N];
	RnFrame		frame;
	double		most = 0;
	int			i;

	if (!start_loaded(&engine, &polite, two_threads))
		return;
	for (i = 0; i < RN_REQUEST_TEXTS; i++)
		many[i] = texts[i % N_TEXTS];
	for (i = 0; i < N; i++)
	{
		client_connect(&clients[i], &engine);
		/* a frame that is not taken in is not read to its end, and this client would wait for that */
		fcntl(clients[i].fd, F_SETFL, O_NONBLOCK);
		write_request(&clients[i], 1, &model_key, RN_TASK_TRANSLATE, wide, RN_REQUEST_TEXTS, many, NULL);
		for (;;)
		{
			struct pollfd polled = {clients[i].fd, POLLOUT, 0};
			ssize_t		n = send(clients[i].fd, clients[i].out.bytes, clients[i].out.used, MSG_NOSIGNAL);

			if (n > 0)
				rn_writer_consume(&clients[i].out, n);
			if (clients[i].out.used == 0 || (n < 0 && poll(&polled, 1, 300) == 0))
				break;
		}
		most = fmax(most, client_status(&polite, "queue_sentences"));
	}
	CHECK(most > 2.0 * RN_REQUEST_TEXTS && most <= 5.0 * RN_REQUEST_TEXTS && clients[N - 1].out.used > 0,
		  "%.0f texts are taken in, then requests wait", most);
	client_connect(&late, &engine);
	write_empty(&late, RN_PING, 1);
	CHECK(exchange(&late, &frame, RN_PONG, 1), "a ping is answered all the same");
	write_request(&late, 2, &model_key, RN_TASK_TRANSLATE, beam_2, 3, texts, NULL);
	client_send(&late);
	CHECK(client_receive(&late, &frame, 0.2) == -1, "a request is not");
	for (i = 0; i < N; i++)
		client_close(&clients[i]);
	CHECK(client_receive(&late, &frame, DRIVER_SECONDS) == 1 && wrong_answers(&frame, 3, expected, 0) == 0,
		  "until there is room");
	client_close(&late);
	client_close(&polite);
	stop_clean(&engine);
}

/* ---- many at once ---- */

typedef struct Worker
{
	const Engine *engine;
	int			number;
	int			wrong;
	int			answered;
} Worker;

static void *
worker_main(void *arg)
{
	Worker	   *worker = arg;
	Client		client;
	RnFrame		frame;
	int			i;

	if (!client_connect(&client, worker->engine))
		worker->wrong++;
	for (i = 0; i < 12; i++)
	{
		uint64_t	bits = rn_random_bits(worker->number, RN_RANDOM_SAMPLE, 0, 0, i);
		int			n = 1 + (int) (bits % 30);
		int			first = (int) ((bits >> 16) % (N_TEXTS - 30));
		int			is_greedy = (int) (bits >> 32) % 2;

		write_request(&client, i, &model_key, RN_TASK_TRANSLATE, is_greedy ? greedy : beam_2, n, texts + first, NULL);
		if (!exchange(&client, &frame, RN_RESULT, i) ||
			wrong_answers(&frame, n, is_greedy ? expected_greedy : expected, first) != 0)
			worker->wrong++;
		worker->answered++;
	}
	client_close(&client);
	return NULL;
}

static void
test_many(void)
{
	enum
	{
		N = 24
	};
	pthread_t	handles[N];
	Worker		workers[N];
	Engine		engine;
	Client		client;
	int			wrong = 0;
	int			answered = 0;
	int			i;

	if (!start_loaded(&engine, &client, two_threads))
		return;
	for (i = 0; i < N; i++)
	{
		memset(&workers[i], 0, sizeof(workers[i]));
		workers[i].engine = &engine;
		workers[i].number = i;
		pthread_create(&handles[i], NULL, worker_main, &workers[i]);
	}
	for (i = 0; i < N; i++)
	{
		pthread_join(handles[i], NULL);
		wrong += workers[i].wrong;
		answered += workers[i].answered;
	}
	CHECK(wrong == 0 && answered == 12 * N, "%d requests of %d clients are answered as by one translator (%d wrong)",
		  answered, N, wrong);
	CHECK(client_status(&client, "sentences") > 2 * client_status(&client, "batches"),
		  "texts of several clients share a batch: %.1f in one", client_status(&client, "sentences") /
		  client_status(&client, "batches"));
	client_close(&client);
	stop_clean(&engine);
}

/* Many requests on one connection without reading: answers in the order of asking. */
static void
test_order(void)
{
	static RnText many[2500];
	Engine		engine;
	Client		client;
	Client		other;
	RnFrame		frame;
	int			wrong = 0;
	int			i;

	if (!start_loaded(&engine, &client, two_threads))
		return;
	for (i = 0; i < 100; i++)
		write_request(&client, 100 + i, &model_key, i % 7 == 3 ? RN_TASK_TOKENIZE : RN_TASK_TRANSLATE,
					  i % 2 ? greedy : beam_2, 1 + i * 13 % 20, texts + i, NULL);
	client_send(&client);
	for (i = 0; i < 100; i++)
	{
		wrong += client_receive(&client, &frame, DRIVER_SECONDS) != 1 || frame.id != (uint64_t) 100 + i ||
			frame.type != RN_RESULT;
		if (i % 7 != 3)
			wrong += wrong_answers(&frame, 1 + i * 13 % 20, i % 2 ? expected_greedy : expected, i) != 0;
	}
	CHECK(wrong == 0, "100 requests at once are answered in order (%d wrong)", wrong);

	/* a short request does not wait for a long one */
	for (i = 0; i < 2500; i++)
		many[i] = texts[i % N_TEXTS];
	client_connect(&other, &engine);
	write_request(&other, 1, &model_key, RN_TASK_TRANSLATE, beam_2, 2500, many, NULL);
	client_send(&other);
	driver_sleep(0.02);
	CHECK(translates(&client, 300) && client_status(&client, "queue_sentences") > 0,
		  "a short request overtakes a column of 2500");
	CHECK(client_receive(&other, &frame, DRIVER_SECONDS) == 1 && wrong_answers(&frame, 2500, expected, 0) == 0,
		  "which is answered too");
	client_close(&other);
	client_close(&client);
	stop_clean(&engine);
}

/* A client that does not read its answers delays nobody and loses nothing. */
static void
test_slow_reader(void)
{
	static RnText many[4000];
	Engine		engine;
	Client		client;
	Client		slow;
	RnFrame		frame;
	int			wrong = 0;
	int			i;

	if (!start_loaded(&engine, &client, two_threads))
		return;
	for (i = 0; i < 4000; i++)
		many[i] = texts[i % N_TEXTS];
	client_connect(&slow, &engine);
	for (i = 0; i < 8; i++)
	{
		write_request(&slow, i, &model_key, RN_TASK_EMBED, NULL, 4000, many, NULL);
		client_send(&slow);
	}
	driver_sleep(0.2);
	CHECK(translates(&client, 400), "another is served");
	for (i = 0; i < 8; i++)
	{
		driver_sleep(0.02);
		wrong += client_receive(&slow, &frame, DRIVER_SECONDS) != 1 || frame.id != (uint64_t) i ||
			frame.type != RN_RESULT;
	}
	CHECK(wrong == 0, "eight long answers arrive whole and in order");

	/* pings without reading: the engine stops taking them, not working */
	fcntl(slow.fd, F_SETFL, O_NONBLOCK);
	for (i = 0; i < 200000; i++)
		write_empty(&slow, RN_PING, i);
	client_send(&slow);
	CHECK(translates(&client, 401), "a flood of pings does no harm");
	client_close(&slow);
	client_close(&client);
	stop_clean(&engine);
}

/* ---- ending ---- */

static void
test_ends(void)
{
	static RnText many[20000];
	static const char *const wide[] = {"beam", "16", NULL};
	static const char *const idle[] = {"--threads=1", "--idle=1", NULL};
	Engine		engine;
	Client		client;
	RnFrame		frame;
	double		began;
	int			status;
	int			i;

	for (i = 0; i < 20000; i++)
		many[i] = texts[i % N_TEXTS];
	for (i = 0; i < 3; i++)
	{
		if (!start_loaded(&engine, &client, two_threads))
			return;
		write_request(&client, 1, &model_key, RN_TASK_TRANSLATE, wide, 20000, many, NULL);
		client_send(&client);
		driver_sleep(0.1);
		began = driver_now();
		if (i == 0)
			kill(engine.pid, SIGTERM);
		else if (i == 1)
		{
			close(engine.control);
			engine.control = -1;
		}
		else
			kill(engine.pid, SIGKILL);
		CHECK(client_receive(&client, &frame, DRIVER_SECONDS) == 0, "ending %d: the client sees it", i);
		status = engine_wait(&engine, DRIVER_SECONDS);
		CHECK(i < 2 ? status == 0 : WIFSIGNALED(status), "ending %d: over after %.3f s (status %d)", i,
			  driver_now() - began, status);
		client_close(&client);
		engine_stop(&engine);
	}
	began = driver_now();
	if (!start_loaded(&engine, &client, idle))
		return;
	status = engine_wait(&engine, DRIVER_SECONDS);
	CHECK(status == 0 && driver_now() - began >= 0.9, "without work it ends by itself after %.3f s", driver_now() - began);
	client_close(&client);
	engine_stop(&engine);
}

/* Another user's process is not let in, whatever the socket's mode. */
static void
test_other_user(void)
{
	Engine		engine;
	Client		client;
	RnFrame		frame;
	pid_t		child;
	int			status;

	if (geteuid() != 0)
	{
		check_skip("another user's client: only root can play one");
		return;
	}
	if (!CHECK(engine_start(&engine, two_threads) && client_connect(&client, &engine), "an engine starts"))
		return;
	chmod(engine.folder, 0777);
	chmod(engine.path, 0777);
	fflush(NULL);
	child = fork();
	if (child == 0)
	{
		Client		stranger;
		int			greeted;

		if (setgid(65534) != 0 || setuid(65534) != 0)
			_exit(3);
		greeted = client_connect(&stranger, &engine);
		if (stranger.fd >= 0 && !greeted)
			greeted = client_receive(&stranger, &frame, 5) != 0;
		_exit(greeted ? 1 : 0);
	}
	waitpid(child, &status, 0);
	CHECK(status == 0, "another user is turned away (status %d)", status);
	write_empty(&client, RN_PING, 1);
	CHECK(exchange(&client, &frame, RN_PONG, 1), "our own stays");
	client_close(&client);
	stop_clean(&engine);
}

/* More connections than are allowed wait, and get in when others have left. */
static void
test_full(void)
{
	static const char *const arguments[] = {"--threads=1", "--connections=4", NULL};
	Engine		engine;
	Client		clients[5];
	RnFrame		frame;
	int			i;

	if (!engine_is_own_program())
	{
		check_skip("a bound on connections: this program has no option for it");
		return;
	}
	if (!CHECK(engine_start(&engine, arguments), "an engine for four clients"))
		return;
	for (i = 0; i < 4; i++)
		CHECK(client_connect(&clients[i], &engine), "client %d", i);
	client_attach(&clients[4], client_socket(&engine));
	CHECK(client_receive(&clients[4], &frame, 0.2) == -1, "a fifth waits");
	client_close(&clients[0]);
	CHECK(client_receive(&clients[4], &frame, DRIVER_SECONDS) == 1 && frame.type == RN_HELLO,
		  "and gets in when the first has left");
	write_empty(&clients[4], RN_PING, 1);
	CHECK(exchange(&clients[4], &frame, RN_PONG, 1), "and is served");
	for (i = 1; i < 5; i++)
		client_close(&clients[i]);
	stop_clean(&engine);
}

/* The pid that a HELLO tells; 0 for another frame. */
static pid_t
hello_pid(const RnFrame *frame)
{
	char		text[256];
	RnReader	reader;

	if (frame->type != RN_HELLO)
		return 0;
	rn_reader_init(&reader, frame);
	rn_read_u32(&reader);
	rn_read_string(&reader, text, sizeof(text));
	rn_read_string(&reader, text, sizeof(text));
	return (pid_t) rn_read_u64(&reader);
}

static int
ends(pid_t pid)
{
	double		until = driver_now() + DRIVER_SECONDS;

	while (kill(pid, 0) == 0 && driver_now() < until)
		driver_sleep(0.002);
	return kill(pid, 0) != 0;
}

/* A connection is handed over to a process of its own; a few at once, the others wait; closing ends it. */
static void
test_apart(void)
{
	Engine		engine;
	Client		clients[RN_APART_MOST + 1],
				client;
	RnFrame		frame;
	pid_t		pids[RN_APART_MOST + 1];
	int			i;

	if (!start_loaded(&engine, &client, two_threads))
		return;
	for (i = 0; i <= RN_APART_MOST; i++)
	{
		pids[i] = 0;
		if (!CHECK(client_connect(&clients[i], &engine), "client %d", i))
			return;
		write_empty(&clients[i], RN_APART, 1);
		client_send(&clients[i]);
		if (i == RN_APART_MOST)
			CHECK(client_receive(&clients[i], &frame, 0.3) == -1, "one more than may be waits");
		else if (client_receive(&clients[i], &frame, DRIVER_SECONDS) == 1)
			pids[i] = hello_pid(&frame);
		CHECK(i == RN_APART_MOST || (pids[i] > 0 && pids[i] != engine.pid), "process %d of its own: %d", i, (int) pids[i]);
	}
	CHECK(client_status(&client, "apart") == RN_APART_MOST, "the engine counts them");
	CHECK(translates(&client, 7), "and translates meanwhile");
	client_close(&clients[0]);
	CHECK(ends(pids[0]), "a process ends with its connection");
	CHECK(client_receive(&clients[RN_APART_MOST], &frame, DRIVER_SECONDS) == 1 && hello_pid(&frame) > 0,
		  "then who waited gets its place");
	write_empty(&clients[1], RN_PING, 5);
	CHECK(exchange(&clients[1], &frame, RN_PONG, 5), "it answers a ping");
	write_empty(&clients[1], RN_REQUEST, 6);
	client_send(&clients[1]);
	CHECK(client_receive(&clients[1], &frame, DRIVER_SECONDS) == 1 && frame.type == RN_ERROR, "and knows no translations");
	for (i = 1; i <= RN_APART_MOST; i++)
		client_close(&clients[i]);
	for (i = 1; i < RN_APART_MOST; i++)
		CHECK(ends(pids[i]), "process %d has ended", i);
	write_empty(&client, RN_APART, 9);
	write_empty(&client, RN_PING, 10);
	client_send(&client);
	CHECK(client_receive(&client, &frame, DRIVER_SECONDS) == 1 && frame.type == RN_ERROR,
		  "who does not wait for the other process is turned away");
	client_close(&client);
	stop_clean(&engine);
}

static int
prepare(void)
{
	const RnKernels *kernels = rn_cpu_kernels();
	RnPreparedWeights *prepared;
	RnSearchOptions options;
	RnContext	ctx;
	int			i;

	rn_context_reset(&ctx);
	if (!CHECK(toy_model_create(&toy, 2, 32, MAX_LENGTH, 3), "a small model") ||
		!CHECK(rn_translator_create(&ctx, toy.model, toy.values, toy.tokenizer, kernels, &translator) == RN_OK,
			   "a translator: %s", ctx.message))
		return 0;
	for (i = 0; i < N_TEXTS; i++)
	{
		toy_sentence(9000 + i, 1 + i % 6, sentences[i], sizeof(sentences[i]));
		texts[i].bytes = sentences[i];
		texts[i].size = strlen(sentences[i]);
	}
	rn_search_defaults(&options);
	options.beam = 2;
	if (rn_translate(&ctx, translator, &options, N_TEXTS, texts, NULL, expected, NULL) != RN_OK)
		return CHECK(0, "expected answers: %s", ctx.message);
	if (rn_prepare_weights(&ctx, kernels, NULL, rn_model_params(toy.model), toy.values, RN_FORMAT_INT8, &prepared) != RN_OK)
		return CHECK(0, "weights of whole numbers: %s", ctx.message);
	rn_translator_use(translator, prepared);
	if (rn_translate(&ctx, translator, &options, N_TEXTS, texts, NULL, expected_int8, NULL) != RN_OK)
		return CHECK(0, "expected answers: %s", ctx.message);
	rn_translator_use(translator, NULL);
	rn_prepared_free(prepared);
	options.beam = 1;
	return CHECK(rn_translate(&ctx, translator, &options, N_TEXTS, texts, NULL, expected_greedy, NULL) == RN_OK,
				 "expected answers: %s", ctx.message);
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "apart") == 0)
		return rn_apart(3, &apart_stop);
	if (argc > 1 && strcmp(argv[1], "serve") == 0)
		serve_driver_main(argc, argv);
	if (prepare())
	{
		test_greeting();
		test_tasks();
		test_load_faults();
		test_load_race();
		test_memory();
		test_memory_turns();
		test_precision();
		test_precision_memory();
		test_malformed();
		test_hang_up();
		test_forget();
		test_full_queue();
		test_many();
		test_order();
		test_slow_reader();
		test_ends();
		test_other_user();
		test_full();
		test_apart();
	}
	rn_translations_free(expected, N_TEXTS);
	rn_translations_free(expected_greedy, N_TEXTS);
	rn_translations_free(expected_int8, N_TEXTS);
	rn_translator_free(translator);
	toy_model_free(&toy);
	return check_done();
}
