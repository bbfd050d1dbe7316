/*
 * main.c
 *		residual_engine: the program that computes.
 *
 *		residual_engine train				one training job
 *		residual_engine serve [options]		translations for many
 *		residual_engine apart				one question, started by "serve"
 *		residual_engine --version
 *
 * Started by residual.so with descriptors in place: 3 the control socket, 4
 * the listening socket (serve), 6 a temporary file (train).  It shares a
 * process group with the server's processes and so gets their signals as
 * well: only SIGTERM and SIGQUIT mean the engine.
 *
 * src/engine/main.c
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/apart.h"
#include "engine/follower.h"
#include "engine/server.h"
#include "engine/train_job.h"
#include "kernels/device.h"
#include "wire/protocol.h"

#define CONTROL_FD		3
#define LISTENER_FD		4
#define SPILL_FD		6

#define EXIT_USAGE		64

static volatile sig_atomic_t stop;

static void
on_terminate(int number)
{
	(void) number;
	stop = 1;
}

/* Only to end a wait: who has children looks after them. */
static void
on_child(int number)
{
	(void) number;
}

/* The default would dump core. */
static void
on_quit(int number)
{
	(void) number;
	_exit(2);
}

static void
handle(int number, void (*handler) (int))
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = handler;
	sigaction(number, &action, NULL);
}

static void
handle_signals(void)
{
	handle(SIGINT, SIG_IGN);
	handle(SIGHUP, SIG_IGN);
	handle(SIGPIPE, SIG_IGN);
	handle(SIGXFSZ, SIG_IGN);	/* a write then says that the file is too large */
	handle(SIGTERM, on_terminate);
	handle(SIGCHLD, on_child);
	handle(SIGQUIT, on_quit);
}

static int
usage(const char *complaint)
{
	fprintf(stderr, "residual_engine: %s\n", complaint);
	fprintf(stderr, "It is started by PostgreSQL's extension residual, not by hand:\n"
			"  residual_engine train\n"
			"  residual_engine serve [--threads=N] [--memory=MB] [--idle=SECONDS] [--device=NAME]\n"
			"  residual_engine apart\n"
			"  residual_engine follow\n"
			"  residual_engine --version\n");
	return EXIT_USAGE;
}

static int
print_version(void)
{
	printf("residual_engine %s, protocol %d, %s\n", RN_BUILD_VERSION, RN_PROTOCOL_VERSION,
		   rn_cpu_kernels()->description());
	return 0;
}

/* Is this the option?  Then its value. */
static const char *
option_value(const char *argument, const char *name)
{
	size_t		length = strlen(name);

	return strncmp(argument, name, length) == 0 && argument[length] == '=' ? argument + length + 1 : NULL;
}

static int
read_number(const char *text, long least, long *number)
{
	char	   *end;

	errno = 0;
	*number = strtol(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *number >= least && *number <= INT_MAX;
}

/*
 * A device that is not there is told to each session that wants to translate:
 * an engine that ended would only be started again.
 */
static int
open_device(const char *name, RnContext *refusal, RnServeOptions *options)
{
	RnContext	ctx;

	rn_context_reset(&ctx);
	if (rn_device_choose(&ctx, name, "float32", &options->kernels, refusal) == RN_OK)
	{
		if (refusal->status != RN_OK)
			fprintf(stderr, "serving on the CPU: %s. %s\n", refusal->message, refusal->detail);
		return 1;
	}
	fprintf(stderr, "%s. %s\n", ctx.message, ctx.detail);
	*refusal = ctx;
	options->refusal = refusal;
	rn_context_reset(&ctx);
	return rn_device_open(&ctx, "cpu", &options->kernels) == RN_OK;
}

static int
serve(int n_arguments, char **arguments)
{
	const char *device = "cpu";
	RnServeOptions options;
	sigset_t	all;
	RnContext	refusal;
	int			i;

	memset(&options, 0, sizeof(options));
	options.threads = 1;
	options.stop = &stop;
	options.program = "/proc/self/exe";
	for (i = 0; i < n_arguments; i++)
	{
		const char *value;
		long		number;

		if ((value = option_value(arguments[i], "--threads")) != NULL && read_number(value, 1, &number))
			options.threads = (int) number;
		else if ((value = option_value(arguments[i], "--memory")) != NULL && read_number(value, 0, &number))
			options.memory = (size_t) number << 20;
		else if ((value = option_value(arguments[i], "--idle")) != NULL && read_number(value, 0, &number))
			options.idle_seconds = (int) number;
		else if ((value = option_value(arguments[i], "--device")) != NULL)
			device = value;
		else
			return usage("unknown or malformed option");
	}
	if (!open_device(device, &refusal, &options))
		return 1;
	if (options.kernels->lanes > 0 && options.threads > options.kernels->lanes)
		options.threads = options.kernels->lanes;
	sigfillset(&all);
	sigdelset(&all, SIGQUIT);
	sigprocmask(SIG_SETMASK, &all, NULL);
	return rn_serve(CONTROL_FD, LISTENER_FD, &options);
}

int
main(int argc, char **argv)
{
	if (argc < 2)
		return usage("missing argument");
	if (strcmp(argv[1], "--version") == 0)
		return print_version();
	handle_signals();
	if (strcmp(argv[1], "train") == 0 && argc == 2)
		return rn_train(CONTROL_FD, SPILL_FD, &stop);
	if (strcmp(argv[1], "follow") == 0 && argc == 2)
	{
		handle(SIGTERM, SIG_IGN);	/* that goes to the whole group of processes; the leader decides */
		return rn_follow(CONTROL_FD);
	}
	if (strcmp(argv[1], "apart") == 0 && argc == 2)
		return rn_apart(CONTROL_FD, &stop);
	if (strcmp(argv[1], "serve") == 0)
		return serve(argc - 2, argv + 2);
	return usage("unknown argument");
}
