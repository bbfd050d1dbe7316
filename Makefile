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

# These two set up a bare machine themselves, so they must not need pg_config to be there
# (and PGXS has a check of its own, which only says that it has none).
ifneq ($(filter check demo,$(MAKECMDGOALS)),)

check:
	test/check.sh

demo:
	test/demo/demo.sh

.PHONY: check demo

else

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

# in reading order: the program, then what it is made of
ENGINE_OBJS = \
	src/engine/train_job.o \
	src/engine/server.o \
	src/engine/peer.o \
	src/train/trainer.o \
	src/train/corpus.o \
	src/train/batch.o \
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
	src/graph/graph.o \
	src/graph/plan.o \
	src/graph/param.o \
	src/wire/message.o \
	src/base/context.o \
	src/base/arena.o \
	src/base/random.o \
	src/base/threads.o \
	src/base/utf8.o \
	kernels/device.o \
	kernels/cpu/cpu.o \
	kernels/cpu/memory.o

# compiled once for each vector unit, chosen at run time
KERNEL_OBJS = \
	kernels/cpu/level.o

ifeq ($(shell uname -m),x86_64)
KERNEL_LEVELS = v2 v3 v4
else
KERNEL_LEVELS = generic
endif
MARCH_v2 = -march=x86-64-v2
MARCH_v3 = -march=x86-64-v3
MARCH_v4 = -march=x86-64-v4
MARCH_generic =
OPTFLAGS = -O3

# float is the product; double and the checked builds are for tests
REAL = float
DEFINES_float =
DEFINES_double = -DRN_DOUBLE
DEFINES_checked = -DRN_DOUBLE -fsanitize=address,undefined -fno-sanitize-recover=undefined
DEFINES_checkedfloat = -fsanitize=address,undefined -fno-sanitize-recover=undefined

# engine_rules(real): build/<real>/libengine.a and build/<real>/residual_engine
define engine_rules
build/$(1)/%.o: %.c
	@mkdir -p $$(@D)
	$$(CC) $$(ENGINE_CPPFLAGS) $$(DEFINES_$(1)) $$(ENGINE_CFLAGS) -c $$< -o $$@

build/$(1)/%.o: %.cc
	@mkdir -p $$(@D)
	$$(CXX) $$(ENGINE_CPPFLAGS) $$(DEFINES_$(1)) $$(ENGINE_CXXFLAGS) -c $$< -o $$@

$(foreach level,$(KERNEL_LEVELS),
build/$(1)/%.$(level).o: %.c
	@mkdir -p $$(@D)
	$$(CC) $$(ENGINE_CPPFLAGS) $$(DEFINES_$(1)) $$(ENGINE_CFLAGS) $$(OPTFLAGS) $$(MARCH_$(level)) -DRN_LEVEL=$(level) -c $$< -o $$@
)

build/$(1)/libengine.a: $$(addprefix build/$(1)/,$$(ENGINE_OBJS) $$(foreach level,$$(KERNEL_LEVELS),$$(KERNEL_OBJS:.o=.$$(level).o)))
	@rm -f $$@
	$$(AR) rcs $$@ $$^

build/$(1)/residual_engine: build/$(1)/src/engine/main.o build/$(1)/libengine.a
	$$(CC) $$(DEFINES_$(1)) $$(ENGINE_LDFLAGS) $$^ $$(ENGINE_LIBS) -o $$@

build/$(1)/test/%: build/$(1)/test/unit/%.o build/$(1)/libengine.a
	@mkdir -p $$(@D)
	$$(CC) $$(DEFINES_$(1)) $$(ENGINE_LDFLAGS) $$^ $$(ENGINE_LIBS) -o $$@
endef

$(foreach real,float double checked checkedfloat,$(eval $(call engine_rules,$(real))))
.SECONDARY:

-include $(shell find build -name '*.d' 2>/dev/null)

all: residual_engine cuda

residual_engine: build/float/residual_engine
	cp $< $@

# the CUDA device is a library of its own, opened on demand
NVCC ?= $(firstword $(shell command -v nvcc 2>/dev/null) $(wildcard /usr/local/cuda/bin/nvcc))
cuda:
ifeq ($(wildcard kernels/cuda/*.cu),)
	@echo "residual: no CUDA device in this version: built for the CPU"
else ifeq ($(NVCC),)
	@echo "residual: nvcc not found: built without the CUDA device"
endif

install: install-engine
install-engine: residual_engine installdirs
	$(INSTALL_PROGRAM) residual_engine '$(DESTDIR)$(pkglibdir)/residual_engine'

uninstall: uninstall-engine
uninstall-engine:
	rm -f '$(DESTDIR)$(pkglibdir)/residual_engine'

clean: clean-engine
clean-engine:
	rm -rf residual_engine build

# ---- tests ----

# without a server; each prints TAP.  Where listed: the builds it runs in
UNIT_FLOAT =
UNIT_DOUBLE =
UNIT_CHECKED =

unit: unit-programs
	test/unit.sh

unit-programs: build/float/residual_engine \
	$(addprefix build/float/test/,$(UNIT_FLOAT)) \
	$(addprefix build/double/test/,$(UNIT_DOUBLE)) \
	$(addprefix build/checked/test/,$(UNIT_CHECKED))

GOLDEN = test/golden
golden: build/$(REAL)/test/golden
	build/$(REAL)/test/golden $(GOLDEN)

layers:
	test/layers.sh

.PHONY: cuda install-engine uninstall-engine clean-engine unit unit-programs golden layers

endif
