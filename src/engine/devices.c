/*
 * devices.c
 *		The devices of the machine, as an answer to a question asked apart.
 *
 * Looking at a GPU makes a context on it, so only a process that ends
 * afterwards may look.
 *
 * src/engine/devices.c
 */
#include "engine/devices.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/table.h"
#include "kernels/device.h"

#define COLUMNS 8

static void
put_cpu(RnTable *table)
{
	int64_t		page = sysconf(_SC_PAGESIZE);

	rn_table_text(table, "cpu");
	rn_table_text(table, rn_cpu_kernels()->description());
	rn_table_null(table);
	rn_table_integer(table, page * sysconf(_SC_PHYS_PAGES));
	rn_table_integer(table, page * sysconf(_SC_AVPHYS_PAGES));
	rn_table_integer(table, sysconf(_SC_NPROCESSORS_ONLN));
	rn_table_null(table);
	rn_table_null(table);
}

/* A device that cannot be used, with the reason. */
static void
put_unusable(RnTable *table, const char *device, const RnContext *reason)
{
	char		note[sizeof(reason->message) + sizeof(reason->detail) + 4];
	int			i;

	snprintf(note, sizeof(note), "%s%s%s", reason->message, reason->detail[0] != '\0' ? ". " : "", reason->detail);
	rn_table_text(table, device);
	for (i = 1; i < COLUMNS - 1; i++)
		rn_table_null(table);
	rn_table_text(table, note);
}

static void
put_gpu(RnTable *table, const RnDeviceLibrary *library, int number)
{
	RnDeviceInfo info;
	RnContext	reason;
	char		device[32];

	rn_context_reset(&reason);
	snprintf(device, sizeof(device), "cuda:%d", number);
	if (library->describe(&reason, number, &info) != RN_OK)
	{
		put_unusable(table, device, &reason);
		return;
	}
	rn_table_text(table, device);
	rn_table_text(table, info.name);
	rn_table_text(table, info.capability);
	rn_table_integer(table, info.memory);
	rn_table_integer(table, info.memory_free);
	rn_table_integer(table, info.processors);
	rn_table_text(table, info.driver);
	rn_table_null(table);
}

RnStatus
rn_devices(RnContext *ctx, RnPeer *peer)
{
	const RnDeviceLibrary *library;
	RnContext	reason;
	RnTable		table;
	int			n = 0;
	int			i;

	rn_table_begin(ctx, &table, peer, COLUMNS);
	put_cpu(&table);
	rn_context_reset(&reason);
	if (rn_device_library(&reason, &library) == RN_OK && library->count(&reason, &n) == RN_OK)
	{
		for (i = 0; i < n; i++)
			put_gpu(&table, library, i);
	}
	else
		put_unusable(&table, "cuda", &reason);
	return rn_table_end(&table);
}
