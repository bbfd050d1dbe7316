#!/bin/bash
# check.sh: everything that is tested, on a private cluster that goes away.
#
# Each part speaks TAP or is pg_regress; their tests are counted one by one.
# CHECK="layers unit golden emulated nvcc sql servers" names the parts to run; all of them if not given.
# Ends with "N passed, N failed", and ", N skipped" where something that a test needs is not here (each is told
# when it is); exit status 1 when any failed.
cd "$(dirname "$0")/.." || exit 1
. test/setup.sh

WORK=$(mktemp -d "${TMPDIR:-/tmp}/residual-check.XXXXXX")
chmod 755 "$WORK"
keep=0
trap 'stop_cluster; [ $keep = 1 ] && echo "logs are kept in $WORK" || rm -rf "$WORK"' EXIT
trap 'exit 1' INT TERM

CHECK=" ${CHECK:-layers unit golden emulated nvcc sql servers} "
wanted()
{
	[[ $CHECK == *" $1 "* ]]
}

passed=0
failed=0
skipped=0

# count_tap label file status: add the tests of a TAP file; a program that died or ran nothing is a failure
count_tap()
{
	local ok not_ok skip
	ok=$(grep -cE '^[[:space:]]*ok ' "$2")
	skip=$(grep -cE '^[[:space:]]*(ok .*|1\.\.0 )# SKIP' "$2")
	ok=$((ok - $(grep -cE '^[[:space:]]*ok .*# SKIP' "$2")))
	not_ok=$(grep -cE '^[[:space:]]*not ok ' "$2")
	passed=$((passed + ok))
	failed=$((failed + not_ok))
	skipped=$((skipped + skip))
	if [ "$not_ok" != 0 ]; then
		grep -E -A6 '^[[:space:]]*not ok' "$2" | head -60
	elif [ "$3" != 0 ] || [ $((ok + skip)) = 0 ]; then
		failed=$((failed + 1))
		echo "not ok - $1 ended with status $3"
		tail -30 "$2"
	fi
	printf '%-34s %s passed, %s failed%s\n' "$1" "$ok" "$not_ok" "$([ "$skip" = 0 ] || echo ", $skip skipped")"
	grep -E '^[[:space:]]*(ok .*|1\.\.0 )# SKIP' "$2"
}

ensure_packages $RESIDUAL_PACKAGES

say "building"
build_and_stage WERROR=-Werror
! wanted unit && ! wanted golden && ! wanted emulated || make -j2 PG_CONFIG="$PG_CONFIG" WERROR=-Werror unit-programs ||
	fail "the build of the tests failed"

if wanted layers; then
say "layers"
test/layers.sh >"$WORK/layers.tap"
count_tap layers "$WORK/layers.tap" $?
fi

