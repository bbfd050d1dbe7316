# Makefile: residual.so by PGXS, residual_engine and its tests by rules of our own.
#
#   make            build the extension and the engine
#   make install    put them where PostgreSQL looks; make installcheck runs the regression tests there
#   make check      everything that is tested, in a private cluster; nothing need be installed
#   make demo       train and translate real text in a private cluster (DEMO_MINUTES=, CORPUS=grammar)
#   make unit       the engine's tests, without a server
#   make golden     compare with reference values: GOLDEN=folder, REAL=float|double
#   make layers     who may include whom
#   make clean

EXTENSION = residual
DATA = residual--1.0.sql
MODULE_big = residual

# residual.so: what knows PostgreSQL, and the little that both programs share
OBJS = \
	src/pg/residual.o \
	src/pg/settings.o \
	src/pg/catalog.o \
	src/pg/report.o \
	src/pg/options.o \
	src/pg/sql_train.o \
	src/pg/sql_job.o \
	src/pg/job.o \
	src/pg/launcher.o \
	src/pg/train_worker.o \
	src/pg/corpus.o \
	src/pg/engine_process.o \
	src/pg/model_catalog.o \
	src/pg/weights.o \
	src/pg/sql_model.o \
	src/pg/serve_worker.o \
	src/pg/engine_client.o \
	src/pg/sql_translate.o \
	src/pg/sql_evaluate.o \
	src/pg/sql_score.o \
	src/pg/sql_inspect.o \
	src/wire/message.o \
	src/score/bleu.o \
	src/score/chrf.o \
	src/score/ngram.o \
	src/score/tokenize_13a.o \
	src/translate/search_options.o \
	src/model/option_list.o \
	src/model/config.o \
	src/model/config_check.o \
	src/model/scheme_list.o \
	src/base/utf8.o \
	src/base/context.o

REGRESS = install settings score train_errors train job resume tokenize translate models privileges inspect evaluate damaged drop
REGRESS_OPTS = --inputdir=$(srcdir) --outputdir=build/regress

PG_CPPFLAGS = -I$(srcdir)/src -I$(srcdir)/src/pg -I$(srcdir)
PG_CFLAGS = $(WERROR)
EXTRA_CLEAN = build

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
srcdir ?= .

# ---- residual_engine: plain C, SentencePiece behind one C++ file, OpenBLAS behind kernels/cpu ----

WARNINGS = -Wall -Wextra $(WERROR)
ENGINE_OPT = -O2 -g
ENGINE_CPPFLAGS = -I$(srcdir)/src -I$(srcdir) -D_GNU_SOURCE -MMD -MP
ENGINE_CFLAGS = -std=gnu99 $(ENGINE_OPT) $(WARNINGS) -pthread -fno-math-errno
ENGINE_CXXFLAGS = -std=c++17 $(ENGINE_OPT) $(WARNINGS) -pthread
ENGINE_LIBS = -lsentencepiece -lsentencepiece_train -lopenblas -lm -lstdc++ -pthread

# the journeys of a job and of a request, from top to bottom
ENGINE_PROGRAM = \
	src/engine/main.o \
	src/engine/train_job.o \
	src/engine/server.o

ENGINE_PARTS = \
	src/engine/peer.o \
	src/train/corpus.o \
	src/train/batch.o \
	src/train/trainer.o \
	src/train/schedule.o \
	src/train/optimizer.o \
	src/train/statistics.o \
	src/train/checkpoint.o \
	src/translate/translator.o \
	src/translate/beam.o \
	src/translate/search_options.o \
	src/text/tokenizer.o \
	src/score/bleu.o \
	src/score/chrf.o \
	src/score/ngram.o \
	src/score/tokenize_13a.o \
	src/model/option_list.o \
	src/model/config.o \
	src/model/config_check.o \
	src/model/scheme_list.o \
	src/model/transformer.o \
	src/graph/param.o \
	src/graph/graph.o \
	src/graph/plan.o \
	src/wire/message.o \
	src/base/context.o \
	src/base/arena.o \
	src/base/random.o \
	src/base/threads.o \
	src/base/utf8.o \
	kernels/device.o \
	kernels/cpu/cpu.o \
	kernels/cpu/memory.o
