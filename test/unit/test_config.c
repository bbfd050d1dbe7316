/*
 * test_config.c
 *		Options: what is refused and in which words, what is accepted and comes
 *		back.
 *
 * test/unit/test_config.c
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "model/config.h"
#include "model/scheme_list.h"

/* ---- refused by rn_config_set ---- */

typedef struct Refusal
{
	const char *key;
	const char *value;
	const char *message;
	const char *detail;			/* NULL: none expected */
	const char *hint;
} Refusal;

static const Refusal refusals[] = {
	/* keys */
	{"d_modle", "256", "unrecognized option \"d_modle\"", NULL, "Perhaps you meant \"d_model\"."},
	{"dropuot", "0", "unrecognized option \"dropuot\"", NULL, "Perhaps you meant \"dropout\"."},
	{"Heads", "4", "unrecognized option \"Heads\"", NULL, "Perhaps you meant \"heads\"."},
	{"epochs", "4", "unrecognized option \"epochs\"", NULL, "Perhaps you meant \"max_epochs\"."},
	{"dropout_rate", "0", "unrecognized option \"dropout_rate\"", NULL, "Perhaps you meant \"dropout\"."},
	{"zzzzzz", "4", "unrecognized option \"zzzzzz\"", NULL, NULL},
	{"", "4", "unrecognized option \"\"", NULL, NULL},

	/* whole numbers */
	{"heads", "", "invalid value for option \"heads\": \"\"", "Valid values are whole numbers from 1 to 256.", NULL},
	{"heads", "four", "invalid value for option \"heads\": \"four\"", "Valid values are whole numbers from 1 to 256.", NULL},
	{"heads", "4.5", "invalid value for option \"heads\": \"4.5\"", "Valid values are whole numbers from 1 to 256.", NULL},
	{"heads", "4 ", "invalid value for option \"heads\": \"4 \"", "Valid values are whole numbers from 1 to 256.", NULL},
	{"heads", " 4", "invalid value for option \"heads\": \" 4\"", "Valid values are whole numbers from 1 to 256.", NULL},
	{"heads", "0x4", "invalid value for option \"heads\": \"0x4\"", "Valid values are whole numbers from 1 to 256.", NULL},
	{"heads", "4-", "invalid value for option \"heads\": \"4-\"", "Valid values are whole numbers from 1 to 256.", NULL},
	{"heads", "0", "value 0 for option \"heads\" is out of range", "Valid values are from 1 to 256 heads.", NULL},
	{"heads", "-1", "value -1 for option \"heads\" is out of range", "Valid values are from 1 to 256 heads.", NULL},
	{"layers", "4294967297", "value 4294967297 for option \"layers\" is out of range", "Valid values are from 1 to 1000 layers.", NULL},
	{"vocab_size", "5", "value 5 for option \"vocab_size\" is out of range", "Valid values are from 16 to 1000000 pieces.", NULL},
	{"seed", "9223372036854775808", "value 9223372036854775808 for option \"seed\" is out of range",
	"Valid values are from 0 to 9223372036854775807.", NULL},
	{"seed", "-1", "value -1 for option \"seed\" is out of range", "Valid values are from 0 to 9223372036854775807.", NULL},

	/* numbers */
	{"dropout", "much", "invalid value for option \"dropout\": \"much\"", "Valid values are numbers from 0 to 0.9.", NULL},
	{"dropout", "nan", "invalid value for option \"dropout\": \"nan\"", "Valid values are numbers from 0 to 0.9.", NULL},
	{"dropout", "inf", "invalid value for option \"dropout\": \"inf\"", "Valid values are numbers from 0 to 0.9.", NULL},
	{"dropout", "0.1x", "invalid value for option \"dropout\": \"0.1x\"", "Valid values are numbers from 0 to 0.9.", NULL},
	{"dropout", "1e", "invalid value for option \"dropout\": \"1e\"", "Valid values are numbers from 0 to 0.9.", NULL},
	{"dropout", ".", "invalid value for option \"dropout\": \".\"", "Valid values are numbers from 0 to 0.9.", NULL},
	{"dropout", "1", "value 1 for option \"dropout\" is out of range", "Valid values are from 0 to 0.9.", NULL},
	{"dropout", "-0.1", "value -0.1 for option \"dropout\" is out of range", "Valid values are from 0 to 0.9.", NULL},
	{"learning_rate", "1e999", "value 1e999 for option \"learning_rate\" is out of range", "Valid values are from 0 to 10.", NULL},

	/* words */
	{"lowercase", "maybe", "invalid value for option \"lowercase\": \"maybe\"", "Valid values are true and false.", NULL},
	{"activation", "gleu", "invalid value for option \"activation\": \"gleu\"", "Valid values are \"relu\", \"gelu\".",
	"Perhaps you meant \"gelu\"."},
	{"schedule", "xyz", "invalid value for option \"schedule\": \"xyz\"",
	"Valid values are \"inverse_sqrt\", \"linear\", \"constant\", \"cosine\".", NULL},
	{"precision", "bf16", "invalid value for option \"precision\": \"bf16\"",
	"Valid values are \"float32\", \"tf32\", \"bfloat16\", \"float16\".", NULL},
	{"scheme", "resdual", "unrecognized residual scheme \"resdual\"", NULL, "Perhaps you meant \"residual\"."},
	{"decoder_scheme", "prenorm", "unrecognized residual scheme \"prenorm\"", NULL, "Perhaps you meant \"pre\"."},
	{"encoder_scheme", "", "unrecognized residual scheme \"\"", NULL, "The view residual_schemes lists what there is."}
};

