#!/bin/bash
# run.sh: a column through psql beside CTranslate2, one run, in turn; prints ratios.
#
#   test/bench/translate/run.sh [tiny base deep]      PYTHON: an interpreter with ctranslate2 and numpy (else one is made)
#
# ROWS (10000 of tiny, 2500 of the others; ROWS=200 ROUNDS=1 SINGLES=20 is the short mode), BEAMS ("1 4"), ROUNDS (2), PRECISIONS
# (int8, at tiny float32 too), SINGLES (200, for the latency).
# Both sides have the same weights (random: a model after one step), as many pieces in each sentence, answers of 17 pieces, and
# two threads that compute.  The peer gets ids; ours cuts the text and joins the pieces.  The peer has the batch size, and the
# packed weights or not, that took it least time on some rows before.  First the engine alone is checked to give the peer's
# answers in float32.
cd "$(dirname "$0")/../../.." || exit 1
. test/setup.sh
here=test/bench/translate
if [ -z "${PYTHON:-}" ]; then
	PYTHON=build/bench/venv/bin/python
	[ -x "$PYTHON" ] && "$PYTHON" -c 'import ctranslate2' 2>/dev/null ||
		{ python3 -m venv build/bench/venv && build/bench/venv/bin/pip install -q ctranslate2 numpy; } || exit 1
fi
export OMP_NUM_THREADS=1
WORK=$(mktemp -d "${TMPDIR:-/tmp}/residual-translate.XXXXXX")
chmod 755 "$WORK"
trap 'stop_cluster; rm -rf "$WORK"' EXIT
trap 'exit 1' INT TERM
build_and_stage -s
make -s build/float/bench/translate/search || exit 1
mkdir "$WORK/check"
build/float/bench/translate/search "$WORK/check" tiny 1 32 float32 0.1 >/dev/null &&
	"$PYTHON" $here/peer.py "$WORK/check" 4 4 --type float32 --check || exit 1

