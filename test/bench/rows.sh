#!/bin/bash
# rows.sh: time and memory of reading a large corpus.
#
#   test/bench/rows.sh [rows ...]       default: 100000 1000000 10000000
#
# Rows are short generated sentences; the model is tiny and trains two steps, so that reading, learning the vocabulary and
# encoding are what is seen.  Prints seconds until the first step and the highest private memory of worker and engine.
cd "$(dirname "$0")/../.." || exit 1
. test/setup.sh
WORK=$(mktemp -d "${TMPDIR:-/tmp}/residual-rows.XXXXXX")
chmod 755 "$WORK"
trap 'stop_cluster; rm -rf "$WORK"' EXIT
trap 'exit 1' INT TERM
build_and_stage -s
start_cluster "max_worker_processes = 16" "fsync = off" "max_wal_size = 8GB"
query() { psql -XqAt -v ON_ERROR_STOP=1 "$@" || exit 1; }
peak() { awk -v most="$2" '/^RssAnon/ && $2 > most {most = $2} END {print most}' "/proc/$1/status" 2>/dev/null || echo "$2"; }

query -c 'CREATE EXTENSION residual'
printf '%10s %9s %11s %11s\n' rows seconds worker_MiB engine_MiB
for rows in ${@:-100000 1000000 10000000}; do
	query -c "CREATE UNLOGGED TABLE corpus AS SELECT format('the %s of %s is %s', i % 9973, i % 97, i % 7) AS source,
		format('%s ist %s von %s', i % 7, i % 97, i % 9973) AS target FROM generate_series(1, $rows) i"
	start=$(date +%s.%N)
	job=$(query -c "SELECT residual_train('m$rows', 'corpus', 'source', 'target', '{\"layers\": 1, \"d_model\": 16, \"d_ffn\": 32, \"heads\": 2,
		\"vocab_size\": 200, \"max_steps\": 2, \"validation\": \"0\", \"threads\": 1}')")
	worker=0 engine=0
	while :; do
		IFS='|' read -r state pid engine_pid <<<"$(query -c "SELECT state, COALESCE(pid, 0), COALESCE(engine_pid, 0) FROM residual.job WHERE id = $job")"
		for _ in 1 2 3 4 5; do
			worker=$(peak "$pid" "$worker") engine=$(peak "$engine_pid" "$engine")
			sleep 0.02
		done
		case $state in queued|running) ;; *) break ;; esac
	done
	[ "$state" = done ] || { query -c "SELECT error, error_detail FROM residual_jobs WHERE job = $job"; exit 1; }
	awk -v rows="$rows" -v start="$start" -v end="$(date +%s.%N)" -v worker="$worker" -v engine="$engine" \
		'BEGIN {printf "%10d %9.1f %11.1f %11.1f\n", rows, end - start, worker / 1024, engine / 1024}'
	query -c 'DROP TABLE corpus'
done
