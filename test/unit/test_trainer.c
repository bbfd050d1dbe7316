/*
 * test_trainer.c
 *		A step is what it says: gradients of shards are those of the whole
 *		batch, threads and accumulation change nothing, what is kept comes
 *		back.
 *
 * The judge is one pass of the tape over a whole batch, and Adam written out.
 *
 * test/unit/test_trainer.c
 */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/device.h"
#include "train/schedule.h"
#include "trainer_bench.h"

#define TOLERANCE	(sizeof(rn_real) == 8 ? 1e-10 : 2e-4)

static double
difference(const rn_real *a, const rn_real *b, size_t n)
{
	double		most = 0;

	while (n-- > 0)
		most = fmax(most, fabs((double) a[n] - (double) b[n]));
	return most;
}

/* ---- one pass over the whole batch ---- */

/* Adds the gradient of sum loss / scale to gradients; the sum of losses. */
static double
whole_pass(Bench *bench, const RnBatch *batch, const rn_real *values, rn_real *gradients, uint32_t step)
{
	const RnKernels *kernels = rn_cpu_kernels();
	RnLane	   *lane = NULL;
	RnGraph    *graph = NULL;
	RnPacker   *packer = NULL;
	RnModelBatch packed;
	RnPass		pass;
	RnLoss		loss;

	memset(&pass, 0, sizeof(pass));
	memset(&loss, 0, sizeof(loss));
	kernels->lane_create(&bench->ctx, &lane);
	rn_graph_create(&bench->ctx, kernels, lane, &graph);
	rn_packer_create(&bench->ctx, &packer);
	rn_packer_pack(&bench->ctx, packer, batch, &bench_special, 0, 1, &packed);
	pass.params = rn_model_params(bench->model);
	pass.values = values;
	pass.gradients = gradients;
	pass.training = 1;
	pass.seed = (uint64_t) bench->config.seed;
	pass.step = step;
	rn_graph_begin(graph, &pass);
	rn_model_loss(bench->model, graph, &packed, 1.0, NULL, &loss, NULL);
	rn_graph_forward(&bench->ctx, graph);
	rn_graph_backward(&bench->ctx, graph);
	rn_packer_free(packer);
	rn_graph_free(graph);
	kernels->lane_free(lane);
	return loss.loss_sum;
}

/*
 * Steps of the trainer against passes over whole batches and Adam in double
 * (Kingma & Ba 2015, with decoupled decay and clipping).
 */
