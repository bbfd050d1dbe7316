/*
 * stream.cpp
 *		Streams, events, copies, launches and graphs.
 *
 * Work is queued and nothing runs before somebody waits; then all streams run
 * in a random interleaving that events alone restrict.  So a wait that is
 * missing shows old data.  A copy from or to pinned memory is queued like a
 * kernel; ordinary memory is read at once and written before the call
 * returns, as CUDA does by staging.
 *
 * test/cudaemu/stream.cpp
 */
#include "cudaemu.h"
#include "emulator.h"

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <time.h>
#include <unistd.h>

using namespace cudaemu;

struct CUevent_st
{
	uint64_t	recorded = 0;	/* times that a record was queued */
	uint64_t	passed = 0;		/* records that have run */
	double		time = 0.0;		/* of the last */
};

/* Work, a wait until an event's record has run, or work that another process must make ready. */
struct Item
{
	Work		work;
	CUevent_st *event;
	uint64_t	record;
	Ready		ready;
};

struct CUgraph_st
{
	std::vector<Work> works;
};

struct CUgraphExec_st
{
	std::vector<Work> works;
};

struct CUstream_st
{
	std::deque<Item> items;
	CUgraph_st *recording = NULL;	/* while a graph is captured */
	bool		recording_failed = false;
	bool		apart = false;		/* does not wait for the default stream */
};

namespace cudaemu
{

static std::vector<CUstream_st *> streams;
static std::map<const void *, int> shared_allowed;	/* kernel: dynamic bytes it was raised to */

static const long OTHERS_MS = 60000;	/* that other processes are waited for */
static const size_t SHARED_AT_FIRST = 48 << 10;
static const size_t SHARED_AT_MOST = 227 << 10;

static CUstream_st *
default_stream()
{
	static CUstream_st *stream;

	if (stream == NULL)
	{
		stream = new CUstream_st;
		streams.push_back(stream);
	}
	return stream;
}

/* Has the stream something that can run now? */
static bool
is_able(const CUstream_st *stream)
{
	if (stream->items.empty())
		return false;

	const Item &item = stream->items.front();

	return (item.event == NULL || item.event->passed >= item.record) && (!item.ready || item.ready());
}

/* One item of a stream; false when it has none, or waits. */
static bool
advance(CUstream_st *stream)
{
	Work		work;

	if (!is_able(stream))
		return false;
	work = std::move(stream->items.front().work);
	stream->items.pop_front();
	if (work && sticky == cudaSuccess)
		work();
	return true;
}

/* Does any of them wait for another process?  Then wait a little with it, but not for ever. */
static bool
await_others(long *waited)
{
	for (CUstream_st *stream : streams)
		if (!stream->items.empty() && stream->items.front().ready && *waited < OTHERS_MS * 10)
		{
			usleep(100);
			(*waited)++;
			return true;
		}
	return false;
}

/* Run until this stream, or all for NULL, has nothing left. */
static void
finish(CUstream_st *stream)
{
	long		waited = 0;

	for (;;)
	{
		std::vector<CUstream_st *> able;
		bool		left = stream != NULL && !stream->items.empty();

		for (CUstream_st *other : streams)
		{
			left = left || (stream == NULL && !other->items.empty());
			if (is_able(other))
				able.push_back(other);
		}
		if (!left)
			return;
		if (able.empty() && await_others(&waited))
			continue;
		if (able.empty())
		{
			report(cudaErrorLaunchTimeout, 0, "streams wait for events that nobody will record, or for processes that do not come");
			streams_reset();
			return;
		}
		advance(able[random_below((uint32_t) able.size())]);
	}
}

void
finish_all()
{
	default_stream();
	finish(NULL);
}

void
streams_reset()
{
	for (CUstream_st *stream : streams)
		stream->items.clear();
}

cudaError_t
enqueue(cudaStream_t stream, Work work)
{
	if (sticky != cudaSuccess)
		return fail(sticky);
	if (stream == NULL)
	{
		/* the default stream is in order with all others */
		finish_all();
		work();
		return fail(cudaSuccess);
	}
	if (stream->recording != NULL)
		stream->recording->works.push_back(std::move(work));
	else
		stream->items.push_back({std::move(work), NULL, 0, Ready()});
	return fail(cudaSuccess);
}

cudaError_t
enqueue_when(cudaStream_t stream, Ready ready, Work work)
{
	if (sticky != cudaSuccess)
		return fail(sticky);
	if (stream == NULL || stream->recording != NULL)
		return fail(cudaErrorStreamCaptureUnsupported);
	stream->items.push_back({std::move(work), NULL, 0, std::move(ready)});
	return fail(cudaSuccess);
}

/* What must not happen while a stream records a graph. */
static bool
refused_while_recording(CUstream_st *stream)
{
	bool		recording = false;

	for (CUstream_st *other : streams)
		if (other->recording != NULL && (stream == NULL || other == stream))
			recording = other->recording_failed = true;
	return recording;
}

static double
now()
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e3 + (double) t.tv_nsec * 1e-6;
}

