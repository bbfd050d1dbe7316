/*
 * sql_window.c
 *		Translating in batches as a window function.
 *
 *		SELECT id, residual_translate_window(title, 'en_de') OVER () FROM products
 *
 * src/pg/sql_window.c
 */
#include "read_ahead.h"

#include "fmgr.h"
#include "utils/memutils.h"
#include "windowapi.h"

PG_FUNCTION_INFO_V1(residual_translate_window);

/* Of a partition; gone with it. */
typedef struct WindowRows
{
	WindowObject window;
	ResReadAhead *ahead;		/* NULL until the first row */
	int64		next;			/* row of the partition to be read */
} WindowRows;

/* A row of the partition, which need not be the one that is being computed. */
static ResRowKind
read_row(void *arg, MemoryContext keep, ResCall *calls, MinimalTuple *row)
{
	WindowRows *rows = arg;
	Datum		values[3];
	bool		nulls[3];
	bool		outside;
	int			i;

	for (i = 0; i < 3; i++)
	{
		values[i] = WinGetFuncArgInPartition(rows->window, i, (int) rows->next, WINDOW_SEEK_HEAD, false, &nulls[i], &outside);
		if (outside)
			return RES_NO_ROW;
	}
	rows->next++;
	calls->isnull = nulls[0];
	calls->source = nulls[0] ? NULL : DatumGetTextPP(values[0]);
	calls->model = nulls[1] ? NULL : DatumGetTextPP(values[1]);
	calls->options = nulls[2] ? NULL : DatumGetJsonbP(values[2]);
	return RES_ROW;
}

Datum
residual_translate_window(PG_FUNCTION_ARGS)
{
	WindowObject window = PG_WINDOW_OBJECT();
	WindowRows *rows = WinGetPartitionLocalMemory(window, sizeof(WindowRows));
	MinimalTuple row;
	Datum		answer;
	bool		isnull;

	if (rows->ahead == NULL)
	{
		rows->window = window;
		rows->ahead = res_read_ahead_create(GetMemoryChunkContext(rows), 1, read_row, rows, false);
	}
	/* rows before this one are needed no more */
	WinSetMarkPosition(window, WinGetCurrentPosition(window));
	if (res_read_ahead_next(rows->ahead, &row, &answer, &isnull) == RES_NO_ROW || isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(answer);
}