static void
check_steps(const char *what, int threads, int accumulate, const char *const *options)
{
	Bench		bench;
	const RnParams *params;
	rn_real    *values,
			   *gradients;
	double	   *first,
			   *second;
	double		worst = 0;
	double		worst_loss = 0;
	double		worst_norm = 0;
	int			clipped = 0;
	int			step;
	int			p;

	if (!CHECK(open_bench(&bench, rn_cpu_kernels(), threads, options), "set up a trainer: %s", bench.ctx.message))
		return;
	params = rn_model_params(bench.model);
	values = malloc(params->size * sizeof(rn_real));
	gradients = malloc(params->size * sizeof(rn_real));
	first = calloc(params->size, sizeof(double));
	second = calloc(params->size, sizeof(double));
	memcpy(values, rn_trainer_weights(bench.trainer), params->size * sizeof(rn_real));
	for (step = 1; step <= 4; step++)
	{
		RnDataPosition position;
		RnStepResult result;
		RnBatch		batch;
		double		loss = 0;
		double		norm = 0;
		double		scale;
		double		rate = rn_learning_rate(&bench.config, step, 100);
		uint32_t	source_row = 0,
					target_row = 0;
		int			epoch_end;
		int			i;

		rn_batch_reader_position(bench.reader, &position);
		memset(gradients, 0, params->size * sizeof(rn_real));
		for (i = 0; i < accumulate; i++)
		{
			rn_batch_read(&bench.ctx, bench.reader, &batch, &epoch_end);
			batch.first_source_row = source_row;
			batch.first_target_row = target_row;
			source_row += (uint32_t) batch.source_tokens;
			target_row += (uint32_t) batch.target_tokens;
			loss += whole_pass(&bench, &batch, values, gradients, (uint32_t) step - 1);
		}
		rn_batch_reader_seek(bench.reader, &position);
		if (!CHECK(rn_trainer_step(&bench.ctx, bench.trainer, bench.reader, &result, NULL) == RN_OK, "step %d: %s", step,
				   bench.ctx.message))
			break;
		worst_loss = fmax(worst_loss, fabs(result.loss - loss / target_row));
		for (p = 0; p < params->count; p++)
			for (size_t k = 0; k < rn_param_size(&params->items[p]); k++)
				norm += pow((double) gradients[params->items[p].offset + k] / target_row, 2);
		norm = sqrt(norm);
		worst_norm = fmax(worst_norm, fabs(result.gradient_norm / norm - 1));
		scale = 1.0 / target_row;
		if (bench.config.clip_norm > 0 && norm > bench.config.clip_norm)
		{
			scale *= bench.config.clip_norm / (norm + 1e-6);
			clipped++;
		}
		for (p = 0; p < params->count; p++)
		{
			const RnParam *param = &params->items[p];
			double		decay = param->flags & RN_PARAM_NO_DECAY ? 0 : bench.config.weight_decay;

			for (size_t k = param->offset; k < param->offset + rn_param_size(param); k++)
			{
				double		g = scale * (double) gradients[k];

				first[k] = bench.config.beta1 * first[k] + (1 - bench.config.beta1) * g;
				second[k] = bench.config.beta2 * second[k] + (1 - bench.config.beta2) * g * g;
				values[k] = (rn_real) ((double) values[k] * (1 - rate * decay) -
									   rate * first[k] / (1 - pow(bench.config.beta1, step)) /
									   (sqrt(second[k] / (1 - pow(bench.config.beta2, step))) + bench.config.epsilon));
			}
			/* a key's bias has no gradient but rounding, which Adam makes large */
			if (strstr(param->name, ".k.b") == NULL)
				worst = fmax(worst, difference(values + param->offset, rn_trainer_weights(bench.trainer) + param->offset,
											   rn_param_size(param)));
		}
		/* go on from the same point, so that differences do not grow */
		memcpy(values, rn_trainer_weights(bench.trainer), params->size * sizeof(rn_real));
	}
	CHECK(worst_loss < TOLERANCE && worst_norm < TOLERANCE, "%s: losses differ by %.1e, norms by %.1e", what, worst_loss,
		  worst_norm);
	CHECK(worst < TOLERANCE && (clipped == 4) == (bench.config.clip_norm > 0 && bench.config.clip_norm < 0.1),
		  "%s: weights after steps differ by %.1e", what, worst);
	free(values);
	free(gradients);
	free(first);
	free(second);
	close_bench(&bench);
}

static void
test_steps(void)
{
	static const char *const plain[] = {"clip_norm", "0", NULL};
	static const char *const clipping[] = {"clip_norm", "0.05", "weight_decay", "0.1", "warmup_steps", "0",
	"learning_rate", "0.01", NULL};
	static const char *const accumulating[] = {"accumulate", "3", "batch_tokens", "700", "clip_norm", "0", NULL};

	check_steps("one thread", 1, 1, plain);
	check_steps("three threads", 3, 1, plain);
	check_steps("clipping and decay", 2, 1, clipping);
	check_steps("three batches a step", 2, 3, accumulating);
}

/* ---- statistics, cancelling, divergence ---- */

