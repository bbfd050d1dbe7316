/*
 * context.c
 *		The first failure of a journey, in words.
 *
 * src/base/context.c
 */
#include "base/context.h"

#include <stdarg.h>
#include <stdio.h>

void
rn_context_reset(RnContext *ctx)
{
	ctx->status = RN_OK;
	ctx->message[0] = ctx->detail[0] = ctx->hint[0] = '\0';
}

RnStatus
rn_fail(RnContext *ctx, RnStatus status, const char *format,...)
{
	va_list		args;

	if (ctx->status != RN_OK)
		return ctx->status;
	rn_context_reset(ctx);
	ctx->status = status;
	va_start(args, format);
	vsnprintf(ctx->message, sizeof(ctx->message), format, args);
	va_end(args);
	return status;
}

void
rn_detail(RnContext *ctx, const char *format,...)
{
	va_list		args;

	if (ctx->detail[0] != '\0')
		return;
	va_start(args, format);
	vsnprintf(ctx->detail, sizeof(ctx->detail), format, args);
	va_end(args);
}

void
rn_hint(RnContext *ctx, const char *format,...)
{
	va_list		args;

	if (ctx->hint[0] != '\0')
		return;
	va_start(args, format);
	vsnprintf(ctx->hint, sizeof(ctx->hint), format, args);
	va_end(args);
}

RnStatus
rn_out_of_memory(RnContext *ctx, unsigned long long bytes)
{
	rn_fail(ctx, RN_NO_MEMORY, "out of memory");
	rn_detail(ctx, "Failed on a request of %llu bytes.", bytes);
	return ctx->status;
}
