# Makefile: residual.so by PGXS, residual_engine and its tests by rules of our own.
#
#   make            build the extension and the engine
#   make install    put them where PostgreSQL looks; make installcheck runs the regression tests there
#   make check      everything that is tested, in a private cluster; nothing need be installed
#   make demo       train and translate real text in a private cluster (DEMO_MINUTES=, CORPUS=grammar)
#   make figures    draw the main diagnostics in a private cluster (FIGURES=folder, DEPTHS=)
#   make unit       the engine's tests, without a server
#   make golden     compare with reference values: GOLDEN=folder, REAL=float|double, DEVICE=cpu|cuda|cudaemu
#   make layers     who may include whom
#   make clean

# These set up a bare machine themselves, so they must not need pg_config to be there
# (and PGXS has a check of its own, which only says that it has none).
ifneq ($(filter check demo figures,$(MAKECMDGOALS)),)

check:
	test/check.sh

demo:
	test/demo/demo.sh

figures:
	test/figures/figures.sh

.PHONY: check demo figures

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
	src/pg/submit.o \
	src/pg/sql_train.o \
	src/pg/sql_job.o \
	src/pg/sql_sweep.o \
	src/pg/sweep_grid.o \
	src/pg/queue.o \
	src/pg/launch.o \
	src/pg/launcher.o \
	src/pg/job.o \
	src/pg/train_worker.o \
	src/pg/train_transaction.o \
	src/pg/train_feed.o \
	src/pg/train_statement.o \
	src/pg/train_store.o \
	src/pg/train_weights.o \
	src/pg/corpus.o \
	src/pg/encoding.o \
	src/pg/engine_process.o \
	src/pg/channel.o \
	src/pg/model_catalog.o \
	src/pg/weights.o \
	src/pg/sql_model.o \
	src/pg/sql_shortlist.o \
	src/pg/serve_worker.o \
	src/pg/engine_client.o \
	src/pg/model_upload.o \
	src/pg/serve_connection.o \
	src/pg/apart.o \
	src/pg/translation.o \
	src/pg/terms.o \
	src/pg/batch.o \
	src/pg/attempt.o \
	src/pg/read_ahead.o \
	src/pg/batch_call.o \
	src/pg/batch_guard.o \
	src/pg/batch_cut.o \
	src/pg/batch_values.o \
	src/pg/batch_plan.o \
	src/pg/batch_evaluate.o \
	src/pg/batch_node.o \
	src/pg/sql_window.o \
	src/pg/sql_translate.o \
	src/pg/sql_align.o \
	src/pg/judged_pairs.o \
	src/pg/sql_evaluate.o \
	src/pg/sql_compare.o \
	src/pg/sql_score.o \
	src/pg/sql_inspect.o \
	src/pg/sql_device.o \
	src/pg/sql_diagnose.o \
	src/wire/message.o \
	src/score/bleu.o \
	src/score/chrf.o \
	src/score/ngram.o \
	src/score/tokenize_13a.o \
	src/score/judgement.o \
	src/score/bootstrap.o \
	src/translate/search_options.o \
	src/model/option_list.o \
	src/model/config.o \
	src/model/config_check.o \
	src/model/scheme_list.o \
	src/base/utf8.o \
	src/base/random.o \
	src/base/context.o

REGRESS = install settings score train_errors train job resume tokenize translate precision shortlist decode batch batch_guard models privileges inspect diagnose plots evaluate compare sweep decoder fold damaged
REGRESS_OPTS = --inputdir=$(srcdir)

PG_CPPFLAGS = -I$(srcdir)/src -I$(srcdir)/src/pg -I$(srcdir)
PG_CFLAGS = $(WERROR)
EXTRA_CLEAN = build

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
srcdir ?= .