static int
same(const char *got, const char *expected)
{
	return strcmp(got, expected == NULL ? "" : expected) == 0;
}

static void
test_refusals(void)
{
	char		long_text[400];
	RnConfig	config,
				before;
	RnContext	ctx;
	int			k;

	rn_config_defaults(&config);
	before = config;
	for (k = 0; k < (int) (sizeof(refusals) / sizeof(refusals[0])); k++)
	{
		const Refusal *refusal = &refusals[k];

		rn_context_reset(&ctx);
		rn_config_set(&ctx, &config, refusal->key, refusal->value);
		CHECK(ctx.status == RN_INVALID && same(ctx.message, refusal->message) && same(ctx.detail, refusal->detail) &&
			  same(ctx.hint, refusal->hint), "%s = \"%s\": %s | %s | %s", refusal->key, refusal->value, ctx.message,
			  ctx.detail, ctx.hint);
	}
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	rn_context_reset(&ctx);
	CHECK(rn_config_set(&ctx, &config, "validation", long_text) == RN_INVALID, "a text that is too long");
	rn_context_reset(&ctx);
	CHECK(rn_config_set(&ctx, &config, long_text, "1") == RN_INVALID && ctx.hint[0] == '\0', "a key that is too long");
	rn_context_reset(&ctx);
	CHECK(rn_config_set(&ctx, &config, "heads", long_text) == RN_INVALID, "a number that is too long");
	CHECK(memcmp(&config, &before, sizeof(config)) == 0, "what was refused changed nothing");
}

/* ---- refused by rn_config_check ---- */

/* Pairs of key and value, then what is wrong with them together. */
typedef struct Clash
{
	const char *set[8];
	RnStatus	status;
	const char *message;
	const char *hint;			/* NULL: any */
} Clash;