static void
test_probe(void)
{
	static const char *const options[] = {"clip_norm", "0", NULL};
	Bench		bench;
	const RnParams *params;
	RnTensorStatistics *probed,
			   *stepped;
	RnStepResult probe,
				result;
	RnDataPosition before,
				after;
	rn_real    *values;
	double		sum = 0;
	double		worst = 0;
	double		update = 0;
	int			p;

	if (!CHECK(open_bench(&bench, rn_cpu_kernels(), 2, options), "set up a trainer: %s", bench.ctx.message))
		return;
	params = rn_model_params(bench.model);
	probed = calloc((size_t) params->count, sizeof(*probed));
	stepped = calloc((size_t) params->count, sizeof(*stepped));
	values = malloc(params->size * sizeof(rn_real));
	memcpy(values, rn_trainer_weights(bench.trainer), params->size * sizeof(rn_real));
	rn_batch_reader_position(bench.reader, &before);
	rn_trainer_probe(&bench.ctx, bench.trainer, bench.reader, &probe, probed);
	rn_batch_reader_position(bench.reader, &after);
	CHECK(bench.ctx.status == RN_OK && probe.step == 0 && rn_trainer_steps(bench.trainer) == 0 &&
		  memcmp(&before, &after, sizeof(before)) == 0 &&
		  difference(values, rn_trainer_weights(bench.trainer), params->size) == 0, "a probe changes nothing");
	rn_trainer_step(&bench.ctx, bench.trainer, bench.reader, &result, stepped);
	for (p = 0; p < params->count; p++)
	{
		const RnParam *param = &params->items[p];
		double		change = 0;
		double		norm = 0;

		for (size_t k = param->offset; k < param->offset + rn_param_size(param); k++)
		{
			change += pow((double) rn_trainer_weights(bench.trainer)[k] - (double) values[k], 2);
			norm += (double) values[k] * (double) values[k];
		}
		sum += stepped[p].gradient_norm * stepped[p].gradient_norm;
		worst = fmax(worst, fabs(probed[p].gradient_norm - stepped[p].gradient_norm));
		worst = fmax(worst, fabs(probed[p].parameter_norm - sqrt(norm)));
		worst = fmax(worst, probed[p].update_norm);
		update = fmax(update, fabs(sqrt(change) / (stepped[p].update_norm + 1e-30) - 1));
	}
	CHECK(worst < TOLERANCE, "it tells what the step then meets (%.1e)", worst);
	CHECK(fabs(sqrt(sum) / result.gradient_norm - 1) < TOLERANCE && fabs(probe.loss - result.loss) < TOLERANCE,
		  "the norms of all tensors make that of the gradient: %g", result.gradient_norm);
	CHECK(update < (sizeof(rn_real) == 8 ? 1e-6 : 0.2), "norms of updates are those of the change (%.1e)", update);
	free(probed);
	free(stepped);
	free(values);
	close_bench(&bench);
}

static void
test_failures(void)
{
	static const char *const none[] = {NULL};
	Bench		bench,
				whole;
	RnStepResult result;
	RnDataPosition position;
	rn_real    *values;
	size_t		bytes;

	if (!CHECK(open_bench(&bench, rn_cpu_kernels(), 2, none) && open_bench(&whole, rn_cpu_kernels(), 2, none),
			   "set up two trainers: %s%s", bench.ctx.message, whole.ctx.message))
		return;
	bytes = rn_model_params(bench.model)->size * sizeof(rn_real);
	values = malloc(bytes);
	rn_trainer_step(&whole.ctx, whole.trainer, whole.reader, &result, NULL);
	rn_trainer_step(&whole.ctx, whole.trainer, whole.reader, &result, NULL);

	rn_trainer_step(&bench.ctx, bench.trainer, bench.reader, &result, NULL);
	memcpy(values, rn_trainer_weights(bench.trainer), bytes);
	bench.stop = 1;
	CHECK(rn_trainer_step(&bench.ctx, bench.trainer, bench.reader, &result, NULL) == RN_CANCELLED, "a step is stopped");
	CHECK(memcmp(values, rn_trainer_weights(bench.trainer), bytes) == 0 && rn_trainer_steps(bench.trainer) == 1,
		  "and leaves the weights");
	bench.stop = 0;
	rn_context_reset(&bench.ctx);
	rn_trainer_position(bench.trainer, &position);
	rn_batch_reader_seek(bench.reader, &position);
	rn_trainer_step(&bench.ctx, bench.trainer, bench.reader, &result, NULL);
	CHECK(memcmp(rn_trainer_weights(whole.trainer), rn_trainer_weights(bench.trainer), bytes) == 0,
		  "the same step made again is as if nothing had been");

	/* an infinite weight: the next loss is not a number */
	((rn_real *) rn_trainer_weights(bench.trainer))[rn_params_find(rn_model_params(bench.model), "dec.0.ff.1.w")->offset] =
		(rn_real) INFINITY;
	memcpy(values, rn_trainer_weights(bench.trainer), bytes);
	CHECK(rn_trainer_step(&bench.ctx, bench.trainer, bench.reader, &result, NULL) == RN_DIVERGED, "divergence is seen: %s",
		  bench.ctx.message);
	CHECK(memcmp(values, rn_trainer_weights(bench.trainer), bytes) == 0 && rn_trainer_steps(bench.trainer) == 2,
		  "before it spoils the other weights");
	free(values);
	close_bench(&bench);
	close_bench(&whole);
}

