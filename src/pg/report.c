/*
 * report.c
 *		A failure that came as a value becomes an error of the server.
 *
 * src/pg/report.c
 */
#include "residual.h"

#include "encoding.h"

int
res_sqlstate(RnStatus status)
{
	switch (status)
	{
		case RN_OK:
			break;
		case RN_INVALID:
			return ERRCODE_INVALID_PARAMETER_VALUE;
		case RN_NO_MEMORY:
			return ERRCODE_OUT_OF_MEMORY;
		case RN_CORRUPT:
			return ERRCODE_DATA_CORRUPTED;
		case RN_MISMATCH:
			return ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
		case RN_IO:
			return ERRCODE_IO_ERROR;
		case RN_DISK_FULL:
			return ERRCODE_DISK_FULL;
		case RN_DIVERGED:
			return ERRCODE_FLOATING_POINT_EXCEPTION;
		case RN_CANCELLED:
			return ERRCODE_QUERY_CANCELED;
		case RN_LIMIT:
			return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		case RN_UNSUPPORTED:
			return ERRCODE_FEATURE_NOT_SUPPORTED;
		case RN_NO_DATA:
			return ERRCODE_NO_DATA_FOUND;
		case RN_DEVICE:
			return ERRCODE_SYSTEM_ERROR;
		case RN_INTERNAL:
			break;
	}
	return ERRCODE_INTERNAL_ERROR;
}

/* The engine speaks UTF-8. */
void
res_report(const RnContext *ctx)
{
	ereport(ERROR,
			(errcode(res_sqlstate(ctx->status)),
			 errmsg("%s", res_string_from_utf8(ctx->message)),
			 ctx->detail[0] != '\0' ? errdetail("%s", res_string_from_utf8(ctx->detail)) : 0,
			 ctx->hint[0] != '\0' ? errhint("%s", res_string_from_utf8(ctx->hint)) : 0));
}

void
res_check_arguments(FunctionCallInfo fcinfo, const char *const *names, int n)
{
	int			i;

	for (i = 0; i < n; i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not be NULL", names[i])));
	}
}
