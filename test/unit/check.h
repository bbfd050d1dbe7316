/*
 * check.h
 *		Checks for the unit tests, printed as TAP.
 *
 * A test program calls CHECK as often as it likes and ends with
 * "return check_done();".  check_skip says aloud what could not be tested.
 *
 * test/unit/check.h
 */
#ifndef RN_CHECK_H
#define RN_CHECK_H

#include <stdarg.h>
#include <stdio.h>

static int	check_number;		/* checks so far */
static int	check_failures;		/* those that failed */

/* Returns whether the condition held, so that a test can stop early. */
#define CHECK(condition, ...) \
	check_report((condition) ? 1 : 0, __FILE__, __LINE__, #condition, __VA_ARGS__)

static inline int __attribute__((format(printf, 5, 6)))
check_report(int passed, const char *file, int line, const char *condition,
			 const char *format,...)
{
	va_list		args;

	check_number++;
	printf("%s %d - ", passed ? "ok" : "not ok", check_number);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	if (!passed)
	{
		check_failures++;
		printf("# failed at %s:%d: %s\n", file, line, condition);
	}
	fflush(stdout);
	return passed;
}

static inline void __attribute__((format(printf, 1, 2)))
check_skip(const char *format,...)
{
	va_list		args;

	check_number++;
	printf("ok %d # SKIP ", check_number);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

/* Prints the plan; the exit status of the program. */
static inline int
check_done(void)
{
	printf("1..%d\n", check_number);
	if (check_failures > 0)
		printf("# %d of %d checks failed\n", check_failures, check_number);
	return check_failures > 0 || check_number == 0;
}

#endif							/* RN_CHECK_H */
