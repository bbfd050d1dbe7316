/*
 * engine_process.c
 *		Start, watch and end an engine as a child of a background worker.
 *
 * Between fork and execve the child makes only async-signal-safe calls, with
 * every signal blocked and every handler back at its default: a handler of the
 * server must never run in it.  The parent notes the child in a struct that
 * the exit callback knows before it lets signals in again, so no error leaves
 * it behind; where no callback runs (SIGQUIT, SIGKILL), the parent's death
 * signal and the end of file on descriptor 3 end it.
 *
 * src/pg/engine_process.c
 */
#include "engine_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#define FIRST_FREE		7		/* descriptors below are the engine's */
#define N_HELD			3		/* descriptors that the parent keeps */
#define MAX_ENVIRONMENT 12
#define MAX_ARGUMENTS	8
#define OOM_SCORE		"500"	/* the kernel shall choose the engine, not the server */

/* What the child needs, made before the fork. */
typedef struct Birth
{
	char	   *argv[MAX_ARGUMENTS + 2];
	char	   *envp[MAX_ENVIRONMENT];
	pid_t		parent;
	int			control[2];		/* [0] ours */
	int			errors[2];		/* [0] ours */
	int			report[2];		/* [0] ours: errno of a failed execve */
	int			listener;
	int			spill;
	int			nice_level;
	char		nice_text[8];	/* the same, for the kernel's file */
} Birth;

static ResEngine *current;		/* the one of this process, for the exit callback */

static void
kill_at_exit(int code, Datum arg)
{
	if (current != NULL)
		res_engine_stop(current, -1);
}

/* ---- the child, from fork to execve ---- */

static void
child_signals(void)
{
	struct sigaction action;
	int			number;

	memset(&action, 0, sizeof(action));
	action.sa_handler = SIG_DFL;
	for (number = 1; number < NSIG; number++)
		sigaction(number, &action, NULL);
}

/* Move all out of the way, then each to its place; the rest of the server's goes. */
static void
child_descriptors(const Birth *birth)
{
	int			control = fcntl(birth->control[1], F_DUPFD, 10);
	int			errors = fcntl(birth->errors[1], F_DUPFD, 10);
	int			report = fcntl(birth->report[1], F_DUPFD, 10);
	int			listener = birth->listener < 0 ? -1 : fcntl(birth->listener, F_DUPFD, 10);
	int			spill = birth->spill < 0 ? -1 : fcntl(birth->spill, F_DUPFD, 10);
	int			null = fcntl(open("/dev/null", O_RDWR), F_DUPFD, 10);

	dup2(null, 0);
	dup2(errors, 1);
	dup2(errors, 2);
	dup2(control, 3);
	dup2(listener < 0 ? null : listener, 4);
	dup2(report, 5);
	fcntl(5, F_SETFD, FD_CLOEXEC);
	dup2(spill < 0 ? null : spill, 6);
	closefrom(FIRST_FREE);
}

/* Where the file is not there or not writable it runs all the same. */
static void
child_tell_kernel(const char *file, const char *value)
{
	int			fd = open(file, O_WRONLY);

	if (fd < 0)
		return;
	if (write(fd, value, strlen(value)) < 0)
	{
		 /* as said */ ;
	}
	close(fd);
}

static void
child_limits(const Birth *birth)
{
	struct rlimit none = {0, 0};

	child_tell_kernel("/proc/self/oom_score_adj", OOM_SCORE);
	setpriority(PRIO_PROCESS, 0, birth->nice_level);

	/*
	 * Where the scheduler groups processes by session, niceness counts only
	 * within a group; a worker and its engine are one.
	 */
	if (birth->nice_level > 0)
		child_tell_kernel("/proc/self/autogroup", birth->nice_text);
	setrlimit(RLIMIT_CORE, &none);
}

static void
child_main(const Birth *birth)
{
	sigset_t	nothing;
	int			error;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != birth->parent)
		_exit(127);				/* it died before the line above */
	child_signals();
	child_descriptors(birth);
	child_limits(birth);
	sigemptyset(&nothing);
	sigprocmask(SIG_SETMASK, &nothing, NULL);
	execve(birth->argv[0], birth->argv, birth->envp);
	error = errno;
	if (write(5, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);					/* never exit(): the server's exit handlers are not ours */
}

