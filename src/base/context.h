/*
 * context.h
 *		How everything outside src/pg says that something went wrong.
 *
 * What can fail returns RnStatus and leaves its words in an RnContext.  The
 * first failure is kept: what follows from it does not overwrite it.  The
 * glue in src/pg turns the three texts into message, detail and hint of an
 * ereport; the engine sends them in an error frame.
 *
 * src/base/context.h
 */
#ifndef RN_CONTEXT_H
#define RN_CONTEXT_H

/* Numbers go over the wire: append, never renumber. */
typedef enum RnStatus
{
	RN_OK = 0,
	RN_INVALID,					/* an argument or option makes no sense */
	RN_NO_MEMORY,				/* the system or a limit of ours refused memory */
	RN_CORRUPT,					/* bytes that are damaged, short or foreign */
	RN_MISMATCH,				/* parts that do not belong together: versions, shapes */
	RN_IO,						/* reading or writing failed */
	RN_DISK_FULL,				/* no space, or over temp_file_limit */
	RN_DIVERGED,				/* loss or gradient is not a number any more */
	RN_CANCELLED,				/* somebody asked to stop */
	RN_LIMIT,					/* larger than a limit allows */
	RN_UNSUPPORTED,				/* makes sense, but this build or device cannot */
	RN_NO_DATA,					/* nothing to work on: no usable sentence pair */
	RN_INTERNAL,				/* a mistake of ours */
	RN_DEVICE					/* the device failed; a process that used it must end */
} RnStatus;

typedef struct RnContext
{
	RnStatus	status;			/* RN_OK until something failed */
	char		message[512];	/* lower case, no full stop */
	char		detail[512];	/* full sentence or empty */
	char		hint[512];		/* full sentence or empty */
} RnContext;

/* Pass a failure on to the caller. */
#define RN_TRY(call) \
	do { \
		RnStatus	rn_try_status_ = (call); \
		if (rn_try_status_ != RN_OK) \
			return rn_try_status_; \
	} while (0)

extern void rn_context_reset(RnContext *ctx);

/*
 * Note a failure and return its status, for "return rn_fail(...)".  Keeps the
 * first one.  rn_detail and rn_hint add to the failure just noted; they do
 * nothing when that already has one.
 */
extern RnStatus rn_fail(RnContext *ctx, RnStatus status, const char *format,...)
			__attribute__((format(printf, 3, 4)));
extern void rn_detail(RnContext *ctx, const char *format,...)
			__attribute__((format(printf, 2, 3)));
extern void rn_hint(RnContext *ctx, const char *format,...)
			__attribute__((format(printf, 2, 3)));

/* Short for the failure that every allocation may meet. */
extern RnStatus rn_out_of_memory(RnContext *ctx, unsigned long long bytes);

#endif							/* RN_CONTEXT_H */
