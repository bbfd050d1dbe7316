/*
 * train_driver.c
 *		Train on a file of sentence pairs without a server.
 *
 *		train_driver ENGINE TSV [key=value ...] [--validation TSV]
 *			[--checkpoint-out F] [--checkpoint-in F] [--model-out F]
 *			[--stop-after N] [--memory-limit MB] [--quiet]
 *
 * TSV: source, tab, target on each line.  A checkpoint file holds the
 * tokenizer and the parts as they crossed the wire; --model-out writes F
 * (parts) and F.conf (configuration).
 *
 * test/unit/train_driver.c
 */
#include "train_client.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define OPTIONS_MOST	100

/* Lines of one or two files. */
typedef struct Lines
{
	FILE	   *files[2];		/* training, validation or NULL */
	int			set;			/* file being read */
	char	   *line;
	size_t		capacity;
} Lines;

/* NextRow; lines without a tab are passed over. */
static int
next_line(void *arg, int *set, const char **source, const char **target)
{
	Lines	   *lines = arg;

	for (;;)
	{
		ssize_t		n;
		char	   *tab;

		if (lines->set > 1 || lines->files[lines->set] == NULL)
			return 0;
		n = getline(&lines->line, &lines->capacity, lines->files[lines->set]);
		if (n <= 0)
		{
			lines->set++;
			continue;
		}
		if (lines->line[n - 1] == '\n')
			lines->line[n - 1] = '\0';
		tab = strchr(lines->line, '\t');
		if (tab == NULL)
			continue;
		*tab = '\0';
		*set = lines->set;
		*source = lines->line;
		*target = tab + 1;
		return 1;
	}
}

/* A checkpoint file: size of the tokenizer, tokenizer, parts. */
static int
write_checkpoint(const TrainRun *run, const char *path)
{
	uint64_t	size = run->tokenizer_out.used;
	Bytes		file = {NULL, 0, 0};
	int			failed;

	bytes_add(&file, &size, sizeof(size));
	bytes_add(&file, run->tokenizer_out.bytes, run->tokenizer_out.used);
	bytes_add(&file, run->checkpoint.bytes, run->checkpoint.used);
	failed = bytes_write(&file, path);
	bytes_free(&file);
	return failed;
}

static int
read_checkpoint(const char *path, Bytes *tokenizer, Bytes *parts)
{
	Bytes		file = {NULL, 0, 0};
	uint64_t	size;

	if (bytes_read(&file, path) != 0 || file.used < sizeof(size))
		return -1;
	memcpy(&size, file.bytes, sizeof(size));
	if (size > file.used - sizeof(size))
		return -1;
	bytes_add(tokenizer, file.bytes + sizeof(size), (size_t) size);
	bytes_add(parts, file.bytes + sizeof(size) + size, file.used - sizeof(size) - (size_t) size);
	bytes_free(&file);
	return 0;
}

static int
complain(const char *what, const char *about)
{
	fprintf(stderr, "train_driver: %s %s\n", what, about);
	return 2;
}

int
main(int argc, char **argv)
{
	const char *options[OPTIONS_MOST + 1] = {NULL};
	const char *checkpoint_out = NULL;
	const char *model_out = NULL;
	Bytes		tokenizer = {NULL, 0, 0};
	Bytes		checkpoint = {NULL, 0, 0};
	Lines		lines;
	TrainRun	run;
	struct rusage usage;
	int			n = 0;
	int			i;

	memset(&run, 0, sizeof(run));
	memset(&lines, 0, sizeof(lines));
	if (argc < 3)
		return complain("usage:", "ENGINE TSV [key=value ...] [--option value ...]");
	run.engine = argv[1];
	run.show = stdout;
	run.options = options;
	run.next_row = next_line;
	run.row_arg = &lines;
	lines.files[0] = fopen(argv[2], "r");
	if (lines.files[0] == NULL)
		return complain("cannot read", argv[2]);
	for (i = 3; i < argc; i++)
	{
		if (strcmp(argv[i], "--quiet") == 0)
			run.show = NULL;
		else if (argv[i][0] != '-' && strchr(argv[i], '=') != NULL && n < OPTIONS_MOST)
			options[n++] = argv[i];
		else if (i + 1 == argc)
			return complain("unknown or incomplete argument", argv[i]);
		else if (strcmp(argv[i], "--validation") == 0)
			lines.files[1] = fopen(argv[++i], "r");
		else if (strcmp(argv[i], "--checkpoint-out") == 0)
			checkpoint_out = argv[++i];
		else if (strcmp(argv[i], "--checkpoint-in") == 0)
		{
			if (read_checkpoint(argv[++i], &tokenizer, &checkpoint) != 0)
				return complain("cannot read checkpoint", argv[i]);
			run.tokenizer = &tokenizer;
			run.checkpoint_in = &checkpoint;
		}
		else if (strcmp(argv[i], "--model-out") == 0)
			model_out = argv[++i];
		else if (strcmp(argv[i], "--stop-after") == 0)
			run.stop_after = atoll(argv[++i]);
		else if (strcmp(argv[i], "--memory-limit") == 0)
			run.memory_limit = strtoull(argv[++i], NULL, 10) << 20;
		else
			return complain("unknown argument", argv[i]);
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (client_train(&run) != 0)
		return complain("cannot start", argv[1]);
	if (checkpoint_out != NULL && run.n_checkpoints > 0)
	{
		if (run.tokenizer_out.used == 0)
			bytes_add(&run.tokenizer_out, tokenizer.bytes, tokenizer.used);
		if (write_checkpoint(&run, checkpoint_out) != 0)
			return complain("cannot write", checkpoint_out);
	}
	if (model_out != NULL && run.model.used > 0)
	{
		char		path[4096];

		snprintf(path, sizeof(path), "%s.conf", model_out);
		if (bytes_write(&run.model, model_out) != 0 || bytes_write(&run.configuration, path) != 0)
			return complain("cannot write", model_out);
	}
	getrusage(RUSAGE_CHILDREN, &usage);
	printf("%s: %s %lld steps, training loss %.4f, validation loss %.4f, BLEU %.2f, %.0f s, peak memory %ld MB\n",
		   run.state[0] ? run.state : "failed", run.state[0] ? run.reason : run.message, (long long) run.last_step,
		   run.last_loss, run.last_validation_loss, run.last_bleu, run.seconds, usage.ru_maxrss >> 10);
	if (WIFSIGNALED(run.exit_status))
		printf("engine was terminated by signal %d\n", WTERMSIG(run.exit_status));
	client_free(&run);
	bytes_free(&tokenizer);
	bytes_free(&checkpoint);
	free(lines.line);
	return run.state[0] ? 0 : 1;
}