/* ---- the parent ---- */

/* Little, and known: BLAS and OpenMP must start no threads of their own. */
static void
make_environment(Birth *birth)
{
	const char *devices = res_cuda_visible_devices[0] != '\0' ? res_cuda_visible_devices :
		getenv("CUDA_VISIBLE_DEVICES");
	int			n = 0;

	birth->envp[n++] = "PATH=/usr/bin:/bin";
	birth->envp[n++] = "LC_ALL=C.UTF-8";
	birth->envp[n++] = "OPENBLAS_NUM_THREADS=1";
	birth->envp[n++] = "OMP_NUM_THREADS=1";
	if (getenv("LD_LIBRARY_PATH") != NULL)
		birth->envp[n++] = psprintf("LD_LIBRARY_PATH=%s", getenv("LD_LIBRARY_PATH"));
	if (devices != NULL)
		birth->envp[n++] = psprintf("CUDA_VISIBLE_DEVICES=%s", devices);
	if (res_cuda_library[0] != '\0')
		birth->envp[n++] = psprintf("RESIDUAL_CUDA_LIBRARY=%s", res_cuda_library);
	if (res_nccl_library[0] != '\0')
		birth->envp[n++] = psprintf("RESIDUAL_NCCL_LIBRARY=%s", res_nccl_library);
	if (res_gpu_memory_limit > 0)
		birth->envp[n++] = psprintf("RESIDUAL_GPU_MEMORY=%d", res_gpu_memory_limit);
	birth->envp[n] = NULL;
}

static void
make_arguments(Birth *birth, const char *arguments)
{
	char	   *rest = pstrdup(arguments);
	char	   *word;
	int			n = 0;

	birth->argv[n++] = res_engine_path;
	while ((word = strsep(&rest, " ")) != NULL && n <= MAX_ARGUMENTS)
		birth->argv[n++] = word;
	birth->argv[n] = NULL;
}

static void
close_pair(int pair[2])
{
	if (pair[0] >= 0)
		close(pair[0]);
	if (pair[1] >= 0)
		close(pair[1]);
	pair[0] = pair[1] = -1;
}

static bool
make_descriptors(Birth *birth)
{
	birth->control[0] = birth->control[1] = -1;
	birth->errors[0] = birth->errors[1] = -1;
	birth->report[0] = birth->report[1] = -1;
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, birth->control) == 0 &&
		pipe2(birth->errors, O_CLOEXEC) == 0 &&
		pipe2(birth->report, O_CLOEXEC) == 0;
}

/* Fork with all signals blocked; 0 or an errno, the child's execve included. */
static int
give_birth(ResEngine *engine, Birth *birth)
{
	sigset_t	all,
				before;
	pid_t		pid;
	int			error = 0;
	ssize_t		got;

	birth->parent = getpid();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		child_main(birth);
	if (pid < 0)
		error = errno;
	else
		engine->pid = pid;		/* from here on the exit callback knows it */
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		return error;
	close(birth->report[1]);
	birth->report[1] = -1;
	do
		got = read(birth->report[0], &error, sizeof(error));
	while (got < 0 && errno == EINTR);
	if (got != sizeof(error))
		return 0;				/* end of file: execve has closed it */
	waitpid(pid, NULL, 0);
	engine->pid = 0;
	return error;
}

void
res_engine_check_program(void)
{
	if (access(res_engine_path, X_OK) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FILE),
			 errmsg("could not run engine \"%s\": %m", res_engine_path),
			 errhint("Install residual_engine beside the library, or set residual.engine in the server's configuration.")));
}

