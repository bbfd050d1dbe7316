/*
 * option_list.c
 *		The options, as data.
 *
 * Defaults aim at small and medium corpora (ten thousand to a million pairs)
 * on a CPU: a model of about nine million weights whose step is short enough
 * that a corpus of 30,000 pairs gets through thirty epochs within hours, with
 * the regularisation that corpora of that size need.
 *
 * src/model/option_list.c
 */
#include "model/config.h"

#include <string.h>

#include "base/nearest.h"

#define FIELD(field)	offsetof(RnConfig, field), sizeof(((RnConfig *) 0)->field), 0
#define FIELDS(field, other) \
	offsetof(RnConfig, field), sizeof(((RnConfig *) 0)->field), offsetof(RnConfig, other)

/* Choices are in the order of the numbers that stand for them in RnConfig. */
static const char *const architectures[] = {"encoder_decoder", "decoder", NULL};
static const char *const activations[] = {"relu", "gelu", NULL};
static const char *const embedding_shares[] = {"none", "decoder", "all", NULL};
static const char *const score_residuals[] = {"none", "sum", "mean", NULL};
static const char *const ffn_inits[] = {"xavier", "fan_in", NULL};
static const char *const position_tables[] = {"t2t", "fairseq", "vaswani", NULL};
static const char *const norm_places[] = {"auto", "post", "pre", "none", NULL};
static const char *const omegas[] = {"profile", "log", "sqrt", "one", "profile_ones", NULL};
static const char *const tokenizers[] = {"unigram", "bpe", NULL};
static const char *const schedules[] = {"inverse_sqrt", "linear", "constant", "cosine", NULL};
static const char *const adam_variants[] = {"kingma", "fairseq", NULL};
static const char *const smoothing_variants[] = {"fairseq", "uniform", NULL};
static const char *const precisions[] = {"float32", "tf32", "bfloat16", "float16", NULL};
static const char *const metrics[] = {"loss", "bleu", NULL};

