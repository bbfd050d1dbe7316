#!/bin/bash
# demo.sh: the main job on real text, on a private cluster that goes away.
#
#   CORPUS=help      LibreOffice's help, English to German, out of two Debian packages (MPL-2.0); the default
#   CORPUS=grammar   sentences made by a small grammar; nothing is downloaded
#   DEMO_MINUTES=n   how long to train
#   REPORT=folder    where the report goes (demo-report)
cd "$(dirname "$0")/../.." || exit 1
. test/setup.sh

CORPUS=${CORPUS:-help}
REPORT=${REPORT:-demo-report}
case $CORPUS in
	help) MINUTES=${DEMO_MINUTES:-9} ;;
	grammar) MINUTES=${DEMO_MINUTES:-2} ;;
	*) fail "CORPUS is \"help\" or \"grammar\", not \"$CORPUS\"" ;;
esac

WORK=$(mktemp -d "${TMPDIR:-/tmp}/residual-demo.XXXXXX")
chmod 755 "$WORK"
trap 'stop_cluster; rm -rf "$WORK"' EXIT
trap 'exit 1' INT TERM

ensure_packages $RESIDUAL_PACKAGES
say "building"
build_and_stage -s
say "starting a private cluster"
start_cluster "max_worker_processes = 16" "shared_preload_libraries = 'residual'"
mkdir -p "$REPORT"

query() { psql -XqAt -v ON_ERROR_STOP=1 "$@" || fail "the demo failed; the end of the server's log:
$(tail -20 "$WORK/server.log")"; }
show() { echo "$1" | sed 's/^/  /'; psql -Xq -v ON_ERROR_STOP=1 -c "$1" || fail "the demo failed"; }

say "text into a table"
query -c 'CREATE EXTENSION residual'
if [ "$CORPUS" = help ]; then
	(cd "$WORK" && apt-get download libreoffice-help-en-us libreoffice-help-de >"$WORK/apt.log" 2>&1) ||
		{ apt-get update -q >/dev/null 2>&1 && (cd "$WORK" && apt-get download libreoffice-help-en-us libreoffice-help-de >"$WORK/apt.log" 2>&1); } ||
		fail "could not download the packages: $(cat "$WORK/apt.log")
CORPUS=grammar needs no download"
	for package in "$WORK"/libreoffice-help-*.deb; do
		dpkg-deb -x "$package" "$WORK/help"
	done
	python3 test/demo/help_corpus.py --root "$WORK/help" "$WORK/pairs.tsv" || fail "no pairs could be extracted"
	query -c 'CREATE TABLE pairs (id int GENERATED ALWAYS AS IDENTITY, en text, de text, split text)' \
		-c "\\copy pairs (en, de, split) FROM '$WORK/pairs.tsv'"
	OPTIONS="\"encoder_layers\": 4, \"decoder_layers\": 3, \"d_model\": 160, \"d_ffn\": 512, \"heads\": 4, \"vocab_size\": 4000, \"dropout\": 0.1, \"learning_rate\": 0.002, \"warmup_steps\": 600, \"batch_tokens\": 2048"
else
	query -v n=26000 -f test/corpus/grammar.sql >/dev/null
	query -c "CREATE TABLE pairs AS SELECT id, en, de, CASE split WHEN 'dev' THEN 'test' ELSE split END AS split FROM grammar_pairs"
	OPTIONS="\"layers\": 2, \"d_model\": 128, \"d_ffn\": 512, \"heads\": 4, \"vocab_size\": 400, \"dropout\": 0.05, \"learning_rate\": 0.003, \"warmup_steps\": 300, \"batch_tokens\": 2048"
fi
query -c "CREATE VIEW train_pairs AS SELECT en, de FROM pairs WHERE split = 'train'" \
	-c "CREATE TABLE test_pairs AS SELECT id, en, de FROM pairs WHERE split = 'test' ORDER BY id"
show "SELECT split, count(*) AS pairs FROM pairs GROUP BY split ORDER BY pairs DESC"

say "training for at most $MINUTES minutes, in a background worker"
TRAIN="SELECT residual_train('en_de', 'train_pairs', 'en', 'de', '{\"scheme\": \"residual\", $OPTIONS, \"max_minutes\": $MINUTES, \"validate_every\": 500, \"average_checkpoints\": 5, \"stats_every\": 500}')"
echo "  $TRAIN"
job=$(query -c "$TRAIN")
every=1
[ -t 1 ] || every=15
while :; do
	line=$(query -F ' ' -c "SELECT state, format('%-9s %-11s step %s  loss %s  %s target tokens/s  validation BLEU %s  %s left',
			state, phase, COALESCE(step, 0), COALESCE(round(loss::numeric, 3)::text, '-'), COALESCE(round(tokens_per_second::numeric)::text, '-'),
			COALESCE(round(validation_bleu::numeric, 1)::text, '-'), COALESCE(date_trunc('second', time_left)::text, '-'))
		FROM residual_progress WHERE job = $job")
	[ -t 1 ] && printf '\r\033[K%s' "${line#* }" || echo "${line#* }"
	case $line in queued*|running*) sleep $every ;; *) break ;; esac
