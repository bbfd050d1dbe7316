/*
 * reserve.c
 *		What training takes in memory, known and taken before the first step.
 *
 * The tape is asked what a pass takes by noting one, over pairs that stand for
 * the largest part of a batch (RnRoom); nothing is computed for it.  A batch
 * of which a part is larger is cut into more parts (step.c).
 *
 * src/train/reserve.c
 */
#include "train/trainer.h"

#include <stdlib.h>
#include <string.h>

#include "train/trainer_state.h"

/* ---- how large a pass is ---- */

static int64_t
divide_up(int64_t n, int64_t by)
{
	return (n + by - 1) / by;
}

int
rn_trainer_shards(const RnTrainer *trainer, int ranks, int64_t source_rows, int64_t target_rows)
{
	int64_t		larger = source_rows > target_rows ? source_rows : target_rows;
	int64_t		a_turn = (int64_t) trainer->options.kernels->pass_rows * trainer->n_workers * ranks;

	return (int) divide_up(larger, a_turn) * trainer->n_workers;
}

static RnRoom
room_of_passes(const RnTrainer *trainer, int ranks, const RnCorpus *corpus, int batch_tokens)
{
	const RnLengths *lengths = rn_corpus_lengths(corpus);
	const RnExtent *sum = &lengths->sum;
	int64_t		rows = batch_tokens > lengths->longest_target ? batch_tokens : lengths->longest_target;
	int			shards;

	if (rows > sum->target_rows)
		rows = sum->target_rows;
	shards = ranks * rn_trainer_shards(trainer, ranks, (int64_t) ((double) sum->source_rows /
																  (double) (sum->target_rows + 1) * (double) rows), rows);
	/* a batch keeps to its bound, its parts are as equal as they can be */
	return rn_room_of(lengths, shards > 1 ? 5 * rows / (4 * shards) + lengths->longest_target : rows);
}

/* ---- what it takes ---- */

/* Pairs of equal lengths, as a model reads them. */
typedef struct Material
{
	int32_t    *integers;		/* what the batch points into */
	RnModelBatch batch;
} Material;

static RnPacked
pack(int pairs, int length, int32_t *offsets, int32_t *positions, uint32_t *row_ids)
{
	RnPacked	packed = {pairs, pairs * length, offsets, positions, row_ids};
	int			i;

	for (i = 0; i <= pairs; i++)
		offsets[i] = i * length;
	for (i = 0; i < packed.rows; i++)
	{
		positions[i] = i % length;
		row_ids[i] = (uint32_t) i;
	}
	return packed;
}

static RnStatus
make_material(RnContext *ctx, const RnRoom *room, int32_t id, Material *material)
{
	const size_t pairs = (size_t) room->pairs;
	const size_t source = (size_t) room->extent.source_rows;
	const size_t target = (size_t) room->extent.target_rows;
	const size_t most = source > target ? source : target;
	const size_t n = 2 * (pairs + 1) + 2 * source + 2 * target + most;
	int32_t    *at = malloc(n * sizeof(int32_t));
	int32_t    *ids = at;
	size_t		i;

	material->integers = at;
	if (at == NULL)
		return rn_out_of_memory(ctx, n * sizeof(int32_t));
	for (i = 0; i < most; i++)
		ids[i] = id;
	at += most;
	material->batch.source = pack(room->pairs, room->source, at, at + pairs + 1, (uint32_t *) at + pairs + 1 + source);
	at += pairs + 1 + 2 * source;
	material->batch.target = pack(room->pairs, room->target, at, at + pairs + 1, (uint32_t *) at + pairs + 1 + target);
	material->batch.source_ids = material->batch.target_in = material->batch.target_out = ids;
	return RN_OK;
}

/* Rows that are added come to a sixteenth, scores and what is rounded up to a fifth. */
static size_t
with_padding(const RnTrainer *trainer, size_t n)
{
	return rn_trainer_row_unit(trainer) > 1 ? n + n / 4 : n;
}

static RnStatus
measure_pass(RnContext *ctx, const RnTrainer *trainer, const RnRoom *room, int backward, size_t *bytes)
{
	const RnModel *model = trainer->options.model;
	RnGraph    *graph = trainer->workers[0].graph;
	Material	material;
	RnPass		pass;
	RnLoss		loss;

	*bytes = 0;
	if (room->pairs == 0)
		return RN_OK;
	RN_TRY(make_material(ctx, room, rn_model_special(model)->end, &material));
	memset(&pass, 0, sizeof(pass));
	pass.params = trainer->params;
	pass.values = trainer->values;
	pass.rounded = trainer->rounded;
	pass.gradients = backward ? trainer->workers[0].gradients : NULL;
	pass.training = backward;
	pass.measuring = 1;
	rn_graph_begin(graph, &pass);
	rn_model_loss(model, graph, &material.batch, 1.0, NULL, &loss, NULL);
	rn_graph_measure(ctx, graph, bytes);
	*bytes = with_padding(trainer, *bytes);
	free(material.integers);
	return ctx->status;
}

static int64_t
largest(int64_t a, int64_t b, int64_t c)
{
	int64_t		larger = a > b ? a : b;

	return larger > c ? larger : c;
}