static const Clash clashes[] = {
	{{"heads", "3"}, RN_INVALID, "d_model 256 is not a multiple of heads 3", "Change one of the two options, for example d_model to 258."},
	{{"d_model", "15", "heads", "3"}, RN_INVALID, "d_model 15 is odd", NULL},
	{{"architecture", "decoder", "encoder_scheme", "fixed", "branch_scale", "0.3"}, RN_INVALID,
		"option \"branch_scale\" does not apply to residual scheme \"residual\"", NULL},
	{{"precision", "float16", "device", "cpu"}, RN_UNSUPPORTED, "precision \"float16\" is not supported by device \"cpu\"",
	"Set option \"precision\" to \"float32\" or \"bfloat16\", or train on a GPU."},
	{{"scheme", "post", "dual_scale", "0.5"}, RN_INVALID, "option \"dual_scale\" does not apply to residual scheme \"post\"", NULL},
	{{"scheme", "pre", "norm", "post"}, RN_INVALID, "option \"norm\" does not apply to residual scheme \"pre\"", NULL},
	{{"branch_scale", "0.2"}, RN_INVALID, "option \"branch_scale\" does not apply to residual scheme \"residual\"", NULL},
	{{"scale_init", "off"}, RN_INVALID, "option \"scale_init\" does not apply to residual scheme \"residual\"", NULL},
	{{"scheme", "b2t", "admin_omega", "log"}, RN_INVALID, "option \"admin_omega\" does not apply to residual scheme \"b2t\"", NULL},
	{{"scheme", "rezero", "norm", "pre"}, RN_INVALID, "residual scheme \"rezero\" has no variant with norm \"pre\"", NULL},
	{{"scheme", "dlcl", "norm", "none"}, RN_INVALID, "residual scheme \"dlcl\" has no variant with norm \"none\"", NULL},
	{{"learning_rate", "0"}, RN_INVALID, "option \"learning_rate\" must be greater than 0", NULL},
	{{"warmup_init", "0.1"}, RN_INVALID, "option \"warmup_init\" must not exceed learning_rate", NULL},
	{{"batch_tokens", "100"}, RN_INVALID, "batch_tokens 100 is less than max_length 256", NULL},
	{{"max_epochs", "0"}, RN_INVALID, "training has no end", "Set one of max_steps, max_epochs and max_minutes."},
	{{"schedule", "cosine"}, RN_INVALID, "schedules \"linear\" and \"cosine\" need max_steps", NULL},
	{{"validation", "0.6"}, RN_INVALID, "invalid value for option \"validation\": \"0.6\"", NULL},
	{{"validation", "-0.1"}, RN_INVALID, "invalid value for option \"validation\": \"-0.1\"", NULL},
	{{"validation", ""}, RN_INVALID, "invalid value for option \"validation\": \"\"", NULL},
	{{"validation", "0", "metric", "bleu"}, RN_INVALID, "metric \"bleu\" needs validation", NULL},
	{{"device", "gpu"}, RN_INVALID, "invalid value for option \"device\": \"gpu\"", NULL},
	{{"device", "cuda:"}, RN_INVALID, "invalid value for option \"device\": \"cuda:\"", NULL},
	{{"device", "cuda:0,"}, RN_INVALID, "invalid value for option \"device\": \"cuda:0,\"", NULL},
	{{"device", "cuda:0;1"}, RN_INVALID, "invalid value for option \"device\": \"cuda:0;1\"", NULL},
	{{"from", "best"}, RN_INVALID, "invalid value for option \"from\": \"best\"", NULL},
	{{"from", "0"}, RN_INVALID, "invalid value for option \"from\": \"0\"", NULL},

	/* and what is right */
	{{NULL}, RN_OK, "", NULL},
	{{"encoder_scheme", "post", "dual_scale", "0.5"}, RN_OK, "", NULL},
	{{"scheme", "fixed", "norm", "pre", "branch_scale", "0.5"}, RN_OK, "", NULL},
	{{"scheme", "rezero", "norm", "post"}, RN_OK, "", NULL},
	{{"scheme", "dlcl", "norm", "post"}, RN_OK, "", NULL},
	{{"schedule", "cosine", "max_steps", "100"}, RN_OK, "", NULL},
	{{"max_epochs", "0", "max_minutes", "0.5"}, RN_OK, "", NULL},
	{{"validation", "public.held_out"}, RN_OK, "", NULL},
	{{"validation", "0"}, RN_OK, "", NULL},
	{{"device", "cuda:0,1"}, RN_OK, "", NULL},
	{{"from", "active"}, RN_OK, "", NULL},
	{{"from", "12"}, RN_OK, "", NULL},
	{{"warmup_steps", "0", "stats_every", "0", "patience", "0"}, RN_OK, "", NULL}
};

