/*
 * serve_driver.h
 *		A serving engine as a process of its own, and clients of it, for tests.
 *
 * The process is $RESIDUAL_ENGINE when that is set, else this very program
 * with the argument "serve", which must then call serve_driver_main.
 *
 * test/unit/serve_driver.h
 */
#ifndef RN_SERVE_DRIVER_H
#define RN_SERVE_DRIVER_H

#include <sys/types.h>

#include "engine/request.h"
#include "toy_model.h"

/* Longer than this nothing may take, sanitizers and a busy machine included. */
#define DRIVER_SECONDS	60

typedef struct Engine
{
	pid_t		pid;
	int			control;		/* our end of its control socket */
	char		folder[64];		/* of its socket, made for it */
	char		path[96];
} Engine;

/* Arguments as the program takes them: "--threads=2", ...; up to 6, NULL-terminated. */
extern int	engine_start(Engine *engine, const char *const *arguments);

/* Wait for its end, at most so long; the status of waitpid, or -1 when it still runs. */
extern int	engine_wait(Engine *engine, double seconds);

/* Close the control socket, wait, remove the socket's folder.  The wait status, or -1 (killed then). */
extern int	engine_stop(Engine *engine);

/* The engine's part when there is no other program: never returns. */
extern void serve_driver_main(int argc, char **argv);
extern int	engine_is_own_program(void);

typedef struct Client
{
	int			fd;
	RnInbox		inbox;
	RnWriter	out;
	const char *prefix;			/* of the next requests; NULL: none */
	const char *term;			/* likewise, and what it is translated to */
	const char *term_translation;
	uint64_t	damage;			/* not 0: a seed; now and then a byte of what is sent is changed */
} Client;

/* A connected socket, or -1; a client of one; both, and the greeting is read (0 when that fails). */
extern int	client_socket(const Engine *engine);
extern int	client_connect(Client *client, const Engine *engine);
extern void client_attach(Client *client, int fd);
extern void client_close(Client *client);

/* Send what has been written to client->out; 0 when the engine does not take it. */
extern int	client_send(Client *client);

/* The next frame: 1, 0 at the end of the stream, -1 when none came in time. */
extern int	client_receive(Client *client, RnFrame *frame, double seconds);

/* Frames into client->out. */
extern void write_empty(Client *client, uint32_t type, uint64_t id);
extern void write_key(RnWriter *writer, const RnModelKey *key);
extern void write_request(Client *client, uint64_t id, const RnModelKey *key, RnTask task,
						  const char *const *options, int n, const RnText *texts, const RnText *targets);

/* What is wrong with a model that is sent. */
typedef enum LoadFault
{
	LOAD_RIGHT,
	LOAD_NO_TENSOR,				/* one is missing */
	LOAD_SHORT_TENSOR,			/* its last part is missing */
	LOAD_WRONG_SHAPE,
	LOAD_WRONG_NAME,
	LOAD_WRONG_ORDER,
	LOAD_NO_TOKENIZER,
	LOAD_DAMAGED_TOKENIZER,
	LOAD_DAMAGED_SHORTLIST,
	LOAD_SHORT_SHORTLIST,		/* its last part is missing */
	LOAD_WRONG_OPTION,
	LOAD_WRONG_CONFIGURATION,	/* d_model does not go with heads */
	LOAD_FEW_BYTES,				/* announced */
	LOAD_FAULTS
} LoadFault;

/* LOAD, PARTs and LOAD_END are sent (in parts of few bytes, when that is not 0). */
extern int	client_send_model(Client *client, uint64_t id, const RnModelKey *key, const ToyModel *toy, LoadFault fault,
							  size_t part_bytes);

/* The same, and LOADED is awaited. */
extern int	client_load(Client *client, uint64_t id, const RnModelKey *key, const ToyModel *toy);

/* A figure of the engine's status by name; -1 when there is none. */
extern double client_status(Client *client, const char *name);

/* Bytes of the model's weights in all precisions, without what threads keep for it; of the last one where there are several. */
extern double client_weights(Client *client);

extern double driver_now(void);
extern void driver_sleep(double seconds);

#endif							/* RN_SERVE_DRIVER_H */