void
res_engine_start(ResEngine *engine, const char *arguments, int listener, int spill, int nice_level)
{
	static bool registered = false;
	MemoryContext birthplace = AllocSetContextCreate(CurrentMemoryContext, "engine start", ALLOCSET_SMALL_SIZES);
	MemoryContext before = MemoryContextSwitchTo(birthplace);
	Birth		birth;
	int			error = 0,
				i;

	if (!registered)
		before_shmem_exit(kill_at_exit, 0);
	registered = true;
	memset(engine, 0, sizeof(*engine));
	engine->pidfd = engine->control = engine->error_pipe = -1;
	current = engine;
	for (i = 0; i < N_HELD; i++)
		ReserveExternalFD();

	make_arguments(&birth, arguments);
	birth.listener = listener;
	birth.spill = spill;
	birth.nice_level = nice_level;
	snprintf(birth.nice_text, sizeof(birth.nice_text), "%d", nice_level);
	make_environment(&birth);
	if (!make_descriptors(&birth) || (error = give_birth(engine, &birth)) != 0)
	{
		error = error != 0 ? error : errno;
		close_pair(birth.control);
		close_pair(birth.errors);
		close_pair(birth.report);
		for (i = 0; i < N_HELD; i++)
			ReleaseExternalFD();
		current = NULL;
		errno = error;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not start engine \"%s\": %m", res_engine_path)));
	}
	engine->control = birth.control[0];
	engine->error_pipe = birth.errors[0];
	close(birth.control[1]);
	close(birth.errors[1]);
	close(birth.report[0]);
	fcntl(engine->control, F_SETFL, O_NONBLOCK);
	fcntl(engine->error_pipe, F_SETFL, O_NONBLOCK);
	engine->pidfd = pidfd_open(engine->pid, 0); /* -1 where the kernel has none */
	MemoryContextSwitchTo(before);
	MemoryContextDelete(birthplace);
}

/* Keep the end of what came, whole lines as far as they fit. */
static void
remember(ResEngine *engine, const char *bytes, size_t size)
{
	size_t		room = sizeof(engine->last_lines) - 1;
	size_t		used = strlen(engine->last_lines);

	if (size > room)
	{
		bytes += size - room;
		size = room;
	}
	if (used + size > room)
	{
		size_t		excess = used + size - room;

		memmove(engine->last_lines, engine->last_lines + excess, used - excess);
		used -= excess;
	}
	memcpy(engine->last_lines + used, bytes, size);
	engine->last_lines[used + size] = '\0';
}

void
res_engine_drain(ResEngine *engine)
{
	char		bytes[1024];
	char	   *line,
			   *rest;
	ssize_t		n;

	if (engine->error_pipe < 0)
		return;
	HOLD_INTERRUPTS();			/* a LOG ends in a check for interrupts, too */
	while ((n = read(engine->error_pipe, bytes, sizeof(bytes) - 1)) > 0)
	{
		bytes[n] = '\0';
		n = strlen(bytes);
		remember(engine, bytes, n);
		for (line = strtok_r(bytes, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
			ereport(LOG,
					(errmsg("engine %d: %s", (int) engine->pid, line),
					 errhidestmt(true)));
	}
	RESUME_INTERRUPTS();
}

/* Has it ended within so many ms? */
static bool
ended_within(ResEngine *engine, int ms)
{
	struct pollfd event;
	siginfo_t	info;

	if (engine->pidfd >= 0)
	{
		event.fd = engine->pidfd;
		event.events = POLLIN;
		return poll(&event, 1, ms) > 0;
	}
	for (;;)
	{
		info.si_pid = 0;
		if (waitid(P_PID, engine->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid != 0)
			return true;
		if (ms <= 0)
			return false;
		pg_usleep(10000L);
		ms -= 10;
	}
}

int
res_engine_stop(ResEngine *engine, int grace_ms)
{
	int			status = 0,
				i;

	if (engine->pid == 0)
		return 0;
	close(engine->control);		/* it reads end of file */
	if (grace_ms < 0 || !ended_within(engine, grace_ms))
		kill(engine->pid, SIGKILL);
	while (waitpid(engine->pid, &status, 0) < 0 && errno == EINTR)
		;
	res_engine_drain(engine);
	close(engine->error_pipe);
	if (engine->pidfd >= 0)
		close(engine->pidfd);
	for (i = 0; i < N_HELD; i++)
		ReleaseExternalFD();
	engine->pid = 0;
	engine->control = engine->error_pipe = engine->pidfd = -1;
	if (current == engine)
		current = NULL;
	return status;
}

char *
res_engine_status(int status)
{
	if (WIFSIGNALED(status))
		return psprintf("was terminated by signal %d: %s", WTERMSIG(status), pg_strsignal(WTERMSIG(status)));
	return psprintf("exited with code %d", WEXITSTATUS(status));
}
