/*
 * settings.c
 *		Every residual.* setting.
 *
 * What names a program or bounds the whole cluster comes from the
 * configuration files alone; what a session may choose for its own work it may
 * set.
 *
 * src/pg/settings.c
 */
#include "residual.h"

#include <limits.h>
#include <sched.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "model/config.h"
#include "translate/search_options.h"

#define MAX_THREADS		1024
#define MAX_BATCH_ROWS	65536

char	   *res_engine_path;
char	   *res_default_model;
char	   *res_device;
int			res_precision;
char	   *res_cuda_library;
char	   *res_nccl_library;
char	   *res_cuda_visible_devices;
int			res_gpu_memory_limit;
int			res_max_gpu_jobs;
int			res_threads;
int			res_max_jobs;
int			res_training_memory;
int			res_training_nice;
int			res_stop_grace;
int			res_serve_memory;
int			res_serve_threads;
int			res_serve_idle;
bool		res_enable_batching;
int			res_batch_rows;

/* A device that the option would refuse is refused here, with the option's own words. */
static bool
check_device(char **value, void **extra, GucSource source)
{
	RnConfig	config;
	RnContext	ctx;

	rn_context_reset(&ctx);
	rn_config_defaults(&config);
	if (rn_config_set(&ctx, &config, "device", *value) == RN_OK &&
		rn_config_check(&ctx, &config) == RN_OK)
		return true;
	GUC_check_errdetail("%s", ctx.detail[0] != '\0' ? ctx.detail : ctx.message);
	return false;
}

/* Processors that this process may run on. */
static int
processors(void)
{
	cpu_set_t	set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;
	return Min(CPU_COUNT(&set), MAX_THREADS);
}

int
res_default_threads(void)
{
	return res_threads > 0 ? res_threads : processors();
}

int
res_serving_threads(void)
{
	return res_serve_threads > 0 ? res_serve_threads : processors();
}

/* The names that the option has. */
static const struct config_enum_entry precisions[] = {
	{"float32", RN_FLOAT32, false},
	{"int8", RN_INT8, false},
	{NULL, 0, false}
};

static void
define_for_sessions(void)
{
	DefineCustomStringVariable("residual.default_model",
							   "Model with which residual_translate(text) translates.",
							   NULL, &res_default_model, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("residual.device",
							   "Device on which training runs unless its options say otherwise.",
							   "\"auto\", \"cpu\", \"cuda\", or \"cuda:\" with numbers of devices: on several of them a job computes at once.",
							   &res_device, "auto", PGC_USERSET, 0, check_device, NULL, NULL);
	DefineCustomEnumVariable("residual.precision",
							 "Number format of products while translating, unless a call's options say otherwise.",
							 "int8 is faster and loses a little quality.",
							 &res_precision, RN_FLOAT32, precisions, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("residual.threads",
							"Threads of a training job unless its options say otherwise.",
							"0 takes as many as there are processors.",
							&res_threads, 0, 0, MAX_THREADS, PGC_USERSET, 0, NULL, NULL, NULL);
}

static void
define_for_batching(void)
{
	DefineCustomBoolVariable("residual.enable_batching",
							 "Translates the rows of a query in batches.",
							 "EXPLAIN shows where.",
							 &res_enable_batching, true, PGC_USERSET, GUC_EXPLAIN, NULL, NULL, NULL);
	DefineCustomIntVariable("residual.batch_rows",
							"Rows that a query reads at most for a batch of translations.",
							"Three batches are under way at a time; work_mem bounds them as well.",
							&res_batch_rows, 1024, 1, MAX_BATCH_ROWS, PGC_USERSET, GUC_EXPLAIN, NULL, NULL, NULL);
}

static void
define_for_training(void)
{
	DefineCustomIntVariable("residual.max_jobs",
							"Training jobs that run at once in the whole cluster.",
							"Further jobs stay queued.",
							&res_max_jobs, 2, 0, 64, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("residual.training_memory",
							"Memory that the engine of a training job may take.",
							"0 sets no limit.",
							&res_training_memory, 0, 0, MAX_KILOBYTES, PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("residual.training_nice",
							"How far a training engine steps back behind the server's own processes.",
							NULL, &res_training_nice, 5, 0, 19, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("residual.stop_grace",
							"How long a training engine that is told to stop may be silent before it is killed.",
							"It writes a last checkpoint in that time.",
							&res_stop_grace, 1000, 0, 600000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

static void
define_for_serving(void)
{
	DefineCustomIntVariable("residual.serve_memory",
							"Memory for the models that the serving engine keeps.",
							"The model used least recently goes first; 0 sets no limit.",
							&res_serve_memory, 1024, 0, MAX_KILOBYTES, PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("residual.serve_threads",
							"Threads of the serving engine.",
							"0 takes as many as there are processors.",
							&res_serve_threads, 0, 0, MAX_THREADS, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("residual.serve_idle",
							"How long a serving engine without requests stays.",
							"0 keeps it for ever.",
							&res_serve_idle, 0, 0, 86400, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

static void
define_for_gpus(void)
{
	DefineCustomStringVariable("residual.cuda_library",
							   "Library with the CUDA device.",
							   "Empty: residual_cuda.so beside the engine.",
							   &res_cuda_library, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("residual.nccl_library",
							   "NVIDIA's NCCL, which a job on several GPUs needs.",
							   "Empty: libnccl.so.2 where the system looks for libraries.",
							   &res_nccl_library, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("residual.cuda_visible_devices",
							   "GPUs that engines may see, as CUDA_VISIBLE_DEVICES names them.",
							   "Empty: as the server's environment says. They are numbered anew from 0.",
							   &res_cuda_visible_devices, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("residual.gpu_memory_limit",
							"Memory of a GPU that one engine may take.",
							"0: four fifths of what is free when it starts.",
							&res_gpu_memory_limit, 0, 0, MAX_KILOBYTES, PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("residual.max_gpu_jobs",
							"Training jobs that use GPUs at once in the whole cluster, each on one or several.",
							"Further jobs for device \"cuda\" wait; those for \"auto\" take the CPU.",
							&res_max_gpu_jobs, 1, 0, 64, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

void
res_settings_define(void)
{
	static char engine[MAXPGPATH];	/* the default stays where it is: the server looks at it again */

	/* an installation's own: $libdir of the running server */
	snprintf(engine, sizeof(engine), "%s/residual_engine", pkglib_path);
	DefineCustomStringVariable("residual.engine",
							   "Program that trains and translates.",
							   NULL, &res_engine_path, engine, PGC_SIGHUP, 0, NULL, NULL, NULL);
	define_for_sessions();
	define_for_batching();
	define_for_training();
	define_for_serving();
	define_for_gpus();
	MarkGUCPrefixReserved("residual");
}
