/*
 * attempt.c
 *		Something that may fail without the statement failing.
 *
 * src/pg/attempt.c
 */
#include "attempt.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* Of the error that is being caught. */
static bool
is_to_be_forgotten(void)
{
	int			code = geterrcode();

	return code != ERRCODE_QUERY_CANCELED && ERRCODE_TO_CATEGORY(code) != ERRCODE_OPERATOR_INTERVENTION;
}

bool
res_attempt(ResWork work, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = true;

	if (IsInParallelMode())
	{
		work(arg);
		return true;
	}
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		if (!is_to_be_forgotten())
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		done = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return done;
}