/* ---- weights that are kept ---- */

static void
test_kept(void)
{
	static const char *const options[] = {"average_checkpoints", "3", NULL};
	Bench		bench;
	RnStepResult result;
	const RnParams *params;
	rn_real    *snapshots[5];
	double		loss,
				nll,
				present;
	double		worst = 0;
	size_t		k;
	int			i;

	if (!CHECK(open_bench(&bench, rn_cpu_kernels(), 2, options), "set up a trainer: %s", bench.ctx.message))
		return;
	params = rn_model_params(bench.model);
	CHECK(rn_trainer_show(&bench.ctx, bench.trainer, RN_SHOW_BEST) == RN_INTERNAL, "no best weights yet");
	rn_context_reset(&bench.ctx);
	for (i = 0; i < 5; i++)
	{
		rn_trainer_step(&bench.ctx, bench.trainer, bench.reader, &result, NULL);
		snapshots[i] = malloc(params->size * sizeof(rn_real));
		memcpy(snapshots[i], rn_trainer_weights(bench.trainer), params->size * sizeof(rn_real));
		rn_trainer_remember_for_average(&bench.ctx, bench.trainer);
		if (i == 1)
			rn_trainer_remember_best(&bench.ctx, bench.trainer);
	}
	rn_trainer_evaluate(&bench.ctx, bench.trainer, bench.reader, &present, &nll);
	CHECK(rn_trainer_averaged(bench.trainer) == 3, "three are kept for the average");
	rn_trainer_show(&bench.ctx, bench.trainer, RN_SHOW_AVERAGE);
	for (k = 0; k < params->size; k++)
		worst = fmax(worst, fabs((double) rn_trainer_weights(bench.trainer)[k] -
								 ((double) snapshots[2][k] + (double) snapshots[3][k] + (double) snapshots[4][k]) / 3));
	CHECK(bench.ctx.status == RN_OK && worst < 1e-7, "their mean is shown (%.1e)", worst);
	rn_trainer_show(&bench.ctx, bench.trainer, RN_SHOW_BEST);
	CHECK(difference(rn_trainer_weights(bench.trainer), snapshots[1], params->size) == 0, "and the best");
	rn_trainer_evaluate(&bench.ctx, bench.trainer, bench.reader, &loss, &nll);
	CHECK(loss > present, "which an evaluation then means: loss %.4f, now %.4f", loss, present);
	rn_trainer_step(&bench.ctx, bench.trainer, bench.reader, &result, NULL);
	CHECK(bench.ctx.status == RN_OK && difference(rn_trainer_weights(bench.trainer), snapshots[4], params->size) < 0.1 &&
		  difference(rn_trainer_weights(bench.trainer), snapshots[4], params->size) > 0,
		  "a step goes on from the present weights");
	for (i = 0; i < 5; i++)
		free(snapshots[i]);
	close_bench(&bench);
}

/* Loss without dropout does not depend on how it is computed. */
static void
test_evaluate(void)
{
	static const char *const none[] = {NULL};
	double		losses[2],
				nll[2];
	int			i;

	for (i = 0; i < 2; i++)
	{
		RnBatchOptions batches = {i == 0 ? 100000 : 150, 0, 0};
		RnBatchReader *reader = NULL;
		Bench		bench;

		if (!CHECK(open_bench(&bench, rn_cpu_kernels(), 1 + 2 * i, none), "set up a trainer: %s", bench.ctx.message))
			return;
		rn_batch_reader_create(&bench.ctx, bench.corpus, &batches, &reader);
		rn_trainer_evaluate(&bench.ctx, bench.trainer, reader, &losses[i], &nll[i]);
		rn_batch_reader_free(reader);
		close_bench(&bench);
	}
	CHECK(fabs(losses[0] - losses[1]) < TOLERANCE && fabs(nll[0] - nll[1]) < TOLERANCE && nll[0] < losses[0] + 1,
		  "one large batch or many small ones: %.6f, %.6f", losses[0], losses[1]);
}

int
main(void)
{
	test_steps();
	test_probe();
	test_failures();
	test_kept();
	test_evaluate();
	return check_done();
}