done
echo
case $line in
	done*) ;;
	*) show "SELECT state, error, error_detail, error_hint FROM residual_jobs WHERE job = $job"
		fail "training did not end well" ;;
esac
show "SELECT step, round(epoch::numeric, 1) AS epoch, round(loss::numeric, 3) AS loss, round(validation_loss::numeric, 3) AS validation_loss, round(validation_bleu::numeric, 1) AS bleu, best FROM residual_training_log WHERE job = $job ORDER BY step"

say "a column translated"
query -c "\\timing on" -c "CREATE TABLE translated AS SELECT id, en, de, residual_translate(en, 'en_de') AS translation FROM test_pairs ORDER BY id"

say "judged by the held-out part"
show "SELECT count(*) AS sentences, round(residual_bleu(translation, de)::numeric, 1) AS bleu, round(residual_chrf(translation, de)::numeric, 1) AS chrf, round(100.0 * count(*) FILTER (WHERE translation = de) / count(*), 1) AS exact_percent FROM translated"
query -c "SELECT format(E'%s\n  is:     %s\n  should: %s', en, translation, de) FROM translated ORDER BY md5(id::text) LIMIT 10" |
	tee "$REPORT/translations.txt"

say "gradients at initialisation: ResiDual, Post-LN and Pre-LN on the same batch"
for scheme in residual post pre; do
	init=$(query -c "SELECT residual_train('init_$scheme', 'train_pairs', 'en', 'de', '{\"scheme\": \"$scheme\", $OPTIONS, \"max_steps\": 1, \"validation\": \"0\"}')")
	[ "$(query -c "SELECT residual_wait($init)")" = done ] || show "SELECT state, error FROM residual_jobs WHERE job = $init"
done
NORMS="SELECT stack, layer + 1 AS layer, $(for scheme in residual post pre; do
	printf "round(sqrt(sum(gradient_norm ^ 2) FILTER (WHERE model = 'init_%s'))::numeric, 4) AS %s, " $scheme $scheme; done | sed 's/, $//')
  FROM residual_gradient_stats JOIN residual_jobs USING (job)
 WHERE step = 0 AND layer IS NOT NULL AND model LIKE 'init%' GROUP BY stack, layer ORDER BY stack DESC, layer"
show "$NORMS"
for stack in encoder decoder; do
	query -F ' ' -c "SELECT layer, residual, post, pre FROM ($NORMS) n WHERE stack = '$stack'" >"$WORK/$stack.dat"
done
query -F ' ' -c "SELECT step, loss, validation_loss, validation_bleu FROM residual_training_log WHERE job = $job ORDER BY step" >"$WORK/log.dat"
for format in png svg; do
	gnuplot <<PLOT || fail "gnuplot failed"
set terminal $format size 1000,400
set output '$REPORT/gradient_norms.$format'
set multiplot layout 1,2
set logscale y
set xlabel 'layer'
set ylabel 'gradient norm at initialisation'
set xtics 1
set key top left
do for [stack in 'encoder decoder'] {
	set title stack
	plot '$WORK/'.stack.'.dat' using 1:2 with linespoints title 'ResiDual', '' using 1:3 with linespoints title 'Post-LN', '' using 1:4 with linespoints title 'Pre-LN'
}
unset multiplot
PLOT
	[ -s "$WORK/log.dat" ] && gnuplot <<PLOT
set terminal $format size 800,400
set output '$REPORT/training.$format'
set xlabel 'step'
set ylabel 'loss'
set y2label 'BLEU'
set y2tics
plot '$WORK/log.dat' using 1:2 with lines title 'training loss', '' using 1:3 with lines title 'validation loss', '' using 1:4 axes x1y2 with linespoints title 'validation BLEU'
PLOT
done
query -c "\\pset format aligned" -c "\\pset tuples_only off" -c "$NORMS" >"$REPORT/gradient_norms.txt"
echo "report: $REPORT/ ($(ls "$REPORT" | tr '\n' ' '))"