/* ---- launches ---- */

static bool
shape_is_good(const void *kernel, dim3 grid, dim3 block, size_t shared)
{
	auto		raised = shared_allowed.find(kernel);
	size_t		most = raised != shared_allowed.end() ? (size_t) raised->second : SHARED_AT_FIRST;
	size_t		n = (size_t) block.x * block.y * block.z;

	return n > 0 && n <= 1024 && block.z <= 64 && grid.x > 0 && grid.x <= 2147483647u && grid.y > 0 &&
		grid.y <= 65535 && grid.z > 0 && grid.z <= 65535 && shared <= most;
}

void
launch(const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared, cudaStream_t stream,
	   const void *arguments, size_t size, void (*call) (const void *))
{
	Lock		lock;
	std::string copy((const char *) arguments, size);

	if (size > PARAMETER_BANK || !shape_is_good(kernel, grid, block, shared))
	{
		fail(cudaErrorInvalidConfiguration);
		return;
	}
	if (planned(&last_alloc))
		close_memory();
	enqueue(stream, [=] {
		if (planned(&fail_kernel))
			report(cudaErrorIllegalAddress, 0, "%s: a fault that was asked for", name);
		else
			run_grid(name, grid, block, shared, copy.data(), copy.size(), call);
	});
}

/* ---- copies ---- */

static void
copy_now(void *to, bool to_device, const void *from, bool from_device, size_t bytes)
{
	if (planned(&fail_copy))
	{
		report(cudaErrorLaunchFailure, 0, "cudaMemcpy: a failure that was asked for");
		return;
	}
	if (!range_is_good(to, bytes, to_device, "destination of cudaMemcpy") ||
		!range_is_good(from, bytes, from_device, "source of cudaMemcpy"))
		return;
	memmove(to, from, bytes);
	if (to_device)
		mark_written(to, bytes);
}

static cudaError_t
copy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream)
{
	bool		to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
	bool		from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;

	if (kind == cudaMemcpyDefault)
	{
		to_device = in_arena(to);
		from_device = in_arena(from);
	}
	if (bytes == 0)
		return fail(cudaSuccess);
	if (to_device && !from_device && !is_pinned(from) && !in_arena(from))
	{
		if (refused_while_recording(stream))
			return fail(cudaErrorStreamCaptureUnsupported);

		auto		staged = std::make_shared<std::string>((const char *) from, bytes);

		return enqueue(stream, [=] {copy_now(to, true, staged->data(), false, bytes);});
	}
	if (from_device && !to_device && !is_pinned(to))
	{
		if (refused_while_recording(stream))
			return fail(cudaErrorStreamCaptureUnsupported);
		enqueue(stream, [=] {copy_now(to, false, from, true, bytes);});
		if (stream != NULL)
			finish(stream);
		return fail(cudaSuccess);
	}
	if (to_device && !from_device && planned(&lose_copy))
		return fail(cudaSuccess);
	return enqueue(stream, [=] {copy_now(to, to_device, from, from_device, bytes);});
}

}								/* namespace cudaemu */

extern "C"
{

cudaError_t
cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
	Lock		lock;

	return copy(to, from, bytes, kind, stream);
}

cudaError_t
cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
	Lock		lock;

	copy(to, from, bytes, kind, NULL);
	return fail(cudaSuccess);
}

cudaError_t
cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
				  enum cudaMemcpyKind kind, cudaStream_t stream)
{
	Lock		lock;
	size_t		row;

	for (row = 0; row < height; row++)
		copy((char *) to + row * to_pitch, (const char *) from + row * from_pitch, width, kind, stream);
	return fail(cudaSuccess);
}

cudaError_t
cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
	Lock		lock;

	return enqueue(stream, [=] {
		if (range_is_good(to, bytes, true, "cudaMemset"))
		{
			memset(to, value, bytes);
			mark_written(to, bytes);
		}
	});
}

cudaError_t
cudaMemset(void *to, int value, size_t bytes)
{
	return cudaMemsetAsync(to, value, bytes, NULL);
}

/* ---- streams ---- */

cudaError_t
cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags)
{
	Lock		lock;

	default_stream();
	*stream = new CUstream_st;
	(*stream)->apart = flags != 0;
	streams.push_back(*stream);
	return fail(cudaSuccess);
}

cudaError_t
cudaStreamCreate(cudaStream_t *stream)
{
	return cudaStreamCreateWithFlags(stream, 0);
}