if wanted unit; then
say "engine, without a server"
for program in build/{float,double,checked,cudaemu}/test/{test_*,fuzz_*}; do
	[ -x "$program" ] || continue
	label=${program#build/}
	RESIDUAL_ENGINE=$PWD/build/float/residual_engine timeout 900 "$program" >"$WORK/unit.tap" 2>&1
	count_tap "${label/\/test\//: }" "$WORK/unit.tap" $?
done
# once more with bounds that only an engine within the test can have
timeout 900 build/float/test/test_server >"$WORK/unit.tap" 2>&1
count_tap "float: test_server, small bounds" "$WORK/unit.tap" $?
fi

if wanted golden; then
say "reference values"
for real in double float; do
	timeout 900 build/$real/test/golden test/golden >"$WORK/golden.tap" 2>&1
	count_tap "golden, $real" "$WORK/golden.tap" $?
done
fi

if wanted nvcc; then
say "the CUDA device, built by nvcc"
if command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; then
	make -j2 PG_CONFIG="$PG_CONFIG" residual_cuda.so >"$WORK/nvcc.log" 2>&1 || tail -30 "$WORK/nvcc.log"
	python3 test/cuda/binaries.py >"$WORK/nvcc.tap" 2>&1
	count_tap "nvcc" "$WORK/nvcc.tap" $?
else
	echo "1..0 # SKIP nvcc is not here: registers, spills and code of the CUDA device" >"$WORK/nvcc.tap"
	count_tap "nvcc" "$WORK/nvcc.tap" 0
fi
fi

if wanted emulated; then
say "the CUDA device in emulation, without a server"
for program in test_kernels test_kernels_attention test_kernels_loss test_ops gpu_training test_reserve gpu_group "golden test/golden"; do
	timeout 900 test/device.sh build/float/test/$program >"$WORK/cuda.tap" 2>&1
	count_tap "cudaemu: ${program%% *}" "$WORK/cuda.tap" $?
done
for seed in 2 3; do
	CUDAEMU_SEED=$seed timeout 900 test/device.sh build/float/test/test_ops >"$WORK/cuda.tap" 2>&1
	count_tap "cudaemu: test_ops, schedule $seed" "$WORK/cuda.tap" $?
done
fi

cp -r sql expected test/t "$WORK/"
[ -d test/corpus ] && cp -r test/corpus "$WORK/"
PGXS_TEST=$(dirname "$("$PG_CONFIG" --pgxs)")/../../src/test
PG_REGRESS=$(realpath "$PGXS_TEST/regress/pg_regress")
export PG_REGRESS

if wanted sql; then
say "SQL"
start_cluster "max_worker_processes = 16" "log_min_messages = info"
regress=$(sed -n 's/^REGRESS = //p' Makefile)
(cd "$WORK" && as_server "$PG_REGRESS" --inputdir="$WORK" --outputdir="$WORK" --bindir="$PG_BIN" \
	--host="$PGHOST" --port="$PGPORT" --user=postgres --dbname=regression $regress) >"$WORK/regress.log" 2>&1
status=$?
sed -nE 's/^test ([a-z_]+) +\.\.\. (ok|FAILED).*/\2 - \1/p' "$WORK/regress.log" |
	awk '/^ok/ {print "ok " NR " " $0} /^FAILED/ {print "not ok " NR " " $0}' >"$WORK/regress.tap"
count_tap "pg_regress" "$WORK/regress.tap" $status
[ $status = 0 ] || { keep=1; head -400 "$WORK/regression.diffs" 2>/dev/null; tail -5 "$WORK/regress.log"; }

if ls test/isolation/specs/*.spec >/dev/null 2>&1; then
	specs=$(basename -s .spec -a test/isolation/specs/*.spec)
	cp -r test/isolation "$WORK/"
	give_to_server "$WORK/isolation"
	(cd "$WORK" && as_server "$(dirname "$PG_REGRESS")/../isolation/pg_isolation_regress" --inputdir="$WORK/isolation" \
		--outputdir="$WORK/isolation" --bindir="$PG_BIN" --host="$PGHOST" --port="$PGPORT" --user=postgres \
		--dbname=isolation $specs) >"$WORK/isolation.log" 2>&1
	status=$?
	sed -nE 's/^test ([a-z_]+) +\.\.\. (ok|FAILED).*/\2 - \1/p' "$WORK/isolation.log" |
		awk '/^ok/ {print "ok " NR " " $0} /^FAILED/ {print "not ok " NR " " $0}' >"$WORK/isolation.tap"
	count_tap "isolation" "$WORK/isolation.tap" $status
	[ $status = 0 ] || { keep=1; head -200 "$WORK/isolation/regression.diffs" 2>/dev/null; }
fi
stop_cluster
fi

if wanted servers; then
say "servers: crashes, cancels, replication"
mkdir -p "$WORK/tap"
make PG_CONFIG="$PG_CONFIG" WERROR=-Werror build/cudaemu/residual_cudaemu.so || fail "the build of the emulated device failed"
cp build/cudaemu/residual_cudaemu.so "$RESIDUAL_STAGE"
[ -f residual_cuda.so ] && cp residual_cuda.so "$RESIDUAL_STAGE"
give_to_server "$WORK"
for script in test/t/[0-9]*.pl; do
	[ -f "$script" ] || continue
	name=$(basename "$script" .pl)
	(cd "$WORK" && as_server env RESIDUAL_STAGE="$RESIDUAL_STAGE" RESIDUAL_CUDAEMU="$RESIDUAL_STAGE/residual_cudaemu.so" \
		RESIDUAL_CUDA="$RESIDUAL_STAGE/residual_cuda.so" PG_REGRESS="$PG_REGRESS" TESTDATADIR="$WORK/tap/$name" \
		TESTLOGDIR="$WORK/tap/$name/log" PG_TEST_TIMEOUT_DEFAULT=120 \
		timeout 900 perl -I "$WORK/t" -I "$(realpath "$PGXS_TEST/perl")" "$WORK/t/$name.pl") >"$WORK/$name.tap" 2>&1
	status=$?
	count_tap "$name" "$WORK/$name.tap" $status
	[ $status = 0 ] || keep=1
done
fi

echo
if [ $keep = 1 ] && [ -n "${CI:-}" ]; then
	keep=0
	tail -n 100 "$WORK/server.log"
fi
echo "$passed passed, $failed failed$([ $skipped = 0 ] || echo ", $skipped skipped")"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