/* Let work be enough for a room, too. */
static void
add_work(const RnTrainer *trainer, const RnRoom *room, RnWork *work)
{
	const RnConfig *config = trainer->options.config;
	const RnExtent *extent = &room->extent;
	const int	joined = !rn_model_is_encoder_decoder(trainer->options.model);
	const int64_t scores = joined ? extent->joined_scores :
		largest(extent->source_scores, extent->target_scores, extent->cross_scores);

	work->rows = (int) largest(work->rows, (int64_t) with_padding(trainer, (size_t) (extent->source_rows + extent->target_rows)), 0);
	work->longest = (int) largest(work->longest, joined ? room->source + room->target : 0, largest(room->source, room->target, 0));
	work->width = config->d_model;
	work->widest = (int) largest(3 * config->d_model, config->d_ffn, 0);
	work->scores = (size_t) largest((int64_t) work->scores, (int64_t) with_padding(trainer, (size_t) (scores * config->heads)), 0);
}

/* ---- may it be taken? ---- */

/* What each part takes, in bytes. */
typedef struct Need
{
	size_t		fixed;			/* whatever the batch */
	size_t		pass;			/* of each thread: the tape's memory, */
	size_t		constants;
	size_t		lane;			/* and what its lane keeps */
	size_t		statistics;
	size_t		beside;			/* others' */
} Need;

static size_t
whole(size_t bytes)
{
	return (bytes + 255) / 256 * 256;
}

static size_t
need_of_thread(const Need *need)
{
	return whole(need->pass) + whole(need->constants) + need->lane;
}

/* Which options help depends on which part is the large one, and on whether a batch is cut anyway. */
static const char *
what_helps(const RnTrainer *trainer, const Need *need, int n_shards)
{
	if (need->beside > need_of_thread(need) * (size_t) trainer->n_workers)
		return "Allow more memory, or lower validation_beam, max_length, d_model or decoder_layers.";
	if (n_shards <= trainer->n_workers)
		return trainer->n_workers > 1 ?
			"Allow more memory, or lower batch_tokens, threads, max_length, d_model, d_ffn, encoder_layers or decoder_layers." :
			"Allow more memory, or lower batch_tokens, max_length, d_model, d_ffn, encoder_layers or decoder_layers.";
	return "Allow more memory, or lower threads, d_model, d_ffn, encoder_layers, decoder_layers or max_length.";
}

static RnStatus
check_need(RnContext *ctx, const RnTrainer *trainer, const Need *need, int batch_tokens)
{
	const size_t most = trainer->options.memory_limit;
	const size_t passes = need_of_thread(need) * (size_t) trainer->n_workers + need->statistics;
	const size_t all = need->fixed + passes + need->beside;

	if (most == 0 || all <= most)
		return RN_OK;
	rn_fail(ctx, RN_LIMIT, "training this model needs more memory than is allowed");
	rn_detail(ctx, "It needs %zu kB: %zu for weights, moments and gradients, %zu for %d passes at once, "
			  "%zu for the translations of a validation; %zu kB are allowed.",
			  (all + 1023) >> 10, need->fixed >> 10, passes >> 10, trainer->n_workers, need->beside >> 10, most >> 10);
	rn_hint(ctx, "%s", what_helps(trainer, need, rn_trainer_shards(trainer, 1, 0, batch_tokens)));
	return ctx->status;
}

RnStatus
rn_trainer_reserve(RnContext *ctx, RnTrainer *trainer, const RnTrainerLoad *load)
{
	const RnKernels *kernels = trainer->options.kernels;
	const int	ranks = trainer->options.ranks != NULL ? trainer->options.ranks->n : 1;
	Need		need = {rn_trainer_fixed_memory(trainer->params, kernels, trainer->n_workers), 0, 0, 0, 0, load->beside};
	size_t		evaluation = 0;
	RnWork		work = {0, 0, 0, 0, 0};
	int			i;

	trainer->rooms[1] = room_of_passes(trainer, ranks, load->training, load->batch_tokens);
	RN_TRY(measure_pass(ctx, trainer, &trainer->rooms[1], 1, &need.pass));
	add_work(trainer, &trainer->rooms[1], &work);
	if (load->held_out != NULL)
	{
		trainer->rooms[0] = room_of_passes(trainer, 1, load->held_out, load->held_out_tokens);
		RN_TRY(measure_pass(ctx, trainer, &trainer->rooms[0], 0, &evaluation));
		add_work(trainer, &trainer->rooms[0], &work);
	}
	if (evaluation > need.pass)
		need.pass = evaluation;
	/* the plan of a smaller pass may, by the way things fall, be a little larger */
	need.pass += need.pass / 32;
	need.constants = rn_graph_constants(trainer->workers[0].graph);
	need.lane = kernels->lane_bytes(&work);
	if (trainer->options.config->stats_every > 0)
		need.statistics = (size_t) trainer->n_workers * whole(trainer->optimizer.piece_most * sizeof(rn_real));
	RN_TRY(check_need(ctx, trainer, &need, load->batch_tokens));
	RN_TRY(kernels->reserve(ctx, need_of_thread(&need) * (size_t) trainer->n_workers + need.statistics + whole(need.beside)));
	for (i = 0; i < trainer->n_workers; i++)
	{
		RN_TRY(kernels->lane_reserve(ctx, trainer->workers[i].lane, &work));
		RN_TRY(rn_graph_reserve(ctx, trainer->workers[i].graph, need.pass));
	}
	return RN_OK;
}