cudaError_t
cudaStreamDestroy(cudaStream_t stream)
{
	Lock		lock;
	size_t		i;

	finish(stream);
	for (i = 0; i < streams.size(); i++)
		if (streams[i] == stream)
		{
			streams.erase(streams.begin() + (long) i);
			break;
		}
	delete stream;
	return fail(cudaSuccess);
}

cudaError_t
cudaStreamSynchronize(cudaStream_t stream)
{
	Lock		lock;

	if (refused_while_recording(stream))
		return fail(cudaErrorStreamCaptureUnsupported);
	if (stream == NULL)
		finish_all();
	else
		finish(stream);
	return fail(cudaSuccess);
}

cudaError_t
cudaStreamQuery(cudaStream_t stream)
{
	Lock		lock;
	size_t		i;

	for (i = 0; i < 4 && !streams.empty(); i++)
		advance(streams[random_below((uint32_t) streams.size())]);
	return fail(stream == NULL || stream->items.empty() ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t
cudaDeviceSynchronize(void)
{
	Lock		lock;

	if (refused_while_recording(NULL))
		return fail(cudaErrorStreamCaptureUnsupported);
	finish_all();
	return fail(cudaSuccess);
}

cudaError_t
cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data)
{
	Lock		lock;

	return enqueue(stream, [=] {function(data);});
}

/* ---- events ---- */

cudaError_t
cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int)
{
	*event = new CUevent_st;
	return cudaSuccess;
}

cudaError_t
cudaEventCreate(cudaEvent_t *event)
{
	return cudaEventCreateWithFlags(event, 0);
}

cudaError_t
cudaEventDestroy(cudaEvent_t event)
{
	Lock		lock;

	finish_all();
	delete event;
	return fail(cudaSuccess);
}

cudaError_t
cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
	Lock		lock;
	uint64_t	record = ++event->recorded;

	return enqueue(stream, [=] {
		event->passed = record;
		event->time = now();
	});
}

cudaError_t
cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int)
{
	Lock		lock;

	if (refused_while_recording(stream))
		return fail(cudaErrorStreamCaptureUnsupported);
	if (stream == NULL)
		finish_all();
	else
		stream->items.push_back({Work(), event, event->recorded, Ready()});
	return fail(cudaSuccess);
}

cudaError_t
cudaEventSynchronize(cudaEvent_t event)
{
	Lock		lock;

	while (event->passed < event->recorded && sticky == cudaSuccess)
		if (cudaStreamQuery(NULL) != cudaSuccess)
			break;
	return fail(cudaSuccess);
}

cudaError_t
cudaEventQuery(cudaEvent_t event)
{
	Lock		lock;

	cudaStreamQuery(NULL);
	return fail(event->passed >= event->recorded ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t
cudaEventElapsedTime(float *milliseconds, cudaEvent_t first, cudaEvent_t last)
{
	Lock		lock;

	*milliseconds = (float) (last->time - first->time);
	return fail(cudaSuccess);
}

/* ---- graphs ---- */

cudaError_t
cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode)
{
	Lock		lock;

	if (stream == NULL || stream->recording != NULL)
		return fail(cudaErrorStreamCaptureUnsupported);
	stream->recording = new CUgraph_st;
	stream->recording_failed = false;
	return fail(cudaSuccess);
}

cudaError_t
cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
	Lock		lock;

	*graph = NULL;
	if (stream == NULL || stream->recording == NULL)
		return fail(cudaErrorIllegalState);
	if (stream->recording_failed)
	{
		delete stream->recording;
		stream->recording = NULL;
		return fail(cudaErrorStreamCaptureInvalidated);
	}
	*graph = stream->recording;
	stream->recording = NULL;
	return fail(cudaSuccess);
}

cudaError_t
cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
	Lock		lock;

	*status = stream != NULL && stream->recording != NULL ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
	return fail(cudaSuccess);
}

cudaError_t
cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long)
{
	Lock		lock;

	*executable = new CUgraphExec_st;
	(*executable)->works = graph->works;
	return fail(cudaSuccess);
}

cudaError_t
cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream)
{
	Lock		lock;

	counts.graphs++;
	for (const Work &work : executable->works)
		enqueue(stream, work);
	return fail(cudaSuccess);
}

cudaError_t
cudaGraphExecDestroy(cudaGraphExec_t executable)
{
	Lock		lock;

	delete executable;
	return fail(cudaSuccess);
}

cudaError_t
cudaGraphDestroy(cudaGraph_t graph)
{
	Lock		lock;

	delete graph;
	return fail(cudaSuccess);
}

cudaError_t
cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value)
{
	Lock		lock;

	if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize)
	{
		if (value < 0 || (size_t) value > SHARED_AT_MOST)
			return fail(cudaErrorInvalidValue);
		shared_allowed[kernel] = value;
	}
	return fail(cudaSuccess);
}

}