static void
test_clashes(void)
{
	int			k,
				i;

	for (k = 0; k < (int) (sizeof(clashes) / sizeof(clashes[0])); k++)
	{
		const Clash *clash = &clashes[k];
		RnConfig	config;
		RnContext	ctx;

		rn_context_reset(&ctx);
		rn_config_defaults(&config);
		for (i = 0; i + 1 < 8 && clash->set[i] != NULL; i += 2)
			rn_config_set(&ctx, &config, clash->set[i], clash->set[i + 1]);
		if (!CHECK(ctx.status == RN_OK, "clash %d: options are set one by one %s", k, ctx.message))
			continue;
		rn_config_check(&ctx, &config);
		CHECK(ctx.status == clash->status && same(ctx.message, clash->message) &&
			  (clash->hint == NULL || same(ctx.hint, clash->hint)), "clash %d: %s | %s | %s", k, ctx.message, ctx.detail,
			  ctx.hint);
	}
}

/* ---- accepted ---- */

/* Another valid value than the default, as text. */
static void
other_value(const RnOption *option, char *buffer, size_t size)
{
	if (option->choices != NULL)
		snprintf(buffer, size, "%s", option->choices[strcmp(option->choices[0], option->default_text) == 0]);
	else if (option->type == RN_OPTION_BOOLEAN)
		snprintf(buffer, size, "%s", strcmp(option->default_text, "on") == 0 ? "off" : "on");
	else if (option->type == RN_OPTION_TEXT)
		snprintf(buffer, size, "%s", strstr(option->name, "scheme") != NULL ? "dlcl" : "some text");
	else
		snprintf(buffer, size, "%s", option->maximum);
}

/* Every option: its default is what the table says, another value is kept and comes back as it was. */
static void
test_options(void)
{
	const RnOption *options;
	int			n,
				k;

	options = rn_options(&n);
	for (k = 0; k < n; k++)
	{
		const RnOption *option = &options[k];
		char		text[256],
					other[256];
		RnConfig	config;
		RnContext	ctx;

		rn_context_reset(&ctx);
		rn_config_defaults(&config);
		rn_config_get(&config, option, text, sizeof(text));
		CHECK(same(text, option->default_text) && rn_config_is_default(&config, option) &&
			  rn_option_find(option->name) == option && strlen(option->meaning) > 10 &&
			  option->meaning[strlen(option->meaning) - 1] == '.', "%s is by default \"%s\"", option->name, text);
		other_value(option, other, sizeof(other));
		rn_config_set(&ctx, &config, option->name, other);
		rn_config_get(&config, option, text, sizeof(text));
		CHECK(ctx.status == RN_OK && same(text, other) && !rn_config_is_default(&config, option), "%s becomes \"%s\" %s",
			  option->name, text, ctx.message);
	}
}

static void
test_round_trip(void)
{
	const RnOption *options;
	RnConfig	config,
				copy;
	RnContext	ctx;
	char		text[256];
	int			n,
				k;

	rn_context_reset(&ctx);
	rn_config_defaults(&config);
	rn_config_set(&ctx, &config, "learning_rate", "0.30000000000000004");
	rn_config_set(&ctx, &config, "epsilon", "1.0000000000000002e-8");
	rn_config_set(&ctx, &config, "seed", "9223372036854775807");
	rn_config_set(&ctx, &config, "decoder_scheme", "pre");
	rn_config_set(&ctx, &config, "max_steps", "12345");
	rn_config_defaults(&copy);
	options = rn_options(&n);
	for (k = 0; k < n; k++)
	{
		if (options[k].offset_too != 0)
			continue;
		rn_config_get(&config, &options[k], text, sizeof(text));
		rn_config_set(&ctx, &copy, options[k].name, text);
	}
	copy.max_epochs_given = config.max_epochs_given;
	CHECK(ctx.status == RN_OK && memcmp(&config, &copy, sizeof(config)) == 0, "a configuration comes back bit by bit %s",
		  ctx.message);
}

