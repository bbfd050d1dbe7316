/*
 * test_queue.c
 *		Whose texts come into which batch: clients take turns, a client's own
 *		requests are worked on in its order.
 *
 * test/unit/test_queue.c
 */
#include "check.h"
#include "engine/queue.h"

#include <stdlib.h>
#include <string.h>

static RnServedModel model;
static int	order[1000];
static RnText texts[1000];

/* Of n short texts from a client; clients are told apart by address alone. */
static void
make_request(RnRequest *request, char *client, int n, int beam)
{
	memset(request, 0, sizeof(*request));
	request->connection = (struct RnConnection *) client;
	request->model = &model;
	request->task = RN_TASK_TRANSLATE;
	rn_search_defaults(&request->options);
	request->options.beam = beam;
	request->n = request->n_items = request->n_unfinished = n;
	request->texts = texts;
	request->order = order;
	rn_writer_init(&request->answer);
}

static int
count_of(const RnBatch *batch, const RnRequest *request)
{
	int			n = 0;
	int			i;

	for (i = 0; i < batch->n; i++)
		n += batch->requests[i] == request;
	return n;
}

/* The next batch, and how many texts of each of three requests are in it. */
static int
takes(RnQueue *queue, RnBatch *batch, RnRequest *requests, int first, int second, int third)
{
	if (!rn_queue_take(queue, 0, batch))
		return 0;
	queue->running[0] = NULL;
	if (count_of(batch, &requests[0]) == first && count_of(batch, &requests[1]) == second &&
		count_of(batch, &requests[2]) == third)
		return 1;
	printf("# a batch of %d: %d %d %d\n", batch->n, count_of(batch, &requests[0]), count_of(batch, &requests[1]),
		   count_of(batch, &requests[2]));
	return 0;
}

static void
test_one_client(RnQueue *queue, RnBatch *batch)
{
	RnRequest	requests[3];
	char		client;

	make_request(&requests[0], &client, 200, 1);
	make_request(&requests[1], &client, 100, 1);
	make_request(&requests[2], &client, 40, 2);
	rn_queue_add(queue, &requests[0]);
	rn_queue_add(queue, &requests[1]);
	rn_queue_add(queue, &requests[2]);
	CHECK(takes(queue, batch, requests, 128, 0, 0), "the first of a client's requests is first");
	CHECK(takes(queue, batch, requests, 72, 56, 0), "its end and what comes next make one batch");
	CHECK(takes(queue, batch, requests, 0, 44, 0), "with other options they are another");
	CHECK(takes(queue, batch, requests, 0, 0, 40), "which comes last");
	CHECK(queue->first == NULL && queue->n_waiting == 0, "then nothing is left");
}

static void
test_two_clients(RnQueue *queue, RnBatch *batch)
{
	RnRequest	requests[3];
	char		clients[2];

	make_request(&requests[0], &clients[0], 200, 1);
	make_request(&requests[1], &clients[0], 100, 1);
	make_request(&requests[2], &clients[1], 70, 1);
	rn_queue_add(queue, &requests[0]);
	rn_queue_add(queue, &requests[1]);
	rn_queue_add(queue, &requests[2]);
	CHECK(takes(queue, batch, requests, 64, 0, 64), "two clients share a batch, however many requests they have");
	CHECK(takes(queue, batch, requests, 122, 0, 6), "what one leaves the other takes");
	CHECK(takes(queue, batch, requests, 14, 100, 0), "and all of it when it is alone");
	CHECK(queue->first == NULL && queue->n_waiting == 0, "then nothing is left");
}

static void
test_abandon(RnQueue *queue, RnBatch *batch)
{
	RnRequest	requests[3];
	char		client;
	int			i;

	for (i = 0; i < 3; i++)
	{
		int			k;

		for (k = 0; k < 3; k++)
		{
			make_request(&requests[k], &client, 10 * (k + 1), 1);
			rn_queue_add(queue, &requests[k]);
		}
		CHECK(rn_queue_abandon(queue, &requests[i]), "request %d of three is given up", i + 1);
		CHECK(takes(queue, batch, requests, i == 0 ? 0 : 10, i == 1 ? 0 : 20, i == 2 ? 0 : 30), "the others stay");
		CHECK(queue->first == NULL && queue->last == NULL && queue->n_waiting == 0, "and are all");
	}
}

static void
test_rate(RnQueue *queue)
{
	double		now = rn_now();

	CHECK(rn_queue_rate(queue, now + 1000) == 0, "what is long ago does not count");
}

int
main(void)
{
	RnContext	ctx;
	RnQueue		queue;
	RnBatch		batch;
	int			i;

	for (i = 0; i < 1000; i++)
	{
		order[i] = i;
		texts[i].bytes = "text";
		texts[i].size = 4;
	}
	model.config.max_length = 100;
	memset(&batch, 0, sizeof(batch));
	batch.capacity = RN_BATCH_ROWS;
	batch.requests = malloc(RN_BATCH_ROWS * sizeof(RnRequest *));
	batch.items = malloc(RN_BATCH_ROWS * sizeof(int));
	rn_context_reset(&ctx);
	if (CHECK(batch.requests != NULL && batch.items != NULL && rn_queue_init(&ctx, &queue, 1) == RN_OK, "a queue"))
	{
		test_one_client(&queue, &batch);
		test_two_clients(&queue, &batch);
		test_abandon(&queue, &batch);
		test_rate(&queue);
		rn_queue_free(&queue);
	}
	free(batch.requests);
	free(batch.items);
	return check_done();
}