start_cluster "residual.serve_threads = 2" "fsync = off" "max_worker_processes = 16"
query() { psql -XqAt -v ON_ERROR_STOP=1 "$@" || exit 1; }
# 20000 words of two to seven letters, sentences of 5 to 18: a vocabulary of 8000 is full
query <<'SQL'
CREATE EXTENSION residual;
CREATE FUNCTION pg_temp.word(i bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
	$$SELECT left(translate(md5((i % 20000)::text), '0123456789abcdef', 'aeioubdfgklmnprs'), 2 + (i % 6)::int)$$;
CREATE TABLE sentences AS
	SELECT n, string_agg(pg_temp.word(hashint8extended(n * 20 + j, 11) & 1048575), ' ' ORDER BY j) AS en
	  FROM generate_series(1, 20000) n, generate_series(1, 18) j WHERE j <= 5 + (n * 7919) % 14 GROUP BY n;
SQL

cpu() { awk -v hz="$(getconf CLK_TCK)" '{sub(/.*\) /, ""); s += ($12 + $13) / hz} END {printf "%.2f", s}' "$@" 2>/dev/null; }
engine() { query -c "SELECT pid FROM residual_serving"; }
# peer_settings shape precision beam: "CT2_USE_EXPERIMENTAL_PACKED_GEMM=x batch", the best of them
peer_settings()
{
	for packed in 0 1; do
		CT2_USE_EXPERIMENTAL_PACKED_GEMM=$packed "$PYTHON" $here/peer.py "$WORK/$1" $layers 4 --tune --type $2 --beam $3 |
			sed "s/$/ CT2_USE_EXPERIMENTAL_PACKED_GEMM=$packed/"
	done | sort -n | awk 'NR == 1 {print $3, $2}'
}

for shape in ${@:-tiny base deep}; do
	rows=${ROWS:-2500} precisions=${PRECISIONS:-int8} begun=$SECONDS
	case $shape in
		tiny) layers=4 sizes='"d_model": 128, "d_ffn": 256' rows=${ROWS:-10000} precisions=${PRECISIONS:-int8 float32} ;;
		base) layers=6 sizes='"d_model": 512, "d_ffn": 1024' ;;
		deep) layers=12 sizes='"d_model": 256, "d_ffn": 1024' ;;
		*) fail "no shape $shape" ;;
	esac
	folder=$WORK/$shape
	mkdir "$folder"
	job=$(query -c "SELECT residual_train('$shape', 'sentences', 'en', 'en', '{\"layers\": $layers, $sizes, \"heads\": 4, \"scheme\": \"post\",
		\"vocab_size\": 8000, \"max_length\": 128, \"batch_tokens\": 256, \"max_steps\": 1, \"validation\": \"0\", \"threads\": 2}')")
	[ "$(query -c "SELECT residual_wait($job)")" = done ] || { query -c "SELECT error, error_detail FROM residual_jobs WHERE job = $job"; exit 1; }
	query -c "SELECT w.tensor, w.shape, encode(substr(w.bytes, 65), 'hex') FROM residual.weight w JOIN residual.model m ON m.id = w.model
		WHERE m.name = '$shape' ORDER BY w.tensor, w.part" | "$PYTHON" $here/export.py "$folder" || exit 1
	query -c "SELECT cardinality(residual_tokenize(en, '$shape')) FROM sentences WHERE n <= $rows" >"$folder/lengths.txt"
	: >"$folder/results.jsonl"
	for precision in $precisions; do
		for beam in ${BEAMS:-1 4}; do
			options="{\"beam\": $beam, \"precision\": \"$precision\", \"max_length\": 17}"
			translate="SELECT count(residual_translate(en, '$shape', '$options')) FROM sentences WHERE n <="
			settings=$(peer_settings $shape $precision $beam)
			[ -n "$settings" ] || fail "the peer does not run"
			for round in $(seq "${ROUNDS:-2}"); do
				query -c "$translate 64" >/dev/null
				pid=$(engine)
				before=$(cpu "/proc/$pid/stat")
				seconds=$( { time query -c "$translate $rows" >/dev/null; } 2>&1 |
					awk '/^real/ {split($2, t, "[ms]"); print 60 * t[1] + t[2]}')
				[ "$pid" = "$(engine)" ] || fail "the engine did not stay"
				printf '{"who": "residual", "what": "column", "precision": "%s", "beam": %d, "rows": %d, "seconds": %s, "cpu": %s}\n' $precision $beam \
					$rows "$seconds" "$(awk -v a="$before" -v b="$(cpu "/proc/$pid/stat")" 'BEGIN {print b - a}')" >>"$folder/results.jsonl"
				env ${settings% *} "$PYTHON" $here/peer.py "$folder" $layers 4 --column --type $precision --beam $beam \
					--batch ${settings#* } >>"$folder/results.jsonl" || exit 1
			done
		done
	done
	# one sentence at a time, in one session
	{
		echo '\timing on'
		query -c "SELECT format('SELECT residual_translate(%L, %L, %L);', en, '$shape', '{\"beam\": 1, \"precision\": \"int8\", \"max_length\": 17}')
			FROM sentences ORDER BY n LIMIT ${SINGLES:-200}"
	} | psql -XqAt | awk '/^Time:/ {print $2}' >"$folder/singles.txt"
	"$PYTHON" $here/peer.py "$folder" $layers 4 --singles ${SINGLES:-200} --type int8 >>"$folder/results.jsonl" || exit 1
	# what 20 sessions cost, all translating
	one=$(awk '/^RssAnon/ {print $2}' "/proc/$(engine)/status")
	for session in $(seq 20); do
		psql -XqAt -c "SELECT count(residual_translate(en, '$shape', '{\"beam\": 1, \"precision\": \"int8\", \"max_length\": 17}')) FROM sentences
			WHERE n % 20 = $session - 1 AND n <= 2000 AND n <= $rows" >/dev/null &
		sessions="$sessions $!"
	done
	wait $sessions
	sessions=
	many=$(awk '/^RssAnon/ {print $2}' "/proc/$(engine)/status")
	printf '{"who": "residual", "what": "memory", "one": %d, "twenty": %d}\n' $((one / 1024)) $((many / 1024)) >>"$folder/results.jsonl"
	"$PYTHON" $here/summary.py "$shape" "$folder"
	echo "       ($rows rows, in all $((SECONDS - begun)) s)"
done