static void
test_shorthands(void)
{
	RnConfig	config;
	RnContext	ctx;
	char		text[256];

	rn_context_reset(&ctx);
	rn_config_defaults(&config);
	rn_config_set(&ctx, &config, "scheme", "pre");
	rn_config_set(&ctx, &config, "layers", "12");
	CHECK(same(config.encoder_scheme, "pre") && same(config.decoder_scheme, "pre"), "scheme sets both stacks");
	CHECK(config.encoder_layers == 12 && config.decoder_layers == 12, "layers sets both stacks");
	rn_config_set(&ctx, &config, "decoder_layers", "3");
	rn_config_get(&config, rn_option_find("layers"), text, sizeof(text));
	CHECK(ctx.status == RN_OK && text[0] == '\0', "a shorthand has no value when the stacks differ");
}

static void
test_vocabulary(void)
{
	RnConfig	config;
	RnContext	ctx;
	char		text[256];

	rn_context_reset(&ctx);
	rn_config_defaults(&config);
	CHECK(config.vocab_size == RN_VOCAB_SIZE_DEFAULT && !config.vocab_size_given, "the default vocabulary may shrink");
	rn_config_set(&ctx, &config, "vocab_size", "8000");
	CHECK(config.vocab_size == 8000 && config.vocab_size_given, "an explicit one may not");
	rn_config_set(&ctx, &config, "vocab_size", "0");
	CHECK(config.vocab_size == RN_VOCAB_SIZE_DEFAULT && !config.vocab_size_given, "0 is the default again");
	config.vocab_size = 321;	/* as the tokenizer found it */
	rn_config_get(&config, rn_option_find("vocab_size"), text, sizeof(text));
	CHECK(same(text, "321") && ctx.status == RN_OK, "what it shrank to is what is stored");
}

static void
test_length(void)
{
	RnConfig	config;
	RnContext	ctx;

	rn_context_reset(&ctx);
	rn_config_defaults(&config);
	CHECK(config.max_epochs == 30, "training ends by itself");
	rn_config_set(&ctx, &config, "max_minutes", "10");
	CHECK(config.max_epochs == 0, "a bound in minutes is the only one");
	rn_config_set(&ctx, &config, "max_minutes", "0");
	CHECK(config.max_epochs == 30, "without it the default is back");
	rn_config_set(&ctx, &config, "max_epochs", "2.5");
	rn_config_set(&ctx, &config, "max_steps", "100");
	CHECK(config.max_epochs == 2.5 && config.max_steps == 100 && ctx.status == RN_OK, "two explicit bounds both hold");
}

/* ---- schemes ---- */

static void
test_schemes(void)
{
	const RnSchemeInfo *infos;
	int			n,
				k;

	infos = rn_scheme_infos(&n);
	CHECK(n == 13, "%d schemes", n);
	for (k = 0; k < n; k++)
	{
		char		wrong[RN_NAME_LENGTH];
		RnConfig	config;
		RnContext	ctx;

		rn_context_reset(&ctx);
		rn_config_defaults(&config);
		rn_config_set(&ctx, &config, "scheme", infos[k].name);
		rn_config_check(&ctx, &config);
		snprintf(wrong, sizeof(wrong), "%sx", infos[k].name);
		CHECK(ctx.status == RN_OK && rn_scheme_info(infos[k].name) == &infos[k] && rn_scheme_info(wrong) == NULL &&
			  rn_scheme_nearest(wrong) != NULL && same(rn_scheme_nearest(wrong), infos[k].name),
			  "scheme %s can be chosen %s", infos[k].name, ctx.message);
	}
	CHECK(rn_scheme_nearest("zzzzzz") == NULL, "what is like no scheme has no nearest");
}

int
main(void)
{
	test_refusals();
	test_clashes();
	test_options();
	test_round_trip();
	test_shorthands();
	test_vocabulary();
	test_length();
	test_schemes();
	return check_done();
}
