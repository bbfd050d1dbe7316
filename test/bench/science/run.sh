#!/bin/bash
# run.sh: what is claimed of residual schemes, repeated at a small size, measured beside expected.
#
#   test/bench/science/run.sh [initialisation] [training]      both, if none is named
#
# On a private cluster that goes away, over sentences made by a small grammar.  Prints tables; README.md has those of
# a run.  Takes some minutes of two cores.
cd "$(dirname "$0")/../../.." || exit 1
. test/setup.sh

WORK=$(mktemp -d "${TMPDIR:-/tmp}/residual-science.XXXXXX")
chmod 755 "$WORK"
trap 'stop_cluster; rm -rf "$WORK"' EXIT
trap 'exit 1' INT TERM

ensure_packages $RESIDUAL_PACKAGES
build_and_stage -s >"$WORK/build.log" 2>&1 || fail "the build failed: $(tail -20 "$WORK/build.log")"
start_cluster "max_worker_processes = 16" "shared_preload_libraries = 'residual'" "residual.max_jobs = ${JOBS:-2}"
query() { psql -Xq -v ON_ERROR_STOP=1 "$@" || fail "$(tail -20 "$WORK/server.log")"; }

query -c "CREATE EXTENSION residual"
query -v n=3000 -f test/corpus/grammar.sql >/dev/null 2>&1
query -c "CREATE TABLE pairs AS SELECT en, de FROM grammar_pairs WHERE split = 'train' ORDER BY id"
for part in ${*:-initialisation training}; do
	say "$part"
	query -P footer=off -f "test/bench/science/$part.sql"
done
