/*
 * serve_driver.c
 *		A serving engine as a process of its own, and clients of it.
 *
 * test/unit/serve_driver.c
 */
#include "serve_driver.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"
#include "engine/server.h"

#define CONTROL_FD		3
#define LISTENER_FD		4

double
driver_now(void)
{
	return rn_now();
}

void
driver_sleep(double seconds)
{
	struct timespec pause;

	pause.tv_sec = (time_t) seconds;
	pause.tv_nsec = (long) ((seconds - (time_t) seconds) * 1e9);
	nanosleep(&pause, NULL);
}

/* ---- the engine ---- */

static volatile sig_atomic_t stop_asked;

static void
on_term(int signal_number)
{
	(void) signal_number;
	stop_asked = 1;
}

void
serve_driver_main(int argc, char **argv)
{
	RnServeOptions options;
	struct sigaction action;
	sigset_t	all;
	RnContext	ctx;
	int			i;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	memset(&action, 0, sizeof(action));
	action.sa_handler = SIG_IGN;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGPIPE, &action, NULL);
	action.sa_handler = on_term;
	sigaction(SIGTERM, &action, NULL);
	memset(&options, 0, sizeof(options));
	options.threads = 1;
	options.stop = &stop_asked;
	options.program = "/proc/self/exe";
	rn_context_reset(&ctx);
	for (i = 2; i < argc; i++)
	{
		int			megabytes;

		sscanf(argv[i], "--threads=%d", &options.threads);
		sscanf(argv[i], "--idle=%d", &options.idle_seconds);
		sscanf(argv[i], "--load=%d", &options.load_seconds);
		sscanf(argv[i], "--connections=%d", &options.max_connections);
		if (sscanf(argv[i], "--memory=%d", &megabytes) == 1)
			options.memory = (size_t) megabytes * 1024 * 1024;
	}
	if (rn_device_open(&ctx, "cpu", &options.kernels) != RN_OK)
	{
		fprintf(stderr, "%s\n", ctx.message);
		exit(1);
	}
	exit(rn_serve(CONTROL_FD, LISTENER_FD, &options));
}

int
engine_is_own_program(void)
{
	return getenv("RESIDUAL_ENGINE") == NULL;
}

static int
make_listener(Engine *engine)
{
	struct sockaddr_un address;
	int			fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(engine->folder, sizeof(engine->folder), "/tmp/residual_serve.XXXXXX");
	if (fd < 0 || mkdtemp(engine->folder) == NULL)
		return -1;
	snprintf(engine->path, sizeof(engine->path), "%s/socket", engine->folder);
	memset(&address, 0, sizeof(address));
	address.sun_family = AF_UNIX;
	memcpy(address.sun_path, engine->path, strlen(engine->path) + 1);
	if (bind(fd, (struct sockaddr *) &address, sizeof(address)) != 0 || listen(fd, 1024) != 0)
		return -1;
	return fd;
}

/* In the child: nothing open but the three usual ones, control and listener. */
static void
become_engine(int control, int listener, const char *const *arguments)
{
	const char *program = getenv("RESIDUAL_ENGINE");
	char	   *argv[9];
	int			n = 0;
	int			fd;

	control = dup2(control, 20);
	listener = dup2(listener, 21);
	dup2(control, CONTROL_FD);
	dup2(listener, LISTENER_FD);
	for (fd = LISTENER_FD + 1; fd < 256; fd++)
		close(fd);
	argv[n++] = (char *) (program ? program : "/proc/self/exe");
	argv[n++] = "serve";
	while (*arguments != NULL)
		argv[n++] = (char *) *arguments++;
	argv[n] = NULL;
	setenv("OPENBLAS_NUM_THREADS", "1", 1);
	execv(argv[0], argv);
	_exit(127);
}