static const RnOption options[] = {
	{"scheme", RN_GROUP_MODEL, RN_OPTION_TEXT, "residual", NULL, NULL, NULL, "",
		"Residual scheme of both stacks: sets encoder_scheme and decoder_scheme.", FIELDS(encoder_scheme, decoder_scheme)},
	{"encoder_scheme", RN_GROUP_MODEL, RN_OPTION_TEXT, "residual", NULL, NULL, NULL, "",
		"Residual scheme of the encoder.", FIELD(encoder_scheme)},
	{"decoder_scheme", RN_GROUP_MODEL, RN_OPTION_TEXT, "residual", NULL, NULL, NULL, "",
		"Residual scheme of the decoder.", FIELD(decoder_scheme)},
	{"layers", RN_GROUP_MODEL, RN_OPTION_INTEGER, "4", "1", "1000", NULL, "layers",
		"Depth of both stacks: sets encoder_layers and decoder_layers.", FIELDS(encoder_layers, decoder_layers)},
	{"encoder_layers", RN_GROUP_MODEL, RN_OPTION_INTEGER, "4", "1", "1000", NULL, "layers",
		"Depth of the encoder.", FIELD(encoder_layers)},
	{"decoder_layers", RN_GROUP_MODEL, RN_OPTION_INTEGER, "4", "1", "1000", NULL, "layers",
		"Depth of the decoder.", FIELD(decoder_layers)},
	{"d_model", RN_GROUP_MODEL, RN_OPTION_INTEGER, "256", "4", "8192", NULL, "features",
		"Width of the stream; even, and a multiple of heads.", FIELD(d_model)},
	{"d_ffn", RN_GROUP_MODEL, RN_OPTION_INTEGER, "1024", "1", "65536", NULL, "features",
		"Inner width of the feed-forward sublayers.", FIELD(d_ffn)},
	{"heads", RN_GROUP_MODEL, RN_OPTION_INTEGER, "4", "1", "256", NULL, "heads",
		"Attention heads of every attention sublayer.", FIELD(heads)},
	{"activation", RN_GROUP_MODEL, RN_OPTION_CHOICE, "relu", NULL, NULL, activations, "",
		"Activation inside the feed-forward sublayers.", FIELD(activation)},
	{"share_embeddings", RN_GROUP_MODEL, RN_OPTION_CHOICE, "all", NULL, NULL, embedding_shares, "",
		"Which of source embedding, target embedding and output projection are one matrix: "
		"decoder shares the last two, all shares the three.", FIELD(share_embeddings)},
	{"architecture", RN_GROUP_MODEL, RN_OPTION_TEXT, "encoder_decoder", NULL, NULL, architectures, "",
		"Encoder and decoder, or a decoder alone.", FIELD(architecture)},
	{"score_residual", RN_GROUP_MODEL, RN_OPTION_CHOICE, "none", NULL, NULL, score_residuals, "",
		"RealFormer: attention scores add up over the layers, as a sum or a running mean; goes with every scheme.",
		FIELD(score_residual)},
	{"ffn_init", RN_GROUP_MODEL, RN_OPTION_CHOICE, "xavier", NULL, NULL, ffn_inits, "",
		"Initial feed-forward weights: Xavier uniform with zero biases, or uniform by fan-in with biases as well.",
		FIELD(ffn_init)},
	{"positions", RN_GROUP_MODEL, RN_OPTION_CHOICE, "t2t", NULL, NULL, position_tables, "",
		"Sinusoidal position table: t2t (halves, from 0), fairseq (halves, after the padding id), "
		"vaswani (interleaved).", FIELD(positions)},
	{"layer_norm_epsilon", RN_GROUP_MODEL, RN_OPTION_NUMBER, "1e-05", "1e-12", "0.1", NULL, "",
		"Added to the variance in layer norms.", FIELD(layer_norm_epsilon)},
	{"norm", RN_GROUP_MODEL, RN_OPTION_CHOICE, "auto", NULL, NULL, norm_places, "",
		"Norm of schemes that leave a choice: fixed (none; post, pre), rezero (none; post), dlcl (pre; post).",
		FIELD(norm)},
	{"dual_scale", RN_GROUP_MODEL, RN_OPTION_NUMBER, "1", "1e-06", "1000", NULL, "",
		"ResiDual: factor s of the dual stream.", FIELD(dual_scale)},
	{"dual_epsilon", RN_GROUP_MODEL, RN_OPTION_NUMBER, "1e-07", "1e-12", "0.1", NULL, "",
		"ResiDual: added to the variance in the dual stream's norm.", FIELD(dual_epsilon)},
	{"encoder_alpha", RN_GROUP_MODEL, RN_OPTION_NUMBER, "1", "0", "1000", NULL, "",
		"ResiDual: factor of the Post-LN stream in the encoder's output.", FIELD(encoder_alpha)},
	{"decoder_alpha", RN_GROUP_MODEL, RN_OPTION_NUMBER, "1", "0", "1000", NULL, "",
		"ResiDual: factor of the Post-LN stream in the decoder's output.", FIELD(decoder_alpha)},
	{"branch_scale", RN_GROUP_MODEL, RN_OPTION_NUMBER, "0.1", "1e-06", "1000", NULL, "",
		"Fixed scale: factor c of every sublayer.", FIELD(branch_scale)},
	{"admin_omega", RN_GROUP_MODEL, RN_OPTION_CHOICE, "profile", NULL, NULL, omegas, "",
		"Admin: how w begins: measured before training, by depth for a logarithmic output change, "
		"by depth for a constant one, one, or measured with w = 1 in all sublayers.", FIELD(admin_omega)},
	{"fold_omega", RN_GROUP_MODEL, RN_OPTION_BOOLEAN, "off", NULL, NULL, NULL, "",
		"Admin: the first w of a stack stays 1, and when training ends w is folded into a plain Post-LN model that computes "
		"the same.", FIELD(fold_omega)},
	{"scale_init", RN_GROUP_MODEL, RN_OPTION_BOOLEAN, "on", NULL, NULL, NULL, "",
		"B2T: multiply a stack's initial weight matrices by one over the root of its depth.", FIELD(scale_init)},

	{"vocab_size", RN_GROUP_TEXT, RN_OPTION_INTEGER, "0", "16", "1000000", NULL, "pieces",
		"Size of the shared vocabulary; more than the text allows is an error; 0 takes 8000, or fewer where the text is short.",
		FIELD(vocab_size)},
	{"tokenizer", RN_GROUP_TEXT, RN_OPTION_CHOICE, "unigram", NULL, NULL, tokenizers, "",
		"How subword pieces are learned.", FIELD(tokenizer)},
	{"max_length", RN_GROUP_TEXT, RN_OPTION_INTEGER, "256", "4", "4096", NULL, "pieces",
		"Longest side of a pair, end included: longer pairs are not trained on, longer texts are cut.", FIELD(max_length)},
	{"lowercase", RN_GROUP_TEXT, RN_OPTION_BOOLEAN, "off", NULL, NULL, NULL, "",
		"Fold text to lower case.", FIELD(lowercase)},
	{"length_factor", RN_GROUP_TEXT, RN_OPTION_NUMBER, "0", "0", "1000", NULL, "",
		"Where a translation sets no length, an answer may have this many times the pieces of its source and 10 more; "
		"0: what 999 of 1000 pairs of the corpus keep to, and at least 2.", FIELD(length_factor)},

	{"learning_rate", RN_GROUP_OPTIMISATION, RN_OPTION_NUMBER, "0.001", "0", "10", NULL, "",
		"Peak learning rate.", FIELD(learning_rate)},
	{"schedule", RN_GROUP_OPTIMISATION, RN_OPTION_CHOICE, "inverse_sqrt", NULL, NULL, schedules, "",
		"Learning rate after the warm-up: linear and cosine reach 0 at max_steps.", FIELD(schedule)},
	{"warmup_steps", RN_GROUP_OPTIMISATION, RN_OPTION_INTEGER, "1000", "0", "10000000", NULL, "steps",
		"Steps over which the learning rate rises to its peak; 0: none.", FIELD(warmup_steps)},
	{"warmup_init", RN_GROUP_OPTIMISATION, RN_OPTION_NUMBER, "1e-07", "0", "10", NULL, "",
		"Learning rate from which the warm-up rises; with the peak itself there is no rise.", FIELD(warmup_init)},
	{"beta1", RN_GROUP_OPTIMISATION, RN_OPTION_NUMBER, "0.9", "0", "0.9999", NULL, "",
		"Adam: decay of the first moment.", FIELD(beta1)},
	{"beta2", RN_GROUP_OPTIMISATION, RN_OPTION_NUMBER, "0.98", "0", "0.999999", NULL, "",
		"Adam: decay of the second moment.", FIELD(beta2)},
	{"epsilon", RN_GROUP_OPTIMISATION, RN_OPTION_NUMBER, "1e-08", "1e-16", "0.1", NULL, "",
		"Adam: added to the root of the second moment.", FIELD(epsilon)},
	{"adam_variant", RN_GROUP_OPTIMISATION, RN_OPTION_CHOICE, "kingma", NULL, NULL, adam_variants, "",
		"Adam: epsilon added after the bias correction (kingma) or before it (fairseq).", FIELD(adam_variant)},
	{"weight_decay", RN_GROUP_OPTIMISATION, RN_OPTION_NUMBER, "0.0001", "0", "10", NULL, "",
		"Decoupled weight decay, times the learning rate.", FIELD(weight_decay)},
	{"clip_norm", RN_GROUP_OPTIMISATION, RN_OPTION_NUMBER, "1", "0", "1000000", NULL, "",
		"Gradients with a larger norm are scaled down to it; 0: never.", FIELD(clip_norm)},
	{"label_smoothing", RN_GROUP_OPTIMISATION, RN_OPTION_NUMBER, "0.1", "0", "0.9", NULL, "",
		"Probability taken from the target and spread over the vocabulary.", FIELD(label_smoothing)},
	{"label_smoothing_variant", RN_GROUP_OPTIMISATION, RN_OPTION_CHOICE, "fairseq", NULL, NULL, smoothing_variants, "",
		"Spread over the other pieces (fairseq) or over all (uniform).", FIELD(label_smoothing_variant)},
	{"dropout", RN_GROUP_OPTIMISATION, RN_OPTION_NUMBER, "0.2", "0", "0.9", NULL, "",
		"Dropout of embeddings and of every sublayer's result.", FIELD(dropout)},
	{"attention_dropout", RN_GROUP_OPTIMISATION, RN_OPTION_NUMBER, "0", "0", "0.9", NULL, "",
		"Dropout of attention probabilities.", FIELD(attention_dropout)},
	{"activation_dropout", RN_GROUP_OPTIMISATION, RN_OPTION_NUMBER, "0", "0", "0.9", NULL, "",
		"Dropout inside the feed-forward sublayers.", FIELD(activation_dropout)},
	{"batch_tokens", RN_GROUP_OPTIMISATION, RN_OPTION_INTEGER, "2048", "1", "10000000", NULL, "tokens",
		"Target tokens of a batch, at most; at least max_length.", FIELD(batch_tokens)},
	{"accumulate", RN_GROUP_OPTIMISATION, RN_OPTION_INTEGER, "1", "1", "100000", NULL, "batches",
		"Batches of one step.", FIELD(accumulate)},
	{"seed", RN_GROUP_OPTIMISATION, RN_OPTION_INTEGER, "1", "0", "9223372036854775807", NULL, "",
		"Names the random numbers: initial weights, order, dropout.", FIELD(seed)},
	{"precision", RN_GROUP_OPTIMISATION, RN_OPTION_TEXT, "float32", NULL, NULL, precisions, "",
		"Number format of the products.", FIELD(precision)},

	{"max_steps", RN_GROUP_LENGTH, RN_OPTION_INTEGER, "0", "0", "1000000000000", NULL, "steps",
		"Training ends after this many steps; 0: no such bound.", FIELD(max_steps)},
	{"max_epochs", RN_GROUP_LENGTH, RN_OPTION_NUMBER, "30", "0", "1000000", NULL, "epochs",
		"Training ends after this many passes over the corpus; 0: no such bound, as when only max_steps or max_minutes is set.",
		FIELD(max_epochs)},
	{"max_minutes", RN_GROUP_LENGTH, RN_OPTION_NUMBER, "0", "0", "10000000", NULL, "minutes",
		"Training ends after this time; 0: no such bound.", FIELD(max_minutes)},
	{"patience", RN_GROUP_LENGTH, RN_OPTION_INTEGER, "5", "0", "1000000", NULL, "validations",
		"Training ends after this many validations without a better one, those during the warm-up not counted; 0: never.", FIELD(patience)},

	{"validation", RN_GROUP_VALIDATION, RN_OPTION_TEXT, "0.02", NULL, NULL, NULL, "",
		"Fraction of the corpus held out for validation, or the name of a table; 0: none.", FIELD(validation)},
	{"validate_every", RN_GROUP_VALIDATION, RN_OPTION_INTEGER, "0", "0", "1000000000", NULL, "steps",
		"Steps between validations; 0: after every epoch.", FIELD(validate_every)},
	{"metric", RN_GROUP_VALIDATION, RN_OPTION_CHOICE, "loss", NULL, NULL, metrics, "",
		"By what the best checkpoint is chosen.", FIELD(metric)},
	{"validation_beam", RN_GROUP_VALIDATION, RN_OPTION_INTEGER, "1", "1", "64", NULL, "hypotheses",
		"Beam with which validation translates.", FIELD(validation_beam)},

	{"device", RN_GROUP_RUNNING, RN_OPTION_TEXT, "auto", NULL, NULL, NULL, "",
		"Where training runs: auto, cpu, cuda, or devices by number: cuda:1, or cuda:0,1 on two at once.", FIELD(device)},
	{"threads", RN_GROUP_RUNNING, RN_OPTION_INTEGER, "0", "0", "1024", NULL, "threads",
		"Threads that share a batch; 0: as the server's settings say.", FIELD(threads)},
	{"checkpoint_every", RN_GROUP_RUNNING, RN_OPTION_INTEGER, "500", "0", "1000000000", NULL, "steps",
		"Steps between checkpoints; 0: only at the end.", FIELD(checkpoint_every)},
	{"keep_checkpoints", RN_GROUP_RUNNING, RN_OPTION_INTEGER, "1", "1", "100", NULL, "checkpoints",
		"The last ones stay until the job is done: residual_resume(job, step) goes on from any of them.", FIELD(keep_checkpoints)},
	{"average_checkpoints", RN_GROUP_RUNNING, RN_OPTION_INTEGER, "0", "0", "100", NULL, "checkpoints",
		"The model is the mean of the weights at this many last validations, if that validates better; 0 or 1: the best.",
		FIELD(average_checkpoints)},
	{"stats_every", RN_GROUP_RUNNING, RN_OPTION_INTEGER, "500", "0", "1000000000", NULL, "steps",
		"Steps between rows of gradient statistics; 0: only before the first step.", FIELD(stats_every)},
	{"from", RN_GROUP_RUNNING, RN_OPTION_TEXT, "", NULL, NULL, NULL, "",
		"Version of the model whose weights training goes on from: a number, or active; empty: fresh weights.", FIELD(from)},
	{"activate", RN_GROUP_RUNNING, RN_OPTION_BOOLEAN, "on", NULL, NULL, NULL, "",
		"Put the new version in service when training is done.", FIELD(activate)},
	{"shortlist", RN_GROUP_RUNNING, RN_OPTION_BOOLEAN, "off", NULL, NULL, NULL, "",
		"Find out, when training ends, which pieces are likely in translations of which, so that translating is faster.",
		FIELD(shortlist)},
	{"shortlist_frequent", RN_GROUP_RUNNING, RN_OPTION_INTEGER, "100", "1", "100000", NULL, "pieces",
		"Shortlist: the most frequent pieces, which may be in any translation.", FIELD(shortlist_frequent)},
	{"shortlist_best", RN_GROUP_RUNNING, RN_OPTION_INTEGER, "100", "1", "10000", NULL, "pieces",
		"Shortlist: the likeliest translations of each piece of a text.", FIELD(shortlist_best)}
};

#define N_OPTIONS	((int) (sizeof(options) / sizeof(options[0])))

const RnOption *
rn_options(int *n)
{
	*n = N_OPTIONS;
	return options;
}

const char *
rn_option_group_name(RnOptionGroup group)
{
	static const char *const names[] = {"model", "text", "optimisation", "length", "validation", "running",
	"translation"};

	return names[group];
}

const char *
rn_option_type_name(RnOptionType type)
{
	static const char *const names[] = {"boolean", "integer", "number", "choice", "text", "pairs"};

	return names[type];
}

const RnOption *
rn_option_find(const char *name)
{
	int			i;

	for (i = 0; i < N_OPTIONS; i++)
	{
		if (strcmp(options[i].name, name) == 0)
			return &options[i];
	}
	return NULL;
}

const char *
rn_option_nearest(const char *name)
{
	RnNearest	nearest;
	int			i;

	rn_nearest_begin(&nearest, name);
	for (i = 0; i < N_OPTIONS; i++)
		rn_nearest_try(&nearest, options[i].name);
	return nearest.best;
}
