/*
 * queue.h
 *		What a lane is to do, noted before it is done.
 *
 * A lane that gathers keeps its launches, products, copies and clearings as a
 * list, and hands them over together.  Training repeats itself: where the same
 * list comes again, to the last argument, a CUDA graph made of it is launched
 * in its place.  So nobody has to say what a pass depends on: whatever is
 * different makes another list.  What may differ from pass to pass without a
 * new one lies in uploads, which have the same places each time (mirror.cu).
 *
 * A lane that does not gather does everything at once.
 *
 * kernels/cuda/queue.h
 */
#ifndef RN_CUDA_QUEUE_H
#define RN_CUDA_QUEUE_H

#include <string.h>
#include <tuple>
#include <utility>

#include "kernels/cuda/language.h"

struct RnLane;
struct RnQueue;

/* Does what the payload says, on the lane's stream. */
typedef void (*RnCommand) (RnLane *lane, const char *payload);

/* Room for a command in a list, cleared; NULL: the lane does not gather, and the caller does it now. */
extern char *rn_queue_add(RnLane *lane, RnCommand command, size_t bytes);

/* Hand over what is in the list. */
extern void rn_queue_flush(RnLane *lane);

extern void rn_queue_free(RnLane *lane);

/* Is there a list to be filled? */
extern bool rn_lane_gathers(const RnLane *lane);

/* A plain struct as a command: do_it(lane, what) now or later. */
template <class T> static void
rn_queue_do(RnLane *lane, void (*do_it) (RnLane *, const T *), const T &what)
{
	struct Payload
	{
		void		(*do_it) (RnLane *, const T *);
		T			what;
		static void run(RnLane *lane, const char *payload)
		{
			const Payload *p = (const Payload *) payload;

			p->do_it(lane, &p->what);
		}
	};
	Payload    *payload = (Payload *) rn_queue_add(lane, Payload::run, sizeof(Payload));

	if (payload == NULL)
	{
		do_it(lane, &what);
		return;
	}
	payload->do_it = do_it;
	memcpy((void *) &payload->what, (const void *) &what, sizeof(T));
}

/* ---- launches ---- */

/* The payload of a launch; the arguments follow. */
typedef struct RnLaunch
{
	const char *name;
	void	   *kernel;
	dim3		grid;
	dim3		block;
	size_t		shared;
} RnLaunch;

extern cudaStream_t rn_queue_stream(RnLane *lane);
extern void rn_queue_launched(RnLane *lane, const char *name);

/* Where an argument lies that follows what ends at at. */
template <class P> static inline size_t
rn_argument_place(size_t at)
{
	return (at + alignof(P) - 1) / alignof(P) * alignof(P);
}

/* Byte by byte, padding included: lists are compared so. */
template <class P, class A> static inline void
rn_argument_put(char *payload, size_t *at, const A &value)
{
	*at = rn_argument_place<P>(*at);
	if constexpr (std::is_same<P, A>::value)
		memcpy(payload + *at, (const void *) &value, sizeof(P));
	else
	{
		const P		converted = (P) value;

		memcpy(payload + *at, (const void *) &converted, sizeof(P));
	}
	*at += sizeof(P);
}

template <class P> static inline const P *
rn_argument_get(const char *payload, size_t *at)
{
	const size_t place = rn_argument_place<P>(*at);

	*at = place + sizeof(P);
	return (const P *) (payload + place);
}

template <class... P> static void
rn_launch_again(RnLane *lane, const char *payload)
{
	const RnLaunch *l = (const RnLaunch *) payload;
	size_t		at = sizeof(RnLaunch);
	const std::tuple<const P *...> arguments{rn_argument_get<P>(payload, &at)...};

	std::apply([&](const P *...argument) {
		RN_LAUNCH_NAMED(l->name, ((void (*) (P...)) l->kernel), l->grid, l->block, l->shared, rn_queue_stream(lane), *argument...);
	}, arguments);
	rn_queue_launched(lane, l->name);
}

template <class... P, class... A> static inline void
rn_launch(RnLane *lane, const char *name, void (*kernel) (P...), dim3 grid, dim3 block, size_t shared, const A &...arguments)
{
	size_t		at = sizeof(RnLaunch);
	RnLaunch   *l;

	(void) std::initializer_list<int>{(at = rn_argument_place<P>(at) + sizeof(P), 0)...};
	l = (RnLaunch *) rn_queue_add(lane, rn_launch_again<P...>, at);
	if (l == NULL)
	{
		RN_LAUNCH_NAMED(name, kernel, grid, block, shared, rn_queue_stream(lane), (P) arguments...);
		rn_queue_launched(lane, name);
		return;
	}
	l->name = name;
	l->kernel = (void *) kernel;
	l->grid = grid;
	l->block = block;
	l->shared = shared;
	at = sizeof(RnLaunch);
	(void) std::initializer_list<int>{(rn_argument_put<P>((char *) l, &at, arguments), 0)...};
}

/* A kernel's launch, now or with the list.  One with a comma in its name stands in parentheses. */
#define RN_QUEUE(lane, kernel, grid, block, shared, ...) \
	rn_launch(lane, #kernel, kernel, grid, block, shared, __VA_ARGS__)

#endif							/* RN_CUDA_QUEUE_H */
