/*
 * guard.h
 *		Where C++ ends: exceptions become statuses.  For the C++ files of this
 *		folder only.
 *
 * src/text/guard.h
 */
#ifndef RN_GUARD_H
#define RN_GUARD_H

#include <exception>
#include <new>

extern "C"
{
#include "base/context.h"
}

/* Run what returns an RnStatus and may throw. */
template <typename Work>
RnStatus
rn_guard(RnContext *ctx, Work work) noexcept
{
	try
	{
		return work();
	}
	catch (const std::bad_alloc &)
	{
		return rn_out_of_memory(ctx, 0);
	}
	catch (const std::exception &error)
	{
		return rn_fail(ctx, RN_INTERNAL, "tokenizer failed: %s", error.what());
	}
	catch (...)
	{
		return rn_fail(ctx, RN_INTERNAL, "tokenizer failed");
	}
}

#endif							/* RN_GUARD_H */
