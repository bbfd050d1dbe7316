/*
 * golden.c
 *		Compare the engine with reference values: parameters, forward pass,
 *		loss, every gradient, three Adam steps, search, diagnostics.
 *
 *		golden FILE ... | DIRECTORY
 *
 * A line a case: "ok NAME (...)" with the largest error of each kind, or "not
 * ok NAME: what, where, expected, got".  The exit status is 1 when a case
 * failed or none was found.
 *
 * test/unit/golden.c
 */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "golden_case.h"
#include "golden_parts.h"
#include "test_device.h"

static int
check_file(const char *path, const RnKernels *kernels)
{
	static const char *const groups[] = {"forward", "gradients", "updates", "search", "diagnostics"};
	GoldenFile	file;
	GoldenCase	this_case;
	int			k;

	memset(&this_case, 0, sizeof(this_case));
	if (golden_read(path, &file) != 0)
		golden_fail(&this_case, "%s", file.error);
	else if (strcmp(file.name, "constants") == 0)
	{
		this_case.file = &file;
		golden_check_constants(&this_case);
	}
	else if (golden_case_create(&this_case, &file, kernels) == 0)
	{
		golden_check_forward(&this_case);
		golden_check_gradients(&this_case);
		golden_check_fold(&this_case);
		if (rn_model_is_encoder_decoder(this_case.model))
		{
			golden_check_updates(&this_case);
			golden_check_search(&this_case);
			golden_check_diagnostics(&this_case);
			golden_check_profile(&this_case);
		}
	}
	if (this_case.failures > 0)
		printf("not ok %s: %s (%d failures)\n", file.name[0] != '\0' ? file.name : path, this_case.first_failure,
			   this_case.failures);
	else
	{
		printf("ok %s (%d numbers, max error", file.name, this_case.compared);
		for (k = 0; k < GOLDEN_N_GROUPS; k++)
			printf("%s %.1e %s", k > 0 ? "," : "", this_case.worst[k], groups[k]);
		if (this_case.skipped > 0)
			printf("; %d searches skipped: too near a tie for float", this_case.skipped);
		printf(")\n");
	}
	fflush(stdout);
	golden_case_free(&this_case);
	golden_free(&file);
	return this_case.failures > 0;
}

static int
is_golden(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot != NULL && strcmp(dot, ".txt") == 0;
}

/* Every file of a directory, by name. */
static int
check_directory(const char *path, const RnKernels *kernels, int *cases)
{
	struct dirent **entries;
	int			n = scandir(path, &entries, is_golden, alphasort);
	int			failures = 0;
	int			k;

	for (k = 0; k < n; k++)
	{
		char		file[4096];

		snprintf(file, sizeof(file), "%s/%s", path, entries[k]->d_name);
		failures += check_file(file, kernels);
		(*cases)++;
		free(entries[k]);
	}
	if (n >= 0)
		free(entries);
	return failures;
}

int
main(int argc, char **argv)
{
	const RnKernels *kernels = test_device();
	int			cases = 0;
	int			failures = 0;
	int			k;

	for (k = 1; k < argc; k++)
	{
		struct stat status;

		if (stat(argv[k], &status) == 0 && S_ISDIR(status.st_mode))
			failures += check_directory(argv[k], kernels, &cases);
		else
		{
			failures += check_file(argv[k], kernels);
			cases++;
		}
	}
	printf("1..%d\n", cases);
	if (cases == 0 || failures > 0)
		printf("# %d of %d cases failed\n", failures, cases);
	return cases == 0 || failures > 0;
}
