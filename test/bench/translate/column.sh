#!/bin/bash
# column.sh: what it costs to translate a column: row by row, in batches, as arrays, as a window function.
#
#   test/bench/translate/column.sh [rows]       default: 10000
#
# ROUNDS=3  BEAM="1 4"  LAYERS=4  D_MODEL=128: rounds, widths, shape.  STEPS=300: the model learns a small grammar; after
# fewer steps it does not know where to end, and MAX_LENGTH=128 bounds its answers.
# All rows are different.  Each way translates through psql, in turn; printed are medians of
# sentences a second, of the clock and of the engine's processor time, and ratios to row by row, which translates a tenth of
# the rows.
cd "$(dirname "$0")/../../.." || exit 1
. test/setup.sh
WORK=$(mktemp -d "${TMPDIR:-/tmp}/residual-column.XXXXXX")
chmod 755 "$WORK"
trap 'stop_cluster; rm -rf "$WORK"' EXIT
trap 'exit 1' INT TERM
rows=${1:-10000}
build_and_stage -s
start_cluster "max_worker_processes = 16" "fsync = off" "jit = off" "max_parallel_workers_per_gather = 0"
query() { psql -XqAt -v ON_ERROR_STOP=1 "$@" || exit 1; }

query <<SQL
CREATE EXTENSION residual;
CREATE FUNCTION word(list text[], n int) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT list[1 + n % cardinality(list)]';
CREATE TABLE corpus AS
SELECT i AS id,
       'the ' || word('{old,new,red,green,small}', i / 3) || ' ' || word('{dog,cat,bird,house,tree,car,ship}', i) || ' ' ||
       word('{sees,finds,wants}', i / 7) || ' the ' || word('{dog,cat,bird,house,tree,car,ship}', i / 11) || repeat(' today', i % 4) || ' ' || i AS en,
       'das ' || word('{alte,neue,rote,gruene,kleine}', i / 3) || ' ' || word('{hund,katze,vogel,haus,baum,auto,schiff}', i) || ' ' ||
       word('{sieht,findet,will}', i / 7) || ' das ' || word('{hund,katze,vogel,haus,baum,auto,schiff}', i / 11) || repeat(' heute', i % 4) || ' ' || i AS de
  FROM generate_series(1, $rows) i;
ANALYZE corpus;
SQL
job=$(query -c "SELECT residual_train('m', 'corpus', 'en', 'de', '{\"layers\": ${LAYERS:-4}, \"d_model\": ${D_MODEL:-128}, \"d_ffn\": $((2 * ${D_MODEL:-128})), \"heads\": 4,
	\"warmup_steps\": 50, \"learning_rate\": 0.002, \"batch_tokens\": 1024, \"max_steps\": ${STEPS:-300},
	\"validation\": \"0\"}')")
[ "$(query -c "SELECT residual_wait($job)")" = done ] ||
	fail "the model was not trained: $(query -c "SELECT error, error_detail, error_hint FROM residual_jobs WHERE job = $job")"
query -c "SELECT en, residual_translate(en, 'm') FROM corpus LIMIT 3" >&2

# processor time of the engine so far, in ms
engine_time() { query -c 'SELECT pid FROM residual_serving' | xargs -I{} awk '{print ($14 + $15) * 10}' /proc/{}/stat; }

# measure way beam: ms that a statement takes, without the start of psql, and ms of the engine
measure()
{
	local beam="'{\"beam\": $2, \"max_length\": ${MAX_LENGTH:-128}}'" before
	case $1 in
		scalar) sql="SET residual.enable_batching = off; SELECT id, residual_translate(en, 'm', $beam) FROM corpus WHERE id % 10 = 3" ;;
		batches) sql="SELECT id, residual_translate(en, 'm', $beam) FROM corpus" ;;
		window) sql="SELECT id, residual_translate_window(en, 'm', $beam) OVER () FROM corpus" ;;
		arrays) sql="SET residual.enable_batching = off;
			SELECT unnest(ids), unnest(residual_translate(texts, 'm', $beam)) FROM
			(SELECT array_agg(id) AS ids, array_agg(en) AS texts FROM corpus GROUP BY id / 1000) s" ;;
	esac
	before=$(engine_time)
	printf '\\o /dev/null\nSELECT 1;\n%s;\n\\o\n' "$sql" | psql -XqAt -v ON_ERROR_STOP=1 -c '\timing on' -f - |
		sed -nE 's/^Time: ([0-9.]+) ms.*/\1/p' | tail -1 >>"$WORK/$1.times"
	echo $(($(engine_time) - before)) >>"$WORK/$1.engine"
}
median() { sort -n "$1" | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

ways="scalar batches arrays window"
printf '%-5s %-8s %13s %6s %27s %6s\n' beam way sentences/s ratio "sentences/s of engine's time" ratio
for beam in ${BEAM:-1 4}; do
	rm -f "$WORK"/*.times "$WORK"/*.engine
	for round in $(seq "${ROUNDS:-3}"); do
		for way in $ways; do measure $way "$beam"; done
	done
	for way in $ways; do
		n=$rows
		[ $way = scalar ] && n=$((rows / 10))
		awk -v beam="$beam" -v way=$way -v n=$n -v ms="$(median "$WORK/$way.times")" -v engine="$(median "$WORK/$way.engine")" \
			-v few=$((rows / 10)) -v ms0="$(median "$WORK/scalar.times")" -v engine0="$(median "$WORK/scalar.engine")" \
			'BEGIN {printf "%-5s %-8s %13.0f %6.2f %27.0f %6.2f\n", beam, way, 1000 * n / ms, n / ms / (few / ms0),
				1000 * n / engine, n / engine / (few / engine0)}'
	done
done
