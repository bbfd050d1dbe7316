#!/bin/bash
# figures.sh: the main diagnostics, drawn: psql writes the numbers, gnuplot draws them.
#
#   FIGURES=folder     where SVG, PNG and the numbers (.tsv) go (figures)
#   DEPTHS="6 12 ..."  layers of each stack (6 12 24 48)
#
# On a private cluster that goes away, with narrow fresh models over sentences made by a small grammar; the loss curves
# are of short trainings without a warm-up.
cd "$(dirname "$0")/../.." || exit 1
. test/setup.sh

FIGURES=${FIGURES:-figures}
DEPTHS=${DEPTHS:-6 12 24 48}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/residual-figures.XXXXXX")
chmod 755 "$WORK"
trap 'stop_cluster; rm -rf "$WORK"' EXIT
trap 'exit 1' INT TERM

ensure_packages $RESIDUAL_PACKAGES
say "building"
build_and_stage -s >"$WORK/build.log" 2>&1 || fail "the build failed: $(tail -20 "$WORK/build.log")"
start_cluster "max_worker_processes = 16" "shared_preload_libraries = 'residual'"
mkdir -p "$FIGURES"
query() { psql -Xq -v ON_ERROR_STOP=1 "$@" || fail "$(tail -20 "$WORK/server.log")"; }

query -c "CREATE EXTENSION residual"
query -v n=3000 -f test/corpus/grammar.sql >/dev/null 2>&1
query -c "CREATE TABLE pairs AS SELECT en, de FROM grammar_pairs WHERE split = 'train' ORDER BY id"
say "numbers"
query -v depths="${DEPTHS// /,}" -f test/figures/numbers.sql >/dev/null
for table in gradients changes similarities curve sizes losses; do
	query -c "\\copy $table TO '$WORK/$table.tsv'"
	cp "$WORK/$table.tsv" "$FIGURES/"
done
say "figures"
# draw name: as SVG and as PNG
draw()
{
	gnuplot -e "data='$FIGURES'; depths='$DEPTHS'; set terminal svg size 1100,700 dynamic font 'sans,12'; set output '$FIGURES/$1.svg'" \
		"test/figures/$1.gp" 2>>"$WORK/gnuplot.log" &&
	gnuplot -e "data='$FIGURES'; depths='$DEPTHS'; set terminal pngcairo size 1100,700 font 'sans,10'; set output '$FIGURES/$1.png'" \
		"test/figures/$1.gp" 2>>"$WORK/gnuplot.log" || fail "gnuplot could not draw $1: $(tail -5 "$WORK/gnuplot.log")"
	echo "$FIGURES/$1.svg $FIGURES/$1.png"
}
for figure in gradients output_change similarity adam losses; do
	draw $figure
done