int
engine_start(Engine *engine, const char *const *arguments)
{
	int			pair[2];
	int			listener;

	memset(engine, 0, sizeof(*engine));
	listener = make_listener(engine);
	if (listener < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return 0;
	fflush(NULL);
	engine->pid = fork();
	if (engine->pid == 0)
		become_engine(pair[1], listener, arguments);
	close(pair[1]);
	close(listener);
	engine->control = pair[0];
	return engine->pid > 0;
}

int
engine_wait(Engine *engine, double seconds)
{
	double		until = driver_now() + seconds;
	int			status;

	do
	{
		if (waitpid(engine->pid, &status, WNOHANG) == engine->pid)
		{
			engine->pid = 0;
			return status;
		}
		driver_sleep(0.002);
	} while (driver_now() < until);
	return -1;
}

int
engine_stop(Engine *engine)
{
	int			status = 0;

	if (engine->control >= 0)
		close(engine->control);
	engine->control = -1;
	if (engine->pid > 0)
		status = engine_wait(engine, DRIVER_SECONDS);
	if (engine->pid > 0)
	{
		kill(engine->pid, SIGKILL);
		waitpid(engine->pid, NULL, 0);
	}
	unlink(engine->path);
	rmdir(engine->folder);
	return status;
}

/* ---- clients ---- */

void
client_attach(Client *client, int fd)
{
	memset(client, 0, sizeof(*client));
	client->fd = fd;
	rn_inbox_init(&client->inbox);
	rn_writer_init(&client->out);
}

int
client_socket(const Engine *engine)
{
	struct sockaddr_un address;
	int			fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(&address, 0, sizeof(address));
	address.sun_family = AF_UNIX;
	memcpy(address.sun_path, engine->path, strlen(engine->path) + 1);
	if (connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

int
client_connect(Client *client, const Engine *engine)
{
	RnFrame		frame;

	client_attach(client, client_socket(engine));
	return client->fd >= 0 && client_receive(client, &frame, DRIVER_SECONDS) == 1 && frame.type == RN_HELLO;
}

void
client_close(Client *client)
{
	close(client->fd);
	rn_inbox_free(&client->inbox);
	rn_writer_free(&client->out);
}

/* Every fourth time, one byte. */
static void
damage(Client *client)
{
	uint64_t	bits = rn_random_bits(client->damage++, RN_RANDOM_PERTURB, 0, 0, 0);

	if (bits % 4 == 0 && client->out.used > 0)
		client->out.bytes[(bits >> 16) % (client->out.used < 200 ? client->out.used : 200)] ^= (char) (bits >> 8 | 1);
}

int
client_send(Client *client)
{
	size_t		sent = 0;

	if (client->damage != 0)
		damage(client);

	while (sent < client->out.used)
	{
		ssize_t		n = send(client->fd, client->out.bytes + sent, client->out.used - sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		sent += n;
	}
	rn_writer_consume(&client->out, client->out.used);
	return sent > 0 && client->out.used == 0;
}

int
client_receive(Client *client, RnFrame *frame, double seconds)
{
	double		until = driver_now() + seconds;
	RnContext	ctx;
	int			got;

	rn_context_reset(&ctx);
	for (;;)
	{
		struct pollfd polled = {client->fd, POLLIN, 0};
		char	   *room;
		ssize_t		n;

		if (rn_inbox_next(&ctx, &client->inbox, frame, &got) != RN_OK)
			return 0;
		if (got)
			return 1;
		n = (ssize_t) ((until - driver_now()) * 1000) + 1;
		if (n <= 0 || poll(&polled, 1, (int) n) == 0)
			return -1;
		room = rn_inbox_room(&client->inbox, 65536);
		n = room ? recv(client->fd, room, 65536, 0) : -1;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 0;
		rn_inbox_filled(&client->inbox, n);
	}
}

static void
end_frame(Client *client)
{
	RnContext	ctx;

	rn_context_reset(&ctx);
	rn_write_end(&ctx, &client->out);
}

void
write_empty(Client *client, uint32_t type, uint64_t id)
{
	rn_write_begin(&client->out, type, id);
	end_frame(client);
}

void
write_key(RnWriter *writer, const RnModelKey *key)
{
	rn_write_u32(writer, key->database);
	rn_write_i64(writer, key->model);
	rn_write_i32(writer, key->version);
	rn_write_u64(writer, key->checksum);
}

void
write_request(Client *client, uint64_t id, const RnModelKey *key, RnTask task, const char *const *options, int n,
			  const RnText *texts, const RnText *targets)
{
	RnWriter   *out = &client->out;
	int			n_options = 0;
	int			i;

	while (options != NULL && options[2 * n_options] != NULL)
		n_options++;
	rn_write_begin(out, RN_REQUEST, id);
	write_key(out, key);
	rn_write_u8(out, task);
	rn_write_u32(out, n_options);
	for (i = 0; i < 2 * n_options; i++)
		rn_write_string(out, options[i]);
	rn_write_string(out, client->prefix);
	rn_write_u32(out, client->term != NULL);
	if (client->term != NULL)
	{
		rn_write_string(out, client->term);
		rn_write_string(out, client->term_translation);
	}
	rn_write_u32(out, n);
	for (i = 0; i < n; i++)
	{
		rn_write_bytes(out, texts[i].bytes, texts[i].size);
		if (targets != NULL)
			rn_write_bytes(out, targets[i].bytes, targets[i].size);
	}
	end_frame(client);
}

/* ---- sending a model ---- */

static void
write_load(Client *client, uint64_t id, const RnModelKey *key, const ToyModel *toy, LoadFault fault)
{
	RnWriter   *out = &client->out;
	const RnOption *options;
	uint64_t	bytes = rn_model_params(toy->model)->size * sizeof(float) + toy->tokenizer_size;
	char		value[256];
	int			n_options;
	int			n = 0;
	int			i;

	options = rn_options(&n_options);
	for (i = 0; i < n_options; i++)
		n += options[i].offset_too == 0;
	rn_write_begin(out, RN_LOAD, id);
	write_key(out, key);
	rn_write_u32(out, n);
	for (i = 0; i < n_options; i++)
	{
		if (options[i].offset_too != 0)
			continue;
		rn_config_get(&toy->config, &options[i], value, sizeof(value));
		rn_write_string(out, fault == LOAD_WRONG_OPTION && i == n - 1 ? "colour" : options[i].name);
		rn_write_string(out, fault == LOAD_WRONG_CONFIGURATION && strcmp(options[i].name, "heads") == 0 ? "7" : value);
	}
	rn_write_u64(out, fault == LOAD_FEW_BYTES ? 1000 : bytes);
	end_frame(client);
}

static void
write_part(Client *client, uint64_t id, const char *name, int rows, int cols, int ndim, const char *bytes, uint64_t total,
		   uint64_t offset, size_t size)
{
	RnWriter   *out = &client->out;

	rn_write_begin(out, RN_PART, id);
	rn_write_string(out, name);
	rn_write_u32(out, ndim);
	if (ndim == 2)
		rn_write_u32(out, rows);
	if (ndim > 0)
		rn_write_u32(out, ndim == 2 ? cols : rows * cols);
	rn_write_u32(out, ndim > 0 ? RN_DTYPE_FLOAT32 : RN_DTYPE_BYTES);
	rn_write_u64(out, total);
	rn_write_u64(out, offset);
	rn_write_bytes(out, bytes + offset, size);
	end_frame(client);
}

/* All parts of one tensor or blob, sent as they are written. */
static int
send_parts(Client *client, uint64_t id, const char *name, const RnParam *param, const char *bytes, uint64_t total,
		   size_t part_bytes, LoadFault fault)
{
	int			rows = param ? param->rows : 0;
	int			cols = param ? param->cols : 0;
	uint64_t	offset;

	if (fault == LOAD_WRONG_SHAPE)
	{
		rows = param->cols;
		cols = param->rows;
	}
	for (offset = 0; offset < total; offset += part_bytes)
	{
		size_t		size = total - offset < part_bytes ? total - offset : part_bytes;

		if (fault == LOAD_SHORT_TENSOR && offset + size == total)
			break;
		write_part(client, id, fault == LOAD_WRONG_NAME ? "enc.0.sa.z.w" : name, rows, cols, param ? param->ndim : 0,
				   bytes, total, fault == LOAD_WRONG_ORDER ? total - size : offset, size);
		if (!client_send(client))
			return 0;
	}
	return 1;
}

/* A matrix that is not square, and of several parts when parts are small. */
static const RnParam *
faulty_param(const ToyModel *toy)
{
	return rn_params_find(rn_model_params(toy->model), "enc.0.ff.1.w");
}

static int
send_weights(Client *client, uint64_t id, const ToyModel *toy, LoadFault fault, size_t part_bytes)
{
	const RnParams *params = rn_model_params(toy->model);
	float	   *narrow = malloc(params->size * sizeof(float));
	size_t		i;
	int			sent = 1;
	int			p;

	for (i = 0; i < params->size; i++)
		narrow[i] = (float) toy->values[i];
	for (p = 0; sent && p < params->count; p++)
	{
		const RnParam *param = &params->items[p];
		int			faulty = param == faulty_param(toy);

		if (faulty && fault == LOAD_NO_TENSOR)
			continue;
		sent = send_parts(client, id, param->name, param, (const char *) (narrow + param->offset),
						  rn_param_size(param) * sizeof(float), part_bytes, faulty ? fault : LOAD_RIGHT);
	}
	free(narrow);
	return sent;
}

int
client_send_model(Client *client, uint64_t id, const RnModelKey *key, const ToyModel *toy, LoadFault fault,
				  size_t part_bytes)
{
	static const char shortlist[20] = {'R', 'N', 'S', 'L', 1, 0, 0, 0, 7, 7, 7, 7};
	char	   *tokenizer = malloc(toy->tokenizer_size);
	int			sent;

	if (part_bytes == 0)
		part_bytes = RN_CHUNK;
	memcpy(tokenizer, toy->tokenizer_bytes, toy->tokenizer_size);
	if (fault == LOAD_DAMAGED_TOKENIZER)
		tokenizer[toy->tokenizer_size / 2] ^= 0x55;
	write_load(client, id, key, toy, fault);
	sent = client_send(client);
	if (sent && fault != LOAD_NO_TOKENIZER)
		sent = send_parts(client, id, "tokenizer", NULL, tokenizer, toy->tokenizer_size, part_bytes, LOAD_RIGHT);
	if (sent && (fault == LOAD_DAMAGED_SHORTLIST || fault == LOAD_SHORT_SHORTLIST))
		sent = send_parts(client, id, "shortlist", NULL, shortlist, sizeof(shortlist), 8,
						  fault == LOAD_SHORT_SHORTLIST ? LOAD_SHORT_TENSOR : LOAD_RIGHT);
	if (sent)
		sent = send_weights(client, id, toy, fault, part_bytes);
	free(tokenizer);
	write_empty(client, RN_LOAD_END, id);
	return sent && client_send(client);
}

int
client_load(Client *client, uint64_t id, const RnModelKey *key, const ToyModel *toy)
{
	RnFrame		frame;

	return client_send_model(client, id, key, toy, LOAD_RIGHT, 0) &&
		client_receive(client, &frame, DRIVER_SECONDS) == 1 && frame.type == RN_LOADED && frame.id == id;
}

/* The last one of that name; "" when there is none. */
static int
find_status(Client *client, const char *name, char *found, size_t size)
{
	char		key[64];
	char		value[512];
	RnReader	reader;
	RnFrame		frame;
	uint32_t	n;

	found[0] = '\0';
	write_empty(client, RN_STATUS, 4711);
	if (!client_send(client) || client_receive(client, &frame, DRIVER_SECONDS) != 1 || frame.type != RN_STATUS)
		return 0;
	rn_reader_init(&reader, &frame);
	for (n = rn_read_u32(&reader); n > 0; n--)
	{
		rn_read_string(&reader, key, sizeof(key));
		rn_read_string(&reader, value, sizeof(value));
		if (strcmp(key, name) == 0)
			snprintf(found, size, "%s", value);
	}
	return found[0] != '\0';
}

double
client_status(Client *client, const char *name)
{
	char		value[512];

	return find_status(client, name, value, sizeof(value)) ? atof(value) : -1;
}

double
client_weights(Client *client)
{
	char		value[512];
	double		bytes = -1;

	if (find_status(client, "model", value, sizeof(value)))
		(void) sscanf(value, "%*s %*s %*s %*s %*s %lf", &bytes);
	return bytes;
}
