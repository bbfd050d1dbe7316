/*
 * sweep_grid.c
 *		The runs of a sweep: every combination of a grid's values.
 *
 * src/pg/sweep_grid.c
 */
#include "sweep_grid.h"

#define SEED	"seed"

static bool
is_axis(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data);
}

/* ---- reading ---- */

static void
check_axis(const char *key, const JsonbValue *axis)
{
	JsonbContainer *values = axis->val.binary.data;
	uint32		n = JsonContainerSize(values);
	uint32		i;

	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" of the grid has no values", key)));
	for (i = 0; i < n; i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(values, i);

		if (is_axis(value))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" of the grid has an array among its values", key),
					 errhint("A value is that of one option, or an object of several options to set at once.")));
	}
}

static void
add_axis(ResSweepGrid *grid, const JsonbValue *key, const JsonbValue *axis)
{
	char	   *name = pnstrdup(key->val.string.val, key->val.string.len);
	int			n;

	check_axis(name, axis);
	n = JsonContainerSize(axis->val.binary.data);
	if ((int64) grid->n_runs * n > RES_SWEEP_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the grid has more than %d combinations", RES_SWEEP_MAX),
				 errhint("Make several sweeps of it.")));
	grid->keys[grid->n_axes] = *key;
	grid->axes[grid->n_axes] = *axis;
	grid->sizes[grid->n_axes] = n;
	grid->n_runs *= n;
	grid->n_axes++;
}

/* The last axis varies fastest. */
static void
put_seed_last(ResSweepGrid *grid)
{
	int			last = grid->n_axes - 1;
	int			i;

	for (i = 0; i < last; i++)
	{
		JsonbValue	key = grid->keys[i];
		JsonbValue	axis = grid->axes[i];
		int			size = grid->sizes[i];

		if (key.val.string.len != strlen(SEED) || memcmp(key.val.string.val, SEED, strlen(SEED)) != 0)
			continue;
		memmove(&grid->keys[i], &grid->keys[i + 1], (last - i) * sizeof(key));
		memmove(&grid->axes[i], &grid->axes[i + 1], (last - i) * sizeof(axis));
		memmove(&grid->sizes[i], &grid->sizes[i + 1], (last - i) * sizeof(size));
		grid->keys[last] = key;
		grid->axes[last] = axis;
		grid->sizes[last] = size;
		return;
	}
}

void
res_sweep_grid(Jsonb *json, ResSweepGrid *grid)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	JsonbValue	key;
	int			n;

	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a grid must be a JSON object"),
				 errhint("For example: '{\"scheme\": [\"residual\", \"post\"], \"layers\": [6, 12], \"seed\": [1, 2, 3]}'.")));
	n = JB_ROOT_COUNT(json);
	grid->grid = json;
	grid->n_axes = 0;
	grid->n_runs = 1;
	grid->keys = palloc0((n + 1) * sizeof(JsonbValue));
	grid->axes = palloc0((n + 1) * sizeof(JsonbValue));
	grid->sizes = palloc0((n + 1) * sizeof(int));
	iterator = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = value;
		else if (token == WJB_VALUE && is_axis(&value))
			add_axis(grid, &key, &value);
		else if (token == WJB_VALUE && value.type == jbvBinary)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" of the grid is an object", pnstrdup(key.val.string.val, key.val.string.len)),
					 errhint("Put objects into an array: each is a set of options, and together they are an axis.")));
	}
	put_seed_last(grid);
}

/* ---- a run ---- */

/* Of an axis: the option itself, or the options of an object. */
static void
push_value(JsonbParseState **state, const JsonbValue *key, JsonbValue *value)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	part;

	if (value->type != jbvBinary)
	{
		JsonbValue	name = *key;

		pushJsonbValue(state, WJB_KEY, &name);
		pushJsonbValue(state, WJB_VALUE, value);
		return;
	}
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &part, true)) != WJB_DONE)
	{
		if (token == WJB_KEY || token == WJB_VALUE)
			pushJsonbValue(state, token, &part);
	}
}

static void
push_axes(JsonbParseState **state, const ResSweepGrid *grid, int run)
{
	int			i;

	for (i = grid->n_axes - 1; i >= 0; i--)
	{
		push_value(state, &grid->keys[i],
				   getIthJsonbValueFromContainer(grid->axes[i].val.binary.data, run % grid->sizes[i]));
		run /= grid->sizes[i];
	}
}

static void
push_fixed(JsonbParseState **state, const ResSweepGrid *grid)
{
	JsonbIterator *iterator = JsonbIteratorInit(&grid->grid->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	JsonbValue	key;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = value;
		else if (token == WJB_VALUE && !is_axis(&value))
		{
			pushJsonbValue(state, WJB_KEY, &key);
			pushJsonbValue(state, WJB_VALUE, &value);
		}
	}
}

/* Of two options of the same name the later one counts: those of an axis. */
Jsonb *
res_sweep_options(const ResSweepGrid *grid, int run)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_fixed(&state, grid);
	push_axes(&state, grid, run);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

Jsonb *
res_sweep_settings(const ResSweepGrid *grid, int run)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_axes(&state, grid, run);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