# PGXS does not note which headers an object was made from
$(OBJS): $(wildcard $(srcdir)/src/pg/*.h $(srcdir)/src/wire/*.h $(srcdir)/src/score/*.h $(srcdir)/src/base/*.h \
	$(srcdir)/src/model/*.h $(srcdir)/src/translate/*.h)

# ---- residual_engine: plain C, SentencePiece behind one C++ file, OpenBLAS behind kernels/cpu ----

WARNINGS = -Wall -Wextra $(WERROR)
ENGINE_OPT = -O2 -g
ENGINE_CPPFLAGS = -I$(srcdir)/src -I$(srcdir) -D_GNU_SOURCE -MMD -MP
ENGINE_CFLAGS = -std=gnu99 $(ENGINE_OPT) $(WARNINGS) -pthread -fno-math-errno
ENGINE_CXXFLAGS = -std=c++17 $(ENGINE_OPT) $(WARNINGS) -pthread
ENGINE_LIBS = -lsentencepiece -lsentencepiece_train -lopenblas -lm -lstdc++ -ldl -pthread

# in reading order: the program, then what it is made of
ENGINE_OBJS = \
	src/engine/train_job.o \
	src/engine/train_memory.o \
	src/engine/train_intake.o \
	src/engine/train_corpus.o \
	src/engine/train_validate.o \
	src/engine/train_shortlist.o \
	src/engine/train_report.o \
	src/engine/rows.o \
	src/engine/control.o \
	src/engine/peer.o \
	src/engine/frames.o \
	src/engine/server.o \
	src/engine/child.o \
	src/engine/leader.o \
	src/engine/follower.o \
	src/engine/handover.o \
	src/engine/apart.o \
	src/engine/devices.o \
	src/engine/shortlist_answer.o \
	src/engine/table.o \
	src/engine/diagnosis.o \
	src/engine/diagnosis_intake.o \
	src/engine/diagnosis_answer.o \
	src/engine/diagnosis_gradients.o \
	src/engine/connection.o \
	src/engine/service.o \
	src/engine/service_request.o \
	src/engine/service_load.o \
	src/engine/status.o \
	src/engine/load.o \
	src/engine/request.o \
	src/engine/queue.o \
	src/engine/compute.o \
	src/engine/store.o \
	src/train/extent.o \
	src/train/corpus.o \
	src/train/sorter.o \
	src/train/batch.o \
	src/train/packer.o \
	src/train/trainer.o \
	src/train/reserve.o \
	src/train/step.o \
	src/train/settle.o \
	src/train/ranks.o \
	src/train/plane.o \
	src/train/schedule.o \
	src/train/optimizer.o \
	src/train/statistics.o \
	src/train/checkpoint.o \
	src/diagnose/probe.o \
	src/diagnose/gradients.o \
	src/diagnose/streams.o \
	src/diagnose/attention.o \
	src/diagnose/change.o \
	src/diagnose/cost.o \
	src/translate/translator.o \
	src/translate/packing.o \
	src/translate/scorer.o \
	src/translate/aligner.o \
	src/translate/embedder.o \
	src/translate/beam.o \
	src/translate/search.o \
	src/translate/restriction.o \
	src/translate/candidates.o \
	src/translate/finished.o \
	src/translate/sample.o \
	src/translate/demanded.o \
	src/translate/phrases.o \
	src/translate/demands.o \
	src/translate/terms.o \
	src/translate/placeholders.o \
	src/translate/spelling.o \
	src/translate/search_options.o \
	src/shortlist/lexicon.o \
	src/shortlist/shortlist.o \
	src/text/normalize.o \
	src/text/learn.o \
	src/text/envelope.o \
	src/text/tokenizer.o \
	src/score/bleu.o \
	src/score/chrf.o \
	src/score/ngram.o \
	src/score/tokenize_13a.o \
	src/score/judgement.o \
	src/score/bootstrap.o \
	src/model/option_list.o \
	src/model/config.o \
	src/model/config_check.o \
	src/model/scheme_list.o \
	src/model/declare.o \
	src/model/layer.o \
	src/model/transformer.o \
	src/model/joined.o \
	src/model/decoder.o \
	src/model/profile.o \
	src/model/fold.o \
	src/model/residual/schemes.o \
	src/model/residual/joint.o \
	src/model/residual/residual.o \
	src/model/residual/post_norm.o \
	src/model/residual/pre_norm.o \
	src/model/residual/alternating.o \
	src/model/residual/admin.o \
	src/model/residual/fixed.o \
	src/model/residual/rezero.o \
	src/model/residual/b2t.o \
	src/model/residual/deepnorm.o \
	src/model/residual/dlcl.o \
	src/graph/graph.o \
	src/graph/plan.o \
	src/graph/run.o \
	src/graph/param.o \
	src/graph/prepared.o \
	src/graph/ops_linear.o \
	src/graph/ops_pointwise.o \
	src/graph/ops_norm.o \
	src/graph/ops_attention.o \
	src/graph/ops_embed.o \
	src/graph/ops_loss.o \
	src/wire/message.o \
	src/base/context.o \
	src/base/random.o \
	src/base/threads.o \
	src/base/turns.o \
	src/base/digest.o \
	src/base/spill.o \
	src/base/utf8.o \
	kernels/device.o \
	kernels/library.o \
	kernels/cpu/cpu.o \
	kernels/cpu/memory.o

# compiled once for each vector unit, chosen at run time
KERNEL_OBJS = \
	kernels/cpu/level.o \
	kernels/cpu/product.o \
	kernels/cpu/tile.o \
	kernels/cpu/blocked.o \
	kernels/cpu/fewrows.o \
	kernels/cpu/prepared.o \
	kernels/cpu/quantise.o \
	kernels/cpu/int8.o \
	kernels/cpu/bfloat16.o \
	kernels/cpu/linear.o \
	kernels/cpu/pointwise.o \
	kernels/cpu/norm.o \
	kernels/cpu/attention.o \
	kernels/cpu/decode.o \
	kernels/cpu/embed.o \
	kernels/cpu/loss.o \
	kernels/cpu/gather.o \
	kernels/cpu/adam.o

ifeq ($(shell uname -m),x86_64)
KERNEL_LEVELS = v2 v3 v4
else
KERNEL_LEVELS = one
endif
LEVEL_v2 = -march=x86-64-v2 -DRN_LEVEL=v2
LEVEL_v3 = -march=x86-64-v3 -DRN_LEVEL=v3
LEVEL_v4 = -march=x86-64-v4 -mprefer-vector-width=512 -DRN_LEVEL=v4
LEVEL_one = -DRN_ONE_LEVEL
OPTFLAGS = -O3

# float is the product; double and the checked builds are for tests
REAL = float
DEFINES_float =
DEFINES_double = -DRN_DOUBLE
DEFINES_checked = -DRN_DOUBLE -DRN_ONE_LEVEL -fsanitize=address,undefined -fno-sanitize-recover=undefined
LEVELS_float = $(KERNEL_LEVELS)
LEVELS_double = $(KERNEL_LEVELS)
LEVELS_checked = one

# engine_rules(real): build/<real>/libengine.a and build/<real>/residual_engine
define engine_rules
build/$(1)/%.o: %.c
	@mkdir -p $$(@D)
	$$(CC) $$(ENGINE_CPPFLAGS) $$(DEFINES_$(1)) $$(ENGINE_CFLAGS) -c $$< -o $$@

build/$(1)/%.o: %.cc
	@mkdir -p $$(@D)
	$$(CXX) $$(ENGINE_CPPFLAGS) $$(DEFINES_$(1)) $$(ENGINE_CXXFLAGS) -c $$< -o $$@

$(foreach level,$(LEVELS_$(1)),
build/$(1)/%.$(level).o: %.c
	@mkdir -p $$(@D)
	$$(CC) $$(ENGINE_CPPFLAGS) $$(DEFINES_$(1)) $$(ENGINE_CFLAGS) $$(OPTFLAGS) $$(LEVEL_$(level)) -c $$< -o $$@
)

build/$(1)/libengine.a: $$(addprefix build/$(1)/,$$(ENGINE_OBJS) $$(foreach level,$$(LEVELS_$(1)),$$(KERNEL_OBJS:.o=.$$(level).o)))
	@rm -f $$@
	$$(AR) rcs $$@ $$^

build/$(1)/residual_engine: build/$(1)/src/engine/main.o build/$(1)/libengine.a
	$$(CC) $$(DEFINES_$(1)) $$(ENGINE_LDFLAGS) $$(filter %.o,$$^) $$(filter %.a,$$^) $$(ENGINE_LIBS) -o $$@

build/$(1)/bench/%: build/$(1)/test/bench/%.o build/$(1)/libengine.a
	@mkdir -p $$(@D)
	$$(CC) $$(DEFINES_$(1)) $$(ENGINE_LDFLAGS) $$(filter %.o,$$^) $$(filter %.a,$$^) $$(ENGINE_LIBS) -o $$@

build/$(1)/test/%: build/$(1)/test/unit/%.o build/$(1)/libengine.a
	@mkdir -p $$(@D)
	$$(CC) $$(DEFINES_$(1)) $$(ENGINE_LDFLAGS) $$(filter %.o,$$^) $$(filter %.a,$$^) $$(ENGINE_LIBS) -o $$@
endef

$(foreach real,float double checked,$(eval $(call engine_rules,$(real))))
.PRECIOUS: build/%.o

-include $(shell find build -name '*.d' 2>/dev/null)

all: residual_engine cuda

residual_engine: build/float/residual_engine
	cp $< $@

# ---- residual_cuda.so: the CUDA device, a library of its own that the engine opens on demand ----

# Built where there is an nvcc, which need not be in the PATH; for every architecture, which takes minutes: WITH_CUDA=no leaves it out.
NVCC ?= $(firstword $(shell command -v nvcc 2>/dev/null) $(wildcard /usr/local/cuda/bin/nvcc))
WITH_CUDA ?= $(if $(NVCC),yes,no)

# in reading order
CUDA_SOURCES = \
	kernels/cuda/device.cu \
	kernels/cuda/pool.cu \
	kernels/cuda/lane.cu \
	kernels/cuda/mirror.cu \
	kernels/cuda/queue.cu \
	kernels/cuda/product.cu \
	kernels/cuda/round.cu \
	kernels/cuda/pointwise.cu \
	kernels/cuda/columns.cu \
	kernels/cuda/sum.cu \
	kernels/cuda/norm.cu \
	kernels/cuda/residual.cu \
	kernels/cuda/attention.cu \
	kernels/cuda/decode.cu \
	kernels/cuda/embed.cu \
	kernels/cuda/loss.cu \
	kernels/cuda/gather.cu \
	kernels/cuda/adam.cu \
	kernels/cuda/top_k.cu \
	kernels/cuda/nccl.cu \
	kernels/cuda/collective.cu

# what a device library shares with the engine, in its own copy
DEVICE_BASE_OBJS = src/base/context.o src/base/random.o

# machine code for these, and PTX of the last for those to come
CUDA_ARCHITECTURES = 75 80 86 89 90 100 120
CUDA_LAST = $(lastword $(CUDA_ARCHITECTURES))
CUDA_CODE = $(foreach arch,$(CUDA_ARCHITECTURES),-gencode arch=compute_$(arch),code=sm_$(arch)) \
	-gencode arch=compute_$(CUDA_LAST),code=compute_$(CUDA_LAST)
CUDA_HOME = $(patsubst %/bin/,%,$(dir $(lastword $(NVCC))))
CUDA_CPPFLAGS = -I$(srcdir)/src -I$(srcdir)
CUDA_CXXFLAGS = -std=c++17 -O3 -lineinfo -Werror all-warnings -Xptxas -v -Xcompiler -fPIC,-fvisibility=hidden,-fno-exceptions
CUDA_LDFLAGS = -L$(CUDA_HOME)/lib64 -Xlinker -rpath,$(CUDA_HOME)/lib64 -Xlinker --no-undefined
CUDA_LIBS = -lcublasLt -ldl -lpthread

cuda: cuda-$(WITH_CUDA)
cuda-yes: residual_cuda.so
cuda-no:
	@echo "residual: built without the CUDA device$(if $(NVCC),: WITH_CUDA=no,: nvcc not found)"

# what ptxas says of registers and spills is kept beside the object, for test/cuda.sh
build/cuda/%.o: %.cu
	@mkdir -p $(@D)
	$(NVCC) $(CUDA_CPPFLAGS) $(CUDA_CXXFLAGS) $(CUDA_CODE) -MMD -MF $(@:.o=.d) -c $< -o $@ 2>$(@:.o=.ptxas) || { cat $(@:.o=.ptxas); rm -f $@; exit 1; }

build/cuda/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ENGINE_CPPFLAGS) $(ENGINE_CFLAGS) -fPIC -fvisibility=hidden -c $< -o $@

residual_cuda.so: $(addprefix build/cuda/,$(CUDA_SOURCES:.cu=.o) $(DEVICE_BASE_OBJS))
	$(NVCC) -shared -cudart static $(CUDA_LDFLAGS) $^ $(CUDA_LIBS) -o $@

# The same sources in emulation (test/cudaemu), for tests: kernels are C++ here, and -fsanitize=thread
# makes every access call the emulator, not the sanitizer's library.
CUDA_INCLUDE ?= $(patsubst %/cuda_runtime.h,%,$(firstword \
	$(wildcard $(if $(NVCC),$(CUDA_HOME)/include/cuda_runtime.h) /usr/local/cuda/include/cuda_runtime.h)))
EMULATOR_CPPFLAGS = -I$(srcdir)/src -I$(srcdir) -I$(srcdir)/test/cudaemu -D_GNU_SOURCE -MMD -MP \
	$(if $(CUDA_INCLUDE),-isystem $(CUDA_INCLUDE),-DCUDAEMU_STANDIN -I$(srcdir)/test/cudaemu/standin)
EMULATOR_CXXFLAGS = -std=c++17 -g $(WARNINGS) -fPIC -fvisibility=hidden -fno-exceptions -pthread
EMULATED_CXXFLAGS = -O1 -fsanitize=thread -fno-tree-loop-distribute-patterns -fno-math-errno
EMULATOR_LIBS = -lopenblas -ldl -pthread

EMULATOR_OBJS = \
	test/cudaemu/report.o \
	test/cudaemu/fiber.o \
	test/cudaemu/block.o \
	test/cudaemu/memory.o \
	test/cudaemu/access.o \
	test/cudaemu/tsan.o \
	test/cudaemu/stream.o \
	test/cudaemu/device.o \
	test/cudaemu/blaslt_matrix.o \
	test/cudaemu/blaslt_product.o \
	test/cudaemu/blaslt.o \
	test/cudaemu/nccl.o

build/cudaemu/%.o: %.cu
	@mkdir -p $(@D)
	$(CXX) $(EMULATOR_CPPFLAGS) $(EMULATOR_CXXFLAGS) $(EMULATED_CXXFLAGS) -x c++ -c $< -o $@

build/cudaemu/%.o: %.cpp
	@mkdir -p $(@D)
	$(CXX) $(EMULATOR_CPPFLAGS) $(EMULATOR_CXXFLAGS) -O2 -c $< -o $@

build/cudaemu/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ENGINE_CPPFLAGS) $(ENGINE_CFLAGS) -fPIC -fvisibility=hidden -c $< -o $@

build/cudaemu/residual_cudaemu.so: $(addprefix build/cudaemu/,$(CUDA_SOURCES:.cu=.o) $(EMULATOR_OBJS) $(DEVICE_BASE_OBJS))
	$(CXX) -shared -Wl,--no-undefined $^ $(EMULATOR_LIBS) -o $@

# the emulator's own tests
EMULATOR_TESTS = build/cudaemu/test/test_faults build/cudaemu/test/test_runtime
build/cudaemu/test/test_faults: $(addprefix build/cudaemu/test/cudaemu/,test_faults.o faults.o good.o)
build/cudaemu/test/test_runtime: $(addprefix build/cudaemu/test/cudaemu/,test_runtime.o good.o)
$(EMULATOR_TESTS): $(addprefix build/cudaemu/,$(EMULATOR_OBJS))
	@mkdir -p $(@D)
	$(CXX) $^ $(EMULATOR_LIBS) -o $@

install: install-engine
install-engine: residual_engine installdirs
	$(INSTALL_PROGRAM) residual_engine '$(DESTDIR)$(pkglibdir)/residual_engine'
ifeq ($(WITH_CUDA),yes)
install-engine: install-cuda
install-cuda: residual_cuda.so installdirs
	$(INSTALL_SHLIB) residual_cuda.so '$(DESTDIR)$(pkglibdir)/residual_cuda.so'
endif

uninstall: uninstall-engine
uninstall-engine:
	rm -f '$(DESTDIR)$(pkglibdir)/residual_engine' '$(DESTDIR)$(pkglibdir)/residual_cuda.so'

clean: clean-engine
clean-engine:
	rm -rf residual_engine residual_cuda.so build

# ---- tests ----

# Programs without a server; each prints TAP.  What they are made of beside the engine:
PARTS_golden = golden_file golden_case golden_training golden_search golden_diagnostics golden_constants golden_profile golden_fold
PARTS_test_base =
PARTS_test_kernels =
PARTS_test_kernels_attention =
PARTS_test_kernels_loss =
PARTS_test_prepared =
PARTS_test_bfloat16 = trainer_bench
PARTS_test_ops = op_case plain
PARTS_test_graph =
PARTS_test_plan =
PARTS_test_config =
PARTS_test_initial =
PARTS_test_schemes = toy_model
PARTS_test_corpus =
PARTS_test_trainer = trainer_bench
PARTS_test_reserve = trainer_bench
PARTS_test_train = train_client
PARTS_test_wire =
PARTS_fuzz_wire =
PARTS_test_text =
PARTS_test_shortlist =
PARTS_test_score =
PARTS_test_bootstrap =
PARTS_test_beam = table_decoder
PARTS_test_decoding = table_decoder
PARTS_test_translator = toy_model
PARTS_test_queue =
PARTS_test_server = serve_driver toy_model
PARTS_train_driver = train_client
PARTS_gpu_training = trainer_bench
PARTS_gpu_group =
UNIT_PROGRAMS = $(patsubst PARTS_%,%,$(filter PARTS_%,$(.VARIABLES)))

# in float as it is installed, in double as the judge, in double with sanitizers
UNIT_FLOAT = golden test_kernels test_kernels_attention test_kernels_loss test_prepared test_bfloat16 test_ops test_trainer test_reserve test_train test_wire test_text test_score test_bootstrap test_translator test_queue test_server train_driver gpu_training gpu_group
UNIT_DOUBLE = golden test_base test_kernels test_kernels_attention test_kernels_loss test_prepared test_ops test_graph test_plan test_config test_initial test_schemes test_corpus test_trainer test_beam test_decoding
UNIT_CHECKED = test_prepared test_ops test_graph test_corpus test_trainer test_wire fuzz_wire test_text test_shortlist test_score test_decoding test_translator test_queue

$(foreach real,float double checked,$(foreach program,$(UNIT_PROGRAMS),$(eval \
	build/$(real)/test/$(program): $(PARTS_$(program):%=build/$(real)/test/unit/%.o))))

unit: unit-programs
	test/unit.sh

# the CUDA device in emulation is opened by programs of the float build (test/device.sh)
unit-programs: build/float/residual_engine build/cudaemu/residual_cudaemu.so \
	$(addprefix build/float/test/,$(UNIT_FLOAT)) \
	$(addprefix build/double/test/,$(UNIT_DOUBLE)) \
	$(addprefix build/checked/test/,$(UNIT_CHECKED)) \
	$(EMULATOR_TESTS)

GOLDEN = test/golden
DEVICE = cpu
golden: build/$(REAL)/test/golden $(if $(filter cudaemu,$(DEVICE)),build/cudaemu/residual_cudaemu.so)
	$(if $(filter cudaemu,$(DEVICE)),test/device.sh,RN_DEVICE=$(DEVICE)) build/$(REAL)/test/golden $(GOLDEN)

layers:
	test/layers.sh

.PHONY: cuda cuda-yes cuda-no install-cuda install-engine uninstall-engine clean-engine unit unit-programs golden layers

endif
